"""Raw windows of quiet light curves with injected transits, of which place, depth and period are known."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from larun.config import TrainingSettings
from larun.network.bank import Curve, Ephemeris
from larun.network.injection import Host, inject
from larun.schema import CLASSES, VIEW_LENGTH
from larun.selection import point_to_point_scatter
from larun.windows import Windows, event_windows, sliding_windows, transit_mask

PER_CURVE = 3
SHAPES = tuple(CLASSES.index(name) for name in ("planetary_transit", "eclipsing_binary"))
INJECTED = 0.8
"""Share of the curves that get a transit; the others teach what is none."""
OFF_CENTRE = 0.4
"""How far from the middle of a window its transit may lie, in lengths."""
EVENTS = "events"


@dataclass(frozen=True)
class Marked:
    """Windows with the samples that lie in a transit, and what the transits are.

    Parameters
    ----------
    samples : (n, 1024) float32
    mask : (n, 1024) bool
    depth : (n,) float32
        log10 of the depth in ppm; NaN in a window without a transit.
    period : (n,) float32
        log10 of the period in days; NaN in a window without a transit.
    star : (n,) str
    """

    samples: np.ndarray
    mask: np.ndarray
    depth: np.ndarray
    period: np.ndarray
    star: np.ndarray

    def __len__(self) -> int:
        return len(self.samples)


def marked_windows(curves: Sequence[Curve], settings: TrainingSettings) -> Marked:
    """Windows of quiet light curves with an injected planet or binary, and of some without.

    Parameters
    ----------
    curves : sequence of Curve
        Quiet ones.
    settings : TrainingSettings
        The `pretrain` settings, and `seed`; a curve's windows do not depend on the others.
    """
    parts = [_marked(curve, np.random.default_rng([settings.seed, n]), settings) for n, curve in enumerate(curves)]
    found = [part for part in parts if part is not None and len(part)]
    if not found:
        nothing = np.empty((0, VIEW_LENGTH))
        none = np.empty(0, np.float32)
        return Marked(nothing.astype(np.float32), nothing.astype(bool), none, none, np.empty(0, np.str_))
    names = ("samples", "mask", "depth", "period", "star")
    return Marked(*(np.concatenate([getattr(part, name) for part in found]) for name in names))


def _marked(curve: Curve, rng: np.random.Generator, settings: TrainingSettings) -> Marked | None:
    """Windows of one curve; None where it is flat, or where what was injected has no duration that could be marked."""
    sigma = point_to_point_scatter(curve.flux)
    if not sigma > 0:
        return None
    flux, known, depth_ppm = curve.flux.astype(np.float64), None, np.nan
    if rng.random() < INJECTED:
        shape = inject(int(rng.choice(SHAPES)), Host(curve.time, curve.cadence_d, sigma), rng)
        flux, known, depth_ppm = flux * shape.flux, shape.ephemeris, 1e6 * (1.0 - shape.flux.min())
    if known is not None and not np.isfinite(known.duration_h):
        return None
    windows = _cut(curve.time, flux, known, rng, settings)
    rows = rng.permutation(len(windows))[:PER_CURVE]
    mask = np.zeros((len(windows), VIEW_LENGTH), bool)
    if known is not None:
        mask = transit_mask(windows, known.period_d, known.t0, known.duration_h)
    mask, shows = mask[rows], mask[rows].any(axis=1)

    def where_shown(value: float) -> np.ndarray:
        return np.where(shows, np.log10(value), np.nan).astype(np.float32)

    period_d = np.nan if known is None else known.period_d
    star = np.full(len(rows), curve.star)
    return Marked(windows.samples[rows], mask, where_shown(depth_ppm), where_shown(period_d), star)


def _cut(
    time: np.ndarray, flux: np.ndarray, known: Ephemeris | None, rng: np.random.Generator, settings: TrainingSettings
) -> Windows:
    """Windows one after the other, or one around each transit, which then lies anywhere but at the edge."""
    length_d, trend = settings.pretrain_window_d, settings.pretrain_trend
    if known is None or settings.pretrain_cut != EVENTS:
        return sliding_windows(time, flux, length_d, length_d, trend)
    first, last = np.ceil((time[0] - known.t0) / known.period_d), np.floor((time[-1] - known.t0) / known.period_d)
    transits = known.t0 + known.period_d * np.arange(first, last + 1)
    middles = transits + length_d * rng.uniform(-OFF_CENTRE, OFF_CENTRE, len(transits))
    return event_windows(time, flux, middles, length_d, trend)

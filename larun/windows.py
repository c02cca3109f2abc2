"""Raw light curves as windows of the length that the networks read, for training without an event.

`larun.views` shows an event; a window shows a stretch of light curve as it is: cleaned, its trend taken out, in units
of its noise, resampled to 1024 samples. Windows teach a network what light curves look like before it learns classes
(`larun.network.contrast`), and where in a stretch transits lie, how deep and how often (`larun.network.heads`).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from scipy.ndimage import median_filter

from larun.schema import VIEW_DEFINITION, VIEW_LENGTH
from larun.units import HOURS_PER_DAY, MAD_TO_SIGMA, from_mid_transit_d

CLIP_SIGMA = 5.0
"""Flux this far above its neighbours is left out: flares and cosmic rays. Dips are kept, whatever their depth."""

COMPRESSION = VIEW_DEFINITION["compression"]
MIN_COVERED = 0.5
"""Share of a window's samples that must hold data."""

Trend = Literal["median", "polynomial", "none"]


@dataclass(frozen=True)
class Windows:
    """Windows of one light curve.

    Parameters
    ----------
    samples : (n, 1024) float32
        Within [-1, 1]: ``asinh(deviation / noise of a sample) / asinh(1000)``; 0 where nothing was observed.
    start_d : (n,) float64
        Time of the first sample's edge, days.
    length_d : float
        Length of every window, days.
    """

    samples: np.ndarray
    start_d: np.ndarray
    length_d: float

    def __len__(self) -> int:
        return len(self.samples)


def sliding_windows(
    time: np.ndarray,
    flux: np.ndarray,
    length_d: float,
    step_d: float,
    trend: Trend = "median",
    window_d: float = 1.0,
    degree: int = 3,
) -> Windows:
    """Windows one step after the other, over the whole light curve.

    Parameters
    ----------
    time : (cadence,) float64
        Days, increasing; NaN where not known.
    flux : (cadence,) float
        In any unit; NaN where missing.
    length_d, step_d : float
        Length of a window, and from the start of one to that of the next.
    trend : {"median", "polynomial", "none"}
        What is taken out before: a running median of `window_d` days, or a polynomial of `degree` over the window.
    window_d, degree : float, int
        Of the trend.

    Returns
    -------
    Windows
        Those of which half at least holds data.
    """
    time, relative = prepared(time, flux, trend, window_d)
    if not len(time):
        return _stacked([], length_d)
    count = max(int((time[-1] - time[0] - length_d) / step_d) + 1, 1)
    starts = time[0] + step_d * np.arange(count)
    return _stacked(_cut(time, relative, starts, length_d, degree if trend == "polynomial" else None), length_d)


def event_windows(
    time: np.ndarray,
    flux: np.ndarray,
    middles: Sequence[float],
    length_d: float,
    trend: Trend = "median",
    window_d: float = 1.0,
    degree: int = 3,
) -> Windows:
    """Windows with one of the given times in the middle of each; parameters as in `sliding_windows`."""
    time, relative = prepared(time, flux, trend, window_d)
    starts = np.asarray(middles, np.float64) - 0.5 * length_d
    return _stacked(_cut(time, relative, starts, length_d, degree if trend == "polynomial" else None), length_d)


def prepared(time: np.ndarray, flux: np.ndarray, trend: Trend, window_d: float) -> tuple[np.ndarray, np.ndarray]:
    """Clean cadences: times, and flux over its median or running median, around 1."""
    good = np.isfinite(time) & np.isfinite(flux)
    time, flux = np.asarray(time, np.float64)[good], np.asarray(flux, np.float64)[good]
    if len(time) < 3 or not np.median(flux) > 0:
        return time[:0], flux[:0]
    relative = flux / np.median(flux)
    if trend == "median":
        relative = relative / running_median(time, relative, window_d)
    kept = ~_spikes(relative)
    return time[kept], relative[kept]


def running_median(time: np.ndarray, flux: np.ndarray, window_d: float) -> np.ndarray:
    """Median of the cadences within a window, (cadence,); at the ends the window is mirrored."""
    cadence_d = float(np.median(np.diff(time)))
    size = min(max(2 * round(0.5 * window_d / cadence_d) + 1, 3), len(flux) // 2 * 2 - 1)
    return median_filter(flux, size=size, mode="mirror")


def transit_mask(windows: Windows, period_d: float, t0: float, duration_h: float) -> np.ndarray:
    """Which samples lie in a transit, (n, 1024) bool."""
    step = windows.length_d / VIEW_LENGTH
    middle = windows.start_d[:, np.newaxis] + step * (np.arange(VIEW_LENGTH) + 0.5)
    return np.abs(from_mid_transit_d(middle, period_d, t0)) < max(0.5 * duration_h / HOURS_PER_DAY, 0.5 * step)


def _spikes(relative: np.ndarray) -> np.ndarray:
    """Cadences far above the median of the three around them."""
    above = relative - median_filter(relative, size=3, mode="nearest")
    scatter = MAD_TO_SIGMA * np.median(np.abs(np.diff(relative))) / math.sqrt(2.0)
    return above > CLIP_SIGMA * scatter if scatter > 0 else np.zeros(len(relative), bool)


def _cut(time, relative, starts, length_d, degree) -> list[tuple[float, np.ndarray]]:
    cut = []
    for start in starts:
        first, last = np.searchsorted(time, (start, start + length_d))
        part, flux = time[first:last], relative[first:last]
        if degree is not None and len(part) > degree + 1:
            x = (part - start) / length_d * 2.0 - 1.0
            flux = flux / np.polynomial.Polynomial.fit(x, flux, degree, domain=(-1, 1))(x)
        samples = _resampled((part - start) / length_d, flux)
        if samples is not None:
            cut.append((start, samples))
    return cut


def _resampled(place: np.ndarray, flux: np.ndarray) -> np.ndarray | None:
    """1024 samples of a stretch, in units of its noise; None where too little of it was observed.

    Where there are more cadences than samples a sample is their mean, else flux is interpolated between neighbours
    that are no further apart than three usual steps.
    """
    if len(place) < 16:
        return None
    noise = MAD_TO_SIGMA * np.median(np.abs(np.diff(flux))) / math.sqrt(2.0)
    deviation = flux - np.median(flux)
    middles = (np.arange(VIEW_LENGTH) + 0.5) / VIEW_LENGTH
    step = float(np.median(np.diff(place)))
    if step <= 1.0 / VIEW_LENGTH:
        which = np.minimum((place * VIEW_LENGTH).astype(int), VIEW_LENGTH - 1)
        count = np.bincount(which, minlength=VIEW_LENGTH)
        samples = np.bincount(which, deviation, minlength=VIEW_LENGTH) / np.maximum(count, 1)
        observed = count > 0
        noise = noise / math.sqrt(max(float(np.median(count[observed])), 1.0))
    else:
        after = np.clip(np.searchsorted(place, middles), 1, len(place) - 1)
        observed = (place[after] - place[after - 1] < 3.0 * step) & (middles > place[0]) & (middles < place[-1])
        samples = np.interp(middles, place, deviation)
    if observed.mean() < MIN_COVERED:
        return None
    scaled = np.arcsinh(samples / noise) / math.asinh(COMPRESSION) if noise > 0 else np.zeros(VIEW_LENGTH)
    return np.where(observed, np.clip(scaled, -1.0, 1.0), 0.0).astype(np.float32)


def _stacked(cut: list[tuple[float, np.ndarray]], length_d: float) -> Windows:
    samples = np.array([s for _, s in cut], np.float32).reshape(-1, VIEW_LENGTH)
    return Windows(samples, np.array([start for start, _ in cut], np.float64), length_d)

"""Phase-folded events of another pipeline as one vector of 1024 samples: both views, and what they measure.

The QLP views are in units of the event's depth around a median of 0: a global view of 201 bins over one period,
a local one of 61 bins around the event. What a person reads from them at a glance (is there noise of the size of
the dip, a second dip, a slope, a wave; is the dip narrow, flat, symmetric) is measured here, and the ephemeris is
put beside it. Sector, camera, epoch and numbers of stars and rows are left out: they tell who was labelled when.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from larun.schema import VIEW_LENGTH

GLOBAL, LOCAL = 201, 61
MIDDLE = GLOBAL // 2
STATISTICS_AT = GLOBAL + LOCAL
"""First sample of the statistics in the vector."""

SPREADS = 3.0
"""Statistics are clipped at so many standard deviations of the training events, which become 1."""

FLOOR = 1e-2
"""Added before logarithms of quantities in depth units."""

LEVELS = (0.2, 0.35, 0.5, 0.65, 0.8)
TEMPLATE_WIDTHS = (0.1, 0.2, 0.3, 0.45, 0.6)


@dataclass(frozen=True)
class Events:
    """Folded events, one row each.

    Parameters
    ----------
    global_view, local_view : (n, 201), (n, 61) float32
        Depth units.
    period_d, duration_d, depth_ppm, snr : (n,) float64
        Ephemeris and strength.
    """

    global_view: np.ndarray
    local_view: np.ndarray
    period_d: np.ndarray
    duration_d: np.ndarray
    depth_ppm: np.ndarray
    snr: np.ndarray

    def __len__(self) -> int:
        return len(self.global_view)

    def take(self, rows: np.ndarray) -> Events:
        """Some rows."""
        return Events(*(column[rows] for column in vars(self).values()))


def varied(events: Events, rng: np.random.Generator) -> Events:
    """Events that could have been: time reversed, a bin off, noisier, with errors of 7 % in what was fitted."""
    n = len(events)
    reverse = rng.random(n) < 0.5
    whole, local = events.global_view.copy(), events.local_view.copy()
    whole[reverse], local[reverse] = whole[reverse, ::-1], local[reverse, ::-1]
    shift = rng.integers(-1, 2, (n, 1))
    local = np.take_along_axis(local, np.clip(np.arange(LOCAL) - shift, 0, LOCAL - 1), axis=1)
    shift = rng.integers(-1, 2, (n, 1)) * (rng.random((n, 1)) < 0.5)
    whole = np.take_along_axis(whole, (np.arange(GLOBAL) - shift) % GLOBAL, axis=1)
    noise = rng.exponential(0.02, (n, 1))
    whole = whole + rng.standard_normal(whole.shape) * noise
    local = local + rng.standard_normal(local.shape) * noise
    wrong = 10 ** (0.03 * rng.standard_normal((3, n)))
    return Events(
        whole, local, events.period_d, events.duration_d * wrong[0], events.depth_ppm * wrong[1], events.snr * wrong[2]
    )


@dataclass(frozen=True)
class Scaling:
    """Middle and spread of each statistic over the training events."""

    middle: np.ndarray
    spread: np.ndarray

    @classmethod
    def of(cls, values: np.ndarray) -> Scaling:
        """From (n, statistic) values."""
        return cls(np.median(values, axis=0), values.std(axis=0) + 1e-3)

    def vectors(self, events: Events, values: np.ndarray) -> np.ndarray:
        """The network's input, (n, 1024) float32 within [-1, 1]: global view, local view, statistics, zeros."""
        out = np.zeros((len(events), VIEW_LENGTH), np.float32)
        out[:, :GLOBAL] = squashed(events.global_view)
        out[:, GLOBAL:STATISTICS_AT] = squashed(events.local_view)
        scaled = (values - self.middle) / (SPREADS * self.spread)
        out[:, STATISTICS_AT : STATISTICS_AT + values.shape[1]] = np.clip(scaled, -1.0, 1.0)
        return out


def squashed(view: np.ndarray) -> np.ndarray:
    """Dips as they are, down to -1; peaks, which know no limit, as ``x / (1 + x)``."""
    peak = np.maximum(view, 0.0)
    return np.clip(np.where(view > 0, peak / (1.0 + peak), view), -1.0, 1.0)


def statistics(events: Events) -> np.ndarray:
    """What is measured of each event.

    Returns
    -------
    (n, 71) float32
        Ephemeris, noise, second dip and asymmetry, waves, quantiles, widths, agreement with templates,
        strength in absolute units, and edges and floor of the dip.
    """
    whole, local = events.global_view.astype(np.float64), events.local_view.astype(np.float64)
    period, duration = np.log10(events.period_d), np.log10(np.maximum(events.duration_d, 1e-3))
    depth, snr = np.log10(np.maximum(events.depth_ppm, 1.0)), np.log10(np.maximum(events.snr, 1.0))
    duty = np.clip(10 ** (duration - period), 0.0, 1.0)
    phase = np.abs(np.arange(GLOBAL) - MIDDLE) / GLOBAL
    outside = phase > np.clip(0.75 * duty, 0.03, 0.35)[:, None]
    noise = _noise(whole, local, outside)
    scatter, point_to_point, local_point_to_point = noise[:, 0], noise[:, 2], noise[:, 3]
    transits = np.log10(np.maximum(27.0 / events.period_d, 0.2))
    groups = [
        np.stack([period, duration, duration - period, depth, snr], axis=1),
        noise,
        _second_dip_and_asymmetry(whole, local, outside, phase),
        _waves(whole, outside),
        np.percentile(whole, [1, 2, 5, 10, 25, 75, 90, 98], axis=1).T,
        np.percentile(local, [2, 5, 10, 20, 30, 40, 60, 80, 95], axis=1).T,
        _widths(local),
        _templates(local),
        np.stack([depth + point_to_point, depth + scatter, snr + local_point_to_point, snr - depth, transits], axis=1),
        _edges_and_floor(whole, local),
    ]
    return np.clip(np.nan_to_num(np.concatenate(groups, axis=1)), -10.0, 10.0).astype(np.float32)


def _log(values: np.ndarray) -> np.ndarray:
    return np.log10(np.maximum(values, 0.0) + FLOOR)


def _noise(whole, local, outside):
    """Scatter outside of the event, from bin to bin, extremes; log10 of depth units, (n, 8)."""
    values = np.where(outside, whole, np.nan)
    middle = np.nanmedian(values, axis=1, keepdims=True)
    deepest = np.where(outside, _smoothed(whole), np.inf).min(axis=1)
    columns = [
        np.nanstd(values, axis=1),
        np.nanmedian(np.abs(values - middle), axis=1),
        np.median(np.abs(np.diff(whole)), axis=1),
        np.median(np.abs(np.diff(local)), axis=1),
        np.nanmax(values, axis=1),
        local.max(axis=1),
        -np.nanmin(values, axis=1),
        -deepest,
    ]
    return _log(np.stack(columns, axis=1))


def _smoothed(whole):
    """Mean of five bins around each, the period closed."""
    return sum(np.roll(whole, shift, axis=1) for shift in range(-2, 3)) / 5.0


def _second_dip_and_asymmetry(whole, local, outside, phase):
    """Phase of the deepest dip outside, flux at half a period, how far time reversal changes the views, (n, 5)."""
    opposite = np.roll(whole, MIDDLE, axis=1)
    columns = [
        phase[np.where(outside, _smoothed(whole), np.inf).argmin(axis=1)],
        opposite[:, MIDDLE - 3 : MIDDLE + 4].mean(axis=1),
        opposite[:, MIDDLE - 10 : MIDDLE + 11].min(axis=1),
        np.abs(whole - whole[:, ::-1]).mean(axis=1),
        np.abs(local - local[:, ::-1]).mean(axis=1),
    ]
    return np.stack(columns, axis=1)


def _waves(whole, outside):
    """First four harmonics of the period outside of the event: cosines, and sizes of sines, (n, 8)."""
    values = np.where(outside, whole, np.nan)
    values = np.nan_to_num(values - np.nanmean(values, axis=1, keepdims=True))
    angle = 2 * np.pi * np.outer(np.arange(1, 5), np.arange(GLOBAL) - MIDDLE) / GLOBAL
    cosines, sines = values @ np.cos(angle).T / GLOBAL, np.abs(values @ np.sin(angle).T) / GLOBAL
    return np.clip(np.concatenate([cosines, sines], axis=1), -2.0, 2.0)


def _widths(local):
    """Width of the dip at five levels of its depth, box or V, and scatter of the view, (n, 7)."""
    symmetric = 0.5 * (local + local[:, ::-1])
    width = np.stack([(symmetric[:, 15:46] < -level).sum(axis=1) for level in LEVELS], axis=1) / 31.0
    flatness = width[:, -1] / np.maximum(width[:, 0], 0.03)
    return np.concatenate([width, flatness[:, None], _log(symmetric.std(axis=1))[:, None]], axis=1)


def _templates(local):
    """Share of the local view's power about its median that boxes and triangles of five widths explain, (n, 10).

    Negative for a bump.
    """
    offset = np.abs(np.arange(LOCAL) - LOCAL // 2) / (LOCAL // 2)
    centred = local - np.median(local, axis=1, keepdims=True)
    total = np.square(centred).sum(axis=1) + 1e-6
    shares = []
    for width in TEMPLATE_WIDTHS:
        for dip in (-(offset < width).astype(float), -np.clip(1.0 - offset / (1.5 * width), 0.0, None)):
            shape = dip - dip.mean()
            size = centred @ shape / np.square(shape).sum()
            shares.append(np.sign(size) * size**2 * np.square(shape).sum() / total)
    return np.stack(shares, axis=1)


def _edges_and_floor(whole, local):
    """Levels and scatter at the ends of the local view, levels in the middle of both views, (n, 6)."""
    first, last = local[:, :8], local[:, -8:]
    columns = [
        first.mean(axis=1),
        last.mean(axis=1),
        first.std(axis=1) + last.std(axis=1),
        local[:, 28:33].mean(axis=1),
        whole[:, MIDDLE - 1 : MIDDLE + 2].mean(axis=1),
        whole[:, MIDDLE - 10 : MIDDLE + 11].min(axis=1),
    ]
    return np.stack(columns, axis=1)

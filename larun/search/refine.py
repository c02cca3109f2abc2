"""The best event of one star, measured at full cadence in its own barycentric time."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from larun.config import SearchSettings
from larun.schema import empty_events
from larun.search.prepare import robust_sigma
from larun.search.transits import (
    box_power,
    climb,
    cumulative,
    fold,
    gap_touches,
    lookup_table,
    transit_sums,
    trapezoid,
    window_means,
)
from larun.units import HOURS_PER_DAY, PPM

HARMONIC_RATIOS = (1 / 3, 0.5, 2 / 3, 1.5, 2.0, 3.0)
"""Periods that are tried beside the best one."""

ODD_EVEN_SPLIT = 4.0
"""Odd and even transits that differ by so many sigma double the period."""

MIN_TRANSITS = 2
"""Peaks with fewer well observed transits only win where no other is left."""

SHAPE_BINS = 40
"""Bins of the folded transit, three durations long, for the trapezoid."""

LONG_GAP = 0.5
"""A gap counts as one beside a transit if it is longer than this share of the duration."""

MIN_WINDOWS = 10
"""Fewer out-of-transit windows give no red noise; the white noise stands."""


@dataclass(frozen=True)
class Series:
    """Good cadences of one star.

    Parameters
    ----------
    time : (cadence,) float64
        Barycentric, days, increasing.
    flux : (cadence,) float64
        Zero mean, in units of `sigma`.
    sigma : float
        Robust scatter per cadence of the detrended flux.
    cadence_d : float
        Time between cadences, days.
    table : (cell,) int32
        See `larun.search.transits.lookup_table`.
    sums : (cadence + 1,) float64
        See `larun.search.transits.cumulative`.
    """

    time: np.ndarray
    flux: np.ndarray
    sigma: float
    cadence_d: float
    table: np.ndarray
    sums: np.ndarray


@dataclass(frozen=True)
class Box:
    """Periodic box, days; `t0` is any mid-time, `power` the gain in chi-square at white noise."""

    period: float
    t0: float
    duration: float
    power: float
    snr: float = 0.0
    n_transits: int = 0
    odd_even: float = float("nan")
    sde: float = float("nan")


def series(time: np.ndarray, detrended: np.ndarray, cadence_d: float) -> Series | None:
    """Good cadences of one star; None where their scatter is not positive.

    Parameters
    ----------
    time : (cadence,) float64
        Barycentric, days, increasing.
    detrended : (cadence,) float32
        Around 1, NaN where masked.
    cadence_d : float
        Days.
    """
    good = np.isfinite(detrended)
    t, y = time[good], detrended[good].astype(np.float64)
    sigma = robust_sigma(y)
    if len(t) < 2 or not sigma > 0 or not t[-1] > t[0]:
        return None
    flux = (y - y.mean()) / sigma
    cell = max(cadence_d, (t[-1] - t[0]) / 1e7)
    return Series(t, flux, sigma, cell, lookup_table(t, cell), cumulative(flux))


def refine(data: Series, starts: list[Box], settings: SearchSettings) -> Box | None:
    """Best event among the peaks of the box search and their harmonics.

    Parameters
    ----------
    data : Series
        One star.
    starts : list of Box
        Peaks, with their `sde`.
    settings : SearchSettings
        Limits of period and duration.

    Returns
    -------
    Box or None
        None where no peak dims.
    """
    boxes = [box for box in (_climbed(data, start, settings) for start in starts) if box is not None]
    if not boxes:
        return None
    best = max(boxes, key=_merit)
    return _true_period(data, best, settings)


def _merit(box: Box) -> tuple[bool, float]:
    return (box.n_transits >= MIN_TRANSITS, box.snr)


def _climbed(data: Series, start: Box, settings: SearchSettings) -> Box | None:
    """Refine one box; None where it does not dim or leaves the range of periods."""
    shortest = max(settings.min_duration_h / HOURS_PER_DAY * 0.8, data.cadence_d)
    period, t0, duration, power = climb(
        data.time, data.table, data.cadence_d, data.sums, start.period, start.t0, start.duration,
        shortest, settings.max_duty_cycle,
    )  # fmt: skip
    if not power > 0:
        return None
    depth, error, n_transits, odd_even = _depths(data, period, t0, duration)
    return Box(period, t0, duration, power, depth / error, n_transits, odd_even, start.sde)


def _noise(data: Series, period: float, t0: float, duration: float) -> float:
    """Noise of the mean over one fully observed transit, in units of `Series.sigma`.

    Robust scatter of out-of-transit means over one duration, which holds the red noise on that time scale
    (Pont, Zucker & Queloz 2006, MNRAS 373, 231), never less than the white noise.
    """
    full = max(duration / data.cadence_d, 1.0)
    means = window_means(data.time, data.table, data.cadence_d, data.sums, period, t0, duration, 0.5 * full)
    white = 1.0 / np.sqrt(full)
    return max(robust_sigma(means), white) if len(means) >= MIN_WINDOWS else white


def _depths(data: Series, period: float, t0: float, duration: float) -> tuple[float, float, int, float]:
    """Depth, its error (both in `Series.sigma`), well observed transits, odd/even difference in sigma."""
    number, count, total = transit_sums(data.time, data.table, data.cadence_d, data.sums, period, t0, duration)
    full = max(duration / data.cadence_d, 1.0)
    noise = _noise(data, period, t0, duration)
    n = int(count.sum())
    outside = -total.sum() / max(len(data.time) - n, 1)
    depth = outside - total.sum() / max(n, 1)
    error = noise / np.sqrt(max(n, 1) / full)
    parts = [(count[number % 2 == odd].sum(), total[number % 2 == odd].sum()) for odd in (0, 1)]
    if min(part[0] for part in parts) == 0:
        odd_even = np.nan
    else:
        (n0, s0), (n1, s1) = parts
        odd_even = abs(s0 / n0 - s1 / n1) / (noise * np.sqrt(full / n0 + full / n1))
    return depth, error, int((count >= 0.5 * full).sum()), float(odd_even)


def _true_period(data: Series, best: Box, settings: SearchSettings) -> Box:
    """Replace a harmonic by the period it belongs to.

    A period that gathers all transits has the highest signal-to-noise: with twice the true period half of the
    transits are lost, with half of it every other box is empty. Transits that alternate in depth belong to a
    binary of twice the period.
    """
    baseline = data.time[-1] - data.time[0]
    for _ in range(2):
        rivals = []
        for ratio in HARMONIC_RATIOS:
            period = best.period * ratio
            if not settings.min_period_d <= period <= baseline / 2 * 1.02:
                continue
            for k in range(max(round(ratio), 1)):
                t0 = best.t0 + k * best.period
                start = Box(period, t0, min(best.duration, settings.max_duty_cycle * period), 0.0, sde=best.sde)
                rival = _climbed(data, start, settings)
                if rival is not None:
                    rivals.append((ratio, rival))
        better = [r for _, r in rivals if _merit(r) > _merit(best) and r.snr > 1.02 * best.snr]
        doubled = [r for ratio, r in rivals if ratio == 2.0 and r.n_transits >= MIN_TRANSITS]
        if better:
            best = max(better, key=_merit)
        elif best.odd_even > ODD_EVEN_SPLIT and doubled:
            return max(doubled, key=_merit)
        else:
            break
    return best


def measure(data: Series, box: Box, n_searched: int) -> np.ndarray:
    """Everything that the table of events says about one event.

    Parameters
    ----------
    data : Series
        One star.
    box : Box
        From `refine`.
    n_searched : int
        Cadences that were searched.

    Returns
    -------
    () structured
        Of `larun.schema.event_dtype`; no flags.
    """
    event = empty_events(1)[0]
    period, t0, duration = box.period, box.t0, box.duration
    cell = data.cadence_d
    number, count, total = transit_sums(data.time, data.table, cell, data.sums, period, t0, duration)
    full = max(duration / cell, 1.0)
    depth, error, n_transits, odd_even = _depths(data, period, t0, duration)
    noise = error * np.sqrt(max(count.sum(), 1) / full)
    seen = number[count >= 0.5 * full] if n_transits else number[count > 0]
    middles = t0 + number[count > 0] * period
    signal = -total
    ppm = data.sigma * PPM
    event["period_d"] = period
    event["t0_btjd"] = t0 + seen[0] * period
    event["depth_ppm"], event["depth_err_ppm"], event["snr"] = depth * ppm, error * ppm, depth / error
    event["sde"] = box.sde
    event["n_transits"] = n_transits
    event["odd_even_sigma"] = odd_even
    event["single_event_fraction"] = min(signal.max() / signal.sum(), 1.0) if signal.sum() > 0 else 1.0
    event["gap_fraction"] = gap_touches(data.time, data.table, cell, middles, duration, LONG_GAP * duration).mean()
    event["scatter_ppm"] = ppm
    event["red_noise_ppm"] = noise * ppm
    event["n_good"] = n_searched
    _measure_phases(data, box, noise, event)
    length, event["shape"] = _shape(data, box)
    event["duration_h"] = length * HOURS_PER_DAY
    return event


def _measure_phases(data: Series, box: Box, noise: float, event: np.ndarray) -> None:
    """Fill in secondary, sinusoid and coverage, from the folded light curve."""
    per_duration = 4
    n_bins = max(round(box.period / box.duration * per_duration), 8)
    total, count = fold(data.time, data.flux, box.period, box.t0, n_bins)
    full = max(box.duration / data.cadence_d, 1.0)
    event["phase_coverage"] = np.mean(count > 0)
    outside_transit = np.ones(n_bins, bool)
    outside_transit[: per_duration // 2] = outside_transit[n_bins - per_duration // 2 :] = False
    level = total[outside_transit].sum() / max(count[outside_transit].sum(), 1)
    sums = np.cumsum(np.concatenate([[0.0], total]))
    counts = np.cumsum(np.concatenate([[0.0], count]))
    first = np.arange(per_duration, n_bins - 2 * per_duration + 1)
    inside = counts[first + per_duration] - counts[first]
    # Half a transit's worth of cadences: fewer would let single outliers pass for a secondary.
    enough = inside >= 0.5 * full
    if enough.any():
        dip = level - (sums[first + per_duration] - sums[first])[enough] / inside[enough]
        strength = dip * np.sqrt(inside[enough] / full) / noise
        deepest = int(np.argmax(strength))
        event["secondary_depth_ppm"] = dip[deepest] * data.sigma * PPM
        event["secondary_snr"] = strength[deepest]
        event["secondary_phase"] = (first[enough][deepest] + per_duration / 2) / n_bins
    event["sinusoid_ratio"] = _sinusoid_gain(total, count) / max(_power(data, box), 1e-9)


def _power(data: Series, box: Box) -> float:
    return box_power(data.time, data.table, data.cadence_d, data.sums, box.period, box.t0, box.duration)


def _sinusoid_gain(total: np.ndarray, count: np.ndarray) -> float:
    """Gain in chi-square of the better of sinusoids at the period and at half of it.

    After SWEET (Thompson et al. 2018, ApJS 235, 38, section A.5.4), on the folded light curve.
    """
    phase = 2 * np.pi * (np.arange(len(total)) + 0.5) / len(total)
    used = count > 0
    root = np.sqrt(count[used])
    flux = total[used] / root
    flat = np.dot(flux, root) ** 2 / np.dot(root, root)
    gains = []
    for order in (1, 2):
        waves = np.stack([np.ones_like(phase), np.cos(order * phase), np.sin(order * phase)], axis=1)[used]
        design = waves * root[:, None]
        solution, *_ = np.linalg.lstsq(design, flux, rcond=None)
        gains.append(np.sum((design @ solution) ** 2) - flat)
    return float(max(gains))


def _shape(data: Series, box: Box) -> tuple[float, float]:
    """Full duration, days, and its flat share, from a trapezoid fitted to the folded transit."""
    reach = min(1.5 * box.duration, 0.5 * box.period)
    phase = (data.time - box.t0) / box.period
    offset = (phase - np.rint(phase)) * box.period
    near = np.abs(offset) < reach
    bins = np.minimum(((offset[near] + reach) / (2 * reach) * SHAPE_BINS).astype(np.int64), SHAPE_BINS - 1)
    count = np.bincount(bins, minlength=SHAPE_BINS).astype(np.float64)
    flux = np.bincount(bins, data.flux[near], minlength=SHAPE_BINS)
    mean_offset = np.bincount(bins, offset[near], minlength=SHAPE_BINS)
    used = count > 0
    return trapezoid(mean_offset[used] / count[used], flux[used] / count[used], count[used], box.duration)

"""What one event is like: depth, shape, secondary, sinusoid and coverage, from its folded light curve."""

from __future__ import annotations

import numpy as np
from numba import njit

from larun.schema import empty_events
from larun.search.refine import Box, Series
from larun.search.transits import first_after
from larun.units import HOURS_PER_DAY, PPM

SHAPE_BINS = 80
"""Bins of the folded transit, three durations long, for the trapezoid."""

LONG_GAP = 0.5
"""A gap counts as one beside a transit if it is longer than this share of the duration."""


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
    found = box.depths
    full = max(duration / cell, 1.0)
    observed = found.number[found.count > 0]
    seen = found.number[found.count >= 0.5 * full] if found.n_transits else observed
    middles = t0 + observed * period
    ppm = data.sigma * PPM
    event["period_d"] = period
    event["t0_btjd"] = t0 + seen[0] * period
    event["depth_ppm"], event["depth_err_ppm"], event["snr"] = found.depth * ppm, found.error * ppm, box.snr
    event["sde"], event["detection"] = box.sde, box.score
    event["n_transits"] = found.n_transits
    event["odd_even_sigma"] = found.odd_even
    event["single_event_fraction"] = found.largest_share
    event["gap_fraction"] = gap_touches(data.time, data.table, cell, middles, duration, LONG_GAP * duration).mean()
    event["scatter_ppm"] = ppm
    event["red_noise_ppm"] = found.noise * ppm
    event["n_good"] = n_searched
    _measure_phases(data, box, event)
    length, event["shape"] = _shape(data, box)
    event["duration_h"] = length * HOURS_PER_DAY
    return event


def _measure_phases(data: Series, box: Box, event: np.ndarray) -> None:
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
        strength = dip * np.sqrt(inside[enough] / full) / box.depths.noise
        deepest = int(np.argmax(strength))
        event["secondary_depth_ppm"] = dip[deepest] * data.sigma * PPM
        event["secondary_snr"] = strength[deepest]
        event["secondary_phase"] = (first[enough][deepest] + per_duration / 2) / n_bins
    event["sinusoid_ratio"] = _sinusoid_gain(total, count) / box.power


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


@njit(cache=True, nogil=True)
def gap_touches(time, table, cell, middles, reach, gap):
    """Whether a gap of the data longer than `gap` comes within `reach` of each mid-time; ends of the data count."""
    touches = np.zeros(len(middles), np.bool_)
    for k in range(len(middles)):
        start, stop = middles[k] - reach, middles[k] + reach
        touches[k] = start + gap < time[0] or stop - gap > time[-1]
        low = max(first_after(time, table, cell, start), 1)
        high = min(first_after(time, table, cell, stop) + 1, len(time))
        for i in range(low, high):
            touches[k] |= time[i] - time[i - 1] > gap
    return touches


@njit(cache=True, nogil=True)
def fold(time, flux, period, t0, n_bins):
    """Summed flux and count in phase bins; bin 0 starts at `t0`."""
    total = np.zeros(n_bins)
    count = np.zeros(n_bins)
    for i in range(len(time)):
        phase = (time[i] - t0) / period
        b = min(int((phase - np.floor(phase)) * n_bins), n_bins - 1)
        total[b] += flux[i]
        count[b] += 1
    return total, count


@njit(cache=True, nogil=True)
def trapezoid(offset, flux, weight, duration):
    """Fit a symmetric trapezoid to a folded transit.

    Parameters
    ----------
    offset : (bin,) float64
        Time from mid-transit, days, within about 1.5 durations.
    flux, weight : (bin,) float64
        Mean and weight of each bin.
    duration : float
        Length of the best box, days.

    Returns
    -------
    total, flat : float
        Full duration, days, and the flat share of it; depth and level are fitted for each trial.
    """
    best, total, flat = -1.0, duration, np.nan
    for i in range(15):
        length = duration * 1.06 ** (i - 2)
        for j in range(11):
            share = 0.1 * j
            sw = sm = smm = sf = smf = 0.0
            for k in range(len(offset)):
                x = abs(offset[k]) / (0.5 * length)
                if x >= 1:
                    m = 0.0
                elif x <= share:
                    m = 1.0
                else:
                    m = (1 - x) / (1 - share)
                w = weight[k]
                sw += w
                sm += w * m
                smm += w * m * m
                sf += w * flux[k]
                smf += w * m * flux[k]
            if sw <= 0:
                continue
            variance = smm - sm * sm / sw
            covariance = smf - sm * sf / sw
            if variance > 1e-12 * sw and covariance < 0:
                gain = covariance * covariance / variance
                if gain > best:
                    best, total, flat = gain, length, share
    return total, flat

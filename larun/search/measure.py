"""What one event is like: depth, shape, consistency, other dips and sinusoid, from its own light curve.

A light curve is summed up in order of time once (`larun.search.refine.Series.sums`), so that a phase bin of one
orbit costs one look-up, and a whole fold a few thousand of them however many cadences there are.
"""

from __future__ import annotations

import numpy as np
from numba import njit

from larun.schema import empty_events
from larun.search.dips import other_dips, sinusoid_gain
from larun.search.refine import Box, Series
from larun.search.shape import timing, trapezoid
from larun.search.transits import first_after, transit_sums
from larun.units import HOURS_PER_DAY, PPM

LONG_GAP, LONG_GAP_CADENCES = 0.5, 2.5
"""A gap counts as one beside a transit if it is longer than this share of the duration, and than so many cadences."""

SHAPE_CADENCES = 4
"""Shorter transits look like a V whatever their shape: an exposure's length is taken off their flat part twice."""

BINS_PER_DURATION = 4
"""Phase bins per duration of the fold in which other dips are looked for."""


def measure(data: Series, box: Box, n_searched: int) -> np.ndarray:
    """Everything that the table of events says about one event, but for what its pixels say.

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
        Of `larun.schema.event_dtype`; no flags, and nothing of `larun.search.pointing`.
    """
    event = empty_events(1)
    _measure(data, box, n_searched, event)
    return event[0]


@njit(cache=True, nogil=True)
def _measure(data, box, n_searched, events):
    """Fill in one record."""
    event = events[0]
    found = box.depths
    cell, ppm = data.cadence_d, data.sigma * PPM
    full = max(box.duration / cell, 1.0)
    observed = found.number[found.count > 0]
    seen = found.number[found.count >= 0.5 * full] if found.n_transits > 0 else observed
    event["period_d"] = box.period
    event["t0_btjd"] = box.t0 + seen[0] * box.period
    event["depth_ppm"], event["depth_err_ppm"] = found.depth * ppm, found.error * ppm
    event["snr"] = found.depth / found.error
    event["sde"], event["detection"] = box.sde, box.score
    event["n_transits"] = found.n_transits
    event["odd_even_sigma"] = found.odd_even
    event["single_event_fraction"] = found.largest_share
    gap = max(LONG_GAP * box.duration, LONG_GAP_CADENCES * cell)
    middles = box.t0 + observed * box.period
    event["gap_fraction"] = gap_touches(data.time, data.table, cell, middles, box.duration, gap).mean()
    event["scatter_ppm"] = ppm
    event["red_noise_ppm"] = found.noise * ppm
    event["n_good"] = n_searched
    ephemeris = box.period, box.t0
    length, flat = trapezoid(data.time, data.flux, data.table, cell, *ephemeris, box.duration)
    event["shape"] = flat if length >= SHAPE_CADENCES * cell else np.nan
    event["duration_h"] = length * HOURS_PER_DAY
    event["depth_chi2"] = depth_chi2(data.time, data.table, cell, data.sums, *ephemeris, box.duration, found.noise)
    event["odd_even_epoch_sigma"] = timing(
        data.time, data.flux, data.table, cell, *ephemeris, length, flat, found.noise * np.sqrt(full)
    )
    _measure_phases(data, box, full, event)


@njit(cache=True, nogil=True)
def _measure_phases(data, box, full, event):
    """Fill in what the folded light curve shows away from the transit."""
    n_bins = max(int(np.rint(box.period / box.duration * BINS_PER_DURATION)), 2 * BINS_PER_DURATION)
    cell = data.cadence_d
    total, count = fold(data.time, data.table, cell, data.sums, box.period, box.t0, n_bins)
    once, seen = total[:n_bins] + total[n_bins:], count[:n_bins] + count[n_bins:]
    event["phase_coverage"] = (seen > 0).mean()
    event["sinusoid_ratio"] = sinusoid_gain(total, count) / box.power if box.power > 0 else np.nan
    dips = other_dips(once, seen, BINS_PER_DURATION, full, box.depths.noise)
    depth, event["secondary_snr"], phase, event["tertiary_snr"], event["positive_snr"], event["phase_scatter"] = dips
    event["secondary_phase"] = phase
    if np.isfinite(depth):
        event["secondary_depth_ppm"] = depth * data.sigma * PPM
        middle = box.t0 + phase * box.period
        # The mean over all cadences is 0.
        level = box.depths.depth * box.depths.count.sum() / len(data.time)
        event["secondary_share"] = largest_share(
            data.time, data.table, cell, data.sums, box.period, middle, box.duration, level
        )


@njit(cache=True, nogil=True)
def fold(time, table, cell, sums, period, t0, n_bins):
    """Fold a light curve at twice its period.

    Parameters
    ----------
    time, table, cell, sums
        See `larun.search.refine.Series`.
    period, t0 : float
        Ephemeris, days.
    n_bins : int
        Phase bins per period.

    Returns
    -------
    total, count : (2 * bin,) float64
        Summed flux and cadences of each bin; even transits are centred on the start of bin 0, odd ones on that of
        bin `n_bins`.
    """
    total = np.zeros(2 * n_bins)
    count = np.zeros(2 * n_bins)
    first = int(np.floor((time[0] - t0) / period))
    last = int(np.floor((time[-1] - t0) / period)) + 1
    width = period / n_bins
    step = int(width / cell)
    n = len(time)
    for k in range(first, last):
        start = t0 + k * period
        at = (k % 2) * n_bins
        low = first_after(time, table, cell, start)
        for b in range(n_bins):
            edge = t0 + (k + 1) * period if b == n_bins - 1 else start + (b + 1) * width
            # From where the edge would be without a gap; cadences are never closer.
            high = min(low + step, n)
            while high > low and time[high - 1] >= edge:
                high -= 1
            while high < n and time[high] < edge:
                high += 1
            total[at + b] += sums[high] - sums[low]
            count[at + b] += high - low
            low = high
    # The last cadence may lie on the last edge.
    b = (last % 2) * n_bins
    total[b] += sums[-1] - sums[low]
    count[b] += len(time) - low
    return total, count


@njit(cache=True, nogil=True)
def depth_chi2(time, table, cell, sums, period, t0, duration, noise):
    """Reduced chi-square of the depths of single transits about their mean; NaN with fewer than two.

    Only transits with at least half of their cadences count, each with the noise of its mean, red noise included
    (after Seader et al. 2013, ApJS 206, 25).
    """
    full = max(duration / cell, 1.0)
    _, count, total = transit_sums(time, table, cell, sums, period, t0, duration)
    weight = 0.0
    weighted = 0.0
    squares = 0.0
    n = 0
    for k in range(len(count)):
        if count[k] >= 0.5 * full:
            n += 1
            weight += count[k]
            weighted += total[k]
            squares += total[k] * total[k] / count[k]
    if n < 2:
        return np.nan
    return (squares - weighted * weighted / weight) / (noise * noise * full) / (n - 1)


@njit(cache=True, nogil=True)
def largest_share(time, table, cell, sums, period, t0, duration, level):
    """Share of the dimming below `level` at one ephemeris that the strongest dip carries; 1 where nothing dims."""
    _, count, total = transit_sums(time, table, cell, sums, period, t0, duration)
    strongest = dimming = 0.0
    for k in range(len(count)):
        lost = level * count[k] - total[k]
        dimming += lost
        strongest = max(strongest, lost)
    return min(strongest / dimming, 1.0) if dimming > 0 else 1.0


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

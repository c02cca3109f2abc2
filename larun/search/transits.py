"""Sums over the transits of one ephemeris, at full cadence, without folding.

With the flux summed up in order of time once, the sum over a transit is the difference of two entries, so that
a trial ephemeris costs two look-ups per transit instead of one addition per cadence.
"""

from __future__ import annotations

import numpy as np
from numba import njit

from larun.selection import level_and_scatter

MIN_WINDOWS = 10
"""Out-of-transit windows that measure red noise."""


@njit(cache=True, nogil=True)
def cumulative(flux):
    """Sums of all fluxes before each cadence, (cadence + 1,) float64."""
    sums = np.zeros(len(flux) + 1)
    for i in range(len(flux)):
        sums[i + 1] = sums[i] + flux[i]
    return sums


@njit(cache=True, nogil=True)
def lookup_table(time, cell):
    """First cadence at or after ``time[0] + c * cell``, (cell,) int32, for `first_after`."""
    n = int((time[-1] - time[0]) / cell) + 2
    table = np.empty(n, np.int32)
    i = 0
    for c in range(n):
        edge = time[0] + c * cell
        while i < len(time) and time[i] < edge:
            i += 1
        table[c] = i
    return table


@njit(cache=True, nogil=True)
def first_after(time, table, cell, when):
    """Index of the first cadence at or after `when`; ``len(time)`` if there is none."""
    offset = (when - time[0]) * (1.0 / cell)
    if offset <= 0:
        return 0
    if offset >= len(table):
        return len(time)
    i = table[int(offset)]
    while i < len(time) and time[i] < when:
        i += 1
    return i


@njit(cache=True, nogil=True)
def transit_range(time, period, t0, duration):
    """Numbers, counted from `t0`, of the first transit in the data and of the one after the last."""
    first = int(np.ceil((time[0] - 0.5 * duration - t0) / period))
    last = int(np.floor((time[-1] + 0.5 * duration - t0) / period))
    return first, last + 1


@njit(cache=True, nogil=True)
def box_power(time, table, cell, sums, period, t0, duration):
    """Gain in chi-square of a box that dims, for zero-mean flux in units of its noise; 0 for one that brightens.

    Equals the square of astropy's `snr`.
    """
    first, last = transit_range(time, period, t0, duration)
    inside = 0.0
    n = 0
    for k in range(first, last):
        middle = t0 + k * period
        low = first_after(time, table, cell, middle - 0.5 * duration)
        high = first_after(time, table, cell, middle + 0.5 * duration)
        inside += sums[high] - sums[low]
        n += high - low
    total = len(time)
    if inside >= 0 or n in (0, total):
        return 0.0
    return inside * inside * total / (n * float(total - n))


@njit(cache=True, nogil=True)
def climb(
    time, table, cell, sums, period, t0, duration, min_duration, max_duration, max_duty, first_round, rounds
):  # fmt: skip
    """Refine an ephemeris by a local search whose steps halve.

    Parameters
    ----------
    time : (cadence,) float64
        Days, increasing.
    table, cell
        From `lookup_table`.
    sums : (cadence + 1,) float64
        From `cumulative`, of zero-mean flux in units of its noise.
    period, t0, duration : float
        Start, days.
    min_duration, max_duration, max_duty : float
        Limits: days, days, and share of the period.
    first_round, rounds : int
        Half-open range of rounds; each round halves the steps of the one before, and round 0 spans one and a
        half durations of drift over the data.

    Returns
    -------
    period, t0, duration, power : float
        Best box found.
    """
    baseline = time[-1] - time[0]
    # The epoch is held at the middle of the data, where it is least tied to the period.
    t0 += np.rint((0.5 * (time[0] + time[-1]) - t0) / period) * period
    best = box_power(time, table, cell, sums, period, t0, duration)
    for step in range(first_round, rounds):
        drift, shift, stretch = 0.5 * 0.5**step, 0.25 * 0.5**step, 1.25 ** (0.5**step)
        p0, e0, d0 = period, t0, duration
        for i in range(-3, 4):
            p = p0 + i * drift * d0 * p0 / baseline
            for j in range(-3, 4):
                e = e0 + j * shift * d0
                power = box_power(time, table, cell, sums, p, e, d0)
                if power > best:
                    best, period, t0 = power, p, e
        p0, e0 = period, t0
        for i in range(-2, 3):
            d = min(max(d0 * stretch**i, min_duration), max_duration, max_duty * p0)
            for j in range(-2, 3):
                e = e0 + j * shift * d0
                power = box_power(time, table, cell, sums, p0, e, d)
                if power > best:
                    best, t0, duration = power, e, d
    return period, t0, duration, best


@njit(cache=True, nogil=True)
def transit_sums(time, table, cell, sums, period, t0, duration):
    """Number of each transit counted from `t0`, its cadences and its summed flux, for transits in the data."""
    first, last = transit_range(time, period, t0, duration)
    size = max(last - first, 0)
    number = np.empty(size, np.int64)
    count = np.empty(size, np.int64)
    total = np.empty(size)
    for k in range(first, last):
        middle = t0 + k * period
        low = first_after(time, table, cell, middle - 0.5 * duration)
        high = first_after(time, table, cell, middle + 0.5 * duration)
        number[k - first] = k
        count[k - first] = high - low
        total[k - first] = sums[high] - sums[low]
    return number, count, total


@njit(cache=True, nogil=True)
def transit_noise(time, table, cell, sums, period, t0, duration):
    """Noise of the mean flux over one fully observed transit.

    Robust scatter of means over windows of one duration, side by side, that touch no transit and hold at least
    half of their cadences. It contains the red noise on that time scale (Pont, Zucker & Queloz 2006, MNRAS 373,
    231) and is never taken below the white noise, which alone stands with fewer than `MIN_WINDOWS` windows.
    """
    full = max(duration / cell, 1.0)
    white = 1.0 / np.sqrt(full)
    n = int((time[-1] - time[0]) / duration) + 1
    means = np.empty(n)
    m = 0
    high = 0
    for k in range(n):
        start = time[0] + k * duration
        phase = (start + 0.5 * duration - t0) / period
        if abs(phase - np.rint(phase)) * period < duration:
            continue
        low = first_after(time, table, cell, start)
        high = first_after(time, table, cell, start + duration)
        if high - low >= 0.5 * full:
            means[m] = (sums[high] - sums[low]) / (high - low)
            m += 1
    if m < MIN_WINDOWS:
        return white
    _, sigma = level_and_scatter(means[:m], np.empty(m))
    return max(sigma, white)

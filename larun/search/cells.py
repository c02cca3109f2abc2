"""Sums over the transits of an ephemeris at full cadence, without folding.

Exposures of a star are laid on even cells, and their number and flux are summed up in order of time once. The sum over
a transit is then the difference of two interpolated entries, and a trial ephemeris costs two look-ups per transit
instead of one addition per cadence. What a box covers in part counts in part, as the light of a transit's edge does in
a long exposure. A cell is one cadence, or several where they are far shorter than any transit.

All times here are in cells from the start of the first exposure, numbers of exposures in full cells, and flux in units
of the white noise of a full cell.
"""

from __future__ import annotations

import numpy as np
from numba import njit

from larun.selection import level_and_scatter
from larun.units import HOURS_PER_DAY

LONGEST_CELL_D = 0.1 / HOURS_PER_DAY
"""Shorter cadences share a cell, as many as fit; an eighth of the shortest transit that is searched for."""

MOST_CELLS = 10_000_000
"""Cells grow longer where a light curve would need more of them."""

MIN_WINDOWS = 10
"""Out-of-transit windows that measure red noise."""

FULL_TRANSIT = 0.5
"""Share of its exposures with which a transit counts as observed."""


def exposures_per_cell(cadence_d: float) -> int:
    """Cadences that share a cell."""
    return max(int(LONGEST_CELL_D / cadence_d + 1e-6), 1) if cadence_d > 0 else 1


@njit(cache=True, nogil=True)
def sums_before(flux):
    """All flux before each cadence and, last, all of it, (cadence + 1,) float64.

    Eight cadences are summed up apart from those before, so that one addition need not wait for the last.
    """
    sums = np.empty(len(flux) + 1)
    sums[0] = before = 0.0
    whole = np.uintp(len(flux) - len(flux) % 8)
    for k in range(np.uintp(0), whole, np.uintp(8)):
        inside = 0.0
        for i in range(8):
            inside += flux[k + np.uintp(i)]
            sums[k + np.uintp(i + 1)] = before + inside
        before += inside
    for k in range(whole, len(flux)):
        before += flux[k]
        sums[k + 1] = before
    return sums


@njit(cache=True, nogil=True)
def lay_out(time, sums, cell, per_cell):
    """Sum exposures up in order of time.

    Parameters
    ----------
    time : (cadence,) float64
        Mid-exposure, days, increasing.
    sums : (cadence + 1,) float64
        From `sums_before`, of flux of zero mean in units of its white noise.
    cell : float
        Length of a cell, days.
    per_cell : int
        Exposures that fill a cell.

    Returns
    -------
    (cell + 1, 2) float64
        Exposures, in full cells, and their summed flux, in units of the white noise of a full cell, before the edge
        of each cell.
    """
    n_cells = int((time[-1] - time[0]) / cell) + 3
    laid = np.empty((n_cells + 1, 2))
    width = 1.0 / per_cell
    unit = 1.0 / np.sqrt(per_cell)
    per_day = per_cell / cell
    first, n, one = time[0], np.uintp(len(time)), np.uintp(1)
    after = np.uintp(0)
    for c in range(np.uintp(n_cells + 1)):
        # Times are counted in exposures here. The first one that starts after the edge, from where it would be
        # without a gap.
        edge = np.float64(c) * per_cell
        after = min(after + np.uintp(per_cell), n)
        while after > 0 and (time[after - one] - first) * per_day >= edge:
            after -= one
        while after < n and (time[after] - first) * per_day < edge:
            after += one
        number, flux = np.float64(after), sums[after]
        last = after
        while last > 0:
            # What of the exposures before it comes after the edge.
            later = (time[last - one] - first) * per_day + (1.0 - edge)
            if later <= 0:
                break
            number -= later
            flux -= later * (sums[last] - sums[last - one])
            last -= one
        laid[c, 0], laid[c, 1] = number * width, flux * unit
    return laid


@njit(cache=True, nogil=True)
def before(sums, when):
    """Number and summed flux of the exposures before a time."""
    when = min(max(when, 0.0), len(sums) - 1 - 1e-9)
    i = np.uintp(when)
    part = when - i
    n = sums[i, 0] + part * (sums[i + np.uintp(1), 0] - sums[i, 0])
    s = sums[i, 1] + part * (sums[i + np.uintp(1), 1] - sums[i, 1])
    return n, s


@njit(cache=True, nogil=True)
def between(sums, begin, end):
    """Number and summed flux of the exposures between two times."""
    n_begin, s_begin = before(sums, begin)
    n_end, s_end = before(sums, end)
    return n_end - n_begin, s_end - s_begin


@njit(cache=True, nogil=True)
def transit_range(sums, period, middle, duration):
    """Numbers, counted from `middle`, of the first transit in the data and of the one after the last."""
    first = int(np.ceil((-0.5 * duration - middle) / period))
    last = int(np.floor((len(sums) - 1 + 0.5 * duration - middle) / period))
    return first, last + 1


@njit(cache=True, nogil=True)
def box_sums(sums, period, middle, duration):
    """Number and summed flux of the exposures in all transits."""
    first, last = transit_range(sums, period, middle, duration)
    n = s = 0.0
    for k in range(first, last):
        centre = middle + k * period
        own_n, own_s = between(sums, centre - 0.5 * duration, centre + 0.5 * duration)
        n += own_n
        s += own_s
    return n, s


@njit(cache=True, nogil=True)
def box_power(sums, period, middle, duration):
    """Gain in chi-square of a box that dims, for zero-mean flux in units of its noise; 0 for one that brightens.

    Equals the square of astropy's `snr` where the box cuts no exposure.
    """
    n, s = box_sums(sums, period, middle, duration)
    total = sums[-1, 0]
    if s >= 0 or n < 1e-6 or n > total - 1e-6:
        return 0.0
    return s * s * total / (n * (total - n))


@njit(cache=True, nogil=True)
def climb(sums, period, middle, duration, shortest, longest, duty, coarse, fine):
    """Refine a box by a pattern search whose steps halve.

    Parameters
    ----------
    sums
        From `lay_out`, of flux in units of its noise.
    period, middle, duration : float
        Start, cells.
    shortest, longest, duty : float
        Limits of the duration: cells, cells, and share of the period.
    coarse, fine : float
        First and last step, in durations, of the transits at the ends of the data and of either edge of the box.

    Returns
    -------
    period, middle, duration, power : float
        Best box found.
    """
    half = 0.5 * (len(sums) - 1)
    # The epoch is held at the middle of the data, where it is least tied to the period.
    middle += np.rint((half - middle) / period) * period
    duration = min(max(duration, shortest), longest, duty * period)
    best = box_power(sums, period, middle, duration)
    step = coarse
    while step >= fine:
        moved = False
        for move in range(8):
            sign = 1.0 if move % 2 == 0 else -1.0
            p, m, d = period, middle, duration
            shift = sign * step * duration
            if move < 2:
                p += shift * period / half
            elif move < 4:
                m += shift
            elif move < 6:
                m += 0.5 * shift
                d += shift
            else:
                m -= 0.5 * shift
                d += shift
            d = min(max(d, shortest), longest, duty * p)
            power = box_power(sums, p, m, d)
            if power > best:
                best, period, middle, duration = power, p, m, d
                moved = True
        if not moved:
            step *= 0.5
    return period, middle, duration, best


@njit(cache=True, nogil=True)
def transits(sums, period, middle, duration):
    """Number of each transit counted from `middle`, its exposures and its summed flux, for transits in the data."""
    first, last = transit_range(sums, period, middle, duration)
    size = max(last - first, 0)
    number = np.empty(size, np.int64)
    count = np.empty(size)
    total = np.empty(size)
    for k in range(first, last):
        centre = middle + k * period
        number[k - first] = k
        count[k - first], total[k - first] = between(sums, centre - 0.5 * duration, centre + 0.5 * duration)
    return number, count, total


@njit(cache=True, nogil=True)
def noise_of_a_transit(sums, period, middle, duration):
    """Noise of the mean flux over one fully observed transit, in units of the noise per exposure.

    Robust scatter of means over windows of one duration, side by side, that touch no transit and hold at least
    half of their exposures. It contains the red noise on that time scale (Pont, Zucker & Queloz 2006, MNRAS 373,
    231) and is never taken below the white noise, which alone stands with fewer than `MIN_WINDOWS` windows.
    """
    full = max(duration, 1.0)
    white = 1.0 / np.sqrt(full)
    n = int((len(sums) - 1) / duration) + 1
    means = np.empty(n)
    m = 0
    for k in range(n):
        start = k * duration
        phase = (start + 0.5 * duration - middle) / period
        if abs(phase - np.rint(phase)) * period < duration:
            continue
        count, total = between(sums, start, start + duration)
        if count >= FULL_TRANSIT * full:
            means[m] = total / count
            m += 1
    if m < MIN_WINDOWS:
        return white
    _, sigma = level_and_scatter(means[:m], np.empty(m))
    return max(sigma, white)

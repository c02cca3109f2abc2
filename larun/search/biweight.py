"""Straight lines through windows of sixteen stars side by side, by Tukey's biweight."""

from __future__ import annotations

import numpy as np
from numba import njit

from larun.lanes import LANES, broadcast, count_less, load, magnitude, store, to_float, where_less
from larun.selection import median

FAR = np.float32(1e15)
"""Flux where a star has no point: so far from any line that it has no weight and is no median."""

BIWEIGHT_C = np.float32(5)
"""Tuning constant in units of the median absolute deviation, as in wotan."""

ITERATIONS = 5

WORSE = np.float32(1.2)
"""A line whose scale grows by more than this factor from one node to the next is no start: the flux has jumped."""

HALVINGS = 7
"""Steps that narrow a scale down, from a factor of two to half a per cent."""

CONVERGED = np.float32(1e-3)
"""A step of the value, in scales, after which no other is made."""

LEAST_SPREAD = np.float32(1e-3)
"""Variance of the times, in windows squared, that a slope needs."""


@njit(cache=True, nogil=True)
def biweight_lines(u, y, sizes, rows, n, sloped, lines, work):
    """Values at ``u = 0`` of the lines through the points ``(u, y)`` that Tukey's biweight weights fit.

    Parameters
    ----------
    u, y : (rows * 16,) float32
        Times in windows from the node, and fluxes, sixteen stars side by side; `FAR` where there is no point.
    sizes, work : (rows * 16,) float32
        Scratch.
    rows : int
        Most points of a star.
    n, sloped : (16,) lanes of float32
        Points of each star, fewer than 3 give NaN; and 1 where a slope is fitted too, 0 for a constant.
    lines : (48,) float32
        Values, slopes and scales to start from; the median is the start with a NaN among them, and where the line
        does not fit. Replaced by the lines found, by NaN where there is none.

    Returns
    -------
    (16,) lanes of float32
    """
    zero, one, nan = broadcast(np.float32(0)), broadcast(np.float32(1)), broadcast(np.float32(np.nan))
    level, slope, before = load(lines, 0), load(lines, LANES), load(lines, 2 * LANES)
    enough = where_less(broadcast(np.float32(2)), n, one, zero)
    before = where_less(zero, before * enough, before, nan)
    before = where_less(magnitude(level + slope), broadcast(np.float32(np.inf)), before, nan)
    _distances(u, y, rows, level, slope, sizes)
    scale = broadcast(BIWEIGHT_C) * half_below(sizes, rows, n, before / broadcast(BIWEIGHT_C))
    cold = where_less(scale, broadcast(WORSE) * before, zero, one)
    some_cold = count_less(zero, cold * enough) > 0
    if some_cold:
        level, slope = _medians(y, rows, cold * enough, level, work), where_less(zero, cold, zero, slope)
    active = enough
    for iteration in range(ITERATIONS):
        if some_cold and iteration < 2:
            _distances(u, y, rows, level, slope, sizes)
            middle = _medians(sizes, rows, cold * active, scale / broadcast(BIWEIGHT_C), work)
            scale = where_less(zero, cold, broadcast(BIWEIGHT_C) * middle, scale)
        active = where_less(zero, scale, active, zero)
        step, tilt = _steps(u, y, rows, level, slope, where_less(zero, scale, one / scale, zero), sloped)
        level, slope = where_less(zero, active, level + step, level), where_less(zero, active, slope + tilt, slope)
        if iteration > 1:
            active = where_less(magnitude(step), broadcast(CONVERGED) * scale, zero, active)
        if count_less(zero, active) == 0:
            break
    level = where_less(zero, enough, level, nan)
    known = where_less(zero, scale, enough, zero)
    store(lines, 0, where_less(zero, known, level, nan))
    store(lines, LANES, where_less(zero, known, slope, nan))
    store(lines, 2 * LANES, where_less(zero, known, scale, nan))
    return level


@njit(cache=True, nogil=True)
def half_below(sizes, rows, n, guess):
    """Size that half of the `n` are smaller than, to half a per cent; 0 where half of them are 0.

    Counting costs no branch that depends on the data, and `guess` is rarely off by much: an interval next to it is
    looked at first. A size that is larger than `guess` by more than a quarter may be given as anything above that.

    Parameters
    ----------
    sizes : (rows * 16,) float32
        None negative; about `FAR` where a star has none.
    rows : int
    n, guess : (16,) lanes of float32
        Numbers of sizes, and where they are looked for; NaN gives NaN.

    Returns
    -------
    (16,) lanes of float32
    """
    zero, one = broadcast(np.float32(0)), broadcast(np.float32(1))
    larger = _not_more(_twice_below(sizes, rows, guess), n)
    # Upwards in steps of an eighth, downwards in steps of a sixteenth.
    step = where_less(zero, larger, broadcast(np.float32(0.125)), broadcast(np.float32(-0.0625))) * guess
    near, end = guess, guess + step
    for _ in range(2):
        beyond = _not_more(_twice_below(sizes, rows, end), n)
        beyond = where_less(zero, larger, beyond, one - beyond)
        beyond = where_less(zero, guess, beyond, zero)
        if count_less(zero, beyond) == 0:
            break
        near, end = where_less(zero, beyond, end, near), where_less(zero, beyond, end + step, end)
    low, high = where_less(end, near, end, near), where_less(end, near, near, end)
    far = where_less(zero, larger, zero, beyond)
    if count_less(zero, far) > 0:
        far_low, far_high = _below(sizes, rows, n, guess, far)
        low, high = where_less(zero, far, far_low, low), where_less(zero, far, far_high, high)
    return _narrowed(sizes, rows, n, low, high)


@njit(cache=True, nogil=True)
def _below(sizes, rows, n, guess, wanted):
    """Ends of the interval below `guess` that holds the size, an eighth of the upper one apart; both 0 where it is."""
    zero, half = broadcast(np.float32(0)), broadcast(np.float32(0.5))
    low, high = half * guess, guess
    while count_less(zero, wanted) > 0:
        wanted = where_less(n, _twice_below(sizes, rows, low), wanted, zero)
        high, low = where_less(zero, wanted, low, high), where_less(zero, wanted, half * low, low)
        wanted = where_less(zero, low, wanted, zero)
    high = where_less(zero, low, high, zero)
    for _ in range(HALVINGS - 4):
        middle = half * (low + high)
        twice = _twice_below(sizes, rows, middle)
        low, high = where_less(n, twice, low, middle), where_less(n, twice, middle, high)
    return low, high


@njit(cache=True, nogil=True)
def _narrowed(sizes, rows, n, low, high):
    """End of the sixteenth of an interval below which more than half of the sizes lie."""
    zero = broadcast(np.float32(0))
    quarter = broadcast(np.float32(0.25)) * (high - low)
    for _ in range(2):
        upper = _not_more(_twice_below(sizes, rows, low + quarter + quarter), n)
        middle = where_less(zero, upper, high - quarter, low + quarter)
        odd = _not_more(_twice_below(sizes, rows, middle), n)
        low = low + quarter * (upper + upper + odd)
        high = low + quarter
        quarter = broadcast(np.float32(0.25)) * quarter
    return high


@njit(cache=True, nogil=True)
def _not_more(a, b):
    """1 where ``a <= b``, else 0; neither may be NaN."""
    return where_less(b, a, broadcast(np.float32(0)), broadcast(np.float32(1)))


@njit(cache=True, nogil=True)
def _twice_below(sizes, rows, limit):
    """Twice the number of each star's sizes that are smaller."""
    one = broadcast(np.int32(1))
    below = broadcast(np.int32(0))
    for i in range(0, rows * LANES, LANES):
        below = where_less(load(sizes, i), limit, below + one, below)
    return to_float(below + below)


@njit(cache=True, nogil=True)
def _distances(u, y, rows, level, slope, out):
    """Distances from the lines."""
    for i in range(0, rows * LANES, LANES):
        store(out, i, magnitude(load(y, i) - level - slope * load(u, i)))


@njit(cache=True, nogil=True)
def _medians(values, rows, wanted, others, work):
    """Medians of the values below about `FAR` of the stars that are `wanted`, and `others` for the rest."""
    found, flags = work[rows * LANES :], work[(rows + 1) * LANES :]
    store(found, 0, others)
    store(flags, 0, wanted)
    for lane in range(LANES):
        if not flags[lane] > 0:
            continue
        m = 0
        for i in range(lane, rows * LANES, LANES):
            if values[i] < np.float32(0.5) * FAR:
                work[m] = values[i]
                m += 1
        found[lane] = median(work, m)
    return load(found, 0)


@njit(cache=True, nogil=True)
def _steps(u, y, rows, level, slope, inverse, sloped):
    """How far the weighted means of value and slope are from those of the lines; `inverse` is one over the scale."""
    zero, one = broadcast(np.float32(0)), broadcast(np.float32(1))
    sw = su = suu = sr = sur = zero
    for i in range(0, rows * LANES, LANES):
        x = load(u, i)
        r = load(y, i) - level - slope * x
        scaled = r * inverse
        z = one - scaled * scaled
        z = where_less(z, zero, zero, z)
        w = z * z
        wx, wr = w * x, w * r
        sw = sw + w
        su = su + wx
        suu = suu + wx * x
        sr = sr + wr
        sur = sur + wr * x
    determinant = sw * suu - su * su
    tilted = where_less(broadcast(LEAST_SPREAD) * sw * sw, determinant, sloped, zero)
    step = where_less(zero, tilted, (suu * sr - su * sur) / determinant, sr / sw)
    return step, where_less(zero, tilted, (sw * sur - su * sr) / determinant, zero)

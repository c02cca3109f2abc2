"""Order statistics, compiled."""

from __future__ import annotations

import numpy as np
from numba import njit, types
from numba.extending import overload

from larun.finite import finite_values
from larun.lanes import LANES, broadcast, count_less, least, load, store_between, where_less
from larun.units import MAD_TO_SIGMA

COUNTED = 128
"""From so many values on the median is found by counting, which reads all of them often but never guesses wrong."""

LEFT = 2
"""Once the interval that holds the median holds no more values than this, they are taken one by one."""


MANY, WORTH_COPYING = 1024, 3
"""Of so many values those in the interval that holds the median are copied once they are so many times fewer."""


@njit(cache=True, nogil=True)
def select(values, n, k):
    """Return the k-th smallest of ``values[:n]`` (quickselect), which is reordered; no NaN allowed.

    None of the values before place k is larger then, and none after it smaller.
    """
    if n < COUNTED:
        return _select_of_few(values, n, k)
    low, high = 0, n - 1
    while low < high:
        pivot = values[(low + high) // 2]
        i, j = low, high
        while i <= j:
            while values[i] < pivot:
                i += 1
            while values[j] > pivot:
                j -= 1
            if i <= j:
                values[i], values[j] = values[j], values[i]
                i += 1
                j -= 1
        if k <= j:
            high = j
        elif k >= i:
            low = i
        else:
            break
    return values[k]


@njit(cache=True, nogil=True)
def _select_of_few(values, n, k):
    """The same by Lomuto's partition: no branch on a value, which a processor would guess wrong every other time.

    Many equal values take it the square of their number, so it is for few.
    """
    low, high = 0, n - 1
    while low < high:
        middle = (low + high) // 2
        pivot = values[middle]
        values[middle] = values[high]
        border = np.uintp(low)
        for i in range(np.uintp(low), np.uintp(high)):
            value = values[i]
            values[i] = values[border]
            values[border] = value
            border += np.uintp(value < pivot)
        values[high] = values[border]
        values[border] = pivot
        if k < border:
            high = np.int64(border) - 1
        else:
            low = np.int64(border) + (k > border)
            if k == border:
                break
    return values[k]


@njit(cache=True, nogil=True)
def median(values, n):
    """Return the (upper) median of ``values[:n]``, which may be reordered; no NaN allowed, n > 0."""
    if n < COUNTED:
        return select(values, n, n // 2)
    return _bisected_median(values, n)


@njit(cache=True, nogil=True)
def even_median(values):
    """Median of all `values`, of an even number the mean of the middle two; at least one, no NaN; reordered."""
    n = len(values)
    upper = select(values, n, n // 2)
    if n % 2 == 1:
        return upper
    lower = values[0]
    for i in range(1, n // 2):
        lower = max(lower, values[i])
    return np.float32(0.5) * (lower + upper)


@njit(cache=True, nogil=True)
def _bisected_median(values, n):
    """Halve the interval that holds the median until next to nothing lies between its ends.

    Counting takes no branch that depends on the values, and runs in SIMD registers.
    """
    rank = n // 2
    low = high = values[rank]
    reach = abs(values[n // 4] - low) + abs(low) * values.dtype.type(1e-6)
    if not reach > 0:
        return select(values, n, rank)
    below = up_to = _count_up_to(values, n, low)
    while below > rank and low > -np.inf:
        high, up_to = low, below
        low -= reach
        reach += reach
        below = _count_up_to(values, n, low)
    while up_to <= rank and high < np.inf:
        low, below = high, up_to
        high += reach
        reach += reach
        up_to = _count_up_to(values, n, high)
    half = values.dtype.type(0.5)
    while up_to - below > LEFT:
        if n >= MANY and WORTH_COPYING * (up_to - below) < n:
            values = _between(values, n, low, high, up_to - below)
            n, rank, below, up_to = up_to - below, rank - below, 0, up_to - below
        middle = half * low + half * high
        if not low < middle < high:
            return high
        count = _count_up_to(values, n, middle)
        if count > rank:
            high, up_to = middle, count
        else:
            low, below = middle, count
    while below <= rank:
        low = _smallest_above(values, n, low)
        below = _count_up_to(values, n, low)
    return low


def _count_up_to(values, n, limit):
    """How many of ``values[:n]`` are not larger than `limit`."""
    return np.count_nonzero(values[:n] <= limit)


def _smallest_above(values, n, limit):
    """Smallest of ``values[:n]`` that is larger than `limit`; infinity where there is none."""
    return min(values[:n], key=lambda value: value if value > limit else np.inf)


def _between(values, n, low, high, count):
    """The `count` of ``values[:n]`` that are larger than `low` and not larger than `high`."""
    return values[:n][(values[:n] > low) & (values[:n] <= high)]


@overload(_between)
def _compiled_between(values, n, low, high, count):
    def plain(values, n, low, high, count):
        kept = np.empty(count, values.dtype)
        m = 0
        for i in range(n):
            if low < values[i] <= high:
                kept[m] = values[i]
                m += 1
        return kept

    def in_lanes(values, n, low, high, count):
        kept = np.empty(count, np.float32)
        whole = n - n % LANES
        lows, highs = broadcast(low), broadcast(high)
        m = np.int64(0)
        for i in range(0, whole, LANES):
            m += store_between(kept, m, load(values, i), lows, highs)
        for i in range(whole, n):
            if low < values[i] <= high:
                kept[m] = values[i]
                m += 1
        return kept

    return in_lanes if values.dtype == types.float32 else plain


@overload(_count_up_to)
def _compiled_count_up_to(values, n, limit):
    def plain(values, n, limit):
        count = np.int32(0)
        for i in range(n):
            count += np.int32(values[i] <= limit)
        return count

    def in_lanes(values, n, limit):
        above = np.int32(0)
        whole = n - n % LANES
        limits = broadcast(limit)
        for i in range(0, whole, LANES):
            above += count_less(limits, load(values, i))
        for i in range(whole, n):
            above += np.int32(values[i] > limit)
        return np.int32(n - above)

    return in_lanes if values.dtype == types.float32 else plain


@overload(_smallest_above)
def _compiled_smallest_above(values, n, limit):
    def plain(values, n, limit):
        smallest = values.dtype.type(np.inf)
        for i in range(n):
            value = values[i]
            smallest = value if (value > limit) & (value < smallest) else smallest
        return smallest

    def in_lanes(values, n, limit):
        whole = n - n % LANES
        limits = broadcast(limit)
        infinite = smallest = broadcast(np.float32(np.inf))
        for i in range(0, whole, LANES):
            own = load(values, i)
            own = where_less(limits, own, own, infinite)
            smallest = where_less(own, smallest, own, smallest)
        found = least(smallest)
        for i in range(whole, n):
            value = values[i]
            found = value if (value > limit) & (value < found) else found
        return found

    return in_lanes if values.dtype == types.float32 else plain


@njit(cache=True, nogil=True)
def level_and_scatter(values, work):
    """Median of the finite `values` and standard deviation from their median absolute deviation.

    Parameters
    ----------
    values : (n,) float
        NaN where missing.
    work : (n,) float
        Scratch of the same type.

    Returns
    -------
    level, sigma : float
        NaN where nothing is finite.
    """
    n = finite_values(values, work)
    if n == 0:
        return np.nan, np.nan
    level = median(work, n)
    for i in range(n):
        work[i] = abs(work[i] - level)
    return float(level), MAD_TO_SIGMA * median(work, n)


@njit(cache=True, nogil=True)
def point_to_point_scatter(flux):
    """Robust standard deviation of one cadence from the differences of successive ones; 0 where unknown.

    Parameters
    ----------
    flux : (cadence,) float
        NaN where missing.
    """
    differences = np.empty(len(flux), flux.dtype)
    used = 0
    before = np.nan
    for value in flux:
        if np.isnan(value):
            continue
        if not np.isnan(before):
            differences[used] = abs(value - before)
            used += 1
        before = value
    return float(median(differences, used)) * MAD_TO_SIGMA / np.sqrt(2.0) if used else 0.0

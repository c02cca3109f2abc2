"""Whole cadences of the transits of one ephemeris, without folding.

With the flux summed up in order of time once, the sum over a transit is the difference of two entries.
`larun.search.cells` does the same with exposures that count in part, for the search itself.
"""

from __future__ import annotations

import numpy as np
from numba import njit

CELLS = 64
"""Cadences from one entry of a lookup table to the next, where there is no gap."""


@njit(cache=True, nogil=True)
def lookup_table(time, cell):
    """First cadence at or after every 64th `cell` from the first cadence on, int64, for `first_after`."""
    n = int((time[-1] - time[0]) / (CELLS * cell)) + 2
    table = np.empty(n, np.int64)
    i = 0
    for c in range(n):
        edge = time[0] + c * CELLS * cell
        i = min(i + CELLS, len(time)) if c else 0
        while i > 0 and time[i - 1] >= edge:
            i -= 1
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
    c = int(offset / CELLS)
    if c >= len(table) - 1:
        return len(time)
    # Where it would be without a gap.
    i = min(table[c] + int(offset - c * CELLS), table[c + 1])
    while i > 0 and time[i - 1] >= when:
        i -= 1
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

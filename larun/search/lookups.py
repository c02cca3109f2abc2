"""Which running sums make up the folded sums at the edges of the phase bins of many trial periods.

They are the same for all stars of a shard, and for all shards on one cadence grid.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache
from typing import NamedTuple

import numpy as np
from numba import njit

from larun.lanes import LANES

AT_ONCE = 8
"""Edges that are summed up side by side, so that one addition need not wait for the last."""

CELLS_PER_CADENCE = 2
"""Size of the table from time to cadence."""

MOST_KEPT = 2**24
"""Look-ups of a grid that are kept for the next shard, 64 MB; of a larger one so many are listed at a time."""


class Lookups(NamedTuple):
    """Look-ups of some trial periods.

    Parameters
    ----------
    first, last : int
        The first of these periods, and the one after the last.
    start : (period,) int64
        Where those of each begin in `pairs`.
    cycles : (period,) int64
        Cycles of each.
    pairs : (n,) uint64
        Places of running sums, in numbers of sums of sixteen stars each, two of 32 bits in one, the first in the lower
        half: for each `AT_ONCE` edges, and for each cycle, one after the other. Edges are counted on past the last
        where their number is not a multiple.
    """

    first: int
    last: int
    start: np.ndarray
    cycles: np.ndarray
    pairs: np.ndarray


def lookups(time: np.ndarray, frequency: np.ndarray, n_bins: np.ndarray) -> Iterator[Lookups]:
    """Yield the look-ups of a grid, in the order of its periods.

    Parameters
    ----------
    time : (cadence,) float64
        Days from the first cadence, increasing.
    frequency : (period,) float64
        1/d.
    n_bins : (period,) int32
        Phase bins.
    """
    size = rounded(n_bins) * ((time[-1] * frequency).astype(np.int64) + 2)
    if size.sum() <= MOST_KEPT:
        yield _kept(time.tobytes(), frequency.tobytes(), n_bins.astype(np.int32).tobytes())
        return
    first = 0
    while first < len(frequency):
        last = first + max(int(np.searchsorted(np.cumsum(size[first:]), MOST_KEPT, side="right")), 1)
        yield _listed(time, frequency[first:last], n_bins[first:last])._replace(first=first, last=last)
        first = last


def rounded(n_bins: np.ndarray) -> np.ndarray:
    """Edges that are looked up, whole groups of them."""
    return -(-n_bins.astype(np.int64) // AT_ONCE) * AT_ONCE


@lru_cache(maxsize=1)
def _kept(time: bytes, frequency: bytes, n_bins: bytes) -> Lookups:
    return _listed(np.frombuffer(time), np.frombuffer(frequency), np.frombuffer(n_bins, np.int32))


def _listed(time: np.ndarray, frequency: np.ndarray, n_bins: np.ndarray) -> Lookups:
    """Look-ups of a grid."""
    cycles = (time[-1] / (1 / frequency)).astype(np.int64) + 1
    start = np.concatenate([[0], np.cumsum(rounded(n_bins) * cycles // 2)])
    table, cell_d, most = cadence_table(time)
    pairs = np.empty(start[-1], np.uint64)
    _list_all(np.append(time, np.inf), table, cell_d, most, frequency, n_bins, cycles, start, pairs)
    return Lookups(0, len(frequency), start[:-1], cycles, pairs)


@njit(cache=True, nogil=True)
def cadence_table(time):
    """Table from time to cadence.

    Parameters
    ----------
    time : (cadence,) float64
        Days from the first cadence, increasing.

    Returns
    -------
    table : (cell,) int32
        First cadence at or after the start of each of many equal parts of the time series.
    cell_d : float
        Their length, days.
    most : int
        Most cadences that one of them holds.
    """
    n = len(time)
    cells = CELLS_PER_CADENCE * n
    cell_d = max(time[n - 1], 1e-9) / cells
    table = np.empty(cells + 2, np.int32)
    k = 0
    most = 0
    for cell in range(cells + 2):
        before = k
        while k < n and time[k] < cell * cell_d:
            k += 1
        table[cell] = k
        most = max(most, k - before)
    return table, cell_d, most


@njit(cache=True, nogil=True, error_model="numpy")
def _list_all(time, table, cell_d, most, frequency, n_bins, cycles, start, pairs):
    """Fill in the look-ups of all periods; `time` ends with infinity."""
    per_cell = 1.0 / cell_d
    last = np.float64(len(table) - 1)
    moment = np.empty(AT_ONCE)
    place = np.empty(AT_ONCE, np.int64)
    for p in range(len(frequency)):
        bin_d = (1 / frequency[p]) / n_bins[p]
        at = start[p]
        for first in range(0, n_bins[p], AT_ONCE):
            for cycle in range(cycles[p]):
                before = np.float64(cycle * n_bins[p] + first)
                for edge in range(AT_ONCE):
                    moment[edge] = (before + edge) * bin_d
                    place[edge] = table[np.uint32(min(moment[edge] * per_cell, last))]
                for _ in range(most):
                    for edge in range(AT_ONCE):
                        place[edge] += time[np.uint32(place[edge])] < moment[edge]
                for edge in range(0, AT_ONCE, 2):
                    low, high = np.uint64(place[edge]), np.uint64(place[edge + 1])
                    pairs[np.uintp(at)] = (low | (high << np.uint64(32))) * np.uint64(LANES)
                    at += 1

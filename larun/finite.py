"""Finite values of arrays with holes, run by run: within a run nothing has to be asked of a single value."""

from __future__ import annotations

import numpy as np
from numba import njit, types
from numba.extending import overload

from larun.lanes import LANES, broadcast, count_less, load, magnitude, places, total, where_less


def _finite_of_sixteen(values, at):
    """How many of sixteen values from `at` on are finite."""
    return np.count_nonzero(np.isfinite(values[at : at + LANES]))


@overload(_finite_of_sixteen)
def _compiled_finite_of_sixteen(values, at):
    def plain(values, at):
        count = np.int32(0)
        for i in range(LANES):
            count += np.int32(np.isfinite(values[at + i]))
        return count

    def in_lanes(values, at):
        return count_less(magnitude(load(values, at)), broadcast(np.float32(np.inf)))

    return in_lanes if values.dtype == types.float32 and values.layout == "C" else plain


@njit(cache=True, nogil=True)
def start_of_run(values, first):
    """Place of the first finite value from `first` on; the number of values if there is none."""
    while first + LANES <= len(values) and _finite_of_sixteen(values, first) == 0:
        first += LANES
    while first < len(values) and not np.isfinite(values[first]):
        first += 1
    return first


@njit(cache=True, nogil=True)
def end_of_run(values, first):
    """Place of the first value from `first` on that is not finite; the number of values if there is none."""
    while first + LANES <= len(values) and _finite_of_sixteen(values, first) == LANES:
        first += LANES
    while first < len(values) and np.isfinite(values[first]):
        first += 1
    return first


@njit(cache=True, nogil=True)
def finite_values(values, out):
    """Copy the finite values to the start of `out`; return their number."""
    n = 0
    first = start_of_run(values, 0)
    while first < len(values):
        last = end_of_run(values, first)
        out[n : n + last - first] = values[first:last]
        n += last - first
        first = start_of_run(values, last)
    return n


@njit(cache=True, nogil=True)
def finite_counts(rows):
    """Number of finite values in each row of an array, (row,) int64."""
    counts = np.zeros(len(rows), np.int64)
    for row in range(len(rows)):
        values = rows[row]
        whole = len(values) - len(values) % LANES
        for at in range(0, whole, LANES):
            counts[row] += _finite_of_sixteen(values, at)
        for at in range(whole, len(values)):
            counts[row] += np.isfinite(values[at])
    return counts


@njit(cache=True, nogil=True)
def finite_anywhere(rows):
    """Whether any row of an array has a finite value in each column, (column,) bool."""
    n = rows.shape[1]
    seen = np.zeros(n, np.bool_)
    left = np.arange(n)
    for row in range(len(rows)):
        still = 0
        for i in range(n):
            column = left[i]
            seen[column] = np.isfinite(rows[row, column])
            left[still] = column
            still += not seen[column]
        n = still
    return seen


@njit(cache=True, nogil=True)
def finite_sum(values, first, last):
    """Sum of the finite ones of float32 values from `first` to before `last`, and their number."""
    zero, infinite = broadcast(np.float32(0)), broadcast(np.float32(np.inf))
    lanes, n = zero, np.int32(0)
    at = first
    while at < last and at + LANES <= len(values):
        own = load(values, at)
        size = where_less(places(), broadcast(np.float32(last - at)), magnitude(own), infinite)
        lanes = lanes + where_less(size, infinite, own, zero)
        n += count_less(size, infinite)
        at += LANES
    summed = total(lanes)
    for i in range(at, last):
        if np.isfinite(values[i]):
            summed += values[i]
            n += np.int32(1)
    return summed, n

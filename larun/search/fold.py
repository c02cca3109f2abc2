"""Folded sums of sixteen stars, looked up instead of summed.

A box holds the difference of two folded sums up to its edges. Where the sums of flux from the start of the time series
up to every cadence are known, the part of one cycle before an edge between two phase bins is one of these running sums:
that before the first cadence after the edge. So the folded sum at an edge costs one look-up for each cycle, whatever
the number of cadences. Which cadences these are is the same for all stars, and listed once.

Sums are int32: flux is scaled to fixed point, and integers can be added and taken away in any order without error, and
wrap around where they overflow on the way to a difference that does not.
"""

from __future__ import annotations

import numpy as np
from numba import njit

from larun.lanes import LANES, broadcast, load, store, to_float

FULL_SCALE = 2.0**30
"""Sum of a star's absolute fixed-point fluxes."""

AT_ONCE = 8
"""Edges that are summed up side by side, so that one addition need not wait for the last."""

CELLS_PER_CADENCE = 2
"""Size of the table from time to cadence."""


@njit(cache=True, nogil=True, error_model="numpy")
def running_sums(mean, weight, flux, count):
    """Sums of up to sixteen stars before every cadence and after the last, as whole numbers side by side.

    Parameters
    ----------
    mean, weight : (star, cadence) float32
        Flux, and whole numbers of cadences; 0 where missing.
    flux : (cadence + 1, 16) int32
        Filled with sums of flux over its mean times weight, times the star's scale. Those before the first cadence and
        after the last are zero. Must hold zeros.
    count : (cadence + 1, 16) int32
        Filled with sums of weight. Must hold zeros.

    Returns
    -------
    (star,) float64
        Scale of each star; 0 for constant flux.
    """
    n_stars, n = mean.shape
    scales = np.zeros(n_stars)
    for star in range(n_stars):
        inside = 0.0
        size = 0.0
        for k in range(n):
            inside += mean[star, k] * np.float64(weight[star, k])
            count[k + 1, star] = count[k, star] + np.int32(weight[star, k])
        level = inside / max(count[n, star], 1)
        for k in range(n):
            size += abs(mean[star, k] - level) * weight[star, k]
        scale = FULL_SCALE / size if size > 0 else 0.0
        scales[star] = scale
        inside = 0.0
        for k in range(n):
            inside += (mean[star, k] - level) * weight[star, k] * scale
            # What a mean that is not quite zero leaves at the end is dropped.
            flux[k + 1, star] = np.int32(np.rint(inside)) if count[k + 1, star] < count[n, star] else 0
    return scales


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
def list_rows(time, table, cell_d, most, period, n_bins, rows, at):
    """List, for one trial period, which running sums make up the folded sum at each edge.

    Parameters
    ----------
    time : (cadence + 1,) float64
        Days from the first cadence, increasing, and last infinity.
    table, cell_d, most
        As `cadence_table` returns them.
    period : float
        Days.
    n_bins : int
        Phase bins.
    rows : (n,) uint32
        Filled from `at` on with the places of the sums: for each `AT_ONCE` edges, and for each cycle, one after the
        other. Edges are counted on past the last where their number is not a multiple.
    at : int

    Returns
    -------
    int
        Number of cycles.
    """
    bin_d = period / n_bins
    per_cell = 1.0 / cell_d
    last = np.float64(len(table) - 1)
    cycles = int(time[len(time) - 2] / period) + 1
    moment = np.empty(AT_ONCE)
    place = np.empty(AT_ONCE, np.int64)
    for first in range(0, n_bins, AT_ONCE):
        for cycle in range(cycles):
            before = np.float64(cycle * n_bins + first)
            for edge in range(AT_ONCE):
                moment[edge] = (before + edge) * bin_d
                place[edge] = table[np.uint32(min(moment[edge] * per_cell, last))]
            for _ in range(most):
                for edge in range(AT_ONCE):
                    place[edge] += time[np.uint32(place[edge])] < moment[edge]
            for edge in range(AT_ONCE):
                rows[np.uintp(at + edge)] = np.uint32(place[edge]) * np.uint32(LANES)
            at += AT_ONCE
    return cycles


@njit(cache=True, nogil=True)
def add_up(sums, start, rows, at, n_bins, cycles, out, column, width):
    """Folded sums at all edges of one trial period, as floats.

    Parameters
    ----------
    sums : (n,) int32
        Running sums, rows of sixteen stars.
    start : int
        Where the rows of these stars start.
    rows, at, cycles
        As `list_rows` made them.
    n_bins : int
    out : (n,) float32
        Rows of `width` numbers, filled from `column` on; zero at edge 0.
    column, width : int
    """
    origin = broadcast(np.int32(0))
    at = np.uintp(at)
    for first in range(0, n_bins, AT_ONCE):
        a = b = c = d = e = f = g = h = broadcast(np.int32(0))
        for _ in range(cycles):
            a = a + load(sums, start + rows[at + np.uintp(0)])
            b = b + load(sums, start + rows[at + np.uintp(1)])
            c = c + load(sums, start + rows[at + np.uintp(2)])
            d = d + load(sums, start + rows[at + np.uintp(3)])
            e = e + load(sums, start + rows[at + np.uintp(4)])
            f = f + load(sums, start + rows[at + np.uintp(5)])
            g = g + load(sums, start + rows[at + np.uintp(6)])
            h = h + load(sums, start + rows[at + np.uintp(7)])
            at += np.uintp(AT_ONCE)
        if first == 0:
            origin = a
        place = first * width + column
        store(out, place, to_float(a - origin))
        store(out, place + width, to_float(b - origin))
        store(out, place + 2 * width, to_float(c - origin))
        store(out, place + 3 * width, to_float(d - origin))
        store(out, place + 4 * width, to_float(e - origin))
        store(out, place + 5 * width, to_float(f - origin))
        store(out, place + 6 * width, to_float(g - origin))
        store(out, place + 7 * width, to_float(h - origin))


@njit(cache=True, nogil=True)
def carry_on(out, column, width, n_bins, longest, total):
    """Write the folded sums on for `longest` edges into the next cycle; `total`, (16,) float32, is that of one."""
    whole = load(total, 0)
    end = n_bins * width + column
    for edge in range(longest + 1):
        store(out, end + edge * width, load(out, column + edge * width) + whole)


@njit(cache=True, nogil=True)
def counts_at_edges(counts, rows, at, n_bins, cycles, longest, out):
    """Folded sums at all edges, and on for `longest` edges, of weights that all stars share.

    Parameters
    ----------
    counts : (cadence + 1,) int32
        Running sums.
    rows, at, n_bins, cycles, longest
        As in `add_up` and `carry_on`.
    out : (n,) int32
        Filled.
    """
    for first in range(0, n_bins, AT_ONCE):
        for edge in range(first, first + AT_ONCE):
            out[edge] = 0
        for _ in range(cycles):
            for edge in range(AT_ONCE):
                out[first + edge] += counts[rows[np.uintp(at + edge)] // np.uint32(LANES)]
            at += AT_ONCE
    for edge in range(n_bins - 1, -1, -1):
        out[edge] -= out[0]
    for edge in range(longest + 1):
        out[n_bins + edge] = out[edge] + counts[len(counts) - 1]

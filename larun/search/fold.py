"""Folded sums of sixteen stars, carried from one trial period to the next.

A box holds the difference of two sums over all cadences from the start of the cycle. Between neighbouring trial
periods most cadences stay in their phase bin, and one that crosses an edge between two bins changes the sum at that
edge and no other. So a fold is made once for a run of periods with the same number of bins, and only edges that
cadences cross are updated. Time counts from the middle of the data, where cadences drift least.

Sums are int32: flux is scaled to fixed point, and integers can be added and taken away in any order without error.
"""

from __future__ import annotations

import numpy as np
from numba import njit

from larun.search.lanes import LANES, broadcast, load, store, to_float

ROW = 2 * LANES
"""Numbers of one edge: sums of flux and sums of weight."""

EDGE_BITS = 13
EDGE_MASK = (1 << EDGE_BITS) - 1
"""An entry of a list is a cadence, shifted by so many bits, and an edge."""

MOST_CADENCES = 1 << (32 - EDGE_BITS)
MOST_BINS = EDGE_MASK
"""What an entry can hold."""

FULL_SCALE = 2.0**30
"""Sum of a star's absolute fixed-point fluxes."""


@njit(cache=True, nogil=True, error_model="numpy")
def fixed_point(mean, weight, flux, count, total):
    """Lay the fluxes of up to sixteen stars side by side as whole numbers.

    Parameters
    ----------
    mean, weight : (star, cadence) float32
        Flux, and whole numbers of cadences; 0 where missing.
    flux : (cadence, 16) int32
        Filled with flux over its mean times weight, times the star's scale; the sum of a star is exactly zero, and
        rounding errors do not add up over successive cadences. Must hold zeros.
    count : (cadence, 16) uint8 or int32
        Filled with the weights. Must hold zeros.
    total : (16,) int32
        Filled with each star's sum of weights.

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
            total[star] += np.int32(weight[star, k])
        level = inside / max(total[star], 1)
        for k in range(n):
            size += abs(mean[star, k] - level) * weight[star, k]
        scale = FULL_SCALE / size if size > 0 else 0.0
        scales[star] = scale
        inside = 0.0
        before = 0
        last = 0
        for k in range(n):
            if weight[star, k] > 0:
                inside += (mean[star, k] - level) * weight[star, k] * scale
                after = int(np.rint(inside))
                flux[k, star] = after - before
                count[k, star] = weight[star, k]
                before = after
                last = k
        # What is left of a mean that is not quite zero.
        flux[last, star] -= before
    return scales


@njit(cache=True, nogil=True, error_model="numpy")
def _place(time, frequency, n_bins, position, packed):
    """Number of each cadence's phase bin, counted through all cycles from time 0; and its entry with the edge after."""
    scale = frequency * n_bins
    inverse = 1.0 / n_bins
    for k in range(len(time)):
        edge = np.floor(time[k] * scale) + 1.0
        position[k] = np.int32(edge) - np.int32(1)
        within = edge - n_bins * np.floor((edge + 0.5) * inverse)
        packed[k] = np.uint32(k << EDGE_BITS) + np.uint32(np.int32(within))


@njit(cache=True, nogil=True)
def _next_edges(packed, first, last, n_bins):
    """Entries with the edges one bin later."""
    for k in range(first, last):
        wraps = packed[k] & np.uint32(EDGE_MASK) == np.uint32(n_bins - 1)
        packed[k] += np.uint32(1) - (np.uint32(n_bins) if wraps else np.uint32(0))


@njit(cache=True, nogil=True)
def _list_crossings(low, high, packed, first, last, n_bins, entries, at):
    """List the edges between two positions of cadences `first` to `last`; return the end of the list.

    `packed` belongs to the lower positions and is spent. Free of branches, which a processor could not foresee: an
    entry that is not to be kept is written over.
    """
    steps = np.int32(0)
    for k in range(first, last):
        steps = max(steps, high[k] - low[k])
    end = np.uintp(at)
    for step in range(steps):
        if step > 0:
            _next_edges(packed, first, last, n_bins)
        for k in range(np.uintp(first), np.uintp(last)):
            entries[end] = packed[k]
            end += np.uintp(np.int32(high[k] - low[k]) > np.int32(step))
    return np.int64(end)


@njit(cache=True, nogil=True, error_model="numpy")
def list_run(time, frequency, n_bins, position, packed, entries, stops):
    """List what is to be summed up at each period of a run.

    Parameters
    ----------
    time : (cadence,) float64
        Days from the middle of the data, increasing.
    frequency : (period,) float64
        At most `larun.search.grid.RUN` neighbours, decreasing, 1/d.
    n_bins : int
        Phase bins of all of them.
    position : (2, cadence) int32
        Scratch.
    packed : (3, cadence) uint32
        Scratch.
    entries : (period * cadence + 1,) uint32
        Filled with cadences and edges, see `EDGE_BITS`.
    stops : (period, 3) int64
        Filled per period with the start of its list, the end of what moves to later bins, and the end of the list;
        -1 in the middle where the list holds all cadences, each with the edge after its bin.
    """
    n = len(time)
    middle = np.searchsorted(time, 0.0)
    at = 0
    for p in range(len(frequency)):
        before, after = position[1 - p % 2], position[p % 2]
        edge_before, edge_after = packed[1 - p % 2], packed[p % 2]
        _place(time, frequency[p], n_bins, after, edge_after)
        stops[p, 0] = at
        drift = n + 1
        if p > 0:
            drift = 0
            for k in range(n):
                drift += abs(after[k] - before[k])
        if drift <= n:
            # Towards longer periods phases shrink: all cadences move towards the middle of the data.
            at = _list_crossings(before, after, edge_before, 0, middle, n_bins, entries, at)
            stops[p, 1] = at
            packed[2, middle:] = edge_after[middle:]
            at = _list_crossings(after, before, packed[2], middle, n, n_bins, entries, at)
        else:
            for k in range(n):
                # In a new fold the last edge is not yet edge 0 of the next cycle.
                wraps = edge_after[k] & np.uint32(EDGE_MASK) == np.uint32(0)
                entries[at + k] = edge_after[k] + (np.uint32(n_bins) if wraps else np.uint32(0))
            at += n
            stops[p, 1] = -1
        stops[p, 2] = at


@njit(cache=True, nogil=True)
def fold(flux, weight, start, entries, n_bins, sums):
    """Sum up listed cadences, and sum the bins up from the start of the cycle, into edges 0 to `n_bins`.

    Parameters
    ----------
    flux : (n,) int32
        Rows of sixteen stars.
    weight : (n,) uint8 or int32
        The same of their weights.
    start : int
        Where the rows of these stars start.
    entries : (cadence,) uint32
        Listed by `list_run`.
    n_bins : int
    sums : (n,) int32
        Rows of `ROW`.
    """
    zero = broadcast(np.int32(0))
    for at in range(0, (n_bins + 1) * ROW, LANES):
        store(sums, at, zero)
    for entry in entries:
        edge, row = (entry & EDGE_MASK) * ROW, start + (entry >> EDGE_BITS) * LANES
        store(sums, edge, load(sums, edge) + load(flux, row))
        store(sums, edge + LANES, load(sums, edge + LANES) + load(weight, row))
    inside, count = zero, zero
    for edge in range(ROW, (n_bins + 1) * ROW, ROW):
        inside = inside + load(sums, edge)
        count = count + load(sums, edge + LANES)
        store(sums, edge, inside)
        store(sums, edge + LANES, count)


@njit(cache=True, nogil=True)
def carry_on(flux, weight, start, forward, backward, sums):
    """Move listed cadences across edges to later and to earlier bins; parameters as for `fold`."""
    for entry in forward:
        edge, row = (entry & EDGE_MASK) * ROW, start + (entry >> EDGE_BITS) * LANES
        store(sums, edge, load(sums, edge) - load(flux, row))
        store(sums, edge + LANES, load(sums, edge + LANES) - load(weight, row))
    for entry in backward:
        edge, row = (entry & EDGE_MASK) * ROW, start + (entry >> EDGE_BITS) * LANES
        store(sums, edge, load(sums, edge) + load(flux, row))
        store(sums, edge + LANES, load(sums, edge + LANES) + load(weight, row))


@njit(cache=True, nogil=True)
def unroll(sums, total, share, n_bins, longest, out):
    """Write the sums as floats from edge 0 on, and on for `longest` edges into the next cycle.

    Parameters
    ----------
    sums : (n,) int32
    total : (16,) int32
        Sum of each star's weights.
    share : (16,) float32
        Factor of the weights.
    n_bins, longest : int
    out : (n,) float32
        Rows of `ROW`.
    """
    factor = load(share, 0)
    inside, count = load(sums, 0), load(sums, LANES)
    for edge in range(0, n_bins * ROW, ROW):
        store(out, edge, to_float(load(sums, edge) - inside))
        store(out, edge + LANES, to_float(load(sums, edge + LANES) - count) * factor)
    # The sum of all fluxes is zero.
    count = count - load(total, 0)
    end = n_bins * ROW
    for edge in range(0, (longest + 1) * ROW, ROW):
        store(out, end + edge, to_float(load(sums, edge) - inside))
        store(out, end + edge + LANES, to_float(load(sums, edge + LANES) - count) * factor)

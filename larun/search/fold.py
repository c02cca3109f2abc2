"""Folded sums of sixteen stars, looked up instead of summed.

A box holds the difference of two folded sums up to its edges. Where the sums of flux from the start of the time series
up to every cadence are known, the part of one cycle before an edge between two phase bins is one of these running sums:
that before the first cadence after the edge. So the folded sum at an edge costs one look-up for each cycle, whatever
the number of cadences. Which cadences these are is the same for all stars, see `larun.search.lookups`.

Sums are int32: flux is scaled to fixed point, and integers can be added and taken away in any order without error, and
wrap around where they overflow on the way to a difference that does not.
"""

from __future__ import annotations

import numpy as np
from numba import njit

from larun.lanes import LANES, broadcast, load, store, to_float
from larun.search.lookups import AT_ONCE

FULL_SCALE = 2.0**30
"""Sum of a star's absolute fixed-point fluxes."""

LOWER_HALF, UPPER_HALF = np.uint64(0xFFFFFFFF), np.uint64(32)
"""Mask and shift of the two places of a pair."""


@njit(cache=True, nogil=True, error_model="numpy")
def running_sums(mean, weight, flux):
    """Sums of flux of up to sixteen stars before every cadence and after the last, as whole numbers side by side.

    Parameters
    ----------
    mean, weight : (star, cadence) float32
        Flux, and whole numbers of cadences; 0 where missing.
    flux : (cadence + 1, 16) int32
        Filled with sums of flux over its mean times weight, times the star's scale. Those before the first cadence and
        after the last are zero, and so must be the first row, which is not filled.

    Returns
    -------
    (star,) float64
        Scale of each star; 0 for constant flux.
    """
    n_stars, n = mean.shape
    scales = np.zeros(n_stars)
    for star in range(n_stars):
        own, weights = mean[star], weight[star]
        summed, whole = _sums(own, weights)
        level = summed / max(whole, 1.0)
        size = _size(own, weights, level)
        scale = FULL_SCALE / size if size > 0 else 0.0
        scales[star] = scale
        inside = count = 0.0
        for k in range(n):
            inside += (own[k] - level) * weights[k] * scale
            count += weights[k]
            # What a mean that is not quite zero leaves at the end is dropped.
            flux[k + 1, star] = np.int32(np.rint(inside)) if count < whole else np.int32(0)
    return scales


@njit(cache=True, nogil=True, fastmath={"reassoc"})
def _sums(mean, weight):
    """Sums of flux times weight, and of weight."""
    summed = whole = 0.0
    for k in range(len(mean)):
        summed += mean[k] * np.float64(weight[k])
        whole += np.float64(weight[k])
    return summed, whole


@njit(cache=True, nogil=True, fastmath={"reassoc"})
def _size(mean, weight, level):
    """Sum of the distances of the flux from `level`, times weight."""
    size = 0.0
    for k in range(len(mean)):
        size += abs(mean[k] - level) * weight[k]
    return size


@njit(cache=True, nogil=True)
def add_up(sums, pairs, start, n_bins, cycles, out, place, column, width):
    """Folded sums at all edges of some trial periods, as floats.

    Periods take turns: the running sums of one edge lie near those of the same edge at the next period.

    Parameters
    ----------
    sums : (n,) int32
        Running sums, rows of sixteen stars.
    pairs, start, cycles
        See `larun.search.lookups.Lookups`.
    n_bins : (period,) int32
    out : (n,) float32
        Rows of `width` numbers, filled from `column` on; zero at edge 0 of each period.
    place : (period,) int64
        Row of the first edge of each.
    column, width : int
    """
    most = 0
    for p in range(len(n_bins)):
        most = max(most, n_bins[p])
    origins = np.empty(len(n_bins) * LANES, np.int32)
    for first in range(0, most, AT_ONCE):
        for p in range(len(n_bins)):
            if first < n_bins[p]:
                at = start[p] + (first // 2) * cycles[p]
                row = (place[p] + first) * width + column
                _add_up_group(sums, pairs, at, cycles[p], out, row, width, origins[p * LANES :], first == 0)


@njit(cache=True, nogil=True)
def _add_up_group(sums, pairs, at, cycles, out, row, width, origin, is_first):
    """Folded sums at `AT_ONCE` edges; `origin` holds that at edge 0, which the first group fills in."""
    a = b = c = d = e = f = g = h = broadcast(np.int32(0))
    at = np.uintp(at)
    for _ in range(cycles):
        ab, cd, ef, gh = pairs[at], pairs[at + np.uintp(1)], pairs[at + np.uintp(2)], pairs[at + np.uintp(3)]
        a = a + load(sums, ab & LOWER_HALF)
        b = b + load(sums, ab >> UPPER_HALF)
        c = c + load(sums, cd & LOWER_HALF)
        d = d + load(sums, cd >> UPPER_HALF)
        e = e + load(sums, ef & LOWER_HALF)
        f = f + load(sums, ef >> UPPER_HALF)
        g = g + load(sums, gh & LOWER_HALF)
        h = h + load(sums, gh >> UPPER_HALF)
        at += np.uintp(AT_ONCE // 2)
    if is_first:
        store(origin, 0, a)
    zero = load(origin, 0)
    store(out, row, to_float(a - zero))
    store(out, row + width, to_float(b - zero))
    store(out, row + 2 * width, to_float(c - zero))
    store(out, row + 3 * width, to_float(d - zero))
    store(out, row + 4 * width, to_float(e - zero))
    store(out, row + 5 * width, to_float(f - zero))
    store(out, row + 6 * width, to_float(g - zero))
    store(out, row + 7 * width, to_float(h - zero))


@njit(cache=True, nogil=True)
def carry_on(out, column, width, n_bins, longest, total):
    """Write the folded sums on for `longest` edges into the next cycle; `total`, (16,) float32, is that of one."""
    whole = load(total, 0)
    end = n_bins * width + column
    for edge in range(longest + 1):
        store(out, end + edge * width, load(out, column + edge * width) + whole)


@njit(cache=True, nogil=True)
def counts_at_edges(counts, pairs, at, n_bins, cycles, longest, out):
    """Folded sums at all edges of one period, and on for `longest` edges, of weights that all stars share.

    Parameters
    ----------
    counts : (cadence + 1,) int32
        Running sums.
    pairs, at, n_bins, cycles, longest
        As in `add_up` and `carry_on`.
    out : (n,) int32
        Filled.
    """
    at = np.uintp(at)
    row = np.uint64(LANES)
    for first in range(0, n_bins, AT_ONCE):
        a = b = c = d = e = f = g = h = np.int32(0)
        for _ in range(cycles):
            ab, cd, ef, gh = pairs[at], pairs[at + np.uintp(1)], pairs[at + np.uintp(2)], pairs[at + np.uintp(3)]
            a += counts[(ab & LOWER_HALF) // row]
            b += counts[(ab >> UPPER_HALF) // row]
            c += counts[(cd & LOWER_HALF) // row]
            d += counts[(cd >> UPPER_HALF) // row]
            e += counts[(ef & LOWER_HALF) // row]
            f += counts[(ef >> UPPER_HALF) // row]
            g += counts[(gh & LOWER_HALF) // row]
            h += counts[(gh >> UPPER_HALF) // row]
            at += np.uintp(AT_ONCE // 2)
        out[first], out[first + 1], out[first + 2], out[first + 3] = a, b, c, d
        out[first + 4], out[first + 5], out[first + 6], out[first + 7] = e, f, g, h
    for edge in range(n_bins - 1, -1, -1):
        out[edge] -= out[0]
    for edge in range(longest + 1):
        out[n_bins + edge] = out[edge] + counts[len(counts) - 1]

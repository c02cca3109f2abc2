"""Robust sliding detrending of a whole shard.

The trend is Tukey's biweight estimate in a sliding window, as in wotan (Hippke et al. 2019, AJ 158, 143), with
two changes. A straight line is fitted instead of a constant and the window keeps its full width at the edges,
so that slopes do not bend the ends. And it is evaluated on nodes a small part of the window apart, from fluxes
averaged over a small part of the window, because a window of 1 day cannot resolve less. Each node starts from the
line of the one before it, whose window holds nearly the same fluxes. Sixteen stars are treated side by side.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numba import njit

from larun.finite import finite_sum
from larun.lanes import LANES, aligned, broadcast, load, load_since, magnitude, store, where_less
from larun.search.biweight import FAR, biweight_lines

GAP_D = 0.5
"""Windows do not cross gaps of a star's good cadences longer than this, days."""

BINS_PER_WINDOW = 96
NODES_PER_WINDOW = 16

SEGMENT = np.dtype((np.record, [("start", np.int32), ("stop", np.int32), ("n_nodes", np.int32)]))
"""First averaging bin of a part of a light curve without a gap, the one after its last, and nodes of its trend."""

LARGEST = np.float32(1e12)
"""Fluxes beyond this are no relative fluxes."""


def detrend(relative: np.ndarray, time: np.ndarray, window_d: float, hidden: np.ndarray | None = None) -> np.ndarray:
    """Flux over its trend, (star, cadence) float32 around 1; NaN where masked or where no trend is known.

    A trend at or below zero comes from flux that is not a star's; it leaves nothing to search.
    """
    return _estimate(relative, time, window_d, hidden, divide=True)


def trend(flux: np.ndarray, time: np.ndarray, window_d: float, hidden: np.ndarray | None = None) -> np.ndarray:
    """Trend of each star.

    Parameters
    ----------
    flux : (star, cadence) float32
        NaN where masked.
    time : (cadence,) float64
        Days, increasing.
    window_d : float
        Window, days. A transit of a tenth of it keeps 95 % of its depth, one of a third two thirds.
    hidden : (star, cadence) bool, optional
        Cadences that have no say in the trend and get its value, such as those of known transits, which then keep all
        of their depth. The window should be three times as long as a run of them.

    Returns
    -------
    (star, cadence) float32
        In the unit of `flux`; NaN where `flux` is, and where the window holds too little.
    """
    return _estimate(flux, time, window_d, hidden, divide=False)


def _estimate(flux, time, window_d, hidden, divide) -> np.ndarray:
    flux, time = np.ascontiguousarray(flux, np.float32), np.ascontiguousarray(time)
    out = np.empty(flux.shape, np.float32)
    if not len(time):
        return out
    hidden = np.zeros((0, 0), np.bool_) if hidden is None else np.ascontiguousarray(hidden)
    u, edges, mean_u = _averaging_bins(time, window_d)
    x, y, segments = _averages(flux, hidden, u, edges, mean_u, min(GAP_D / window_d, 1.0))
    scratch = aligned(6 * (len(mean_u) + 2) * LANES, np.float32).reshape(6, -1)
    for stars in _side_by_side(segments["n_nodes"]):
        _trends(flux, stars, u, edges, mean_u, x, y, segments, divide, scratch, out)
    return out


def _side_by_side(n_nodes: np.ndarray) -> Iterator[np.ndarray]:
    """Yield up to sixteen stars at a time with as many segments, those next to each other that are most alike."""
    n_segments = np.count_nonzero(n_nodes, axis=1)
    order = np.lexsort(n_nodes.T[::-1])
    for number in np.unique(n_segments):
        stars = order[n_segments[order] == number]
        for first in range(0, len(stars), LANES):
            yield stars[first : first + LANES]


@njit(cache=True, nogil=True)
def _averaging_bins(time, window_d):
    """Times in windows from the first cadence; the first cadence of each averaging bin, and their end; mean times."""
    n = len(time)
    u = np.empty(n)
    for k in range(n):
        u[k] = (time[k] - time[0]) / window_d
    edges = np.empty(n + 1, np.int64)
    n_bins, before = 0, -1
    for k in range(n):
        own = int(u[k] * BINS_PER_WINDOW)
        if own != before:
            edges[n_bins] = k
            n_bins += 1
            before = own
    edges[n_bins] = n
    mean_u = np.empty(n_bins)
    for b in range(n_bins):
        mean_u[b] = u[edges[b] : edges[b + 1]].sum() / (edges[b + 1] - edges[b])
    return u, edges[: n_bins + 1], mean_u


@njit(cache=True, nogil=True)
def _averages(flux, hidden, u, edges, mean_u, gap_u):
    """Times and fluxes of the averaging bins of each star, and its segments.

    Parameters
    ----------
    flux, hidden
        As in `trend`.
    u, edges, mean_u
        From `_averaging_bins`.
    gap_u : float
        Longest gap within a segment, windows.

    Returns
    -------
    x : (star, bin) float64
        Mean times of the good cadences, windows from the first cadence; of all cadences where none is good.
    y : (star, bin) float32
        Mean flux; NaN where no cadence is good, or all that are good are hidden.
    segments : (star, segment) structured
        `SEGMENT`; zeros after the last of a star.
    """
    n_stars, n_bins = len(flux), len(mean_u)
    x = np.empty((n_stars, n_bins))
    y = np.empty((n_stars, n_bins), np.float32)
    segments = np.zeros((n_stars, int(u[-1] / gap_u) + 2), SEGMENT)
    for star in range(n_stars):
        own = flux[star]
        last, segment = -1, -1
        for b in range(n_bins):
            total, count = finite_sum(own, edges[b], edges[b + 1])
            x[star, b] = mean_u[b]
            y[star, b] = total / np.float32(count) if count > 0 else np.float32(np.nan)
            if count == 0:
                continue
            if count < edges[b + 1] - edges[b]:
                total_u = 0.0
                for k in range(edges[b], edges[b + 1]):
                    total_u += u[k] if np.isfinite(own[k]) else 0.0
                x[star, b] = total_u / count
            if last < 0 or x[star, b] - x[star, last] > gap_u:
                segment += 1
                segments[star, segment].start = b
            segments[star, segment].stop = b + 1
            last = b
        if len(hidden):
            _hide(own, hidden[star], edges, y[star])
        for s in range(segment + 1):
            length = x[star, segments[star, s].stop - 1] - x[star, segments[star, s].start]
            segments[star, s].n_nodes = max(int(np.ceil(length * NODES_PER_WINDOW)), 1) + 1
    return x, y, segments


@njit(cache=True, nogil=True)
def _hide(flux, hidden, edges, y):
    """Average the fluxes that are not hidden again into `y`, NaN where a bin has none."""
    for b in range(len(y)):
        if not hidden[edges[b] : edges[b + 1]].any():
            continue
        total = np.float32(0)
        count = np.int32(0)
        for k in range(edges[b], edges[b + 1]):
            if np.isfinite(flux[k]) and not hidden[k]:
                total += flux[k]
                count += 1
        y[b] = total / np.float32(count) if count > 0 else np.float32(np.nan)


@njit(cache=True, nogil=True)
def _trends(flux, stars, u, edges, mean_u, x, y, segments, divide, scratch, out):
    """Trend of up to sixteen stars with as many segments, or flux over it, into `out`."""
    # From the mean time of a bin's cadences to that of those of a star: nothing that float32 could not resolve.
    offset, light = scratch[0], scratch[1]
    for b in range(len(mean_u)):
        for lane in range(LANES):
            known = lane < len(stars)
            offset[b * LANES + lane] = np.float32(x[stars[lane], b] - mean_u[b]) if known else np.float32(0)
            light[b * LANES + lane] = y[stars[lane], b] if known else np.float32(np.nan)
    done = np.zeros(len(stars), np.int64)
    for segment in range(segments.shape[1]):
        if segments[stars[0], segment].n_nodes == 0:
            break
        step, nodes = _nodes(stars, mean_u, x, segments[:, segment], offset, light, scratch[2:])
        for lane, star in enumerate(stars):
            start, stop = segments[star, segment].start, segments[star, segment].stop
            first, last = edges[start], edges[stop]
            out[star, done[lane] : first] = np.nan
            own = nodes[lane : segments[star, segment].n_nodes * LANES : LANES]
            _interpolate(flux[star], u, first, last, own, x[star, start], 1.0 / step[lane], divide, out[star])
            done[lane] = last
    for lane, star in enumerate(stars):
        out[star, done[lane] :] = np.nan


@njit(cache=True, nogil=True)
def _nodes(stars, mean_u, x, segments, offset, light, scratch):
    """Steps, (16,), between the nodes of up to sixteen stars over one segment, and their trends there, side by side."""
    n_nodes = 0
    for star in stars:
        n_nodes = max(n_nodes, segments[star].n_nodes)
    nodes = np.empty(n_nodes * LANES, np.float32)
    begin, end, step = np.zeros((3, LANES))
    sloped, low, high, late = np.zeros((4, LANES), np.float32)
    for lane, star in enumerate(stars):
        begin[lane], end[lane] = x[star, segments[star].start], x[star, segments[star].stop - 1]
        step[lane] = max(end[lane] - begin[lane], 1e-6) / (segments[star].n_nodes - 1)
        sloped[lane] = end[lane] - begin[lane] > 0.5
        low[lane] = high[lane] = segments[star].start
    lines = np.full(3 * LANES, np.float32(np.nan), np.float32)
    for node in range(n_nodes):
        centre = begin[0] + node * step[0]
        first, last = len(mean_u), 0
        for lane, star in enumerate(stars):
            if node >= segments[star].n_nodes:
                low[lane], high[lane] = 1, 0
                continue
            own = begin[lane] + node * step[lane]
            late[lane] = own - centre
            start = min(max(own - 0.5, begin[lane]), max(end[lane] - 1.0, begin[lane]))
            i, stop = int(low[lane]), segments[star].stop
            while i < stop and x[star, i] < start - 1e-9:
                i += 1
            low[lane] = i
            first = min(first, i)
            i = max(i, int(high[lane]))
            while i < stop and x[star, i] <= start + 1.0 + 1e-9:
                i += 1
            high[lane] = i
            last = max(last, i)
            lines[lane] += lines[LANES + lane] * np.float32(step[lane])
        n = _window(mean_u, centre, first, last, offset, light, late, low, high, scratch[0], scratch[1])
        line = biweight_lines(scratch[0], scratch[1], scratch[2], last - first, n, load(sloped, 0), lines, scratch[3])
        store(nodes, node * LANES, line)
    return step, nodes


@njit(cache=True, nogil=True)
def _window(mean_u, centre, first, last, offset, light, late, low, high, u, y):
    """Fill `u` and `y` with the times and fluxes of one window from the node on; return how many each star has."""
    one, far = broadcast(np.float32(1)), broadcast(FAR)
    late, low, high = load(late, 0), load(low, 0), load(high, 0)
    n = broadcast(np.float32(0))
    for b in range(first, last):
        here, at = (b - first) * LANES, b * LANES
        store(u, here, load(offset, at) + broadcast(np.float32(mean_u[b] - centre)) - late)
        bin_number = broadcast(np.float32(b))
        own = load(light, at)
        own = where_less(magnitude(own), broadcast(LARGEST), own, far)
        own = where_less(bin_number, low, far, where_less(bin_number, high, own, far))
        n = where_less(own, far, n + one, n)
        store(y, here, own)
    return n


@njit(cache=True, nogil=True, error_model="numpy")
def _interpolate(flux, u, first, last, nodes, start, per_step, divide, out):
    """Trend at the cadences from `first` to `last` of one segment into `out`, or flux over it."""
    k = first
    run = 1
    for node in range(len(nodes) - 1):
        stop = last
        if node < len(nodes) - 2:
            # From where the next node would be without a gap.
            stop = min(k + run, last)
            while stop > k and (u[stop - 1] - start) * per_step >= node + 1:
                stop -= 1
            while stop < last and (u[stop] - start) * per_step < node + 1:
                stop += 1
        level, rise = nodes[node], nodes[node + 1] - nodes[node]
        _over_line(flux, u, k, stop, start + node / per_step, np.float32(per_step), level, rise, divide, out)
        k, run = stop, stop - k


@njit(cache=True, nogil=True, error_model="numpy")
def _over_line(flux, u, first, last, start, per_step, level, rise, divide, out):
    """Trend between two nodes into `out`, or flux over it; up to fifteen cadences beyond are written to as well."""
    zero, nan, infinite = broadcast(np.float32(0)), broadcast(np.float32(np.nan)), broadcast(np.float32(np.inf))
    levels, slopes = broadcast(level), broadcast(rise * per_step)
    k = first
    while k < last and k + LANES <= len(flux):
        own, here = load(flux, k), levels + slopes * load_since(u, k, start)
        if divide:
            store(out, k, where_less(zero, here, own / here, nan))
        else:
            store(out, k, where_less(magnitude(own), infinite, here, nan))
        k += LANES
    for i in range(k, last):
        here = level + rise * per_step * np.float32(u[i] - start)
        value = flux[i] / here if divide else here
        used = here > 0 if divide else np.isfinite(flux[i])
        out[i] = value if used else np.float32(np.nan)

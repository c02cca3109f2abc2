"""Robust sliding detrending of a whole shard.

The trend is Tukey's biweight estimate in a sliding window, as in wotan (Hippke et al. 2019, AJ 158, 143), with
two changes. A straight line is fitted instead of a constant and the window keeps its full width at the edges,
so that slopes do not bend the ends. And it is evaluated on nodes a small part of the window apart, from fluxes
averaged over a small part of the window, because a window of 1 day cannot resolve less. Each node starts from the
line of the one before it, whose window holds nearly the same fluxes.
"""

from __future__ import annotations

import numpy as np
from numba import njit

from larun.selection import median

GAP_D = 0.5
"""Windows do not cross gaps of a star's good cadences longer than this, days."""

BINS_PER_WINDOW = 96
NODES_PER_WINDOW = 16
BIWEIGHT_C = 5.0
"""Tuning constant in units of the median absolute deviation, as in wotan."""

ITERATIONS = 5

WORSE = 1.2
"""A line whose scale grows by more than this factor from one node to the next is no start: the flux has jumped."""

HALVINGS = 7
"""Steps that narrow a scale down, from a factor of two to half a per cent."""


def detrend(relative: np.ndarray, time: np.ndarray, window_d: float, hidden: np.ndarray | None = None) -> np.ndarray:
    """Flux over its trend, (star, cadence) float32 around 1; NaN where masked or where no trend is known."""
    level = trend(relative, time, window_d, hidden)
    # A trend at or below zero comes from flux that is not a star's; it leaves nothing to search.
    level[~(level > 0)] = np.nan
    return relative / level


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
    if not len(time):
        return np.empty(flux.shape, np.float32)
    # Offsets in windows from the first cadence: float32 resolves their differences.
    u = (time - time[0]) / window_d
    edges = np.append(np.flatnonzero(np.diff((u * BINS_PER_WINDOW).astype(np.int32), prepend=-1)), len(time))
    hidden = np.zeros((0, 0), np.bool_) if hidden is None else np.ascontiguousarray(hidden)
    return _trends(np.ascontiguousarray(flux, np.float32), hidden, u, edges, min(GAP_D / window_d, 1.0))


@njit(cache=True, nogil=True)
def _trends(flux, hidden, u, edges, gap_u):
    """Trend of each star; `u` are times in windows, `edges` the first cadence of each averaging bin, and their end."""
    n_stars, n_cadences = flux.shape
    n_bins = len(edges) - 1
    out = np.empty((n_stars, n_cadences), np.float32)
    place = np.empty(n_bins, np.int32)
    y = np.empty(n_bins, np.float32)
    x = np.empty(n_bins, np.float64)
    first_node = np.empty(n_bins, np.int32)
    node_start = np.empty(n_bins, np.float64)
    node_step = np.empty(n_bins, np.float64)
    node_count = np.empty(n_bins, np.int32)
    nodes = np.empty(2 * n_bins + 2, np.float32)
    scratch = np.empty((3, BINS_PER_WINDOW + 2), np.float32)
    line = np.empty(3, np.float32)
    for star in range(n_stars):
        m = _average(flux[star], u, edges, place, x, y)
        if len(hidden):
            _hide(flux[star], hidden[star], edges, place, y)
        n_nodes = 0
        start = 0
        while start < m:
            stop = start + 1
            while stop < m and x[stop] - x[stop - 1] <= gap_u:
                stop += 1
            own, step = _segment(x[start:stop], y[start:stop], nodes[n_nodes:], scratch, line)
            first_node[start:stop] = n_nodes
            node_start[start:stop] = x[start]
            node_step[start:stop] = step
            node_count[start:stop] = own
            n_nodes += own
            start = stop
        for b in range(n_bins):
            j = place[b]
            if j < 0:
                out[star, edges[b] : edges[b + 1]] = np.nan
                continue
            start, per_step, last = node_start[j], 1.0 / node_step[j], np.float64(node_count[j] - 2)
            own = nodes[first_node[j] :]
            for k in range(edges[b], edges[b + 1]):
                position = (u[k] - start) * per_step
                before = int(min(max(position, 0.0), last))
                level = own[before] + (own[before + 1] - own[before]) * np.float32(position - before)
                out[star, k] = level if np.isfinite(flux[star, k]) else np.float32(np.nan)
    return out


@njit(cache=True, nogil=True)
def _average(flux, u, edges, place, x, y):
    """Fill `x` and `y` with mean time and flux of the bins that hold any, `place` with where; return their number.

    The place of an empty bin is -1.
    """
    m = 0
    for b in range(len(place)):
        total = np.float32(0)
        total_u = 0.0
        count = np.int32(0)
        for k in range(edges[b], edges[b + 1]):
            good = np.isfinite(flux[k])
            total += flux[k] if good else np.float32(0)
            total_u += u[k] if good else 0.0
            count += np.int32(good)
        place[b] = -1
        if count > 0:
            y[m] = total / np.float32(count)
            x[m] = total_u / count
            place[b] = m
            m += 1
    return m


@njit(cache=True, nogil=True)
def _hide(flux, hidden, edges, place, y):
    """Average the fluxes that are not hidden again into `y`, NaN where a bin has none."""
    for b in range(len(place)):
        if place[b] < 0 or not hidden[edges[b] : edges[b + 1]].any():
            continue
        total = np.float32(0)
        count = np.int32(0)
        for k in range(edges[b], edges[b + 1]):
            if np.isfinite(flux[k]) and not hidden[k]:
                total += flux[k]
                count += 1
        y[place[b]] = total / np.float32(count) if count > 0 else np.nan


@njit(cache=True, nogil=True)
def _segment(x, y, nodes, scratch, line):
    """Fill `nodes` with the trend at even steps over one segment; return their number and step."""
    length = x[-1] - x[0]
    own = max(int(np.ceil(length * NODES_PER_WINDOW)), 1) + 1
    step = max(length, 1e-6) / (own - 1)
    latest = max(x[-1] - 1.0, x[0])
    low = 0
    high = 0
    line[:] = np.nan
    for node in range(own):
        centre = x[0] + node * step
        begin = min(max(centre - 0.5, x[0]), latest)
        while low < len(x) and x[low] < begin - 1e-9:
            low += 1
        high = max(high, low)
        while high < len(x) and x[high] <= begin + 1.0 + 1e-9 and high - low < scratch.shape[1]:
            high += 1
        n = 0
        for i in range(low, high):
            scratch[0, n] = np.float32(x[i] - centre)
            scratch[1, n] = y[i]
            n += np.int64(not np.isnan(y[i]))
        line[0] += line[1] * np.float32(step)
        nodes[node] = biweight_line(scratch[0], scratch[1], scratch[2], n, length > 0.5, line)
    return own, step


@njit(cache=True, nogil=True)
def _half_below(sizes, n, guess):
    """Size that half of ``sizes[:n]`` are smaller than, to half a per cent; 0 where half of them are 0.

    Counting costs no branch that depends on the data, and `guess` is rarely off by much.
    """
    half = n // 2
    high = guess
    while _count_below(sizes, n, high) <= half and high < np.inf:
        high *= np.float32(2)
    low = np.float32(0.5) * high
    while _count_below(sizes, n, low) > half:
        high = low
        low *= np.float32(0.5)
        if low == 0:
            return low
    for _ in range(HALVINGS):
        middle = np.float32(0.5) * (low + high)
        if _count_below(sizes, n, middle) > half:
            high = middle
        else:
            low = middle
    return high


@njit(cache=True, nogil=True)
def _count_below(sizes, n, limit):
    count = np.int32(0)
    for i in range(n):
        count += np.int32(sizes[i] < limit)
    return count


@njit(cache=True, nogil=True)
def _sizes(u, y, n, level, slope, out):
    """Distances from a line."""
    for i in range(n):
        out[i] = abs(y[i] - level - slope * u[i])


@njit(cache=True, nogil=True, fastmath={"contract", "reassoc", "nsz"})
def _weighted_sums(u, y, n, level, slope, inverse):
    """Sums of the biweight weights, of times and of distances from a line under them."""
    sw = np.float32(0)
    su = np.float32(0)
    suu = np.float32(0)
    sr = np.float32(0)
    sur = np.float32(0)
    for i in range(n):
        r = y[i] - level - slope * u[i]
        z = max(np.float32(1) - r * r * inverse * inverse, np.float32(0))
        w = z * z
        sw += w
        su += w * u[i]
        suu += w * u[i] * u[i]
        sr += w * r
        sur += w * u[i] * r
    return sw, su, suu, sr, sur


@njit(cache=True, nogil=True, fastmath={"contract", "reassoc", "nsz"})
def biweight_line(u, y, work, n, sloped, line):
    """Value at ``u = 0`` of the line through ``(u, y)[:n]`` that Tukey's biweight weights fit.

    Parameters
    ----------
    u, y : (n,) float32
        Times in windows from the node, and fluxes.
    work : (n,) float32
        Scratch.
    n : int
        Points to use; fewer than 3 give NaN.
    sloped : bool
        Fit a slope too; a constant otherwise.
    line : (3,) float32
        Value, slope and scale to start from; the median is the start with a NaN among them, and where the line
        does not fit. Replaced by the line found, by NaN where there is none.
    """
    level, slope, before = line
    line[:] = np.nan
    if n < 3:
        return np.float32(np.nan)
    scale = np.float32(np.nan)
    if np.isfinite(level) and np.isfinite(slope) and before > 0:
        _sizes(u, y, n, level, slope, work)
        scale = np.float32(BIWEIGHT_C) * _half_below(work, n, before / np.float32(BIWEIGHT_C))
    cold = not scale <= WORSE * before
    if cold:
        for i in range(n):
            work[i] = y[i]
        level = median(work, n)
        slope = np.float32(0)
    for iteration in range(ITERATIONS):
        if cold and iteration < 2:
            _sizes(u, y, n, level, slope, work)
            scale = np.float32(BIWEIGHT_C) * median(work, n)
        if not scale > 0:
            return level
        inverse = np.float32(1) / scale
        sw, su, suu, sr, sur = _weighted_sums(u, y, n, level, slope, inverse)
        determinant = sw * suu - su * su
        if sloped and determinant > np.float32(1e-3) * sw * sw:
            step = (suu * sr - su * sur) / determinant
            slope += (sw * sur - su * sr) / determinant
        else:
            step = sr / sw
        level += step
        if iteration > 1 and abs(step) < np.float32(1e-3) * scale:
            break
    line[0], line[1], line[2] = level, slope, scale
    return level

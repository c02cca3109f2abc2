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

from larun.lanes import LANES, broadcast, count_less, load, magnitude, store, total, where_less
from larun.selection import median

GAP_D = 0.5
"""Windows do not cross gaps of a star's good cadences longer than this, days."""

BINS_PER_WINDOW = 96
NODES_PER_WINDOW = 16

ROOM = 112
"""Places for the bins of a window, a whole number of SIMD registers: loops of one length need no remainders."""

FAR = np.float32(1e15)
"""Flux in the places that are left over: so far from any line that it has no weight and is no median."""

BIWEIGHT_C = 5.0
"""Tuning constant in units of the median absolute deviation, as in wotan."""

ITERATIONS = 5

WORSE = 1.2
"""A line whose scale grows by more than this factor from one node to the next is no start: the flux has jumped."""

HALVINGS = 7
"""Steps that narrow a scale down, from a factor of two to half a per cent."""

NEAR = np.float32(16)
"""Where the scale is looked for first: so many of the last of these steps from that of the node before."""


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
    if not len(time):
        return np.empty(flux.shape, np.float32)
    hidden = np.zeros((0, 0), np.bool_) if hidden is None else np.ascontiguousarray(hidden)
    return _trends(np.ascontiguousarray(flux, np.float32), hidden, np.ascontiguousarray(time), window_d, divide)


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
def _trends(flux, hidden, time, window_d, divide):
    """Trend of each star, or flux over it."""
    n_stars, n_cadences = flux.shape
    out = np.empty((n_stars, n_cadences), np.float32)
    # Offsets in windows from the first cadence: float32 resolves their differences.
    u, edges, mean_u = _averaging_bins(time, window_d)
    n_bins = len(mean_u)
    gap_u = min(GAP_D / window_d, 1.0)
    place = np.empty(n_bins, np.int32)
    # A window is read as a whole from any of its bins on.
    y = np.empty(n_bins + ROOM, np.float32)
    x = np.zeros(n_bins + ROOM)
    nodes = np.empty(int(NODES_PER_WINDOW * u[-1]) + 3, np.float32)
    scratch = np.empty((3, ROOM), np.float32)
    line = np.empty(3, np.float32)
    for star in range(n_stars):
        m = _average(flux[star], u, mean_u, edges, place, x, y)
        if len(hidden):
            _hide(flux[star], hidden[star], edges, place[:m], y)
        done = start = 0
        while start < m:
            stop = start + 1
            while stop < m and x[stop] - x[stop - 1] <= gap_u:
                stop += 1
            own, step = _segment(x[start:], y[start:], stop - start, nodes, scratch, line)
            first, last = edges[place[start]], edges[place[stop - 1] + 1]
            out[star, done:first] = np.nan
            _interpolate(flux[star], u, first, last, nodes[:own], x[start], 1.0 / step, divide, out[star])
            done, start = last, stop
        out[star, done:] = np.nan
    return out


@njit(cache=True, nogil=True)
def _average(flux, u, mean_u, edges, place, x, y):
    """Fill `x` and `y` with mean time and flux of the bins that hold any, `place` with which; return their number.

    `mean_u` are mean times of all cadences of a bin.
    """
    m = 0
    for b in range(len(mean_u)):
        total = np.float32(0)
        count = np.int32(0)
        for k in range(edges[b], edges[b + 1]):
            good = np.isfinite(flux[k])
            total += flux[k] if good else np.float32(0)
            count += np.int32(good)
        if count == 0:
            continue
        y[m] = total / np.float32(count)
        x[m] = mean_u[b]
        if count < edges[b + 1] - edges[b]:
            total_u = 0.0
            for k in range(edges[b], edges[b + 1]):
                total_u += u[k] if np.isfinite(flux[k]) else 0.0
            x[m] = total_u / count
        place[m] = b
        m += 1
    return m


@njit(cache=True, nogil=True)
def _hide(flux, hidden, edges, place, y):
    """Average the fluxes that are not hidden again into `y`, NaN where a bin has none."""
    for m, b in enumerate(place):
        if not hidden[edges[b] : edges[b + 1]].any():
            continue
        total = np.float32(0)
        count = np.int32(0)
        for k in range(edges[b], edges[b + 1]):
            if np.isfinite(flux[k]) and not hidden[k]:
                total += flux[k]
                count += 1
        y[m] = total / np.float32(count) if count > 0 else np.nan


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
        _over_line(flux[k:stop], u[k:stop], start, per_step, node, level, rise, divide, out[k:stop])
        k, run = stop, stop - k


@njit(cache=True, nogil=True, error_model="numpy")
def _over_line(flux, u, start, per_step, node, level, rise, divide, out):
    """Trend between two nodes into `out`, or flux over it."""
    for i in range(len(flux)):
        here = level + rise * np.float32((u[i] - start) * per_step - node)
        ratio = flux[i] / here
        used = here > 0 if divide else np.isfinite(flux[i])
        value = ratio if divide else here
        out[i] = value if used else np.float32(np.nan)


@njit(cache=True, nogil=True)
def _segment(x, y, size, nodes, scratch, line):
    """Fill `nodes` with the trend at even steps over the first `size` bins; return their number and step."""
    end = x[size - 1]
    length = end - x[0]
    own = max(int(np.ceil(length * NODES_PER_WINDOW)), 1) + 1
    step = max(length, 1e-6) / (own - 1)
    latest = max(end - 1.0, x[0])
    low = 0
    high = 0
    line[:] = np.nan
    for node in range(own):
        centre = x[0] + node * step
        begin = min(max(centre - 0.5, x[0]), latest)
        while low < size and x[low] < begin - 1e-9:
            low += 1
        high = max(high, low)
        while high < size and x[high] <= begin + 1.0 + 1e-9 and high - low < BINS_PER_WINDOW + 2:
            high += 1
        n = np.int32(0)
        for i in range(ROOM):
            used = (i < high - low) & ~np.isnan(y[low + i])
            scratch[0, i] = np.float32(x[low + i] - centre)
            scratch[1, i] = y[low + i] if used else FAR
            n += np.int32(used)
        line[0] += line[1] * np.float32(step)
        nodes[node] = biweight_line(scratch[0], scratch[1], scratch[2], n, length > 0.5, line)
    return own, step


@njit(cache=True, nogil=True)
def _half_below(sizes, n, guess):
    """Size that half of the `n` are smaller than, to half a per cent; 0 where half of them are 0.

    Counting costs no branch that depends on the data, and `guess` is rarely off by much: the size is looked for in
    steps of less than a per cent of it, `NEAR` of them on either side first, at three places in one pass.
    """
    half = n // 2
    high = guess
    reach = NEAR * np.float32(0.5**HALVINGS) * guess
    below, at, above = _counts_below(sizes, guess - np.float32(0.5) * reach, guess, guess + reach)
    if below <= half < above:
        # Without a branch, since either side is as likely.
        over = np.float32(at <= half)
        return _narrowed(sizes, half, guess - np.float32(0.5) * reach * (np.float32(1) - over), guess + reach * over)
    while _counts_below(sizes, high, high, high)[0] <= half and high < np.inf:
        high *= np.float32(2)
    low = np.float32(0.5) * high
    while _counts_below(sizes, low, low, low)[0] > half:
        high = low
        low *= np.float32(0.5)
        if low == 0:
            return low
    for _ in range(HALVINGS - 4):
        middle = np.float32(0.5) * (low + high)
        if _counts_below(sizes, middle, middle, middle)[0] > half:
            high = middle
        else:
            low = middle
    return _narrowed(sizes, half, low, high)


@njit(cache=True, nogil=True)
def _narrowed(sizes, half, low, high):
    """End of the sixteenth of an interval below which more than half of the sizes lie."""
    quarter = np.float32(0.25) * (high - low)
    for _ in range(2):
        below, at, above = _counts_below(sizes, low + quarter, low + np.float32(2) * quarter, high - quarter)
        low += quarter * np.float32(np.int32(below <= half) + np.int32(at <= half) + np.int32(above <= half))
        high = low + quarter
        quarter *= np.float32(0.25)
    return high


@njit(cache=True, nogil=True)
def _counts_below(sizes, a, b, c):
    """How many are smaller than each of three."""
    below_a = below_b = below_c = np.int32(0)
    for i in range(0, ROOM, LANES):
        own = load(sizes, i)
        below_a += count_less(own, broadcast(a))
        below_b += count_less(own, broadcast(b))
        below_c += count_less(own, broadcast(c))
    return below_a, below_b, below_c


@njit(cache=True, nogil=True)
def _sizes(u, y, level, slope, out):
    """Distances from a line."""
    for i in range(0, ROOM, LANES):
        store(out, i, magnitude(load(y, i) - broadcast(level) - broadcast(slope) * load(u, i)))


@njit(cache=True, nogil=True)
def _median_size(u, y, level, slope, work):
    """Median distance of the points from a line."""
    n = 0
    for i in range(ROOM):
        if y[i] != FAR:
            work[n] = abs(y[i] - level - slope * u[i])
            n += 1
    return median(work, n)


@njit(cache=True, nogil=True)
def _weighted_sums(u, y, level, slope, inverse):
    """Sums of the biweight weights, of times and of distances from a line under them."""
    zero, one = broadcast(np.float32(0)), broadcast(np.float32(1))
    sw = su = suu = sr = sur = zero
    for i in range(0, ROOM, LANES):
        x = load(u, i)
        r = load(y, i) - broadcast(level) - broadcast(slope) * x
        scaled = r * broadcast(inverse)
        z = one - scaled * scaled
        z = where_less(z, zero, zero, z)
        w = z * z
        wx, wr = w * x, w * r
        sw = sw + w
        su = su + wx
        suu = suu + wx * x
        sr = sr + wr
        sur = sur + wr * x
    return total(sw), total(su), total(suu), total(sr), total(sur)


@njit(cache=True, nogil=True, error_model="numpy", fastmath={"contract", "reassoc", "nsz"})
def biweight_line(u, y, work, n, sloped, line):
    """Value at ``u = 0`` of the line through the points ``(u, y)`` that Tukey's biweight weights fit.

    Parameters
    ----------
    u, y : (ROOM,) float32
        Times in windows from the node, and fluxes; `FAR` where there is no point.
    work : (ROOM,) float32
        Scratch.
    n : int
        Points; fewer than 3 give NaN.
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
        _sizes(u, y, level, slope, work)
        scale = np.float32(BIWEIGHT_C) * _half_below(work, n, before / np.float32(BIWEIGHT_C))
    cold = not scale <= WORSE * before
    if cold:
        m = 0
        for i in range(ROOM):
            if y[i] != FAR:
                work[m] = y[i]
                m += 1
        level = np.float32(median(work, n))
        slope = np.float32(0)
    for iteration in range(ITERATIONS):
        if cold and iteration < 2:
            scale = np.float32(BIWEIGHT_C) * _median_size(u, y, level, slope, work)
        if not scale > 0:
            return level
        inverse = np.float32(1) / scale
        sw, su, suu, sr, sur = _weighted_sums(u, y, level, slope, inverse)
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

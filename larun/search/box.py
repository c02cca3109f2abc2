"""Box search over many stars that share their cadences (Kovács, Zucker & Mazeh 2002, A&A 391, 369).

Sixteen stars are searched side by side. At every trial period `larun.search.fold` gives the sums of flux up to every
edge between two phase bins, and a box is the difference of two of them. Stars with the same weights share what turns
that difference into signal-to-noise; for the others the sums of weight are folded too. Weights are whole numbers of
cadences and fluxes are whole numbers too, so a star's result does not depend on the others beside it.
"""

from __future__ import annotations

import numpy as np
from numba import njit

from larun.lanes import LANES, aligned, broadcast, load, square_root, store, where_less
from larun.search import fold
from larun.search.grid import Grid

TILE = 256
"""Phases that are searched for boxes of all durations before the next: their sums stay in the nearest cache."""

RUN = 32
"""Trial periods that are listed at once: their lists and the sums of sixteen stars stay in the second cache."""

FEWEST_ALIKE = 6
"""Stars with the same weights from which on it pays to search them apart from the others."""


def spectra(time: np.ndarray, mean: np.ndarray, weight: np.ndarray, sigma: np.ndarray, grid: Grid) -> np.ndarray:
    """Signal-to-noise of the best dip at every trial period.

    Parameters
    ----------
    time : (bin,) float64
        Days, increasing.
    mean, weight : (star, bin) float32
        As `bin_series` returns them; weights are whole numbers.
    sigma : (star,) float
        Noise per unit weight, in the unit of `mean`.
    grid : Grid
        Trial boxes.

    Returns
    -------
    (star, period) float32
        ``depth / sqrt(1/w_in + 1/w_out)`` over `sigma`, the `snr` of `astropy.timeseries.BoxLeastSquares`; 0
        where no box lies below the rest.
    """
    n_stars, n = mean.shape
    out = np.zeros((n_stars, len(grid.frequency)), np.float32)
    if not n:
        return out
    from_first = time - time[0]
    table, cell_d, most = fold.cadence_table(from_first)
    from_first = np.append(from_first, np.inf)
    longest = grid.width.max(axis=1)
    edges = aligned(int((grid.n_bins + longest).max() + fold.AT_ONCE) * 2 * LANES, np.float32)
    for stars, shared in _groups(weight):
        flux, count, unit = _side_by_side(mean[stars], weight[stars], sigma[stars])
        found = np.zeros((len(unit) * LANES, len(grid.frequency)), np.float32)
        _search(
            from_first, table, cell_d, most, flux.reshape(-1), count.reshape(-1), shared,
            unit, grid.frequency, grid.n_bins, grid.width, grid.stride, longest, edges, found,
        )  # fmt: skip
        out[stars] = found[: len(stars)]
    return out


def _groups(weight: np.ndarray) -> list[tuple[np.ndarray, bool]]:
    """Stars that have all their weights in common, and last those that do not; and whether they do."""
    alike: dict[bytes, list[int]] = {}
    for star, row in enumerate(np.ascontiguousarray(weight)):
        alike.setdefault(row.tobytes(), []).append(star)
    groups = [np.array(stars) for stars in alike.values()]
    shared = [(stars, True) for stars in groups if len(stars) >= FEWEST_ALIKE or len(groups) == 1]
    apart = [stars for stars in groups if len(stars) < FEWEST_ALIKE and len(groups) > 1]
    return [*shared, (np.concatenate(apart), len(apart) == 1)] if apart else shared


def _side_by_side(mean: np.ndarray, weight: np.ndarray, sigma: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Running sums of flux and weight, (block, bin + 1, 16) int32, and the unit of the sums, (block, 16) float32."""
    n_stars, n = mean.shape
    blocks = -(-n_stars // LANES)
    flux = aligned(blocks * (n + 1) * LANES, np.int32).reshape(blocks, n + 1, LANES)
    count = aligned(blocks * (n + 1) * LANES, np.int32).reshape(blocks, n + 1, LANES)
    flux[:], count[:] = 0, 0
    unit = np.zeros((blocks, LANES), np.float32)
    for block in range(blocks):
        rows = slice(block * LANES, min((block + 1) * LANES, n_stars))
        scale = fold.running_sums(mean[rows], weight[rows], flux[block], count[block])
        own = sigma[rows] * scale * np.sqrt(count[block, -1, : len(scale)])
        unit[block, : len(scale)] = np.where(own > 0, 1 / np.where(own > 0, own, 1), 0)
    return flux, count, unit


@njit(cache=True, nogil=True, error_model="numpy")
def _search(
    time, table, cell_d, most, flux, count, shared, unit, frequency, n_bins, width, stride, longest, edges, out
):  # fmt: skip
    """Signal-to-noise per star and period into `out`, for all blocks of a run of periods before the next run."""
    row = LANES if shared else 2 * LANES
    total = np.empty((2, LANES), np.float32)
    total[0] = 0
    counts = np.empty(len(time), np.int32)
    for k in range(len(counts)):
        counts[k] = count[k * LANES]
    edge_counts = np.empty(len(edges) // LANES, np.int32)
    gain_of = _gains(counts[-1])
    stops = np.zeros((RUN + 1, 2), np.int64)
    cycles = np.empty(RUN, np.int64)
    spectrum = np.empty(RUN * LANES, np.float32)
    for first in range(0, len(frequency), RUN):
        last = min(first + RUN, len(frequency))
        for p in range(first, last):
            rounded = -(-n_bins[p] // fold.AT_ONCE) * fold.AT_ONCE
            stops[p - first + 1, 0] = stops[p - first, 0] + rounded * (int(time[-2] * frequency[p]) + 2)
            stops[p - first + 1, 1] = stops[p - first, 1] + _n_boxes(n_bins[p], width[p], stride[p])
        rows = np.empty(stops[last - first, 0], np.uint32)
        gains = np.empty(stops[last - first, 1], np.float32)
        for p in range(first, last):
            at = stops[p - first, 0]
            cycles[p - first] = fold.list_rows(time, table, cell_d, most, 1 / frequency[p], n_bins[p], rows, at)
            if shared:
                fold.counts_at_edges(counts, rows, at, n_bins[p], cycles[p - first], longest[p], edge_counts)
                _list_gains(edge_counts, gain_of, n_bins[p], width[p], stride[p], gains, stops[p - first, 1])
        for block in range(len(unit)):
            start = block * len(counts) * LANES
            for lane in range(LANES):
                total[1, lane] = np.float32(count[start + (len(counts) - 1) * LANES + lane])
            for p in range(first, last):
                at, boxes = stops[p - first]
                fold.add_up(flux, start, rows, at, n_bins[p], cycles[p - first], edges, 0, row)
                fold.carry_on(edges, 0, row, n_bins[p], longest[p], total[0])
                if shared:
                    best = _best_alike(edges, gains, boxes, n_bins[p], width[p], stride[p])
                else:
                    fold.add_up(count, start, rows, at, n_bins[p], cycles[p - first], edges, LANES, row)
                    fold.carry_on(edges, LANES, row, n_bins[p], longest[p], total[1])
                    best = _best_apart(edges, total[1], n_bins[p], width[p], stride[p])
                store(spectrum, (p - first) * LANES, best * load(unit[block], 0))
            for lane in range(LANES):
                for p in range(first, last):
                    out[block * LANES + lane, p] = spectrum[(p - first) * LANES + lane]


@njit(cache=True, nogil=True, error_model="numpy")
def _gains(total):
    """Factor that makes a box's sum its signal-to-noise in units of the sum, for every weight inside."""
    gains = np.zeros(total + 1, np.float32)
    for inside in range(1, total):
        share = inside / total
        gains[inside] = 1 / np.sqrt(share * (1 - share))
    return gains


@njit(cache=True, nogil=True)
def _n_boxes(n_bins, width, stride):
    total = 0
    for d in range(len(width)):
        if width[d] > 0:
            total += -(-n_bins // stride[d])
    return total


@njit(cache=True, nogil=True)
def _list_gains(counts, gain_of, n_bins, width, stride, gains, at):
    """Gains of all boxes of one period from `at` on, in the order in which `_best_alike` takes them."""
    for low in range(0, n_bins, TILE):
        top = min(low + TILE, n_bins)
        for d in range(len(width)):
            if width[d] > 0:
                for i in range(-(-low // stride[d]) * stride[d], top, stride[d]):
                    gains[np.uintp(at)] = gain_of[np.uintp(counts[np.uintp(i + width[d])] - counts[np.uintp(i)])]
                    at += 1


@njit(cache=True, nogil=True)
def _best_alike(sums, gains, at, n_bins, width, stride):
    """Highest signal-to-noise of boxes of all durations at all phases, of stars that share their weights.

    Four boxes have a best of their own each, so that one comparison need not wait for the last.
    """
    a = b = c = d = broadcast(np.float32(0))
    for low in range(0, n_bins, TILE):
        top = min(low + TILE, n_bins)
        for which in range(len(width)):
            if width[which] == 0:
                continue
            box, step = width[which] * LANES, stride[which] * LANES
            first = -(-low // stride[which]) * stride[which]
            boxes = max(-(-(top - first) // stride[which]), 0)
            i = first * LANES
            for _ in range(boxes // 4):
                a = _deeper(sums, i, box, gains[np.uintp(at)], a)
                b = _deeper(sums, i + step, box, gains[np.uintp(at + 1)], b)
                c = _deeper(sums, i + 2 * step, box, gains[np.uintp(at + 2)], c)
                d = _deeper(sums, i + 3 * step, box, gains[np.uintp(at + 3)], d)
                i += 4 * step
                at += 4
            for _ in range(boxes % 4):
                a = _deeper(sums, i, box, gains[np.uintp(at)], a)
                i += step
                at += 1
    a, c = where_less(a, b, a, b), where_less(c, d, c, d)
    return broadcast(np.float32(0)) - where_less(a, c, a, c)


@njit(cache=True, nogil=True)
def _deeper(sums, i, box, gain, best):
    found = (load(sums, i + box) - load(sums, i)) * broadcast(gain)
    return where_less(found, best, found, best)


@njit(cache=True, nogil=True, error_model="numpy")
def _best_apart(sums, total, n_bins, width, stride):
    """The same of stars with weights of their own.

    Powers are kept as numerator and denominator and compared by cross-multiplication; a division costs as much as
    all the rest.
    """
    zero = broadcast(np.float32(0))
    even, odd = zero, zero
    below_even = below_odd = broadcast(np.float32(1))
    whole = load(total, 0)
    for low in range(0, n_bins, TILE):
        top = min(low + TILE, n_bins) * 2 * LANES
        for d in range(len(width)):
            if width[d] == 0:
                continue
            box = width[d] * 2 * LANES
            step = stride[d] * 2 * LANES
            i = -(-low // stride[d]) * step
            while i < top:
                power, below = _box(sums, i, box, whole)
                better = below * even, power * below_even
                even = where_less(better[0], better[1], power, even)
                below_even = where_less(better[0], better[1], below, below_even)
                i += step
                if i < top:
                    power, below = _box(sums, i, box, whole)
                    better = below * odd, power * below_odd
                    odd = where_less(better[0], better[1], power, odd)
                    below_odd = where_less(better[0], better[1], below, below_odd)
                    i += step
    even = even / below_even
    odd = odd / below_odd
    return square_root(where_less(even, odd, odd, even)) * whole


@njit(cache=True, nogil=True)
def _box(sums, i, box, whole):
    """Numerator and denominator of the power of boxes that start at `i`; 0 above where one brightens."""
    inside = load(sums, i + box) - load(sums, i)
    count = load(sums, i + box + LANES) - load(sums, i + LANES)
    zero = broadcast(np.float32(0))
    dimming = where_less(inside, zero, inside, zero)
    return dimming * dimming, count * (whole - count)


@njit(cache=True, nogil=True)
def best_boxes(time, mean, weight, period, n_bins, width):
    """Best box of one star at each of some periods.

    Parameters
    ----------
    time : (bin,) float64
        Days.
    mean, weight : (bin,) float32
        Flux and weight.
    period : (period,) float64
        Days.
    n_bins : (period,) int32
        Phase bins.
    width : (period, duration) int32
        Box widths in bins; 0 is skipped.

    Returns
    -------
    t0, duration : (period,) float64
        Mid-time of a box and its length, days; NaN where no box lies below the rest.
    """
    total = whole = 0.0
    for b in range(len(mean)):
        total += np.float64(mean[b] * weight[b])
        whole += np.float64(weight[b])
    level = total / whole
    values = np.empty(len(mean), np.float32)
    from_first = np.empty(len(time))
    for b in range(len(mean)):
        values[b] = (mean[b] - level) * weight[b]
        from_first[b] = time[b] - time[0]
    t0, duration = np.empty(len(period)), np.empty(len(period))
    for p in range(len(period)):
        t0[p], duration[p] = best_box(from_first, values, weight, period[p], n_bins[p], width[p])
        t0[p] += time[0]
    return t0, duration


@njit(cache=True, nogil=True)
def best_box(time, values, weights, period, nb, widths):
    """Best box of one star at one period.

    Parameters
    ----------
    time : (bin,) float64
        Days.
    values, weights : (bin,) float32
        Flux times weight, zero mean, and weight.
    period : float
        Days.
    nb : int
        Phase bins.
    widths : (duration,) int32
        Box widths in bins; 0 is skipped.

    Returns
    -------
    t0, duration : float
        Mid-time of a box, days, in the zero point of `time`, and its length, days; NaN where no box lies below
        the rest.
    """
    longest = widths.max()
    s = np.zeros(nb + longest + 1)
    w = np.zeros(nb + longest + 1)
    for k in range(len(time)):
        phase = time[k] / period
        i = min(int((phase - np.floor(phase)) * nb), nb - 1) + 1
        s[i] += values[k]
        w[i] += weights[k]
    for i in range(nb):
        s[i + 1] += s[i]
        w[i + 1] += w[i]
    for i in range(nb + 1, nb + longest + 1):
        s[i] = s[i - nb] + s[nb]
        w[i] = w[i - nb] + w[nb]
    best, t0, duration = 0.0, np.nan, np.nan
    for m in widths:
        if m == 0:
            continue
        for i in range(nb):
            inside = s[i + m] - s[i]
            weight = w[i + m] - w[i]
            outside = w[nb] - weight
            if inside < 0 and weight > 0 and outside > 0:
                power = inside * inside / (weight * outside)
                if power > best:
                    best = power
                    t0 = (i + 0.5 * m) / nb * period
                    duration = m / nb * period
    return t0, duration

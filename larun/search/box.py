"""Box search over many stars that share their cadences (Kovács, Zucker & Mazeh 2002, A&A 391, 369).

Sixteen stars are searched side by side. At every trial period `larun.search.fold` gives the sums of flux up to every
edge between two phase bins, and a box is the difference of two of them. Stars with the same weights share what turns
that difference into signal-to-noise; for the others the sums of weight are folded too. Weights are whole numbers of
cadences and fluxes are whole numbers too, so a star's result does not depend on the others beside it.
"""

from __future__ import annotations

import numpy as np
from numba import njit

from larun.lanes import LANES, aligned, broadcast, load, square_root, store, to_float, where_less
from larun.search import fold, lookups
from larun.search.grid import Grid

TILE = 256
"""Phases that are searched for boxes of all durations before the next: their sums stay in the nearest cache."""

RUN = 32
"""Trial periods whose gains are listed at once: they and the sums of sixteen stars stay in the second cache."""

TURNS, ROOM = 8, 8192
"""Trial periods that take turns in the fold, fewer where they have more edges than that: their folded sums, and the
running sums that they share, stay in the second cache."""

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
    longest = grid.width.max(axis=1)
    size = lookups.rounded(grid.n_bins) + longest + 1
    edges = aligned(int(max(size.max(), ROOM)) * 2 * LANES, np.float32)
    for stars, shared in _groups(weight):
        flux, count, unit = _side_by_side(mean[stars], weight[stars], sigma[stars], shared)
        found = np.zeros((len(unit) * LANES, len(grid.frequency)), np.float32)
        for part in lookups.lookups(time - time[0], grid.frequency, grid.n_bins):
            own = slice(part.first, part.last)
            _search(
                flux, count, shared, unit, part.pairs, part.start, part.cycles, grid.n_bins[own], grid.width[own],
                grid.stride[own], longest[own], size[own], edges, found[:, own],
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


def _side_by_side(
    mean: np.ndarray, weight: np.ndarray, sigma: np.ndarray, shared: bool
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Running sums of sixteen stars side by side.

    Those of flux, (block, n) int32; of weight, the same, or (1, cadence + 1) where it is shared; and the unit of the
    sums of flux, (block, 16) float32.
    """
    n_stars, n = mean.shape
    blocks = -(-n_stars // LANES)
    flux = aligned(blocks * (n + 1) * LANES, np.int32).reshape(blocks, n + 1, LANES)
    flux[:, 0], flux[-1] = 0, 0
    unit = np.zeros((blocks, LANES), np.float32)
    total = weight.sum(axis=1, dtype=np.float64)
    for block in range(blocks):
        rows = slice(block * LANES, min((block + 1) * LANES, n_stars))
        scale = fold.running_sums(mean[rows], weight[rows], flux[block])
        own = sigma[rows] * scale * np.sqrt(total[rows])
        unit[block, : len(scale)] = np.where(own > 0, 1 / np.where(own > 0, own, 1), 0)
    of = weight[:1] if shared else weight
    count = np.zeros((len(of), n + 1), np.int32)
    np.cumsum(of, axis=1, out=count[:, 1:], dtype=np.int32)
    if not shared:
        alone = count
        count = aligned(flux.size, np.int32).reshape(flux.shape)
        count[:] = 0
        for star, sums in enumerate(alone):
            count[star // LANES, :, star % LANES] = sums
    return flux.reshape(blocks, -1), count.reshape(len(count), -1), unit


@njit(cache=True, nogil=True, error_model="numpy")
def _search(flux, count, shared, unit, pairs, start, cycles, n_bins, width, stride, longest, size, edges, out):
    """Signal-to-noise per star and period into `out`, for all blocks of a run of periods before the next run."""
    row = LANES if shared else 2 * LANES
    total = np.zeros((2, LANES), np.float32)
    edge_counts = np.empty(len(edges) // LANES, np.int32)
    gain_of = _gains(count[0, -1])
    boxes = np.zeros(RUN + 1, np.int64)
    place = np.zeros(TURNS, np.int64)
    spectrum = np.empty(RUN * LANES, np.float32)
    for first in range(0, len(n_bins), RUN):
        last = min(first + RUN, len(n_bins))
        for p in range(first, last):
            boxes[p - first + 1] = boxes[p - first] + _n_boxes(n_bins[p], width[p], stride[p])
        gains = np.empty(boxes[last - first], np.float32)
        for p in range(first, last if shared else first):
            fold.counts_at_edges(count[0], pairs, start[p], n_bins[p], cycles[p], longest[p], edge_counts)
            _list_gains(edge_counts, gain_of, n_bins[p], width[p], stride[p], gains, boxes[p - first])
        for block in range(len(unit)):
            if not shared:
                store(total[1], 0, to_float(load(count[block], len(count[block]) - LANES)))
            p = first
            while p < last:
                q = _in_turn(size, p, last, place)
                fold.add_up(flux[block], pairs, start[p:q], n_bins[p:q], cycles[p:q], edges, place, 0, row)
                if not shared:
                    fold.add_up(count[block], pairs, start[p:q], n_bins[p:q], cycles[p:q], edges, place, LANES, row)
                for i in range(p, q):
                    own = edges[place[i - p] * row :]
                    fold.carry_on(own, 0, row, n_bins[i], longest[i], total[0])
                    if shared:
                        best = _best_alike(own, gains, boxes[i - first], n_bins[i], width[i], stride[i])
                    else:
                        fold.carry_on(own, LANES, row, n_bins[i], longest[i], total[1])
                        best = _best_apart(own, total[1], n_bins[i], width[i], stride[i])
                    store(spectrum, (i - first) * LANES, best * load(unit[block], 0))
                p = q
            for lane in range(LANES):
                for p in range(first, last):
                    out[block * LANES + lane, p] = spectrum[(p - first) * LANES + lane]


@njit(cache=True, nogil=True)
def _in_turn(size, first, last, place):
    """End of the trial periods from `first` on that are folded in turn, and into `place` the row of each."""
    used = 0
    for p in range(first, min(last, first + TURNS)):
        if p > first and used + size[p] > ROOM:
            return p
        place[p - first] = used
        used += size[p]
    return min(last, first + TURNS)


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

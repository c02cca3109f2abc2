"""Box search over many stars that share their cadences (Kovács, Zucker & Mazeh 2002, A&A 391, 369).

Sixteen stars are searched side by side, each with weights of its own. At every trial period `larun.search.fold`
gives the sums of flux and weight up to every edge between two phase bins, and a box is the difference of two of them.
Weights are whole numbers of cadences and fluxes are whole numbers too, so a star's result does not depend on the
others beside it.
"""

from __future__ import annotations

import numpy as np
from numba import njit

from larun.search import fold
from larun.search.grid import RUN, Grid
from larun.search.lanes import LANES, aligned, broadcast, load, square_root, store, where_less

TILE = 64
"""Phases that are searched for boxes of all durations before the next: their sums stay in the nearest cache."""

OUTSIDE = 1 - 1e-6
"""Factor of the weights that leaves a box around all cadences, which holds no flux, a weight outside."""


def bin_series(flux: np.ndarray, time: np.ndarray, bin_d: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Average cadences in bins of even length.

    Parameters
    ----------
    flux : (star, cadence) float32
        NaN where masked.
    time : (cadence,) float64
        Days, increasing.
    bin_d : float
        Length of a bin, days; 0 keeps every cadence.

    Returns
    -------
    time : (bin,) float64
        Mean time of the bin's cadences, masked or not.
    mean : (star, bin) float32
        0 where a star has no cadence.
    weight : (star, bin) float32
        Number of a star's cadences in the bin.
    """
    if bin_d <= 0:
        good = np.isfinite(flux)
        return time, np.where(good, flux, np.float32(0)), good.astype(np.float32)
    bins = np.floor((time - time[0]) / bin_d + 1e-6).astype(np.int64)
    starts = np.flatnonzero(np.diff(bins, prepend=-1))
    count = np.diff(starts, append=len(time))
    mean, weight = _bin_means(np.ascontiguousarray(flux, np.float32), starts, count)
    return np.add.reduceat(time, starts) / count, mean, weight


@njit(cache=True, nogil=True)
def _bin_means(flux, starts, count):
    n_stars = len(flux)
    mean = np.zeros((n_stars, len(starts)), np.float32)
    weight = np.zeros((n_stars, len(starts)), np.float32)
    for star in range(n_stars):
        for b in range(len(starts)):
            total = np.float32(0)
            n = np.float32(0)
            for k in range(starts[b], starts[b] + count[b]):
                if np.isfinite(flux[star, k]):
                    total += flux[star, k]
                    n += np.float32(1)
            if n > 0:
                mean[star, b] = total / n
                weight[star, b] = n
    return mean, weight


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

    Raises
    ------
    ValueError
        More than `larun.search.fold.MOST_CADENCES` time stamps or `larun.search.fold.MOST_BINS` phase bins.
    """
    n_stars, n = mean.shape
    if n > fold.MOST_CADENCES or grid.n_bins.max() > fold.MOST_BINS:
        raise ValueError(
            f"expected at most {fold.MOST_CADENCES} time stamps and {fold.MOST_BINS} phase bins, "
            f"got {n} and {grid.n_bins.max()}: bin the time series"
        )
    out = np.zeros((n_stars, len(grid.frequency)), np.float32)
    if not n:
        return out
    from_middle = time - 0.5 * (time[0] + time[-1])
    blocks = -(-n_stars // LANES)
    flux = aligned(blocks * n * LANES, np.int32).reshape(blocks, n, LANES)
    flux[:] = 0
    count = np.zeros(flux.shape, np.uint8 if weight.max(initial=0) <= 255 else np.int32)
    total = np.zeros((blocks, LANES), np.int32)
    unit = np.zeros((blocks, LANES), np.float32)
    for block in range(blocks):
        rows = slice(block * LANES, min((block + 1) * LANES, n_stars))
        scale = fold.fixed_point(mean[rows], weight[rows], flux[block], count[block], total[block])
        own = sigma[rows] * scale * np.sqrt(total[block, : len(scale)])
        unit[block, : len(scale)] = np.where(own > 0, 1 / np.where(own > 0, own, 1), 0)
    share = (OUTSIDE / np.maximum(total, 1)).astype(np.float32)
    longest = grid.width.max(axis=1)
    sums = aligned(int((grid.n_bins + longest).max() + 1) * fold.ROW, np.int32)
    _search(
        from_middle, flux.reshape(-1), count.reshape(-1), total, share, unit,
        grid.frequency, grid.n_bins, grid.width, grid.stride, longest, sums, aligned(len(sums), np.float32), out,
    )  # fmt: skip
    return out


@njit(cache=True, nogil=True, error_model="numpy")
def _search(
    time, flux, count, total, share, unit, frequency, n_bins, width, stride, longest, sums, edge_sums, out
):  # fmt: skip
    """Signal-to-noise per star and period into `out`, for all blocks of a run of periods before the next run."""
    n = len(time)
    position = np.empty((2, n), np.int32)
    packed = np.empty((3, n), np.uint32)
    entries = np.empty(RUN * n + 1, np.uint32)
    stops = np.empty((RUN, 3), np.int64)
    spectrum = np.empty(RUN * LANES, np.float32)
    first = 0
    while first < len(frequency):
        last = first + 1
        while last < len(frequency) and last - first < RUN and n_bins[last] == n_bins[first]:
            last += 1
        nb = n_bins[first]
        fold.list_run(time, frequency[first:last], nb, position, packed, entries, stops)
        for block in range(len(total)):
            start = block * n * LANES
            for p in range(first, last):
                begin, forward, end = stops[p - first]
                if forward < 0:
                    fold.fold(flux, count, start, entries[begin:end], nb, sums)
                else:
                    fold.carry_on(flux, count, start, entries[begin:forward], entries[forward:end], sums)
                fold.unroll(sums, total[block], share[block], nb, longest[p], edge_sums)
                best = _best(edge_sums, nb, width[p], stride[p])
                store(spectrum, (p - first) * LANES, best * load(unit[block], 0))
            for lane in range(min(LANES, len(out) - block * LANES)):
                for p in range(first, last):
                    out[block * LANES + lane, p] = spectrum[(p - first) * LANES + lane]
        first = last


@njit(cache=True, nogil=True)
def _best(sums, n_bins, width, stride):
    """Root of the highest power of boxes of all durations at all phases.

    Powers are kept as numerator and denominator and compared by cross-multiplication; a division costs as much as
    all the rest. Every second phase has a best of its own, so that one comparison need not wait for the last.
    """
    zero = broadcast(np.float32(0))
    even, odd = zero, zero
    below_even = below_odd = broadcast(np.float32(1))
    for low in range(0, n_bins, TILE):
        top = min(low + TILE, n_bins) * fold.ROW
        for d in range(len(width)):
            if width[d] == 0:
                continue
            box = width[d] * fold.ROW
            step = stride[d] * fold.ROW
            i = -(-low // stride[d]) * step
            while i < top:
                power, below = _box(sums, i, box)
                better = below * even, power * below_even
                even = where_less(better[0], better[1], power, even)
                below_even = where_less(better[0], better[1], below, below_even)
                i += step
                if i < top:
                    power, below = _box(sums, i, box)
                    better = below * odd, power * below_odd
                    odd = where_less(better[0], better[1], power, odd)
                    below_odd = where_less(better[0], better[1], below, below_odd)
                    i += step
    even = even / below_even
    odd = odd / below_odd
    return square_root(where_less(even, odd, odd, even))


@njit(cache=True, nogil=True)
def _box(sums, i, box):
    """Numerator and denominator of the power of boxes that start at `i`; 0 above where one brightens."""
    inside = load(sums, i + box) - load(sums, i)
    share = load(sums, i + box + LANES) - load(sums, i + LANES)
    zero = broadcast(np.float32(0))
    dimming = where_less(inside, zero, inside, zero)
    return dimming * dimming, share - share * share


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

"""Box search over many stars that share their cadences (Kovács, Zucker & Mazeh 2002, A&A 391, 369).

For every trial period the cadences are folded once into phase bins; each bin holds a row of stars, so that one
addition serves a whole row in SIMD registers. The weights of the stars are mostly the same: they are summed
once for a block of stars and corrected for the few cadences that one star lacks. Weights are whole numbers of
cadences, which float32 adds without error, so a star's result does not depend on the others of its block.
"""

from __future__ import annotations

import numpy as np
from numba import njit

from larun.search.grid import Grid

BLOCK = 64
"""Most stars side by side in one block."""

LANES = 8
"""Blocks are padded to a multiple of this many stars, one SIMD register."""

DENSE_SHARE = 16
"""With more than one cadence in so many lacking, per-star weights are folded like fluxes."""


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
    """
    n_stars = len(mean)
    out = np.zeros((n_stars, len(grid.frequency)), np.float32)
    wsum = weight.sum(axis=1, dtype=np.float64)
    level = (mean * weight.astype(np.float64)).sum(axis=1) / np.maximum(wsum, 1)
    scale = np.where((sigma > 0) & (wsum > 0), 1.0 / np.where(sigma > 0, sigma, 1.0), 0.0)
    scaled = ((mean - level[:, None]) * scale[:, None]).astype(np.float32) * weight
    for first in range(0, n_stars, BLOCK):
        rows = slice(first, min(first + BLOCK, n_stars))
        out[rows] = _block(time, scaled[rows], weight[rows], grid)
    return out


def _block(time, scaled, weight, grid) -> np.ndarray:
    """Spectra of at most `BLOCK` stars."""
    n = len(scaled)
    row = -(-n // LANES) * LANES
    used = np.flatnonzero(weight.any(axis=0))
    if not len(used):
        return np.zeros((n, len(grid.frequency)), np.float32)
    values = np.zeros((len(used), row), np.float32)
    values[:, :n] = scaled[:, used].T
    weights = np.zeros((len(used), row), np.float32)
    weights[:, :n] = weight[:, used].T
    common = weights[:, :n].max(axis=1)
    weights[:, n:] = common[:, None]
    which, star = np.nonzero(weights != common[:, None])
    dense = len(which) * DENSE_SHARE > weights.size
    spectrum = _search(
        time[used] - time[0], values, weights, common, which.astype(np.int32), star.astype(np.int32),
        weights[which, star] - common[which], dense, weights.sum(axis=0, dtype=np.float64).astype(np.float32),
        grid.frequency, grid.n_bins, grid.width, grid.stride,
    )  # fmt: skip
    return spectrum[:, :n].T


@njit(cache=True, nogil=True, error_model="numpy")
def _search(
    time, values, weights, common, lack_row, lack_star, lack, dense, total, frequency, n_bins, width, stride
):  # fmt: skip
    """Signal-to-noise per period of one block; `values` is flux times weight, zero mean, in units of the noise."""
    n_rows, n_stars = values.shape
    most = int((n_bins + width.max()).max()) + 1
    s = np.empty((most, n_stars), np.float32)
    w = np.empty((most, n_stars), np.float32)
    shared = np.empty(most, np.float32)
    place = np.empty(n_rows, np.int32)
    best = np.empty((2, n_stars), np.float32)
    out = np.empty((len(frequency), n_stars), np.float32)
    for p in range(len(frequency)):
        nb = n_bins[p]
        for k in range(n_rows):
            phase = time[k] * frequency[p]
            # Row 0 stays empty: each row becomes the sum of all bins before it.
            place[k] = min(int((phase - np.floor(phase)) * nb), nb - 1) + 1
        s[: nb + 1] = 0
        _add_rows(s, place, values)
        if dense:
            w[: nb + 1] = 0
            _add_rows(w, place, weights)
        else:
            shared[: nb + 1] = 0
            for k in range(n_rows):
                shared[place[k]] += common[k]
            for i in range(nb + 1):
                for star in range(n_stars):
                    w[i, star] = shared[i]
            for j in range(len(lack)):
                w[place[lack_row[j]], lack_star[j]] += lack[j]
        _accumulate(s, nb, width[p].max())
        _accumulate(w, nb, width[p].max())
        best[0] = 0
        best[1] = 1
        for j in range(width.shape[1]):
            if width[p, j] > 0:
                _scan(s, w, total, nb, width[p, j], stride[p, j], best)
        for star in range(n_stars):
            out[p, star] = np.sqrt(best[0, star] * total[star] / best[1, star])
    return out


# In the kernels below the length of a row is left open: LLVM vectorises such a loop after one check that the rows
# do not overlap, and leaves a loop of known length scalar.


@njit(cache=True, nogil=True)
def _add_rows(sums, place, values):
    """Add each row of `values` to the row of `sums` at its place."""
    n_stars = values.shape[1]
    for k in range(len(place)):
        i = place[k]
        for star in range(n_stars):
            sums[i, star] += values[k, star]


@njit(cache=True, nogil=True)
def _accumulate(sums, nb, longest):
    """Turn bins 1 to `nb` into sums from the start, and go on for the longest box into the next cycle."""
    n_stars = sums.shape[1]
    for i in range(nb):
        for star in range(n_stars):
            sums[i + 1, star] += sums[i, star]
    for i in range(nb + 1, nb + longest + 1):
        for star in range(n_stars):
            sums[i, star] = sums[i - nb, star] + sums[nb, star]


@njit(cache=True, nogil=True)
def _scan(s, w, total, nb, m, stride, best):
    """Compare boxes of `m` bins at all phases with the best so far: power ``best[0] / best[1]`` per star.

    Powers are compared by cross-multiplication; a division costs as much as all the rest.
    """
    n_stars = s.shape[1]
    for i in range(0, nb, stride):
        for star in range(n_stars):
            inside = min(s[i + m, star] - s[i, star], np.float32(0))
            weight = w[i + m, star] - w[i, star]
            numerator = inside * inside
            denominator = weight * (total[star] - weight)
            better = numerator * best[1, star] > best[0, star] * denominator
            best[0, star] = numerator if better else best[0, star]
            best[1, star] = denominator if better else best[1, star]


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

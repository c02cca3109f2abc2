"""Light curves in even bins, and with even weights, for the first pass of the search."""

from __future__ import annotations

import numpy as np
from numba import njit

FILLED = 2
"""Bins in a row that `even_out` fills."""


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


def even_out(mean: np.ndarray, weight: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Give all bins of a star one weight, so that stars that lack a cadence here and there can be searched together.

    Bins with less than half of the star's largest weight are left out, the others get that weight. Up to `FILLED`
    neighbouring bins that are left out or empty, between two others, hold the star's mean flux from then on, which
    can hide a small part of a dip and make none. Longer gaps stay. What a star gets depends on it alone.

    Parameters
    ----------
    mean, weight : (star, bin) float32
        As `bin_series` returns them.

    Returns
    -------
    mean, weight : (star, bin) float32
        The same with even weights.
    """
    mean, weight = mean.copy(), weight.copy()
    _even_out(mean, weight)
    return mean, weight


@njit(cache=True, nogil=True, error_model="numpy")
def _even_out(mean, weight):
    n_stars, n = mean.shape
    for star in range(n_stars):
        full = np.float32(0)
        total = 0.0
        used = 0.0
        for b in range(n):
            full = max(full, weight[star, b])
            total += mean[star, b] * weight[star, b]
            used += weight[star, b]
        if used == 0:
            continue
        level = np.float32(total / used)
        last = -1
        for b in range(n):
            if 2 * weight[star, b] < full:
                mean[star, b], weight[star, b] = 0, 0
                continue
            weight[star, b] = full
            if last >= 0 and b - last <= FILLED + 1:
                for gap in range(last + 1, b):
                    mean[star, gap], weight[star, gap] = level, full
            last = b

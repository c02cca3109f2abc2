"""Peaks of the box-search spectra and their signal detection efficiency."""

from __future__ import annotations

import numpy as np
from numba import njit

from larun.selection import median
from larun.units import MAD_TO_SIGMA

TREND_PERIODS = 151
"""Trial periods in the running median that takes the rise towards long periods out of a spectrum."""

TREND_STEP = 15
"""The running median is evaluated every so many periods and interpolated."""

HARMONICS = ((1, 1), (1, 2), (2, 1), (1, 3), (3, 1), (2, 3), (3, 2))
"""Ratios of periods that belong to one signal."""


def efficiencies(spectra: np.ndarray) -> np.ndarray:
    """Signal detection efficiency at every trial period.

    Parameters
    ----------
    spectra : (star, period) float32
        Signal-to-noise of the best box.

    Returns
    -------
    (star, period) float32
        Height over the running median, in robust standard deviations of the spectrum about it: the SDE of
        Kovács et al. (2002), eq. 6, with the trend removed as in TLS (Hippke & Heller 2019, A&A 623, A39);
        0 for a spectrum without scatter.
    """
    return _efficiencies(np.ascontiguousarray(spectra, np.float32))


@njit(cache=True, nogil=True)
def _efficiencies(spectra):
    n_stars, n = spectra.shape
    out = np.zeros((n_stars, n), np.float32)
    work = np.empty(max(n, TREND_PERIODS), np.float32)
    n_nodes = (n - 1) // TREND_STEP + 2
    nodes = np.empty(n_nodes, np.float32)
    half = TREND_PERIODS // 2
    for star in range(n_stars):
        for node in range(n_nodes):
            centre = min(node * TREND_STEP, n - 1)
            low = max(min(centre - half, n - TREND_PERIODS), 0)
            high = min(low + TREND_PERIODS, n)
            for i in range(low, high):
                work[i - low] = spectra[star, i]
            nodes[node] = median(work, high - low)
        for i in range(n):
            node = i // TREND_STEP
            share = np.float32(i - node * TREND_STEP) / np.float32(TREND_STEP)
            out[star, i] = spectra[star, i] - nodes[node] - (nodes[node + 1] - nodes[node]) * share
            work[i] = abs(out[star, i])
        sigma = np.float32(MAD_TO_SIGMA) * median(work, n)
        if sigma > 0:
            for i in range(n):
                out[star, i] /= sigma
        else:
            out[star, :] = 0
    return out


def top_peaks(efficiency: np.ndarray, frequency: np.ndarray, baseline_d: float, count: int) -> np.ndarray:
    """Highest peaks that are no harmonics of a higher one.

    Parameters
    ----------
    efficiency : (period,) float32
        One star's spectrum.
    frequency : (period,) float64
        1/d.
    baseline_d : float
        First to last cadence, days; peaks nearer than half its inverse are one peak.
    count : int
        Most peaks to return.

    Returns
    -------
    (peak,) int64
        Indices into `frequency`, highest first.
    """
    left = np.array(efficiency, np.float32)
    return _top_peaks(left, frequency, 0.5 / baseline_d, count, np.array([up / down for up, down in HARMONICS]))


@njit(cache=True, nogil=True)
def _top_peaks(left, frequency, reach, count, ratios):
    found = np.empty(count, np.int64)
    for i in range(count):
        peak = 0
        for k in range(len(left)):
            if left[k] > left[peak]:
                peak = k
        if not left[peak] > 0:
            return found[:i]
        found[i] = peak
        for ratio in ratios:
            # Frequencies decrease.
            first = len(left) - np.searchsorted(frequency[::-1], frequency[peak] * ratio + reach, side="right")
            last = len(left) - np.searchsorted(frequency[::-1], frequency[peak] * ratio - reach)
            left[first:last] = 0
    return found

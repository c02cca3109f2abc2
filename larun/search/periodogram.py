"""Generalised Lomb-Scargle periodograms of a whole shard.

The stars of a shard share their cadences, so that their fluxes, averaged in bins of even length, lie on one even grid
of times with holes. There the sums of the generalised periodogram (Zechmeister & Kürster 2009, A&A 496, 577) are two
real Fourier transforms of a star, exact and without interpolation.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import scipy.fft
from numba import njit
from scipy.special import gammaln

from larun.selection import level_and_scatter
from larun.units import MINUTES_PER_DAY

BIN_MINUTES = 10.0
"""Bins of the periodograms; longer cadences are bins of their own."""

MOST_BINS = 32_768
"""Longer series get longer bins."""

OVERSAMPLING = 3
"""Frequencies per resolved frequency, at least."""

DIP_SIGMA = 4.0
"""Bins so far below the trend are transits, eclipses or outliers, and left out."""

OUTLIER_SIGMA = 5.0
"""Bins so far from the median are moved there; no sinusoid reaches 1.5."""

FEWEST_BINS = 32


@dataclass(frozen=True)
class Periodograms:
    """Periodograms of several stars.

    Parameters
    ----------
    frequency : (frequency,) float64
        1/d, evenly spaced; the first is one over the time span.
    power : (star, frequency) float32
        Share of the variance that a sinusoid explains, 0 to 1.
    amplitude : (star, frequency) float32
        Of that sinusoid, in the unit of the flux.
    n_bins : (star,) int64
        Bins that were used.
    span_d : float
        First to last bin, days.
    """

    frequency: np.ndarray
    power: np.ndarray
    amplitude: np.ndarray
    n_bins: np.ndarray
    span_d: float


def bin_length_d(time: np.ndarray, cadence_d: float) -> float:
    """Length of the bins, days."""
    span = time[-1] - time[0] if len(time) else 0.0
    return max(BIN_MINUTES / MINUTES_PER_DAY, cadence_d, span / MOST_BINS)


def even_bins(
    relative: np.ndarray, detrended: np.ndarray, time: np.ndarray, bin_d: float
) -> tuple[np.ndarray, np.ndarray]:
    """Average the flux of each star in even bins, without dips, outliers, mean and slope.

    Parameters
    ----------
    relative, detrended : (star, cadence) float32
        As `variability` takes them.
    time : (cadence,) float64
        Days, increasing.
    bin_d : float
        Days.

    Returns
    -------
    flux : (star, bin) float32
        0 where a star has nothing.
    weight : (star, bin) float32
        Cadences of each bin.
    """
    if not len(time):
        return np.zeros((len(relative), 0), np.float32), np.zeros((len(relative), 0), np.float32)
    bin_of = np.floor((time - time[0]) / bin_d + 1e-6).astype(np.int32)
    edges = np.searchsorted(bin_of, np.arange(bin_of[-1] + 2))
    return _even_bins(np.ascontiguousarray(relative), np.ascontiguousarray(detrended), edges)


@njit(cache=True, nogil=True)
def _even_bins(relative, detrended, edges):
    """See `even_bins`; `edges` are the first cadence of each bin, and the end of the last."""
    n_stars = len(relative)
    n_bins = len(edges) - 1
    flux = np.empty((n_stars, n_bins), np.float32)
    weight = np.empty((n_stars, n_bins), np.float32)
    flat = np.empty(n_bins, np.float32)
    work = np.empty(n_bins, np.float32)
    for star in range(n_stars):
        for b in range(n_bins):
            total = total_flat = count = np.float32(0)
            for k in range(edges[b], edges[b + 1]):
                good = np.isfinite(detrended[star, k]) & np.isfinite(relative[star, k])
                total += relative[star, k] if good else np.float32(0)
                total_flat += detrended[star, k] if good else np.float32(0)
                count += np.float32(good)
            weight[star, b] = count
            flux[star, b] = total / count if count > 0 else np.nan
            flat[b] = total_flat / count if count > 0 else np.nan
        level, sigma = level_and_scatter(flat, work)
        low = np.float32(level - DIP_SIGMA * sigma)
        for b in range(n_bins):
            if not flat[b] >= low:
                flux[star, b] = np.nan
                weight[star, b] = 0
        level, sigma = level_and_scatter(flux[star], work)
        reach = np.float32(OUTLIER_SIGMA * sigma)
        for b in range(n_bins):
            if weight[star, b] > 0:
                flux[star, b] = min(max(flux[star, b] - np.float32(level), -reach), reach)
            else:
                flux[star, b] = 0
        _take_line_out(flux[star], weight[star])
    return flux, weight


@njit(cache=True, nogil=True)
def _take_line_out(flux, weight):
    """Subtract the weighted straight line, in place."""
    n = len(flux)
    sw = sx = sxx = sy = sxy = 0.0
    for b in range(n):
        x = b / n - 0.5
        sw += weight[b]
        sx += weight[b] * x
        sxx += weight[b] * x * x
        sy += weight[b] * flux[b]
        sxy += weight[b] * x * flux[b]
    determinant = sw * sxx - sx * sx
    if not determinant > 0:
        return
    level = (sxx * sy - sx * sxy) / determinant
    slope = (sw * sxy - sx * sy) / determinant
    for b in range(n):
        if weight[b] > 0:
            flux[b] -= np.float32(level + slope * (b / n - 0.5))


def periodograms(flux: np.ndarray, weight: np.ndarray, bin_d: float) -> Periodograms:
    """Generalised Lomb-Scargle periodograms, up to the Nyquist frequency of the bins.

    Parameters
    ----------
    flux : (star, bin) float32
        Around 0; 0 where the weight is.
    weight : (star, bin) float32
        Inverse variance in any unit.
    bin_d : float
        Days from bin to bin.

    Returns
    -------
    Periodograms
        The power is that of astropy's ``LombScargle`` with its standard normalisation.
    """
    n_stars, n = flux.shape
    if n < FEWEST_BINS:
        nothing = np.empty((n_stars, 0), np.float32)
        return Periodograms(np.empty(0), nothing, nothing, np.zeros(n_stars, np.int64), 0.0)
    length = scipy.fft.next_fast_len(OVERSAMPLING * n, real=True)
    length += length % 2
    total = np.maximum(weight.sum(axis=1, keepdims=True), np.float32(1e-30))
    share = weight / total
    step = 1.0 / (length * bin_d)
    first = int(np.ceil(1.0 / (n * bin_d * step)))
    power, amplitude = _power(
        flux, share, scipy.fft.rfft(flux * share, length, axis=1), scipy.fft.rfft(share, length, axis=1), first
    )
    frequency = step * np.arange(first, first + power.shape[1])
    return Periodograms(frequency, power, amplitude, np.count_nonzero(weight, axis=1), n * bin_d)


@njit(cache=True, nogil=True)
def _power(flux, share, products, window, first):
    """Eqs. 4-15 of Zechmeister & Kürster (2009), from the transforms of weighted flux and of the weights."""
    n_stars, half = products.shape
    length = 2 * (half - 1)
    n = half - 1 - first
    power = np.zeros((n_stars, n), np.float32)
    amplitude = np.zeros((n_stars, n), np.float32)
    for star in range(n_stars):
        mean = products[star, 0].real
        variance = np.float32(0)
        for b in range(flux.shape[1]):
            variance += share[star, b] * flux[star, b] * flux[star, b]
        variance -= mean * mean
        if not variance > 0:
            continue
        for i in range(n):
            k = i + first
            double = 2 * k
            if double < half:
                cos_two, sin_two = window[star, double].real, -window[star, double].imag
            else:
                cos_two, sin_two = window[star, length - double].real, window[star, length - double].imag
            c, s = window[star, k].real, -window[star, k].imag
            cc = np.float32(0.5) * (np.float32(1) + cos_two) - c * c
            ss = np.float32(0.5) * (np.float32(1) - cos_two) - s * s
            cs = np.float32(0.5) * sin_two - c * s
            yc = products[star, k].real - mean * c
            ys = -products[star, k].imag - mean * s
            determinant = cc * ss - cs * cs
            if determinant > np.float32(1e-4):
                a = (yc * ss - ys * cs) / determinant
                b = (ys * cc - yc * cs) / determinant
                power[star, i] = (a * yc + b * ys) / variance
                amplitude[star, i] = np.sqrt(a * a + b * b)
    return power, amplitude


def vertex(power: np.ndarray, peak: int, frequency: np.ndarray) -> tuple[float, float]:
    """Height and frequency of the parabola through a peak and its neighbours."""
    if peak in {0, len(power) - 1}:
        return float(power[peak]), float(frequency[peak])
    before, at, after = (float(p) for p in power[peak - 1 : peak + 2])
    curvature = before - 2 * at + after
    shift = 0.5 * (before - after) / curvature if curvature < 0 else 0.0
    height = at - 0.25 * (before - after) * shift
    return min(height, 1.0), float(frequency[peak] + shift * (frequency[1] - frequency[0]))


def log_false_alarm(power: float, n: float, highest: float, span_d: float) -> float:
    """Logarithm to base 10 of the probability that white noise has a peak so high.

    Parameters
    ----------
    power : float
        Standard normalisation, 0 to 1.
    n : float
        Number of data.
    highest : float
        Highest frequency, 1/d.
    span_d : float
        Days; the data are taken to be spread evenly over it.

    Notes
    -----
    Eqs. 5 and 6 and table 1 of Baluev (2008, MNRAS 385, 1279), with the sum in place of the product where both are
    small.
    """
    if n < 5 or not 0 < power < 1:
        return -np.inf if power >= 1 else 0.0
    gamma = gammaln((n - 1) / 2) - gammaln((n - 2) / 2) + 0.5 * np.log(2 / (n - 1))
    effective_d = span_d * np.sqrt(np.pi / 3)
    single = 0.5 * (n - 3) * np.log1p(-power)
    crossings = (
        gamma
        + np.log(max(highest * effective_d, 1e-30))
        + 0.5 * (n - 4) * np.log1p(-power)
        + 0.5 * np.log(0.5 * (n - 1) * power)
    )
    log_sum = np.logaddexp(single, crossings)
    if log_sum > np.log(0.01):
        log_sum = np.log(-np.expm1(np.log1p(-min(np.exp(single), 1 - 1e-12)) - np.exp(min(crossings, 50.0))))
    return float(min(log_sum, 0.0) / np.log(10))

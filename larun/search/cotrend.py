"""Systematics that the stars of one CCD share, learnt from the other stars of the shard and taken out of each.

As the mission's PDC-MAP (Smith et al. 2012, PASP 124, 1000): common modes of the light curves, fitted to each star
robustly, with what the fits of all stars say about a coefficient as its prior. Here on detrended flux, so that only
what hides transits matters, and with modes that are learnt without the star they are fitted to, so that no star's own
transits are in its modes.
"""

from __future__ import annotations

import numpy as np
from numba import njit

from larun.lightcurve import Star
from larun.search.prewhiten import transit_cadences, transit_scatter
from larun.selection import level_and_scatter, median
from larun.units import MAD_TO_SIGMA, MINUTES_PER_DAY

BIN_MINUTES = 30.0

FEWEST_STARS = 16
"""Stars of one CCD from which modes are learnt."""

FOLDS = 8
"""The modes of a star are learnt from the stars of the other folds; neighbours in the shard are in different ones."""

QUIET_SHARE = 0.7
"""Share of the stars, the calmest, that modes and priors are learnt from."""

CLIP_SIGMA = 4.0
"""Bins are moved so near before modes are learnt: transits and flares of a star are no common mode."""

MOST_MODES = 4

EVIDENCE = 1.5
"""A mode is real if the coefficients of stars that it was not learnt from scatter so much more than their errors."""

PART_D = 1.0
"""What is subtracted on one such part of the time series, days, is fitted to the others: no transit fits itself."""

ITERATIONS = 4
HUBER_SIGMA = 2.0
OUTLIER_SIGMA = 5.0
"""Bins so far from the fit have no weight: transits and flares have no say in it."""

LESS = 0.97
"""A star is corrected where that brings its scatter on the time scale of transits below this share."""

_MEDIAN_CHI_SQUARE = 0.4549
"""Median of a squared normal number."""


def groups_of(stars: tuple[Star, ...]) -> np.ndarray:
    """Number of each star's CCD, (star,) int64; 0 where not known."""
    return np.array([100 * star.camera + star.ccd if star.ccd else 0 for star in stars], np.int64)


def cotrend(detrended: np.ndarray, time: np.ndarray, cadence_d: float, group: np.ndarray) -> np.ndarray:
    """Common systematics of each star.

    Parameters
    ----------
    detrended : (star, cadence) float32
        Around 1, NaN where masked.
    time : (cadence,) float64
        Days, increasing.
    cadence_d : float
        Days.
    group : (star,) int
        Stars with the same positive number share systematics.

    Returns
    -------
    (star, cadence) float32
        To be subtracted from `detrended`; 0 for stars that are not corrected, such as all of a group with fewer than
        `FEWEST_STARS`.
    """
    model = np.zeros(detrended.shape, np.float32)
    if not len(time):
        return model
    bin_d = max(BIN_MINUTES / MINUTES_PER_DAY, cadence_d)
    bin_of = np.floor((time - time[0]) / bin_d + 1e-6).astype(np.int32)
    part = (np.arange(bin_of[-1] + 1) * bin_d / PART_D).astype(np.int64)
    cadences = transit_cadences(cadence_d)
    numbers, count = np.unique(group[group > 0], return_counts=True)
    for number in numbers[count >= FEWEST_STARS]:
        rows = np.flatnonzero(group == number)
        for row, common in zip(rows, _shared(detrended[rows], bin_of, part), strict=True):
            correction = common[bin_of]
            before = transit_scatter(detrended[row], cadences)
            if common.any() and transit_scatter(detrended[row] - correction, cadences) < LESS * before:
                model[row] = correction
    return model


def _shared(detrended: np.ndarray, bin_of: np.ndarray, part: np.ndarray) -> np.ndarray:
    """Fitted common modes of the stars of one CCD, (star, bin) float32."""
    flux, unit, sigma = _standardised(np.ascontiguousarray(detrended), bin_of)
    nothing = np.zeros(flux.shape, np.float32)
    known = np.isfinite(sigma) & (sigma > 0)
    if np.count_nonzero(known) < FEWEST_STARS:
        return nothing
    quiet = known & (sigma <= np.quantile(sigma[known], QUIET_SHARE))
    gram = unit @ unit.T
    fold = np.arange(len(flux)) % FOLDS
    modes = [_modes(unit, gram, np.flatnonzero(quiet & (fold != f))) for f in range(FOLDS)]
    value, error = np.zeros((2, len(flux), MOST_MODES))
    n_parts = part[-1] + 1
    without = np.zeros((len(flux), n_parts, MOST_MODES))
    for star in np.flatnonzero(known):
        value[star], error[star], without[star] = _robust_fit(flux[star], modes[fold[star]], part, n_parts)
    strength = np.where(error > 0, value / np.where(error > 0, error, 1.0), 0.0)
    excess = np.median(strength[quiet] ** 2, axis=0) / _MEDIAN_CHI_SQUARE
    width = np.median(value[quiet] ** 2, axis=0) / _MEDIAN_CHI_SQUARE - np.median(error[quiet] ** 2, axis=0)
    prior = np.where(excess > EVIDENCE, np.maximum(width, 0.0), 0.0)
    if not prior.any():
        return nothing
    share = prior / (prior + error**2 + 1e-30)
    for star in np.flatnonzero(known):
        nothing[star] = np.sum((without[star] * share[star])[part].T * modes[fold[star]], axis=0)
    return nothing


def _modes(unit: np.ndarray, gram: np.ndarray, rows: np.ndarray) -> np.ndarray:
    """Strongest principal components of some stars, (mode, bin), of unit variance."""
    _, vectors = np.linalg.eigh(gram[np.ix_(rows, rows)])
    modes = vectors[:, : -MOST_MODES - 1 : -1].T.astype(np.float32) @ unit[rows]
    modes -= modes.mean(axis=1, keepdims=True)
    return modes / np.maximum(modes.std(axis=1, keepdims=True), np.float32(1e-12))


@njit(cache=True, nogil=True)
def _standardised(detrended, bin_of):
    """Bin means around 0, NaN where there are none; the same over their scatter, clipped, 0 for NaN; the scatter."""
    n_stars, n = detrended.shape
    n_bins = bin_of[-1] + 1
    flux = np.zeros((n_stars, n_bins), np.float32)
    unit = np.zeros((n_stars, n_bins), np.float32)
    sigmas = np.empty(n_stars)
    count = np.empty(n_bins, np.int32)
    work = np.empty(n_bins, np.float32)
    limit = np.float32(CLIP_SIGMA)
    for star in range(n_stars):
        count[:] = 0
        for k in range(n):
            if np.isfinite(detrended[star, k]):
                flux[star, bin_of[k]] += detrended[star, k]
                count[bin_of[k]] += 1
        for b in range(n_bins):
            flux[star, b] = flux[star, b] / np.float32(count[b]) if count[b] > 0 else np.nan
        level, sigma = level_and_scatter(flux[star], work)
        sigmas[star] = sigma
        for b in range(n_bins):
            flux[star, b] -= np.float32(level)
            if sigma > 0 and count[b] > 0:
                unit[star, b] = min(max(flux[star, b] / np.float32(sigma), -limit), limit)
    return flux, unit, sigmas


@njit(cache=True, nogil=True)
def _robust_fit(flux, modes, part, n_parts):
    """Coefficients of the modes, their errors, and the coefficients without each part of the time series.

    Huber's weights, outliers left out.
    """
    n_modes, n = modes.shape
    work = np.empty(n)
    weight = np.isfinite(flux).astype(np.float64)
    value, error = np.zeros(n_modes), np.zeros(n_modes)
    normal = np.empty((n_parts, n_modes, n_modes))
    right = np.empty((n_parts, n_modes))
    without = np.zeros((n_parts, n_modes))
    for _ in range(ITERATIONS):
        _sums(flux, modes, weight, part, normal, right)
        all_normal, all_right = normal.sum(axis=0), right.sum(axis=0)
        ridge = (1e-9 * np.trace(all_normal) + 1e-30) * np.eye(n_modes)
        value = np.linalg.solve(all_normal + ridge, all_right)
        scale = _reweight(flux, modes, value, weight, work)
        if not scale > 0:
            return value, error, without
        for i in range(n_modes):
            error[i] = scale / np.sqrt(all_normal[i, i] + ridge[i, i])
    for p in range(n_parts):
        without[p] = np.linalg.solve(all_normal - normal[p] + ridge, all_right - right[p])
    return value, error, without


@njit(cache=True, nogil=True)
def _sums(flux, modes, weight, part, normal, right):
    """Fill the normal equations of each part."""
    n_modes, n = modes.shape
    normal[:] = 0
    right[:] = 0
    for b in range(n):
        if weight[b] > 0:
            for i in range(n_modes):
                weighted = weight[b] * modes[i, b]
                right[part[b], i] += weighted * flux[b]
                for j in range(n_modes):
                    normal[part[b], i, j] += weighted * modes[j, b]


@njit(cache=True, nogil=True)
def _reweight(flux, modes, value, weight, work):
    """Fill Huber's weights of the residuals; return their scale, 0 where there is none."""
    n_modes, n = modes.shape
    residual = np.empty(n)
    m = 0
    for b in range(n):
        if np.isfinite(flux[b]):
            r = np.float64(flux[b])
            for i in range(n_modes):
                r -= value[i] * modes[i, b]
            residual[b] = r
            work[m] = abs(r)
            m += 1
    scale = MAD_TO_SIGMA * median(work, m) if m > 0 else 0.0
    for b in range(n):
        if np.isfinite(flux[b]) and scale > 0:
            size = abs(residual[b])
            weight[b] = 0.0 if size > OUTLIER_SIGMA * scale else min(1.0, HUBER_SIGMA * scale / max(size, 1e-30))
    return scale

"""Waves taken out of stars whose variability the sliding trend cannot follow.

Iterative pre-whitening as asteroseismology does it: the strongest wave of the residuals joins the model and all waves
are fitted together, until no wave is left that matters. Amplitude and phase of each may drift along a straight line, as
those of spots do. Bins far from the model, transits and flares among them, have no say in the next fit.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numba import njit

from larun.search.periodogram import bin_length_d, even_bins, log_false_alarm, periodograms, vertex
from larun.search.variability import NONE
from larun.selection import level_and_scatter, point_to_point_scatter
from larun.units import HOURS_PER_DAY, PPM

TRANSIT_H = 2.0
"""Time scale on which the scatter has to get smaller."""

LEFT_OVER = 1.0
"""Waves are fitted where the trend leaves more than this amplitude, in units of the white noise over `TRANSIT_H`."""

FAST_D, LARGEST_FAST_WAVE = 1.0, 0.04
"""Faster and larger waves are contact binaries and RR Lyrae stars; without their waves they would pass for planets."""

SLOW_D, SLOW_BINS = 0.5, 3
"""Waves slower than this are fitted in bins that are longer by this factor."""

HARMLESS = 0.3
"""The model ends where the trend leaves no wave with more than this amplitude, in the same unit."""

MOST_WAVES = 12
LOG_FAP = -4.0
"""Waves that white noise makes more often end the model."""

RESIDUAL_SIGMA = 4.0
"""Bins so far from the model are left out of the next fit."""

BOX_LIKE = 1.0
"""A wave is part of a transit if a box explains more of the folded residuals, in units of what the wave explains."""

SUBHARMONICS = (1, 2, 3)
"""Multiples of a wave's period at which a transit may repeat."""

PHASE_BINS = 60
WIDEST_BOX = 9
"""Phase bins of the widest box, 15 % of the period."""

LESS = 0.8
"""The model is used where it brings the scatter on the time scale of transits below this share."""


def left_over(period_d: np.ndarray, amplitude: np.ndarray, window_d: float) -> np.ndarray:
    """Amplitude of a wave after a sliding mean over `window_d` is taken out, in the unit of `amplitude`."""
    return amplitude * np.abs(1 - np.sinc(window_d / period_d))


def candidates(variability: dict, sigma: np.ndarray, cadence_d: float, window_d: float) -> np.ndarray:
    """Rows of the stars whose strongest wave the trend leaves well above the noise.

    Parameters
    ----------
    variability : dict of str to (star,) array
        From `larun.search.variability.variability`.
    sigma : (star,) float
        Scatter per cadence of the detrended flux.
    cadence_d, window_d : float
        Days.
    """
    amplitude = variability["variability_amplitude_ppm"] / PPM
    noise = sigma * np.sqrt(min(cadence_d * HOURS_PER_DAY / TRANSIT_H, 1.0))
    period_d = variability["variability_period_d"]
    star = (amplitude < LARGEST_FAST_WAVE) | (period_d > FAST_D)
    needy = left_over(period_d, amplitude, window_d) > LEFT_OVER * noise
    return np.flatnonzero((variability["variability_kind"] != NONE) & star & needy)


def waves(
    relative: np.ndarray, detrended: np.ndarray, time: np.ndarray, bin_d: float, cadence_d: float, window_d: float
) -> tuple[np.ndarray, int]:
    """Model of one star's variability.

    Parameters
    ----------
    relative, detrended : (cadence,) float32
        Flux around 1 before and after the trend is taken out, NaN where masked.
    time : (cadence,) float64
        Days, increasing.
    bin_d : float
        Days from one point of the fit to the next, a small part of a period.
    cadence_d, window_d : float
        Days.

    Returns
    -------
    model : (cadence,) float32
        Around 0; exactly 0 where there is no wave that is no transit.
    n_waves : int
        Waves that it is made of.
    """
    flux, weight = even_bins(relative[None], detrended[None], time, bin_d)
    y, w = flux[0].astype(np.float64), weight[0].astype(np.float64)
    middle = np.arange(len(y)) * bin_d + 0.5 * (bin_d - cadence_d)
    residual, used = y, w
    columns, frequencies = np.empty((len(y), 4 * MOST_WAVES)), []
    while len(frequencies) < MOST_WAVES:
        frequency = _next(residual, used, bin_d, window_d)
        if frequency is None:
            break
        n = 4 * len(frequencies)
        columns[:, n : n + 4] = _columns(middle, frequency)
        frequencies.append(frequency)
        smeared = np.repeat(np.sinc(np.multiply(frequencies, bin_d)) / np.sinc(np.multiply(frequencies, cadence_d)), 4)
        solution = _solve(columns[:, : n + 4], y, used, smeared)
        residual = y - columns[:, : n + 4] @ (smeared * solution)
        level, sigma = level_and_scatter(np.where(used > 0, residual, np.nan), np.empty(len(y)))
        used = np.where(np.abs(residual - level) < RESIDUAL_SIGMA * sigma, w, 0.0)
        residual = np.where(w > 0, residual - level, 0.0)
    if not frequencies:
        return np.zeros(len(time), np.float32), 0
    return _at_cadences(time - time[0], columns, solution, np.array(frequencies), middle), len(frequencies)


def _next(residual: np.ndarray, used: np.ndarray, bin_d: float, window_d: float) -> float | None:
    """Frequency of the strongest wave in the residuals; None where none is left that matters.

    Nothing matters that white noise, a transit or the sliding trend explain.
    """
    values = np.where(used > 0, residual, 0.0).astype(np.float32)
    spectra = periodograms(values[None], used[None].astype(np.float32), bin_d)
    if not len(spectra.frequency):
        return None
    power = spectra.power[0]
    noise = point_to_point_scatter(np.where(used > 0, residual, np.nan))
    remains = left_over(1 / spectra.frequency, spectra.amplitude[0], window_d).max()
    if remains < HARMLESS * noise * np.sqrt(min(bin_d * HOURS_PER_DAY / TRANSIT_H, 1.0)):
        return None
    height, frequency = vertex(power, int(np.argmax(power)), spectra.frequency)
    if log_false_alarm(height, spectra.n_bins[0], spectra.frequency[-1], spectra.span_d) > LOG_FAP:
        return None
    return None if is_box(residual, used, bin_d * frequency, height) else frequency


@njit(cache=True, nogil=True)
def is_box(residual, used, cycles_per_bin, power):
    """Whether a box explains more of the residuals than a wave, at the wave's period or a multiple of it.

    A transit of depth d and duty cycle q explains q (1 - q) d^2, and the wave at its period 2 q^2 d^2: a fifth of
    it at q = 0.1. Of a pure wave a box explains a third.

    Parameters
    ----------
    residual, used : (bin,) float64
        Flux and its weight.
    cycles_per_bin : float
        Frequency of the wave times the length of a bin.
    power : float
        Share of the variance that the wave explains.
    """
    sw = sf = sff = 0.0
    for i in range(len(residual)):
        sw += used[i]
        sf += used[i] * residual[i]
        sff += used[i] * residual[i] * residual[i]
    if not sw > 0:
        return False
    wave = power * (sff / sw - (sf / sw) ** 2)
    total, count = np.empty(PHASE_BINS), np.empty(PHASE_BINS)
    for multiple in SUBHARMONICS:
        total[:] = 0
        count[:] = 0
        for i in range(len(residual)):
            phase = i * cycles_per_bin / multiple
            b = int((phase - int(phase)) * PHASE_BINS)
            total[b] += residual[i] * used[i]
            count[b] += used[i]
        if _box_gain(total, count) > BOX_LIKE * wave:
            return True
    return False


@njit(cache=True, nogil=True)
def _box_gain(total, count):
    """Share of the mean square that the best dimming box takes out of folded data."""
    whole, everything = total.sum(), count.sum()
    best = 0.0
    for first in range(PHASE_BINS):
        inside = n = 0.0
        for width in range(WIDEST_BOX):
            inside += total[(first + width) % PHASE_BINS]
            n += count[(first + width) % PHASE_BINS]
            if n <= 0 or n >= everything:
                continue
            depth = (whole - inside) / (everything - n) - inside / n
            if depth > 0:
                best = max(best, depth * depth * n * (everything - n) / (everything * everything))
    return best


def _columns(offset_d: np.ndarray, frequency: float) -> np.ndarray:
    """Wave whose amplitude and phase drift linearly, (time, 4)."""
    angle = 2 * np.pi * frequency * offset_d
    cosine, sine = np.cos(angle), np.sin(angle)
    drift = 2 * offset_d / max(offset_d[-1], 1e-9) - 1
    return np.stack([cosine, sine, drift * cosine, drift * sine], axis=1)


def _solve(columns: np.ndarray, y: np.ndarray, weight: np.ndarray, scale: np.ndarray) -> np.ndarray:
    """Weighted least squares; a trace of ridge keeps waves that are near each other from running away."""
    weighted = columns * weight[:, None]
    normal = columns.T @ weighted * np.outer(scale, scale)
    ridge = 1e-6 * np.trace(normal) / len(normal)
    return np.linalg.solve(normal + ridge * np.eye(len(normal)), scale * (weighted.T @ y))


@njit(cache=True, nogil=True)
def _at_cadences(offset, columns, solution, frequencies, middle):
    """Sum of the waves at every cadence: from the nearest point of the fit by the series of sine and cosine."""
    model = np.zeros(len(offset), np.float32)
    per_bin = 1 / (middle[1] - middle[0])
    for k in range(len(offset)):
        b = min(max(int((offset[k] - middle[0]) * per_bin + 0.5), 0), len(middle) - 1)
        turn = 2 * np.pi * (offset[k] - middle[b])
        drift = 2 * offset[k] / middle[-1] - 1
        total = 0.0
        for i in range(len(frequencies)):
            x = turn * frequencies[i]
            xx = x * x
            c = 1 - xx * (1 / 2 - xx * (1 / 24 - xx * (1 / 720)))
            s = x * (1 - xx * (1 / 6 - xx * (1 / 120 - xx * (1 / 5040))))
            cosine = columns[b, 4 * i] * c - columns[b, 4 * i + 1] * s
            sine = columns[b, 4 * i + 1] * c + columns[b, 4 * i] * s
            total += (solution[4 * i] + drift * solution[4 * i + 2]) * cosine
            total += (solution[4 * i + 1] + drift * solution[4 * i + 3]) * sine
        model[k] = total
    return model


def transit_cadences(cadence_d: float) -> int:
    """Cadences of `TRANSIT_H`, at least 1."""
    return max(round(TRANSIT_H / HOURS_PER_DAY / cadence_d), 1) if cadence_d > 0 else 1


@njit(cache=True, nogil=True)
def transit_scatter(flux, cadences):
    """Robust scatter of means over so many neighbouring cadences, side by side; NaN where fewer than 10 have half."""
    n = len(flux) // cadences
    means = np.empty(n)
    m = 0
    for b in range(n):
        total = 0.0
        count = 0
        for k in range(b * cadences, (b + 1) * cadences):
            if np.isfinite(flux[k]):
                total += flux[k]
                count += 1
        if 2 * count >= cadences:
            means[m] = total / count
            m += 1
    if m < 10:
        return np.nan
    _, sigma = level_and_scatter(means[:m], np.empty(m))
    return sigma


def without_waves(
    relative: np.ndarray, detrended: np.ndarray, variability: dict, sigma: np.ndarray, time: np.ndarray,
    cadence_d: float, window_d: float,
) -> Iterator[tuple[int, np.ndarray, int]]:  # fmt: skip
    """Yield row, flux over its waves, (cadence,) float32, and number of waves, of the stars that have any."""
    bin_d = bin_length_d(time, cadence_d)
    for row in candidates(variability, sigma, cadence_d, window_d):
        coarse = SLOW_BINS if variability["variability_period_d"][row] > SLOW_D else 1
        model, n_waves = waves(relative[row], detrended[row], time, coarse * bin_d, cadence_d, window_d)
        if n_waves and (1 + model).min() > 0:
            yield int(row), relative[row] / (1 + model), n_waves

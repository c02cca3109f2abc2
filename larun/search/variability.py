"""Rotation and pulsation of the stars of a shard, from the strongest peaks of their periodograms."""

from __future__ import annotations

import numpy as np

from larun.search.periodogram import (
    FEWEST_BINS,
    Periodograms,
    bin_length_d,
    even_bins,
    log_false_alarm,
    periodograms,
    vertex,
)
from larun.units import PPM

BLOCK = 16
"""Stars that are transformed at a time: their sums stay in the cache."""

SIGNIFICANT_LOG_FAP = -6.0
"""Peaks that noise makes more often are no variability. Far below 1 %: residual systematics are not white."""

SMALLEST_SHARE = 0.05
"""Peaks that carry less of the variance are no variability either."""

FEWEST_CYCLES = 2
"""What has not been seen to repeat is no period."""

FASTEST_ROTATION_D = 0.2
"""Single stars rotate slower (Matt et al. 2015 and the fastest M dwarfs of Newton et al. 2016, ApJ 821, 93)."""

RIVAL_SHARE = 0.2
"""A second peak with so much of the power of the first that is no harmonic of it is a further pulsation."""

SLOWEST_PULSATION_D = 0.6
"""Several frequencies make pulsation only where the strongest is faster: spots drift, live and die."""

NONE, ROTATION, PULSATION = 0, 1, 2
"""Kinds of variability."""


def variability(relative: np.ndarray, detrended: np.ndarray, time: np.ndarray, cadence_d: float) -> dict:
    """Strongest period of each star.

    Parameters
    ----------
    relative : (star, cadence) float32
        Flux around 1, not detrended, NaN where masked.
    detrended : (star, cadence) float32
        Flux over its trend; NaN cadences and deep dips of it are left out.
    time : (cadence,) float64
        Days, increasing.
    cadence_d : float
        Time between cadences, days.

    Returns
    -------
    dict of str to (star,) array
        `variability_period_d`, `variability_amplitude_ppm`, `variability_power`, `variability_log_fap`,
        `variability_kind`, as `larun.schema.EVENT_COLUMNS` describes them; NaN and 0 where there is too little.
    """
    n = len(relative)
    found = {
        "variability_period_d": np.full(n, np.nan),
        "variability_amplitude_ppm": np.full(n, np.nan, np.float32),
        "variability_power": np.full(n, np.nan, np.float32),
        "variability_log_fap": np.full(n, np.nan, np.float32),
        "variability_kind": np.zeros(n, np.uint8),
    }
    bin_d = bin_length_d(time, cadence_d)
    for first in range(0, n, BLOCK):
        rows = slice(first, first + BLOCK)
        flux, weight = even_bins(relative[rows], detrended[rows], time, bin_d)
        spectra = periodograms(flux, weight, bin_d)
        if not len(spectra.frequency):
            break
        for i, (power, amplitude, n_bins) in enumerate(
            zip(spectra.power, spectra.amplitude, spectra.n_bins, strict=True)
        ):
            if n_bins < FEWEST_BINS:
                continue
            peak = int(np.argmax(power))
            height, frequency = vertex(power, peak, spectra.frequency)
            log_fap = log_false_alarm(height, n_bins, spectra.frequency[-1], spectra.span_d)
            found["variability_period_d"][first + i] = 1 / frequency
            found["variability_amplitude_ppm"][first + i] = amplitude[peak] * PPM
            found["variability_power"][first + i] = height
            found["variability_log_fap"][first + i] = log_fap
            found["variability_kind"][first + i] = _kind(power, peak, spectra, log_fap)
    return found


def _kind(power: np.ndarray, peak: int, spectra: Periodograms, log_fap: float) -> int:
    """Rotation, pulsation or none."""
    frequency = spectra.frequency[peak]
    repeats = frequency * spectra.span_d >= FEWEST_CYCLES
    if log_fap > SIGNIFICANT_LOG_FAP or power[peak] < SMALLEST_SHARE or not repeats:
        return NONE
    if 1 / frequency < FASTEST_ROTATION_D:
        return PULSATION
    if 1 / frequency > SLOWEST_PULSATION_D:
        return ROTATION
    step = spectra.frequency[1] - spectra.frequency[0]
    others = power.copy()
    reach = round(4 / spectra.span_d / step)
    for ratio in (0.0, 0.5, 1.0, 1.5, 2.0, 3.0, 4.0):
        at = round((ratio * frequency - spectra.frequency[0]) / step)
        others[max(at - reach, 0) : max(at + reach + 1, 0)] = 0
    return PULSATION if others.max() > RIVAL_SHARE * power[peak] else ROTATION

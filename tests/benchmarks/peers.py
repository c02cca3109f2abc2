"""The published methods that larun is measured against, each as one call on one light curve."""

from __future__ import annotations

import os
import warnings
from dataclasses import dataclass

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
import wotan
from astropy.timeseries import BoxLeastSquares
from scipy.ndimage import median_filter
from transitleastsquares import transitleastsquares

TLS_RADIUS = 0.88
"""Stellar radius that lets TLS search from 0.5 d; by default it stops at 0.6 d, three radii from a Sun."""

SDE_KERNEL = 91
"""Trial periods in the running median that TLS takes out of its spectrum, at its default oversampling."""


@dataclass(frozen=True, slots=True)
class Peak:
    """A peer's best period by one of its statistics; 0 and NaN where it found none."""

    value: float
    period_d: float


NOTHING = Peak(0.0, np.nan)


def wotan_flat(time: np.ndarray, flux: np.ndarray, window_d: float) -> np.ndarray:
    """wotan's biweight."""
    return wotan.flatten(time, flux, method="biweight", window_length=window_d, break_tolerance=0.5)


def astropy_search(time, flux, frequency, durations, oversample: int = 5):
    """astropy's fast box least squares over the finite cadences."""
    good = np.isfinite(flux)
    search = BoxLeastSquares(time[good], flux[good])
    return search.power(1 / frequency, durations, objective="snr", method="fast", oversample=oversample)


def tls_search(time, flux, period_min: float, period_max: float, radius: float = 1.0):
    """Transit least squares with its defaults over the finite cadences, one thread."""
    good = np.isfinite(flux)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model = transitleastsquares(time[good], flux[good].astype(np.float64), verbose=False)
        return model.power(
            period_min=period_min, period_max=period_max, R_star=radius, use_threads=1, show_progress_bar=False
        )


def bls_peaks(time: np.ndarray, flux: np.ndarray, frequency: np.ndarray, durations: np.ndarray) -> dict[str, Peak]:
    """Best period of astropy's box least squares by each statistic in use.

    Parameters
    ----------
    time, flux : (cadence,) float
        Days, and detrended flux, NaN where missing.
    frequency : (period,) float64
        Trial frequencies, 1/d.
    durations : (duration,) float64
        Days.

    Returns
    -------
    dict
        ``snr``: depth over its error; ``sde``: as published, over mean and scatter of the whole spectrum (Kovács et
        al. 2002, eq. 6); ``sde_flat``: the same with a running median taken out first, as TLS does.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        result = astropy_search(time, flux, frequency, durations, oversample=10)
    spectrum = np.nan_to_num(np.maximum(np.asarray(result.depth_snr), 0))
    # astropy knows no errors here and takes 1 for each cadence.
    sigma = np.nanstd(flux)
    flat = spectrum - median_filter(spectrum, SDE_KERNEL, mode="nearest")
    own = {"snr": spectrum / sigma, "sde": _standard(spectrum), "sde_flat": _standard(flat)}
    return {name: Peak(float(values.max()), float(1 / frequency[values.argmax()])) for name, values in own.items()}


def tls_peaks(time: np.ndarray, flux: np.ndarray, period_min: float, period_max: float) -> dict[str, Peak]:
    """Best period of transit least squares with its SDE and its SNR; as `bls_peaks`."""
    result = tls_search(time, flux, period_min, period_max, TLS_RADIUS)
    period = float(result.period)
    return {name: Peak(float(np.nan_to_num(result[key])), period) for name, key in (("sde", "SDE"), ("snr", "snr"))}


def _standard(spectrum: np.ndarray) -> np.ndarray:
    return (spectrum - spectrum.mean()) / (spectrum.std() or 1.0)

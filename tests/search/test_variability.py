"""Rotation and pulsation of made light curves."""

import numpy as np
import pytest

from larun.search.detrend import detrend
from larun.search.variability import NONE, PULSATION, ROTATION, variability

CADENCE_D = 1 / 48


def stars(*signals, days=27.0, noise=3e-4, seed=0):
    """Time, and relative flux of stars that vary as functions of time."""
    time = 1325 + np.arange(0, days, CADENCE_D)
    rng = np.random.default_rng(seed)
    flux = np.stack([1 + signal(time) + rng.normal(0, noise, len(time)) for signal in signals]).astype(np.float32)
    flux[:, (time > 1338) & (time < 1339)] = np.nan
    return time, flux


def measured(time, flux):
    return variability(flux, detrend(flux, time, 1.0), time, CADENCE_D)


def wave(period_d, amplitude, phase=0.3):
    return lambda time: amplitude * np.sin(2 * np.pi * (time / period_d + phase))


def test_rotation_and_pulsation_are_told_apart():
    time, flux = stars(
        wave(0.725, 5e-3),
        lambda t: wave(0.1, 3e-3)(t) + wave(0.083, 1e-3)(t),
        lambda t: wave(0.5, 3e-3)(t) + wave(0.37, 2e-3)(t),
        lambda t: wave(3.1, 2e-3)(t) + wave(1.55, 1e-3)(t),
        wave(9.0, 1e-3),
    )
    found = measured(time, flux)
    np.testing.assert_allclose(found["variability_period_d"], [0.725, 0.1, 0.5, 3.1, 9.0], rtol=0.02)
    np.testing.assert_allclose(found["variability_amplitude_ppm"], [5000, 3000, 3000, 2000, 1000], rtol=0.1)
    assert found["variability_kind"].tolist() == [ROTATION, PULSATION, PULSATION, ROTATION, ROTATION]
    assert (found["variability_log_fap"] < -20).all()


def test_noise_a_slope_and_transits_are_no_variability():
    def transits(time):
        return np.where(np.abs((time - 1326.3) % 2.2 - 1.1) < 0.06, -0.01, 0.0)

    time, flux = stars(lambda t: 0 * t, lambda t: 2e-3 * (t - t[0]), transits)
    found = measured(time, flux)
    assert found["variability_kind"].tolist() == [NONE] * 3
    assert (found["variability_log_fap"] > -3).all()


def test_what_is_seen_once_is_no_period():
    time, flux = stars(wave(25.0, 5e-3))
    assert measured(time, flux)["variability_kind"][0] == NONE


@pytest.mark.parametrize("n", [0, 1, 5, 200])
def test_too_little_is_not_measured(n):
    flux = np.full((3, n), np.nan, np.float32)
    flux[1] = 1.0
    flux[2, : n // 10] = 1 + np.arange(n // 10) % 2
    found = variability(flux, flux, 1325 + np.arange(n) * CADENCE_D, CADENCE_D)
    assert found["variability_kind"].tolist() == [NONE] * 3
    assert np.isnan(found["variability_period_d"][[0, 2]]).all()


def test_long_series_have_longer_bins():
    time = np.arange(0, 1400.0, CADENCE_D)
    rng = np.random.default_rng(3)
    flux = (1 + 1e-3 * np.sin(2 * np.pi * time / 40) + rng.normal(0, 1e-4, len(time))).astype(np.float32)[None]
    found = measured(time, flux)
    assert found["variability_period_d"][0] == pytest.approx(40, rel=0.01)

"""Periodograms beside those of astropy, and the bins that they are made of."""

import numpy as np
import pytest
from astropy.timeseries import LombScargle

from larun.search.detrend import detrend
from larun.search.periodogram import even_bins, log_false_alarm, periodograms

CADENCE_D = 1 / 48


def test_periodogram_is_that_of_astropy():
    rng = np.random.default_rng(1)
    time = np.arange(900) * 0.01
    weight = rng.integers(0, 6, (3, 900)).astype(np.float32)
    weight[:, 300:420] = 0
    flux = (0.02 * np.sin(2 * np.pi * time / 0.7) + rng.normal(0, 0.02, (3, 900))).astype(np.float32)
    flux[weight == 0] = 0
    ours = periodograms(flux, weight, 0.01)
    for star in range(3):
        used = weight[star] > 0
        peer = LombScargle(time[used], flux[star, used], dy=1 / np.sqrt(weight[star, used]))
        np.testing.assert_allclose(ours.power[star], peer.power(ours.frequency, method="cython"), atol=1e-5)
        peak = np.argmax(ours.power[star])
        _, sine, cosine = peer.model_parameters(ours.frequency[peak])
        assert ours.amplitude[star, peak] == pytest.approx(np.hypot(sine, cosine), rel=1e-3)
    assert ours.frequency[0] == pytest.approx(1 / 9, rel=0.2)
    assert ours.frequency[-1] == pytest.approx(50, rel=1e-3)


@pytest.mark.parametrize("power", [0.01, 0.02, 0.03, 0.1])
def test_false_alarm_probability_is_that_of_astropy(power):
    rng = np.random.default_rng(2)
    time = np.arange(1000) * 0.02
    peer = LombScargle(time, rng.normal(size=1000))
    expected = peer.false_alarm_probability(power, method="baluev", maximum_frequency=20.0)
    assert log_false_alarm(power, 1000, 20.0, 20.0) == pytest.approx(np.log10(expected), abs=0.02)


def test_flares_are_moved_near_and_dips_left_out():
    time = 1325 + np.arange(0, 27, CADENCE_D)
    noise = np.random.default_rng(0).normal(0, 3e-4, len(time))
    flux = (1 + 1e-3 * np.sin(2 * np.pi * time / 3.0) + noise).astype(np.float32)[np.newaxis]
    flux[0, 100] = 2.0
    flux[0, 300:303] -= 0.05
    binned, weight = even_bins(flux, detrend(flux, time, 1.0), time, CADENCE_D)
    assert np.abs(binned).max() < 0.01
    assert (weight[0, 300:303] == 0).all()
    assert weight[0, 100] == 1

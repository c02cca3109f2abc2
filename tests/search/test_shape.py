"""Trapezoids and mid-times of transits made by hand."""

import numpy as np
import pytest

from larun.search.refine import series
from larun.search.shape import timing, trapezoid

CADENCE_D = 4 / 1440


def transits(middles, flat, depth=0.01, length=0.12, noise=0.0, days=30.0):
    """Series with a trapezoid at each of the given times."""
    time = 1000 + np.arange(0, days, CADENCE_D)
    flux = 1 + noise * np.random.default_rng(2).standard_normal(len(time))
    for middle in middles:
        x = np.abs(time - middle) / (0.5 * length)
        flux -= depth * np.clip((1 - x) / max(1 - flat, 1e-9), 0, 1)
    return series(time, flux.astype(np.float32), max(noise, 1e-3), CADENCE_D)


@pytest.mark.parametrize(("flat", "expected"), [(1.0, 1.0), (0.5, 0.5), (0.0, 0.0)])
@pytest.mark.parametrize("duration", [0.10, 0.12])
def test_trapezoid_finds_shape_and_length(flat, expected, duration):
    data = transits(1001.3 + 2.5 * np.arange(11), flat)
    total, share = trapezoid(data.time, data.flux, data.table, data.cadence_d, 2.5, 1001.3, duration)
    assert total == pytest.approx(0.12, rel=0.07)
    assert share == pytest.approx(expected, abs=0.11)


def test_trapezoid_is_that_of_least_squares():
    """Against every trial fitted to every cadence by NumPy."""
    data = transits(1001.3 + 2.5 * np.arange(11), 0.3, noise=4e-3)
    distance = np.abs((data.time - 1001.3 + 1.25) % 2.5 - 1.25)
    near = distance < 1.5 * 0.11
    x, flux = distance[near], data.flux[near]
    gains = {}
    for i in range(15):
        for j in range(11):
            length, share = 0.11 * 1.06 ** (i - 2), j / 10
            model = np.clip((0.5 * length - x) / (0.5 * length * max(1 - share, 1e-9)), 0, 1)
            model -= model.mean()
            gains[length, share] = -np.sum(model * flux) / np.sqrt(np.sum(model**2))
    best = max(gains, key=gains.get)
    got = trapezoid(data.time, data.flux, data.table, data.cadence_d, 2.5, 1001.3, 0.11)
    # Cadences are binned to a fortieth of the duration.
    assert gains[got] >= gains[best] - 0.1


def test_nothing_that_dims_has_no_shape():
    data = transits(1001.3 + 2.5 * np.arange(11), 0.5, depth=-0.01)
    assert np.isnan(trapezoid(data.time, data.flux, data.table, data.cadence_d, 2.5, 1001.3, 0.12)[1])
    assert np.isnan(timing(data.time, data.flux, data.table, data.cadence_d, 2.5, 1001.3, 0.12, np.nan, 1.0))


def test_late_transits_are_as_late_as_they_were_made():
    period, late = 2.5, 6 / 1440
    middles = 1001.3 + period * np.arange(11) + np.where(np.arange(11) % 2, late, 0.0)
    data = transits(middles, 0.5, noise=1e-3)
    ramp, depth_over_noise = 0.25 * 0.12, 10.0
    got = timing(data.time, data.flux, data.table, data.cadence_d, period, 1001.3 + late / 2, 0.12, 0.5, 1.0)
    # Error of one mid-time: each of two ramps has n cadences, a shift changes their difference by 2 depth / ramp.
    n = ramp / CADENCE_D
    error = np.sqrt(2 / n) * ramp / (2 * depth_over_noise)
    assert got == pytest.approx(late / (error * np.sqrt(1 / 6 + 1 / 5)), rel=0.35)


def test_punctual_transits_differ_by_chance_only():
    data = transits(1001.3 + 2.5 * np.arange(11), 0.5, noise=1e-3)
    assert timing(data.time, data.flux, data.table, data.cadence_d, 2.5, 1001.3, 0.12, 0.5, 1.0) < 3


def test_one_transit_has_no_odd_and_even():
    data = transits([1012.0], 0.5)
    assert np.isnan(timing(data.time, data.flux, data.table, data.cadence_d, 40.0, 1012.0, 0.12, 0.5, 1.0))

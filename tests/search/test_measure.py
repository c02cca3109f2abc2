import numpy as np
import pytest

from larun.config import SearchSettings
from larun.search.measure import fold, gap_touches, measure, trapezoid
from larun.search.refine import Box, refine, series

SETTINGS = SearchSettings()
CADENCE_D = 10 / 1440


def light_curve(period, t0, duration, depth, *, noise=5e-4, days=27.0, seed=0):
    rng = np.random.default_rng(seed)
    time = 1000 + np.arange(0, days, CADENCE_D)
    phase = (time - t0) / period
    inside = np.abs(phase - np.rint(phase)) * period < duration / 2
    flux = 1 + rng.normal(0, noise, len(time))
    flux[inside] -= depth if np.ndim(depth) == 0 else np.where(np.rint(phase[inside]) % 2, depth[1], depth[0])
    return time, flux.astype(np.float32)


def found(time, flux, start, noise=5e-4, settings=SETTINGS):
    data = series(time, flux, noise, CADENCE_D)
    best = refine(data, [Box(*start, 0.0, 9.0)], settings)
    return measure(data, best, len(time))


def test_a_sinusoid_looks_like_one():
    time = 1000 + np.arange(0, 27, CADENCE_D)
    flux = (1 + 3e-3 * np.sin(2 * np.pi * time / 0.8)).astype(np.float32)
    flux += np.random.default_rng(0).normal(0, 2e-4, len(time)).astype(np.float32)
    assert found(time, flux, (0.8, 1000.6, 0.11), noise=2e-3)["sinusoid_ratio"] > 1


def test_transits_beside_gaps_are_counted():
    time, flux = light_curve(3.0, 1001.0, 0.1, 3e-3)
    keep = np.abs((time - 1001.15 + 3) % 6 - 3) > 0.08
    event = found(time[keep], flux[keep], (3.0, 1001.0, 0.1))
    assert event["gap_fraction"] == pytest.approx(5 / 9)


@pytest.mark.parametrize(("flat", "expected"), [(1.0, 1.0), (0.5, 0.5), (0.0, 0.0)])
@pytest.mark.parametrize("function", [trapezoid, trapezoid.py_func])
def test_trapezoid_finds_shape_and_length(flat, expected, function):
    offset = np.linspace(-0.15, 0.15, 61)
    x = np.abs(offset) / 0.06
    model = np.where(x >= 1, 0.0, np.where(x <= flat, 1.0, (1 - x) / max(1 - flat, 1e-9)))
    total, share = function(offset, 1 - 0.01 * model, np.ones(61), 0.12)
    assert total == pytest.approx(0.12, rel=0.07)
    assert share == pytest.approx(expected, abs=0.11)


def test_fold_sums_and_counts():
    time = np.arange(0, 10, 0.1) + 0.05
    total, count = fold.py_func(time, np.ones(100), 2.0, 0.0, 4)
    assert count.tolist() == [25] * 4
    np.testing.assert_array_equal(total, fold(time, np.ones(100), 2.0, 0.0, 4)[0])


def test_ends_of_the_data_are_gaps():
    time = np.arange(0, 10, 0.01)
    table = np.searchsorted(time, np.arange(0, 10.02, 0.01)).astype(np.int32)
    assert gap_touches(time, table, 0.01, np.array([0.02, 5.0, 9.97]), 0.1, 0.05).tolist() == [True, False, True]

import numpy as np
import pytest
from numba import njit

from larun.lanes import LANES, load, store
from larun.search.biweight import FAR, biweight_lines, half_below

ROWS = 60


@njit
def lines_through(u, y, n, sloped, lines):
    scratch = np.empty((2, (ROWS + 2) * LANES), np.float32)
    value = np.empty(LANES, np.float32)
    store(value, 0, biweight_lines(u, y, scratch[0], ROWS, load(n, 0), load(sloped, 0), lines, scratch[1]))
    return value


@njit
def half_sizes(sizes, n, guess):
    found = np.empty(LANES, np.float32)
    store(found, 0, half_below(sizes, len(sizes) // LANES, load(n, 0), load(guess, 0)))
    return found


def points(n=41):
    """Times, fluxes and their numbers, sixteen stars side by side, on lines ``2 + slope u`` with three outliers."""
    u = np.zeros((ROWS, LANES), np.float32)
    u[:n] = np.linspace(-0.5, 0.5, n)[:, None]
    slopes = np.linspace(-3, 3, LANES)
    y = np.full((ROWS, LANES), FAR, np.float32)
    y[:n] = (2 + slopes * u + 0.01 * np.cos(40 * u))[:n]
    y[[3, 20, 30]] += 50
    return u, y, np.full(LANES, n, np.float32), slopes


def test_lines_ignore_outliers_wherever_they_start():
    u, y, n, slopes = points()
    starts = np.array([(np.nan,) * 3, (2.1, 2.5, 0.3), (-40.0, 0.0, 1e-6), (2.0, 0.0, 5.0)], np.float32)
    lines = np.ascontiguousarray(starts[np.arange(LANES) % 4].T).reshape(-1)
    value = lines_through(u.reshape(-1), y.reshape(-1), n, np.ones(LANES, np.float32), lines)
    np.testing.assert_allclose(value, 2, atol=0.01)
    np.testing.assert_array_equal(lines[:LANES], value)
    np.testing.assert_allclose(lines[LANES : 2 * LANES], slopes, atol=0.03)


def test_a_constant_where_no_slope_is_asked_for():
    u, y, n, _ = points()
    lines = np.full(3 * LANES, np.nan, np.float32)
    value = lines_through(u.reshape(-1), y.reshape(-1), n, np.zeros(LANES, np.float32), lines)
    np.testing.assert_allclose(value, 2, atol=0.02)
    assert (lines[LANES : 2 * LANES] == 0).all()


def test_too_few_points_and_points_without_scatter_beside_others():
    u, y, n, _ = points()
    y[2:, 3], n[3] = FAR, 2
    y[:, 4], n[4] = FAR, 0
    y[:41, 5] = 4
    lines = np.full(3 * LANES, np.nan, np.float32)
    value = lines_through(u.reshape(-1), y.reshape(-1), n, np.ones(LANES, np.float32), lines)
    assert np.isnan(value[[3, 4]]).all()
    assert value[5] == 4
    lines = lines.reshape(3, LANES)
    assert np.isnan(lines[:, 3:6]).all()
    np.testing.assert_allclose(np.delete(value, [3, 4, 5]), 2, atol=0.01)


@pytest.mark.parametrize("off", [0.9, 1.0, 1.1, 1.4, 5.0, 300.0])
def test_half_of_the_sizes_are_below_the_scale(off):
    sizes = np.full((ROWS, LANES), FAR, np.float32)
    sizes[:51] = np.abs(np.random.default_rng(3).normal(0, 1.5e-3, (51, LANES)))
    median = np.median(sizes[:51], axis=0)
    n = np.full(LANES, 51, np.float32)
    found = half_sizes(sizes.reshape(-1), n, (off * median).astype(np.float32))
    np.testing.assert_allclose(found, median, rtol=0.01)
    assert (np.count_nonzero(sizes < found, axis=0) > 25).all()
    sizes[:26, 3] = 0
    assert half_sizes(sizes.reshape(-1), n, (off * median).astype(np.float32))[3] == 0


def test_a_much_larger_size_than_thought_is_only_known_to_be_larger():
    sizes = np.full((40, LANES), 1e-3, np.float32)
    guess = np.geomspace(1e-9, 0.79e-3, LANES).astype(np.float32)
    guess[3] = np.nan
    found = half_sizes(sizes.reshape(-1), np.full(LANES, 40, np.float32), guess)
    assert np.isnan(found[3])
    assert (np.delete(found > 1.2 * guess, 3)).all()

import numpy as np
import pytest

from larun.selection import even_median, level_and_scatter, median, select


@pytest.mark.parametrize("kind", ["compiled", "python"])
@pytest.mark.parametrize("n", [1, 2, 3, 10, 101])
def test_selects_like_sorting(kind, n):
    function = select if kind == "compiled" else select.py_func
    values = np.random.default_rng(n).integers(0, 20, n).astype(np.float32)
    for k in range(n):
        assert function(values.copy(), n, k) == np.sort(values)[k]


@pytest.mark.parametrize("function", [level_and_scatter, level_and_scatter.py_func])
def test_scatter_of_a_normal_distribution(function):
    values = np.random.default_rng(0).normal(5.0, 2.0, 20_001)
    values[:5000:50] = np.nan
    level, sigma = function(values, np.empty_like(values))
    assert level == np.median(values[np.isfinite(values)])
    assert sigma == pytest.approx(2.0, rel=0.03)


def test_nothing_finite_gives_nan():
    assert np.isnan(level_and_scatter(np.full(5, np.nan), np.empty(5))).all()


@pytest.mark.parametrize("function", [even_median, even_median.py_func])
@pytest.mark.parametrize("n", [1, 2, 3, 8, 23, 24, 101])
def test_even_median_is_numpys(function, n):
    values = np.random.default_rng(n).standard_normal(n).astype(np.float32)
    assert function(values.copy()) == np.median(values)


def test_median_of_odd_count_is_numpys():
    values = np.random.default_rng(1).normal(size=33)
    assert median.py_func(values.copy(), 33) == median(values.copy(), 33) == np.median(values)


@pytest.mark.parametrize("function", [median, median.py_func])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_median_of_many_values_is_the_one_in_the_middle_of_them_sorted(function, dtype):
    rng = np.random.default_rng(2)
    for drawn in (
        rng.normal(1, 1e-3, 1001),
        np.abs(rng.normal(0, 1, 1500)),
        -np.exp(rng.normal(0, 20, 900)),
        np.r_[np.zeros(700), rng.normal(0, 1e30, 600)],
        np.r_[np.zeros(800), -np.ones(400)],
        np.full(600, 3.0),
        rng.integers(0, 3, 2000),
        rng.normal(1, 1e-3, 20_011),
        np.r_[rng.normal(0, 1, 3000), np.full(5000, 0.5), [-np.inf, np.inf, np.inf]],
        np.abs(rng.standard_cauchy(9000)),
    ):
        values = drawn.astype(dtype)
        assert function(values.copy(), len(values)) == np.sort(values)[len(values) // 2]


@pytest.mark.parametrize("n", [1, 2, 76, 77, 127, 128, 300])
def test_select_parts_the_values(n):
    """Also where many are equal."""
    rng = np.random.default_rng(n)
    for distinct in (1, 3, 1000):
        values = rng.integers(0, distinct, n).astype(np.float32)
        for k in {0, n // 2, n - 1}:
            for function in (select, select.py_func):
                left = values.copy()
                assert function(left, n, k) == np.sort(values)[k]
                assert (left[:k] <= left[k]).all()
                assert (left[k:] >= left[k]).all()
                np.testing.assert_array_equal(np.sort(left), np.sort(values))

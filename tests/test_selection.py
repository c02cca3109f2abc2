import numpy as np
import pytest

from larun.selection import level_and_scatter, median, select


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


def test_median_of_odd_count_is_numpys():
    values = np.random.default_rng(1).normal(size=33)
    assert median.py_func(values.copy(), 33) == median(values.copy(), 33) == np.median(values)

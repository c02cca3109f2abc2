import numpy as np
import pytest

from larun.finite import end_of_run, finite_anywhere, finite_counts, finite_sum, finite_values, start_of_run


def with_holes(dtype):
    rng = np.random.default_rng(1)
    values = rng.normal(size=500).astype(dtype)
    values[rng.random(500) < 0.03] = np.nan
    values[[100, 490]] = np.inf, -np.inf
    values[200:255] = np.nan
    return values


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_runs_end_and_start_where_numpy_says(dtype):
    values = with_holes(dtype)
    finite = np.isfinite(values)
    for first in range(len(values) + 1):
        holes, known = np.flatnonzero(~finite[first:]), np.flatnonzero(finite[first:])
        assert end_of_run(values, first) == first + (holes[0] if len(holes) else len(values) - first)
        assert start_of_run(values, first) == first + (known[0] if len(known) else len(values) - first)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_finite_values_in_their_order(dtype):
    values = with_holes(dtype)
    out = np.empty_like(values)
    n = finite_values(values, out)
    np.testing.assert_array_equal(out[:n], values[np.isfinite(values)])
    assert finite_values(np.full(40, np.nan, dtype), out) == 0
    assert finite_values(values[:0], out) == 0


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_counts_row_by_row(dtype):
    rows = np.stack([with_holes(dtype), np.full(500, np.nan, dtype), np.ones(500, dtype)])
    assert finite_counts(rows).tolist() == np.isfinite(rows).sum(axis=1).tolist()
    assert finite_counts(rows[:, :0]).tolist() == [0, 0, 0]


def test_sums_of_any_run():
    values = with_holes(np.float32)
    for first, last in ((0, 500), (0, 7), (95, 112), (190, 260), (201, 250), (481, 500), (499, 500), (30, 30)):
        total, n = finite_sum(values, first, last)
        own = values[first:last][np.isfinite(values[first:last])]
        assert n == len(own)
        assert total == pytest.approx(own.astype(np.float64).sum(), abs=1e-5)


def test_columns_of_which_some_row_has_a_value():
    rng = np.random.default_rng(5)
    rows = np.where(rng.random((6, 300)) < 0.6, np.nan, 1.0).astype(np.float32)
    rows[:, 40:60] = np.nan
    for taken in (rows, rows[:1], rows[:0], np.ones_like(rows), np.full_like(rows, np.nan)):
        np.testing.assert_array_equal(finite_anywhere(taken), np.isfinite(taken).any(axis=0))

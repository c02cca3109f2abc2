import numpy as np
import pytest
from numba import njit

from larun.lanes import (
    LANES,
    aligned,
    broadcast,
    count_less,
    expect,
    least,
    load,
    load_since,
    magnitude,
    places,
    store,
    store_between,
    to_float,
    total,
    where_less,
)  # fmt: skip


def reduced(values, limit, sizes):
    own = load(values, 0)
    store(sizes, 0, magnitude(own))
    return count_less(own, broadcast(limit)), total(own), least(own)


@pytest.mark.parametrize("function", [reduced, njit(reduced)])
def test_lanes_are_counted_summed_and_compared(function):
    values, sizes = aligned(LANES, np.float32), aligned(LANES, np.float32)
    values[:] = [3, -1, 0, 5, 2, 2, 2, -7, 8, 1, 1, 4, 6, -2, 9, 2]
    below, whole, smallest = function(values, np.float32(2), sizes)
    assert (below, whole, smallest) == (6, 35, -7)
    np.testing.assert_array_equal(sizes, [3, 1, 0, 5, 2, 2, 2, 7, 8, 1, 1, 4, 6, 2, 9, 2])


@pytest.mark.parametrize("function", [reduced, njit(reduced)])
def test_nan_is_not_less(function):
    values = np.full(LANES, np.nan, np.float32)
    values[0] = 1
    assert function(values, np.float32(2), np.empty(LANES, np.float32))[0] == 1


def since(moments, origin, found):
    late = load_since(moments, 2, origin)
    store(found, 0, late)
    one, none = broadcast(np.int32(1)), broadcast(np.int32(0))
    return total(to_float(where_less(places(), broadcast(np.float32(5)), one, none)))


@pytest.mark.parametrize("function", [since, njit(since)])
def test_times_keep_what_float32_loses_and_counts_are_whole(function):
    moments = 2457000 + np.arange(20) * 2.0**-20
    found = np.empty(LANES, np.float32)
    assert function(moments, 2457000.0, found) == 5
    np.testing.assert_array_equal(found, np.arange(2, 18) * 2.0**-20)


def sum_expected(values, ahead):
    whole = 0.0
    for at in range(len(values)):
        expect(values, at + ahead)
        whole += values[at]
    return whole


@pytest.mark.parametrize("function", [sum_expected, njit(sum_expected)])
@pytest.mark.parametrize("ahead", [3, -(2**40), 2**40])
def test_what_is_expected_need_not_be_there(function, ahead):
    assert function(np.arange(5, dtype=np.float32), ahead) == 10


def kept(values, low, high, found):
    return store_between(found, 3, load(values, 0), broadcast(low), broadcast(high))


@pytest.mark.parametrize("function", [kept, njit(kept)])
def test_some_of_sixteen_are_kept_in_their_order(function):
    values = np.arange(LANES, dtype=np.float32)[::-1].copy()
    values[2] = np.nan
    found = np.zeros(12, np.float32)
    assert function(values, np.float32(4), np.float32(13), found) == 8
    np.testing.assert_array_equal(found, [0, 0, 0, 12, 11, 10, 9, 8, 7, 6, 5, 0])

"""Light curves and shards as arrays."""

import warnings
from dataclasses import replace

import numpy as np
import pytest

from larun.errors import InputError
from larun.lightcurve import QUALITY_MASKS, LightCurve, Shard, Star, barycentric_time, shard_of


def curve(time, correction):
    n = len(time)
    values = np.arange(n, dtype=np.float32)
    return LightCurve(
        Star(7), "tess", 1, "spoc", 120.0, "btjd", "electron/s", np.arange(n, dtype=np.int32),
        np.asarray(time, np.float64), np.asarray(correction, np.float32), values, values, values, values, values,
        np.zeros(n, np.int32),
    )  # fmt: skip


def test_columns_have_one_length():
    good = curve([1.0, 2.0], [0.0, 0.0])
    assert len(good) == 2
    with pytest.raises(InputError, match=r"flux has shape \(1,\), expected \(2,\)"):
        replace(good, flux=good.flux[:1])


def test_a_shard_of_one_star_is_in_order_of_time_and_without_gaps_in_time():
    shard = shard_of(curve([3.5, np.nan, 1.5, 2.5, 2.5], [0.5] * 5))
    assert shard.time.tolist() == [1.0, 2.0, 3.0]
    assert shard.flux.tolist() == [[2.0, 3.0, 0.0]]
    assert shard.barycentric_time(0).tolist() == [1.5, 2.5, 3.5]
    assert (len(shard), shard.stars[0].target_id, shard.cadence_s) == (1, 7, 120.0)


def test_without_a_correction_the_time_is_barycentric():
    shard = shard_of(curve([1.0, 2.0], [np.nan, np.nan]))
    assert shard.time.tolist() == shard.barycentric_time(0).tolist() == [1.0, 2.0]


def two_stars():
    grid = np.arange(4.0)
    layer = np.arange(8, dtype=np.float32).reshape(2, 4)
    correction = np.array([[0.1, np.nan, np.nan, 0.4], [np.nan] * 4], np.float32)
    return Shard(
        (Star(1), Star(2)), grid, np.arange(4, dtype=np.int32), correction, layer, layer, layer, layer, layer,
        np.zeros((2, 4), np.int32), sector=5,
    )  # fmt: skip


def test_unknown_corrections_are_interpolated():
    shard = two_stars()
    np.testing.assert_allclose(shard.barycentric_time(0), [0.1, 1.2, 2.3, 3.4], rtol=1e-6)
    np.testing.assert_array_equal(shard.barycentric_time(1), shard.time)


def test_stars_can_be_taken():
    taken = two_stars().take([1])
    assert taken.stars == (Star(2),) or taken.stars[0].target_id == 2
    assert taken.flux.tolist() == [[4.0, 5.0, 6.0, 7.0]]
    assert taken.time.tolist() == [0.0, 1.0, 2.0, 3.0]
    assert taken.sector == 5


def test_default_masks_are_those_of_lightkurve():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from lightkurve.utils import KeplerQualityFlags, TessQualityFlags
    assert QUALITY_MASKS["tess"] == TessQualityFlags.DEFAULT_BITMASK
    assert QUALITY_MASKS["kepler"] == QUALITY_MASKS["k2"] == KeplerQualityFlags.DEFAULT_BITMASK


@pytest.mark.parametrize("known", [(), (3,), (0, 9), (2, 3, 7), range(10)])
def test_missing_corrections_lie_between_their_neighbours(known):
    time, correction = np.arange(10.0), np.full(10, np.nan, np.float32)
    known = list(known)
    correction[known] = np.random.default_rng(1).normal(0, 1e-3, len(known))
    expected = time + (np.interp(time, known, correction[known]) if known else 0.0)
    for function in (barycentric_time, barycentric_time.py_func):
        np.testing.assert_allclose(function(time, correction), expected, rtol=1e-12)

"""Centroids in transit and momentum dumps, of series made by hand."""

import numpy as np
import pytest

from larun.schema import empty_events
from larun.search.pointing import centroid_shift, dump_fraction, dump_rows, measure_pointing

CADENCE_D = 10 / 1440
PERIOD, T0, DURATION = 3.0, 1001.0, 0.125
TIME = 1000 + np.arange(0, 27, CADENCE_D)
IN_TRANSIT = np.abs((TIME - T0 + PERIOD / 2) % PERIOD - PERIOD / 2) < DURATION / 2
EVERY = np.ones(len(TIME), bool)


def centroids(shift=(0.0, 0.0), noise=2e-3, seed=0):
    """Column and row that wander over a day, with noise, and move in transit."""
    rng = np.random.default_rng(seed)
    drift = 0.03 * np.sin(2 * np.pi * TIME / 9)
    return [
        (500 + axis + drift + rng.normal(0, noise, len(TIME)) + shift[axis] * IN_TRANSIT).astype(np.float32)
        for axis in (0, 1)
    ]


def event(snr=30.0, depth_ppm=5000.0):
    made = empty_events(1)[0]
    for name, value in {"period_d": PERIOD, "t0_btjd": T0, "duration_h": 24 * DURATION, "snr": snr}.items():
        made[name] = value
    made["depth_ppm"] = depth_ppm
    return made


def test_a_shift_is_measured_with_its_error():
    shift, sigma, column, row = centroid_shift(TIME, EVERY, *centroids((3e-3, -4e-3)), PERIOD, T0, DURATION)
    # In transit 18 cadences, 180 in each of both sides with half the weight: nine transits.
    error = 2e-3 * np.sqrt(1 / 18 + 0.5 / 22.5) / np.sqrt(9)
    assert shift == pytest.approx(5e-3, abs=3 * error)
    assert sigma == pytest.approx(5e-3 / error, rel=0.4)
    assert (column, row) == pytest.approx((500, 501), abs=0.02)


def test_a_star_that_stands_still_has_no_significant_shift():
    sigmas = [centroid_shift(TIME, EVERY, *centroids(seed=s), PERIOD, T0, DURATION)[1] for s in range(20)]
    assert max(sigmas) < 5
    # Mean of a Rayleigh distribution.
    assert np.mean(sigmas) == pytest.approx(np.sqrt(np.pi / 2), rel=0.35)


def test_jitter_on_the_time_scale_of_the_transit_is_noise():
    rng = np.random.default_rng(4)
    jitter = np.interp(TIME, np.arange(1000, 1028, 0.1), rng.normal(0, 0.02, 280)).astype(np.float32)
    column, row = centroids((3e-3, -4e-3))
    assert centroid_shift(TIME, EVERY, column + jitter, row + jitter, PERIOD, T0, DURATION)[1] < 5


def test_offset_is_the_shift_over_the_depth():
    made = event()
    measure_pointing(made, TIME, np.empty(0, np.int64), EVERY, *centroids((3e-3, -4e-3)))
    assert made["centroid_offset_pix"] == pytest.approx(5e-3 / 5e-3, rel=0.2)
    assert np.isnan(made["dump_fraction"])


def test_faint_events_and_products_without_centroids_stay_unknown():
    weak = event(snr=5.0)
    measure_pointing(weak, TIME, np.empty(0, np.int64), EVERY, *centroids((3e-3, -4e-3)))
    bare = event()
    measure_pointing(bare, TIME, np.empty(0, np.int64), EVERY, *(np.full(len(TIME), np.nan, np.float32),) * 2)
    for made in (weak, bare):
        assert np.isnan([made[name] for name in ("centroid_offset_pix", "centroid_sigma", "column_pix")]).all()


def test_a_transit_without_data_beside_it_is_left_out():
    used = EVERY & ~((TIME > 1004.1) & (TIME < 1006))
    column, row = centroids()
    column[np.abs(TIME - 1004.0) < DURATION / 2] += 1.0
    assert centroid_shift(TIME, used, column, row, PERIOD, T0, DURATION)[1] < 5
    assert centroid_shift(TIME, EVERY, column, row, PERIOD, T0, DURATION)[0] > 0.1


def test_a_single_transit_is_measured():
    made = event()
    made["period_d"], made["t0_btjd"] = np.nan, 1013.0
    dumps = np.flatnonzero(np.abs(TIME - 1013.0) < 0.01)
    measure_pointing(made, TIME, dumps, EVERY, *centroids((3e-3, -4e-3)))
    assert made["dump_fraction"] == 1.0
    assert made["centroid_sigma"] > 3


@pytest.mark.parametrize(
    ("dumps_at", "expected"),
    [
        ([1001.0], 1 / 9),
        ([1001.0 - DURATION / 2 - 0.03, 1004.0 + DURATION / 2 - 0.02], 2 / 9),
        ([1001.0 - DURATION / 2 - 0.06, 1004.0 + DURATION / 2 + 0.02], 0.0),
        (T0 + PERIOD * np.arange(9), 1.0),
    ],
)
def test_transits_at_momentum_dumps_are_counted(dumps_at, expected):
    dumps = np.searchsorted(TIME, dumps_at)
    assert dump_fraction(TIME, dumps, EVERY, PERIOD, T0, DURATION) == pytest.approx(expected)


def test_transits_without_data_do_not_count():
    dumps = np.searchsorted(TIME, [1004.0])
    used = np.abs(TIME - 1007) > 0.3
    assert dump_fraction(TIME, dumps, used, PERIOD, T0, DURATION) == pytest.approx(1 / 8)


def test_dumps_are_known_by_the_bit_of_their_mission(make_shard):
    quality = np.zeros((2, 400), np.int32)
    quality[0, 7] = 32 | 128
    quality[1, 9] = 32
    quality[1, 20] = -1
    quality[1, 30] = 16
    flux = np.ones((2, 400))
    assert dump_rows(make_shard(flux, quality=quality)).tolist() == [7, 9]
    assert dump_rows(make_shard(flux, quality=quality, mission="k2")).tolist() == []
    assert dump_rows(make_shard(flux, quality=quality, mission="")).tolist() == []

"""From light curves to classified events: which rows are filled."""

import numpy as np
import pytest
from swept_sector import Judge
from tiny_sector import correction, spacecraft_time

from larun.config import Settings
from larun.lightcurve import Shard, Star
from larun.schema import CLASSES, EventFlag
from larun.survey.classify import classify_shard

N, PERIOD_D, DEPTH = 2880, 0.8, 0.004
SETTINGS = Settings()


class Unused:
    def probabilities(self, views):
        raise AssertionError("there is nothing to classify")


def shard(n_stars: int = 4) -> Shard:
    """Stars with one planet each; star 1 has no finite flux."""
    time = spacecraft_time(N)
    rng = np.random.default_rng(5)
    flux = rng.normal(1, 5e-4, (n_stars, N)).astype(np.float32)
    timecorr = np.array([correction(tic, N) for tic in range(n_stars)], np.float32)
    phase = (time + timecorr - 1325.6) / PERIOD_D
    flux[np.abs(phase - np.rint(phase)) * PERIOD_D < 0.05] -= DEPTH
    flux[1:2] = np.nan
    blank = np.full((n_stars, N), np.nan, np.float32)
    return Shard(
        stars=tuple(Star(tic, radius=1.0, logg=4.44) for tic in range(n_stars)),
        time=time,
        cadence_no=np.arange(N, dtype=np.int32),
        time_correction=timecorr,
        flux=1000 * flux,
        flux_err=blank,
        background=blank,
        centroid_col=blank,
        centroid_row=blank,
        quality=np.zeros((n_stars, N), np.int32),
    )


def test_every_star_that_can_be_searched_has_event_class_and_probabilities():
    result = classify_shard(shard(), SETTINGS, Judge(None))
    assert result.searched.tolist() == [True, False, True, True]
    np.testing.assert_allclose(result.events["period_d"][[0, 2, 3]], PERIOD_D, rtol=2e-3)
    np.testing.assert_allclose(result.probabilities[[0, 2, 3]].sum(axis=1), 1, atol=1e-5)
    assert result.classes == ["planetary_transit", None, "planetary_transit", "planetary_transit"]
    assert [bool(reason) for reason in result.reason] == [False, True, False, False]


def test_a_star_that_cannot_be_searched_has_nan_and_no_flags():
    result = classify_shard(shard(), SETTINGS, Judge(None))
    assert np.isnan(result.probabilities[1]).all()
    assert np.isnan(result.events["period_d"][1])
    assert result.events["flags"][1] == 0


def test_only_stored_stars_are_searched_and_rows_stay_in_place():
    stored = np.array([False, True, False, True])
    result = classify_shard(shard(), SETTINGS, Judge(None), stored)
    assert result.searched.tolist() == [False, False, False, True]
    assert result.events["period_d"][3] == pytest.approx(PERIOD_D, rel=2e-3)
    assert result.reason[0] == ""
    assert result.events["n_good"].tolist()[:3] == [0, 0, 0]


def test_a_shard_without_stored_stars_asks_nobody():
    result = classify_shard(shard(2), SETTINGS, Unused(), np.zeros(2, bool))
    assert result.classes == [None, None]
    rejected = classify_shard(shard(2).take([1]), SETTINGS, Unused())
    assert rejected.classes == [None]


def test_flags_are_of_the_stars_own_thresholds():
    strict = Settings(vet={"max_planet_radius_jupiter": 0.1, "max_planet_depth_ppm": 1000.0})
    result = classify_shard(shard(1), strict, Judge(None))
    assert EventFlag.TOO_DEEP in EventFlag(int(result.events["flags"][0]))


def test_no_star_depends_on_its_neighbours():
    together = classify_shard(shard(), SETTINGS, Judge(None))
    alone = classify_shard(shard().take([3]), SETTINGS, Judge(None))
    assert alone.events[0].tobytes() == together.events[3].tobytes()
    np.testing.assert_array_equal(alone.probabilities[0], together.probabilities[3])


def test_columns_are_named_as_in_the_schema():
    columns = classify_shard(shard(1), SETTINGS, Judge(None)).columns()
    assert [f"p_{name}" for name in CLASSES] == [name for name in columns if name.startswith("p_")]
    assert {"period_d", "t0_btjd", "flags", "class"} <= set(columns)

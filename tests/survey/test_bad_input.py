"""Strange light curves, through the search of a shard and through `larun examine`: a result or a reason, never a crash.

Warnings are errors in these tests as in all others.
"""

import json

import numpy as np
import pytest
from swept_sector import Judge

from larun.config import Settings
from larun.lightcurve import LightCurve, Shard, Star, shard_of
from larun.schema import EventFlag
from larun.search.pipeline import search_shard
from larun.survey.classify import classify_shard
from larun.survey.examine import examine

SETTINGS = Settings()
CADENCE_D = 600 / 86400
PERIOD_D, T0 = 3.1, 1326.2
NOTHING = ("rejected", "unreadable")


def light_curve(seed=0):
    """27 d of a quiet star with transits of 4000 ppm."""
    time = 1325 + np.arange(0, 27, CADENCE_D)
    flux = 1 + np.random.default_rng(seed).normal(0, 5e-4, len(time))
    flux[np.abs((time - T0 + PERIOD_D / 2) % PERIOD_D - PERIOD_D / 2) < 0.06] -= 4e-3
    return time, 1000 * flux


def constant(time, flux):
    return time, np.full_like(flux, 1000.0)


def constant_zero(time, flux):
    return time, np.zeros_like(flux)


def one_cadence(time, flux):
    return time[:1], flux[:1]


def two_cadences(time, flux):
    return time[:2], flux[:2]


def no_cadence(time, flux):
    return time[:0], flux[:0]


def all_nan(time, flux):
    return time, np.full_like(flux, np.nan)


def all_infinite(time, flux):
    return time, np.full_like(flux, np.inf)


def half_infinite(time, flux):
    return time, np.where(np.arange(len(flux)) % 2, flux, -np.inf)


def gap_of_more_than_half(time, flux):
    keep = (time < 1331) | (time > 1346)
    return time[keep], flux[keep]


def negative(time, flux):
    return time, -flux


def around_zero(time, flux):
    return time, flux - np.mean(flux)


def repeated_times(time, flux):
    return np.repeat(time, 2), np.repeat(flux, 2)


def unsorted_times(time, flux):
    order = np.random.default_rng(1).permutation(len(time))
    return time[order], flux[order]


def times_without_order_and_nan(time, flux):
    time, flux = unsorted_times(time, flux)
    time[::50] = np.nan
    return time, flux


def wild_high(time, flux):
    flux[1500] = 1e30
    return time, flux


def wild_low(time, flux):
    flux[1500] = -1e9
    return time, flux


def all_times_alike(time, flux):
    return np.full_like(time, 1325.0), flux


def two_levels(time, flux):
    return time, np.where(time < 1338, 1000.0, 2000.0)


FOUND = (gap_of_more_than_half, repeated_times, unsorted_times, times_without_order_and_nan, wild_high, wild_low)
"""What leaves the planet to be found."""

REJECTED = (
    constant, constant_zero, one_cadence, two_cadences, no_cadence, all_nan, all_infinite, negative, all_times_alike,
)  # fmt: skip
ANYTHING = (half_infinite, around_zero, two_levels)
CASES = (*FOUND, *REJECTED, *ANYTHING)


def bad(case):
    time, flux = case(*light_curve())
    return np.array(time, np.float64), np.array(flux)


def shard(time, flux) -> Shard:
    missing = np.full(len(time), np.nan, np.float32)
    with np.errstate(over="ignore"):
        flux = flux.astype(np.float32)
    return shard_of(
        LightCurve(
            star=Star(1), mission="tess", sector=1, author="csv", cadence_s=600.0, time_format="btjd",
            flux_unit="electron/s", cadence_no=np.arange(len(time), dtype=np.int32), time=time,
            time_correction=missing, flux=flux, flux_err=missing, background=missing, centroid_col=missing,
            centroid_row=missing, quality=np.zeros(len(time), np.int32),
        )
    )  # fmt: skip


def name_of(case):
    return case.__name__


@pytest.mark.parametrize("case", CASES, ids=name_of)
def test_search_of_a_shard(case):
    found = search_shard(shard(*bad(case)), SETTINGS.search)
    assert len(found.events) == len(found.reason) == 1
    assert bool(found.reason[0]) != found.searched[0]
    event = found.events[0]
    if case in FOUND:
        assert event["period_d"] == pytest.approx(PERIOD_D, rel=3e-3)
        assert event["snr"] > 7
    if case in REJECTED:
        assert not found.searched[0]
        assert np.isnan(event["period_d"])
        assert event["n_transits"] == event["flags"] == 0
    if found.searched[0]:
        assert np.isfinite([event[name] for name in ("period_d", "t0_btjd", "duration_h", "depth_ppm", "snr")]).all()
        assert event["n_good"] > 0


@pytest.mark.parametrize("case", CASES, ids=name_of)
def test_examine_says_the_same_as_the_shard(case, tmp_path):
    time, flux = bad(case)
    path = tmp_path / "star.csv"
    rows = "\n".join(f"{t!r},{f!r}" for t, f in zip(time.tolist(), flux.tolist(), strict=True))
    path.write_text("time,flux\n" + rows + "\n")
    (answer,) = examine(str(path), SETTINGS, Judge(None))
    assert json.loads(json.dumps(answer, allow_nan=False)) == answer
    if case in FOUND:
        assert answer["status"] == "searched"
        assert answer["period_d"] == pytest.approx(PERIOD_D, rel=3e-3)
    if case in REJECTED:
        assert answer["status"] in NOTHING
        assert answer["reason"]
        assert answer["period_d"] is None
        assert answer["flags"] == []


def test_bad_neighbours_change_nothing():
    """All cases that can share a grid of cadences, in one shard with a good star.

    Stars that share their weights are searched with factors made once, others with their own: equal to 1e-6.
    """
    time, good = light_curve()
    same_grid = [case for case in CASES if len(bad(case)[0]) == len(time) and np.array_equal(bad(case)[0], time)]
    assert len(same_grid) >= 8
    with np.errstate(over="ignore"):
        rows = np.array([good, *(bad(case)[1] for case in same_grid)]).astype(np.float32)
    missing = np.full(rows.shape, np.nan, np.float32)
    together = Shard(
        tuple(Star(i) for i in range(len(rows))), time, np.arange(len(time), dtype=np.int32), missing, rows, missing,
        missing, missing, missing, np.zeros(rows.shape, np.int32), "tess", 1, 600.0,
    )  # fmt: skip
    alone = classify_shard(together.take([0]), SETTINGS, Judge(None))
    both = classify_shard(together, SETTINGS, Judge(None))
    assert set(both.star) == set(range(len(rows)))
    for name in alone.events.dtype.names:
        np.testing.assert_allclose(both.events[name][0], alone.events[name][0], rtol=1e-5, err_msg=name)


def test_one_low_outlier_is_no_planet_of_its_own():
    """With nothing else in the light curve, one wild cadence is flagged at 10 and 30 min, where it may be a transit."""
    for step in (1, 3):
        time = 1325 + np.arange(0, 27, step * CADENCE_D)
        flux = 1 + np.random.default_rng(3).normal(0, 5e-4, len(time))
        flux[400] -= 0.05
        found = classify_shard(shard(time, 1000 * flux), SETTINGS, Judge(None))
        flags = EventFlag(int(found.events["flags"][0]))
        assert found.events["snr"][0] < 7 or EventFlag.SINGLE_DOMINATES in flags or EventFlag.FEW_TRANSITS in flags


@pytest.mark.parametrize("step", [1, 3])
@pytest.mark.parametrize("depth", [0.02, 0.05, 0.5])
def test_one_low_outlier_does_not_hide_a_planet(step, depth):
    time, flux = light_curve()
    time, flux = time[::step], flux[::step]
    flux[len(flux) // 3] *= 1 - depth
    found = search_shard(shard(time, flux), SETTINGS.search)
    assert found.events["period_d"][0] == pytest.approx(PERIOD_D, rel=3e-3)


def test_events_of_examine_are_those_of_a_shard(tmp_path):
    time, flux = light_curve()
    flux *= 1 - 3e-3 * (np.abs((time - 1327.0 + 2.55) % 5.1 - 2.55) < 0.07)
    path = tmp_path / "star.npz"
    np.savez(path, time=time, flux=flux)
    (answer,) = examine(str(path), SETTINGS, Judge(None))
    neighbour = np.random.default_rng(5).normal(1000, 1, len(time))
    missing = np.full((2, len(time)), np.nan, np.float32)
    both = Shard(
        (Star(), Star()), time, np.arange(len(time), dtype=np.int32), missing,
        np.array([neighbour, flux]).astype(np.float32), missing, missing, missing, missing,
        np.zeros((2, len(time)), np.int32), "", -1, 600.0,
    )  # fmt: skip
    result = classify_shard(both, SETTINGS, Judge(None))
    events = result.events[result.star == 1]
    assert len(events) >= 2
    told = [answer, *answer["further"]]
    assert len(told) == len(events)
    for said, event in zip(told, events, strict=True):
        for key, name in (("period_d", "period_d"), ("t0", "t0_btjd")):
            assert said[key] == pytest.approx(float(event[name]), rel=1e-6)
        # The flux that examine reads is rounded otherwise, and the scale of a trend goes in steps of half a per cent.
        assert said["depth_ppm"] == pytest.approx(float(event["depth_ppm"]), abs=3e-3 * float(event["depth_err_ppm"]))
        assert said["snr"] == pytest.approx(float(event["snr"]), rel=1e-4)
        assert said["flags"] == EventFlag(int(event["flags"])).names

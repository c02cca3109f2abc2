from dataclasses import replace

import numpy as np
import pytest

from larun.config import SearchSettings, VetSettings
from larun.lightcurve import LightCurve, Star, shard_of
from larun.schema import EVENT_COLUMNS, EventFlag, event_dtype
from larun.search.pipeline import search_shard
from larun.vet import flag

SETTINGS = SearchSettings()
CADENCE_S = 1800.0


def fluxes(n_stars, days=27.0, cadence_s=CADENCE_S, seed=0):
    """Quiet stars; star i has transits of period 2 + 0.7 i d and depth 3000 ppm."""
    rng = np.random.default_rng(seed)
    time = 1325 + np.arange(0, days, cadence_s / 86400)
    flux = 1 + rng.normal(0, 5e-4, (n_stars, len(time)))
    for star in range(n_stars):
        period = 2 + 0.7 * star
        phase = (time - 1326.1 - 0.2 * star) / period
        flux[star, np.abs(phase - np.rint(phase)) * period < 0.08] -= 3e-3
    return time, 2000 * flux


def test_injected_planets_are_recovered(make_shard):
    time, flux = fluxes(9)
    found = search_shard(make_shard(flux, time=time), SETTINGS)
    assert found.searched.all()
    assert found.reason == ("",) * 9
    assert found.events.dtype == event_dtype()
    np.testing.assert_allclose(found.events["period_d"], 2 + 0.7 * np.arange(9), rtol=2e-3)
    np.testing.assert_allclose(found.events["t0_btjd"], 1326.1 + 0.2 * np.arange(9), atol=0.02)
    np.testing.assert_allclose(found.events["depth_ppm"], 3000, rtol=0.15)
    np.testing.assert_allclose(found.events["duration_h"], 0.16 * 24, rtol=0.3)
    assert (found.events["snr"] > 10).all()
    assert (found.events["sde"] > 7).all()
    assert (found.events["flags"] == 0).all()
    for column in EVENT_COLUMNS:
        # These light curves have no centroids and no momentum dumps.
        known = column.name not in {"dump_fraction", "centroid_offset_pix", "centroid_sigma", "column_pix", "row_pix"}
        assert (np.isfinite(found.events[column.name]) == known).all(), column.name


def test_noise_alone_stays_low(make_shard):
    rng = np.random.default_rng(11)
    found = search_shard(make_shard(rng.normal(1000, 1, (40, 1296))), SETTINGS)
    assert found.searched.all()
    assert np.median(found.events["snr"]) < 6
    assert np.percentile(found.events["sde"], 90) < 7


def test_a_star_does_not_depend_on_the_others(make_shard):
    time, flux = fluxes(5)
    rng = np.random.default_rng(1)
    flux[rng.random(flux.shape) < 0.02] = np.nan
    flux[2] = np.nan
    flux[4, 600:] = np.nan
    shard = make_shard(flux, time=time)
    together = search_shard(shard, SETTINGS)
    for star in range(5):
        alone = search_shard(shard.take([star]), SETTINGS)
        np.testing.assert_array_equal(alone.detrended[0], together.detrended[star])
        for column in EVENT_COLUMNS:
            np.testing.assert_allclose(
                alone.events[column.name][0], together.events[column.name][star], rtol=1e-5, err_msg=column.name
            )


def test_epoch_is_barycentric(make_shard):
    time, flux = fluxes(1)
    shift = np.full(flux.shape, 0.3, np.float32)
    plain = search_shard(make_shard(flux, time=time), SETTINGS).events[0]
    shifted = search_shard(make_shard(flux, time=time, correction=shift), SETTINGS).events[0]
    assert shifted["t0_btjd"] - plain["t0_btjd"] == pytest.approx(0.3, abs=1e-3)


def test_strange_stars_have_results_and_harm_no_other(make_shard):
    time, flux = fluxes(10)
    n = flux.shape[1]
    flux[1] = np.nan
    flux[2] = 7.0
    flux[3] *= -1
    flux[4, 20:] = np.nan
    flux[5, n // 4 : 3 * n // 4 + 40] = np.nan
    flux[6, 500] = 1e9
    flux[7, 500] = -1e9
    flux[9, 1:] = np.nan
    found = search_shard(make_shard(flux, time=time), SETTINGS)
    assert np.flatnonzero([bool(reason) for reason in found.reason]).tolist() == [1, 2, 3, 4, 9]
    assert found.searched.tolist() == [not reason for reason in found.reason]
    assert np.isnan(found.events["period_d"][~found.searched]).all()
    assert (found.events["n_transits"][~found.searched] == 0).all()
    for star in (0, 6, 7, 8):
        assert found.events["period_d"][star] == pytest.approx(2 + 0.7 * star, rel=3e-3)
    assert np.isfinite(found.events["snr"][5])
    flags = [EventFlag(int(flag(event, radius=np.nan, logg=np.nan, settings=VetSettings()))) for event in found.events]
    # Half a sector without data leaves the other half's transits.
    assert not flags[5] & (EventFlag.SINGLE_DOMINATES | EventFlag.TOO_DEEP)
    assert all(not flags[star] & ~EventFlag.NEAR_GAP for star in (0, 6, 7, 8))


def test_repeated_times_in_a_shard_are_searched(make_shard):
    time, flux = fluxes(2)
    found = search_shard(make_shard(np.repeat(flux, 2, axis=1), time=np.repeat(time, 2)), SETTINGS)
    np.testing.assert_allclose(found.events["period_d"], [2.0, 2.7], rtol=2e-3)


@pytest.mark.parametrize("n", [0, 1, 2, 40])
def test_short_series(make_shard, n):
    found = search_shard(make_shard(np.ones((2, n)), time=np.arange(n) * 0.02), SETTINGS)
    assert not found.searched.any()
    assert all(found.reason)


def test_no_time_for_two_transits(make_shard):
    time, flux = fluxes(1, days=0.9, cadence_s=120)
    found = search_shard(make_shard(flux, time=time, cadence_s=120.0), SETTINGS)
    assert "too short" in found.reason[0]


def test_quality_hides_cadences(make_shard):
    time, flux = fluxes(1)
    quality = np.zeros(flux.shape, np.int32)
    flux[0, 300:310] = 5000
    quality[0, 300:310] = 128
    found = search_shard(make_shard(flux, time=time, quality=quality), SETTINGS)
    assert np.isnan(found.relative[0, 300:310]).all()
    assert found.events["n_good"][0] <= flux.shape[1] - 10


def test_flux_far_below_zero_is_left_out_and_counted(make_shard):
    time, flux = fluxes(2)
    flux[1, 700:704] = -30_000
    found = search_shard(make_shard(flux, time=time), SETTINGS)
    assert found.events["n_negative"].tolist() == [0, 4]
    assert np.flatnonzero(np.isnan(found.relative[1])).tolist() == [700, 701, 702, 703]
    assert found.events["period_d"] == pytest.approx([2.0, 2.7], rel=2e-3)
    assert found.events["depth_ppm"] == pytest.approx(3000, rel=0.15)


def test_total_eclipses_stay(make_shard):
    time, flux = fluxes(1)
    flux[0] = 2000 + np.random.default_rng(5).normal(0, 1, len(time))
    flux[0, np.abs((time - 1326.0 + 1.5) % 3.0 - 1.5) < 0.08] -= 2000
    event = search_shard(make_shard(flux, time=time), SETTINGS).events[0]
    assert event["n_negative"] == 0
    assert event["period_d"] == pytest.approx(3.0, rel=2e-3)
    assert 0.8e6 < event["depth_ppm"] < 1.02e6


def test_two_minute_cadence_is_binned_and_long_baselines_work(make_shard):
    time, flux = fluxes(1, cadence_s=120)
    event = search_shard(make_shard(flux, time=time, cadence_s=120.0), SETTINGS).events[0]
    assert event["period_d"] == pytest.approx(2.0, rel=1e-3)
    assert event["duration_h"] == pytest.approx(3.84, rel=0.13)
    time, flux = fluxes(1, days=90.0, cadence_s=1765.5)
    event = search_shard(make_shard(flux, time=time, cadence_s=1765.5, mission="kepler"), SETTINGS).events[0]
    assert event["period_d"] == pytest.approx(2.0, rel=2e-4)


def test_unsorted_and_repeated_times_of_a_single_light_curve():
    time, flux = fluxes(1)
    order = np.random.default_rng(0).permutation(len(time))
    rows = np.r_[order, order[:50]]
    missing = np.full(len(rows), np.nan, np.float32)
    curve = LightCurve(
        star=Star(), mission="", sector=-1, author="csv", cadence_s=CADENCE_S, time_format="btjd",
        flux_unit="relative", cadence_no=np.arange(len(rows), dtype=np.int32), time=time[rows],
        time_correction=missing, flux=flux[0, rows].astype(np.float32), flux_err=missing, background=missing,
        centroid_col=missing, centroid_row=missing, quality=np.zeros(len(rows), np.int32),
    )  # fmt: skip
    event = search_shard(shard_of(curve), SETTINGS).events[0]
    assert event["period_d"] == pytest.approx(2.0, rel=2e-3)
    unknown = search_shard(shard_of(replace(curve, cadence_s=np.nan)), SETTINGS).events[0]
    assert unknown["period_d"] == pytest.approx(2.0, rel=2e-3)


def test_kernels_are_the_python_they_were_compiled_from(make_shard, pure_python):
    """Shown by running everything uncompiled on a tiny light curve with a transit that cannot be missed."""
    time = np.arange(0, 4.0, 1 / 48)
    rng = np.random.default_rng(0)
    flux = 1 + rng.normal(0, 1e-4, (2, len(time)))
    flux[:, np.abs((time - 0.4 + 0.6) % 1.2 - 0.6) < 0.06] -= 0.01
    flux[1, 40:100] = np.nan
    flux[0, 3] = 2.0
    settings = SearchSettings(n_durations=3, top_peaks=2, oversampling=2.0, min_duration_h=2.0)
    found = search_shard(make_shard(flux, time=time), settings)
    assert found.events["period_d"] == pytest.approx([1.2, 1.2], rel=0.01)
    binned = search_shard(make_shard(flux, time=time), SearchSettings(bin_minutes=60, n_durations=2, top_peaks=1))
    assert binned.events["period_d"][0] == pytest.approx(1.2, rel=0.01)

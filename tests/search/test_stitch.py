from dataclasses import replace

import numpy as np
import pytest

from larun.config import SearchSettings
from larun.errors import InputError
from larun.network.bank import read_bank
from larun.search.flatten import flatten, pieces
from larun.search.grid import optimal_frequencies
from larun.search.pipeline import search_shard
from larun.search.stitch import stitch, stitched_settings

SETTINGS = SearchSettings(max_events=1)


def sector(
    make_shard, number, *, period_d=35.2, t0=1330.4, depth=2.5e-3, cadence_s=1800.0, level=1000.0, mission="tess"
):
    """One sector of 27 d of a star with transits of 5 h; sectors start 27.4 d apart."""
    time = 1325 + 27.4 * number + np.arange(0, 26.5, cadence_s / 86400)
    rng = np.random.default_rng(number)
    offset = (time + 0.01 - t0) / period_d
    flux = 1 + rng.normal(0, 4e-4 * np.sqrt(1800 / cadence_s), len(time))
    flux[np.abs(offset - np.rint(offset)) * period_d < 0.104] -= depth
    correction = np.full((1, len(time)), 0.01, np.float32)
    shard = make_shard(level * flux, time=time, correction=correction, cadence_s=cadence_s, mission=mission)
    return replace(shard, sector=number)


def test_a_planet_is_found_whose_period_exceeds_a_sector(make_shard):
    parts = [sector(make_shard, number, level=1000.0 + 300 * number) for number in (0, 1, 2, 4)]
    whole = stitch(parts, SETTINGS).shard
    assert len(whole) == 1
    assert (np.diff(whole.time) > 0).all()
    assert np.nanmedian(whole.flux) == pytest.approx(1, abs=1e-4)
    settings = stitched_settings(whole.time, SETTINGS)
    assert settings.max_period_d == pytest.approx(np.ptp(whole.time) / 2)
    event = search_shard(whole, settings).events[0]
    assert event["period_d"] == pytest.approx(35.2, rel=1e-3)
    assert event["t0_btjd"] == pytest.approx(1330.4, abs=0.02)
    assert event["depth_ppm"] == pytest.approx(2500, rel=0.2)
    assert event["n_transits"] == 4
    for part in parts:
        alone = search_shard(part, SETTINGS).events[0]
        assert abs(alone["period_d"] / 35.2 - 1) > 0.1


def test_bad_cadences_stay_bad_whatever_their_bits_mean(make_shard):
    first, second = sector(make_shard, 0), sector(make_shard, 1)
    first.quality[0, :50] = 128
    second.flux[0, 10] = np.nan
    whole = stitch([second, replace(first, author="tasoc")], SETTINGS).shard
    assert (whole.quality[0, :50] == -1).all()
    assert np.isfinite(whole.flux).sum() == first.flux.size + second.flux.size - 51
    assert whole.author == ""
    assert whole.mission == "tess"


def test_flux_far_below_zero_is_bad_before_anything_is_averaged(make_shard):
    first, second = sector(make_shard, 0), sector(make_shard, 1, cadence_s=600.0)
    second.flux[0, 31] = -5e6
    whole = stitch([first, second], SETTINGS).shard
    assert whole.cadence_s == 1800.0
    assert np.nanmin(whole.flux) > 0.9


def test_cadences_are_averaged_to_the_longest(make_shard):
    parts = [sector(make_shard, 0, cadence_s=120.0), sector(make_shard, 1, cadence_s=1800.0)]
    whole = stitch(parts, SETTINGS).shard
    assert whole.cadence_s == 1800
    first = whole.time < 1352
    assert np.count_nonzero(first) == pytest.approx(26.5 * 48, abs=1)
    assert np.std(whole.flux[0, first & (whole.time < 1330)]) == pytest.approx(4e-4, rel=0.15)
    assert np.median(np.diff(whole.time[first])) == pytest.approx(1 / 48, rel=1e-3)


def test_of_two_light_curves_of_a_sector_the_faster_is_kept(make_shard):
    fast, slow = sector(make_shard, 0, cadence_s=120.0), sector(make_shard, 0, cadence_s=600.0)
    whole = stitch([slow, fast], SETTINGS).shard
    assert whole.cadence_s == 120
    assert whole.flux.shape == fast.flux.shape


def test_kepler_and_tess_meet_in_btjd(make_shard):
    tess = sector(make_shard, 0)
    kepler = replace(sector(make_shard, 0, mission="kepler"), time_format="bkjd")
    whole = stitch([tess, kepler], SETTINGS).shard
    assert whole.time_format == "btjd"
    assert whole.time[0] == pytest.approx(1325.01 - 2167)
    assert whole.time[-1] == pytest.approx(tess.time[-1] + 0.01)


def test_nothing_to_search_says_why(make_shard):
    empty = sector(make_shard, 3)
    empty.flux[:] = np.nan
    with pytest.raises(InputError, match="tess 3: no good cadence"):
        stitch([empty], SETTINGS)
    whole = stitch([empty, sector(make_shard, 0)], SETTINGS)
    assert whole.shard.time[-1] < 1352
    assert whole.used == (1,)


def together(*stars):
    """Light curves of several stars on the same cadences, in one shard."""
    columns = ("flux", "flux_err", "background", "centroid_col", "centroid_row", "quality", "time_correction")
    columns = {name: np.concatenate([getattr(star, name) for star in stars]) for name in columns}
    return replace(stars[0], stars=tuple(star.stars[0] for star in stars), **columns)


@pytest.mark.parametrize("cadences_s", [(1800.0, 1800.0), (600.0, 1800.0)])
def test_several_stars_are_joined_as_each_would_be(make_shard, cadences_s):
    """Light travel times differ by up to 16 min; the stars are binned in the same bins, so an average may shift."""
    depths = (2e-3, 3e-3, 4e-3)
    parts = []
    for number, cadence_s in enumerate(cadences_s):
        stars = [sector(make_shard, number, depth=depth, level=10 / depth, cadence_s=cadence_s) for depth in depths]
        for star, correction_d in zip(stars, (-0.005, 0.001, 0.003), strict=True):
            star.time_correction[:] = correction_d + 1e-4 * number
        parts.append(together(*stars))
    parts[1].flux[2] = np.nan
    whole = stitch(parts, SETTINGS).shard
    assert np.abs(whole.time_correction).max() < 0.006
    for k in range(2):
        alone = stitch([part.take([k]) for part in parts], SETTINGS).shard
        mine = np.isfinite(whole.flux[k])
        np.testing.assert_array_equal(whole.flux[k, mine], alone.flux[0, np.isfinite(alone.flux[0])])
        times = alone.time[np.isfinite(alone.flux[0])]
        np.testing.assert_allclose(whole.barycentric_time(k)[mine], times, atol=1e-8)
    assert np.isnan(whole.flux[2, whole.time > 1352.2]).all()


def test_a_planet_is_found_in_each_of_several_joined_stars(make_shard):
    periods = (35.2, 31.1)
    parts = []
    for number in (0, 1, 2, 4):
        stars = [sector(make_shard, number, period_d=period) for period in periods]
        for star, correction_d in zip(stars, (-0.005, 0.004), strict=True):
            star.time_correction[:] = correction_d
        parts.append(together(*stars))
    whole = stitch(parts, SETTINGS).shard
    events = search_shard(whole, stitched_settings(whole.time, SETTINGS)).events
    np.testing.assert_allclose(events["period_d"], periods, rtol=1e-3)


def test_trial_periods_are_capped_from_below():
    time = np.array([1325.0, 2825.0])
    settings = stitched_settings(time, SETTINGS.model_copy(update={"max_trial_periods": 50_000}))
    count = len(optimal_frequencies(1500, settings.min_period_d, 750, SETTINGS.oversampling))
    assert 49_000 < count <= 50_000
    assert settings.min_period_d > SETTINGS.min_period_d
    assert stitched_settings(time - 0.9 * (time - 1325), SETTINGS).min_period_d == SETTINGS.min_period_d


def test_pieces_are_sectors():
    def cut(time, observed=None):
        return pieces(time, np.ones(len(time), bool) if observed is None else observed)

    day = np.arange(0, 27, 0.02)
    assert cut(day) == [slice(0, 1350)]
    assert cut(np.r_[day[:600], day[700:]]) == [slice(0, 1250)]
    assert cut(np.r_[day, day + 28]) == [slice(0, 1350), slice(1350, 2700)]
    assert cut(np.r_[day, day + 100]) == [slice(0, 1350), slice(1350, 2700)]
    assert cut(np.arange(0, 90, 0.02)) == [slice(0, 4500)]
    assert cut(np.empty(0)) == [slice(0, 0)]
    # A grid of all cadences, as the store has it, with the gaps of a quarter.
    quarter = np.arange(0, 90, 0.02)
    seen = ~(((quarter > 30) & (quarter < 31)) | ((quarter > 61) & (quarter < 62)))
    assert [part.start for part in cut(quarter, seen)] == [0, 1550, 3100]
    assert cut(quarter, np.zeros(4500, bool)) == [slice(0, 4500)]


def test_each_piece_is_flattened_as_if_alone():
    day = np.arange(0, 27, 1 / 48)
    time = np.r_[day, day + 200]
    rng = np.random.default_rng(0)
    waves = np.r_[4e-3 * np.sin(2 * np.pi * day / 0.7), 6e-3 * np.sin(2 * np.pi * day / 0.71 + 1)]
    flux = (1 + waves + rng.normal(0, 3e-4, len(time))).astype(np.float32)[None]
    whole = flatten(flux, time, 1 / 48, SETTINGS)
    for part in (slice(0, len(day)), slice(len(day), None)):
        np.testing.assert_array_equal(whole.flux[:, part], flatten(flux[:, part], time[part], 1 / 48, SETTINGS).flux)
    assert whole.variability["n_waves"][0] > 0
    assert whole.sigma[0] == pytest.approx(3e-4, rel=0.15)


@pytest.mark.parametrize(("star", "period_d"), [("TIC 8348911", 2.326343), ("TIC 468979441", 24.43832)])
def test_planets_that_no_single_sector_shows(real_data, star, period_d):
    """TOI-2266 b needs the transits of four sectors; TOI-5493 b has one transit a sector."""
    parts = [curve.shard() for curve in read_bank(real_data) if curve.star == star]
    whole = stitch(parts, SETTINGS).shard
    settings = stitched_settings(whole.time, SETTINGS)
    settings = settings.model_copy(update={"min_period_d": 0.9 * period_d, "max_period_d": 1.5 * period_d})
    event = search_shard(whole, settings).events[0]
    assert event["period_d"] == pytest.approx(period_d, rel=1e-4)
    assert event["snr"] > 7

"""Several events of one star: planets beside planets, secondaries, and transits that are alone."""

import batman
import numpy as np
import pytest

from larun.config import SearchSettings
from larun.network.bank import read_bank
from larun.schema import empty_events
from larun.search.events import _at_bins, _places, mask_transits
from larun.search.pipeline import search_shard

CADENCE_D = 600 / 86400
SETTINGS = SearchSettings()
TOI_270 = ((3.3601, 1.30, 0.0305), (5.6605, 2.10, 0.0582), (11.3796, 4.40, 0.0510))
"""Period, time after the start, days, and radius ratio of its planets (Günther et al. 2019, Nat. Astron. 3, 1099)."""


def transits(time, period, t0, ratio, a=None, impact=0.2, cadence_d=CADENCE_D):
    """Relative flux with the transits of one planet of an M dwarf of 11 times the Sun's density."""
    params = batman.TransitParams()
    params.t0, params.per, params.rp, params.ecc, params.w = t0, period, ratio, 0.0, 90.0
    params.a = 4.2 * np.cbrt(11.0 * period**2) if a is None else a
    params.inc = np.degrees(np.arccos(impact / params.a))
    params.u, params.limb_dark = [0.25, 0.3], "quadratic"
    model = batman.TransitModel(params, time, supersample_factor=5, exp_time=cadence_d)
    return model.light_curve(params)


def times(days=27.0, cadence_d=CADENCE_D):
    time = 1325 + np.arange(0, days, cadence_d)
    return time[(time < 1338.2) | (time > 1339.2)]


def periods_of(found, star=0):
    further = found.further[found.further_star == star]
    return [found.events["period_d"][star], *further["period_d"]]


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_planets_like_those_of_toi_270(make_shard, seed):
    rng = np.random.default_rng(seed)
    time = times()
    flux = 1 + rng.normal(0, 4e-4, len(time))
    for period, after, ratio in TOI_270:
        flux *= transits(time, period, 1325 + after + rng.uniform(-1, 1), ratio)
    found = search_shard(make_shard(flux, time=time, cadence_s=600.0), SETTINGS)
    got = periods_of(found)
    matched = [min(abs(p / period - 1) for p in got) < 2e-3 for period, _, _ in TOI_270]
    assert sum(matched) >= 2, got
    assert found.further["event"].tolist() == list(range(2, 2 + len(found.further)))


def test_a_star_with_one_planet_or_none_has_no_further_event(make_shard):
    rng = np.random.default_rng(3)
    time = times()
    flux = 1 + rng.normal(0, 4e-4, (4, len(time)))
    flux[:2] *= transits(time, 3.3601, 1326.0, 0.06)
    found = search_shard(make_shard(flux, time=time, cadence_s=600.0), SETTINGS)
    assert found.events["period_d"][:2] == pytest.approx([3.3601] * 2, rel=1e-3)
    assert len(found.further) == 0


def half_hours(kind, n=24, seed=11):
    """True periods, and 30-min light curves of deep planets or of binaries with unequal eclipses."""
    rng = np.random.default_rng(seed)
    time = times(cadence_d=1 / 48)
    periods, rows = np.exp(rng.uniform(np.log(1), np.log(6.5), n)), []
    for period in periods:
        axis, t0 = 4.2 * period ** (2 / 3) * rng.uniform(0.7, 1.2), 1325 + rng.uniform(0, period)
        if kind == "planets":
            flux = transits(time, period, t0, np.sqrt(10 ** rng.uniform(-2.3, -1.6)), axis, rng.uniform(0, 0.6), 1 / 48)
        else:
            ratio, impact = np.sqrt(10 ** rng.uniform(-2, -0.7)), rng.uniform(0, 0.9)
            flux = transits(time, period, t0, ratio, axis, impact, 1 / 48)
            secondary = transits(time, period, t0 + period / 2, ratio, axis, impact, 1 / 48)
            flux *= 1 - rng.uniform(0.5, 0.9) * (1 - secondary)
        rows.append(flux * (1 + rng.normal(0, 5e-4, len(time))))
    return periods, time, np.array(rows)


@pytest.mark.parametrize("kind", ["planets", "binaries"])
def test_half_hours_neither_double_planets_nor_halve_binaries(make_shard, kind):
    periods, time, flux = half_hours(kind)
    found = search_shard(make_shard(flux, time=time), SearchSettings(max_events=1))
    right = np.abs(found.events["period_d"] / periods - 1) < 5e-3
    assert right.mean() >= 0.95, found.events["period_d"][~right] / periods[~right]


def test_no_more_events_than_asked_for(make_shard):
    rng = np.random.default_rng(0)
    time = times()
    flux = 1 + rng.normal(0, 3e-4, len(time))
    for period, after, ratio in TOI_270:
        flux *= transits(time, period, 1325 + after, ratio)
    shard = make_shard(flux, time=time, cadence_s=600.0)
    for count in (1, 2):
        assert np.isfinite(periods_of(search_shard(shard, SearchSettings(max_events=count)))).sum() == count


def test_the_secondary_of_a_binary_is_no_further_event(make_shard):
    rng = np.random.default_rng(1)
    time = times()
    flux = 1 + rng.normal(0, 4e-4, len(time))
    for epoch, depth in ((1326.0, 0.05), (1327.6, 0.02)):
        offset = (time - epoch + 1.6) % 3.2 - 1.6
        flux -= depth * np.clip(1.5 * (1 - np.abs(offset) / 0.1), 0, 1)
    found = search_shard(make_shard(flux, time=time, cadence_s=600.0), SETTINGS)
    assert found.events["period_d"][0] == pytest.approx(3.2, rel=1e-3)
    assert not np.isfinite(found.further["period_d"]).any()


def test_a_single_transit_is_an_event_without_a_period(make_shard):
    rng = np.random.default_rng(2)
    time = times()
    flux = 1 + rng.normal(0, 4e-4, (2, len(time)))
    flux[0] *= transits(time, 80.0, 1346.3, 0.06, a=100.0)
    flux[1] *= transits(time, 80.0, 1346.3, 0.06, a=100.0) * transits(time, 2.7, 1326.2, 0.05)
    found = search_shard(make_shard(flux, time=time, cadence_s=600.0), SETTINGS)
    assert found.events["period_d"][1] == pytest.approx(2.7, rel=1e-3)
    assert found.further_star.tolist() == [0, 1]
    for event in found.further:
        assert np.isnan(event["period_d"])
        assert np.isnan(event["sde"])
        assert event["n_transits"] == 1
        assert event["t0_btjd"] == pytest.approx(1346.3, abs=0.03)
        # Period over pi times R / a, for a radius ratio of 0.06.
        assert event["duration_h"] == pytest.approx(80 * 24 / np.pi / 100 * 1.04, rel=0.12)
        assert event["depth_ppm"] == pytest.approx(0.06**2 * 1e6 * 1.15, rel=0.15)
        assert event["snr"] > 15


@pytest.mark.parametrize("duration_h", [8.0, 14.0])
def test_a_long_single_transit_keeps_its_depth(make_shard, duration_h):
    """The trend of a day leaves less than half of it, between two shoulders; the star beside it has no transit."""
    rng = np.random.default_rng(5)
    time = times()
    flux = 1 + rng.normal(0, 4e-4, (2, len(time))) + 2e-3 * np.sin(2 * np.pi * time / 9.0)
    # From limb to limb along a diameter; the first and last contact are a radius of the planet further out.
    axis = 300 * 24 / np.pi / duration_h
    flux[0] *= transits(time, 300.0, 1332.4, 0.05, a=axis, impact=0.0)
    found = search_shard(make_shard(flux, time=time, cadence_s=600.0), SETTINGS)
    (event,) = found.further
    assert found.further_star.tolist() == [0]
    assert np.isnan(event["period_d"])
    assert event["t0_btjd"] == pytest.approx(1332.4, abs=0.05)
    assert event["duration_h"] == pytest.approx(1.05 * duration_h, rel=0.08)
    # Mean brightness along a diameter, 0.918 of the centre's, over that of the whole disc, 0.867.
    assert event["depth_ppm"] == pytest.approx(0.05**2 * 1e6 * 0.918 / 0.867, rel=0.05)


@pytest.mark.parametrize("what", ["step", "gap", "edge", "outlier", "two cadences", "v"])
def test_what_is_no_transit_is_no_single_transit(make_shard, what):
    rng = np.random.default_rng(4)
    time = times()
    flux = 1 + rng.normal(0, 4e-4, len(time))
    if what == "step":
        flux[time > 1345] -= 5e-3
    if what == "gap":
        flux[(time > 1339.2) & (time < 1339.6)] -= 5e-3
    if what == "edge":
        flux[time < 1325.4] -= 5e-3
    if what == "outlier":
        flux[2500] -= 0.5
    if what == "two cadences":
        flux[2500:2502] -= 0.05
    if what == "v":
        flux -= 0.01 * np.clip(1 - np.abs(time - 1332.4) / 0.1, 0, 1)
    found = search_shard(make_shard(flux, time=time, cadence_s=600.0), SETTINGS)
    assert len(found.further) == 0


def test_all_transits_are_masked_and_nothing_else():
    time = np.arange(0, 10, 0.01)
    event = empty_events(1)[0]
    event["period_d"], event["t0_btjd"], event["duration_h"] = 2.5, 1.0, 4.8
    flux = np.ones(len(time), np.float32)
    mask_transits(flux, time, event)
    distance = np.abs((time - 1.0 + 1.25) % 2.5 - 1.25)
    # Half a duration of 0.2 d and a quarter of one more.
    assert np.isnan(flux[distance < 0.149]).all()
    assert np.isfinite(flux[distance > 0.151]).all()
    event["period_d"] = np.nan
    once = np.ones(len(time), np.float32)
    mask_transits(once, time, event)
    assert np.isnan(once).sum() == pytest.approx(30, abs=1)


def test_all_planets_of_l_98_59(real_data):
    """Sector by sector, from its 10-min light curves; each sector finds some, together they find all three."""
    curves = [curve for curve in read_bank(real_data) if curve.star == "TIC 307210830"]
    assert curves
    found = np.concatenate([periods_of(search_shard(curve.shard(), SETTINGS)) for curve in curves])
    for period in (2.2531, 3.6907, 7.4507):
        assert np.min(np.abs(found / period - 1)) < 2e-3, found


def test_bins_get_barycentric_times_between_those_of_their_cadences():
    time = np.r_[np.arange(0, 9.0, 0.5), np.arange(12.0, 20.0, 0.5)]
    own = time + 0.01 * np.sin(time)
    bins = np.r_[0.0, 0.75, 3.1, 8.5, 11.0, 12.0, 19.5]
    for places, function in ((_places, _at_bins), (_places.py_func, _at_bins.py_func)):
        found = function(bins, *places(bins, time), time, own)
        np.testing.assert_allclose(found, bins + np.interp(bins, time, own - time), rtol=1e-12)

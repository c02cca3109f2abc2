"""Views of hand-made light curves: every view shows what was put in, where it belongs and in its unit."""

from dataclasses import replace

import numpy as np
import pytest

from larun import views
from larun.lightcurve import Shard, Star
from larun.schema import VIEW_DEFINITION, VIEW_LENGTH, empty_events

PERIOD, EPOCH, DURATION_H, DEPTH = 3.3, 1326.2, 3.0, 5e-3


def shard_of_time(time, n=1, correction=None):
    empty = np.full((n, len(time)), np.nan, np.float32)
    return Shard(
        stars=(Star(),) * n,
        time=time,
        cadence_no=np.arange(len(time), dtype=np.int32),
        time_correction=empty if correction is None else correction,
        flux=empty,
        flux_err=empty,
        background=empty,
        centroid_col=empty,
        centroid_row=empty,
        quality=np.zeros((n, len(time)), np.int32),
    )


def phase_d(time, epoch=EPOCH, period=PERIOD):
    return (time - epoch + 0.5 * period) % period - 0.5 * period


def boxes(time, depth=DEPTH, epoch=EPOCH, period=PERIOD, duration_h=DURATION_H):
    return np.where(np.abs(phase_d(time, epoch, period)) < duration_h / 48, -depth, 0.0)


def event(**changes):
    events = empty_events(1)
    values = {"period_d": PERIOD, "t0_btjd": EPOCH, "duration_h": DURATION_H, "depth_ppm": DEPTH * 1e6}
    for name, value in (values | {"secondary_phase": 0.5} | changes).items():
        events[name] = value
    return events


def strip(time, detrended, relative=None, **changes):
    flux = detrended[np.newaxis].astype(np.float32)
    raw = flux if relative is None else relative[np.newaxis].astype(np.float32)
    vector = views.shard_views(shard_of_time(time), np.array([0]), raw, flux, event(**changes))[0]
    return {name: vector[place] for name, place in views.view_slices().items()}


@pytest.fixture(scope="module")
def time():
    return 1325.3 + np.arange(0, 27.4, 120 / 86400)


def test_views_fill_the_vector_in_order():
    places = views.view_slices()
    assert [name for name, _ in VIEW_DEFINITION["views"]] == list(places)
    assert places["global"] == slice(0, 256)
    assert places["sector"] == slice(704, 960)
    assert sum(length for _, length in VIEW_DEFINITION["views"]) == VIEW_LENGTH


def test_the_transit_lies_in_the_middle_in_units_of_twice_its_depth(time):
    view = strip(time, 1 + boxes(time))
    # 3 h of 79.2 h are 9.7 of 256 bins, around the edge between bins 127 and 128.
    assert view["global"][124:132] == pytest.approx(-0.5, abs=1e-3)
    assert view["global"][:122] == pytest.approx(0.0, abs=1e-4)
    assert view["global"][134:] == pytest.approx(0.0, abs=1e-4)
    # One duration of five is 22.4 of 112 bins: 44.8 to 67.2.
    for name in ("odd", "even"):
        assert view[name][47:65] == pytest.approx(-0.5, abs=1e-3)
        assert view[name][:43] == pytest.approx(0.0, abs=1e-4)
        assert view[name][70:] == pytest.approx(0.0, abs=1e-4)
    assert view["secondary"] == pytest.approx(0.0, abs=1e-4)


def test_the_absolute_view_is_the_compressed_depth(time):
    view = strip(time, 1 + boxes(time))
    assert view["depth"][47:65] == pytest.approx(-np.arcsinh(DEPTH / 1e-3) / np.arcsinh(1e3), abs=1e-4)


def test_odd_and_even_transits_are_told_apart(time):
    transit_no = np.round((time - EPOCH) / PERIOD)
    view = strip(time, 1 + np.where(transit_no % 2 == 0, 0.6, 1.4) * boxes(time))
    assert view["odd"][52:60] == pytest.approx(-0.3, abs=1e-3)
    assert view["even"][52:60] == pytest.approx(-0.7, abs=1e-3)


def test_the_secondary_view_follows_the_secondary_phase(time):
    flux = 1 + boxes(time) + boxes(time, 0.4 * DEPTH, EPOCH + 0.3 * PERIOD)
    assert strip(time, flux, secondary_phase=0.3)["secondary"][52:60] == pytest.approx(-0.2, abs=1e-3)
    assert strip(time, flux, secondary_phase=np.nan)["secondary"] == pytest.approx(0.0, abs=1e-4)


def test_folded_views_do_not_depend_on_the_scale_of_flux_and_depth(time):
    one = strip(time, 1 + boxes(time))
    ten = strip(time, 1 + 10 * boxes(time), depth_ppm=10 * DEPTH * 1e6)
    for name in ("global", "odd", "even", "secondary"):
        assert ten[name] == pytest.approx(one[name], abs=2e-4)


def test_an_epoch_whole_cycles_away_gives_the_same_fold(time):
    flux = 1 + boxes(time) + 1e-3 * np.sin(2 * np.pi * time / PERIOD)
    one, other = strip(time, flux), strip(time, flux, t0_btjd=EPOCH + 2 * PERIOD)
    for name in ("global", "odd", "even", "secondary"):
        assert other[name] == pytest.approx(one[name], abs=1e-4)


def test_the_sector_view_counts_in_errors_of_its_bins(time):
    rng = np.random.default_rng(3)
    noise = 1e-3
    detrended = 1 + noise * rng.standard_normal(len(time))
    step = np.where(time > time.mean(), 0.01, -0.01)
    view = strip(time, detrended, detrended + step)["sector"]
    in_bin = len(time) / 256
    expected = np.arcsinh(0.01 / (noise * 1.2533 / np.sqrt(in_bin))) / np.arcsinh(1e3)
    assert view[:127] == pytest.approx(-expected, abs=0.03)
    assert view[129:] == pytest.approx(expected, abs=0.03)


def test_a_gap_is_zero_in_the_sector_and_interpolated_in_the_fold(time):
    flux = 1 + 0.01 * np.sin(2 * np.pi * (time - EPOCH) / PERIOD)
    noisy = flux + 1e-4 * np.random.default_rng(0).standard_normal(len(time))
    missing = (time > 1335) & (time < 1337)
    out = noisy.copy()
    out[missing] = np.nan
    hidden = np.abs(phase_d(time) - 1.0) < 0.05
    out[hidden] = np.nan
    view = strip(time, out, depth_ppm=10_000.0)
    gap = slice(round((1335.2 - time[0]) / 27.4 * 256), round((1336.8 - time[0]) / 27.4 * 256))
    assert np.all(view["sector"][gap] == 0)
    # The hole is 0.1 d of 3.3 d wide, centred a day after the epoch; a sine is straight over that.
    hole = slice(int((1.0 / PERIOD + 0.5) * 256) - 3, int((1.0 / PERIOD + 0.5) * 256) + 3)
    middles = (np.arange(256)[hole] + 0.5) / 256 - 0.5
    assert view["global"][hole] == pytest.approx(0.5 * np.sin(2 * np.pi * middles), abs=0.02)


def test_what_scattered_light_adds_is_not_shown(time):
    flux = 1 + 1e-3 * np.random.default_rng(4).standard_normal(len(time))
    stray = np.where(np.abs(time - 1340) < 0.1, 40.0, 0.0)
    detrended = np.where(stray > 0, np.nan, flux).astype(np.float32)[np.newaxis]
    shown = []
    for seen in (flux, flux + stray):
        relative = seen.astype(np.float32)[np.newaxis]
        shard = replace(shard_of_time(time), flux=1200 * relative)
        shown.append(views.shard_views(shard, np.array([0]), relative, detrended, event())[0])
    clean, strayed = (vector[views.view_slices()["sector"]] for vector in shown)
    around = np.arange(256)
    hidden = np.abs(time[0] + (around + 0.5) * np.ptp(time) / 256 - 1340) < 0.66
    assert strayed[~hidden] == pytest.approx(clean[~hidden], abs=1e-6)
    assert np.abs(strayed).max() < 0.3
    assert shown[1][-64:] == pytest.approx(shown[0][-64:], abs=0.1)


def test_long_and_short_cadences_look_alike(time):
    rng = np.random.default_rng(1)
    short = 1 + boxes(time) + 1e-3 * rng.standard_normal(len(time))
    n = 15
    rows = len(time) // n * n
    coarse = time[:rows].reshape(-1, n).mean(axis=1)
    binned = short[:rows].reshape(-1, n).mean(axis=1)
    one, other = strip(time, short), strip(coarse, binned)
    for name in ("global", "odd", "even", "depth"):
        assert np.corrcoef(one[name], other[name])[0, 1] > 0.9, name
    assert one["sector"].std() == pytest.approx(other["sector"].std(), rel=0.25)


def test_barycentric_time_is_used(time):
    flux = (1 + boxes(time + 0.05))[np.newaxis].astype(np.float32)
    correction = np.full((1, len(time)), 0.05, np.float32)
    shifted = views.shard_views(shard_of_time(time, 1, correction), np.array([0]), flux, flux, event())[0]
    local = shifted[views.view_slices()["odd"]]
    assert local[47:65] == pytest.approx(-0.5, abs=1e-3)


def test_a_single_transit_is_shown_once(time):
    flux = 1 + boxes(time)
    flux[np.abs(time - event()["t0_btjd"][0]) > 1] = 1
    view = strip(time, flux, period_d=np.nan)
    assert view["even"][47:65] == pytest.approx(-0.5, abs=1e-3) or view["odd"][47:65] == pytest.approx(-0.5, abs=1e-3)
    # 3 h of twice 27.4 d are less than a bin of the 256.
    assert (view["global"] < -0.1).sum() <= 2


@pytest.mark.parametrize("change", [{"t0_btjd": np.nan}, {"duration_h": 0.0}, {"period_d": -1}])
def test_no_event_is_a_row_of_zeros(time, change):
    assert not np.any(np.concatenate(list(strip(time, 1 + boxes(time), **change).values())))


def test_events_come_in_any_order_and_number(time):
    rng = np.random.default_rng(6)
    flux = (1 + boxes(time) + 1e-3 * rng.standard_normal((2, len(time)))).astype(np.float32)
    shard, star = shard_of_time(time, 2), np.array([1, 0, 1])
    vectors = views.shard_views(shard, star, flux, flux[star], event().repeat(3))
    first = views.shard_views(shard, np.array([0]), flux, flux[:1], event())
    assert np.array_equal(vectors[0], vectors[2])
    assert np.array_equal(vectors[1], first[0])
    assert not np.array_equal(vectors[0], vectors[1])


def test_everything_stays_within_one(time):
    rng = np.random.default_rng(5)
    wild = 1 + 3 * rng.standard_cauchy(len(time))
    wild[rng.random(len(time)) < 0.3] = np.nan
    for depth in (np.nan, 0.0, 1e-3, 1e6):
        vector = np.concatenate(list(strip(time, wild, depth_ppm=depth).values()))
        assert np.isfinite(vector).all()
        assert np.abs(vector).max() <= 1


def test_no_data_at_all_is_zero(time):
    assert not np.any(np.concatenate(list(strip(time, np.full(len(time), np.nan)).values())))


def test_the_scatter_of_successive_cadences_is_the_noise():
    flux = 1 + 0.002 * np.random.default_rng(2).standard_normal(20_000)
    flux += np.linspace(0, 0.5, len(flux))
    flux[100:200] = np.nan
    assert views.point_to_point_scatter(flux.astype(np.float32)) == pytest.approx(0.002, rel=0.03)
    assert views.point_to_point_scatter(np.full(5, np.nan, np.float32)) == 0.0


def test_kernels_agree_with_their_python_source(time, monkeypatch):
    thin = time[::40].copy()
    flux = (1 + boxes(thin)).astype(np.float32)
    flux[10:60] = np.nan
    arguments = (thin, flux, flux, PERIOD, EPOCH, DURATION_H / 24, DEPTH, 0.5)
    compiled, interpreted = np.zeros(VIEW_LENGTH, np.float32), np.zeros(VIEW_LENGTH, np.float32)
    views.event_view(*arguments, compiled)
    kernels = ("_median_bins", "even_median", "_fill_empty", "_scale", "_compress", "_sector_view",
               "point_to_point_scatter")  # fmt: skip
    for name in kernels:
        monkeypatch.setattr(views, name, getattr(views, name).py_func)
    views.event_view.py_func(*arguments, interpreted)
    assert interpreted == pytest.approx(compiled, abs=1e-6)


def test_a_shard_of_many_stars_is_its_stars_one_by_one(time):
    rng = np.random.default_rng(7)
    thin = time[::10]
    flux = (1 + boxes(thin) + 1e-3 * rng.standard_normal((3, len(thin)))).astype(np.float32)
    shard = shard_of_time(thin, 3)
    together = views.shard_views(shard, np.arange(3), flux, flux, event().repeat(3))
    one = replace(shard, stars=(Star(),), time_correction=shard.time_correction[:1])
    for row in range(3):
        alone = views.shard_views(one, np.array([0]), flux[row : row + 1], flux[row : row + 1], event())
        assert np.array_equal(alone[0], together[row])
    events = event().repeat(4)
    events["period_d"][1:] = (1.1 * PERIOD, np.nan, PERIOD)
    events["t0_btjd"][3] = np.nan
    star = np.array([2, 0, 2, 1])
    several = views.shard_views(shard, star, flux, flux[star], events)
    for k in range(4):
        alone = views.shard_views(shard, star[k : k + 1], flux, flux[star[k : k + 1]], events[k : k + 1])
        assert np.array_equal(alone[0], several[k])
    assert not several[3].any()
    assert several[:3].any(axis=1).all()

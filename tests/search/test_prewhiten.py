import numpy as np
import pytest

from larun.config import SearchSettings
from larun.search.detrend import detrend
from larun.search.flatten import flatten
from larun.search.pipeline import search_shard
from larun.search.prewhiten import candidates, is_box, left_over, transit_scatter, waves
from larun.search.variability import ROTATION

CADENCE_D = 1 / 720
BIN_D = 5 * CADENCE_D


def sky(days=27.0, cadence_d=CADENCE_D):
    """Times with a gap in the middle."""
    time = 1325 + np.arange(0, days, cadence_d)
    return time[(time < 1338) | (time > 1339)]


def rotation(time, period_d=0.7264, amplitude=4e-3):
    """A fast rotator whose spots grow over the sector."""
    phase = 2 * np.pi * time / period_d
    return (1 + 0.02 * (time - 1338)) * amplitude * (np.sin(phase) + 0.4 * np.sin(2 * phase + 1))


def transits(time, period_d=1.2392, depth=2.5e-3, duration_d=0.06):
    offset = (time - 1325.7) / period_d
    return np.where(np.abs(offset - np.rint(offset)) * period_d < duration_d / 2, -depth, 0.0)


def shard_flux(*signals):
    time = sky()
    noise = np.random.default_rng(5).normal(0, 1.5e-3, (len(signals), len(time)))
    return time, (1 + np.stack([signal(time) for signal in signals]) + noise).astype(np.float32)


def test_waves_are_modelled_at_every_cadence_of_the_bins():
    time = sky()
    truth = rotation(time, 0.31) + 3e-3 * np.sin(2 * np.pi * time / 0.05)
    flux = (1 + truth + np.random.default_rng(0).normal(0, 5e-4, len(time))).astype(np.float32)
    model, n_waves = waves(flux, detrend(flux[None], time, 1.0)[0], time, BIN_D, CADENCE_D, 1.0)
    assert n_waves == 3
    assert np.std(model - truth - np.mean(model - truth)) < 6e-5


def test_transits_deeper_than_the_noise_are_left_whole():
    time = sky()
    lost = transits(time, depth=0.02)
    flux = (1 + rotation(time) + lost + np.random.default_rng(1).normal(0, 1e-3, len(time))).astype(np.float32)
    model, _ = waves(flux, detrend(flux[None], time, 1.0)[0], time, BIN_D, CADENCE_D, 1.0)
    flat = detrend((flux / (1 + model))[None], time, 1.0)[0]
    near = np.abs(((time - 1325.7) / 1.2392 + 0.5) % 1 - 0.5) * 1.2392 < 0.12
    assert np.mean(flat[near & (lost == 0)]) - np.mean(flat[lost < 0]) == pytest.approx(0.02, rel=0.02)


def test_boxes_are_told_from_waves():
    time = np.arange(0, 27, BIN_D)
    used = np.ones(len(time))
    noise = np.random.default_rng(2).normal(0, 1e-4, len(time))
    for multiple in (1, 2, 3):
        box = np.where((time / 3.3) % 1 < 0.1, -1e-3, 0.0) + noise
        power = 2 * 0.1**2 / (0.1 * 0.9)
        assert is_box(box, used, BIN_D / 3.3 * multiple, power), multiple
    assert not is_box(1e-3 * np.sin(2 * np.pi * time / 3.3) + noise, used, BIN_D / 3.3, 0.98)
    assert not is_box(noise, np.zeros(len(time)), BIN_D / 3.3, 0.5)


def test_a_transit_alone_is_no_wave():
    time = sky()
    flux = (1 + transits(time, 0.9, 1e-3, 0.09) + np.random.default_rng(3).normal(0, 1e-3, len(time))).astype(
        np.float32
    )
    model, n_waves = waves(flux, detrend(flux[None], time, 1.0)[0], time, BIN_D, CADENCE_D, 1.0)
    assert n_waves == 0
    assert (model == 0).all()


def test_only_what_the_trend_leaves_is_fitted():
    assert left_over(np.array([1.0, 0.1, 20.0]), np.ones(3), 1.0) == pytest.approx([1, 1, 0.0041], abs=1e-3)
    seen = {
        "variability_period_d": np.array([0.7, 12.0, 0.3, 2.0, np.nan]),
        "variability_amplitude_ppm": np.array([4000.0, 4000, 90_000, 50_000, np.nan]),
        "variability_kind": np.array([ROTATION, ROTATION, ROTATION, ROTATION, 0]),
    }
    # The second is slow, the third a contact binary, the last unknown.
    assert candidates(seen, np.full(5, 1e-3), CADENCE_D, 1.0).tolist() == [0, 3]


def test_a_planet_of_a_fast_rotator_is_found(make_shard):
    time, flux = shard_flux(lambda t: rotation(t) + transits(t), rotation)
    shard = make_shard(flux, time=time, cadence_s=120.0)
    plain = search_shard(shard, SearchSettings(prewhiten=False)).events
    calm = search_shard(shard, SearchSettings()).events
    assert abs(plain["period_d"][0] / 1.2392 - 1) > 0.01
    assert plain["n_waves"].tolist() == [0, 0]
    assert calm["period_d"][0] == pytest.approx(1.2392, rel=2e-3)
    assert calm["snr"][0] > 8
    assert calm["snr"][1] < 7 < plain["snr"][1]
    assert (calm["n_waves"] > 0).all()


def test_quiet_stars_are_not_touched():
    time, flux = shard_flux(lambda t: 0 * t, transits, lambda t: rotation(t, 11.0))
    with_waves = flatten(flux, time, CADENCE_D, SearchSettings())
    without = flatten(flux, time, CADENCE_D, SearchSettings(prewhiten=False))
    np.testing.assert_array_equal(with_waves.flux, without.flux)
    assert with_waves.variability["n_waves"].tolist() == [0, 0, 0]


def test_scatter_on_the_time_scale_of_transits():
    flux = np.random.default_rng(4).normal(1, 1e-3, 20_000)
    assert transit_scatter(flux, 60) == pytest.approx(1e-3 / np.sqrt(60), rel=0.15)
    flux[:19_500] = np.nan
    assert np.isnan(transit_scatter(flux, 60))


@pytest.mark.parametrize("flux", [np.ones(400), np.full(400, np.nan), np.r_[1.0, np.full(399, np.nan)]])
def test_nothing_comes_of_nothing(flux):
    flux = flux.astype(np.float32)
    model, n_waves = waves(flux, flux, 1325 + np.arange(400) * CADENCE_D, BIN_D, CADENCE_D, 1.0)
    assert n_waves == 0
    assert (model == 0).all()

import numpy as np
import pytest

from larun.network.bank import UNLABELLED, Curve, Ephemeris
from tests.benchmarks.hosts import MAX_DEPTH, PERIODS_D, SNRS, inverted, quiet, scatter, with_planets, without_transits


@pytest.fixture
def shard():
    rng = np.random.default_rng(0)
    time = 1325 + np.arange(0, 26, 1 / 48)
    time = time[np.abs(time - 1338) > 0.6]
    flux = 1 + rng.normal(0, 1e-3, (6, len(time)))
    return Curve("", UNLABELLED, "", time, flux[0].astype(np.float32)).shard(flux)


def test_injected_planets_have_the_snr_that_is_asked_for(shard):
    detrended = shard.flux.copy()
    detrended[:, 100:130] = np.nan
    carrying, planets = with_planets(shard, detrended, np.random.default_rng(1))
    for star, planet in enumerate(planets):
        loss = 1 - carrying.flux[star] / shard.flux[star]
        good = np.isfinite(detrended[star])
        sigma = 1.4826 * np.median(np.abs(detrended[star, good] - np.median(detrended[star, good])))
        assert np.sqrt(np.sum(loss[good] ** 2)) / sigma == pytest.approx(planet.snr, rel=0.02)
        assert SNRS[0] <= planet.snr <= SNRS[-1]
        assert PERIODS_D[0] <= planet.period_d <= PERIODS_D[-1]
        assert 0 < loss.max() < 1.3 * MAX_DEPTH
        transits = np.rint((shard.time[good & (loss > 0.5 * loss.max())] - planet.t0) / planet.period_d)
        assert len(np.unique(transits)) >= 2


def test_no_planet_where_none_would_be_seen(shard):
    carrying, planets = with_planets(shard, np.full(shard.flux.shape, np.nan, np.float32), np.random.default_rng(1))
    assert planets == (None,) * 6
    np.testing.assert_array_equal(carrying.flux, shard.flux)


def test_upside_down(shard):
    turned = inverted(shard)
    np.testing.assert_allclose(np.median(turned.flux, axis=1), np.median(shard.flux, axis=1), rtol=1e-6)
    np.testing.assert_allclose(np.diff(turned.flux), -np.diff(shard.flux), atol=1e-6)


def test_scatter():
    values = np.random.default_rng(0).normal(1, 2e-3, 20_000)
    values[::7] = np.nan
    assert scatter(values) == pytest.approx(2e-3, rel=0.02)
    assert np.isnan(scatter(np.full(3, np.nan)))


def test_quiet_means_the_same_at_every_cadence():
    rng = np.random.default_rng(2)
    for cadence_s, scale in ((1800.0, 1.0), (120.0, np.sqrt(15))):
        stars = rng.normal(1, [[0.008 * scale], [0.012 * scale]], (2, 20_000))
        assert quiet(stars, cadence_s).tolist() == [True, False]


def test_no_cadence_of_a_known_transit_is_left():
    time = np.arange(100, 110, 0.01)
    curve = Curve("", UNLABELLED, "", time, np.ones(1000, np.float32), (Ephemeris(3.0, 95.5, 2.4),))
    gone = time[np.isnan(without_transits(curve))]
    middle = np.array([101.5, 104.5, 107.5])
    assert np.abs(gone[:, None] - middle).min(axis=1).max() < 0.1
    assert len(gone) == pytest.approx(3 * 20, abs=3)
    assert np.isfinite(curve.flux).all()

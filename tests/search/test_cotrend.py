from dataclasses import replace

import numpy as np
import pytest

from larun.config import SearchSettings
from larun.lightcurve import Star
from larun.search.cotrend import FEWEST_STARS, cotrend, groups_of
from larun.search.flatten import flatten
from larun.search.pipeline import search_shard

CADENCE_D = 1 / 48
TIME = 1325 + np.arange(0, 27, CADENCE_D)
PERIOD_D, EPOCH, DURATION_D = 3.1, 1326.4, 0.13


def in_transit(time=TIME):
    offset = (time - EPOCH) / PERIOD_D
    return np.abs(offset - np.rint(offset)) * PERIOD_D < DURATION_D / 2


def common_mode(seed=0):
    """Jitter correlated over about three hours, of unit variance."""
    noise = np.convolve(np.random.default_rng(seed).normal(size=len(TIME) + 5), np.ones(6), "valid")
    return noise / noise.std()


def ccd(n_stars, size=1.5e-3, noise=1e-3, depth=0.0, seed=1):
    """Detrended flux of stars that share a mode in proportions of their own, the first with transits."""
    rng = np.random.default_rng(seed)
    share = size * rng.uniform(0.5, 1.5, (n_stars, 1)) * rng.choice([-1, 1], (n_stars, 1))
    flux = 1 + share * common_mode() + rng.normal(0, noise, (n_stars, len(TIME)))
    flux[0, in_transit()] -= depth
    flux[3, 100:130] = np.nan
    return flux.astype(np.float32), share * common_mode()


def same(n_stars):
    return np.full(n_stars, 101)


def test_a_shared_mode_is_taken_out():
    flux, truth = ccd(40)
    found = cotrend(flux, TIME, CADENCE_D, same(40))
    left = np.std(found - truth, axis=1) / np.std(truth, axis=1)
    # The mode is learnt from 25 quiet stars of noise 1e-3 each.
    assert np.median(left) < 0.2
    assert left.max() < 0.5


def test_transits_keep_their_depth():
    kept = []
    for seed in range(12):
        calm, _ = ccd(32, seed=seed)
        dimmed, _ = ccd(32, seed=seed, depth=3e-3)
        calm, dimmed = (flux - cotrend(flux, TIME, CADENCE_D, same(32)) for flux in (calm, dimmed))
        kept.append(np.mean((calm - dimmed)[0, in_transit()]) / 3e-3)
    assert np.mean(kept) == pytest.approx(1, abs=0.01)
    assert np.min(kept) > 0.95


def test_stars_that_share_nothing_are_not_touched():
    flux, _ = ccd(40, size=0.0)
    assert np.mean((cotrend(flux, TIME, CADENCE_D, same(40)) != 0).any(axis=1)) < 0.1


def test_few_stars_and_unknown_ccds_are_not_touched():
    flux, _ = ccd(40)
    few = np.r_[same(FEWEST_STARS - 1), np.zeros(41 - FEWEST_STARS)].astype(int)
    assert not cotrend(flux, TIME, CADENCE_D, few).any()


def test_each_ccd_has_its_own_modes():
    first, truth = ccd(24)
    second, _ = ccd(24, size=0.0)
    together = cotrend(np.concatenate([first, second]), TIME, CADENCE_D, np.repeat([101, 102], 24))
    np.testing.assert_array_equal(together[:24], cotrend(first, TIME, CADENCE_D, same(24)))
    assert np.std(together[:24] - truth) < 0.3 * np.std(truth)


def test_a_star_is_not_in_its_own_modes():
    """A huge signal of one star changes nothing in the modes that are fitted to it."""
    flux, _ = ccd(24)
    loud = flux.copy()
    loud[0] += 5e-3 * np.sin(2 * np.pi * TIME / 0.4)
    difference = cotrend(loud, TIME, CADENCE_D, same(24))[0] - cotrend(flux, TIME, CADENCE_D, same(24))[0]
    wave = np.sin(2 * np.pi * TIME / 0.4)
    assert abs(np.dot(difference, wave) / np.dot(wave, wave)) < 1e-4


def test_groups_are_camera_and_ccd():
    stars = (Star(camera=1, ccd=2), Star(camera=2, ccd=1), Star(), Star(ccd=84))
    assert groups_of(stars).tolist() == [102, 201, 0, 84]


def test_the_pipeline_corrects_a_shard_and_not_a_star_alone(make_shard):
    flux, _ = ccd(24, depth=4e-3, size=3e-3)
    shard = replace(make_shard(flux, time=TIME), stars=(Star(camera=1, ccd=1),) * 24)
    together = search_shard(shard, SearchSettings()).events[0]
    plain = search_shard(shard, SearchSettings(cotrend=False)).events[0]
    alone = search_shard(shard.take([0]), SearchSettings()).events[0]
    assert together["period_d"] == pytest.approx(PERIOD_D, rel=2e-3)
    assert together["snr"] > 1.3 * plain["snr"]
    assert alone["snr"] == pytest.approx(plain["snr"], rel=1e-5)


@pytest.mark.parametrize("n", [0, 1, 3, 60])
def test_short_and_empty_series(n):
    flux = np.full((20, n), np.nan, np.float32)
    assert not cotrend(flux, TIME[:n], CADENCE_D, same(20)).any()
    assert not cotrend(np.ones((20, n), np.float32), TIME[:n], CADENCE_D, same(20)).any()


def test_strange_stars_harm_no_other():
    flux, truth = ccd(40)
    flux[5], flux[6], flux[7] = np.nan, 1.0, np.where(np.arange(len(TIME)) == 9, 1e6, 1.0)
    found = cotrend(flux, TIME, CADENCE_D, same(40))
    assert not found[5:8].any()
    assert np.median(np.std(found - truth, axis=1) / np.std(truth, axis=1)) < 0.25
    flat = flatten(flux, TIME, CADENCE_D, SearchSettings(), same(40))
    assert np.isfinite(flat.sigma[[0, 8]]).all()

"""Pile-ups of epochs, in tables made by hand."""

import time

import numpy as np
import pytest

from larun.vet.pileup import piled_up_share, same_ephemeris

LEAST = 5


def scattered(n, seed=0, start=1325.0, days=27.0):
    """Periods, epochs and numbers of transits of unrelated events over a sector."""
    rng = np.random.default_rng(seed)
    period = np.exp(rng.uniform(np.log(0.5), np.log(13.0), n))
    t0 = start + rng.uniform(0, 1, n) * period
    return period, t0, np.floor((start + days - t0) / period).astype(int) + 1


def test_stars_that_share_epoch_and_period_count_each_other():
    period, t0, _ = scattered(30)
    t0 += 100 + np.arange(30)
    t0[:6], period[:6] = 1340.0 + np.linspace(-0.02, 0.02, 6), 5.0 * (1 + np.linspace(-0.004, 0.004, 6))
    t0[6:12] = 1340.0
    period[6:12] = 2.0 * 1.1 ** np.arange(6)
    period[12] = np.nan
    shared = same_ephemeris(period, t0, np.full(30, 0.05))
    assert shared[:6].tolist() == [5] * 6
    assert not shared[6:].any()


def test_short_periods_of_a_large_sector_meet_by_chance():
    rng = np.random.default_rng(4)
    period = rng.uniform(0.5, 0.55, 5000)
    t0 = 1325 + rng.random(5000) * period
    assert not same_ephemeris(period, t0, np.full(5000, 0.05)).any()
    t0[:900], period[:900] = 1325.2 + rng.uniform(-0.01, 0.01, 900), 0.52
    assert (same_ephemeris(period, t0, np.full(5000, 0.02))[:900] > 800).all()


def test_no_events_share_nothing():
    assert not len(same_ephemeris(*(np.empty(0),) * 3))


def test_transits_when_many_stars_dim_are_piled_up():
    period, t0, n = scattered(600)
    camera = np.full(600, 1)
    ramp = slice(0, 40)
    rng = np.random.default_rng(1)
    # Two transits each, at two moments; 13 of the other epochs are left in their own camera.
    t0[ramp], period[ramp], n[ramp] = 1331.3 + rng.uniform(-0.03, 0.03, 40), 13.7 + rng.uniform(-0.02, 0.02, 40), 2
    share = piled_up_share(period, t0, n, camera, LEAST)
    assert (share[ramp] == 1).all()
    others = share[40:][n[40:] <= 12]
    assert np.mean(others > 0.5) < 0.01
    assert np.isnan(share[n > 12]).all()


def test_each_camera_has_its_own_pile_up():
    period, t0, n = scattered(800, seed=3)
    camera = np.repeat([1, 2], 400)
    rows = np.r_[0:30, 400:403]
    t0[rows], period[rows], n[rows] = 1337.0 + np.linspace(-0.02, 0.02, 33), np.nan, 1
    share = piled_up_share(period, t0, n, camera, LEAST)
    assert (share[:30] == 1).all()
    assert (share[400:403] == 0).all()


def test_an_even_sky_has_no_pile_up():
    share = piled_up_share(*scattered(5000, seed=2), np.full(5000, 1), LEAST)
    assert np.nanmean(share > 0.5) < 2e-3


def test_nothing_known_is_nothing_piled_up():
    unknown = np.full(3, np.nan)
    assert np.isnan(piled_up_share(unknown, unknown, np.zeros(3, int), np.ones(3, int), LEAST)).all()
    one = piled_up_share(np.array([np.nan]), np.array([1330.0]), np.array([1]), np.array([0]), LEAST)
    assert one.tolist() == [0.0]


@pytest.mark.parametrize("function", ["share", "ephemeris"])
def test_a_sector_of_200000_stars_takes_seconds(function):
    period, t0, n = scattered(200_000, seed=5)
    start = time.process_time()
    if function == "share":
        piled_up_share(period, t0, n, np.arange(200_000) % 4 + 1, LEAST)
    else:
        same_ephemeris(period, t0, np.full(200_000, 0.05))
    assert time.process_time() - start < 20

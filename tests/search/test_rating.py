import numpy as np
import pytest

from larun.search.cells import lay_out, sums_before
from larun.search.rating import BOX, rate, rivals

PERIOD, MIDDLE, DURATION = 200.0, 60.0, 10.0
USUAL = DURATION / np.cbrt(PERIOD)


def rated(depths, *, n=4000, seed=0, also=None, period=PERIOD, duration=DURATION, sde=9.0):
    """Rating of boxes whose k-th transit has the depth ``depths[k % len(depths)]``, in units of the noise."""
    time = np.arange(n, dtype=float)
    flux = np.random.default_rng(seed).normal(0, 1, n)
    number = np.floor((time + 0.5 - MIDDLE) / PERIOD + 0.5).astype(int)
    offset = time + 0.5 - MIDDLE - number * PERIOD
    flux -= np.where(np.abs(offset) < DURATION / 2, np.take(depths, number % len(depths)), 0.0)
    if also is not None:
        flux += also(offset)
    boxes = np.zeros(1, BOX)
    boxes["period"], boxes["middle"], boxes["duration"], boxes["sde"] = period, MIDDLE, duration, sde
    rate(lay_out(time, sums_before(flux - flux.mean()), 1.0, 1), boxes[0], USUAL)
    return boxes[0]


def test_depth_strength_and_transits():
    box = rated([2.0])
    assert box["depth"] == pytest.approx(2.0, abs=0.25)
    assert box["n_transits"] == 20
    # 20 transits of 10 cadences: 2 sqrt(200).
    assert box["depth"] / box["error"] == pytest.approx(2 * np.sqrt(200), rel=0.2)
    assert box["strength"] == pytest.approx(2 * np.sqrt(200), rel=0.2)
    assert box["trimmed"] < box["strength"]
    assert box["trimmed"] == pytest.approx(box["strength"], rel=0.05)
    assert box["largest_share"] == pytest.approx(1 / 20, rel=0.4)
    assert box["chi2"] == pytest.approx(1.0, abs=0.6)
    assert box["score"] > 0.9


def test_a_single_dip_is_worth_nothing():
    box = rated([40.0] + 19 * [0.0])
    assert box["largest_share"] > 0.95
    assert box["trimmed"] < 0.1 * box["strength"]
    assert box["score"] < 0.6 * rated([2.0])["score"]


def test_depths_that_scatter_cost_score():
    even, uneven = rated([1.0]), rated([0.0, 3.0, 0.0, 1.0])
    assert uneven["chi2"] > 5
    assert uneven["score"] < even["score"]


def test_rivals_at_other_phases():
    quiet = rated([2.0])
    dipping = rated([2.0], also=lambda offset: np.where(np.abs(np.abs(offset) - 60) < 5, -1.9, 0.0))
    bumping = rated([2.0], also=lambda offset: np.where(np.abs(offset - 60) < 5, 1.9, 0.0))
    # Less what the level of so short a period and phase bins of a third of a duration take.
    assert 0.6 * 1.9 * np.sqrt(200) < dipping["dip"] < 1.9 * np.sqrt(200)
    assert 0.6 * 1.9 * np.sqrt(200) < bumping["bump"] < 1.9 * np.sqrt(200)
    assert max(quiet["dip"], quiet["bump"]) < 5
    assert dipping["score"] < 0.85 * quiet["score"]
    assert bumping["score"] < 0.88 * quiet["score"]


def test_rivals_of_a_hand_made_fold():
    time = np.arange(1000.0)
    flux = np.zeros(1000)
    flux[(time % 100 >= 40) & (time % 100 < 50)] = -2.0
    flux[(time % 100 >= 70) & (time % 100 < 80)] = 1.0
    dip, bump = rivals(lay_out(time, sums_before(flux), 1.0, 1), 100.0, 5.0, 10.0)
    level = -10 * 10 / 900
    assert dip == pytest.approx((2.0 + level) * 10, rel=0.1)
    assert bump == pytest.approx((1.0 - level) * 10, rel=0.1)


def test_long_transits_cost_score():
    usual = rated([2.0])
    assert rated([2.0], duration=30.0)["score"] < 0.9 * usual["score"]


def test_short_transits_cost_score():
    usual = rated([6.0], duration=2.0)
    assert usual["score"] < rated([6.0])["score"]


def test_few_transits_cost_score():
    """Twenty transits, and two of as much signal."""
    assert rated([6.3], n=400)["score"] < 0.9 * rated([2.0])["score"]
    assert rated([6.3], n=400)["n_seen"] == 2


def without(rows, depth=2.0):
    """Rating of 20 equal transits in a light curve in which the exposures ``rows(offset)`` are missing."""
    time = np.arange(4000.0)
    offset = (time + 0.5 - MIDDLE + PERIOD / 2) % PERIOD - PERIOD / 2
    flux = np.random.default_rng(0).normal(0, 1, 4000) - np.where(np.abs(offset) < DURATION / 2, depth, 0.0)
    kept = ~rows(offset)
    boxes = np.zeros(1, BOX)
    boxes["period"], boxes["middle"], boxes["duration"], boxes["sde"] = PERIOD, MIDDLE, DURATION, 9.0
    rate(lay_out(time[kept], sums_before(flux[kept] - flux[kept].mean()), 1.0, 1), boxes[0], USUAL)
    return boxes[0]


def test_dips_at_gaps_cost_score():
    whole = without(lambda offset: np.zeros(len(offset), bool))
    gap = without(lambda offset: (offset > 9) & (offset < 25))
    assert whole["beside"] == pytest.approx(1.0)
    # The side after a transit goes from 6.8 to 16.8 cells from its middle, and is observed up to 9.
    assert gap["beside"] == pytest.approx(0.22, abs=0.01)
    assert gap["score"] < 0.92 * whole["score"]


def test_ramps_beside_a_dip_cost_score():
    dip, ramp = rated([2.0]), rated([2.0], also=lambda offset: -1.2 * ((np.abs(offset) < 17) & (np.abs(offset) >= 5)))
    assert dip["local"] == pytest.approx(1.0, abs=0.1)
    assert ramp["local"] == pytest.approx((2.0 - 1.2) / 2.0, abs=0.15)
    assert ramp["score"] < 0.9 * dip["score"]


def test_odd_and_even_transits():
    assert rated([2.0])["odd_even"] < 3
    # 10 transits of each kind; a window of 15 cadences holds noise of sqrt(15).
    assert rated([3.0, 1.0])["odd_even"] == pytest.approx(20 / np.sqrt(15 * 2 / 10), rel=0.3)
    assert np.isnan(rated([2.0], n=200)["odd_even"])


@pytest.mark.parametrize("offset", [0.1, 0.3, 0.5])
def test_sampling_of_long_exposures_is_no_odd_even_difference(offset):
    """Transits of a fifth of a per cent noise and 4.3 cadences, whose edges fall on other parts of each exposure."""
    period, duration = 50 + offset, 4.3
    fine = np.arange(0, 1300, 1 / 40)
    loss = np.abs((fine - 20 + period / 2) % period - period / 2) < duration / 2
    flux = -100 * loss.reshape(-1, 40).mean(axis=1) + np.random.default_rng(0).normal(0, 1, 1300)
    boxes = np.zeros(1, BOX)
    boxes["period"], boxes["middle"], boxes["duration"] = period, 20.0, duration
    rate(lay_out(np.arange(1300.0), sums_before(flux - flux.mean()), 1.0, 1), boxes[0], USUAL)
    assert boxes[0]["odd_even"] < 4

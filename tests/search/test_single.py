"""Single transits beside jumps, in light curves made by hand."""

import numpy as np
import pytest

from larun.schema import empty_events
from larun.search.single import jumps

TIME = 1325 + np.arange(0, 10, 1 / 144)
MIDDLE = 1330.0


def single(duration_h=6.0, depth_ppm=2000.0):
    event = empty_events(1)[0]
    event["t0_btjd"], event["duration_h"], event["depth_ppm"] = MIDDLE, duration_h, depth_ppm
    return event


def light_curve(slope=0.0, jump=0.0, noise=1e-4):
    """A transit of 6 h and 2000 ppm on a slope per day, and a change of level in it."""
    flux = 1 + slope * (TIME - MIDDLE) - 2e-3 * (np.abs(TIME - MIDDLE) < 0.125) + jump * (TIME > MIDDLE)
    return (flux + np.random.default_rng(1).normal(0, noise, len(TIME))).astype(np.float32)


@pytest.mark.parametrize("slope", [0.0, 4e-3, -4e-3])
def test_a_transit_on_a_slope_is_no_jump(slope):
    assert not jumps(TIME, light_curve(slope), single())


@pytest.mark.parametrize("jump", [2e-3, -2e-3])
def test_a_change_of_level_in_the_transit_is_a_jump(jump):
    assert jumps(TIME, light_curve(4e-3, jump), single())


def test_a_small_change_of_level_is_none():
    assert not jumps(TIME, light_curve(jump=5e-4), single())


def test_without_one_side_nothing_is_said():
    flux = light_curve(jump=2e-3)
    flux[TIME > MIDDLE] = np.nan
    assert not jumps(TIME, flux, single())

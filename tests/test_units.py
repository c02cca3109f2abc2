"""Constants and conversions against astropy and a textbook case."""

import numpy as np
import pytest
from astropy import constants

from larun import units


def test_constants_are_those_of_astropy():
    assert pytest.approx(constants.R_sun.value, rel=1e-4) == units.R_SUN_M
    assert pytest.approx(constants.M_sun.value, rel=1e-4) == units.M_SUN_KG
    assert pytest.approx(constants.G.value, rel=1e-4) == units.G_SI
    assert pytest.approx((constants.R_sun / constants.R_earth).value, rel=1e-3) == units.R_EARTH_PER_R_SUN
    density = units.M_SUN_KG / (4 / 3 * np.pi * units.R_SUN_M**3) / 1000
    assert pytest.approx(density, rel=2e-3) == units.SOLAR_DENSITY_G_CM3


def test_scatter_of_a_normal_distribution():
    values = np.random.default_rng(1).normal(0, 2, 400_001)
    mad = np.median(np.abs(values - np.median(values)))
    assert mad * units.MAD_TO_SIGMA == pytest.approx(2, rel=0.01)


@pytest.mark.parametrize(("period_d", "density"), [(365.25, 1.0), (3.5, 1.0), (10.0, 0.2)])
def test_duration_is_the_time_to_cross_the_star(period_d, density):
    """Kepler's third law: a central crossing of the diameter at orbital speed, 2 R / (2 pi a / P)."""
    period_s = period_d * 86400
    mass = density * units.M_SUN_KG
    axis = (units.G_SI * mass * period_s**2 / (4 * np.pi**2)) ** (1 / 3)
    crossing_h = units.R_SUN_M * period_s / (np.pi * axis) / 3600
    assert units.transit_duration_h(period_d, density) == pytest.approx(crossing_h, rel=2e-3)


def test_durations_of_arrays():
    assert units.transit_duration_h(np.array([1.0, 8.0])).tolist() == pytest.approx(
        [float(units.transit_duration_h(1.0)), 2 * float(units.transit_duration_h(1.0))]
    )


def test_zero_points_differ_by_the_known_number_of_days():
    assert units.BTJD_OFFSET_D - units.BKJD_OFFSET_D == 2167.0


def test_time_from_the_nearest_transit():
    """Mid-transits at 1325.5 and every 4 d: 1.5 d after one, on one, 1 d before one, and 1 d after an earlier one."""
    times = np.array([1327.0, 1333.5, 1340.5, 1318.5])
    assert units.from_mid_transit_d(times, 4.0, 1325.5).tolist() == [1.5, 0.0, -1.0, 1.0]
    assert units.from_mid_transit_d(1327.0, np.array([4.0, 1.75]), 1325.5).tolist() == [1.5, -0.25]
    assert np.isnan(units.from_mid_transit_d(1327.0, np.nan, 1325.5))

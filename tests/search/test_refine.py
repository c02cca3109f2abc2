import numpy as np
import pytest
from one_star import CADENCE_D, SETTINGS, found, light_curve

from larun.config import SearchSettings
from larun.search.refine import Box, depths, refine, series


def test_refines_a_rough_start():
    time, flux = light_curve(3.21, 1001.5, 0.12, 2e-3)
    event = found(time, flux, (3.2, 1001.52, 0.09))
    assert event["period_d"] == pytest.approx(3.21, rel=5e-4)
    assert event["t0_btjd"] == pytest.approx(1001.5, abs=0.01)
    assert event["duration_h"] == pytest.approx(0.12 * 24, rel=0.13)
    assert event["depth_ppm"] == pytest.approx(2000, rel=0.05)
    # White noise: sigma / sqrt(cadences in transit), 8 transits of 17 cadences.
    assert event["depth_err_ppm"] == pytest.approx(500 / np.sqrt(8 * 17), rel=0.3)
    assert event["snr"] == pytest.approx(event["depth_ppm"] / event["depth_err_ppm"], rel=1e-5)
    assert event["n_transits"] == 8
    assert event["odd_even_sigma"] < 3
    assert event["secondary_snr"] < 4.5
    assert event["shape"] >= 0.7
    assert event["single_event_fraction"] == pytest.approx(1 / 8, rel=0.3)
    assert event["gap_fraction"] == 0
    assert event["phase_coverage"] == 1
    assert event["scatter_ppm"] == pytest.approx(500, rel=0.05)
    assert event["sinusoid_ratio"] < 0.2
    assert event["sde"] == 9


@pytest.mark.parametrize("ratio", [1 / 3, 0.5, 2, 3, 1.5, 2 / 3])
def test_harmonics_give_way_to_the_true_period(ratio):
    time, flux = light_curve(4.0, 1001.0, 0.15, 3e-3)
    event = found(time, flux, (4.0 * ratio, 1001.0, 0.15))
    assert event["period_d"] == pytest.approx(4.0, rel=1e-3)
    assert event["n_transits"] == 7


def test_alternating_depths_double_the_period_and_show_a_secondary():
    time, flux = light_curve(1.5, 1000.4, 0.1, (8e-3, 5e-3))
    event = found(time, flux, (1.5, 1000.4, 0.1))
    assert event["period_d"] == pytest.approx(3.0, rel=1e-3)
    assert event["depth_ppm"] == pytest.approx(8000, rel=0.05)
    assert event["secondary_depth_ppm"] == pytest.approx(5000, rel=0.2)
    assert event["secondary_snr"] > 20
    assert event["secondary_phase"] == pytest.approx(0.5, abs=0.02)


def test_odd_even_difference_in_sigmas():
    time, flux = light_curve(3.0, 1001.0, 0.1, (2e-3, 1.5e-3), seed=3)
    result = depths(series(time, flux, 5e-4, CADENCE_D), 3.0, 1001.0, 0.1)
    expected = 5e-4 / (5e-4 * np.sqrt(1 / (5 * 14.4) + 1 / (4 * 14.4)))
    assert result.odd_even == pytest.approx(expected, rel=0.35)


def test_red_noise_widens_the_error_of_the_depth():
    rng = np.random.default_rng(5)
    time, flux = light_curve(3.0, 1001.0, 0.1, 2e-3)
    slow = np.interp(time, np.arange(1000, 1028, 0.1), rng.normal(0, 5e-4, 280)).astype(np.float32)
    white = depths(series(time, flux, 5e-4, CADENCE_D), 3.0, 1001.0, 0.1)
    red = depths(series(time, flux + slow, 5e-4, CADENCE_D), 3.0, 1001.0, 0.1)
    assert white.noise == pytest.approx(1 / np.sqrt(14.4), rel=0.25)
    assert red.error > 2 * white.error


def test_no_period_beyond_the_longest_that_is_asked_for():
    time, flux = light_curve(1.5, 1000.4, 0.1, (8e-3, 5e-3))
    event = found(time, flux, (1.5, 1000.4, 0.1), settings=SearchSettings(max_period_d=2.0))
    assert event["period_d"] == pytest.approx(1.5, rel=1e-3)


def test_no_box_much_longer_than_the_longest_that_is_asked_for():
    time, flux = light_curve(9.0, 1004.0, 1.2, 3e-3)
    data = series(time, flux, 5e-4, CADENCE_D)
    start = [Box(9.0, 1004.0, 0.4, 0.0, 9.0)]
    assert refine(data, start, SearchSettings(max_duration_h=12)).duration == pytest.approx(1.2 * 12 / 24)
    assert refine(data, start, SearchSettings(max_duration_h=48)).duration > 0.8


def test_one_transit_is_one_event():
    time, flux = light_curve(100.0, 1013.0, 0.2, 3e-3)
    event = found(time, flux, (9.0, 1013.0, 0.2))
    assert event["single_event_fraction"] > 0.8


def test_nothing_that_dims_gives_nothing():
    time, flux = light_curve(3.0, 1001.0, 0.1, 0.0)
    inside = np.abs((time - 1001.0 + 1.5) % 3 - 1.5) < 0.05
    flux[inside] += 0.01
    data = series(time, flux, 5e-4, CADENCE_D)
    assert refine(data, [], SETTINGS) is None
    flat = series(time, np.where(inside, 1.01, 1.0).astype(np.float32), 5e-4, CADENCE_D)
    assert refine(flat, [Box(3.0, 1001.0, 0.1, 0.0, 9.0)], SETTINGS) is None


def test_a_series_holds_the_finite_cadences():
    rng = np.random.default_rng(4)
    flux = rng.normal(1, 1e-3, 1000).astype(np.float32)
    flux[rng.random(1000) < 0.05] = np.nan
    flux[[0, 1, 999]], flux[300:420] = np.nan, np.inf
    time = 1000 + np.arange(1000) * CADENCE_D
    data = series(time, flux, 1e-3, CADENCE_D)
    kept = np.isfinite(flux)
    expected = (flux[kept].astype(float) - flux[kept].mean(dtype=float)) / 1e-3
    np.testing.assert_array_equal(data.time, time[kept])
    np.testing.assert_allclose(data.flux, expected, atol=1e-6)
    np.testing.assert_allclose(data.sums, [0, *np.cumsum(expected)], atol=1e-4)
    assert data.exposures[-1] == pytest.approx([kept.sum(), 0], abs=1e-4)


@pytest.mark.parametrize(
    ("time", "flux", "sigma"),
    [
        (np.array([1.0]), np.array([1.0], np.float32), 1.0),
        (np.arange(5.0), np.ones(5, np.float32), 0.0),
        (np.arange(5.0), np.full(5, np.nan, np.float32), np.nan),
    ],
)
def test_no_series_without_scatter(time, flux, sigma):
    assert series(time, flux, sigma, 1.0) is None


@pytest.mark.parametrize("transits", range(10, 75))
def test_a_box_is_whole_for_any_number_of_transits(transits):
    """The memory of its numbers once was that of the box: 20 transits rated, or 60 refined, came out as NaN."""
    period, days = 40.0 / transits, 40.0
    duration = 0.1 * period
    time = np.arange(0, days, CADENCE_D)
    inside = np.abs((time / period) % 1 - 0.5) < 0.05
    flux = 1 + np.random.default_rng(transits).normal(0, 1e-4, len(time)) - np.where(inside, 1e-3, 0)
    data = series(time, flux.astype(np.float32), 1e-4, CADENCE_D)
    measured = depths(data, period, 0.5 * period, duration)
    assert len(measured.number) == transits
    assert measured.depth == pytest.approx((flux[~inside].mean() - flux[inside].mean()) / 1e-4, rel=0.1)
    box = refine(data, [Box(period, 0.5 * period, duration, 0.0, 5.0)], SearchSettings(min_duration_h=0.2))
    assert box.period == pytest.approx(period, rel=1e-3)

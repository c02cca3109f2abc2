"""Raw windows: resampling, trends, gaps and marks against hand-made light curves."""

import numpy as np
import pytest

from larun.schema import VIEW_LENGTH
from larun.windows import event_windows, prepared, running_median, sliding_windows, transit_mask

PERIOD, T0, DURATION_H, DEPTH = 3.0, 1326.0, 4.0, 0.01


def curve(step_d=1 / 720, days=27.0, noise=1e-3, slope=0.0, seed=0):
    time = 1325.0 + np.arange(0, days, step_d)
    phase = (time - T0 + 0.5 * PERIOD) % PERIOD - 0.5 * PERIOD
    flux = (
        1 - DEPTH * (np.abs(phase) < DURATION_H / 48) + noise * np.random.default_rng(seed).standard_normal(len(time))
    )
    return time, 5000 * flux * (1 + slope * np.sin((time - 1325) / 4))


@pytest.mark.parametrize("step_d", [1 / 720, 1 / 144, 1 / 48])
def test_windows_slide_over_the_curve_and_hold_its_dips(step_d):
    windows = sliding_windows(*curve(step_d), length_d=6.0, step_d=3.0)
    assert windows.samples.shape == (7, VIEW_LENGTH)
    assert np.diff(windows.start_d) == pytest.approx(3.0)
    assert np.abs(windows.samples).max() <= 1
    mask = transit_mask(windows, PERIOD, T0, DURATION_H)
    assert mask.mean() == pytest.approx(DURATION_H / 24 / PERIOD, rel=0.1)
    inside, outside = np.median(windows.samples[mask]), np.median(windows.samples[~mask])
    assert inside < -0.25
    assert abs(outside) < 0.05


def test_samples_are_in_units_of_their_noise():
    # Dips of 10 ppt in noise of 1 ppt: at 30 min one cadence per sample or fewer, asinh(10) / asinh(1000).
    windows = sliding_windows(*curve(1 / 48, noise=1e-3), length_d=6.0, step_d=6.0)
    mask = transit_mask(windows, PERIOD, T0, 0.5 * DURATION_H)
    assert np.median(windows.samples[mask]) == pytest.approx(-np.arcsinh(10) / np.arcsinh(1000), abs=0.03)


@pytest.mark.parametrize("trend", ["median", "polynomial"])
def test_a_trend_is_taken_out(trend):
    time, flux = curve(1 / 144, slope=0.02)
    bent = sliding_windows(time, flux, 6.0, 6.0, trend="none").samples
    flat = sliding_windows(time, flux, 6.0, 6.0, trend=trend).samples
    mask = transit_mask(sliding_windows(time, flux, 6.0, 6.0), PERIOD, T0, 1.2 * DURATION_H)
    assert np.std(flat[~mask]) < 0.6 * np.std(bent[~mask])


def test_windows_around_events_have_them_in_the_middle():
    windows = event_windows(*curve(), middles=(1332.0, 1338.0), length_d=2.0)
    assert len(windows) == 2
    middle = windows.samples[:, VIEW_LENGTH // 2 - 40 : VIEW_LENGTH // 2 + 40]
    assert np.median(middle) < -0.3
    assert np.median(windows.samples[:, :300]) == pytest.approx(0.0, abs=0.05)


def test_gaps_are_zero_and_windows_that_are_mostly_gap_are_left_out():
    time, flux = curve()
    flux[(time > 1331) & (time < 1333)] = np.nan
    windows = sliding_windows(time, flux, 6.0, 6.0)
    edges = windows.start_d[:, None] + 6.0 * (np.arange(VIEW_LENGTH) + 0.5) / VIEW_LENGTH
    assert (windows.samples[(edges > 1331.05) & (edges < 1332.95)] == 0).all()
    flux[(time > 1331) & (time < 1336.5)] = np.nan
    assert len(sliding_windows(time, flux, 6.0, 6.0)) == len(windows) - 1


def test_flares_are_cleaned_and_dips_are_not():
    time, flux = curve()
    flux[1000] *= 1.1
    flux[2000] *= 0.9
    kept, _ = prepared(time, flux, "none", 1.0)
    assert time[1000] not in kept
    assert time[2000] in kept


def test_the_running_median_is_that_of_the_window():
    time = np.arange(50.0)
    flux = np.random.default_rng(1).standard_normal(50) + 10
    assert running_median(time, flux, 4.0)[25] == np.median(flux[23:28])


@pytest.mark.parametrize("flux", [np.full(100, np.nan), np.zeros(100), np.ones(2)])
def test_nothing_comes_of_nothing(flux):
    assert len(sliding_windows(np.arange(len(flux)) / 10, flux, 6.0, 3.0)) == 0

import numpy as np
import pytest

from larun.config import SearchSettings
from larun.search.grid import make_grid, optimal_frequencies, period_range
from larun.units import transit_duration_h

SETTINGS = SearchSettings()


def test_neighbouring_periods_drift_by_the_same_part_of_a_transit():
    """Ofir (2014): between neighbours the drift over the baseline is a fixed part of the transit duration."""
    baseline, oversampling = 27.0, 3.0
    frequency = optimal_frequencies(baseline, 0.5, 13.0, oversampling)
    assert 1 / frequency[0] == pytest.approx(0.5)
    assert 1 / frequency[-1] == pytest.approx(13.0)
    period = 1 / frequency[:-1]
    drift_h = -np.diff(frequency) * period * baseline * 24
    part = drift_h / transit_duration_h(period)
    assert np.ptp(part) / part.mean() < 0.02
    assert part.mean() == pytest.approx(1 / oversampling, rel=0.1)


def test_longest_period_is_half_the_baseline():
    assert period_range(27.4, SETTINGS) == (0.5, 13.7)
    assert period_range(90.0, SETTINGS) == (0.5, 15.0)


def test_durations_are_tied_to_the_stars_density():
    time = np.arange(0, 27.0, 2 / 1440)
    grid = make_grid(time, 2 / 1440, SETTINGS)
    for index in range(0, len(grid.frequency), 100):
        duration_h = grid.duration_d(index) * 24
        central = transit_duration_h(grid.period_d[index])
        limit = SETTINGS.max_duty_cycle * grid.period_d[index] * 24
        assert duration_h[0] == pytest.approx(max(0.3 * central, 0.8), rel=0.2)
        assert duration_h[-1] == pytest.approx(min(3 * central, 12, limit), rel=0.2)
        assert (np.diff(duration_h) > 0).all()
    assert grid.bin_d == pytest.approx(10 / 1440)


def test_long_cadence_is_not_binned_and_boxes_hold_a_cadence():
    time = np.arange(0, 90, 29.4 / 1440)
    grid = make_grid(time, 29.4 / 1440, SETTINGS)
    assert grid.bin_d == 0
    assert min(grid.duration_d(i)[0] for i in range(len(grid.frequency))) > 0.9 * 29.4 / 1440


@pytest.mark.parametrize("time", [np.empty(0), np.array([5.0]), np.arange(0, 0.9, 0.01)])
def test_too_short_for_two_transits(time):
    assert make_grid(time, 0.01, SETTINGS) is None


def test_one_duration():
    grid = make_grid(np.arange(0, 27.0, 0.02), 0.02, SearchSettings(n_durations=1))
    assert grid.width.shape == (len(grid.frequency), 1)

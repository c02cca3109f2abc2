"""What the figure of a candidate is drawn from."""

import io

import matplotlib as mpl
import numpy as np
import pytest
from matplotlib.image import imread

from larun.report.plots import EventCurve, bin_median, candidate_figure, flux_limits, transit_times

PERIOD_D, T0, DURATION_H, DEPTH_PPM = 2.5, 1326.0, 3.0, 5000.0


def curve(n: int = 3000, **changes) -> EventCurve:
    time = np.linspace(1325.0, 1335.0, n)
    flux = np.random.default_rng(1).normal(1, 1e-3, n)
    offset = (time - T0 + 0.5 * PERIOD_D) % PERIOD_D - 0.5 * PERIOD_D
    flux[np.abs(offset) < DURATION_H / 48] -= DEPTH_PPM * 1e-6
    flux[1000:1100] = np.nan
    values = {"time": time, "relative": flux, "detrended": flux, "period_d": PERIOD_D, "t0": T0,
              "duration_h": DURATION_H, "depth_ppm": DEPTH_PPM}  # fmt: skip
    return EventCurve(**values | changes)


def test_phase_is_in_hours_from_the_nearest_transit():
    some = curve(time=np.array([1326.0, 1326.5, 1328.5, 1328.25, 1327.3]))
    np.testing.assert_allclose(some.phase_h(), [0, 12, 0, -6, -28.8], atol=1e-9)
    np.testing.assert_allclose(some.phase_h(5.0, 1328.5), [-60, -48, 0, -6, -28.8], atol=1e-9)


def test_transits_are_marked_within_the_searched_cadences():
    np.testing.assert_allclose(transit_times(curve()), [1326.0, 1328.5, 1331.0, 1333.5])
    flux = curve().detrended.copy()
    flux[curve().time < 1327] = np.nan
    np.testing.assert_allclose(transit_times(curve(detrended=flux)), [1328.5, 1331.0, 1333.5])
    np.testing.assert_allclose(transit_times(curve(t0=1331.0)), [1326.0, 1328.5, 1331.0, 1333.5])
    assert len(transit_times(curve(detrended=np.full(3000, np.nan)))) == 0


def test_bins_are_medians_of_what_is_finite():
    x = np.array([0.1, 0.2, 0.3, 1.5, 3.2, 3.3, -0.5])
    y = np.array([1.0, 9.0, 2.0, np.nan, 4.0, 6.0, 7.0])
    middles, medians = bin_median(x, y, 1.0)
    np.testing.assert_allclose(middles, [-0.5, 0.5, 3.5])
    np.testing.assert_allclose(medians, [7.0, 2.0, 5.0])
    assert [len(values) for values in bin_median(x, np.full(7, np.nan), 1.0)] == [0, 0]


def test_limits_leave_out_outliers_and_show_the_transit():
    flux = np.random.default_rng(2).normal(1, 1e-3, 5000)
    flux[7] = 50.0
    low, high = flux_limits(flux, 0.9)
    assert 0.88 < low < 0.9
    assert 1.002 < high < 1.02
    assert flux_limits(np.full(3, np.nan)) is None
    low, high = flux_limits(np.ones(10))
    assert low < 1 < high


def test_figure_is_a_png_of_the_same_bytes_in_any_style():
    png = candidate_figure(curve(), "TIC 1")
    image = imread(io.BytesIO(png))
    assert image.shape == (1000, 1180, 4)
    with mpl.rc_context({"axes.facecolor": "black", "savefig.dpi": 37, "font.size": 30}):
        assert candidate_figure(curve(), "TIC 1") == png
    assert candidate_figure(curve(depth_ppm=4000.0), "TIC 1") != png


@pytest.mark.parametrize(
    "changes",
    [
        {"duration_h": 30.0, "period_d": 2.5},
        {"period_d": 40.0, "t0": 1334.9},
        {"period_d": 0.3, "duration_h": 0.5},
        {"secondary_phase": 0.97},
        {"depth_ppm": 9e5},
        {"detrended": np.full(3000, np.nan), "relative": np.full(3000, np.nan)},
        {"detrended": np.ones(3000)},
    ],
)
def test_unusual_events_are_drawn(changes):
    assert candidate_figure(curve(**changes), "TIC 1").startswith(b"\x89PNG")

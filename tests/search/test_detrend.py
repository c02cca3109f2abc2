import numpy as np
import pytest

from larun.search.detrend import detrend, trend

DAY = 48


def test_straight_lines_and_slow_waves_are_removed():
    time = np.arange(27 * DAY) / DAY
    flux = np.stack([1 + 0.01 * time, 1 + 0.005 * np.sin(2 * np.pi * time / 12)]).astype(np.float32)
    flat = detrend(flux, time, 1.0)
    assert np.abs(flat[0] - 1).max() < 2e-6
    assert np.abs(flat[1] - 1).max() < 2e-4


def test_a_deep_transit_keeps_its_depth_in_the_middle_and_at_the_edge():
    rng = np.random.default_rng(1)
    time = np.arange(10 * DAY) / DAY
    flux = 1 + 0.002 * time + rng.normal(0, 2e-4, len(time))
    inside = (np.abs(time - 5.0) < 0.1) | (np.abs(time - 0.2) < 0.1)
    flux[inside] -= 0.01
    flat = detrend(flux[None].astype(np.float32), time, 1.0)[0]
    for centre in (5.0, 0.2):
        depth = 1 - flat[np.abs(time - centre) < 0.1].mean()
        assert depth == pytest.approx(0.01, rel=0.03)


def test_windows_do_not_cross_gaps():
    time = np.r_[np.arange(0, 5, 1 / DAY), np.arange(7, 12, 1 / DAY)]
    flux = np.where(time < 6, 1.0, 3.0)
    assert np.abs(detrend(flux[None].astype(np.float32), time, 2.0) - 1).max() < 1e-6


def test_a_gap_of_missing_fluxes_is_a_gap():
    time = np.arange(12 * DAY) / DAY
    flux = np.where(time < 6, 1.0, 3.0)
    flux[(time > 5) & (time < 7)] = np.nan
    flat = detrend(flux[None].astype(np.float32), time, 2.0)[0]
    assert np.isnan(flat[(time > 5) & (time < 7)]).all()
    assert np.nanmax(np.abs(flat - 1)) < 1e-6


def test_agrees_with_wotan_on_noise_and_rotation(uncompile):
    wotan = pytest.importorskip("wotan")
    # It compiles all its estimators together, which takes far longer than to run one of them as it is.
    for name in ("flatten", "slider", "location_estimates"):
        uncompile(f"wotan.{name}")
    rng = np.random.default_rng(2)
    time = np.arange(0, 27, 1 / DAY)
    flux = 1 + 0.004 * np.sin(2 * np.pi * time / 9) + rng.normal(0, 5e-4, len(time))
    ours = trend(flux[None].astype(np.float32), time, 1.0)[0]
    _, theirs = wotan.flatten(time, flux, method="biweight", window_length=1.0, return_trend=True)
    inner = (time > 0.6) & (time < 26.4)
    # Both estimates scatter by about sigma / sqrt(48 points of a window).
    assert np.nanstd((ours - theirs)[inner]) < 5e-4 / np.sqrt(48)


def test_flux_around_zero_leaves_nothing():
    time = np.arange(5 * DAY) / DAY
    flux = -1 + 0.1 * np.random.default_rng(0).normal(size=len(time))
    assert np.isnan(detrend(flux[None].astype(np.float32), time, 1.0)).all()


def test_a_jump_is_followed():
    time = np.arange(20 * DAY) / DAY
    flux = 1 + np.random.default_rng(4).normal(0, 1e-4, len(time))
    flux[time > 10] += 0.05
    found = trend(flux[None].astype(np.float32), time, 1.0)[0]
    far = np.abs(time - 10) > 0.6
    assert np.abs(found - np.where(time > 10, 1.05, 1.0))[far].max() < 1.5e-4


@pytest.mark.parametrize("size", [1e30, 3e38])
def test_fluxes_near_the_largest_number_come_to_an_end(size):
    flux = np.full((1, 10 * DAY), 1, np.float32)
    flux[0, ::3] = size
    flux[0, 1::3] = -size
    assert trend(flux, np.arange(10 * DAY) / DAY, 1.0).shape == flux.shape


def test_no_cadences():
    assert trend(np.empty((2, 0), np.float32), np.empty(0), 1.0).shape == (2, 0)


@pytest.mark.parametrize("duration_h", [2, 6, 13])
def test_hidden_transits_keep_all_of_their_depth(duration_h):
    time = np.arange(27 * DAY) / DAY
    inside = np.abs((time - 3.2 + 4) % 8 - 4) < duration_h / 48
    flux = 1 + 0.001 * np.sin(2 * np.pi * time / 20) + np.random.default_rng(6).normal(0, 2e-4, len(time))
    flux = (flux * np.where(inside, 0.9996, 1))[None].astype(np.float32)
    window_d = max(1.0, 3 * duration_h / 24)
    plain, hidden = (detrend(flux, time, window_d, mask)[0] for mask in (None, inside[None]))
    error = 2e-4 / np.sqrt(inside.sum())
    assert np.mean(hidden[~inside]) - np.mean(hidden[inside]) == pytest.approx(4e-4, abs=4 * error)
    assert np.std((hidden - plain)[np.abs((time - 3.2 + 4) % 8 - 4) > 1.5]) < 3e-5


def test_hidden_cadences_get_the_trend_of_the_others():
    time = np.arange(10 * DAY) / DAY
    flux = (1 + 0.01 * time)[None].astype(np.float32)
    hidden = np.zeros(flux.shape, bool)
    hidden[0, 100:118] = True
    dimmed = np.where(hidden, 0.5, flux).astype(np.float32)
    np.testing.assert_allclose(trend(dimmed, time, 1.0, hidden), flux, atol=1e-5)
    assert np.isnan(trend(dimmed, time, 1.0, np.ones_like(hidden))).all()
    np.testing.assert_array_equal(trend(flux, time, 1.0, np.zeros_like(hidden)), trend(flux, time, 1.0))


def test_a_star_gets_the_same_among_others_as_alone():
    """Whatever is missing of those beside it: other gaps, other ends, other cadences."""
    rng = np.random.default_rng(7)
    time = np.arange(0, 12, 1 / 144)
    flux = (1 + rng.normal(0, 1e-3, (37, len(time)))).astype(np.float32)
    flux[:9, 500:600] = np.nan
    flux[5:20, :3] = np.nan
    flux[12:, 1200:1204] = np.nan
    flux[30, 300:1400] = np.nan
    flux[rng.random(flux.shape) < 0.05] = np.nan
    flux[31:33, 700] += 0.5
    flux[33, 700:] += 0.5
    flux[35] = np.nan
    together = trend(flux, time, 1.0)
    for star in range(len(flux)):
        np.testing.assert_allclose(together[star : star + 1], trend(flux[star : star + 1], time, 1.0), rtol=2e-6)


def test_more_nodes_than_cadences():
    """Where cadences are longer than the steps of the trend, and a star has fewer of them than another."""
    time = np.arange(0, 30, 0.4)
    flux = np.stack([1 + 0.01 * time, 2 - 0.01 * time, 1 + 0.02 * time]).astype(np.float32)
    flux[1, :20] = np.nan
    flat = detrend(flux, time, 5.0)
    np.testing.assert_allclose(flat[np.isfinite(flux)], 1, atol=1e-5)
    np.testing.assert_array_equal(np.isnan(flat), np.isnan(flux))

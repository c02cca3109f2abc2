import numpy as np
import pytest
from one_star import CADENCE_D, found, light_curve

from larun.config import SearchSettings
from larun.search.dips import sinusoid_gain
from larun.search.measure import depth_chi2, fold, gap_touches, largest_share
from larun.search.refine import series


def test_a_sinusoid_looks_like_one():
    time = 1000 + np.arange(0, 27, CADENCE_D)
    flux = (1 + 3e-3 * np.sin(2 * np.pi * time / 0.8)).astype(np.float32)
    flux += np.random.default_rng(0).normal(0, 2e-4, len(time)).astype(np.float32)
    assert found(time, flux, (0.8, 1000.6, 0.11), noise=2e-3)["sinusoid_ratio"] > 1


def test_transits_beside_gaps_are_counted():
    time, flux = light_curve(3.0, 1001.0, 0.1, 3e-3)
    keep = np.abs((time - 1001.15 + 3) % 6 - 3) > 0.08
    event = found(time[keep], flux[keep], (3.0, 1001.0, 0.1))
    assert event["gap_fraction"] == pytest.approx(5 / 9)


def test_ends_of_the_data_are_gaps():
    time = np.arange(0, 10, 0.01)
    table = np.searchsorted(time, np.arange(0, 10.02, 0.01)).astype(np.int32)
    assert gap_touches(time, table, 0.01, np.array([0.02, 5.0, 9.97]), 0.1, 0.05).tolist() == [True, False, True]


def test_fold_keeps_even_and_odd_orbits_apart():
    rng = np.random.default_rng(1)
    time = 1000 + np.sort(rng.uniform(0, 30, 4000))
    time = time[(time < 1011.3) | (time > 1013.1)]
    flux = rng.normal(0, 1, len(time))
    data = series(time, (1 + flux).astype(np.float32), 1.0, 0.0075)
    period, t0, n = 2.7, 1004.21, 40
    phase = (data.time - t0) / (2 * period)
    bins = np.minimum(((phase - np.floor(phase)) * 2 * n).astype(int), 2 * n - 1)
    total, count = fold(data.time, data.table, data.cadence_d, data.sums, period, t0, n)
    assert count.sum() == len(time)
    np.testing.assert_array_equal(count, np.bincount(bins, minlength=2 * n))
    np.testing.assert_allclose(total, np.bincount(bins, data.flux, minlength=2 * n), atol=1e-9)


def dipping(depths, period=3.0, duration=0.1):
    """Noise-free dips of the given depths, in units of the noise of a cadence, from day 1000.5 on."""
    time = 1000 + np.arange(0, period * len(depths), CADENCE_D)
    flux = np.ones(len(time))
    for k, depth in enumerate(depths):
        flux[np.abs(time - 1000.5 - k * period) < duration / 2] -= depth
    data = series(time, flux.astype(np.float32), 1.0, CADENCE_D)
    return (data.time, data.table, data.cadence_d, data.sums), period, 1000.5, duration


def test_chi_square_of_depths_from_their_definition():
    depths = np.array([3.0, 3.0, 4.0, 2.0, 3.0])
    data, *box = dipping(depths)
    _, count = np.unique(np.rint((data[0] - 1000.5) / 3)[np.abs((data[0] + 1.0) % 3 - 1.5) < 0.05], return_counts=True)
    noise = 0.4
    error = noise * np.sqrt(0.1 / CADENCE_D / count)
    mean = np.sum(depths / error**2) / np.sum(error**-2.0)
    expected = np.sum(((depths - mean) / error) ** 2) / 4
    assert depth_chi2(*data, *box, noise) == pytest.approx(expected, rel=1e-3)
    assert np.isnan(depth_chi2(*dipping([3.0])[0], *box, noise))


def test_share_of_the_strongest_dip():
    data, *box = dipping([1.0, 5.0, 2.0, 0.0])
    outside = 8.0 * 0.1 / 12
    assert largest_share(*data, *box, outside) == pytest.approx(5 / 8, abs=0.02)
    assert largest_share(*data, box[0], 1002.0, 0.1, 0.0) == 1.0


def test_a_transit_of_three_cadences_has_no_shape():
    time, flux = light_curve(2.0, 1000.8, 3 * CADENCE_D, 4e-3)
    assert np.isnan(found(time, flux, (2.0, 1000.8, 3 * CADENCE_D))["shape"])
    time, flux = light_curve(2.0, 1000.8, 8 * CADENCE_D, 4e-3)
    assert found(time, flux, (2.0, 1000.8, 8 * CADENCE_D))["shape"] > 0.5


def test_unequal_transits_scatter_more_than_noise():
    time, flux = light_curve(3.0, 1001.0, 0.1, 0.0)
    for k, depth in enumerate((1e-3, 6e-3, 1e-3, 5e-3, 1e-3, 1e-3, 4e-3, 1e-3, 1e-3)):
        flux[np.abs(time - 1001 - 3 * k) < 0.05] -= depth
    assert found(time, flux, (3.0, 1001.0, 0.1))["depth_chi2"] > 50
    time, flux = light_curve(3.0, 1001.0, 0.1, 3e-3)
    assert found(time, flux, (3.0, 1001.0, 0.1))["depth_chi2"] < 3


def test_eclipses_of_an_eccentric_binary_come_early_and_late():
    """At half the true period every other eclipse is 20 minutes late."""
    time, flux = light_curve(2.0, 1000.8, 0.15, 0.0, noise=2e-4)
    late = np.where(np.arange(14) % 2, 20 / 1440, 0.0)
    for k, shift in enumerate(late):
        flux[np.abs(time - 1000.8 - 2 * k - shift) < 0.075] -= 4e-3
    split = found(time, flux, (2.0, 1000.807, 0.15), noise=2e-4, settings=SearchSettings(max_period_d=2.5))
    assert split["odd_even_sigma"] < 4
    assert split["odd_even_epoch_sigma"] > 8
    time, flux = light_curve(2.0, 1000.8, 0.15, 4e-3, noise=2e-4)
    assert found(time, flux, (2.0, 1000.8, 0.15), noise=2e-4)["odd_even_epoch_sigma"] < 4


def test_a_second_planet_is_no_repeating_secondary():
    time, flux = light_curve(6.0, 1001.0, 0.15, 4e-3)
    flux[np.abs(time - 1009.2) < 0.07] -= 8e-3
    event = found(time, flux, (6.0, 1001.0, 0.15))
    assert event["secondary_snr"] > 7
    assert event["secondary_share"] > 0.8
    flux[np.abs((time - 1003.2 + 3) % 6 - 3) < 0.07] -= 2e-3
    assert found(time, flux, (6.0, 1001.0, 0.15))["secondary_phase"] == pytest.approx(2.2 / 6, abs=0.02)


def test_a_sinusoid_of_twice_the_period_is_seen():
    time, flux = light_curve(1.0, 1000.5, 0.1, 0.0)
    flux += (2e-3 * np.cos(np.pi * (time - 1000.25))).astype(np.float32)
    data = series(time, flux, 1e-3, CADENCE_D)
    total, count = fold(data.time, data.table, data.cadence_d, data.sums, 1.0, 1000.25, 40)
    # Amplitude a in units of the noise gains a^2 / 2 per cadence.
    assert sinusoid_gain(total, count) == pytest.approx(4 / 2 * len(time), rel=0.02)
    assert sinusoid_gain(np.tile(total[:40] + total[40:], 2), count) < 0.02 * len(time)

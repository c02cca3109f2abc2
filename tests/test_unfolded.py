"""What a light curve shows unfolded: made flares, sinusoids and dips are measured as they were made."""

import numpy as np
import pytest
from astropy.timeseries import LombScargle

from larun import unfolded

MINUTE_D = 1 / 1440


def white(cadence_min, seed, sigma=1e-3, span_d=26.0):
    time = np.arange(0, span_d, cadence_min * MINUTE_D)
    return time, (1 + sigma * np.random.default_rng(seed).standard_normal(len(time))).astype(np.float32)


def excursions(flux, noise, around):
    return unfolded.excursions(unfolded.from_surroundings(flux, around), noise, around)


def test_flares_go_up_and_dips_go_down_and_single_cadences_do_not_count():
    rng = np.random.default_rng(2)
    flux = (1 + 1e-3 * rng.standard_normal(6000)).astype(np.float32)
    up, down, often_up, often_down, three_up, three_down = excursions(flux, 1e-3, 90)
    assert 1.5 < up < 4
    assert 1.5 < down < 4
    assert 0.8 < three_up < up
    assert 0.8 < three_down < down
    flare = flux.copy()
    flare[3000:3010] += np.float32(0.05) * np.exp(-np.arange(10) / 4).astype(np.float32)
    flare[1000] += 0.5
    flare[1500:1503] = np.nan
    got = excursions(flare, 1e-3, 90)
    # The second and third cadence of the flare are 50 exp(-1/4) and 50 exp(-1/2) times the noise, give or take it.
    assert got[0] == pytest.approx(50 * np.exp(-0.25), abs=4)
    assert got[1] == pytest.approx(down, abs=0.3)
    assert (got[2] - often_up) * 5997 == pytest.approx(9, abs=2)
    assert got[3] == pytest.approx(often_down, abs=2e-4)
    assert got[4] == pytest.approx(50 * np.exp(-0.5), abs=4)
    assert got[5] == pytest.approx(three_down, abs=0.3)


def test_no_light_curve_has_no_excursions():
    assert not excursions(np.full(100, np.nan, np.float32), 1e-3, 15).any()
    assert not excursions(np.ones(100, np.float32), 0.0, 15).any()


def test_what_cannot_be_the_star_s_is_left_out_with_its_surroundings():
    time = np.arange(1000) * 0.03
    delivered = np.full(1000, 250, np.float32)
    delivered[400:403] = (500, 7500, 500)
    delivered[700] = 2250
    delivered[900] = -2600
    flux = delivered / 250
    flux[900] = np.nan
    out = unfolded.without_spikes(time, flux, delivered)
    assert np.flatnonzero(np.isnan(out)).tolist() == [*range(385, 418), *range(884, 917)]
    assert out[700] == 9
    assert np.count_nonzero(np.isnan(flux)) == 1
    calm = np.ones(10, np.float32)
    assert unfolded.without_spikes(time[:10], calm, 250 * calm) is calm
    assert np.isnan(unfolded.without_spikes(time[:10], np.nan * calm, calm)).all()


def test_noise_beside_which_a_star_is_faint_is_no_spike():
    time = np.arange(5000) * 0.01
    flux = (1 + 4 * np.random.default_rng(9).standard_normal(5000)).astype(np.float32)
    assert flux.max() > unfolded.SPIKE
    assert unfolded.without_spikes(time, flux, 3 * flux) is flux
    flux[100] = 200
    assert np.isnan(unfolded.without_spikes(time, flux, 3 * flux)[60:140]).all()


@pytest.mark.parametrize("cadence_min", [2, 10, 30])
def test_a_sinusoid_explains_the_same_share_at_every_cadence(cadence_min):
    """Of amplitude s and noise s / sqrt(5) a half hour: A^2 / 2 over A^2 / 2 + sigma^2 is 1 / 1.4."""
    sigma = 1e-3 / np.sqrt(5) * np.sqrt(30 / cadence_min)
    time, flux = white(cadence_min, 3, sigma)
    flux = (flux + 1e-3 * np.sin(2 * np.pi * time / 2.7)).astype(np.float32)
    power, excess = unfolded.half_hours(time, flux)
    assert power == pytest.approx(1 / 1.4, abs=0.02)
    # The median of |sin| is that of the whole with little noise; white noise alone has 1.
    assert excess > 1.5
    flux[100:105] = 30.0
    assert unfolded.half_hours(time, flux)[0] == pytest.approx(power, abs=0.01), "outliers do not count"


def test_noise_has_no_power_and_no_excess():
    for cadence_min in (2, 30):
        power, excess = unfolded.half_hours(*white(cadence_min, 4))
        assert power < 0.03
        assert excess == pytest.approx(1, abs=0.12)


def test_the_power_is_that_of_a_lomb_scargle_periodogram_of_the_means():
    time, flux = white(30, 5, 5e-4)
    flux = (flux + 1e-3 * np.sin(2 * np.pi * time / 5.1)).astype(np.float32)
    flux[300:350] = np.nan
    known = np.isfinite(flux)
    frequency = np.linspace(1 / 13, 20, 20_000)
    theirs = LombScargle(time[known], flux[known].astype(float)).power(frequency).max()
    # The classical one knows no gaps.
    assert unfolded.half_hours(time, flux)[0] == pytest.approx(theirs, abs=0.03)


def test_variation_slower_than_half_a_sector_is_no_sinusoid_of_it():
    time, flux = white(30, 6, 1e-5, span_d=52.0)
    slow = unfolded.half_hours(time, (flux + 1e-3 * np.sin(2 * np.pi * time / 26)).astype(np.float32))
    fast = unfolded.half_hours(time, (flux + 1e-3 * np.sin(2 * np.pi * time / 10.4)).astype(np.float32))
    assert slow[0] < 0.5
    assert fast[0] > 0.95


def test_too_few_half_hours_say_nothing():
    time, flux = white(30, 7)
    for nothing in (flux[:20], np.full(20, np.nan, np.float32)):
        assert np.isnan(unfolded.half_hours(time[:20], nothing)).all()
    assert np.isnan(unfolded.half_hours(time[:0], flux[:0])).all()


def test_light_lost_beside_a_gap_is_told_from_light_lost_between_gaps():
    time = np.arange(0, 26, 30 * MINUTE_D)
    flux = np.ones(len(time), np.float32)
    flux[(time > 12) & (time < 13)] = np.nan
    for middle in (13.2, 19.2):
        flux[np.abs(time - middle) < 0.09] = 0.99
    share, distance = unfolded.beside_gaps(time, flux, 6.0, 13.2, 0.2)
    assert share == pytest.approx(0.5, abs=0.06)
    flux[np.abs(time - 19.2) < 0.09] = 0.98
    share, distance = unfolded.beside_gaps(time, flux, 6.0, 13.2, 0.2)
    assert share == pytest.approx(1 / 3, abs=0.06)
    assert distance == pytest.approx(26 - 19.2, abs=0.2) or distance == pytest.approx(19.2 - 13, abs=0.1)
    share, distance = unfolded.beside_gaps(time, flux, 60.0, 13.2, 0.2)
    assert share == pytest.approx(1.0)
    assert distance == pytest.approx(0.2, abs=0.1)


def test_an_event_that_loses_no_light_is_beside_nothing():
    time, flux = white(30, 8)
    assert np.isnan(unfolded.beside_gaps(time, np.maximum(flux, 1), 3.0, 1.0, 0.1)).all()
    assert np.isnan(unfolded.beside_gaps(time, np.full(len(time), np.nan, np.float32), 3.0, 1.0, 0.1)).all()

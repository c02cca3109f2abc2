import batman
import numpy as np
import pytest

from larun.simulate import eclipses, variability
from larun.simulate.photometry import dip_of, epoch_of, star_light

EXPOSURE = 120 / 86400
TIME = np.arange(0, 27, EXPOSURE)


def batman_flux(time, period, ratio, axis, impact, limb, exposure_d, model="quadratic"):
    """batman's flux averaged over the middles of 40 parts of each exposure."""
    p = batman.TransitParams()
    p.t0, p.per, p.rp, p.a, p.ecc, p.w = 1.3, period, ratio, axis, 0.0, 90.0
    p.inc = np.degrees(np.arccos(impact / axis))
    p.limb_dark, p.u = model, list(limb)
    parts = ((np.arange(40) + 0.5) / 40 - 0.5) * exposure_d
    moments = (time[:, np.newaxis] + parts).ravel()
    return batman.TransitModel(p, moments).light_curve(p).reshape(len(time), -1).mean(axis=1)


@pytest.mark.parametrize("exposure", [EXPOSURE, 1800 / 86400])
@pytest.mark.parametrize(("ratio", "impact"), [(0.1, 0.2), (0.02, 0.9), (0.5, 1.2)])
def test_transit_is_that_of_batman(ratio, impact, exposure):
    orbit = (3.1, ratio, 8.0, impact)
    time = TIME[:5000]
    expected = batman_flux(time, *orbit, (0.3, 0.2), exposure)
    flux = eclipses.transit(*orbit, (0.3, 0.2), exposure).at(time, 3.1, 1.3)
    assert expected.min() < 1 - 0.1 * ratio**2
    assert np.abs(flux - expected).max() < 0.001 * ratio**2


def test_disc_overlap_of_known_cases():
    overlap = eclipses.disc_overlap(np.array([2.5, 0.0, 0.2, 0.5, 1.0]), 1.0, 0.5)
    assert overlap[:4] == pytest.approx([0, np.pi / 4, np.pi / 4, np.pi / 4])
    assert eclipses.disc_overlap(np.array([1.0]), 1.0, 1.0) == pytest.approx([2 * np.pi / 3 - np.sqrt(3) / 2])


def test_occultation_hides_what_a_uniform_transit_covers():
    orbit = (3.1, 0.4, 6.0, 0.9)
    time = TIME[:3000]
    expected = batman_flux(time, *orbit, (), EXPOSURE, "uniform")
    hidden = 1 - eclipses.occultation(*orbit, EXPOSURE).at(time, 3.1, 1.3)
    assert np.abs(hidden * 0.4**2 - (1 - expected)).max() < 2e-4


def test_pair_of_equal_brightness_loses_light_by_area():
    pair = eclipses.eclipsing_pair(5.0, 0.5, 12.0, 0.0, 0.4, 0.6, 0.55, (0.0, 0.0), EXPOSURE)
    light = 0.25 * 0.6
    assert pair.primary.depth == pytest.approx(0.25 / (1 + light), rel=1e-6)
    assert pair.secondary.depth == pytest.approx(light / (1 + light), rel=1e-6)
    flux = pair.at(TIME, 5.0, 1.0)
    assert 1 - flux[np.argmin(np.abs(TIME - 6.0))] == pytest.approx(pair.primary.depth + pair.ellipsoidal, rel=1e-3)
    assert 1 - flux[np.argmin(np.abs(TIME - 3.75))] == pytest.approx(
        pair.secondary.depth + pair.ellipsoidal * np.cos(4 * np.pi * 0.55), rel=1e-3
    )
    assert pair.ellipsoidal == pytest.approx(1.2 * 0.4 / 12**3 / (1 + light))


def test_contact_binary_has_two_unequal_minima():
    flux = eclipses.contact_binary(TIME, 0.4, 0.1, 0.5)
    assert flux.max() == pytest.approx(1.0, abs=1e-3)
    assert np.ptp(flux) == pytest.approx(0.5, abs=2e-3)
    at = np.interp([0.1, 0.3, 0.2, 0.5], TIME, flux)
    assert at[0] < at[1] < at[2]
    assert at[3] == pytest.approx(at[0], abs=1e-3)


def test_spots_rotate_with_the_period():
    flux = variability.spots(TIME, 3.0, 0.02, np.random.default_rng(3))
    assert np.ptp(flux) == pytest.approx(0.02)
    power = np.abs(np.fft.rfft(flux - flux.mean(), 8 * len(TIME)))
    frequency = np.fft.rfftfreq(8 * len(TIME), EXPOSURE)
    peak = frequency[power.argmax()]
    assert min(abs(peak - k / 3.06) for k in (1, 2)) < 0.04


def test_flares_rise_fast_and_decay_slowly():
    flux = variability.flares(TIME, 0.5, 0.01, np.random.default_rng(1))
    assert flux.min() > 0.99
    assert 0.009 < flux.max() - 1 < 0.6
    peak = flux.argmax()
    assert flux[peak + 8] > flux[peak - 8]


def test_pulsations_peak_at_their_period():
    flux = variability.pulsations(TIME, 0.1, 0.02, 4, 1.5, np.random.default_rng(2))
    power = np.abs(np.fft.rfft(flux - 1))
    assert np.fft.rfftfreq(len(TIME), EXPOSURE)[power.argmax()] == pytest.approx(10.0, abs=0.05)
    assert power.max() * 2 / len(TIME) == pytest.approx(0.01, rel=0.4)


def test_rr_lyrae_rises_faster_than_it_falls():
    flux = variability.rr_lyrae(TIME, 0.5, 0.2, 0.4)
    assert 0.3 < np.ptp(flux) < 0.5
    slope = np.diff(flux)
    assert slope.max() > 1.5 * -slope.min()


def test_dipper_exocomet_irregular_dip_and_self_lensing():
    rng = np.random.default_rng(4)
    dips = variability.dipper(TIME, 4.0, 2.0, 0.3, 0.6, rng)
    assert dips.max() <= 1
    assert 0.4 < dips.min() < 0.97
    comet = variability.exocomet(TIME, 10.0, 0.01, 1.0)
    assert comet.min() == pytest.approx(0.99, abs=1e-4)
    assert np.interp(10.3, TIME, comet) < np.interp(9.7, TIME, comet)
    assert 1 - variability.irregular_dip(TIME, 10.0, 0.05, 1.0, rng).min() == pytest.approx(0.05)
    pulse = variability.self_lensing(TIME, 5.0, 2.0, 0.002, 0.2)
    assert np.interp([2.0, 7.0, 4.5], TIME, pulse) == pytest.approx([1.002, 1.002, 1.0])
    assert (pulse > 1.001).sum() * EXPOSURE == pytest.approx(6 * 0.2 - 0.2 * (27 < 27.1), abs=0.21)


def test_every_kind_has_light_around_one(short):
    population, time = short.population, short.instrument.time
    for kind in sorted(set(population.kind)):
        i = int(np.flatnonzero(population.kind == kind)[0])
        epoch = epoch_of(population, i, time[0], np.ptp(time))
        light = star_light(population, i, time, epoch, EXPOSURE, np.random.default_rng(0))
        assert np.isfinite(light).all(), kind
        assert 0.0 < light.min() <= light.max() < 3.0, kind
        assert np.median(light) == pytest.approx(1.0, abs=0.35), kind


def test_dip_depth_grows_with_the_companion(short):
    p = short.population
    planets = np.flatnonzero((p.kind == "planet") & (p.impact < 0.7))
    depths = np.array([dip_of(p, int(i), EXPOSURE).depth for i in planets])
    assert np.all(np.abs(depths / p.ratio[planets] ** 2 - 1) < 0.3)

import warnings

import numpy as np
import pytest
from scipy.stats import kstest

from larun.config import SimulateSettings
from larun.errors import ConfigurationError, InputError
from larun.schema import CLASSES
from larun.simulate import stars
from larun.simulate.population import CLASS_OF_KIND, FIRST_TARGET_ID, draw_population, kind_shares
from larun.simulate.random import Stream, generator
from larun.units import R_EARTH_PER_R_SUN


def test_main_sequence_relations_give_the_sun():
    radius = stars.radius_of(np.array([1.0]))
    assert radius == pytest.approx([1.0], rel=0.07)
    assert stars.teff_of(stars.luminosity_of(np.array([1.0])), np.array([1.0])) == pytest.approx([5772])
    assert stars.logg_of(np.array([1.0]), np.array([1.0])) == pytest.approx([4.438])
    assert stars.scaled_axis(365.25, 1.0, 1.0) == pytest.approx(215.03, rel=1e-3)  # 1 au over the solar radius


def test_duration_of_a_transit_of_the_sun_by_the_earth_is_13_hours():
    assert 24 * stars.transit_duration_d(365.25, 215.03, 0.0, 0.00916) == pytest.approx(13.1, abs=0.1)


def test_positions_are_those_of_astropy():
    from astropy import units as u
    from astropy.coordinates import BarycentricMeanEcliptic, SkyCoord

    camera = np.array([1, 2, 3, 4])
    ra, dec = stars.sky_position(5, camera, np.zeros(4), np.zeros(4))
    longitude, latitude = stars.boresight(5, camera)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        expected = SkyCoord(lon=longitude * u.deg, lat=latitude * u.deg, frame=BarycentricMeanEcliptic()).icrs
        separation = expected.separation(SkyCoord(ra * u.deg, dec * u.deg))
    assert separation.deg.max() < 1e-3
    assert list(latitude) == [-18, -42, -66, -90]
    assert stars.boresight(14, camera)[1][0] == 18


def test_fields_stay_within_a_camera():
    population = draw_population(SimulateSettings(stars=3000), 1)
    ra, dec = np.radians(population.ra), np.radians(population.dec)
    centre_ra, centre_dec = (np.radians(v) for v in stars.sky_position(1, population.camera, *np.zeros((2, 3000))))
    cosine = np.sin(dec) * np.sin(centre_dec) + np.cos(dec) * np.cos(centre_dec) * np.cos(ra - centre_ra)
    assert np.degrees(np.arccos(cosine)).max() < 12 * np.sqrt(2) + 0.2
    assert set(population.camera) == set(population.ccd) == {1, 2, 3, 4}


def test_brightness_ratio_against_planck_function_of_astropy():
    from astropy import units as u
    from astropy.modeling.physical_models import BlackBody

    cool, hot = (BlackBody(t * u.K)(0.8 * u.um).value for t in (4000, 6000))
    assert stars.surface_brightness_ratio(4000, 6000) == pytest.approx(cool / hot, rel=1e-5)


def test_fractions_are_those_of_the_settings():
    settings = SimulateSettings(stars=1000, planet_fraction=0.2, binary_fraction=0.1, variable_fraction=0.3)
    kinds = draw_population(settings, 1).kind
    share = {name: np.mean([CLASS_OF_KIND[k] == name for k in kinds]) for name in CLASSES}
    assert share["planetary_transit"] == pytest.approx(0.2, abs=0.004)
    assert share["eclipsing_binary"] == pytest.approx(0.1, abs=0.006)
    assert share["stellar_signal"] == pytest.approx(0.3, abs=0.008)
    assert share["instrument_artifact"] == pytest.approx(settings.artefact_fraction, abs=0.008)
    assert share["unknown_anomaly"] == pytest.approx(settings.anomaly_fraction, abs=0.008)
    assert sum(kind_shares(settings).values()) == pytest.approx(1)
    assert set(CLASS_OF_KIND) == set(kind_shares(settings))


def test_a_star_does_not_depend_on_the_number_of_stars():
    few, many = (draw_population(SimulateSettings(stars=n), 2) for n in (20, 200))
    for name in ("target_id", "kind", "ra", "tmag", "period_d", "impact"):
        np.testing.assert_array_equal(getattr(few, name), getattr(many, name)[:20])


def test_sectors_and_seeds_differ():
    one = draw_population(SimulateSettings(stars=50), 1)
    assert not np.any(one.ra == draw_population(SimulateSettings(stars=50), 2).ra)
    assert not np.any(one.ra == draw_population(SimulateSettings(stars=50, seed=1), 1).ra)


def test_streams_differ():
    draws = {generator(1, 2, stream, i).random() for stream in Stream for i in range(3)}
    assert len(draws) == 3 * len(Stream)


def test_planets_and_binaries_are_possible():
    settings = SimulateSettings(
        stars=3000, planet_fraction=0.5, binary_fraction=0.45, variable_fraction=0, artefact_fraction=0,
        anomaly_fraction=0,
    )  # fmt: skip
    p = draw_population(settings, 1)
    planet, binary = p.kind == "planet", np.isin(p.kind, ("detached_binary", "blended_binary"))
    assert np.all(p.impact[planet] < 1)
    assert np.all(p.impact[binary] < 1 + p.ratio[binary])
    assert np.all(p.axis[planet] > 1 + p.ratio[planet])
    assert np.all(p.axis[binary] > 1 + p.ratio[binary])
    size = p.ratio[planet] * p.radius[planet] * R_EARTH_PER_R_SUN
    assert 0.99 < size.min() < 1.2
    assert 15 < size.max() < 18.01
    density_axis = 3.753 * p.period_d[planet] ** (2 / 3) * np.cbrt(1.41 * p.mass[planet] / p.radius[planet] ** 3)
    assert np.allclose(p.axis[planet], density_axis, rtol=0.002)  # a/R = (G rho P^2 / 3 pi)^(1/3)
    small = planet & (p.period_d < 13)
    assert kstest(np.log(p.period_d[small & (size_of(p) < 2.9)] / 0.5) / np.log(26), "uniform").pvalue > 1e-3
    assert np.all(p.duration_d[planet] < 0.5 * p.period_d[planet])
    assert 7 < np.median(p.tmag) < 11
    assert p.teff.min() > 2500
    assert np.all((p.logg > 2) & (p.logg < 5.3))


def size_of(population):
    return population.ratio * population.radius * R_EARTH_PER_R_SUN


def test_numbers_are_above_the_tic():
    p = draw_population(SimulateSettings(stars=3), 7)
    assert list(p.target_id) == [FIRST_TARGET_ID + 7_000_000 + i for i in range(3)]
    assert p.target_id.dtype == np.int64


@pytest.mark.parametrize(
    ("settings", "sector", "error", "words"),
    [
        (SimulateSettings(planet_fraction=0.9), 1, ConfigurationError, "sum to"),
        (SimulateSettings(), 0, InputError, "1 or larger"),
        (SimulateSettings(stars=2_000_000), 1, InputError, "at most 1000000"),
    ],
)
def test_impossible_sectors_are_refused(settings, sector, error, words):
    with pytest.raises(error, match=words):
        draw_population(settings, sector)

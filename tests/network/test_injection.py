"""Injected shapes: physical, found where the truth says, of a size that follows the host's noise."""

import numpy as np
import pytest

from larun.network import injection
from larun.schema import CLASSES


def host(cadence_s=1800, sigma=1e-3, days=27.0):
    return injection.Host(1325.0 + np.arange(0, days, cadence_s / 86400), cadence_s / 86400, sigma)


@pytest.mark.parametrize("cadence_s", [120, 1800])
@pytest.mark.parametrize("label", range(1, 6))
def test_every_shape_is_finite_positive_and_seen(label, cadence_s):
    place = host(cadence_s)
    kinds = set()
    for seed in range(40):
        shape = injection.inject(label, place, np.random.default_rng(seed))
        assert shape.flux.shape == place.time.shape
        assert np.isfinite(shape.flux).all()
        assert shape.flux.min() > 0
        kinds.add(shape.kind)
    assert len(kinds) >= (1 if CLASSES[label] == "planetary_transit" else 3)


def test_planets_transit_at_their_ephemeris_and_no_deeper_than_planets():
    place = host(120)
    for seed in range(30):
        shape = injection.planet(place, np.random.default_rng(seed))
        assert 1 - shape.flux.min() < 0.05
        e = shape.ephemeris
        offset = (place.time - e.t0 + 0.5 * e.period_d) % e.period_d - 0.5 * e.period_d
        outside = np.abs(offset) > 0.5 * e.duration_h / 24 + 0.02
        assert np.all(shape.flux[outside] == 1)
        assert shape.flux[np.abs(offset).argmin()] < 1


def test_a_noisier_host_gets_a_deeper_planet_of_the_same_snr():
    quiet = injection.planet(host(sigma=1e-4), np.random.default_rng(3))
    loud = injection.planet(host(sigma=3e-4), np.random.default_rng(3))
    assert (1 - loud.flux.min()) / (1 - quiet.flux.min()) == pytest.approx(3.0, rel=0.1)


def test_binaries_are_eclipsed_at_their_epoch():
    place = host(120)
    for seed in range(30):
        shape = injection.binary(place, np.random.default_rng(seed))
        e = shape.ephemeris
        offset = (place.time - e.t0 + 0.5 * e.period_d) % e.period_d - 0.5 * e.period_d
        middle = np.median(shape.flux[np.abs(offset) < 0.01 * e.period_d])
        assert middle <= np.median(shape.flux) - 0.5 * place.hourly, shape.kind


def test_classes_are_drawn_by_their_shares():
    rng = np.random.default_rng(0)
    drawn = np.bincount([injection.draw_label(rng) for _ in range(3000)], minlength=6) / 3000
    assert drawn[0] == 0
    for name, share in injection.SHARES.items():
        assert drawn[CLASSES.index(name)] == pytest.approx(share, abs=0.03)
    assert sum(injection.SHARES.values()) == pytest.approx(1.0)


def test_the_scatter_of_an_hour_is_that_of_its_mean():
    assert host(120, 1e-3).hourly == pytest.approx(1e-3 / np.sqrt(30))
    assert host(7200, 1e-3).hourly == pytest.approx(1e-3)


def test_some_planets_transit_once():
    place = host(120)
    shapes = [injection.planet(place, np.random.default_rng(seed)) for seed in range(120)]
    once = [shape for shape in shapes if shape.kind == "single_transit"]
    assert len(once) / len(shapes) == pytest.approx(injection.SINGLE_SHARE, abs=0.09)
    for shape in once:
        dimmed = np.flatnonzero(shape.flux < 1)
        assert np.ptp(place.time[dimmed]) < 1.2 * shape.ephemeris.duration_h / 24 + 0.05
        assert place.time[dimmed].mean() == pytest.approx(shape.ephemeris.t0, abs=0.6 * shape.ephemeris.duration_h / 24)

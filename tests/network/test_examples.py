"""Which views are kept: only those whose event is what the light curve is labelled for."""

import numpy as np
import pytest

from larun.config import SearchSettings
from larun.network import examples as ex
from larun.network.bank import Curve, Ephemeris
from larun.schema import empty_events

TIME = 1325.0 + np.arange(0, 27.0, 1 / 48)


def event(period=3.0, t0=1326.0, duration_h=3.0, snr=20.0):
    record = empty_events(1)
    record["snr"] = snr
    record["period_d"], record["t0_btjd"], record["duration_h"] = period, t0, duration_h
    return record[0]


def example(label, *known, loss=None):
    return ex.Example("a", label, "hybrid", "made", known, loss)


@pytest.mark.parametrize(
    ("period", "t0", "kept"),
    [
        (3.0, 1326.0, True),
        (3.0, 1326.0 + 5 * 3.0, True),
        (3.002, 1326.0, True),
        (3.0, 1327.0, False),
        (1.5, 1326.0, False),
        (6.0, 1326.0, False),
        (3.05, 1326.0, False),
    ],
)
def test_a_planet_needs_its_period_and_epoch(period, t0, kept):
    truth = example(ex.PLANET, Ephemeris(9.1, 1330.0, 3.0), Ephemeris(3.0, 1326.0, 3.0))
    assert ex.shows(event(period, t0), truth, TIME) is kept


def test_a_planet_as_weak_as_noise_is_not_shown():
    truth = example(ex.PLANET, Ephemeris(3.0, 1326.0, 3.0))
    assert ex.shows(event(snr=7.2), truth, TIME)
    assert not ex.shows(event(snr=7.0), truth, TIME)


def test_a_planet_without_an_ephemeris_is_not_shown():
    assert not ex.shows(event(), example(ex.PLANET), TIME)


@pytest.mark.parametrize(("period", "kept"), [(3.0, True), (1.5, True), (6.0, True), (4.5, False), (1.0, False)])
def test_a_binary_may_be_found_at_half_or_twice_its_period_and_at_any_eclipse(period, kept):
    assert ex.shows(event(period, 1327.5), example(ex.BINARY, Ephemeris(3.0, 1326.0)), TIME) is kept


def test_an_ephemeris_of_long_ago_still_matches():
    old = Ephemeris(3.00003, 1326.0 - 300 * 3.00003, 3.0)
    assert ex.shows(event(), example(ex.PLANET, old), TIME)


def test_a_dip_must_lie_in_the_event():
    loss = 0.01 * np.exp(-0.5 * ((TIME - 1335.0) / 0.2) ** 2)
    assert ex.shows(event(9.0, 1326.0), example(ex.ANOMALY, loss=loss), TIME)
    assert not ex.shows(event(9.0, 1328.0), example(ex.ANOMALY, loss=loss), TIME)


def test_whatever_else_is_shown_by_any_event():
    for label in (ex.NOISE, ex.STELLAR, ex.ARTEFACT, ex.BINARY):
        assert ex.shows(event(), example(label), TIME)


def test_views_of_a_shard_are_those_of_the_search():
    rng = np.random.default_rng(0)
    dip = np.where(np.abs((TIME - 1326.0 + 1.5) % 3.0 - 1.5) < 0.0625, 0.01, 0.0)
    noise = 1 + 1e-3 * rng.standard_normal((3, len(TIME)))
    fluxes = noise - np.array([[0.0], [1.0], [1.0]]) * dip
    curve = Curve("a", 0, "made", TIME, fluxes[0].astype(np.float32))
    known = [
        example(ex.NOISE),
        example(ex.PLANET, Ephemeris(3.0, 1326.0, 3.0)),
        example(ex.PLANET, Ephemeris(4.4, 1326.0, 3.0)),
    ]
    data = ex.example_views(curve.shard(fluxes), known, SearchSettings())
    assert data.label.tolist() == [ex.NOISE, ex.PLANET]
    assert data.offered == {"hybrid noise": 1, "hybrid planetary_transit": 2}
    middle = data.views[1, 256 + 60 : 256 + 68]
    assert middle == pytest.approx(-0.5, abs=0.12)


@pytest.mark.parametrize(("t0", "kept"), [(1332.0, True), (1332.05, True), (1333.4, False)])
def test_a_single_transit_must_lie_on_one_of_the_planet(t0, kept):
    found = event(np.nan, t0)
    assert ex.shows(found, example(ex.PLANET, Ephemeris(40.0, 1332.0, 3.0)), TIME) is kept
    loss = 0.01 * np.exp(-0.5 * ((TIME - 1332.0) / 0.05) ** 2)
    assert ex.shows(found, example(ex.ANOMALY, loss=loss), TIME) is kept

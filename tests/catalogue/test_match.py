"""Matching, against astropy and against sums made by hand."""

import numpy as np
import pytest
from astropy import units as u
from astropy.coordinates import SkyCoord, search_around_sky

from larun.catalogue.match import Places, compare_periods, epoch_phase, find_pairs


def places(ra, dec, tic=None) -> Places:
    ra, dec = np.asarray(ra, float), np.asarray(dec, float)
    return Places(np.full(len(ra), -1) if tic is None else np.asarray(tic), ra, dec)


def test_pairs_by_position_are_those_of_astropy():
    rng = np.random.default_rng(7)
    n = 3000
    stars = places(rng.uniform(0, 2, n) % 360, rng.uniform(-90, -88, n))
    objects = places((stars.ra + rng.normal(0, 0.02, n)) % 360, np.clip(stars.dec + rng.normal(0, 1e-3, n), -90, 90))
    found = find_pairs(stars, objects, 12.0)
    a, b = (SkyCoord(p.ra, p.dec, unit="deg") for p in (stars, objects))
    star, obj, separation, _ = search_around_sky(a, b, 12.0 * u.arcsec)
    order = np.lexsort((obj, star))
    assert len(star) > 1000
    np.testing.assert_array_equal(found.star, star[order])
    np.testing.assert_array_equal(found.obj, obj[order])
    np.testing.assert_allclose(found.separation_arcsec, separation.arcsec[order], atol=1e-6)
    assert not found.by_tic.any()


def test_the_radius_holds_across_the_meridian_and_at_the_pole():
    stars = places([359.9999, 0.0], [0.0, 90.0])
    objects = places([0.0001, 180.0, 0.01], [0.0, 89.9995, 0.0])
    found = find_pairs(stars, objects, 2.0)
    assert list(zip(found.star, found.obj, strict=True)) == [(0, 0), (1, 1)]
    np.testing.assert_allclose(found.separation_arcsec, [0.72, 1.8], atol=1e-6)


def test_a_pair_by_number_counts_once_and_needs_no_position():
    stars = places([10.0, 20.0, np.nan], [0.0, 0.0, np.nan], [5, 6, 7])
    objects = places([10.0, 10.0005, 50.0, np.nan, 10.001], [0.0, 0.0, 0.0, 0.0, 0.0], [5, -1, 6, 7, 5])
    found = find_pairs(stars, objects, 3.0)
    pairs = list(zip(found.star.tolist(), found.obj.tolist(), found.by_tic.tolist(), strict=True))
    assert pairs == [(0, 0, True), (0, 1, False), (0, 4, True), (1, 2, True), (2, 3, True)]
    assert found.separation_arcsec[2] == pytest.approx(3.6)
    assert found.separation_arcsec[3] == pytest.approx(30 * 3600)
    assert np.isnan(found.separation_arcsec[4])


def test_an_unknown_number_matches_nothing():
    found = find_pairs(places([1.0], [1.0], [-1]), places([50.0], [1.0], [-1]), 5.0)
    assert len(found.star) == 0


def test_nothing_matches_nothing():
    empty = places([], [], np.empty(0, np.int64))
    assert len(find_pairs(empty, places([1.0], [1.0]), 5.0).star) == 0
    assert len(find_pairs(places([1.0], [1.0]), empty, 5.0).star) == 0


def test_periods_are_the_same_half_or_twice_within_the_tolerance():
    known = np.array([4.0, 4.0, 4.0, 4.0, 4.0, np.nan, 4.0])
    found = np.array([4.019, 2.009, 8.039, 4.021, 12.0, 4.0, np.nan])
    ratio, relation = compare_periods(found, known, 0.005)
    np.testing.assert_allclose(ratio[:5], [1.00475, 0.50225, 2.00975, 1.00525, 3.0])
    assert relation == [
        "same period", "half the period", "twice the period", "another period", "another period",
        "no period known", "no period known",
    ]  # fmt: skip


def test_the_phase_of_an_epoch():
    # 100 cycles of 3.5 d after the catalogue's epoch and 0.35 d late: a tenth of a period.
    t0 = np.full(4, 1000.0 + 350.0 + 0.35)
    known_t0 = np.array([1000.0, 1000.0, 1000.0, np.nan])
    period = np.full(4, 3.5)
    error = np.array([0.0, 0.0034, 0.0036, 0.0])
    np.testing.assert_allclose(epoch_phase(t0, known_t0, period, error), [0.1, 0.1, np.nan, np.nan], atol=1e-9)
    np.testing.assert_allclose(epoch_phase(t0 - 0.7, known_t0, period, error)[:1], [-0.1], atol=1e-9)


def test_a_period_of_unknown_error_predicts_no_epoch_but_the_nearest():
    # A variable star's epoch of 1950, of a period with five digits: 0.1 d later says nothing 27,000 d on.
    found = epoch_phase(np.full(2, 1326.0), np.array([-25000.0, 1325.9]), np.full(2, 0.51234), np.full(2, np.nan))
    np.testing.assert_allclose(found, [np.nan, 0.1 / 0.51234])

"""Events that repeat another star's signal, in tables made by hand."""

import time

import numpy as np
import pytest

from larun.vet.matches import COLUMN, NEAR, Ephemerides, find_parents, reach_arcsec, unit_vectors

BINARY = {
    "target": "TIC 1", "ra": 80.0, "dec": -60.0, "tmag": 9.0, "depth_ppm": 200_000.0, "snr": 300.0, "period_d": 2.5,
    "t0_btjd": 1326.2, "duration_d": 0.15, "n_transits": 11, "secondary_phase": np.nan, "detector": 42,
    "column_pix": 700.0,
}  # fmt: skip


def copy_of(number, arcsec=40.0, **values):
    """A faint star north of the binary that repeats its eclipses at a hundredth of the depth."""
    copy = {"target": f"TIC {number}", "dec": -60.0 + arcsec / 3600, "tmag": 12.0, "depth_ppm": 2000.0, "snr": 12.0}
    return BINARY | copy | {"column_pix": 704.0} | values


def table(*rows):
    columns = {name: np.array([row[name] for row in rows]) for name in BINARY}
    xyz = unit_vectors(columns.pop("ra"), columns.pop("dec"))
    return Ephemerides(**columns | {"target": columns["target"].astype(object), "xyz": xyz})


def test_a_neighbour_repeats_the_binary_and_not_the_other_way_round():
    found = find_parents(table(BINARY, copy_of(2)), 7)
    assert found.row.tolist() == [-1, 0]
    assert found.how[1] == NEAR
    assert found.arcsec[1] == pytest.approx(40.0, rel=1e-6)
    # 3 mag are a factor 15.85 of light, the depths differ by 100.
    assert found.light_ratio[1] == pytest.approx(1585, rel=1e-3)
    assert found.period_ratio[1] == 1
    assert np.isnan(found.arcsec[0])


@pytest.mark.parametrize(
    "change",
    [
        {"period_d": 2.52},
        {"t0_btjd": 1326.2 + 1.25},
        {"snr": 5.0},
        {"period_d": np.nan},
        {"target": "TIC 1"},
        {"dec": -59.0},
        {"tmag": np.nan, "depth_ppm": 250_000.0},
    ],
)
def test_what_is_no_copy(change):
    assert find_parents(table(BINARY, copy_of(2, **change)), 7).row[1] == -1


@pytest.mark.parametrize(("ratio", "delay"), [(0.5, 0.0), (0.5, 1.25), (2.0, 2.5), (3.0, 0.0), (1.0, 5 * 2.5)])
def test_copies_at_simple_ratios_of_the_period(ratio, delay):
    found = find_parents(table(BINARY, copy_of(2, period_d=2.5 * ratio, t0_btjd=1326.2 + delay)), 7)
    assert found.row[1] == 0
    assert found.period_ratio[1] == ratio


def test_a_copy_of_the_secondary_eclipse():
    copy = copy_of(2, t0_btjd=1326.2 + 0.42 * 2.5)
    assert find_parents(table(BINARY, copy), 7).row[1] == -1
    assert find_parents(table(BINARY | {"secondary_phase": 0.42}, copy), 7).row[1] == 0


def test_of_two_that_lose_the_same_light_the_diluted_one_is_the_copy():
    """A faint binary in the aperture of a bright star: both lose the same light, the binary is far deeper."""
    bright = copy_of(2, tmag=9.0, depth_ppm=3170.0)
    faint = BINARY | {"tmag": 14.0, "depth_ppm": 300_000.0}
    assert find_parents(table(faint, bright), 7).row.tolist() == [-1, 0]


def test_brighter_stars_reach_farther():
    # 50 arcsec of Kepler are 12.6 of its pixels.
    assert reach_arcsec(16.0) == pytest.approx(12.563 * 21, rel=5e-3)
    assert reach_arcsec(10.3) == pytest.approx(12.563 * 21 * np.sqrt(2), rel=1e-3)
    assert reach_arcsec(np.nan) == pytest.approx(12.563 * 21, rel=1e-3)
    far = copy_of(2, arcsec=500.0)
    assert find_parents(table(BINARY, far), 7).row[1] == 0
    assert find_parents(table(BINARY | {"tmag": 11.9}, far), 7).row[1] == -1


def test_a_copy_along_the_column_of_a_much_brighter_binary():
    far = copy_of(2, arcsec=3 * 3600, column_pix=702.0)
    found = find_parents(table(BINARY, far), 7)
    assert found.row.tolist() == [-1, 0]
    assert found.how[1] == COLUMN
    for change in ({"column_pix": 720.0}, {"detector": 41}, {"column_pix": np.nan}, {"detector": 0}, {"tmag": 6.0}):
        assert find_parents(table(BINARY, far | change), 7).row[1] == -1


def test_the_source_of_several_copies_is_the_strongest():
    found = find_parents(table(copy_of(3, depth_ppm=20_000.0), copy_of(2), BINARY), 7)
    assert found.row.tolist() == [2, 2, -1]


def test_an_empty_sector_and_one_without_positions():
    assert not len(find_parents(table(BINARY, BINARY), 1e9).row[:0])
    nowhere = {"ra": np.nan, "dec": np.nan, "detector": 0}
    assert find_parents(table(BINARY | nowhere, copy_of(2) | nowhere), 7).row.tolist() == [-1, -1]


def test_200000_stars_take_seconds_and_match_by_chance_almost_never():
    rng = np.random.default_rng(0)
    n = 200_000
    period = np.exp(rng.uniform(np.log(0.5), np.log(13.0), n))
    ra, dec = rng.uniform(40, 70, n), np.degrees(np.arcsin(rng.uniform(-0.9, -0.4, n)))
    events = Ephemerides(
        np.arange(n).astype(object), unit_vectors(ra, dec), rng.uniform(7, 15, n), 10 ** rng.uniform(2.5, 5, n),
        np.where(rng.random(n) < 0.2, 10.0, 5.0), period, 1325 + rng.random(n) * period, np.full(n, 0.12),
        (27 / period).astype(int), np.full(n, np.nan), rng.integers(1, 17, n), rng.uniform(45, 2093, n),
    )  # fmt: skip
    start = time.process_time()
    found = find_parents(events, 7)
    assert time.process_time() - start < 20
    assert np.mean(found.row[events.snr > 7] >= 0) < 5e-3

import numpy as np
import pytest
from astropy.timeseries import BoxLeastSquares

from larun.search.cells import (
    between,
    box_power,
    climb,
    exposures_per_cell,
    lay_out,
    noise_of_a_transit,
    sums_before,
    transits,
)

CELL = 1 / 48


def light_curve(seed=0, n=1200, gaps=True):
    rng = np.random.default_rng(seed)
    time = 100 + np.arange(n) * CELL
    flux = rng.normal(0, 1, n)
    if gaps:
        keep = rng.random(n) > 0.1
        keep[300:380] = False
        time, flux = time[keep], flux[keep]
    return time, flux - flux.mean()


def test_sums_between_cell_edges_are_those_of_the_cadences():
    time, flux = light_curve()
    sums = lay_out(time, sums_before(flux), CELL, 1)
    place = np.rint((time - time[0]) / CELL)
    for begin, end in ((0, 7), (10, 310), (290, 400), (-50, 2000)):
        n, s = between(sums, float(begin), float(end))
        inside = (place >= begin) & (place < end)
        assert n == pytest.approx(inside.sum(), abs=1e-6)
        assert s == pytest.approx(flux[inside].sum(), abs=1e-6)


def test_sums_before_each_cadence():
    for n in (0, 1, 8, 21):
        flux = np.arange(1.0, n + 1)
        assert sums_before(flux).tolist() == [k * (k + 1) / 2 for k in range(n + 1)]


def test_an_exposure_that_is_covered_in_part_counts_in_part():
    sums = lay_out(np.array([0.0, 1.0, 2.0, 3.0]), sums_before(np.array([0.0, 4.0, 0.0, 0.0])), 1.0, 1)
    assert between(sums, 1.25, 1.75) == pytest.approx((0.5, 2.0))
    assert between(sums, 0.5, 3.0) == pytest.approx((2.5, 4.0))
    # Off the cells by a quarter.
    shifted = lay_out(np.array([0.0, 1.25, 2.0]), sums_before(np.array([0.0, 4.0, 0.0])), 1.0, 1)
    assert between(shifted, 1.0, 3.0)[1] == pytest.approx(4.0)
    assert between(shifted, 0.0, 2.0)[1] == pytest.approx(3.0)


def test_repeated_times_are_all_counted():
    sums = lay_out(np.array([0.0, 0.0, 1.0]), sums_before(np.array([1.0, 2.0, 3.0])), 1.0, 1)
    assert between(sums, 0.0, 1.0) == pytest.approx((2.0, 3.0))
    # Off the cells by a half, all three.
    sums = lay_out(np.array([0.0, 1.5, 1.5, 1.5]), sums_before(np.array([0.0, 1.0, 2.0, 3.0])), 1.0, 1)
    assert between(sums, 1.0, 2.0) == pytest.approx((1.5, 3.0))


def test_power_is_that_of_astropy():
    time, flux = light_curve(3)
    sums = lay_out(time, sums_before(flux), CELL, 1)
    # Periods of whole cells and boxes on cell edges cut no exposure.
    for period, first, length in ((40, 7, 4), (96, 50, 6), (301, 120, 12)):
        power = box_power(sums, float(period), first + 0.5 * length, float(length))
        # Astropy takes cadences within half a duration of the transit time.
        search = BoxLeastSquares(time, flux)
        middle = time[0] + (first + 0.5 * length - 0.5) * CELL
        stats = search.compute_stats(period * CELL, length * CELL, middle)
        depth, error = stats["depth"]
        n_in = sum(stats["per_transit_count"])
        expected = depth * np.sqrt(n_in * (len(time) - n_in) / len(time)) if depth > 0 else 0.0
        assert np.sqrt(power) == pytest.approx(expected, rel=1e-6)
        assert error > 0


def test_climbing_finds_the_box():
    time, flux = light_curve(5)
    period, middle, duration = 130.3, 41.7, 9.0
    position = (time - time[0]) / CELL + 0.5
    phase = (position - middle) / period
    flux = flux - 8.0 * (np.abs(phase - np.rint(phase)) * period < duration / 2)
    sums = lay_out(time, sums_before(flux - flux.mean()), CELL, 1)
    found = climb(sums, period * 1.001, middle + 1.5, 7.0, 2.0, 40.0, 0.15, 0.2, 0.01)
    assert found[0] == pytest.approx(period, rel=2e-3)
    assert (found[1] - middle + 0.5 * period) % period == pytest.approx(0.5 * period, abs=0.7)
    assert found[2] == pytest.approx(duration, abs=1.0)
    assert found[3] >= box_power(sums, period, middle, duration)


def test_transits_are_numbered_from_the_epoch():
    time, flux = light_curve(gaps=False)
    number, count, total = transits(lay_out(time, sums_before(flux), CELL, 1), 400.0, 800.0, 10.0)
    assert number.tolist() == [-2, -1, 0, 1]
    # The first is half before the data, the last half after them.
    assert count == pytest.approx([5, 10, 10, 5])
    assert total[1] == pytest.approx(flux[395:405].sum())


def test_noise_of_a_transit_is_white_or_more():
    time, flux = light_curve(gaps=False, n=4000)
    flux /= flux.std()
    assert noise_of_a_transit(lay_out(time, sums_before(flux), CELL, 1), 150.0, 20.0, 9.0) == pytest.approx(
        1 / 3, rel=0.15
    )
    slow = np.repeat(np.random.default_rng(1).normal(0, 1, 500), 8)
    red = noise_of_a_transit(lay_out(time, sums_before(flux + slow), CELL, 1), 150.0, 20.0, 8.0)
    # Steps of 8 cells seen through windows of 8 that start with them: white 1/8 + 1.
    assert red == pytest.approx(np.sqrt(1 + 1 / 8), rel=0.15)


def test_short_exposures_share_cells():
    """Three exposures of a cell: sums in units of the noise of a full cell, so that powers stay what they are."""
    rng = np.random.default_rng(8)
    flux = rng.normal(0, 1, 3000)
    flux -= flux.mean()
    time = np.arange(3000) * CELL
    one, three = lay_out(time, sums_before(flux), CELL, 1), lay_out(time, sums_before(flux), 3 * CELL, 3)
    assert len(three) == pytest.approx(len(one) / 3, abs=3)
    n, s = between(three, 10.0, 25.0)
    assert n == pytest.approx(15.0)
    assert s == pytest.approx(flux[30:75].sum() / np.sqrt(3))
    assert box_power(three, 40.0, 12.0, 4.0) == pytest.approx(box_power(one, 120.0, 36.0, 12.0))


@pytest.mark.parametrize(("cadence_d", "expected"), [(1 / 48, 1), (600 / 86400, 1), (120 / 86400, 3), (20 / 86400, 18)])
def test_cells_are_short_beside_any_transit(cadence_d, expected):
    assert exposures_per_cell(cadence_d) == expected

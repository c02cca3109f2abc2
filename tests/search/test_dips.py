"""Dips and brightenings of folded light curves, made by hand."""

import numpy as np
import pytest

from larun.search.dips import FIGURES, other_dips, sinusoid_gain

PER_DURATION = 4
FULL = 40.0
NOISE = 0.1


def figures(bumps, n=200, count=10.0, seed=None):
    """Figures of a flat folded light curve with boxes of one duration at the given phases; depth in noise units."""
    mean = np.zeros(n) if seed is None else np.random.default_rng(seed).normal(0, NOISE * np.sqrt(FULL / count), n)
    for phase, depth in bumps:
        first = round(phase * n) - PER_DURATION // 2
        mean[np.arange(first, first + PER_DURATION) % n] -= depth * NOISE
    counts = np.full(n, count)
    return dict(zip(FIGURES, other_dips(mean * counts, counts, PER_DURATION, FULL, NOISE), strict=True))


def test_secondary_tertiary_and_brightening_in_their_order():
    level = (8 + 5 - 6) * NOISE * PER_DURATION / 196
    got = figures([(0.0, 100.0), (0.4, 8.0), (0.7, 5.0), (0.85, -6.0)])
    assert got["secondary_depth"] == pytest.approx(8 * NOISE - level)
    assert got["secondary_snr"] == pytest.approx(8 - level / NOISE)
    assert got["secondary_phase"] == pytest.approx(0.4)
    assert got["tertiary_snr"] == pytest.approx(5 - level / NOISE)
    assert got["positive_snr"] == pytest.approx(6 + level / NOISE)


def test_significance_grows_with_the_cadences():
    once, twice = (figures([(0.0, 100.0), (0.4, 8.0)], count=count)["secondary_snr"] for count in (10.0, 20.0))
    assert twice == pytest.approx(once * np.sqrt(2))


def test_scatter_of_white_noise_is_one():
    scatters = [figures([(0.0, 100.0)], n=400, seed=seed)["phase_scatter"] for seed in range(20)]
    assert np.mean(scatters) == pytest.approx(1.0, abs=0.1)


def test_what_repeats_with_the_period_adds_to_the_scatter():
    n = 200
    mean = 0.5 * np.sin(4 * np.pi * np.arange(n) / n)
    got = dict(zip(FIGURES, other_dips(mean * 10, np.full(n, 10.0), PER_DURATION, FULL, NOISE), strict=True))
    assert got["phase_scatter"] == pytest.approx(5 / np.sqrt(2), rel=0.1)


def test_the_transit_is_not_its_own_rival():
    got = figures([(0.0, 100.0)])
    assert got["secondary_snr"] == pytest.approx(0, abs=1e-9)
    assert got["tertiary_snr"] == pytest.approx(0, abs=1e-9)


def test_too_few_phases_say_nothing():
    got = figures([(0.0, 5.0)], n=24)
    assert np.isnan(got["phase_scatter"])
    empty = other_dips(np.zeros(40), np.zeros(40), PER_DURATION, FULL, NOISE)
    assert np.isnan(empty).all()


@pytest.mark.parametrize("order", [1, 2, 4])
def test_sinusoids_of_all_three_periods_gain_what_they_hold(order):
    phase = 2 * np.pi * (np.arange(80) + 0.5) / 80
    count = np.random.default_rng(order).integers(5, 50, 80).astype(float)
    total = count * (0.3 + 0.7 * np.cos(order * phase + 1.0))
    flat = total.sum() ** 2 / count.sum()
    assert sinusoid_gain(total, count) == pytest.approx(np.sum(total**2 / count) - flat)


def test_no_sinusoid_where_phases_are_missing():
    count = np.zeros(80)
    count[3] = 100.0
    assert sinusoid_gain(count * 2.0, count) == 0

"""Measured quantities of folded events: known shapes, time reversal, and the vector's bounds."""

import numpy as np
import pytest

from tests.benchmarks.folded import (
    GLOBAL,
    LOCAL,
    MIDDLE,
    STATISTICS_AT,
    Events,
    Scaling,
    squashed,
    statistics,
    varied,
)


def box_events(n=40, noise=0.1, seed=0):
    """Boxes of duration P / 20 at phase 0 in noise, and a second dip of half the depth at phase 0.5 in odd rows."""
    rng = np.random.default_rng(seed)
    phase = (np.arange(GLOBAL) - MIDDLE) / GLOBAL
    whole = rng.normal(0, noise, (n, GLOBAL)) - (np.abs(phase) < 0.025)
    whole[1::2] -= 0.5 * (np.abs(phase) > 0.475)
    offset = (np.arange(LOCAL) - LOCAL // 2) / (LOCAL // 2)
    local = rng.normal(0, noise, (n, LOCAL)) - (np.abs(offset) < 0.3)
    period = np.full(n, 2.0)
    return Events(whole.astype(np.float32), local.astype(np.float32), period, period / 20, period * 500, period * 10)


def test_quantities_of_a_known_event():
    values = statistics(box_events())
    assert values.shape == (40, 71)
    ephemeris = np.log10([2.0, 0.1, 1 / 20, 1000, 20])
    assert values[:, :5] == pytest.approx(np.tile(ephemeris, (40, 1)), abs=1e-5)
    assert 10 ** values[::2, 5].mean() - 0.01 == pytest.approx(0.1, rel=0.1)  # scatter outside of the event
    assert values[::2, 14].mean() == pytest.approx(0.0, abs=0.05)  # flux at half a period
    assert values[1::2, 14].mean() == pytest.approx(-0.5, abs=0.05)
    assert (values[1::2, 13] > 0.45).all()  # phase of the deepest other dip


def test_a_box_is_best_explained_by_the_box_of_its_width():
    templates = statistics(box_events(noise=0.02))[:, 50:60]
    assert (templates.argmax(axis=1) == 4).all()  # boxes and triangles of five widths in turn; 0.3 is the third
    # 17 of 61 bins are in the box: about its median it has that much power, about its mean a share of 1 - 17/61.
    assert templates[:, 4] == pytest.approx(np.full(40, 1 - 17 / 61), abs=0.03)


def test_the_vector_stays_within_one_and_holds_both_views():
    events = box_events()
    values = statistics(events)
    vectors = Scaling.of(values).vectors(events, values)
    assert vectors.shape == (40, 1024)
    assert np.abs(vectors).max() <= 1.0
    assert np.array_equal(vectors[:, :GLOBAL], squashed(events.global_view))
    assert not vectors[:, STATISTICS_AT + 71 :].any()
    inside = (values - np.median(values, axis=0)) / (3 * (values.std(axis=0) + 1e-3))
    assert vectors[:, STATISTICS_AT : STATISTICS_AT + 71] == pytest.approx(np.clip(inside, -1, 1), abs=1e-5)


def test_peaks_are_squashed_and_dips_are_not():
    assert squashed(np.array([-2.0, -0.4, 0.0, 1.0, 9.0])) == pytest.approx([-1.0, -0.4, 0.0, 0.5, 0.9])


def test_variations_repeat_with_their_seed_and_keep_the_period():
    events = box_events()
    once, again = (varied(events, np.random.default_rng(3)) for _ in range(2))
    assert np.array_equal(once.global_view, again.global_view)
    assert np.array_equal(once.period_d, events.period_d)
    assert not np.array_equal(once.duration_d, events.duration_d)
    assert np.abs(np.log10(once.depth_ppm / events.depth_ppm)).max() < 0.15

"""How stars are joined and dealt into folds by the benchmark of six classes."""

from dataclasses import replace

import numpy as np
import pytest

from larun.config import Settings
from larun.network.bank import Curve
from larun.units import SECONDS_PER_DAY
from tests.benchmarks import sixclass, sixclass_folds, whole


def said(*planet):
    """Events of one light curve with such planet probabilities; of the rest three quarters are noise."""
    rows = np.zeros((len(planet), 6))
    rows[:, 2] = planet
    rows[:, 0], rows[:, 1] = 0.75 * (1 - rows[:, 2]), 0.25 * (1 - rows[:, 2])
    return rows


def test_a_planet_in_any_light_curve_or_event_makes_its_star_a_planet_s():
    star = sixclass.of_star([said(0.1), said(0.2, 0.9), said(0.0)])
    planet = 1 - 0.9 * 0.8 * 0.1
    assert star[2] == pytest.approx(planet)
    assert star[[0, 1]] == pytest.approx([0.75 * (1 - planet), 0.25 * (1 - planet)])
    assert star.sum() == pytest.approx(1.0)


def test_a_sure_planet_leaves_nothing_to_the_others():
    assert sixclass.of_star([said(1.0), said(1.0)]) == pytest.approx([0, 0, 1, 0, 0, 0])


def test_a_star_without_events_is_noise():
    assert sixclass.of_star([]).tolist() == [1, 0, 0, 0, 0, 0]


def curve(star, label, seed=0, start=1325):
    time = start + np.arange(0, 20, 1 / 48)
    flux = 1 + 1e-3 * np.random.default_rng(seed).standard_normal(len(time))
    return Curve(star, label, "made", time, flux.astype(np.float32))


def test_light_curves_of_one_star_and_label_are_joined():
    curves = [curve("a", 2), curve("b", 0), curve("a", 2), curve("c", 4)]
    scored = sixclass.by_star(curves, [said(0.3), said(0.1), said(0.6), said()])
    assert scored.star.tolist() == ["a", "b", "c"]
    assert scored.label.tolist() == [2, 0, 4]
    assert scored.probabilities[:, 2] == pytest.approx([1 - 0.7 * 0.4, 0.1, 0.0])
    assert scored.searched.tolist() == [True, True, False]


def test_a_planet_that_only_shows_in_all_light_curves_together_counts():
    curves = [curve("a", 2), curve("b", 0), curve("a", 2, start=1352)]
    (both,) = whole.wholes(curves)
    scored = sixclass.by_star([*curves, both], [said(0.1), said(0.1), said(0.2), said(0.9, 0.5)])
    assert scored.star.tolist() == ["a", "b"]
    assert scored.probabilities[:, 2] == pytest.approx([1 - 0.9 * 0.8 * 0.1 * 0.5, 0.1])
    assert scored.probabilities[0, 0] == pytest.approx(3 * scored.probabilities[0, 1]), "single light curves say which"


def test_all_light_curves_of_a_star_are_searched_as_one():
    """A box of 1 % every 11 d, in two sectors: neither alone shows a period of more than 10 d twice or more often."""
    curves = []
    for seed, start in enumerate((1325, 1352)):
        made = curve("a", 2, seed, start)
        dip = np.abs((made.time - 1330 + 5.5) % 11 - 5.5) < 0.1
        curves.append(replace(made, flux=(made.flux - 0.01 * dip).astype(np.float32)))
    (both,) = whole.wholes([*curves, curve("b", 0)])
    shard = both.shard()
    assert np.ptp(shard.time) == pytest.approx(47, abs=0.1)
    assert shard.cadence_s == pytest.approx(SECONDS_PER_DAY / 48)
    found = whole.classify(both, Settings(), sixclass_folds._Recorder())
    assert found.events["period_d"][0] == pytest.approx(11, rel=2e-3)


def test_views_are_kept_and_belong_to_their_light_curves(tmp_path):
    curves = [curve("a", 0, 1), curve("b", 0, 2)]
    path = tmp_path / "views" / "score.npz"
    views, event_of, below = sixclass_folds._searched(path, curves, Settings())
    assert event_of.tolist() == [0, 1]
    assert below.tolist() == [True, True], "noise"
    assert not np.array_equal(views[0], views[1])
    again, *_ = sixclass_folds._searched(path, [None, None], Settings())
    assert np.array_equal(views, again)
    with pytest.raises(ValueError, match="delete it"):
        sixclass_folds._searched(path, curves[:1], Settings())


def test_other_settings_are_other_views():
    one = sixclass_folds._digest(Settings())
    assert sixclass_folds._digest(Settings(search={"window_d": 1.1})) != one
    assert sixclass_folds._digest(Settings(dataset={"hold_out": ("TIC 1",)})) == one
    assert sixclass_folds._digest(Settings(training={"epochs": 3})) == one

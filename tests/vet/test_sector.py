"""Tests of a whole sector, on tables made by hand."""

import numpy as np

from larun.config import VetSettings
from larun.schema import empty_events
from larun.vet import pile_up

SETTINGS = VetSettings()


def test_pile_up_needs_the_same_epoch_and_period():
    events = empty_events(30)
    events["duration_h"] = 2.7
    rng = np.random.default_rng(0)
    events["t0_btjd"] = 1325 + rng.permutation(30) * 0.3
    events["period_d"] = 2 + rng.permutation(30) * 0.3
    events["t0_btjd"][:6] = 1340.0 + rng.uniform(-0.02, 0.02, 6)
    events["period_d"][:6] = 5.0 + rng.uniform(-0.01, 0.01, 6)
    events["t0_btjd"][6:12] = 1341.0
    events["period_d"][12] = np.nan
    assert np.flatnonzero(pile_up(events, SETTINGS)).tolist() == [0, 1, 2, 3, 4, 5]
    assert not pile_up(events, VetSettings(pile_up_stars=7)).any()
    assert not pile_up(empty_events(0), SETTINGS).any()

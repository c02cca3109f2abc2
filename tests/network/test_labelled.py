"""Labelled views and their split by star."""

from dataclasses import replace

import numpy as np
import pytest

from larun.errors import InputError
from larun.network.labelled import (
    TEST,
    TRAIN,
    VALIDATION,
    concatenate,
    labelled,
    require_disjoint,
    split_by_star,
    validate_by_time,
)
from larun.schema import VIEW_LENGTH


def some(n=4, **changes):
    columns = {"label": [0] * n, "star": ["a"] * n, "source": ["real"] * n, "kind": ["k"] * n} | changes
    return labelled(np.zeros((n, VIEW_LENGTH)), columns, {"real noise": n})


def test_no_star_is_on_two_sides_and_shares_are_as_asked():
    star = np.array([f"TIC {i}" for i in range(3000) for _ in range(2)])
    side = split_by_star(star, 0.2, 0.15, seed=1)
    require_disjoint(star, side)
    assert np.mean(side == "validation") == pytest.approx(0.2, abs=0.03)
    assert np.mean(side == "test") == pytest.approx(0.15, abs=0.03)


def test_the_side_of_a_star_stays_when_others_come_and_changes_with_the_seed():
    few = np.array([f"TIC {i}" for i in range(50)])
    more = np.array([f"TIC {i}" for i in range(500)])
    assert np.array_equal(split_by_star(few, 0.2, 0.2, 7), split_by_star(more, 0.2, 0.2, 7)[:50])
    assert not np.array_equal(split_by_star(more, 0.2, 0.2, 7), split_by_star(more, 0.2, 0.2, 8))


def test_a_star_on_two_sides_is_refused_by_name():
    with pytest.raises(InputError, match=r"1 stars are on two sides .* TIC 7"):
        require_disjoint(np.array(["TIC 7", "TIC 8", "TIC 7"]), np.array(["train", "train", "test"]))


def test_nan_views_are_refused():
    data = some()
    views = data.views.copy()
    views[1, 3] = np.nan
    with pytest.raises(InputError, match="NaN"):
        replace(data, views=views)


def test_a_wrong_length_is_refused():
    data = some()
    with pytest.raises(InputError, match="4 labels need"):
        replace(data, views=data.views[:, :512])


def test_an_unknown_label_is_refused():
    with pytest.raises(InputError, match="labels must be 0 to 5"):
        some(label=[0, 1, 2, 6])


def test_joined_and_counted():
    both = concatenate([some(2), some(3, label=[2, 2, 0])])
    assert len(both) == 5
    assert both.offered == {"real noise": 5}
    assert both.counts()["real"]["planetary_transit"] == 2
    assert len(both.take(both.label == 2)) == 2


def test_the_digest_follows_content():
    assert some().digest == some().digest
    assert some().digest != some(star=["b"] * 4).digest
    assert some().digest != some(label=[1] * 4).digest


def test_stars_of_a_range_of_time_validate_and_no_star_is_on_two_sides():
    star = np.array(["a", "a", "b", "c", "d", "e"])
    start = np.array([100.0, 200.0, 200.0, 300.0, np.nan, 205.0])
    side = np.array([TRAIN, TRAIN, VALIDATION, VALIDATION, TRAIN, TEST])
    chosen = validate_by_time(side, star, start, (200.0, 300.0))
    assert chosen.tolist() == [VALIDATION, VALIDATION, VALIDATION, TRAIN, TRAIN, TEST]
    require_disjoint(star, chosen)

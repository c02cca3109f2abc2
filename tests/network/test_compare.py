"""Bundles side by side: only common stars count, and the difference is drawn for the same stars."""

import numpy as np
import pytest

from larun.bundles import Bundle
from larun.errors import BundleError
from larun.network.compare import compare
from larun.network.predictions import PREDICTIONS_FILE, predictions_table, read_predictions

pytestmark = pytest.mark.usefixtures("few_draws")


def shares(label, right):
    """Probabilities that give the right class where `right`, else another."""
    out = np.full((len(label), 6), 0.02)
    out[np.arange(len(label)), np.where(right, label, (label + 1) % 6)] = 0.9
    return out


def bundle(name, views, right):
    table = predictions_table(views, shares(views.label, right))
    return Bundle({"name": name, "version": "1"}, {PREDICTIONS_FILE: table})


def test_predictions_come_back(data):
    given = shares(data.label, data.label > 2)
    table = read_predictions(predictions_table(data, given))
    assert np.array_equal(table.label, data.label)
    assert np.array_equal(table.star, data.star)
    assert np.array_equal(table.source, data.source)
    assert table.probabilities == pytest.approx(given, abs=1e-5)
    with pytest.raises(BundleError, match="no table of predictions"):
        read_predictions(b"star,label\na,noise\n")


def test_only_stars_that_both_held_out_are_compared(data):
    stars = np.unique(data.star)
    ours, theirs = data.take(np.isin(data.star, stars[:100])), data.take(np.isin(data.star, stars[50:]))
    said = compare(bundle("a", ours, np.arange(len(ours)) % 2 == 0), bundle("b", theirs, np.ones(len(theirs), bool)))
    assert said["stars"] == 50
    common = np.isin(ours.star, theirs.star)
    accuracy = np.mean((np.arange(len(ours)) % 2 == 0)[common])
    every = said["sources"]["all"]
    assert every["first"]["accuracy"]["value"] == pytest.approx(accuracy, abs=1e-4)
    assert every["second"]["accuracy"]["value"] == 1.0
    assert every["difference"]["accuracy"]["value"] == pytest.approx(1 - accuracy, abs=1e-4)
    assert every["difference"]["accuracy"]["low"] > 0
    assert set(said["sources"]) == {"all", "real", "hybrid"}


def test_a_bundle_does_not_differ_from_itself(data):
    few = data.take(np.arange(60))
    one = bundle("a", few, few.label != 2)
    said = compare(one, one)["sources"]["all"]["difference"]
    assert all(value == {"value": 0.0, "low": 0.0, "high": 0.0} for value in said.values())


def test_bundles_without_common_stars_or_predictions_are_refused(data):
    first, second = data.take(data.star < "star 5"), data.take(data.star >= "star 5")
    with pytest.raises(BundleError, match="no held-out star in common"):
        compare(bundle("a", first, first.label > 0), bundle("b", second, second.label > 0))
    with pytest.raises(BundleError, match=r"old/1 has no predictions\.csv"):
        compare(Bundle({"name": "old", "version": "1"}, {}), bundle("b", second, second.label > 0))

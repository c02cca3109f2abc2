"""Plots of a bundle: they are drawn, repeat themselves, and show what they should."""

import io

import numpy as np
import pytest
from PIL import Image

from larun.network import plots


@pytest.fixture(scope="module")
def probabilities(data):
    rng = np.random.default_rng(0)
    shares = rng.dirichlet(np.ones(6), len(data))
    shares[np.arange(len(data)), data.label] += 1.0
    return shares / shares.sum(axis=1, keepdims=True)


def test_every_plot_is_a_picture_and_repeats_itself(data, probabilities):
    files = plots.plot_files(probabilities, data)
    assert sorted(files) == [f"plots/{n}.png" for n in ("examples", "precision_recall", "reliability", "roc")]
    for content in files.values():
        image = np.asarray(Image.open(io.BytesIO(content)).convert("L"))
        assert image.shape[0] >= 400
        assert 0.005 < np.mean(image < 200) < 0.5
    assert plots.roc_plot(probabilities, data.label) == files["plots/roc.png"]


def test_a_class_without_views_or_alone_is_left_out(data, probabilities):
    assert plots._judged(np.array([0, 0, 2])) == [0, 2]
    assert plots._judged(np.zeros(3, int)) == []
    assert plots.precision_recall_plot(probabilities[:3], np.zeros(3, int))


def test_examples_are_a_typical_right_one_and_the_surest_wrong_one():
    label = np.array([0, 0, 0, 0, 2, 2, 2])
    said = [0.9, 0.5, 0.7, 0.4, 0.6, 0.8, 0.7]
    probabilities = np.full((7, 6), 0.01)
    for row, share in enumerate(said):
        wrong = row == 3
        probabilities[row, 1 if wrong else label[row]] = share
    # Of class 0 rows 1, 2, 0 are right, with row 2 in the middle, and row 3 is wrong; class 2 has no wrong one.
    assert plots.example_rows(probabilities, label) == [2, 3, 6, 5]

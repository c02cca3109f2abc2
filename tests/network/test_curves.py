"""Curves against hand-made cases."""

import numpy as np
import pytest

from larun.network import curves

SCORE = np.array([0.9, 0.8, 0.8, 0.6, 0.5])
POSITIVE = np.array([True, False, True, True, False])


def test_roc_of_a_worked_example():
    false, true = curves.roc(SCORE, POSITIVE)
    assert false == pytest.approx([0, 0, 0.5, 0.5, 1])
    assert true == pytest.approx([0, 1 / 3, 2 / 3, 1, 1])


def test_precision_and_recall_of_a_worked_example():
    recall, precision = curves.precision_recall(SCORE, POSITIVE)
    assert recall == pytest.approx([1 / 3, 2 / 3, 1, 1])
    assert precision == pytest.approx([1, 2 / 3, 3 / 4, 3 / 5])


@pytest.mark.parametrize(("precision", "recall"), [(1.0, 1 / 3), (0.7, 1.0), (0.75, 1.0), (0.8, 1 / 3), (1.01, 0.0)])
def test_recall_at_a_precision_is_that_of_the_best_threshold(precision, recall):
    assert curves.recall_at_precision(SCORE, POSITIVE, precision) == pytest.approx(recall)


def test_reliability_of_a_worked_example():
    probabilities = np.zeros((10, 6))
    probabilities[:, 0] = [0.85] * 4 + [0.65] * 6
    probabilities[:, 1] = 1 - probabilities[:, 0]
    said = curves.reliability(probabilities, np.array([0, 0, 1, 1] + [0] * 6))
    assert said.count.tolist() == [0, 0, 0, 0, 0, 0, 6, 0, 4, 0]
    assert said.accuracy[[6, 8]] == pytest.approx([1.0, 0.5])
    assert said.confidence[[6, 8]] == pytest.approx([0.65, 0.85])
    assert np.isnan(said.accuracy[0])

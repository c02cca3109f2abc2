"""Figures of merit against scikit-learn-free formulas and hand-made cases."""

import numpy as np
import pytest

from larun.network import evaluate as e
from larun.schema import CLASSES


def test_confusion_counts_rows_true_columns_predicted():
    counts = e.confusion(np.array([0, 2, 2, 5]), np.array([0, 2, 3, 5]))
    assert counts[3, 2] == 1
    assert counts.trace() == 3
    assert counts.sum() == 4


def test_average_precision_of_a_worked_example():
    # Ranks of the positives are 1, 3 and 4: precisions 1/1, 2/3, 3/4.
    score = np.array([0.9, 0.8, 0.7, 0.6, 0.5])
    positive = np.array([True, False, True, True, False])
    assert e.average_precision(score, positive) == pytest.approx((1 + 2 / 3 + 3 / 4) / 3)


def test_average_precision_of_equal_scores_is_the_share_of_positives():
    assert e.average_precision(np.zeros(8), np.arange(8) < 2) == pytest.approx(0.25)


def test_average_precision_without_positives_is_not_defined():
    assert np.isnan(e.average_precision(np.ones(3), np.zeros(3, bool)))


def test_auc_is_the_chance_that_a_positive_ranks_higher():
    rng = np.random.default_rng(0)
    score, positive = np.round(rng.random(200), 1), rng.random(200) < 0.4
    pairs = score[positive][:, None] - score[~positive][None, :]
    assert e.auc(score, positive) == pytest.approx(np.mean((pairs > 0) + 0.5 * (pairs == 0)))
    assert np.isnan(e.auc(score, np.ones(200, bool)))


def test_calibration_error_of_a_worked_example():
    # Four views of confidence 0.8 of which two are right, six of 0.6 of which all are: 0.4 x 0.3 + 0.6 x 0.4.
    probabilities = np.zeros((10, 6))
    probabilities[:, 0] = [0.8] * 4 + [0.6] * 6
    probabilities[:, 1] = 1 - probabilities[:, 0]
    label = np.array([0, 0, 1, 1] + [0] * 6)
    assert e.expected_calibration_error(probabilities, label) == pytest.approx(0.4 * 0.3 + 0.6 * 0.4)


def test_calibration_recovers_a_known_temperature_and_bias():
    rng = np.random.default_rng(4)
    logits = rng.normal(0, 2.0, (6000, 6)).astype(np.float32)
    bias = np.array([0.6, -0.6, 0.3, -0.3, 0.0, 0.0])
    odds = np.exp(logits / 2.5 + bias)
    odds /= odds.sum(axis=1, keepdims=True)
    label = np.array([rng.choice(6, p=row) for row in odds])
    fitted = e.fit_calibration(logits, label, ridge=0.0)
    assert fitted["temperature"] == pytest.approx(2.5, rel=0.08)
    assert fitted["bias"] == pytest.approx(bias, abs=0.12)
    assert sum(fitted["bias"]) == pytest.approx(0.0, abs=1e-9)


def test_evaluate_counts_and_encloses():
    rng = np.random.default_rng(1)
    label = rng.integers(0, 5, 300)
    probabilities = rng.dirichlet(np.ones(6), 300)
    probabilities[np.arange(300), label] += 1.0
    probabilities /= probabilities.sum(axis=1, keepdims=True)
    scores = e.evaluate(probabilities, label, np.arange(300) // 3)
    assert scores["views"] == 300
    assert scores["stars"] == 100
    accuracy = scores["accuracy"]
    assert accuracy["value"] == pytest.approx(np.mean(probabilities.argmax(axis=1) == label), abs=1e-5)
    assert accuracy["low"] <= accuracy["value"] <= accuracy["high"]
    assert scores["classes"][CLASSES[5]]["recall"] is None
    assert scores["classes"][CLASSES[5]]["views"] == 0
    counts = np.array(scores["confusion"])
    planet = scores["classes"]["planetary_transit"]
    assert planet["recall"]["value"] == pytest.approx(counts[2, 2] / counts[2].sum(), abs=1e-5)
    assert planet["precision"]["value"] == pytest.approx(counts[2, 2] / counts[:, 2].sum(), abs=1e-5)
    one_hot = np.eye(6)[label]
    assert scores["brier"]["value"] == pytest.approx(np.mean(np.sum((probabilities - one_hot) ** 2, axis=1)), abs=1e-5)


def test_views_of_one_star_are_drawn_together():
    # One star holds every wrong view: its intervals are far wider than those of independent views.
    label = np.zeros(100, int)
    probabilities = np.zeros((100, 6))
    probabilities[:50, 0] = probabilities[50:, 1] = 1.0
    together = e.evaluate(probabilities, label, np.arange(100) // 50)["accuracy"]
    alone = e.evaluate(probabilities, label, np.arange(100))["accuracy"]
    assert (together["low"], together["high"]) == (0.0, 1.0)
    assert alone["low"] > 0.35
    assert alone["high"] < 0.65


def test_sources_are_scored_apart():
    label = np.array([0, 0, 2, 2])
    probabilities = np.eye(6)[[0, 0, 0, 2]]
    scores = e.by_source(probabilities, label, np.arange(4), np.array(["real", "real", "hybrid", "hybrid"]))
    assert scores["real"]["accuracy"]["value"] == 1.0
    assert scores["hybrid"]["accuracy"]["value"] == 0.5
    assert scores["all"]["views"] == 4

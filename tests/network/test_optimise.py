"""The training loop: weights, targets, and which epoch is the best."""

import numpy as np
import pytest

from larun.config import TrainingSettings
from larun.network import optimise
from larun.network.optimise import State


def test_rare_classes_weigh_more_but_not_as_much_as_large_ones_together():
    label = np.array([0] * 64 + [1] * 16 + [2] * 4)
    weights = optimise.class_weights(label, "sqrt")
    assert weights[1] / weights[0] == pytest.approx(2.0)
    assert weights[2] / weights[0] == pytest.approx(4.0)
    assert weights[3] == 0
    assert np.mean(weights[label]) == pytest.approx(1.0)


def test_balanced_classes_count_alike_and_unweighted_ones_by_number():
    label = np.array([0] * 64 + [1] * 16 + [2] * 4)
    balanced = optimise.class_weights(label, "balanced")
    assert balanced[:3] * [64, 16, 4] == pytest.approx(28.0)
    assert optimise.class_weights(label, "none")[:3] == pytest.approx(1.0)


def test_targets_carry_the_weights():
    targets = optimise.hard_targets(np.array([2, 0]), np.array([1, 1, 3, 1, 1, 1], np.float32))
    assert targets.tolist() == [[0, 0, 3, 0, 0, 0], [1, 0, 0, 0, 0, 0]]


def test_the_loss_is_the_weighted_cross_entropy():
    logits = np.array([[0.0, 1.0, 2.0, 0.0, 0.0, 0.0], [3.0, 0.0, 0.0, 0.0, 0.0, 0.0]], np.float32)
    targets = np.array([[0.0, 0.5, 1.5, 0, 0, 0], [1.0, 0, 0, 0, 0, 0]], np.float32)
    odds = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    got = np.asarray(optimise._cross_entropy(None, np.concatenate([logits, targets], axis=1)))
    assert got == pytest.approx([-0.5 * np.log(odds[0, 1]) - 1.5 * np.log(odds[0, 2]), -np.log(odds[1, 0])], rel=1e-5)


def test_teachers_count_by_their_share_and_by_the_weight_of_the_view():
    settings = TrainingSettings(teacher_temperature=2.0, hard_share=0.3)
    logits, taught = np.zeros((2, 6), np.float32), np.zeros((2, 6), np.float32)
    taught[1, 3] = 4.0
    targets = optimise.hard_targets(np.array([0, 3]), np.array([1, 1, 1, 2.5, 1, 1], np.float32))
    got = np.asarray(optimise._taught_loss(None, np.concatenate([logits, targets, taught], axis=1), settings))
    # The first teacher agrees with the network; the second says softmax(taught / 2), the network 1/6 of each.
    said = np.exp(taught[1] / 2) / np.exp(taught[1] / 2).sum()
    divergence = np.sum(said * np.log(6 * said))
    assert got == pytest.approx([0.3 * np.log(6), 2.5 * (0.3 * np.log(6) + 0.7 * 4 * divergence)], rel=1e-5)


def test_the_best_epoch_has_the_highest_precision_and_among_equals_the_least_loss():
    state = State(epoch=1, best_epoch=1, history=[{"val_ap": 0.8, "val_loss": 0.5}])
    assert state.better({"val_ap": 0.9, "val_loss": 0.9})
    assert not state.better({"val_ap": 0.7, "val_loss": 0.1})
    assert state.better({"val_ap": 0.8, "val_loss": 0.4})
    assert not state.better({"val_ap": 0.8, "val_loss": 0.5})
    assert State().better({"val_ap": 0.0, "val_loss": 9.0})


def test_real_light_curves_weigh_more():
    source = np.array(["real", "hybrid", "simulated", "hybrid"])
    assert optimise.source_weights(source, 3.0) == pytest.approx([2.0, 2 / 3, 2 / 3, 2 / 3])

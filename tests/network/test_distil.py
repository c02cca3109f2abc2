"""Distillation: the loss by its formula, frozen teachers, one variation for all; JAX is in test_backends.py."""

import keras
import numpy as np
import pytest
from keras import layers
from scipy.special import log_softmax, softmax

from larun.config import AugmentationSettings
from larun.errors import ConfigurationError
from larun.network.augmentation import Augmentation
from larun.network.distil import DistillationLoss, distiller


def network(units=5, seed=0):
    keras.utils.set_random_seed(seed)
    return keras.Sequential([keras.Input((1024,)), layers.Dense(units, activation="relu"), layers.Dense(6)])


@pytest.fixture
def views():
    return np.random.default_rng(0).uniform(-0.8, 0.8, (60, 1024)).astype(np.float32)


def test_the_loss_is_its_formula():
    rng = np.random.default_rng(1)
    student, teacher = rng.normal(0, 2, (2, 7, 6))
    label = np.array([0, 1, 2, 3, 4, 5, -1])
    loss = DistillationLoss(3.0, 0.4, reduction=None)(label, np.stack([student, teacher], 1).astype(np.float32))
    hard = np.array([-log_softmax(s)[k] if k >= 0 else 0.0 for s, k in zip(student, label, strict=True)])
    p = softmax(teacher / 3, axis=1)
    divergence = (p * (np.log(p) - log_softmax(student / 3, axis=1))).sum(axis=1)
    expected = 0.4 * hard + 0.6 * 9 * divergence
    assert keras.ops.convert_to_numpy(loss) == pytest.approx(expected, rel=1e-4)


def test_the_teachers_speak_as_their_mean(views):
    teachers = [network(seed=1), network(seed=2)]
    joint = keras.ops.convert_to_numpy(distiller(network(), teachers, temperature=4.0)(views))
    each = [softmax(keras.ops.convert_to_numpy(teacher(views)) / 4, axis=1) for teacher in teachers]
    assert softmax(joint[:, 1] / 4, axis=1) == pytest.approx(np.mean(each, axis=0), abs=1e-5)


def test_student_and_teacher_see_the_same_variation(views):
    teacher = network(seed=1)
    student = keras.models.clone_model(teacher)
    student.set_weights(teacher.get_weights())
    trainer = distiller(student, [teacher], Augmentation(AugmentationSettings(), 3))
    both = keras.ops.convert_to_numpy(trainer(views, training=True))
    assert not np.allclose(both[:, 0], keras.ops.convert_to_numpy(student(views)), atol=1e-2)
    assert log_softmax(both[:, 0], axis=1) == pytest.approx(log_softmax(both[:, 1], axis=1), abs=1e-4)


def test_the_student_learns_and_the_teachers_stay(views):
    student, teachers = network(), [network(seed=1), network(seed=2)]
    before = [w.copy() for teacher in teachers for w in teacher.get_weights()]
    trainer = distiller(student, teachers)
    trainer.compile(keras.optimizers.Adam(0.01), DistillationLoss(hard_share=0.0), jit_compile=False)
    unlabelled = np.full(len(views), -1)
    losses = trainer.fit(views, unlabelled, epochs=20, batch_size=20, verbose=0).history["loss"]
    assert losses[-1] < 0.25 * losses[0]
    after = [w for teacher in teachers for w in teacher.get_weights()]
    assert all(np.array_equal(a, b) for a, b in zip(before, after, strict=True))


def test_other_shapes_are_refused():
    other = keras.Sequential([keras.Input((512,)), layers.Dense(6)])
    with pytest.raises(ConfigurationError, match="they should be the same"):
        distiller(network(), [other])
    with pytest.raises(ConfigurationError, match="at least one teacher"):
        distiller(network(), [])


def test_the_loss_comes_back_from_its_configuration():
    again = keras.losses.deserialize(keras.losses.serialize(DistillationLoss(3.0, 0.4)))
    assert (again.temperature, again.hard_share) == (3.0, 0.4)

"""Distillation: a small network learns what larger ones say of every view, beside the labels.

After Hinton, Vinyals & Dean 2015 (arXiv:1503.02531). Written with `keras.ops`, the same under TensorFlow and JAX.
"""

from __future__ import annotations

from collections.abc import Sequence

import keras
from keras import ops

from larun.errors import ConfigurationError


def distiller(
    student: keras.Model,
    teachers: Sequence[keras.Model],
    augmentation: keras.layers.Layer | None = None,
    temperature: float = 2.0,
) -> keras.Model:
    """Join a student and its teachers into one trainer; fitting it trains the student alone.

    Parameters
    ----------
    student : keras.Model
        (n, length) to (n, class) logits, random or trained.
    teachers : sequence of keras.Model
        Trained, of the same shape. They are frozen.
    augmentation : keras.layers.Layer, optional
        Varies the views; student and teachers see the same variation.
    temperature : float
        That of the `DistillationLoss` to compile it with.

    Returns
    -------
    keras.Model
        (n, length) to (n, 2, class): logits of the student, and those whose softmax at `temperature` is the
        mean of the teachers' softmaxes.

    Raises
    ------
    ConfigurationError
        No teacher, or one of another shape.
    """
    if not teachers:
        raise ConfigurationError("distillation needs at least one teacher, none was given")
    for teacher in teachers:
        if (teacher.input_shape, teacher.output_shape) != (student.input_shape, student.output_shape):
            raise ConfigurationError(
                f"the teacher {teacher.name} maps {teacher.input_shape} to {teacher.output_shape}, the student "
                f"{student.input_shape} to {student.output_shape}; they should be the same"
            )
    inputs = keras.Input(student.input_shape[1:])
    views = inputs if augmentation is None else augmentation(inputs)
    taught = Teachers(teachers, temperature)(views)
    return keras.Model(inputs, ops.stack([student(views), taught], axis=1), name="distiller")


class Teachers(keras.layers.Layer):
    """Frozen networks that speak with one voice; in a layer of their own, names of theirs may be the student's.

    Parameters
    ----------
    networks : sequence of keras.Model
        Trained.
    temperature : float
        At which their softmaxes are averaged.
    """

    def __init__(self, networks: Sequence[keras.Model], temperature: float, **kwargs):
        super().__init__(trainable=False, **kwargs)
        self.networks = list(networks)
        self.temperature = temperature
        for network in self.networks:
            network.trainable = False

    def call(self, views):
        """Logits, (n, class)."""
        softmaxes = [ops.softmax(network(views, training=False) / self.temperature) for network in self.networks]
        mean = sum(softmaxes[1:], start=softmaxes[0]) / len(softmaxes)
        return ops.stop_gradient(self.temperature * ops.log(ops.maximum(mean, 1e-7)))

    def compute_output_shape(self, input_shape):
        """Shape of the logits."""
        return self.networks[0].compute_output_shape(input_shape)


@keras.saving.register_keras_serializable("larun")
class DistillationLoss(keras.losses.Loss):
    """Cross-entropy with the labels and with the teachers, for the outputs of `distiller`.

    ``hard_share * CE(label) + (1 - hard_share) * T**2 * KL(teacher / T || student / T)``; the square keeps the
    gradients of both of one size whatever the temperature.

    Parameters
    ----------
    temperature : float
        T: how much of what the teachers say about the less likely classes counts.
    hard_share : float
        Weight of the labels, from 0 to 1. A view of label -1 has none and learns from the teachers alone.
    """

    def __init__(self, temperature: float = 2.0, hard_share: float = 0.3, name: str = "distillation", **kwargs):
        super().__init__(name=name, **kwargs)
        self.temperature = temperature
        self.hard_share = hard_share

    def call(self, y_true, y_pred):
        """Loss of each view, (n,)."""
        student, teacher = y_pred[:, 0], y_pred[:, 1]
        label = ops.cast(ops.reshape(y_true, (-1,)), "int32")
        one_hot = ops.one_hot(label, student.shape[-1], dtype=student.dtype)
        hard = -ops.sum(one_hot * ops.log_softmax(student), axis=-1)
        wanted = ops.log_softmax(teacher / self.temperature)
        given = ops.log_softmax(student / self.temperature)
        soft = ops.sum(ops.exp(wanted) * (wanted - given), axis=-1)
        return self.hard_share * hard + (1.0 - self.hard_share) * self.temperature**2 * soft

    def get_config(self):
        """Parameters, for saving."""
        return super().get_config() | {"temperature": self.temperature, "hard_share": self.hard_share}

"""Training for the triage benchmark: teachers, the distilled student, and AstroNet as it was published."""

from __future__ import annotations

import os
from dataclasses import dataclass

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras
import numpy as np
from keras import layers, ops

from larun.network.architectures import build
from larun.network.distil import DistillationLoss, distiller
from larun.schema import CLASSES
from tests.benchmarks.folded import GLOBAL, LOCAL, STATISTICS_AT

STEPS_PER_EXECUTION = 32
EVENTS = [CLASSES.index("planetary_transit"), CLASSES.index("eclipsing_binary")]


@dataclass(frozen=True)
class Recipe:
    """What was chosen on validation folds of the training stars.

    Parameters
    ----------
    teachers : int
        Networks in the teaching ensemble.
    teacher_units, student_units : tuple of int
        Hidden layers.
    epochs, student_epochs : int
        Passes over the training events, each a variation of them.
    variations : int
        Different variations of every event, beside the event itself.
    batch_size : int
    learning_rate, weight_decay, dropout, label_smoothing, noise : float
        `noise` is added to the scaled statistics while training.
    temperature, hard_share : float
        Of the `DistillationLoss`.
    """

    teachers: int = 5
    teacher_units: tuple[int, ...] = (192, 96)
    student_units: tuple[int, ...] = (112, 56)
    epochs: int = 63
    student_epochs: int = 84
    variations: int = 6
    batch_size: int = 128
    learning_rate: float = 3e-3
    weight_decay: float = 3e-2
    dropout: float = 0.2
    label_smoothing: float = 0.02
    noise: float = 0.05
    temperature: float = 2.0
    hard_share: float = 0.2


class EventLoss(keras.losses.Loss):
    """Cross-entropy of planet or binary against the rest, and half of that of the six classes."""

    def __init__(self, label_smoothing: float):
        super().__init__(name="event_loss")
        self.label_smoothing = label_smoothing

    def call(self, y_true, y_pred):
        """Loss of each event, (n,); `y_true` is one-hot."""
        target = y_true * (1.0 - self.label_smoothing) + self.label_smoothing / y_pred.shape[-1]
        six = -ops.sum(target * ops.log_softmax(y_pred), axis=-1)
        others = [k for k in range(len(CLASSES)) if k not in EVENTS]
        odds = ops.logsumexp(ops.take(y_pred, EVENTS, axis=-1), axis=-1)
        odds = odds - ops.logsumexp(ops.take(y_pred, others, axis=-1), axis=-1)
        return 0.5 * six + ops.softplus(odds) - ops.sum(ops.take(target, EVENTS, axis=-1), axis=-1) * odds


def train_teachers(vectors: np.ndarray, label: np.ndarray, last: int, recipe: Recipe, seed: int) -> list[keras.Model]:
    """Networks that differ by their random numbers alone, trained on the labels.

    Parameters
    ----------
    vectors : (variation, n, 1024) float32
        Events and their variations.
    label : (n,) int
        Index into `larun.schema.CLASSES`.
    last : int
        End of the statistics in the vector.
    recipe : Recipe
    seed : int
    """
    loss = EventLoss(recipe.label_smoothing)
    target = np.eye(len(CLASSES), dtype=np.float32)[label]
    teachers = []
    for number in range(recipe.teachers):
        keras.utils.set_random_seed(seed + number)
        teacher = build(
            "perceptron", recipe.dropout, first=STATISTICS_AT, last=last, units=recipe.teacher_units, activation="silu"
        )
        inputs = keras.Input(teacher.input_shape[1:])
        noisy = keras.Model(inputs, teacher(_StatisticsNoise(last, recipe.noise, seed + number)(inputs)))
        _fit(noisy, loss, vectors, target, recipe.epochs, recipe)
        teachers.append(teacher)
    return teachers


def train_student(
    teachers: list[keras.Model], vectors: np.ndarray, label: np.ndarray, last: int, recipe: Recipe, seed: int
) -> keras.Model:
    """A network of under 25 kB INT8 that learns from the teachers what they say of every variation."""
    keras.utils.set_random_seed(seed + 1000)
    student = build("perceptron", 0.05, first=STATISTICS_AT, last=last, units=recipe.student_units)
    noise = _StatisticsNoise(last, recipe.noise, seed + 1000)
    trainer = distiller(student, teachers, noise, recipe.temperature)
    loss = DistillationLoss(recipe.temperature, recipe.hard_share)
    _fit(trainer, loss, vectors, label, recipe.student_epochs, recipe, weight_decay=1e-3)
    return student


class _StatisticsNoise(layers.Layer):
    """Gaussian noise on the statistics of a vector while training; views would cost more than the network."""

    def __init__(self, last: int, size: float, seed: int):
        super().__init__()
        self.last, self.size = last, size
        self.seed_generator = keras.random.SeedGenerator(seed)

    def call(self, vectors, training=False):
        if not training:
            return vectors
        shape = (ops.shape(vectors)[0], self.last - STATISTICS_AT)
        noise = keras.random.normal(shape, stddev=self.size, seed=self.seed_generator)
        return vectors + ops.pad(noise, ((0, 0), (STATISTICS_AT, vectors.shape[1] - self.last)))


def _fit(trainer, loss, vectors, target, epochs: int, recipe: Recipe, weight_decay: float | None = None) -> None:
    """AdamW with a warm-up, a cosine to nearly zero and averaged weights; `epochs` in passes over the events."""
    variations, n = vectors.shape[:2]
    rounds = max(round(epochs / variations), 1)
    steps = rounds * -(-variations * n // recipe.batch_size)
    warm_up = steps // 20
    rate = keras.optimizers.schedules.CosineDecay(
        0.05 * recipe.learning_rate,
        steps - warm_up,
        alpha=0.01,
        warmup_target=recipe.learning_rate,
        warmup_steps=warm_up,
    )
    decay = recipe.weight_decay if weight_decay is None else weight_decay
    optimizer = keras.optimizers.AdamW(rate, weight_decay=decay, use_ema=True, ema_momentum=0.995)
    trainer.compile(
        optimizer, loss, jit_compile=keras.backend.backend() == "jax", steps_per_execution=STEPS_PER_EXECUTION
    )
    trainer.fit(
        vectors.reshape(variations * n, -1),
        np.concatenate([target] * variations),
        batch_size=recipe.batch_size,
        epochs=rounds,
        verbose=0,
    )


def astronet() -> keras.Model:
    """AstroNet (Shallue & Vanderburg 2018, figure 7) as AstroNet-Triage uses it (Yu et al. 2019).

    Global view: five blocks of two convolutions of 5, 16 to 256 filters, pooled 5 by 2; local view: two such blocks
    of 16 and 32, pooled 7 by 2; four dense layers of 512.
    """
    inputs = keras.Input((GLOBAL + LOCAL,), name="views")
    columns = []
    for view, filters, pool in (
        (inputs[:, :GLOBAL], (16, 32, 64, 128, 256), 5),
        (inputs[:, GLOBAL:], (16, 32), 7),
    ):
        x = ops.expand_dims(view, -1)
        for count in filters:
            for _ in range(2):
                x = layers.Conv1D(count, 5, padding="same", activation="relu")(x)
            x = layers.MaxPooling1D(pool, 2)(x)
        columns.append(layers.Flatten()(x))
    x = layers.Concatenate()(columns)
    for _ in range(4):
        x = layers.Dense(512, activation="relu")(x)
    return keras.Model(inputs, layers.Dense(1, name="logit")(x), name="astronet")


def train_astronet(
    views: np.ndarray, positive: np.ndarray, validation: tuple[np.ndarray, np.ndarray], epochs: int, seed: int
) -> keras.Model:
    """AstroNet on views in depth units, with random time reversal, batches of 64, the epoch of best validation AUC-PR.

    Adam's rate is 1e-4 with a cosine to nearly zero, where Yu et al. took 1e-5 for 14,000 steps, for which a
    benchmark has no time.
    """
    keras.utils.set_random_seed(seed)
    network = astronet()
    inputs = keras.Input((GLOBAL + LOCAL,))
    trainer = keras.Model(inputs, network(_RandomReversal(seed)(inputs)))
    steps = epochs * -(-len(views) // 64)
    trainer.compile(
        keras.optimizers.Adam(keras.optimizers.schedules.CosineDecay(1e-4, steps, alpha=0.02)),
        keras.losses.BinaryCrossentropy(from_logits=True),
        metrics=[keras.metrics.AUC(curve="PR", name="pr", from_logits=True)],
        jit_compile=keras.backend.backend() == "jax",
    )
    best = keras.callbacks.EarlyStopping("val_pr", patience=epochs, mode="max", restore_best_weights=True)
    trainer.fit(views, positive, batch_size=64, epochs=epochs, verbose=0, validation_data=validation, callbacks=[best])
    return network


class _RandomReversal(layers.Layer):
    """Reverses time in both views of half of the events while training."""

    def __init__(self, seed: int):
        super().__init__()
        self.seed_generator = keras.random.SeedGenerator(seed)

    def call(self, views, training=False):
        if not training:
            return views
        reverse = keras.random.uniform((ops.shape(views)[0], 1), seed=self.seed_generator) < 0.5
        turned = ops.concatenate([ops.flip(views[:, :GLOBAL], axis=1), ops.flip(views[:, GLOBAL:], axis=1)], axis=1)
        return ops.where(reverse, turned, views)

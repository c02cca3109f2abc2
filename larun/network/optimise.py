"""The training loop: one network, weighted targets, the weights of the best validation, and a state that can be kept.

A view's *target* is six numbers: its class, or its shares of several classes, times the weight of the view. So class
weights, mixup and a teacher's opinion are all one loss, the cross-entropy ``-sum(target * log softmax(logits))``.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import keras
import numpy as np
from keras import ops

from larun.config import AugmentationSettings, TrainingSettings
from larun.network.augmentation import Augmentation, Mixup
from larun.network.distil import DistillationLoss, Teachers
from larun.network.evaluate import mean_average_precision
from larun.network.labelled import REAL
from larun.network.memory import naming_batch_size
from larun.schema import CLASSES

WARM_UP_EPOCHS = 2
LEAST_OF_RATE = 0.01
PREDICT_BATCH = 512


@dataclass(frozen=True)
class Samples:
    """Views to learn from.

    Parameters
    ----------
    views : (n, 1024) float32
    targets : (n, 6) float32
        Weight of each view times its shares of the classes.
    """

    views: np.ndarray
    targets: np.ndarray

    def __len__(self) -> int:
        return len(self.views)


@dataclass(frozen=True)
class Judged:
    """Views to validate with.

    Parameters
    ----------
    views : (n, 1024) float32
    label : (n,) int
    weights : (6,) float32
        Of the classes in the loss.
    """

    views: np.ndarray
    label: np.ndarray
    weights: np.ndarray


@dataclass
class State:
    """Where a training is between two epochs; with the variables of network and optimiser, all that it is.

    Parameters
    ----------
    epoch : int
        Epochs done.
    history : list of dict
        Per epoch ``loss``, ``val_loss``, ``val_ap``, ``learning_rate``.
    best_epoch : int
        Epoch of the best validation, counted from 1; 0 before the first.
    best_weights : list of array
        Network's weights then.
    pretraining : dict
        What came before the first epoch, for the record; empty where nothing did.
    backend : str
        That Keras trains on.
    """

    epoch: int = 0
    history: list[dict[str, float]] = field(default_factory=list)
    best_epoch: int = 0
    best_weights: list[np.ndarray] = field(default_factory=list)
    pretraining: dict[str, Any] = field(default_factory=dict)
    backend: str = field(default_factory=keras.backend.backend)

    @property
    def waited(self) -> int:
        """Epochs since the best validation."""
        return self.epoch - self.best_epoch

    def better(self, scores: dict[str, float]) -> bool:
        """Whether scores beat the best so far: by mean average precision, among equals by loss."""
        if not self.best_epoch:
            return True
        best = self.history[self.best_epoch - 1]
        return (scores["val_ap"], -scores["val_loss"]) > (best["val_ap"], -best["val_loss"])


class Training:
    """A network while it is trained.

    Parameters
    ----------
    network : keras.Model
        (n, 1024) views to (n, 6) logits; trained in place.
    samples : Samples
        What it learns from.
    judged : Judged or None
        What decides which epoch is the best; without it the last is.
    settings : TrainingSettings
        Epochs, batch, learning rate, patience, seed.
    augmentation : AugmentationSettings
        Variations of the views.
    teachers : sequence of keras.Model
        Trained networks of the same shape that the network learns from beside the targets; they see the same
        variations of the views.
    """

    def __init__(
        self,
        network: keras.Model,
        samples: Samples,
        judged: Judged | None,
        settings: TrainingSettings,
        augmentation: AugmentationSettings,
        teachers: Sequence[keras.Model] = (),
    ):
        self.network, self.samples, self.judged, self.settings = network, samples, judged, settings
        self.state = State()
        self.trainer = _trainer(network, augmentation, settings, teachers)
        self.trainer.compile(
            optimizer=keras.optimizers.AdamW(self._rate(), weight_decay=settings.weight_decay, clipnorm=1.0),
            loss=partial(_taught_loss, settings=settings) if teachers else _cross_entropy,
            # XLA takes longer to compile for a CPU than it saves; JAX has no other way.
            jit_compile=False if keras.backend.backend() == "tensorflow" else "auto",
        )
        self.trainer.optimizer.build(self.trainer.trainable_variables)

    def run(self, after: Callable[[State], None]) -> State:
        """Train to the end, or until patience is exhausted; the network then has the weights of the best epoch.

        Parameters
        ----------
        after : callable
            Given the state after every epoch; what it raises ends the training.

        Raises
        ------
        DeviceMemoryError
            The device has not enough memory for a batch.
        """
        while not self.is_over(self.state):
            self._epoch()
            after(self.state)
        self.network.set_weights(self.state.best_weights)
        return self.state

    def is_over(self, state: State) -> bool:
        """Whether a state is the last: all epochs are done, or patience is exhausted."""
        s = self.settings
        return state.epoch >= s.epochs or (s.early_stopping and state.waited >= s.patience)

    def _epoch(self) -> None:
        state = self.state
        order = np.random.default_rng([self.settings.seed, state.epoch]).permutation(len(self.samples))
        views, targets = self.samples.views[order], self.samples.targets[order]
        with naming_batch_size(self.settings.batch_size):
            record = self.trainer.fit(
                [views, targets], targets, batch_size=self.settings.batch_size, shuffle=False, verbose=0
            )
            scores = self._validate(self.judged) if self.judged else {}
        scores |= {"loss": float(record.history["loss"][-1]), "learning_rate": self.learning_rate}
        best = self.judged is None or state.better(scores)
        state.epoch += 1
        state.history.append(scores)
        if best:
            state.best_epoch, state.best_weights = state.epoch, self.network.get_weights()
        elif self.settings.schedule == "plateau" and state.waited % max(self.settings.patience // 2, 1) == 0:
            self.trainer.optimizer.learning_rate = 0.5 * self.learning_rate

    def variables(self) -> list[np.ndarray]:
        """All that training changes beside the state: weights, seeds, and what the optimiser remembers."""
        return [ops.convert_to_numpy(variable) for variable in self._variables]

    def restore(self, state: State, variables: list[np.ndarray]) -> None:
        """Be where `state` and `variables` of the same training were; a training that is over needs no variables."""
        for variable, value in zip(self._variables if variables else (), variables, strict=True):
            variable.assign(value)
        self.state = state

    @property
    def _variables(self) -> list[Any]:
        return [*self.trainer.variables, *self.trainer.optimizer.variables]

    @property
    def learning_rate(self) -> float:
        """Of the next step."""
        return float(ops.convert_to_numpy(self.trainer.optimizer.learning_rate))

    def _rate(self) -> Any:
        s = self.settings
        if s.schedule != "cosine":
            return s.learning_rate
        steps = math.ceil(len(self.samples) / s.batch_size)
        warm_up = max(min(WARM_UP_EPOCHS, s.epochs - 1), 0) * steps
        return keras.optimizers.schedules.CosineDecay(
            s.learning_rate * (0.1 if warm_up else 1.0),
            max(s.epochs * steps - warm_up, 1),
            alpha=LEAST_OF_RATE,
            warmup_target=s.learning_rate if warm_up else None,
            warmup_steps=warm_up,
        )

    def _validate(self, j: Judged) -> dict[str, float]:
        logits = predict(self.network, j.views).astype(np.float64)
        logits -= logits.max(axis=1, keepdims=True)
        log_odds = logits - np.log(np.exp(logits).sum(axis=1, keepdims=True))
        loss = -log_odds[np.arange(len(j.label)), j.label] * j.weights[j.label]
        return {
            "val_loss": float(loss.mean()),
            "val_ap": mean_average_precision(np.exp(log_odds), j.label),
        }


def predict(network: keras.Model, views: np.ndarray) -> np.ndarray:
    """Logits of a network, (n, 6) float32."""
    return np.asarray(network.predict(views, batch_size=PREDICT_BATCH, verbose=0), np.float32)


def class_weights(label: np.ndarray, kind: str) -> np.ndarray:
    """Weight of each class, (6,) float32, 1 on average over the views; 0 for a class without any.

    Parameters
    ----------
    label : (n,) int
        Classes of the training views.
    kind : str
        ``none``: all alike; ``balanced``: one over the share of the class, so that all classes count alike;
        ``sqrt``: one over its root, between the two.
    """
    power = {"none": 0.0, "sqrt": 0.5, "balanced": 1.0}[kind]
    share = np.bincount(label, minlength=len(CLASSES)) / len(label)
    weight = np.where(share > 0, np.maximum(share, 1e-12) ** -power, 0.0)
    return (weight / np.sum(weight * share)).astype(np.float32)


def source_weights(source: np.ndarray, real_weight: float) -> np.ndarray:
    """Weight of each view by what it comes from, (n,) float32, 1 on average.

    Injected and simulated shapes are many because they are cheap; what classes are worth in a survey, and what else
    looks like them there, only observed light curves say.
    """
    weight = np.where(source == REAL, real_weight, 1.0)
    return (weight / weight.mean()).astype(np.float32)


def hard_targets(label: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Targets of views that are of one class each, (n, 6) float32."""
    return (np.eye(len(CLASSES))[label] * weights[label][:, np.newaxis]).astype(np.float32)


def _trainer(
    network: keras.Model,
    augmentation: AugmentationSettings,
    settings: TrainingSettings,
    teachers: Sequence[keras.Model],
) -> keras.Model:
    """Network behind its augmentation.

    It outputs logits and targets side by side, because mixup changes both, and the logits of the teachers if any.
    """
    views = keras.Input(network.input_shape[1:], name="varied_views")
    targets = keras.Input((len(CLASSES),), name="targets")
    varied, mixed = views, targets
    if augmentation.enabled:
        varied = Augmentation(augmentation, settings.seed)(varied)
        if augmentation.mixup:
            varied, mixed = Mixup(augmentation.mixup, settings.seed + 1)(varied, mixed)
    outputs = [network(varied), mixed]
    if teachers:
        outputs.append(Teachers(teachers, settings.teacher_temperature)(varied))
    return keras.Model([views, targets], keras.layers.Concatenate()(outputs))


def _cross_entropy(_, outputs):
    logits, targets = outputs[:, : len(CLASSES)], outputs[:, len(CLASSES) : 2 * len(CLASSES)]
    return -ops.sum(targets * ops.log_softmax(logits, axis=-1), axis=-1)


def _taught_loss(_, outputs, settings: TrainingSettings):
    """Targets by `hard_share`, and for the rest the teachers, whose word on a view has the weight of the view."""
    n = len(CLASSES)
    pair = ops.stack([outputs[:, :n], outputs[:, 2 * n :]], axis=1)
    # Label -1: the teachers alone.
    taught = DistillationLoss(settings.teacher_temperature, 0.0).call(-ops.ones_like(outputs[:, :1]), pair)
    weight = ops.sum(outputs[:, n : 2 * n], axis=-1)
    return settings.hard_share * _cross_entropy(_, outputs) + (1.0 - settings.hard_share) * weight * taught

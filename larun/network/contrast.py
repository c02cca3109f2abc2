"""Self-supervised pre-training: two variations of one view are brought together, those of different views apart.

SimCLR (Chen et al. 2020, arXiv:2002.05709) with the variations of `larun.network.augmentation`; no label is used, so
views of light curves that nobody has labelled teach the network too.
"""

from __future__ import annotations

from collections.abc import Sequence

import keras
import numpy as np
from keras import layers, ops

from larun.config import AugmentationSettings, TrainingSettings
from larun.network.augmentation import Augmentation
from larun.network.memory import naming_batch_size
from larun.schema import VIEW_DEFINITION

TEMPERATURE = 0.2
PROJECTION = 32
LOGITS = "logits"
"""Layer whose input is what the network knows of a view."""


def pretrain(
    network: keras.Model,
    views: np.ndarray,
    training: TrainingSettings,
    augmentation: AugmentationSettings,
    parts: Sequence[tuple[str, int]] = tuple(VIEW_DEFINITION["views"]),
) -> list[float]:
    """Teach a network to know a view again; its classes are learnt afterwards.

    Parameters
    ----------
    network : keras.Model
        (n, 1024) views to (n, 6) logits; all its layers below the logits are trained in place.
    views : (n, 1024) float32
        Views, labelled or not.
    training : TrainingSettings
        `pretrain_epochs`, `batch_size`, `learning_rate`, `seed`.
    augmentation : AugmentationSettings
        Variations; mixup is left out.
    parts : sequence of (str, int)
        What a vector is a strip of, see `Augmentation`.

    Returns
    -------
    list of float
        Mean loss of each epoch.
    """
    trainer = _trainer(network, augmentation, training.seed, parts)
    trainer.compile(
        optimizer=keras.optimizers.AdamW(training.learning_rate, weight_decay=training.weight_decay, clipnorm=1.0),
        loss=contrastive_loss,
        jit_compile=False if keras.backend.backend() == "tensorflow" else "auto",
    )
    # A batch of one has nothing to be told apart from.
    batch = min(training.batch_size, len(views))
    losses = []
    for epoch in range(training.pretrain_epochs):
        order = np.random.default_rng([training.seed, epoch]).permutation(len(views))
        shown = views[order[: len(views) // batch * batch]]
        with naming_batch_size(batch):
            record = trainer.fit(shown, shown[:, :1], batch_size=batch, shuffle=False, verbose=0)
        losses.append(float(record.history["loss"][-1]))
    return losses


def contrastive_loss(_, pairs):
    """Normalised temperature-scaled cross-entropy (NT-Xent) of each view, (n,).

    Parameters
    ----------
    pairs : (n, 2 d) tensor
        Unit vectors of both variations of each view, side by side.
    """
    n, d = ops.shape(pairs)[0], pairs.shape[1] // 2
    both = ops.concatenate([pairs[:, :d], pairs[:, d:]], axis=0)
    likeness = ops.matmul(both, ops.transpose(both)) / TEMPERATURE
    likeness = likeness - 1e9 * ops.eye(2 * n)
    log_share = ops.log_softmax(likeness, axis=-1)
    partner = ops.concatenate([ops.arange(n, 2 * n), ops.arange(n)], axis=0)
    right = ops.take_along_axis(log_share, ops.expand_dims(partner, 1), axis=1)[:, 0]
    return -0.5 * (right[:n] + right[n:])


def _trainer(
    network: keras.Model, augmentation: AugmentationSettings, seed: int, parts: Sequence[tuple[str, int]]
) -> keras.Model:
    encoder = keras.Model(network.inputs, network.get_layer(LOGITS).input)
    project = keras.Sequential([layers.Dense(2 * PROJECTION, activation="relu"), layers.Dense(PROJECTION)])
    views = keras.Input(network.input_shape[1:])
    vectors = [
        layers.UnitNormalization()(project(encoder(Augmentation(augmentation, seed + number, parts)(views))))
        for number in (0, 1)
    ]
    return keras.Model(views, layers.Concatenate()(vectors))

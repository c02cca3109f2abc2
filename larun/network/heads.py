"""Heads beside the classes: which samples lie in a transit, and how deep and how often the transits are.

They are taught together on raw windows into which transits and eclipses were injected (`larun.network.marked`), so that
the truth is known; what they learn stays in the layers that the classes share.
"""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
from keras import ops

from larun.config import TrainingSettings
from larun.network.marked import Marked
from larun.network.memory import naming_batch_size
from larun.network.optimise import PREDICT_BATCH

LOCALISATION = "localisation"
QUANTITIES = ("depth", "period")
"""Heads of one number, the logarithm of what `Marked` has under the same name."""
MATCH_IOU = 0.5
"""Overlap from which a stretch that was marked is a transit that was found."""
MAX_RARE = 20.0


def train_heads(network: keras.Model, marked: Marked, settings: TrainingSettings) -> list[float]:
    """Train the heads for place, depth and period, and the layers below them, in place.

    The loss is the cross-entropy of the samples, those in transit weighted by their rarity, plus the squared error of
    depth and period (dex) in windows that show a transit.

    Parameters
    ----------
    network : keras.Model
        With the outputs `LOCALISATION` and `QUANTITIES` beside others, such as
        ``build("wavenet", localise=True, regress=True)``.
    marked : Marked
        What it learns from.
    settings : TrainingSettings
        `pretrain_epochs`, `batch_size`, `learning_rate`, `seed`.

    Returns
    -------
    list of float
        Mean loss of each epoch.
    """
    for name in QUANTITIES:
        known = getattr(marked, name)[np.isfinite(getattr(marked, name))]
        network.get_layer(name).bias.assign(np.full(1, known.mean() if len(known) else 0.0, np.float32))
    heads = keras.Model(network.inputs, {name: network.output[name] for name in (LOCALISATION, *QUANTITIES)})
    rare = float(np.clip((~marked.mask).sum() / max(marked.mask.sum(), 1), 1.0, MAX_RARE))
    heads.compile(
        optimizer=keras.optimizers.AdamW(settings.learning_rate, weight_decay=settings.weight_decay, clipnorm=1.0),
        loss={LOCALISATION: lambda true, logits: _cross_entropy(true, logits, rare)}
        | dict.fromkeys(QUANTITIES, _squared_error_where_known),
        jit_compile=False if keras.backend.backend() == "tensorflow" else "auto",
    )
    targets = {LOCALISATION: marked.mask.astype(np.float32)}
    targets |= {name: getattr(marked, name)[:, np.newaxis] for name in QUANTITIES}
    losses = []
    for epoch in range(settings.pretrain_epochs):
        order = np.random.default_rng([settings.seed, epoch]).permutation(len(marked))
        with naming_batch_size(settings.batch_size):
            record = heads.fit(
                marked.samples[order], {name: values[order] for name, values in targets.items()},
                batch_size=settings.batch_size, shuffle=False, verbose=0,
            )  # fmt: skip
        losses.append(float(record.history["loss"][-1]))
    return losses


def heads_scores(network: keras.Model, marked: Marked) -> dict[str, Any]:
    """What the heads of a network say of windows, beside the truth.

    Returns
    -------
    dict
        ``localisation`` from `localisation_scores`; ``depth`` and ``period``: ``windows`` that show a transit,
        ``error_dex``, the median absolute error of what the head says, and ``spread_dex``, that of the best constant.
    """
    said = network.predict(marked.samples, batch_size=PREDICT_BATCH, verbose=0)
    scores = {LOCALISATION: localisation_scores(np.asarray(said[LOCALISATION]) > 0.0, marked.mask)}
    return scores | {name: quantity_scores(np.asarray(said[name])[:, 0], getattr(marked, name)) for name in QUANTITIES}


def quantity_scores(said: np.ndarray, true: np.ndarray) -> dict[str, Any]:
    """Median absolute error of logarithms, (n,) each, NaN in `true` where there is nothing to know."""
    known = np.isfinite(true)
    if not known.any():
        return {"windows": 0, "error_dex": None, "spread_dex": None}
    constant = np.median(true[known])
    return {
        "windows": int(known.sum()),
        "error_dex": round(float(np.median(np.abs(said[known] - true[known]))), 5),
        "spread_dex": round(float(np.median(np.abs(constant - true[known]))), 5),
    }


def localisation_scores(said: np.ndarray, true: np.ndarray) -> dict[str, Any]:
    """How well marked samples and whole events agree with the truth.

    Parameters
    ----------
    said, true : (n, 1024) bool
        Samples in a transit.

    Returns
    -------
    dict
        ``windows``; ``iou``: samples in both over samples in either, over all windows; ``events``, ``found``,
        ``marked``, and of these the event score: ``precision``, ``recall``, ``f1``. A stretch of marked samples
        finds an event that it overlaps with an intersection over union of at least `MATCH_IOU`.
    """
    both, either = np.sum(said & true), np.sum(said | true)
    events = marked = found = 0
    for mine, theirs in zip(said, true, strict=True):
        ours, truth = stretches(mine), stretches(theirs)
        events, marked = events + len(truth), marked + len(ours)
        found += sum(any(_overlap(a, b) >= MATCH_IOU for a in ours) for b in truth)
    precision, recall = found / max(marked, 1), found / max(events, 1)
    return {
        "windows": len(true),
        "iou": round(float(both / either), 5) if either else 1.0,
        "events": events,
        "marked": marked,
        "found": found,
        "precision": round(precision, 5),
        "recall": round(recall, 5),
        "f1": round(2 * precision * recall / max(precision + recall, 1e-12), 5),
    }


def stretches(mask: np.ndarray) -> list[tuple[int, int]]:
    """First and last + 1 of each run of True."""
    edges = np.flatnonzero(np.diff(np.concatenate([[False], mask, [False]]).astype(np.int8)))
    return [(int(a), int(b)) for a, b in edges.reshape(-1, 2)]


def _overlap(a: tuple[int, int], b: tuple[int, int]) -> float:
    both = min(a[1], b[1]) - max(a[0], b[0])
    return max(both, 0) / (max(a[1], b[1]) - min(a[0], b[0]))


def _cross_entropy(true, logits, rare: float):
    """Binary cross-entropy of every sample, those in transit weighted by `rare`, (n,)."""
    weight = 1.0 + (rare - 1.0) * true
    return ops.mean(weight * (ops.softplus(logits) - true * logits), axis=-1)


def _squared_error_where_known(true, said):
    """Squared error of each window, (n,); 0, and no gradient, where the truth is NaN."""
    known = ops.where(ops.isnan(true), ops.stop_gradient(said), true)
    return ops.mean(ops.square(said - known), axis=-1)

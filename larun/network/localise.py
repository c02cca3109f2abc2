"""Where in a stretch of light curve a transit lies: training and scoring of a localisation head.

The head gives a logit per sample. It is taught on windows of quiet light curves into which transits and eclipses were
injected, so that their place is known; what it learns stays in the layers that the classes share.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np
from keras import ops

from larun.config import TrainingSettings
from larun.network.bank import Curve
from larun.network.injection import Host, inject
from larun.network.memory import naming_batch_size
from larun.network.optimise import PREDICT_BATCH
from larun.schema import CLASSES, VIEW_LENGTH
from larun.views import point_to_point_scatter
from larun.windows import sliding_windows, transit_mask

HEAD = "localisation"
WINDOW_D = 6.0
PER_CURVE = 3
SHAPES = tuple(CLASSES.index(name) for name in ("planetary_transit", "eclipsing_binary"))
MATCH_IOU = 0.5
"""Overlap from which a stretch that was marked is a transit that was found."""


@dataclass(frozen=True)
class Marked:
    """Windows with the samples that lie in a transit.

    Parameters
    ----------
    samples : (n, 1024) float32
    mask : (n, 1024) bool
    star : (n,) str
    """

    samples: np.ndarray
    mask: np.ndarray
    star: np.ndarray

    def __len__(self) -> int:
        return len(self.samples)


def marked_windows(curves: Sequence[Curve], seed: int) -> Marked:
    """Windows of quiet light curves with an injected planet or binary, and of some without.

    Parameters
    ----------
    curves : sequence of Curve
        Quiet ones.
    seed : int
        Of all draws; a curve's windows do not depend on the others.
    """
    samples, masks, stars = [], [], []
    for number, curve in enumerate(curves):
        rng = np.random.default_rng([seed, number])
        sigma = point_to_point_scatter(curve.flux)
        if not sigma > 0:
            continue
        flux, known = curve.flux.astype(np.float64), None
        if rng.random() < 0.8:
            shape = inject(int(rng.choice(SHAPES)), Host(curve.time, curve.cadence_d, sigma), rng)
            flux, known = flux * shape.flux, shape.ephemeris
        if known is not None and not np.isfinite(known.duration_h):
            continue
        windows = sliding_windows(curve.time, flux, WINDOW_D, WINDOW_D)
        rows = rng.permutation(len(windows))[:PER_CURVE]
        mask = np.zeros((len(windows), VIEW_LENGTH), bool)
        if known is not None:
            mask = transit_mask(windows, known.period_d, known.t0, known.duration_h)
        samples.append(windows.samples[rows])
        masks.append(mask[rows])
        stars += [curve.star] * len(rows)
    if not stars:
        return Marked(np.empty((0, VIEW_LENGTH), np.float32), np.empty((0, VIEW_LENGTH), bool), np.empty(0, np.str_))
    return Marked(np.concatenate(samples), np.concatenate(masks), np.array(stars, dtype=np.str_))


def train_localiser(network: keras.Model, marked: Marked, settings: TrainingSettings) -> list[float]:
    """Train the localisation head and the layers below it, in place.

    Parameters
    ----------
    network : keras.Model
        With an output `HEAD` beside others, such as ``build("wavenet", localise=True)``.
    marked : Marked
        What it learns from.
    settings : TrainingSettings
        `pretrain_epochs`, `batch_size`, `learning_rate`, `seed`.

    Returns
    -------
    list of float
        Mean loss of each epoch.
    """
    head = keras.Model(network.inputs, network.output[HEAD])
    rare = np.clip((~marked.mask).sum() / max(marked.mask.sum(), 1), 1.0, 20.0)
    head.compile(
        optimizer=keras.optimizers.AdamW(settings.learning_rate, weight_decay=settings.weight_decay, clipnorm=1.0),
        loss=lambda true, logits: _cross_entropy(true, logits, float(rare)),
        jit_compile=False if keras.backend.backend() == "tensorflow" else "auto",
    )
    losses = []
    for epoch in range(settings.pretrain_epochs):
        order = np.random.default_rng([settings.seed, epoch]).permutation(len(marked))
        with naming_batch_size(settings.batch_size):
            record = head.fit(
                marked.samples[order], marked.mask[order].astype(np.float32), batch_size=settings.batch_size,
                shuffle=False, verbose=0,
            )  # fmt: skip
        losses.append(float(record.history["loss"][-1]))
    return losses


def localised(network: keras.Model, samples: np.ndarray) -> np.ndarray:
    """Samples that a network says lie in a transit, (n, 1024) bool."""
    logits = network.predict(samples, batch_size=PREDICT_BATCH, verbose=0)[HEAD]
    return np.asarray(logits) > 0.0


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

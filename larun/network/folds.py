"""K-fold by star: every star that is not held out is scored once by a network that never saw it."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from typing import Any

import numpy as np

from larun.errors import InputError
from larun.network.evaluate import by_source, fit_calibration
from larun.network.infer import calibrated
from larun.network.labelled import LabelledViews, require_disjoint
from larun.schema import CLASSES

Fitted = Callable[[LabelledViews, LabelledViews, str], Callable[[np.ndarray], np.ndarray]]
"""Trains on the first views, chooses its epoch on the second, keeps its state under a name: views to logits."""


def fold_of(star: np.ndarray, folds: int, seed: int) -> np.ndarray:
    """Fold of each view, (n,) int, the same for all views of a star; it follows from name and seed alone."""
    names, member = np.unique(star, return_inverse=True)
    hashes = (hashlib.sha256(f"fold {seed}:{name}".encode()).digest() for name in names)
    return np.array([int.from_bytes(value[:8], "big") % folds for value in hashes])[member]


def cross_validate(data: LabelledViews, folds: int, seed: int, fitted: Fitted) -> dict[str, Any]:
    """Train once per fold and score what was left out.

    Of every fold's network the next fold chooses the epoch and the calibration, and all others are trained on, so that
    the fold itself decides nothing.

    Parameters
    ----------
    data : LabelledViews
        Views of the stars that may be trained on.
    folds : int
        At least 3.
    seed : int
        Of the folds.
    fitted : callable
        Trains a network.

    Returns
    -------
    dict
        ``folds``, ``stars`` per fold, ``accuracy`` per fold, and ``metrics`` over the views of all folds as
        `larun.network.evaluate.by_source` gives them.

    Raises
    ------
    InputError
        A fold has no view of a class.
    """
    fold = fold_of(data.star, folds, seed)
    require_disjoint(data.star, fold.astype(np.str_))
    _require_classes(data, fold, folds)
    probabilities = np.empty((len(data), len(CLASSES)), np.float32)
    for k in range(folds):
        out, choosing = fold == k, fold == (k + 1) % folds
        chooser = data.take(choosing)
        logits = fitted(data.take(~out & ~choosing), chooser, f"fold-{k + 1}")
        calibration = fit_calibration(logits(chooser.views), chooser.label)
        probabilities[out] = calibrated(
            logits(data.views[out]), calibration["temperature"], np.asarray(calibration["bias"])
        )
    right = probabilities.argmax(axis=1) == data.label
    return {
        "folds": folds,
        "stars": [len(np.unique(data.star[fold == k])) for k in range(folds)],
        "accuracy": [round(float(right[fold == k].mean()), 5) for k in range(folds)],
        "metrics": by_source(probabilities, data.label, data.star, data.source),
    }


def _require_classes(data: LabelledViews, fold: np.ndarray, folds: int) -> None:
    for k in range(folds):
        missing = [name for c, name in enumerate(CLASSES) if not np.any((fold == k) & (data.label == c))]
        if missing:
            raise InputError(
                f"fold {k + 1} of {folds} has no view of {', '.join(missing)}; ask for fewer folds, give more light "
                "curves or ask for more injections"
            )

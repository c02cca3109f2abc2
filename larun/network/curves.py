"""Curves behind the figures of merit: ROC, precision and recall, reliability."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

BINS = 10
"""Bins of confidence."""


def roc(score: np.ndarray, positive: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """False and true positive rate at every threshold, from the strictest; views of equal score count together.

    Parameters
    ----------
    score : (n,) float
    positive : (n,) bool
        Of both kinds at least one.
    """
    hits, total = _counts(score, positive)
    return (
        np.concatenate([[0.0], (total - hits) / np.sum(~positive)]),
        np.concatenate([[0.0], hits / positive.sum()]),
    )


def precision_recall(score: np.ndarray, positive: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Recall and precision at every threshold, from the strictest."""
    hits, total = _counts(score, positive)
    return hits / positive.sum(), hits / total


def recall_at_precision(score: np.ndarray, positive: np.ndarray, precision: float) -> float:
    """Highest recall of a threshold with at least that precision; 0 where none has it, NaN without positives."""
    if not positive.any():
        return float("nan")
    recall, reached = precision_recall(score, positive)
    return float(recall[reached >= precision].max(initial=0.0))


@dataclass(frozen=True)
class Reliability:
    """Confidence against accuracy, in equal-width bins of confidence.

    Parameters
    ----------
    middle, confidence, accuracy : (bins,) float
        Middle of the bin, mean confidence and share of right classes in it; NaN in an empty one.
    count : (bins,) int
        Views.
    """

    middle: np.ndarray
    confidence: np.ndarray
    accuracy: np.ndarray
    count: np.ndarray


def reliability(probabilities: np.ndarray, label: np.ndarray, bins: int = BINS) -> Reliability:
    """Bins of the reliability diagram; their weighted difference is the expected calibration error."""
    confidence = probabilities.max(axis=1)
    right = probabilities.argmax(axis=1) == label
    which = np.minimum((confidence * bins).astype(int), bins - 1)
    count = np.bincount(which, minlength=bins)
    with np.errstate(invalid="ignore"):
        means = [np.bincount(which, values, minlength=bins) / count for values in (confidence, right)]
    return Reliability((np.arange(bins) + 0.5) / bins, *means, count)


def _counts(score: np.ndarray, positive: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Positives and all views at or above each distinct score, from the highest."""
    order = np.argsort(-score, kind="stable")
    last_of_tie = np.append(np.diff(score[order]) != 0, True)
    return np.cumsum(positive[order])[last_of_tie], np.flatnonzero(last_of_tie) + 1

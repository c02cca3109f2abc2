"""Figures of merit of six-class probabilities, with bootstrap intervals over stars."""

from __future__ import annotations

from typing import Any

import numpy as np
from scipy.optimize import minimize
from scipy.stats import rankdata

from larun.network.curves import BINS, precision_recall, reliability
from larun.network.infer import calibrated
from larun.schema import CLASSES

BOOTSTRAPS = 400


def evaluate(probabilities: np.ndarray, label: np.ndarray, star: np.ndarray, seed: int = 0) -> dict[str, Any]:
    """Score probabilities against labels.

    Parameters
    ----------
    probabilities : (n, 6) float
        Rows sum to 1.
    label : (n,) int
        Index into `larun.schema.CLASSES`.
    star : (n,) str
        Star of each view; the bootstrap draws stars, so views of one star do not count as independent.
    seed : int
        Seed of the bootstrap.

    Returns
    -------
    dict
        ``views``, ``stars``, ``accuracy``, ``macro_f1``, ``brier``, ``ece`` with 95 % intervals as
        ``{"value", "low", "high"}``; ``classes``: per class ``views``, their ``stars``, ``precision``,
        ``recall``, ``f1``, ``average_precision``, ``auc`` alike; ``confusion``: rows true, columns predicted.
        None where a figure is not defined, as for a class without views.
    """
    label = np.asarray(label)
    stars, member = np.unique(np.asarray(star), return_inverse=True)
    point = figures(probabilities, label)
    rows_of = [np.flatnonzero(member == i) for i in range(len(stars))]
    rng = np.random.default_rng(seed)
    draws = []
    for _ in range(BOOTSTRAPS):
        rows = np.concatenate([rows_of[i] for i in rng.integers(0, len(stars), len(stars))])
        draws.append(figures(probabilities[rows], label[rows]))
    return {
        "views": len(label),
        "stars": len(stars),
        **{
            name: interval(point[name], [draw[name] for draw in draws])
            for name in ("accuracy", "macro_f1", "brier", "ece")
        },
        "classes": {
            name: {"views": int(np.sum(label == k)), "stars": len(np.unique(member[label == k]))}
            | {
                figure: interval(point[figure][k], [draw[figure][k] for draw in draws])
                for figure in ("precision", "recall", "f1", "average_precision", "auc")
            }
            for k, name in enumerate(CLASSES)
        },
        "confusion": confusion(probabilities.argmax(axis=1), label).tolist(),
    }


def by_source(
    probabilities: np.ndarray, label: np.ndarray, star: np.ndarray, source: np.ndarray, seed: int = 0
) -> dict[str, Any]:
    """`evaluate` over all views and over those of each source."""
    scores = {"all": evaluate(probabilities, label, star, seed)}
    for name in np.unique(source):
        rows = source == name
        scores[str(name)] = evaluate(probabilities[rows], label[rows], star[rows], seed)
    return scores


def by_collection(
    probabilities: np.ndarray, label: np.ndarray, star: np.ndarray, source: np.ndarray, kind: np.ndarray
) -> list[dict[str, Any]]:
    """What became of each class of each collection (of real light curves) or shape (of others).

    Returns
    -------
    list of dict
        ``source``, ``kind``, ``class``, ``views``, ``stars``, ``recall``, and ``predicted``: views per class given.
    """
    predicted = probabilities.argmax(axis=1)
    rows = []
    for name, shape, k in sorted({(str(s), str(c), int(t)) for s, c, t in zip(source, kind, label, strict=True)}):
        mine = (source == name) & (kind == shape) & (label == k)
        counts = np.bincount(predicted[mine], minlength=len(CLASSES))
        rows.append(
            {
                "source": name,
                "kind": shape,
                "class": CLASSES[k],
                "views": int(mine.sum()),
                "stars": len(np.unique(star[mine])),
                "recall": round(float(counts[k] / mine.sum()), 5),
                "predicted": counts.tolist(),
            }
        )
    return rows


def confusion(predicted: np.ndarray, label: np.ndarray) -> np.ndarray:
    """Counts, (6, 6) int: rows true class, columns predicted class."""
    counts = np.zeros((len(CLASSES), len(CLASSES)), int)
    np.add.at(counts, (label, predicted), 1)
    return counts


def average_precision(score: np.ndarray, positive: np.ndarray) -> float:
    """Area below the precision-recall curve as a sum of steps; NaN without positives.

    Views of equal score are counted together, as no threshold separates them.
    """
    if not positive.any():
        return float("nan")
    recall, precision = precision_recall(score, positive)
    return float(np.sum(np.diff(recall, prepend=0.0) * precision))


def mean_average_precision(probabilities: np.ndarray, label: np.ndarray) -> float:
    """Mean over the classes that occur of their average precision."""
    return float(np.mean([average_precision(probabilities[:, k], label == k) for k in np.unique(label)]))


def auc(score: np.ndarray, positive: np.ndarray) -> float:
    """Area below the ROC curve (Mann-Whitney U); NaN unless both kinds are present."""
    n_positive = int(positive.sum())
    n_negative = len(positive) - n_positive
    if n_positive == 0 or n_negative == 0:
        return float("nan")
    ranks = rankdata(score)
    return float((ranks[positive].sum() - n_positive * (n_positive + 1) / 2) / (n_positive * n_negative))


def expected_calibration_error(probabilities: np.ndarray, label: np.ndarray, bins: int = BINS) -> float:
    """Mean difference of confidence and accuracy over equal-width bins, weighted by count (Guo et al. 2017)."""
    said = reliability(probabilities, label, bins)
    filled = said.count > 0
    differences = np.abs(said.accuracy - said.confidence)[filled] * said.count[filled]
    return float(differences.sum() / said.count.sum())


def fit_calibration(logits: np.ndarray, label: np.ndarray, ridge: float = 0.01) -> dict[str, Any]:
    """Temperature and bias that make softmax(logits / temperature + bias) a probability.

    Bias-corrected temperature scaling (Alexandari et al. 2020) by maximum likelihood, with a small penalty on
    the biases so that a class of few views keeps its odds.

    Parameters
    ----------
    logits : (n, 6) float32
        INT8 network's outputs on held-out views.
    label : (n,) int
        Their classes.
    ridge : float
        Weight of the penalty.

    Returns
    -------
    dict
        ``temperature`` and ``bias`` (six), as a bundle stores them.
    """
    rows = np.arange(len(label))

    def loss(parameters):
        bias = parameters[1:] - parameters[1:].mean()
        probabilities = calibrated(logits, float(np.exp(parameters[0])), bias)
        likelihood = np.log(np.maximum(probabilities[rows, label].astype(np.float64), 1e-12)).mean()
        return -likelihood + ridge * np.square(parameters[1:]).sum()

    best = minimize(loss, np.zeros(1 + len(CLASSES)), method="Powell", options={"xtol": 1e-4, "ftol": 1e-7})
    bias = best.x[1:] - best.x[1:].mean()
    return {"temperature": float(np.exp(best.x[0])), "bias": [float(b) for b in bias]}


def figures(probabilities: np.ndarray, label: np.ndarray) -> dict[str, Any]:
    """Every figure once: scalars, and arrays over classes with NaN where not defined."""
    counts = confusion(probabilities.argmax(axis=1), label)
    right, true, predicted = np.diag(counts).astype(float), counts.sum(axis=1), counts.sum(axis=0)
    with np.errstate(invalid="ignore", divide="ignore"):
        precision = np.where(predicted > 0, right / predicted, np.nan)
        recall = np.where(true > 0, right / true, np.nan)
        f1 = np.where(true > 0, 2 * right / (true + predicted), np.nan)
    one_hot = np.eye(len(CLASSES))[label]
    return {
        "accuracy": float(right.sum() / len(label)),
        "macro_f1": float(np.nanmean(f1)),
        "brier": float(np.mean(np.square(probabilities - one_hot).sum(axis=1))),
        "ece": expected_calibration_error(probabilities, label),
        "precision": precision,
        "recall": recall,
        "f1": f1,
        "average_precision": [average_precision(probabilities[:, k], label == k) for k in range(len(CLASSES))],
        "auc": [auc(probabilities[:, k], label == k) for k in range(len(CLASSES))],
    }


def interval(value: float, draws: list[float]) -> dict[str, float] | None:
    """Value with the 2.5 and 97.5 percentiles of its bootstrap; None where the value is not defined."""
    finite = [draw for draw in draws if np.isfinite(draw)]
    if not np.isfinite(value) or not finite:
        return None
    low, high = np.percentile(finite, [2.5, 97.5])
    return {"value": round(float(value), 5), "low": round(float(low), 5), "high": round(float(high), 5)}

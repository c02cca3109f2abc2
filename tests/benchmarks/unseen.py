"""Shapes of kinds that no training ever injects, told from all known classes by the probability of an anomaly."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from larun.config import Settings
from larun.network.bank import Curve
from larun.network.infer import Classifier
from larun.survey.classify import classify_shard
from larun.views import point_to_point_scatter

OPEN_SET_CURVES = 120


def unseen(quiet: list[Curve], settings: Settings, classifier: Classifier) -> tuple[np.ndarray, np.ndarray]:
    """What is said of unseen shapes in quiet light curves.

    Parameters
    ----------
    quiet : list of Curve
        Light curves of which `OPEN_SET_CURVES` receive a shape.
    settings, classifier
        As `classify_shard` takes them.

    Returns
    -------
    kind : (n,) str
        Which of `UNSEEN`.
    probabilities : (n, 6) float32
        Of the best event of each light curve that can be searched.
    """
    rng = np.random.default_rng(5)
    order = rng.permutation(len(quiet))[:OPEN_SET_CURVES]
    names, shares = [], []
    for turn, index in enumerate(order):
        host = quiet[index]
        name = list(UNSEEN)[turn % len(UNSEEN)]
        sigma = point_to_point_scatter(host.flux)
        if not sigma > 0:
            continue
        hourly = sigma * np.sqrt(min(24 * host.cadence_d, 1.0))
        depth = min(hourly * np.exp(rng.uniform(np.log(20), np.log(300))), 0.6)
        flux = host.flux * (1 - depth * UNSEEN[name](host.time, rng)).astype(np.float32)
        said = classify_shard(host.shard(flux), settings, classifier).probabilities[0]
        if np.isfinite(said).all():
            names.append(name)
            shares.append(said)
    return np.array(names), np.array(shares)


def _ringed_body(time: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """One long dip between two pairs of short ones, as of a body with rings (J1407)."""
    x = (time - _middle(time, rng)) / rng.uniform(0.15, 0.4)
    rings = sum(np.abs(np.abs(x) - at) < 0.25 for at in (2.0, 3.2)) * 0.45
    return np.where(np.abs(x) < 1.0, 1.0, rings)


def _staircase(time: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Down in three steps and back at once."""
    x = (time - _middle(time, rng)) / rng.uniform(0.3, 1.2)
    return np.where((x > 0) & (x < 3), (np.floor(np.clip(x, 0, 2.99)) + 1) / 3, 0.0)


def _pulse_train(time: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Short dips whose distances shrink, each as deep as the one before is long."""
    at, gap, total = _middle(time, rng), rng.uniform(0.8, 1.6), np.zeros(len(time))
    width = rng.uniform(0.06, 0.15)
    for number in range(6):
        total += (0.4 + 0.12 * number) * (np.abs(time - at) < width)
        at += gap * 0.75**number
    return np.minimum(total, 1.0)


def _chirp(time: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """A wave packet that quickens, dimming only."""
    x = (time - _middle(time, rng)) / rng.uniform(1.0, 2.5)
    return np.where((x > -1) & (x < 1), np.cos(0.5 * np.pi * x) ** 2 * np.sin(6 * (x + 1.5) ** 2) ** 2, 0.0)


def _triangle(time: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Linear down over a day or two and linear up in a third of it."""
    x = (time - _middle(time, rng)) / rng.uniform(0.6, 1.8)
    return np.clip(np.where(x < 0, 1 + x, 1 - 3 * x), 0, 1)


def _middle(time: np.ndarray, rng: np.random.Generator) -> float:
    return float(time[0] + rng.uniform(0.15, 0.75) * np.ptp(time))


UNSEEN: dict[str, Callable[[np.ndarray, np.random.Generator], np.ndarray]] = {
    "ringed_body": _ringed_body,
    "staircase": _staircase,
    "pulse_train": _pulse_train,
    "chirp": _chirp,
    "triangle": _triangle,
}
"""Loss of light between 0 and 1 of shapes that `larun.network.injection` and `larun.simulate` do not know."""

"""Two bundles side by side, on the stars that both have held out."""

from __future__ import annotations

from typing import Any

import numpy as np

from larun.bundles import Bundle
from larun.errors import BundleError
from larun.network.evaluate import BOOTSTRAPS, by_source, figures, interval
from larun.network.predictions import PREDICTIONS_FILE, Predictions, read_predictions
from larun.schema import CLASSES

COMPARED = ("accuracy", "macro_f1", "brier", "ece")
PLANET = CLASSES.index("planetary_transit")


def compare(first: Bundle, second: Bundle, seed: int = 0) -> dict[str, Any]:
    """Score two bundles on the stars that neither was trained on, and bound the difference.

    Parameters
    ----------
    first, second : Bundle
        With their predictions of held-out stars.
    seed : int
        Of the bootstrap over stars, which draws the same stars for both.

    Returns
    -------
    dict
        ``first``, ``second``: name and version; ``stars`` in common; ``sources``: per source the figures of `first`
        and `second` as `larun.network.evaluate.evaluate` gives them, and ``difference``: second minus first of
        accuracy, macro F1, Brier score, calibration error and the planets' average precision, with 95 % intervals.

    Raises
    ------
    BundleError
        A bundle has no predictions, or they have no held-out star in common.
    """
    tables = [_predictions(bundle) for bundle in (first, second)]
    common = np.intersect1d(tables[0].star, tables[1].star)
    if not len(common):
        raise BundleError(
            f"{_name(first)} and {_name(second)} have no held-out star in common; train both with the same "
            "dataset, training.seed and dataset.test_fraction"
        )
    ours, theirs = (table.take(np.isin(table.star, common)) for table in tables)
    scored = [by_source(t.probabilities, t.label, t.star, t.source, seed) for t in (ours, theirs)]
    sources = [name for name in scored[0] if name in scored[1]]
    return {
        "first": _name(first),
        "second": _name(second),
        "stars": len(common),
        "sources": {
            name: {
                "first": scored[0][name],
                "second": scored[1][name],
                "difference": _difference(_of(ours, name), _of(theirs, name), seed),
            }
            for name in sources
        },
    }


def _predictions(bundle: Bundle) -> Predictions:
    if PREDICTIONS_FILE not in bundle.files:
        raise BundleError(
            f"{_name(bundle)} has no {PREDICTIONS_FILE}: an earlier version of larun made it. Train it again"
        )
    return read_predictions(bundle.files[PREDICTIONS_FILE])


def _of(table: Predictions, source: str) -> Predictions:
    return table if source == "all" else table.take(table.source == source)


def _difference(first: Predictions, second: Predictions, seed: int) -> dict[str, Any]:
    """Second minus first, with the intervals of a bootstrap that draws the same stars for both."""
    stars = np.intersect1d(first.star, second.star)
    rows = [[np.flatnonzero(table.star == star) for star in stars] for table in (first, second)]

    def values(chosen: np.ndarray) -> dict[str, float]:
        both = []
        for table, rows_of in zip((first, second), rows, strict=True):
            taken = table.take(np.concatenate([rows_of[i] for i in chosen]))
            said = figures(taken.probabilities, taken.label)
            both.append({name: said[name] for name in COMPARED} | {"planet_ap": said["average_precision"][PLANET]})
        return {name: both[1][name] - both[0][name] for name in both[0]}

    rng = np.random.default_rng(seed)
    point = values(np.arange(len(stars)))
    draws = [values(rng.integers(0, len(stars), len(stars))) for _ in range(BOOTSTRAPS)]
    return {name: interval(value, [draw[name] for draw in draws]) for name, value in point.items()}


def _name(bundle: Bundle) -> str:
    return f"{bundle.name}/{bundle.version}"

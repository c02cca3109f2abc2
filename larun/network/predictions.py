"""What a network said about every held-out view: in its bundle, so that bundles are compared without the data."""

from __future__ import annotations

import csv
import io
from dataclasses import dataclass

import numpy as np

from larun.errors import BundleError
from larun.network.labelled import LabelledViews
from larun.schema import CLASSES

PREDICTIONS_FILE = "predictions.csv"
_COLUMNS = ("star", "source", "kind", "label")


@dataclass(frozen=True)
class Predictions:
    """Probabilities beside labels.

    Parameters
    ----------
    star, source, kind : (n,) str
        See `larun.network.labelled.LabelledViews`.
    label : (n,) int
        Index into `larun.schema.CLASSES`.
    probabilities : (n, 6) float64
        Rows sum to 1.
    """

    star: np.ndarray
    source: np.ndarray
    kind: np.ndarray
    label: np.ndarray
    probabilities: np.ndarray

    def take(self, rows: np.ndarray) -> Predictions:
        """Some of the rows."""
        return Predictions(*(values[rows] for values in vars(self).values()))


def predictions_table(views: LabelledViews, probabilities: np.ndarray) -> bytes:
    """Predictions as CSV: star, source, kind, label and the six probabilities, in the order of the views."""
    written = io.StringIO()
    table = csv.writer(written, lineterminator="\n")
    table.writerow((*_COLUMNS, *CLASSES))
    known = zip(views.star, views.source, views.kind, views.label, probabilities, strict=True)
    for star, source, kind, label, shares in known:
        table.writerow((star, source, kind, CLASSES[label], *(f"{share:.5f}" for share in shares)))
    return written.getvalue().encode()


def read_predictions(table: bytes) -> Predictions:
    """Inverse of `predictions_table`.

    Raises
    ------
    BundleError
        It is no such table.
    """
    rows = list(csv.DictReader(io.StringIO(table.decode())))
    try:
        text = {name: np.array([row[name] for row in rows], dtype=np.str_) for name in _COLUMNS}
        label = np.array([CLASSES.index(name) for name in text.pop("label")], np.int64)
        shares = np.array([[float(row[name]) for name in CLASSES] for row in rows]).reshape(-1, len(CLASSES))
    except (KeyError, ValueError, TypeError) as error:
        raise BundleError(f"{PREDICTIONS_FILE} of the bundle is no table of predictions: {error!r}") from error
    return Predictions(**text, label=label, probabilities=shares / shares.sum(axis=1, keepdims=True))

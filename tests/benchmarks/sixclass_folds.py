"""Every labelled star of a folder, classified by a network that was trained without it.

What `tests.benchmarks.sixclass --folds N` measures. The stars are dealt into folds by name; of each fold's network the
next fold chooses the epoch and the calibration and all others are trained on, and that one too in a refit where the
settings ask for one; they are those of the shipped bundle, but no star is held out. Scored is the INT8 network on raw
light curves, as the benchmark itself does.

Light curves are searched once for all folds, and the views are kept in a file whose name follows from the settings and
from the code that makes them.
"""

from __future__ import annotations

import hashlib
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

import larun
from larun.bundles import INT8_FILE
from larun.config import Settings
from larun.network.bank import Curve
from larun.network.dataset import training_views
from larun.network.folds import fold_of
from larun.network.infer import Interpreter, calibrated
from larun.network.labelled import TRAIN, VALIDATION, LabelledViews, labelled
from larun.schema import CLASSES, VIEW_DEFINITION
from tests.benchmarks.whole import below_threshold, classify

SOURCES = (
    "search/*.py", "simulate/*.py", "views.py", "measured.py", "unfolded.py", "schema.py", "selection.py",
    "candidates.py", "survey/classify.py",
    *(f"network/{name}.py" for name in ("bank", "dataset", "examples", "injection", "labelled", "simulated")),
)  # fmt: skip
"""Code that decides the views."""

PLANET = CLASSES.index("planetary_transit")

Probabilities = Callable[[np.ndarray], np.ndarray]
"""Views to probabilities."""


class _Recorder:
    """Stands where a network would, and keeps the views that it is given."""

    def __init__(self):
        self.views = np.empty((0, VIEW_DEFINITION["length"]), np.float32)

    def probabilities(self, views: np.ndarray) -> np.ndarray:
        self.views = views
        return np.full((len(views), len(CLASSES)), 1.0 / len(CLASSES), np.float32)


def probabilities_by_fold(
    settings: Settings, curves: list[Curve], folds: int, cache: Path
) -> tuple[list[np.ndarray], dict[str, Any]]:
    """What is said of the events of each light curve by the network of its star's fold.

    Parameters
    ----------
    settings : Settings
        Of the training; `dataset.data` is where its light curves come from.
    curves : list of Curve
        Light curves to score, single ones and `tests.benchmarks.whole.Whole`.
    folds : int
        At least 3.
    cache : Path
        Folder in which views are kept.

    Returns
    -------
    probabilities : list of (event, 6) float32
        Of each light curve, the best event first; none where it cannot be searched. That of a planet is 0 where no
        sweep would list the event, see `tests.benchmarks.whole.below_threshold`.
    record : dict
        Best epoch and bytes of every fold's network.
    """
    data = _kept(cache / f"train-{_digest(settings)}.npz", lambda: _training(settings))
    views, event_of, below = _searched(cache / f"score-{_digest(settings)}-{len(curves)}.npz", curves, settings)
    seed = settings.training.seed
    trained = fold_of(data.star, folds, seed)
    scored = fold_of(np.array([curve.star for curve in curves]), folds, seed)[event_of]
    said = np.empty((len(views), len(CLASSES)), np.float32)
    record: dict[str, Any] = {"best_epoch": [], "int8_bytes": []}
    for k in range(folds):
        probabilities, epoch, size = _fold(settings, data, trained, k, folds)
        said[scored == k] = probabilities(views[scored == k])
        record["best_epoch"].append(epoch)
        record["int8_bytes"].append(size)
        print(f"fold {k + 1} of {folds}: epoch {epoch}", file=sys.stderr, flush=True)
    said[below, PLANET] = 0.0
    return [said[event_of == i] for i in range(len(curves))], record


def _fold(
    settings: Settings, data: LabelledViews, fold: np.ndarray, k: int, folds: int
) -> tuple[Probabilities, int, int]:
    """INT8 network that knows nothing of fold `k`, calibrated; its best epoch and its bytes."""
    from larun.network.fit import trained
    from larun.network.run import Run

    choosing = fold == (k + 1) % folds
    parts = {TRAIN: data.take((fold != k) & ~choosing), VALIDATION: data.take(choosing)}
    state, files, calibration = trained(Run(settings), parts, lambda done: None)
    network = Interpreter(files[INT8_FILE])

    def probabilities(views: np.ndarray) -> np.ndarray:
        return calibrated(network.logits(views), calibration["temperature"], np.asarray(calibration["bias"]))

    return probabilities, state.best_epoch, len(files[INT8_FILE])


def _training(settings: Settings) -> LabelledViews:
    """Training views of all stars, none held out."""
    everything = settings.model_copy(update={"dataset": settings.dataset.model_copy(update={"hold_out": ()})})
    return training_views(everything, lambda done, total: None)


def _searched(path: Path, curves: list[Curve], settings: Settings) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Views of all events of light curves, which light curve each belongs to, and which no sweep would list."""
    if not path.is_file():
        views, event_of, below = [], [], []
        for i, curve in enumerate(curves):
            recorder = _Recorder()
            said = classify(curve, settings, recorder)
            views.append(recorder.views)
            below.append(below_threshold(curve, said.events[said.searched]))
            event_of += [i] * len(recorder.views)
        path.parent.mkdir(parents=True, exist_ok=True)
        columns = {"event_of": np.array(event_of), "below": np.concatenate(below)}
        np.savez(path, views=np.concatenate(views), **columns, curves=len(curves))
    with np.load(path) as kept:
        if kept["curves"] != len(curves):
            raise ValueError(f"{path} was made of {kept['curves']} light curves, not of {len(curves)}; delete it")
        return kept["views"], kept["event_of"], kept["below"]


def _kept(path: Path, make: Callable[[], LabelledViews]) -> LabelledViews:
    if not path.is_file():
        data = make()
        path.parent.mkdir(parents=True, exist_ok=True)
        columns = {name: getattr(data, name) for name in ("label", "star", "source", "kind", "start_d")}
        np.savez(path, views=data.views, **columns)
    with np.load(path) as kept:
        return labelled(kept["views"], {name: kept[name] for name in kept.files if name != "views"}, {})


def _digest(settings: Settings) -> str:
    """Over the settings and the code that make views; 12 characters."""
    total = hashlib.sha256(settings.dataset.model_dump_json(exclude={"hold_out"}).encode())
    total.update(settings.search.model_dump_json().encode() + settings.simulate.model_dump_json().encode())
    total.update(str(settings.training.seed).encode())
    folder = Path(larun.__file__).parent
    for pattern in SOURCES:
        for path in sorted(folder.glob(pattern)):
            total.update(path.read_bytes())
    return total.hexdigest()[:12]

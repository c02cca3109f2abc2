"""Real light curves through the whole path - detrend, search, view, network - scored star by star.

``python -m tests.benchmarks.sixclass --data DIR [--test DIR] [--bundle SPEC] --json`` prints one JSON object as its
last line. Scored are the labelled curves of DIR (of the second one where `--test` names it) whose star the bundle's own
split does not name as a star of training or validation; a bundle without a split is refused.

`of_star` says how the events of a star's light curves are joined. An event that is too weak for the candidates of a
sweep, by its default thresholds, is no planet, whatever the network says. Nothing is left out because the search missed
it: a planet that was not found counts as the class that the network gives to what was found instead. Several light
curves of a star are searched as one, too, as ``larun sweep --stitch`` does; ``alone`` has the figures without what that
finds, of the same run. It takes minutes, and with ``--alone`` it is left out.

With ``--folds N`` the shipped recipe is trained N times, and every labelled star of --data is scored by a network that
was trained without it, see `tests.benchmarks.sixclass_folds`: many more stars decide what a change of the recipe is
worth than those that one bundle has held out.

Besides: the controls of the data's README (2-min noise, FFI planets) beside the others of their class; every collection
apart; and the open-set test: shapes of kinds that no training ever injects (`UNSEEN`), in quiet curves of scored stars,
are told from all known classes by the probability of `unknown_anomaly`.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from larun.bundles import Bundle, load_bundle
from larun.config import DATA_FOLDER, Settings, load
from larun.errors import BundleError
from larun.network.bank import Curve, read_bank, read_hosts
from larun.network.curves import recall_at_precision
from larun.network.evaluate import BOOTSTRAPS, auc, confusion, figures, interval
from larun.network.infer import Classifier
from larun.network.labelled import SPLIT_FILE, TEST, read_split
from larun.objects import Root
from larun.schema import CLASSES
from tests.benchmarks.machine import machine, versions
from tests.benchmarks.unseen import UNSEEN, unseen
from tests.benchmarks.whole import Whole, below_threshold, classify, wholes

NOISE, PLANET, ANOMALY = (CLASSES.index(name) for name in ("noise", "planetary_transit", "unknown_anomaly"))
PRECISION = 0.90
PER_STAR = 10
"""Light curves of one star that are searched, so that no star costs more than it tells."""
LONG_CADENCE_D = 10.0 / 1440.0
CONTROLS = {
    "noise of 2 min": (NOISE, ("ucd_flares",)),
    "planets of full-frame images": (PLANET, ("lcs_demo", "wasp100", "toi2000")),
}
RECIPE = str(DATA_FOLDER / "bundles" / "default.toml")


@dataclass(frozen=True)
class Scored:
    """Star by star what is true and what is said.

    Parameters
    ----------
    star, source : (star,) str
        Name, and collection of its light curves.
    label : (star,) int
    probabilities : (star, 6) float64
    searched : (star,) bool
        Whether any of its light curves could be searched.
    """

    star: np.ndarray
    source: np.ndarray
    label: np.ndarray
    probabilities: np.ndarray
    searched: np.ndarray


def main(arguments: list[str] | None = None) -> dict[str, Any]:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--data", default="../shared/data", help="folder with a bank of labelled light curves")
    parser.add_argument("--test", help="folder whose stars are scored instead")
    parser.add_argument("--bundle", default="default", help="bundle below --root, or a folder")
    parser.add_argument("--root", default="survey", help="survey root of the bundle")
    parser.add_argument("--alone", action="store_true", help="search no light curves of a star as one")
    parser.add_argument("--json", action="store_true", help="print one JSON object as the last line")
    parser.add_argument("--folds", type=int, help="train anew and score every star of --data, in so many folds")
    parser.add_argument("--config", default=RECIPE, help="settings of these trainings")
    parser.add_argument("--cache", default="/tmp/sixclass", help="folder in which their views are kept")
    given = parser.parse_args(arguments)
    started = time.process_time()
    if given.folds:
        settings = load(given.config, dataset={"data": given.data})
        result = measure_folds(settings, given.folds, Path(given.cache), not given.alone)
    else:
        result = measure(load_bundle(given.bundle, Root(given.root)), given.data, given.test, not given.alone)
    result |= {
        "cpu_s": round(time.process_time() - started, 1),
        "machine": machine(),
        "versions": versions("numpy", "numba", "ai-edge-litert"),
    }
    print(json.dumps(result) if given.json else json.dumps(result, indent=1))
    return result


def measure(bundle: Bundle, data: str, test: str | None = None, together: bool = True) -> dict[str, Any]:
    """All figures of a bundle on the stars of a folder that it was not trained on."""
    settings, classifier = Settings(), Classifier(bundle)
    seen = trained_stars(bundle)
    bank = limited(read_bank(test or data))
    curves = [curve for curve in bank if curve.star not in seen]
    joined = wholes(curves) if together else []
    said = classified([*curves, *joined], settings, classifier)
    return {
        "benchmark": "sixclass",
        "bundle": f"{bundle.name}/{bundle.version}",
        "bundle_digest": bundle.digest,
        "int8_bytes": len(bundle.int8_model),
        "stars_left_out_as_trained_on": len({curve.star for curve in bank} & seen),
        **of_stars(curves, joined, said),
        "ffi_planets": long_cadence(curves, settings, classifier),
        "open_set": open_set(
            curves,
            [h for h in read_hosts(test or data) if h.star not in seen],
            by_star([*curves, *joined], said),
            classifier,
        ),
    }


def measure_folds(settings: Settings, folds: int, cache: Path, together: bool = True) -> dict[str, Any]:
    """Figures of a recipe over all stars of its folder, each scored by a network that was trained without it."""
    from tests.benchmarks.sixclass_folds import probabilities_by_fold

    curves = limited(read_bank(settings.dataset.data))
    joined = wholes(curves) if together else []
    said, record = probabilities_by_fold(settings, curves + joined, folds, cache)
    return {"benchmark": "sixclass", "folds": folds, **record, **of_stars(curves, joined, said)}


def of_stars(curves: list[Curve], joined: list[Whole], said: list[np.ndarray]) -> dict[str, Any]:
    """What is said of stars, and ``alone`` what is said of them without all light curves of a star as one.

    `said` is of the single light curves and then of the joined ones.
    """
    scored = by_star([*curves, *joined], said)
    figures = {
        "light_curves": len(curves),
        "joined_light_curves": len(joined),
        "stars": {name: int(np.sum(scored.label == k)) for k, name in enumerate(CLASSES)},
        "stars_that_cannot_be_searched": int(np.sum(~scored.searched)),
        **_figures(scored),
        "collections": collections(scored),
    }
    return figures | ({"alone": _figures(by_star(curves, said[: len(curves)]))} if joined else {})


def _figures(scored: Scored) -> dict[str, Any]:
    return {
        **headline(scored),
        "confusion": confusion(scored.probabilities.argmax(axis=1), scored.label).tolist(),
        "controls": controls(scored),
        "planet_like": planet_like(scored),
    }


def planet_like(scored: Scored, most: int = 24) -> list[dict[str, Any]]:
    """Stars of the largest planet probabilities, and all planets, in order."""
    order = np.argsort(-scored.probabilities[:, PLANET], kind="stable")
    return [
        {
            "rank": rank,
            "star": str(scored.star[i]),
            "is": CLASSES[scored.label[i]],
            "said": CLASSES[scored.probabilities[i].argmax()],
            "probability": round(float(scored.probabilities[i, PLANET]), 4),
        }
        for rank, i in enumerate(order, 1)
        if rank <= most or scored.label[i] == PLANET
    ]


def trained_stars(bundle: Bundle) -> set[str]:
    """Stars of training and validation, by the bundle's own record."""
    if SPLIT_FILE not in bundle.files:
        raise BundleError(
            f"{bundle.name}/{bundle.version} does not say which stars it was trained on ({SPLIT_FILE} is missing), so "
            "none can be scored; train it again"
        )
    return {star for star, side in read_split(bundle.files[SPLIT_FILE]).items() if side != TEST}


def limited(curves: Iterable[Curve]) -> list[Curve]:
    """At most `PER_STAR` light curves of each star and class, the first ones."""
    taken: dict[tuple[str, int], int] = {}
    kept = []
    for curve in curves:
        key = (curve.star, curve.label)
        taken[key] = taken.get(key, 0) + 1
        if taken[key] <= PER_STAR:
            kept.append(curve)
    return kept


def classified(curves: list[Curve], settings: Settings, classifier: Classifier) -> list[np.ndarray]:
    """What is said of the events of each light curve, (event, 6), the best event first; none where it has none.

    An event that no sweep would list is no planet, see `tests.benchmarks.whole.below_threshold`: its row then adds up
    to less than one.
    """
    rows = []
    for curve in curves:
        said = classify(curve, settings, classifier)
        rows.append(said.probabilities[said.searched].copy())
        rows[-1][below_threshold(curve, said.events[said.searched]), PLANET] = 0.0
    return rows


def by_star(curves: list[Curve], said: list[np.ndarray]) -> Scored:
    """Join what is said of the light curves of one star and label, see `of_star`."""
    groups: dict[tuple[str, int], list[int]] = {}
    for i, curve in enumerate(curves):
        groups.setdefault((curve.star, curve.label), []).append(i)
    rows = [
        (
            [said[i] for i in members if len(said[i]) and not isinstance(curves[i], Whole)],
            [said[i] for i in members if len(said[i]) and isinstance(curves[i], Whole)],
        )
        for members in groups.values()
    ]
    return Scored(
        star=np.array([star for star, _ in groups], dtype=np.str_),
        source=np.array([curves[members[0]].origin for members in groups.values()], dtype=np.str_),
        label=np.array([label for _, label in groups], np.int64),
        probabilities=np.array([of_star(*of_curves) for of_curves in rows]).reshape(-1, len(CLASSES)),
        searched=np.array([bool(of_curves) for of_curves, _ in rows]),
    )


def of_star(of_curves: list[np.ndarray], of_whole: Sequence[np.ndarray] = ()) -> np.ndarray:
    """Probabilities of a star, (6,), from those of the events of its light curves.

    A planet that shows in one light curve, as a further event beside a stronger one, or only in all light curves
    together makes its star a planet's: the probability is that of at least one event being a planet's, each counted by
    itself. The other classes share the rest as the best events of the single light curves say on average. A star
    without any event is called noise: nothing was found.
    """
    if not of_curves:
        return np.eye(len(CLASSES))[NOISE]
    shares = np.mean([rows[0] for rows in of_curves], axis=0, dtype=np.float64)
    every = np.concatenate([*of_curves, *of_whole])[:, PLANET].astype(np.float64)
    planet = 1.0 - float(np.prod(1.0 - every))
    shares[PLANET] = 0.0
    shares *= (1.0 - planet) / max(shares.sum(), 1e-12)
    shares[PLANET] = planet
    return shares


def headline(scored: Scored) -> dict[str, Any]:
    """Accuracy, means over the classes that occur, planet recall; 95 % intervals from a bootstrap over stars."""
    classes = np.unique(scored.label)

    def values(rows: np.ndarray) -> dict[str, float]:
        shares, label = scored.probabilities[rows], scored.label[rows]
        said = figures(shares, label)
        return {
            "accuracy": said["accuracy"],
            # A class that is never said has no precision; it counts as none.
            "macro_precision": float(np.nan_to_num(said["precision"][classes]).mean()),
            "macro_recall": float(np.nanmean(said["recall"])),
            "macro_f1": said["macro_f1"],
            "planet_recall_at_precision_0.90": recall_at_precision(shares[:, PLANET], label == PLANET, PRECISION),
            "planet_average_precision": said["average_precision"][PLANET],
            **{f"f1 {CLASSES[k]}": said["f1"][k] for k in classes},
        }

    return _bootstrapped(values, len(scored.label))


def collections(scored: Scored) -> dict[str, dict[str, Any]]:
    """What became of the stars of each collection and class."""
    rows = {}
    for source, k in sorted({(str(s), int(label)) for s, label in zip(scored.source, scored.label, strict=True)}):
        mine = (scored.source == source) & (scored.label == k)
        said = np.bincount(scored.probabilities[mine].argmax(axis=1), minlength=len(CLASSES))
        rows[f"{source}: {CLASSES[k]}"] = {"stars": int(mine.sum()), "recall": round(said[k] / mine.sum(), 4)} | {
            "predicted": {name: int(n) for name, n in zip(CLASSES, said, strict=True) if n}
        }
    return rows


def controls(scored: Scored) -> dict[str, Any]:
    """Recall on the control collections and on the other stars of the same class."""
    right = scored.probabilities.argmax(axis=1) == scored.label
    said = {}
    for name, (k, sources) in CONTROLS.items():
        chosen = np.isin(scored.source, sources)
        said[name] = {}
        for which, rows in (("control", chosen), ("others", ~chosen)):
            mine = np.flatnonzero(rows & (scored.label == k))
            share = _bootstrapped(lambda r, mine=mine: {"recall": float(right[mine[r]].mean())}, len(mine))
            said[name][which] = {"stars": len(mine)} | share
    return said


def long_cadence(curves: list[Curve], settings: Settings, classifier: Classifier) -> dict[str, Any]:
    """The same for planets by cadence: light curves of full-frame images apart from 2-min ones of the same stars."""
    planets = [curve for curve in curves if curve.label == PLANET]
    said = {}
    for name, wanted in (("full-frame", True), ("2 min and shorter", False)):
        chosen = [c for c in planets if (c.cadence_d > LONG_CADENCE_D) == wanted]
        mine = by_star(chosen, classified(chosen, settings, classifier))
        right = mine.probabilities.argmax(axis=1) == PLANET
        said[name] = {"stars": len(right), "right": int(right.sum())}
    return said


def open_set(curves: list[Curve], hosts: list[Curve], scored: Scored, classifier: Classifier) -> dict[str, Any]:
    """Unseen shapes against all known classes, by the probability of an unknown anomaly."""
    quiet = [c for c in curves if c.label == NOISE] + hosts
    names, shares = unseen(quiet, Settings(), classifier)
    known, strange = scored.probabilities[:, ANOMALY], shares[:, ANOMALY]
    score, positive = np.concatenate([known, strange]), np.arange(len(known) + len(strange)) >= len(known)

    def values(rows: np.ndarray) -> dict[str, float]:
        return {"auroc": auc(score[rows], positive[rows])}

    by_kind = {
        name: round(auc(np.concatenate([known, part]), np.arange(len(known) + len(part)) >= len(known)), 4)
        for name in UNSEEN
        if len(part := strange[names == name])
    }
    said = np.bincount(np.argmax(shares, axis=1), minlength=len(CLASSES))
    return {
        "unseen_curves": len(strange),
        "known_stars": len(known),
        **_bootstrapped(values, len(score)),
        "auroc_by_kind": by_kind,
        "predicted": {name: int(n) for name, n in zip(CLASSES, said, strict=True) if n},
    }


def _bootstrapped(values: Callable[[np.ndarray], dict[str, float]], n: int, seed: int = 0) -> dict[str, Any]:
    """Values of all rows, with 95 % intervals of a bootstrap over rows."""
    if not n:
        return {}
    rng = np.random.default_rng(seed)
    point = values(np.arange(n))
    draws = [values(rng.integers(0, n, n)) for _ in range(BOOTSTRAPS)]
    return {name: interval(value, [draw[name] for draw in draws]) for name, value in point.items()}


if __name__ == "__main__":
    main(sys.argv[1:])

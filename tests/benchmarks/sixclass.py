"""Real light curves through the whole path - detrend, search, view, network - scored star by star.

``python -m tests.benchmarks.sixclass --data DIR [--test DIR] [--bundle SPEC] --json`` prints one JSON object as its
last line. Scored are the labelled curves of DIR (of the second one where `--test` names it) whose star the bundle's own
split does not name as a star of training or validation; a bundle without a split is refused.

A star's probabilities are the mean over its light curves. Nothing is left out because the search missed it: a planet
that was not found counts as the class that the network gives to what was found instead.

Besides: the controls of the data's README (2-min noise, FFI planets) beside the others of their class; every collection
apart; and the open-set test: shapes of kinds that no training ever injects (`UNSEEN`), in quiet curves of scored stars,
are told from all known classes by the probability of `unknown_anomaly`.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np

from larun.bundles import Bundle, load_bundle
from larun.config import Settings
from larun.errors import BundleError
from larun.network.bank import Curve, read_bank, read_hosts
from larun.network.curves import recall_at_precision
from larun.network.evaluate import BOOTSTRAPS, auc, confusion, figures, interval
from larun.network.infer import Classifier
from larun.network.labelled import SPLIT_FILE, TEST, read_split
from larun.objects import Root
from larun.schema import CLASSES
from larun.survey.classify import classify_shard
from larun.views import point_to_point_scatter
from tests.benchmarks.machine import machine, versions

NOISE, PLANET, ANOMALY = (CLASSES.index(name) for name in ("noise", "planetary_transit", "unknown_anomaly"))
PRECISION = 0.90
PER_STAR = 10
"""Light curves of one star that are searched, so that no star costs more than it tells."""
LONG_CADENCE_D = 10.0 / 1440.0
CONTROLS = {
    "noise of 2 min": (NOISE, ("ucd_flares",)),
    "planets of full-frame images": (PLANET, ("lcs_demo", "wasp100", "toi2000")),
}
OPEN_SET_CURVES = 120


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
    parser.add_argument("--json", action="store_true", help="print one JSON object as the last line")
    given = parser.parse_args(arguments)
    bundle = load_bundle(given.bundle, Root(given.root))
    started = time.process_time()
    result = measure(bundle, given.data, given.test)
    result |= {
        "cpu_s": round(time.process_time() - started, 1),
        "machine": machine(),
        "versions": versions("numpy", "numba", "ai-edge-litert"),
    }
    print(json.dumps(result) if given.json else json.dumps(result, indent=1))
    return result


def measure(bundle: Bundle, data: str, test: str | None = None) -> dict[str, Any]:
    """All figures of a bundle on the stars of a folder that it was not trained on."""
    settings, classifier = Settings(), Classifier(bundle)
    seen = trained_stars(bundle)
    bank = limited(read_bank(test or data))
    curves = [curve for curve in bank if curve.star not in seen]
    scored = by_star(curves, settings, classifier)
    return {
        "benchmark": "sixclass",
        "bundle": f"{bundle.name}/{bundle.version}",
        "bundle_digest": bundle.digest,
        "int8_bytes": len(bundle.int8_model),
        "light_curves": len(curves),
        "stars": {name: int(np.sum(scored.label == k)) for k, name in enumerate(CLASSES)},
        "stars_left_out_as_trained_on": len({curve.star for curve in bank} & seen),
        "stars_that_cannot_be_searched": int(np.sum(~scored.searched)),
        **headline(scored),
        "confusion": confusion(scored.probabilities.argmax(axis=1), scored.label).tolist(),
        "collections": collections(scored),
        "controls": controls(scored),
        "ffi_planets": long_cadence(curves, settings, classifier),
        "open_set": open_set(curves, [h for h in read_hosts(test or data) if h.star not in seen], scored, classifier),
    }


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


def by_star(curves: list[Curve], settings: Settings, classifier: Classifier) -> Scored:
    """Classify light curves and average over those of one star and label.

    A star whose light curves are all too short to be searched is called noise: nothing was found.
    """
    groups: dict[tuple[str, int], list[Curve]] = {}
    for curve in curves:
        groups.setdefault((curve.star, curve.label), []).append(curve)
    nothing = np.eye(len(CLASSES))[NOISE]
    shares, searched = [], []
    for members in groups.values():
        said = [classify_shard(curve.shard(), settings, classifier).probabilities[0] for curve in members]
        known = [p for p in said if np.isfinite(p).all()]
        shares.append(np.mean(known, axis=0) if known else nothing)
        searched.append(bool(known))
    return Scored(
        star=np.array([star for star, _ in groups], dtype=np.str_),
        source=np.array([members[0].origin for members in groups.values()], dtype=np.str_),
        label=np.array([label for _, label in groups], np.int64),
        probabilities=np.array(shares).reshape(-1, len(CLASSES)),
        searched=np.array(searched, bool),
    )


def headline(scored: Scored) -> dict[str, Any]:
    """Accuracy, macro F1 over the classes that occur, planet recall; 95 % intervals from a bootstrap over stars."""

    def values(rows: np.ndarray) -> dict[str, float]:
        shares, label = scored.probabilities[rows], scored.label[rows]
        said = figures(shares, label)
        return {
            "accuracy": said["accuracy"],
            "macro_f1": said["macro_f1"],
            "planet_recall_at_precision_0.90": recall_at_precision(shares[:, PLANET], label == PLANET, PRECISION),
            "planet_average_precision": said["average_precision"][PLANET],
            **{f"f1 {CLASSES[k]}": said["f1"][k] for k in np.unique(scored.label)},
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
        mine = by_star([c for c in planets if (c.cadence_d > LONG_CADENCE_D) == wanted], settings, classifier)
        right = mine.probabilities.argmax(axis=1) == PLANET
        said[name] = {"stars": len(right), "right": int(right.sum())}
    return said


def open_set(curves: list[Curve], hosts: list[Curve], scored: Scored, classifier: Classifier) -> dict[str, Any]:
    """Unseen shapes against all known classes, by the probability of an unknown anomaly."""
    rng = np.random.default_rng(5)
    quiet = [c for c in curves if c.label == NOISE] + hosts
    order = rng.permutation(len(quiet))[:OPEN_SET_CURVES]
    settings, names, shares, stars = Settings(), [], [], []
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
            stars.append(host.star)
    known, unseen = scored.probabilities[:, ANOMALY], np.array(shares)[:, ANOMALY]
    score, positive = np.concatenate([known, unseen]), np.arange(len(known) + len(unseen)) >= len(known)

    def values(rows: np.ndarray) -> dict[str, float]:
        return {"auroc": auc(score[rows], positive[rows])}

    by_kind = {
        name: round(auc(np.concatenate([known, part]), np.arange(len(known) + len(part)) >= len(known)), 4)
        for name in UNSEEN
        if len(part := unseen[np.array(names) == name])
    }
    said = np.bincount(np.argmax(shares, axis=1), minlength=len(CLASSES))
    return {
        "unseen_curves": len(unseen),
        "known_stars": len(known),
        **_bootstrapped(values, len(score)),
        "auroc_by_kind": by_kind,
        "predicted": {name: int(n) for name, n in zip(CLASSES, said, strict=True) if n},
    }


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

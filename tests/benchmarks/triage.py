"""Planet or binary against everything else, on events of real stars that people have labelled.

The INT8 network of under 25 kB beside its teacher and beside AstroNet, all trained in this run on the training rows
alone and scored on stars that none of them has seen: ``python -m tests.benchmarks.triage --data DIR --json``.
"""

from __future__ import annotations

import argparse
import csv
import json
import time
from dataclasses import asdict, replace
from datetime import UTC, datetime
from pathlib import Path

import numpy as np

from tests.benchmarks.folded import GLOBAL, LOCAL, STATISTICS_AT, Events, Scaling, statistics, varied
from tests.benchmarks.machine import machine, versions

DATA = "../shared/data"
FILE = "triage_folded_views"
LABELS = {
    "planetary_transit": "planetary_transit",
    "eclipsing_binary": "eclipsing_binary",
    "stellar_signal": "stellar_signal",
    "instrument_artifact": "instrument_artifact",
    "unknown_anomaly": "unknown_anomaly",
    "junk_unspecified": "noise",
}
"""Classes of the file, and ours."""

TARGET_AP, TARGET_TEACHER_AP, TARGET_BYTES = 0.970, 0.975, 25_000
BOOTSTRAPS = 1000


class Labelled:
    """Events of one folder with their labels, stars and sides of the split."""

    def __init__(self, folder: Path):
        from larun.schema import CLASSES

        with (folder / f"{FILE}.csv").open(newline="", encoding="utf-8") as file:
            rows = list(csv.DictReader(file))
        with np.load(folder / f"{FILE}.npz") as views:
            whole, local = views["global_view"], views["local_view"]
        # The column named duration_h holds days, as in the catalogue that it comes from.
        names = ("period_d", "duration_h", "depth_ppm", "sn")
        ephemeris = [np.array([float(row[name]) for row in rows]) for name in names]
        self.events = Events(whole, local, *ephemeris)
        self.label = np.array([CLASSES.index(LABELS[row["class6"]]) for row in rows])
        self.positive = np.array([row["disp_triage"] in ("PC", "EB") for row in rows])
        self.star = np.array([int(row["tic"]) for row in rows])
        self.side = np.array([row.get("split", "test") for row in rows])
        self.sector = np.array([int(row.get("sector", 0)) for row in rows])


def main() -> None:
    """Train, score, print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, default=Path(DATA), help="folder with the labelled events")
    parser.add_argument("--test", type=Path, help="score on all rows of this folder instead of the test rows of --data")
    parser.add_argument("--json", action="store_true", help="print one JSON object at the end")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--teachers", type=int, help="networks in the teaching ensemble; fewer are quicker")
    parser.add_argument("--astronet-epochs", type=int, default=12, help="0 leaves the peer out")
    options = parser.parse_args()
    result = measure(options.data, options.test, options.seed, options.teachers, options.astronet_epochs)
    if options.json:
        print(json.dumps(result))
        return
    for name in ("student_int8", "student_float", "teacher", "astronet"):
        if name in result:
            score = result[name]["average_precision"]
            print(f"{name:14s} AP {score['value']:.4f} [{score['low']:.4f}, {score['high']:.4f}]")
    print(f"INT8 file {result['student_int8']['bytes']} bytes; {result['minutes']} minutes")


def measure(data: Path, test: Path | None, seed: int, teachers: int | None, astronet_epochs: int) -> dict:
    """Everything that the benchmark reports."""
    from tests.benchmarks import triage_training as training

    started = time.monotonic()
    recipe = training.Recipe() if teachers is None else replace(training.Recipe(), teachers=teachers)
    known, scored, rows = _sides(Labelled(data), None if test is None else Labelled(test))
    vectors, scaling = _training_vectors(known, rows["train"], recipe.variations, seed)
    label = known.label[rows["train"]]
    last = STATISTICS_AT + len(scaling.middle)

    def inputs(side: str) -> np.ndarray:
        events = (scored if side == "test" else known).events.take(rows[side])
        return scaling.vectors(events, statistics(events))

    ensemble = training.train_teachers(vectors, label, last, recipe, seed)
    student = training.train_student(ensemble, vectors, label, last, recipe, seed)
    truth, star = scored.positive[rows["test"]], scored.star[rows["test"]]
    result = {
        "benchmark": "triage",
        "question": "planet or binary against the rest, human labels",
        "events": {side: len(picked) for side, picked in rows.items()},
        "positives": {side: int((scored if side == "test" else known).positive[rows[side]].sum()) for side in rows},
        "recipe": asdict(recipe) | {"seed": seed, "statistics": len(scaling.middle)},
    }
    result |= _student(student, inputs, known, scored, rows, vectors[0], label, seed)
    logits = np.mean([_probabilities(teacher.predict(inputs("test"), verbose=0)) for teacher in ensemble], axis=0)
    result["teacher"] = {
        "networks": len(ensemble),
        "parameters": sum(teacher.count_params() for teacher in ensemble),
        "average_precision": average_precision(_event(logits), truth, star),
        "single": [
            round(_ap(_event(_probabilities(teacher.predict(inputs("test"), verbose=0))), truth), 5)
            for teacher in ensemble
        ],
    }
    if astronet_epochs:
        result["astronet"] = _astronet(known, scored, rows, astronet_epochs, seed)
    ap = result["student_int8"]["average_precision"]["value"]
    result |= {
        "targets": {
            "student_ap_at_least_0.970": ap >= TARGET_AP,
            "teacher_ap_at_least_0.975": result["teacher"]["average_precision"]["value"] >= TARGET_TEACHER_AP,
            "int8_under_25_kb": result["student_int8"]["bytes"] < TARGET_BYTES,
        },
        "minutes": round((time.monotonic() - started) / 60, 1),
        "cpu_minutes": round(time.process_time() / 60, 1),
        "date": datetime.now(UTC).date().isoformat(),
        "machine": machine(),
        "versions": versions("keras", "tensorflow", "ai-edge-litert", "numpy"),
    }
    return result


def _sides(known: Labelled, other: Labelled | None) -> tuple[Labelled, Labelled, dict[str, np.ndarray]]:
    """Rows to train on, to calibrate on and to score, no star in two of them.

    The split of the file has 392 stars on two sides. A star that is scored anywhere is dropped from the other
    two, and one of the validation rows from the training rows.
    """
    scored = known if other is None else other
    test = np.flatnonzero(known.side == "test") if other is None else np.arange(len(other.star))
    free = ~np.isin(known.star, scored.star[test])
    validation = np.flatnonzero((known.side == "val") & free)
    train = np.flatnonzero((known.side == "train") & free & ~np.isin(known.star, known.star[validation]))
    rows = {"train": train, "validation": validation, "test": test}
    empty = [name for name, picked in rows.items() if not len(picked)]
    if empty:
        raise ValueError(f"no rows are left to be {' or '.join(empty)} once the stars that are scored are dropped")
    return known, scored, rows


def _training_vectors(known: Labelled, rows: np.ndarray, variations: int, seed: int) -> tuple[np.ndarray, Scaling]:
    """The training events and variations of them as (variation, n, 1024), and the scaling they define."""
    events, rng = known.events.take(rows), np.random.default_rng(seed)
    values = statistics(events)
    scaling = Scaling.of(values)
    vectors = [scaling.vectors(events, values)]
    for _ in range(variations):
        other = varied(events, rng)
        vectors.append(scaling.vectors(other, statistics(other)))
    return np.stack(vectors), scaling


def _student(student, inputs, known, scored, rows, training_views, label, seed) -> dict:
    """Float and INT8 figures of the student, calibrated on the validation rows after quantisation."""
    from larun.bundles import FLOAT_FILE, INT8_FILE
    from larun.network import quantise
    from larun.network.evaluate import expected_calibration_error, fit_calibration
    from larun.network.infer import Interpreter, calibrated

    files = quantise.export(student, quantise.representative_views(training_views, label, seed))
    truth, star = scored.positive[rows["test"]], scored.star[rows["test"]]
    found = {}
    for name, file in (("student_int8", INT8_FILE), ("student_float", FLOAT_FILE)):
        network = Interpreter(files[file])
        fitted = fit_calibration(network.logits(inputs("validation")), known.label[rows["validation"]])
        logits = network.logits(inputs("test"))
        probabilities = calibrated(logits, fitted["temperature"], np.asarray(fitted["bias"]))
        event = _event(probabilities)
        found[name] = {
            "parameters": student.count_params(),
            "bytes": len(files[file]),
            "average_precision": average_precision(event, truth, star),
            "average_precision_by_sector": {
                str(sector): round(_ap(event[chosen], truth[chosen]), 4)
                for sector in np.unique(scored.sector[rows["test"]])
                if 0 < truth[chosen := scored.sector[rows["test"]] == sector].sum() < chosen.sum()
            },
            "ece_six_classes": round(expected_calibration_error(probabilities, scored.label[rows["test"]]), 4),
            "ece_event": round(expected_calibration_error(np.stack([1 - event, event], axis=1), truth.astype(int)), 4),
            "distinct_levels_of_logits": len(np.unique(network.raw_logits(inputs("test")))),
            "distinct_scores": len(np.unique(event)),
        }
    values = [found[name]["average_precision"]["value"] for name in ("student_float", "student_int8")]
    return found | {"loss_of_int8_points": round(100 * (values[0] - values[1]), 3)}


def _astronet(known, scored, rows, epochs: int, seed: int) -> dict:
    from tests.benchmarks.triage_training import train_astronet

    def views(owner: Labelled, picked: np.ndarray) -> np.ndarray:
        return np.concatenate([owner.events.global_view[picked], owner.events.local_view[picked]], axis=1)

    def side(name: str) -> tuple[np.ndarray, np.ndarray]:
        return views(known, rows[name]), known.positive[rows[name]].astype(np.float32)

    network = train_astronet(*side("train"), side("validation"), epochs, seed)
    score = network.predict(views(scored, rows["test"]), verbose=0)[:, 0]
    return {
        "parameters": network.count_params(),
        "inputs": [GLOBAL, LOCAL],
        "epochs": epochs,
        "average_precision": average_precision(score, scored.positive[rows["test"]], scored.star[rows["test"]]),
    }


def _probabilities(logits: np.ndarray) -> np.ndarray:
    from larun.network.infer import calibrated

    return calibrated(logits, 1.0, np.zeros(logits.shape[1]))


def _event(probabilities: np.ndarray) -> np.ndarray:
    """Probability of planet or binary."""
    from larun.schema import CLASSES

    events = [CLASSES.index("planetary_transit"), CLASSES.index("eclipsing_binary")]
    return probabilities[:, events].astype(np.float64).sum(axis=1)


def _ap(score: np.ndarray, positive: np.ndarray) -> float:
    from larun.network.evaluate import average_precision as area

    return area(score, positive)


def average_precision(score: np.ndarray, positive: np.ndarray, star: np.ndarray) -> dict[str, float]:
    """Average precision with a 95 % interval from a bootstrap over stars."""
    stars, member = np.unique(star, return_inverse=True)
    rng = np.random.default_rng(0)
    draws = []
    for _ in range(BOOTSTRAPS):
        times = np.bincount(rng.integers(0, len(stars), len(stars)), minlength=len(stars))[member]
        rows = np.repeat(np.arange(len(score)), times)
        draws.append(_ap(score[rows], positive[rows]))
    low, high = np.percentile(draws, [2.5, 97.5])
    return {"value": round(_ap(score, positive), 5), "low": round(float(low), 5), "high": round(float(high), 5)}


if __name__ == "__main__":
    main()

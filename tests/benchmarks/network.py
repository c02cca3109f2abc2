"""The INT8 network of a bundle: size, speed beside Keras, and what quantisation costs.

Scored on the held-out stars of its own training, whose views are made again from the labelled light curves:
``python -m tests.benchmarks.network --data DIR --json``.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import numpy as np

from larun.bundles import FLOAT_FILE, INT8_FILE, KERAS_FILE, Bundle, load_bundle
from larun.config import Settings
from larun.network.bank import read_bank, read_hosts
from larun.network.dataset import item_views, plan
from larun.network.evaluate import average_precision, evaluate
from larun.network.infer import BATCH, Classifier, Interpreter, calibrated
from larun.network.labelled import REAL, TEST, LabelledViews, concatenate, split_by_star
from larun.schema import VIEW_LENGTH
from tests.benchmarks.machine import machine, versions

DATA = "../shared/data"
SPEED_VIEWS = 4096
ROUNDS = 9
KERAS_BATCHES = (32, BATCH, 256, 1024)
TARGETS = {"bytes": 25_000, "loss": 0.005, "ece": 0.03, "levels": 64, "views_per_s": 10_000, "ratio": 5.0}


def main() -> None:
    """Measure, print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--bundle", default="default", help="name, name/version or folder of a bundle")
    parser.add_argument("--data", type=Path, default=Path(DATA), help="folder with the labelled light curves")
    parser.add_argument("--json", action="store_true", help="print one JSON object at the end")
    parser.add_argument("--worker", choices=("litert", "keras"), help=argparse.SUPPRESS)
    parser.add_argument("--file", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.worker:
        print(json.dumps((_litert if options.worker == "litert" else _keras)(options.bundle, options.file)))
        return
    bundle = load_bundle(options.bundle)
    result = {"benchmark": "network", "bundle": f"{bundle.name}/{bundle.version}", "digest": bundle.digest}
    result |= _speed(options.bundle, bundle) | _scores(bundle, options.data)
    result |= {
        "date": datetime.now(UTC).date().isoformat(),
        "machine": machine(),
        "versions": versions("keras", "tensorflow", "ai-edge-litert", "numpy"),
    }
    result["targets"] = {
        "bytes_under_25000": result["int8_bytes"] < TARGETS["bytes"],
        "loss_of_ap_at_most_0.005": result["held_out"]["mean_ap_loss"] <= TARGETS["loss"],
        "ece_at_most_0.03": result["held_out"]["ece"]["value"] <= TARGETS["ece"],
        "levels_at_least_64": result["held_out"]["distinct_levels"] >= TARGETS["levels"],
        "views_per_s_at_least_10000": result["litert"]["views_per_s"] >= TARGETS["views_per_s"],
        "times_keras_at_least_5": result["times_keras"] >= TARGETS["ratio"],
        "worker_without_tensorflow": not result["litert"]["tensorflow_loaded"],
    }
    if options.json:
        print(json.dumps(result))
        return
    print(
        f"{result['int8_bytes']} bytes, {result['litert']['views_per_s']} views/s, {result['times_keras']} times Keras"
    )
    print(f"held out: {json.dumps(result['held_out'])}")


def _views() -> np.ndarray:
    return np.random.default_rng(0).uniform(-1, 1, (SPEED_VIEWS, VIEW_LENGTH)).astype(np.float32)


def _per_second(work: Callable[[], object]) -> float:
    """Views per second of processor time of all threads, median of rounds after one to warm up."""
    work()
    rates = []
    for _ in range(ROUNDS):
        started = time.process_time()
        work()
        rates.append(SPEED_VIEWS / (time.process_time() - started))
    return round(statistics.median(rates))


def _litert(spec: str, _file: Path | None) -> dict:
    """What a sweep worker does: float views in, calibrated probabilities out; and the network alone."""
    bundle, views = load_bundle(spec), _views()
    classifier, network = Classifier(bundle), Interpreter(bundle.int8_model)
    loaded = sorted(name for name in ("tensorflow", "keras", "jax") if name in sys.modules)
    if loaded:
        raise AssertionError(f"a sweep worker loaded {', '.join(loaded)}")
    return {
        "views_per_s": _per_second(lambda: classifier.probabilities(views)),
        "views_per_s_logits": _per_second(lambda: network.raw_logits(views)),
        "batch": BATCH,
        "tensorflow_loaded": bool(loaded),
    }


def _keras(_spec: str, file: Path | None) -> dict:
    """`Model.predict` of the float network, by batch size; 32 is its default, `BATCH` that of a sweep."""
    import keras

    network, views = keras.saving.load_model(file, compile=False), _views()
    return {
        str(batch): _per_second(lambda batch=batch: network.predict(views, batch_size=batch, verbose=0))
        for batch in KERAS_BATCHES
    }


def _speed(spec: str, bundle: Bundle) -> dict:
    """Each runtime in a process of its own, held to one core where the system can."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / KERAS_FILE
        file.write_bytes(bundle.files[KERAS_FILE])
        found = {}
        for worker in ("litert", "keras"):
            command = [sys.executable, "-m", "tests.benchmarks.network", "--bundle", spec, "--worker", worker]
            run = subprocess.run(
                [*_one_core(), *command, "--file", str(file)], capture_output=True, text=True, check=True
            )
            found[worker] = json.loads(run.stdout.strip().splitlines()[-1])
    return {
        "int8_bytes": len(bundle.files[INT8_FILE]),
        "float_bytes": len(bundle.files[FLOAT_FILE]),
        "parameters": bundle.manifest["architecture"]["parameters"],
        "litert": found["litert"],
        "keras_predict_views_per_s": found["keras"],
        "times_keras": round(found["litert"]["views_per_s"] / found["keras"][str(BATCH)], 1),
        "times_keras_by_batch": {
            batch: round(found["litert"]["views_per_s"] / rate, 1) for batch, rate in found["keras"].items()
        },
    }


def _one_core() -> list[str]:
    import shutil

    return ["taskset", "-c", "0"] if shutil.which("taskset") else []


def _scores(bundle: Bundle, data: Path) -> dict:
    """Float against INT8 and calibration, on the stars that training held out."""
    held_out = _side(bundle, data, TEST)
    exact, quantised = Interpreter(bundle.files[FLOAT_FILE]), Interpreter(bundle.int8_model)
    floating = calibrated(exact.logits(held_out.views), bundle.temperature, bundle.bias)
    int8 = calibrated(quantised.logits(held_out.views), bundle.temperature, bundle.bias)
    present = [k for k in np.unique(held_out.label) if np.sum(held_out.label == k) >= 10]
    ap = {
        name: float(np.mean([average_precision(p[:, k], held_out.label == k) for k in present]))
        for name, p in (("float", floating), ("int8", int8))
    }
    everything = evaluate(int8, held_out.label, held_out.star)
    real = held_out.source == REAL
    only_real = evaluate(int8[real], held_out.label[real], held_out.star[real])
    names = ("views", "stars", "accuracy", "macro_f1", "ece")
    return {
        "held_out": {name: everything[name] for name in names}
        | {
            "mean_ap_float": round(ap["float"], 5),
            "mean_ap_int8": round(ap["int8"], 5),
            "mean_ap_loss": round(ap["float"] - ap["int8"], 5),
            "distinct_levels": len(np.unique(quantised.raw_logits(held_out.views))),
        },
        "held_out_real": {name: only_real[name] for name in names},
    }


def _side(bundle: Bundle, data: Path, side: str) -> LabelledViews:
    """Real and injected views of one side of the bundle's own split; simulated stars are left out."""
    recorded = bundle.manifest["settings"]
    settings = Settings(search=recorded["search"], dataset=recorded["dataset"], training=recorded["training"])
    d, seed = settings.dataset, settings.training.seed
    items = plan(read_bank(str(data)), read_hosts(str(data)), d.injections, seed, d.hold_out)
    stars = np.array([item.curve.star for item in items])
    chosen = split_by_star(stars, d.validation_fraction, d.test_fraction, seed, d.hold_out) == side
    return concatenate([item_views(item, settings) for item, wanted in zip(items, chosen, strict=True) if wanted])


if __name__ == "__main__":
    main()

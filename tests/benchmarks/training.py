"""Training throughput beside plain `keras.Model.fit`, and how busy the device is meanwhile.

``python -m tests.benchmarks.training [--architecture NAME ...] [--batch-size N ...] --json`` prints one JSON object as
its last line. On the device that Keras finds (a GPU where there is one; ``KERAS_BACKEND=jax`` trains under JAX), every
network is trained on the same views in turn by

- ``plain``: `fit` of the bare network with labels, AdamW of the same rate, no augmentation;
- ``larun``: `larun.network.optimise.Training` without augmentation, which is the same work;
- ``varied``: the same with the augmentation of the settings, as a bundle is trained.

Ratios are of views per second of wall time, medians over rounds in turn, after an epoch that compiles. Utilisation is
what ``nvidia-smi`` samples while larun trains, or the share of all cores where there is none. The views are random:
what they show changes no time.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import shutil
import statistics
import subprocess
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from importlib.util import find_spec
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras
import numpy as np

from larun.config import AugmentationSettings, TrainingSettings
from larun.network.architectures import ARCHITECTURES, build
from larun.network.optimise import Samples, Training
from larun.schema import CLASSES, VIEW_LENGTH
from tests.benchmarks.machine import machine, versions

SHOWN = ("spectral_cnn", "perceptron", "wavenet")
SAMPLED = ("nvidia-smi", "--query-gpu=utilization.gpu", "--format=csv,noheader,nounits", "--loop-ms=200")


def main(arguments: list[str] | None = None) -> dict[str, Any]:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--architecture", nargs="+", choices=sorted(ARCHITECTURES), default=list(SHOWN))
    parser.add_argument("--batch-size", nargs="+", type=int, default=[64, 512])
    parser.add_argument("--views", type=int, default=4096, help="views of one epoch")
    parser.add_argument("--rounds", type=int, default=3, help="epochs of each kind that are timed")
    parser.add_argument("--json", action="store_true", help="print one JSON object as the last line")
    given = parser.parse_args(arguments)
    rng = np.random.default_rng(0)
    views = rng.uniform(-1, 1, (given.views, VIEW_LENGTH)).astype(np.float32)
    label = rng.integers(0, len(CLASSES), given.views)
    rows = [
        measure(architecture, batch, views, label, given.rounds)
        for architecture in given.architecture
        for batch in given.batch_size
    ]
    result = {
        "benchmark": "training",
        "backend": keras.backend.backend(),
        "device": device(),
        "views": given.views,
        "networks": rows,
        "date": datetime.now(UTC).date().isoformat(),
        "machine": machine(),
        "versions": versions("keras", "numpy", *filter(find_spec, ("tensorflow", "jax"))),
    }
    print(json.dumps(result) if given.json else json.dumps(result, indent=1))
    return result


def measure(architecture: str, batch: int, views: np.ndarray, label: np.ndarray, rounds: int) -> dict[str, Any]:
    """Views per second of one network and batch size by each way of training, and the ratios to plain `fit`."""
    ways = {
        "plain": _plain(architecture, batch, views, label),
        "larun": _larun(architecture, batch, views, label, AugmentationSettings(enabled=False)),
        "varied": _larun(architecture, batch, views, label, AugmentationSettings()),
    }
    for train in ways.values():
        train()
    rates: dict[str, list[float]] = {name: [] for name in ways}
    busy: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(rounds):
        for name, train in ways.items():
            with utilisation() as shares:
                started = time.perf_counter()
                train()
                rates[name].append(len(views) / (time.perf_counter() - started))
            busy[name] += shares
    middle = {name: statistics.median(values) for name, values in rates.items()}
    return {
        "architecture": architecture,
        "batch_size": batch,
        "views_per_s": {name: round(value) for name, value in middle.items()},
        "times_plain": {name: round(middle[name] / middle["plain"], 2) for name in ("larun", "varied")},
        "utilisation": {name: round(statistics.mean(shares), 2) for name, shares in busy.items() if shares},
    }


def _plain(architecture: str, batch: int, views: np.ndarray, label: np.ndarray) -> Callable[[], None]:
    keras.utils.set_random_seed(0)
    network, asked = build(architecture), TrainingSettings()
    network.compile(
        optimizer=keras.optimizers.AdamW(asked.learning_rate, weight_decay=asked.weight_decay, clipnorm=1.0),
        loss=keras.losses.SparseCategoricalCrossentropy(from_logits=True),
    )
    return lambda: network.fit(views, label, batch_size=batch, verbose=0)


def _larun(
    architecture: str, batch: int, views: np.ndarray, label: np.ndarray, augmentation: AugmentationSettings
) -> Callable[[], None]:
    keras.utils.set_random_seed(0)
    settings = TrainingSettings(batch_size=batch, schedule="constant")
    targets = np.eye(len(CLASSES), dtype=np.float32)[label]
    return Training(build(architecture), Samples(views, targets), None, settings, augmentation)._epoch


@contextlib.contextmanager
def utilisation() -> Iterator[list[float]]:
    """Shares of the device's time, 0 to 1, that were used within the block; filled at its end."""
    shares: list[float] = []
    if shutil.which(SAMPLED[0]) is None:
        wall, used = time.perf_counter(), time.process_time()
        yield shares
        cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
        shares.append((time.process_time() - used) / (time.perf_counter() - wall) / cores)
        return
    with subprocess.Popen(SAMPLED, stdout=subprocess.PIPE, text=True) as sampling:
        try:
            yield shares
        finally:
            sampling.terminate()
        shares += sampled_shares(sampling.stdout.read() if sampling.stdout else "")


def sampled_shares(printed: str) -> list[float]:
    """Shares, 0 to 1, from what ``nvidia-smi`` prints: percent, a line each; lines that are no number say nothing."""
    return [int(line) / 100.0 for line in map(str.strip, printed.splitlines()) if line.isdigit()]


def device() -> str:
    """What Keras trains on, such as ``gpu:0`` or ``cpu:0``, with the GPU's name where the system tells it."""
    found = keras.distribution.list_devices()
    chosen = next((name for name in found if "gpu" in name.lower() or "cuda" in name.lower()), found[0])
    if shutil.which(SAMPLED[0]) is None or chosen.startswith("cpu"):
        return chosen
    query = [SAMPLED[0], "--query-gpu=name", "--format=csv,noheader"]
    name = subprocess.run(query, capture_output=True, text=True, check=True).stdout.splitlines()[0]
    return f"{chosen}, {name.strip()}"


if __name__ == "__main__":
    main()

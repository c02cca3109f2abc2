"""Time of each stage per target, from the archive to the detections, for one simulated shard of real-size files.

``python -m tests.benchmarks.stages --json`` prints one JSON object as its last line: milliseconds of CPU per target
of every stage, medians over the rounds, and from a further round under the profiler the functions that take most.
Everything runs on one thread but the fetches, which ingest makes in threads of its own; they are timed alone.
"""

from __future__ import annotations

import argparse
import contextlib
import cProfile
import importlib
import json
import pstats
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from unittest import mock

from larun.config import Settings
from larun.objects import Root
from larun.paths import Product
from larun.survey.archives import open_archives
from larun.survey.ingest import IngestWork, ingest_shards, start_ingest
from larun.survey.sweep import SweepWork, start_sweep, sweep_shards
from tests.benchmarks.machine import machine, versions

STAGES = {
    "ingest": {
        "decode": "larun.survey.obtain.decode",
        "verify": "larun.survey.obtain.verify",
        "align on the grid": "larun.survey.shard.align",
        "copy into the arrays": "larun.survey.shard.fill_row",
        "encode": "larun.store.sector.ShardWriter.add",
        "write, read back": "larun.store.sector.ShardWriter.finish",
        "record": "larun.survey.ingest.write_record",
    },
    "sweep": {
        "read the shard": "larun.survey.sweep.read_shard",
        "mask, normalise": "larun.search.pipeline.relative_flux",
        "detrend": "larun.search.flatten.detrend",
        "co-trend": "larun.search.flatten.cotrend",
        "clip": "larun.search.flatten.clip",
        "variability": "larun.search.flatten.variability",
        "bin": "larun.search.events.bin_series",
        "even weights out": "larun.search.events.even_out",
        "box search": "larun.search.events.spectra",
        "SDE": "larun.search.events.efficiencies",
        "peaks": "larun.search.events.top_peaks",
        "refine": "larun.search.events.refine",
        "measure": "larun.search.events.measure",
        "single transits": "larun.search.events.single_transit",
        "vetting": "larun.vet.flag",
        "views": "larun.survey.classify.shard_views",
        "network": "larun.network.infer.Classifier.probabilities",
        "write detections": "larun.survey.sweep.write_table",
    },
}
"""Functions that make up the stages, by the names under which they are called."""

_SHOWN = 12


def measure(stars: int, rounds: int) -> dict:
    """Run ingest and sweep of one shard several times."""
    settings = Settings(simulate={"stars": stars}, ingest={"shard_targets": stars, "fetch_threads": 1})
    archive = _Held(settings, Product("tess", 1, "simulated", settings.simulate.cadence_s))
    measured: dict[str, list[dict[str, float]]] = {"ingest": [], "sweep": []}
    for _ in range(rounds + 1):  # the first compiles
        for name, times in _round(settings, archive, _timed).items():
            measured[name].append(times)
    return {
        "what": f"CPU milliseconds per target, {stars} simulated 2-min stars in one shard, median of {rounds} rounds",
        "make one simulated file": archive.cost_ms,
        **{
            name: {stage: round(statistics.median(t[stage] for t in times[1:]), 4) for stage in times[0]}
            for name, times in measured.items()
        },
        "profile": _round(settings, archive, _profiled),
        "machine": machine(),
        "versions": versions("larun", "numpy", "numba", "zarr", "ai-edge-litert"),
    }


def _round(settings: Settings, archive: _Held, watch: Callable) -> dict[str, dict[str, float]]:
    """Ingest and sweep into a fresh root, each watched."""
    stars = settings.simulate.stars
    with tempfile.TemporaryDirectory() as folder:
        root = Root(folder)
        plan = start_ingest(root, [archive], archive.product, settings.ingest)
        work = IngestWork.of(root, [archive], plan, [0], settings.ingest)
        ingest = watch("ingest", lambda: ingest_shards(work), stars)
        run = start_sweep(root, archive.product, settings)
        return {
            "ingest": ingest,
            "sweep": watch("sweep", lambda: sweep_shards(SweepWork(root, run, (0,), settings)), stars),
        }


class _Held:
    """The simulated archive with its files made before the clock runs; they stand in the place of downloads."""

    name = "simulated"

    def __init__(self, settings: Settings, product: Product):
        archive = open_archives("simulated", settings)[0]
        self.product = product
        self._targets = archive.targets(product)
        archive.fetch(product, self._targets.targets[0])
        started = time.process_time()
        self._files = {target.product: archive.fetch(product, target) for target in self._targets}
        self.cost_ms = round(1e3 * (time.process_time() - started) / len(self._targets), 3)

    def targets(self, product: Product):
        return self._targets

    def fetch(self, product: Product, target):
        return self._files[target.product]

    def close(self) -> None:
        """Nothing is held open."""


def _timed(name: str, work: Callable[[], object], stars: int) -> dict[str, float]:
    """CPU milliseconds per target of each stage, of the rest, and of all."""
    spent = dict.fromkeys(STAGES[name], 0.0)
    with contextlib.ExitStack() as stack:
        for stage, function in STAGES[name].items():
            stack.enter_context(_stopwatch(spent, stage, function))
        started = time.process_time()
        work()
        total = time.process_time() - started
    spent |= {"rest": total - sum(spent.values()), "all": total}
    return {stage: 1e3 * seconds / stars for stage, seconds in spent.items()}


@contextlib.contextmanager
def _stopwatch(spent: dict[str, float], stage: str, function: str) -> Iterator[None]:
    """Add the CPU time of every call of a function to its stage."""
    owner, _, attribute = function.rpartition(".")
    try:
        place = importlib.import_module(owner)
    except ModuleNotFoundError:
        module, _, kind = owner.rpartition(".")
        place = getattr(importlib.import_module(module), kind)
    original = getattr(place, attribute)

    def watched(*args, **kwargs):
        started = time.process_time()
        try:
            return original(*args, **kwargs)
        finally:
            spent[stage] += time.process_time() - started

    with mock.patch.object(place, attribute, watched):
        yield


def _profiled(name: str, work: Callable[[], object], stars: int) -> dict[str, float]:
    """Functions that take most time themselves, milliseconds per target; the profiler slows short calls."""
    profile = cProfile.Profile()
    profile.runcall(work)
    own = {
        f"{Path(file).name}:{function}": 1e3 * row[2] / stars
        for (file, _, function), row in pstats.Stats(profile).stats.items()
    }
    return {function: round(ms, 4) for function, ms in sorted(own.items(), key=lambda item: -item[1])[:_SHOWN]}


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", action="store_true", help="print one JSON object as the last line, and nothing else")
    parser.add_argument("--stars", type=int, default=256)
    parser.add_argument("--rounds", type=int, default=5)
    arguments = parser.parse_args()
    result = measure(arguments.stars, arguments.rounds)
    print(json.dumps(result) if arguments.json else json.dumps(result, indent=1))


if __name__ == "__main__":
    main()

"""Time of each stage per target, from the archive to the detections, for one simulated shard of real-size files.

``python -m tests.benchmarks.stages --json`` prints one JSON object as its last line: milliseconds of CPU per
target of every stage, median over the rounds, and each stage's share. Everything runs in one process on one thread,
but for the fetches, which ingest makes in its own threads; they are timed alone.
"""

from __future__ import annotations

import argparse
import cProfile
import json
import pstats
import statistics
import tempfile
import time
from pathlib import Path

from larun.bundles import load_bundle
from larun.config import Settings
from larun.network.infer import Classifier
from larun.objects import Root
from larun.paths import Product
from larun.survey.ingest import ShardWork, ingest_shard, open_archive, start_ingest
from larun.survey.sweep import SweepWork, start_sweep, sweep_shards
from tests.benchmarks.machine import machine, versions

STAGES = {
    "ingest": {
        "sha256 of the file": ("~", "openssl_sha256"),
        "decode and verify": ("decode.py", "decode"),
        "align on the grid": ("align.py", "place"),
        "write, read back": ("sector.py", "write_shard"),
        "record": ("ledger.py", "write_record"),
    },
    "sweep": {
        "read the shard": ("reading.py", "read_shard"),
        "quality mask, normalise": ("prepare.py", "relative_flux"),
        "detrend": ("detrend.py", "detrend"),
        "clip": ("prepare.py", "clip"),
        "bin": ("box.py", "bin_series"),
        "box search": ("box.py", "spectra"),
        "SDE, peaks": ("peaks.py", "efficiencies"),
        "refine": ("refine.py", "refine"),
        "measure": ("refine.py", "measure"),
        "vetting": ("vet.py", "flag"),
        "views": ("views.py", "shard_views"),
        "network": ("infer.py", "probabilities"),
        "write detections": ("tables.py", "write_table"),
    },
}
"""Functions that make up the stages: file name and function, as the profiler calls them."""


def measure(stars: int, rounds: int) -> dict:
    """Run ingest and sweep of one shard several times."""
    settings = Settings(simulate={"stars": stars}, ingest={"shard_targets": stars, "fetch_threads": 1})
    product = Product("tess", 1, "simulated", settings.simulate.cadence_s)
    fetched = [_fetch(settings, product, stars)]
    runs: dict[str, list[dict[str, float]]] = {"ingest": [], "sweep": []}
    for _ in range(rounds + 1):
        with tempfile.TemporaryDirectory() as folder:
            for name, times in _round(Root(folder), settings, product, stars).items():
                runs[name].append(times)
    stages = {
        name: {stage: statistics.median(times[stage] for times in measured[1:]) for stage in measured[0]}
        for name, measured in runs.items()
    }
    return {
        "what": f"CPU milliseconds per target, {stars} simulated 2-min stars in one shard, median of {rounds} rounds",
        "make one simulated file": statistics.median(fetched),
        **stages,
        "machine": machine(),
        "versions": versions("larun", "numpy", "numba", "zarr", "astropy", "ai-edge-litert"),
    }


def _fetch(settings: Settings, product: Product, stars: int) -> float:
    """Cost of making one file of the simulated sector, which stands in the place of a download."""
    archive = open_archive("simulated", settings)
    targets = archive.targets(product)[: min(stars, 32)]
    archive.fetch(product, targets[0])
    started = time.process_time()
    for target in targets:
        archive.fetch(product, target)
    return round(1e3 * (time.process_time() - started) / len(targets), 3)


def _round(root: Root, settings: Settings, product: Product, stars: int) -> dict[str, dict[str, float]]:
    archive = _Held(open_archive("simulated", settings), product)
    plan = start_ingest(root, archive, product, settings.ingest)
    work = ShardWork.of(root, archive, plan, 0, settings.ingest)
    ingest = _profiled(lambda: ingest_shard(work), "ingest", stars)
    run = start_sweep(root, product, settings)
    Classifier(load_bundle(settings.sweep.bundle))
    sweep = _profiled(lambda: sweep_shards(SweepWork(root, run, (0,), settings)), "sweep", stars)
    return {"ingest": ingest, "sweep": sweep}


class _Held:
    """An archive whose files were made before the clock runs."""

    _files: dict = {}  # noqa: RUF012 - one for all rounds

    def __init__(self, archive, product: Product):
        self.name = archive.name
        self._targets = archive.targets(product)
        for target in self._targets:
            if target.product not in self._files:
                self._files[target.product] = archive.fetch(product, target)

    def targets(self, product: Product):
        return self._targets

    def fetch(self, product: Product, target):
        return self._files[target.product]


def _profiled(work, name: str, stars: int) -> dict[str, float]:
    """CPU time of each stage, and of everything."""
    profile = cProfile.Profile(time.process_time)
    started = time.process_time()
    profile.runcall(work)
    total = time.process_time() - started
    spent = {}
    for (file, _, function), (_, _, _, cumulative, _) in pstats.Stats(profile).stats.items():
        key = (Path(file).name, function.removeprefix("<built-in method _hashlib.").removesuffix(">"))
        spent[key] = spent.get(key, 0.0) + cumulative
    stages = {stage: spent.get(function, 0.0) for stage, function in STAGES[name].items()}
    stages["rest"] = total - sum(stages.values())
    stages["all"] = total
    return {stage: round(1e3 * seconds / stars, 4) for stage, seconds in stages.items()}


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", action="store_true", help="print one JSON object as the last line")
    parser.add_argument("--stars", type=int, default=256)
    parser.add_argument("--rounds", type=int, default=3)
    arguments = parser.parse_args()
    result = measure(arguments.stars, arguments.rounds)
    if not arguments.json:
        for name in STAGES:
            for stage, ms in result[name].items():
                print(f"{name:8} {stage:26} {ms:9.3f} ms")
    print(json.dumps(result))


if __name__ == "__main__":
    main()

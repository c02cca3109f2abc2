"""Sweeps of whole sectors by two worker processes: minutes, targets per second, memory, and cost by size.

``python -m tests.benchmarks.sweep --json`` prints one JSON object as its last line. One shard of simulated stars is
ingested for each cadence; a sector repeats it as often as it takes, its objects linked to the same files and its
targets numbered on, so that every target is read, checked against its record, searched, classified and written. The
files are in the memory of the machine after the first reading, as the objects of a fast store would be.

``--stitch 3`` only asks what it costs to join three such sectors of the same stars, the same light curves 27.4 d later:
CPU per joined star beside the star alone, and memory.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import resource
import tempfile
import time
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path

from larun import ledger
from larun.config import Settings
from larun.lightcurve import CadenceGrid
from larun.objects import Root
from larun.paths import Product
from larun.plan import Plan, load_plan
from larun.schema import Status
from larun.store.sector import SHARD_ARRAYS, create_sector, object_path
from larun.survey.archives import open_archives
from larun.survey.ingest import IngestWork, ingest_shards, start_ingest
from larun.survey.sweep import SweepRun, SweepWork, finish_sweep, pending_groups, start_sweep, sweep_shards
from larun.units import SECONDS_PER_DAY
from tests.benchmarks.machine import machine, versions

APART_D = 27.4
FLAT = 0.10
SHARD = 256
ID_STEP = 10**10


@dataclass(frozen=True, slots=True)
class Spent:
    """What one worker process spent on some shards: targets, CPU seconds, most memory so far, when it was done."""

    worker: int
    targets: int
    cpu_s: float
    peak_mb: float
    ended: float


def seed_sector(root: Root, cadence_s: int) -> Plan:
    """Ingest one shard of simulated stars."""
    settings = Settings(
        simulate={"stars": SHARD, "cadence_s": cadence_s}, ingest={"shard_targets": SHARD, "fetch_threads": 1}
    )
    product = Product("tess", 1, "simulated", cadence_s)
    archives = open_archives("simulated", settings)
    plan = start_ingest(root, archives, product, settings.ingest)
    ingest_shards(IngestWork.of(root, archives, plan, [0], settings.ingest))
    return load_plan(root, product)


def tile(seed_root: Root, seed: Plan, root: Root, targets: int, sector: int = 1, held: int = SHARD) -> Plan:
    """A sector of at least `targets` stars, in whole shards, that repeats the one shard of another.

    Of each shard only the first `held` stars count as stored.
    """
    later = round((sector - 1) * APART_D * SECONDS_PER_DAY / seed.product.cadence_s)
    grid = CadenceGrid(seed.grid.first + later, seed.grid.time + later * seed.product.cadence_s / SECONDS_PER_DAY)
    record = ledger.read_record(seed_root, seed, 0)
    shards = -(-targets // SHARD)
    numbered = [
        replace(t, star=replace(t.star, target_id=t.star.target_id + k * ID_STEP))
        for k in range(shards)
        for t in seed.targets
    ]
    plan = replace(seed, product=replace(seed.product, sector=sector), targets=tuple(numbered), grid=grid)
    plan.save(root)
    create_sector(root, plan)
    for k in range(shards):
        for array in SHARD_ARRAYS:
            source = Path(seed_root.full(object_path(seed.product, array.name, 0)))
            if source.exists():
                place = Path(root.full(object_path(plan.product, array.name, k)))
                place.parent.mkdir(parents=True, exist_ok=True)
                os.link(source, place)
        outcomes = tuple(
            replace(o, target_id=o.target_id + k * ID_STEP, status=o.status if place < held else Status.ABSENT)
            for place, o in enumerate(record.outcomes)
        )
        ledger.write_record(root, plan.product, replace(record, plan_digest=plan.digest, shard=k, outcomes=outcomes))
    return plan


def sweep(root: Root, plan: Plan, workers: int, sectors: int = 1) -> dict:
    """Sweep a sector with some worker processes, joined with those before it or not, and rank and publish it."""
    settings = Settings(sweep={"stitch": sectors > 1, "stitch_sectors": max(sectors, 2)})
    run = start_sweep(root, plan.product, settings)
    groups = pending_groups(root, run, settings.sweep.shards_per_task)
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(workers, mp_context=context) as pool:
        # Every worker loads its modules and compiled code once, as the workers of a cluster do; not counted.
        list(pool.map(_warm, [(root, run, settings)] * workers))
        started = time.time()
        spent = list(pool.map(_sweep, [SweepWork(root, run, group, settings) for group in groups]))
    ended = max(one.ended for one in spent)
    before = time.process_time()
    summary = finish_sweep(root, run, settings)
    rank_s = time.process_time() - before
    n = sum(one.targets for one in spent)
    cpu_s = sum(one.cpu_s for one in spent)
    return {
        "cadence_s": plan.product.cadence_s,
        "targets": n,
        "workers": workers,
        "minutes": (ended - started) / 60,
        "targets_per_s": n / (ended - started),
        "cpu_ms_per_target": 1e3 * cpu_s / n,
        "targets_per_s_per_core": n / cpu_s,
        "minutes_of_cpu_per_core": cpu_s / workers / 60,
        "peak_mb_of_a_worker": max(one.peak_mb for one in spent),
        "rank_and_publish_cpu_s": rank_s,
        "candidates": summary["n_candidates"],
        "joined_targets": summary["n_joined"],
    }


def _warm(given: tuple[Root, SweepRun, Settings]) -> None:
    """Search one shard without writing anything."""
    from larun.bundles import load_bundle
    from larun.network.infer import Classifier
    from larun.survey.sweep import detect

    root, run, settings = given
    work = SweepWork(root, run, (0,), settings)
    detect(work, load_plan(root, run.product), 0, Classifier(load_bundle(run.bundle, root)))


def _sweep(work: SweepWork) -> Spent:
    before = time.process_time()
    counts = sweep_shards(work)
    cpu_s = time.process_time() - before
    peak_mb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    return Spent(os.getpid(), sum(counts.values()), cpu_s, peak_mb, time.time())


def measure(sizes: dict[int, list[int]], workers: int) -> dict:
    """Sweep sectors of each cadence and size."""
    swept = []
    for cadence_s, targets in sizes.items():
        with tempfile.TemporaryDirectory() as folder:
            seed_root = Root(f"{folder}/seed")
            seed = seed_sector(seed_root, cadence_s)
            for number, size in enumerate(targets):
                root = Root(f"{folder}/{number}")
                swept.append(sweep(root, tile(seed_root, seed, root, size), workers))
    result = {"sectors": swept}
    for cadence_s, targets in sizes.items():
        costs = [s["cpu_ms_per_target"] for s in swept if s["cadence_s"] == cadence_s]
        if len(targets) > 1:
            result[f"largest_over_smallest_{cadence_s}s"] = costs[-1] / costs[0]
            result[f"flat_{cadence_s}s"] = abs(costs[-1] / costs[0] - 1) <= FLAT
    whole = [s for s in swept if s["cadence_s"] == 120 and s["targets"] >= 19_000]
    if whole:
        result["two_minute_sector_under_5_minutes"] = whole[-1]["minutes"] < 5
    return result


def measure_stitched(sectors: int, targets: int, joined: int, cadence_s: int, workers: int) -> dict:
    """Sweep the last of some sectors of the same stars, alone and joined with the others, which hold some a shard."""
    with tempfile.TemporaryDirectory() as folder:
        seed_root, root = Root(f"{folder}/seed"), Root(f"{folder}/root")
        seed = seed_sector(seed_root, cadence_s)
        for sector in range(1, sectors):
            tile(seed_root, seed, root, targets, sector, joined)
        plan = tile(seed_root, seed, root, targets, sectors)
        alone, stitched = (sweep(root, plan, workers, n) for n in (1, sectors))
    spent = stitched["cpu_ms_per_target"] - alone["cpu_ms_per_target"]
    more = spent * stitched["targets"] / stitched["joined_targets"]
    return {
        "stitched_sectors": sectors,
        "alone": alone,
        "stitched": stitched,
        "cpu_ms_per_joined_star": more,
        "joined_over_alone": more / alone["cpu_ms_per_target"],
    }


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", action="store_true", help="one JSON object as the last line")
    parser.add_argument("--two-minute", type=int, default=20_000, help="targets of the large 2-min sector; 0 for none")
    parser.add_argument("--ten-minute", type=int, default=200_000, help="the same at 10 min")
    parser.add_argument("--small", type=int, default=2_000, help="targets of the small sector of each")
    parser.add_argument("--stitch", type=int, default=0, metavar="SECTORS", help="only join so many 2-min sectors")
    parser.add_argument("--joined", type=int, default=SHARD, help="stars of a shard that earlier sectors hold")
    parser.add_argument("--workers", type=int, default=2)
    options = parser.parse_args()
    large = {120: options.two_minute, 600: options.ten_minute}
    sizes = {cadence: [n for n in (options.small, size) if n] for cadence, size in large.items() if size}
    result = {
        "machine": machine(),
        "versions": versions("larun", "numpy", "numba", "zarr", "ai-edge-litert"),
        **(
            measure_stitched(options.stitch, options.small, options.joined, 120, options.workers)
            if options.stitch
            else measure(sizes, options.workers)
        ),
    }
    print(json.dumps(result) if options.json else json.dumps(result, indent=1))


if __name__ == "__main__":
    main()

"""Shards of an ingest shared out among spawned worker processes, each of which says what it spent.

The workers are those of a Dask cluster without Dask: they get the same work by pickle, under one request budget.
"""

from __future__ import annotations

import contextlib
import importlib
import multiprocessing
import resource
import tempfile
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from unittest import mock

from larun import ledger
from larun.archive.budget_server import BudgetServer
from larun.archive.fits import BLOCK, ones_complement_sum
from larun.config import Settings
from larun.objects import Root
from larun.paths import Product
from larun.store.sector import create_sector
from larun.survey.archives import open_archives
from larun.survey.ingest import IngestWork, ingest_shards, start_ingest

STAGES = {
    "fetch": "larun.archive.http.Client.get",
    "hash of the product": "larun.survey.obtain.xxhash.xxh3_128_hexdigest",
    "decode, checksums": "larun.survey.obtain.decode",
    "verify": "larun.survey.obtain.verify",
    "align on the grid": "larun.survey.shard.align",
    "copy into the arrays": "larun.survey.shard.fill_row",
    "encode": "larun.store.sector.ShardWriter.add",
    "write, read back": "larun.store.sector.ShardWriter._write",
    "record": "larun.survey.ingest.write_record",
}
"""Functions that make up the stages, by the names under which they are called."""


@dataclass(frozen=True, slots=True)
class Spent:
    """What one worker spent.

    Parameters
    ----------
    targets : int
        Ingested.
    cpu_s : float
        Processor time of its groups, all threads, start of the process excluded.
    peak_mb : float
        Most memory resident at any moment.
    stages : dict
        Processor seconds of each stage.
    """

    targets: int
    cpu_s: float
    peak_mb: float
    stages: dict[str, float]


def ingest_with_workers(
    root: Root, spec: str, product: Product, settings: Settings, workers: int = 2, *, rehearsed: bool = False
) -> tuple[list[Spent], float]:
    """Ingest a sector; what each worker spent, and wall seconds from the first group to the last.

    Where it is `rehearsed` each worker first ingests a shard into a root of its own, which is not counted: what a
    process does once, such as imports, loading of what is compiled and the first use of its memory.
    """
    archives = open_archives(spec, settings)
    plan = start_ingest(root, archives, product, settings.ingest)
    for archive in archives:
        archive.close()
    context = multiprocessing.get_context("spawn")
    with BudgetServer(settings.archives) as budget, tempfile.TemporaryDirectory() as folder:
        archives = open_archives(spec, settings, budget.address)
        size = settings.ingest.shards_per_task
        tasks, said = context.Queue(), context.Queue()
        for first in range(0, plan.n_shards, size):
            shards = tuple(range(first, min(first + size, plan.n_shards)))
            tasks.put(IngestWork.of(root, archives, plan, shards, settings.ingest))
        for _ in range(workers):
            tasks.put(None)
        rehearsals: list[IngestWork | None] = [None] * workers
        for number in range(workers * rehearsed):
            place = Root(f"{folder}/{number}")
            plan.save(place)
            create_sector(place, plan)
            rehearsals[number] = IngestWork.of(place, archives, plan, (0,), settings.ingest)
        processes = [context.Process(target=_work, args=(rehearsal, tasks, said)) for rehearsal in rehearsals]
        for process in processes:
            process.start()
        answers = [said.get() for _ in processes]
        for process in processes:
            process.join()
    failures = [answer for answer in answers if isinstance(answer, str)]
    if failures:
        raise RuntimeError("; ".join(failures))
    spent, started, ended = zip(*answers, strict=True)
    return list(spent), max(ended) - min(started)


def _work(rehearsal: IngestWork | None, tasks, said) -> None:
    """Work of one process: a rehearsal, and then groups until there are no more."""
    stages = dict.fromkeys(STAGES, 0.0)
    targets, cpu_s, started = 0, 0.0, 0.0
    try:
        if rehearsal is None:
            ones_complement_sum(bytes(BLOCK))  # compiles, as the start of a worker does once
        else:
            ingest_shards(rehearsal)
        started = time.time()
        with watched(stages):
            while (work := tasks.get()) is not None:
                before = time.process_time()
                targets += sum(ingest_shards(work).values())
                cpu_s += time.process_time() - before
    except BaseException as error:
        said.put(f"{type(error).__name__}: {error}")
        raise
    peak_mb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    said.put((Spent(targets, cpu_s, peak_mb, stages), started, time.time()))


@contextlib.contextmanager
def watched(spent: dict[str, float]) -> Iterator[None]:
    """Add the processor time of every call of a stage's function, in its own thread, to the stage."""
    with contextlib.ExitStack() as stack:
        for stage, function in STAGES.items():
            place, attribute = _resolve(function)
            stack.enter_context(
                mock.patch.object(place, attribute, _stopwatch(spent, stage, getattr(place, attribute)))
            )
        yield


def _stopwatch(spent: dict[str, float], stage: str, original):
    lock = threading.Lock()

    def timed(*args, **kwargs):
        started = time.thread_time()
        try:
            return original(*args, **kwargs)
        finally:
            took = time.thread_time() - started
            with lock:
                spent[stage] += took

    return timed


def _resolve(function: str) -> tuple[object, str]:
    owner, _, attribute = function.rpartition(".")
    try:
        return importlib.import_module(owner), attribute
    except ModuleNotFoundError:
        module, _, kind = owner.rpartition(".")
        return getattr(importlib.import_module(module), kind), attribute


def needless(root: Root, product: Product, requests: list[dict]) -> int:
    """Downloads in a request log that began after the record of their target's shard was written."""
    recorded_at: dict[int, float] = {}
    for record in ledger.records(root, product):
        at = Path(root.full(product.record(record.shard))).stat().st_mtime
        recorded_at |= {outcome.target_id: at for outcome in record.outcomes}
    return sum(r["start"] > recorded_at.get(int(r["target"] or -1), float("inf")) for r in requests)

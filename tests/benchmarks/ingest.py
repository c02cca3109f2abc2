"""A sector from an archive into the store: its cost beside plain lightkurve, at full scale, under faults, from afar.

``python -m tests.benchmarks.ingest --json`` prints one JSON object as its last line. The archive is
`tests.loopback` on the same machine, in a process of its own whose processor time is not counted; its files have the
size and layout of the mission's, 2.04 MB each. ``--only`` chooses among

throughput
    Processor time per target of larun's routes and of plain `search_lightcurve().download()`, in one process each,
    on the same files, in turn.
scale
    2,000 and 20,000 targets by two workers: time, memory, cost per target, split by stage.
faults
    2,000 targets, 30 % of the requests faulty, every kind: what became of each, compared with a store without faults.
latency
    150 ms before every answer.
command
    `larun ingest` of a whole sector with Prefect and Dask: minutes, and memory of every process.
kills
    The same command while a worker, the run itself and the archive are killed.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from itertools import islice, pairwise
from pathlib import Path

from flows.cluster import WORKER_MALLOC
from larun.archive.decode import star_of
from larun.archive.families import SPOC
from larun.archive.fits import split, verify_checksums
from larun.config import Settings, load
from larun.objects import Root
from larun.paths import Product
from larun.survey.archives import open_archives
from larun.survey.ingest import IngestWork, ingest_shards, start_ingest
from tests.benchmarks import ingest_faults, ingest_runs
from tests.benchmarks.machine import machine, versions
from tests.benchmarks.shares import Spent, ingest_with_workers
from tests.loopback import Library, Loopback

PRODUCT = Product("tess", 1, "spoc", 120)
PEER_FILES = 6
TURNS = 3
"""Of everybody in a round of throughput."""
LATENCY_S = 0.150
UNHURRIED = 100_000.0
"""Requests per second that leave the rate to the machine; the connections are the default."""


def throughput(targets: int, rounds: int) -> dict:
    """Processor milliseconds per target of each route, and how many times less than plain lightkurve that is.

    Everybody takes turns, `TURNS` in a round, and what is compared are the medians over all turns of the ratios of one
    turn: a shared machine changes its pace within seconds, for all alike.
    """
    needed = (1 + rounds * TURNS) * PEER_FILES
    if targets < needed:
        raise SystemExit(f"{rounds} rounds of throughput need {needed} targets, so that lightkurve gets each one once")
    with Loopback(Library.mission(targets)) as server, _plain_lightkurve(server) as peer:
        settings = _settings(server, shard_targets=targets)
        routes: dict[str, Callable[[], float]] = {
            "mast, whole path": lambda: _whole_path(settings, "mast"),
            "cloud, whole path": lambda: _whole_path(settings, "cloud"),
            "mast, fetch and verify": lambda: _fetch_and_verify(settings, "mast"),
            "cloud, fetch and verify": lambda: _fetch_and_verify(settings, "cloud"),
            "lightkurve": peer,
        }
        spent: dict[str, list[float]] = {name: [] for name in routes}
        for route in routes.values():
            route()  # compiles and imports
        for _ in range(rounds * TURNS):
            for name, route in routes.items():
                spent[name].append(1e3 * route())
    medians = {name: statistics.median(values) for name, values in spent.items()}
    return {
        "what": f"CPU ms per 2.04 MB file, one process, {targets} files in a turn ({PEER_FILES} for lightkurve, none "
        f"of them twice), median of {rounds * TURNS} turns",
        "ms per target": {name: round(value, 3) for name, value in medians.items()},
        "times plain lightkurve": {
            name: round(statistics.median(p / v for p, v in zip(spent["lightkurve"], values, strict=True)), 1)
            for name, values in spent.items()
        },
    }


def _settings(server: Loopback, requests_per_s: float = UNHURRIED, **ingest) -> Settings:
    overrides = server.overrides()
    archives = overrides.pop("archives") | {"requests_per_s": requests_per_s}
    return load(archives=archives, ingest=ingest, **overrides)


def _whole_path(settings: Settings, spec: str) -> float:
    """Processor seconds per target from the download to the record, start of the run excluded."""
    with tempfile.TemporaryDirectory() as folder:
        root, archives = Root(folder), open_archives(spec, settings)
        plan = start_ingest(root, archives, PRODUCT, settings.ingest)
        work = IngestWork.of(root, archives, plan, tuple(range(plan.n_shards)), settings.ingest)
        started = time.process_time()
        counts = ingest_shards(work)
        spent = time.process_time() - started
    if counts.get("stored") != len(plan.targets):
        raise RuntimeError(f"not every target was stored: {counts}")
    return spent / len(plan.targets)


def _fetch_and_verify(settings: Settings, spec: str) -> float:
    """Processor seconds per target of a loop of downloads, each with its structure, checksums and star verified."""
    (archive,) = open_archives(spec, settings)
    targets = archive.targets(PRODUCT).targets
    archive.fetch(PRODUCT, targets[0])
    started = time.process_time()
    for target in targets:
        data = archive.fetch(PRODUCT, target).data
        hdus = split(data)
        if not verify_checksums(data, hdus) or star_of(SPOC, hdus[0].header).target_id != target.star.target_id:
            raise RuntimeError(f"{target.product} is not what was asked for")
    spent = time.process_time() - started
    archive.close()
    return spent / len(targets)


@contextlib.contextmanager
def _plain_lightkurve(server: Loopback) -> Iterator[Callable[[], float]]:
    """Processor seconds per file of plain lightkurve over its next files, in a process of its own, imports excluded.

    It keeps what it has found, so that it is asked for each file once.
    """
    tics = (str(item.target_id) for item in server.library.held)
    with tempfile.TemporaryDirectory() as folder:
        process = subprocess.Popen(
            [sys.executable, "-m", "tests.benchmarks.plain_lightkurve", folder],
            env={**os.environ, **server.astroquery_environment(Path(folder))},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

        def turn() -> float:
            process.stdin.write(" ".join(islice(tics, PEER_FILES)) + "\n")
            process.stdin.flush()
            return statistics.median(json.loads(process.stdout.readline()))

        with process:
            yield turn


def scale(sizes: Sequence[int]) -> dict:
    """Time, memory and cost of sectors of several sizes, two workers, everything on one machine."""
    found = {}
    for size in sizes:
        with Loopback(Library.mission(size)) as server, tempfile.TemporaryDirectory() as folder:
            spent, wall_s = ingest_with_workers(Root(folder), "mast", PRODUCT, _settings(server), rehearsed=True)
            found[size] = _scale_row(spent, wall_s, _stored_bytes(Path(folder)))
    costs = {size: row["CPU ms per target"] for size, row in found.items()}
    return {
        "what": "two workers, archive and store on one machine; each worker has ingested one shard elsewhere before",
        "by targets": found,
        "cost per target, largest over smallest sector": round(costs[max(costs)] / costs[min(costs)], 3),
    }


def _scale_row(spent: list[Spent], wall_s: float, stored: int) -> dict:
    targets = sum(s.targets for s in spent)
    cpu_s = sum(s.cpu_s for s in spent)
    stages = {name: 1e3 * sum(s.stages[name] for s in spent) / targets for name in spent[0].stages}
    stages["rest"] = 1e3 * cpu_s / targets - sum(stages.values())
    return {
        "minutes": round(wall_s / 60, 2),
        "targets per s": round(targets / wall_s, 1),
        "CPU ms per target": round(1e3 * cpu_s / targets, 3),
        "CPU ms per target by stage": {name: round(ms, 3) for name, ms in stages.items()},
        "peak MB of each worker": [round(s.peak_mb) for s in spent],
        "bytes stored per target": round(stored / targets),
    }


def _stored_bytes(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


def latency(targets: int) -> dict:
    """Targets per second with a wait before every answer and the default request budget."""
    with Loopback(Library.mission(targets), latency_s=LATENCY_S) as server, tempfile.TemporaryDirectory() as folder:
        settings = _settings(server, Settings().archives.requests_per_s, shard_targets=128, shards_per_task=4)
        before = len(server.requests("mast"))
        _, wall_s = ingest_with_workers(Root(folder), "mast", PRODUCT, settings)
        downloads = server.requests("mast")[before:]
        connections = server.most_at_once("mast")[0]
    took = [request["end"] - request["start"] for request in downloads if request["end"]]
    gaps = _idle(downloads)
    answer_s = statistics.median(took)
    return {
        "what": f"{LATENCY_S * 1e3:.0f} ms before every answer, default budget, {targets} targets, two workers",
        "targets per s": round(targets / wall_s, 1),
        "targets per s in the middle 80 % of the downloads": round(_steady_rate(downloads), 1),
        "connections": connections,
        "median answer, s": round(answer_s, 4),
        "median pause of a connection between answers, s": round(gaps, 4),
        "most that the budget allows, targets per s": round(connections / LATENCY_S, 1),
        "connections over answer and pause, targets per s": round(connections / (answer_s + gaps), 1),
    }


def _steady_rate(requests: list[dict]) -> float:
    """Answers per second without the first and the last tenth of them."""
    ends = sorted(request["end"] for request in requests if request["end"])
    tenth = len(ends) // 10
    middle = ends[tenth : len(ends) - tenth]
    return (len(middle) - 1) / (middle[-1] - middle[0])


def _idle(requests: list[dict]) -> float:
    """Median time between the end of an answer and the next request on its connection, seconds."""
    by_connection: dict[str, list[dict]] = {}
    for request in requests:
        by_connection.setdefault(request["connection"], []).append(request)
    gaps = [b["start"] - a["end"] for row in by_connection.values() for a, b in pairwise(row) if a["end"]]
    return statistics.median(gaps) if gaps else 0.0


def _as_in_a_worker() -> None:
    """Start again with the allocator settings of a Dask worker, which are read when a process starts."""
    if any(os.environ.get(name) != value for name, value in WORKER_MALLOC.items()):
        os.execve(sys.executable, [sys.executable, "-m", __spec__.name, *sys.argv[1:]], os.environ | WORKER_MALLOC)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", action="store_true", help="print one JSON object as the last line, and nothing else")
    parser.add_argument("--only", default="throughput,scale,faults,latency,command,kills", metavar="PART,PART")
    parser.add_argument("--targets", type=int, default=256, help="of throughput")
    parser.add_argument("--rounds", type=int, default=5, help="of throughput")
    parser.add_argument("--sizes", type=int, nargs="+", default=[2_000, 20_000], help="of scale")
    parser.add_argument("--faulty", type=int, default=2_000, help="targets of faults and latency")
    parser.add_argument("--sector", type=int, default=20_000, help="targets of command")
    parser.add_argument("--killed", type=int, default=6_000, help="targets of kills")
    parser.add_argument("--outage", type=float, default=60.0, help="seconds that the archive is away in kills")
    asked = parser.parse_args()
    _as_in_a_worker()
    parts: dict[str, Callable[[], dict]] = {
        "throughput": lambda: throughput(asked.targets, asked.rounds),
        "scale": lambda: scale(asked.sizes),
        "faults": lambda: ingest_faults.measure(asked.faulty),
        "latency": lambda: latency(asked.faulty),
        "command": lambda: ingest_runs.command(asked.sector),
        "kills": lambda: ingest_runs.kills(asked.killed, asked.outage),
    }
    chosen = asked.only.split(",")
    if unknown := set(chosen) - parts.keys():
        parser.error(f"there is no {', '.join(sorted(unknown))}; choose among {', '.join(parts)}")
    result = {name: parts[name]() for name in chosen}
    result |= {"machine": machine(), "versions": versions("larun", "lightkurve", "astroquery", "urllib3", "zarr")}
    print(json.dumps(result) if asked.json else json.dumps(result, indent=1))


if __name__ == "__main__":
    main()

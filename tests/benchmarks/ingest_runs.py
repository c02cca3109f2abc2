"""The command `larun ingest` of a whole sector, watched from outside, undisturbed and killed."""

from __future__ import annotations

import hashlib
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import psutil

from larun import ledger
from larun.config import load
from larun.objects import Root
from larun.paths import Product
from larun.schema import Status
from tests.benchmarks.shares import ingest_with_workers, needless
from tests.loopback import Library, Loopback

PRODUCT = Product("tess", 1, "spoc", 120)
LARUN = Path(sys.executable).with_name("larun")
POLL_S = 0.5
WORKER_KILLED, ARCHIVE_KILLED, RUN_KILLED = 0.10, 0.30, 0.60
"""Shares of the shards that have a record when a worker, the archive and the run itself are killed."""


class Watched:
    """A command, with the processor time and the most memory of every process that it started.

    Parameters
    ----------
    arguments : list of str
        Of `larun`.
    """

    def __init__(self, arguments: list[str]):
        self.started = time.monotonic()
        self.process = psutil.Popen([str(LARUN), *arguments], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        self.seen: dict[int, dict] = {}

    def poll(self) -> bool:
        """Look at every process once; whether the command still runs."""
        for process in self.family():
            try:
                times, row = process.cpu_times(), self.seen.setdefault(process.pid, {"peak_mb": 0.0})
                row |= {"what": _role(process), "cpu_s": times.user + times.system}
                row["peak_mb"] = max(row["peak_mb"], process.memory_info().rss / 2**20)
            except (psutil.NoSuchProcess, psutil.AccessDenied):
                continue
        return self.process.poll() is None

    def family(self) -> list[psutil.Process]:
        """The command and everything below it."""
        try:
            return [self.process, *self.process.children(recursive=True)]
        except psutil.NoSuchProcess:
            return []

    def workers(self) -> list[psutil.Process]:
        """Dask's worker processes, the busiest first."""
        found = [process for process in self.family() if self.seen.get(process.pid, {}).get("what") == "worker"]
        return sorted(found, key=lambda process: -self.seen[process.pid]["cpu_s"])

    def end(self) -> dict:
        """Wait for the end; exit code, minutes, the last of what was said, and the processes that cost most."""
        while self.poll():
            time.sleep(POLL_S)
        out, err = self.process.communicate()
        dear = sorted(self.seen.values(), key=lambda row: -row["cpu_s"])[:5]
        return {
            "exit code": self.process.returncode,
            "minutes": round((time.monotonic() - self.started) / 60, 2),
            "said": (out.strip() or err.strip()).splitlines()[-1:],
            "CPU s": round(sum(row["cpu_s"] for row in self.seen.values()), 1),
            "processes": [
                {"what": row["what"], "CPU s": round(row["cpu_s"], 1), "peak MB": round(row["peak_mb"])} for row in dear
            ],
        }


def _role(process: psutil.Process) -> str:
    line = " ".join(process.cmdline())
    if "spawn_main" in line:
        return "worker"
    return "Prefect server" if "prefect" in line else "run" if "larun" in line else Path(process.name()).name


def command(targets: int) -> dict:
    """Ingest a sector with the command; minutes, targets per second, memory of the workers."""
    with Loopback(Library.mission(targets)) as server, tempfile.TemporaryDirectory() as folder:
        run = Watched(_arguments(server, Path(folder), "mast"))
        result = run.end()
        counts = ledger.counts(Root(f"{folder}/survey"), PRODUCT)
    workers = [row for row in result["processes"] if row["what"] == "worker"]
    return {
        "what": f"`larun ingest --sector 1 --archive mast`, {targets} targets, default settings, two Dask workers",
        "targets per s, start and end of the run included": round(targets / (60 * result["minutes"]), 1),
        "stored": counts.by_status[Status.STORED],
        "peak MB of a worker": max((row["peak MB"] for row in workers), default=None),
        **result,
    }


def kills(targets: int, outage_s: float) -> dict:
    """Kill a worker, the archive for a while, and the run, then run again; compare with an undisturbed store."""
    library = Library.mission(targets)
    with tempfile.TemporaryDirectory() as folder:
        clean, root = Root(f"{folder}/clean"), Root(f"{folder}/survey")
        with Loopback(library) as server:
            ingest_with_workers(clean, "mast", PRODUCT, _settings(server))
        # At the same address, which plan and records hold.
        with Loopback(library, port=server.port) as server:
            arguments = _arguments(server, Path(folder), "mast")
            first = Watched(arguments)
            shards = -(-targets // _settings(server).ingest.shard_targets)
            killed = _disturb(first, root, shards, server, outage_s)
            interrupted = first.end()
            second = Watched(arguments).end()
            requests = server.requests("mast")
        return {
            "what": f"`larun ingest`, {targets} targets; killed: " + ", ".join(killed),
            "first run": interrupted,
            "second run": second,
            "status": ledger.counts(root, PRODUCT).by_status,
            "objects that differ from those of an undisturbed run": _differing(clean, root),
            "downloads of targets after their shard had its record": needless(root, PRODUCT, requests),
            "downloads": len(requests),
            "targets": targets,
        }


def _disturb(run: Watched, root: Root, shards: int, server: Loopback, outage_s: float) -> list[str]:
    """Kill what is to be killed, each when so many shards have their record."""

    def worker() -> str:
        run.workers()[0].send_signal(signal.SIGKILL)
        return "a worker"

    def archive() -> str:
        server.kill()
        until = time.monotonic() + outage_s
        while time.monotonic() < until and run.poll():
            time.sleep(POLL_S)
        server.start()
        return f"the archive, for {outage_s:.0f} s"

    def whole_run() -> str:
        run.process.send_signal(signal.SIGKILL)
        return "the run"

    said = []
    steps: list[tuple[float, Callable[[], str]]] = [
        (WORKER_KILLED, worker), (ARCHIVE_KILLED, archive), (RUN_KILLED, whole_run),
    ]  # fmt: skip
    for share, kill in steps:
        while run.poll() and len(ledger.recorded(root, PRODUCT)) < share * shards:
            time.sleep(POLL_S)
        if run.process.poll() is None:
            said.append(f"{kill()} at {len(ledger.recorded(root, PRODUCT))} of {shards} shards")
    return said


def _overrides(server: Loopback) -> dict[str, str]:
    """Settings that lead to the server, as environment variables."""
    sections = server.overrides() | {"ingest": {"shards_per_task": 2}}
    sections["archives"] |= {"requests_per_s": 1e5}
    return {
        f"LARUN_{section}__{key}".upper(): str(value)
        for section, values in sections.items()
        for key, value in values.items()
    }


def _settings(server: Loopback):
    sections = server.overrides()
    return load(archives=sections.pop("archives") | {"requests_per_s": 1e5}, **sections)


def _arguments(server: Loopback, folder: Path, archive: str) -> list[str]:
    os.environ.update(_overrides(server))
    return ["ingest", "--sector", "1", "--archive", archive, "--root", str(folder / "survey"), "--json"]


def _differing(clean: Root, root: Root) -> list[str]:
    """Objects of the sector that are not the same bytes, or not in both."""

    def digests(of: Root) -> dict[str, str]:
        folder = Path(of.full(PRODUCT.zarr))
        return {
            str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
            for path in folder.rglob("*")
            if path.is_file()
        }

    ours, theirs = digests(clean), digests(root)
    return sorted(name for name in ours.keys() | theirs.keys() if ours.get(name) != theirs.get(name))

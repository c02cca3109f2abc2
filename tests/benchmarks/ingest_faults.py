"""Ingest of a sector while the archive fails: what became of every target, and how politely it was asked."""

from __future__ import annotations

import math
import tempfile
import time
from collections import Counter

import numpy as np
import zarr

from larun import ledger
from larun.config import load
from larun.objects import Root
from larun.paths import Product
from larun.schema import FLUX_ARRAYS, TARGET_ARRAYS, Status
from tests.benchmarks.shares import ingest_with_workers, needless
from tests.loopback import Faults, Library, Loopback

PRODUCT = Product("tess", 1, "spoc", 120)
RATE = 0.30
RETRY_AFTER_S = 1.0

HEALTHY = ("", "ok")
"""What the log calls an answer without a fault, and the one that a redirection leads to."""

TRUE_REASONS = {
    "": Status.STORED,
    "ok": Status.STORED,
    "404": Status.ABSENT,
    "all-nan": Status.REJECTED,
    "short-table": Status.REJECTED,
    "bit-flip": Status.CORRUPT,
    "bit-rot": Status.CORRUPT,
    "other-star": Status.CORRUPT,
    "html": Status.CORRUPT,
    "truncated-open": Status.CORRUPT,  # neither length nor chunks: to HTTP it is whole, to FITS it is not
    "duplicate-rows": Status.CORRUPT,
}
"""Status that follows from the last answer about a target, by what `tests.loopback.faults.KINDS` says each kind is.

A whole answer is judged by what it holds; one that HTTP itself shows to be none is asked for again, so that any other
kind as the last one makes its target unreachable.
"""


def measure(targets: int) -> dict:
    """Ingest a sector without faults and one with, and compare."""
    library = Library.mission(targets)
    mix = tuple(kind for kind in Faults.kinds if kind not in ("executing", "error"))
    faults = Faults(rate=RATE, seed=7, mix=mix, retry_after_s=RETRY_AFTER_S)
    with tempfile.TemporaryDirectory() as folder:
        clean, faulty = Root(f"{folder}/clean"), Root(f"{folder}/faulty")
        with Loopback(library) as server:
            ingest_with_workers(clean, "mast", PRODUCT, _settings(server))
        with Loopback(library, faults=faults) as server:
            settings = _settings(server)
            started = time.monotonic()
            ingest_with_workers(faulty, "mast", PRODUCT, settings)
            wall_s = time.monotonic() - started
            requests, connections = server.requests("mast"), server.most_at_once("mast")[0]
        outcomes = {o.target_id: o for record in ledger.records(faulty, PRODUCT) for o in record.outcomes}
        return {
            "what": f"{targets} targets, {RATE:.0%} of the downloads faulty, {len(mix)} kinds, route mast, two workers",
            "minutes": round(wall_s / 60, 2),
            "downloads": len(requests),
            "faults met": dict(Counter(r["fault"] for r in requests if r["fault"] not in HEALTHY).most_common()),
            "status": dict(Counter(o.status for o in outcomes.values())),
            "targets without a status": targets - len(outcomes),
            "targets whose status is not that of their last answer": _untrue(requests, outcomes),
            "stored targets whose bytes differ from those without faults": _wrong_rows(clean, faulty),
            "most connections at once": connections,
            "connections allowed": settings.archives.mast_connections,
            "requests before their Retry-After was over": _hasty(requests),
            "downloads of targets after their shard had its record": needless(faulty, PRODUCT, requests),
        }


def _settings(server: Loopback):
    overrides = server.overrides()
    archives = overrides.pop("archives") | {"requests_per_s": 1e5, "backoff_s": 0.05, "read_timeout_s": 3.0}
    return load(archives=archives, ingest={"shard_targets": 128, "shards_per_task": 4}, **overrides)


def _downloads(requests: list[dict]) -> dict[int, list[dict]]:
    by_target: dict[int, list[dict]] = {}
    for request in requests:
        if request["target"]:
            by_target.setdefault(int(request["target"]), []).append(request)
    return by_target


def _untrue(requests: list[dict], outcomes: dict) -> list[str]:
    """Targets whose recorded status does not follow from the last answer that the archive gave about them."""
    last = {target: row[-1]["fault"] for target, row in _downloads(requests).items()}
    expected = {target: TRUE_REASONS.get(fault, Status.UNREACHABLE) for target, fault in last.items()}
    return [
        f"{target}: {outcome.status} ({outcome.reason}) after {last.get(target)!r}"
        for target, outcome in outcomes.items()
        if outcome.status != expected.get(target)
    ]


def _wrong_rows(clean: Root, faulty: Root) -> int:
    ours, theirs = (zarr.open_group(root.url_of(PRODUCT.zarr), mode="r") for root in (clean, faulty))
    same = np.ones(ours["status"].shape, bool)
    stored = theirs["status"][:] == Status.CODES[Status.STORED]
    for array in (*TARGET_ARRAYS, *FLUX_ARRAYS):
        for first in range(0, len(same), 256):
            rows = slice(first, first + 256)
            a, b = (np.ascontiguousarray(group[array.name][rows]) for group in (ours, theirs))
            equal = a.view(np.uint8).reshape(len(a), -1) == b.view(np.uint8).reshape(len(b), -1)
            same[rows] &= equal.all(axis=1)
    return int((stored & ~same).sum())


def _hasty(requests: list[dict]) -> int:
    """Requests for a target that began while the archive had asked to be left alone, by seconds or until a date.

    A date has whole seconds, and counts from when the archive named it, however late that was sent.
    """
    hasty = 0
    for refused in (r for r in requests if r["fault"].partition("-")[0] in ("429", "503") and r["end"]):
        dated = refused["fault"].endswith("-date")
        until = (math.ceil(refused["start"] + RETRY_AFTER_S) if dated else refused["end"] + RETRY_AFTER_S) - 0.02
        hasty += sum(refused["end"] + 0.05 < r["start"] < until for r in requests if r["target"] == refused["target"])
    return hasty

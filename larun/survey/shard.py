"""A shard in the making, for ingest and repair: what is asked for, and its targets' rows of the arrays."""

from __future__ import annotations

import contextlib
import math
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from dataclasses import dataclass
from functools import lru_cache, partial
from itertools import islice
from typing import TypeVar

import numpy as np

from larun.archive.protocol import Archive
from larun.config import IngestSettings
from larun.errors import PlanMismatch
from larun.ledger import ShardRecord, TargetOutcome
from larun.lightcurve import Star
from larun.objects import Root
from larun.paths import Product
from larun.plan import Plan, PlannedTarget, load_plan
from larun.schema import CADENCE, TARGET, Status
from larun.store.sector import SHARD_ARRAYS
from larun.survey.align import Aligned, align, leave_blank
from larun.survey.obtain import Obtained, obtain

LOOK_AHEAD = 64
"""Targets that are fetched before their turn, at most."""

LOOK_AHEAD_BYTES = 192 * 2**20
"""Bytes of light curves that wait for their turn, at most."""

_TOGETHER = 4
"""Targets that a thread fetches before it says so: each time wakes the thread that writes."""

_BYTES_PER_CADENCE = 40

Used = TypeVar("Used")

Filled = tuple[TargetOutcome, bytes | None]
"""Outcome of a target, and its product where it arrived and failed verification."""


@dataclass(frozen=True)
class IngestWork:
    """Everything that a worker needs to ingest a group of whole shards.

    Parameters
    ----------
    root : Root
        Survey root.
    archives : tuple of Archive
        Where the products come from, in the order in which they are asked.
    product : Product
        The sector.
    plan_digest : str
        Plan that the work belongs to.
    shards : tuple of int
        Numbers of the shards.
    settings : IngestSettings
        How many products are fetched at once, and whether damaged ones are kept.
    repair : bool
        Ask again for the targets of finished shards that are unreachable or corrupt, see `larun.survey.repair`.
    """

    root: Root
    archives: tuple[Archive, ...]
    product: Product
    plan_digest: str
    shards: tuple[int, ...]
    settings: IngestSettings
    repair: bool = False

    @classmethod
    def of(
        cls,
        root: Root,
        archives: Sequence[Archive],
        plan: Plan,
        shards: Iterable[int],
        settings: IngestSettings,
        repair: bool = False,
    ) -> IngestWork:
        """Work on some shards of a plan."""
        return cls(root, tuple(archives), plan.product, plan.digest, tuple(shards), settings, repair)


@lru_cache(maxsize=4)
def stored_plan(root: Root, product: Product, plan_digest: str) -> Plan:
    """The plan in the store, which must be the one of the work; read once per process."""
    plan = load_plan(root, product)
    if plan.digest != plan_digest:
        raise PlanMismatch(
            f"the store of {product} has the plan {plan.digest}, this work belongs to the plan {plan_digest}. "
            "Start the ingest again.",
            ("plan_digest",),
        )
    return plan


@contextlib.contextmanager
def fetching(
    work: IngestWork, plan: Plan, wanted: Iterable[tuple[PlannedTarget, Callable[[Obtained[Aligned]], Used]]]
) -> Iterator[Iterator[Used]]:
    """What is made of the products of targets, aligned, in their order; only some are held or under way at a time.

    Each target comes with what its product is used for, in the thread that fetched it: a light curve that was just
    decoded is still in the processor's cache. The threads end with the context, and the archives let go of their
    connections.
    """
    threads = work.settings.fetch_threads
    fitting = LOOK_AHEAD_BYTES // (_BYTES_PER_CADENCE * len(plan.grid.time))
    depth = max(threads, min(LOOK_AHEAD, fitting))
    pool = ThreadPoolExecutor(threads, thread_name_prefix="fetch")
    check = partial(align, plan=plan)

    def get(some: list[tuple[PlannedTarget, Callable[[Obtained[Aligned]], Used]]], got: list[Used]) -> None:
        for target, use in some:
            got.append(use(obtain(work.archives, work.product, target, check)))

    try:
        yield _in_order(pool, get, wanted, depth, max(1, min(_TOGETHER, depth // threads)))
    finally:
        pool.shutdown(wait=True, cancel_futures=True)
        for archive in work.archives:
            archive.close()


def _in_order(
    pool: ThreadPoolExecutor,
    get: Callable[[list, list[Used]], None],
    wanted: Iterable,
    depth: int,
    together: int,
) -> Iterator[Used]:
    remaining, ahead = iter(wanted), deque[tuple[Future[None], list[Used]]]()
    while some := list(islice(remaining, together)):
        got: list[Used] = []
        ahead.append((pool.submit(get, some, got), got))
        if len(ahead) * together > depth:
            yield from _come(*ahead.popleft())
    while ahead:
        yield from _come(*ahead.popleft())


def _come(fetched: Future[None], got: list[Used]) -> Iterator[Used]:
    """What a thread made of some targets; where it failed, what came before."""
    wait([fetched])
    yield from got
    fetched.result()


def fill_row(
    columns: dict[str, np.ndarray], row: int, target: PlannedTarget, obtained: Obtained[Aligned]
) -> TargetOutcome:
    """Outcome of one target, whose row of all arrays is written: blank along the cadences if it is not stored."""
    aligned = obtained.checked
    if aligned is not None:
        aligned.copy_to(columns, row)
    else:
        leave_blank(columns, row)
    outcome = TargetOutcome(
        target.star.target_id,
        obtained.status,
        obtained.reason,
        n_good=aligned.n_good if aligned is not None else 0,
        source=obtained.source,
        xxh128=obtained.xxh128,
        product=target.product,
        archive=obtained.archive,
        n_outside=aligned.n_outside if aligned is not None else 0,
    )
    describe_star(columns, row, obtained.star or target.star, target.star)
    columns["status"][row] = Status.CODES[outcome.status]
    columns["n_good"][row] = outcome.n_good
    return outcome


def filled(columns: dict[str, np.ndarray], row: int, target: PlannedTarget, obtained: Obtained[Aligned]) -> Filled:
    """As `fill_row`, with the product beside where it arrived and failed verification."""
    return fill_row(columns, row, target, obtained), obtained.damaged


def set_aside(root: Root, product: Product, target: PlannedTarget, data: bytes) -> None:
    """Keep a product that failed verification for people to look at."""
    path = quarantined(product, target)
    folder, _, leaf = path.rpartition("/")
    root.discard_partials(folder, f"{leaf}.")
    root.write(path, data)


def tidy_quarantine(root: Root, plan: Plan, record: ShardRecord, rows: Iterable[int]) -> None:
    """Delete kept products of a shard's targets in `rows` that are not corrupt by its record."""
    targets = plan.shard(record.shard)
    paths = [quarantined(plan.product, targets[row]) for row in rows if record.outcomes[row].status != Status.CORRUPT]
    if not paths:
        return
    # One listing spares S3 a question about every target.
    held = set(root.list(plan.product.quarantine))
    depth = plan.product.quarantine.count("/") + 2
    for path in paths:
        if "/".join(path.split("/")[:depth]) in held:
            root.delete(path)


def quarantined(product: Product, target: PlannedTarget) -> str:
    """Where a target's product is kept if it fails verification."""
    return f"{product.quarantine}/{target.product}"


def begin_columns(plan: Plan, n_targets: int) -> dict[str, np.ndarray]:
    """Arrays of some targets, of which `fill_row` writes every row."""
    sizes = {TARGET: n_targets, CADENCE: len(plan.grid.time)}
    return {array.name: np.empty([sizes[dim] for dim in array.dims], array.dtype) for array in SHARD_ARRAYS}


class Chunks:
    """Chunks of some shards, filled by the threads that fetch, a few at a time.

    Parameters
    ----------
    plan : Plan
        The plan.
    shards : iterable of int
        Numbers of the shards.
    """

    def __init__(self, plan: Plan, shards: Iterable[int]):
        self._plan, self._shards = plan, tuple(shards)
        self._begun: deque[dict[str, np.ndarray]] = deque()
        self._free: list[dict[str, np.ndarray]] = []

    def wanted(self) -> Iterator[tuple[PlannedTarget, Callable[[Obtained[Aligned]], Filled]]]:
        """Targets in their order, and what is done with the product of each; for `fetching`."""
        size = self._plan.chunk_targets
        for shard in self._shards:
            targets = self._plan.shard(shard)
            for first in range(0, len(targets), size):
                # Fresh memory costs more than writing to it.
                whole = self._free.pop() if self._free else begin_columns(self._plan, size)
                self._begun.append(whole)
                for row, target in enumerate(targets[first : first + size]):
                    yield target, partial(filled, whole, row, target)

    def take(self, n_targets: int) -> dict[str, np.ndarray]:
        """Arrays of the next chunk, of which all targets have come; until the next call."""
        whole = self._begun.popleft()
        self._free.append(whole)
        return {name: values[:n_targets] for name, values in whole.items()}


def describe_star(columns: dict[str, np.ndarray], row: int, star: Star, planned: Star) -> None:
    """What the header says about a star, and the plan where the header says nothing."""
    columns["target_id"][row] = planned.target_id
    for name in ("ra", "dec", "tmag", "teff", "logg", "radius"):
        value = getattr(star, name)
        columns[name][row] = value if math.isfinite(value) else getattr(planned, name)
    for name in ("camera", "ccd"):
        columns[name][row] = getattr(star, name) or getattr(planned, name)

"""From an archive to the store: the plan of a sector, and the ingest of one of its shards."""

from __future__ import annotations

import hashlib
import logging
from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import lru_cache

import numpy as np

from larun.archive.decode import decode, verify
from larun.archive.protocol import Archive, Fetched
from larun.config import IngestSettings, Settings
from larun.errors import (
    ConfigurationError,
    InputError,
    NotInStore,
    PlanMismatch,
    ProductCorrupt,
    ProductError,
    ProductRejected,
)
from larun.ledger import ShardRecord, TargetOutcome, read_record, write_record
from larun.lightcurve import Star, bad_quality_bits
from larun.objects import Root
from larun.paths import Product
from larun.plan import Plan, PlannedTarget, load_plan, order_targets
from larun.schema import CADENCE, TARGET, Status
from larun.store.sector import SHARD_ARRAYS, create_sector, write_shard
from larun.survey.align import place
from larun.survey.grid import find_references, freeze_grid, source_name

logger = logging.getLogger(__name__)

ARCHIVES = ("folder:PATH", "simulated")
"""What `open_archive` knows."""


def open_archive(spec: str, settings: Settings) -> Archive:
    """Archive of a name such as ``folder:PATH`` or ``simulated``.

    Raises
    ------
    InputError
        No such archive; lists those that there are.
    """
    name, _, argument = spec.partition(":")
    if name == "folder" and argument:
        from larun.archive.folder import FolderArchive

        return FolderArchive(argument)
    if spec == "simulated":
        from larun.simulate.archive import SimulatedArchive

        return SimulatedArchive(settings.simulate)
    raise InputError(f"there is no archive {spec!r}; give one of {', '.join(ARCHIVES)}")


def make_plan(archive: Archive, product: Product, settings: IngestSettings) -> Plan:
    """Plan of a sector: its targets in the order of the store, and the cadence grid frozen from a few of them.

    The grid comes from targets spread over the plan whose products decode, see `larun.survey.grid`.

    Raises
    ------
    InputError
        The archive holds nothing of the product, a target twice, or no product to take the cadences from.
    ProductUnreachable
        No reference could be had now, but some may later.
    ConfigurationError
        Shards cannot be cut into whole chunks.
    """
    targets = _ordered_targets(archive, product)
    references = find_references(archive, product, targets)
    first = references[0]
    rules = _rules(product, settings)
    return Plan(
        product,
        targets,
        freeze_grid(references),
        **rules,
        time_format=first.time_format,
        flux_unit=first.flux_unit,
    )


def start_ingest(root: Root, archive: Archive, product: Product, settings: IngestSettings) -> Plan:
    """Create the sector, or resume it after checking that it is the same work.

    Raises
    ------
    PlanMismatch
        The store holds the sector with other targets or settings; names what differs.
    StoreError
        The root cannot be written.
    InputError
        As in `make_plan`.
    """
    root.check_writable(product.zarr)
    for name in (product.plan_json, product.plan_table):
        folder, _, leaf = name.rpartition("/")
        root.discard_partials(folder, f"{leaf}.")
    try:
        stored = load_plan(root, product)
    except NotInStore:
        made = make_plan(archive, product, settings)
        made.save(root)
        stored = load_plan(root, product)
        stored.require_same(made)
    else:
        asked = replace(stored, targets=_ordered_targets(archive, product), **_rules(product, settings))
        stored.require_same(asked)
    create_sector(root, stored)
    return stored


@dataclass(frozen=True)
class ShardWork:
    """Everything that a worker needs to ingest one shard.

    Parameters
    ----------
    root : Root
        Survey root.
    archive : Archive
        Where the products come from.
    product : Product
        The sector.
    plan_digest : str
        Plan that the work belongs to.
    index : int
        Number of the shard.
    fetch_threads : int
        Products fetched at once.
    quarantine : bool
        Whether products that failed verification are kept for people to look at.
    """

    root: Root
    archive: Archive
    product: Product
    plan_digest: str
    index: int
    fetch_threads: int = 4
    quarantine: bool = True

    @classmethod
    def of(cls, root: Root, archive: Archive, plan: Plan, index: int, settings: IngestSettings) -> ShardWork:
        """Work on one shard of a plan."""
        return cls(root, archive, plan.product, plan.digest, index, settings.fetch_threads, settings.quarantine)


def ingest_shard(work: ShardWork) -> ShardRecord:
    """Fetch, verify, align and store all targets of one shard, then write its record.

    A shard that has its record is left alone. Whatever befalls one target becomes its status; what befalls the
    store is raised.

    Raises
    ------
    PlanMismatch
        The store holds another plan.
    StoreError
        The root cannot be read or written; the shard has no record then.
    """
    plan = _stored_plan(work.root, work.product, work.plan_digest)
    try:
        return read_record(work.root, plan, work.index)
    except NotInStore:
        pass
    targets = plan.shard(work.index)
    columns = _empty_columns(plan, targets)
    outcomes = []
    for row, (target, pending) in enumerate(_fetched(work, targets)):
        outcome = _ingest_target(work, plan, target, pending, columns, row)
        columns["status"][row] = Status.CODES[outcome.status]
        columns["n_good"][row] = outcome.n_good
        outcomes.append(outcome)
    hashes = write_shard(work.root, plan, work.index, columns)
    record = ShardRecord(plan.digest, work.index, work.archive.name, tuple(outcomes), hashes)
    write_record(work.root, work.product, record)
    return record


def _ingest_target(
    work: ShardWork, plan: Plan, target: PlannedTarget, pending: Future[Fetched], columns: dict, row: int
) -> TargetOutcome:
    """Outcome of one target; its row of `columns` is filled if it is stored."""
    blank = TargetOutcome(target.star.target_id, Status.STORED, product=target.product)
    try:
        fetched = pending.result()
    except ProductError as error:
        return replace(blank, status=error.status, reason=str(error))
    except OSError as error:
        # `strerror` leaves out the path, which differs from machine to machine.
        return replace(blank, status=Status.UNREACHABLE, reason=f"{type(error).__name__}: {error.strerror or error}")
    except MemoryError:
        raise
    except Exception as error:
        logger.exception("fetching %s failed in an unforeseen way", target.product)
        return replace(blank, status=Status.CORRUPT, reason=f"{type(error).__name__}: {error}")
    came = replace(
        blank,
        source=source_name(fetched.source),
        sha256=hashlib.sha256(fetched.data).hexdigest(),
    )
    try:
        curve = decode(fetched.data, came.source)
        verify(curve, work.product, target.star.target_id)
        _describe_star(columns, row, curve.star, target.star)
        return replace(came, n_good=place(curve, plan, columns, row))
    except ProductRejected as error:
        return replace(came, status=error.status, reason=str(error))
    except ProductCorrupt as error:
        failed = replace(came, status=error.status, reason=str(error))
    except MemoryError:
        raise
    except Exception as error:
        logger.exception("%s failed in an unforeseen way", target.product)
        failed = replace(came, status=Status.CORRUPT, reason=f"{type(error).__name__}: {error}")
    if work.quarantine:
        _set_aside(work, target, fetched)
    return failed


def _set_aside(work: ShardWork, target: PlannedTarget, fetched: Fetched) -> None:
    path = f"{work.product.quarantine}/{target.product}"
    folder, _, leaf = path.rpartition("/")
    work.root.discard_partials(folder, f"{leaf}.")
    work.root.write(path, fetched.data)


def _fetched(work: ShardWork, targets: tuple[PlannedTarget, ...]) -> Iterator[tuple[PlannedTarget, Future[Fetched]]]:
    """Targets in order with their products, of which only a few are held or under way at a time."""
    with ThreadPoolExecutor(work.fetch_threads, thread_name_prefix="fetch") as pool:
        ahead: deque[tuple[PlannedTarget, Future[Fetched]]] = deque()
        try:
            for target in targets:
                ahead.append((target, pool.submit(work.archive.fetch, work.product, target)))
                if len(ahead) > work.fetch_threads:
                    yield ahead.popleft()
            while ahead:
                yield ahead.popleft()
        finally:
            pool.shutdown(wait=True, cancel_futures=True)


def _empty_columns(plan: Plan, targets: tuple[PlannedTarget, ...]) -> dict[str, np.ndarray]:
    """Arrays of a shard of which only the plan is known."""
    sizes = {TARGET: len(targets), CADENCE: len(plan.grid.time)}
    columns = {a.name: np.full([sizes[dim] for dim in a.dims], a.fill, a.dtype) for a in SHARD_ARRAYS}
    for row, target in enumerate(targets):
        _describe_star(columns, row, target.star, target.star)
    return columns


def _describe_star(columns: dict[str, np.ndarray], row: int, star: Star, planned: Star) -> None:
    """What the header says about a star, and the plan where the header says nothing."""
    columns["target_id"][row] = planned.target_id
    for name in ("ra", "dec", "tmag", "teff", "logg", "radius"):
        value = getattr(star, name)
        columns[name][row] = value if np.isfinite(value) else getattr(planned, name)
    for name in ("camera", "ccd"):
        columns[name][row] = getattr(star, name) or getattr(planned, name)


@lru_cache(maxsize=4)
def _stored_plan(root: Root, product: Product, plan_digest: str) -> Plan:
    """The plan in the store, which must be the one of the work; read once per process."""
    plan = load_plan(root, product)
    if plan.digest != plan_digest:
        raise PlanMismatch(
            f"the store of {product} has the plan {plan.digest}, this work belongs to the plan {plan_digest}. "
            "Start the ingest again.",
            ("plan_digest",),
        )
    return plan


def _ordered_targets(archive: Archive, product: Product) -> tuple[PlannedTarget, ...]:
    targets = order_targets(archive.targets(product).targets)
    if not targets:
        raise InputError(f"the archive {archive.name} holds nothing of {product}")
    seen: dict[int, str] = {}
    for target in targets:
        number = target.star.target_id
        if number >= 0 and number in seen:
            raise InputError(
                f"the archive {archive.name} holds {product.catalogue} {number} of {product} twice: "
                f"{seen[number]} and {target.product}; remove one"
            )
        seen[number] = target.product
    return targets


def _rules(product: Product, settings: IngestSettings) -> dict[str, int]:
    chunk = min(settings.chunk_targets, settings.shard_targets)
    if settings.shard_targets % chunk:
        raise ConfigurationError(
            f"ingest.shard_targets ({settings.shard_targets}) must be a multiple of ingest.chunk_targets ({chunk})"
        )
    mask = settings.quality_mask
    return {
        "shard_targets": settings.shard_targets,
        "chunk_targets": chunk,
        "min_good_cadences": settings.min_good_cadences,
        "quality_mask": bad_quality_bits(product.mission, product.author) if mask is None else mask,
    }

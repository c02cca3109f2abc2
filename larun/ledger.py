"""Shard records: what became of every target. The store's records are the truth, not the scheduler's state.

A record is written after everything it speaks of, and holds no time stamp: doing the work again gives the same bytes.
Remaining work is the plan minus the records. Only a repair replaces a record, see `larun.survey.repair`.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import cache, partial
from importlib.metadata import version
from typing import Any

import larun
from larun.errors import PlanMismatch, StoreError
from larun.objects import Root
from larun.paths import Product
from larun.plan import Plan, load_plan
from larun.schema import FLUX_ARRAYS, SCHEMA_VERSION, TARGET_ARRAYS, Status

PENDING = "pending"
"""What `Counts.by_status` calls targets whose shard has no record."""

_READERS = 8

_HASHED = {array.name for array in (*TARGET_ARRAYS, *FLUX_ARRAYS)}
"""Arrays of a shard, of each of which a record holds the hash."""


@dataclass(frozen=True, slots=True)
class TargetOutcome:
    """What became of one planned target.

    Parameters
    ----------
    target_id : int
        TIC, KIC or EPIC number.
    status : str
        One of `larun.schema.Status`.
    reason : str
        Why it is not stored; empty where it is.
    n_good : int
        Cadences with finite flux and no rejected quality bit.
    source : str
        File name or URL that the product came from; empty where nothing came.
    xxh128 : str
        XXH3-128 of the product as it arrived, hexadecimal; empty where nothing came.
    product : str
        File name of the product in the plan.
    archive : str
        Archive that delivered the product; empty where nothing came.
    n_outside : int
        Cadences of the product that lie outside the sector's grid and are left out.
    """

    target_id: int
    status: str
    reason: str = ""
    n_good: int = 0
    source: str = ""
    xxh128: str = ""
    product: str = ""
    archive: str = ""
    n_outside: int = 0

    def __post_init__(self):
        if self.status not in Status.CODES:
            raise StoreError(f"status must be one of {', '.join(Status.CODES)}, not {self.status!r}")

    def as_json(self) -> dict[str, Any]:
        """Everything as plain JSON."""
        return {name: getattr(self, name) for name in self.__slots__}


def versions() -> dict[str, str]:
    """Versions that decide the bytes of a shard."""
    return {"larun": larun.__version__} | {name: _version(name) for name in ("numpy", "zarr", "numcodecs")}


@cache
def _version(name: str) -> str:
    """Version of a package; `importlib.metadata` reads it from a file every time."""
    return version(name)


@dataclass(frozen=True)
class ShardRecord:
    """One finished shard.

    Parameters
    ----------
    plan_digest : str
        Digest of the plan.
    shard : int
        Number of the shard.
    outcomes : tuple of TargetOutcome
        One per target of the shard, in the order of the plan.
    hashes : dict
        SHA-256 of the shard's object per array, as read back; see `larun.store.sector.object_hash`.
    versions : dict
        Versions of the programs that wrote it.
    """

    plan_digest: str
    shard: int
    outcomes: tuple[TargetOutcome, ...]
    hashes: dict[str, str]
    versions: dict[str, str] = field(default_factory=versions)

    @property
    def counts(self) -> dict[str, int]:
        """Targets per status, all statuses present."""
        return dict.fromkeys(Status.CODES, 0) | dict(Counter(o.status for o in self.outcomes))

    def as_json(self) -> dict[str, Any]:
        """Everything as plain JSON."""
        return {
            "schema_version": SCHEMA_VERSION,
            "plan_digest": self.plan_digest,
            "shard": self.shard,
            "counts": self.counts,
            "targets": [outcome.as_json() for outcome in self.outcomes],
            "sha256": self.hashes,
            "versions": self.versions,
        }

    @classmethod
    def from_json(cls, value: dict[str, Any]) -> ShardRecord:
        """Inverse of `as_json`.

        Raises
        ------
        StoreError
            Another version of larun wrote it, or its counts are not those of its targets: somebody changed it.
        """
        try:
            record = cls(
                value["plan_digest"],
                value["shard"],
                tuple(TargetOutcome(**outcome) for outcome in value["targets"]),
                dict(value["sha256"]),
                value["versions"],
            )
            counted = value["counts"]
        except (KeyError, TypeError, ValueError) as error:
            raise StoreError(
                f"a shard record is not of schema version {SCHEMA_VERSION}: {error!r}; "
                "read it with the larun that wrote it"
            ) from error
        if counted != record.counts:
            raise StoreError(
                f"the record of shard {record.shard} counts {counted} and lists {record.counts}: somebody changed it. "
                "Restore it, or delete it and ingest again."
            )
        return record


def write_record(root: Root, product: Product, record: ShardRecord) -> None:
    """Write a record, the last write of its shard; an equal one that is there is left alone.

    Raises
    ------
    StoreError
        Another record of this shard is there, so another run wrote the same arrays at the same time and what they
        hold is of either. The record is deleted, and the shard is pending again.
    PlanMismatch
        A record of another plan is there; it is left as it is.
    """
    path = product.record(record.shard)
    folder, _, name = path.rpartition("/")
    root.discard_partials(folder, f"{name}.")
    if root.create_json(path, record.as_json()):
        return
    there = root.read_json(path)
    if there == record.as_json():
        return
    if there.get("plan_digest") != record.plan_digest:
        raise _of_another_plan(product, record.shard, there.get("plan_digest"), record.plan_digest)
    root.delete(path)
    raise StoreError(
        f"{root.url_of(path)} said something else of this shard: two runs worked on one sector at once, and their "
        "products differ. The record is deleted, so that the shard is ingested again; let one run do it."
    )


def replace_record(root: Root, product: Product, old: ShardRecord, new: ShardRecord) -> None:
    """Put a repaired shard's record in the place of the one that the repair began with.

    Raises
    ------
    StoreError
        Another record is there: another run worked on this shard at the same time.
    """

    def swap(there: dict[str, Any]) -> dict[str, Any]:
        if there != _plain(old):
            raise StoreError(
                f"{root.url_of(product.record(old.shard))} changed while its shard was repaired: two runs worked on "
                "one sector at once; let one run do it, and repair again"
            )
        return new.as_json()

    root.update_json(product.record(old.shard), swap)


def _plain(record: ShardRecord) -> dict[str, Any]:
    """A record as it is read back."""
    return json.loads(json.dumps(record.as_json()))


def unfinished_repairs(root: Root, product: Product) -> list[int]:
    """Shards whose repair was broken off, or is under way, increasing."""
    folder = product.repair(0).rpartition("/")[0]
    return sorted(int(name.rpartition("/")[2].removesuffix(".json")) for name in root.list(folder, ".json"))


def require_settled(root: Root, product: Product) -> None:
    """Refuse a sector of which a shard may be between two records.

    Raises
    ------
    StoreError
        A repair was broken off, or is under way.
    """
    broken = unfinished_repairs(root, product)
    if broken:
        raise StoreError(
            f"the repair of {len(broken)} shards of {product} is not finished, the first is {broken[0]}: let it end, "
            "or run `larun ingest --repair` again if it was broken off"
        )


def read_record(root: Root, plan: Plan, shard: int) -> ShardRecord:
    """Read one record.

    Raises
    ------
    NotInStore
        The shard has no record.
    PlanMismatch
        The record belongs to another plan.
    StoreError
        It is not of this shard, its targets and its arrays: somebody copied or changed it.
    """
    record = _read(root, plan, shard)
    if record.hashes.keys() != _HASHED:
        raise StoreError(
            f"{root.url_of(plan.product.record(shard))} does not hold the hash of every array "
            f"({', '.join(sorted(record.hashes.keys() ^ _HASHED))}): somebody changed it. Restore it, or delete it "
            "and ingest again."
        )
    return record


def recorded(root: Root, product: Product) -> list[int]:
    """Numbers of the shards that have a record, increasing; their content is not looked at."""
    stems = [name.rpartition("/")[2].removesuffix(".json") for name in root.list(product.records, ".json")]
    return sorted(int(stem) for stem in stems if stem.isdecimal())


def records(root: Root, product: Product) -> list[ShardRecord]:
    """All records of a sector, in the order of the plan.

    Raises
    ------
    NotInStore
        The store holds no plan of this product.
    PlanMismatch
        A record belongs to another plan.
    StoreError
        A record is not of its shard's targets, or somebody changed it.
    """
    return _read_all(root, load_plan(root, product))


def pending(root: Root, plan: Plan) -> list[int]:
    """Numbers of the shards that remain to be ingested: the plan minus the records.

    Raises
    ------
    PlanMismatch
        A record belongs to another plan.
    StoreError
        A record is not of its shard's targets, or somebody changed it.
    """
    done = {record.shard for record in _read_all(root, plan)}
    return [index for index in range(plan.n_shards) if index not in done]


def _read_all(root: Root, plan: Plan) -> list[ShardRecord]:
    with ThreadPoolExecutor(_READERS) as pool:
        return list(pool.map(partial(_read, root, plan), recorded(root, plan.product)))


def _read(root: Root, plan: Plan, shard: int) -> ShardRecord:
    path = plan.product.record(shard)
    record = ShardRecord.from_json(root.read_json(path))
    if record.plan_digest != plan.digest:
        raise _of_another_plan(plan.product, shard, record.plan_digest, plan.digest)
    require_of_shard(record, plan, shard, root.url_of(path))
    return record


def require_of_shard(record: ShardRecord, plan: Plan, shard: int, place: str) -> None:
    """Refuse a record, found at `place`, that does not speak of the targets of a shard.

    Raises
    ------
    StoreError
        It is another shard's, or its targets are not those of the plan.
    """
    planned = [target.star.target_id for target in plan.shard(shard)]
    if record.shard == shard and planned and [outcome.target_id for outcome in record.outcomes] == planned:
        return
    raise StoreError(
        f"{place} speaks of {len(record.outcomes)} targets of shard {record.shard} and not of the {len(planned)} "
        f"targets that shard {shard} has by the plan: somebody copied or changed it. Restore it, or delete it and "
        "ingest again."
    )


def _of_another_plan(product: Product, shard: int, came: str | None, expected: str) -> PlanMismatch:
    return PlanMismatch(
        f"the record of shard {shard} of {product} belongs to the plan {came}, the store's plan is {expected}. "
        "Somebody mixed two stores: restore the plan or use another root.",
        ("plan_digest",),
    )


@dataclass(frozen=True, slots=True)
class Reason:
    """One kind of reason for which targets are not stored.

    Parameters
    ----------
    status : str
        Status of those targets.
    kind : str
        What their reasons have in common: numbers, names and addresses are cut out.
    targets : int
        How many there are.
    example : TargetOutcome
        The first of them, with its reason in full.
    """

    status: str
    kind: str
    targets: int
    example: TargetOutcome


_PARTICULARS = (
    (re.compile(r"\b[a-z][a-z0-9+]*://\S+"), "ADDRESS"),
    (re.compile(r"\S*\w\.(?:fits|fit|fts)\b(?:\.gz)?"), "FILE"),
    (re.compile(r"""b'(?:[^'\\]|\\.)*'|b"(?:[^"\\]|\\.)*\""""), "BYTES"),
    (re.compile(r"\b(?:0x[0-9a-f]+|(?=[0-9a-f]*\d)[0-9a-f]{8,64})\b"), "N"),
    (re.compile(r"\d+(?:\.\d+)?(?:e[+-]?\d+)?"), "N"),
)
"""What tells like reasons apart, and what stands in its place."""


def reason_kind(reason: str) -> str:
    """A reason without the numbers, names and addresses that make it that of one target."""
    for pattern, name in _PARTICULARS:
        reason = pattern.sub(name, reason)
    return reason


def _reasons(failures: tuple[TargetOutcome, ...]) -> tuple[Reason, ...]:
    alike: dict[tuple[str, str], list[TargetOutcome]] = {}
    for outcome in failures:
        alike.setdefault((outcome.status, reason_kind(outcome.reason)), []).append(outcome)
    found = [Reason(status, kind, len(members), members[0]) for (status, kind), members in alike.items()]
    return tuple(sorted(found, key=lambda reason: -reason.targets))


@dataclass(frozen=True)
class Counts:
    """State of a sector's ingest.

    Parameters
    ----------
    targets, shards : int
        Planned.
    recorded_shards : int
        Finished.
    by_status : dict
        Targets per status; `PENDING` are those of shards without a record. Sums to `targets`.
    by_archive : dict
        Products per archive that delivered them, stored or not.
    by_reason : tuple of Reason
        Why targets are not stored, the most frequent first.
    outside : int
        Stored targets of which cadences outside the sector's grid were left out.
    failures : tuple of TargetOutcome
        Targets that are not stored, with their reasons, in the order of the plan.
    """

    targets: int
    shards: int
    recorded_shards: int
    by_status: dict[str, int]
    by_archive: dict[str, int]
    by_reason: tuple[Reason, ...]
    outside: int
    failures: tuple[TargetOutcome, ...]

    @property
    def complete(self) -> bool:
        """Whether every shard has its record."""
        return self.recorded_shards == self.shards


def counts(root: Root, product: Product) -> Counts:
    """Count targets per status, with reasons, from the store alone.

    Raises
    ------
    NotInStore
        The store holds no plan of this product.
    PlanMismatch
        A record belongs to another plan.
    StoreError
        A record is not of its shard's targets, or somebody changed it.
    """
    plan = load_plan(root, product)
    found = _read_all(root, plan)
    outcomes = [outcome for record in found for outcome in record.outcomes]
    by_status = dict.fromkeys(Status.CODES, 0) | dict(Counter(outcome.status for outcome in outcomes))
    by_status[PENDING] = len(plan.targets) - len(outcomes)
    failures = tuple(outcome for outcome in outcomes if outcome.status != Status.STORED)
    return Counts(
        targets=len(plan.targets),
        shards=plan.n_shards,
        recorded_shards=len(found),
        by_status=by_status,
        by_archive=dict(sorted(Counter(outcome.archive for outcome in outcomes if outcome.archive).items())),
        by_reason=_reasons(failures),
        outside=sum(outcome.status == Status.STORED and outcome.n_outside > 0 for outcome in outcomes),
        failures=failures,
    )

"""The frozen plan of one sector: what is ingested, in which order, cut into which shards."""

from __future__ import annotations

import hashlib
import io
import json
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass
from functools import cached_property, lru_cache
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from larun.errors import NotInStore, PlanMismatch, StoreError
from larun.lightcurve import CadenceGrid, Star
from larun.objects import Root
from larun.paths import Product
from larun.schema import PLAN_COLUMNS, SCHEMA_VERSION


@dataclass(frozen=True, slots=True)
class PlannedTarget:
    """One target of a plan: the star, and the name of its product in the archive."""

    star: Star
    product: str


@dataclass(frozen=True, slots=True)
class TargetList:
    """Targets that an archive holds of a product, in any order, and the document that says so.

    Parameters
    ----------
    targets : tuple of PlannedTarget
        Each target once.
    source : str
        URL of the list; empty where the archive was looked at itself.
    sha256 : str
        Hexadecimal SHA-256 of the list as it arrived; empty where there is none.
    """

    targets: tuple[PlannedTarget, ...]
    source: str = ""
    sha256: str = ""

    def __iter__(self) -> Iterator[PlannedTarget]:
        return iter(self.targets)

    def __len__(self) -> int:
        return len(self.targets)


@dataclass(frozen=True, slots=True)
class ListOrigin:
    """Where the target list of a plan came from.

    Parameters
    ----------
    archive : str
        Name of the archive that gave it.
    source, sha256 : str
        As in `TargetList`.
    """

    archive: str = ""
    source: str = ""
    sha256: str = ""


@dataclass(frozen=True)
class Plan:
    """Everything that decides the bytes of one sector's store.

    Parameters
    ----------
    product : Product
        What is ingested.
    targets : tuple of PlannedTarget
        In the order of the store, see `order_targets`.
    grid : CadenceGrid
        Cadences that all stars share.
    shard_targets, chunk_targets : int
        Targets of one shard and of one inner chunk.
    min_good_cadences, quality_mask : int
        Rule by which a target is rejected.
    time_format, flux_unit : str
        Zero point of `time` and unit of `flux` in this product.
    target_list : ListOrigin
        Where the targets were read; no part of the digest, as equal targets of another list are equal work.
    """

    product: Product
    targets: tuple[PlannedTarget, ...]
    grid: CadenceGrid
    shard_targets: int
    chunk_targets: int
    min_good_cadences: int
    quality_mask: int
    time_format: str = "btjd"
    flux_unit: str = "electron/s"
    target_list: ListOrigin = ListOrigin()

    @property
    def n_shards(self) -> int:
        """Number of shards; the last may be short."""
        return -(-len(self.targets) // self.shard_targets)

    def shard(self, index: int) -> tuple[PlannedTarget, ...]:
        """Targets of one shard."""
        return self.targets[index * self.shard_targets : (index + 1) * self.shard_targets]

    @cached_property
    def fields(self) -> dict[str, Any]:
        """What the digest covers, by name; every value plain JSON."""
        return {
            "schema_version": SCHEMA_VERSION,
            "mission": self.product.mission,
            "sector": self.product.sector,
            "author": self.product.author,
            "cadence_s": self.product.cadence_s,
            "shard_targets": self.shard_targets,
            "chunk_targets": self.chunk_targets,
            "min_good_cadences": self.min_good_cadences,
            "quality_mask": self.quality_mask,
            "time_format": self.time_format,
            "flux_unit": self.flux_unit,
            "n_targets": len(self.targets),
            "targets": hashlib.sha256(self._table_bytes).hexdigest(),
            "first_cadence": int(self.grid.first),
            "n_cadences": len(self.grid.time),
            "cadence_times": hashlib.sha256(np.ascontiguousarray(self.grid.time, "<f8").tobytes()).hexdigest(),
        }

    @cached_property
    def digest(self) -> str:
        """Hexadecimal SHA-256 over `fields`: equal digest, equal store."""
        text = "\n".join(f"{name}={value}" for name, value in sorted(self.fields.items()))
        return hashlib.sha256(text.encode()).hexdigest()

    @cached_property
    def _table_bytes(self) -> bytes:
        """Target list as text, independent of the Parquet writer's version."""
        return "\n".join(
            f"{t.star.target_id},{t.star.ra!r},{t.star.dec!r},{float(np.float32(t.star.tmag))!r},"
            f"{t.star.camera},{t.star.ccd},{t.product}"
            for t in self.targets
        ).encode()

    def require_same(self, other: Plan) -> None:
        """Refuse to go on if `other`, newly made, is not this plan.

        Raises
        ------
        PlanMismatch
            Names each field that differs, with both values.
        """
        differing = tuple(name for name, value in self.fields.items() if other.fields[name] != value)
        if not differing:
            return
        lines = [
            f"{name} is {self.fields[name]} in the store and {other.fields[name]} in this run" for name in differing
        ]
        if "targets" in differing:
            lines.append(_first_difference(self.targets, other.targets))
        raise PlanMismatch(
            f"the store of {self.product} was made with another plan: " + "; ".join(lines) + ". "
            "Use the same settings and targets, or another root.",
            differing,
        )

    def save(self, root: Root) -> bool:
        """Write the plan below `root`, the table first and last the JSON that names its digest; whether it was written.

        A plan that is there is left alone, also one that another process writes at this moment.
        """
        if root.exists(self.product.plan_json):
            return False
        buffer = io.BytesIO()
        pq.write_table(self._table, buffer)
        written = False

        def unless_there(there: dict[str, Any]) -> dict[str, Any]:
            nonlocal written
            written = not there
            if there:
                return there
            root.write(self.product.plan_table, buffer.getvalue())
            return {
                "digest": self.digest,
                "fields": self.fields,
                "time": [float(t) for t in self.grid.time],
                "target_list": asdict(self.target_list),
            }

        root.update_json(self.product.plan_json, unless_there)
        return written

    @property
    def _table(self) -> pa.Table:
        columns = {
            "target_id": [t.star.target_id for t in self.targets],
            "ra": [t.star.ra for t in self.targets],
            "dec": [t.star.dec for t in self.targets],
            "tmag": [t.star.tmag for t in self.targets],
            "camera": [t.star.camera for t in self.targets],
            "ccd": [t.star.ccd for t in self.targets],
            "product": [t.product for t in self.targets],
        }
        return pa.table(columns, schema=pa.schema([(c.name, c.arrow_type) for c in PLAN_COLUMNS]))


def load_plan(root: Root, product: Product) -> Plan:
    """Read a plan back and check it against its digest.

    A process that reads the same bytes again, as the tasks of one sector do, gets the plan that it has.

    Raises
    ------
    NotInStore
        The store holds no plan of this product.
    StoreError
        The plan does not match its own digest, or cannot be read: somebody changed it, or a part of it is lost.
    """
    saved = root.read(product.plan_json)
    try:
        table = root.read(product.plan_table)
    except NotInStore as error:
        # It was written before the JSON.
        raise StoreError(f"the target list of {product} is lost: {error}. {_restore(root, product)}") from error
    try:
        plan, digest, schema_version = _parsed(product, saved, table)
    except (KeyError, TypeError, ValueError, OSError, pa.ArrowException) as error:
        raise StoreError(
            f"the plan of {product} cannot be read ({type(error).__name__}: {error}): it is damaged, or another "
            f"version of larun wrote it. {_restore(root, product)}"
        ) from error
    if plan.digest != digest:
        raise StoreError(
            f"the plan of {product} does not match its digest (its schema version is {schema_version}, "
            f"this larun writes {SCHEMA_VERSION}). {_restore(root, product)}"
        )
    return plan


def _restore(root: Root, product: Product) -> str:
    return f"Restore {root.url_of(product.plan_json)} and its table, or use another root."


@lru_cache(maxsize=1)
def _parsed(product: Product, saved: bytes, table: bytes) -> tuple[Plan, str, int | None]:
    """Plan, and the digest and schema version that were saved with it. For 200,000 targets this takes seconds."""
    there = json.loads(saved)
    fields = there["fields"]
    targets = tuple(
        PlannedTarget(
            Star(row["target_id"], row["ra"], row["dec"], row["tmag"], camera=row["camera"], ccd=row["ccd"]),
            row["product"],
        )
        for row in pq.read_table(io.BytesIO(table)).to_pylist()
    )
    plan = Plan(
        product=product,
        targets=targets,
        grid=CadenceGrid(fields["first_cadence"], np.array(there["time"], dtype=np.float64)),
        **{
            name: fields[name]
            for name in (
                "shard_targets",
                "chunk_targets",
                "min_good_cadences",
                "quality_mask",
                "time_format",
                "flux_unit",
            )
        },
        target_list=ListOrigin(**there.get("target_list", {})),
    )
    return plan, there["digest"], fields.get("schema_version")


def order_targets(targets: Iterable[PlannedTarget]) -> tuple[PlannedTarget, ...]:
    """Order targets by camera, CCD, then sky position along a Morton curve, then number.

    Stars of one shard then share cadences, barycentric correction and systematics.
    """

    def key(target: PlannedTarget):
        star = target.star
        return star.camera, star.ccd, _morton(star.ra, star.dec), star.target_id, target.product

    return tuple(sorted(targets, key=key))


def _morton(ra: float, dec: float, bits: int = 10) -> int:
    """Interleave the bits of the unit vector: neighbours on the sky are mostly neighbours in the order."""
    if not (np.isfinite(ra) and np.isfinite(dec)):
        return -1
    ra, dec = np.radians(ra), np.radians(dec)
    vector = (np.cos(dec) * np.cos(ra), np.cos(dec) * np.sin(ra), np.sin(dec))
    cells = [min(int((x + 1) / 2 * (1 << bits)), (1 << bits) - 1) for x in vector]
    return sum(((cell >> bit) & 1) << (3 * bit + axis) for axis, cell in enumerate(cells) for bit in range(bits))


def _first_difference(ours: tuple[PlannedTarget, ...], theirs: tuple[PlannedTarget, ...]) -> str:
    mine, new = {t.product for t in ours}, {t.product for t in theirs}
    missing, added = sorted(mine - new), sorted(new - mine)
    parts = []
    if missing:
        parts.append(f"{len(missing)} planned targets are missing now, the first is {missing[0]}")
    if added:
        parts.append(f"{len(added)} targets are new, the first is {added[0]}")
    return "; ".join(parts) or "the targets are the same in another order, or their positions differ"

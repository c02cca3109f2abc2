"""Which light curves of earlier sectors belong to the stars of a sector: decided once, when a sweep starts."""

from __future__ import annotations

import hashlib
import itertools
import json
import logging
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from larun import ledger, paths
from larun.config import SweepSettings
from larun.errors import NotInStore, StoreError
from larun.ledger import ShardRecord
from larun.lightcurve import Shard
from larun.objects import Root
from larun.paths import Product
from larun.plan import Plan, load_plan
from larun.schema import EARLIER_COLUMNS, Status
from larun.store.reading import ShardReader, products, read_rows
from larun.store.tables import read_table, write_table

log = logging.getLogger(__name__)

_DAMAGE = (ValueError, RuntimeError, LookupError, TypeError, pa.ArrowException)
"""What a damaged object comes to; any other cause means that the store is out of reach now."""


@dataclass(frozen=True, slots=True)
class Source:
    """An earlier sector of which light curves are joined."""

    product: Product
    plan_digest: str


@dataclass(frozen=True)
class Earlier:
    """Light curves of earlier sectors.

    Parameters
    ----------
    sources : tuple of Source
        Where they are.
    columns : dict
        Columns of `larun.schema.EARLIER_COLUMNS`; a row per light curve, ordered by the row of its star in the swept
        sector, then by sector.
    left_out : dict
        Sectors that cannot be used, and why.
    """

    sources: tuple[Source, ...]
    columns: dict[str, np.ndarray]
    left_out: dict[str, str] = field(default_factory=dict)

    @property
    def digest(self) -> str:
        """Hexadecimal SHA-256 of all that decides the values of these light curves; empty where there are none."""
        if not self.sources:
            return ""
        lines = [f"{source.product} {source.plan_digest}" for source in self.sources]
        lines += [" ".join(map(str, row)) for row in zip(*self.columns.values(), strict=True)]
        return hashlib.sha256("\n".join(lines).encode()).hexdigest()

    def write(self, root: Root, product: Product, run: str) -> None:
        """Keep the list for the workers of a sweep, and for people."""
        write_table(root, paths.earlier_sectors(product, run), self.columns, EARLIER_COLUMNS)


NOTHING = Earlier((), {column.name: np.empty(0, object) for column in EARLIER_COLUMNS})


def is_earlier(product: Product, swept: Product) -> bool:
    """Whether light curves of a sector may be joined with those of the swept one: an earlier one of the same sky."""
    same = (product.mission, product.simulated) == (swept.mission, swept.simulated)
    return same and product.sector < swept.sector


def find_earlier(root: Root, plan: Plan, settings: SweepSettings) -> Earlier:
    """Find the light curves that the store holds of a sector's stars in earlier sectors of the mission.

    Of each earlier sector a star has one: that of the swept sector's author and cadence where there is one, else of
    the author, else of the cadence, else the one with the shortest cadence. Simulated stars meet simulated ones only.

    Parameters
    ----------
    root : Root
        Survey root.
    plan : Plan
        Of the swept sector.
    settings : SweepSettings
        `stitch_sectors` is used.

    Raises
    ------
    StoreError
        The root cannot be read. A sector that is damaged or under repair is left out.
    """
    own, left_out = plan.product, {}
    stars = _held(ledger.records(root, own), plan.shard_targets)
    count = np.zeros(len(stars["id"]), np.int64)
    found: list[dict[str, np.ndarray]] = []
    sources = []
    earlier = [product for product in products(root, own.mission) if is_earlier(product, own)]
    by_sector = itertools.groupby(sorted(earlier, key=lambda p: (-p.sector, *_preference(p, own))), lambda p: p.sector)
    for sector, kinds in by_sector:
        wanted = count < settings.stitch_sectors - 1
        for product in kinds:
            try:
                source, held = _source(root, product)
            except StoreError as error:
                if not is_damage(error):
                    raise
                left_out[str(product)] = str(error)
                log.warning("%s is not joined with %s: %s", product, own, error)
                continue
            _, mine, theirs = np.intersect1d(stars["id"], held["id"], assume_unique=True, return_indices=True)
            chosen = wanted[mine]
            mine, theirs = mine[chosen], theirs[chosen]
            if len(mine):
                wanted[mine] = False
                count[mine] += 1
                sources.append(source)
                found.append(_rows(stars, mine, held, theirs, product, sector))
    if not found:
        return replace(NOTHING, left_out=left_out)
    columns = {name: np.concatenate([rows[name] for rows in found]) for name in found[0]}
    order = np.lexsort((columns["earlier_sector"], columns["row"]))
    return Earlier(tuple(sources), {name: values[order] for name, values in columns.items()}, left_out)


def _preference(product: Product, own: Product) -> tuple:
    return (product.author != own.author, product.cadence_s != own.cadence_s, product.cadence_s, product.author)


def _source(root: Root, product: Product) -> tuple[Source, dict[str, np.ndarray]]:
    """An earlier sector that can be read, and what it holds."""
    ledger.require_settled(root, product)
    plan = load_plan(root, product)
    ShardReader.of(root, plan)
    return Source(product, plan.digest), _held(ledger.records(root, product), plan.shard_targets)


def _held(records: Iterable[ShardRecord], shard_targets: int) -> dict[str, np.ndarray]:
    """Numbers, rows and records of the targets that are stored."""
    held: dict[str, list] = {"id": [], "row": [], "record": []}
    for record in records:
        digest = record_digest(record)
        for place, outcome in enumerate(record.outcomes):
            if outcome.status == Status.STORED:
                held["id"].append(outcome.target_id)
                held["row"].append(record.shard * shard_targets + place)
                held["record"].append(digest)
    kinds = {"id": np.int64, "row": np.int64, "record": object}
    return {name: np.array(values, kinds[name]) for name, values in held.items()}


def _rows(stars: dict, mine: np.ndarray, held: dict, theirs: np.ndarray, product: Product, sector: int) -> dict:
    return {
        "target_id": stars["id"][mine],
        "row": stars["row"][mine],
        "earlier_sector": np.full(len(mine), sector),
        "author": np.full(len(mine), product.author, object),
        "cadence_s": np.full(len(mine), product.cadence_s),
        "earlier_row": held["row"][theirs],
        "record": held["record"][theirs],
    }


def record_digest(record: ShardRecord) -> str:
    """Short digest of what a record says is stored of a shard."""
    said = [record.plan_digest, record.shard, record.hashes, [o.status for o in record.outcomes]]
    return hashlib.sha256(json.dumps(said, sort_keys=True).encode()).hexdigest()[:16]


def is_damage(error: StoreError) -> bool:
    """Whether an error means that something is lost or damaged, and not that the store is out of reach now."""
    return isinstance(error, NotInStore) or error.__cause__ is None or isinstance(error.__cause__, _DAMAGE)


def read_earlier(root: Root, product: Product, run: str, first: int, n: int) -> list[dict[str, Any]]:
    """Rows of a sweep's list of earlier light curves, for `n` stars from row `first` of the plan on."""
    table = read_table(root, paths.earlier_sectors(product, run))
    row = table["row"].to_numpy()
    # The list is in the order of the plan.
    begin, end = np.searchsorted(row, [first, first + n])
    return table.slice(begin, end - begin).to_pylist()


def star_parts(root: Root, product: Product, run: str, target_id: int, own: Shard, sectors: str) -> list[Shard]:
    """Light curves of one star that a sweep joined, its own sector's first.

    Parameters
    ----------
    root : Root
        Survey root.
    product : Product
        The swept sector.
    run : str
        The sweep.
    target_id : int
        TIC, KIC or EPIC number.
    own : Shard
        Light curve of the swept sector.
    sectors : str
        Sectors that were joined, as in detections.
    """
    used = sector_numbers(sectors)
    parts = [own]
    table = read_table(root, paths.earlier_sectors(product, run))
    for row in table.filter(pc.equal(table["target_id"], target_id)).to_pylist():
        if row["earlier_sector"] in used:
            held = Product(product.mission, row["earlier_sector"], row["author"], row["cadence_s"])
            parts.append(read_rows(root, held, np.array([row["earlier_row"]]))[0])
    return parts


def sector_ranges(numbers: Sequence[int]) -> str:
    """Numbers such as ``1-3,5``, increasing."""
    ordered = sorted(set(numbers))
    starts = [n for n in ordered if n - 1 not in ordered]
    ends = [n for n in ordered if n + 1 not in ordered]
    return ",".join(f"{a}-{b}" if a < b else str(a) for a, b in zip(starts, ends, strict=True))


def sector_numbers(ranges: str) -> set[int]:
    """Inverse of `sector_ranges`."""
    ends = [part.split("-") for part in ranges.split(",")]
    return {number for part in ends for number in range(int(part[0]), int(part[-1]) + 1)}

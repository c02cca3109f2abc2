"""Stars of a shard whose earlier sectors are stored too: their light curves are joined, searched and classified."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np

from larun.config import SearchSettings, Settings
from larun.errors import InputError, RunFailed, StoreError
from larun.ledger import ShardRecord
from larun.lightcurve import Shard
from larun.network.infer import Classifier
from larun.objects import Root
from larun.paths import Product
from larun.plan import load_plan
from larun.schema import Status
from larun.search.pipeline import NOT_SEARCHED
from larun.search.rows import same_signal
from larun.search.stitch import Part, join, same_cadences
from larun.store.reading import ShardReader
from larun.survey.classify import Classified, classify_stitched
from larun.survey.earlier import Source, is_damage, record_digest, sector_ranges
from larun.units import to_btjd

log = logging.getLogger(__name__)

HELD_BYTES = 130e6
"""Light curves of all joined sectors that are in memory at once; the stars of a shard are joined in so many turns.

A turn is 32 stars with thirteen 2-min sectors: two batches of `FEWEST`. Reading them and searching a batch takes
another 400 MB, and a worker holds 550 MB once the shard alone is searched; it is to stay below 1.2 GB.
"""

BATCH_VALUES = 4_000_000
FEWEST, MOST = 16, 64
"""Stars that are searched at once: as many as have so many cadences together, within limits. Sixteen share the
registers of the box search."""

_BYTES_OF_A_CADENCE = 16
"""Four arrays of four bytes, see `larun.search.stitch.Part`."""


@dataclass(frozen=True)
class Joined:
    """Events of joined light curves, a row each.

    Parameters
    ----------
    star : (row,) int64
        Row of the star in the swept shard.
    found : Classified
        The events: epochs are BTJD, numbers go on after the events of the sector alone.
    sectors : (row,) tuple of tuple of int
        Sectors that were joined.
    same_event : (row,) tuple of int
        Number of the sector's own event that is the same signal, or 0.
    cadence_s : (row,) tuple of float
        Time between the joined cadences.
    """

    star: np.ndarray
    found: Classified
    sectors: tuple[tuple[int, ...], ...]
    same_event: tuple[int, ...]
    cadence_s: tuple[float, ...]


@dataclass(frozen=True)
class ToJoin:
    """A swept shard, and what is joined with its light curves.

    Parameters
    ----------
    root : Root
        Survey root.
    product : Product
        The swept sector.
    shard : Shard
        Its light curves.
    alone : Classified
        What was found in them.
    first : int
        Row of the first star in the plan.
    sources : tuple of Source
        Earlier sectors.
    rows : list of dict
        Rows of `larun.schema.EARLIER_COLUMNS` of this shard's stars.
    """

    root: Root
    product: Product
    shard: Shard
    alone: Classified
    first: int
    sources: tuple[Source, ...]
    rows: Sequence[dict[str, Any]]


def search_joined(work: ToJoin, settings: Settings, classifier: Classifier) -> tuple[list[Joined], dict[int, str]]:
    """Join the light curves of the stars of a shard, and search and classify them.

    Returns
    -------
    joined : list of Joined
        Of the stars that could be joined, some in each.
    not_joined : dict
        By row of the shard which sectors are not joined, and why.

    Raises
    ------
    RunFailed
        An earlier sector was ingested or repaired since the sweep began.
    StoreError
        The store is out of reach. What is damaged or missing in an earlier sector is not joined.
    """
    joined: list[Joined] = []
    problems: dict[int, list[str]] = {}
    for rows in _turns(work):
        stars = sorted({row["row"] - work.first for row in rows})
        place = {star: k for k, star in enumerate(stars)}
        parts = {work.product: _Held(Part.of(work.shard.take(stars), settings.search), place)}
        for source in work.sources:
            of_source = [row for row in rows if _product(work, row) == source.product]
            if of_source and (held := _read(work, source, of_source, settings.search, problems)):
                parts[source.product] = held
        for products, alike in _alike(work.product, parts, problems):
            joined += _search(work, [parts[p] for p in products], products, alike, settings, classifier, problems)
    return joined, {star: "; ".join(said) for star, said in problems.items()}


@dataclass(frozen=True)
class _Held:
    """Light curves of some stars in one sector, and the row of each star of the swept shard in them."""

    part: Part
    place: dict[int, int]

    def of(self, stars: Sequence[int]) -> Part:
        return self.part.take([self.place[star] for star in stars])

    def obstacle(self, star: int) -> str:
        return self.part.obstacles[self.place[star]]

    def ccd(self, star: int) -> int:
        header = self.part.stars[self.place[star]]
        return 10 * header.camera + header.ccd


def _product(work: ToJoin, row: dict[str, Any]) -> Product:
    return Product(work.product.mission, row["earlier_sector"], row["author"], row["cadence_s"])


def _turns(work: ToJoin) -> Iterator[list[dict[str, Any]]]:
    """Rows of so many stars at a time as can be held."""
    cadences = {source.product: len(_reader(work.root, source).grid.time) for source in work.sources}
    turn: list[dict[str, Any]] = []
    held, star = 0, None
    for row in work.rows:
        if row["row"] != star:
            if held > HELD_BYTES:
                yield turn
                turn, held = [], 0
            held += _BYTES_OF_A_CADENCE * len(work.shard.time)
        star = row["row"]
        turn.append(row)
        held += _BYTES_OF_A_CADENCE * cadences[_product(work, row)]
    if turn:
        yield turn


@lru_cache(maxsize=64)
def _reader(root: Root, source: Source) -> ShardReader:
    """Reader of an earlier sector; its plan, which may list 200,000 targets, is not kept."""
    plan = load_plan(root, source.product)
    if plan.digest != source.plan_digest:
        raise _changed(source.product)
    return ShardReader.of(root, plan)


def _changed(product: Product) -> RunFailed:
    return RunFailed(f"{product}, which is joined, was ingested or repaired since the sweep began; start it again")


def _read(
    work: ToJoin, source: Source, rows: list[dict[str, Any]], settings: SearchSettings, problems: dict[int, list[str]]
) -> _Held | None:
    """Light curves of some stars in an earlier sector; None where nothing of them can be read."""
    reader = _reader(work.root, source)
    by_shard: dict[int, list[dict[str, Any]]] = {}
    for row in rows:
        by_shard.setdefault(row["earlier_row"] // reader.shard_targets, []).append(row)
    parts, place = [], {}
    for index, wanted in sorted(by_shard.items()):
        record = ShardRecord.from_json(work.root.read_json(source.product.record(index)))
        if any(row["record"] != record_digest(record) for row in wanted):
            raise _changed(source.product)
        places = np.array([row["earlier_row"] % reader.shard_targets for row in wanted])
        try:
            shard, status = reader.read(index, record.hashes, places, NOT_SEARCHED)
        except StoreError as error:
            if not is_damage(error):
                raise
            log.warning("%d stars of %s are not joined with %s: %s", len(wanted), work.product, source.product, error)
            for row in wanted:
                _note(problems, row["row"] - work.first, source.product, str(error))
            continue
        if not (status == Status.CODES[Status.STORED]).all():
            raise _changed(source.product)
        for row in wanted:
            place[row["row"] - work.first] = len(place)
        parts.append(Part.of(shard, settings))
    return _Held(same_cadences(parts), place) if parts else None


def _note(problems: dict[int, list[str]], star: int, product: Product, why: str) -> None:
    problems.setdefault(star, []).append(f"{product}: {why}")


def _alike(
    own: Product, parts: dict[Product, _Held], problems: dict[int, list[str]]
) -> Iterator[tuple[tuple[Product, ...], list[int]]]:
    """Stars that have usable light curves in the same sectors, their own first, and are on the same CCD in each.

    Such stars share cadences and systematics. A star that its own sector does not show is not joined.
    """
    usable: dict[int, list[Product]] = {}
    for product, held in parts.items():
        if product == own:
            continue
        for star in held.place:
            if held.obstacle(star):
                _note(problems, star, product, held.obstacle(star))
            elif parts[own].obstacle(star):
                _note(problems, star, own, parts[own].obstacle(star))
            else:
                usable.setdefault(star, [own]).append(product)
    groups: dict[tuple, list[int]] = {}
    for star in sorted(usable):
        first, *others = usable[star]
        products = (first, *sorted(others))
        groups.setdefault(tuple((product, parts[product].ccd(star)) for product in products), []).append(star)
    for kinds, stars in groups.items():
        yield tuple(product for product, _ in kinds), stars


def _search(
    work: ToJoin, parts: list[_Held], products: tuple[Product, ...], stars: list[int], settings: Settings,
    classifier: Classifier, problems: dict[int, list[str]],
) -> Iterator[Joined]:  # fmt: skip
    """Search stars that are alike, some at a time."""
    cadences = sum(len(held.part.time) for held in parts)
    size = min(max(BATCH_VALUES // cadences, FEWEST), MOST)
    for begin in range(0, len(stars), size):
        batch = stars[begin : begin + size]
        try:
            found = [(batch, _joined(work, parts, products, batch, settings, classifier))]
        except Exception:
            log.exception("%d joined stars of %s are searched one by one", len(batch), work.product)
            found = []
            for star in batch:
                try:
                    found.append(([star], _joined(work, parts, products, [star], settings, classifier)))
                except Exception as error:  # noqa: BLE001
                    # What its own sector shows stands, and other stars go on.
                    log.warning("%s: star %d is not joined: %r", work.product, star + work.first, error)
                    problems.setdefault(star, []).append(f"joined light curve: {type(error).__name__}: {error}")
        yield from (joined for _, joined in found if len(joined.star))


def _joined(
    work: ToJoin, parts: list[_Held], products: tuple[Product, ...], stars: list[int], settings: Settings,
    classifier: Classifier,
) -> Joined:  # fmt: skip
    """Events of some stars, of which every light curve is usable."""
    whole = join([held.of(stars) for held in parts], settings.search)
    found = classify_stitched(whole, settings, classifier)
    numbers = [product.sector for product in products]
    sectors = tuple(sorted(numbers[k] for k in whole.used))
    if len(sectors) < 2:
        raise InputError(f"sectors {sector_ranges(numbers)} hold the same time")
    rows = np.flatnonzero(found.searched)
    found = found.take(rows)
    star = np.array(stars, np.int64)[found.star]
    same = tuple(_same(work, *row) for row in zip(star, found.events, strict=True))
    for row, own in enumerate(star):
        found.events["event"][row] += work.alone.events["event"][work.alone.star == own].max()
    return Joined(star, found, (sectors,) * len(rows), same, (whole.shard.cadence_s,) * len(rows))


def _same(work: ToJoin, star: int, event: np.void) -> int:
    """Number of the first event of the star's own sector that is the same signal."""
    for own in work.alone.events[(work.alone.star == star) & work.alone.searched]:
        if same_signal(event, own, float(to_btjd(own["t0_btjd"], work.shard.time_format))):
            return int(own["event"])
    return 0

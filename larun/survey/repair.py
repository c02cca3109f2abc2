"""Repair of finished shards: targets that were unreachable or corrupt are asked for again, nothing else is touched.

A shard is rewritten in five steps, and a kill between any two of them loses nothing:

1. an intent is written beside the sector: the record that the shard will have, and what was asked for again;
2. the objects are replaced one after the other, each atomically, the status last;
3. the record is replaced by the new one;
4. products in quarantine whose targets are no longer corrupt are deleted;
5. the intent is deleted.

The next repair finds the intent. If every object is already the new one it goes on with step 3; else it makes the new
objects old again, which needs no archive: the repaired rows of the old ones were blank. Every object is known by its
hash in one of the two records; one that is in neither is damage and is left as it is.
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Iterable, Iterator
from itertools import groupby
from typing import Any

from larun.errors import NotInStore, PlanMismatch, StoreError
from larun.ledger import (
    ShardRecord,
    TargetOutcome,
    read_record,
    recorded,
    records,
    replace_record,
    require_of_shard,
    unfinished_repairs,
)
from larun.objects import Root
from larun.plan import Plan
from larun.schema import FLUX_ARRAYS, TARGET_ARRAYS, Status
from larun.store.encoding import Encoding
from larun.store.sector import SHARD_ARRAYS, encodings_of, object_hash, object_path
from larun.survey.align import Aligned
from larun.survey.obtain import Obtained
from larun.survey.shard import (
    IngestWork,
    begin_columns,
    describe_star,
    fetching,
    fill_row,
    set_aside,
    stored_plan,
    tidy_quarantine,
)

logger = logging.getLogger(__name__)

REPAIRABLE = (Status.UNREACHABLE, Status.CORRUPT)
"""Statuses that another fetch may change."""

Rows = dict[int, dict[str, Any]]
"""Values of a target in every array, by its row in the shard; one value where all cadences have it."""


def repairable(root: Root, plan: Plan) -> list[int]:
    """Numbers of the shards with unreachable or corrupt targets, or with an unfinished repair; increasing."""
    shards = {record.shard for record in records(root, plan.product) if _rows_to_repair(record)}
    return sorted(shards.union(unfinished_repairs(root, plan.product)))


def repair_shards(work: IngestWork) -> dict[str, int]:
    """Ask again for the unreachable and corrupt targets of some shards, and rewrite the shards where that helped.

    A target of which nothing new is learned, because its status stays the same or no archive delivers now, keeps its
    outcome and its product in quarantine. A shard of such targets keeps every object and its record. Shards without a
    record are left to the ingest.

    Returns
    -------
    dict
        Targets per status of the shards that have a record, all statuses present.

    Raises
    ------
    PlanMismatch
        The store holds another plan.
    StoreError
        The root cannot be read or written, a shard is damaged, or another run worked on it.
    ArchiveError
        No archive that could have the next product serves; shards repaired before stay repaired.
    """
    plan = stored_plan(work.root, work.product, work.plan_digest)
    for shard in set(unfinished_repairs(work.root, work.product)).intersection(work.shards):
        settle(work.root, plan, shard)
    done = set(recorded(work.root, work.product))
    found = [read_record(work.root, plan, shard) for shard in work.shards if shard in done]
    targets = [plan.shard(record.shard)[row] for record in found for row in _rows_to_repair(record)]
    counts = Counter(dict.fromkeys(Status.CODES, 0))
    with fetching(work, plan, ((target, _as_it_came) for target in targets)) as fetched:
        for record in found:
            counts.update(_repair_shard(work, plan, record, fetched).counts)
    return dict(counts)


def _as_it_came(obtained: Obtained[Aligned]) -> Obtained[Aligned]:
    return obtained


def _rows_to_repair(record: ShardRecord) -> list[int]:
    return [row for row, outcome in enumerate(record.outcomes) if outcome.status in REPAIRABLE]


def _repair_shard(work: IngestWork, plan: Plan, old: ShardRecord, fetched: Iterator[Obtained[Aligned]]) -> ShardRecord:
    """Repair one shard; its record afterwards.

    Light curves are held until those of their chunk are there, and encoded from then on.
    """
    asked = _rows_to_repair(old)
    outcomes = list(old.outcomes)
    rewriting = None
    for _, rows in groupby(asked, key=lambda row: row // plan.chunk_targets):
        if changed := _changed_rows(work, plan, old, rows, fetched, outcomes):
            rewriting = rewriting or _Rewriting(work.root, plan, old)
            rewriting.replace(changed)
    if rewriting is None:
        tidy_quarantine(work.root, plan, old, asked)
        return old
    hashes, objects = rewriting.finish()
    new = ShardRecord(plan.digest, old.shard, tuple(outcomes), hashes)
    intent = work.product.repair(old.shard)
    _discard_partials(work.root, intent)
    work.root.write_json(intent, {"record": new.as_json(), "rows": asked})
    _write_objects(work.root, plan, old.shard, objects)
    _finish(work.root, plan, old, new, asked)
    return new


def _changed_rows(
    work: IngestWork,
    plan: Plan,
    old: ShardRecord,
    rows: Iterable[int],
    fetched: Iterator[Obtained[Aligned]],
    outcomes: list[TargetOutcome],
) -> Rows:
    """Rows of which something new is learned; their outcomes are replaced."""
    targets = plan.shard(old.shard)
    changed: Rows = {}
    for row in rows:
        obtained = next(fetched)
        if obtained.status in (outcomes[row].status, Status.UNREACHABLE):
            continue
        columns = begin_columns(plan, 1)
        outcomes[row] = fill_row(columns, 0, targets[row], obtained)
        changed[row] = {name: values[0] for name, values in columns.items()}
        if obtained.damaged is not None and work.settings.quarantine:
            set_aside(work.root, work.product, targets[row], obtained.damaged)
    return changed


class _Rewriting:
    """Objects of a shard, encoded, of which some chunks are replaced; those that are read must be the record's."""

    def __init__(self, root: Root, plan: Plan, record: ShardRecord):
        self._encodings = _shard_encodings(root, plan)
        self._hashes = record.hashes
        objects = _read_objects(root, plan, record.shard)
        _require_written(root, plan, record, objects)
        n_targets = len(plan.shard(record.shard))
        # An object is let go of when none of its chunks is left.
        self._chunks = {name: _chunks(encoding, objects[name], n_targets) for name, encoding in self._encodings.items()}

    def replace(self, rows: Rows) -> None:
        """Put rows in the place of those that are there."""
        for name, encoding in self._encodings.items():
            _replace_rows(encoding, self._chunks[name], {row: columns[name] for row, columns in rows.items()})

    def finish(self) -> tuple[dict[str, str], dict[str, bytes | None]]:
        """Hash of every object, and the objects that are others than before."""
        hashes, changed = {}, {}
        for name, encoding in self._encodings.items():
            data = encoding.join(self._chunks.pop(name))
            hashes[name] = object_hash(data)
            if hashes[name] != self._hashes[name]:
                changed[name] = data
        return hashes, changed


def settle(root: Root, plan: Plan, shard: int) -> None:
    """Bring a shard whose repair was broken off to one of its two records, without any archive.

    There must be nobody at work on the shard.

    Raises
    ------
    StoreError
        An object is neither the one before the repair nor the one after it, or the intent is damaged.
    PlanMismatch
        The repair belongs to another plan.
    """
    new, asked = _read_intent(root, plan, shard)
    try:
        old = read_record(root, plan, shard)
    except NotInStore:
        # Somebody deleted the record, so that the whole shard is ingested anew.
        root.delete(plan.product.repair(shard))
        return
    objects = _read_objects(root, plan, shard)
    came = {name: object_hash(data) for name, data in objects.items()}
    if came == new.hashes:
        logger.info("shard %d of %s: its repair is finished", shard, plan.product)
        _finish(root, plan, old, new, asked)
        return
    logger.info("shard %d of %s: its repair was broken off and is begun anew", shard, plan.product)
    restored = {name: objects.pop(name) for name in old.hashes if came[name] != old.hashes[name]}
    objects.clear()
    if restored:
        rows = _blank_rows(plan, old, new)
        encodings = _shard_encodings(root, plan)
        for name, data in restored.items():
            if came[name] == new.hashes[name]:
                chunks = _chunks(encodings[name], data, len(plan.shard(shard)))
                _replace_rows(encodings[name], chunks, {row: columns[name] for row, columns in rows.items()})
                restored[name] = encodings[name].join(chunks)
        _require_written(root, plan, old, restored)
        _write_objects(root, plan, shard, restored)
    tidy_quarantine(root, plan, old, asked)
    root.delete(plan.product.repair(shard))


def _read_intent(root: Root, plan: Plan, shard: int) -> tuple[ShardRecord, list[int]]:
    """Record that a shard is to have after its repair, and the rows that were asked for."""
    path = plan.product.repair(shard)
    intent = root.read_json(path)
    try:
        new, asked = ShardRecord.from_json(intent["record"]), [int(row) for row in intent["rows"]]
    except (KeyError, TypeError, ValueError) as error:
        raise StoreError(
            f"{root.url_of(path)} is not what larun wrote ({type(error).__name__}: {error}). Delete it and "
            f"{plan.product.record(shard)}, and ingest again."
        ) from error
    if new.plan_digest != plan.digest:
        raise PlanMismatch(
            f"the repair of shard {shard} of {plan.product} belongs to the plan {new.plan_digest}, the store's plan is "
            f"{plan.digest}. Somebody mixed two stores: restore the plan or use another root.",
            ("plan_digest",),
        )
    require_of_shard(new, plan, shard, root.url_of(path))
    if not all(0 <= row < len(new.outcomes) for row in asked):
        raise StoreError(
            f"{root.url_of(path)} asks for rows {asked} of {len(new.outcomes)}; delete it and repair again"
        )
    return new, asked


def _finish(root: Root, plan: Plan, old: ShardRecord, new: ShardRecord, asked: list[int]) -> None:
    """Last steps of a repair whose objects are written."""
    if old != new:
        replace_record(root, plan.product, old, new)
    tidy_quarantine(root, plan, new, asked)
    root.delete(plan.product.repair(new.shard))


def _blank_rows(plan: Plan, old: ShardRecord, new: ShardRecord) -> Rows:
    """Rows that a repair changes, as they were before it."""
    targets = plan.shard(old.shard)
    nothing = {array.name: array.fill for array in FLUX_ARRAYS}
    rows: Rows = {}
    for row, (was, outcome) in enumerate(zip(old.outcomes, new.outcomes, strict=True)):
        if was != outcome:
            columns = begin_columns(plan, 1)
            describe_star(columns, 0, targets[row].star, targets[row].star)
            columns["status"][0], columns["n_good"][0] = Status.CODES[was.status], was.n_good
            rows[row] = {array.name: columns[array.name][0] for array in TARGET_ARRAYS} | nothing
    return rows


def _shard_encodings(root: Root, plan: Plan) -> dict[str, Encoding]:
    encodings = encodings_of(root, plan)
    return {array.name: encodings[array.name] for array in SHARD_ARRAYS}


def _chunks(encoding: Encoding, data: bytes | None, n_targets: int) -> list[bytes | memoryview | None]:
    """Encoded chunks of an object, those beyond the end of a short shard left out."""
    return encoding.split(data)[: -(-n_targets // encoding.chunk_shape[0])]


def _replace_rows(encoding: Encoding, chunks: list, rows: dict[int, Any]) -> None:
    """Encode the chunks anew that have some rows replaced; others stay byte for byte."""
    step = encoding.chunk_shape[0]
    for number, those in groupby(sorted(rows), key=lambda row: row // step):
        values = encoding.decode_chunk(chunks[number])
        for row in those:
            values[row - number * step] = rows[row]
        chunks[number] = encoding.encode_chunk(values)


def _read_objects(root: Root, plan: Plan, shard: int) -> dict[str, bytes | None]:
    """Objects of a shard by array; None where nothing but fill values was written, or where one is lost."""
    found: dict[str, bytes | None] = {}
    for array in SHARD_ARRAYS:
        try:
            found[array.name] = root.read(object_path(plan.product, array.name, shard))
        except NotInStore:
            found[array.name] = None
    return found


def _require_written(root: Root, plan: Plan, record: ShardRecord, objects: dict[str, bytes | None]) -> None:
    """Refuse objects that are not those of a record."""
    altered = sorted(name for name, data in objects.items() if object_hash(data) != record.hashes[name])
    if altered:
        raise StoreError(
            f"{', '.join(altered)} of shard {record.shard} in {root.url_of(plan.product.zarr)} are not what was "
            f"written: objects are missing or damaged. Delete {plan.product.record(record.shard)} and ingest again."
        )


def _write_objects(root: Root, plan: Plan, shard: int, objects: dict[str, bytes | None]) -> None:
    """Replace objects of a shard, the status last, and read each back."""
    for name in sorted(objects, key=lambda name: (name == "status", name)):
        path = object_path(plan.product, name, shard)
        _discard_partials(root, path)
        data = objects[name]
        if data is None:
            root.delete(path)
            continue
        root.write(path, data)
        if root.read(path) != data:
            raise StoreError(
                f"{root.url_of(path)} does not read back as it was written; the disk or the connection alters data. "
                "Repair again."
            )


def _discard_partials(root: Root, path: str) -> None:
    folder, _, name = path.rpartition("/")
    root.discard_partials(folder, f"{name}.")

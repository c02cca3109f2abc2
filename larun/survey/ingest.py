"""From archives to the store: the plan of a sector, and the ingest of a group of its shards."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import islice

from larun.archive.protocol import Archive
from larun.config import IngestSettings
from larun.errors import ConfigurationError, InputError, NotInStore
from larun.ledger import ShardRecord, TargetOutcome, read_record, recorded, write_record
from larun.lightcurve import bad_quality_bits
from larun.objects import Root
from larun.paths import Product
from larun.plan import ListOrigin, Plan, PlannedTarget, load_plan, order_targets
from larun.schema import Status
from larun.store.sector import ShardWriter, create_sector
from larun.survey.archives import LOCAL, list_targets, listing_archives
from larun.survey.grid import find_references, freeze_grid
from larun.survey.repair import repair_shards
from larun.survey.shard import Chunks, Filled, IngestWork, fetching, set_aside, stored_plan, tidy_quarantine


def make_plan(archives: Sequence[Archive], product: Product, settings: IngestSettings) -> Plan:
    """Plan of a sector: its targets in the order of the store, and the cadence grid frozen from a few of them.

    The grid comes from targets spread over the plan whose products decode, see `larun.survey.grid`.

    Raises
    ------
    InputError
        The archives hold nothing of the product, a target twice, or no product to take the cadences from.
    ProductUnreachable
        No reference could be had now, but some may later.
    ArchiveError
        No archive that could hold the product serves.
    ConfigurationError
        Shards cannot be cut into whole chunks.
    """
    rules = _rules(product, settings)
    targets, origin = _ordered_targets(archives, product)
    references = find_references(archives, product, targets)
    first = references[0]
    return Plan(
        product,
        targets,
        freeze_grid(references),
        **rules,
        time_format=first.time_format,
        flux_unit=first.flux_unit,
        target_list=origin,
    )


def start_ingest(root: Root, archives: Sequence[Archive], product: Product, settings: IngestSettings) -> Plan:
    """Create the sector, or resume it after checking that it is the same work.

    A sector that is resumed keeps its targets: the list of an archive on the network is not read again. What a folder
    or a simulation holds is compared with the plan.

    Raises
    ------
    PlanMismatch
        The store holds the sector with other targets or settings; names what differs.
    StoreError
        The root cannot be written.
    InputError, ProductUnreachable, ArchiveError, ConfigurationError
        As in `make_plan`.
    """
    root.check_writable(product.zarr)
    for name in (product.plan_json, product.plan_table):
        folder, _, leaf = name.rpartition("/")
        root.discard_partials(folder, f"{leaf}.")
    try:
        stored = load_plan(root, product)
    except NotInStore:
        made = make_plan(archives, product, settings)
        made.save(root)
        stored = load_plan(root, product)
        # Another run may have saved its own in the meantime, from other references.
        stored.require_same(replace(made, grid=stored.grid))
    else:
        targets = stored.targets
        if all(archive.name in LOCAL for archive in listing_archives(archives)):
            targets, _ = _ordered_targets(archives, product)
        stored.require_same(replace(stored, targets=targets, **_rules(product, settings)))
    create_sector(root, stored)
    return stored


def ingest_shards(work: IngestWork) -> dict[str, int]:
    """Fetch, verify, align and store all targets of some shards, each shard's record last.

    A shard that has its record is left alone; if the work is a repair, all others are, see
    `larun.survey.repair.repair_shards`. Whatever befalls one target becomes its
    status; what befalls the store, or all archives, is raised: shards finished before have their records then.
    While one shard is written the products of the next are fetched.

    Returns
    -------
    dict
        Targets per status of these shards, all statuses present.

    Raises
    ------
    PlanMismatch
        The store holds another plan.
    StoreError
        The root cannot be read or written.
    ArchiveError
        No archive that could have the next product serves.
    """
    if work.repair:
        return repair_shards(work)
    plan = stored_plan(work.root, work.product, work.plan_digest)
    done = set(recorded(work.root, work.product))
    counts = Counter(dict.fromkeys(Status.CODES, 0))
    for shard in done.intersection(work.shards):
        counts.update(read_record(work.root, plan, shard).counts)
    missing = [shard for shard in work.shards if shard not in done]
    chunks = Chunks(plan, missing)
    with fetching(work, plan, chunks.wanted()) as came:
        for shard in missing:
            record = _ingest_shard(work, plan, shard, chunks, came)
            counts.update(record.counts)
    return dict(counts)


def _ingest_shard(work: IngestWork, plan: Plan, shard: int, chunks: Chunks, came: Iterator[Filled]) -> ShardRecord:
    """Write one shard and its record, a chunk of targets at a time."""
    writer = ShardWriter(work.root, plan, shard)
    remaining = iter(plan.shard(shard))
    outcomes: list[TargetOutcome] = []
    while step := writer.next_targets:
        for target in islice(remaining, step):
            outcome, damaged = next(came)
            outcomes.append(outcome)
            if damaged is not None and work.settings.quarantine:
                set_aside(work.root, work.product, target, damaged)
        writer.add(chunks.take(step))
    record = ShardRecord(plan.digest, shard, tuple(outcomes), writer.finish())
    # A run that was killed, or a record that somebody deleted, may have left some.
    tidy_quarantine(work.root, plan, record, range(len(outcomes)))
    write_record(work.root, work.product, record)
    return record


def _ordered_targets(archives: Sequence[Archive], product: Product) -> tuple[tuple[PlannedTarget, ...], ListOrigin]:
    listed, archive = list_targets(archives, product)
    targets = order_targets(listed.targets)
    seen: dict[int, str] = {}
    for target in targets:
        number = target.star.target_id
        if number >= 0 and number in seen:
            raise InputError(
                f"the archive {archive} holds {product.catalogue} {number} of {product} twice: "
                f"{seen[number]} and {target.product}; remove one"
            )
        seen[number] = target.product
    return targets, ListOrigin(archive, listed.source, listed.sha256)


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

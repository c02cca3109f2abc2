"""Sweeping a sector: search every star, classify its events, rank, publish.

A sweep is named by the digest of all that decides its result, so the same sweep asked for twice is the same
run: parts that are there are not made again.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

import larun
from larun import candidates as ranking
from larun import ledger, paths, vet
from larun.bundles import load_bundle
from larun.config import Settings, SweepSettings, digest
from larun.errors import InputError, NotInStore, RunFailed
from larun.lightcurve import Shard
from larun.network.infer import Classifier
from larun.objects import Root
from larun.paths import Product
from larun.plan import Plan, load_plan
from larun.schema import CANDIDATE_COLUMNS, DETECTION_COLUMNS, SEARCHED, SECTOR_COLUMNS, Status
from larun.search.pipeline import NOT_SEARCHED
from larun.store.publish import publish
from larun.store.reading import products, read_shard
from larun.store.tables import read_table, write_table
from larun.survey.classify import Classified, classify_shard
from larun.survey.earlier import NOTHING, Source, find_earlier, read_earlier, sector_ranges
from larun.survey.joined import Joined, ToJoin, search_joined
from larun.units import to_btjd

_SAME_RESULT = {"bundle": "", "shards_per_task": 1}
"""Sweep settings that do not change a row: the bundle's own digest stands for its name."""

_NOTHING_JOINED = {name: SweepSettings.model_fields[name].default for name in ("stitch", "stitch_sectors")}
"""A sweep that finds nothing to join is the one that was not asked to."""


@dataclass(frozen=True, slots=True)
class SweepRun:
    """One sweep: what it covers and everything that decides its result."""

    product: Product
    run: str
    plan_digest: str
    records_digest: str
    bundle: str
    bundle_name: str
    bundle_digest: str
    config_digest: str
    n_shards: int
    earlier: tuple[Source, ...] = ()
    earlier_digest: str = ""


@dataclass(frozen=True, slots=True)
class SweepWork:
    """Whole shards of one sweep, for one worker."""

    root: Root
    run: SweepRun
    shards: tuple[int, ...]
    settings: Settings


def find_product(root: Root, sector: int, mission: str = "tess", author: str | None = None) -> Product:
    """The one product of a sector that the store holds.

    Raises
    ------
    NotInStore
        The store holds nothing of this sector.
    InputError
        It holds several products and `author` does not decide.
    """
    held = [p for p in products(root, mission, sector) if author is None or p.author == author]
    if not held:
        others = ", ".join(str(p) for p in products(root)) or "nothing"
        wanted = f"{mission} sector {sector}" + (f" by {author}" if author else "")
        raise NotInStore(f"{root.url} holds no {wanted}; it holds {others}. Run `larun ingest` for it first")
    if len(held) > 1:
        raise InputError(
            f"{root.url} holds several products of {mission} sector {sector}: {', '.join(map(str, held))}; "
            "choose one with --author"
        )
    return held[0]


def start_sweep(root: Root, product: Product, settings: Settings) -> SweepRun:
    """Name the sweep and record what it is made with.

    Raises
    ------
    NotInStore
        The sector is not in the store.
    RunFailed
        Shards of the sector are not ingested yet.
    StoreError
        A repair of the sector is not finished.
    BundleError
        The model bundle cannot be used.
    """
    plan = load_plan(root, product)
    pending = ledger.pending(root, plan)
    if pending:
        raise RunFailed(
            f"{len(pending)} of {plan.n_shards} shards of {product} are not ingested, the first is {pending[0]}; "
            "run `larun ingest` again, it goes on where it stopped"
        )
    ledger.require_settled(root, product)
    bundle = load_bundle(settings.sweep.bundle, root)
    stored = records_digest(root, plan)
    earlier = find_earlier(root, plan, settings.sweep) if settings.sweep.stitch else NOTHING
    deciding = {
        "search": settings.search,
        "vet": settings.vet,
        "sweep": settings.sweep.model_copy(update=_SAME_RESULT | ({} if earlier.sources else _NOTHING_JOINED)),
    }
    config_digest = digest(*deciding.values())
    parts = (plan.digest, stored, bundle.digest, config_digest, larun.__version__)
    parts += (earlier.digest,) if earlier.sources else ()
    run = SweepRun(
        product=product,
        # A letter first: readers of folder names would take digits for a number.
        run="r" + hashlib.sha256("\n".join(parts).encode()).hexdigest()[:12],
        plan_digest=plan.digest,
        records_digest=stored,
        bundle=settings.sweep.bundle,
        bundle_name=f"{bundle.name}/{bundle.version}",
        bundle_digest=bundle.digest,
        config_digest=config_digest,
        n_shards=plan.n_shards,
        earlier=earlier.sources,
        earlier_digest=earlier.digest,
    )
    if earlier.sources:
        earlier.write(root, product, run.run)
    root.write_json(
        paths.run_settings(product, run.run),
        {
            "run": run.run,
            "product": str(product),
            "larun_version": larun.__version__,
            "plan_digest": run.plan_digest,
            "records_digest": run.records_digest,
            "bundle": run.bundle_name,
            "bundle_digest": run.bundle_digest,
            "config_digest": run.config_digest,
            "joined": [{"product": str(s.product), "plan_digest": s.plan_digest} for s in earlier.sources],
            "not_joined": earlier.left_out if earlier.sources else {},
            "settings": {name: section.model_dump(mode="json") for name, section in deciding.items()},
        },
    )
    return run


def pending_groups(root: Root, run: SweepRun, shards_per_group: int) -> list[tuple[int, ...]]:
    """Shards whose detections are not written yet, in groups of whole shards."""
    folder = paths.run_folder("detections", run.product, run.run)
    written = set(root.list(folder, ".parquet"))
    missing = [i for i in range(run.n_shards) if paths.part("detections", run.product, run.run, i) not in written]
    return [tuple(missing[i : i + shards_per_group]) for i in range(0, len(missing), shards_per_group)]


def sweep_shards(work: SweepWork) -> dict[str, int]:
    """Search, classify and write the detections of some shards.

    Returns
    -------
    dict
        Number of targets by detection status.
    """
    plan = load_plan(work.root, work.run.product)
    ledger.require_settled(work.root, work.run.product)
    bundle = load_bundle(work.run.bundle, work.root)
    if plan.digest != work.run.plan_digest or bundle.digest != work.run.bundle_digest:
        changed = "plan" if plan.digest != work.run.plan_digest else "bundle"
        raise RunFailed(f"the {changed} of sweep {work.run.run} changed while it ran; start the sweep again")
    classifier = Classifier(bundle)
    counts: dict[str, int] = {}
    for index in work.shards:
        columns = detect(work, plan, index, classifier)
        path = paths.part("detections", work.run.product, work.run.run, index)
        write_table(work.root, path, columns, DETECTION_COLUMNS)
        best = columns["event"] == 1
        for status, n in zip(*np.unique(np.array(columns["status"])[best], return_counts=True), strict=True):
            counts[str(status)] = counts.get(str(status), 0) + int(n)
    return counts


def detect(work: SweepWork, plan: Plan, index: int, classifier: Classifier) -> dict[str, Any]:
    """Detections of one shard, columns of `larun.schema.DETECTION_COLUMNS`: every target has at least one row."""
    record = ledger.read_record(work.root, plan, index)
    shard, _ = read_shard(work.root, plan, index, record.hashes, NOT_SEARCHED)
    stored = np.array([o.status == Status.STORED for o in record.outcomes])
    found = classify_shard(shard, work.settings, classifier, stored)
    joined: list[Joined] = []
    not_joined: dict[int, str] = {}
    if work.run.earlier:
        first = index * plan.shard_targets
        rows = read_earlier(work.root, plan.product, work.run.run, first, len(shard))
        to_join = ToJoin(work.root, plan.product, shard, found, first, work.run.earlier, rows)
        joined, not_joined = search_joined(to_join, work.settings, classifier)
    parts = [_alone(plan.product, shard, found, record.outcomes), *map(_of_joined, joined)]
    star = np.concatenate([found.star, *(one.star for one in joined)])
    # A stable sort keeps the order of the events of a star.
    order = np.argsort(star, kind="stable")
    columns = {name: _concatenated([part[name] for part in parts], order) for name in parts[0]}
    return columns | _stars_of(work, plan, index, shard, star[order], not_joined)


def _concatenated(parts: list[Any], order: np.ndarray) -> Any:
    """Values of the rows of all parts in their order; as they are where there is one part, which is in order."""
    if len(parts) == 1:
        return parts[0]
    if isinstance(parts[0], np.ndarray):
        return np.concatenate(parts)[order]
    values = [value for part in parts for value in part]
    return [values[k] for k in order]


def _alone(
    product: Product, shard: Shard, found: Classified, outcomes: tuple[ledger.TargetOutcome, ...]
) -> dict[str, Any]:
    """Columns that the sector's own light curves decide."""
    said = [_row_status(outcomes[k], *row) for k, *row in zip(found.star, found.searched, found.reason, strict=True)]
    n = len(said)
    return {
        "status": [status for status, _ in said],
        "reason": [reason for _, reason in said],
        "n_sectors": [1] * n,
        "sectors": [str(product.sector)] * n,
        "same_event": [0] * n,
        "cadence_s": [product.cadence_s] * n,
        **found.columns(),
        "t0_btjd": to_btjd(found.events["t0_btjd"], shard.time_format),
    }


def _of_joined(joined: Joined) -> dict[str, Any]:
    """The same of joined light curves."""
    n = len(joined.star)
    return {
        "status": [SEARCHED] * n,
        "reason": [""] * n,
        "n_sectors": [len(sectors) for sectors in joined.sectors],
        "sectors": [sector_ranges(sectors) for sectors in joined.sectors],
        "same_event": list(joined.same_event),
        "cadence_s": [round(cadence_s) for cadence_s in joined.cadence_s],
        **joined.found.columns(),
    }


def _stars_of(
    work: SweepWork, plan: Plan, index: int, shard: Shard, star: np.ndarray, not_joined: dict[int, str]
) -> dict[str, Any]:
    """Columns of the rows' stars and of the run."""
    product, n, run = plan.product, len(star), work.run
    constant = {
        "mission": product.mission,
        "sector": product.sector,
        "author": product.author,
        "simulated": product.simulated,
        "run": run.run,
        "larun_version": larun.__version__,
        "plan_digest": run.plan_digest,
        "bundle": run.bundle_name,
        "bundle_digest": run.bundle_digest,
        "config_digest": run.config_digest,
    }
    headers = [shard.stars[k] for k in star]
    known = ("ra", "dec", "tmag", "radius", "camera", "ccd")
    planned = [target.star.target_id for target in plan.shard(index)]
    ids = [planned[k] for k in star]
    return {
        "tic": ids if product.catalogue == "TIC" else [None] * n,
        "target": [f"{product.catalogue} {i}" for i in ids],
        **{name: [getattr(star, name) for star in headers] for name in known},
        "not_joined": [not_joined.get(int(k), "") for k in star],
        **{name: [value] * n for name, value in constant.items()},
    }


def _row_status(outcome: ledger.TargetOutcome, searched: bool, why: str) -> tuple[str, str]:
    """Status and reason of a detection row: a stored star that cannot be searched is rejected."""
    if searched:
        return SEARCHED, ""
    if outcome.status == Status.STORED:
        return Status.REJECTED, why
    return outcome.status, outcome.reason


def finish_sweep(root: Root, run: SweepRun, settings: Settings) -> dict[str, Any]:
    """Rank the detections of a complete sweep, write the candidates and publish the run, in this order.

    Returns
    -------
    dict
        Summary: counts of targets by status and by the class of their best event, number of candidates, where they
        are.

    Raises
    ------
    RunFailed
        Detections of some shards are missing.
    """
    missing = [i for group in pending_groups(root, run, 1) for i in group]
    if missing:
        raise RunFailed(
            f"{len(missing)} of {run.n_shards} shards of sweep {run.run} have no detections, "
            f"the first is {missing[0]}; run `larun sweep` again, it goes on where it stopped"
        )
    detections = read_table(root, paths.run_folder("detections", run.product, run.run))
    columns = ranking.rank(_with_sector(root, run, detections, settings), settings.sweep)
    path = paths.part("candidates", run.product, run.run, 0)
    write_table(root, path, columns, CANDIDATE_COLUMNS)
    best = detections.filter(pc.equal(detections["event"], 1))
    summary = {
        "run": run.run,
        "detections": paths.run_folder("detections", run.product, run.run),
        "candidates": paths.run_folder("candidates", run.product, run.run),
        "n_targets": best.num_rows,
        "n_events": detections.num_rows,
        "n_candidates": len(columns["rank"]),
        # As asked, also where there was nothing to join and the run is that of a plain sweep.
        "stitch_sectors": settings.sweep.stitch_sectors if settings.sweep.stitch else 1,
        "earlier_digest": run.earlier_digest,
        "joined": [str(source.product) for source in run.earlier],
        "n_joined": len(pc.unique(detections.filter(pc.greater(detections["n_sectors"], 1))["target"])),
        "n_not_joined": pc.sum(pc.not_equal(best["not_joined"], ""), min_count=0).as_py(),
        "status": _counts(best["status"]),
        "class": _counts(best["class"].drop_null()),
        "simulated": run.product.simulated,
        "plan_digest": run.plan_digest,
        "bundle": run.bundle_name,
        "bundle_digest": run.bundle_digest,
        "config_digest": run.config_digest,
        "larun_version": larun.__version__,
    }
    publish(root, run.product, run.run, summary)
    return summary


def _with_sector(root: Root, run: SweepRun, detections: pa.Table, settings: Settings) -> pa.Table:
    """Add what needs the whole sector: pile-ups of epochs, and matches with other stars.

    What joined sectors show counts as this sector shows it; a signal that is found twice in a star counts once, and
    both its rows say the same.
    """
    rows = np.arange(detections.num_rows)
    events = {name: detections[name].to_numpy(zero_copy_only=False) for name in vet.INPUTS}
    if run.earlier:
        plan = load_plan(root, run.product)
        time = to_btjd(plan.grid.time[[0, -1]], plan.time_format)
        events = vet.within(events, detections["n_sectors"].to_numpy() > 1, *time)
        rows = _first_of_signal(detections)
        events = {name: values[rows == np.arange(len(rows))] for name, values in events.items()}
    columns, flags = vet.vet_sector(events, settings.vet)
    place = np.searchsorted(np.flatnonzero(rows == np.arange(len(rows))), rows)
    for column in SECTOR_COLUMNS:
        values = columns[column.name][place]
        detections = detections.append_column(column.name, pa.array(values, column.arrow_type))
    flags = pa.array(detections["flags"].to_numpy() | flags[place], pa.uint32())
    return detections.set_column(detections.schema.get_field_index("flags"), "flags", flags)


def _first_of_signal(detections: pa.Table) -> np.ndarray:
    """Row of the event that is the same signal in the sector alone, for every row; its own where there is none."""
    target, event, same = (detections[name].to_pylist() for name in ("target", "event", "same_event"))
    place = {key: row for row, key in enumerate(zip(target, event, strict=True))}
    return np.array([place[t, s] if s else row for row, (t, s) in enumerate(zip(target, same, strict=True))], np.int64)


def _counts(column: pa.ChunkedArray) -> dict[str, int]:
    counted = column.value_counts().to_pylist()
    return {row["values"]: row["counts"] for row in sorted(counted, key=lambda row: -row["counts"])}


def records_digest(root: Root, plan: Plan) -> str:
    """Digest of what ingest stored, so that a repaired sector is swept anew."""
    hashes = [record.hashes for record in ledger.records(root, plan.product)]
    return hashlib.sha256(json.dumps(hashes, sort_keys=True).encode()).hexdigest()

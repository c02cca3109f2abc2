"""What flows do with one product of a sector: its ingest or repair, under the lease, and what is told of it."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Callable
from typing import Any

from prefect.artifacts import create_table_artifact

from flows.fanout import Group, fan_out, groups_of
from flows.sources import Sources
from larun import ledger
from larun.archive.stars import WantedStar
from larun.config import Settings
from larun.errors import ArchiveOutage, InputError, LarunError, NotInStore, RunDeferred, RunFailed
from larun.objects import Root
from larun.paths import Product
from larun.plan import Plan
from larun.schema import Status
from larun.store import lease
from larun.survey.deferral import clear_deferral, note_deferral
from larun.survey.discover import holds_named_stars
from larun.survey.ingest import IngestWork, start_ingest
from larun.survey.repair import repairable
from tasks.ingest import ingest_shards_task

log = logging.getLogger(__name__)

WORK = "ingest"
"""Name of the lease, and of the note of a run that could not find out what is new."""


def ingest_unfinished(settings: Settings, sources: Sources, product: Product) -> dict[str, Any]:
    """Finish a repair that broke off, and then the ingest."""
    if ledger.unfinished_repairs(Root(settings.root, settings.storage_options), product):
        ingest_product(settings, sources, product, repair=True)
    return ingest_product(settings, sources, product)


def repair_unasked(
    settings: Settings, sources: Sources, product: Product, failed: list[dict[str, str]]
) -> dict[str, Any] | None:
    """Ask again for what was out of reach in an earlier run, as a night does.

    Where that cannot be, for instance because the settings have changed since, `product` and `reason` are added to
    `failed`, and None is returned.

    Raises
    ------
    RunDeferred
        As in `ingest_product`.
    """
    try:
        return ingest_product(settings, sources, product, repair=True)
    except RunDeferred:
        raise
    except LarunError as error:
        log.warning("%s is not repaired: %s", product, error)
        failed.append({"product": str(product), "reason": f"the repair failed: {error}"})
        return None


def ingest_product(
    settings: Settings,
    sources: Sources,
    product: Product,
    repair: bool = False,
    stars: tuple[WantedStar, ...] = (),
) -> dict[str, Any]:
    """Bring what is missing of one product into the store; must run inside a flow.

    One run at a time takes products from the network into a root: the request budget is the survey's.

    Returns
    -------
    dict
        `product`, `targets`, `shards`, `status` (targets per status), `archives` (per archive the targets that it
        delivered, and what this run asked of it), `plan_digest`.

    Raises
    ------
    RunDeferred
        No archive serves, or another run holds the lease; says how much is missing, and leaves a note of it.
    RunFailed
        Shards are missing at the end, or no target could be stored.
    """
    root = Root(settings.root, settings.storage_options)
    minutes = settings.nightly.lease_minutes
    with lease.hold(root, WORK, minutes) if sources.on_network else contextlib.nullcontext() as held:
        check = held.check if held else _nothing_to_check
        try:
            plan = start_ingest(root, sources.archives, product, settings.ingest)
            if repair:
                _repair(settings, root, sources, plan, check)
            else:
                _require_same_targets(root, plan, stars)
                _ingest_missing(settings, root, sources, plan, check, in_this_process=bool(stars))
        except ArchiveOutage as error:
            raise _deferred(root, product, str(error), repair) from error
    clear_deferral(root, str(product))
    counts = ledger.counts(root, product)
    result = {
        "product": str(product),
        "targets": counts.targets,
        "shards": counts.shards,
        "status": counts.by_status,
        "archives": _by_archive(counts, sources),
        "plan_digest": plan.digest,
    }
    _show(result)
    if repair:
        return result
    if not counts.complete:
        raise RunFailed(f"{counts.shards - counts.recorded_shards} of {counts.shards} shards of {product} are missing")
    if not counts.by_status[Status.STORED]:
        first = counts.failures[0]
        raise RunFailed(
            f"none of the {counts.targets} targets of {product} could be stored; "
            f"the first, {first.target_id}, is {first.status}: {first.reason}"
        )
    return result


def _nothing_to_check() -> None:
    """Runs that ask nobody on the network hold no lease."""


def _ingest_missing(
    settings: Settings, root: Root, sources: Sources, plan: Plan, check: Callable[[], None], in_this_process: bool
) -> None:
    """Fan out over the shards without a record; `check` is called now and then, and raises where the lease is lost."""

    def work(group: Group) -> IngestWork:
        return IngestWork.of(root, sources.archives, plan, group, settings.ingest)

    def pending(size: int) -> list[Group]:
        check()
        done = set(ledger.recorded(root, plan.product))
        return groups_of((index for index in range(plan.n_shards) if index not in done), size)

    if in_this_process and plan.n_shards == 1:
        # A few stars are there before a cluster is.
        for group in pending(1):
            ingest_shards_task(work(group))
        return
    fan_out(
        "ingest",
        ingest_shards_task,
        work,
        pending,
        settings.ingest.shards_per_task,
        plan.n_shards,
        settings.run.cluster,
    )


def _repair(settings: Settings, root: Root, sources: Sources, plan: Plan, check: Callable[[], None]) -> None:
    """Fan out over the shards that can be repaired; `check` as in `_ingest_missing`."""
    left = set(repairable(root, plan))

    def pending(size: int) -> list[Group]:
        check()
        return groups_of(sorted(left), size)

    fan_out(
        "repair",
        ingest_shards_task,
        lambda group: IngestWork.of(root, sources.archives, plan, group, settings.ingest, repair=True),
        pending,
        settings.ingest.shards_per_task,
        len(left),
        settings.run.cluster,
        # A target that is still out of reach leaves its shard repairable: the store cannot say that it was tried.
        finished=left.difference_update,
    )


def _require_same_targets(root: Root, plan: Plan, stars: tuple[WantedStar, ...]) -> None:
    """Refuse stars that are not those of the sector in the store, and a sector of which it holds only named stars.

    A sector in the store keeps its targets, so that nothing would be missing of it and nothing done.
    """
    planned = {target.star.target_id for target in plan.targets}
    if stars and planned != {star.number for star in stars}:
        raise InputError(
            f"{root.url} holds {plan.product} with {len(planned)} targets, which are not the {len(stars)} stars named; "
            "a sector in the store keeps its targets: give another root for these stars"
        )
    if not stars and holds_named_stars(root, plan.product):
        raise InputError(
            f"{root.url} holds {plan.product} with {len(planned)} stars that were named one by one; a sector in the "
            "store keeps its targets: give another root for the whole sector"
        )


def _deferred(root: Root, product: Product, reason: str, repair: bool) -> RunDeferred:
    """Error about an outage, of which a note is left in the store."""
    try:
        counts = ledger.counts(root, product)
    except NotInStore:
        note_deferral(root, str(product), reason)
        return RunDeferred(f"the ingest of {product} is deferred before its targets are known. Reason: {reason}")
    shards = counts.shards - counts.recorded_shards
    missing = counts.by_status[ledger.PENDING]
    said = f"{missing} of {counts.targets} targets missing, in {shards} of {counts.shards} shards"
    if repair:
        missing, shards = (sum(counts.by_status[s] for s in (Status.UNREACHABLE, Status.CORRUPT)), None)
        said = f"{missing} of {counts.targets} targets still unreachable or corrupt"
    note_deferral(root, str(product), reason, missing, shards)
    return RunDeferred(
        f"the {'repair' if repair else 'ingest'} of {product} is deferred with {said}; what is stored stays, run it "
        f"again to go on. Reason: {reason}"
    )


def _by_archive(counts: ledger.Counts, sources: Sources) -> dict[str, dict[str, Any]]:
    asked = sources.report()
    names = dict.fromkeys((*counts.by_archive, *asked))
    return {name: {"targets": counts.by_archive.get(name, 0)} | asked.get(name, {}) for name in names}


def _show(result: dict[str, Any]) -> None:
    create_table_artifact(
        [{"status": status, "targets": n} for status, n in result["status"].items()],
        key="ingest-status",
        description=f"{result['product']}: targets per status",
    )
    create_table_artifact(
        [{"archive": name} | said for name, said in result["archives"].items()],
        key="ingest-archives",
        description=f"{result['product']}: targets that each archive delivered, and what this run asked of it",
    )

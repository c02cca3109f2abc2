"""What a survey holds and what it lacks, from the store alone: counts, reasons, runs under way, deferred work."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from typing import Any

from larun import ledger, paths
from larun.errors import NotInStore
from larun.objects import Root
from larun.paths import Product
from larun.store.lease import is_free
from larun.store.publish import published
from larun.survey.current import is_published, joined_others
from larun.survey.deferral import deferrals


def survey_state(root: Root, products: Sequence[Product]) -> dict[str, Any]:
    """State of a survey root.

    Parameters
    ----------
    root : Root
        Survey root.
    products : sequence of Product
        Sectors to tell about.

    Returns
    -------
    dict
        ``root``; ``sectors``, one per product, see `sector_state`; ``leases``, the runs that hold one; ``deferred``,
        the notes of work that goes on later.
    """
    notes = {note.work: asdict(note) for note in deferrals(root)}
    old = joined_others(root, products)
    return {
        "root": root.url,
        "sectors": [sector_state(root, p, notes.get(str(p)), p not in old) for p in products],
        "leases": leases(root),
        "deferred": list(notes.values()),
    }


def sector_state(
    root: Root, product: Product, deferred: dict[str, Any] | None = None, joined_is_current: bool = True
) -> dict[str, Any]:
    """State of one sector.

    Parameters
    ----------
    root : Root
        Survey root.
    product : Product
        The sector.
    deferred : dict, optional
        Note of a run that goes on later.
    joined_is_current : bool
        Whether its sweep joined the light curves that one of now would; see `larun.survey.current.joined_others`.

    Returns
    -------
    dict
        Which product it is; ``targets``, ``shards``, ``recorded_shards``, ``complete``; ``status`` and ``archives``,
        targets per status and per archive that delivered them; ``reasons`` why targets are not stored, each with an
        example; ``failures``, every such target; ``outside``, stored targets of which cadences off the sector's grid
        were left out; ``unfinished_repairs``, shards; ``deferred``, the note of a run that goes on later, or None;
        ``published``, the summary of the sweep that readers see, or None; ``published_is_current``, whether it is
        of what is stored of the sector now, and ``joined_is_current``, whether also of what is of earlier ones.
    """
    counts = ledger.counts(root, product)

    def named(outcome: ledger.TargetOutcome) -> str:
        return f"{product.catalogue} {outcome.target_id}"

    return {
        "product": str(product),
        "mission": product.mission,
        "sector": product.sector,
        "author": product.author,
        "cadence_s": product.cadence_s,
        "simulated": product.simulated,
        "targets": counts.targets,
        "shards": counts.shards,
        "recorded_shards": counts.recorded_shards,
        "complete": counts.complete,
        "status": counts.by_status,
        "archives": counts.by_archive,
        "reasons": [
            {
                "status": reason.status,
                "targets": reason.targets,
                "kind": reason.kind,
                "example": {"target": named(reason.example), "reason": reason.example.reason},
            }
            for reason in counts.by_reason
        ],
        "failures": [{"target": named(o), "status": o.status, "reason": o.reason} for o in counts.failures],
        "outside": counts.outside,
        "unfinished_repairs": ledger.unfinished_repairs(root, product),
        "deferred": deferred,
        "published": published(root)["sectors"].get(str(product)),
        "published_is_current": is_published(root, product),
        "joined_is_current": joined_is_current,
    }


def leases(root: Root) -> list[dict[str, Any]]:
    """Runs that hold a lease: ``name`` of the work, ``host``, ``pid``, ``since`` and ``until`` (UTC), ``over``.

    A lease that is over has no run any more: its process is gone from this machine, or it was not renewed in time. The
    next run takes it over.
    """
    now = datetime.now(UTC).timestamp()
    found = []
    for path in root.list(paths.lease("").rpartition("/")[0], ".json"):
        try:
            held = root.read_json(path)
        except NotInStore:
            continue
        if held:
            found.append(
                {
                    "name": path.rpartition("/")[2].removesuffix(".json"),
                    "host": held["host"],
                    "pid": held["pid"],
                    "since": _time(held["since"]),
                    "until": _time(held["until"]),
                    "over": is_free(held, now),
                }
            )
    return found


def _time(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="seconds")

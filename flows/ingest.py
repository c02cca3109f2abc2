"""Flow `ingest`: what is missing of one sector, from an archive into the store."""

from __future__ import annotations

import logging
from typing import Any

from prefect import flow
from prefect.artifacts import create_table_artifact

from flows.fanout import fan_out
from larun import ledger
from larun.config import Settings, load
from larun.errors import RunFailed
from larun.objects import Root
from larun.schema import Status
from larun.survey.ingest import ShardWork, open_archive, start_ingest
from larun.survey.offered import offered_product
from tasks.ingest import ingest_shard_task

log = logging.getLogger(__name__)


@flow(name="ingest", persist_result=False)
def ingest(
    sector: int,
    archive: str,
    mission: str = "tess",
    author: str | None = None,
    cadence_s: int | None = None,
    config: str | None = None,
    overrides: dict[str, Any] | None = None,
) -> dict[str, Any]:
    """Bring a sector from an archive into the store.

    Parameters
    ----------
    sector : int
        Sector, quarter or campaign.
    archive : str
        ``folder:PATH`` or ``simulated``.
    mission, author, cadence_s
        Which product of the sector; by default the mission's usual one.
    config : str, optional
        TOML file with settings, of which `root` says where the store is.
    overrides : dict, optional
        Settings that win over file and environment.

    Returns
    -------
    dict
        `product`, `targets`, `shards`, `status` (targets per status), `plan_digest`.

    Raises
    ------
    RunFailed
        Shards are missing at the end.
    """
    return ingest_sector(load(config, **(overrides or {})), sector, archive, mission, author, cadence_s)


def ingest_sector(
    settings: Settings, sector: int, archive_name: str, mission: str, author: str | None, cadence_s: int | None
) -> dict[str, Any]:
    """Body of the flow; must run inside one."""
    root = Root(settings.root, settings.storage_options)
    archive = open_archive(archive_name, settings)
    product = offered_product(archive, settings, mission, sector, author, cadence_s)
    plan = start_ingest(root, archive, product, settings.ingest)

    def pending(size: int) -> list[tuple[int, ...]]:
        done = set(ledger.recorded(root, product))
        return [(index,) for index in range(plan.n_shards) if index not in done]

    fan_out(
        "ingest",
        ingest_shard_task,
        lambda group: ShardWork.of(root, archive, plan, group[0], settings.ingest),
        pending,
        1,
        plan.n_shards,
        settings.run.cluster,
    )
    counts = ledger.counts(root, product)
    create_table_artifact(
        [{"status": status, "targets": n} for status, n in counts.by_status.items()],
        key="ingest-status",
        description=f"{product}: targets per status",
    )
    if not counts.complete:
        raise RunFailed(f"{counts.shards - counts.recorded_shards} of {counts.shards} shards of {product} are missing")
    if not counts.by_status[Status.STORED]:
        first = counts.failures[0]
        raise RunFailed(
            f"none of the {counts.targets} targets of {product} could be stored; "
            f"the first, {first.target_id}, is {first.status}: {first.reason}"
        )
    return {
        "product": str(product),
        "targets": counts.targets,
        "shards": counts.shards,
        "status": counts.by_status,
        "plan_digest": plan.digest,
    }

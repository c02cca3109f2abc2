"""Flow `sweep`: search, classify, rank and publish one ingested sector."""

from __future__ import annotations

from typing import Any

from prefect import flow
from prefect.artifacts import create_table_artifact

from flows.fanout import fan_out
from larun.candidates import listing
from larun.config import Settings, load
from larun.objects import Root
from larun.paths import Product
from larun.survey.published import published_candidates
from larun.survey.sweep import SweepWork, find_product, finish_sweep, pending_groups, start_sweep
from tasks.sweep import sweep_shards_task

BEST = 10
"""Candidates of the table artifact."""

_SHOWN = ("rank", "target", "class", "score", "period_d", "depth_ppm", "snr", "sde")


@flow(name="sweep", persist_result=False)
def sweep(
    sector: int,
    mission: str = "tess",
    author: str | None = None,
    config: str | None = None,
    overrides: dict[str, Any] | None = None,
) -> dict[str, Any]:
    """Search every star of an ingested sector and publish its candidates.

    Parameters
    ----------
    sector : int
        Sector, quarter or campaign.
    mission, author
        Which product of the sector; `author` may be left out if the store holds only one.
    config : str, optional
        TOML file with settings, of which `root` says where the store is.
    overrides : dict, optional
        Settings that win over file and environment.

    Returns
    -------
    dict
        Summary as published, see `larun.survey.sweep.finish_sweep`, and `product`.

    Raises
    ------
    RunFailed
        Shards are missing at the end.
    """
    return sweep_sector(load(config, **(overrides or {})), sector, mission, author)


def sweep_sector(settings: Settings, sector: int, mission: str, author: str | None) -> dict[str, Any]:
    """Sweep one product of a sector; must run inside a flow."""
    return sweep_product(settings, find_product(Root(settings.root, settings.storage_options), sector, mission, author))


def sweep_product(settings: Settings, product: Product) -> dict[str, Any]:
    """Sweep one product; must run inside a flow."""
    root = Root(settings.root, settings.storage_options)
    run = start_sweep(root, product, settings)
    fan_out(
        "sweep",
        sweep_shards_task,
        lambda group: SweepWork(root, run, group, settings),
        lambda size: pending_groups(root, run, size),
        settings.sweep.shards_per_task,
        run.n_shards,
        settings.run.cluster,
    )
    summary = finish_sweep(root, run, settings)
    best = listing(published_candidates(root, product))[:BEST]
    create_table_artifact(
        [{name: row[name] for name in _SHOWN} for row in best],
        key="best-candidates",
        description=f"{product}: the best of {summary['n_candidates']} candidates of sweep {run.run}",
    )
    return {"product": str(product)} | summary

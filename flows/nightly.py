"""Flow `nightly`: ingest what is missing of a sector, sweep it, publish."""

from __future__ import annotations

from typing import Any

from prefect import flow

from flows.ingest import ingest_sector
from flows.sweep import sweep_sector
from larun.config import load
from larun.paths import Product


@flow(name="nightly", persist_result=False)
def nightly(
    sector: int,
    archive: str,
    mission: str = "tess",
    author: str | None = None,
    cadence_s: int | None = None,
    config: str | None = None,
    overrides: dict[str, Any] | None = None,
) -> dict[str, Any]:
    """Bring one sector up to date, from the archive to the published candidates.

    What is done already is not done again, so a night that was missed or broke off costs nothing twice.

    Parameters
    ----------
    sector, archive, mission, author, cadence_s, config, overrides
        As in `flows.ingest.ingest`.

    Returns
    -------
    dict
        `ingest` and `sweep`: what the two flows return.

    Raises
    ------
    RunFailed
        Shards are missing at the end.
    """
    settings = load(config, **(overrides or {}))
    ingested = ingest_sector(settings, sector, archive, mission, author, cadence_s)
    product = Product.from_zarr_path(ingested["product"])
    return {"ingest": ingested, "sweep": sweep_sector(settings, sector, mission, product.author)}

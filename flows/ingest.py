"""Flow `ingest`: what is missing of one sector, what is new, or some stars, from the archives into the store."""

from __future__ import annotations

import contextlib
from typing import Any

from prefect import flow
from prefect.client.schemas.objects import State

from flows.deferral import deferrable
from flows.product import WORK, ingest_product, ingest_unfinished, repair_unasked
from flows.sources import Sources, open_sources
from larun.archive.stars import WantedStar, parse_stars, read_stars, together
from larun.config import Settings, load
from larun.errors import (
    ArchiveOutage,
    InputError,
    LarunError,
    PlanMismatch,
    ProductError,
    RunDeferred,
    RunFailed,
)
from larun.objects import Root
from larun.paths import Product
from larun.survey.deferral import clear_deferral, note_deferral
from larun.survey.discover import holds_named_stars, sectors_to_do, sectors_to_repair
from larun.survey.offered import offered_product
from larun.survey.sweep import find_product

STARS_ARCHIVE = "lightkurve"
"""The archive that finds stars by name and number."""


@flow(name="ingest", persist_result=False)
def ingest(
    sector: int | None = None,
    archive: str | None = None,
    mission: str | None = None,
    author: str | None = None,
    cadence_s: int | None = None,
    targets: list[str] | None = None,
    targets_file: str | None = None,
    repair: bool = False,
    config: str | None = None,
    overrides: dict[str, Any] | None = None,
) -> dict[str, Any] | State:
    """Bring a sector, what is new, or all light curves of some stars, from the archives into the store.

    Parameters
    ----------
    sector : int, optional
        Sector, quarter or campaign; by default what `larun.survey.discover` finds for a night.
    archive : str, optional
        Archives in the order in which they are asked, such as ``cloud,mast``; see `larun.survey.archives`.
    mission, author, cadence_s
        Which product of the sector; by default TESS and the mission's usual one.
    targets : list of str, optional
        Stars by number or by name; only these are ingested, of every sector that has them.
    targets_file : str, optional
        File with such stars, one per line.
    repair : bool
        Ask again for the targets of finished shards that are unreachable or corrupt, and do nothing else.
    config : str, optional
        TOML file with settings, of which `root` says where the store is.
    overrides : dict, optional
        Settings that win over file and environment.

    Returns
    -------
    dict
        See `flows.product.ingest_product`; without a sector, or of stars, `products`, a list of these, and `failed`,
        `product` and `reason` of those with which it came to nothing.

    Raises
    ------
    RunDeferred
        No archive serves, or another run holds the lease. The run ends in the state `Deferred`.
    RunFailed
        Shards are missing at the end.
    """
    settings = load(config, **(overrides or {}))
    if targets or targets_file:
        stars = wanted_stars(targets, targets_file, mission)
        return deferrable(lambda: ingest_stars(settings, stars, mission, author, cadence_s, sector))
    if sector is None:
        return deferrable(lambda: ingest_new(settings, archive))
    return deferrable(lambda: ingest_sector(settings, sector, archive, mission or "tess", author, cadence_s, repair))


def ingest_new(settings: Settings, archive: str | None) -> dict[str, Any]:
    """Ingest the sectors that a night finds unfinished or new, and repair the latest; must run inside a flow."""
    root = Root(settings.root, settings.storage_options)
    with open_sources(archive, settings) as sources:
        agenda = sectors_to_do(root, sources.archives, settings)
        if agenda.unreachable:
            note_deferral(root, WORK, agenda.unreachable)
            raise RunDeferred(f"no archive says which sectors there are. Reason: {agenda.unreachable}")
        clear_deferral(root, WORK)
        found = agenda.to_ingest[: settings.nightly.sectors_per_night]
        repairable = sectors_to_repair(root, settings)
        done = [ingest_unfinished(settings, sources, product) for product in found]
        failed: list[dict[str, str]] = []
        done += filter(None, (repair_unasked(settings, sources, product, failed) for product in repairable))
        return {"products": done, "failed": failed}


def ingest_sector(
    settings: Settings,
    sector: int,
    archive: str | None,
    mission: str,
    author: str | None,
    cadence_s: int | None,
    repair: bool = False,
) -> dict[str, Any]:
    """Ingest or repair one product of a sector; must run inside a flow."""
    root = Root(settings.root, settings.storage_options)
    held = find_product(root, sector, mission, author) if repair else None
    if held and archive is None and holds_named_stars(root, held):
        archive = STARS_ARCHIVE
    with open_sources(archive, settings) as sources:
        product = held or offered_product(sources.archives, settings, mission, sector, author, cadence_s)
        return ingest_product(settings, sources, product, repair)


def wanted_stars(targets: list[str] | None, targets_file: str | None, mission: str | None) -> tuple[WantedStar, ...]:
    """Stars that a person named, each once.

    Raises
    ------
    InputError
        Names that are none; says which.
    """
    named = parse_stars(targets, mission or "tess") if targets else ()
    listed = read_stars(targets_file, mission or "tess") if targets_file else ()
    return together(named, listed)


def ingest_stars(
    settings: Settings,
    stars: tuple[WantedStar, ...],
    mission: str | None,
    author: str | None,
    cadence_s: int | None,
    sector: int | None,
) -> dict[str, Any]:
    """Ingest all light curves of some stars, each sector as a product of its own; must run inside a flow.

    A sector of which nothing can be stored keeps no other from being ingested.

    Raises
    ------
    RunDeferred
        MAST does not serve, or another run holds the lease.
    LarunError
        Nothing could be stored of any sector, or the root cannot be written.
    """
    from larun.archive.searched import LightkurveArchive

    with open_sources(STARS_ARCHIVE, settings) as sources:
        (searched,) = sources.archives
        try:
            found = searched.segments(stars, mission, author, cadence_s, sector)
        except ArchiveOutage as error:
            raise RunDeferred(
                "the ingest of the stars is deferred, MAST does not say which light curves they have; run it again "
                f"later. Reason: {error}"
            ) from error
        done: list[dict[str, Any]] = []
        failed: dict[Product, LarunError] = {}
        for product, its in found.items():
            its_archive = LightkurveArchive(settings.archives, sources.address, its)
            with contextlib.closing(its_archive):
                try:
                    done.append(ingest_product(settings, Sources((its_archive,), sources.budget), product, stars=its))
                except (InputError, PlanMismatch, ProductError, RunFailed) as error:
                    if isinstance(error, RunDeferred):
                        raise
                    failed[product] = error
    if not done:
        if len(failed) == 1:
            raise next(iter(failed.values()))
        raise RunFailed("nothing could be stored: " + "; ".join(f"{p}: {error}" for p, error in failed.items()))
    return {"products": done, "failed": [{"product": str(p), "reason": str(error)} for p, error in failed.items()]}

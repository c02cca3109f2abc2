"""What a night has to do: sectors that archives offer and the store lacks, or holds unfinished or unswept."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass

from larun import ledger, paths
from larun.archive.protocol import Archive, Discoverer
from larun.archive.stars import NAMED_STARS
from larun.catalogue.sources import choose
from larun.config import Settings
from larun.errors import ArchiveError, ArchiveOutage, ArchiveRefused, InputError, NotInStore
from larun.objects import Root
from larun.paths import Product
from larun.schema import Status
from larun.store.publish import published
from larun.store.reading import products
from larun.survey import snapshots
from larun.survey.archives import listing_archives
from larun.survey.current import is_ingested, is_published, joined_others

log = logging.getLogger(__name__)

MISSION = "tess"
"""Nights without a given sector are of this mission: it alone still observes."""

LATEST = 3
"""Sectors, counted from the newest in the store, of which nights repair what was unreachable."""


@dataclass(frozen=True, slots=True)
class Agenda:
    """What is to be done, in this order.

    Parameters
    ----------
    to_ingest : tuple of Product
        Sectors that archives offer and that the store lacks or holds in part; those in part first, then the newest.
    to_sweep : tuple of Product
        Sectors that are ingested and whose published sweep is missing or older than what is stored; newest first.
    to_sweep_again : tuple of Product
        Sectors whose published sweep joined other light curves than it would now; newest first. Only where the
        settings ask to join sectors: else their candidates would be replaced by those of plain sweeps.
    unreachable : str
        Why archives could not say what they hold; empty where they could. `to_ingest` is then what the store alone
        knows to be in part.
    """

    to_ingest: tuple[Product, ...]
    to_sweep: tuple[Product, ...]
    to_sweep_again: tuple[Product, ...] = ()
    unreachable: str = ""

    def tonight(self, sectors: int) -> tuple[Product, ...]:
        """The first so many sectors that can be done.

        What was begun comes before what is new, sweeping before fetching, and what is new before what was done. Where
        no archive answers nothing is fetched.
        """
        to_ingest = () if self.unreachable else self.to_ingest
        return tuple(dict.fromkeys((*self.to_sweep, *to_ingest, *self.to_sweep_again)))[:sectors]


def sectors_to_do(root: Root, archives: Sequence[Archive], settings: Settings) -> Agenda:
    """Find what a night has to do.

    Raises
    ------
    InputError
        No archive of these can say which sectors it holds.
    ArchiveRefused
        All archives refuse us.
    """
    kind = (settings.nightly.author, settings.nightly.cadence_s)
    held = {
        product.sector: product
        for product in products(root, MISSION)
        if (product.author, product.cadence_s) == kind and product.sector >= settings.nightly.first_sector
    }
    named = {sector for sector, product in held.items() if holds_named_stars(root, product)}
    for sector in sorted(named):
        log.warning("%s holds only named stars of %s; the whole sector needs another root", root.url, held.pop(sector))
    unfinished = {sector for sector, product in held.items() if not is_ingested(root, product)}
    unreachable = ""
    try:
        offered = offered_sectors(archives, MISSION, *kind)
    except ArchiveOutage as error:
        unreachable, offered = str(error), sorted(unfinished)
    else:
        for sector in sorted(unfinished.difference(offered)):
            log.warning("%s is ingested in part, and no archive offers it any more", held[sector])
    lacking = [
        sector
        for sector in set(offered).difference(named)
        if sector >= settings.nightly.first_sector and (sector not in held or sector in unfinished)
    ]
    to_sweep = [
        held[sector]
        for sector in sorted(held, reverse=True)
        if sector not in unfinished and not is_published(root, held[sector])
    ]
    swept = [product for sector, product in held.items() if sector not in unfinished and product not in to_sweep]
    return Agenda(
        to_ingest=tuple(
            Product(MISSION, sector, *kind)
            for sector in sorted(lacking, key=lambda sector: (sector not in unfinished, -sector))
        ),
        to_sweep=tuple(to_sweep),
        to_sweep_again=joined_others(root, swept) if settings.sweep.stitch else (),
        unreachable=unreachable,
    )


def sectors_to_repair(root: Root, settings: Settings) -> tuple[Product, ...]:
    """Sectors of which a night asks again for what was unreachable, the newest first.

    They are among the `LATEST` that the store holds of the kind of product that nights ingest, and ingested as a whole.
    """
    kind = (settings.nightly.author, settings.nightly.cadence_s)
    held = [product for product in products(root, MISSION) if (product.author, product.cadence_s) == kind]
    latest = sorted(held, key=lambda product: -product.sector)[:LATEST]
    return tuple(
        product
        for product in latest
        if product.sector >= settings.nightly.first_sector
        and is_ingested(root, product)
        and not holds_named_stars(root, product)
        and has_unreachable(root, product)
    )


def has_unreachable(root: Root, product: Product) -> bool:
    """Whether another run may bring targets of a sector that were out of reach in an earlier one."""
    return any(record.counts[Status.UNREACHABLE] for record in ledger.records(root, product))


def offered_sectors(archives: Sequence[Archive], mission: str, author: str, cadence_s: int) -> list[int]:
    """Sectors of a kind of product that any of the archives holds, increasing.

    An archive that does not answer is passed over where another knows some.

    Raises
    ------
    InputError
        None of them can say which sectors it holds.
    ArchiveOutage
        None of them knows any, and one that does not answer may do so later.
    ArchiveRefused
        None of them knows any, and one refuses us.
    """
    asked = discoverers(archives)
    found: set[int] = set()
    failures: list[tuple[str, ArchiveError]] = []
    for archive in asked:
        try:
            found.update(archive.sectors(mission, author, cadence_s))
        except ArchiveError as error:
            failures.append((archive.name, error))
    if failures and not found:
        out = any(isinstance(failure, ArchiveOutage) for _, failure in failures)
        said = "; ".join(f"{name}: {failure}" for name, failure in failures)
        raise (ArchiveOutage if out else ArchiveRefused)(said)
    for name, failure in failures:
        log.warning("the archive %s does not say which sectors it holds: %s", name, failure)
    return sorted(found)


def discoverers(archives: Sequence[Archive]) -> list[Discoverer]:
    """Archives that can say which sectors they hold; a folder only where no archive of a mission is among them.

    Raises
    ------
    InputError
        There is none.
    """
    found = [archive for archive in listing_archives(archives) if isinstance(archive, Discoverer)]
    if not found:
        names = ", ".join(archive.name for archive in archives)
        raise InputError(f"the archives given ({names}) cannot say which sectors they hold; name one with --sector")
    return found


def require_offered(archives: Sequence[Archive], product: Product) -> None:
    """Refuse a sector that no archive holds; nothing happens where one of them cannot say what it holds.

    Raises
    ------
    InputError
        There is no such sector; says which there are.
    ArchiveError
        As in `offered_sectors`.
    """
    if not all(isinstance(archive, Discoverer) for archive in listing_archives(archives)):
        return
    offered = offered_sectors(archives, product.mission, product.author, product.cadence_s)
    if product.sector not in offered:
        from larun.archive.mast import in_words

        names = ", ".join(archive.name for archive in archives)
        raise InputError(f"the archives ({names}) hold no {product}; {in_words(offered)}")


def holds_named_stars(root: Root, product: Product) -> bool:
    """Whether the store's plan of a sector is of stars that a person named, and not of the whole sector."""
    try:
        origin = root.read_json(product.plan_json).get("target_list", {})
    except NotInStore:
        return False
    return origin.get("source", "").endswith(NAMED_STARS)


def sweeps_to_match(root: Root, settings: Settings) -> list[tuple[Product, str]]:
    """Published sweeps that were not matched yet, or not with the snapshots and the settings of now."""
    found = []
    for name, summary in published(root)["sectors"].items():
        product, run = Product.from_zarr_path(f"{name}.zarr"), summary["run"]
        if product.simulated:
            continue
        pointers = {
            catalogue.name: snapshots.pointer(root, catalogue.snapshot_name(product))
            for catalogue in choose(settings.catalogues.use)
            if catalogue.holds_objects
        }
        held = {name: points["sha256"] for name, points in pointers.items() if "sha256" in points}
        wanted = [held, settings.catalogues.radius_arcsec, settings.catalogues.period_tolerance]
        try:
            record = root.read_json(paths.match_record(product, run))
        except NotInStore:
            found.append((product, run))
            continue
        used = {name: of["sha256"] for name, of in record["catalogues"].items()}
        if [used, record["radius_arcsec"], record["period_tolerance"]] != wanted:
            found.append((product, run))
    return found

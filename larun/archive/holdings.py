"""What MAST holds of stars and sectors: the searches behind `larun.archive.searched`."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from larun.archive.names import parse
from larun.archive.portal import Portal, batches
from larun.archive.stars import WantedStar
from larun.errors import InputError
from larun.paths import CATALOGUES, Product

log = logging.getLogger(__name__)

PROVENANCES = {
    "spoc": "SPOC",
    "tess-spoc": "TESS-SPOC",
    "qlp": "QLP",
    "tasoc": "TASOC",
    "eleanor-lite": "GSFC-ELEANOR-LITE",
    "kepler": "Kepler",
    "k2": "K2",
    "k2sc": "K2SC",
}
"""What MAST calls a pipeline."""

RADIUS_ARCSEC = 10.0
"""A target this near to the position of a name is that star: catalogues differ by proper motion."""

_PROJECTS = {"tess": "TESS", "kepler": "Kepler", "k2": "K2"}
_NAMES = {"tess": "{}", "kepler": "kplr{:09d}", "k2": "ktwo{:09d}"}
"""What MAST calls a target of a mission."""

_KINDS = ["cube", "timeseries"]
"""Data product types of observations with a light curve, see `lightkurve.search_lightcurve`."""


@dataclass(frozen=True, slots=True, order=True)
class HeldFile:
    """A light curve in MAST.

    Parameters
    ----------
    product : Product
        What it belongs to, by its name.
    target_id : int
        TIC, KIC or EPIC number, by its name.
    name : str
        Of the file.
    uri : str
        Of the download.
    """

    product: Product
    target_id: int
    name: str
    uri: str


def of_sector(portal: Portal, product: Product) -> dict[int, HeldFile]:
    """Light curve of every target of a product.

    Raises
    ------
    InputError
        MAST has no such pipeline.
    ArchiveError
        MAST does not serve now, or refuses us.
    """
    # MAST gives no quarter to an observation of Kepler, which covers the whole mission.
    criteria = {} if product.mission == "kepler" else {"sequence_number": product.sector}
    rows = portal.observations(
        project=_PROJECTS[product.mission],
        provenance_name=_provenance(product.author),
        dataproduct_type=_KINDS,
        **criteria,
    )
    return {held.target_id: held for held in _files(portal, rows) if held.product == product}


def of_stars(portal: Portal, stars: Sequence[WantedStar], mission: str, author: str) -> list[HeldFile]:
    """Every light curve that a pipeline made of stars of one mission; of two of one target the later one, by name.

    Raises
    ------
    InputError
        MAST has no such pipeline.
    ArchiveError
        MAST does not serve now, or refuses us.
    """
    found: dict[tuple[Product, int], HeldFile] = {}
    for batch in batches(stars):
        rows = portal.observations(
            target_name=[_NAMES[mission].format(star.number) for star in batch],
            project=_PROJECTS[mission],
            provenance_name=_provenance(author),
            dataproduct_type=_KINDS,
        )
        numbers = {star.number for star in batch}
        for held in _files(portal, rows):
            if held.target_id in numbers and held.product.author == author:
                found[held.product, held.target_id] = held
    return sorted(found.values())


def at_name(portal: Portal, name: str, mission: str | None = None) -> dict[str, int]:
    """Targets at the position of a name: mission -> number of its nearest target; empty where there is none.

    Raises
    ------
    ArchiveError
        MAST does not serve now, or refuses us.
    """
    position = portal.position(name)
    if position is None:
        return {}
    from astropy.coordinates import SkyCoord

    here = SkyCoord(*position, unit="deg")
    rows = portal.observations(
        coordinates=here,
        radius=RADIUS_ARCSEC / 3600,
        project=[_PROJECTS[mission]] if mission else list(_PROJECTS.values()),
        dataproduct_type=_KINDS,
    )
    nearest: dict[str, tuple[float, int]] = {}
    for row in rows:
        known = _catalogue_number(row)
        if known is None or row["s_ra"] is None or row["s_dec"] is None:
            continue
        its, number = known
        distance = float(here.separation(SkyCoord(row["s_ra"], row["s_dec"], unit="deg")).arcsec)
        if distance <= RADIUS_ARCSEC:
            nearest[its] = min(nearest.get(its, (distance, number)), (distance, number))
    for its, (distance, number) in nearest.items():
        log.info("%s is %s %d, %.1f arcsec from its position", name, CATALOGUES[its], number, distance)
    return {its: number for its, (_, number) in sorted(nearest.items())}


def _files(portal: Portal, observations: list[dict[str, Any]]) -> Iterator[HeldFile]:
    """Light curves among the files of observations, in order of name."""
    found = []
    for row in portal.products([str(row["obsid"]) for row in observations]):
        name, uri = row["productFilename"], row["dataURI"]
        official = parse(name) if name and uri else None
        if official is None:
            continue
        if official.sector is None:
            log.warning("%s is left out: its name does not say its quarter or campaign", name)
            continue
        product = Product(official.mission, official.sector, official.author, official.cadence_s)
        found.append(HeldFile(product, official.target_id, name, uri))
    yield from sorted(found, key=lambda held: held.name)


def _catalogue_number(row: dict[str, Any]) -> tuple[str, int] | None:
    """Mission and number of the target of an observation."""
    mission = {project: mission for mission, project in _PROJECTS.items()}.get(row["project"])
    digits = str(row["target_name"]).removeprefix("kplr").removeprefix("ktwo")
    return (mission, int(digits)) if mission and digits.isascii() and digits.isdigit() else None


def _provenance(author: str) -> str:
    try:
        return PROVENANCES[author]
    except KeyError:
        raise InputError(f"MAST has no pipeline {author!r}; give one of {', '.join(PROVENANCES)}") from None

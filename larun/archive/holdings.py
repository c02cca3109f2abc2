"""What MAST holds of stars and sectors: the searches behind `larun.archive.searched`."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from larun.archive.decode import decode
from larun.archive.names import parse
from larun.archive.portal import Portal, batches
from larun.archive.stars import WantedStar
from larun.errors import InputError, ProductAbsent, ProductCorrupt
from larun.lightcurve import Star
from larun.paths import CATALOGUES, Product
from larun.plan import PlannedTarget

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


@dataclass(frozen=True, slots=True)
class HeldFile:
    """A light curve in MAST.

    Parameters
    ----------
    product : Product
        What it belongs to, by its name.
    star : Star
        TIC, KIC or EPIC number, by its name, and position, by the observation; NaN where MAST gives none.
    name : str
        Of the file.
    uri : str
        Of the download.
    """

    product: Product
    star: Star
    name: str
    uri: str

    @property
    def target(self) -> PlannedTarget:
        """What an archive is asked for."""
        return PlannedTarget(self.star, self.name)


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
    return {held.star.target_id: held for held in _files(portal, rows) if held.product == product}


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
            if held.star.target_id in numbers and held.product.author == author:
                found[held.product, held.star.target_id] = held
    return [found[key] for key in sorted(found)]


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


def _files(portal: Portal, observations: list[dict[str, Any]]) -> list[HeldFile]:
    """Light curves among the files of observations, in order of name."""
    places = {_catalogue_number(row): (row["s_ra"], row["s_dec"]) for row in observations}
    campaigns: dict[str, Product | None] = {}
    found = []
    for row in portal.products([str(row["obsid"]) for row in observations]):
        name, uri = row["productFilename"], row["dataURI"]
        official = parse(name) if name and uri else None
        if official is None:
            continue
        product = official.product
        if product is None and official.mission == "k2":
            part = name.rpartition("-")[2]
            if part not in campaigns:
                campaigns[part] = _product_inside(portal, name, uri)
            product = campaigns[part]
        if product is None:
            log.info("%s is left out: it does not say its quarter or campaign", name)
            continue
        place = places.get((official.mission, official.target_id), ())
        star = Star(official.target_id, *(np.nan if angle is None else float(angle) for angle in place))
        found.append(HeldFile(product, star, name, uri))
    return sorted(found, key=lambda held: held.name)


def _product_inside(portal: Portal, name: str, uri: str) -> Product | None:
    """Product of a file by its header, for campaigns of K2 that were observed in two parts; None where it is damaged.

    Names number the parts (91, 92, 101, ...), and that alone does not say how the headers count them.
    """
    try:
        curve = decode(portal.download(uri), name)
    except (ProductAbsent, ProductCorrupt) as error:
        log.warning("the campaign of %s is not known: %s", name, error)
        return None
    return Product(curve.mission, curve.sector, curve.author, round(curve.cadence_s))


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

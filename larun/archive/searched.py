"""Light curves of any star of TESS, Kepler and K2, searched for and downloaded as lightkurve does it."""

from __future__ import annotations

import hashlib
import logging
import threading
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress

from larun.archive.holdings import HeldFile, at_name, of_sector, of_stars
from larun.archive.names import mast_uri
from larun.archive.portal import Portal
from larun.archive.protocol import Fetched
from larun.archive.stars import NAMED_STARS, WantedStar, together
from larun.config import ArchiveSettings
from larun.errors import ArchiveOutage, InputError, ProductAbsent, ProductUnreachable
from larun.lightcurve import Star
from larun.paths import Product
from larun.plan import PlannedTarget, TargetList

log = logging.getLogger(__name__)

USUAL = {"tess": ("spoc", 120), "kepler": ("kepler", 1765), "k2": ("k2", 1765)}
"""Author and cadence of a mission's light curves where nothing else is asked for."""

_REMEMBERED = 100_000
"""Addresses of files that a process keeps."""

_NAMED = 12
"""Stars or segments that an error message names."""


@contextmanager
def _whole_search() -> Iterator[None]:
    """What a search alone cannot get is no product's fault."""
    try:
        yield
    except ProductUnreachable as error:
        raise ArchiveOutage(str(error)) from error


class LightkurveArchive:
    """Light curves of MAST by search: every star, pipeline and mission that lightkurve knows.

    Makes the requests that `lightkurve.search_lightcurve` and `SearchResult.download` make, through astroquery as
    these do, many stars in one. lightkurve itself is not loaded: it would read each file a second time, and drop
    cadences while at it.

    Parameters
    ----------
    settings : ArchiveSettings
        Where MAST is, and how politely it is asked.
    budget : str
        Address of the survey's request budget; empty for one of this process alone.
    stars : tuple of WantedStar
        Only these, with their catalogue numbers (see `resolve`); empty for every star of a sector.
    """

    name = "lightkurve"

    def __init__(self, settings: ArchiveSettings, budget: str = "", stars: tuple[WantedStar, ...] = ()):
        unresolved = [star.text for star in stars if not star.is_number]
        if unresolved:
            raise InputError(f"stars without a catalogue number: {_listed(unresolved)}; resolve them first")
        self._settings = settings
        self._budget = budget
        self.stars = stars
        self._portal = Portal(settings, budget)
        self._uris: dict[str, str] = {}
        self._searching = threading.Lock()

    def __reduce__(self):
        return (type(self), (self._settings, self._budget, self.stars))

    def __repr__(self) -> str:
        return f"LightkurveArchive({len(self.stars)} stars)" if self.stars else "LightkurveArchive()"

    @_whole_search()
    def targets(self, product: Product) -> TargetList:
        """Targets of a product: the whole sector, or the named stars.

        A named star without such a product is a target under its own name, so that it becomes ``absent``.

        Raises
        ------
        InputError
            MAST has no such product, or none of the named stars has one; says what they have.
        ArchiveError
            MAST does not serve now, or refuses us.
        """
        if not self.stars:
            found = of_sector(self._portal, product)
            if not found:
                raise InputError(f"MAST has no light curves {product}; see its sectors, pipelines and cadences")
            return self._target_list(found, {})
        stars = [star for star in self.stars if star.mission == product.mission]
        everywhere = of_stars(self._portal, stars, product.mission, product.author)
        found = {held.star.target_id: held for held in everywhere if held.product == product}
        if not found:
            others = sorted({str(held.product) for held in everywhere})
            raise InputError(
                f"MAST has no light curve {product} of {_listed([str(star) for star in self.stars])}; it has "
                + (_listed(others) if others else "none of this pipeline")
            )
        absent = {star.number: f"{product.catalogue} {star.number}" for star in stars if star.number not in found}
        return self._target_list(found, absent)

    def fetch(self, product: Product, target: PlannedTarget) -> Fetched:
        """Bytes of a target's product, by the name of its file, or by a search where that is not known.

        Raises
        ------
        ProductAbsent
            MAST has no such product.
        ProductUnreachable
            It did not come after all attempts.
        ArchiveError
            MAST does not serve now, or refuses us.
        """
        uri = self._uri(product, target)
        return Fetched(self._portal.download(uri), self._portal.url_of(uri))

    def close(self) -> None:
        """Let go of the connections; the next use opens them again."""
        self._portal.close()

    @_whole_search()
    def resolve(self, stars: Iterable[WantedStar], mission: str | None = None) -> tuple[WantedStar, ...]:
        """Catalogue numbers of stars that were given by name; a star of several missions has one for each.

        Parameters
        ----------
        stars : iterable of WantedStar
            Those with a number stay as they are.
        mission : str, optional
            Only the targets of one mission.

        Raises
        ------
        InputError
            Names that MAST does not know, or at whose position no target was observed; or stars of the catalogue of
            another mission than the one that is asked for.
        ArchiveError
            MAST does not serve now, or refuses us.
        """
        stars = tuple(stars)
        other = [str(star) for star in stars if star.is_number and mission not in {None, star.mission}]
        if other:
            raise InputError(f"{_listed(other)} are no targets of {mission}; ask for their own mission")
        resolved: list[WantedStar] = []
        unknown = []
        for star in stars:
            if star.is_number:
                resolved.append(star)
            elif its := at_name(self._portal, star.text, mission):
                resolved += [WantedStar(star.text, where, number) for where, number in its.items()]
            else:
                unknown.append(star.text)
        if unknown:
            raise InputError(
                f"MAST knows no target of {mission or 'TESS, Kepler or K2'} named {_listed(unknown)}; take them off "
                "the list, or give their TIC, KIC or EPIC numbers"
            )
        return together(resolved)

    @_whole_search()
    def light_curves(
        self,
        stars: Iterable[WantedStar],
        mission: str | None = None,
        author: str | None = None,
        cadence_s: int | None = None,
        sector: int | None = None,
    ) -> list[HeldFile]:
        """Light curves of stars that have catalogue numbers.

        Parameters
        ----------
        stars : iterable of WantedStar
            See `resolve`.
        mission, author, cadence_s, sector
            Only such light curves. Author and cadence are by default the usual ones of the mission, see `USUAL`; of an
            author that is given, every cadence counts.

        Returns
        -------
        list of HeldFile
            Missions in order of name, their segments newest first. Empty where MAST has none.

        Raises
        ------
        ArchiveError
            MAST does not serve now, or refuses us.
        """
        found: list[HeldFile] = []
        stars = [star for star in stars if mission in {None, star.mission}]
        for its in sorted({star.mission for star in stars}):
            usual_author, usual_cadence_s = USUAL[its]
            cadence = cadence_s or (None if author else usual_cadence_s)
            its_stars = [star for star in stars if star.mission == its]
            found += [
                held
                for held in of_stars(self._portal, its_stars, its, author or usual_author)
                if sector in {None, held.product.sector} and cadence in {None, held.product.cadence_s}
            ]
        for held in found:
            self._remember(held)
        return sorted(found, key=lambda held: (_newest_first(held.product), held.star.target_id))

    def segments(
        self,
        stars: Iterable[WantedStar],
        mission: str | None = None,
        author: str | None = None,
        cadence_s: int | None = None,
        sector: int | None = None,
    ) -> dict[Product, tuple[WantedStar, ...]]:
        """Sectors, quarters and campaigns in which stars have light curves.

        Parameters
        ----------
        stars : iterable of WantedStar
            By number or by name.
        mission, author, cadence_s, sector
            As in `light_curves`.

        Returns
        -------
        dict
            Product -> its stars, to be given to `LightkurveArchive(stars=...)`; missions in order of name, their
            segments newest first. A star that has nothing in any segment of its mission is in each of them, where
            it becomes ``absent``.

        Raises
        ------
        InputError
            None of the stars has a light curve of this kind, or as in `resolve`.
        ArchiveError
            MAST does not serve now, or refuses us.
        """
        wanted = self.resolve(stars, mission)
        found = self.light_curves(wanted, mission, author, cadence_s, sector)
        if not found:
            kind = [author or "usual", f"{cadence_s} s" if cadence_s else "", f"sector {sector}" if sector else ""]
            raise InputError(
                f"MAST has no light curves ({', '.join(filter(None, kind))}) of "
                f"{_listed([str(star) for star in wanted])}; look for other pipelines (--author), cadences (--cadence) "
                "or sectors"
            )
        numbers: dict[Product, set[int]] = {}
        for held in found:
            numbers.setdefault(held.product, set()).add(held.star.target_id)
        seen = {(held.product.mission, held.star.target_id) for held in found}
        lost = {star for star in wanted if (star.mission, star.number) not in seen}
        if lost:
            log.warning("MAST has no such light curve of %s", _listed([str(star) for star in lost]))
        return {
            product: tuple(
                star for star in wanted if star.mission == product.mission and (star.number in its or star in lost)
            )
            for product, its in numbers.items()
        }

    def _uri(self, product: Product, target: PlannedTarget) -> str:
        """Address of a target's file in MAST."""
        name = target.product.rpartition("/")[2]
        with suppress(InputError):
            return mast_uri(name)
        with self._searching:
            if name in self._uris:
                return self._uris[name]
            stars = [WantedStar("", product.mission, target.star.target_id)]
            if not self._uris:
                # The first search of this process is for all named stars.
                stars += [star for star in self.stars if star.mission == product.mission]
            its = of_stars(self._portal, together(stars), product.mission, product.author)
            for held in its:
                self._remember(held)
        for held in its:
            if held.product == product and held.star.target_id == target.star.target_id:
                return held.uri
        raise ProductAbsent(f"MAST has no light curve {product} of {product.catalogue} {target.star.target_id}")

    def _remember(self, held: HeldFile) -> None:
        if len(self._uris) >= _REMEMBERED:
            self._uris.clear()
        self._uris[held.name] = held.uri

    def _target_list(self, found: dict[int, HeldFile], absent: dict[int, str]) -> TargetList:
        for held in found.values():
            self._remember(held)
        targets = {star_id: held.target for star_id, held in found.items()}
        targets |= {star_id: PlannedTarget(Star(star_id), name) for star_id, name in absent.items()}
        text = "\n".join(f"{t.product} {t.star.ra} {t.star.dec}" for _, t in sorted(targets.items()))
        return TargetList(
            tuple(target for _, target in sorted(targets.items())),
            self._portal.search_url + (NAMED_STARS if self.stars else ""),
            hashlib.sha256(text.encode()).hexdigest(),
        )


def _newest_first(product: Product) -> tuple[str, int, str, int]:
    return product.mission, -product.sector, product.author, product.cadence_s


def _listed(names: Sequence[str]) -> str:
    more = f" and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
    return ", ".join(names[:_NAMED]) + more

"""Light curves of single stars from the archives, for a person who wants to look at them now."""

from __future__ import annotations

import logging

from larun.archive.holdings import HeldFile
from larun.archive.searched import LightkurveArchive
from larun.archive.stars import WantedStar, parse_stars
from larun.config import Settings
from larun.errors import InputError
from larun.lightcurve import LightCurve
from larun.paths import Product
from larun.survey.archives import open_archives
from larun.survey.obtain import Obtained, obtain

log = logging.getLogger(__name__)

ARCHIVES = ("lightkurve", "mast", "cloud")
"""Archives whose stars can be searched for."""

PATIENCE_S = 20.0
"""Longest that a person waits for an archive that is out of service; a night has more."""

MOST_SEGMENTS = 6
"""Segments of one star in one mission that are fetched where none is named, the newest first."""


class StarArchives:
    """Archives that light curves of a star are fetched from, wherever MAST has some.

    Parameters
    ----------
    spec : str
        Names of `ARCHIVES`, separated by commas, in the order in which they are asked.
    settings : Settings
        Where the archives are, and how they are asked.

    Raises
    ------
    InputError
        Another archive is named.
    """

    def __init__(self, spec: str, settings: Settings):
        others = [name.strip() for name in spec.split(",") if name.strip() not in ARCHIVES]
        if others:
            raise InputError(
                f"stars are looked up in {', '.join(ARCHIVES)}, not in {', '.join(others)!r}; "
                "light curves of a folder are examined by their files' names"
            )
        patience_s = min(PATIENCE_S, settings.archives.patience_s)
        brief = settings.archives.model_copy(update={"patience_s": patience_s})
        settings = settings.model_copy(update={"archives": brief})
        self._search = LightkurveArchive(brief)
        self._archives = tuple(
            self._search if archive.name == self._search.name else archive for archive in open_archives(spec, settings)
        )

    def __enter__(self) -> StarArchives:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Let go of all connections."""
        for archive in (self._search, *self._archives):
            archive.close()

    def resolve(self, name: str) -> tuple[WantedStar, ...]:
        """Catalogue numbers of a star, one for each mission that observed it.

        Raises
        ------
        InputError
            No name of a star, or none that MAST knows.
        ArchiveError
            MAST does not serve now, or refuses us.
        """
        return self._search.resolve(parse_stars([name]))

    def find(self, star: WantedStar, sector: int | None, known: set[Product]) -> list[HeldFile]:
        """Light curves of a star that MAST has, the newest first, and at most `MOST_SEGMENTS`.

        Parameters
        ----------
        star : WantedStar
            With its catalogue number.
        sector : int, optional
            Only this sector, quarter or campaign.
        known : set of Product
            Those that are not wanted.

        Raises
        ------
        ArchiveError
            MAST does not serve now, or refuses us.
        """
        found = [held for held in self._search.light_curves([star], sector=sector) if held.product not in known]
        if len(found) > MOST_SEGMENTS:
            older = ", ".join(str(held.product.sector) for held in found[MOST_SEGMENTS:])
            log.warning("only the %d newest of %s are looked at; --sector takes one of %s", MOST_SEGMENTS, star, older)
        return found[:MOST_SEGMENTS]

    def obtain(self, held: HeldFile) -> Obtained[LightCurve]:
        """One light curve, decoded and verified, or what became of it.

        Raises
        ------
        ArchiveError
            No archive serves now.
        """
        return obtain(self._archives, held.product, held.target)

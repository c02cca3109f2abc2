"""Bringing one snapshot of a catalogue up to date: when it is old, which stars it is about, what of a reply is kept."""

from __future__ import annotations

import contextlib
import hashlib
import json
import logging
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from larun import paths
from larun.archive.allowance import Verdict
from larun.archive.lines import open_line
from larun.catalogue.fetch import CatalogueServices, StarList
from larun.catalogue.sources import Catalogue
from larun.config import ArchiveSettings
from larun.errors import ArchiveError, CatalogueError, CatalogueUnreachable, NotInStore
from larun.objects import Root
from larun.paths import Product
from larun.schema import Status
from larun.store.reading import open_sector
from larun.survey import snapshots

log = logging.getLogger(__name__)

FRESH, UPDATED, STALE, UNREACHABLE = "fresh", "updated", "stale", "unreachable"
"""States of a catalogue: not old enough to ask again; fetched; not to be had, the old snapshot stays; never had."""

_SHRUNK = 0.5
"""A reply with a smaller share of the rows of the snapshot before is refused."""


@dataclass(frozen=True, slots=True)
class SectorStars:
    """Stars of a sector that are stored, and the hash of their list."""

    product: Product
    stars: StarList
    sha256: str


@dataclass(frozen=True)
class Refresh:
    """One snapshot that may have to be fetched.

    Parameters
    ----------
    root : Root
        Survey root.
    services : CatalogueServices
        Who is asked.
    catalogue : Catalogue
        What is asked for.
    sector : SectorStars or None
        Stars that it is asked about; None for a catalogue that is taken whole.
    max_age_days : float
        Age from which a whole catalogue is fetched again.
    """

    root: Root
    services: CatalogueServices
    catalogue: Catalogue
    sector: SectorStars | None
    max_age_days: float

    @property
    def name(self) -> str:
        """Name of the snapshot."""
        return self.catalogue.snapshot_name(self.sector.product if self.sector else None)

    def run(self, forced: bool, silent: dict[str, str]) -> dict[str, Any]:
        """Fetch the snapshot if it is old.

        Parameters
        ----------
        forced : bool
            Fetch it at any age.
        silent : dict
            Services that gave no answer and why: they are not asked again, and one more may be added.

        Returns
        -------
        dict
            As of `larun.survey.known.update_catalogues`.
        """
        points = snapshots.pointer(self.root, self.name)
        now = snapshots.current_time()
        if not forced and self._is_fresh(points, now):
            return self._state(FRESH, "", points, now)
        service = self.catalogue.service
        try:
            if service in silent:
                raise CatalogueUnreachable(silent[service])
            points = self._fetch(points, now)
        except (CatalogueError, ArchiveError) as error:
            if isinstance(error, CatalogueUnreachable | ArchiveError):
                silent[service] = str(error)
            log.warning("%s: %s", self.name, error)
            points = snapshots.note_failure(self.root, self.name, str(error), now)
            return self._state(STALE if "sha256" in points else UNREACHABLE, str(error), points, now)
        return self._state(UPDATED, "", points, now)

    def _is_fresh(self, points: snapshots.Pointer, now: str) -> bool:
        age = snapshots.age_days(points, now)
        if age is None or "failed_since" in points:
            return False
        if snapshots.is_old(age, self.max_age_days) if self.sector is None else not self._is_same_question(points):
            return False
        try:
            snapshots.load(self.root, self.name)
        except (NotInStore, CatalogueError) as error:
            log.warning("%s is fetched again: %s", self.name, error)
            return False
        return True

    def _is_same_question(self, points: snapshots.Pointer) -> bool:
        """Whether the snapshot was asked for with the same query about the same stars."""
        asked = (points.get("stars"), points.get("query"))
        return self.sector is not None and asked == (self.sector.sha256, self.services.query(self.catalogue))

    def _fetch(self, points: snapshots.Pointer, now: str) -> snapshots.Pointer:
        reply = self.services.fetch(self.catalogue, self.sector.stars if self.sector else None)
        rows, before = len(reply.columns[self.catalogue.columns[0].name]), points.get("rows", 0)
        if not rows and self.sector is None:
            raise CatalogueError("the reply has no rows, which no catalogue is")
        if rows < _SHRUNK * before and (self.sector is None or self._is_same_question(points)):
            raise CatalogueError(
                f"the reply has {rows} rows and the snapshot of {points['date']} has {before}; if the catalogue did "
                f"shrink, delete {self.root.url_of(paths.catalogue(self.name))} and update it again"
            )
        origin = {"query": reply.query, "url": reply.url, "date": now}
        origin |= {"stars": self.sector.sha256} if self.sector else {}
        return snapshots.save(self.root, self.name, self.catalogue, reply.columns, origin)

    def _state(self, state: str, reason: str, points: snapshots.Pointer, now: str) -> dict[str, Any]:
        held = {key: points.get(key) for key in ("rows", "date", "sha256")}
        age = {"age_d": snapshots.age_days(points, now)}
        return {"name": self.name, "catalogue": self.catalogue.name, "state": state, "reason": reason} | held | age


def stars_of(root: Root, product: Product) -> SectorStars:
    """Stars of a sector that are stored, ordered by number.

    Raises
    ------
    NotInStore
        The store does not hold the sector.
    """
    with open_sector(root, product) as sector:
        found = {name: sector[name].to_numpy() for name in ("target_id", "ra", "dec", "status")}
    stored = np.flatnonzero(found["status"] == Status.CODES[Status.STORED])
    rows = stored[np.argsort(found["target_id"][stored])]
    numbers = found["target_id"] if product.catalogue == "TIC" else np.full(len(found["ra"]), -1)
    stars = StarList(*(values[rows].tolist() for values in (numbers, found["ra"], found["dec"])))
    sha256 = hashlib.sha256(json.dumps([stars.tic, stars.ra, stars.dec]).encode()).hexdigest()
    return SectorStars(product, stars, sha256)


@contextlib.contextmanager
def mast_permit(settings: ArchiveSettings, budget: str) -> Iterator[None]:
    """Leave for one request to MAST, from the budget of all that ask it."""
    while True:
        line = open_line("mast", settings, budget)
        try:
            line.wait()
            if line.ask() is Verdict.YIELD:
                continue
            try:
                yield
            except OSError as error:
                line.failed(type(error).__name__, None)
                raise
            line.succeeded()
            return
        finally:
            line.close()

"""What is known about the stars of a sweep: keeping snapshots of catalogues, and matching detections with them.

Only `update_catalogues` uses the network, and it never fails for want of it: a catalogue that cannot be had keeps its
old snapshot, or its match is deferred and the record of the sweep's matches says so. The next call makes it.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import logging
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import numpy as np
import pyarrow as pa

import larun
from larun import paths
from larun.archive.allowance import Verdict
from larun.archive.lines import open_line
from larun.catalogue.fetch import CatalogueServices, StarList
from larun.catalogue.match import Places, compare_periods, epoch_phase, find_pairs
from larun.catalogue.sources import CATALOGUES, Catalogue, choose
from larun.config import ArchiveSettings, CatalogueSettings, Settings
from larun.errors import ArchiveError, CatalogueError, CatalogueUnreachable, NotInStore
from larun.objects import Root
from larun.paths import Product
from larun.schema import MATCH_COLUMNS, Status
from larun.store.publish import published
from larun.store.reading import open_sector, products
from larun.store.tables import read_table, write_table
from larun.survey import snapshots

log = logging.getLogger(__name__)

FRESH, UPDATED, STALE, UNREACHABLE = "fresh", "updated", "stale", "unreachable"
"""States of a catalogue: not old enough to ask again; fetched; not to be had, the old snapshot stays; never had."""

_SHRUNK = 0.5
"""A reply with a smaller share of the rows of the snapshot before is refused."""

_NEVER_ASKED = "was never asked for; run `larun catalogues update`"


def update_catalogues(
    root: Root,
    settings: Settings,
    names: Sequence[str] | None = None,
    budget: str = "",
    product: Product | None = None,
) -> list[dict[str, Any]]:
    """Bring the snapshots of catalogues up to date; a catalogue that cannot be had is said, not raised.

    Parameters
    ----------
    root : Root
        Survey root.
    settings : Settings
        Addresses, timeouts, age from which a snapshot is fetched again.
    names : sequence of str, optional
        Catalogues that are fetched whatever their age; by default those of the settings that are old. A catalogue
        that is asked about the stars of a sector is old when these stars change.
    budget : str
        Address of the run's request budget, for the requests to MAST; empty for one of this process.
    product : Product, optional
        Sector whose stars such catalogues are asked about; by default all sectors that the store holds.

    Returns
    -------
    list of dict
        Per snapshot ``name``, ``catalogue``, ``state`` (see `FRESH` and those beside it), ``reason``, ``rows``,
        ``date``, ``sha256``; the last three are None where there is no snapshot.

    Raises
    ------
    InputError
        There is no catalogue of such a name.
    StoreError
        The root cannot be read or written.
    """
    chosen = choose(settings.catalogues.use if names is None else list(names))
    observed = [p for p in ([product] if product else products(root)) if not p.simulated]
    silent: dict[str, str] = {}
    results = []
    permit = partial(_mast_permit, settings.archives, budget)
    with CatalogueServices(settings.archives, settings.catalogues, permit) as services:
        for catalogue in chosen:
            for sector in _sectors(catalogue, observed):
                work = _Update(root, services, catalogue, sector, settings.catalogues.max_age_days)
                results.append(work.run(forced=names is not None, silent=silent))
    return results


@contextlib.contextmanager
def _mast_permit(settings: ArchiveSettings, budget: str) -> Iterator[None]:
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


def _sectors(catalogue: Catalogue, observed: list[Product]) -> list[Product | None]:
    """Sectors that a catalogue has a snapshot of each; `[None]` for one that is taken whole."""
    if not catalogue.stars_per_request:
        return [None]
    return [p for p in observed if p.catalogue == "TIC" or catalogue.service != "mast"]


@dataclass(frozen=True)
class _Update:
    """One snapshot that may have to be fetched."""

    root: Root
    services: CatalogueServices
    catalogue: Catalogue
    product: Product | None
    max_age_days: float

    @property
    def name(self) -> str:
        return self.catalogue.snapshot_name(self.product)

    def run(self, forced: bool, silent: dict[str, str]) -> dict[str, Any]:
        """Fetch what is old; `silent` are services that gave no answer, which are not asked again."""
        points = snapshots.pointer(self.root, self.name)
        stars, stars_sha = _stars(self.root, self.product)
        now = snapshots.current_time()
        if not forced and self._is_fresh(points, stars_sha, now):
            return _state(self.name, self.catalogue, FRESH, "", points)
        service = self.catalogue.service
        try:
            if service in silent:
                raise CatalogueUnreachable(silent[service])
            points = self._fetch(points, stars, stars_sha, now)
        except (CatalogueError, ArchiveError) as error:
            if isinstance(error, CatalogueUnreachable | ArchiveError):
                silent[service] = str(error)
            log.warning("%s: %s", self.name, error)
            points = snapshots.note_failure(self.root, self.name, str(error), now)
            return _state(self.name, self.catalogue, STALE if "sha256" in points else UNREACHABLE, str(error), points)
        return _state(self.name, self.catalogue, UPDATED, "", points)

    def _is_fresh(self, points: snapshots.Pointer, stars_sha: str, now: str) -> bool:
        age = snapshots.age_days(points, now)
        if age is None:
            return False
        if not self.catalogue.stars_per_request:
            return age <= self.max_age_days
        return (points.get("stars"), points.get("query")) == (stars_sha, self.services.query(self.catalogue))

    def _fetch(self, points: snapshots.Pointer, stars: StarList | None, stars_sha: str, now: str) -> snapshots.Pointer:
        reply = self.services.fetch(self.catalogue, stars)
        rows, before = len(reply.columns[self.catalogue.columns[0].name]), points.get("rows", 0)
        same_question = points.get("stars", "") == stars_sha
        if not rows and stars is None:
            raise CatalogueError("the reply has no rows, which no catalogue is")
        if same_question and rows < _SHRUNK * before:
            raise CatalogueError(f"the reply has {rows} rows and the snapshot of {points['date']} has {before}")
        origin = {"query": reply.query, "url": reply.url, "date": now} | ({"stars": stars_sha} if stars else {})
        return snapshots.save(self.root, self.name, self.catalogue, reply.columns, origin)


def _stars(root: Root, product: Product | None) -> tuple[StarList | None, str]:
    """Stars of a sector that are stored, ordered by number, and the hash of the list."""
    if product is None:
        return None, ""
    with open_sector(root, product) as sector:
        found = {name: sector[name].to_numpy() for name in ("target_id", "ra", "dec", "status")}
    stored = np.flatnonzero(found["status"] == Status.CODES[Status.STORED])
    rows = stored[np.argsort(found["target_id"][stored])]
    numbers = found["target_id"] if product.catalogue == "TIC" else np.full(len(found["ra"]), -1)
    stars = StarList(*(values[rows].tolist() for values in (numbers, found["ra"], found["dec"])))
    return stars, hashlib.sha256(json.dumps([stars.tic, stars.ra, stars.dec]).encode()).hexdigest()


def _state(name: str, catalogue: Catalogue, state: str, reason: str, points: snapshots.Pointer) -> dict[str, Any]:
    held = {key: points.get(key) for key in ("rows", "date", "sha256")}
    return {"name": name, "catalogue": catalogue.name, "state": state, "reason": reason} | held


def match_sweep(root: Root, product: Product, run: str, settings: Settings) -> dict[str, Any]:
    """Match every searched star of a sweep with the snapshots that the store holds, without the network.

    The table of matches and then the record are written; equal input gives equal bytes, and what was deferred is
    matched by a later call, once its snapshot is there. Stars of a simulated sector do not exist and are not matched.

    Parameters
    ----------
    root : Root
        Survey root.
    product : Product
        Sector.
    run : str
        Sweep, whose detections are complete.
    settings : Settings
        Catalogues to match with, radius and tolerance.

    Returns
    -------
    dict
        The record: ``catalogues`` with the hash and rows of each snapshot that was used, ``deferred`` with the reason
        and since when, ``n_matches``, ``n_targets`` with a match, settings.

    Raises
    ------
    NotInStore
        The sweep has no detections.
    """
    columns: dict[str, list[Any]] = {column.name: [] for column in MATCH_COLUMNS}
    used: dict[str, Any] = {}
    deferred: dict[str, Any] = {}
    if not product.simulated:
        detections = read_table(root, paths.run_folder("detections", product, run))
        for catalogue in choose(settings.catalogues.use):
            if not catalogue.holds_objects:
                continue
            name = catalogue.snapshot_name(product)
            points = snapshots.pointer(root, name)
            try:
                objects = snapshots.load(root, name)
            except (NotInStore, CatalogueError) as error:
                asked = "failed_since" in points
                reason = (
                    points["failed_reason"] if asked else _NEVER_ASKED if isinstance(error, NotInStore) else str(error)
                )
                deferred[catalogue.name] = {"reason": reason, "since": points.get("failed_since")}
                continue
            used[catalogue.name] = {"snapshot": name, "sha256": points["sha256"], "rows": points["rows"]}
            found = _match(detections, objects, settings.catalogues)
            n = len(found["target"])
            found |= {"catalogue": [catalogue.name] * n, "catalogue_sha256": [points["sha256"]] * n}
            found |= {"mission": [product.mission] * n, "sector": [product.sector] * n, "run": [run] * n}
            for key, values in found.items():
                columns[key] += values
    columns = _ordered(columns)
    write_table(root, paths.part("matches", product, run, 0), columns, MATCH_COLUMNS)
    record = {
        "run": run,
        "product": str(product),
        "simulated": product.simulated,
        "catalogues": used,
        "deferred": deferred,
        "n_matches": len(columns["target"]),
        "n_targets": len(set(columns["target"])),
        "radius_arcsec": settings.catalogues.radius_arcsec,
        "period_tolerance": settings.catalogues.period_tolerance,
        "larun_version": larun.__version__,
    }
    root.write_json(paths.match_record(product, run), record)
    return record


def match_published(root: Root, settings: Settings) -> list[dict[str, Any]]:
    """Match every published sweep; returns the records, see `match_sweep`."""
    sectors = published(root)["sectors"]
    return [
        match_sweep(root, Product.from_zarr_path(f"{name}.zarr"), summary["run"], settings)
        for name, summary in sectors.items()
    ]


def _match(detections: pa.Table, objects: pa.Table, settings: CatalogueSettings) -> dict[str, list[Any]]:
    """Columns of the matches with one catalogue that come from detections and objects."""
    stars, known = _places(detections), _places(objects)
    pairs = find_pairs(stars, known, settings.radius_arcsec)
    star = {name: _floats(detections, name)[pairs.star] for name in ("period_d", "t0_btjd")}
    obj = {name: _floats(objects, name)[pairs.obj] for name in ("period_d", "period_err_d", "t0_btjd")}
    ratio, relation = compare_periods(star["period_d"], obj["period_d"], settings.period_tolerance)
    phase = epoch_phase(star["t0_btjd"], obj["t0_btjd"], obj["period_d"], obj["period_err_d"])
    of_star, of_object = pa.array(pairs.star), pa.array(pairs.obj)
    return {
        "tic": detections["tic"].take(of_star).to_pylist(),
        "target": detections["target"].take(of_star).to_pylist(),
        "object": objects["object"].take(of_object).to_pylist(),
        "disposition": objects["disposition"].take(of_object).to_pylist(),
        "matched_by": ["tic" if by_tic else "position" for by_tic in pairs.by_tic],
        "separation_arcsec": np.round(pairs.separation_arcsec, 3).tolist(),
        "period_d": obj["period_d"].tolist(),
        "t0_btjd": obj["t0_btjd"].tolist(),
        "period_ratio": ratio.tolist(),
        "relation": relation,
        "epoch_phase": phase.tolist(),
    }


def _places(table: pa.Table) -> Places:
    numbers = table["tic"].fill_null(-1).to_numpy()
    return Places(numbers, _floats(table, "ra"), _floats(table, "dec"))


def _floats(table: pa.Table, name: str) -> np.ndarray:
    """Column as floats, NaN for null."""
    return table[name].to_numpy(zero_copy_only=False).astype(np.float64)


def _ordered(columns: dict[str, list[Any]]) -> dict[str, list[Any]]:
    """Rows by star; those of one star by catalogue, the nearest first."""
    order = list(CATALOGUES)
    keys = zip(columns["target"], columns["catalogue"], columns["matched_by"], columns["object"], strict=True)
    ranked = sorted(
        (target, order.index(catalogue), matched_by != "tic", name, row)
        for row, (target, catalogue, matched_by, name) in enumerate(keys)
    )
    return {name: [values[row] for *_, row in ranked] for name, values in columns.items()}


@dataclass(frozen=True, slots=True)
class Known:
    """Known objects of a sweep's stars.

    Parameters
    ----------
    matches : dict
        Per target, such as ``TIC 261136679``, its matches: columns of `larun.schema.MATCH_COLUMNS` as plain values.
    not_matched : tuple of str
        What was not looked up yet and why, one sentence each.
    """

    matches: dict[str, list[dict[str, Any]]] = field(default_factory=dict)
    not_matched: tuple[str, ...] = ()


def known_objects(root: Root, product: Product, run: str) -> Known:
    """Known objects of a sweep, as the last `match_sweep` found them."""
    path = paths.match_record(product, run)
    if not root.exists(path):
        return Known(not_matched=() if product.simulated else ("no catalogue was looked up yet",))
    record = root.read_json(path)
    matches: dict[str, list[dict[str, Any]]] = {}
    for row in read_table(root, paths.run_folder("matches", product, run)).to_pylist():
        matches.setdefault(row["target"], []).append(row)
    deferred = record["deferred"]
    return Known(matches, tuple(_not_matched(name, deferred[name]) for name in CATALOGUES if name in deferred))


def _not_matched(name: str, said: dict[str, Any]) -> str:
    return (
        f"{name} unreachable since {said['since']}: {said['reason']}" if said["since"] else f"{name} {said['reason']}"
    )

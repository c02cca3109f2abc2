"""What is known about the stars of a sweep: keeping snapshots of catalogues, and matching detections with them.

Only `update_catalogues` uses the network, and it never fails for want of it: a catalogue that cannot be had keeps its
old snapshot, or its match is deferred and the record of the sweep's matches says so. The next call makes it.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import numpy as np
import pyarrow as pa

import larun
from larun import paths
from larun.catalogue.fetch import CatalogueServices
from larun.catalogue.match import RELATIONS, Places, compare_periods, epoch_phase, find_pairs
from larun.catalogue.sources import CATALOGUES, Catalogue, choose
from larun.config import CatalogueSettings, Settings
from larun.errors import CatalogueError, NotInStore
from larun.objects import Root
from larun.paths import Product
from larun.schema import MATCH_COLUMNS
from larun.store.publish import published
from larun.store.tables import read_table, write_table
from larun.survey import snapshots
from larun.survey.refresh import Refresh, SectorStars, mast_permit, stars_of

log = logging.getLogger(__name__)

_NEVER_ASKED = "was never asked for; run `larun catalogues update`"


def update_catalogues(
    root: Root,
    settings: Settings,
    names: Sequence[str] | None = None,
    budget: str = "",
    products: Sequence[Product] | None = None,
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
    products : sequence of Product, optional
        Sectors whose stars such catalogues are asked about; by default all whose sweep is published.

    Returns
    -------
    list of dict
        Per snapshot ``name``, ``catalogue``, ``state`` (see `larun.survey.refresh.FRESH` and those beside it),
        ``reason``, ``rows``, ``date``, ``sha256``, ``age_d``; the last four are None where there is no snapshot.

    Raises
    ------
    InputError
        There is no catalogue of such a name.
    StoreError
        The root cannot be read or written.
    """
    chosen = choose(settings.catalogues.use if names is None else names)
    observed = [p for p in (published_products(root) if products is None else products) if not p.simulated]
    sectors = _stars_held(root, observed) if any(c.stars_per_request for c in chosen) else []
    silent: dict[str, str] = {}
    results = []
    permit = partial(mast_permit, settings.archives, budget)
    with CatalogueServices(settings.archives, settings.catalogues, permit) as services:
        for catalogue in chosen:
            for sector in _asked_about(catalogue, sectors):
                work = Refresh(root, services, catalogue, sector, settings.catalogues.max_age_days)
                results.append(work.run(forced=names is not None, silent=silent))
    return results


def _stars_held(root: Root, products: Sequence[Product]) -> list[SectorStars]:
    """Stars of the sectors whose light curves are still in the store."""
    held = []
    for product in products:
        try:
            held.append(stars_of(root, product))
        except NotInStore as error:
            log.warning("no catalogue is asked about the stars of %s: %s", product, error)
    return held


def _asked_about(catalogue: Catalogue, sectors: list[SectorStars]) -> Sequence[SectorStars | None]:
    """Sectors that a catalogue has a snapshot of each; `[None]` for one that is taken whole."""
    if not catalogue.stars_per_request:
        return [None]
    return [s for s in sectors if s.product.catalogue == "TIC" or catalogue.service != "mast"]


def published_products(root: Root) -> list[Product]:
    """Sectors whose sweep readers see."""
    return [Product.from_zarr_path(f"{name}.zarr") for name in published(root)["sectors"]]


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
    if product.simulated:
        columns, used, deferred = _no_matches(), {}, {}
    else:
        columns, used, deferred = _match_all(root, product, run, settings.catalogues)
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


def _no_matches() -> dict[str, list[Any]]:
    return {column.name: [] for column in MATCH_COLUMNS}


def _match_all(
    root: Root, product: Product, run: str, settings: CatalogueSettings
) -> tuple[dict[str, list[Any]], dict[str, Any], dict[str, Any]]:
    """Columns of the matches with all catalogues; snapshots that were used; catalogues that must wait."""
    columns, used, deferred = _no_matches(), {}, {}
    detections = read_table(root, paths.run_folder("detections", product, run))
    for catalogue in choose(settings.use):
        if not catalogue.holds_objects:
            continue
        name = catalogue.snapshot_name(product)
        points = snapshots.pointer(root, name)
        try:
            objects = snapshots.load(root, name)
        except (NotInStore, CatalogueError) as error:
            asked = "sha256" in points
            reason = str(error) if asked else points.get("failed_reason", _NEVER_ASKED)
            deferred[catalogue.name] = {"reason": reason, "since": None if asked else points.get("failed_since")}
            continue
        used[catalogue.name] = {"snapshot": name, "sha256": points["sha256"], "rows": points["rows"]}
        found = _match(detections, objects, settings)
        constant = {"catalogue": catalogue.name, "catalogue_sha256": points["sha256"]}
        constant |= {"mission": product.mission, "sector": product.sector, "run": run}
        found |= {key: [value] * len(found["target"]) for key, value in constant.items()}
        for key, values in found.items():
            columns[key] += values
    return _ordered(columns), used, deferred


def match_published(root: Root, settings: Settings) -> list[dict[str, Any]]:
    """Match every published sweep; returns the records, see `match_sweep`."""
    sectors = published(root)["sectors"]
    return [match_sweep(root, p, sectors[str(p)]["run"], settings) for p in published_products(root)]


def _match(detections: pa.Table, objects: pa.Table, settings: CatalogueSettings) -> dict[str, list[Any]]:
    """Columns of the matches with one catalogue that come from detections and objects."""
    stars, known = places_of(detections), places_of(objects)
    pairs = find_pairs(stars, known, settings.radius_arcsec)
    star = {name: _floats(detections, name)[pairs.star] for name in ("period_d", "t0_btjd")}
    obj = {name: _floats(objects, name)[pairs.obj] for name in ("period_d", "period_err_d", "t0_btjd")}
    ratio, relation = compare_periods(star["period_d"], obj["period_d"], settings.period_tolerance)
    phase = epoch_phase(star["t0_btjd"], obj["t0_btjd"], obj["period_d"], obj["period_err_d"])
    of_star, of_object = pa.array(pairs.star), pa.array(pairs.obj)
    return {
        "tic": detections["tic"].take(of_star).to_pylist(),
        "target": detections["target"].take(of_star).to_pylist(),
        "event": detections["event"].take(of_star).to_pylist(),
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


def places_of(table: pa.Table) -> Places:
    """Numbers and places of the rows of a table of stars or objects."""
    numbers = table["tic"].fill_null(-1).to_numpy()
    return Places(numbers, _floats(table, "ra"), _floats(table, "dec"))


def _floats(table: pa.Table, name: str) -> np.ndarray:
    """Column as floats, NaN for null."""
    return table[name].to_numpy(zero_copy_only=False).astype(np.float64)


def _ordered(columns: dict[str, list[Any]]) -> dict[str, list[Any]]:
    """Rows by star and event; of one event first what has its period, then by catalogue, the star's own first."""
    order = list(CATALOGUES)

    def key(row: int) -> tuple:
        relation, matched_by, separation = (columns[n][row] for n in ("relation", "matched_by", "separation_arcsec"))
        how = (RELATIONS.index(relation), order.index(columns["catalogue"][row]), matched_by != "tic")
        return (
            columns["target"][row],
            columns["event"][row],
            *how,
            separation if matched_by != "tic" else 0.0,
            columns["object"][row],
            row,
        )

    ranked = sorted(range(len(columns["target"])), key=key)
    return {name: [values[row] for row in ranked] for name, values in columns.items()}


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

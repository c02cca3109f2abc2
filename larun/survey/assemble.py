"""A training set of real stars: catalogues say what a star is, the archives and the store have its light curves.

Planets and binaries are fetched from the archives, star by star, and kept below `training/light_curves` of the root, so
that a second run asks nobody. Variable and quiet stars are those of the ingested sectors that a catalogue of variables
names, or that no catalogue knows.
"""

from __future__ import annotations

import io
import json
import logging
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import numpy as np
import pyarrow as pa

from larun import paths
from larun.archive.stars import WantedStar
from larun.catalogue.match import Places, find_pairs
from larun.catalogue.sources import choose
from larun.config import Settings
from larun.errors import InputError, NotInStore
from larun.lightcurve import Shard, Star, shard_of
from larun.network.bank import MIN_SEGMENT_D, Curve, curve_of, segments
from larun.objects import Root
from larun.paths import Product
from larun.schema import Status
from larun.store.reading import open_sector, products, read_rows
from larun.survey import snapshots
from larun.survey.known import places_of, update_catalogues
from larun.survey.labels import NOISE, STELLAR, KnownStar, chosen, known_stars, variable_label
from larun.survey.wanted import StarArchives
from larun.units import BKJD_OFFSET_D, BTJD_OFFSET_D

log = logging.getLogger(__name__)

LABELLING = ("planets", "toi", "tess-eb")
"""Catalogues that say what a star is, taken whole."""

_KEPT = ("time", "cadence_no", "time_correction", "flux", "quality")


def assemble(settings: Settings, report: Callable[[int, int], None]) -> list[Curve]:
    """Labelled light curves for a training, `dataset.planets` and `dataset.non_planets` stars at most.

    Parameters
    ----------
    settings : Settings
        `dataset`, `catalogues`, `archives`, `training.seed` and `root`.
    report : callable
        Given the stars done and their number.

    Returns
    -------
    list of Curve
        Cut into pieces of one sector's length; equal input gives equal curves in equal order.

    Raises
    ------
    InputError
        The catalogues or the archives hold no such star, or with `dataset.use_cache` nothing was fetched before.
    ArchiveError
        No archive serves now.
    """
    d, root = settings.dataset, Root(settings.root, settings.storage_options)
    if not d.use_cache:
        update_catalogues(root, settings, products=products(root, "tess"))
    stars = known_stars(_tables(root))
    listed = {star.tic for star in stars}
    stars += [star for star in _stars_of_store(root, settings) if star.tic not in listed]
    wanted = chosen(stars, d.planets, d.non_planets, settings.training.seed)
    if not wanted:
        raise InputError(
            f"no star of the catalogues in {root.url} is labelled; run `larun catalogues update`, or import them with "
            "`larun catalogues import`"
        )
    curves = _Curves(root, settings)
    try:
        with ThreadPoolExecutor(settings.ingest.fetch_threads) as pool:
            found: list[Curve] = []
            for done, pieces in enumerate(pool.map(curves.of, wanted), 1):
                found += pieces
                report(done, len(wanted))
    finally:
        curves.close()
    if not found:
        raise InputError(
            f"none of {len(wanted)} labelled stars has a light curve of {MIN_SEGMENT_D:g} d or more in {root.url}"
            + (", and dataset.use_cache lets nobody be asked; run once without it" if d.use_cache else "")
        )
    return found


class _Curves:
    """Light curves of known stars: from the store, from what was fetched before, and else from the archives."""

    def __init__(self, root: Root, settings: Settings):
        self._root, self._dataset = root, settings.dataset
        self._archives = None if self._dataset.use_cache else StarArchives(self._dataset.archive, settings)

    def close(self) -> None:
        """Let go of all connections."""
        if self._archives is not None:
            self._archives.close()

    def of(self, star: KnownStar) -> list[Curve]:
        """Pieces of a star's light curves, the newest `dataset.segments` of each mission."""
        if star.stored:
            product, row = star.stored
            return _pieces(star, read_rows(self._root, product, np.array([row]))[0])
        kept = (_unpack(self._root.read(path)) for path in self._index(star))
        return [piece for shard in kept for piece in _pieces(star, shard)]

    def _index(self, star: KnownStar) -> list[str]:
        """Where the light curves of a star are kept; fetched first where they are not."""
        asked = f"{self._dataset.segments} of {','.join(self._dataset.missions)}"
        path = paths.training_star(star.tic)
        if self._root.exists(path):
            kept = self._root.read_json(path)
            if kept["asked"] == asked or self._archives is None:
                return kept["light_curves"]
        if self._archives is None:
            return []
        kept, complete = self._fetch(star)
        if complete:
            self._root.write_json(path, {"asked": asked, "light_curves": kept})
        return kept

    def _fetch(self, star: KnownStar) -> tuple[list[str], bool]:
        """Fetch what the archives have of a star; whether all of it came."""
        kept, complete = [], True
        for wanted in self._wanted(star):
            for held in self._archives.find(wanted, None, set())[: self._dataset.segments]:
                obtained = self._archives.obtain(held)
                if obtained.checked is None:
                    log.warning("%s of %s is left out: %s, %s", held.name, wanted, obtained.status, obtained.reason)
                    complete = complete and obtained.status != Status.UNREACHABLE
                    continue
                path = paths.training_curve(held.product, wanted.number)
                self._root.write(path, _pack(shard_of(obtained.checked)))
                kept.append(path)
        return kept, complete

    def _wanted(self, star: KnownStar) -> list[WantedStar]:
        stars = [WantedStar(f"TIC {star.tic}", "tess", star.tic)] if "tess" in self._dataset.missions else []
        if set(self._dataset.missions) - {"tess"}:
            for host in star.hosts:
                stars += [s for s in self._archives.resolve(host) if s.mission in self._dataset.missions]
        return list({(s.mission, s.number): s for s in stars}.values())


def _tables(root: Root) -> dict[str, pa.Table]:
    """Snapshots of the catalogues that label, those that the root holds."""
    tables = {}
    for name in LABELLING:
        try:
            tables[name] = snapshots.load(root, name)
        except NotInStore:
            log.warning("no snapshot of the catalogue %s: none of its stars is trained on", name)
    return tables


def _stars_of_store(root: Root, settings: Settings) -> list[KnownStar]:
    """Variable stars and stars that no catalogue knows, of the ingested sectors of TESS; each star once."""
    objects = [c for c in choose(settings.catalogues.use) if c.holds_objects]
    found: dict[int, KnownStar] = {}
    observed = [product for product in products(root, "tess") if not product.simulated]
    if not observed:
        log.warning("%s holds no observed sector: no variable and no quiet star is trained on; ingest one", root.url)
    for product in observed:
        try:
            tables = {c.name: snapshots.load(root, c.snapshot_name(product)) for c in objects}
        except NotInStore as error:
            log.warning("stars of %s are not known to be quiet: %s", product, error)
            continue
        for star in _labelled_rows(root, product, tables, settings.catalogues.radius_arcsec):
            found.setdefault(star.tic, star)
    return list(found.values())


def _labelled_rows(
    root: Root, product: Product, tables: dict[str, pa.Table], radius_arcsec: float
) -> Iterator[KnownStar]:
    with open_sector(root, product) as sector:
        held = {name: sector[name].to_numpy() for name in ("target_id", "ra", "dec", "status")}
    rows = np.flatnonzero(held["status"] == Status.CODES[Status.STORED])
    places = Places(*(held[name][rows] for name in ("target_id", "ra", "dec")))
    kinds: dict[int, set[int | None]] = {}
    for name, table in tables.items():
        pairs = find_pairs(places, places_of(table), radius_arcsec)
        dispositions = table["disposition"].to_pylist()
        for star, obj in zip(pairs.star, pairs.obj, strict=True):
            said = variable_label(dispositions[obj] or "") if name == "vsx" else None
            kinds.setdefault(int(star), set()).add(said)
    for star, row in enumerate(rows):
        tic = int(held["target_id"][row])
        if star not in kinds:
            yield KnownStar(tic, NOISE, "no catalogue", stored=(product, int(row)))
        elif kinds[star] == {STELLAR}:
            yield KnownStar(tic, STELLAR, "vsx", stored=(product, int(row)))


def _pieces(star: KnownStar, shard: Shard) -> list[Curve]:
    """Pieces of one star's light curve, with what is known of it in the light curve's own time."""
    curve = curve_of(shard)
    if curve is None:
        return []
    offset = BTJD_OFFSET_D - BKJD_OFFSET_D if shard.time_format == "bkjd" else 0.0
    known = tuple(replace(e, t0=e.t0 + offset) for e in star.ephemerides)
    return segments(replace(curve, star=f"TIC {star.tic}", label=star.label, origin=star.catalogue, ephemerides=known))


def _pack(shard: Shard) -> bytes:
    """What is kept of a fetched light curve."""
    written = io.BytesIO()
    arrays = {name: getattr(shard, name) for name in _KEPT}
    said = {name: getattr(shard, name) for name in ("mission", "sector", "cadence_s", "time_format", "author")}
    np.savez_compressed(written, said=np.array(json.dumps(said)), **arrays)
    return written.getvalue()


def _unpack(data: bytes) -> Shard:
    with np.load(io.BytesIO(data), allow_pickle=False) as file:
        arrays = {name: file[name] for name in _KEPT}
        said = json.loads(str(file["said"]))
    unknown = np.full(arrays["flux"].shape, np.nan, np.float32)
    rest = dict.fromkeys(("flux_err", "background", "centroid_col", "centroid_row"), unknown)
    return Shard(stars=(Star(),), **arrays, **rest, **said)

"""Reading a survey root: its sectors, a whole sector for xarray, shards for the sweep, one star for people."""

from __future__ import annotations

import contextlib
from collections.abc import Collection
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
import zarr
from zarr.storage import FsspecStore, LocalStore

from larun.errors import InputError, NotInStore, StoreError
from larun.lightcurve import CadenceGrid, Shard, Star
from larun.objects import Root
from larun.paths import Product
from larun.plan import Plan
from larun.schema import CADENCE_ARRAYS, FLUX_ARRAYS, SECTOR_COORDINATES, TARGET_ARRAYS, Status
from larun.store.encoding import Encoding
from larun.store.sector import SHARD_ARRAYS, encodings_of, object_hash, object_path

if TYPE_CHECKING:
    import lightkurve
    import xarray

_IN_SHARD = tuple(array.name for array in SHARD_ARRAYS)
_ALONG_TIME = tuple(array.name for array in CADENCE_ARRAYS)
_READERS = 4
"""Arrays that are read at once."""

_STATUS_NAMES = {code: name for name, code in Status.CODES.items()} | {Status.PENDING_CODE: "pending"}


def products(root: Root, mission: str | None = None, sector: int | None = None) -> list[Product]:
    """Sectors that the store holds, in order; those of one mission or sector number if given."""
    found = []
    for mission_folder in root.list("lightcurves"):
        for segment_folder in root.list(mission_folder):
            for path in root.list(segment_folder, ".zarr"):
                with contextlib.suppress(InputError, ValueError):
                    found.append(Product.from_zarr_path(path))
    return sorted(
        product
        for product in found
        if mission in (None, product.mission)
        and sector in (None, product.sector)
        and root.exists(f"{product.zarr}/zarr.json")
    )


def open_sector(root: Root, product: Product) -> xarray.Dataset:
    """Open a sector lazily: arrays (target, cadence) as variables, those along one dimension as coordinates.

    `xarray.open_zarr` on the sector's path gives the same, with Dask arrays.

    Raises
    ------
    NotInStore
        The store does not hold the sector; says what it holds.
    """
    import xarray

    _require_sector(root, product)
    with _reading(root, product):
        dataset = xarray.open_dataset(_store(root, product), engine="zarr", chunks=None, consolidated=True)
    return dataset.set_coords(sorted(SECTOR_COORDINATES & set(dataset.variables)))


def read_shard(
    root: Root, plan: Plan, index: int, hashes: dict[str, str] | None = None, without: Collection[str] = ()
) -> tuple[Shard, np.ndarray]:
    """Read one shard.

    Parameters
    ----------
    root : Root
        Survey root.
    plan : Plan
        Plan of the sector.
    index : int
        Number of the shard.
    hashes : dict, optional
        SHA-256 per array, as in the shard's record; the objects that are decoded must have them.
    without : collection of str
        Arrays of `larun.schema.FLUX_ARRAYS` that are not read; they are NaN.

    Returns
    -------
    shard : Shard
        All targets of the shard in the order of the plan, also those that are not stored.
    status : (star,) uint8
        Codes of `larun.schema.Status`.

    Raises
    ------
    NotInStore
        The store does not hold the sector.
    StoreError
        The store says that a target is stored and its data are gone, or what is read is not what was written.
    """
    return ShardReader.of(root, plan).read(index, hashes, without=without)


@dataclass(frozen=True)
class ShardReader:
    """What reading the shards of a sector needs, without the targets of its plan.

    Parameters
    ----------
    root : Root
        Survey root.
    product : Product
        The sector.
    grid : CadenceGrid
        Its cadences.
    n_targets, shard_targets : int
        As in the plan.
    time_format : str
        As in the plan.
    encodings : dict
        Encoding of each array.
    """

    root: Root
    product: Product
    grid: CadenceGrid
    n_targets: int
    shard_targets: int
    time_format: str
    encodings: dict[str, Encoding] = field(repr=False)

    @classmethod
    def of(cls, root: Root, plan: Plan) -> ShardReader:
        """Reader of a plan's sector; raises as `read_shard`."""
        _require_sector(root, plan.product)
        sizes = len(plan.targets), plan.shard_targets
        return cls(root, plan.product, plan.grid, *sizes, plan.time_format, encodings_of(root, plan))

    def read(
        self,
        index: int,
        hashes: dict[str, str] | None = None,
        rows: np.ndarray | None = None,
        without: Collection[str] = (),
    ) -> tuple[Shard, np.ndarray]:
        """Read one shard, or some of its stars; see `read_shard`.

        Parameters
        ----------
        index, hashes, without
            As there.
        rows : (star,) int, optional
            Rows of the shard, in the order wanted; by default all.
        """
        n = min(self.n_targets - index * self.shard_targets, self.shard_targets)
        wanted = [name for name in (*_IN_SHARD, *_ALONG_TIME) if name not in without]

        def read(name: str) -> tuple[np.ndarray, str]:
            """Values of an array, and the hash of the very bytes that they were decoded from."""
            data = _read_object(self.root, object_path(self.product, name, index if name in _IN_SHARD else 0))
            encoding = self.encodings[name]
            with _reading(self.root, self.product):
                if name in _ALONG_TIME:
                    values = encoding.decode(data, len(self.grid.time))
                else:
                    values = encoding.decode(data, n) if rows is None else encoding.decode_rows(data, rows)
                return values, object_hash(data)

        with ThreadPoolExecutor(_READERS) as pool:
            found = dict(zip(wanted, pool.map(read, wanted), strict=True))
        columns = {name: values for name, (values, _) in found.items()}
        times = {"time": self.grid.time, "cadence_no": self.grid.cadence_no}
        altered = [name for name, planned in times.items() if not np.array_equal(columns[name], planned)]
        altered += [name for name, hashed in (hashes or {}).items() if name in found and found[name][1] != hashed]
        if altered:
            raise StoreError(
                f"{', '.join(altered)} of shard {index} in {self.root.url_of(self.product.zarr)} are not what was "
                f"written: objects are missing or damaged. Delete {self.product.record(index)} and ingest again; if it "
                "is `time` or `cadence_no`, delete the sector's folder."
            )
        columns |= dict.fromkeys(without, np.broadcast_to(np.float32(np.nan), columns["flux"].shape))
        return _shard(self.root, self.product, columns, self.time_format)


def _read_object(root: Root, path: str) -> bytes | None:
    """An object, None where there is none: nothing but fill values was written, or it is lost."""
    try:
        return root.read(path)
    except NotInStore:
        return None


def read_rows(root: Root, product: Product, rows: slice | np.ndarray) -> tuple[Shard, np.ndarray]:
    """Read the given rows of a sector, a slice or an array of row numbers; returns and raises as `read_shard`."""
    group = _open_group(root, product)
    selections = {a.name: (rows,) for a in TARGET_ARRAYS}
    selections |= {a.name: (rows, slice(None)) for a in FLUX_ARRAYS}
    selections |= {a.name: (slice(None),) for a in CADENCE_ARRAYS}

    def read(name: str) -> np.ndarray:
        return np.asarray(group[name].oindex[selections[name]])

    with _reading(root, product), ThreadPoolExecutor(_READERS) as pool:
        columns = dict(zip(selections, pool.map(read, selections), strict=True))
    return _shard(root, product, columns, group.attrs["time_format"])


def _shard(root: Root, product: Product, columns: dict[str, np.ndarray], time_format: str) -> tuple[Shard, np.ndarray]:
    """Shard and status codes, checked for data that are gone."""
    status = columns["status"]
    gone = (columns["quality"] == -1).all(axis=1)
    gone |= np.isnan(columns["flux"]).all(axis=1) | np.isnan(columns["time_correction"]).all(axis=1)
    lost = (status == Status.CODES[Status.STORED]) & gone
    if lost.any():
        raise StoreError(
            f"the data of {product.catalogue} {columns['target_id'][lost.argmax()]} and {lost.sum() - 1} others are "
            f"gone from {root.url_of(product.zarr)}, although its records say stored. Delete the records of their "
            "shards and ingest again."
        )
    shard = Shard(
        stars=_stars(columns),
        time=columns["time"],
        cadence_no=columns["cadence_no"],
        **{a.name: columns[a.name] for a in FLUX_ARRAYS},
        mission=product.mission,
        sector=product.sector,
        cadence_s=float(product.cadence_s),
        time_format=time_format,
        author=product.author,
    )
    return shard, status


def find_target(root: Root, product: Product, target_id: int) -> int:
    """Row of a target that is stored.

    Raises
    ------
    NotInStore
        The sector does not hold the target, or holds no light curve of it; says why and what to do.
    """
    group = _open_group(root, product)
    with _reading(root, product):
        rows = np.flatnonzero(np.asarray(group["target_id"][:]) == target_id)
        status = np.asarray(group["status"][:])[rows]
    name = f"{product.catalogue} {target_id}"
    if len(rows) == 0:
        raise NotInStore(
            f"{name} is not among the targets of {product} that are in {root.url}, or its shard has not been ingested "
            "yet: look with `larun status`, or ingest a sector that observed it"
        )
    stored = rows[status == Status.CODES[Status.STORED]]
    if len(stored) == 0:
        raise NotInStore(
            f"{product} has no light curve of {name}, its status is {_STATUS_NAMES.get(int(status[0]), status[0])}; "
            f"the reason is in {root.url_of(product.records)}"
        )
    return int(stored[0])


def light_curve(root: Root, product: Product, target_id: int) -> lightkurve.LightCurve:
    """Light curve of one star as lightkurve has it.

    Parameters
    ----------
    root : Root
        Survey root.
    product : Product
        The sector.
    target_id : int
        TIC, KIC or EPIC number.

    Returns
    -------
    lightkurve.TessLightCurve or lightkurve.KeplerLightCurve
        Barycentric time in the mission's own zero point, TDB; flux, errors, background and centroids with units;
        quality bits and cadence numbers. Cadences that the mission delivered with a time, nothing else removed:
        as ``lightkurve.read(file, quality_bitmask="none")``.

    Raises
    ------
    NotInStore
        The sector holds no light curve of the target; says why and what to do.
    """
    row = find_target(root, product, target_id)
    shard, _ = read_rows(root, product, slice(row, row + 1))
    attributes = _open_group(root, product).attrs.asdict()
    import lightkurve
    from astropy import units
    from astropy.time import Time

    rows = np.flatnonzero((shard.quality[0] != -1) & np.isfinite(shard.time_correction[0]))
    correction = shard.time_correction[0, rows]
    flux_unit = units.Unit("" if attributes["flux_unit"] == "relative" else attributes["flux_unit"])
    kind = lightkurve.TessLightCurve if product.mission == "tess" else lightkurve.KeplerLightCurve
    curve = kind(
        time=Time(shard.time[rows] + correction, format=shard.time_format, scale="tdb"),
        flux=shard.flux[0, rows] * flux_unit,
        flux_err=shard.flux_err[0, rows] * flux_unit,
        meta=_meta(product, shard.stars[0], attributes),
    )
    curve["timecorr"] = correction * units.day
    curve["cadenceno"] = shard.cadence_no[rows]
    curve["centroid_col"] = shard.centroid_col[0, rows] * units.pixel
    curve["centroid_row"] = shard.centroid_row[0, rows] * units.pixel
    curve["sap_bkg"] = shard.background[0, rows] * flux_unit
    curve["quality"] = shard.quality[0, rows]
    return curve


def _meta(product: Product, star: Star, attributes: dict) -> dict:
    segment = {"tess": "SECTOR", "kepler": "QUARTER", "k2": "CAMPAIGN"}[product.mission]
    identifier = "TICID" if product.mission == "tess" else "KEPLERID"
    return {
        "MISSION": {"tess": "TESS", "kepler": "Kepler", "k2": "K2"}[product.mission],
        "TARGETID": star.target_id,
        identifier: star.target_id,
        "LABEL": f"{product.catalogue} {star.target_id}",
        "OBJECT": f"{product.catalogue} {star.target_id}",
        segment: product.sector,
        "CAMERA": star.camera,
        "CCD": star.ccd,
        "RA_OBJ": star.ra,
        "DEC_OBJ": star.dec,
        "RA": star.ra,
        "DEC": star.dec,
        "TESSMAG" if product.mission == "tess" else "KEPMAG": star.tmag,
        "TEFF": star.teff,
        "LOGG": star.logg,
        "RADIUS": star.radius,
        "AUTHOR": product.author.upper(),
        "EXPOSURE_S": product.cadence_s,
        "QUALITY_BITMASK": "none",
        "SIMULATED": attributes["simulated"],
        "PLAN_DIGEST": attributes["plan_digest"],
    }


def _stars(columns: dict[str, np.ndarray]) -> tuple[Star, ...]:
    facts = ("target_id", "ra", "dec", "tmag", "teff", "logg", "radius", "camera", "ccd")
    return tuple(Star(*values) for values in zip(*(columns[name].tolist() for name in facts), strict=True))


def _require_sector(root: Root, product: Product) -> None:
    if root.exists(f"{product.zarr}/zarr.json"):
        return
    held = ", ".join(str(other) for other in products(root)) or "nothing"
    raise NotInStore(
        f"{root.url} does not hold {product}, it holds {held}; fill it with `larun ingest`, or name another root"
    )


def _store(root: Root, product: Product) -> LocalStore | FsspecStore:
    if root.is_local:
        return LocalStore(root.full(product.zarr), read_only=True)
    options = {"use_listings_cache": False} | root.storage_options
    return FsspecStore.from_url(root.url_of(product.zarr), storage_options=options, read_only=True)


def _open_group(root: Root, product: Product) -> zarr.Group:
    _require_sector(root, product)
    with _reading(root, product):
        return zarr.open_group(_store(root, product), mode="r", use_consolidated=True)


@contextlib.contextmanager
def _reading(root: Root, product: Product):
    """Turn errors of Zarr and its codecs into ours, naming the sector."""
    try:
        with root.named(product.zarr, "read"):
            yield
    except (ValueError, RuntimeError, KeyError) as error:
        raise StoreError(
            f"cannot read {root.url_of(product.zarr)}: {type(error).__name__}: {error}. It is damaged or of another "
            "version: delete the records of the shards concerned and ingest again."
        ) from error

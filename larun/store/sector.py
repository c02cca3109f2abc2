"""The Zarr group of one sector: how it is laid out, created, and written one whole shard at a time.

Arrays are encoded in memory and stored as whole objects through `larun.objects.Root`, so that a local
folder and S3 hold the same bytes and every object appears at once or not at all.
"""

from __future__ import annotations

import hashlib
import json
import warnings
from typing import Any

import numpy as np
import zarr
from zarr.codecs import BloscCodec
from zarr.core.buffer import cpu
from zarr.errors import ZarrUserWarning
from zarr.storage import MemoryStore

from larun.errors import NotInStore, PlanMismatch, StoreError
from larun.objects import Root
from larun.plan import Plan
from larun.schema import (
    CADENCE,
    CADENCE_ARRAYS,
    FLUX_ARRAYS,
    SCHEMA_VERSION,
    SECTOR_ARRAYS,
    SECTOR_COORDINATES,
    TARGET,
    TARGET_ARRAYS,
    Array,
    Status,
)

SHARD_ARRAYS: tuple[Array, ...] = (*TARGET_ARRAYS, *FLUX_ARRAYS)
"""Arrays that a shard writes; those along cadence alone are written with the sector."""

_IN_FLUX_UNIT = frozenset({"flux", "flux_err", "background"})
_NODE = "zarr.json"


def create_sector(root: Root, plan: Plan) -> None:
    """Create the empty sector of a plan, with its cadences; nothing happens if it is there.

    The group's own metadata, which holds that of all arrays, is written last: its presence means that
    the sector is complete.

    Raises
    ------
    PlanMismatch
        A sector of another plan is there.
    StoreError
        The root cannot be written.
    """
    folder = plan.product.zarr
    if root.exists(f"{folder}/{_NODE}"):
        sector_metadata(root, plan)
        return
    objects = _empty_sector(plan)
    for key in sorted(objects, key=lambda key: (key == _NODE, key)):
        path = f"{folder}/{key}"
        _discard_partials(root, path)
        root.write(path, objects[key].to_bytes())


def sector_metadata(root: Root, plan: Plan) -> dict[str, dict[str, Any]]:
    """Metadata of every array of the stored sector, by name.

    Raises
    ------
    NotInStore
        The sector has not been created.
    PlanMismatch
        It was created for another plan.
    """
    group = root.read_json(f"{plan.product.zarr}/{_NODE}")
    stored = group.get("attributes", {}).get("plan_digest")
    if stored != plan.digest:
        raise PlanMismatch(
            f"the arrays of {plan.product} were created for the plan {stored}, this run has the plan {plan.digest}. "
            "Use another root, or delete this sector's folder to start over.",
            ("plan_digest",),
        )
    return group["consolidated_metadata"]["metadata"]


def write_shard(root: Root, plan: Plan, index: int, columns: dict[str, np.ndarray]) -> dict[str, str]:
    """Write one whole shard of every array and read it back.

    There must be one writer of a shard at a time. What a killed writer left of the shard is replaced.

    Parameters
    ----------
    root : Root
        Survey root.
    plan : Plan
        The plan of the sector, which has been created.
    index : int
        Number of the shard.
    columns : dict
        One array per name of `SHARD_ARRAYS`, of the schema's type: (star,) or (star, cadence), where star
        counts the targets of this shard.

    Returns
    -------
    dict
        Per array the hexadecimal SHA-256 of its values as they were read back, little endian, C order.

    Raises
    ------
    StoreError
        A column does not fit the schema, the root cannot be written, or what was read back differs.
    """
    _check_columns(plan, index, columns)
    metadata = sector_metadata(root, plan)
    first = index * plan.shard_targets
    rows = slice(first, first + len(plan.shard(index)))
    # The status comes last: until then a reader sees that these targets are pending.
    names = sorted((array.name for array in SHARD_ARRAYS), key=lambda name: name == "status")
    return {name: _write_array(root, plan, name, metadata[name], rows, columns[name]) for name in names}


def _write_array(root: Root, plan: Plan, name: str, metadata: dict[str, Any], rows: slice, values: np.ndarray) -> str:
    """Write the object of one array's shard, read it back, and hash what came back."""
    folder = f"{plan.product.zarr}/{name}"
    index = rows.start // plan.shard_targets
    key = f"c/{index}/0" if values.ndim == 2 else f"c/{index}"
    path = f"{folder}/{key}"
    _discard_partials(root, path)

    objects: dict[str, Any] = {}
    _memory_array(metadata, objects)[rows] = values
    unexpected = objects.keys() - {_NODE, key}
    if unexpected:
        raise StoreError(f"{folder} is not cut into shards of {plan.shard_targets} targets: {sorted(unexpected)}")
    stored: dict[str, Any] = {}
    if key in objects:
        data = objects[key].to_bytes()
        root.write(path, data)
        stored[key] = cpu.Buffer.from_bytes(_read_back(root, path, data))
    else:
        # A shard of nothing but fill values is no object in Zarr.
        root.delete(path)
    back = np.ascontiguousarray(_memory_array(metadata, stored)[rows])
    if not np.array_equal(back.view(np.uint8), np.ascontiguousarray(values).view(np.uint8)):
        raise StoreError(f"{root.url_of(path)} does not decode to what was encoded; Zarr or its codec is broken")
    return values_hash(back)


def values_hash(values: np.ndarray) -> str:
    """Hexadecimal SHA-256 of an array's values, little endian, C order; what a record holds per array."""
    return hashlib.sha256(np.ascontiguousarray(values, values.dtype.newbyteorder("<"))).hexdigest()


def _read_back(root: Root, path: str, written: bytes) -> bytes:
    try:
        back = root.read(path)
    except NotInStore as error:
        raise StoreError(f"{root.url_of(path)} was written and is not there; is somebody deleting it?") from error
    if back != written:
        raise StoreError(
            f"{root.url_of(path)} does not read back as it was written; the disk or the connection alters data. "
            "The shard has no record and will be written again by the next run."
        )
    return back


def _memory_array(metadata: dict[str, Any], objects: dict[str, Any]) -> zarr.Array:
    """Array whose objects are the given dictionary, for encoding and decoding one shard."""
    objects[_NODE] = cpu.Buffer.from_bytes(json.dumps(metadata).encode())
    return zarr.open_array(MemoryStore(objects), mode="r+", zarr_format=3)


def _discard_partials(root: Root, path: str) -> None:
    folder, _, name = path.rpartition("/")
    root.discard_partials(folder, f"{name}.")


def _check_columns(plan: Plan, index: int, columns: dict[str, np.ndarray]) -> None:
    if not 0 <= index < plan.n_shards:
        raise StoreError(f"{plan.product} has shards 0..{plan.n_shards - 1}, not {index}")
    expected = {array.name for array in SHARD_ARRAYS}
    if columns.keys() != expected:
        raise StoreError(
            f"a shard needs exactly the arrays of the schema: missing {sorted(expected - columns.keys())}, "
            f"unknown {sorted(columns.keys() - expected)}"
        )
    sizes = {TARGET: len(plan.shard(index)), CADENCE: len(plan.grid.time)}
    for array in SHARD_ARRAYS:
        shape = tuple(sizes[dim] for dim in array.dims)
        values = columns[array.name]
        if values.shape != shape or values.dtype != np.dtype(array.dtype):
            raise StoreError(
                f"{array.name} of shard {index} must be {array.dtype} of shape {shape}, "
                f"not {values.dtype} of shape {values.shape}"
            )


def _empty_sector(plan: Plan) -> dict[str, Any]:
    """All objects of a sector without shards, by key."""
    objects: dict[str, Any] = {}
    store = MemoryStore(objects)
    group = zarr.create_group(store, zarr_format=3, attributes=_group_attributes(plan))
    for array in SECTOR_ARRAYS:
        _create_array(group, plan, array)
    cadences = {"time": plan.grid.time, "cadence_no": plan.grid.cadence_no}
    for array in CADENCE_ARRAYS:
        group[array.name][:] = cadences[array.name]
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Consolidated metadata is currently not part", ZarrUserWarning)
        zarr.consolidate_metadata(store, zarr_format=3)
    return objects


def _create_array(group: zarr.Group, plan: Plan, array: Array) -> None:
    shape = {TARGET: len(plan.targets), CADENCE: len(plan.grid.time)}
    shard = shape | {TARGET: plan.shard_targets}
    chunk = shape | {TARGET: plan.chunk_targets}
    sharded = array.dims == (TARGET, CADENCE)
    group.create_array(
        array.name,
        shape=tuple(shape[dim] for dim in array.dims),
        dtype=array.dtype,
        shards=tuple(shard[dim] for dim in array.dims) if sharded else None,
        chunks=tuple((chunk if sharded else shard)[dim] for dim in array.dims),
        compressors=BloscCodec(typesize=np.dtype(array.dtype).itemsize, cname="zstd", clevel=3, shuffle="bitshuffle"),
        fill_value=array.fill,
        dimension_names=array.dims,
        attributes=_array_attributes(plan, array),
    )


def _group_attributes(plan: Plan) -> dict[str, Any]:
    product = plan.product
    return {
        "title": f"larun sector store of {product}",
        "schema_version": SCHEMA_VERSION,
        "plan_digest": plan.digest,
        "mission": product.mission,
        "sector": product.sector,
        "author": product.author,
        "cadence_s": product.cadence_s,
        "simulated": product.simulated,
        "time_format": plan.time_format,
        "time_scale": "tdb",
        "flux_unit": plan.flux_unit,
        # xarray makes these arrays coordinates (CF conventions, section 5).
        "coordinates": " ".join(a.name for a in SECTOR_ARRAYS if a.name in SECTOR_COORDINATES),
    }


def _array_attributes(plan: Plan, array: Array) -> dict[str, Any]:
    unit = plan.flux_unit if array.name in _IN_FLUX_UNIT else array.unit
    attributes: dict[str, Any] = {"long_name": array.meaning}
    if unit:
        attributes["units"] = "1" if unit == "relative" else unit
    if array.name == "time":
        attributes |= {"time_format": plan.time_format, "time_scale": "tdb"}
    if array.name == "status":
        names = {Status.PENDING_CODE: "pending"} | {code: name for name, code in Status.CODES.items()}
        attributes |= {"flag_values": sorted(names), "flag_meanings": " ".join(names[c] for c in sorted(names))}
    return attributes

"""The Zarr group of one sector: how it is laid out, created, and written one whole shard at a time.

Arrays are encoded in memory and stored as whole objects through `larun.objects.Root`, so that a local
folder and S3 hold the same bytes and every object appears at once or not at all.
"""

from __future__ import annotations

import hashlib
import warnings
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict
from typing import Any

import numpy as np
import zarr
from zarr.codecs import BloscCodec
from zarr.errors import ZarrUserWarning
from zarr.storage import MemoryStore

from larun.errors import NotInStore, PlanMismatch, StoreError
from larun.objects import Root
from larun.paths import Product
from larun.plan import Plan
from larun.schema import (
    CADENCE,
    CADENCE_ARRAYS,
    COMPRESSION_BLOCK,
    FLUX_ARRAYS,
    SCHEMA_VERSION,
    SECTOR_ARRAYS,
    SECTOR_COORDINATES,
    TARGET,
    TARGET_ARRAYS,
    Array,
    Status,
)
from larun.store.encoding import Encoding

SHARD_ARRAYS: tuple[Array, ...] = (*TARGET_ARRAYS, *FLUX_ARRAYS)
"""Arrays that a shard writes; those along cadence alone are written with the sector."""

_IN_FLUX_UNIT = frozenset({"flux", "flux_err", "background"})
_ALONG_CADENCE = frozenset(array.name for array in FLUX_ARRAYS)
_NODE = "zarr.json"

_WRITERS = 4
"""Objects of a shard that are written at once: the wait for the disk or for S3 costs more than the work."""

_WRITERS_BYTES = 64 << 20
"""Most bytes of such objects; each is in memory three times while it is checked."""


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
    StoreError
        Its metadata are damaged.
    """
    path = f"{plan.product.zarr}/{_NODE}"
    group = root.read_json(path)
    try:
        stored, arrays = group["attributes"]["plan_digest"], group["consolidated_metadata"]["metadata"]
    except (KeyError, TypeError) as error:
        raise StoreError(
            f"{root.url_of(path)} is not what larun wrote ({type(error).__name__}: {error}): somebody changed it. "
            "Restore it, or delete this sector's folder to start over."
        ) from error
    if stored != plan.digest:
        raise PlanMismatch(
            f"the arrays of {plan.product} were created for the plan {stored}, this run has the plan {plan.digest}. "
            "Use another root, or delete this sector's folder to start over.",
            ("plan_digest",),
        )
    return arrays


class ShardWriter:
    """Writes one whole shard of every array, and reads it back; the targets come in chunk by chunk.

    There must be one writer of a shard at a time. What a killed writer left of the shard is replaced. Nothing is
    written before `finish`; until then only the encoded chunks are held.

    Parameters
    ----------
    root : Root
        Survey root.
    plan : Plan
        The plan of the sector, which has been created.
    index : int
        Number of the shard.

    Raises
    ------
    StoreError
        The plan has no such shard, or the sector is not cut as the plan says.
    """

    def __init__(self, root: Root, plan: Plan, index: int):
        if not 0 <= index < plan.n_shards:
            raise StoreError(f"{plan.product} has shards 0..{plan.n_shards - 1}, not {index}")
        self._root, self._plan, self._index = root, plan, index
        self._targets = len(plan.shard(index))
        self._added = 0
        self._encodings = encodings_of(root, plan)
        self._scratch = np.empty(2 * max(encoding.chunk_bytes for encoding in self._encodings.values()), np.uint8)
        self._chunks: dict[str, list[bytes | None]] = {array.name: [] for array in FLUX_ARRAYS}
        self._parts: dict[str, list[np.ndarray]] = {array.name: [] for array in TARGET_ARRAYS}

    @property
    def next_targets(self) -> int:
        """Targets of the next chunk; 0 where all have been added."""
        return min(self._plan.chunk_targets, self._targets - self._added)

    def add(self, columns: dict[str, np.ndarray]) -> None:
        """Encode the next chunk of targets and make sure that it decodes to the same values.

        Parameters
        ----------
        columns : dict
            One array per name of `SHARD_ARRAYS`, of the schema's type: (star,) or (star, cadence), where star counts
            the `next_targets`. They may be overwritten afterwards.

        Raises
        ------
        StoreError
            A column does not fit the schema, or what was encoded does not decode to it.
        """
        _check_columns(columns, self.next_targets, self._plan)
        for name, chunks in self._chunks.items():
            chunks.append(self._encode(name, columns[name]))
        for name, parts in self._parts.items():
            parts.append(columns[name].copy())
        self._added += self.next_targets

    def finish(self) -> dict[str, str]:
        """Write every array's object and read it back.

        Returns
        -------
        dict
            Per array the hexadecimal SHA-256 of its object as it was read back; see `object_hash`.

        Raises
        ------
        StoreError
            Targets are missing, the root cannot be written, or what was read back differs.
        """
        if self.next_targets:
            raise StoreError(f"shard {self._index} has {self._targets} targets, only {self._added} were given")
        for name, parts in self._parts.items():
            self._chunks[name] = [self._encode(name, np.concatenate(parts))]
        names = [array.name for array in SHARD_ARRAYS if array.name != "status"]
        largest = max(sum(len(chunk or b"") for chunk in chunks) for chunks in self._chunks.values())
        writers = max(1, min(_WRITERS, _WRITERS_BYTES // max(1, largest)))
        with ThreadPoolExecutor(writers, thread_name_prefix="store") as pool:
            hashes = dict(zip(names, pool.map(self._write, names), strict=True))
        # The status comes last: until then a reader sees that these targets are pending.
        return hashes | {"status": self._write("status")}

    def _encode(self, name: str, values: np.ndarray) -> bytes | None:
        try:
            return self._encodings[name].encode_chunk(values, self._scratch)
        except ValueError as error:
            raise StoreError(f"{name} of shard {self._index}: {error}") from error

    def _write(self, name: str) -> str:
        encoding, chunks = self._encodings[name], self._chunks.pop(name)
        path = object_path(self._plan.product, name, self._index)
        _discard_partials(self._root, path)
        pieces = encoding.pieces(chunks)
        if not pieces:
            # A shard of nothing but fill values is no object in Zarr.
            self._root.delete(path)
            return object_hash(None)
        self._root.write(path, pieces)
        found = _read_back(self._root, path, pieces)
        if not encoding.are_chunks(pieces, chunks):
            raise StoreError(f"{self._root.url_of(path)} does not hold the chunks that it was made of")
        return found


def object_path(product: Product, name: str, index: int) -> str:
    """Name below the root of the object that holds one shard of an array."""
    return f"{product.zarr}/{name}/c/{index}" + ("/0" if name in _ALONG_CADENCE else "")


def object_hash(data: bytes | None) -> str:
    """Hexadecimal SHA-256 of an object, what a record holds per array; one that is not there counts as empty."""
    return hashlib.sha256(data or b"").hexdigest()


def encodings_of(root: Root, plan: Plan) -> dict[str, Encoding]:
    """Encoding of each array, as the stored sector has it.

    Raises
    ------
    NotInStore
        The sector has not been created.
    PlanMismatch
        It was created for another plan.
    StoreError
        It is cut or encoded in another way than larun does.
    """
    metadata = sector_metadata(root, plan)
    found = {}
    for array in SECTOR_ARRAYS:
        folder = f"{plan.product.zarr}/{array.name}"
        try:
            found[array.name] = encoding = Encoding.of(metadata[array.name])
        except (ValueError, KeyError, IndexError, TypeError) as error:
            raise StoreError(f"{root.url_of(folder)} was not created by this larun: {error}") from error
        _, shard, chunk = _cut(plan, array)
        if (encoding.shard_shape, encoding.chunk_shape) != (shard, chunk):
            raise StoreError(
                f"{root.url_of(folder)} is not cut into shards of {plan.shard_targets} targets: "
                f"{encoding.shard_shape} in {encoding.chunk_shape}, expected {shard} in {chunk}"
            )
    return found


def _read_back(root: Root, path: str, written: list[bytes]) -> str:
    """Hash of an object as it is read back, a piece at a time, which must be the pieces that were written."""
    digest = hashlib.sha256()
    try:
        for back, piece in zip(root.read_pieces(path, [len(piece) for piece in written]), written, strict=True):
            if back != piece:
                raise StoreError(
                    f"{root.url_of(path)} does not read back as it was written; the disk or the connection alters "
                    "data. The shard has no record and will be written again by the next run."
                )
            digest.update(back)
    except NotInStore as error:
        raise StoreError(f"{root.url_of(path)} was written and is not there; is somebody deleting it?") from error
    return digest.hexdigest()


def _discard_partials(root: Root, path: str) -> None:
    folder, _, name = path.rpartition("/")
    root.discard_partials(folder, f"{name}.")


def _check_columns(columns: dict[str, np.ndarray], stars: int, plan: Plan) -> None:
    expected = {array.name for array in SHARD_ARRAYS}
    if columns.keys() != expected:
        raise StoreError(
            f"a shard needs exactly the arrays of the schema: missing {sorted(expected - columns.keys())}, "
            f"unknown {sorted(columns.keys() - expected)}"
        )
    sizes = {TARGET: stars, CADENCE: len(plan.grid.time)}
    for array in SHARD_ARRAYS:
        shape = tuple(sizes[dim] for dim in array.dims)
        values = columns[array.name]
        if values.shape != shape or values.dtype != np.dtype(array.dtype):
            raise StoreError(
                f"{array.name} must be {array.dtype} of shape {shape}, not {values.dtype} of shape {values.shape}"
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


def _cut(plan: Plan, array: Array) -> tuple[tuple[int, ...], tuple[int, ...], tuple[int, ...]]:
    """Shapes of a whole array, of one object of it and of one chunk."""
    whole = {TARGET: len(plan.targets), CADENCE: len(plan.grid.time)}
    shard = whole | {TARGET: plan.shard_targets}
    chunk = whole | {TARGET: plan.chunk_targets if array.name in _ALONG_CADENCE else plan.shard_targets}
    shapes = [tuple(sizes[dim] for dim in array.dims) for sizes in (whole, shard, chunk)]
    return shapes[0], shapes[1], shapes[2]


def _create_array(group: zarr.Group, plan: Plan, array: Array) -> None:
    shape, shard, chunk = _cut(plan, array)
    group.create_array(
        array.name,
        shape=shape,
        dtype=array.dtype,
        shards=shard if array.name in _ALONG_CADENCE else None,
        chunks=chunk,
        compressors=BloscCodec(
            **asdict(array.compression), typesize=np.dtype(array.dtype).itemsize, blocksize=COMPRESSION_BLOCK
        ),
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

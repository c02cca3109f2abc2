"""Layout of the sector store, and writing of whole shards."""

import hashlib
import json
from dataclasses import replace

import numpy as np
import pytest
import zarr
from numcodecs import blosc
from tiny_sector import N_CADENCES, PRODUCT, plan_of, spacecraft_time, tree

from larun import schema
from larun.errors import NotInStore, PlanMismatch, StoreError
from larun.objects import PARTIAL_SUFFIX, Root
from larun.paths import Product
from larun.store.encoding import Encoding
from larun.store.sector import SHARD_ARRAYS, ShardWriter, create_sector, encodings_of, object_hash, object_path

LOCATION = PRODUCT.zarr


@pytest.fixture
def root(tmp_path):
    return Root(str(tmp_path))


def shard_columns(plan, index, seed=1):
    """Random values for every array of one shard."""
    rng = np.random.default_rng([seed, index])
    n = len(plan.shard(index))
    shape = {1: (n,), 2: (n, N_CADENCES)}
    return {a.name: rng.integers(1, 100, shape[len(a.dims)]).astype(a.dtype) for a in SHARD_ARRAYS}


def write_shard(root, plan, index, columns):
    """Write a whole shard, given as arrays of all its targets."""
    writer = ShardWriter(root, plan, index)
    first = 0
    while step := writer.next_targets:
        writer.add({name: values[first : first + step] for name, values in columns.items()})
        first += step
    return writer.finish()


def test_layout_on_disk(root):
    """Read as plain JSON: what other programs see."""
    plan = plan_of(6)
    create_sector(root, plan)
    group = root.read_json(f"{LOCATION}/zarr.json")
    assert (group["zarr_format"], group["node_type"]) == (3, "group")
    assert group["consolidated_metadata"]["metadata"].keys() == {a.name for a in schema.SECTOR_ARRAYS}
    for array in schema.SECTOR_ARRAYS:
        meta = root.read_json(f"{LOCATION}/{array.name}/zarr.json")
        assert meta["dimension_names"] == list(array.dims)
        assert meta["data_type"] == array.dtype
        assert meta["attributes"]["long_name"] == array.meaning
        assert meta["attributes"].get("units") == array.unit
    flux = root.read_json(f"{LOCATION}/flux/zarr.json")
    assert flux["shape"] == [6, N_CADENCES]
    assert flux["fill_value"] == "NaN"
    assert flux["chunk_grid"]["configuration"]["chunk_shape"] == [4, N_CADENCES]
    (sharding,) = flux["codecs"]
    assert sharding["name"] == "sharding_indexed"
    assert sharding["configuration"]["chunk_shape"] == [2, N_CADENCES]
    blosc = sharding["configuration"]["codecs"][1]["configuration"]
    assert (blosc["cname"], blosc["clevel"], blosc["shuffle"]) == ("lz4", 5, "bitshuffle")
    assert root.read_json(f"{LOCATION}/ra/zarr.json")["chunk_grid"]["configuration"]["chunk_shape"] == [4]
    assert root.read_json(f"{LOCATION}/time/zarr.json")["chunk_grid"]["configuration"]["chunk_shape"] == [N_CADENCES]


def test_attributes(root):
    plan = plan_of(6)
    create_sector(root, plan)
    attributes = root.read_json(f"{LOCATION}/zarr.json")["attributes"]
    expected = {"mission": "tess", "sector": 1, "author": "spoc", "cadence_s": 120, "simulated": False,
                "plan_digest": plan.digest, "schema_version": 2, "time_format": "btjd",
                "time_scale": "tdb"}  # fmt: skip
    assert expected.items() <= attributes.items()
    time = root.read_json(f"{LOCATION}/time/zarr.json")["attributes"]
    assert (time["units"], time["time_format"], time["time_scale"]) == ("d", "btjd", "tdb")
    assert not any("since" in str(value) for value in time.values())
    status = root.read_json(f"{LOCATION}/status/zarr.json")["attributes"]
    assert status["flag_values"] == [0, 1, 2, 3, 4, 5]
    assert status["flag_meanings"] == "pending stored absent corrupt unreachable rejected"


def test_simulated_and_relative_products_say_so(root):
    simulated = Product("tess", 1, "simulated", 120)
    create_sector(root, replace(plan_of(6), product=simulated, flux_unit="relative"))
    group = zarr.open_group(root.full(simulated.zarr), mode="r")
    assert group.attrs["simulated"] is True
    assert group.attrs["flux_unit"] == "relative"
    assert group["flux"].attrs["units"] == "1"
    assert group["centroid_col"].attrs["units"] == "pix"


def test_empty_sector_holds_its_cadences_and_fill_values(root):
    plan = plan_of(6)
    create_sector(root, plan)
    group = zarr.open_group(root.full(LOCATION), mode="r")
    np.testing.assert_array_equal(group["time"][:], spacecraft_time())
    np.testing.assert_array_equal(group["cadence_no"][:], plan.grid.cadence_no)
    assert np.isnan(group["flux"][:]).all()
    assert (group["quality"][:] == -1).all()
    assert (group["status"][:] == 0).all()


def test_creating_twice_changes_nothing_and_another_plan_is_refused(root, tmp_path):
    create_sector(root, plan_of(6))
    before = tree(tmp_path)
    create_sector(root, plan_of(6))
    assert tree(tmp_path) == before
    with pytest.raises(PlanMismatch, match="another root") as caught:
        create_sector(root, plan_of(7))
    assert caught.value.fields == ("plan_digest",)
    assert tree(tmp_path) == before


def test_half_created_sector_is_completed(root, tmp_path):
    create_sector(root, plan_of(6))
    whole = tree(tmp_path)
    (tmp_path / LOCATION / "zarr.json").unlink()
    (tmp_path / LOCATION / "flux" / "zarr.json").unlink()
    (tmp_path / LOCATION / "flux" / f"zarr.json.0123{PARTIAL_SUFFIX}").write_bytes(b"{")
    create_sector(root, plan_of(6))
    assert tree(tmp_path) == whole


def test_shards_hold_what_was_written_and_hashes_are_those_of_the_objects(root, tmp_path):
    plan = plan_of(6)
    create_sector(root, plan)
    written = [shard_columns(plan, 0), shard_columns(plan, 1)]
    for index, columns in enumerate(written):
        hashes = write_shard(root, plan, index, columns)
        keys = {a.name: f"{LOCATION}/{a.name}/c/{index}{'/0' if len(a.dims) == 2 else ''}" for a in SHARD_ARRAYS}
        assert hashes == {n: hashlib.sha256((tmp_path / key).read_bytes()).hexdigest() for n, key in keys.items()}
    group = zarr.open_group(root.full(LOCATION), mode="r")
    for name in written[0]:
        np.testing.assert_array_equal(group[name][:], np.concatenate([columns[name] for columns in written]))


def test_one_object_per_array_and_shard(root, tmp_path):
    plan = plan_of(6)
    create_sector(root, plan)
    before = tree(tmp_path).keys()
    write_shard(root, plan, 1, shard_columns(plan, 1))
    expected = {f"{LOCATION}/{a.name}/c/1{'/0' if len(a.dims) == 2 else ''}" for a in SHARD_ARRAYS}
    assert tree(tmp_path).keys() - before == expected


def test_a_killed_writers_leftovers_are_replaced(root, tmp_path):
    plan = plan_of(6)
    create_sector(root, plan)
    write_shard(root, plan, 0, shard_columns(plan, 0))
    before_second = tree(tmp_path)
    write_shard(root, plan, 1, shard_columns(plan, 1, seed=1))
    clean = tree(tmp_path)
    # Another content of the same shard, and partial files, one of them of the shard next to it.
    write_shard(root, plan, 1, shard_columns(plan, 1, seed=2))
    assert tree(tmp_path) != clean
    leftovers = [f"{LOCATION}/flux/c/1/0.ab{PARTIAL_SUFFIX}", f"{LOCATION}/ra/c/1.cd{PARTIAL_SUFFIX}"]
    others = f"{LOCATION}/ra/c/0.ef{PARTIAL_SUFFIX}"
    for name in (*leftovers, others):
        (tmp_path / name).write_bytes(b"torn")
    write_shard(root, plan, 1, shard_columns(plan, 1, seed=1))
    assert tree(tmp_path) == clean | {others: b"torn"}
    assert {name: data for name, data in tree(tmp_path).items() if name in before_second} == before_second


def test_a_shard_of_fill_values_is_no_object_and_replaces_one(root):
    plan = plan_of(6)
    create_sector(root, plan)
    columns = shard_columns(plan, 0)
    write_shard(root, plan, 0, columns)
    empty = columns | {"flux": np.full_like(columns["flux"], np.nan)}
    hashes = write_shard(root, plan, 0, empty)
    assert not root.exists(f"{LOCATION}/flux/c/0/0")
    assert hashes["flux"] == hashlib.sha256(b"").hexdigest()
    assert np.isnan(zarr.open_group(root.full(LOCATION), mode="r")["flux"][:4]).all()


@pytest.mark.parametrize(
    "damage", [lambda data: data[:-1], lambda data: data + b"\0", lambda data: data[:9] + b"\0\0" + data[11:]]
)
def test_what_does_not_read_back_is_refused(root, monkeypatch, damage):
    plan = plan_of(6)
    create_sector(root, plan)
    write = Root.write

    def altered(self, path, data):
        write(self, path, damage(b"".join(data)) if "/c/" in path else data)

    monkeypatch.setattr(Root, "write", altered)
    with pytest.raises(StoreError, match="does not read back"):
        write_shard(root, plan, 0, shard_columns(plan, 0))


def test_what_vanishes_is_refused(root, monkeypatch):
    plan = plan_of(6)
    create_sector(root, plan)
    write = Root.write

    def lose(self, path, data):
        write(self, path, data)
        if "/c/" in path:
            self.delete(path)

    monkeypatch.setattr(Root, "write", lose)
    with pytest.raises(StoreError, match="deleting"):
        write_shard(root, plan, 0, shard_columns(plan, 0))


def test_a_codec_that_does_not_invert_is_noticed(root, monkeypatch, tmp_path):
    plan = plan_of(6)
    create_sector(root, plan)
    before = tree(tmp_path)
    compress = blosc.compress

    def lossy(values, *settings):
        wrong = values.copy()
        wrong.flat[-1] += 1
        return compress(wrong, *settings)

    monkeypatch.setattr(blosc, "compress", lossy)
    with pytest.raises(StoreError, match=r"time_correction of shard 0: .*Blosc"):
        write_shard(root, plan, 0, shard_columns(plan, 0))
    assert tree(tmp_path) == before


def test_a_wrong_index_is_noticed(root, monkeypatch):
    plan = plan_of(6)
    create_sector(root, plan)
    pieces = Encoding.pieces
    monkeypatch.setattr(Encoding, "pieces", lambda self, chunks: pieces(self, chunks[::-1]))
    with pytest.raises(StoreError, match="chunks that it was made of"):
        write_shard(root, plan, 0, shard_columns(plan, 0))


def test_an_object_that_cannot_be_written_leaves_the_targets_pending(root, monkeypatch):
    plan = plan_of(6)
    create_sector(root, plan)
    write = Root.write

    def full(self, path, data):
        if "/centroid_row/c/" in path:
            raise StoreError("cannot write: No space left on device")
        write(self, path, data)

    monkeypatch.setattr(Root, "write", full)
    with pytest.raises(StoreError, match="No space left"):
        write_shard(root, plan, 0, shard_columns(plan, 0))
    assert root.exists(f"{LOCATION}/flux/c/0/0")
    assert not root.exists(f"{LOCATION}/status/c/0")


def test_targets_come_in_chunk_by_chunk(root, tmp_path):
    """The same objects as of a whole shard, from arrays that are used again for every chunk."""
    plan = plan_of(6)
    create_sector(root, plan)
    columns = shard_columns(plan, 0)
    hashes = write_shard(root, plan, 0, columns)
    whole = tree(tmp_path)
    buffers = {name: np.empty_like(values[:2]) for name, values in columns.items()}
    writer = ShardWriter(root, plan, 0)
    with pytest.raises(StoreError, match="has 4 targets, only 0"):
        writer.finish()
    for first in (0, 2):
        assert writer.next_targets == 2
        for name, values in buffers.items():
            values[...] = columns[name][first : first + 2]
        writer.add(buffers)
    assert writer.next_targets == 0
    with pytest.raises(StoreError, match="shape"):
        writer.add(buffers)
    for name in whole:
        if "/c/0" in name and not name.startswith((f"{LOCATION}/time/", f"{LOCATION}/cadence_no/")):
            (tmp_path / name).unlink()
    assert tree(tmp_path) != whole
    assert writer.finish() == hashes
    assert tree(tmp_path) == whole


def test_columns_must_be_those_of_the_schema(root):
    plan = plan_of(6)
    create_sector(root, plan)
    good = shard_columns(plan, 0)
    for bad, word in (
        ({k: v for k, v in good.items() if k != "flux"}, "missing .'flux'"),
        (good | {"fluxx": good["flux"]}, "unknown .'fluxx'"),
        (good | {"flux": good["flux"].astype("f8")}, "float32"),
        (good | {"flux": good["flux"][:2]}, "shape"),
    ):
        with pytest.raises(StoreError, match=word):
            write_shard(root, plan, 0, bad)
    for index in (-1, 2):
        with pytest.raises(StoreError, match=r"shards 0\.\.1"):
            write_shard(root, plan, index, good)


def test_a_shard_needs_its_sector_and_its_plan(root):
    plan = plan_of(6)
    with pytest.raises(NotInStore):
        write_shard(root, plan, 0, shard_columns(plan, 0))
    create_sector(root, plan)
    other = plan_of(6, min_good_cadences=11)
    with pytest.raises(PlanMismatch, match=other.digest):
        write_shard(root, other, 0, shard_columns(other, 0))


def test_stored_chunking_that_is_not_the_plans_is_noticed(root):
    plan = plan_of(6)
    create_sector(root, plan)
    group = root.read_json(f"{LOCATION}/zarr.json")
    grid = group["consolidated_metadata"]["metadata"]["ra"]["chunk_grid"]
    grid["configuration"]["chunk_shape"] = [2]
    root.write(f"{LOCATION}/zarr.json", json.dumps(group).encode())
    with pytest.raises(StoreError, match="not cut into shards"):
        write_shard(root, plan, 0, shard_columns(plan, 0))


def test_a_stored_encoding_that_is_not_ours_is_noticed(root):
    plan = plan_of(6)
    create_sector(root, plan)
    group = root.read_json(f"{LOCATION}/zarr.json")
    group["consolidated_metadata"]["metadata"]["ra"]["codecs"][1] = {"name": "gzip", "configuration": {"level": 5}}
    root.write(f"{LOCATION}/zarr.json", json.dumps(group).encode())
    with pytest.raises(StoreError, match=r"ra was not created by this larun: .*gzip"):
        write_shard(root, plan, 0, shard_columns(plan, 0))


def drop_consolidated(group):
    del group["consolidated_metadata"]
    return group


def without_codecs(group):
    group["consolidated_metadata"]["metadata"]["flux"]["codecs"] = []
    return group


def without_fill(group):
    group["consolidated_metadata"]["metadata"]["flux"]["fill_value"] = None
    return group


@pytest.mark.parametrize(
    "damage", [drop_consolidated, without_codecs, without_fill, lambda group: [], lambda group: {}]
)
def test_damaged_metadata_are_a_store_error(root, damage):
    plan = plan_of(6)
    create_sector(root, plan)
    root.write_json(f"{LOCATION}/zarr.json", damage(root.read_json(f"{LOCATION}/zarr.json")))
    with pytest.raises(StoreError, match=r"is not what larun wrote|was not created by this larun") as raised:
        encodings_of(root, plan)
    assert not isinstance(raised.value, PlanMismatch)


def test_hashes_and_paths_of_objects():
    plan = plan_of(6)
    assert object_path(plan.product, "flux", 1) == f"{LOCATION}/flux/c/1/0"
    assert object_path(plan.product, "ra", 1) == f"{LOCATION}/ra/c/1"
    assert object_hash(b"abc") == hashlib.sha256(b"abc").hexdigest()
    assert object_hash(None) == hashlib.sha256(b"").hexdigest()

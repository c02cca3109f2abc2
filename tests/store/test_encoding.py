"""Objects of the store beside those that Zarr itself writes and reads."""

import json

import numpy as np
import pytest
import zarr
from numcodecs.blosc import BITSHUFFLE, compress, decompress
from zarr.codecs import BloscCodec
from zarr.core.buffer import cpu
from zarr.storage import MemoryStore

from larun.schema import SECTOR_ARRAYS
from larun.store.encoding import Encoding

ROWS, CADENCES = 11, 300
SHARD, CHUNK = 8, 4


def metadata_of(dtype, fill, compression, sharded=True):
    objects = {}
    shape = (ROWS, CADENCES) if sharded else (ROWS,)
    zarr.create_array(
        MemoryStore(objects),
        shape=shape,
        shards=(SHARD, CADENCES) if sharded else None,
        chunks=(CHUNK, CADENCES) if sharded else (SHARD,),
        dtype=dtype,
        fill_value=fill,
        compressors=compression,
    )
    return json.loads(objects["zarr.json"].to_bytes())


def by_zarr(metadata, values):
    """Objects of an array that Zarr writes."""
    objects = {"zarr.json": cpu.Buffer.from_bytes(json.dumps(metadata).encode())}
    zarr.open_array(MemoryStore(objects), mode="r+")[:] = values
    return {key: value.to_bytes() for key, value in objects.items() if key != "zarr.json"}


def by_us(metadata, values):
    encoding = Encoding.of(metadata)
    objects = {}
    for number, first in enumerate(range(0, len(values), SHARD)):
        step = encoding.chunk_shape[0]
        shard = values[first : first + SHARD]
        chunks = [encoding.encode_chunk(shard[at : at + step]) for at in range(0, len(shard), step)]
        objects[f"c/{number}" + ("/0" if values.ndim == 2 else "")] = encoding.join(chunks)
    return {key: data for key, data in objects.items() if data is not None}


def random_values(array):
    """Values of an array of the schema, with a chunk of nothing, gaps, and floats that compare equal but differ."""
    rng = np.random.default_rng(len(array.name))
    values = np.round(rng.normal(50, 20, (ROWS, CADENCES) if len(array.dims) == 2 else ROWS), 2).astype(array.dtype)
    values[CHUNK : 2 * CHUNK] = array.fill
    if values.dtype.kind == "f":
        values[0] = -0.0
        values[2] = np.inf
        values[3] = np.nan
    return values


@pytest.mark.parametrize("array", [a for a in SECTOR_ARRAYS if a.dims != ("cadence",)], ids=lambda a: a.name)
def test_objects_are_those_that_zarr_writes(array):
    itemsize = np.dtype(array.dtype).itemsize
    codec = BloscCodec(
        typesize=itemsize,
        cname=array.compression.cname,
        clevel=array.compression.clevel,
        shuffle=array.compression.shuffle,
        blocksize=4096,
    )
    metadata = metadata_of(array.dtype, array.fill, codec, sharded=len(array.dims) == 2)
    values = random_values(array)
    objects = by_us(metadata, values)
    assert objects == by_zarr(metadata, values)
    encoding = Encoding.of(metadata)
    for number, data in enumerate(objects.values()):
        expected = values[number * SHARD : (number + 1) * SHARD]
        back = encoding.decode(data, len(expected))
        assert back.dtype == expected.dtype
        assert back.tobytes() == expected.tobytes()
        rows = np.random.default_rng(0).permutation(len(expected))[:2]
        assert encoding.decode_rows(data, rows).tobytes() == expected[rows].tobytes()


@pytest.mark.parametrize("compression", [("lz4", 9, "bitshuffle"), ("zstd", 1, "shuffle"), ("zlib", 3, "noshuffle")])
def test_zarr_reads_what_we_write_and_we_read_what_zarr_writes(compression):
    cname, clevel, shuffle = compression
    codec = BloscCodec(typesize=4, cname=cname, clevel=clevel, shuffle=shuffle)
    metadata = metadata_of("float32", np.nan, codec)
    values = np.random.default_rng(1).normal(size=(ROWS, CADENCES)).astype("f4")
    store = {key: cpu.Buffer.from_bytes(data) for key, data in by_us(metadata, values).items()}
    store["zarr.json"] = cpu.Buffer.from_bytes(json.dumps(metadata).encode())
    np.testing.assert_array_equal(zarr.open_array(MemoryStore(store), mode="r")[:], values)
    last = by_zarr(metadata, values)["c/1/0"]
    np.testing.assert_array_equal(Encoding.of(metadata).decode(last, 3), values[SHARD:])


@pytest.mark.parametrize("cname", ["lz4", "zstd"])
@pytest.mark.parametrize(
    ("cadences", "block"), [(2000, 1024), (2001, 1024), (2001, 256), (2002, 8192), (2003, 0), (64, 1 << 21), (7, 0)]
)
@pytest.mark.parametrize("noise", [2, 20, 32])
def test_chunks_are_those_of_blosc_whatever_their_blocks(cname, cadences, block, noise):
    """Several blocks and a shorter last one, numbers that are no multiple of eight, noise that is kept as it is."""
    encoding = Encoding("<i4", -1, (CHUNK, cadences), (CHUNK, cadences), False, (cname.encode(), 5, BITSHUFFLE, block))
    values = np.random.default_rng(3).integers(-(1 << noise) // 2, (1 << noise) // 2, (CHUNK, cadences), dtype="i4")
    data = encoding.encode_chunk(values)
    assert data == compress(values, *encoding.compression)
    np.testing.assert_array_equal(encoding.decode_chunk(data), values)


def test_a_chunk_that_does_not_decode_to_what_was_given_is_refused(monkeypatch):
    encoding = Encoding.of(metadata_of("float32", np.nan, BloscCodec(typesize=4, cname="lz4", shuffle="bitshuffle")))
    values = np.random.default_rng(1).normal(size=(CHUNK, CADENCES)).astype("f4")

    def broken(data, place):
        decompress(data, place)
        place.reshape(-1).view("u1")[1000] ^= 1

    monkeypatch.setattr("larun.store.encoding.blosc.decompress", broken)
    with pytest.raises(ValueError, match="does not decode"):
        encoding.encode_chunk(values)


def test_bits_that_compare_equal_to_the_fill_value_are_kept():
    """A NaN of another payload is no fill value, nor is a negative zero."""
    codec = BloscCodec(typesize=4, cname="lz4")
    odd = np.full((CHUNK, CADENCES), 0xFFC00001, "u4").view("f4")
    encoding = Encoding.of(metadata_of("float32", np.nan, codec))
    data = encoding.join([encoding.encode_chunk(odd)])
    assert encoding.decode(data, CHUNK).tobytes() == odd.tobytes()
    zero = Encoding.of(metadata_of("float32", 0.0, codec))
    assert zero.encode_chunk(np.zeros((CHUNK, CADENCES), "f4")) is None
    assert zero.encode_chunk(np.full((CHUNK, CADENCES), -0.0, "f4")) is not None


def test_a_chunk_with_one_value_is_kept():
    encoding = Encoding.of(metadata_of("int32", -1, BloscCodec(typesize=4)))
    values = np.full((CHUNK, CADENCES), -1, "i4")
    assert encoding.encode_chunk(values) is None
    values[-1, -1] = 0
    np.testing.assert_array_equal(
        encoding.decode(encoding.join([None, encoding.encode_chunk(values)]), SHARD)[CHUNK:], values
    )


def damaged(data, encoding):
    """Objects with one thing wrong each."""
    index = len(data) - 16 * encoding.n_chunks - 4
    for at in (index, len(data) - 1):
        yield data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :]
    for at in (4, 12):  # lengths of values and of bytes in the first chunk's header
        yield data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :]
    yield data[:-1]
    yield data[1:]
    yield b"\xff" * len(data)
    yield b""


def test_damage_is_refused():
    encoding = Encoding.of(metadata_of("float32", np.nan, BloscCodec(typesize=4)))
    values = np.random.default_rng(1).normal(size=(SHARD, CADENCES)).astype("f4")
    data = encoding.join([encoding.encode_chunk(values[:CHUNK]), encoding.encode_chunk(values[CHUNK:])])
    for bad in damaged(data, encoding):
        with pytest.raises((ValueError, RuntimeError)):
            encoding.decode(bad, SHARD)
        with pytest.raises((ValueError, RuntimeError)):
            encoding.decode_rows(bad, np.arange(SHARD))


@pytest.mark.parametrize(
    "options",
    [{"compressors": zarr.codecs.GzipCodec()}, {"filters": zarr.codecs.TransposeCodec(order=(1, 0))}],
)
def test_encodings_that_larun_does_not_write_are_refused(options):
    objects = {}
    zarr.create_array(MemoryStore(objects), shape=(4, 4), shards=(4, 4), chunks=(2, 4), dtype="f4", **options)
    with pytest.raises(ValueError, match="not one that larun writes"):
        Encoding.of(json.loads(objects["zarr.json"].to_bytes()))

"""Bytes of one shard of one array, as the Zarr v3 specification lays them out: encoded and decoded without Zarr.

Zarr itself gives each chunk to a thread of its own and copies it several times, which costs more than the
compression. Here a chunk goes straight from the caller's array into Blosc and back, and its bits are shuffled by
`larun.store.bitplanes`, not by Blosc. What comes out is what Zarr writes, byte for byte, and any Zarr v3 reader reads
it; `zarr.json` says how, and is all that this module goes by.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import Any

import google_crc32c
import numpy as np
from numcodecs import blosc

from larun.store import bitplanes

_NO_CHUNK = np.iinfo(np.uint64).max
"""Offset and length, in the index of a shard, of a chunk that holds nothing but fill values."""

_CRC_BYTES = 4
_BLOSC_HEADER = 16
_FLAGS, _COPIED, _BITS_SHUFFLED = 2, 0x02, 0x04
"""Byte of a chunk that says what was done with its values, and two of its bits (c-blosc, README_CHUNK_FORMAT)."""

_INDEX_CODECS = [{"name": "bytes", "configuration": {"endian": "little"}}, {"name": "crc32c"}]
_SHUFFLES = {"noshuffle": blosc.NOSHUFFLE, "shuffle": blosc.SHUFFLE, "bitshuffle": blosc.BITSHUFFLE}


@dataclass(frozen=True)
class Encoding:
    """How the objects of one array are encoded.

    Parameters
    ----------
    dtype : str
        Type of the values, little endian.
    fill : float or int
        What is not stored.
    shard_shape, chunk_shape : tuple of int
        Of one object, and of one chunk in it; equal where an object is one chunk without an index. Chunks divide a
        shard along its first axis.
    sharded : bool
        Whether an object is chunks followed by their index.
    compression : tuple
        Blosc's compressor, level, shuffle and block size.
    """

    dtype: str
    fill: float | int
    shard_shape: tuple[int, ...]
    chunk_shape: tuple[int, ...]
    sharded: bool
    compression: tuple[bytes, int, int, int]

    @classmethod
    def of(cls, metadata: dict[str, Any]) -> Encoding:
        """Encoding that the metadata of a Zarr array ask for.

        Raises
        ------
        ValueError
            They ask for something that larun does not write.
        """
        shard_shape = tuple(metadata["chunk_grid"]["configuration"]["chunk_shape"])
        codecs, chunk_shape, sharded = metadata["codecs"], shard_shape, False
        if codecs[0]["name"] == "sharding_indexed":
            (sharding,) = codecs
            inner = sharding["configuration"]
            sharded, codecs, chunk_shape = True, inner["codecs"], tuple(inner["chunk_shape"])
            if inner["index_codecs"] != _INDEX_CODECS or inner["index_location"] != "end":
                raise ValueError(f"the index of a shard is not as larun writes it: {inner}")
        names = [codec["name"] for codec in codecs]
        big_endian = codecs[0].get("configuration", {}).get("endian", "little") != "little"
        if names != ["bytes", "blosc"] or big_endian or chunk_shape[1:] != shard_shape[1:]:
            raise ValueError(f"the encoding is not one that larun writes: {metadata['codecs']}")
        settings = codecs[1]["configuration"]
        compression = (
            settings["cname"].encode(),
            settings["clevel"],
            _SHUFFLES[settings["shuffle"]],
            settings["blocksize"],
        )
        dtype = np.dtype(metadata["data_type"]).newbyteorder("<")
        fill = float(metadata["fill_value"]) if dtype.kind == "f" else int(metadata["fill_value"])
        return cls(dtype.str, fill, shard_shape, chunk_shape, sharded, compression)

    @property
    def n_chunks(self) -> int:
        """Chunks of a shard."""
        return self.shard_shape[0] // self.chunk_shape[0]

    @cached_property
    def _fill_bits(self) -> int:
        """The fill value, as the bits that stand for it."""
        return _bits(np.full(1, self.fill, self.dtype)).item()

    @cached_property
    def chunk_bytes(self) -> int:
        """Bytes of the values of a chunk."""
        return int(np.prod(self.chunk_shape)) * np.dtype(self.dtype).itemsize

    def encode_chunk(self, values: np.ndarray, scratch: np.ndarray | None = None) -> bytes | None:
        """Encode one chunk and make sure that it decodes to the very same bits.

        Parameters
        ----------
        values : (star,) or (star, cadence)
            As many rows as a chunk has, or fewer in the last chunk of an array.
        scratch : (at least 2 `chunk_bytes`,) uint8, optional
            Where to do that; fresh memory costs as much as decoding does.

        Returns
        -------
        bytes or None
            None where every value is the fill value: Zarr stores no such chunk.

        Raises
        ------
        ValueError
            What was encoded does not decode to what was given.
        """
        values = np.ascontiguousarray(values, self.dtype)
        if values.shape != self.chunk_shape:
            padded = np.full(self.chunk_shape, self.fill, self.dtype)
            padded[: len(values)] = values
            values = padded
        if self._is_fill(values):
            return None
        scratch = np.empty(2 * self.chunk_bytes, np.uint8) if scratch is None else scratch[: 2 * self.chunk_bytes]
        data = self._compress(values, scratch)
        if data is None:
            raise ValueError("a chunk does not decode to what was encoded; Blosc is broken")
        return data

    def decode_chunk(self, chunk: bytes | memoryview | None) -> np.ndarray:
        """Values of one chunk, fill values where it holds nothing; inverse of `encode_chunk`, padding included.

        Raises
        ------
        ValueError, RuntimeError
            The chunk is damaged.
        """
        values = np.full(self.chunk_shape, self.fill, self.dtype)
        if chunk is not None:
            self._decompress(chunk, values)
        return values

    def join(self, chunks: Sequence[bytes | None]) -> bytes | None:
        """Object of a shard from its encoded chunks, in order; None where no chunk holds anything.

        Chunks that lie beyond the end of the array may be left out.
        """
        return b"".join(self.pieces(chunks)) or None

    def pieces(self, chunks: Sequence[bytes | None]) -> list[bytes]:
        """What `join` puts together: the chunks that hold something, and last the index; nothing where none does."""
        held = [chunk for chunk in chunks if chunk is not None]
        if not held or not self.sharded:
            return held
        index = np.full((self.n_chunks, 2), _NO_CHUNK, "<u8")
        offset = 0
        for number, chunk in enumerate(chunks):
            if chunk is not None:
                index[number] = offset, len(chunk)
                offset += len(chunk)
        table = index.tobytes()
        return [*held, table + google_crc32c.value(table).to_bytes(_CRC_BYTES, "little")]

    def are_chunks(self, pieces: Sequence[bytes], chunks: Sequence[bytes | None]) -> bool:
        """Whether an object that was read in these pieces holds these chunks, by its own index."""
        if not self.sharded:
            return list(pieces) == [chunk for chunk in chunks if chunk is not None]
        starts = np.cumsum([0, *map(len, pieces)]).tolist()
        by_place = dict(zip(zip(starts, map(len, pieces), strict=False), pieces, strict=False))
        places = self._places(pieces[-1])
        return places[len(chunks) :] == [None] * (len(places) - len(chunks)) and all(
            chunk is None if place is None else by_place.get(place) == chunk
            for place, chunk in zip(places, chunks, strict=False)
        )

    def split(self, data: bytes | None) -> list[memoryview | None]:
        """Encoded chunks of an object, None for those that hold nothing; inverse of `join`.

        Raises
        ------
        ValueError
            The object is damaged.
        """
        if data is None:
            return [None] * self.n_chunks
        view = memoryview(data)
        if not self.sharded:
            return [view]
        places = self._places(bytes(view[-(self.n_chunks * 16 + _CRC_BYTES) :]))
        return [None if place is None else view[place[0] : place[0] + place[1]] for place in places]

    def _places(self, index: bytes) -> list[tuple[int, int] | None]:
        """Offset and length of each chunk by the index of a shard, None for those that hold nothing."""
        table = index[:-_CRC_BYTES]
        if google_crc32c.value(table).to_bytes(_CRC_BYTES, "little") != index[-_CRC_BYTES:]:
            raise ValueError("the index of a shard does not match its checksum")
        places = np.frombuffer(table, "<u8").reshape(self.n_chunks, 2).tolist()
        return [None if offset == _NO_CHUNK else (offset, length) for offset, length in places]

    def decode(self, data: bytes | None, rows: int) -> np.ndarray:
        """Values of the first `rows` rows of an object; fill values where there is no object.

        Raises
        ------
        ValueError, RuntimeError
            The object is damaged.
        """
        values = np.empty(self.shard_shape, self.dtype)
        step = self.chunk_shape[0]
        for number, chunk in enumerate(self.split(data)[: -(-rows // step)]):
            place = values[number * step : (number + 1) * step]
            if chunk is None:
                place[...] = self.fill
            else:
                self._decompress(chunk, place)
        return values[:rows]

    def decode_rows(self, data: bytes | None, rows: np.ndarray) -> np.ndarray:
        """Values of the given rows of an object, in their order; only the chunks that hold them are decoded.

        Raises
        ------
        ValueError, RuntimeError
            The object is damaged, as far as it is decoded.
        """
        chunks, step = self.split(data), self.chunk_shape[0]
        values = np.empty((len(rows), *self.shard_shape[1:]), self.dtype)
        for number in np.unique(rows // step):
            inside = rows // step == number
            values[inside] = self.decode_chunk(chunks[number])[rows[inside] % step]
        return values

    def _compress(self, values: np.ndarray, scratch: np.ndarray) -> bytes | None:
        """Encode a whole chunk; None where it does not decode to the same bits."""
        first, second = scratch[: self.chunk_bytes], scratch[self.chunk_bytes :]
        if block := self._block:
            bits = _bits(values).ravel()
            bitplanes.planes_of(bits, first, block)
            compressor, level, _, block_bytes = self.compression
            data = blosc.compress(first.view(bits.dtype), compressor, level, blosc.NOSHUFFLE, block_bytes)
            # Where nothing is gained Blosc keeps the values as they are, not their planes.
            if not data[_FLAGS] & _COPIED:
                blosc.decompress(data, second)
                return _with_flags(data, _BITS_SHUFFLED) if bitplanes.hold(second, bits, block) else None
        data = blosc.compress(values, *self.compression)
        blosc.decompress(data, second)
        return data if _same(second, _bytes(values)) else None

    @property
    def _block(self) -> int:
        """Numbers of which `larun.store.bitplanes` shuffles the bits at once; 0 where Blosc has to shuffle itself."""
        if self.compression[2] != blosc.BITSHUFFLE or np.dtype(self.dtype).itemsize != bitplanes.WIDTH:
            return 0
        return _block_by_blosc(self.chunk_bytes, self.compression)

    def _decompress(self, chunk: bytes | memoryview, place: np.ndarray) -> None:
        """Decode a chunk into a contiguous array of its shape."""
        # Blosc believes its header: a wrong length makes it read or write beyond the end.
        header = np.frombuffer(chunk[:_BLOSC_HEADER], "<u4") if len(chunk) >= _BLOSC_HEADER else None
        if header is None or header[1] != place.nbytes or header[3] != len(chunk):
            raise ValueError(f"a chunk of {len(chunk)} bytes does not hold {place.nbytes} bytes of values")
        if chunk[_FLAGS] & (_BITS_SHUFFLED | _COPIED) == _BITS_SHUFFLED and (block := _block_of(chunk)):
            planes = np.empty(place.nbytes, np.uint8)
            blosc.decompress(_with_flags(chunk, 0), planes)
            bitplanes.numbers_of(planes, _bits(place).ravel(), block)
        else:
            blosc.decompress(chunk, place)

    def _is_fill(self, values: np.ndarray) -> bool:
        """Whether all values are the fill value, bit for bit."""
        bits = _bits(values).ravel()
        # Within a light curve, because its first cadence and that in its middle are often missing.
        if bits.item(bits.size // 3) != self._fill_bits:
            return False
        some = bits[:: max(1, bits.size // 64)]
        return bool((some == self._fill_bits).all()) and bool((bits == self._fill_bits).all())


@lru_cache(maxsize=64)
def _block_by_blosc(chunk_bytes: int, compression: tuple[bytes, int, int, int]) -> int:
    """As `_block_of`, of chunks that Blosc makes of so many bytes."""
    return _block_of(blosc.compress(np.zeros(chunk_bytes // bitplanes.WIDTH, "<u4"), *compression))


def _block_of(chunk: bytes | memoryview) -> int:
    """Numbers in a block of an encoded chunk; 0 where `larun.store.bitplanes` does not shuffle such."""
    _, n_bytes, block_bytes, _ = np.frombuffer(chunk[:_BLOSC_HEADER], "<u4").tolist()
    group = bitplanes.GROUP * bitplanes.WIDTH
    whole = chunk[3] == bitplanes.WIDTH and block_bytes and not n_bytes % group and not block_bytes % group
    return block_bytes // bitplanes.WIDTH if whole and sys.byteorder == "little" else 0


def _with_flags(chunk: bytes | memoryview, shuffled: int) -> bytes:
    """A chunk whose header says that its bits are shuffled, or that nothing is."""
    header = bytearray(chunk[:_BLOSC_HEADER])
    header[_FLAGS] = header[_FLAGS] & ~_BITS_SHUFFLED | shuffled
    return b"".join((header, memoryview(chunk)[_BLOSC_HEADER:]))


def _same(a: np.ndarray, b: np.ndarray) -> bool:
    """Whether two contiguous arrays of one shape hold the same bits."""
    words = np.uint64 if a.nbytes % 8 == 0 else np.uint8
    return not (a.ravel().view(words) != b.ravel().view(words)).any()


def _bytes(values: np.ndarray) -> np.ndarray:
    return values.reshape(-1).view(np.uint8)


def _bits(values: np.ndarray) -> np.ndarray:
    return values.view(f"u{values.dtype.itemsize}")

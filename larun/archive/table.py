"""Columns of FITS binary tables.

Plain tables are read from the file's own bytes; anything else (scaled, vector or variable-length columns) goes through
astropy.
"""

from __future__ import annotations

import io
import re
import sys
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property, lru_cache

import numpy as np
from numba import njit

from larun.archive.fits import CARD, Hdu, Header, Rows, in_other_order
from larun.errors import ProductCorrupt

_PLAIN_FORMAT = re.compile(r"1?([DEKJIB])")
_LAYOUT_CARDS = frozenset({b"TFIEL", b"TTYPE", b"TFORM", b"TSCAL", b"TZERO", b"TNULL", b"NAXIS", b"PCOUN"})
_DTYPES = {"D": ">f8", "E": ">f4", "K": ">i8", "J": ">i4", "I": ">i2", "B": "u1"}

_WORD = 4
_ROWS_AT_ONCE = 128
"""Rows of which all columns are read before those of the next: they lie in the nearest cache then."""


@dataclass(frozen=True)
class Table:
    """Columns of a binary table, by upper-case name."""

    data: bytes
    hdu: Hdu

    def __len__(self) -> int:
        return self.hdu.header.integer("NAXIS2")

    @cached_property
    def names(self) -> dict[str, str]:
        """Upper-case name of each column -> its name in the file, in the file's order."""
        return _names(self._layout)

    @cached_property
    def dtype(self) -> np.dtype | None:
        """Record type of a plain table; None where only astropy can read it."""
        return _dtype(self._layout)

    @cached_property
    def _layout(self) -> bytes:
        """The cards that say how a row is made up: the same for all files of a sector."""
        raw = self.hdu.header.raw
        return b"".join(raw[i : i + CARD] for i in _layout_places(self.hdu.header.keywords))

    def columns(self, names: Iterable[str]) -> dict[str, np.ndarray]:
        """Some columns by upper-case name, each (row,), contiguous, in native byte order, of their own memory.

        Raises
        ------
        ProductCorrupt
            There is no such column; names those there are. Or the table cannot be read.
        """
        names = list(names)
        for name in names:
            if name not in self.names:
                raise ProductCorrupt(f"the table has no column {name}, it has {', '.join(self.names)}")
        if self.dtype is None:
            records = _read_with_astropy(self.data, self.hdu.index)
            found = {name: np.asarray(records[self.names[name]]) for name in names}
        elif gathered := self.gathered(names):
            return gathered[0]
        else:
            records = np.frombuffer(self.data, self.dtype, count=len(self), offset=self.hdu.data_start)
            found = {name: records[name] for name in names}
        return {name: values.astype(values.dtype.newbyteorder("=")) for name, values in found.items()}

    def gathered(self, names: list[str]) -> tuple[dict[str, np.ndarray], Rows] | None:
        """Columns of numbers of four and eight bytes, as in `columns`, and the sum of all rows, in one pass over them.

        None where any of the columns is absent or is another. All this may be damaged before `verify_checksums`.
        """
        if self.dtype is None or any(name not in self.names for name in names):
            return None
        n_rows = self.hdu.header.integer("NAXIS2")
        if not 0 < n_rows * self.dtype.itemsize <= self.hdu.data_size:
            return None
        words = np.frombuffer(self.data, np.uint32, count=len(self.data) // _WORD)
        row = _row_of_words(self._layout, tuple(names))
        if row is None or self.hdu.data_start % _WORD or not words.flags.aligned or sys.byteorder != "little":
            return None
        n_wide = int(np.count_nonzero(row.wide))
        short = np.empty((len(names) - n_wide, n_rows), np.uint32)
        long = np.empty((n_wide, n_rows), np.uint64)
        total = _gather(words[self.hdu.data_start // _WORD :], row.length, row.places, row.wide, short, long)
        lines = {4: iter(short), 8: iter(long)}
        columns = {name: next(lines[dtype.itemsize]).view(dtype) for name, dtype in row.dtypes.items()}
        return columns, Rows(self.hdu.index, n_rows * self.dtype.itemsize, int(total))


@dataclass(frozen=True)
class _Row:
    """Where some columns lie in a row of big-endian words of four bytes.

    Parameters
    ----------
    length : uint64
        Words of a row.
    places : (column,) uint64
        First word of each column.
    wide : (column,) bool
        Whether it has two words.
    dtypes : dict
        Type of each column in native byte order, by name.
    """

    length: np.uint64
    places: np.ndarray
    wide: np.ndarray
    dtypes: dict[str, np.dtype]


@lru_cache(maxsize=64)
def _row_of_words(layout: bytes, names: tuple[str, ...]) -> _Row | None:
    """Columns of a plain table by upper-case name; None where not all of them are made up of whole words."""
    row = _dtype(layout)
    fields = {name: row.fields[name][:2] for name in names}
    if row.itemsize % _WORD or any(at % _WORD or kind.itemsize not in (4, 8) for kind, at in fields.values()):
        return None
    return _Row(
        np.uint64(row.itemsize // _WORD),
        np.array([at // _WORD for _, at in fields.values()], np.uint64),
        np.array([kind.itemsize == 8 for kind, _ in fields.values()]),
        {name: kind.newbyteorder("=") for name, (kind, _) in fields.items()},
    )


@njit(cache=True, nogil=True)
def _gather(words, stride, places, wide, short, long):
    """Columns of rows of `stride` big-endian words: those of one word into `short`, those of two into `long`.

    Returns the sum of all words of the rows.
    """
    total = np.uint64(0)
    n_rows = np.uint64(max(short.shape[1], long.shape[1]))
    one = np.uint64(1)
    for first in range(np.uint64(0), n_rows, np.uint64(_ROWS_AT_ONCE)):
        last = min(n_rows, first + np.uint64(_ROWS_AT_ONCE))
        for word in range(first * stride, last * stride):
            total += np.uint64(in_other_order(words[word]))
        n_short = n_long = 0
        for column in range(places.shape[0]):
            place = places[column] + first * stride
            if wide[column]:
                pairs = long[n_long]
                n_long += 1
                for row in range(first, last):
                    high, low = in_other_order(words[place]), in_other_order(words[place + one])
                    pairs[row] = (np.uint64(high) << np.uint64(32)) | np.uint64(low)
                    place += stride
            else:
                singles = short[n_short]
                n_short += 1
                for row in range(first, last):
                    singles[row] = in_other_order(words[place])
                    place += stride
    return total


@lru_cache(maxsize=64)
def _layout_places(keywords: tuple[bytes, ...]) -> tuple[int, ...]:
    """First bytes of the cards that say how a row is made up."""
    return tuple(i * CARD for i, keyword in enumerate(keywords) if keyword[:5] in _LAYOUT_CARDS)


@lru_cache(maxsize=64)
def _names(layout: bytes) -> dict[str, str]:
    header = Header(layout)
    names = [header.text(f"TTYPE{i + 1}").strip() for i in range(header.integer("TFIELDS"))]
    if len({name.upper() for name in names}) != len(names) or "" in names:
        raise ProductCorrupt(f"the table's columns must have names of their own, they are {names}")
    return {name.upper(): name for name in names}


@lru_cache(maxsize=64)
def _dtype(layout: bytes) -> np.dtype | None:
    header, names = Header(layout), _names(layout)
    formats = []
    for i in range(1, len(names) + 1):
        match = _PLAIN_FORMAT.fullmatch(header.text(f"TFORM{i}").strip())
        if match is None or any(f"{key}{i}" in header for key in ("TSCAL", "TZERO", "TNULL")):
            return None
        formats.append(_DTYPES[match[1]])
    dtype = np.dtype({"names": list(names), "formats": formats}) if formats else None
    if dtype is None or header.integer("PCOUNT") or dtype.itemsize != header.integer("NAXIS1"):
        return None
    return dtype


def _read_with_astropy(data: bytes, index: int):
    from astropy.io import fits

    try:
        with fits.open(io.BytesIO(data), memmap=False) as file:
            return file[index].data
    except (OSError, ValueError, TypeError, KeyError, fits.VerifyError) as error:
        raise ProductCorrupt(f"the table of HDU {index} cannot be read: {error}") from error

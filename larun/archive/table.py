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

from larun.archive.fits import CARD, WORD, Hdu, Header, Rows, separate
from larun.archive.rows import LONG, NARROWED, SHORT, gather
from larun.errors import ProductCorrupt

_PLAIN_FORMAT = re.compile(r"1?([DEKJIB])")
_LAYOUT_CARDS = frozenset({b"TFIEL", b"TTYPE", b"TFORM", b"TSCAL", b"TZERO", b"TNULL", b"NAXIS", b"PCOUN"})
_DTYPES = {"D": ">f8", "E": ">f4", "K": ">i8", "J": ">i4", "I": ">i2", "B": "u1"}

_NONE: frozenset[str] = frozenset()


class Table:
    """Columns of a binary table, by upper-case name.

    Parameters
    ----------
    data : bytes
        The whole file.
    hdu : Hdu
        The table's place in it.
    """

    def __init__(self, data: bytes, hdu: Hdu):
        self.data, self.hdu = data, hdu
        self._layout = _layout(hdu.header.raw[_layout_of(hdu.header.keywords)])

    def __len__(self) -> int:
        return self.hdu.header.integer("NAXIS2")

    @property
    def names(self) -> dict[str, str]:
        """Upper-case name of each column -> its name in the file, in the file's order."""
        return self._layout.names

    @property
    def dtype(self) -> np.dtype | None:
        """Record type of a plain table; None where only astropy can read it."""
        return self._layout.dtype

    def columns(self, names: Iterable[str]) -> dict[str, np.ndarray]:
        """Some columns by upper-case name, each (row,), contiguous, in native byte order, of their own memory.

        Raises
        ------
        ProductCorrupt
            There is no such column; names those there are. Or the table cannot be read.
        """
        names, held = list(names), self.names
        for name in names:
            if name not in held:
                raise ProductCorrupt(f"the table has no column {name}, it has {', '.join(held)}")
        if self.dtype is None:
            records = _read_with_astropy(self.data, self.hdu.index)
            found = {name: np.asarray(records[held[name]]) for name in names}
        elif gathered := self.gathered(tuple(names)):
            return gathered[0]
        else:
            records = np.frombuffer(self.data, self.dtype, count=len(self), offset=self.hdu.data_start)
            found = {name: records[name] for name in names}
        return {name: values.astype(values.dtype.newbyteorder("=")) for name, values in found.items()}

    def gathered(
        self, names: tuple[str, ...], narrow: frozenset[str] = _NONE
    ) -> tuple[dict[str, np.ndarray], Rows] | None:
        """Columns of numbers of four and eight bytes, as in `columns`, and the sum of all rows, in one pass over them.

        Those of `narrow` that are float64 come as float32. None where any of the columns is absent or is another, or
        holds what float32 cannot. All this may be damaged before `verify_checksums`.
        """
        row, n_rows, start = _row_of_words(self._layout, names, narrow), len(self), self.hdu.data_start
        if row is None or not 0 < n_rows * row.length * WORD <= self.hdu.data_size or start % WORD:
            return None
        words = np.frombuffer(self.data, np.uint32, (len(self.data) - start) // WORD, start)
        if not words.flags.aligned or sys.byteorder != "little":
            return None
        short = np.empty((len(names) - row.n_long, n_rows), np.uint32)
        long = np.empty((row.n_long, n_rows), np.uint64)
        total, n_lost = gather(words, row.length, row.places, row.kinds, short, long)
        if n_lost:
            return None
        lines = {4: iter(short), 8: iter(long)}
        columns = {name: next(lines[kind.itemsize]).view(kind) for name, kind in row.dtypes.items()}
        return columns, Rows(start, start + n_rows * row.length * WORD, total)


@dataclass(frozen=True)
class _Row:
    """Where some columns lie in a row of big-endian words of four bytes.

    Parameters
    ----------
    length : int
        Words of a row.
    places : (column,) int64
        First word of each column.
    kinds : (column,) uint8
        `larun.archive.rows.SHORT`, `LONG` or `NARROWED`.
    n_long : int
        Columns of the kind `LONG`.
    dtypes : dict
        Type of each column as it is read, in native byte order, by name.
    """

    length: int
    places: np.ndarray
    kinds: np.ndarray
    n_long: int
    dtypes: dict[str, np.dtype]


@lru_cache(maxsize=64)
def _row_of_words(layout: _Layout, names: tuple[str, ...], narrow: frozenset[str]) -> _Row | None:
    """Columns of a plain table by upper-case name; None where one is absent or not made up of whole words."""
    row = layout.dtype
    if row is None or not layout.names.keys() >= set(names):
        return None
    fields = {name: row.fields[name][:2] for name in names}
    if row.itemsize % WORD or any(at % WORD or kind.itemsize not in (4, 8) for kind, at in fields.values()):
        return None
    dtypes = {name: kind.newbyteorder("=") for name, (kind, _) in fields.items()}
    narrowed = [name for name, dtype in dtypes.items() if name in narrow and dtype == np.float64]
    dtypes |= dict.fromkeys(narrowed, np.dtype(np.float32))
    kinds = [NARROWED if name in narrowed else LONG if t.itemsize == 8 else SHORT for name, t in dtypes.items()]
    return _Row(
        row.itemsize // WORD,
        np.array([at // WORD for _, at in fields.values()], np.int64),
        np.array(kinds, np.uint8),
        kinds.count(LONG),
        dtypes,
    )


@lru_cache(maxsize=64)
def _layout_of(keywords: bytes) -> slice:
    """Bytes of a header from the first card to the last of those that say how a row is made up."""
    cards = [i for i, keyword in enumerate(separate(keywords)) if keyword[:5] in _LAYOUT_CARDS]
    return slice(CARD * cards[0], CARD * (cards[-1] + 1)) if cards else slice(0)


@lru_cache(maxsize=64)
def _layout(cards: bytes) -> _Layout:
    return _Layout(Header(cards))


class _Layout:
    """How a row is made up, by the cards that say so and those between them: the same in all files of a sector."""

    def __init__(self, header: Header):
        self._header = header

    @cached_property
    def names(self) -> dict[str, str]:
        """As `Table.names`."""
        header = self._header
        names = [header.text(f"TTYPE{i + 1}").strip() for i in range(header.integer("TFIELDS"))]
        if len({name.upper() for name in names}) != len(names) or "" in names:
            raise ProductCorrupt(f"the table's columns must have names of their own, they are {names}")
        return {name.upper(): name for name in names}

    @cached_property
    def dtype(self) -> np.dtype | None:
        """As `Table.dtype`."""
        header, names = self._header, self.names
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

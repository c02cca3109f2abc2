"""FITS files as verified bytes: structure, exact length and checksums."""

from __future__ import annotations

import re
import sys
from contextlib import suppress
from functools import lru_cache
from typing import NamedTuple

import numpy as np
from numba import njit

from larun.errors import ProductCorrupt

BLOCK = 2880
"""Bytes of one FITS block (FITS Standard 4.0, section 3.1)."""

SUFFIXES = (".fits", ".fit", ".fts")
"""Endings of FITS names, in lower case."""

CARD = 80
_KEYWORD = 8
_FILLED = re.compile(rb"= '[^' ]+'")
_END = b"END" + b" " * (CARD - 3)
_SIZES = frozenset({"BITPIX", "NAXIS", "PCOUNT", "GCOUNT"})
_ALL_ONES = 0xFFFFFFFF

WORD = 4
"""Bytes of one word of a checksum (FITS Standard 4.0, section 4.4.2)."""

_SWAPPED = sys.byteorder == "little"


class Header:
    """Cards of one header, read without astropy; of a repeated keyword the first counts.

    Parameters
    ----------
    raw : bytes
        Whole cards of 80 bytes, with or without END.

    Attributes
    ----------
    keywords : bytes
        Keywords of all cards, eight bytes each: the same for every header of a kind of file.
    sizes : tuple of int
        First bytes of the cards that say how long the data are.
    """

    def __init__(self, raw: bytes):
        self.raw = raw
        words = np.frombuffer(raw, np.uint64, count=len(raw) // CARD * (CARD // _KEYWORD))
        self.keywords = words[:: CARD // _KEYWORD].tobytes()
        self._places, self.sizes = _places(self.keywords)

    def __contains__(self, key: str) -> bool:
        return key in self._places

    def get(self, key: str, default=None):
        """Value of a card as str, bool, int or float; `default` where it is absent or empty.

        Raises
        ------
        ProductCorrupt
            The card does not follow the FITS standard.
        """
        place = self._places.get(key)
        if place is None:
            return default
        card = self.raw[place : place + CARD]
        try:
            value = _card_value(card)
        except ValueError as error:
            raise ProductCorrupt(f"the header card {card!r} does not follow the FITS standard") from error
        return default if value is None else value

    def integer(self, key: str, default: int | None = None) -> int:
        """Value of a card that must be an integer."""
        value = self.get(key, default)
        if isinstance(value, bool) or not isinstance(value, int):
            raise ProductCorrupt(f"header keyword {key} must be an integer, it is {value!r}")
        return value

    def text(self, key: str) -> str:
        """Value of a card as text; empty where it is absent."""
        return str(self.get(key, ""))

    def fills(self, key: str) -> bool:
        """Whether a card has a text that is not empty; as `text`, without reading what is different in every file."""
        place = self._places.get(key)
        return place is not None and bool(_FILLED.match(self.raw, place + _KEYWORD) or self.text(key))

    def cards(self, keys: tuple[str, ...]) -> bytes:
        """The cards of some keywords, as far as there are any: a header of its own."""
        places = [self._places.get(key) for key in keys]
        return b"".join([self.raw[place : place + CARD] for place in places if place is not None])


def separate(keywords: bytes) -> list[bytes]:
    """Keyword of each card, blanks included, from all of them."""
    return [keywords[i : i + _KEYWORD] for i in range(0, len(keywords), _KEYWORD)]


@lru_cache(maxsize=256)
def _places(keywords: bytes) -> tuple[dict[str, int], tuple[int, ...]]:
    """First byte of the first card of each keyword, and those of all cards that say how long the data are."""
    names = [keyword.decode("latin-1").rstrip(" ") for keyword in separate(keywords)]
    sizes = tuple(i * CARD for i, name in enumerate(names) if name.rstrip(" 0123456789") in _SIZES)
    return {name: i * CARD for i, name in reversed(list(enumerate(names)))}, sizes


@lru_cache(maxsize=4096)
def _card_value(card: bytes):
    """Value of a card; most cards are the same in every file of a sector."""
    if card[8:10] != b"= ":
        raise ValueError("no value indicator")
    field = card.decode("ascii")[10:].strip()
    if field.startswith("'"):
        match = re.match(r"'((?:[^']|'')*)'", field)
        if match is None:
            raise ValueError("no closing quote")
        return match[1].replace("''", "'").rstrip()
    field = field.split("/", 1)[0].strip()
    if field in ("", "T", "F"):
        return {"": None, "T": True, "F": False}[field]
    with suppress(ValueError):
        if "." not in field:
            return int(field)
    return float(field.replace("D", "E"))


class Hdu(NamedTuple):
    """One header and its data: where they lie in the file, in bytes."""

    index: int
    header: Header
    start: int
    data_start: int
    data_size: int

    @property
    def end(self) -> int:
        """First byte after the HDU, padding included."""
        return self.data_start + -(-self.data_size // BLOCK) * BLOCK

    @property
    def is_table(self) -> bool:
        """Whether it is a binary table."""
        return self.header.get("XTENSION") == "BINTABLE"


def header_at(data: bytes, start: int) -> tuple[Header, int] | None:
    """Header that begins at byte `start`, and the first byte after its padding; None where END does not come."""
    place = data.find(_END, start)
    while place >= 0 and (place - start) % CARD:
        place = data.find(_END, place + 1)
    if place < 0:
        return None
    return Header(data[start:place]), start + -(-(place + CARD - start) // BLOCK) * BLOCK


def data_size(header: Header) -> int:
    """Bytes of the data of an HDU, padding excluded (FITS Standard 4.0, equation 2)."""
    return _data_size(b"".join([header.raw[place : place + CARD] for place in header.sizes]))


@lru_cache(maxsize=256)
def _data_size(cards: bytes) -> int:
    header = Header(cards)
    n_axes = header.integer("NAXIS")
    axes = [header.integer(f"NAXIS{i + 1}") for i in range(n_axes)]
    parameters, groups = header.integer("PCOUNT", 0), header.integer("GCOUNT", 1)
    if not 0 <= n_axes <= 999 or any(n < 0 for n in (*axes, parameters, groups)):
        raise ProductCorrupt(f"header gives impossible sizes: axes {axes}, PCOUNT {parameters}, GCOUNT {groups}")
    elements = int(np.prod(axes, dtype=object)) if axes else 0
    return abs(header.integer("BITPIX")) // 8 * groups * (parameters + elements)


def split(data: bytes) -> tuple[Hdu, ...]:
    """Cut a file into its HDUs; every byte must belong to one.

    Raises
    ------
    ProductCorrupt
        Empty, not FITS, truncated, or with bytes that belong to no HDU.
    """
    _require_fits(data)
    hdus: list[Hdu] = []
    place = 0
    while place < len(data):
        expected = b"XTENSION= " if hdus else b"SIMPLE  = "
        if not data.startswith(expected, place):
            raise ProductCorrupt(
                f"{len(data) - place} bytes follow HDU {len(hdus) - 1} and are no further HDU: "
                "the file is damaged or something was appended; fetch it again"
            )
        found = header_at(data, place)
        if found is None:
            raise ProductCorrupt(
                f"truncated or damaged: the header of HDU {len(hdus)} has no END in the {len(data)} bytes that came"
            )
        hdus.append(Hdu(len(hdus), found[0], place, found[1], data_size(found[0])))
        place = hdus[-1].end
        if place > len(data):
            raise ProductCorrupt(
                f"truncated: by its headers the file holds at least {place} bytes, {len(data)} came; fetch it again"
            )
    announced = hdus[0].header.integer("NEXTEND", 0)
    if len(hdus) - 1 < announced:
        raise ProductCorrupt(f"truncated: the header announces {announced} extensions, {len(hdus) - 1} came")
    return tuple(hdus)


def _require_fits(data: bytes) -> None:
    if not data:
        raise ProductCorrupt("the file is empty, expected a FITS light curve")
    if data.startswith(b"SIMPLE  = "):
        return
    start = data[:200].lstrip().lower()
    if start.startswith((b"<!doctype", b"<html", b"<?xml")):
        raise ProductCorrupt("this is an HTML page, not FITS: the archive answered with an error page; fetch it again")
    raise ProductCorrupt(f"this is not FITS: it starts with {data[:20]!r}, expected b'SIMPLE  ='")


class Rows(NamedTuple):
    """Plain sum of the big-endian 32-bit words of the rows of a table.

    Parameters
    ----------
    start, end : int
        First byte of the rows in the file, and the first one after them.
    total : int
        The sum.
    """

    start: int
    end: int
    total: int


def ones_complement_sum(data: bytes, start: int = 0, end: int | None = None, rows: Rows | None = None) -> int:
    """Ones-complement sum of big-endian 32-bit words (FITS Standard 4.0, appendix J); all ones for a valid HDU.

    Parameters
    ----------
    data : bytes
        The words, and more.
    start, end : int
        First byte of the words, and the first one after them; by default those of `data`.
    rows : Rows, optional
        Some of the words, of which the sum is known.
    """
    end = len(data) if end is None else end
    words = np.frombuffer(data, np.uint32, (end - start) // WORD, start)
    first, last = (0, 0) if rows is None else ((rows.start - start) // WORD, (rows.end - start) // WORD)
    total = int(_sum_around(words, first, last, _SWAPPED)) + (0 if rows is None else rows.total)
    while total > _ALL_ONES:
        total = (total & _ALL_ONES) + (total >> 32)
    return total


@njit(cache=True, nogil=True, inline="always")
def in_other_order(word):
    """Reverse the bytes of a 32-bit word."""
    return (
        ((word & np.uint32(0xFF)) << np.uint32(24))
        | ((word & np.uint32(0xFF00)) << np.uint32(8))
        | ((word >> np.uint32(8)) & np.uint32(0xFF00))
        | (word >> np.uint32(24))
    )


@njit(cache=True, nogil=True)
def _sum_around(words, first, last, swapped):
    """Sum of 32-bit words but those from `first` to `last`; their bytes may be `swapped`. No 16 GiB can overflow it."""
    total = np.uint64(0)
    # Counted, because loops over the words themselves are not vectorised.
    for start, end in ((0, first), (last, words.shape[0])):
        if swapped:
            for i in range(start, end):
                total += np.uint64(in_other_order(words[i]))
        else:
            for i in range(start, end):
                total += np.uint64(words[i])
    return total


def verify_checksums(data: bytes, hdus: tuple[Hdu, ...], rows: Rows | None = None) -> bool:
    """Verify each HDU against its CHECKSUM, or against DATASUM where there is no CHECKSUM.

    Parameters
    ----------
    data : bytes
        The whole file.
    hdus : tuple of Hdu
        Its HDUs.
    rows : Rows, optional
        What was summed up already.

    Returns
    -------
    bool
        Whether the file carries checksums.

    Raises
    ------
    ProductCorrupt
        A sum does not match, or one HDU lacks the CHECKSUM that the others carry (damage to the keyword itself).
    """
    carrying = [hdu.header.fills("CHECKSUM") for hdu in hdus]
    for hdu, carries in zip(hdus, carrying, strict=True):
        if carries:
            known = rows if rows is not None and hdu.start < rows.start < hdu.end else None
            total = ones_complement_sum(data, hdu.start, hdu.end, known)
            if total != _ALL_ONES:
                raise ProductCorrupt(
                    f"the checksum of HDU {hdu.index} ({_name(hdu)}) is wrong: the ones-complement sum must be "
                    f"ffffffff and is {total:08x}; bits changed on the way, fetch it again"
                )
        elif any(carrying):
            raise ProductCorrupt(
                f"HDU {hdu.index} ({_name(hdu)}) carries no CHECKSUM and the others do: its header is damaged"
            )
        elif hdu.header.text("DATASUM"):
            _verify_datasum(data, hdu)
    return any(carrying)


def _verify_datasum(data: bytes, hdu: Hdu) -> None:
    total = ones_complement_sum(data, hdu.data_start, hdu.end)
    if hdu.header.text("DATASUM").strip() != str(total):
        raise ProductCorrupt(
            f"the data sum of HDU {hdu.index} ({_name(hdu)}) is wrong: "
            f"expected {hdu.header.text('DATASUM')}, came {total}; fetch it again"
        )


def _name(hdu: Hdu) -> str:
    return hdu.header.text("EXTNAME") or "unnamed"

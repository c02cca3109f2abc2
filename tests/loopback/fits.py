"""FITS files as bytes: relabelling, and damage whose checksums are right. NumPy only, apart from larun's own reader.

The ones-complement sum and its 16 characters follow FITS 4.0, appendix J.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cached_property

import numpy as np

BLOCK, CARD = 2880, 80
ALL_ONES = 0xFFFFFFFF
_FORMATS = {"D": ">f8", "E": ">f4", "K": ">i8", "J": ">i4", "I": ">i2", "B": "u1"}
_NOT_IN_CHECKSUM = frozenset(b":;<=>?@[\\]^_`")


def ones_sum(data) -> int:
    """32-bit ones-complement sum of the big-endian words of `data`."""
    words = np.frombuffer(data, ">u4")
    return fold(int(np.add.reduce(words, dtype=np.uint64)))


def fold(total: int) -> int:
    """A sum of 32-bit words with its carries added."""
    while total > ALL_ONES:
        total = (total & ALL_ONES) + (total >> 32)
    return total


def characters(total: int) -> bytes:
    """Characters of the CHECKSUM that complements a sum (taken with sixteen `0` in its place)."""
    value = ~total & ALL_ONES
    columns = []
    for shift in (24, 16, 8, 0):
        byte = value >> shift & 0xFF
        four = [byte // 4 + 48] * 4
        four[0] += byte % 4
        for first in (0, 2):
            while not _NOT_IN_CHECKSUM.isdisjoint(four[first : first + 2]):
                four[first] += 1
                four[first + 1] -= 1
        columns.append(four)
    text = bytes(columns[place][k] for k in range(4) for place in range(4))
    return text[-1:] + text[:-1]


@dataclass(frozen=True)
class Unit:
    """One HDU of a file: where its header, its data and its end lie."""

    start: int
    data: int
    end: int
    cards: dict[str, tuple[int, str]]
    """Keyword -> place of its card in the file, and its value as text."""

    def integer(self, key: str, default: int | None = None) -> int:
        """Value of an integer card."""
        if key not in self.cards and default is not None:
            return default
        return int(self.cards[key][1])

    def text(self, key: str) -> str:
        """Value of a card, quotes removed; empty where it is absent."""
        return self.cards.get(key, (0, ""))[1].strip("'").rstrip()

    @cached_property
    def columns(self) -> np.dtype:
        """Record type of a plain binary table."""
        numbers = range(1, self.integer("TFIELDS") + 1)
        return np.dtype([(self.text(f"TTYPE{i}"), _FORMATS[self.text(f"TFORM{i}").strip("1")]) for i in numbers])


def units(data) -> list[Unit]:
    """HDUs of a whole file."""
    view, found, start = memoryview(data), [], 0
    while start < len(view):
        cards, place = {}, start
        while True:
            card = bytes(view[place : place + CARD]).decode("ascii")
            place += CARD
            if card.startswith("END") and not card[3:].strip():
                break
            match = re.match(r"(.{8})= +('(?:[^']|'')*'|[^ /]*)", card)
            if match:
                cards.setdefault(match[1].strip(), (place - CARD, match[2]))
        header_end = start + -(-(place - start) // BLOCK) * BLOCK
        unit = Unit(start, header_end, header_end, cards)
        size = abs(unit.integer("BITPIX")) // 8 if unit.integer("NAXIS") else 0
        for axis in range(1, unit.integer("NAXIS") + 1):
            size *= unit.integer(f"NAXIS{axis}")
        size += unit.integer("PCOUNT", 0)
        found.append(Unit(start, header_end, header_end + -(-size // BLOCK) * BLOCK, cards))
        start = found[-1].end
    return found


def card(key: str, value, comment: str = "") -> bytes:
    """One header card in fixed format."""
    if isinstance(value, bool):
        text = f"{'T' if value else 'F':>20}"
    elif isinstance(value, str):
        text = f"{value!r:<20}" if len(value) >= 8 else f"'{value:<8}'".ljust(20)
    elif isinstance(value, int):
        text = f"{value:>20}"
    else:
        text = f"{value:>20.12f}"
    return f"{key:<8}= {text} / {comment}"[:CARD].ljust(CARD).encode("ascii")


def sign(header: bytearray, rest: int) -> None:
    """Write the CHECKSUM of an HDU whose header is changed.

    Parameters
    ----------
    header : bytearray
        The header, whole blocks; must have a CHECKSUM card already. DATASUM, where there is one, stays.
    rest : int
        Ones-complement sum of the data.
    """
    place = header.index(b"CHECKSUM= '") + 11
    header[place : place + 16] = b"0" * 16
    header[place : place + 16] = characters(fold(ones_sum(header) + rest))


def rewrite(data: bytes, header: bytearray, table: bytes, unit: Unit) -> bytes:
    """The file with another header and table in one HDU, whole blocks each, its sums put right."""
    rest = ones_sum(table)
    if "DATASUM" in unit.cards:
        place = unit.cards["DATASUM"][0] - unit.start
        header[place : place + CARD] = card("DATASUM", str(rest), "data unit checksum")
    if "CHECKSUM" in unit.cards:
        sign(header, rest)
    return data[: unit.start] + bytes(header) + table + data[unit.end :]


def table_of(data: bytes) -> tuple[Unit, np.ndarray, bytearray]:
    """First table of a file: its HDU, a copy of its rows, a copy of its header."""
    unit = next(u for u in units(data) if u.text("XTENSION") == "BINTABLE")
    rows = np.frombuffer(data, unit.columns, unit.integer("NAXIS2"), unit.data).copy()
    return unit, rows, bytearray(data[unit.start : unit.data])


def with_rows(data: bytes, rows: np.ndarray) -> bytes:
    """The file with other rows in its first table."""
    unit, _, header = table_of(data)
    place = unit.cards["NAXIS2"][0] - unit.start
    header[place : place + CARD] = card("NAXIS2", len(rows), "length of second array dimension")
    table = rows.tobytes()
    return rewrite(data, header, table + b"\0" * (-len(table) % BLOCK), unit)


def all_nan(data: bytes) -> bytes:
    """The file with NaN for every flux; times, cadence numbers and quality stay."""
    _, rows, _ = table_of(data)
    for name in rows.dtype.names:
        if rows.dtype[name].kind == "f" and name not in ("TIME", "TIMECORR"):
            rows[name] = np.nan
    return with_rows(data, rows)


def short_table(data: bytes, share: float = 0.02) -> bytes:
    """The file with the first rows of its table alone, at least one."""
    _, rows, _ = table_of(data)
    return with_rows(data, rows[: max(1, int(share * len(rows)))])


def duplicate_rows(data: bytes, count: int = 5) -> bytes:
    """The file with some rows, in the middle of its table, twice."""
    _, rows, _ = table_of(data)
    middle = len(rows) // 2
    # Concatenating them would turn every column into the machine's byte order.
    return with_rows(data, rows[np.r_[:middle, middle - min(count, middle) : len(rows)]])


def relabelled(data: bytes, target_id: int) -> bytes:
    """The file under another catalogue number, in every header, its sums right."""
    for unit in reversed(units(data)):
        header = bytearray(data[unit.start : unit.data])
        catalogue = unit.text("OBJECT").partition(" ")[0]
        for key, value in (("OBJECT", f"{catalogue} {target_id}"), ("TICID", target_id), ("KEPLERID", target_id)):
            if key in unit.cards:
                place = unit.cards[key][0] - unit.start
                header[place : place + CARD] = card(key, value)
        if "CHECKSUM" in unit.cards:
            sign(header, ones_sum(data[unit.data : unit.end]))
        data = data[: unit.start] + bytes(header) + data[unit.data :]
    return data

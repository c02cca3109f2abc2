"""One curve under many TIC numbers, without making or signing a file anew."""

from __future__ import annotations

import mmap
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from tests.loopback import fits

if TYPE_CHECKING:
    from tests.loopback.library import Held


@dataclass(frozen=True)
class Pool:
    """Files on disk that are served under other numbers and positions.

    Each star gets OBJECT, TICID, RA_OBJ and DEC_OBJ of its own in every header and the low bits of one flux value
    of its own, so that no two files hold equal data; checksums are put right by arithmetic on what changed.

    Parameters
    ----------
    files : tuple of Path
        Products in the SPOC layout, with checksums.
    """

    files: tuple[Path, ...]

    @cached_property
    def _templates(self) -> dict[int, _Template]:
        return {}

    def __getstate__(self):
        return {"files": self.files}

    def pieces(self, item: Held) -> list[bytes | memoryview]:
        """A product's bytes, in pieces; the large one is a view of the file in memory."""
        row = item.content
        if row not in self._templates:
            self._templates[row] = _Template(self.files[row])
        return self._templates[row].pieces(item)


class _Template:
    """One file of the pool: its headers, and where in them a star's own values stand."""

    def __init__(self, path: Path):
        with path.open("rb") as file:
            self.view = memoryview(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ))
        self.units = fits.units(self.view)
        self.headers = [bytes(self.view[unit.start : unit.data]) for unit in self.units]
        self.rest = [fits.ones_sum(self.view[unit.data : unit.end]) for unit in self.units]
        table = self.units[1]
        rows = np.frombuffer(self.view, table.columns, table.integer("NAXIS2"), table.data)
        middle = len(rows) // 2
        row = middle + int(np.flatnonzero(np.isfinite(rows["PDCSAP_FLUX"][middle:]))[0])
        column = table.columns.fields["PDCSAP_FLUX"][1]
        self.mark = table.data + row * table.columns.itemsize + column
        """Place of the flux value that carries the star's own bits."""
        self.marked = int.from_bytes(self.view[self.mark : self.mark + 4], "big")

    def pieces(self, item: Held) -> list[bytes | memoryview]:
        cards = {
            "OBJECT": fits.card("OBJECT", f"TIC {item.target_id}", "string version of target id"),
            "TICID": fits.card("TICID", item.target_id, "unique tess target identifier"),
            "RA_OBJ": fits.card("RA_OBJ", item.ra, "[deg] right ascension"),
            "DEC_OBJ": fits.card("DEC_OBJ", item.dec, "[deg] declination"),
        }
        mark = self.marked & ~0x3FFF | item.target_id % 0x3FFD
        found: list[bytes | memoryview] = []
        for unit, header, rest in zip(self.units, self.headers, self.rest, strict=True):
            signed = bytearray(header)
            for key, card in cards.items():
                if key in unit.cards:
                    place = unit.cards[key][0] - unit.start
                    signed[place : place + fits.CARD] = card
            if unit.data <= self.mark < unit.end:
                fits.sign(signed, _changed(rest, self.marked, mark, self.mark - unit.data))
                found += [bytes(signed), self.view[unit.data : self.mark], mark.to_bytes(4, "big")]
                found.append(self.view[self.mark + 4 : unit.end])
            else:
                fits.sign(signed, rest)
                found += [bytes(signed), self.view[unit.data : unit.end]]
        return [piece for piece in found if len(piece)]


def _changed(total: int, old: int, new: int, offset: int) -> int:
    """Ones-complement sum after four bytes at any offset changed."""
    shift = 8 * (offset % 4)

    def turned(value: int) -> int:
        return (value >> shift | value << (32 - shift)) & fits.ALL_ONES

    return fits.fold(total + (fits.ALL_ONES ^ turned(old)) + turned(new))

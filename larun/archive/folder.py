"""Native FITS products in a folder of this machine, at any depth."""

from __future__ import annotations

import logging
import os
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from larun.archive.decode import SIMULATED, author_of, cadence_of, star_of
from larun.archive.families import KNOWN, recognise
from larun.archive.fits import BLOCK, SUFFIXES, Hdu, Header, data_size, header_at, verify_checksums
from larun.archive.names import OfficialName, parse
from larun.archive.protocol import Fetched
from larun.errors import InputError, ProductAbsent, ProductCorrupt, ProductUnreachable
from larun.lightcurve import Star
from larun.paths import Product
from larun.plan import PlannedTarget, TargetList

log = logging.getLogger(__name__)

_TABLE_SUFFIXES = (".csv", ".npz")
_FIRST_READ = 10 * BLOCK
"""Enough for the primary header and the table header of most kinds."""

_LONGEST_HEADERS = 400 * BLOCK
"""No light curve has longer headers; what begins otherwise is not read to its end."""

_CADENCES_S = frozenset({20, 59, 120, 200, 600, 1765, 1800})
"""Cadences that the missions observe in; another in a header is damage, and the name decides."""

_LISTED = 40
"""Products that an error message names."""


@dataclass(frozen=True, slots=True)
class _Found:
    """One product of the folder; `readable` tells whether its header could be read."""

    product: Product
    target: PlannedTarget
    readable: bool


class FolderArchive:
    """Products below a folder.

    What a file is for is decided by its official name, and by its header where the name says nothing. So a product
    with a damaged header, or with another star inside, stays a target, and `decode` and `verify` give it its status.

    Parameters
    ----------
    path : str
        The folder; `~` and relative paths are resolved now.

    Notes
    -----
    Cheap to pickle: the list of products is made on first use in each process and not carried along.
    """

    name = "folder"

    def __init__(self, path: str):
        self.path = Path(path).expanduser().absolute()
        self._found: list[_Found] | None = None

    def __reduce__(self):
        return (type(self), (str(self.path),))

    def __repr__(self) -> str:
        return f"FolderArchive({str(self.path)!r})"

    def products(self) -> dict[Product, int]:
        """Targets that the folder holds of each product.

        Raises
        ------
        InputError
            There is no such folder, or it cannot be read.
        """
        return dict(sorted(Counter(found.product for found in self._products()).items()))

    def targets(self, product: Product) -> TargetList:
        """Targets of a product; of two files of one target the later processing, by name.

        Raises
        ------
        InputError
            The folder is absent or holds nothing of this product; says what it holds.
        """
        targets = tuple(found.target for found in self._products() if found.product == product)
        if not targets:
            raise InputError(f"{self.path} holds no {product}; {self._contents()}")
        return TargetList(targets)

    def sectors(self, mission: str, author: str, cadence_s: int) -> list[int]:
        """Sectors of a kind of product that the folder holds, increasing.

        Raises
        ------
        InputError
            There is no such folder, or it cannot be read.
        """
        kind = (mission, author, cadence_s)
        return sorted(p.sector for p in self.products() if (p.mission, p.author, p.cadence_s) == kind)

    def close(self) -> None:
        """Nothing is held open."""

    def fetch(self, product: Product, target: PlannedTarget) -> Fetched:
        """Bytes of a target's file.

        Raises
        ------
        ProductAbsent
            The file is gone.
        ProductUnreachable
            The file cannot be read now: rights, a lost network mount.
        """
        path = self.path / target.product
        try:
            return Fetched(path.read_bytes(), str(path))
        except FileNotFoundError as error:
            name = f"{product.catalogue} {target.star.target_id}"
            raise ProductAbsent(f"{name}: there is no file {target.product}") from error
        except OSError as error:
            raise ProductUnreachable(f"cannot read {target.product}: {error.strerror}") from error

    def _products(self) -> list[_Found]:
        if self._found is None:
            found = [item for path in self._files(SUFFIXES) if (item := self._identify(path)) is not None]
            self._found = _latest(_with_simulated_neighbours(found))
        return self._found

    def _files(self, suffixes: tuple[str, ...]) -> Iterator[Path]:
        """Files below the folder, in order of name and then of place."""

        def refuse(error: OSError):
            raise InputError(f"cannot list {error.filename}: {error.strerror}") from error

        if not self.path.is_dir():
            raise InputError(f"there is no folder {self.path}")
        paths = [
            Path(folder, name)
            for folder, _, names in os.walk(self.path, onerror=refuse)
            for name in names
            if name.lower().endswith(suffixes) and not name.startswith(".")
        ]
        yield from sorted(paths, key=lambda path: (path.name, path))

    def _contents(self) -> str:
        """What the folder holds, for an error message."""
        products = self.products()
        if products:
            listed = [f"{product} ({count})" for product, count in products.items()]
            more = f" and {len(listed) - _LISTED} more" if len(listed) > _LISTED else ""
            return "it holds " + ", ".join(listed[:_LISTED]) + more
        tables = sum(1 for _ in self._files(_TABLE_SUFFIXES))
        if tables:
            return (
                f"it holds {tables} CSV or NPZ files, which say neither sector nor pipeline: "
                "look at such files with `larun examine`"
            )
        return f"it holds no light-curve FITS of a kind that larun knows ({KNOWN})"

    def _identify(self, path: Path) -> _Found | None:
        """Product and target of one file; None where neither name nor header says, or where a plan cannot name it."""
        place = path.relative_to(self.path).as_posix()
        if not place.isprintable():
            log.warning("%r is left out: its name is not UTF-8, or has characters that cannot be shown", place)
            return None
        official = parse(path.name)
        try:
            primary, table = _headers(path)
            found = _from_headers(primary, table, official, place)
            if found is not None:
                return found
            reason = "its header is that of no kind that larun knows"
        except (ProductCorrupt, InputError, OSError) as error:
            reason = str(error)
        if official is None or official.sector is None:
            log.warning("%s is left out: %s, and its name follows no official pattern", path, reason)
            return None
        log.warning("%s is a target by its name alone: %s", path, reason)
        product = Product(official.mission, official.sector, official.author, official.cadence_s)
        return _Found(product, PlannedTarget(Star(official.target_id), place), readable=False)


def _headers(path: Path) -> tuple[Header, Header]:
    """Primary header, its checksum verified, and header of the first extension; reads no more than they need.

    Raises
    ------
    ProductCorrupt
        The file does not begin with two headers, or the first is damaged.
    """
    data = b""
    with path.open("rb") as file:
        while more := file.read(_FIRST_READ if len(data) < _LONGEST_HEADERS else 0):
            data += more
            found = header_at(data, 0) if data.startswith(b"SIMPLE  = ") else None
            if found is None:
                continue
            primary = Hdu(0, found[0], 0, found[1], data_size(found[0]))
            if len(data) >= primary.end:
                verify_checksums(data, (primary,))
            table = header_at(data, primary.end) if data.startswith(b"XTENSION= ", primary.end) else None
            if table is not None:
                return primary.header, table[0]
    raise ProductCorrupt(f"it does not begin with the headers of a FITS table but with {data[:20]!r}")


def _from_headers(primary: Header, table: Header, official: OfficialName | None, place: str) -> _Found | None:
    """Product and target by the headers, what the name says going first; None for a kind that is not known."""
    cadence_s = cadence_of(table, primary)
    family = recognise(primary, cadence_s)
    if family is None:
        return None
    star = star_of(family, primary)
    if official is None:
        if cadence_s is None:
            return None
        product = Product(family.mission, primary.integer(family.sector_key), family.author, round(cadence_s))
    else:
        sector = official.sector if official.sector is not None else primary.integer(family.sector_key)
        said = round(cadence_s or 0)
        cadence = said if said in _CADENCES_S and official.author != "spoc" else official.cadence_s
        product = Product(official.mission, sector, official.author, cadence)
        if star.target_id != official.target_id:
            log.warning("%s: its name says target %d, its header %d", place, official.target_id, star.target_id)
            star = Star(official.target_id)
    if author_of(family, primary) == SIMULATED:
        product = Product(product.mission, product.sector, SIMULATED, product.cadence_s)
    return _Found(product, PlannedTarget(star, place), readable=True)


def _with_simulated_neighbours(found: list[_Found]) -> list[_Found]:
    """Give a file without a readable header to the simulated sector that lies in its folder, if one does.

    Simulated products carry the pipeline's names; only their headers tell them apart.
    """

    def folder(item: _Found) -> str:
        return os.path.dirname(item.target.product)  # noqa: PTH120

    simulated: dict[str, set[Product]] = {}
    observed: dict[str, set[Product]] = {}
    for item in found:
        if item.readable:
            kind = simulated if item.product.simulated else observed
            kind.setdefault(folder(item), set()).add(item.product)

    def adopted(item: _Found) -> _Found:
        twin = Product(item.product.mission, item.product.sector, SIMULATED, item.product.cadence_s)
        place = folder(item)
        if item.readable or item.product in observed.get(place, ()) or twin not in simulated.get(place, ()):
            return item
        return _Found(twin, item.target, readable=False)

    return [adopted(item) for item in found]


def _latest(found: list[_Found]) -> list[_Found]:
    """One file per target and product, the last in order of name."""
    latest: dict[tuple[Product, int], _Found] = {}
    for item in found:
        key = (item.product, item.target.star.target_id)
        if key in latest:
            log.warning(
                "%s has two files of target %d: %s is taken, %s is not",
                item.product,
                item.target.star.target_id,
                item.target.product,
                latest[key].target.product,
            )
        latest[key] = item
    return list(latest.values())

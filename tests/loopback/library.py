"""What the archive on loopback holds."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path

from tests.loopback.relabel import Pool


@dataclass(frozen=True, slots=True)
class Held:
    """One product that the archive holds: what its catalogues say about it, and where its bytes come from.

    Parameters
    ----------
    name : str
        File name.
    mission, author : str
        As in `larun.paths.Product`.
    target_id, sector : int
        Number in the mission's catalogue, and sector, quarter or campaign.
    exposure_s : float
        As MAST gives it (1800 for Kepler's long cadence).
    ra, dec, magnitude, teff, logg, radius : float
        The star; NaN where it is not known.
    start_mjd, stop_mjd : float
        Of the observation.
    size : int
        Bytes.
    content : bytes, Path or int
        Its bytes, the file with them, or the row of the library's pool that is relabelled.
    """

    name: str
    mission: str
    author: str
    target_id: int
    sector: int
    exposure_s: float
    ra: float
    dec: float
    magnitude: float
    teff: float
    logg: float
    radius: float
    start_mjd: float
    stop_mjd: float
    size: int
    content: bytes | Path | int = field(repr=False)

    @property
    def folder(self) -> str:
        """Four folders of four digits, as MAST nests its targets."""
        digits = f"{self.target_id:016d}"
        return "/".join(digits[i : i + 4] for i in range(0, 16, 4))

    @property
    def uri(self) -> str:
        """MAST's name of the product."""
        place = {
            "spoc": "TESS/product",
            "tess-spoc": f"HLSP/tess-spoc/s{self.sector:04d}/target/{self.folder}",
            "qlp": f"HLSP/qlp/s{self.sector:04d}/{self.folder}",
            "kepler": f"Kepler/url/missions/kepler/lightcurves/{self.target_id // 100000:04d}/{self.target_id:09d}",
            "k2": f"K2/url/missions/k2/lightcurves/c{self.sector}/{self.target_id // 100000}00000/"
            f"{self.target_id % 100000 // 1000:02d}000",
        }.get(self.author, f"HLSP/{self.author}/s{self.sector:04d}/{self.folder}")
        return f"mast:{place}/{self.name}"

    @property
    def key(self) -> str:
        """Name of the object in the public bucket."""
        if self.author == "spoc":
            return f"tess/public/tid/s{self.sector:04d}/{self.folder}/{self.name}"
        place = self.uri.removeprefix("mast:")
        if place.startswith("HLSP/"):
            return "mast/hlsp/" + place.removeprefix("HLSP/")
        return re.sub(r"^(Kepler|K2)/url/missions/(kepler|k2)/", r"\2/public/", place)


@dataclass(frozen=True)
class Library:
    """Products of an archive, each name once; `a + b` holds those of both.

    Parameters
    ----------
    held : tuple of Held
        The products.
    names : mapping of str to (float, float)
        Names of stars that the name resolver knows, and their positions in degrees.
    pool : Pool, optional
        Curves that are relabelled.
    """

    held: tuple[Held, ...]
    names: Mapping[str, tuple[float, float]] = field(default_factory=dict)
    pool: Pool | None = None

    def __add__(self, other: Library) -> Library:
        if self.pool and other.pool and self.pool != other.pool:
            raise ValueError("two libraries with different pools cannot be one")
        held = {item.name: item for item in (*self.held, *other.held)}
        return Library(tuple(held.values()), {**self.names, **other.names}, self.pool or other.pool)

    def __len__(self) -> int:
        return len(self.held)

    @cached_property
    def by_name(self) -> dict[str, Held]:
        """Products by file name."""
        return {item.name: item for item in self.held}

    @cached_property
    def by_key(self) -> dict[str, Held]:
        """Products by the name of their object in the public bucket, in the bucket's order."""
        return {item.key: item for item in sorted(self.held, key=lambda item: item.key)}

    def __getstate__(self):
        return {"held": self.held, "names": self.names, "pool": self.pool}

    def pieces(self, item: Held) -> list[bytes | memoryview]:
        """A product's bytes, in pieces that are not copied where they need not be."""
        if isinstance(item.content, bytes):
            return [item.content]
        if isinstance(item.content, Path):
            return [item.content.read_bytes()]
        return self.pool.pieces(item)

    def content(self, item: Held | str) -> bytes:
        """A product's bytes, whole, as a faultless server sends them."""
        return b"".join(self.pieces(self.by_name[item] if isinstance(item, str) else item))

    @classmethod
    def tiny(cls, tics: Iterable[int], sector: int = 1) -> Library:
        """Products of `tests.tiny_sector`, 8.6 kB each, the same bytes as there.

        Parameters
        ----------
        tics : iterable of int
            Stars.
        sector : int
            Of headers, names and places; the times are those of sector 1.
        """
        from tests.loopback.tiny import tiny_product

        return cls(tuple(tiny_product(tic, sector) for tic in tics))

    @classmethod
    def folder(cls, path: str | Path) -> Library:
        """Light curves below a folder that have official names and readable headers."""
        from tests.loopback.folder import product_of

        files = sorted(Path(path).rglob("*.fits"))
        return cls(tuple({f.name: item for f in files if (item := product_of(f)) is not None}.values()))

    @classmethod
    def mission(
        cls,
        n: int = 20_000,
        sector: int = 1,
        distinct: int = 64,
        folder: str | Path = "",
        first: int = 100_000_001,
        days: float = 27.883,
    ) -> Library:
        """Files of the mission's size and layout: a few simulated curves, relabelled for each star.

        Parameters
        ----------
        n : int
            Stars.
        sector : int
            Sector.
        distinct : int
            Curves that are really made, 71 ms and 2 MB each.
        folder : path
            Where they are kept from run to run; by default below the system's folder for temporary files.
        first : int
            TIC number of the first star; they grow by 13.
        days : float
            Length of the sector; shorter files are smaller.
        """
        from tests.loopback.mission import mission_pool, mission_products

        pool = mission_pool(sector, distinct, folder, days)
        return cls(mission_products(pool, n, first), pool=pool)

    @classmethod
    def kepler(cls, cadences: int = 400) -> Library:
        """Kepler-10 (KIC 11904151) in quarters 0 to 2 and K2-3 (EPIC 201367065) in campaign 1: made, not observed.

        Parameters
        ----------
        cadences : int
            Rows of each file.
        """
        from tests.loopback.kepler import NAMES, kepler_products

        return cls(tuple(kepler_products(cadences)), names=NAMES)

    def under(self, author: str, exposure_s: float) -> Library:
        """The same stars as products of another pipeline: names and places alone, for lists and searches.

        Bytes stay those of this library, so that a header may say another pipeline than the name.
        """
        from tests.loopback.tiny import name_of

        return replace(
            self,
            held=tuple(
                replace(item, name=name_of(author, item.target_id, item.sector, exposure_s), author=author,
                        exposure_s=exposure_s)
                for item in self.held
            ),
        )  # fmt: skip

"""Every path, object name and marker below a survey root, in one place.

All functions return POSIX paths relative to the root, so that they serve a local folder and S3 alike.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from larun.errors import InputError

PUBLISHED = "published.json"
PROMOTED = "models/promoted.json"
"""Which bundle is the root's default."""

_SEGMENT = {"tess": "s{:04d}", "kepler": "q{:02d}", "k2": "c{:02d}"}
_AUTHOR = re.compile(r"[a-z0-9][a-z0-9-]*")
CATALOGUES = {"tess": "TIC", "kepler": "KIC", "k2": "EPIC"}
"""Catalogue of the target numbers, by mission."""


def parse_star(name: str) -> tuple[str, int] | None:
    """Mission and number of a star such as ``TIC 261136679`` or ``KIC11904151``; None for any other text."""
    match = re.fullmatch(r"([A-Z]+)[ _-]*(\d+)", name.strip().upper(), re.ASCII)
    missions = {catalogue: mission for mission, catalogue in CATALOGUES.items()}
    return (missions[match[1]], int(match[2])) if match and match[1] in missions else None


@dataclass(frozen=True, slots=True, order=True)
class Product:
    """One kind of light curve of one observing segment: what a sector store holds.

    Parameters
    ----------
    mission : str
        ``tess``, ``kepler`` or ``k2``.
    sector : int
        Sector (TESS), quarter (Kepler) or campaign (K2).
    author : str
        Pipeline in lower case: ``spoc``, ``tess-spoc``, ``qlp``, ``tasoc``, ``eleanor-lite``, ``kepler``,
        ``k2``, ``k2sc``, or ``simulated``.
    cadence_s : int
        Nominal time between cadences, seconds.
    """

    mission: str
    sector: int
    author: str
    cadence_s: int

    def __post_init__(self):
        if self.mission not in _SEGMENT:
            raise InputError(f"mission must be one of {', '.join(_SEGMENT)}, not {self.mission!r}")
        if self.sector < 0 or self.cadence_s <= 0:
            raise InputError(
                f"sectors count from 0 and cadences are longer than 0 s, not sector {self.sector}, {self.cadence_s} s"
            )
        if not _AUTHOR.fullmatch(self.author):
            raise InputError(f"an author is lower-case letters, digits and hyphens, not {self.author!r}")

    @property
    def segment(self) -> str:
        """`s0001` for TESS sector 1, `q03` for Kepler quarter 3, `c04` for K2 campaign 4."""
        return _SEGMENT[self.mission].format(self.sector)

    @property
    def catalogue(self) -> str:
        """Catalogue of the target numbers: TIC, KIC or EPIC."""
        return CATALOGUES[self.mission]

    @property
    def simulated(self) -> bool:
        """Whether the light curves are made, not observed."""
        return self.author == "simulated"

    def __str__(self) -> str:
        return f"{self.mission}/{self.segment}/{self.author}-{self.cadence_s}s"

    @property
    def zarr(self) -> str:
        """Folder of the Zarr group."""
        return f"lightcurves/{self}.zarr"

    @property
    def plan_json(self) -> str:
        """The frozen plan; written last, so its presence means the plan is complete."""
        return f"{self.zarr}/plan.json"

    @property
    def plan_table(self) -> str:
        """The ordered target list of the plan."""
        return f"{self.zarr}/plan.parquet"

    @property
    def records(self) -> str:
        """Folder of the shard records."""
        return f"{self.zarr}/records"

    def record(self, shard: int) -> str:
        """Record of one shard; written last, so its presence means the shard is complete."""
        return f"{self.records}/{shard:06d}.json"

    def repair(self, shard: int) -> str:
        """Intent to repair one shard; its presence means that the shard's arrays may be between two records."""
        return f"{self.zarr}/repairs/{shard:06d}.json"

    @property
    def quarantine(self) -> str:
        """Folder of products that arrived and failed verification."""
        return f"lightcurves/{self}.quarantine"

    @classmethod
    def from_zarr_path(cls, path: str) -> Product:
        """Inverse of `zarr`, for a path such as ``lightcurves/tess/s0001/spoc-120s.zarr``."""
        mission, segment, name = path.rstrip("/").removesuffix(".zarr").split("/")[-3:]
        author, _, cadence = name.rpartition("-")
        return cls(mission, int(segment[1:]), author, int(cadence.removesuffix("s")))


def lease(name: str) -> str:
    """Lease of a kind of work that must not overlap."""
    return f"leases/{name}.json"


def deferral(work: str) -> str:
    """Note of work that goes on later; of a product's ingest under the product's name."""
    return f"deferred/{work.replace('/', '-')}.json"


def catalogue(name: str) -> str:
    """Where a catalogue came from: query, date, hash, and which snapshot is the latest."""
    return f"catalogues/{name}.json"


def catalogue_table(name: str, sha256: str) -> str:
    """One snapshot of a catalogue."""
    return f"catalogues/{name}/{sha256[:16]}.parquet"


def run_folder(kind: str, product: Product, run: str) -> str:
    """Folder of one run's table; `kind` is ``detections``, ``candidates``, ``matches`` or ``sensitivity``."""
    return f"{kind}/mission={product.mission}/sector={product.sector}/run={run}"


def part(kind: str, product: Product, run: str, index: int) -> str:
    """One Parquet part of a run's table."""
    return f"{run_folder(kind, product, run)}/part-{index:05d}.parquet"


def run_settings(product: Product, run: str) -> str:
    """Snapshot of the settings, plan digest and bundle that a run was made with."""
    return f"runs/mission={product.mission}/sector={product.sector}/run={run}.json"


def earlier_sectors(product: Product, run: str) -> str:
    """Which light curves of earlier sectors a run joins with those of its own; not there where it joins none."""
    return f"runs/mission={product.mission}/sector={product.sector}/run={run}.earlier.parquet"


def match_record(product: Product, run: str) -> str:
    """Which catalogues a run was matched with and which must wait; written last, after the table of matches."""
    return f"runs/mission={product.mission}/sector={product.sector}/run={run}.matches.json"


def bundle(name: str, version: str) -> str:
    """Folder of a model bundle."""
    return f"models/{name}/{version}"


def training_star(tic: int) -> str:
    """Which light curves of a star were fetched for training."""
    return f"training/stars/{tic}.json"


def training_curve(product: Product, number: int) -> str:
    """One light curve that was fetched for training."""
    return f"training/light_curves/{product}/{number}.npz"


def checkpoints(digest: str) -> str:
    """Folder of the checkpoints of one training, gone once its bundle is written."""
    return f"training/{digest[:16]}"


def report_folder(product: Product, run: str) -> str:
    """Folder of the static pages of a run."""
    return f"reports/{product.mission}/{product.segment}/{run}"

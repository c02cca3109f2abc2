"""A sector of eight small stars, ingested and swept with a judge in place of the network."""

from collections.abc import Callable
from functools import lru_cache
from pathlib import Path

import numpy as np
from tiny_sector import PRODUCT, columns_of, file_name, product_bytes

from larun.archive.folder import FolderArchive
from larun.bundles import BUNDLE_FILES, save_bundle, seal
from larun.config import Settings
from larun.errors import StoreError
from larun.objects import Root
from larun.schema import CLASSES
from larun.survey.ingest import IngestWork, ingest_shards, start_ingest
from larun.survey.sweep import SweepWork, finish_sweep, pending_groups, start_sweep, sweep_shards

N_CADENCES = 2880
PLANETS = {21: (0.9, 4000.0), 22: (1.3, 6000.0)}
"""Period in days and depth in ppm of the stars with transits."""
T0 = 1325.7
DURATION_D = 0.1
QUIET = (23, 24, 28)
ABSENT, CORRUPT, REJECTED = 25, 26, 27
TICS = tuple(range(21, 29))
BUNDLE = "judge/1"


class Judge:
    """Calls everything a planet, the surer the deeper the first view dips."""

    def __init__(self, bundle):
        self.bundle = bundle

    def probabilities(self, views):
        planet = 0.4 + 0.4 * np.clip(-views[:, :256].min(axis=1), 0, 1)
        result = np.repeat((1 - planet)[:, None] / 5, len(CLASSES), axis=1)
        result[:, CLASSES.index("planetary_transit")] = planet
        return result.astype(np.float32)


def flux_columns(tic: int) -> dict[str, np.ndarray]:
    columns = columns_of(tic, N_CADENCES, nan=tic == REJECTED)
    if tic in PLANETS:
        period, depth = PLANETS[tic]
        offset = (columns["TIME"] - T0 + 0.5 * period) % period - 0.5 * period
        columns["PDCSAP_FLUX"] = np.where(
            np.abs(offset) < 0.5 * DURATION_D, columns["PDCSAP_FLUX"] * (1 - depth * 1e-6), columns["PDCSAP_FLUX"]
        ).astype("f4")
    return columns


@lru_cache
def product(tic: int) -> bytes:
    return product_bytes(tic, flux_columns(tic))


def write_products(folder: Path) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    for tic in TICS:
        (folder / file_name(tic)).write_bytes(product(tic))
    return folder


def settings_of(root: str, **sections) -> Settings:
    values = {
        "root": root,
        "ingest": {"shard_targets": 3, "chunk_targets": 1, "quarantine": False},
        "sweep": {"bundle": BUNDLE, "min_snr": 20.0, "min_sde": 5.0},
    }
    return Settings(**values | {name: values.get(name, {}) | section for name, section in sections.items()})


def judge_bundle(version: str = "1", content: bytes = b"judge"):
    manifest = {"name": "judge", "version": version, "calibration": {"temperature": 1.0, "bias": [0.0] * 6}}
    return seal(manifest, dict.fromkeys(BUNDLE_FILES, content))


def ingest(root: Root, folder: Path, settings: Settings) -> None:
    """Store the eight stars in three shards: five are stored, one each is absent, corrupt and rejected."""
    archive = FolderArchive(str(folder))
    plan = start_ingest(root, [archive], PRODUCT, settings.ingest)
    (folder / file_name(ABSENT)).unlink()
    damaged = bytearray(product(CORRUPT))
    damaged[-5000] ^= 4
    (folder / file_name(CORRUPT)).write_bytes(damaged)
    ingest_shards(IngestWork.of(root, [archive], plan, range(plan.n_shards), settings.ingest))
    save_bundle(judge_bundle(), root, f"models/{BUNDLE}")


def sweep(root: Root, settings: Settings) -> dict:
    """Sweep what is missing, and publish."""
    run = start_sweep(root, PRODUCT, settings)
    for group in pending_groups(root, run, settings.sweep.shards_per_task):
        sweep_shards(SweepWork(root, run, group, settings))
    return finish_sweep(root, run, settings)


def write_until(last: int) -> tuple[Callable, list[str]]:
    """In place of `Root.write`: as it is, until the disk is full after so many writes; and what was written."""
    write, done = Root.write, []

    def failing(self, path, data):
        if len(done) == last:
            raise StoreError(f"cannot write {path}: No space left on device")
        done.append(path)
        write(self, path, data)

    return failing, done

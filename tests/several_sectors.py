"""Three small sectors of the same stars, 4 d each and 4.5 d apart, for sweeps that join them."""

from functools import lru_cache
from pathlib import Path

import numpy as np
from swept_sector import BUNDLE, judge_bundle
from tiny_sector import FIRST_CADENCE, columns_of, product_bytes

from larun.archive.folder import FolderArchive
from larun.bundles import save_bundle
from larun.config import Settings
from larun.objects import Root
from larun.paths import Product
from larun.survey.ingest import IngestWork, ingest_shards, start_ingest

N_CADENCES = 2880
APART_D = 4.5
PRODUCTS = tuple(Product("tess", sector, "spoc", 120) for sector in (1, 2, 3))
SWEPT = PRODUCTS[-1]

LONG, SHALLOW, ONCE, GONE, QUIET, PLAIN = TICS = tuple(range(41, 47))
"""One transit a sector; weak transits; seen in the last sector only; no flux in the second; nothing; deep transits."""

PLANETS = {LONG: (4.4, 1327.2, 3e-3), SHALLOW: (1.13, 1325.7, 1.4e-4), PLAIN: (0.93, 1325.9, 5e-3)}
"""Period, epoch and depth."""

DURATION_D = 0.11


def file_name(sector: int, tic: int) -> str:
    return f"tess2018206045859-s{sector:04}-{tic:016d}-0120-s_lc.fits"


@lru_cache
def content(sector: int, tic: int) -> bytes:
    columns = columns_of(tic, N_CADENCES, nan=(sector, tic) == (2, GONE))
    later = (sector - 1) * APART_D
    rng = np.random.default_rng([sector, tic])
    columns["TIME"] = columns["TIME"] + later
    columns["CADENCENO"] = (columns["CADENCENO"] + round(later * 720)).astype("i4")
    flux = columns["PDCSAP_FLUX"]
    if (sector, tic) != (2, GONE):
        flux = rng.normal(800.0 + 100 * sector, 0.5, N_CADENCES)
        flux[np.isnan(columns["TIME"])] = np.nan
    if tic in PLANETS:
        period, t0, depth = PLANETS[tic]
        offset = (columns["TIME"] - t0 + 0.5 * period) % period - 0.5 * period
        flux = np.where(np.abs(offset) < 0.5 * DURATION_D, flux * (1 - depth), flux)
    columns["PDCSAP_FLUX"] = flux.astype("f4")
    assert columns["CADENCENO"][0] >= FIRST_CADENCE
    return product_bytes(tic, columns, SECTOR=sector)


def write_files(folder: Path) -> Path:
    """A folder of each sector's files."""
    for product in PRODUCTS:
        place = folder / product.segment
        place.mkdir(parents=True)
        for tic in TICS:
            if tic != ONCE or product == SWEPT:
                (place / file_name(product.sector, tic)).write_bytes(content(product.sector, tic))
    return folder


def settings_of(root: str, **sweep) -> Settings:
    return Settings(
        root=root,
        ingest={"shard_targets": 4, "chunk_targets": 2, "quarantine": False},
        sweep={"bundle": BUNDLE, "min_snr": 7.0, "min_sde": 5.0, "stitch": True} | sweep,
    )


def ingest(root: Root, folder: Path, products=PRODUCTS) -> None:
    settings = settings_of(root.url)
    for product in products:
        archive = FolderArchive(str(folder / product.segment))
        plan = start_ingest(root, [archive], product, settings.ingest)
        ingest_shards(IngestWork.of(root, [archive], plan, range(plan.n_shards), settings.ingest))
    save_bundle(judge_bundle(), root, f"models/{BUNDLE}")

"""Small products in the SPOC layout, for tests of the store and of the ingest."""

import io
from functools import lru_cache
from pathlib import Path

import numpy as np
from astropy.io import fits

from larun.config import IngestSettings
from larun.lightcurve import CadenceGrid, Star
from larun.paths import Product
from larun.plan import Plan, PlannedTarget

PRODUCT = Product("tess", 1, "spoc", 120)
FIRST_CADENCE = 70445
N_CADENCES = 48
GAP = slice(20, 23)
"""Rows without a time, as in a momentum dump."""

SETTINGS = IngestSettings(shard_targets=4, chunk_targets=2, min_good_cadences=10, fetch_threads=2)


def spacecraft_time(n: int = N_CADENCES) -> np.ndarray:
    """Mid-cadence times of the tiny sector, days."""
    return 1325.3 + np.arange(n) * (120.0 / 86400.0)


def correction(tic: int, n: int = N_CADENCES) -> np.ndarray:
    """Barycentric correction of a star, days: up to the light time of 1 au."""
    return 5.7e-3 * np.cos(tic) + 1e-6 * np.arange(n)


def file_name(tic: int) -> str:
    return f"tess2018206045859-s0001-{tic:016d}-0120-s_lc.fits"


def columns_of(tic: int, n: int = N_CADENCES, *, nan: bool = False) -> dict[str, np.ndarray]:
    """Columns of one star's product, by FITS name."""
    rng = np.random.default_rng(tic)
    time = spacecraft_time(n) + correction(tic, n)
    timecorr = correction(tic, n)
    flux = rng.normal(1000.0 + tic, 1.0, n)
    flux[:] = np.nan if nan else flux
    time[GAP], timecorr[GAP], flux[GAP] = np.nan, 0.0, np.nan
    quality = np.zeros(n)
    quality[GAP] = 32
    quality[5] = 128
    return {
        "TIME": time.astype("f8"),
        "TIMECORR": timecorr.astype("f4"),
        "CADENCENO": np.arange(FIRST_CADENCE, FIRST_CADENCE + n).astype("i4"),
        "SAP_BKG": rng.normal(100.0, 1.0, n).astype("f4"),
        "PDCSAP_FLUX": flux.astype("f4"),
        "PDCSAP_FLUX_ERR": rng.uniform(0.9, 1.1, n).astype("f4"),
        "QUALITY": quality.astype("i4"),
        "MOM_CENTR1": rng.normal(500.0, 0.01, n),
        "MOM_CENTR2": rng.normal(600.0, 0.01, n),
    }


def product_bytes(tic: int, columns: dict[str, np.ndarray] | None = None, **cards) -> bytes:
    """FITS file of one star, checksums set."""
    columns = columns_of(tic) if columns is None else columns
    primary = fits.PrimaryHDU()
    header = {
        "TELESCOP": "TESS", "ORIGIN": "NASA/Ames", "CREATOR": "12345 LightCurveExporterPipelineModule",
        "OBJECT": f"TIC {tic}", "TICID": tic, "SECTOR": 1, "CAMERA": 4, "CCD": 2,
        "RA_OBJ": 80.0 + tic / 100, "DEC_OBJ": -60.0, "TESSMAG": 9.0 + tic / 1000, "TEFF": 5800.0, "LOGG": 4.4,
        "RADIUS": 1.0,
    }  # fmt: skip
    primary.header.update(header | cards)
    formats = {"i": "J", "f4": "E", "f8": "D"}
    table = fits.BinTableHDU.from_columns(
        [
            fits.Column(name, formats.get(values.dtype.kind, formats.get(values.dtype.str[1:])), array=values)
            for name, values in columns.items()
        ],
        name="LIGHTCURVE",
    )
    table.header.update({"BJDREFI": 2457000, "BJDREFF": 0.0, "TIMEDEL": 120.0 / 86400.0})
    buffer = io.BytesIO()
    fits.HDUList([primary, table]).writeto(buffer, checksum=True)
    return buffer.getvalue()


@lru_cache
def _plain_product(tic: int) -> bytes:
    return product_bytes(tic)


def write_folder(folder: Path, tics) -> Path:
    """Folder with the products of some stars."""
    folder.mkdir(parents=True, exist_ok=True)
    for tic in tics:
        (folder / file_name(tic)).write_bytes(_plain_product(tic))
    return folder


def tree(folder: Path) -> dict[str, bytes]:
    """Content of every file below a folder."""
    return {p.relative_to(folder).as_posix(): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}


def plan_of(n_targets: int, **changes) -> Plan:
    """Plan of some stars on the tiny sector's grid."""
    targets = tuple(
        PlannedTarget(Star(tic, 80.0, -60.0, 9.0, camera=4, ccd=2), file_name(tic)) for tic in range(n_targets)
    )
    values = {"shard_targets": 4, "chunk_targets": 2, "min_good_cadences": 10, "quality_mask": 17087} | changes
    return Plan(PRODUCT, targets, CadenceGrid(FIRST_CADENCE, spacecraft_time()), **values)

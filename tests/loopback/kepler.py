"""Kepler and K2 long-cadence files in the official layout: made for the tests, not observed.

Kepler Archive Manual (KDMC-10008), section 2.3; columns and keywords that readers look for. Positions, magnitudes and
the transits of Kepler-10 b and K2-3 b (period, depth, duration) are those of the NASA Exoplanet Archive, rounded.
"""

from __future__ import annotations

import io
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from tests.loopback.library import Held

CADENCE_D = 0.020433598
_MJD_OF_BKJD = 54832.5
_GAP = slice(30, 33)
"""Rows without a time, as in a break in pointing."""


@dataclass(frozen=True)
class Target:
    """A star, its planet, and its segments: number, name's stamp, first time (BKJD) and first cadence number."""

    number: int
    mission: str
    name: str
    ra: float
    dec: float
    magnitude: float
    teff: float
    logg: float
    radius: float
    channel: int
    period_d: float
    epoch_d: float
    depth: float
    duration_d: float
    segments: tuple[tuple[int, str, float, int], ...]


TARGETS = (
    Target(
        11904151, "kepler", "Kepler-10", 285.679422, 50.241299, 10.961, 5627.0, 4.34, 1.056, 36, 0.8374907, 131.575,
        1.52e-4, 0.075,
        ((0, "2009131105131", 120.54, 568), (1, "2009166043257", 131.51, 1105), (2, "2009259160929", 169.77, 2977)),
    ),
    Target(
        201367065, "k2", "K2-3", 172.3348977, -1.4547934, 11.574, 3896.0, 4.73, 0.561, 65, 10.05449, 1980.418,
        1.1e-3, 0.106, ((1, "c01", 1977.7, 95497),),
    ),
)  # fmt: skip

NAMES = {target.name: (target.ra, target.dec) for target in TARGETS}


def kepler_products(cadences: int) -> Iterator[Held]:
    """Files of all targets."""
    for target in TARGETS:
        for segment, stamp, start, first in target.segments:
            data = product_bytes(target, segment, start, first, cadences)
            prefix = "kplr" if target.mission == "kepler" else "ktwo"
            yield Held(
                name=f"{prefix}{target.number:09d}-{stamp}_llc.fits", mission=target.mission, author=target.mission,
                target_id=target.number, sector=segment, exposure_s=1800.0, ra=target.ra, dec=target.dec,
                magnitude=target.magnitude, teff=target.teff, logg=target.logg, radius=target.radius,
                start_mjd=start + _MJD_OF_BKJD, stop_mjd=start + cadences * CADENCE_D + _MJD_OF_BKJD,
                size=len(data), content=data,
            )  # fmt: skip


def columns_of(target: Target, segment: int, start: float, first: int, n: int) -> dict[str, np.ndarray]:
    """Columns of one file, by FITS name."""
    rng = np.random.default_rng((target.number, segment))
    correction = 1.8e-3 * np.cos(2 * np.pi * (start + np.arange(n) * CADENCE_D) / 372.5 + target.ra)
    time = start + np.arange(n) * CADENCE_D + correction
    phase = (time - target.epoch_d + target.period_d / 2) % target.period_d - target.period_d / 2
    level = 10 ** (0.4 * (12 - target.magnitude)) * 1.74e5
    error = 0.2 * np.sqrt(level)
    flux = level * (1 - target.depth * (np.abs(phase) < target.duration_d / 2)) + rng.normal(0, error, n)
    time[_GAP], correction[_GAP], flux[_GAP] = np.nan, 0.0, np.nan
    quality = np.zeros(n, "i4")
    quality[_GAP] = 16
    return {
        "TIME": time,
        "TIMECORR": correction.astype("f4"),
        "CADENCENO": np.arange(first, first + n, dtype="i4"),
        "SAP_FLUX": (0.97 * flux).astype("f4"),
        "SAP_FLUX_ERR": np.full(n, error, "f4"),
        "SAP_BKG": rng.normal(1500, 2, n).astype("f4"),
        "SAP_BKG_ERR": np.full(n, 0.5, "f4"),
        "PDCSAP_FLUX": flux.astype("f4"),
        "PDCSAP_FLUX_ERR": np.full(n, error, "f4"),
        "SAP_QUALITY": quality,
        "PSF_CENTR1": np.full(n, np.nan),
        "PSF_CENTR1_ERR": np.full(n, np.nan, "f4"),
        "PSF_CENTR2": np.full(n, np.nan),
        "PSF_CENTR2_ERR": np.full(n, np.nan, "f4"),
        "MOM_CENTR1": rng.normal(650, 0.001, n),
        "MOM_CENTR1_ERR": np.full(n, 1e-4, "f4"),
        "MOM_CENTR2": rng.normal(240, 0.001, n),
        "MOM_CENTR2_ERR": np.full(n, 1e-4, "f4"),
        "POS_CORR1": rng.normal(0, 0.001, n).astype("f4"),
        "POS_CORR2": rng.normal(0, 0.001, n).astype("f4"),
    }


_UNITS = {"TIME": "BJD - 2454833", "TIMECORR": "d", "CADENCENO": None, "SAP_QUALITY": None}


def product_bytes(target: Target, segment: int, start: float, first: int, n: int) -> bytes:
    """FITS file, checksums set."""
    from astropy.io import fits

    catalogue = "KIC" if target.mission == "kepler" else "EPIC"
    primary = fits.PrimaryHDU()
    primary.header.update({
        "ORIGIN": "NASA/Ames", "CREATOR": "967991 FluxExporter2PipelineModule", "PROCVER": "made for tests",
        "TELESCOP": "Kepler", "INSTRUME": "Kepler Photometer", "OBJECT": f"{catalogue} {target.number}",
        "KEPLERID": target.number, "CHANNEL": target.channel, "MISSION": target.mission.capitalize(),
        "QUARTER" if target.mission == "kepler" else "CAMPAIGN": segment, "OBSMODE": "long cadence",
        "RADESYS": "ICRS", "RA_OBJ": target.ra, "DEC_OBJ": target.dec, "EQUINOX": 2000.0,
        "KEPMAG": target.magnitude, "TEFF": target.teff, "LOGG": target.logg, "RADIUS": target.radius,
    })  # fmt: skip
    if target.mission == "kepler":
        primary.header.update({"SKYGROUP": 37, "SEASON": segment % 4, "DATA_REL": 25})
    forms = {"f8": "D", "f4": "E", "i4": "J"}
    columns = columns_of(target, segment, start, first, n)
    table = fits.BinTableHDU.from_columns(
        [
            fits.Column(name, forms[values.dtype.str[1:]], unit=_unit(name), array=values)
            for name, values in columns.items()
        ],
        name="LIGHTCURVE",
    )
    table.header.update({
        "TELESCOP": "Kepler", "OBJECT": f"{catalogue} {target.number}", "KEPLERID": target.number,
        "RA_OBJ": target.ra, "DEC_OBJ": target.dec, "TIMEREF": "SOLARSYSTEM", "TIMESYS": "TDB",
        "BJDREFI": 2454833, "BJDREFF": 0.0, "TIMEUNIT": "d", "TSTART": start, "TSTOP": start + n * CADENCE_D,
        "EXPOSURE": n * CADENCE_D * 0.92, "TIMEDEL": CADENCE_D, "INT_TIME": 6.019802903270, "NUM_FRM": 270,
        "CROWDSAP": 0.97, "FLFRCSAP": 0.95,
    })  # fmt: skip
    buffer = io.BytesIO()
    fits.HDUList([primary, table]).writeto(buffer, checksum=True)
    return buffer.getvalue()


def _unit(name: str) -> str | None:
    return _UNITS.get(name, "pixel" if "CENTR" in name or "POS_" in name else "e-/s")

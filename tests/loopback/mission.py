"""A whole sector of files of the mission's size, from a few simulated ones."""

from __future__ import annotations

import hashlib
import os
import random
import tempfile
from pathlib import Path

from tests.loopback import fits
from tests.loopback.library import Held
from tests.loopback.relabel import Pool
from tests.loopback.tiny import name_of

_SIMULATION = Path(__file__).parents[2] / "larun" / "simulate"
_SPREAD_DEG = 0.4
"""Stars lie so far from one of those whose curves they share, as in the field of a CCD."""
_STEP = 13
_MJD_OF_BTJD = 56999.5


def mission_pool(sector: int, distinct: int, folder: str | Path, days: float) -> Pool:
    """Files that many stars share; made where they are not there yet, and made anew when the simulation changes."""
    from larun.config import SimulateSettings
    from larun.simulate.sector import SimulatedSector

    code = hashlib.sha256(b"".join(path.read_bytes() for path in sorted(_SIMULATION.glob("*.py")))).hexdigest()
    place = Path(folder or Path(tempfile.gettempdir()) / "larun-loopback-pool")
    stars = max(distinct, 64)
    place = place / f"s{sector:04d}-{days:g}d-{stars}-{code[:12]}"
    place.mkdir(parents=True, exist_ok=True)
    simulated = SimulatedSector(SimulateSettings(stars=stars, days=days), sector)
    files = tuple(place / f"{row:04d}.fits" for row in range(distinct))
    for path, star in zip(files, simulated.stars, strict=False):
        if not path.exists():
            unfinished = path.with_suffix(f".{os.getpid()}")
            unfinished.write_bytes(as_observed(simulated.fits(star.target_id)))
            unfinished.replace(path)
    return Pool(files)


def as_observed(data: bytes) -> bytes:
    """A simulated file with the SIMDATA of an observed one, its checksums right."""
    for unit in reversed(fits.units(data)):
        if "SIMDATA" in unit.cards:
            header = bytearray(data[unit.start : unit.data])
            place = unit.cards["SIMDATA"][0] - unit.start
            header[place : place + fits.CARD] = fits.card("SIMDATA", False, "file is based on simulated data")
            fits.sign(header, fits.ones_sum(data[unit.data : unit.end]))
            data = data[: unit.start] + bytes(header) + data[unit.data :]
    return data


def mission_products(pool: Pool, n: int, first: int) -> tuple[Held, ...]:
    """Stars of a sector; number, position and curve of each follow from the size of the sector and its place in it.

    However many there are, neighbours in a plan have different curves, as real ones have: any 16 in a row would
    compress too well if some were the same.
    """
    from larun.lightcurve import Star
    from larun.plan import PlannedTarget, order_targets

    headers = [fits.units(path.read_bytes()) for path in pool.files]
    stars = [_star(headers[i % len(headers)][0], first + _STEP * i) for i in range(n)]
    planned = order_targets(PlannedTarget(Star(tic, ra, dec), "") for tic, ra, dec in stars)
    rows = {target.star.target_id: rank % len(headers) for rank, target in enumerate(planned)}
    return tuple(_held(headers[rows[tic]], rows[tic], tic, ra, dec) for tic, ra, dec in stars)


def _star(primary: fits.Unit, tic: int) -> tuple[int, float, float]:
    """Number and position of a star in the field of another."""
    draw = random.Random(tic)
    ra, dec = (float(primary.text(key)) for key in ("RA_OBJ", "DEC_OBJ"))
    dec = max(min(dec + draw.uniform(-_SPREAD_DEG, _SPREAD_DEG), 89.0), -89.0)
    return tic, round((ra + draw.uniform(-_SPREAD_DEG, _SPREAD_DEG)) % 360, 8), round(dec, 8)


def _held(units: list[fits.Unit], row: int, tic: int, ra: float, dec: float) -> Held:
    """A star with the curve of the pool's file `row`."""
    primary = units[0]
    sector = primary.integer("SECTOR")
    return Held(
        name=name_of("spoc", tic, sector, 120.0), mission="tess", author="spoc", target_id=tic, sector=sector,
        exposure_s=120.0, ra=ra, dec=dec,
        magnitude=float(primary.text("TESSMAG")), teff=float(primary.text("TEFF")),
        logg=float(primary.text("LOGG")), radius=float(primary.text("RADIUS")),
        start_mjd=float(primary.text("TSTART")) + _MJD_OF_BTJD,
        stop_mjd=float(primary.text("TSTOP")) + _MJD_OF_BTJD, size=units[-1].end, content=row,
    )  # fmt: skip

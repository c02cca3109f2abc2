"""Products of `tests.tiny_sector` as the archive holds them, and official names of the TESS pipelines."""

from __future__ import annotations

from functools import cache

from tests.loopback.library import Held

STAMPS = {1: ("2018206045859", 120), 2: ("2018234235059", 121), 27: ("2020186164531", 189), 90: ("2025071122000", 287)}
"""Time stamp and configuration number in the names of a sector's files."""


def stamp_of(sector: int) -> tuple[str, int]:
    """Time stamp and configuration number of a sector; made up where they are not recorded here."""
    return STAMPS.get(sector, (f"20{19 + sector // 13}{1 + sector % 13 * 28:03d}{sector:06d}", 119 + sector))


def name_of(author: str, tic: int, sector: int, exposure_s: float) -> str:
    """File name of a TESS product."""
    if author == "qlp":
        return f"hlsp_qlp_tess_ffi_s{sector:04d}-{tic:016d}_tess_v01_llc.fits"
    if author == "tess-spoc":
        return f"hlsp_tess-spoc_tess_phot_{tic:016d}-s{sector:04d}_tess_v1_lc.fits"
    stamp, configuration = stamp_of(sector)
    kind = "a_fast-lc" if exposure_s < 60 else "s_lc"
    return f"tess{stamp}-s{sector:04d}-{tic:016d}-{configuration:04d}-{kind}.fits"


@cache
def tiny_product(tic: int, sector: int) -> Held:
    """One star of the tiny sector."""
    from tests import tiny_sector

    data = tiny_sector._plain_product(tic) if sector == 1 else tiny_sector.product_bytes(tic, SECTOR=sector)
    start = tiny_sector.spacecraft_time()[0] + 56999.5
    return Held(
        name=name_of("spoc", tic, sector, 120.0), mission="tess", author="spoc", target_id=tic, sector=sector,
        exposure_s=120.0, ra=80.0 + tic / 100, dec=-60.0, magnitude=9.0 + tic / 1000, teff=5800.0, logg=4.4,
        radius=1.0, start_mjd=start, stop_mjd=start + tiny_sector.N_CADENCES / 720, size=len(data), content=data,
    )  # fmt: skip

"""Files on disk as the archive holds them."""

from __future__ import annotations

import math
from pathlib import Path

from tests.loopback import fits
from tests.loopback.library import Held

_ID = {"tess": ("TICID", "TIC_ID"), "kepler": ("KEPLERID",), "k2": ("KEPLERID",)}
_SEGMENT = {"tess": "SECTOR", "kepler": "QUARTER", "k2": "CAMPAIGN"}
_MAGNITUDE = {"tess": ("TESSMAG", "TMAG"), "kepler": ("KEPMAG",), "k2": ("KEPMAG",)}
_MJD_OF_BTJD, _MJD_OF_BKJD = 56999.5, 54832.5


def product_of(path: Path) -> Held | None:
    """One file; None where its name is not an official one."""
    from larun.archive.names import parse

    official = parse(path.name)
    if official is None:
        return None
    units = fits.units(path.read_bytes())
    primary, table = units[0], units[1]

    def number(*keys: str) -> float:
        texts = (unit.text(key) for key in keys for unit in (primary, table))
        return next((float(text) for text in texts if text), math.nan)

    mjd = _MJD_OF_BTJD if official.mission == "tess" else _MJD_OF_BKJD
    zero = 0.0 if math.isnan(number("TSTART")) else mjd
    exposure_s = float(official.cadence_s if official.mission == "tess" else 1800 if official.cadence_s > 100 else 60)
    return Held(
        name=path.name, mission=official.mission, author=official.author, target_id=official.target_id,
        sector=official.sector if official.sector is not None else int(number(_SEGMENT[official.mission])),
        exposure_s=exposure_s, ra=number("RA_OBJ"), dec=number("DEC_OBJ"),
        magnitude=number(*_MAGNITUDE[official.mission]), teff=number("TEFF"), logg=number("LOGG"),
        radius=number("RADIUS"), start_mjd=number("TSTART") + zero, stop_mjd=number("TSTOP") + zero,
        size=path.stat().st_size, content=path.absolute(),
    )  # fmt: skip

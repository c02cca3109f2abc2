"""The TESS Input Catalog, for the TESS stars of the library."""

from __future__ import annotations

import math
from typing import Any

from tests.loopback.library import Held, Library
from tests.loopback.tables import Row, Table

_TEXTS = ("ID", "version", "TYC", "UCAC", "TWOMASS", "SDSS", "ALLWISE", "GAIA", "APASS", "objType", "typeSrc",
          "POSflag", "PMflag", "PARflag", "TWOMflag", "TESSflag", "SPFlag", "lumclass", "disposition",
          "duplicate_id", "objID")  # fmt: skip
_COUNTS = ("HIP", "KIC", "numcont")
_NUMBERS = ("ra", "dec", "pmRA", "e_pmRA", "pmDEC", "e_pmDEC", "plx", "e_plx", "gallong", "gallat", "eclong",
            "eclat", "Bmag", "e_Bmag", "Vmag", "e_Vmag", "Jmag", "e_Jmag", "Hmag", "e_Hmag", "Kmag", "e_Kmag",
            "GAIAmag", "e_GAIAmag", "Tmag", "e_Tmag", "Teff", "e_Teff", "logg", "e_logg", "MH", "e_MH", "rad",
            "e_rad", "mass", "e_mass", "rho", "e_rho", "lum", "e_lum", "d", "e_d", "ebv", "e_ebv", "contratio",
            "priority")  # fmt: skip
_COLUMNS = (
    *(f"{name}:string" for name in _TEXTS),
    *(f"{name}:int" for name in _COUNTS),
    *(f"{name}:float" for name in _NUMBERS),
)

COLUMNS_CONFIG: dict[str, Any] = {name: {"text": name} for name in (*_TEXTS, *_COUNTS, *_NUMBERS)}
"""What `columnsconfig` says of the catalogue: no types, those come from `ALL`."""

ALL: dict[str, Any] = {
    "status": "COMPLETE",
    "msg": "",
    "data": {
        "name": "NewDataSet",
        "Tables": [
            {
                "name": "Table",
                "ExtendedProperties": {
                    "discreteHistogram": {"objType": {"hist": [], "STAR": {"count": 1, "key": "STAR"}}},
                    "continuousHistogram": {
                        name: {"hist": [], "min": -1e9, "max": 1e9, "type": "numeric"} for name in _NUMBERS
                    },
                },
            }
        ],
    },
}
"""Reply of `Mast.Catalogs.All.Tic`, from which astroquery learns that numbers are asked for by range."""

_SUN_LOGG, _SUN_TEFF_K, _DWARF_LOGG = 4.438, 5772.0, 4.1


def stars(library: Library) -> Table:
    """Table of `Mast.Catalogs.Filtered.Tic`: each star once; mass, density and luminosity follow from the rest."""
    found: dict[int, Held] = {}
    for item in library.held:
        if item.mission == "tess":
            found.setdefault(item.target_id, item)
    return Table(_COLUMNS, [_star(item) for item in found.values()])


def _star(item: Held) -> Row:
    mass = 10 ** (item.logg - _SUN_LOGG) * item.radius**2
    values = {
        "ra": item.ra,
        "dec": item.dec,
        "Tmag": item.magnitude,
        "e_Tmag": 0.006,
        "Teff": item.teff,
        "logg": item.logg,
        "rad": item.radius,
        "mass": mass,
        "rho": mass / item.radius**3,
        "lum": item.radius**2 * (item.teff / _SUN_TEFF_K) ** 4,
    }
    known = {name: value for name, value in values.items() if math.isfinite(value)}
    kind = {} if math.isnan(item.logg) else {"lumclass": "DWARF" if item.logg > _DWARF_LOGG else "GIANT"}
    return dict.fromkeys((column.partition(":")[0] for column in _COLUMNS), None) | kind | known | {
        "ID": str(item.target_id),
        "version": "20190415",
        "objType": "STAR",
        "typeSrc": "tmgaia2",
        "objID": str(10**9 + item.target_id),
    }  # fmt: skip

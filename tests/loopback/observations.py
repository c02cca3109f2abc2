"""Observations and products as MAST's CAOM tables describe them."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

from tests.loopback.library import Held, Library
from tests.loopback.tables import Row, Table

_OBSERVATION = (
    "intentType:string", "obs_collection:string", "provenance_name:string", "instrument_name:string",
    "project:string", "filters:string", "wavelength_region:string", "target_name:string",
    "target_classification:string", "obs_id:string", "s_ra:float", "s_dec:float", "dataproduct_type:string",
    "proposal_pi:string", "calib_level:int", "t_min:float", "t_max:float", "t_exptime:float", "em_min:float",
    "em_max:float", "obs_title:string", "t_obs_release:float", "proposal_id:string", "proposal_type:string",
    "sequence_number:int", "s_region:string", "jpegURL:string", "dataURL:string", "dataRights:string",
    "mtFlag:boolean", "srcDen:float", "obsid:string", "objID:string",
)  # fmt: skip

_PRODUCT = (
    "obsID:string", "obs_collection:string", "dataproduct_type:string", "obs_id:string", "description:string",
    "type:string", "dataURI:string", "productType:string", "productGroupDescription:string",
    "productSubGroupDescription:string", "productDocumentationURL:string", "project:string", "prvversion:string",
    "proposal_id:string", "productFilename:string", "size:int", "parent_obsid:string", "dataRights:string",
    "calib_level:int",
)  # fmt: skip

_CONTINUOUS = ("s_ra", "s_dec", "t_min", "t_max", "t_exptime", "em_min", "em_max", "t_obs_release", "srcDen")
_SEPARATED = ("obs_collection", "project", "filters", "wavelength_region", "target_classification")

COLUMNS_CONFIG: dict[str, Any] = {
    "_selected_": {"text": "selected", "add": True, "type": "boolean", "hidden": True},
    **{
        name: {"text": name, "vot.datatype": "double" if name in _CONTINUOUS else "char"}
        | ({"separator": ";"} if name in _SEPARATED else {})
        for name in (column.partition(":")[0] for column in (*_OBSERVATION, "distance:float"))
    },
}
"""What astroquery asks for before it sends filters: which columns there are, and which of them are ranges."""

_FIRST_ID = 60_000_000
_COLLECTIONS = {"tess": "TESS", "kepler": "Kepler", "k2": "K2"}
_PROVENANCE = {"spoc": "SPOC", "tess-spoc": "TESS-SPOC", "qlp": "QLP", "kepler": "Kepler", "k2": "K2"}
_TARGET = {"tess": "{}", "kepler": "kplr{:09d}", "k2": "ktwo{:09d}"}
_MISSION_AUTHORS = ("spoc", "kepler", "k2")


def _groups(library: Library) -> dict[str, list[Held]]:
    """Products of each observation, by `obs_id`: one file each, but all quarters of a Kepler star are one."""
    found: dict[str, list[Held]] = {}
    for item in library.held:
        found.setdefault(_key(item), []).append(item)
    return {_obs_id(items): items for items in found.values()}


def _key(item: Held) -> str:
    return f"kplr{item.target_id} {item.exposure_s}" if item.author == "kepler" else item.name


def _obs_id(items: list[Held]) -> str:
    item, stem = items[0], items[0].name.removesuffix(".fits")
    kind = "lc" if item.exposure_s > 100 else "sc"
    if item.author == "kepler":
        quarters = {i.sector for i in items}
        return f"kplr{item.target_id:09d}_{kind}_Q" + "".join("1" if q in quarters else "0" for q in range(18))
    if item.author == "k2":
        return f"{stem.rpartition('_')[0]}_{kind}"
    if item.author == "spoc":
        return stem.removesuffix("-lc").removesuffix("_lc")
    return stem.removesuffix("_lc") + "_tp" if item.author == "tess-spoc" else stem


def observations(library: Library) -> Table:
    """Table of `Mast.Caom.Filtered`."""
    rows = [_observation(i, obs_id, items) for i, (obs_id, items) in enumerate(_groups(library).items())]
    return Table(_OBSERVATION, rows)


def _observation(number: int, obs_id: str, items: list[Held]) -> Row:
    item = items[0]
    official = item.author in _MISSION_AUTHORS
    ra, dec = _known(item.ra), _known(item.dec)
    return dict.fromkeys((column.partition(":")[0] for column in _OBSERVATION), None) | {
        "intentType": "science",
        "obs_collection": _COLLECTIONS[item.mission] if official else "HLSP",
        "provenance_name": _PROVENANCE.get(item.author, item.author.upper()),
        "instrument_name": "Photometer" if item.mission == "tess" else "Kepler",
        "project": _COLLECTIONS[item.mission],
        "filters": "TESS" if item.mission == "tess" else "KEPLER",
        "wavelength_region": "Optical",
        "target_name": _TARGET[item.mission].format(item.target_id),
        "obs_id": obs_id,
        "s_ra": ra,
        "s_dec": dec,
        "dataproduct_type": "timeseries" if item.mission == "tess" else "cube",
        "proposal_pi": "Ricker, George" if item.mission == "tess" else "Borucki, William",
        "proposal_id": "N/A",
        "calib_level": 3 if official else 4,
        "t_min": _known(min(i.start_mjd for i in items)),
        "t_max": _known(max(i.stop_mjd for i in items)),
        "t_exptime": item.exposure_s,
        "em_min": 600.0,
        "em_max": 1000.0,
        "t_obs_release": 58500.0,
        "sequence_number": None if item.author == "kepler" else item.sector,
        "s_region": f"CIRCLE {ra} {dec} 0.00138889",
        "dataURL": item.uri,
        "dataRights": "PUBLIC",
        "mtFlag": False,
        "obsid": _FIRST_ID + number,
        "objID": 2 * _FIRST_ID + number,
    }


def products(library: Library) -> Table:
    """Table of `Mast.Caom.Products`: each light curve, and beside it a pixel file that is not held."""
    rows = []
    for number, (obs_id, items) in enumerate(_groups(library).items()):
        observation = _observation(number, obs_id, items)
        for item in items:
            rows += [_product(observation, item, *what) for what in _files(item)]
    return Table(_PRODUCT, rows)


def _files(item: Held) -> Iterator[tuple[str, str, str, int]]:
    """Name, description, kind and size of the files of an observation."""
    if item.mission != "tess":
        cadence = "Long" if item.exposure_s > 100 else "Short"
        segment = f" - Q{item.sector}" if item.author == "kepler" else f" - C{item.sector:02d}"
        code = "CLC" if cadence == "Long" else "CSC"
        yield item.name, f"Lightcurve {cadence} Cadence ({code}){segment}", f"Lightcurve {cadence} Cadence", item.size
        pixels = item.name.replace("_llc.fits", "_lpd-targ.fits.gz").replace("_slc.fits", "_spd-targ.fits.gz")
        yield pixels, f"Target Pixel {cadence} Cadence (T{code[1:]}){segment}", "Target Pixel", 10 * item.size
        return
    if item.author != "spoc":
        yield item.name, "FITS", "", item.size
        return
    fast = "FAST-LC" if item.exposure_s < 60 else "LC"
    yield item.name, "Light curves" if fast == "LC" else "Fast light curves", fast, item.size
    yield item.name.replace("lc.fits", "tp.fits"), "Target pixel files", fast.replace("LC", "TP"), 20 * item.size


def _product(observation: Row, item: Held, name: str, description: str, kind: str, size: int) -> Row:
    row = {
        key: observation[key]
        for key in ("obs_collection", "dataproduct_type", "obs_id", "project", "proposal_id", "calib_level")
    }
    return dict.fromkeys((column.partition(":")[0] for column in _PRODUCT), None) | row | {
        "obsID": observation["obsid"],
        "parent_obsid": observation["obsid"],
        "description": description,
        "type": "S",
        "dataURI": item.uri.rpartition("/")[0] + "/" + name,
        "productType": "SCIENCE",
        "productGroupDescription": "Minimum Recommended Products" if name == item.name else None,
        "productSubGroupDescription": kind or None,
        "productFilename": name,
        "size": size,
        "dataRights": "PUBLIC",
    }  # fmt: skip


def _known(value: float) -> float | None:
    return None if math.isnan(value) else value

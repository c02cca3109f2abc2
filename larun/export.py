"""Taking results elsewhere: candidate tables and light curves in the formats other tools read."""

from __future__ import annotations

import contextlib
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

import larun
from larun.candidates import listing
from larun.errors import InputError, NotInStore
from larun.objects import Root
from larun.paths import Product
from larun.schema import CANDIDATE_COLUMNS, EventFlag
from larun.store.reading import find_target, light_curve, products
from larun.units import BKJD_OFFSET_D, BTJD_OFFSET_D, SECONDS_PER_DAY

if TYPE_CHECKING:
    from astropy.io.fits import HDUList
    from lightkurve import LightCurve

TABLE_FORMATS = {".csv": "csv", ".ecsv": "ascii.ecsv", ".vot": "votable", ".xml": "votable", ".fits": "fits"}
"""Formats of tables that astropy writes, by file ending; `.parquet` is written as it is stored."""

CURVE_FORMATS = {".csv": "csv", ".ecsv": "ascii.ecsv", ".fits": "fits"}
"""Formats of light curves, by file ending."""


_PDCSAP = frozenset({"spoc", "tess-spoc", "kepler", "k2", "simulated"})
"""Pipelines whose flux is PDCSAP."""

_FITS_TYPES = {"f8": "D", "f4": "E", "i4": "J"}
_FITS_CARDS = ("MISSION", "OBJECT", "TICID", "KEPLERID", "SECTOR", "QUARTER", "CAMPAIGN", "CAMERA", "CCD", "CHANNEL",
               "RA_OBJ", "DEC_OBJ", "TESSMAG", "KEPMAG", "TEFF", "LOGG", "RADIUS", "AUTHOR")  # fmt: skip


def export_candidates(candidates: pa.Table, path: str | Path) -> Path:
    """Write ranked candidates to one file, with units where the format holds them.

    Parameters
    ----------
    candidates : Table
        Columns of `larun.schema.CANDIDATE_COLUMNS`.
    path : path
        The ending decides the format: `.csv`, `.ecsv`, `.vot` or `.xml`, `.fits`, `.parquet` or `.json`. A file
        of this name is replaced.

    Raises
    ------
    InputError
        The ending is not known, or the file cannot be written.
    """
    path = Path(path)
    suffix = _suffix(path, (*TABLE_FORMATS, ".parquet", ".json"))
    candidates = candidates.sort_by("rank")
    try:
        if suffix == ".parquet":
            pq.write_table(candidates, path)
        elif suffix == ".json":
            _write_json(candidates, path)
        else:
            _astropy_table(candidates, TABLE_FORMATS[suffix]).write(path, format=TABLE_FORMATS[suffix], overwrite=True)
    except OSError as error:
        raise InputError(f"cannot write {path}: {error.strerror or error}") from error
    return path


def export_light_curve(
    root: Root,
    target_id: int,
    path: str | Path,
    sector: int | None = None,
    mission: str | None = None,
    author: str | None = None,
) -> Path:
    """Write one stored light curve, as `larun.store.reading.light_curve` gives it.

    Parameters
    ----------
    root : Root
        Survey root.
    target_id : int
        TIC, KIC or EPIC number.
    path : path
        The ending decides the format: `.fits` (in the layout of the mission), `.csv` or `.ecsv`. A file of this
        name is replaced.
    sector, mission, author : optional
        Which light curve of the star; needed where the store holds several.

    Raises
    ------
    NotInStore
        The store holds no light curve of the star.
    InputError
        It holds several and the arguments do not decide, the ending is not known, or the file cannot be written.
    """
    path = Path(path)
    suffix = _suffix(path, tuple(CURVE_FORMATS))
    held = [p for p in products(root, mission, sector) if author is None or p.author == author]
    found = {}
    for product in held:
        with contextlib.suppress(NotInStore):
            found[product] = find_target(root, product, target_id)
    if not found:
        where = ", ".join(map(str, held)) or f"it holds {', '.join(map(str, products(root))) or 'nothing'}"
        raise NotInStore(f"{root.url} holds no light curve of {target_id} (looked in: {where})")
    if len(found) > 1:
        raise InputError(
            f"{root.url} holds {target_id} in {', '.join(map(str, found))}; choose one with --mission, --sector and "
            "--author"
        )
    product = next(iter(found))
    curve = light_curve(root, product, target_id)
    if suffix == ".csv" and product.simulated:
        curve["simulated"] = np.ones(len(curve), bool)
    try:
        if suffix == ".fits":
            _fits(curve, product).writeto(path, overwrite=True, checksum=True)
        else:
            curve.write(path, format=CURVE_FORMATS[suffix], overwrite=True)
    except OSError as error:
        raise InputError(f"cannot write {path}: {error.strerror or error}") from error
    return path


def _fits(curve: LightCurve, product: Product) -> HDUList:
    """Light curve in the layout of its mission, which lightkurve reads, and `larun examine` where it is PDCSAP."""
    from astropy.io import fits

    tess = product.mission == "tess"
    flux = "PDCSAP_FLUX" if product.author in _PDCSAP else "FLUX"
    unit = str(curve.flux.unit).replace(" ", "")
    columns = (
        ("TIME", "d", curve.time),
        ("TIMECORR", "d", curve["timecorr"]),
        ("CADENCENO", None, curve["cadenceno"]),
        (flux, unit, curve["flux"]),
        (f"{flux}_ERR", unit, curve["flux_err"]),
        ("SAP_BKG", unit, curve["sap_bkg"]),
        ("QUALITY" if tess else "SAP_QUALITY", None, curve["quality"]),
        ("MOM_CENTR1", "pix", curve["centroid_col"]),
        ("MOM_CENTR2", "pix", curve["centroid_row"]),
    )
    arrays = [(name, unit, np.asarray(getattr(values, "value", values))) for name, unit, values in columns]
    table = fits.BinTableHDU.from_columns(
        [fits.Column(name, _FITS_TYPES[array.dtype.str[1:]], unit, array=array) for name, unit, array in arrays],
        name="LIGHTCURVE",
    )
    reference = BTJD_OFFSET_D if curve.time.format == "btjd" else BKJD_OFFSET_D
    table.header.update({"BJDREFI": int(reference), "BJDREFF": 0.0, "TIMEUNIT": "d", "TIMESYS": "TDB"})
    table.header["TIMEDEL"] = product.cadence_s / SECONDS_PER_DAY
    primary = fits.PrimaryHDU()
    primary.header.update(
        {
            "ORIGIN": "larun",
            "CREATOR": f"larun {larun.__version__} LightCurveFluxExporter",
            "TELESCOP": "TESS" if tess else "Kepler",
            "SIMDATA": bool(curve.meta["SIMULATED"]),
            "PLAN": curve.meta["PLAN_DIGEST"],
        }
    )
    facts = curve.meta if tess else {"CHANNEL": curve.meta["CCD"]} | {**curve.meta, "CAMERA": None, "CCD": None}
    for key in _FITS_CARDS:
        value = facts.get(key)
        if isinstance(value, str | int) or (isinstance(value, float) and np.isfinite(value)):
            primary.header[key] = value
    return fits.HDUList([primary, table])


def _suffix(path: Path, known: tuple[str, ...]) -> str:
    suffix = path.suffix.lower()
    if suffix not in known:
        raise InputError(f"cannot export to {path.name!r}: the name must end in one of {', '.join(known)}")
    return suffix


def _astropy_table(candidates: pa.Table, format_name: str) -> Any:
    """Astropy table with units and meanings; flags as names joined by spaces.

    Astropy writes `ppm` as 1e-6. VOTable knows neither, so there it stands with the meaning.
    """
    from astropy.table import MaskedColumn, Table

    table = Table(masked=True)
    for column in CANDIDATE_COLUMNS:
        values = candidates[column.name].to_pylist()
        unit, meaning = column.unit, column.meaning
        if unit == "ppm":
            unit, meaning = (None, f"{meaning}, ppm") if format_name == "votable" else ("1e-6", meaning)
        dtype = column.dtype
        if column.name == "flags":
            values, dtype = [" ".join(EventFlag(bits).names) for bits in values], "str"
        missing = [value is None for value in values]
        blank = "" if dtype == "str" else 0
        data = [blank if value is None else value for value in values]
        table[column.name] = MaskedColumn(data, mask=missing, dtype=dtype, unit=unit, description=meaning)
    return table


def _write_json(candidates: pa.Table, path: Path) -> None:
    path.write_text(json.dumps(listing(candidates), indent=1) + "\n", encoding="utf-8")

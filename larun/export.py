"""Taking results elsewhere: candidate tables and light curves in the formats other tools read."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from larun.candidates import listing
from larun.errors import InputError, NotInStore, StoreError
from larun.objects import Root
from larun.schema import CANDIDATE_COLUMNS, EventFlag
from larun.store.reading import light_curve, products

TABLE_FORMATS = {".csv": "csv", ".ecsv": "ascii.ecsv", ".vot": "votable", ".xml": "votable", ".fits": "fits"}
"""Formats that astropy writes, by file ending; `.parquet` is written as it is stored."""


def export_candidates(candidates: pa.Table, path: str | Path) -> Path:
    """Write ranked candidates to one file, with units where the format holds them.

    Parameters
    ----------
    candidates : Table
        Columns of `larun.schema.CANDIDATE_COLUMNS`.
    path : path
        The ending decides the format: `.csv`, `.ecsv`, `.vot`, `.fits`, `.parquet` or `.json`.

    Raises
    ------
    InputError
        The ending is not known, or the file cannot be written.
    """
    path = Path(path)
    suffix = path.suffix.lower()
    known = (*TABLE_FORMATS, ".parquet", ".json")
    if suffix not in known:
        raise InputError(f"cannot export to {path.name!r}: the name must end in one of {', '.join(known)}")
    candidates = candidates.sort_by("rank")
    try:
        if suffix == ".parquet":
            pq.write_table(candidates, path)
        elif suffix == ".json":
            _write_json(candidates, path)
        else:
            _astropy_table(candidates).write(path, format=TABLE_FORMATS[suffix], overwrite=True)
    except OSError as error:
        raise InputError(f"cannot write {path}: {error.strerror or error}") from error
    return path


def export_light_curve(root: Root, target_id: int, path: str | Path, sector: int | None = None) -> Path:
    """Write one stored light curve to `.fits` (through lightkurve), `.csv` or `.ecsv`.

    Raises
    ------
    NotInStore
        The store holds no such star.
    InputError
        It holds several sectors of the star and `sector` does not decide, or the ending is not known.
    """
    path = Path(path)
    if path.suffix.lower() not in {".fits", ".csv", ".ecsv"}:
        raise InputError(f"cannot export to {path.name!r}: a light curve's name must end in .fits, .csv or .ecsv")
    found = {}
    for product in products(root, sector=sector):
        try:
            found[str(product)] = light_curve(root, product, target_id)
        except NotInStore:
            continue
    if not found:
        raise NotInStore(f"{root.url} holds no light curve of {target_id}; `larun status` lists what it holds")
    if len(found) > 1:
        raise InputError(f"{root.url} holds {target_id} in {', '.join(found)}; choose one with --sector")
    curve = next(iter(found.values()))
    try:
        if path.suffix.lower() == ".fits":
            curve.to_fits(path, overwrite=True)
        else:
            formats = {".csv": "csv", ".ecsv": "ascii.ecsv"}
            curve.write(path, format=formats[path.suffix.lower()], overwrite=True)
    except OSError as error:
        raise StoreError(f"cannot write {path}: {error.strerror or error}") from error
    return path


def _astropy_table(candidates: pa.Table) -> Any:
    """Astropy table with units; flags as names joined by spaces."""
    from astropy.table import MaskedColumn, Table

    table = Table(masked=True)
    for column in CANDIDATE_COLUMNS:
        values = candidates[column.name].to_pylist()
        if column.name == "flags":
            table[column.name] = [" ".join(EventFlag(bits).names) for bits in values]
            continue
        dtype = {"str": "str"}.get(column.dtype, column.dtype)
        missing = [v is None for v in values]
        blank = "" if dtype == "str" else 0
        data = [blank if v is None else v for v in values]
        table[column.name] = MaskedColumn(
            data, mask=missing, dtype=dtype, unit=_astropy_unit(column.unit), description=column.meaning
        )
    return table


def _astropy_unit(unit: str | None) -> str | None:
    """Astropy has no `ppm`; it knows the same as 1e-6."""
    return "1e-6" if unit == "ppm" else unit


def _write_json(candidates: pa.Table, path: Path) -> None:
    import json

    path.write_text(json.dumps(listing(candidates), indent=1) + "\n", encoding="utf-8")

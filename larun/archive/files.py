"""Light curves from single files of the user: FITS, CSV or NPZ, told apart by their content."""

from __future__ import annotations

import csv
import io
import logging
import zipfile
import zlib
from pathlib import Path

import numpy as np

from larun.archive.decode import decode
from larun.archive.fits import SUFFIXES
from larun.errors import InputError
from larun.lightcurve import LightCurve, Star
from larun.units import BTJD_OFFSET_D, MAD_TO_SIGMA, SECONDS_PER_DAY

log = logging.getLogger(__name__)

COLUMNS = ("time", "flux", "flux_err", "quality")
_REQUIRED = COLUMNS[:2]
_FULL_BJD = 2.4e6
"""Times above this are whole Julian dates, not BTJD or BKJD (which stay below 10,000)."""
_LONGEST_D = 36525.0
"""Longest light curve, days. The work of a search grows with it: one missing time written as 0 must not decide."""


def read(path: str | Path) -> LightCurve:
    """Read a light curve from a file.

    FITS is read as `larun.archive.decode.decode` does. CSV has a header line with the columns ``time, flux[,
    flux_err, quality]`` in any order and case, others are ignored; lines that begin with ``#`` are comments and an
    empty cell is a missing value. NPZ has arrays of the same names. Their times are taken as BTJD; whole Julian
    dates (above 2,400,000) are converted to it. Their flux is divided by its median, so that it is relative, and the
    time between cadences is the median time step.

    Raises
    ------
    InputError
        The file cannot be read or lacks what is needed; says what was found.
    ProductCorrupt
        It is a FITS product that is damaged or of an unknown kind.
    """
    path = Path(path)
    data = _bytes(path)
    if data.startswith(b"SIMPLE") or path.suffix.lower() in SUFFIXES:
        return decode(data, str(path))
    if not data:
        raise InputError(f"{path} is empty; give FITS, CSV or NPZ")
    if data.startswith(b"PK\x03\x04"):
        return _curve(_read_npz(data, path), path, "npz")
    return _curve(_read_csv(data, path), path, "csv")


def _bytes(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except FileNotFoundError as error:
        raise InputError(f"there is no file {path}") from error
    except IsADirectoryError as error:
        raise InputError(f"{path} is a folder; give its files, or ingest it with --archive folder:{path}") from error
    except OSError as error:
        raise InputError(f"cannot read {path}: {error.strerror}") from error


def _read_npz(data: bytes, path: Path) -> dict[str, np.ndarray]:
    try:
        with np.load(io.BytesIO(data), allow_pickle=False) as arrays:
            found = {name.lower(): name for name in arrays.files}
            _require_columns(found, path, "keys")
            columns = {name: np.asarray(arrays[found[name]]) for name in COLUMNS if name in found}
    except (ValueError, OSError, EOFError, RuntimeError, zipfile.BadZipFile, zlib.error) as error:
        raise InputError(f"{path} is not a readable NPZ of plain number arrays: {error}") from error
    for name, values in columns.items():
        if values.ndim != 1 or values.dtype.kind not in "fiub":
            raise InputError(
                f"{path}: key {name} must be a row of numbers, it has shape {values.shape} and type {values.dtype}"
            )
    if len({len(values) for values in columns.values()}) > 1:
        lengths = ", ".join(f"{name} {len(values)}" for name, values in columns.items())
        raise InputError(f"{path}: its arrays must be of one length, they are: {lengths}")
    return {name: values.astype(np.float64) for name, values in columns.items()}


def _read_csv(data: bytes, path: Path) -> dict[str, np.ndarray]:
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise InputError(f"{path} is neither FITS, NPZ nor text; give one of FITS, CSV, NPZ") from error
    lines = ((number, line) for number, line in enumerate(text.splitlines(), 1))
    lines = [(number, line) for number, line in lines if line.strip() and not line.lstrip().startswith("#")]
    rows = [[cell.strip() for cell in row] for row in csv.reader(line for _, line in lines)]
    if not rows:
        raise InputError(f"{path} holds no lines but comments; give a header line `time,flux` and the values below")
    found: dict[str, int] = {}
    for position, name in enumerate(rows[0]):
        found.setdefault(name.lower(), position)
    _require_columns(found, path, "columns")
    wanted = [name for name in COLUMNS if name in found]
    columns: dict[str, list[float]] = {name: [] for name in wanted}
    for (number, _), row in zip(lines[1:], rows[1:], strict=False):
        if len(row) != len(rows[0]):
            raise InputError(f"{path}, line {number}: {len(rows[0])} cells were expected and {len(row)} came")
        for name in wanted:
            columns[name].append(_number(row[found[name]], name, number, path))
    return {name: np.array(values, dtype=np.float64) for name, values in columns.items()}


def _number(cell: str, column: str, line: int, path: Path) -> float:
    if not cell:
        return np.nan
    try:
        return float(cell)
    except ValueError as error:
        raise InputError(f"{path}, line {line}, column {column}: a number was expected and {cell!r} came") from error


def _require_columns(found: dict[str, object], path: Path, word: str) -> None:
    missing = [name for name in _REQUIRED if name not in found]
    if missing:
        raise InputError(
            f"{path} has no {' and no '.join(missing)} among its {word}, which are: {', '.join(found) or 'none'}; "
            f"larun needs time, flux and, where known, flux_err and quality"
        )


def _curve(columns: dict[str, np.ndarray], path: Path, author: str) -> LightCurve:
    time, flux = columns["time"], columns["flux"]
    n = len(time)
    finite = np.isfinite(time)
    if finite.sum() < 2:
        raise InputError(f"{path} holds {finite.sum()} finite times, at least 2 are needed")
    if np.median(time[finite]) > _FULL_BJD:
        log.info("%s: times are whole Julian dates, %g was subtracted to make them BTJD", path, BTJD_OFFSET_D)
        time = time - BTJD_OFFSET_D
    if np.ptp(time[finite]) > _LONGEST_D:
        raise InputError(
            f"{path}: its times run from {time[finite].min():.10g} to {time[finite].max():.10g} d, more than a "
            "century; leave the cell of a missing time empty, in NPZ write NaN"
        )
    steps = np.diff(np.sort(time[finite]))
    steps = steps[steps > 0]
    if not len(steps):
        raise InputError(f"{path}: all its times are the same")
    scale = _scale(flux, path)
    nan = np.full(n, np.nan, np.float32)
    quality = columns.get("quality", np.zeros(n))
    if not np.all(np.isfinite(quality) & (quality == np.floor(quality)) & (np.abs(quality) < 2**31)):
        raise InputError(f"{path}: quality must hold whole numbers that fit 32 bits")
    return LightCurve(
        star=Star(),
        mission="",
        sector=-1,
        author=author,
        cadence_s=round(float(np.median(steps)) * SECONDS_PER_DAY, 4),
        time_format="btjd",
        flux_unit="relative",
        cadence_no=np.arange(n, dtype=np.int32),
        time=time,
        time_correction=nan.copy(),
        flux=_float32(flux / scale),
        flux_err=_float32(columns["flux_err"] / scale) if "flux_err" in columns else nan.copy(),
        background=nan.copy(),
        centroid_col=nan.copy(),
        centroid_row=nan.copy(),
        quality=quality.astype(np.int32),
        source=str(path),
    )


def _float32(values: np.ndarray) -> np.ndarray:
    """Values as float32; NaN where they are too large for it."""
    with np.errstate(over="ignore"):
        single = values.astype(np.float32)
    return np.where(np.isfinite(single), single, np.float32(np.nan))


def _scale(flux: np.ndarray, path: Path) -> float:
    """Median of the finite flux; 1 where nothing is finite."""
    finite = flux[np.isfinite(flux)]
    if not len(finite):
        return 1.0
    median = float(np.median(finite))
    scatter = MAD_TO_SIGMA * float(np.median(np.abs(finite - median)))
    if median <= 0.1 * scatter or median <= 0:
        raise InputError(
            f"{path}: its flux lies around zero (median {median:g}, scatter {scatter:g}); give the star's brightness, "
            "e.g. 1 + relative flux"
        )
    return median

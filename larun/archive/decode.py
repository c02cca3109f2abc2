"""A light curve from the bytes of its product, verified."""

from __future__ import annotations

from functools import lru_cache
from typing import NamedTuple

import numpy as np
from numba import njit

from larun.archive.families import KNOWN, Family, recognise
from larun.archive.fits import Hdu, Header, Rows, split, verify_checksums
from larun.archive.table import Table
from larun.errors import ProductCorrupt
from larun.lightcurve import LightCurve, Star
from larun.paths import Product
from larun.units import BKJD_OFFSET_D, BTJD_OFFSET_D, SECONDS_PER_DAY

SIMULATED = "simulated"
_TARGET_LIMIT, _COUNT_LIMIT = 2**63, 2**8
"""What the schema's types of `target_id`, and of `camera` and `ccd`, can hold."""

_REAL = (int, float)

_REFERENCE_D = {"btjd": BTJD_OFFSET_D, "bkjd": BKJD_OFFSET_D}


def decode(data: bytes, source: str = "") -> LightCurve:
    """Read a light curve from the bytes of a FITS product of any kind that larun knows.

    Before a value is used the length must be that of the headers, to the byte, and every checksum that the file
    carries must match. Nothing is removed and nothing is normalised; where the mission delivered no time, the
    barycentric correction (delivered as 0) is NaN too.

    Parameters
    ----------
    data : bytes
        The whole file.
    source : str
        Where it came from: named in errors and kept in the light curve.

    Raises
    ------
    ProductCorrupt
        Empty, truncated, altered, not FITS, or not a kind of light curve that larun knows.
    """
    try:
        return _decode(data, source)
    except ProductCorrupt as error:
        raise ProductCorrupt(f"{source or 'product'}: {error}") from error


def verify(curve: LightCurve, product: Product, star_id: int) -> None:
    """Check that a light curve is the one that was asked for.

    Raises
    ------
    ProductCorrupt
        Another star, sector, mission, pipeline or cadence, or cadence numbers that occur twice; says what was
        expected and what came.
    """
    came = (curve.star.target_id, curve.mission, curve.sector, curve.author, round(curve.cadence_s))
    expected = (star_id, product.mission, product.sector, product.author, product.cadence_s)
    names = (product.catalogue, "mission", "sector", "author", "cadence_s")
    differing = [
        f"{name} {wanted} was expected and {got} came"
        for name, wanted, got in zip(names, expected, came, strict=True)
        if wanted != got
    ]
    if differing:
        raise ProductCorrupt(f"{curve.source or 'product'} is another product: " + "; ".join(differing))
    if increasing(curve.cadence_no):
        # As in nearly every product; sorting costs as much as decoding.
        return
    numbers, counts = np.unique(curve.cadence_no, return_counts=True)
    if len(numbers) != len(curve):
        raise ProductCorrupt(
            f"{curve.source or 'product'}: {(counts > 1).sum()} cadence numbers occur more than once, "
            f"the first is {numbers[counts > 1][0]}"
        )


@njit(cache=True, nogil=True)
def increasing(numbers):
    """Whether each of some (cadence,) numbers is larger than the one before."""
    n_up = 0
    # Counted to the end, because a loop that may end early is not vectorised.
    for i in range(1, numbers.shape[0]):
        n_up += numbers[i] > numbers[i - 1]
    return n_up == max(0, numbers.shape[0] - 1)


def cadence_of(*headers: Header) -> float | None:
    """Time between cadences, seconds, from the first header that has TIMEDEL; None where none has."""
    for header in headers:
        step_d = header.get("TIMEDEL")
        if isinstance(step_d, _REAL) and step_d > 0:
            return round(step_d * SECONDS_PER_DAY, 4)
    return None


def author_of(family: Family, primary: Header) -> str:
    """Pipeline of a product; ``simulated`` where its header says so."""
    return SIMULATED if primary.get("SIMDATA") is True else family.author


def star_of(family: Family, primary: Header) -> Star:
    """Target of a product, as its primary header describes it; camera and CCD that cannot be are not known.

    Raises
    ------
    ProductCorrupt
        The header gives no target number, or one that cannot be.
    """

    def number(key: str) -> float:
        value = primary.get(key)
        known = isinstance(value, _REAL) and not isinstance(value, bool) and value not in family.missing
        return float(value) if known else np.nan

    def count(key: str) -> int:
        value = primary.get(key, 0) if key else 0
        return value if isinstance(value, int) and 0 <= value < _COUNT_LIMIT else 0

    target_id = primary.integer(family.target_key)
    if not 0 <= target_id < _TARGET_LIMIT:
        raise ProductCorrupt(f"header keyword {family.target_key} must be a catalogue number, it is {target_id}")
    return Star(
        target_id=target_id,
        ra=number("RA_OBJ"),
        dec=number("DEC_OBJ"),
        tmag=number(family.magnitude_key),
        teff=number("TEFF"),
        logg=number("LOGG"),
        radius=number("RADIUS"),
        camera=count(family.camera_key),
        ccd=count(family.ccd_key),
    )


def _decode(data: bytes, source: str) -> LightCurve:
    hdus = split(data)
    ahead = _read_ahead(data, hdus)
    verify_checksums(data, hdus, ahead and ahead.rows)
    kind = ahead.kind if ahead else _kind_of(data, hdus)
    primary, family = hdus[0].header, kind.family
    if family is None or kind.table is None:
        raise ProductCorrupt(
            f"sound FITS, but no light curve of a kind that larun knows ({KNOWN}); its header says "
            + ", ".join(f"{key} {primary.text(key)!r}" for key in ("TELESCOP", "ORIGIN", "CREATOR"))
        )
    _require_reference(family, kind.table.hdu.header, primary)
    columns = _columns(family, kind.table, ahead and ahead.columns)
    if kind.cadence_s is None:
        raise ProductCorrupt("its header gives no time between cadences (TIMEDEL)")
    return LightCurve(
        star=star_of(family, primary),
        mission=family.mission,
        sector=primary.integer(family.sector_key),
        author=author_of(family, primary),
        cadence_s=kind.cadence_s,
        time_format=family.time_format,
        flux_unit=family.flux_unit,
        source=source,
        simulated=primary.get("SIMDATA") is True,
        **columns,
    )


class _Kind(NamedTuple):
    """What the headers make of a file."""

    family: Family | None
    table: Table | None
    cadence_s: float | None


def _kind_of(data: bytes, hdus: tuple[Hdu, ...]) -> _Kind:
    primary = hdus[0].header
    table_hdu = next((hdu for hdu in hdus if hdu.is_table), None)
    cadence_s = cadence_of(table_hdu.header, primary) if table_hdu else None
    return _Kind(recognise(primary, cadence_s), table_hdu and Table(data, table_hdu), cadence_s)


def _require_reference(family: Family, *headers: Header) -> None:
    """Refuse times counted from another day than the family's."""
    expected = _REFERENCE_D[family.time_format]
    for header in headers:
        came = header.get("BJDREFI", expected)
        if came != expected:
            raise ProductCorrupt(f"times should be counted from BJD {expected:.0f}, the header says {came}")


class _Ahead(NamedTuple):
    """What was read before the checksums are verified."""

    kind: _Kind
    columns: dict[str, np.ndarray]
    rows: Rows


def _read_ahead(data: bytes, hdus: tuple[Hdu, ...]) -> _Ahead | None:
    """Columns and the sum of the rows, so that memory is gone over once; None where anything is unusual.

    The checksums tell afterwards whether anything of it can be used; if they are right, so is what led here.
    """
    try:
        kind = _kind_of(data, hdus)
        if kind.family is None or kind.table is None:
            return None
        found = kind.table.gathered(*_wanted(kind.family, tuple(kind.table.names)))
    except ProductCorrupt:
        return None
    return found and _Ahead(kind, *found)


@lru_cache(maxsize=64)
def _names(family: Family, held: tuple[str, ...]) -> dict[str, str]:
    """Column of each field, where these columns are held."""
    return {
        field: next((candidate for candidate in candidates if candidate in held), candidates[0])
        for field, candidates in family.columns.items()
    }


@lru_cache(maxsize=64)
def _wanted(family: Family, held: tuple[str, ...]) -> tuple[tuple[str, ...], frozenset[str]]:
    """Columns to read, and those of them that are kept as float32 just as they come."""
    names = _names(family, held)
    exact = {"time", "cadence_no", "quality"} | ({"flux", "flux_err"} if family.flux_scale != 1.0 else set())
    return tuple(names.values()), frozenset(name for field, name in names.items() if field not in exact)


def _columns(family: Family, table: Table, read: dict[str, np.ndarray] | None) -> dict[str, np.ndarray]:
    """Columns as `LightCurve` wants them, native byte order, from those that were read already where they were."""
    if len(table) == 0:
        raise ProductCorrupt("its table holds no cadences")
    names = _names(family, tuple(table.names))
    read = read or table.columns(names.values())

    def column(field: str, dtype=np.float32) -> np.ndarray:
        name = names.get(field)
        return np.full(len(table), np.nan, dtype) if name is None else _cast(read[name], dtype, name)

    time = column("time", np.float64)
    correction = column("time_correction")
    _blank_without_time(correction, time)
    delivered, error = _flux(family, column)
    return {
        "time": time,
        "time_correction": correction,
        "cadence_no": column("cadence_no", np.int32),
        "flux": delivered,
        "flux_err": error,
        "background": column("background"),
        "centroid_col": column("centroid_col"),
        "centroid_row": column("centroid_row"),
        "quality": column("quality", np.int32),
    }


@njit(cache=True, nogil=True)
def _blank_without_time(correction, time):
    """Make (cadence,) corrections NaN where there is no time."""
    for i in range(time.shape[0]):
        correction[i] = np.nan if np.isnan(time[i]) else correction[i]


def _flux(family: Family, column) -> tuple[np.ndarray, np.ndarray]:
    """Flux and its error in the family's unit, (cadence,) float32."""
    if "raw_flux" in family.columns:
        flux, error, raw = column("flux"), column("flux_err"), column("raw_flux")
        with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
            return flux, flux * error / raw
    if family.flux_scale == 1.0:
        return column("flux"), column("flux_err")
    flux, error = column("flux", np.float64), column("flux_err", np.float64)
    with np.errstate(over="ignore", invalid="ignore"):
        flux, error = family.flux_zero + family.flux_scale * flux, family.flux_scale * error
    return _cast(flux, np.float32, "flux"), _cast(error, np.float32, "error of flux")


def _cast(values: np.ndarray, dtype, name: str) -> np.ndarray:
    """Values of a column in the type that they are kept in; none becomes another."""
    if values.dtype == dtype:
        return values
    with np.errstate(over="ignore", invalid="ignore"):
        cast = values.astype(dtype)
    if cast.dtype.kind == "f":
        wrong = np.isinf(cast) & np.isfinite(values) if cast.itemsize < values.itemsize else np.False_
    else:
        wrong = cast != values
    if wrong.any():
        row = int(np.argmax(wrong))
        raise ProductCorrupt(f"row {row} of column {name} holds {values[row]}, which {cast.dtype} cannot hold")
    return cast

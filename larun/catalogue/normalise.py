"""From a catalogue's own columns to those of a snapshot: units, zero points, numbers of stars, what is missing.

What cannot be read as what its column says, or cannot be true (a period of 0, an epoch that is no Julian date), is
missing, not guessed.
"""

from __future__ import annotations

import hashlib
import json
import logging
import math
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from larun.catalogue.sources import Catalogue, Field
from larun.errors import CatalogueError

log = logging.getLogger(__name__)

_BTJD_ZERO = 2_457_000.0
_JULIAN_DATES = (2_400_000.0, 2_500_000.0)
"""Full Julian dates of the years 1858 to 2132."""
_LONGEST_PERIOD_D = 1e6
_SEXAGESIMAL = re.compile(r"([+-]?)(\d{1,3})[:hd ](\d{1,2})[:m ](\d{1,2}(?:\.\d*)?)s?")

Raw = Mapping[str, Sequence[Any]]
"""Columns of a reply or a file by name: numbers, text, or None where a value is missing."""


def _number(value: Any) -> float:
    """Float of a number or a text; NaN for what is missing or no number."""
    try:
        return float(value)
    except (TypeError, ValueError):
        return math.nan


def _within(low: float, high: float) -> Callable[[Any], float]:
    """Reader of numbers above `low` and below `high`; others are NaN."""

    def read(value: Any) -> float:
        number = _number(value)
        return number if low < number < high else math.nan

    return read


def _text(value: Any) -> str | None:
    text = "" if value is None else str(value).strip()
    return text or None


def _tic(value: Any) -> int | None:
    """Number of ``261136679``, ``0261136679``, ``261136679.0`` or ``TIC 261136679``."""
    match = re.fullmatch(r"(?:TIC)?\s*0*(\d+)(?:\.0*)?", str(value).strip(), re.IGNORECASE | re.ASCII)
    number = int(match[1]) if match else 0
    return number if 0 < number < 2**63 else None


def _star(value: Any) -> str | None:
    number = _tic(value)
    return None if number is None else f"TIC {number}"


def _numbered(prefix: str) -> Callable[[Any], str | None]:
    """Reader of ``101.01`` as ``TOI-101.01``, also where it came as a number and lost a final zero."""

    def read(value: Any) -> str | None:
        match = re.fullmatch(r"(?:[A-Z]+[- ]?)?(\d+(?:\.\d+)?)", str(value).strip())
        return f"{prefix}-{float(match[1]):.2f}" if match else None

    return read


def _angle(value: Any, per_unit: float, low: float, high: float) -> float:
    """Degrees of a decimal or sexagesimal angle; `per_unit` degrees are one unit of the sexagesimal."""
    number = _number(value)
    if math.isnan(number):
        match = _SEXAGESIMAL.fullmatch(str(value).strip())
        if match is None:
            return math.nan
        sign, units, minutes, seconds = match.groups()
        number = per_unit * (int(units) + int(minutes) / 60 + float(seconds) / 3600) * (-1 if sign == "-" else 1)
    return number if low <= number <= high else math.nan


def _epoch(value: Any) -> float:
    """BTJD of a full Julian date, or of one that is BTJD already."""
    number = _number(value)
    low, high = _JULIAN_DATES
    if low < number < high:
        return number - _BTJD_ZERO
    return number if low - _BTJD_ZERO < number < high - _BTJD_ZERO else math.nan


READERS: dict[str, Callable[[Any], Any]] = {
    "text": _text,
    "number": _within(-math.inf, math.inf),
    "positive": _within(0, math.inf),
    "period": _within(0, _LONGEST_PERIOD_D),
    "percent": lambda value: 1e4 * _within(0, 100)(value),
    "epoch": _epoch,
    "tic": _tic,
    "star": _star,
    "toi": _numbered("TOI"),
    "ctoi": _numbered("CTOI"),
    "ra": lambda value: _angle(value, 15.0, 0.0, 360.0),
    "dec": lambda value: _angle(value, 1.0, -90.0, 90.0),
}
"""How a value of each kind of `Field` is read; NaN or None where it is missing."""


def normalise(catalogue: Catalogue, raw: Raw) -> dict[str, list[Any]]:
    """Columns of the snapshot.

    Parameters
    ----------
    catalogue : Catalogue
        What the columns mean.
    raw : mapping
        The reply's own columns, all of one length.

    Returns
    -------
    dict
        One list per column of ``catalogue.columns``; rows sorted, each once. Rows without a name (of a catalogue of
        stars: without a number), and those with neither a TIC number nor a position, are left out.

    Raises
    ------
    CatalogueError
        A required column is absent: this is another table, or the service has changed.
    """
    names = {name.lower(): name for name in reversed(list(raw))}
    columns = {column.name: _missing(column.dtype, _length(raw)) for column in catalogue.columns}
    for field in catalogue.fields:
        values = _values(catalogue, field, names, raw)
        if values is not None:
            columns[field.column] = [READERS[field.kind](value) for value in values]
    if catalogue.disposition:
        columns["disposition"] = [catalogue.disposition] * _length(raw)
    rows = list(zip(*columns.values(), strict=True))
    kept = [row for row, left_out in zip(rows, _left_out(catalogue, names, raw), strict=True) if not left_out]
    usable = [row for row in kept if _usable(dict(zip(columns, row, strict=True)))]
    if len(usable) < len(kept):
        log.info("%s: %d of %d rows name no object or no place", catalogue.name, len(kept) - len(usable), len(kept))
    # Two rows with NaN are the same row by their text, and not by their values.
    ordered = [row for _, row in sorted({repr(row): row for row in usable}.items())]
    return {name: [row[index] for row in ordered] for index, name in enumerate(columns)}


def content_sha256(columns: Mapping[str, Sequence[Any]]) -> str:
    """Hexadecimal SHA-256 of a table's values: the same for equal content, whatever wrote the file."""
    return hashlib.sha256(json.dumps({name: list(values) for name, values in columns.items()}).encode()).hexdigest()


def recognise(raw: Raw, catalogues: Sequence[Catalogue]) -> list[Catalogue]:
    """Catalogues whose required columns a table has."""
    names = {name.lower() for name in raw}
    return [
        catalogue
        for catalogue in catalogues
        if all(names & {name.lower() for name in field.names} for field in catalogue.fields if field.required)
    ]


def _length(raw: Raw) -> int:
    return len(next(iter(raw.values()), ()))


def _missing(dtype: str, n: int) -> list[Any]:
    return [math.nan if dtype.startswith("float") else None] * n


def _values(catalogue: Catalogue, field: Field, names: dict[str, str], raw: Raw) -> Sequence[Any] | None:
    found = next((names[name.lower()] for name in field.names if name.lower() in names), None)
    if found is None and field.required:
        has = ", ".join(list(raw)[:12]) or "none"
        raise CatalogueError(
            f"the table of {catalogue.title} should have a column {' or '.join(field.names)}; its columns are {has}. "
            "It is another table, or the service has changed"
        )
    return None if found is None else raw[found]


def _left_out(catalogue: Catalogue, names: dict[str, str], raw: Raw) -> list[bool]:
    name, values = catalogue.leave_out
    if name.lower() not in names:
        return [False] * _length(raw)
    return [str(value).strip() in values for value in raw[names[name.lower()]]]


def _usable(row: dict[str, Any]) -> bool:
    placed = row["tic"] is not None or not (math.isnan(row["ra"]) or math.isnan(row["dec"]))
    return placed and row.get("object", row["tic"]) is not None

"""Rows, and MAST's filters on them."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np

Row = dict[str, Any]

_STAMP_DEG = 12.0 / 3600.0
"""A search by position finds what was observed there: the region of an observation, not its centre alone."""


@dataclass(frozen=True)
class Table:
    """A table.

    Parameters
    ----------
    columns : tuple of str
        ``name:type`` in order, types as MAST gives them.
    rows : list of dict
        None where a value is missing.
    """

    columns: tuple[str, ...]
    rows: list[Row] = field(repr=False)

    @cached_property
    def _indices(self) -> dict[str, dict[str, list[Row]]]:
        return {}

    def among(self, column: str, values: Iterable[str]) -> Table:
        """Rows whose value, as text in any case, is one of some, in the order of the table."""
        if column not in self._indices:
            index: dict[str, list[Row]] = {}
            for row in self.rows:
                index.setdefault(str(row.get(column)).lower(), []).append(row)
            self._indices[column] = index
        wanted = dict.fromkeys(str(value).strip().lower() for value in values)
        return Table(self.columns, [row for value in wanted for row in self._indices[column].get(value, ())])

    def filtered(self, filters: Sequence[dict[str, Any]]) -> Table:
        """Rows that pass all filters: values one of which must be, ranges, or a pattern with `%`."""
        found = self
        for entry in sorted(filters, key=lambda entry: entry["paramName"] not in ("target_name", "ID")):
            found = found._filtered_by(entry)
        return found

    def _filtered_by(self, entry: dict[str, Any]) -> Table:
        column, values, pattern = entry["paramName"], entry.get("values", []), entry.get("freeText")
        names = {name.partition(":")[0].lower(): name.partition(":")[0] for name in self.columns}
        column = names.get(column.lower(), column)
        if values and isinstance(values[0], dict):
            low, high = float(values[0]["min"]), float(values[0]["max"])
            kept = [r for r in self.rows if r.get(column) is not None and low <= r[column] <= high]
            return Table(self.columns, kept)
        if not pattern:
            return self.among(column, values)
        like = re.compile(".*".join(re.escape(part) for part in pattern.split("%")), re.IGNORECASE)
        exact = {str(value).lower() for value in values}
        kept = [r for r in self.rows if like.fullmatch(str(r.get(column))) or str(r.get(column)).lower() in exact]
        return Table(self.columns, kept)

    def near(self, ra: float, dec: float, radius: float, ra_column: str, dec_column: str, name: str) -> Table:
        """Rows within a radius of a position, degrees, the nearest first; column `name` is the distance, arcsec."""
        if not self.rows:
            return self
        sky = np.radians(np.array([[r[ra_column], r[dec_column]] for r in self.rows], dtype=float))
        here = np.radians([ra, dec])
        half = np.sin((sky[:, 1] - here[1]) / 2) ** 2
        half += np.cos(sky[:, 1]) * np.cos(here[1]) * np.sin((sky[:, 0] - here[0]) / 2) ** 2
        apart = np.degrees(2 * np.arcsin(np.sqrt(np.clip(half, 0, 1))))
        order = [i for i in np.argsort(apart, kind="stable") if apart[i] <= radius + _STAMP_DEG]
        rows = [self.rows[i] | {name: float(apart[i]) * 3600} for i in order]
        return Table((*self.columns, f"{name}:float"), rows)

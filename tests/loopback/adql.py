"""Answers of a table service: as much ADQL as larun asks, over rows in memory, and VOTables in and out.

``SELECT columns FROM table [WHERE column = value [AND ...]]``, and a join of an uploaded table by position. What is not
understood, or names a table or column that is not there, is a `BadQuery`, for which a service has an error document.
"""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any
from xml.sax.saxutils import escape, quoteattr

Rows = Sequence[Mapping[str, Any]]


class BadQuery(Exception):
    """A query that the service does not answer."""


_NAME = r'(?:[A-Za-z_]\w*|"[^"]+")'
_SELECT = re.compile(
    rf"\s*select\s+(?P<columns>.+?)\s+from\s+(?P<table>{_NAME}(?:\.{_NAME})?)(?:\s+(?:as\s+)?(?P<alias>{_NAME}))?"
    rf"(?:\s+join\s+(?P<other>{_NAME})\s+as\s+(?P<other_alias>{_NAME})\s+on\s+(?P<on>.+?))?"
    r"(?:\s+where\s+(?P<where>.+?))?\s*",
    re.IGNORECASE | re.DOTALL,
)
_NEAR = re.compile(
    rf"1\s*=\s*CONTAINS\(\s*POINT\('ICRS',\s*(?P<a>{_NAME})\.(?P<a_ra>{_NAME}),\s*{_NAME}\.(?P<a_dec>{_NAME})\),\s*"
    rf"CIRCLE\('ICRS',\s*(?P<b>{_NAME})\.(?P<b_ra>{_NAME}),\s*{_NAME}\.(?P<b_dec>{_NAME}),\s*(?P<radius>[\d.eE+-]+)\)\)",
    re.IGNORECASE,
)
_EQUAL = re.compile(rf"(?P<column>{_NAME})\s*=\s*(?P<value>'[^']*'|[\d.+-]+)")


def run_query(query: str, tables: Mapping[str, Rows], uploads: Mapping[str, Rows]) -> tuple[str, list[str], Rows]:
    """Table, columns and rows that a query asks for."""
    parsed = _SELECT.fullmatch(query)
    if parsed is None:
        raise BadQuery(f"cannot parse: {query[:200]}")
    table, rows = _rows_of(parsed["table"], tables, uploads)
    if parsed["other"]:
        table, other = _rows_of(parsed["other"], tables, uploads)
        rows = _joined(parsed, rows, other)
    for condition in re.split(r"\s+and\s+", parsed["where"], flags=re.IGNORECASE) if parsed["where"] else ():
        equal = _EQUAL.fullmatch(condition.strip())
        if equal is None:
            raise BadQuery(f"cannot parse the condition {condition}")
        column, value = _plain(equal["column"]), equal["value"].strip("'")
        rows = [row for row in rows if _text(row.get(column)) == value]
    held = list(tables[table][0]) if tables[table] else []
    wanted = held if parsed["columns"].strip() == "*" else [_plain(c) for c in parsed["columns"].split(",")]
    missing = [column for column in wanted if held and column not in held]
    if missing:
        raise BadQuery(f'column "{missing[0]}" not found in {table}')
    return table, wanted, [{column: row[column] for column in wanted} for row in rows]


def _rows_of(name: str, tables: Mapping[str, Rows], uploads: Mapping[str, Rows]) -> tuple[str, Rows]:
    prefix, _, rest = name.partition(".")
    if prefix.upper() == "TAP_UPLOAD":
        if rest not in uploads:
            raise BadQuery(f"no table {name} was uploaded")
        return name, uploads[rest]
    plain = name.strip('"')
    if plain not in tables:
        raise BadQuery(f'table "{plain}" not found')
    return plain, tables[plain]


def _joined(parsed: re.Match, left: Rows, right: Rows) -> list[Mapping[str, Any]]:
    """Rows of the second table that are near a row of the first, once per pair."""
    from astropy.coordinates import SkyCoord

    near = _NEAR.fullmatch(parsed["on"].strip())
    if near is None or {near["a"], near["b"]} != {parsed["alias"], parsed["other_alias"]}:
        raise BadQuery(f"cannot parse the join {parsed['on']}")
    point = (_plain(near["a_ra"]), _plain(near["a_dec"]))
    circle = (_plain(near["b_ra"]), _plain(near["b_dec"]))
    places = {near["a"]: point, near["b"]: circle}
    found = []
    for star in left:
        for row in right:
            ours, theirs = places[parsed["alias"]], places[parsed["other_alias"]]
            a = SkyCoord(float(star[ours[0]]), float(star[ours[1]]), unit="deg")
            b = SkyCoord(float(row[theirs[0]]), float(row[theirs[1]]), unit="deg")
            if a.separation(b).deg <= float(near["radius"]):
                found.append(row)
    return found


def _plain(name: str) -> str:
    """Column without its table and its quotes."""
    return name.strip().rpartition(".")[2].strip('"')


def _text(value: Any) -> str:
    return f"{value:g}" if isinstance(value, float) else str(value)


def votable(columns: Iterable[str], rows: Rows) -> str:
    """VOTable as TAP services send it: TABLEDATA, missing values as empty cells."""
    columns = list(columns)
    fields = []
    for column in columns:
        values = [row[column] for row in rows if row[column] is not None]
        if all(isinstance(value, int) for value in values) and values:
            kind = 'datatype="long"'
        elif all(isinstance(value, int | float) for value in values) and values:
            kind = 'datatype="double"'
        else:
            kind = 'datatype="char" arraysize="*"'
        fields.append(f"<FIELD name={quoteattr(column)} {kind}/>")
    lines = [
        "<TR>" + "".join(f"<TD>{'' if row[c] is None else escape(str(row[c]))}</TD>" for c in columns) + "</TR>"
        for row in rows
    ]
    return "\n".join(
        [
            '<?xml version="1.0" encoding="UTF-8"?>',
            '<VOTABLE version="1.4" xmlns="http://www.ivoa.net/xml/VOTable/v1.3">',
            '<RESOURCE type="results">',
            '<INFO name="QUERY_STATUS" value="OK"/>',
            "<TABLE>",
            *fields,
            "<DATA><TABLEDATA>",
            *lines,
            "</TABLEDATA></DATA>",
            "</TABLE>",
            "</RESOURCE>",
            "</VOTABLE>",
            "",
        ]
    )


def error_document(message: str) -> str:
    """What TAP answers to a query that fails."""
    return (
        '<?xml version="1.0" encoding="UTF-8"?>\n'
        '<VOTABLE version="1.4" xmlns="http://www.ivoa.net/xml/VOTable/v1.3">\n<RESOURCE type="results">\n'
        f'<INFO name="QUERY_STATUS" value="ERROR">{escape(message)}</INFO>\n</RESOURCE>\n</VOTABLE>\n'
    )


def read_votable(content: bytes) -> Rows:
    """Rows of an uploaded VOTable."""
    from astropy.table import Table

    table = Table.read(io.BytesIO(content), format="votable")
    return [dict(zip(table.colnames, row, strict=True)) for row in table.iterrows()]


def csv_text(rows: Rows) -> str:
    """CSV as ExoFOP sends it."""
    out = io.StringIO()
    if rows:
        writer = csv.DictWriter(out, list(rows[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
    return out.getvalue()

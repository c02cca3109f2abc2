"""Tables as services and people hand them over: CSV of ExoFOP and of the archives, VOTables, IPAC tables, Parquet."""

from __future__ import annotations

import csv
import io
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any

from larun.catalogue.normalise import Raw
from larun.errors import CatalogueError, InputError

if TYPE_CHECKING:
    from astropy.io.votable.tree import VOTableFile
    from astropy.table import Table


def columns_of_csv(content: bytes) -> Raw:
    """Columns of a CSV file, values as text; lines that begin with ``#`` are comments.

    Raises
    ------
    CatalogueError
        It is no CSV with a header, or a line has another number of values, as where the file was cut.
    """
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise CatalogueError(f"it should be CSV in UTF-8 and is not: {error}") from error
    if text.lstrip()[:1] == "<":
        raise CatalogueError(f"it should be CSV and is a web page: {' '.join(text.split())[:100]}")
    body = "".join(line for line in text.splitlines(keepends=True) if not line.startswith("#"))
    try:
        header, *rows = csv.reader(io.StringIO(body, newline=""), strict=True)
    except (ValueError, csv.Error) as error:
        raise CatalogueError(f"it should be CSV with a header and is not: {error}") from error
    rows = [row for row in rows if row]
    broken = next((number for number, row in enumerate(rows, 1) if len(row) != len(header)), None)
    if len(header) < 2 or broken is not None:
        found = f"row {broken} has {len(rows[broken - 1])}" if broken is not None else f"the header is {body[:60]!r}"
        raise CatalogueError(f"every row should have {len(header)} values, and {found}; the file is cut or no CSV")
    return {name: [row[index] for row in rows] for index, name in reversed(list(enumerate(header)))}


def columns_of_table(table: Table) -> Raw:
    """Columns of an astropy table, None for masked values."""
    return {name: [None if _is_masked(v) else v for v in table[name].tolist()] for name in table.colnames}


def is_cut(document: VOTableFile) -> bool:
    """Whether a table service says anywhere in its document that there are more rows than it sent."""
    said = (info.value for info in document.iter_info() if info.name == "QUERY_STATUS")
    return any(str(value).upper() == "OVERFLOW" for value in said)


def _is_masked(value: Any) -> bool:
    return value is None or value == ""


def columns_of_file(path: str | Path) -> Raw:
    """Columns of a file, its format said by its ending.

    Parameters
    ----------
    path : path
        ``.csv``; ``.parquet``; ``.vot``, ``.votable`` or ``.xml``; or ``.tbl`` for an IPAC table.

    Raises
    ------
    InputError
        The file cannot be read, or its ending says nothing.
    CatalogueError
        It is not what its ending says.
    """
    path = Path(path)
    formats = {".vot": "votable", ".votable": "votable", ".xml": "votable", ".tbl": "ascii.ipac"}
    ending = path.suffix.lower()
    try:
        if ending == ".csv":
            return columns_of_csv(path.read_bytes())
        if ending == ".parquet":
            return _columns_of_parquet(path)
        if ending in formats:
            return _columns_of_astropy(path, formats[ending])
    except OSError as error:
        raise InputError(f"cannot read {path}: {error.strerror or error}") from error
    except CatalogueError as error:
        raise CatalogueError(f"{path}: {error}") from error
    known = ", ".join([".csv", ".parquet", *formats])
    raise InputError(f"the ending of {path} should say what it is: one of {known}, or the .json of a snapshot")


def _columns_of_parquet(path: Path) -> Raw:
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        return pq.read_table(path).to_pydict()
    except pa.ArrowInvalid as error:
        raise CatalogueError(f"it should be Parquet and is not: {error}") from error


def _columns_of_astropy(path: Path, kind: str) -> Raw:
    from astropy.io import votable
    from astropy.table import Table

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            if kind != "votable":
                return columns_of_table(Table.read(path, format=kind))
            document = votable.parse(path)
            table = Table.read(document, format=kind, use_names_over_ids=True)
        except (ValueError, TypeError, IndexError) as error:
            raise CatalogueError(f"it should be a table of the format {kind} and is not: {error}") from error
    if is_cut(document):
        raise CatalogueError(f"its service cut the table after {len(table)} rows; ask it for all of them")
    return columns_of_table(table)

"""Parquet tables whose fields carry unit and meaning, written from and checked against `larun.schema`.

Columns that name a folder of the table, such as ``sector=1``, are not in its files: readers of partitioned folders
take them from the path, and `read_table` does.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from larun.errors import NotInStore, StoreError
from larun.objects import Root
from larun.schema import DETECTION_COLUMNS, PARTITIONS, SCHEMA_VERSION, Column

_PARTITION_COLUMNS = tuple(column for column in DETECTION_COLUMNS if column.name in PARTITIONS)
_ORDER = b"larun_columns"
"""Key of a file's metadata: names of all columns in order, those of the folders too."""


def arrow_schema(columns: Sequence[Column]) -> pa.Schema:
    """Arrow schema of a table; unit and meaning are field metadata, the schema version is the table's."""
    fields = []
    for column in columns:
        metadata = {"unit": column.unit or "", "meaning": column.meaning}
        fields.append(pa.field(column.name, column.arrow_type, metadata=metadata))
    return pa.schema(fields, metadata={"larun_schema_version": str(SCHEMA_VERSION)})


def make_table(columns: Mapping[str, Any] | np.ndarray, schema_columns: Sequence[Column]) -> pa.Table:
    """Table in the order of the schema.

    Parameters
    ----------
    columns : mapping or structured ndarray
        Values per name: arrays or sequences of one length. ``None`` and masked values become null, NaN stays NaN.
    schema_columns : sequence of Column
        The columns that the table has.

    Raises
    ------
    StoreError
        A column is missing, unknown, of another length, or does not fit its type.
    """
    given = columns.dtype.names if isinstance(columns, np.ndarray) else tuple(columns)
    expected = [column.name for column in schema_columns]
    if set(given) != set(expected):
        raise StoreError(
            f"the table needs exactly the columns of the schema: missing {sorted(set(expected) - set(given))}, "
            f"unknown {sorted(set(given) - set(expected))}"
        )
    schema = arrow_schema(schema_columns)
    try:
        return pa.Table.from_arrays([_column(columns[field.name], field) for field in schema], schema=schema)
    except pa.ArrowInvalid as error:
        raise StoreError(f"the columns of the table do not go together: {error}") from error


def write_table(
    root: Root, path: str, columns: Mapping[str, Any] | np.ndarray, schema_columns: Sequence[Column]
) -> None:
    """Write one Parquet object; equal values are equal bytes.

    Arguments and errors as in `make_table`; a `StoreError` too where a column differs from the folder it names.
    """
    table = _without_partitions(make_table(columns, schema_columns), path)
    sink = pa.BufferOutputStream()
    pq.write_table(table, sink, compression="zstd")
    folder, _, name = path.rpartition("/")
    root.discard_partials(folder, f"{name}.")
    root.write(path, sink.getvalue().to_pybytes())


def read_table(root: Root, path: str) -> pa.Table:
    """Read one Parquet object, or all parts directly below a folder in the order of their names.

    Raises
    ------
    NotInStore
        There is no such object, or no part below the folder.
    StoreError
        An object is no Parquet, or the parts have different columns.
    """
    if path.endswith(".parquet"):
        return _read_part(root, path)
    parts = root.list(path, ".parquet")
    if not parts:
        raise NotInStore(f"there is no table in {root.url_of(path)}")
    try:
        return pa.concat_tables([_read_part(root, part) for part in parts])
    except pa.ArrowInvalid as error:
        raise StoreError(f"the parts of {root.url_of(path)} have different columns: {error}") from error


def _read_part(root: Root, path: str) -> pa.Table:
    content = root.read(path)
    try:
        return _with_partitions(pq.read_table(pa.BufferReader(content)), path)
    # What a damaged byte in the footer, in a page or in a name of the schema comes to.
    except (pa.ArrowException, OSError, KeyError, ValueError) as error:
        raise StoreError(f"{root.url_of(path)} should be Parquet and is not: {error}") from error


def _folder_values(path: str) -> dict[str, str]:
    """Names and values of the folders of a partitioned table."""
    return dict(part.split("=", 1) for part in path.split("/")[:-1] if "=" in part)


def _without_partitions(table: pa.Table, path: str) -> pa.Table:
    order = ",".join(table.column_names)
    for name, value in _folder_values(path).items():
        if name in table.column_names:
            if any(str(given) != value for given in pc.unique(table[name]).to_pylist()):
                raise StoreError(f"the column {name} should be {value} throughout, as the folder of {path} says")
            table = table.drop_columns(name)
    return table.replace_schema_metadata((table.schema.metadata or {}) | {_ORDER: order.encode()})


def _with_partitions(table: pa.Table, path: str) -> pa.Table:
    metadata = dict(table.schema.metadata or {})
    order = metadata.pop(_ORDER, b"").decode().split(",")
    values = _folder_values(path)
    for field in arrow_schema(_PARTITION_COLUMNS):
        if field.name in order and field.name not in table.column_names:
            column = pa.array([values[field.name]] * table.num_rows, pa.string()).cast(field.type)
            table = table.append_column(field, column)
    return table.select(order).replace_schema_metadata(metadata) if order != [""] else table


def _column(values: Any, field: pa.Field) -> pa.Array:
    mask = None
    if isinstance(values, np.ma.MaskedArray):
        mask = np.ma.getmaskarray(values)
        values = values.data
    try:
        return pa.array(values, type=field.type, mask=mask, from_pandas=False)
    except (pa.ArrowInvalid, pa.ArrowTypeError, pa.ArrowNotImplementedError, OverflowError) as error:
        raise StoreError(f"the column {field.name} does not fit {field.type}: {error}") from error

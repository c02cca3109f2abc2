"""Parquet tables with units and meanings."""

import io

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from larun.errors import NotInStore, StoreError
from larun.objects import PARTIAL_SUFFIX, Root
from larun.schema import CANDIDATE_COLUMNS, DETECTION_COLUMNS, EVENT_COLUMNS, Column, empty_events
from larun.store.tables import arrow_schema, make_table, read_table, write_table

COLUMNS = (
    Column("tic", "int64", None, "TIC number"),
    Column("depth_ppm", "float32", "ppm", "depth"),
    Column("class", "str", None, "class"),
    Column("simulated", "bool", None, "made, not observed"),
    Column("flags", "list[str]", None, "flags"),
)
VALUES = {
    "tic": [1, None, 3],
    "depth_ppm": np.array([1.5, np.nan, 2.5], "f4"),
    "class": ["noise", None, "planetary_transit"],
    "simulated": [True, False, True],
    "flags": [["a", "b"], [], None],
}


@pytest.fixture
def root(tmp_path):
    return Root(str(tmp_path))


def test_values_units_and_meanings_survive(root):
    write_table(root, "a/part-00000.parquet", VALUES, COLUMNS)
    # Read by pyarrow alone, as another program would.
    table = pq.read_table(io.BytesIO(root.read("a/part-00000.parquet")))
    assert table.column_names == [c.name for c in COLUMNS]
    assert table.column("tic").to_pylist() == [1, None, 3]
    depth = table.column("depth_ppm")
    assert depth.type == pa.float32()
    assert depth.null_count == 0
    assert np.isnan(depth[1].as_py())
    assert table.column("class").to_pylist() == ["noise", None, "planetary_transit"]
    assert table.column("simulated").to_pylist() == [True, False, True]
    assert table.column("flags").to_pylist() == [["a", "b"], [], None]
    assert table.schema.field("depth_ppm").metadata[b"unit"] == b"ppm"
    assert table.schema.field("depth_ppm").metadata[b"meaning"] == b"depth"
    assert table.schema.field("tic").metadata[b"unit"] == b""
    assert table.schema.metadata[b"larun_schema_version"] == b"2"


def test_equal_values_are_equal_bytes_whatever_their_order(root):
    write_table(root, "a.parquet", VALUES, COLUMNS)
    write_table(root, "b.parquet", dict(reversed(VALUES.items())), COLUMNS)
    assert root.read("a.parquet") == root.read("b.parquet")


def test_parts_of_a_folder_come_in_order(root):
    for index in (1, 0, 10):
        write_table(root, f"t/mission=tess/part-{index:05d}.parquet", VALUES | {"tic": [index] * 3}, COLUMNS)
    root.write("t/mission=tess/notes.txt", b"")
    table = read_table(root, "t/mission=tess")
    assert table.column("tic").to_pylist() == [0] * 3 + [1] * 3 + [10] * 3
    assert table.column_names == [c.name for c in COLUMNS]
    assert table.schema.field("tic").metadata[b"meaning"] == b"TIC number"
    assert read_table(root, "t/mission=tess/part-00010.parquet").num_rows == 3


def test_structured_and_masked_arrays(root):
    events = empty_events(2)
    events["period_d"] = 1.0, 2.0
    write_table(root, "events.parquet", events, EVENT_COLUMNS)
    table = read_table(root, "events.parquet")
    assert table.column("period_d").to_pylist() == [1.0, 2.0]
    assert table.column("flags").type == pa.uint32()
    masked = np.ma.array([1, 2, 3], mask=[False, True, False])
    assert make_table(VALUES | {"tic": masked}, COLUMNS).column("tic").to_pylist() == [1, None, 3]


def test_tables_without_rows(root):
    empty = {c.name: [] for c in COLUMNS}
    write_table(root, "empty.parquet", empty, COLUMNS)
    assert read_table(root, "empty.parquet").num_rows == 0
    assert read_table(root, "empty.parquet").schema.equals(arrow_schema(COLUMNS))


@pytest.mark.parametrize("columns", [DETECTION_COLUMNS, CANDIDATE_COLUMNS])
def test_every_column_of_the_schema_has_an_arrow_type(columns):
    schema = arrow_schema(columns)
    assert schema.names == [c.name for c in columns]
    for column in columns:
        kind = schema.field(column.name).type
        expected = {"str": "string", "float64": "double", "float32": "float"}.get(column.dtype, column.dtype)
        assert str(kind) == expected


@pytest.mark.parametrize(
    ("change", "word"),
    [
        ({"tic": ["one", "two", "three"]}, "column tic does not fit int64"),
        ({"tic": [1, 2]}, "do not go together"),
        ({"tic": [2**70, 1, 1]}, "tic"),
        ({"unheard": [1, 2, 3]}, "unknown .'unheard'"),
    ],
)
def test_columns_that_do_not_fit_are_refused(root, change, word):
    with pytest.raises(StoreError, match=word):
        write_table(root, "bad.parquet", VALUES | change, COLUMNS)
    assert not root.exists("bad.parquet")


def test_missing_columns_are_refused(root):
    with pytest.raises(StoreError, match=r"missing \['tic'\]"):
        write_table(root, "bad.parquet", {k: v for k, v in VALUES.items() if k != "tic"}, COLUMNS)


def test_reading_what_is_no_table(root):
    with pytest.raises(NotInStore, match="no table in"):
        read_table(root, "absent")
    with pytest.raises(NotInStore):
        read_table(root, "absent.parquet")
    root.write("html.parquet", b"<html>")
    with pytest.raises(StoreError, match="should be Parquet"):
        read_table(root, "html.parquet")
    write_table(root, "t/part-00000.parquet", VALUES, COLUMNS)
    write_table(root, "t/part-00001.parquet", {"tic": [1]}, COLUMNS[:1])
    with pytest.raises(StoreError, match="different columns"):
        read_table(root, "t")


def test_leftovers_of_a_killed_writer_go(root, tmp_path):
    (tmp_path / f"a.parquet.00{PARTIAL_SUFFIX}").write_bytes(b"PAR1")
    write_table(root, "a.parquet", VALUES, COLUMNS)
    assert [p.name for p in tmp_path.iterdir()] == ["a.parquet"]


def test_columns_that_name_a_folder_are_in_the_path_alone(root):
    columns = (Column("tic", "int64", None, "star"), Column("sector", "int32", None, "sector"), COLUMNS[-1])
    path = "detections/mission=tess/sector=7/run=r1/part-00000.parquet"
    values = {"tic": [1, 2], "sector": [7, 7], COLUMNS[-1].name: [None, None]}
    write_table(root, path, values, columns)
    inside = pq.ParquetFile(root.full(path)).schema_arrow.names
    assert inside == ["tic", COLUMNS[-1].name]
    table = read_table(root, path)
    assert table.schema.equals(arrow_schema(columns), check_metadata=False)
    assert table["sector"].to_pylist() == [7, 7]
    with pytest.raises(StoreError, match="sector should be 7 throughout"):
        write_table(root, path, values | {"sector": [7, 8]}, columns)

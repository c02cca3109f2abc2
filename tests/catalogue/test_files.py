"""Tables as people download them, read back."""

import pytest
from astropy.table import Table

from larun.catalogue.files import columns_of_csv, columns_of_file
from larun.errors import CatalogueError, InputError


def test_csv_with_comments_quotes_and_a_byte_order_mark():
    content = '\ufeff# made by hand\nname,note\na,"1,5"\n\nb,"say ""x"""\n'.encode()
    assert columns_of_csv(content) == {"name": ["a", "b"], "note": ["1,5", 'say "x"']}


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"name,note\na,1\nb\n", "row 2 has 1; the file is cut"),
        (b"\xff\xfe", "CSV in UTF-8"),
        (b"<html><body>no</body></html>", "is a web page"),
        (b"", "with a header and is not"),
        (b'name,note\na,"1\n', "with a header and is not"),
        (b"one column\n1\n", "the header is"),
    ],
)
def test_what_is_no_csv_is_refused(content, said):
    with pytest.raises(CatalogueError, match=said):
        columns_of_csv(content)


@pytest.mark.parametrize(("ending", "kind"), [(".vot", "votable"), (".xml", "votable"), (".tbl", "ascii.ipac")])
def test_votables_and_ipac_tables(tmp_path, ending, kind):
    table = Table({"name": ["a", "b"], "period": [1.5, 2.5]}, masked=True)
    table["period"].mask = [False, True]
    path = tmp_path / f"table{ending}"
    table.write(path, format=kind)
    found = columns_of_file(path)
    assert found["name"] == ["a", "b"]
    assert found["period"][0] == 1.5
    assert found["period"][1] is None or found["period"][1] != found["period"][1]
    path.write_text("nothing of the kind")
    with pytest.raises(CatalogueError, match=f"{path.name}: it should be a table of the format {kind}"):
        columns_of_file(path)


def test_parquet(tmp_path):
    import pyarrow as pa
    import pyarrow.parquet as pq

    pq.write_table(pa.table({"name": ["a", None]}), tmp_path / "t.parquet")
    assert columns_of_file(tmp_path / "t.parquet") == {"name": ["a", None]}
    (tmp_path / "t.parquet").write_bytes(b"PAR1")
    with pytest.raises(CatalogueError, match="should be Parquet"):
        columns_of_file(tmp_path / "t.parquet")


def test_a_file_that_is_not_there_or_says_nothing(tmp_path):
    with pytest.raises(InputError, match=r"cannot read .*absent\.csv"):
        columns_of_file(tmp_path / "absent.csv")
    with pytest.raises(InputError, match=r"one of \.csv, \.parquet, \.vot"):
        columns_of_file(tmp_path / "table.doc")

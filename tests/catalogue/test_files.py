"""Tables as people download them, read back."""

import pytest
from astropy.table import Table

from larun.catalogue.files import columns_of_csv, columns_of_file
from larun.errors import CatalogueError, InputError
from tests.loopback.adql import votable


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


@pytest.mark.parametrize("before", ["</RESOURCE>", "</TABLE>", "<TABLE>"])
@pytest.mark.parametrize("value", ["OVERFLOW", "overflow"])
def test_a_votable_that_its_service_cut_is_refused(tmp_path, before, value):
    document = votable(["name", "period"], [{"name": "a", "period": 1.5}])
    path = tmp_path / "cut.vot"
    info = f'<INFO name="QUERY_STATUS" value="{value}"/>'
    # Within a table this element comes after the data.
    path.write_text(document.replace(before, f"{info}{before}"))
    with pytest.raises(CatalogueError, match="cut the table after 1 rows"):
        columns_of_file(path)


def test_a_votable_has_the_names_of_its_columns_and_not_their_identifiers(tmp_path):
    document = votable(["BJD0", "Per"], [{"BJD0": 1326.5, "Per": 2.0}])
    path = tmp_path / "t.vot"
    path.write_text(document.replace('name="BJD0"', 'ID="_tab1_10" name="BJD0"'))
    assert columns_of_file(path) == {"BJD0": [1326.5], "Per": [2.0]}


@pytest.mark.parametrize("form", ["tabledata", "binary2"])
def test_masked_and_large_integers_of_a_votable(tmp_path, form):
    table = Table({"tic": [2**40, 7], "n": [1, 2], "s": ["ab", "c"]}, masked=True)
    table["n"].mask = [False, True]
    table.write(tmp_path / "t.vot", format="votable", tabledata_format=form)
    assert columns_of_file(tmp_path / "t.vot") == {"tic": [2**40, 7], "n": [1, None], "s": ["ab", "c"]}


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

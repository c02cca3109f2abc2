import io

import numpy as np
import pytest
from astropy.io import fits

from larun.archive.fits import Header, data_size, ones_complement_sum, split, verify_checksums
from larun.archive.table import Table
from larun.errors import ProductCorrupt


def card(text: str) -> bytes:
    return text.ljust(80).encode()


def test_values_of_cards_are_those_of_astropy():
    cards = fits.Header(
        {
            "AAA": 12,
            "BBB": -1.5e-7,
            "CCC": "it's / here",
            "DDD": True,
            "EEE": False,
            "FFF": None,
            "GGG": "",
            "HHH": 1e22,
        }
    )
    ours = Header(cards.tostring(padding=False, endcard=False).encode())
    for key, value in cards.items():
        assert ours.get(key) == value
        assert type(ours.get(key)) is type(value)
    assert ours.get("NOPE", 7) == 7
    assert ours.text("NOPE") == ""


def test_fortran_exponents_and_first_of_repeated_keys():
    header = Header(card("AAA     = 1.5D3 / note") + card("AAA     = 2"))
    assert header.get("AAA") == 1500.0


@pytest.mark.parametrize("text", ["AAA     = 'open", "AAA     = 1.2.3", "AAA       12", "AAA     = \xff"])
def test_malformed_cards_are_corrupt(text):
    with pytest.raises(ProductCorrupt, match="does not follow"):
        Header(text.ljust(80).encode("latin-1")).get("AAA")


def test_data_size_with_groups_heap_and_axes():
    sizes = {"BITPIX": -64, "NAXIS": 2, "NAXIS1": 3, "NAXIS2": 5, "PCOUNT": 7, "GCOUNT": 1}
    header = Header(b"".join(card(f"{key:8}= {value}") for key, value in sizes.items()))
    assert data_size(header) == 8 * (7 + 15)


def test_checksum_of_the_standard():
    # FITS Standard 4.0, appendix J: the sum wraps its carries around.
    assert ones_complement_sum(bytes.fromhex("ffffffff00000001")) == 1
    assert ones_complement_sum(bytes.fromhex("800000008000000100000002")) == 4
    assert ones_complement_sum(bytes.fromhex("12345678ffffffff0000000112345678"), 4, 12) == 1
    assert ones_complement_sum(b"") == 0


def test_sums_are_those_of_astropy():
    hdu = fits.PrimaryHDU(np.random.default_rng(3).normal(size=(50, 71)).astype(np.float32))
    hdu.add_checksum()
    buffer = io.BytesIO()
    fits.HDUList([hdu]).writeto(buffer)
    data = buffer.getvalue()
    (only,) = split(data)
    assert ones_complement_sum(data[only.data_start : only.end]) == int(hdu.header["DATASUM"])
    assert verify_checksums(data, (only,)) is True


KINDS = {"D": "f8", "E": "f4", "K": "i8", "J": "i4", "I": "i2", "B": "u1"}


@pytest.mark.parametrize("kinds", ["DEKJIB", "DEKJ", "EDJDE", "J", "DK", "EIIJ", "EBJ"])
def test_plain_columns_are_those_of_astropy(kinds):
    """Whether or not the words of the rows are aligned, and for more rows than are read at once."""
    rng = np.random.default_rng(len(kinds))
    values = [rng.integers(0, 256, 300 * np.dtype(KINDS[kind]).itemsize, np.uint8).view(KINDS[kind]) for kind in kinds]
    data = written([fits.Column(f"c{i}", kind, array=values[i]) for i, kind in enumerate(kinds)])
    table = Table(data, split(data)[1])
    assert table.dtype is not None
    wanted = [f"C{i}" for i in range(len(kinds))][::-1]
    found = table.columns(wanted)
    assert list(found) == wanted
    with fits.open(io.BytesIO(data)) as file:
        for name, column in found.items():
            theirs = file[1].data[name]
            assert column.dtype == theirs.dtype.newbyteorder("=")
            assert column.flags.writeable
            assert column.tobytes() == theirs.astype(column.dtype).tobytes()


def test_rows_are_summed_with_what_is_read_of_them():
    data = written([fits.Column("a", "D", array=np.arange(1000.0)), fits.Column("b", "E", array=np.arange(1000.0))])
    hdu = split(data)[1]
    columns, rows = Table(data, hdu).gathered(("B",))
    assert columns["B"].tolist() == list(range(1000))
    start = hdu.data_start
    assert (rows.start, rows.end) == (start, start + 12_000)
    assert rows.total == np.frombuffer(data[start : start + 12_000], ">u4").sum(dtype=np.uint64)
    assert ones_complement_sum(data, hdu.start, hdu.end, rows) == ones_complement_sum(data[hdu.start : hdu.end])
    assert ones_complement_sum(data, hdu.start, hdu.end, rows._replace(total=rows.total - 1)) != 0xFFFFFFFF


def test_columns_that_are_wanted_narrow_come_as_float32():
    wide = np.array([np.nan, np.inf, -1e-50, 1 / 3, 3.4e38])
    data = written([fits.Column("a", "D", array=wide), fits.Column("b", "K", array=np.arange(5) << 40)])
    table = Table(data, split(data)[1])
    columns, _ = table.gathered(("B", "A"), frozenset({"A", "B"}))
    assert {name: values.dtype for name, values in columns.items()} == {"B": np.int64, "A": np.float32}
    assert columns["A"].tobytes() == wide.astype(np.float32).tobytes()
    assert columns["B"].tolist() == [i << 40 for i in range(5)]


def test_a_number_that_float32_cannot_hold_is_not_narrowed():
    data = written([fits.Column("a", "D", array=np.array([1.0, 3.5e38]))])
    assert Table(data, split(data)[1]).gathered(("A",), frozenset({"A"})) is None


def test_only_what_is_wanted_is_read():
    data = written([fits.Column("a", "D", array=np.arange(4.0)), fits.Column("b", "J", array=np.arange(4))])
    table = Table(data, split(data)[1])
    assert {name: values.tolist() for name, values in table.columns(["B"]).items()} == {"B": [0, 1, 2, 3]}
    with pytest.raises(ProductCorrupt, match="no column C, it has A, B"):
        table.columns(["A", "C"])


def test_scaled_columns_are_read_by_astropy():
    values = np.array([0, 1, 40000, 65535], np.uint16)  # FITS keeps unsigned integers with TZERO = 32768
    data = written([fits.Column("a", "I", bzero=32768, array=values)])
    table = Table(data, split(data)[1])
    assert table.dtype is None
    np.testing.assert_array_equal(table.columns(["A"])["A"], values)


def test_a_column_format_that_does_not_exist_is_corrupt():
    data = written([fits.Column("a", "D", array=np.arange(4.0)), fits.Column("b", "D", array=np.arange(4.0))])
    damaged = data.replace(b"TFORM2  = 'D", b"TFORM2  = '?")
    table = Table(damaged, split(damaged)[1])
    with pytest.raises(ProductCorrupt, match="table of HDU 1 cannot be read"):
        table.columns(["A"])


def test_columns_need_names_of_their_own():
    data = written([fits.Column("a", "D", array=np.arange(4.0)), fits.Column("b", "D", array=np.arange(4.0))])
    damaged = data.replace(b"'b       '", b"'A       '")
    with pytest.raises(ProductCorrupt, match="names of their own"):
        Table(damaged, split(damaged)[1]).columns(["A"])


def written(columns) -> bytes:
    buffer = io.BytesIO()
    fits.HDUList([fits.PrimaryHDU(), fits.BinTableHDU.from_columns(columns)]).writeto(buffer)
    return buffer.getvalue()

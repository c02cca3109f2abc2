import io

import numpy as np
import pytest
from astropy.io import fits

from larun.archive.fits import Header, Table, data_size, ones_complement_sum, split, verify_checksums
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


def test_tables_of_every_plain_format_are_read_in_place():
    values = {"D": "f8", "E": "f4", "K": "i8", "J": "i4", "I": "i2", "B": "u1"}
    columns = [fits.Column(f"c{kind}", kind, array=np.arange(9).astype(dtype)) for kind, dtype in values.items()]
    data = written(columns)
    table = Table(data, split(data)[1])
    assert table.dtype is not None
    for kind, dtype in values.items():
        column = table.column(f"C{kind}")
        assert not column.flags.owndata
        np.testing.assert_array_equal(column, np.arange(9).astype(dtype))


def test_scaled_columns_are_read_by_astropy():
    values = np.array([0, 1, 40000, 65535], np.uint16)  # FITS keeps unsigned integers with TZERO = 32768
    data = written([fits.Column("a", "I", bzero=32768, array=values)])
    table = Table(data, split(data)[1])
    assert table.dtype is None
    np.testing.assert_array_equal(table.column("A"), values)


def test_a_column_format_that_does_not_exist_is_corrupt():
    data = written([fits.Column("a", "D", array=np.arange(4.0)), fits.Column("b", "D", array=np.arange(4.0))])
    damaged = data.replace(b"TFORM2  = 'D", b"TFORM2  = '?")
    table = Table(damaged, split(damaged)[1])
    with pytest.raises(ProductCorrupt, match="table of HDU 1 cannot be read"):
        table.column("A")


def test_columns_need_names_of_their_own():
    data = written([fits.Column("a", "D", array=np.arange(4.0)), fits.Column("b", "D", array=np.arange(4.0))])
    damaged = data.replace(b"'b       '", b"'A       '")
    with pytest.raises(ProductCorrupt, match="names of their own"):
        Table(damaged, split(damaged)[1]).column("A")


def written(columns) -> bytes:
    buffer = io.BytesIO()
    fits.HDUList([fits.PrimaryHDU(), fits.BinTableHDU.from_columns(columns)]).writeto(buffer)
    return buffer.getvalue()

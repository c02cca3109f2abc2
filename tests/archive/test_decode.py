import dataclasses
import io
import re

import numpy as np
import pytest
from astropy.io import fits

from larun.archive.decode import decode, increasing, verify
from larun.errors import ProductCorrupt
from larun.paths import Product

PRODUCT = Product("tess", 1, "spoc", 120)


def test_values_and_header_of_a_product(spoc):
    time = 1325 + np.arange(300) / 720
    time[[0, 5]] = np.nan
    curve = decode(spoc(columns={"TIME": time, "TIMECORR": np.where(np.isnan(time), 0, 0.002)}), "a.fits")
    assert (curve.mission, curve.sector, curve.author, curve.cadence_s) == ("tess", 1, "spoc", 120.0)
    assert (curve.time_format, curve.flux_unit, curve.source, curve.simulated) == (
        "btjd",
        "electron/s",
        "a.fits",
        False,
    )
    star = curve.star
    assert (star.target_id, star.ra, star.dec, star.tmag, star.camera, star.ccd) == (1234, 12.5, -33.25, 9.5, 2, 3)
    assert (star.teff, star.radius) == (5800.0, 1.1)
    assert np.isnan(star.logg)
    np.testing.assert_array_equal(curve.time, time)
    np.testing.assert_array_equal(curve.flux, (1000 + np.sin(np.arange(300))).astype(np.float32))
    np.testing.assert_array_equal(np.flatnonzero(curve.quality), [7])
    np.testing.assert_array_equal(np.flatnonzero(np.isnan(curve.time_correction)), [0, 5])
    np.testing.assert_array_equal(curve.cadence_no, 70444 + np.arange(300))
    for field in dataclasses.fields(curve):
        value = getattr(curve, field.name)
        if isinstance(value, np.ndarray):
            assert value.dtype.isnative
            assert value.flags.writeable


def test_simulated_data_say_so(spoc):
    curve = decode(spoc(header={"SIMDATA": True}))
    assert (curve.author, curve.simulated) == ("simulated", True)
    verify(curve, Product("tess", 1, "simulated", 120), 1234)


def test_full_frame_cadence_makes_it_tess_spoc(spoc):
    assert decode(spoc(cadence_s=1800)).author == "tess-spoc"
    assert decode(spoc(cadence_s=20)).cadence_s == 20.0


def test_all_nan_flux_is_sound(spoc):
    curve = decode(spoc(columns={"PDCSAP_FLUX": np.full(300, np.nan)}))
    assert np.isnan(curve.flux).all()
    verify(curve, PRODUCT, 1234)


@pytest.mark.parametrize("left", [1, 79, 80, 2879, 2880, 5000, -2881, -2880, -100, -1])
def test_truncation_at_any_length_is_seen(spoc, left):
    with pytest.raises(ProductCorrupt, match=r"x.fits: .*(truncated|not FITS)"):
        decode(spoc()[:left], "x.fits")


def test_truncation_at_every_block_is_seen_without_checksums(spoc):
    data = spoc(checksum=False)
    for end in range(2880, len(data), 2880):
        with pytest.raises(ProductCorrupt, match="truncated"):
            decode(data[:end])


@pytest.mark.parametrize("added", [b"\0", b" " * 2880, b"garbage" * 1000])
def test_trailing_bytes_are_seen(spoc, added):
    with pytest.raises(ProductCorrupt, match=f"{len(added)} bytes follow HDU 2"):
        decode(spoc() + added)


def test_a_flipped_bit_anywhere_is_seen(spoc):
    data = spoc(n=100)
    generator = np.random.default_rng(1)
    places = np.concatenate([generator.integers(0, len(data), 1500), [0, 79, 80, 2879, 2880, len(data) - 1]])
    for place in places:
        damaged = bytearray(data)
        damaged[place] ^= 1 << int(generator.integers(8))
        with pytest.raises(ProductCorrupt):
            decode(bytes(damaged))


def test_a_flipped_bit_in_every_card_that_decides_the_structure_is_seen(spoc):
    data = spoc(n=100)
    keys = ("SIMPLE", "BITPIX", "NAXIS", "NAXIS1", "NAXIS2", "PCOUNT", "GCOUNT", "TFIELDS", "XTENSION", "CHECKSUM",
            "DATASUM", "TTYPE8", "TFORM8", "TICID", "SECTOR", "NEXTEND", "END")  # fmt: skip
    for key in keys:
        for found in re.finditer(key.ljust(8).encode(), data):
            for place in range(found.start(), found.start() + 32):
                for bit in range(8):
                    damaged = bytearray(data)
                    damaged[place] ^= 1 << bit
                    with pytest.raises(ProductCorrupt):
                        decode(bytes(damaged))


def test_flipped_bits_in_real_products_are_seen(real_data):
    generator = np.random.default_rng(2)
    names = ("tess2018206045859-s0001-0000000038846515-0120-s_lc.fits", "kplr011442793-2010009091648_llc.fits",
             "hlsp_tasoc_tess_ffi_tic00261136679-s0001-cam4-ccd2-c1800_tess_v05_ens-lc.fits",
             "hlsp_gsfc-eleanor-lite_tess_ffi_s0001-0000000261136679_tess_v1.0_lc.fits")  # fmt: skip
    for name in names:
        data = bytearray((real_data / "fits" / name).read_bytes())
        for place in generator.integers(0, len(data), 60):
            data[place] ^= 4
            with pytest.raises(ProductCorrupt):
                decode(bytes(data), name)
            data[place] ^= 4
        decode(bytes(data), name)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "y.fits: the file is empty"),
        (b"<!DOCTYPE html><html>503</html>", "HTML page, not FITS"),
        (b"\n <HTML><body>maintenance</body>", "HTML page, not FITS"),
        (b"GIF89a" + b"\0" * 3000, "not FITS: it starts with b'GIF89a"),
        (b"SIMPLE  =" + b" " * 6000, "not FITS|no END"),
    ],
)
def test_what_is_no_fits(data, message):
    with pytest.raises(ProductCorrupt, match=message):
        decode(data, "y.fits")


def test_fits_of_unknown_origin_names_the_known_kinds(spoc):
    with pytest.raises(ProductCorrupt, match=r"knows \(spoc, tess-spoc, qlp, .*'HUBBLE'"):
        decode(spoc(header={"TELESCOP": "HUBBLE"}))


def test_a_file_without_a_table_is_refused():
    buffer = io.BytesIO()
    fits.HDUList([fits.PrimaryHDU(np.zeros((4, 4), np.int16))]).writeto(buffer)
    with pytest.raises(ProductCorrupt, match="sound FITS, but no light curve"):
        decode(buffer.getvalue())


def test_a_product_without_its_flux_column_names_those_it_has(spoc):
    data = spoc(checksum=False).replace(b"'PDCSAP_FLUX'", b"'PDCSAP_FLIX'")
    with pytest.raises(ProductCorrupt, match=r"no column PDCSAP_FLUX, it has TIME, .*PDCSAP_FLIX"):
        decode(data)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        (b"BJDREFI =              2457000", b"BJDREFI =              2454833", "counted from BJD 2457000"),
        (b"TIMEDEL =", b"TIMEDEX =", "TIMEDEL"),
        (b"TICID   =                 1234", b"TICID   =                 12.5", "TICID must be an integer"),
        (b"TICID   =                 1234", b"TICID   =                 1O34", "does not follow the FITS standard"),
        (b"TICID   = ", b"TICIX   = ", "TICID must be an integer, it is None"),
        (b"SECTOR  =", b"SECTOX  =", "SECTOR must be an integer"),
        (b"NAXIS2  =                  300", b"NAXIS2  =                 -300", "impossible sizes"),
    ],
)
def test_headers_that_cannot_be_used(spoc, old, new, message):
    data = spoc(checksum=False)
    assert old in data
    with pytest.raises(ProductCorrupt, match=message):
        decode(data.replace(old, new))


def test_a_table_without_rows_is_corrupt(spoc):
    with pytest.raises(ProductCorrupt, match="no cadences"):
        decode(spoc(n=0))


@pytest.mark.parametrize("card", [b"NAXIS2  =", b"BITPIX  =", b"GCOUNT  =", b"NAXIS   =", b"TFORM1  =", b"TTYPE1  ="])
def test_headers_that_lie_about_the_table_are_damage(spoc, card):
    """What is read before the checksums are verified stays within the file, whatever its header says."""
    data = spoc()
    place = data.index(card, data.index(b"XTENSION= 'BINTABLE'"))
    for said in (b"0", b"1", b"-8", b"999999999", b"'1K'", b"'TIME'", b"'QUALITY'"):
        damaged = data[: place + 10] + said.rjust(20) + data[place + 30 :]
        if damaged != data:
            with pytest.raises(ProductCorrupt):
                decode(damaged)


def test_missing_checksum_of_one_hdu_is_damage(spoc):
    data = spoc()
    place = data.rindex(b"CHECKSUM=")
    damaged = data[:place] + b"CHECKSUN=" + data[place + 9 :]
    with pytest.raises(ProductCorrupt, match=r"HDU 2 \(APERTURE\) carries no CHECKSUM and the others do"):
        decode(damaged)


def test_a_data_sum_alone_is_verified(spoc):
    data = spoc().replace(b"CHECKSUM=", b"CHECKSUX=")
    decode(data)
    place = len(data) // 2
    damaged = data[:place] + bytes([data[place] ^ 16]) + data[place + 1 :]
    with pytest.raises(ProductCorrupt, match=r"data sum of HDU 1 \(LIGHTCURVE\) is wrong"):
        decode(damaged)


def test_scaled_and_vector_columns_are_read_through_astropy(spoc):
    vector = fits.Column("VECTOR", "3E", array=np.ones((300, 3), np.float32))
    plain, odd = decode(spoc()), decode(spoc(extra=[vector]))
    for field in dataclasses.fields(plain):
        value = getattr(plain, field.name)
        if isinstance(value, np.ndarray):
            np.testing.assert_array_equal(value, getattr(odd, field.name))


def test_verify_accepts_what_was_asked_for(spoc):
    verify(decode(spoc()), PRODUCT, 1234)


@pytest.mark.parametrize(
    ("product", "star", "message"),
    [
        (PRODUCT, 99, "TIC 99 was expected and 1234 came"),
        (Product("tess", 2, "spoc", 120), 1234, "sector 2 was expected and 1 came"),
        (Product("tess", 1, "spoc", 20), 1234, "cadence_s 20 was expected and 120 came"),
        (Product("tess", 1, "qlp", 120), 1234, "author qlp was expected and spoc came"),
        (Product("k2", 1, "spoc", 120), 1234, "mission k2 was expected and tess came"),
    ],
)
def test_verify_refuses_another_product(spoc, product, star, message):
    with pytest.raises(ProductCorrupt, match=message):
        verify(decode(spoc(), "z.fits"), product, star)


def test_verify_names_every_difference(spoc):
    with pytest.raises(ProductCorrupt, match=r"z.fits is another product: TIC 5 .*; sector 3 "):
        verify(decode(spoc(), "z.fits"), Product("tess", 3, "spoc", 120), 5)


def test_verify_refuses_duplicate_cadence_numbers(spoc):
    numbers = np.arange(300)
    numbers[[10, 20]] = 9, 19
    with pytest.raises(ProductCorrupt, match="2 cadence numbers occur more than once, the first is 9"):
        verify(decode(spoc(columns={"CADENCENO": numbers})), PRODUCT, 1234)


@pytest.mark.parametrize(
    ("column", "kind", "values"),
    [("MOM_CENTR1", "D", 1e300), ("CADENCENO", "E", np.nan), ("CADENCENO", "K", 2**40), ("QUALITY", "E", 0.5)],
)
def test_a_value_that_the_kept_type_cannot_hold_is_damage_and_warns_of_nothing(spoc, column, kind, values):
    with fits.open(io.BytesIO(spoc(n=50))) as hdus:
        names = hdus[1].columns.names
        made = [
            fits.Column(name, kind, array=np.full(50, values))
            if name == column
            else fits.Column(name, hdus[1].columns[name].format, array=np.array(hdus[1].data[name]))
            for name in names
        ]
        table = fits.BinTableHDU.from_columns(made, name="LIGHTCURVE")
        for key in ("BJDREFI", "BJDREFF", "TIMEDEL", "TIMEUNIT"):
            table.header[key] = hdus[1].header[key]
        buffer = io.BytesIO()
        fits.HDUList([hdus[0], table, hdus[2]]).writeto(buffer, checksum=True)
    with pytest.raises(ProductCorrupt, match=f"column {column} holds .* cannot hold"):
        decode(buffer.getvalue())


@pytest.mark.parametrize(
    ("numbers", "expected"),
    [([], True), ([7], True), ([1, 2, 9], True), ([1, 1, 2], False), ([3, 1, 2], False), ([1, 2, 2], False)],
)
def test_numbers_that_increase(numbers, expected):
    assert increasing(np.array(numbers, np.int32)) == expected

import datetime as dt
import io
import warnings

import numpy as np
import pytest

from larun.simulate import layout
from larun.simulate.fits import aperture_mask, encode_checksum, file_name, ones_complement_sum, utc

KEYWORDS_OF_DETECTOR = "TMOFST"


@pytest.fixture(scope="module")
def product(full):
    """Bytes of one star's file."""
    return full.fits(full.stars[4].target_id)


def test_utc_of_a_mission_header():
    """TSTART and DATE-OBS of a file of sector 1."""
    expected = dt.datetime(2018, 7, 25, 19, 3, 28, 215_000, tzinfo=dt.UTC)
    assert abs(utc(1325.294877306360) - expected) < dt.timedelta(milliseconds=1)


def test_file_name_is_that_of_the_mission():
    assert file_name(9_001_000_007, 1, 1325.294877306360) == "tess2018206190328-s0001-0000009001000007-0120-s_lc.fits"


def test_checksum_of_every_hdu(product):
    """The ones-complement sum over each HDU is all ones; astropy works out the same characters."""
    from astropy.io import fits

    with fits.open(io.BytesIO(product)) as hdus:
        for hdu in hdus:
            place = hdu.fileinfo()
            words = np.frombuffer(product[place["hdrLoc"] : place["datLoc"] + place["datSpan"]], ">u4").tolist()
            total = sum(words)
            while total >> 32:
                total = (total & 0xFFFFFFFF) + (total >> 32)
            assert total == 0xFFFFFFFF
            data_sum = hdu._calculate_datasum() if hdu.data is not None else 0
            assert hdu._calculate_checksum(data_sum) == hdu.header["CHECKSUM"]
        assert hdus[0].verify_checksum() == 1


@pytest.mark.parametrize("total", [0, 1, 0xFFFFFFFF, 0x12345678, 0xC2C2C2C2, 0x868229149])
def test_encoded_checksum_complements_the_sum(total):
    total &= 0xFFFFFFFF
    text = encode_checksum(total)
    assert text.isalnum()
    rotated = text[1:] + text[:1]
    zeros = ones_complement_sum(np.frombuffer(b"0" * 16, ">u4"))
    filled = ones_complement_sum(np.frombuffer(rotated, ">u4"))
    assert (total - zeros + filled) % 0xFFFFFFFF == 0


def test_lightkurve_reads_the_light_curve(full, product, tmp_path):
    star = full.stars[4]
    path = tmp_path / full.file_name(star.target_id)
    path.write_bytes(product)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import lightkurve

        read = lightkurve.read(path, quality_bitmask="none")
    assert type(read) is lightkurve.TessLightCurve
    curve = full.light_curve(star.target_id)
    kept = np.isfinite(curve.time)
    assert read.meta["SIMDATA"] is True
    assert read.meta["ORIGIN"] == "larun simulation"
    assert "SIMULATED" in read.meta["OBJECT"]
    assert read.targetid == star.target_id
    assert (read.time.format, read.time.scale) == ("btjd", "tdb")
    for name, ours in (
        ("flux", curve.flux), ("flux_err", curve.flux_err), ("sap_bkg", curve.background),
        ("quality", curve.quality), ("cadenceno", curve.cadence_no), ("timecorr", curve.time_correction),
    ):  # fmt: skip
        values = getattr(read[name], "value", read[name])
        np.testing.assert_array_equal(np.ma.filled(np.ma.asarray(values), np.nan), ours[kept], err_msg=name)
    np.testing.assert_array_equal(read.time.value, curve.time[kept])
    np.testing.assert_allclose(read["centroid_col"].value, curve.centroid_col[kept], rtol=1e-6)


def test_layout_is_that_of_the_mission(full, product, real_data):
    from astropy.io import fits

    path = real_data / "fits" / "tess2018206045859-s0001-0000000261136679-0120-s_lc.fits"
    assert len(product) == path.stat().st_size == 2_039_040
    with fits.open(io.BytesIO(product)) as ours, fits.open(path) as theirs:
        for mine, real in zip(ours, theirs, strict=True):
            pairs = list(zip(mine.header, real.header, strict=True))
            assert all(a == b or (a.startswith(b[:6]) and b.startswith(KEYWORDS_OF_DETECTOR)) for a, b in pairs)
        columns, real_columns = ours[1].columns, theirs[1].columns
        for attribute in ("names", "formats", "units", "disps", "nulls"):
            assert getattr(columns, attribute) == getattr(real_columns, attribute)
        assert columns.dtype == real_columns.dtype
        assert ours[2].data.dtype == theirs[2].data.dtype
        assert ours[0].header["SIMDATA"] is True
        assert theirs[0].header["SIMDATA"] is False


def test_header_holds_the_star_exactly(full, product):
    from astropy.io import fits

    star = full.stars[4]
    with fits.open(io.BytesIO(product)) as hdus:
        header = hdus[0].header
        assert (header["TICID"], header["SECTOR"]) == (star.target_id, 1)
        assert (header["RA_OBJ"], header["DEC_OBJ"], header["TESSMAG"]) == (star.ra, star.dec, star.tmag)
        assert (header["TEFF"], header["LOGG"], header["RADIUS"]) == (star.teff, star.logg, star.radius)
        assert (header["CAMERA"], header["CCD"]) == (star.camera, star.ccd)
        assert f"TMOFST{star.camera}{star.ccd}" in hdus[1].header
        assert hdus[1].header["TSTOP"] - hdus[1].header["TSTART"] == pytest.approx(27.883, abs=0.01)
        assert hdus[2].header["NPIXSAP"] == ((hdus[2].data & 2) > 0).sum()
        assert all(hdu.header["SIMDATA"] for hdu in hdus)


@pytest.mark.parametrize("tmag", [5.0, 6.5, 10.0, 15.0])
def test_aperture_is_connected_and_inside(tmag):
    mask = aperture_mask(tmag)
    inside = (mask & 2) > 0
    assert mask.shape[1] == 11
    assert inside.sum() >= 3
    assert not np.any(inside & ((mask & 4) > 0))
    assert inside[mask.shape[0] // 2, 5]


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (True, "                   T"),
        (42, "                  42"),
        (27.0, "                27.0"),
        (1.16e-05, "            1.16E-05"),
        ("TESS", "'TESS    '          "),
        (layout.UNDEFINED, "                    "),
    ],
)
def test_cards_are_in_fixed_format(value, text):
    card = layout.card("KEY", value, "what it is")
    assert card == f"KEY     = {text} / what it is".ljust(80)


def test_a_missing_header_value_is_an_error():
    with pytest.raises(KeyError):
        layout.header(layout.PRIMARY, {})

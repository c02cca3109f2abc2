import logging

import numpy as np
import pytest

from larun.archive.files import read
from larun.errors import InputError, ProductCorrupt


def written(tmp_path, text, name="curve.csv"):
    path = tmp_path / name
    path.write_text(text, encoding="utf-8")
    return path


def test_csv_columns_in_any_order_and_case_with_comments(tmp_path):
    path = written(
        tmp_path,
        "# made by hand\n\nQuality , FLUX_ERR,Time,extra,flux\n"
        "0,2,1500.0,a,200\n# between\n4,2,1500.5,b,\n0,nan,1501.0,c,100\n",
    )
    curve = read(path)
    np.testing.assert_array_equal(curve.time, [1500.0, 1500.5, 1501.0])
    np.testing.assert_array_equal(curve.flux, np.float32([200 / 150, np.nan, 100 / 150]))
    np.testing.assert_array_equal(curve.flux_err, np.float32([2 / 150, 2 / 150, np.nan]))
    np.testing.assert_array_equal(curve.quality, [0, 4, 0])
    np.testing.assert_array_equal(curve.cadence_no, [0, 1, 2])
    assert (curve.author, curve.mission, curve.sector, curve.star.target_id) == ("csv", "", -1, -1)
    assert (curve.flux_unit, curve.time_format, curve.cadence_s, curve.source) == (
        "relative", "btjd", 43200.0, str(path)
    )  # fmt: skip
    assert np.isnan(curve.time_correction).all()


def test_optional_columns_may_be_absent(tmp_path):
    curve = read(written(tmp_path, "time,flux\n1,1\n2,1\n"))
    assert np.isnan(curve.flux_err).all()
    np.testing.assert_array_equal(curve.quality, [0, 0])


def test_a_byte_order_mark_and_a_name_that_says_nothing_are_no_hindrance(tmp_path):
    path = tmp_path / "curve"
    path.write_bytes(b"\xef\xbb\xbftime,flux\r\n1,1\r\n2,1\r\n")
    assert len(read(path)) == 2


def test_whole_julian_dates_become_btjd(tmp_path, caplog):
    with caplog.at_level(logging.INFO, logger="larun"):
        curve = read(written(tmp_path, "time,flux\n2458325.25,1\n2458325.5,1\n2458325.75,1\n"))
    np.testing.assert_array_equal(curve.time, [1325.25, 1325.5, 1325.75])
    assert curve.cadence_s == 21600.0
    assert "BTJD" in caplog.text


def test_cadence_is_the_median_step_of_unsorted_times(tmp_path):
    time = np.arange(100) / 720
    time = np.delete(time, np.arange(40, 60))
    np.random.default_rng(0).shuffle(time)
    np.savez(tmp_path / "a.npz", time=time, flux=np.ones(80))
    assert read(tmp_path / "a.npz").cadence_s == 120.0


def test_npz_like_csv(tmp_path):
    time, flux = 1400 + np.arange(50) / 48, 1e4 + np.arange(50.0)
    np.savez_compressed(tmp_path / "b.npz", TIME=time, flux=flux, quality=np.arange(50, dtype=np.int16), other=["text"])
    curve = read(tmp_path / "b.npz")
    np.testing.assert_array_equal(curve.time, time)
    np.testing.assert_array_equal(curve.flux, (flux / (1e4 + 24.5)).astype(np.float32))
    np.testing.assert_array_equal(curve.quality, np.arange(50))
    assert (curve.author, curve.cadence_s) == ("npz", 1800.0)


def test_flux_without_a_finite_value_is_read(tmp_path):
    curve = read(written(tmp_path, "time,flux\n1,nan\n2,nan\n3,\n"))
    assert np.isnan(curve.flux).all()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "is empty; give FITS, CSV or NPZ"),
        ("# nothing\n\n", "no lines but comments"),
        ("t,flux\n1,1\n", r"has no time among its columns, which are: t, flux"),
        ("a,b\n1,1\n", r"has no time and no flux among its columns, which are: a, b"),
        ("1325.1,1.0\n1325.2,1.0\n", "has no time and no flux"),
        ("# x\ntime,flux\n1,1\n2,bad\n", "line 4, column flux: a number was expected and 'bad' came"),
        ("time,flux\n1,1\n2\n", "line 3: 2 cells were expected and 1 came"),
        ("time,flux\n1,1\n", "holds 1 finite times, at least 2"),
        ("time,flux\n1,1\n1,1\n", "all its times are the same"),
        ("time,flux\n1,-1\n2,1\n3,0\n", "lies around zero"),
        ("time,flux\n1,-5\n2,-5\n3,-5\n", "lies around zero"),
        ("time,flux,quality\n1,1,0\n2,1,0.5\n", "quality must hold whole numbers"),
        ("time,flux,quality\n1,1,0\n2,1,\n", "quality must hold whole numbers"),
    ],
)
def test_csv_that_cannot_be_used(tmp_path, text, message):
    with pytest.raises(InputError, match=message):
        read(written(tmp_path, text))


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({"flux": np.ones(3)}, "has no time among its keys, which are: flux"),
        ({"time": np.arange(3.0), "flux": np.ones(4)}, "of one length, they are: time 3, flux 4"),
        ({"time": np.arange(4.0).reshape(2, 2), "flux": np.ones((2, 2))}, r"key time must be a row of numbers"),
        ({"time": np.arange(2.0), "flux": np.array(["a", "b"])}, r"key flux must be a row of numbers"),
        ({"time": np.arange(2.0), "flux": np.array([None, 1], dtype=object)}, "not a readable NPZ of plain number"),
    ],
)
def test_npz_that_cannot_be_used(tmp_path, arrays, message):
    np.savez(tmp_path / "c.npz", **arrays)
    with pytest.raises(InputError, match=message):
        read(tmp_path / "c.npz")


def test_damaged_npz(tmp_path):
    np.savez(tmp_path / "d.npz", time=np.arange(300.0), flux=np.ones(300))
    data = (tmp_path / "d.npz").read_bytes()
    for damaged in (data[:1000], data[:700] + b"\1" + data[701:]):
        (tmp_path / "e.npz").write_bytes(damaged)
        with pytest.raises(InputError, match="not a readable NPZ"):
            read(tmp_path / "e.npz")


def test_binary_of_another_kind(tmp_path):
    (tmp_path / "f.csv").write_bytes(b"\x89PNG\r\n\x1a\n\xff\xfe" + bytes(range(256)))
    with pytest.raises(InputError, match="neither FITS, NPZ nor text"):
        read(tmp_path / "f.csv")


def test_missing_file_and_folder(tmp_path):
    with pytest.raises(InputError, match=r"there is no file .*nowhere"):
        read(tmp_path / "nowhere.fits")
    with pytest.raises(InputError, match=r"is a folder; .*--archive folder:"):
        read(tmp_path)


def test_a_file_that_may_not_be_read(tmp_path, monkeypatch):
    def refuse(self):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("pathlib.Path.read_bytes", refuse)
    with pytest.raises(InputError, match=r"cannot read .*: Permission denied"):
        read(tmp_path / "secret.fits")


def test_fits_is_read_by_content_whatever_its_name(tmp_path, spoc):
    (tmp_path / "odd.txt").write_bytes(spoc())
    curve = read(tmp_path / "odd.txt")
    assert (curve.star.target_id, curve.source) == (1234, str(tmp_path / "odd.txt"))


@pytest.mark.parametrize(
    ("data", "message"), [(b"", "is empty"), (b"<html>no</html>", "HTML page"), (b"time,flux\n1,2\n", "not FITS")]
)
def test_what_is_named_fits_must_be_fits(tmp_path, data, message):
    (tmp_path / "g.fits").write_bytes(data)
    with pytest.raises(ProductCorrupt, match=f"g.fits: .*{message}"):
        read(tmp_path / "g.fits")


def test_a_missing_time_written_as_zero_does_not_make_a_light_curve_of_millennia(tmp_path):
    time = 2458325 + np.arange(200) / 48
    time[3] = 0
    np.savez(tmp_path / "a.npz", time=time, flux=np.ones(200))
    with pytest.raises(InputError, match=r"from -2457000 to 1329\.1.*more than a century"):
        read(tmp_path / "a.npz")


def test_a_flux_too_large_for_float32_is_missing(tmp_path):
    np.savez(tmp_path / "a.npz", time=np.arange(4.0), flux=[1.0, 1e300, 1.0, 1.0], flux_err=[0.1, 0.1, -1e300, 0.1])
    curve = read(tmp_path / "a.npz")
    np.testing.assert_array_equal(curve.flux, np.float32([1, np.nan, 1, 1]))
    np.testing.assert_array_equal(curve.flux_err, np.float32([0.1, 0.1, np.nan, 0.1]))

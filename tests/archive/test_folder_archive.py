import logging
import pickle

import numpy as np
import pytest

from larun.archive.decode import decode, verify
from larun.archive.folder import FolderArchive
from larun.archive.protocol import Archive
from larun.errors import InputError, ProductAbsent, ProductCorrupt, ProductUnreachable
from larun.lightcurve import Star
from larun.paths import Product
from larun.plan import PlannedTarget

PRODUCT = Product("tess", 1, "spoc", 120)
ALL_KINDS = {
    "k2/c03/k2-1765s": 1, "k2/c04/k2-1765s": 2, "k2/c04/k2sc-1765s": 1, "kepler/q02/kepler-1765s": 2,
    "kepler/q03/kepler-1765s": 2, "kepler/q04/kepler-1765s": 1, "kepler/q05/kepler-1765s": 2,
    "tess/s0001/eleanor-lite-1800s": 1, "tess/s0001/spoc-120s": 10, "tess/s0001/tasoc-1800s": 1,
    "tess/s0001/tess-spoc-1800s": 2, "tess/s0002/qlp-1800s": 1, "tess/s0002/spoc-120s": 1,
    "tess/s0002/tess-spoc-1800s": 1, "tess/s0003/tess-spoc-1800s": 1, "tess/s0011/spoc-120s": 1,
    "tess/s0012/spoc-120s": 1, "tess/s0012/tess-spoc-1800s": 1, "tess/s0013/spoc-120s": 1,
    "tess/s0024/spoc-120s": 1, "tess/s0039/spoc-120s": 1, "tess/s0039/tess-spoc-600s": 1,
    "tess/s0052/spoc-120s": 1, "tess/s0069/tess-spoc-200s": 1, "tess/s0090/spoc-120s": 1,
}  # fmt: skip
"""By the file names of the shared data."""


def name(tic, sector=1, kind="s_lc"):
    return f"tess2018206045859-s{sector:04d}-{tic:016d}-0120-{kind}.fits"


def ids(archive, product=PRODUCT):
    return {target.star.target_id: target.product for target in archive.targets(product)}


def test_every_real_product_is_found_fetched_and_verified(real_data):
    archive = FolderArchive(str(real_data / "fits"))
    assert {str(product): count for product, count in archive.products().items()} == ALL_KINDS
    for product, count in archive.products().items():
        targets = archive.targets(product)
        assert len(targets) == count
        for target in targets:
            fetched = archive.fetch(product, target)
            curve = decode(fetched.data, fetched.source)
            verify(curve, product, target.star.target_id)
            np.testing.assert_equal(
                [getattr(target.star, field) for field in Star.__slots__],
                [getattr(curve.star, field) for field in Star.__slots__],
            )


def test_it_is_an_archive_and_travels_without_its_list(tmp_path, spoc):
    (tmp_path / name(7)).write_bytes(spoc(tic=7))
    archive = FolderArchive(str(tmp_path))
    assert isinstance(archive, Archive)
    assert archive.name == "folder"
    archive.targets(PRODUCT)
    copy = pickle.loads(pickle.dumps(archive))
    assert repr(copy) == repr(archive) == f"FolderArchive({str(tmp_path)!r})"
    assert len(pickle.dumps(archive)) < 400
    assert ids(copy) == {7: name(7)}


def test_relative_paths_are_resolved_at_once(tmp_path, spoc, monkeypatch):
    (tmp_path / name(7)).write_bytes(spoc(tic=7))
    monkeypatch.chdir(tmp_path)
    archive = FolderArchive(".")
    monkeypatch.chdir("/")
    assert ids(archive) == {7: name(7)}


def test_products_at_any_depth_and_of_any_name(tmp_path, spoc):
    (tmp_path / "a" / "b").mkdir(parents=True)
    (tmp_path / "a" / "b" / name(1)).write_bytes(spoc(tic=1))
    (tmp_path / "renamed.FITS").write_bytes(spoc(tic=2))
    (tmp_path / ".hidden.fits").write_bytes(spoc(tic=3))
    (tmp_path / "notes.txt").write_text("not looked at")
    archive = FolderArchive(str(tmp_path))
    assert ids(archive) == {1: f"a/b/{name(1)}", 2: "renamed.FITS"}
    target = next(target for target in archive.targets(PRODUCT) if target.star.target_id == 1)
    assert decode(archive.fetch(PRODUCT, target).data).star.target_id == 1


def test_sectors_and_cadences_are_products_of_their_own(tmp_path, spoc):
    (tmp_path / name(1)).write_bytes(spoc(tic=1))
    (tmp_path / name(1, sector=2)).write_bytes(spoc(tic=1, sector=2))
    (tmp_path / name(1, kind="a_fast-lc")).write_bytes(spoc(tic=1, cadence_s=20))
    (tmp_path / "hlsp_tess-spoc_tess_phot_0000000000000001-s0001_tess_v1_lc.fits").write_bytes(
        spoc(tic=1, cadence_s=1800)
    )
    assert [str(product) for product in FolderArchive(str(tmp_path)).products()] == [
        "tess/s0001/spoc-20s", "tess/s0001/spoc-120s", "tess/s0001/tess-spoc-1800s", "tess/s0002/spoc-120s",
    ]  # fmt: skip


DAMAGE = {
    "empty": lambda data: b"",
    "one byte": lambda data: data[:1],
    "in the primary header": lambda data: data[:1000],
    "in the table header": lambda data: data[:6000],
    "in the data": lambda data: data[:-5000],
    "html": lambda data: b"<html><body>503</body></html>",
    "text": lambda data: b"not FITS at all",
    "a bit of the TIC": lambda data: data.replace(b"TICID   =                   11", b"TICID   =                   13"),
    "a bit of the sector": lambda data: data.replace(
        b"SECTOR  =                    1", b"SECTOR  =                    3"
    ),
    "a bit of the cadence": lambda data: data.replace(b"TIMEDEL = 0.0013", b"TIMEDEL = 0.0053"),
    "a bit of the telescope": lambda data: data.replace(b"'TESS    '", b"'VESS    '"),
    "a keyword": lambda data: data.replace(b"NAXIS   =", b"NAXIR   ="),
}


@pytest.mark.parametrize("damage", DAMAGE)
def test_a_damaged_product_stays_a_target_and_is_found_corrupt(tmp_path, spoc, damage, caplog):
    good = spoc(tic=11)
    data = DAMAGE[damage](good)
    assert data != good
    (tmp_path / name(11)).write_bytes(data)
    (tmp_path / name(12)).write_bytes(spoc(tic=12))
    with caplog.at_level(logging.WARNING):
        archive = FolderArchive(str(tmp_path))
        assert ids(archive) == {11: name(11), 12: name(12)}
    if damage != "in the data":
        assert name(11) in caplog.text or damage == "a bit of the cadence"
    target = next(target for target in archive.targets(PRODUCT) if target.star.target_id == 11)
    with pytest.raises(ProductCorrupt):
        decode(archive.fetch(PRODUCT, target).data)


def test_a_sound_file_of_another_star_stays_the_target_of_its_name(tmp_path, spoc, caplog):
    (tmp_path / name(11)).write_bytes(spoc(tic=12))
    (tmp_path / name(12)).write_bytes(spoc(tic=12))
    archive = FolderArchive(str(tmp_path))
    assert ids(archive) == {11: name(11), 12: name(12)}
    assert "its name says target 11, its header 12" in caplog.text
    target = next(target for target in archive.targets(PRODUCT) if target.star.target_id == 11)
    assert np.isnan(target.star.ra)
    with pytest.raises(ProductCorrupt, match="TIC 11 was expected and 12 came"):
        verify(decode(archive.fetch(PRODUCT, target).data), PRODUCT, 11)


def test_damage_without_an_official_name_is_left_out_and_logged(tmp_path, spoc, caplog):
    (tmp_path / name(12)).write_bytes(spoc(tic=12))
    (tmp_path / "mystery.fits").write_bytes(b"what is this")
    (tmp_path / "hubble.fits").write_bytes(spoc(header={"TELESCOP": "HST"}))
    (tmp_path / "kplr000000005-2009999999999_llc.fits").write_bytes(b"no quarter either")
    assert ids(FolderArchive(str(tmp_path))) == {12: name(12)}
    for left_out in ("mystery.fits", "hubble.fits", "kplr000000005"):
        assert left_out in caplog.text


def test_full_frame_products_keep_their_cadence_when_the_header_is_damaged(tmp_path, spoc):
    place = "hlsp_tess-spoc_tess_phot_{:016d}-s0001_tess_v1_lc.fits".format
    data = spoc(tic=2, cadence_s=1800)
    (tmp_path / place(1)).write_bytes(spoc(tic=1, cadence_s=1800))
    (tmp_path / place(2)).write_bytes(data.replace(b"TIMEDEL = 0.02", b"TIMEDEL = 0.03"))
    (tmp_path / place(3)).write_bytes(b"")
    assert set(ids(FolderArchive(str(tmp_path)), Product("tess", 1, "tess-spoc", 1800))) == {1, 2, 3}


def test_the_later_of_two_files_of_one_target_is_taken(tmp_path, spoc, caplog):
    for folder in ("first", "second"):
        (tmp_path / folder).mkdir()
    older, newer = name(5), name(5).replace("2018206045859", "2021206045859")
    (tmp_path / "second" / older).write_bytes(spoc(tic=5))
    (tmp_path / "first" / newer).write_bytes(spoc(tic=5))
    assert ids(FolderArchive(str(tmp_path))) == {5: f"first/{newer}"}
    assert f"first/{newer} is taken, second/{older} is not" in caplog.text


def test_simulated_products_are_a_kind_of_their_own(tmp_path, spoc):
    for tic in (1, 2):
        (tmp_path / name(tic)).write_bytes(spoc(tic=tic, header={"SIMDATA": True}))
    (tmp_path / name(3)).write_bytes(b"")
    archive = FolderArchive(str(tmp_path))
    assert {str(product): count for product, count in archive.products().items()} == {"tess/s0001/simulated-120s": 3}


def test_a_damaged_observed_product_beside_simulated_ones_stays_observed(tmp_path, spoc):
    (tmp_path / name(1)).write_bytes(spoc(tic=1, header={"SIMDATA": True}))
    (tmp_path / name(2)).write_bytes(spoc(tic=2))
    (tmp_path / name(3)).write_bytes(b"")
    archive = FolderArchive(str(tmp_path))
    assert {str(product): count for product, count in archive.products().items()} == {
        "tess/s0001/simulated-120s": 1,
        "tess/s0001/spoc-120s": 2,
    }


def test_a_sector_that_is_not_there_names_those_that_are(tmp_path, spoc):
    (tmp_path / name(1)).write_bytes(spoc(tic=1))
    (tmp_path / name(2)).write_bytes(spoc(tic=2))
    with pytest.raises(InputError, match=r"holds no tess/s0099/spoc-120s; it holds tess/s0001/spoc-120s \(2\)$"):
        FolderArchive(str(tmp_path)).targets(Product("tess", 99, "spoc", 120))


def test_a_long_list_of_products_is_cut(tmp_path, spoc):
    for sector in range(1, 43):
        (tmp_path / name(1, sector)).write_bytes(spoc(n=1, sector=sector, tic=1))
    with pytest.raises(InputError, match=r"and 2 more$"):
        FolderArchive(str(tmp_path)).targets(Product("tess", 99, "spoc", 120))


def test_folders_without_products(tmp_path):
    with pytest.raises(InputError, match=r"there is no folder .*nowhere"):
        FolderArchive(str(tmp_path / "nowhere")).targets(PRODUCT)
    with pytest.raises(InputError, match=r"holds no tess/s0001/spoc-120s; it holds no light-curve FITS of a kind"):
        FolderArchive(str(tmp_path)).targets(PRODUCT)
    (tmp_path / "tic123.csv").write_text("time,flux\n1,1\n")
    with pytest.raises(InputError, match=r"it holds 1 CSV or NPZ files, .*larun examine"):
        FolderArchive(str(tmp_path)).targets(PRODUCT)
    with pytest.raises(InputError, match="there is no folder"):
        FolderArchive(str(tmp_path / "tic123.csv")).products()


def test_a_folder_that_may_not_be_listed(tmp_path, monkeypatch):
    def walk(path, onerror):
        onerror(PermissionError(13, "Permission denied", str(path)))
        return iter(())

    monkeypatch.setattr("os.walk", walk)
    with pytest.raises(InputError, match=r"cannot list .*: Permission denied"):
        FolderArchive(str(tmp_path)).targets(PRODUCT)


def test_a_file_that_is_gone_is_absent(tmp_path, spoc):
    (tmp_path / name(1)).write_bytes(spoc(tic=1))
    archive = FolderArchive(str(tmp_path))
    (target,) = archive.targets(PRODUCT)
    (tmp_path / name(1)).unlink()
    with pytest.raises(ProductAbsent, match="TIC 1: there is no file"):
        archive.fetch(PRODUCT, target)


def test_a_file_that_cannot_be_read_is_unreachable(tmp_path):
    (tmp_path / "folder.fits").mkdir()
    with pytest.raises(ProductUnreachable, match=r"cannot read .*folder.fits: Is a directory"):
        FolderArchive(str(tmp_path)).fetch(PRODUCT, PlannedTarget(Star(1), "folder.fits"))


def test_the_scan_reads_headers_only(tmp_path, spoc):
    path = tmp_path / name(1)
    path.write_bytes(spoc(tic=1))
    with path.open("r+b") as file:  # a sparse file that nobody can read within the test's time or memory
        file.truncate(1 << 36)
    assert ids(FolderArchive(str(tmp_path))) == {1: name(1)}
    other = tmp_path / name(2)
    with other.open("wb") as file:
        file.write(b"SIMPLE  = ")
        file.truncate(1 << 36)
    assert ids(FolderArchive(str(tmp_path))) == {1: name(1), 2: name(2)}

"""What a person is told of one file or star, whatever it is."""

import json
import shutil
import time
from dataclasses import replace

import numpy as np
import pytest
from swept_sector import ABSENT, CORRUPT, PLANETS, REJECTED, Judge, flux_columns, ingest, product, settings_of
from swept_sector import write_products as write_small_sector
from tiny_sector import PRODUCT, file_name

from larun.config import load
from larun.errors import InputError
from larun.objects import Root
from larun.paths import Product
from larun.schema import CLASSES
from larun.survey.examine import examine, examine_stitched
from larun.survey.wanted import StarArchives
from tests.loopback import Faults, Library, Loopback

CONTRACT = {
    "file", "target", "n_cadences", "period_d", "t0", "duration_h", "depth_ppm", "snr", "sde", "class",
    "probabilities", "flags", "further", "status", "reason", "time_format",
}  # fmt: skip
JUDGE = Judge(None)
HTML = b"<!DOCTYPE html><html><body>503 Service Unavailable</body></html>"


@pytest.fixture(scope="module")
def settings(tmp_path_factory):
    """Settings whose root holds the small sector."""
    place = tmp_path_factory.mktemp("examined")
    settings = settings_of(str(place / "root"))
    ingest(Root(settings.root), write_small_sector(place / "files"), settings)
    return settings


def one(name, settings):
    """The only answer, checked against the contract."""
    (answer,) = examine(str(name), settings, JUDGE)
    assert set(answer) == CONTRACT
    assert json.loads(json.dumps(answer, allow_nan=False)) == answer
    measured = [answer[key] for key in ("period_d", "t0", "duration_h", "depth_ppm", "snr", "class", "probabilities")]
    if answer["status"] == "searched":
        assert answer["reason"] == ""
        assert None not in measured
        assert list(answer["probabilities"]) == list(CLASSES)
    else:
        assert answer["reason"]
        assert measured == [None] * len(measured)
        assert answer["flags"] == []
    return answer


@pytest.fixture(scope="module")
def planet_file(tmp_path_factory):
    path = tmp_path_factory.mktemp("file") / "planet_lc.fits"
    path.write_bytes(product(21))
    return path


def test_a_product(planet_file, settings):
    answer = one(planet_file, settings)
    assert (answer["target"], answer["status"], answer["time_format"]) == ("TIC 21", "searched", "btjd")
    assert answer["file"] == str(planet_file)
    assert answer["period_d"] == pytest.approx(PLANETS[21][0], rel=2e-3)
    assert answer["n_cadences"] == np.isfinite(flux_columns(21)["TIME"]).sum()


@pytest.mark.parametrize("name", ["TIC 21", "tic21", "TIC_21", "TIC-21"])
def test_a_star_of_the_store_is_its_file(name, planet_file, settings):
    stored, file = one(name, settings), one(planet_file, settings)
    assert stored["file"].endswith("spoc-120s.zarr")
    for key in ("target", "n_cadences", "class", "flags", "time_format"):
        assert stored[key] == file[key]
    for key in ("period_d", "t0", "duration_h", "depth_ppm", "snr", "sde"):
        assert stored[key] == pytest.approx(file[key], rel=1e-3)


@pytest.mark.parametrize(
    ("tic", "status", "reason"),
    [(ABSENT, "absent", "no file"), (CORRUPT, "corrupt", "hecksum"), (REJECTED, "rejected", "no finite flux")],
)
def test_a_star_without_light_curve_says_what_became_of_it(tic, status, reason, settings):
    answer = one(f"TIC {tic}", settings)
    assert (answer["status"], answer["target"], answer["n_cadences"]) == (status, f"TIC {tic}", 0)
    assert reason in answer["reason"]


def test_a_star_that_no_sector_holds(settings):
    for name in ("TIC 5", "KIC 21", "TIC 99999999999999999999"):
        answer = one(name, settings)
        assert answer["status"] == "absent"
        assert "ingest its sector" in answer["reason"]


@pytest.mark.parametrize("suffix", [".csv", ".npz"])
def test_columns_of_ones_own(suffix, tmp_path, settings):
    columns = flux_columns(22)
    path = tmp_path / f"mine{suffix}"
    if suffix == ".npz":
        np.savez(path, time=columns["TIME"], flux=columns["PDCSAP_FLUX"], flux_err=columns["PDCSAP_FLUX_ERR"])
    else:
        rows = zip(columns["TIME"], columns["PDCSAP_FLUX"], columns["QUALITY"], strict=True)
        path.write_text("time,flux,quality\n" + "\n".join(f"{t:.8f},{f},{q:.0f}" for t, f, q in rows))
    answer = one(path, settings)
    assert (answer["status"], answer["target"]) == ("searched", None)
    assert answer["period_d"] == pytest.approx(PLANETS[22][0], rel=2e-3)


def test_a_file_wins_over_a_star_of_the_same_name(tmp_path, settings, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "TIC 21").write_text("time,flux\n1,1\n")
    assert one("TIC 21", settings)["status"] == "unreadable"


def save(folder, name, flux, days=4.0):
    """NPZ of the given flux, or of the given number of cadences."""
    path = folder / name
    np.savez(path, time=1325.0 + np.linspace(0, days, len(flux)), flux=flux)
    return path


def test_light_curves_that_cannot_be_searched_are_rejected(tmp_path, settings):
    for name, flux in (
        ("nan.npz", np.full(2000, np.nan)),
        ("constant.npz", np.ones(2000)),
        ("short.npz", 1 + 1e-3 * np.sin(np.arange(5.0))),
        ("infinite.npz", np.full(2000, np.inf)),
    ):
        assert one(save(tmp_path, name, flux), settings)["status"] == "rejected", name


@pytest.mark.parametrize(
    ("name", "content", "status"),
    [
        ("page.fits", HTML, "corrupt"),
        ("empty.fits", b"", "corrupt"),
        ("torn.fits", None, "corrupt"),
        ("noise.fits", bytes(range(256)) * 20, "corrupt"),
        ("page.csv", HTML, "unreadable"),
        ("no_time.csv", b"flux,flux_err\n1,2\n", "unreadable"),
        ("one.csv", b"time,flux\n1325.0,1.0\n", "unreadable"),
        ("zero.csv", b"time,flux\n", "unreadable"),
        ("bad.npz", b"PK\x03\x04 and nothing more", "unreadable"),
    ],
)
def test_files_that_are_no_light_curve(name, content, status, tmp_path, settings):
    path = tmp_path / name
    path.write_bytes(product(21)[:100_000] if content is None else content)
    answer = one(path, settings)
    assert answer["status"] == status
    assert answer["n_cadences"] == 0


def test_names_that_are_nothing(tmp_path, settings):
    for name in (tmp_path / "missing.fits", tmp_path, "", "Pi Mensae", "x" * 300):
        assert one(name, settings)["status"] == "unreadable"
    assert "--archive lightkurve" in one("Pi Mensae", settings)["reason"]


def test_a_star_in_several_sectors_has_one_answer_each(tmp_path):
    settings = settings_of(str(tmp_path / "root"))
    ingest(Root(settings.root), write_small_sector(tmp_path / "files"), settings)
    later = Product("tess", 2, "spoc", 120)
    shutil.copytree(tmp_path / "root" / PRODUCT.zarr, tmp_path / "root" / later.zarr)
    answers = examine("TIC 22", settings, JUDGE)
    assert [answer["file"].split("/")[-2] for answer in answers] == ["s0001", "s0002"]


def test_every_real_file_has_one_answer_in_time(real_data, settings):
    """39 files of ten kinds; the time is the CPU's, and generous to a busy machine."""
    files = sorted((real_data / "fits").glob("*.fits"))
    start = time.process_time()
    answers = {path.name: one(path, settings) for path in files}
    assert time.process_time() - start < 25
    assert len(answers) == 39
    assert all(answer["status"] == "searched" for answer in answers.values())
    assert all((a["time_format"] == "bkjd") == n.startswith(("k", "hlsp_k2")) for n, a in answers.items())
    wasp_100 = [a for a in answers.values() if a["target"] == "TIC 38846515"]
    assert len(wasp_100) == 11
    for answer in wasp_100:
        assert answer["period_d"] == pytest.approx(2.849375, rel=2e-3)


@pytest.fixture(scope="module")
def mast(tmp_path_factory):
    """Archive on loopback: three stars of the made sector, Kepler-10 and K2-3, and a star in eight sectors."""
    library = Library.mission(n=3, distinct=1, folder=tmp_path_factory.mktemp("pool"), days=2.0)
    library += Library.kepler(cadences=1000)
    for sector in range(1, 9):
        library += Library.tiny([77], sector=sector)
    sound = product(CORRUPT)
    library += Library((replace(Library.tiny([CORRUPT]).held[0], content=sound, size=len(sound)),))
    with Loopback(library) as server:
        yield server


@pytest.fixture
def lookups(mast, settings):
    """Function that gives settings of the small sector's root, and archives of some names, on loopback."""
    opened = []

    def look_up(spec="lightkurve"):
        quick = {"attempts": 2, "backoff_s": 0.01, "patience_s": 1 + len(opened) / 100}
        overrides = mast.overrides()
        overrides["archives"] |= quick
        there = load(root=settings.root, **overrides)
        opened.append(StarArchives(spec, there))
        return there, opened[-1]

    yield look_up
    for archives in opened:
        archives.close()
    mast.set_faults(Faults())


@pytest.mark.parametrize("spec", ["lightkurve", "mast", "cloud,lightkurve"])
def test_a_star_that_the_store_lacks_is_fetched(spec, mast, lookups, tmp_path):
    there, archives = lookups(spec)
    (answer,) = examine("TIC 100000001", there, JUDGE, archives)
    (item,) = [item for item in mast.library.held if item.target_id == 100000001]
    path = tmp_path / item.name
    path.write_bytes(mast.library.content(item))
    (own,) = examine(str(path), there, JUDGE)
    assert answer["file"].endswith(item.name)
    assert answer["status"] == "searched"
    assert answer["target"] == "TIC 100000001"
    assert answer | {"file": ""} == own | {"file": ""}


def test_what_the_store_has_is_not_downloaded(mast, lookups):
    there, archives = lookups()
    before = len(mast.requests("mast"))
    stored = examine("TIC 21", there, JUDGE)
    assert examine("TIC 21", there, JUDGE, archives) == stored
    assert len(mast.requests("mast")) == before


def test_stars_by_name_newest_first(lookups):
    there, archives = lookups()
    answers = examine("Kepler-10", there, JUDGE, archives)
    assert [answer["target"] for answer in answers] == ["KIC 11904151"] * 3
    stamps = [answer["file"].rpartition("-")[2] for answer in answers]
    assert stamps == ["2009259160929_llc.fits", "2009166043257_llc.fits", "2009131105131_llc.fits"]
    assert {(answer["status"], answer["time_format"]) for answer in answers} == {("searched", "bkjd")}
    (answer,) = examine("EPIC 201367065", there, JUDGE, archives)
    assert (answer["status"], answer["n_cadences"]) == ("searched", 997)


def test_old_segments_are_left_unless_named(lookups, caplog):
    there, archives = lookups()
    answers = examine("TIC 77", there, JUDGE, archives)
    assert [int(answer["file"].split("-s000")[1][0]) for answer in answers] == [8, 7, 6, 5, 4, 3]
    assert "--sector takes one of 2, 1" in caplog.text
    (answer,) = examine("TIC 77", there, JUDGE, archives, sector=2)
    assert "-s0002-" in answer["file"]
    (answer,) = examine("TIC 77", there, JUDGE, archives, sector=44)
    assert (answer["status"], answer["reason"]) == (
        "absent", "neither the store nor MAST has a light curve of TIC 77 in sector 44"
    )  # fmt: skip


def test_stars_that_no_archive_has(lookups):
    there, archives = lookups()
    for name, status, reason in (
        ("TIC 5", "absent", "neither the store nor MAST"),
        ("Planet Nine", "unreadable", "Planet Nine"),
        ("<html>", "unreadable", "is no name of a star"),
        ("missing.fits", "unreadable", "no file"),
        ("x" * 300, "unreadable", "is no name of a star"),
    ):
        (answer,) = examine(name, there, JUDGE, archives)
        assert answer["status"] == status, name
        assert reason in answer["reason"]
    with pytest.raises(InputError, match="simulated"):
        lookups("simulated")


@pytest.mark.parametrize(
    ("fault", "status"),
    [("bit-rot", "corrupt"), ("other-star", "corrupt"), ("html", "corrupt"), ("502", "unreachable"), ("404", "absent")],
)
def test_what_befalls_a_download_is_told(fault, status, mast, lookups):
    there, archives = lookups()
    mast.set_faults(Faults(always={"mast:100000014": fault}))
    (answer,) = examine("TIC 100000014", there, JUDGE, archives)
    assert (answer["status"], answer["target"], answer["class"]) == (status, "TIC 100000014", None)
    assert answer["reason"]


def test_a_product_that_failed_at_ingest_is_fetched_anew(lookups):
    """The small sector's corrupt star, of which MAST has a sound file."""
    there, archives = lookups()
    (stored,) = examine(f"TIC {CORRUPT}", there, JUDGE)
    (fetched,) = examine(f"TIC {CORRUPT}", there, JUDGE, archives)
    assert (stored["status"], fetched["status"]) == ("corrupt", "searched")
    assert fetched["file"].endswith(file_name(CORRUPT))


@pytest.mark.parametrize("fault", ["html", "502"])
def test_an_outage_is_told_beside_what_the_store_has(fault, mast, lookups):
    there, archives = lookups()
    mast.set_faults(Faults(always={"invoke": fault}))
    stored, silent = examine("TIC 21", there, JUDGE, archives)
    assert (stored["status"], silent["status"]) == ("searched", "unreachable")
    (answer,) = examine("Kepler-10", there, JUDGE, archives)
    assert answer["status"] == "unreachable"


@pytest.fixture(scope="module")
def long_period(tmp_path_factory):
    """Files of three sectors of one star with a planet of 33 d, in its own CSV columns."""
    folder = tmp_path_factory.mktemp("sectors")
    for number in range(3):
        t = 1500 + 27.4 * number + np.arange(0, 26, 1 / 48)
        flux = 100 * (number + 1) * (1 + np.random.default_rng(number).normal(0, 3e-4, len(t)))
        offset = (t - 1507.3) / 33.0
        flux[np.abs(offset - np.rint(offset)) * 33 < 0.12] *= 1 - 3e-3
        np.savez(folder / f"sector{number}.npz", time=t, flux=flux)
    return sorted(str(path) for path in folder.iterdir())


def test_sectors_of_a_star_are_searched_as_one(long_period, settings):
    (answer,) = examine_stitched(long_period, settings, JUDGE)
    assert set(answer) == CONTRACT
    assert answer["period_d"] == pytest.approx(33, rel=1e-3)
    assert answer["t0"] == pytest.approx(1507.3, abs=0.02)
    assert answer["file"] == ", ".join(long_period)
    assert answer["n_cadences"] == 3 * 26 * 48
    assert json.loads(json.dumps(answer, allow_nan=False)) == answer


def test_a_star_of_the_store_can_be_joined_with_a_file(planet_file, settings):
    """The same sector twice is one light curve; a star that is not there is said beside."""
    answers = examine_stitched(["TIC 21", str(planet_file), "TIC 5"], settings, JUDGE)
    assert [(answer["target"], answer["status"]) for answer in answers] == [(None, "absent"), ("TIC 21", "searched")]
    assert answers[1]["period_d"] == pytest.approx(PLANETS[21][0], rel=2e-3)
    assert answers[1]["file"].endswith(f"spoc-120s.zarr, {planet_file}")
    assert answers[1]["n_cadences"] <= np.isfinite(flux_columns(21)["TIME"]).sum()


def test_stars_are_not_mixed_when_joined(settings, tmp_path):
    save(tmp_path, "nothing.npz", np.full(900, np.nan))
    answers = examine_stitched(["TIC 21", "TIC 22", str(tmp_path / "nothing.npz")], settings, JUDGE)
    assert [answer["target"] for answer in answers] == ["TIC 21", "TIC 22", None]
    assert answers[0]["period_d"] == pytest.approx(PLANETS[21][0], rel=2e-3)
    assert answers[1]["period_d"] == pytest.approx(PLANETS[22][0], rel=2e-3)
    assert (answers[2]["status"], "no good cadence" in answers[2]["reason"]) == ("rejected", True)

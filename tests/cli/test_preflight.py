"""A request that cannot succeed is refused before a server starts, in one paragraph."""

import pytest
from tiny_sector import PRODUCT, SETTINGS, write_folder
from typer.testing import CliRunner

import flows.server
from larun.archive.folder import FolderArchive
from larun.cli import app
from larun.objects import Root
from larun.survey.ingest import start_ingest


@pytest.fixture(autouse=True)
def no_server(monkeypatch):
    def refuse(*_, **__):
        raise AssertionError("a server was started")

    monkeypatch.setattr(flows.server, "embedded_server", refuse)


@pytest.fixture
def folder(tmp_path):
    return write_folder(tmp_path / "fits", [101, 102])


def refused(*arguments, code=1):
    """The one paragraph on standard error; standard output stays empty."""
    result = CliRunner().invoke(app, [str(argument) for argument in arguments])
    assert result.exit_code == code, result.output
    assert result.stdout == ""
    (said,) = result.stderr.strip().splitlines()
    assert said.startswith("larun: ")
    return said


@pytest.mark.parametrize("command", ["ingest", "nightly"])
class TestIngestAndNightly:
    def test_no_such_folder(self, command, tmp_path):
        said = refused(command, "--sector", 1, "--archive", f"folder:{tmp_path / 'absent'}", "--root", tmp_path / "r")
        assert f"there is no folder {tmp_path / 'absent'}" in said
        assert not (tmp_path / "r").exists()

    def test_no_such_archive(self, command, tmp_path):
        said = refused(command, "--sector", 1, "--archive", "attic", "--root", tmp_path / "r")
        assert "give one or several of cloud, mast, lightkurve, folder:PATH, simulated" in said

    def test_an_empty_folder(self, command, tmp_path):
        (tmp_path / "empty").mkdir()
        said = refused(command, "--sector", 1, "--archive", f"folder:{tmp_path / 'empty'}", "--root", tmp_path / "r")
        assert "it holds no light-curve FITS of a kind that larun knows" in said

    def test_a_folder_of_tables(self, command, tmp_path):
        (tmp_path / "tables").mkdir()
        (tmp_path / "tables" / "star.csv").write_text("day,flux\n1,1\n")
        said = refused(command, "--sector", 1, "--archive", f"folder:{tmp_path / 'tables'}", "--root", tmp_path / "r")
        assert "1 CSV or NPZ files" in said

    def test_an_unknown_sector(self, command, folder, tmp_path):
        said = refused(command, "--sector", 77, "--archive", f"folder:{folder}", "--root", tmp_path / "r")
        assert "holds no tess/s0077/spoc-120s; it holds tess/s0001/spoc-120s (2)" in said
        assert not (tmp_path / "r").exists()

    def test_an_unknown_mission(self, command, folder, tmp_path):
        for archive in (f"folder:{folder}", "simulated"):
            asked = [
                command,
                "--sector",
                "1",
                "--archive",
                archive,
                "--mission",
                "hubble",
                "--root",
                str(tmp_path / "r"),
            ]
            result = CliRunner().invoke(app, asked)
            assert result.exit_code == 2, "wrong usage"
            assert "'hubble' is none of tess, kepler, k2" in result.stderr

    def test_what_is_not_simulated(self, command, tmp_path):
        said = refused(
            command, "--sector", 1, "--archive", "simulated", "--mission", "kepler", "--root", tmp_path / "r"
        )
        assert "the simulated archive holds tess/s0001/simulated-120s, not kepler/q01/simulated-120s" in said

    def test_a_root_that_cannot_be_written(self, command, folder, tmp_path):
        (tmp_path / "file").touch()
        said = refused(command, "--sector", 1, "--archive", f"folder:{folder}", "--root", tmp_path / "file" / "root")
        assert f"cannot write {tmp_path / 'file' / 'root'}" in said

    def test_an_unknown_cluster_is_bad_usage(self, command, folder, tmp_path):
        asked = ("--sector", 1, "--archive", f"folder:{folder}", "--root", tmp_path / "r", "--cluster", "moon")
        assert "there is no cluster file" in refused(command, *asked, code=2)


def test_a_night_without_its_bundle(folder, tmp_path):
    asked = ("--sector", 1, "--archive", f"folder:{folder}", "--root", tmp_path / "r", "--bundle", "moon")
    assert "there is no bundle 'moon'" in refused("nightly", *asked)


def test_a_sweep_before_its_ingest(tmp_path):
    said = refused("sweep", "--sector", 1, "--root", tmp_path, "--json")
    assert "holds no tess sector 1; it holds nothing. Run `larun ingest` for it first" in said


def test_a_sweep_without_its_bundle_or_cluster(folder, tmp_path):
    start_ingest(Root(str(tmp_path / "r")), [FolderArchive(str(folder))], PRODUCT, SETTINGS)
    assert "there is no bundle 'moon'" in refused("sweep", "--sector", 1, "--root", tmp_path / "r", "--bundle", "moon")
    said = refused("sweep", "--sector", 1, "--root", tmp_path / "r", "--cluster", "moon", code=2)
    assert "give one of local, scheduler" in said


def test_a_training_without_data_or_root(tmp_path):
    (tmp_path / "file").touch()
    assert "cannot read the table of labelled light curves" in refused("train", "--data", tmp_path)
    assert "cannot write" in refused("train", "--data", "simulated", "--root", tmp_path / "file" / "root")


def test_a_demonstration_without_a_root(tmp_path):
    (tmp_path / "file").touch()
    assert "cannot write" in refused("demo", "--root", tmp_path / "file" / "root")

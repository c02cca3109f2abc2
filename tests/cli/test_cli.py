"""Exit codes, help and the purity of --json, in this process."""

import contextlib
import json

import numpy as np
import pytest
from swept_sector import judge_bundle
from tiny_sector import GAP, N_CADENCES, PRODUCT, columns_of, file_name, product_bytes, write_folder
from typer.testing import CliRunner

import flows.server
import larun
from larun.archive.folder import FolderArchive
from larun.bundles import save_bundle
from larun.cli import app
from larun.cli.console import counted
from larun.config import load
from larun.objects import Root
from larun.survey.ingest import IngestWork, ingest_shards, start_ingest

COMMANDS = (
    "ingest", "train", "sweep", "nightly", "status", "candidates", "examine", "report", "export", "simulate", "demo",
)  # fmt: skip

larun_command = CliRunner()


def run(*arguments):
    return larun_command.invoke(app, [str(argument) for argument in arguments])


def failed(result, code=1):
    """The reason of a failed command: one paragraph on standard error, nothing on standard output."""
    assert result.exit_code == code, result.output
    assert result.stdout == ""
    lines = result.stderr.strip().splitlines()
    assert lines[-1].startswith("larun: ")
    assert "Traceback" not in result.stderr
    return lines[-1]


@pytest.fixture
def root(tmp_path):
    """Store of six stars in two shards, one of them truncated."""
    folder = write_folder(tmp_path / "fits", range(101, 107))
    broken = next(folder.glob("*0103-0120-s_lc.fits"))
    broken.write_bytes(broken.read_bytes()[:-2880])
    settings = load(ingest={"shard_targets": 4, "chunk_targets": 2, "min_good_cadences": 10}).ingest
    archive, root = FolderArchive(str(folder)), Root(str(tmp_path / "root"))
    plan = start_ingest(root, [archive], PRODUCT, settings)
    ingest_shards(IngestWork.of(root, [archive], plan, range(plan.n_shards), settings))
    return root.url


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_has_help_and_json(command):
    result = run(command, "--help")
    assert result.exit_code == 0
    assert "--json" in result.stdout
    assert "--config" in result.stdout


def test_version():
    assert run("--version").stdout == f"larun {larun.__version__}\n"


@pytest.mark.parametrize(
    "arguments",
    [
        ["nonsense"],
        ["status", "--nonsense"],
        ["ingest", "--archive", "simulated"],
        ["ingest", "--target", "TIC 1", "--repair"],
        ["ingest", "--target", "TIC 1", "--archive", "cloud"],
        ["nightly", "--archive", "simulated", "--author", "spoc"],
        ["ingest", "--archive", "simulated", "--sector", "one"],
        ["sweep", "--sector", "-1"],
        ["examine"],
        ["export", "x.csv", "--target", "Sirius"],
    ],
)
def test_bad_usage_is_2(arguments):
    result = run(*arguments)
    assert result.exit_code == 2
    assert result.stdout == ""
    assert "Usage: " in result.stderr


def test_an_unknown_setting_is_bad_usage_and_names_the_nearest(tmp_path):
    path = tmp_path / "larun.toml"
    path.write_text("[search]\nwindow = 1.0\n")
    assert "did you mean search.window_d?" in failed(run("status", "--config", path), code=2)
    assert "cannot read the configuration" in failed(run("status", "--config", tmp_path / "absent.toml"), code=2)


def test_status_of_nothing_fails(tmp_path):
    assert "holds no sector; it holds nothing" in failed(run("status", "--root", tmp_path, "--json"))


def test_status_counts_from_the_store_alone(root):
    result = run("status", "--root", root, "--json")
    assert result.exit_code == 0
    assert result.stderr == ""
    told = json.loads(result.stdout)
    assert told["root"] == root
    (sector,) = told["sectors"]
    assert (sector["product"], sector["targets"], sector["shards"]) == ("tess/s0001/spoc-120s", 6, 2)
    assert sector["complete"] is True
    assert {status: n for status, n in sector["status"].items() if n} == {"stored": 5, "corrupt": 1}
    (failure,) = sector["failures"]
    assert failure["target"] == "TIC 103"
    assert failure["status"] == "corrupt"
    assert failure["reason"]
    assert sector["published"] is None


def test_status_for_people(root):
    result = run("--root", root, "status", "--sector", 1)
    assert result.exit_code == 0
    assert "2 of 2 shards ingested" in result.stdout
    assert "TIC 103" in result.stdout
    assert "no sweep is published" in result.stdout


def test_status_of_another_sector_says_what_there_is(root):
    assert "holds no sector 9; it holds tess/s0001/spoc-120s" in failed(run("status", "--root", root, "--sector", 9))


def test_candidates_before_a_sweep(root):
    assert "no published sweep" in failed(run("candidates", "--root", root, "--json"))
    assert "no published sweep" in failed(run("candidates", "--root", root, "--sector", 3, "--json"))


def test_export_of_a_star(root, tmp_path):
    path = tmp_path / "star.csv"
    result = run("export", path, "--target", "TIC 101", "--root", root, "--json")
    assert result.exit_code == 0, result.output
    assert json.loads(result.stdout) == {"file": str(path)}
    assert len(path.read_text().splitlines()) > 40
    reason = failed(run("export", tmp_path / "star.csv", "--target", "TIC 999", "--root", root))
    assert "holds no light curve of 999" in reason


def test_verbose_shows_where_it_failed(tmp_path):
    result = run("-v", "status", "--root", tmp_path)
    assert result.exit_code == 1


def test_one_is_no_plural():
    assert [counted(n, "light curve") for n in (0, 1, 2)] == ["0 light curves", "1 light curve", "2 light curves"]


def test_simulate_writes_files_and_truth(tmp_path):
    folder = tmp_path / "sector"
    config = tmp_path / "larun.toml"
    config.write_text("[simulate]\ndays = 1.5\ncadence_s = 600\n")
    result = run("simulate", folder, "--stars", 3, "--seed", 5, "--sector", 2, "--config", config, "--json")
    assert result.exit_code == 0, result.output
    assert json.loads(result.stdout) == {"folder": str(folder), "sector": 2, "stars": 3}
    assert len(list(folder.glob("*-s0002-*_lc.fits"))) == 3
    assert (folder / "truth.csv").read_text().count("\n") == 4


def test_examine_answers_for_every_input_and_fails_if_one_cannot_be_read(tmp_path):
    page, short = tmp_path / "page.fits", tmp_path / file_name(101)
    page.write_text("<html>not found</html>")
    short.write_bytes(product_bytes(101))
    result = run("examine", page, short, tmp_path / "absent.fits", "--json")
    answers = [json.loads(line) for line in result.stdout.splitlines()]
    assert [answer["file"] for answer in answers] == [str(page), str(short), str(tmp_path / "absent.fits")]
    assert [answer["status"] == "rejected" for answer in answers] == [False, True, False]
    assert all(answer["reason"] for answer in answers)
    assert result.exit_code == 1
    assert f"2 of 3 light curves could not be read; the first is {page}" in result.stderr.splitlines()[-1]


def test_examine_stitched_says_one_thing_of_a_star(tmp_path):
    for number in (0, 1):
        t = 1500 + 30 * number + np.arange(0, 20, 1 / 24)
        flux = 1 + np.random.default_rng(number).normal(0, 3e-4, len(t))
        flux[np.abs((t - 1503.2 + 11.5) % 23 - 11.5) < 0.15] -= 4e-3
        np.savez(tmp_path / f"{number}.npz", time=t, flux=flux)
    result = run("examine", tmp_path / "0.npz", tmp_path / "1.npz", "--stitch", "--json")
    assert result.exit_code == 0, result.output
    (answer,) = map(json.loads, result.stdout.splitlines())
    assert answer["period_d"] == pytest.approx(23, rel=2e-3)
    assert answer["file"] == f"{tmp_path / '0.npz'}, {tmp_path / '1.npz'}"


def test_examine_of_a_curve_that_is_too_short_is_no_failure(tmp_path):
    path = tmp_path / file_name(101)
    path.write_bytes(product_bytes(101))
    result = run("examine", path, "--json")
    (answer,) = map(json.loads, result.stdout.splitlines())
    assert answer["target"] == "TIC 101"
    assert answer["n_cadences"] == N_CADENCES - (GAP.stop - GAP.start)
    assert answer["status"] == "rejected"
    assert answer["reason"]
    assert result.exit_code == 0
    said = run("examine", path)
    assert said.exit_code == 0
    assert answer["reason"] in said.stderr


def test_examine_of_bad_files_says_what_is_wrong_with_each(tmp_path):
    good = product_bytes(101)
    flipped = bytearray(good)
    flipped[-2780] ^= 4
    blank = columns_of(101, nan=True)
    bad = {
        "truncated": (good[: len(good) // 2], "corrupt", "truncated or damaged"),
        "flipped": (bytes(flipped), "corrupt", "checksum"),
        "page": (b"<!DOCTYPE html><html></html>", "corrupt", "HTML"),
        "blank": (product_bytes(101, blank), "rejected", "no good cadence"),
    }
    for name, (data, _, _) in bad.items():
        (tmp_path / f"{name}.fits").write_bytes(data)
    (tmp_path / "no-time.csv").write_text("day,flux\n1,1\n")
    result = run("examine", *(tmp_path / f"{name}.fits" for name in bad), tmp_path / "no-time.csv", "--json")
    answers = [json.loads(line) for line in result.stdout.splitlines()]
    for answer, (_, status, word) in zip(answers[:-1], bad.values(), strict=True):
        assert (answer["status"], word in answer["reason"]) == (status, True), answer
    assert answers[-1]["status"] == "unreadable"
    assert "time" in answers[-1]["reason"]
    assert result.exit_code == 1


@pytest.fixture
def judge_root(tmp_path):
    save_bundle(judge_bundle(), Root(str(tmp_path)), "models/judge/1")
    return tmp_path


def test_bundles():
    (row,) = json.loads(run("bundles", "list", "--root", "nowhere", "--json").stdout)
    assert row["bundle"] == "shipped"
    assert row["default"] is True
    manifest = json.loads(run("bundles", "show", "--json").stdout)
    assert manifest["digest"] == row["digest"]
    assert run("bundles", "show").stdout.startswith("# ")
    assert "there is no bundle 'moon'" in failed(run("bundles", "show", "moon"))


def test_bundles_are_promoted_and_compared(tmp_path, judge_root):
    said = json.loads(run("bundles", "promote", "judge/1", "--root", judge_root, "--json").stdout)
    assert said["default"] == "judge/1"
    rows = json.loads(run("bundles", "list", "--root", judge_root, "--json").stdout)
    assert {row["bundle"]: row["default"] for row in rows} == {"shipped": False, "judge/1": True}
    assert "is the default of" in run("bundles", "promote", "shipped", "--root", judge_root).stdout
    assert "has no predictions.csv" in failed(run("bundles", "compare", "judge/1", "judge/1", "--root", judge_root))


@pytest.mark.parametrize(
    ("options", "data"),
    [((), "simulated"), (("--planets", "3"), "archives"), (("--use-cache",), "archives"),
     (("--planets", "3", "--data", "simulated"), "simulated")],
)  # fmt: skip
def test_stars_that_are_counted_come_from_the_archives(monkeypatch, tmp_path, options, data):
    asked = []
    monkeypatch.setattr("larun.cli.preflight.check_train", lambda settings: asked.append(settings) or 1 / 0)
    run("train", "--root", tmp_path, "--epochs", "0", *options)
    assert asked[0].dataset.data == data
    assert asked[0].training.epochs == 0


def test_an_interrupted_run_says_that_nothing_is_lost(monkeypatch, tmp_path):
    @contextlib.contextmanager
    def server():
        yield flows.server.Server("http://127.0.0.1:1/api", "http://127.0.0.1:1", None, 0.0)

    def interrupted(**_):
        raise KeyboardInterrupt

    monkeypatch.setattr(flows.server, "embedded_server", server)
    monkeypatch.setattr("flows.train.train", interrupted)
    result = run("train", "--root", tmp_path)
    assert result.exit_code == 130
    assert result.stdout == ""
    assert "interrupted: what is stored stays" in result.stderr

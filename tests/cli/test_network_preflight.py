"""Requests to archives on the network that cannot succeed are refused before a server starts, with few questions."""

import itertools
import re
import time

import pytest
from tiny_sector import PRODUCT, SETTINGS
from typer.testing import CliRunner

import flows.server
from larun.archive.cloud import CloudArchive
from larun.cli import app, preflight
from larun.config import load
from larun.objects import Root
from larun.survey.ingest import start_ingest
from tests.loopback import Faults, Library, Loopback

_numbers = itertools.count()


@pytest.fixture(autouse=True)
def no_server(monkeypatch):
    def refuse(*_, **__):
        raise AssertionError("a server was started")

    monkeypatch.setattr(flows.server, "embedded_server", refuse)


@pytest.fixture(scope="module")
def archive():
    with Loopback(Library.tiny([101, 102]) + Library.tiny([201], sector=2)) as server:
        yield server


@pytest.fixture
def config(archive, tmp_path):
    """Settings of their own for each test: a process remembers how an archive fared under the same settings."""
    archive.set_faults(Faults())
    path = tmp_path / "larun.toml"
    addresses = archive.overrides()["archives"]
    path.write_text(
        f'root = "{tmp_path / "root"}"\n[archives]\nbackoff_s = 0.05\nconnect_timeout_s = {1 + next(_numbers) / 100}\n'
        + "".join(f'{name} = "{address}"\n' for name, address in addresses.items())
    )
    return path


def refused(*arguments, code=1):
    """The one paragraph on standard error; standard output stays empty."""
    result = CliRunner().invoke(app, [str(argument) for argument in arguments])
    assert result.exit_code == code, result.output
    assert result.stdout == ""
    (said,) = result.stderr.strip().splitlines()
    assert said.startswith("larun: ")
    return said


def faces(archive, since):
    return sorted(request["face"] for request in archive.requests() if request["start"] > since)


@pytest.mark.parametrize("command", ["ingest", "nightly"])
def test_an_unknown_sector_lists_those_there_are(command, archive, config, tmp_path):
    began = time.time()
    said = refused(command, "--sector", 999, "--config", config)
    assert "the archives (cloud, mast) hold no tess/s0999/spoc-120s; there are sectors 1-2" in said
    assert faces(archive, began) == ["cloud-list", "index"]
    assert not (tmp_path / "root").exists()


def test_a_pipeline_that_mast_has_no_list_of(config):
    assert "tasoc" in refused("ingest", "--sector", 1, "--author", "tasoc", "--cadence", 120, "--config", config)


def test_a_known_sector_is_looked_up_without_its_list(archive, config, tmp_path):
    settings, asked = load(config), {"sector": 2, "archive": None, "mission": "tess", "author": None, "cadence_s": None}
    began = time.time()
    assert preflight.check_ingest(settings, **asked) == ""
    assert faces(archive, began) == ["cloud-list", "index"]
    start_ingest(Root(settings.root), [CloudArchive(settings.archives)], PRODUCT, SETTINGS)
    began = time.time()
    assert preflight.check_ingest(settings, **asked | {"sector": 1}) == ""
    assert faces(archive, began) == []


def test_archives_that_do_not_answer_are_left_to_the_run(archive, config):
    archive.set_faults(Faults(always={"cloud-list": "503", "index": "503"}, retry_after_s=0.0))
    began = time.monotonic()
    silent = preflight.check_ingest(load(config), 1, None, "tess", None, None)
    assert re.match(r"cloud: .*503.*; mast: .*503", silent)
    assert time.monotonic() - began < 20


def test_archives_that_say_nothing_are_not_waited_for_long(archive, config, monkeypatch):
    """The longest silences of the settings are for a run; here one is cut to a second, and the archive stalls."""
    monkeypatch.setattr(preflight, "LONGEST_S", {"connect_timeout_s": 1.0, "read_timeout_s": 1.0})
    archive.set_faults(Faults(always={"cloud-list": "stall", "index": "stall"}))
    began = time.monotonic()
    assert "cloud: " in preflight.check_ingest(load(config), 1, None, "tess", None, None)
    assert time.monotonic() - began < 40, "silences of a run last a minute each"


def test_a_proxy_that_answers_with_a_page(archive, config, tmp_path):
    archive.set_faults(Faults(always={"cloud-list": "html", "index": "html", "list": "html"}))
    for command in ("ingest", "nightly"):
        said = refused(command, "--sector", 1, "--config", config)
        assert "a web page came" in said
        assert "proxy" in said
    assert not (tmp_path / "root").exists()


def test_a_bucket_and_an_archive_that_refuse_us(archive, config, tmp_path):
    archive.set_faults(Faults(always={"cloud-list": "403", "index": "403"}))
    said = refused("ingest", "--sector", 1, "--config", config)
    assert "403" in said
    assert "credentials" in said
    assert not (tmp_path / "root").exists()


def test_one_archive_that_refuses_us_is_passed_over(archive, config):
    archive.set_faults(Faults(always={"cloud-list": "403"}))
    assert preflight.check_ingest(load(config), 1, None, "tess", None, None) == ""


def test_junk_among_the_stars_is_named_by_line(archive, config, tmp_path):
    stars = tmp_path / "stars.txt"
    stars.write_text("# my stars\nTIC 101\nTIC\n\nKepler-10\n<html>\n101\n")
    began = time.time()
    said = refused("ingest", "--targets", stars, "--config", config)
    for place in ("line 3 ('TIC')", "line 6 ('<html>')", "line 7 ('101')"):
        assert place in said
    assert "one star per line" in said
    assert "cannot read the list of stars" in refused("ingest", "--targets", tmp_path / "absent", "--config", config)
    assert "'TIC 0'" in refused("ingest", "--target", "TIC 0", "--config", config)
    assert faces(archive, began) == []


def test_repair_of_what_is_not_there(config):
    assert "holds no tess sector 1; it holds nothing" in refused(
        "ingest", "--repair", "--sector", 1, "--config", config
    )


def test_archives_are_named_once_and_known(config):
    assert "is named twice" in refused("ingest", "--sector", 1, "--archive", "mast,cloud,mast", "--config", config)
    assert "there is no archive 'attic'" in refused("nightly", "--archive", "attic", "--config", config)


def test_a_night_with_archives_that_cannot_say_what_they_hold(config):
    said = refused("nightly", "--archive", "simulated", "--config", config)
    assert "(simulated) cannot say which sectors they hold; name one with --sector" in said

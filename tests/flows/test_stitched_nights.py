"""Nights that join sectors: the option reaches the sweep, and what arrives late is joined by a later night."""

import contextlib
import os
from pathlib import Path

import pytest
from several_sectors import PRODUCTS, SWEPT, ingest, settings_of, write_files
from typer.testing import CliRunner

from flows.nightly import nightly
from larun import paths
from larun.cli import app
from larun.config import load
from larun.objects import Root
from larun.store.publish import publish, published
from larun.survey.sweep import start_sweep


@pytest.fixture
def files(tmp_path):
    return write_files(tmp_path / "files")


@pytest.fixture
def root(tmp_path):
    return Root(str(tmp_path / "root"))


@pytest.fixture
def swept(monkeypatch):
    """Sweeps that nights make, in order: they are started and published, and nothing is searched."""
    swept = []

    def sweep(settings, product):
        root = Root(settings.root)
        run = start_sweep(root, product, settings)
        asked = settings.sweep.stitch_sectors if settings.sweep.stitch else 1
        publish(root, product, run.run, {"stitch_sectors": asked, "earlier_digest": run.earlier_digest})
        swept.append((product.sector, [source.product.sector for source in run.earlier]))
        return {"run": run.run}

    monkeypatch.setattr("flows.nightly.sweep_product", sweep)
    return swept


def night(root, files, **sweep):
    settings = settings_of(root.url, **sweep).model_dump(include={"root", "ingest", "sweep"})
    overrides = settings | {"catalogues": {"use": []}, "nightly": {"sectors_per_night": 2}}
    return nightly.fn(archive=f"folder:{files}", overrides=overrides)


def an_hour_passes(root):
    """What was written is an hour older."""
    for place in Path(root.url).rglob("*.json"):
        changed = place.stat().st_mtime - 3600
        os.utime(place, (changed, changed))


def test_the_option_reaches_the_sweep(monkeypatch, root, files):
    asked = {}

    @contextlib.contextmanager
    def flows(options):
        def run(name, **arguments):
            asked.update(name=name, settings=load(**arguments["overrides"]))
            return {"sectors": [], "failed": [], "catalogues": [], "joined_others": [str(SWEPT)]}

        yield run

    monkeypatch.setattr("larun.cli.run.running_flows", flows)
    command = ["nightly", "--archive", f"folder:{files / 's0003'}", "--root", root.url]
    for option, stitch in (("--stitch", True), ("--no-stitch", False)):
        ended = CliRunner().invoke(app, [*command, option])
        assert ended.exit_code == 0, ended.output
        assert (asked["name"], asked["settings"].sweep.stitch) == ("nightly", stitch)
        assert f"sweep them again: {SWEPT}" in ended.stdout


def test_what_arrives_late_is_joined_when_nothing_is_new(root, files, swept):
    ingest(root, files, PRODUCTS[1:])
    assert night(root, files / "s0003")["joined_others"] == []
    assert swept == [(3, [2]), (2, [])]
    an_hour_passes(root)
    ingest(root, files, PRODUCTS[:1])
    first = night(root, files / "s0003")
    assert swept[2:] == [(1, []), (3, [2, 1])], "what is new comes first, and a night does two sectors"
    assert first["joined_others"] == [str(PRODUCTS[1])]
    an_hour_passes(root)
    assert night(root, files / "s0003")["joined_others"] == []
    assert swept[4:] == [(2, [1])]
    assert night(root, files / "s0003")["sectors"] == []
    assert len(swept) == 5


def test_plain_nights_keep_joined_sweeps_and_tell_that_they_are_old(root, files, swept):
    ingest(root, files, PRODUCTS[1:])
    night(root, files / "s0003")
    run = published(root)["sectors"][str(SWEPT)]["run"]
    an_hour_passes(root)
    ingest(root, files, PRODUCTS[:1])
    told = night(root, files / "s0003", stitch=False)
    assert [done["product"] for done in told["sectors"]] == [str(PRODUCTS[0])]
    assert told["joined_others"] == [str(SWEPT), str(PRODUCTS[1])]
    assert published(root)["sectors"][str(SWEPT)]["run"] == run
    assert root.exists(paths.earlier_sectors(SWEPT, run))

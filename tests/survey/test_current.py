"""Whether published sweeps that joined sectors are of what the store holds now; nothing is searched for that."""

import os
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
from several_sectors import PRODUCTS, SWEPT, ingest, settings_of, write_files

from larun import ledger, paths
from larun.objects import Root
from larun.plan import load_plan
from larun.store.publish import publish
from larun.survey.current import joined_others
from larun.survey.sweep import start_sweep

FIRST, SECOND, _ = PRODUCTS


@pytest.fixture(scope="module")
def stored(tmp_path_factory):
    """Folder of a root with three sectors; tests work on copies."""
    place = tmp_path_factory.mktemp("stored")
    ingest(Root(str(place / "root")), write_files(place / "files"))
    return place / "root"


@pytest.fixture
def root(stored, tmp_path):
    shutil.copytree(stored, tmp_path / "root")
    return Root(str(tmp_path / "root"))


def swept(root, product=SWEPT, **settings):
    """Traces of a published sweep of what is stored now, begun an hour later."""
    settings = settings_of(root.url, **settings)
    run = start_sweep(root, product, settings)
    asked = settings.sweep.stitch_sectors if settings.sweep.stitch else 1
    publish(root, product, run.run, {"stitch_sectors": asked, "earlier_digest": run.earlier_digest})
    later(root, paths.run_settings(product, run.run), 3600)


def later(root, path, seconds):
    place = Path(root.full(path))
    changed = place.stat().st_mtime + seconds
    os.utime(place, (changed, changed))


def arrives(root, product=FIRST):
    """All records of a sector are written two hours later."""
    for path in root.list(product.records, ".json"):
        later(root, path, 7200)


def keep_away(root, product):
    """Take a sector out of the root; returns how to bring it in."""
    aside = Path(root.url).parent / product.segment
    shutil.move(root.full(product.zarr), aside)
    return lambda: shutil.move(aside, root.full(product.zarr))


def test_sweeps_of_what_is_there_are_current(root, monkeypatch):
    for product in PRODUCTS:
        swept(root, product)
    monkeypatch.setattr("larun.survey.current.find_earlier", lambda *_: pytest.fail("a list was made"))
    assert joined_others(root, PRODUCTS) == ()


def test_a_sector_that_arrives_after_those_that_would_join_it(root):
    bring = keep_away(root, FIRST)
    swept(root, SECOND)
    swept(root, SWEPT)
    assert joined_others(root, PRODUCTS) == ()
    bring()
    arrives(root)
    assert joined_others(root, PRODUCTS) == (SWEPT, SECOND), "also where there was nothing to join"
    assert joined_others(root, [SECOND]) == (SECOND,)
    swept(root, SWEPT)
    assert joined_others(root, PRODUCTS) == (SECOND,)


def test_a_sector_that_is_not_whole_yet_waits(root):
    bring = keep_away(root, FIRST)
    swept(root)
    bring()
    arrives(root)
    last = root.read_json(FIRST.record(1))
    root.delete(FIRST.record(1))
    assert joined_others(root, PRODUCTS) == ()
    root.write_json(FIRST.record(1), last)
    assert joined_others(root, PRODUCTS) == (SWEPT,)


def test_a_sector_that_is_repaired(root):
    swept(root)
    record = ledger.read_record(root, load_plan(root, FIRST), 0)
    root.write_json(FIRST.record(0), replace(record, hashes=record.hashes | {"flux": "0" * 64}).as_json())
    arrives(root)
    assert joined_others(root, PRODUCTS) == (SWEPT,)
    root.write_json(FIRST.repair(0), {})
    assert joined_others(root, PRODUCTS) == ()


def test_records_that_only_look_younger_are_no_repair(root):
    swept(root)
    arrives(root)
    assert joined_others(root, PRODUCTS) == ()


def test_what_a_sweep_did_not_ask_for_does_not_make_it_old(root):
    bring = keep_away(root, FIRST)
    swept(root, SECOND, stitch=False)
    swept(root, SWEPT, stitch_sectors=2)
    bring()
    arrives(root)
    assert joined_others(root, [SECOND]) == (), "a plain sweep"
    # One star has nothing in sector 2, so that its second sector is the first.
    assert joined_others(root, [SWEPT]) == (SWEPT,)
    assert joined_others(root, [FIRST]) == (), "not swept"


def test_later_sectors_and_those_of_simulated_stars_do_not_matter(root):
    swept(root, SECOND)
    arrives(root, SWEPT)
    simulated = replace(FIRST, author="simulated")
    shutil.copytree(root.full(FIRST.zarr), root.full(simulated.zarr))
    arrives(root, simulated)
    assert joined_others(root, PRODUCTS) == ()

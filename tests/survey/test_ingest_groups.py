"""A group of shards: fetched ahead across their borders, recorded one by one, broken off and gone on with."""

import threading

import numpy as np
import pytest
from scripted import Scripted, absent, flipped
from tiny_sector import PRODUCT, SETTINGS, columns_of, file_name, product_bytes, tree

from larun import ledger
from larun.errors import ArchiveOutage, ProductUnreachable, StoreError
from larun.objects import Root
from larun.store.sector import ShardWriter
from larun.survey import shard as module
from larun.survey.ingest import IngestWork, ingest_shards, start_ingest

TICS = range(11, 23)


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory):
    place = tmp_path_factory.mktemp("undisturbed")
    root = Root(str(place))
    started(root)
    ingest(root, [Scripted("mast")])
    return tree(place)


def started(root):
    return start_ingest(root, [Scripted("mast", tics=TICS)], PRODUCT, SETTINGS)


def ingest(root, archives, shards=(0, 1, 2), settings=SETTINGS):
    return ingest_shards(IngestWork.of(root, archives, ledger.load_plan(root, PRODUCT), shards, settings))


@pytest.fixture
def root(tmp_path):
    root = Root(str(tmp_path / "root"))
    started(root)
    return root


def test_every_target_is_asked_for_once_and_counted(root, tmp_path, undisturbed):
    archive = Scripted("mast")
    counts = ingest(root, [archive])
    assert counts == {"stored": 12, "absent": 0, "corrupt": 0, "unreachable": 0, "rejected": 0}
    assert dict(archive.asked) == dict.fromkeys(TICS, 1)
    assert archive.closed == 1
    assert tree(tmp_path / "root") == undisturbed


def test_finished_shards_are_counted_and_not_asked_for(root, tmp_path, undisturbed):
    ingest(root, [Scripted("mast")], [1])
    archive = Scripted("mast")
    assert ingest(root, [archive])["stored"] == 12
    assert set(archive.asked) == {*range(11, 15), *range(19, 23)}
    again = Scripted("mast")
    assert ingest(root, [again])["stored"] == 12
    assert not again.asked
    assert tree(tmp_path / "root") == undisturbed


def test_while_a_shard_is_written_the_next_is_fetched(root, monkeypatch):
    archive, asked_while_written = Scripted("mast"), []
    finish = ShardWriter.finish
    behind = threading.Event()
    fetch = archive.fetch

    def noted(product, target):
        if target.star.target_id == 18:
            behind.set()
        return fetch(product, target)

    def waiting(writer):
        if not asked_while_written:
            assert behind.wait(20)
            asked_while_written.extend(archive.order)
        return finish(writer)

    monkeypatch.setattr(archive, "fetch", noted)
    monkeypatch.setattr(ShardWriter, "finish", waiting)
    ingest(root, [archive])
    assert {15, 16, 17} < set(asked_while_written)


@pytest.mark.parametrize(("name", "value"), [("LOOK_AHEAD", 3), ("LOOK_AHEAD_BYTES", 3 * 48 * 40)])
def test_only_so_many_are_held(root, monkeypatch, name, value):
    monkeypatch.setattr(module, name, value)
    archive = Scripted("mast")
    held = []
    in_order = module._in_order
    done = 0

    def counting(*arguments):
        nonlocal done
        for came in in_order(*arguments):
            done += 1
            held.append(len(archive.order) - done)
            yield came

    monkeypatch.setattr(module, "_in_order", counting)
    ingest(root, [archive])
    assert max(held) <= 3
    assert done == 12


def test_arrays_are_used_again(root, tmp_path, undisturbed, monkeypatch):
    """Memory does not grow with the number of chunks, and no row of an earlier one shows through."""
    begin, begun = module.begin_columns, []

    def counting(*arguments):
        columns = begin(*arguments)
        for values in columns.values():
            values.view(np.uint8).fill(0x55)
        begun.append(columns)
        return columns

    monkeypatch.setattr(module, "LOOK_AHEAD", 1)
    monkeypatch.setattr(module, "begin_columns", counting)
    ingest(root, [Scripted("mast")], settings=SETTINGS.model_copy(update={"fetch_threads": 1}))
    assert tree(tmp_path / "root") == undisturbed
    assert len(begun) == 2


def test_an_outage_keeps_the_shards_before_it_and_the_next_run_goes_on(root, tmp_path, undisturbed):
    down = Scripted("mast", {17: [ArchiveOutage("maintenance until noon")]})
    with pytest.raises(ArchiveOutage, match="maintenance until noon"):
        ingest(root, [down])
    assert ledger.recorded(root, PRODUCT) == [0]
    assert down.closed == 1
    assert ledger.counts(root, PRODUCT).by_status == {
        "stored": 4, "absent": 0, "corrupt": 0, "unreachable": 0, "rejected": 0, "pending": 8,
    }  # fmt: skip
    archive = Scripted("mast")
    ingest(root, [archive])
    assert set(archive.asked) == set(range(15, 23))
    assert tree(tmp_path / "root") == undisturbed


def test_archives_are_closed_when_the_store_fails(root, monkeypatch):
    def full(writer):
        raise StoreError("no space left")

    monkeypatch.setattr(ShardWriter, "finish", full)
    archives = [Scripted("cloud"), Scripted("mast")]
    with pytest.raises(StoreError):
        ingest(root, archives)
    assert [archive.closed for archive in archives] == [1, 1]
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("fetch")]


def test_the_archive_of_every_target_is_recorded_and_counted(root):
    down = ProductUnreachable("https://cloud.example/x answers 503, the last of 6 attempts")
    cloud = Scripted("cloud", {12: [absent("cloud")], 13: [down], 14: [flipped(14)], 20: [absent("cloud")]})
    mast = Scripted("mast", {20: [absent("mast")], 14: [flipped(14)]})
    ingest(root, [cloud, mast])
    counts = ledger.counts(root, PRODUCT)
    assert counts.by_archive == {"cloud": 9, "mast": 2}
    outcomes = {o.target_id: o for record in ledger.records(root, PRODUCT) for o in record.outcomes}
    assert [outcomes[tic].archive for tic in (11, 12, 13, 14, 20)] == ["cloud", "mast", "mast", "cloud", ""]
    assert outcomes[20].reason == "cloud: cloud has no such product; mast: mast has no such product"
    assert root.read(f"{PRODUCT.quarantine}/{file_name(14)}") == flipped(14)


def with_extra_cadences(tic, before, after):
    """Product with cadences in front of and behind those of the sector."""
    n = before + 48 + after
    columns = columns_of(tic, n)
    for name in ("TIME", "CADENCENO"):
        step = 120.0 / 86400.0 if name == "TIME" else 1
        columns[name] = (columns[name] - before * step).astype(columns[name].dtype)
    return product_bytes(tic, columns)


def test_a_few_cadences_outside_the_grid_are_left_out_and_said(root, monkeypatch):
    monkeypatch.setattr("larun.survey.align.MAX_OUTSIDE", 0.05)
    ingest(root, [Scripted("mast", {12: [with_extra_cadences(12, 1, 1)], 13: [with_extra_cadences(13, 3, 3)]})])
    outcomes = {o.target_id: o for record in ledger.records(root, PRODUCT) for o in record.outcomes}
    assert (outcomes[12].status, outcomes[12].n_outside) == ("stored", 2)
    assert (outcomes[13].status, outcomes[13].n_outside) == ("rejected", 0)
    assert "6 of 54 cadence numbers lie outside" in outcomes[13].reason
    assert ledger.counts(root, PRODUCT).outside == 1
    import zarr

    flux = zarr.open_group(root.full(PRODUCT.zarr), mode="r")["flux"]
    np.testing.assert_array_equal(flux[1], columns_of(12, 50)["PDCSAP_FLUX"][1:49])


def test_threads_change_no_byte(tmp_path, undisturbed):
    root = Root(str(tmp_path / "root"))
    started(root)
    ingest(root, [Scripted("mast")], settings=SETTINGS.model_copy(update={"fetch_threads": 7}))
    assert tree(tmp_path / "root") == undisturbed

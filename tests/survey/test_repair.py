"""Repair of finished shards: what is asked for, what is changed, and that nothing else is."""

import errno
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import zarr
from numcodecs import blosc
from scripted import Scripted, absent, flipped, good
from tiny_sector import PRODUCT, SETTINGS, columns_of, file_name, product_bytes, tree

from larun import ledger, objects
from larun.errors import ArchiveOutage, NotInStore, PlanMismatch, ProductUnreachable, StoreError
from larun.objects import PARTIAL_SUFFIX, Root
from larun.schema import Status
from larun.store.reading import read_shard
from larun.survey.ingest import IngestWork, ingest_shards, start_ingest
from larun.survey.repair import repairable, settle

TICS = range(11, 23)
DOWN = ProductUnreachable("503 six times")
BAD = {12: [DOWN], 14: [flipped(14)], 20: [flipped(20)], 21: [absent("mast")]}
"""In the order of the plan the shards are 11-14, 15-18 and 19-22."""


@pytest.fixture(scope="module")
def sound(tmp_path_factory):
    """Store of an ingest without faults, but for the star that the archive does not have."""
    return ingested(tmp_path_factory.mktemp("sound"), Scripted("mast", {21: [absent("mast")]}, TICS))


@pytest.fixture(scope="module")
def broken(tmp_path_factory):
    """Store of an ingest with faults; the plan is that of the sound one."""
    return ingested(tmp_path_factory.mktemp("broken"), Scripted("mast", BAD, TICS))


def ingested(place, archive):
    root = Root(str(place))
    plan = start_ingest(root, [Scripted("mast", {}, TICS)], PRODUCT, SETTINGS)
    ingest_shards(work(root, plan, archive))
    return place


def work(root, plan, archive, **changes):
    made = IngestWork.of(root, [archive], plan, range(plan.n_shards), SETTINGS)
    return replace(made, **changes)


@pytest.fixture
def root(broken, tmp_path):
    shutil.copytree(broken, tmp_path / "root")
    return Root(str(tmp_path / "root"))


@pytest.fixture
def plan(root):
    return ledger.load_plan(root, PRODUCT)


def repair(root, archive, **changes):
    plan = ledger.load_plan(root, PRODUCT)
    return ingest_shards(work(root, plan, archive, repair=True, **changes))


def stamps(root):
    return {str(p): (p.stat().st_mtime_ns, p.read_bytes()) for p in Path(root.url).rglob("*") if p.is_file()}


def outcome(root, tic):
    return next(o for record in ledger.records(root, PRODUCT) for o in record.outcomes if o.target_id == tic)


def test_what_can_be_repaired(root, plan, sound):
    assert [[t.star.target_id for t in plan.shard(i)] for i in range(3)] == [
        [11, 12, 13, 14], [15, 16, 17, 18], [19, 20, 21, 22],
    ]  # fmt: skip
    assert repairable(root, plan) == [0, 2]
    assert repairable(Root(str(sound)), plan) == []
    root.write_json(PRODUCT.repair(1), {})
    assert repairable(root, plan) == [0, 1, 2]


def test_a_repaired_store_is_the_store_without_faults(root, sound):
    archive = Scripted("mast", {21: [absent("mast")]})
    counts = repair(root, archive)
    assert counts == {"stored": 11, "absent": 1, "corrupt": 0, "unreachable": 0, "rejected": 0}
    assert tree(sound) == tree(Path(root.url))
    assert dict(archive.asked) == {12: 1, 14: 1, 20: 1}
    assert archive.closed == 1


def test_shards_and_targets_that_do_not_change_are_not_touched(root, plan):
    before = stamps(root)
    archive = Scripted("mast", {12: [good(12)], 14: [flipped(14)], 20: [flipped(20)]})
    repair(root, archive)
    after = stamps(root)
    changed = {path for path in before.keys() | after.keys() if before.get(path) != after.get(path)}
    assert changed
    assert all("/c/0" in path or path.endswith("records/000000.json") for path in changed)
    # Nothing else of the shard's record changes, nor what is kept of the target that is still corrupt.
    assert outcome(root, 14).reason == ledger.read_record(root, plan, 0).outcomes[3].reason
    assert [o.status for o in ledger.read_record(root, plan, 0).outcomes] == ["stored", "stored", "stored", "corrupt"]
    assert repairable(root, plan) == [0, 2]


@pytest.mark.parametrize("answers", [[DOWN], [flipped(20), flipped(20)]])
def test_a_repair_that_helps_nobody_changes_nothing(root, answers):
    before = stamps(root)
    repair(root, Scripted("mast", {12: [DOWN], 14: [flipped(14, 7)], 20: answers}))
    assert stamps(root) == before


def test_a_repair_may_end_in_any_status(root, plan):
    few = columns_of(20)
    few["PDCSAP_FLUX"][5:] = np.nan
    archive = Scripted("mast", {12: [flipped(12)], 14: [absent("mast")], 20: [product_bytes(20, few)]})
    counts = repair(root, archive)
    assert counts == {"stored": 8, "absent": 2, "corrupt": 1, "unreachable": 0, "rejected": 1}
    group = zarr.open_group(root.full(PRODUCT.zarr), mode="r")
    names = {code: name for name, code in Status.CODES.items()}
    assert [names[code] for code in group["status"][:]] == [
        "stored", "corrupt", "stored", "absent", *["stored"] * 4, "stored", "rejected", "absent", "stored",
    ]  # fmt: skip
    assert root.list(PRODUCT.quarantine) == [f"{PRODUCT.quarantine}/{file_name(12)}"]
    assert root.read(f"{PRODUCT.quarantine}/{file_name(12)}") == flipped(12)
    for record in ledger.records(root, PRODUCT):
        read_shard(root, plan, record.shard, record.hashes)
    # What is repaired may be repaired again.
    assert repair(root, Scripted("mast"))["stored"] == 9
    assert root.list(PRODUCT.quarantine) == []


def test_rows_of_other_targets_are_the_same_bits(root, plan):
    shard, _ = read_shard(root, plan, 0)
    repair(root, Scripted("mast"))
    after, _ = read_shard(root, plan, 0, ledger.read_record(root, plan, 0).hashes)
    for name in ("flux", "flux_err", "background", "quality", "time_correction", "centroid_col", "centroid_row"):
        np.testing.assert_array_equal(getattr(shard, name)[[0, 2]], getattr(after, name)[[0, 2]])
    columns = columns_of(14)
    np.testing.assert_array_equal(after.flux[3], columns["PDCSAP_FLUX"])
    assert (shard.stars[0], shard.stars[2]) == (after.stars[0], after.stars[2])
    assert after.stars[3].teff == 5800


def test_shards_without_a_record_are_left_to_the_ingest(root):
    root.delete(PRODUCT.record(2))
    archive = Scripted("mast")
    counts = repair(root, archive)
    assert sum(counts.values()) == 8
    assert dict(archive.asked) == {12: 1, 14: 1}
    assert ledger.recorded(root, PRODUCT) == [0, 1]


def test_an_outage_keeps_what_was_repaired_before(root):
    archive = Scripted("mast", {20: [ArchiveOutage("maintenance")]})
    with pytest.raises(ArchiveOutage, match="maintenance"):
        repair(root, archive)
    assert [o.status for o in ledger.records(root, PRODUCT)[0].outcomes] == ["stored"] * 4
    assert outcome(root, 20).status == "corrupt"
    assert ledger.unfinished_repairs(root, PRODUCT) == []
    assert archive.closed == 1


def test_a_damaged_shard_is_not_repaired(root, plan):
    path = f"{PRODUCT.zarr}/flux/c/0/0"
    data = root.read(path)
    root.write(path, data[:50] + bytes([data[50] ^ 1]) + data[51:])
    record = root.read(PRODUCT.record(0))
    with pytest.raises(StoreError, match=r"flux of shard 0 .* not what was written"):
        repair(root, Scripted("mast"))
    assert root.read(PRODUCT.record(0)) == record
    assert ledger.unfinished_repairs(root, PRODUCT) == []


class Stopped(Exception):
    """In the place of a kill."""


def stop_at(monkeypatch, end, *, after=True):
    """Stop at the write of a path with this end."""
    write = Root.write

    def stopped(self, path, data):
        if not path.endswith(end):
            write(self, path, data)
            return
        if after:
            write(self, path, data)
        raise Stopped

    monkeypatch.setattr(Root, "write", stopped)


def test_a_sweep_does_not_take_a_sector_whose_repair_is_not_finished(root, monkeypatch):
    from larun.config import Settings
    from larun.survey.sweep import start_sweep

    with monkeypatch.context() as patch:
        stop_at(patch, "flux/c/0/0")
        with pytest.raises(Stopped):
            repair(root, Scripted("mast"))
    assert ledger.unfinished_repairs(root, PRODUCT) == [0]
    with pytest.raises(StoreError, match=r"repair of 1 shards of tess/s0001/spoc-120s is not finished.*--repair"):
        start_sweep(root, PRODUCT, Settings())


def test_a_broken_off_repair_is_undone_without_any_archive(root, plan, broken, monkeypatch):
    with monkeypatch.context() as patch:
        stop_at(patch, "flux/c/0/0")
        with pytest.raises(Stopped):
            repair(root, Scripted("mast"))
    settle(root, plan, 0)
    assert tree(Path(root.url)) == tree(broken)


def test_a_repair_that_lacks_only_its_record_is_finished_without_any_archive(root, plan, monkeypatch):
    with monkeypatch.context() as patch:
        stop_at(patch, "records/000000.json", after=False)
        with pytest.raises(Stopped):
            repair(root, Scripted("mast"))
    settle(root, plan, 0)
    assert ledger.unfinished_repairs(root, PRODUCT) == []
    record = ledger.read_record(root, plan, 0)
    assert record.counts["stored"] == 4
    read_shard(root, plan, 0, record.hashes)
    assert root.list(PRODUCT.quarantine) == [f"{PRODUCT.quarantine}/{file_name(20)}"]


def test_an_object_of_neither_record_is_left_alone(root, plan, monkeypatch):
    with monkeypatch.context() as patch:
        stop_at(patch, "flux/c/0/0")
        with pytest.raises(Stopped):
            repair(root, Scripted("mast"))
    path = f"{PRODUCT.zarr}/quality/c/0/0"
    root.write(path, root.read(path) + b"x")
    with pytest.raises(StoreError, match="quality of shard 0"):
        repair(root, Scripted("mast"))
    assert ledger.unfinished_repairs(root, PRODUCT) == [0]
    assert root.read(path).endswith(b"x")


def test_a_repair_of_another_plan_or_of_a_deleted_record(root, plan):
    record = ledger.read_record(root, plan, 0)
    root.write_json(PRODUCT.repair(0), {"record": replace(record, plan_digest="f" * 64).as_json(), "rows": []})
    with pytest.raises(PlanMismatch, match="ffff"):
        repair(root, Scripted("mast"))
    root.write_json(PRODUCT.repair(0), {"record": record.as_json(), "rows": []})
    root.delete(PRODUCT.record(0))
    settle(root, plan, 0)
    assert ledger.unfinished_repairs(root, PRODUCT) == []
    with pytest.raises(NotInStore):
        ledger.read_record(root, plan, 0)


def test_a_record_that_another_run_replaced_meanwhile_is_kept(root, plan, monkeypatch):
    from larun.survey import repair as module

    other = replace(ledger.read_record(root, plan, 0), versions={"larun": "99"})
    write = module._write_objects

    def overtaken(*arguments):
        write(*arguments)
        root.write_json(PRODUCT.record(0), other.as_json())

    monkeypatch.setattr(module, "_write_objects", overtaken)
    with pytest.raises(StoreError, match="two runs worked on one sector at once"):
        repair(root, Scripted("mast"))
    assert ledger.read_record(root, plan, 0).versions == {"larun": "99"}


def test_leftovers_of_a_killed_writer_are_cleaned_away(root):
    for path in (PRODUCT.repair(0), PRODUCT.record(0), f"{PRODUCT.zarr}/flux/c/0/0"):
        root.write(f"{path}.ab{PARTIAL_SUFFIX}", b"{")
    repair(root, Scripted("mast"))
    assert not [path for path in stamps(root) if path.endswith(PARTIAL_SUFFIX)]


@pytest.mark.parametrize(
    "change",
    [
        lambda intent: {},
        lambda intent: intent | {"rows": None},
        lambda intent: intent | {"rows": [77]},
        lambda intent: intent | {"record": intent["record"] | {"shard": 2}},
        lambda intent: [],
    ],
)
def test_a_damaged_intent_is_a_store_error_and_ingesting_anew_helps(root, plan, sound, monkeypatch, change):
    with monkeypatch.context() as patch:
        stop_at(patch, "flux/c/0/0")
        with pytest.raises(Stopped):
            repair(root, Scripted("mast"))
    root.write_json(PRODUCT.repair(0), change(root.read_json(PRODUCT.repair(0))))
    before = stamps(root)
    with pytest.raises(StoreError, match=r"repairs/000000\.json"):
        settle(root, plan, 0)
    assert stamps(root) == before
    # As the error says.
    root.delete(PRODUCT.repair(0))
    root.delete(PRODUCT.record(0))
    archive = Scripted("mast", {21: [absent("mast")]})
    ingest_shards(work(root, plan, archive))
    repair(root, archive)
    assert tree(sound) == tree(Path(root.url))


@pytest.fixture(scope="module")
def uneven(tmp_path_factory):
    """A sector of five targets in two shards, all unreachable; and the same one without faults."""
    tics = range(11, 16)
    made = []
    for name, script in (("sound", {}), ("down", {tic: [DOWN] for tic in tics})):
        root = Root(str(tmp_path_factory.mktemp(name)))
        plan = start_ingest(root, [Scripted("mast", {}, tics)], PRODUCT, SETTINGS)
        ingest_shards(work(root, plan, Scripted("mast", script)))
        made.append(root)
    return made


def test_shards_of_which_nothing_came_and_a_shard_of_one_target(uneven, tmp_path, monkeypatch):
    sound, down = uneven
    plan = ledger.load_plan(down, PRODUCT)
    assert [len(plan.shard(i)) for i in range(plan.n_shards)] == [4, 1]
    assert ledger.counts(down, PRODUCT).by_status["unreachable"] == 5
    assert not down.exists(f"{PRODUCT.zarr}/flux/c/0/0")
    for record in ledger.records(down, PRODUCT):
        shard, status = read_shard(down, plan, record.shard, record.hashes)
        assert np.isnan(shard.flux).all()
        assert set(status) == {Status.CODES["unreachable"]}
    shutil.copytree(down.url, tmp_path / "root")
    root = Root(str(tmp_path / "root"))
    with monkeypatch.context() as patch:
        stop_at(patch, "quality/c/1/0")
        with pytest.raises(Stopped):
            repair(root, Scripted("mast"))
    settle(root, plan, 1)
    assert not root.exists(f"{PRODUCT.zarr}/flux/c/1/0")
    assert repairable(root, plan) == [1]
    repair(root, Scripted("mast"))
    assert tree(Path(sound.url)) == tree(Path(root.url))


def test_a_disk_that_is_full_at_any_write_of_a_repair(broken, tmp_path, monkeypatch):
    monkeypatch.setattr("os.fsync", lambda handle: None)
    write, left = objects._write_local, 0

    def full(path, data):
        nonlocal left
        left -= 1
        if left < 0:
            raise OSError(errno.ENOSPC, "No space left on device", str(path))
        write(path, data)

    shutil.copytree(broken, tmp_path / "root")
    root, said = Root(str(tmp_path / "root")), []
    repair(root, Scripted("mast"), shards=(0,))
    expected = tree(tmp_path / "root")
    for n_writes in range(60):
        shutil.rmtree(tmp_path / "root")
        shutil.copytree(broken, tmp_path / "root")
        left = n_writes
        with monkeypatch.context() as patch:
            patch.setattr(objects, "_write_local", full)
            try:
                repair(root, Scripted("mast"), shards=(0,))
            except StoreError as error:
                said.append(str(error))
        repair(root, Scripted("mast"), shards=(0,))
        assert tree(tmp_path / "root") == expected, n_writes
        if len(said) == n_writes:
            break
    assert len(said) > 12
    assert all("No space left" in text for text in said)


def test_codecs_that_give_other_bytes_than_before_the_kill_are_noticed(root, plan, monkeypatch):
    """As another version of numcodecs may; what the error says helps."""
    with monkeypatch.context() as patch:
        stop_at(patch, "flux/c/0/0")
        with pytest.raises(Stopped):
            repair(root, Scripted("mast"))
    compress = blosc.compress
    monkeypatch.setattr(blosc, "compress", lambda data, codec, level, *rest: compress(data, codec, 0, *rest))
    with pytest.raises(StoreError, match=r"flux of shard 0 .* Delete .*records/000000\.json and ingest again"):
        repair(root, Scripted("mast"))
    root.delete(PRODUCT.record(0))
    ingest_shards(work(root, plan, Scripted("mast")))
    counts = repair(root, Scripted("mast"))
    assert counts["stored"] == 12 - (outcome(root, 21).status == "absent")
    assert ledger.unfinished_repairs(root, PRODUCT) == []
    for record in ledger.records(root, PRODUCT):
        read_shard(root, plan, record.shard, record.hashes)

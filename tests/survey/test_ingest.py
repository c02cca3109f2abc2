"""The ingest of a small sector from FITS files: what is stored, and what becomes of bad products."""

import json
import logging
import os
from dataclasses import replace

import numpy as np
import pytest
import zarr
from tiny_sector import (
    FIRST_CADENCE,
    GAP,
    N_CADENCES,
    PRODUCT,
    SETTINGS,
    columns_of,
    correction,
    file_name,
    product_bytes,
    spacecraft_time,
    tree,
    write_folder,
)

from larun import ledger
from larun.archive.folder import FolderArchive
from larun.config import Settings
from larun.errors import ConfigurationError, InputError, PlanMismatch, ProductUnreachable, StoreError
from larun.objects import Root
from larun.paths import Product
from larun.plan import Plan, TargetList, load_plan
from larun.schema import Status
from larun.store.reading import read_shard
from larun.survey.ingest import IngestWork, ingest_shards, make_plan, start_ingest

TICS = (11, 12, 13, 14, 15, 16)


@pytest.fixture
def folder(tmp_path):
    return write_folder(tmp_path / "files", TICS)


@pytest.fixture
def root(tmp_path):
    return Root(str(tmp_path / "root"))


def ingest(root, archive, settings=SETTINGS, product=PRODUCT):
    plan = start_ingest(root, [archive], product, settings)
    ingest_shards(IngestWork.of(root, [archive], plan, range(plan.n_shards), settings))
    return plan


def outcome(root, tic):
    return next(o for record in ledger.records(root, PRODUCT) for o in record.outcomes if o.target_id == tic)


def test_arrays_hold_what_the_files_hold(folder, root):
    plan = ingest(root, FolderArchive(folder))
    group = zarr.open_group(root.full(PRODUCT.zarr), mode="r")
    assert group["flux"].shape == (len(TICS), N_CADENCES)
    order = [t.star.target_id for t in plan.targets]
    assert sorted(order) == list(TICS)
    np.testing.assert_array_equal(group["target_id"][:], order)
    names = {"flux": "PDCSAP_FLUX", "flux_err": "PDCSAP_FLUX_ERR", "background": "SAP_BKG", "quality": "QUALITY",
             "centroid_col": "MOM_CENTR1", "centroid_row": "MOM_CENTR2"}  # fmt: skip
    for row, tic in enumerate(order):
        columns = columns_of(tic)
        for ours, theirs in names.items():
            np.testing.assert_array_equal(group[ours][row], columns[theirs].astype(group[ours].dtype), err_msg=ours)
        assert group["tmag"][row] == np.float32(9.0 + tic / 1000)
    assert set(group["status"][:]) == {Status.CODES["stored"]}
    # 48 cadences less 3 in the gap and 1 with bit 8, which the default mask rejects.
    assert set(group["n_good"][:]) == {N_CADENCES - 4}


def test_barycentric_time_is_reproduced_within_a_twentieth_of_a_millisecond(folder, root):
    plan = ingest(root, FolderArchive(folder))
    for index in range(plan.n_shards):
        shard, _ = read_shard(root, plan, index)
        for row, star in enumerate(shard.stars):
            exact = spacecraft_time() + correction(star.target_id)
            error_s = np.abs(shard.barycentric_time(row) - exact) * 86400
            assert error_s.max() < 5e-5
            assert np.isnan(shard.time_correction[row, GAP]).all()


def test_grid_spans_all_cadences_and_bridges_the_gap_linearly(folder):
    plan = make_plan([FolderArchive(folder)], PRODUCT, SETTINGS)
    assert plan.grid.first == FIRST_CADENCE
    np.testing.assert_allclose(plan.grid.time, spacecraft_time(), rtol=0, atol=1e-9)
    assert (plan.time_format, plan.flux_unit) == ("btjd", "electron/s")


def test_record_tells_the_origin_of_every_target(folder, root):
    plan = ingest(root, FolderArchive(folder))
    saved = json.loads(root.read(PRODUCT.record(0)))
    assert saved["plan_digest"] == plan.digest
    assert saved["counts"] == {"stored": 4, "absent": 0, "corrupt": 0, "unreachable": 0, "rejected": 0}
    assert {target["archive"] for target in saved["targets"]} == {"folder"}
    assert saved["targets"][0]["source"] == plan.targets[0].product
    assert {"larun", "zarr", "numpy"} <= saved["versions"].keys()
    assert not any("time" in key and key != "time_correction" for key in saved["sha256"])
    assert str(folder) not in root.read(PRODUCT.record(0)).decode()


def test_a_second_run_changes_nothing(folder, root, tmp_path):
    archive = FolderArchive(folder)
    plan = ingest(root, archive)
    before = tree(tmp_path / "root")
    stamps = {p: p.stat().st_mtime_ns for p in (tmp_path / "root").rglob("*") if p.is_file()}
    assert ledger.pending(root, plan) == []
    ingest(root, archive)
    assert tree(tmp_path / "root") == before
    assert {p: p.stat().st_mtime_ns for p in (tmp_path / "root").rglob("*") if p.is_file()} == stamps


def test_number_of_threads_and_place_of_the_files_change_no_byte(folder, tmp_path):
    ingest(Root(str(tmp_path / "a")), FolderArchive(folder), SETTINGS)
    moved = folder.rename(tmp_path / "elsewhere")
    ingest(Root(str(tmp_path / "b")), FolderArchive(moved), SETTINGS.model_copy(update={"fetch_threads": 7}))
    assert tree(tmp_path / "a") == tree(tmp_path / "b")


def damaged(name):
    """One bad product and the word that its reason must contain."""
    good = product_bytes(13)
    if name == "truncated":
        return good[: len(good) // 2], "corrupt", ""
    if name == "flipped bit":
        position = len(good) - 2880 + 100
        return good[:position] + bytes([good[position] ^ 4]) + good[position + 1 :], "corrupt", "checksum"
    if name == "other star":
        return product_bytes(99), "corrupt", "99"
    if name == "other sector":
        return product_bytes(13, SECTOR=2), "corrupt", "sector"
    if name == "web page":
        return b"<!DOCTYPE html><html><body>503 Service Unavailable</body></html>" * 60, "corrupt", "HTML"
    if name == "empty":
        return b"", "corrupt", ""
    if name == "all NaN":
        return product_bytes(13, columns_of(13, nan=True)), "rejected", "no finite flux"
    if name == "few cadences":
        columns = columns_of(13)
        columns["PDCSAP_FLUX"][8:] = np.nan
        return product_bytes(13, columns), "rejected", "7 good cadences of 48, at least 10 are needed"
    if name == "cadence twice":
        columns = columns_of(13)
        columns["CADENCENO"][7] = columns["CADENCENO"][6]
        return product_bytes(13, columns), "corrupt", "more than once"
    if name == "off the grid":
        columns = columns_of(13)
        columns["CADENCENO"] += 1000
        return product_bytes(13, columns), "rejected", "outside"
    columns = columns_of(13)
    columns["TIME"] += 0.5
    return product_bytes(13, columns), "corrupt", "differs from the sector's"


@pytest.mark.parametrize(
    "name",
    ["truncated", "flipped bit", "other star", "other sector", "web page", "empty", "all NaN", "few cadences",
     "cadence twice", "off the grid", "other time"],
)  # fmt: skip
def test_a_bad_product_becomes_its_targets_status_and_the_others_are_stored(folder, root, name, monkeypatch):
    data, status, word = damaged(name)
    # The grid is not made of the bad product: it is not the business of this test.
    good = make_plan([FolderArchive(folder)], PRODUCT, SETTINGS)
    monkeypatch.setattr("larun.survey.ingest.make_plan", lambda *_: good)
    (folder / file_name(13)).write_bytes(data)
    plan = ingest(root, FolderArchive(folder))
    found = outcome(root, 13)
    assert found.status == status
    assert word in found.reason
    assert found.reason
    counts = ledger.counts(root, PRODUCT)
    assert counts.by_status["stored"] == len(TICS) - 1
    assert counts.failures == (found,)
    row = [t.star.target_id for t in plan.targets].index(13)
    group = zarr.open_group(root.full(PRODUCT.zarr), mode="r")
    assert np.isnan(group["flux"][row]).all()
    assert (group["quality"][row] == -1).all()
    assert group["status"][row] == Status.CODES[status]
    quarantined = root.list(PRODUCT.quarantine)
    assert quarantined == ([f"{PRODUCT.quarantine}/{file_name(13)}"] if status == "corrupt" else [])
    if quarantined:
        assert root.read(quarantined[0]) == data


def test_bad_products_do_not_make_the_grid(folder, root):
    """The first and last of the plan are references; neither may keep the others from being stored."""
    (folder / file_name(11)).write_bytes(b"<html>")
    (folder / file_name(16)).write_bytes(product_bytes(16)[:4000])
    ingest(root, FolderArchive(folder))
    counts = ledger.counts(root, PRODUCT).by_status
    assert (counts["stored"], counts["corrupt"]) == (4, 2)


def test_quarantine_can_be_turned_off(folder, root):
    (folder / file_name(12)).write_bytes(b"<html>")
    ingest(root, FolderArchive(folder), SETTINGS.model_copy(update={"quarantine": False}))
    assert outcome(root, 12).status == "corrupt"
    assert not root.exists(PRODUCT.quarantine)


def test_a_product_that_is_gone_is_absent(folder, root):
    archive = FolderArchive(folder)
    plan = start_ingest(root, [archive], PRODUCT, SETTINGS)
    (folder / file_name(14)).unlink()
    ingest_shards(IngestWork.of(root, [archive], plan, range(plan.n_shards), SETTINGS))
    assert outcome(root, 14).status == "absent"
    assert ledger.counts(root, PRODUCT).by_status["stored"] == 5


class Flaky(FolderArchive):
    """An archive whose product of TIC 12 raises."""

    error: Exception = OSError(5, "Input/output error")

    def fetch(self, product, target):
        if target.star.target_id == 12:
            raise self.error
        return super().fetch(product, target)


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (ProductUnreachable("503 three times"), "unreachable"),
        (OSError("connection reset"), "unreachable"),
        (ZeroDivisionError("a bug"), "unreachable"),
    ],
)
def test_what_befalls_one_fetch_is_that_targets_status(folder, root, error, status, caplog):
    good = FolderArchive(folder)
    plan = start_ingest(root, [good], PRODUCT, SETTINGS)
    archive = Flaky(folder)
    archive.error = error
    ingest_shards(IngestWork.of(root, [archive], plan, range(plan.n_shards), SETTINGS))
    found = outcome(root, 12)
    assert found.status == status
    assert str(error) in found.reason
    unforeseen = [r for r in caplog.records if r.levelno == logging.ERROR]
    assert bool(unforeseen) == isinstance(error, ZeroDivisionError)
    assert ledger.counts(root, PRODUCT).by_status["stored"] == 5


def test_an_unforeseen_error_while_decoding_is_that_targets_status(folder, root, monkeypatch, caplog):
    archive = FolderArchive(folder)
    plan = start_ingest(root, [archive], PRODUCT, SETTINGS)
    from larun.survey import obtain as module

    decode = module.decode

    def broken(data, source=""):
        if source == file_name(12):
            raise IndexError("a bug")
        return decode(data, source)

    monkeypatch.setattr(module, "decode", broken)
    ingest_shards(IngestWork.of(root, [archive], plan, range(plan.n_shards), SETTINGS))
    assert outcome(root, 12).reason == "IndexError: a bug"
    assert outcome(root, 12).status == "corrupt"
    assert any(r.exc_info for r in caplog.records)


@pytest.mark.parametrize("place", ["fetch", "decode"])
def test_running_out_of_memory_is_no_fault_of_the_target(folder, root, place, monkeypatch):
    archive = Flaky(folder)
    archive.error = MemoryError()
    plan = start_ingest(root, [FolderArchive(folder)], PRODUCT, SETTINGS)
    if place == "decode":
        archive = FolderArchive(folder)

        def full(*_):
            raise MemoryError

        monkeypatch.setattr("larun.survey.obtain.decode", full)
    index = next(i for i in range(plan.n_shards) if any(t.star.target_id == 12 for t in plan.shard(i)))
    with pytest.raises(MemoryError):
        ingest_shards(IngestWork.of(root, [archive], plan, [index], SETTINGS))
    assert ledger.pending(root, plan) == list(range(plan.n_shards))


def test_empty_folder_and_unknown_sector_say_what_there_is(tmp_path, folder, root):
    (tmp_path / "nothing").mkdir()
    with pytest.raises(InputError, match="nothing"):
        start_ingest(root, [FolderArchive(tmp_path / "nothing")], PRODUCT, SETTINGS)
    with pytest.raises(InputError, match="tess/s0001/spoc-120s"):
        start_ingest(root, [FolderArchive(folder)], Product("tess", 77, "spoc", 120), SETTINGS)
    assert not root.exists(PRODUCT.plan_json)


def test_a_sector_of_bad_products_alone_says_what_each_said(folder, root):
    for tic in TICS:
        (folder / file_name(tic)).write_bytes(b"<html>")
    with pytest.raises(InputError) as caught:
        start_ingest(root, [FolderArchive(folder)], PRODUCT, SETTINGS)
    assert all(file_name(tic) in str(caught.value) for tic in TICS)


def test_a_sector_of_unreachable_products_is_worth_another_try(folder, root):
    class Down(FolderArchive):
        def fetch(self, product, target):
            raise ProductUnreachable("503")

    with pytest.raises(ProductUnreachable, match="503"):
        start_ingest(root, [Down(folder)], PRODUCT, SETTINGS)


def test_an_unwritable_root_is_refused_before_any_fetch(folder, tmp_path):
    (tmp_path / "file").write_text("not a folder")

    class NeverAsked(FolderArchive):
        def targets(self, product):
            raise AssertionError

    with pytest.raises(StoreError, match=r"cannot .*file/root.*rights"):
        start_ingest(Root(str(tmp_path / "file" / "root")), [NeverAsked(folder)], PRODUCT, SETTINGS)


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"shard_targets": 2}, "shard_targets"),
        ({"chunk_targets": 1}, "chunk_targets"),
        ({"min_good_cadences": 11}, "min_good_cadences"),
        ({"quality_mask": 1}, "quality_mask"),
    ],
)
def test_another_plan_for_the_same_store_is_refused_naming_the_field(folder, root, tmp_path, change, field):
    ingest(root, FolderArchive(folder))
    before = tree(tmp_path / "root")
    with pytest.raises(PlanMismatch, match=field) as caught:
        start_ingest(root, [FolderArchive(folder)], PRODUCT, SETTINGS.model_copy(update=change))
    assert caught.value.fields == (field,)
    assert tree(tmp_path / "root") == before


def test_other_targets_for_the_same_store_are_refused_naming_one(folder, root):
    ingest(root, FolderArchive(folder))
    (folder / file_name(13)).unlink()
    write_folder(folder, [17])
    with pytest.raises(PlanMismatch, match=file_name(17)) as caught:
        start_ingest(root, [FolderArchive(folder)], PRODUCT, SETTINGS)
    assert "targets" in caught.value.fields


def test_settings_that_change_no_byte_may_change(folder, root):
    plan = ingest(root, FolderArchive(folder))
    changed = SETTINGS.model_copy(update={"fetch_threads": 9, "quarantine": False})
    assert start_ingest(root, [FolderArchive(folder)], PRODUCT, changed).digest == plan.digest


def test_work_of_another_plan_is_refused(folder, root):
    archive = FolderArchive(folder)
    plan = start_ingest(root, [archive], PRODUCT, SETTINGS)
    work = replace(IngestWork.of(root, [archive], plan, [0], SETTINGS), plan_digest="0" * 64)
    with pytest.raises(PlanMismatch, match="000000"):
        ingest_shards(work)


def test_grid_is_kept_when_the_references_change(folder, root):
    """A resumed run reuses the stored grid, also when the files that it came from are damaged now."""
    start_ingest(root, [FolderArchive(folder)], PRODUCT, SETTINGS)
    kept = load_plan(root, PRODUCT)
    for tic in TICS[:5]:
        data = (folder / file_name(tic)).read_bytes()
        (folder / file_name(tic)).write_bytes(data[:-2880])
    assert start_ingest(root, [FolderArchive(folder)], PRODUCT, SETTINGS).digest == kept.digest


def test_chunks_must_divide_shards(folder, root):
    with pytest.raises(ConfigurationError, match="multiple"):
        make_plan(
            [FolderArchive(folder)], PRODUCT, SETTINGS.model_copy(update={"shard_targets": 5, "chunk_targets": 2})
        )
    small = SETTINGS.model_copy(update={"shard_targets": 3, "chunk_targets": 16})
    assert make_plan([FolderArchive(folder)], PRODUCT, small).chunk_targets == 3


def test_an_archive_that_lists_a_star_twice_is_refused(folder):
    class Twice(FolderArchive):
        def targets(self, product):
            first, *_ = super().targets(product)
            return TargetList((first, replace(first, product="copy.fits")))

    with pytest.raises(InputError, match="twice"):
        make_plan([Twice(folder)], PRODUCT, SETTINGS)


def test_an_archive_that_lists_nothing_is_refused(folder):
    class Empty(FolderArchive):
        def targets(self, product):
            return TargetList(())

    with pytest.raises(InputError, match="holds nothing"):
        make_plan([Empty(folder)], PRODUCT, SETTINGS)


def test_work_is_a_small_value_that_can_be_sent(folder, root):
    import pickle

    archive = FolderArchive(folder)
    plan = start_ingest(root, [archive], PRODUCT, SETTINGS)
    sent = pickle.dumps(IngestWork.of(root, [archive], plan, [1], SETTINGS))
    assert len(sent) < 2000
    assert ingest_shards(pickle.loads(sent))["stored"] == 2
    assert root.exists(PRODUCT.record(1))


@pytest.mark.parametrize("cards", [{"CAMERA": 300}, {"CCD": -1}, {"TICID": 10**25}, {"TICID": -5}, {"SECTOR": -1}])
def test_impossible_header_values_keep_no_other_target_from_being_stored(folder, root, cards):
    """There are no checksums in files of every pipeline, so damage may pass for a value."""
    (folder / "odd.fits").write_bytes(product_bytes(20, **cards))
    ingest(root, FolderArchive(folder))
    assert ledger.counts(root, PRODUCT).by_status["stored"] >= len(TICS)


def test_a_file_name_that_is_not_utf8_is_left_out_and_logged(folder, root, caplog):
    (folder / os.fsdecode(b"caf\xe9.fits")).write_bytes(product_bytes(20))
    (folder / "café 星.fits").write_bytes(product_bytes(21))
    ingest(root, FolderArchive(folder))
    assert ledger.counts(root, PRODUCT).by_status["stored"] == len(TICS) + 1
    assert "not UTF-8" in caplog.text


def test_products_of_one_name_are_quarantined_apart(folder, root):
    products = {}
    for tic in (31, 32):
        good = product_bytes(tic)
        products[tic] = good[:-2780] + bytes([good[-2780] ^ 4]) + good[-2779:]
        (folder / str(tic)).mkdir()
        (folder / str(tic) / "lc.fits").write_bytes(products[tic])
    ingest(root, FolderArchive(folder))
    for tic, data in products.items():
        assert outcome(root, tic).status == "corrupt"
        assert root.read(f"{PRODUCT.quarantine}/{tic}/lc.fits") == data


@pytest.mark.parametrize("error", [FileNotFoundError, PermissionError, OSError])
def test_reasons_name_the_product_and_no_folder(folder, root, error, monkeypatch):
    archive = FolderArchive(folder)
    plan = start_ingest(root, [archive], PRODUCT, SETTINGS)

    def refuse(path):
        raise error(5, "Input/output error", str(path))

    monkeypatch.setattr("pathlib.Path.read_bytes", refuse)
    for index in range(plan.n_shards):
        ingest_shards(IngestWork.of(root, [archive], plan, [index], SETTINGS))
        record = ledger.read_record(root, plan, index)
        assert {o.status for o in record.outcomes} == {"absent" if error is FileNotFoundError else "unreachable"}
        for found in record.outcomes:
            assert found.product in found.reason
            assert str(folder) not in found.reason
    flaky = Flaky(folder)
    flaky.error = OSError(5, "Input/output error", str(folder / "x"))
    other = Root(f"{root.url}-2")
    monkeypatch.undo()
    ingest(other, flaky)
    assert outcome(other, 12).reason == "OSError: Input/output error"


def test_a_plan_that_another_run_saved_meanwhile_is_not_taken_for_this_one(folder, root, monkeypatch):
    archive = FolderArchive(folder)
    other = make_plan([archive], PRODUCT, SETTINGS.model_copy(update={"min_good_cadences": 11}))
    save = Plan.save

    def overtaken(plan, place):
        assert save(other, place)
        assert not save(plan, place)

    monkeypatch.setattr(Plan, "save", overtaken)
    with pytest.raises(PlanMismatch, match="min_good_cadences is 11 in the store and 10 in this run"):
        start_ingest(root, [archive], PRODUCT, SETTINGS)
    assert load_plan(root, PRODUCT).digest == other.digest


def test_readers_see_a_shard_that_is_being_written_as_pending(folder, root, monkeypatch):
    """At every write of the shard: the target is pending or whole, and nobody is told to delete anything."""
    archive = FolderArchive(folder)
    plan = start_ingest(root, [archive], PRODUCT, SETTINGS)
    write = Root.write
    seen = []

    def looked(self, path, data):
        write(self, path, data)
        if "/c/0" in path:
            shard, status = read_shard(root, plan, 0)
            assert (status == 0).all() or np.isfinite(shard.flux[:, 0]).all()
            seen.append(status[0])

    monkeypatch.setattr(Root, "write", looked)
    ingest_shards(IngestWork.of(root, [archive], plan, [0], SETTINGS))
    assert seen[-1] == Status.CODES["stored"]
    assert set(seen[:-1]) == {0}


def test_two_runs_with_products_that_differ_end_in_one_consistent_store(folder, root, tmp_path, monkeypatch):
    """The second run finds another record when it is done; its retry makes the shard anew."""
    changed = write_folder(tmp_path / "changed", TICS)
    (changed / file_name(12)).write_bytes(product_bytes(12, columns_of(99)))
    plan = start_ingest(root, [FolderArchive(folder)], PRODUCT, SETTINGS)
    first = IngestWork.of(root, [FolderArchive(folder)], plan, [0], SETTINGS)
    second = replace(first, archives=(FolderArchive(changed),))
    monkeypatch.setattr("larun.survey.ingest.recorded", lambda *_: [])
    ingest_shards(first)
    with pytest.raises(StoreError, match="two runs worked on one sector"):
        ingest_shards(second)
    monkeypatch.undo()
    ingest_shards(second)
    alone = Root(str(tmp_path / "alone"))
    assert start_ingest(alone, [FolderArchive(changed)], PRODUCT, SETTINGS).digest == plan.digest
    ingest_shards(replace(second, root=alone))
    assert ledger.read_record(alone, plan, 0).hashes == ledger.read_record(root, plan, 0).hashes
    assert read_shard(root, plan, 0)[0].flux.tobytes() == read_shard(alone, plan, 0)[0].flux.tobytes()


@pytest.mark.parametrize(("author", "mask"), [("tess-spoc", 17087), ("tasoc", 1 | 2 | 4 | 128)])
def test_a_plan_counts_good_cadences_by_the_bits_of_its_pipeline(real_data, author, mask):
    product = Product("tess", 1, author, 1800)
    plan = make_plan([FolderArchive(str(real_data / "fits"))], product, Settings().ingest)
    assert plan.quality_mask == mask


@pytest.mark.parametrize(
    ("column", "change", "status"),
    [("CADENCENO", 2**20, "rejected"), ("CADENCENO", -(2**22), "rejected"), ("TIME", 0.7, "corrupt")],
)
def test_a_product_whose_times_do_not_follow_its_cadences_makes_no_grid(folder, root, column, change, status):
    """One flipped bit, in a file without checksums, of the first reference."""
    columns = columns_of(11)
    columns[column][30] += change
    (folder / file_name(11)).write_bytes(product_bytes(11, columns))
    plan = ingest(root, FolderArchive(folder))
    np.testing.assert_allclose(plan.grid.time, spacecraft_time(), rtol=0, atol=1e-9)
    assert outcome(root, 11).status == status
    assert ledger.counts(root, PRODUCT).by_status["stored"] == len(TICS) - 1

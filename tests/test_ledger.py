"""Shard records: written once, last; counts and remaining work from the store alone."""

import json
from dataclasses import replace

import pytest
from tiny_sector import PRODUCT, plan_of

from larun import ledger
from larun.errors import NotInStore, PlanMismatch, StoreError
from larun.ledger import ShardRecord, TargetOutcome, counts, pending, read_record, records, write_record
from larun.objects import PARTIAL_SUFFIX, Root
from larun.schema import SCHEMA_VERSION, SECTOR_ARRAYS

HASHES = {array.name: "00" for array in SECTOR_ARRAYS if array.dims[0] == "target"}


@pytest.fixture
def root(tmp_path):
    return Root(str(tmp_path))


@pytest.fixture
def plan(root):
    plan = plan_of(10)
    plan.save(root)
    return plan


def record_of(plan, index, statuses=None):
    targets = plan.shard(index)
    statuses = statuses or ["stored"] * len(targets)
    outcomes = tuple(
        TargetOutcome(t.star.target_id, s, "" if s == "stored" else f"{s} because", 40, t.product, "ab", t.product)
        for t, s in zip(targets, statuses, strict=True)
    )
    return ShardRecord(plan.digest, index, outcomes, HASHES)


def test_record_survives(root, plan):
    record = record_of(plan, 1, ["stored", "absent", "corrupt", "unreachable"])
    write_record(root, PRODUCT, record)
    assert read_record(root, plan, 1) == record
    saved = json.loads(root.read(f"{PRODUCT.zarr}/records/000001.json"))
    assert saved["counts"] == {"stored": 1, "absent": 1, "corrupt": 1, "unreachable": 1, "rejected": 0}
    assert saved["targets"][1]["reason"] == "absent because"


def test_record_is_written_once(root, plan, tmp_path):
    write_record(root, PRODUCT, record_of(plan, 0))
    path = tmp_path / PRODUCT.record(0)
    stamp, content = path.stat().st_mtime_ns, path.read_bytes()
    write_record(root, PRODUCT, record_of(plan, 0))
    assert path.stat().st_mtime_ns == stamp
    assert path.read_bytes() == content


def test_two_runs_that_differ_leave_the_shard_pending(root, plan):
    """Both wrote the same arrays, so neither record is true; the next run makes both anew."""
    write_record(root, PRODUCT, record_of(plan, 0))
    write_record(root, PRODUCT, record_of(plan, 1))
    with pytest.raises(StoreError, match=r"something else.*ingested again"):
        write_record(root, PRODUCT, record_of(plan, 0, ["absent"] + ["stored"] * 3))
    assert pending(root, plan) == [0, 2]


def test_a_record_of_another_plan_is_not_touched(root, plan, tmp_path):
    write_record(root, PRODUCT, replace(record_of(plan, 0), plan_digest="f" * 64))
    content = (tmp_path / PRODUCT.record(0)).read_bytes()
    with pytest.raises(PlanMismatch, match="ffff"):
        write_record(root, PRODUCT, record_of(plan, 0))
    assert (tmp_path / PRODUCT.record(0)).read_bytes() == content


def test_other_files_among_the_records_are_passed_over(root, plan):
    write_record(root, PRODUCT, record_of(plan, 0))
    root.write(f"{PRODUCT.records}/000000 copy.json", b"{}")
    assert ledger.recorded(root, PRODUCT) == [0]
    assert pending(root, plan) == [1, 2]


def test_leftovers_of_a_killed_writer_are_no_record(root, plan, tmp_path):
    partial = tmp_path / f"{PRODUCT.record(0)}.ab{PARTIAL_SUFFIX}"
    partial.parent.mkdir(parents=True)
    partial.write_text("{")
    assert pending(root, plan) == [0, 1, 2]
    write_record(root, PRODUCT, record_of(plan, 0))
    assert [p.name for p in partial.parent.iterdir()] == ["000000.json"]


def test_pending_is_the_plan_minus_the_records(root, plan):
    assert pending(root, plan) == [0, 1, 2]
    write_record(root, PRODUCT, record_of(plan, 1))
    assert pending(root, plan) == [0, 2]
    assert ledger.recorded(root, PRODUCT) == [1]
    for index in (0, 2):
        write_record(root, PRODUCT, record_of(plan, index))
    assert pending(root, plan) == []
    assert [r.shard for r in records(root, PRODUCT)] == [0, 1, 2]


def test_counts(root, plan):
    write_record(root, PRODUCT, record_of(plan, 0, ["stored", "rejected", "stored", "corrupt"]))
    write_record(root, PRODUCT, record_of(plan, 2, ["stored", "unreachable"]))
    found = counts(root, PRODUCT)
    assert (found.targets, found.shards, found.recorded_shards, found.complete) == (10, 3, 2, False)
    assert found.by_status == {
        "stored": 3, "absent": 0, "corrupt": 1, "unreachable": 1, "rejected": 1, "pending": 4,
    }  # fmt: skip
    assert [(o.target_id, o.reason) for o in found.failures] == [
        (1, "rejected because"),
        (3, "corrupt because"),
        (9, "unreachable because"),
    ]
    write_record(root, PRODUCT, record_of(plan, 1))
    assert counts(root, PRODUCT).complete


def test_records_of_another_plan_are_refused(root, plan):
    write_record(root, PRODUCT, replace(record_of(plan, 0), plan_digest="f" * 64))
    for call in (
        lambda: read_record(root, plan, 0),
        lambda: pending(root, plan),
        lambda: counts(root, PRODUCT),
        lambda: records(root, PRODUCT),
    ):
        with pytest.raises(PlanMismatch, match="ffff") as caught:
            call()
        assert caught.value.fields == ("plan_digest",)


def test_absent_records_and_plans(root, tmp_path):
    with pytest.raises(NotInStore, match="records/000000"):
        read_record(root, plan_of(10), 0)
    with pytest.raises(NotInStore):
        counts(root, PRODUCT)


def test_a_record_of_another_make_is_refused(root, plan):
    root.write_json(PRODUCT.record(0), {"plan_digest": plan.digest})
    with pytest.raises(StoreError, match=f"schema version {SCHEMA_VERSION}"):
        read_record(root, plan, 0)
    root.write(PRODUCT.record(0), b"{ torn")
    with pytest.raises(StoreError, match="should hold JSON"):
        read_record(root, plan, 0)


def test_status_is_one_of_the_five():
    with pytest.raises(StoreError, match="stored, absent, corrupt, unreachable, rejected"):
        TargetOutcome(1, "lost")


def test_record_holds_no_time_of_day(plan):
    """Two records of the same work are equal bytes."""
    first, second = record_of(plan, 0), record_of(plan, 0)
    assert json.dumps(first.as_json()) == json.dumps(second.as_json())


def with_reasons(plan, index, reasons, **changes):
    record = record_of(plan, index, ["unreachable"] * len(reasons))
    outcomes = (replace(o, reason=r, **changes) for o, r in zip(record.outcomes, reasons, strict=True))
    return replace(record, outcomes=tuple(outcomes))


def test_like_reasons_are_one_line_with_an_example(root, plan):
    name = "tess2018206045859-s0001-{:016d}-0120-s_lc.fits"
    first = [f"https://cloud.example/tess/{name.format(i)} answers 503 and asks for {i} s" for i in range(4)]
    write_record(root, PRODUCT, with_reasons(plan, 0, first))
    second = [f"{name.format(i)} came with 0x{i:x}a of 2039{i}40 bytes" for i in range(4)]
    write_record(root, PRODUCT, with_reasons(plan, 1, second))
    last = with_reasons(plan, 2, ["the cloud is grey", first[0]])
    write_record(root, PRODUCT, replace(last, outcomes=(last.outcomes[0], replace(last.outcomes[1], status="corrupt"))))
    reasons = counts(root, PRODUCT).by_reason
    assert [(r.status, r.targets) for r in reasons] == [
        ("unreachable", 4), ("unreachable", 4), ("unreachable", 1), ("corrupt", 1),
    ]  # fmt: skip
    assert reasons[0].kind == "ADDRESS answers N and asks for N s"
    assert reasons[1].kind == "FILE came with N of N bytes"
    assert reasons[0].example.target_id == 0
    assert reasons[0].example.reason == first[0]
    assert sum(r.targets for r in reasons) == len(counts(root, PRODUCT).failures)


@pytest.mark.parametrize(
    ("reason", "kind"),
    [
        ("7 good cadences of 48, at least 10 are needed", "N good cadences of N, at least N are needed"),
        ("this is not FITS: it starts with b'<a \\'x', expected b'SIMPLE  ='",
         "this is not FITS: it starts with BYTES, expected BYTES"),
        ("sum must be ffffffff and is 03fe12ab; bits changed", "sum must be ffffffff and is N; bits changed"),
        ("cloud: the bucket has no tess/public/a_lc.fits (status 404); mast: MAST has no a_lc.fits",
         "cloud: the bucket has no FILE (status N); mast: MAST has no FILE"),
        ("mast: http://127.0.0.1:8080/api/v0.1/Download/file?uri=mast:TESS/product/a answers 504",
         "mast: ADDRESS answers N"),
    ],
)  # fmt: skip
def test_the_kind_of_a_reason(reason, kind):
    assert ledger.reason_kind(reason) == kind


def test_archives_and_left_out_cadences_are_counted(root, plan):
    record = record_of(plan, 0, ["stored", "stored", "corrupt", "absent"])
    named = zip(record.outcomes, ("mast", "cloud", "mast", ""), (0, 3, 3, 0), strict=True)
    outcomes = tuple(replace(o, archive=name, n_outside=n) for o, name, n in named)
    write_record(root, PRODUCT, replace(record, outcomes=outcomes))
    found = counts(root, PRODUCT)
    assert found.by_archive == {"cloud": 1, "mast": 2}
    assert found.outside == 1
    assert read_record(root, plan, 0).outcomes == outcomes


def test_a_record_is_replaced_only_if_it_is_the_one_that_was_read(root, plan):
    old, new = record_of(plan, 0, ["unreachable"] + ["stored"] * 3), record_of(plan, 0)
    write_record(root, PRODUCT, old)
    ledger.replace_record(root, PRODUCT, old, new)
    assert read_record(root, plan, 0) == new
    with pytest.raises(StoreError, match="two runs worked on one sector at once"):
        ledger.replace_record(root, PRODUCT, old, new)
    assert read_record(root, plan, 0) == new


def test_a_repair_that_is_not_finished_is_seen(root, plan):
    ledger.require_settled(root, PRODUCT)
    assert ledger.unfinished_repairs(root, PRODUCT) == []
    for shard in (2, 0):
        root.write_json(PRODUCT.repair(shard), {})
    assert ledger.unfinished_repairs(root, PRODUCT) == [0, 2]
    with pytest.raises(StoreError, match=r"repair of 2 shards .* the first is 0.*ingest --repair"):
        ledger.require_settled(root, PRODUCT)


def changed(root, plan, change):
    """Record of the first shard, changed by hand."""
    write_record(root, PRODUCT, record_of(plan, 0))
    value = root.read_json(PRODUCT.record(0))
    change(value)
    root.write_json(PRODUCT.record(0), value)


@pytest.mark.parametrize(
    ("change", "word"),
    [
        (lambda record: record.update(shard=1), "of shard 1 and not of the 4 targets that shard 0 has"),
        (lambda record: record["targets"][0].update(target_id=99), "somebody copied or changed it"),
        (lambda record: record["targets"].reverse(), "somebody copied or changed it"),
        (lambda record: record["targets"][0].update(status="absent"), "counts .* and lists"),
        (lambda record: record["targets"].pop(), "counts .* and lists"),
        (lambda record: record["targets"][0].update(status="lost"), "status must be one of"),
    ],
)
def test_a_record_that_somebody_changed_is_refused_by_everybody(root, plan, change, word):
    changed(root, plan, change)
    for read in (lambda: read_record(root, plan, 0), lambda: counts(root, PRODUCT), lambda: pending(root, plan)):
        with pytest.raises(StoreError, match=word):
            read()


@pytest.mark.parametrize(
    "change",
    [
        lambda hashes: hashes.clear(),
        lambda hashes: hashes.pop("flux"),
        lambda hashes: hashes.update(flax=hashes.pop("flux")),
    ],
)
def test_a_record_without_the_hash_of_every_array_is_not_read_by(root, plan, change):
    """What is read by it would not be compared with anything."""
    changed(root, plan, lambda record: change(record["sha256"]))
    with pytest.raises(StoreError, match=r"does not hold the hash of every array.*flux"):
        read_record(root, plan, 0)


def test_a_record_that_was_copied_finishes_no_other_shard(root, plan):
    write_record(root, PRODUCT, record_of(plan, 0))
    for other in (1, 7):
        root.write(PRODUCT.record(other), root.read(PRODUCT.record(0)))
        with pytest.raises(StoreError, match=rf"{other:06d}\.json speaks of 4 targets of shard 0"):
            counts(root, PRODUCT)
        root.delete(PRODUCT.record(other))

"""Shard records: written once, last; counts and remaining work from the store alone."""

import json
from dataclasses import replace

import pytest
from tiny_sector import PRODUCT, plan_of

from larun import ledger
from larun.errors import NotInStore, PlanMismatch, StoreError
from larun.ledger import ShardRecord, TargetOutcome, counts, pending, read_record, records, write_record
from larun.objects import PARTIAL_SUFFIX, Root


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
    return ShardRecord(plan.digest, index, outcomes, {"flux": "00"})


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
    with pytest.raises(StoreError, match="schema version 1"):
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

"""What `larun status` tells of stores made by hand: runs under way, deferred work, broken repairs, reasons."""

import json
import os
import socket

import pytest
from tiny_sector import PRODUCT, plan_of
from typer.testing import CliRunner

from larun.cli import app
from larun.ledger import ShardRecord, TargetOutcome, write_record
from larun.objects import Root
from larun.store import lease
from larun.store.publish import publish
from larun.store.sector import create_sector
from larun.survey import snapshots
from larun.survey.deferral import note_deferral


def status(root, *arguments):
    result = CliRunner().invoke(app, ["status", "--root", root.url, *arguments])
    assert result.exit_code == 0, result.output
    return json.loads(result.stdout) if "--json" in arguments else result.stdout


@pytest.fixture
def root(tmp_path):
    """A sector of ten targets in three shards, of which two have their record."""
    root = Root(str(tmp_path))
    plan = plan_of(10)
    plan.save(root)
    create_sector(root, plan)
    gone = "https://mast.example/{}.fits answers 503, the last of 6 attempts"
    outcomes = [
        TargetOutcome(0, "stored", archive="cloud"),
        TargetOutcome(1, "unreachable", gone.format(1)),
        TargetOutcome(2, "unreachable", gone.format(2)),
        TargetOutcome(3, "corrupt", "the checksum of HDU 1 does not fit", archive="mast"),
        TargetOutcome(4, "stored", archive="mast"),
        TargetOutcome(5, "absent", "cloud: no such object; mast: status 404"),
        TargetOutcome(6, "unreachable", gone.format(6)),
        TargetOutcome(7, "stored", archive="cloud", n_outside=3),
    ]
    for shard in range(2):
        write_record(root, PRODUCT, ShardRecord(plan.digest, shard, tuple(outcomes[4 * shard : 4 * shard + 4]), {}))
    return root


def test_reasons_are_grouped_and_archives_counted(root):
    (sector,) = status(root, "--json")["sectors"]
    assert sector["status"] == {
        "stored": 3, "absent": 1, "corrupt": 1, "unreachable": 3, "rejected": 0, "pending": 2,
    }  # fmt: skip
    assert sector["archives"] == {"cloud": 2, "mast": 2}
    assert sector["outside"] == 1
    assert sector["complete"] is False
    assert sorted((reason["status"], reason["targets"]) for reason in sector["reasons"]) == [
        ("absent", 1), ("corrupt", 1), ("unreachable", 3),
    ]  # fmt: skip
    assert sector["reasons"][0]["example"] == {
        "target": "TIC 1", "reason": "https://mast.example/1.fits answers 503, the last of 6 attempts",
    }  # fmt: skip
    shown = status(root)
    assert "2 of 3 shards ingested" in shown
    assert "`larun ingest --repair --sector 1` asks again for 4 targets" in shown


def test_runs_under_way(root):
    assert status(root, "--json")["leases"] == []
    with lease.hold(root, "nightly", 10):
        (held,) = status(root, "--json")["leases"]
        shown = status(root)
    assert (held["name"], held["pid"], held["host"], held["over"]) == (
        "nightly", os.getpid(), socket.gethostname(), False,
    )  # fmt: skip
    assert held["since"] < held["until"]
    assert set(held) == {"name", "host", "pid", "since", "until", "over"}, "the token of a lease is its own"
    assert f"nightly is under way: process {os.getpid()} on" in shown
    assert status(root, "--json")["leases"] == []


def test_a_repair_that_broke_off(root):
    root.write_json(PRODUCT.repair(1), {})
    assert status(root, "--json")["sectors"][0]["unfinished_repairs"] == [1]
    assert "repairs that were broken off, or are under way: shards 1" in status(root)


@pytest.mark.parametrize("current", [True, False])
def test_a_sweep_that_joined_what_has_changed(root, monkeypatch, current):
    publish(root, PRODUCT, "r1", {"n_candidates": 3, "n_joined": 2, "joined": ["tess/s0000/spoc-120s"]})
    monkeypatch.setattr("larun.survey.state.is_published", lambda *_: True)
    monkeypatch.setattr("larun.survey.state.joined_others", lambda *_: () if current else (PRODUCT,))
    assert status(root, "--json")["sectors"][0]["joined_is_current"] is current
    assert ("`larun sweep --stitch --sector 1` joins them as they are now" in status(root)) is not current


def test_what_was_deferred(root):
    note_deferral(root, str(PRODUCT), "MAST does not serve: 503", missing_targets=2, missing_shards=1)
    told = status(root, "--json")
    assert told["deferred"] == [told["sectors"][0]["deferred"]]
    assert told["deferred"][0]["missing_targets"] == 2
    assert "tess/s0001/spoc-120s, 2 targets missing. MAST does not serve: 503" in status(root)


def test_a_first_night_that_was_deferred_before_anything_is_stored(tmp_path):
    root = Root(str(tmp_path / "empty"))
    note_deferral(root, "nightly", "no archive says which sectors there are")
    told = status(root, "--json")
    assert (told["sectors"], [note["work"] for note in told["deferred"]]) == ([], ["nightly"])
    assert "nightly. no archive says which sectors there are" in status(root)


def test_ages_of_catalogues(root):
    assert {row["state"] for row in status(root, "--json")["catalogues"]} == {"absent"}
    snapshots.note_failure(root, "toi", "the service answers 503", snapshots.current_time())
    rows = {row["name"]: row for row in status(root, "--json")["catalogues"]}
    assert (rows["toi"]["state"], rows["toi"]["reason"]) == ("unreachable", "the service answers 503")
    assert "the service answers 503" in status(root)

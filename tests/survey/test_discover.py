"""What a night has to do, from stores made by hand and archives that only answer which sectors they hold."""

import os
from dataclasses import dataclass, field, replace
from datetime import datetime
from pathlib import Path
from unittest.mock import Mock

import pytest
from tiny_sector import plan_of

from larun import ledger, paths
from larun.archive.stars import NAMED_STARS
from larun.config import load
from larun.errors import ArchiveOutage, ArchiveRefused, InputError
from larun.ledger import ShardRecord, TargetOutcome
from larun.objects import Root
from larun.paths import Product
from larun.plan import ListOrigin
from larun.store.publish import publish
from larun.store.sector import create_sector
from larun.survey.current import is_ingested
from larun.survey.deferral import clear_deferral, deferrals, note_deferral
from larun.survey.discover import (
    holds_named_stars,
    offered_sectors,
    require_offered,
    sectors_to_do,
    sectors_to_repair,
)
from larun.survey.sweep import records_digest

SETTINGS = load()


@dataclass
class Sectors:
    """An archive that only says which sectors it holds."""

    held: tuple[int, ...] = ()
    name: str = "cloud"
    fault: Exception | None = None
    asked: list = field(default_factory=list)

    def sectors(self, mission, author, cadence_s):
        self.asked.append((mission, author, cadence_s))
        if self.fault is not None:
            raise self.fault
        return list(self.held)


def product(sector, author="spoc", cadence_s=120):
    return Product("tess", sector, author, cadence_s)


@pytest.fixture
def root(tmp_path):
    return Root(str(tmp_path))


def sector_in_store(root, of, records=2):
    """Plan and empty arrays of a sector of six targets in two shards, of which some have their record."""
    plan = replace(plan_of(6), product=of)
    plan.save(root)
    create_sector(root, plan)
    for shard in range(records):
        write_record(root, plan, shard, f"{shard:064x}")
    return plan


def write_record(root, plan, shard, flux_hash, status="stored"):
    outcomes = tuple(TargetOutcome(t.star.target_id, status) for t in plan.shard(shard))
    root.write_json(
        plan.product.record(shard), ShardRecord(plan.digest, shard, outcomes, {"flux": flux_hash}).as_json()
    )


def swept(root, plan, run="r1"):
    """Traces of a published sweep of what is stored now, an hour later."""
    settings = paths.run_settings(plan.product, run)
    root.write_json(settings, {"records_digest": records_digest(root, plan)})
    publish(root, plan.product, run, {})
    later(root, settings, 3600)


def later(root, path, seconds):
    now = Path(root.full(path)).stat().st_mtime
    os.utime(root.full(path), (now + seconds, now + seconds))


def test_an_empty_store_begins_with_the_newest(root):
    archive = Sectors((1, 2, 97))
    agenda = sectors_to_do(root, [archive], SETTINGS)
    assert agenda.to_ingest == (product(97), product(2), product(1))
    assert agenda.to_sweep == ()
    assert agenda.tonight(1) == (product(97),)
    assert archive.asked == [("tess", "spoc", 120)]


def test_what_was_begun_comes_first(root):
    sector_in_store(root, product(3), records=1)
    sector_in_store(root, product(5))
    swept(root, sector_in_store(root, product(9)))
    agenda = sectors_to_do(root, [Sectors((3, 5, 9, 10, 11))], SETTINGS)
    assert agenda.to_ingest == (product(3), product(11), product(10))
    assert agenda.to_sweep == (product(5),)
    assert agenda.tonight(3) == (product(5), product(3), product(11))
    assert agenda.tonight(99) == (product(5), product(3), product(11), product(10))


def test_a_plan_that_is_not_written_to_its_end_is_no_sector(root):
    plan = sector_in_store(root, product(3), records=0)
    root.delete(plan.product.plan_json)
    assert sectors_to_do(root, [Sectors((3,))], SETTINGS).to_ingest == (product(3),)


def test_settings_choose_the_kind_and_the_first_sector(root):
    sector_in_store(root, product(7, "qlp", 200))
    sector_in_store(root, product(30, "qlp", 200), records=1)
    sector_in_store(root, product(40, "simulated"), records=1)
    settings = load(nightly={"author": "qlp", "cadence_s": 200, "first_sector": 20})
    archive = Sectors((7, 19, 20, 30))
    agenda = sectors_to_do(root, [archive], settings)
    assert archive.asked == [("tess", "qlp", 200)]
    assert agenda.to_ingest == (product(30, "qlp", 200), product(20, "qlp", 200))
    assert agenda.to_sweep == ()


def test_a_finished_sector_is_left_alone(root):
    swept(root, sector_in_store(root, product(9)))
    agenda = sectors_to_do(root, [Sectors((9,))], SETTINGS)
    assert agenda.tonight(9) == ()


def test_a_sector_that_was_repaired_is_swept_anew(root):
    plan = sector_in_store(root, product(9))
    swept(root, plan)
    write_record(root, plan, 1, "f" * 64)
    later(root, plan.product.record(1), 7200)
    assert sectors_to_do(root, [Sectors((9,))], SETTINGS).to_sweep == (product(9),)


def test_records_that_only_look_younger_are_no_repair(root):
    """A store that was copied: all times are new, the records are the same."""
    plan = sector_in_store(root, product(9))
    swept(root, plan)
    later(root, plan.product.record(1), 7200)
    assert sectors_to_do(root, [Sectors((9,))], SETTINGS).tonight(1) == ()


def test_records_of_a_finished_sector_are_not_read(root, monkeypatch):
    swept(root, sector_in_store(root, product(9)))
    monkeypatch.setattr(ledger, "records", lambda *_: pytest.fail("the records were read"))
    assert sectors_to_do(root, [Sectors((9,))], SETTINGS).tonight(1) == ()


def test_a_repair_that_broke_off_is_unfinished_work(root):
    plan = sector_in_store(root, product(9))
    swept(root, plan)
    root.write_json(plan.product.repair(1), {})
    assert not is_ingested(root, product(9))
    assert sectors_to_do(root, [Sectors((9,))], SETTINGS).to_ingest == (product(9),)


def test_the_latest_sectors_with_unreachable_targets_are_repaired(root):
    """Not the older ones, not corrupt targets, and nothing that is unfinished or of another kind."""
    statuses = {1: "unreachable", 5: "unreachable", 6: "corrupt", 7: "unreachable"}
    for sector, status in statuses.items():
        write_record(root, sector_in_store(root, product(sector), records=1), 1, "f" * 64, status)
    write_record(root, sector_in_store(root, product(8, "qlp", 200), records=1), 1, "f" * 64, "unreachable")
    assert sectors_to_repair(root, SETTINGS) == (product(7), product(5))
    write_record(root, sector_in_store(root, product(9), records=0), 1, "f" * 64, "unreachable")
    assert sectors_to_repair(root, SETTINGS) == (product(7),)
    assert sectors_to_repair(root, load(nightly={"first_sector": 8})) == ()


def test_a_sector_of_named_stars_is_left_to_its_owner(root, caplog):
    plan = replace(
        plan_of(6),
        product=product(3),
        target_list=ListOrigin("lightkurve", "https://mast.example/invoke" + NAMED_STARS),
    )
    plan.save(root)
    create_sector(root, plan)
    assert holds_named_stars(root, product(3))
    assert sectors_to_do(root, [Sectors((2, 3))], SETTINGS).tonight(9) == (product(2),)
    assert "holds only named stars of tess/s0003/spoc-120s" in caplog.text


def test_what_no_archive_offers_any_more_is_not_tried(root, caplog):
    sector_in_store(root, product(3), records=1)
    assert sectors_to_do(root, [Sectors((4,))], SETTINGS).to_ingest == (product(4),)
    assert "tess/s0003/spoc-120s is ingested in part, and no archive offers it" in caplog.text


def test_one_archive_out_of_two(root):
    out, serving = Sectors(name="cloud", fault=ArchiveOutage("maintenance")), Sectors((1, 2), name="mast")
    assert offered_sectors([out, serving], "tess", "spoc", 120) == [1, 2]
    assert offered_sectors([serving, Sectors((2, 3))], "tess", "spoc", 120) == [1, 2, 3]


def test_all_archives_out_leave_what_the_store_knows(root):
    sector_in_store(root, product(3), records=1)
    sector_in_store(root, product(5))
    archives = [
        Sectors(name="mast", fault=ArchiveRefused("403")),
        Sectors(fault=ArchiveOutage("MAST is down for maintenance")),
    ]
    agenda = sectors_to_do(root, archives, SETTINGS)
    assert agenda.unreachable == "mast: 403; cloud: MAST is down for maintenance"
    assert agenda.to_ingest == (product(3),)
    assert agenda.to_sweep == (product(5),)
    again = replace(agenda, to_sweep_again=(product(9),))
    assert again.tonight(9) == (product(5), product(9))
    assert replace(again, unreachable="").tonight(9) == (product(5), product(3), product(9))


def test_a_refusal_is_no_outage(root):
    with pytest.raises(ArchiveRefused, match="403"):
        sectors_to_do(root, [Sectors(fault=ArchiveRefused("403"))], SETTINGS)


def test_an_archive_that_cannot_tell(root):
    @dataclass
    class Mute:
        name: str = "mute"

    with pytest.raises(InputError, match=r"\(mute\) cannot say which sectors they hold; name one with --sector"):
        sectors_to_do(root, [Mute()], SETTINGS)
    assert offered_sectors([Mute(), Sectors((8,))], "tess", "spoc", 120) == [8]


def test_notes_of_deferred_work(root):
    assert deferrals(root) == []
    note_deferral(root, "tess/s0001/spoc-120s", "MAST is down", missing_targets=300, missing_shards=2)
    note_deferral(root, "nightly", "the first reason")
    note_deferral(root, "nightly", "MAST is down")
    first, second = deferrals(root)
    assert (first.work, first.missing_targets, first.missing_shards) == ("nightly", None, None)
    assert first.reason == "MAST is down"
    assert second.work == "tess/s0001/spoc-120s"
    assert (second.missing_targets, second.missing_shards) == (300, 2)
    clear_deferral(root, "tess/s0001/spoc-120s")
    clear_deferral(root, "tess/s0001/spoc-120s")
    assert [note.work for note in deferrals(root)] == ["nightly"]


def test_a_note_keeps_since_when_work_is_deferred(root, monkeypatch):
    for moment in ("2026-11-21T03:00:00+00:00", "2026-11-22T03:00:00+00:00"):
        clock = Mock(now=Mock(return_value=datetime.fromisoformat(moment)))
        monkeypatch.setattr("larun.survey.deferral.datetime", clock)
        note_deferral(root, "nightly", "MAST is down")
    (note,) = deferrals(root)
    assert (note.since, note.last) == ("2026-11-21T03:00:00+00:00", "2026-11-22T03:00:00+00:00")
    clear_deferral(root, "nightly")
    note_deferral(root, "nightly", "MAST is down")
    assert deferrals(root)[0].since == "2026-11-22T03:00:00+00:00"


def test_a_sector_that_nobody_holds_is_refused_with_those_there_are():
    archives = [Sectors((1, 2, 3, 7)), Sectors((5,), name="mast")]
    require_offered(archives, product(5))
    with pytest.raises(InputError, match=r"\(cloud, mast\) hold no tess/s0999/spoc-120s; there are sectors 1-3, 5, 7$"):
        require_offered(archives, product(999))
    with pytest.raises(ArchiveOutage):
        require_offered([Sectors(fault=ArchiveOutage("maintenance"))], product(999))

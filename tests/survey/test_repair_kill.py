"""A repair killed with SIGKILL at any point and run again ends in the store of an ingest without faults."""

import pytest
from tiny_sector import write_folder

pytestmark = pytest.mark.timeout(300)


@pytest.fixture(scope="module")
def outcome(tmp_path_factory, kill_driver):
    """What the driver found: ten stars in three shards, two unreachable and two corrupt at first."""
    place = tmp_path_factory.mktemp("kill")
    files = write_folder(place / "files", range(21, 31))
    return kill_driver("repair", files, place)


def test_a_repair_that_is_not_killed_ends_in_the_store_without_faults(outcome):
    assert outcome["codes"] == [0, 0]
    assert outcome["repaired"]


def test_every_kill_point_ends_in_the_store_without_faults(outcome):
    assert len(outcome["results"]) >= 20
    wrong = [r for r in outcome["results"] if r["death"] != -9 or r["again"] != 0 or not r["same"]]
    assert not wrong


def test_at_no_moment_a_sweep_takes_a_shard_that_is_between_two_records(outcome):
    assert not [r for r in outcome["results"] if r["torn"]]


def test_no_stored_target_is_asked_for_again(outcome):
    asked = {tic for result in outcome["results"] for tic in result["asked"]}
    assert asked == {25, 26, 29}
    # Behind the record nothing of its shard is asked for.
    last = [r for r in outcome["results"] if r["path"].endswith("records/000001.json") and r["mode"] == "after"]
    assert [r["asked"] for r in last] == [[29]]

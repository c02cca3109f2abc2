"""An ingest killed with SIGKILL at any point and run again ends in the store of an undisturbed run."""

from pathlib import Path

import pytest
from tiny_sector import file_name, product_bytes, write_folder

pytestmark = pytest.mark.timeout(300)


@pytest.fixture(scope="module")
def outcome(tmp_path_factory, kill_driver):
    """What the driver found: ten stars in three shards, one of them corrupt, so that there is a quarantine."""
    place = tmp_path_factory.mktemp("kill")
    files = write_folder(place / "files", range(21, 31))
    (files / file_name(25)).write_bytes(product_bytes(25)[:-2880])
    return kill_driver("ingest", files, place)


def test_every_kill_point_ends_in_the_undisturbed_store(outcome):
    assert len(outcome["results"]) >= 20
    wrong = [r for r in outcome["results"] if r["death"] != -9 or r["again"] != 0 or not r["same"]]
    assert not wrong


def test_kill_points_lie_where_it_matters(outcome):
    """Between a shard's arrays and its record, in the middle of writes, in quarantine, while the plan is made."""
    results = outcome["results"]
    record = [r for r in results if "/records/" in r["path"]]
    assert {r["mode"] for r in record} == {"before", "torn", "unrenamed", "after"}
    assert any(r["path"].endswith("quality/c/2/0") and r["mode"] == "after" for r in results)
    # Before its record is renamed a shard does not count, after it does.
    for result in record:
        shard = int(Path(result["path"]).stem)
        assert result["records"] == shard + (result["mode"] == "after")
    # Other arrays may be half written at the same moment.
    assert all(r["partials"] >= 1 for r in results if r["mode"] in ("torn", "unrenamed"))

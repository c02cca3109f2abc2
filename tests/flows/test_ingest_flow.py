"""The ingest flow on two shards, end to end: Prefect server, Dask processes, store."""

import json

import httpx
import pytest
from tiny_sector import tree, write_folder

from flows.ingest import ingest
from larun.archive.folder import FolderArchive
from larun.config import load
from larun.errors import InputError, PlanMismatch
from larun.objects import Root
from larun.paths import Product
from larun.survey.ingest import IngestWork, ingest_shards, start_ingest

pytestmark = pytest.mark.timeout(240)

TICS = range(101, 107)
PRODUCT = Product("tess", 1, "spoc", 120)
RULES = {"shard_targets": 4, "chunk_targets": 2, "min_good_cadences": 10}


@pytest.fixture
def folder(tmp_path):
    return write_folder(tmp_path / "fits", TICS)


@pytest.fixture
def overrides(tmp_path, running_cluster):
    return {"root": str(tmp_path / "root"), "ingest": RULES, "run": {"cluster": running_cluster}}


def undisturbed(folder, root):
    """Store of the same products made in this process, without flow or cluster."""
    settings = load(root=str(root), ingest=RULES)
    archive, root = FolderArchive(str(folder)), Root(str(root))
    plan = start_ingest(root, [archive], PRODUCT, settings.ingest)
    ingest_shards(IngestWork.of(root, [archive], plan, range(plan.n_shards), settings.ingest))


def task_runs(server):
    return httpx.post(f"{server.api_url}/task_runs/filter", json={"limit": 200}).json()


def test_two_shards(prefect_server, folder, overrides, tmp_path):
    before = {run["id"] for run in task_runs(prefect_server)}
    result = ingest(sector=1, archive=f"folder:{folder}", overrides=overrides)
    assert result["product"] == "tess/s0001/spoc-120s"
    assert (result["targets"], result["shards"]) == (6, 2)
    assert {status: n for status, n in result["status"].items() if n} == {"stored": 6}

    undisturbed(folder, tmp_path / "other")
    assert tree(tmp_path / "root") == tree(tmp_path / "other")

    runs = [run for run in task_runs(prefect_server) if run["id"] not in before]
    assert [run["state_type"] for run in runs] == ["COMPLETED", "COMPLETED"]
    assert all(run["tags"] == ["ingest"] for run in runs)
    artifacts = httpx.post(f"{prefect_server.api_url}/artifacts/latest/filter", json={}).json()
    shown = {artifact["key"]: artifact for artifact in artifacts}
    assert float(shown["ingest-progress"]["data"]) == 100.0
    assert '"stored", "targets": 6' in shown["ingest-status"]["data"]
    assert result["archives"] == {"folder": {"targets": 6}}
    assert json.loads(shown["ingest-archives"]["data"]) == [{"archive": "folder", "targets": 6}]

    again = ingest(sector=1, archive=f"folder:{folder}", overrides=overrides)
    assert again == result
    assert len(task_runs(prefect_server)) == len(before) + 2


def test_another_plan_is_refused(prefect_server, folder, overrides):
    start_ingest(Root(overrides["root"]), [FolderArchive(str(folder))], PRODUCT, load(ingest=RULES).ingest)
    other = overrides | {"ingest": RULES | {"min_good_cadences": 11}}
    with pytest.raises(PlanMismatch, match="min_good_cadences is 10 in the store and 11"):
        ingest(sector=1, archive=f"folder:{folder}", overrides=other)


def test_unknown_sector_says_what_there_is(prefect_server, folder, overrides):
    with pytest.raises(InputError, match=r"holds no tess/s0077/spoc-120s; it holds tess/s0001/spoc-120s \(6\)"):
        ingest(sector=77, archive=f"folder:{folder}", overrides=overrides)

"""`prefect deploy --all` against a real server, and a run of it by a real worker.

Some releases of Prefect's dependencies deploy only the first, or never schedule; only behaviour tells.
"""

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import httpx
import pytest
import yaml
from tiny_sector import PRODUCT, write_folder

from larun import ledger
from larun.objects import Root

PROJECT = Path(__file__).parents[2]

pytestmark = pytest.mark.timeout(400)


def prefect(*arguments: str, **variables: str) -> str:
    command = [str(Path(sys.executable).with_name("prefect")), "--no-prompt", *arguments]
    environment = os.environ | {"PWD": str(PROJECT)} | variables
    ended = subprocess.run(command, cwd=PROJECT, env=environment, capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stdout[-3000:] + ended.stderr[-3000:]
    return ended.stdout + ended.stderr


@pytest.fixture(scope="session")
def api(prefect_server):
    """The server's API, with the work pool and all deployments made."""
    template = PROJECT / "deployments" / "work-pool.json"
    prefect("work-pool", "create", "larun", "--type", "process", "--base-job-template", str(template))
    prefect("deploy", "--all")
    with httpx.Client(base_url=prefect_server.api_url, timeout=30) as client:
        yield client


def deployments(api: httpx.Client) -> dict[str, dict]:
    flows = {flow["id"]: flow["name"] for flow in api.post("/flows/filter", json={}).json()}
    return {f"{flows[d['flow_id']]}/{d['name']}": d for d in api.post("/deployments/filter", json={}).json()}


def test_every_deployment_is_created_and_the_night_is_scheduled(api):
    found = deployments(api)
    assert set(found) == {"ingest/nightly", "sweep/sector", "nightly/sector", "train/larun"}
    for deployment in found.values():
        assert ":" not in deployment["entrypoint"]
        assert deployment["pull_steps"] == [
            {"prefect.deployments.steps.set_working_directory": {"directory": str(PROJECT)}}
        ]
        assert deployment["global_concurrency_limit"]["limit"] == 1
        assert deployment["concurrency_options"]["collision_strategy"] == "ENQUEUE"
        assert deployment["work_pool_name"] == "larun"

    scheduled = wait_for_runs(api, found["ingest/nightly"]["id"])
    assert all(run["auto_scheduled"] for run in scheduled)
    assert all("T01:00:00" in run["expected_start_time"] for run in scheduled)


def test_a_worker_executes_a_deployed_run(api, tmp_path, running_cluster):
    folder, root = write_folder(tmp_path / "fits", range(101, 105)), tmp_path / "root"
    config = tmp_path / "larun.toml"
    config.write_text(
        f'root = "{root}"\n[ingest]\nshard_targets = 4\nchunk_targets = 2\nmin_good_cadences = 10\n'
        f'[run]\ncluster = "{running_cluster}"\n'
    )
    deployment = deployments(api)["ingest/nightly"]["id"]
    asked_for = {"parameters": {"archive": f"folder:{folder}"}}
    assert api.post(f"/deployments/{deployment}/create_flow_run", json=asked_for).status_code == 201
    said = prefect("worker", "start", "--pool", "larun", "--run-once", LARUN_CONFIG=str(config))
    asked = {
        "deployments": {"id": {"any_": [deployment]}},
        "flow_runs": {"start_time": {"is_null_": False}},
    }
    (run,) = api.post("/flow_runs/filter", json=asked).json()
    assert run["state_type"] == "COMPLETED", said[-3000:]
    assert run["parameters"] == {"archive": f"folder:{folder}"}
    counts = ledger.counts(Root(str(root)), PRODUCT)
    assert counts.complete
    assert counts.by_status["stored"] == 4


def test_runs_whose_machine_died_are_found_by_their_heartbeat(api):
    prefect("automation", "create", "--from-file", str(PROJECT / "deployments" / "zombies.yaml"))
    (automation,) = api.post("/automations/filter", json={}).json()
    assert automation["enabled"] is True
    assert automation["trigger"]["posture"] == "Proactive"
    assert "prefect.flow-run.Deferred" in automation["trigger"]["expect"]
    assert automation["actions"][0]["state"] == "CRASHED"
    template = json.loads((PROJECT / "deployments" / "work-pool.json").read_text())
    beats = int(template["variables"]["properties"]["env"]["default"]["PREFECT_FLOWS_HEARTBEAT_FREQUENCY"])
    assert 3 * beats < automation["trigger"]["within"]


def wait_for_runs(api: httpx.Client, deployment: str, within_s: float = 60.0) -> list[dict]:
    asked = {
        "deployments": {"id": {"any_": [deployment]}},
        "flow_runs": {"state": {"type": {"any_": ["SCHEDULED"]}}},
    }
    deadline = time.monotonic() + within_s
    while time.monotonic() < deadline:
        runs = api.post("/flow_runs/filter", json=asked).json()
        if runs:
            return runs
        time.sleep(0.5)
    raise AssertionError("no cron run was scheduled")


def test_files_of_the_deployment_are_sound():
    compose = yaml.safe_load((PROJECT / "deployments" / "compose.yaml").read_text())
    assert set(compose["services"]) == {"database", "server", "worker"}
    template = json.loads((PROJECT / "deployments" / "work-pool.json").read_text())
    asked = {value.strip("{} ") for value in template["job_configuration"].values()}
    assert asked == set(template["variables"]["properties"])
    pinned = (PROJECT / "deployments" / "constraints.txt").read_text()
    version = compose["services"]["server"]["image"].split(":")[1].split("-")[0]
    assert f"prefect=={version}" in pinned

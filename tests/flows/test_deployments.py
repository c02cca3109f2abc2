"""`prefect deploy --all` against a real server: every deployment is there and the cron run is scheduled.

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

from flows.server import embedded_server

PROJECT = Path(__file__).parents[2]

pytestmark = pytest.mark.timeout(400)


def prefect(*arguments: str) -> str:
    command = [str(Path(sys.executable).with_name("prefect")), "--no-prompt", *arguments]
    environment = os.environ | {"PWD": str(PROJECT)}
    ended = subprocess.run(command, cwd=PROJECT, env=environment, capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stdout[-3000:] + ended.stderr[-3000:]
    return ended.stdout


def test_every_deployment_is_created_and_the_night_is_scheduled(monkeypatch):
    monkeypatch.delenv("PREFECT_API_URL", raising=False)
    with embedded_server(scheduling=True) as server, httpx.Client(base_url=server.api_url, timeout=30) as api:
        template = PROJECT / "deployments" / "work-pool.json"
        prefect("work-pool", "create", "larun", "--type", "process", "--base-job-template", str(template))
        prefect("deploy", "--all")

        flows = {flow["id"]: flow["name"] for flow in api.post("/flows/filter", json={}).json()}
        found = {f"{flows[d['flow_id']]}/{d['name']}": d for d in api.post("/deployments/filter", json={}).json()}
        assert set(found) == {"ingest/nightly", "sweep/sector", "nightly/sector", "train/larun"}
        for deployment in found.values():
            assert ":" not in deployment["entrypoint"]
            assert deployment["pull_steps"] == [
                {"prefect.deployments.steps.set_working_directory": {"directory": str(PROJECT)}}
            ]
            assert deployment["global_concurrency_limit"]["limit"] == 1
            assert deployment["concurrency_options"]["collision_strategy"] == "ENQUEUE"
            assert deployment["work_pool_name"] == "larun"

        nightly = found["ingest/nightly"]["id"]
        scheduled = wait_for_runs(api, nightly)
        assert all(run["auto_scheduled"] and run["state_type"] == "SCHEDULED" for run in scheduled)
        assert all("T01:00:00" in run["expected_start_time"] for run in scheduled)


def wait_for_runs(api: httpx.Client, deployment: str, within_s: float = 60.0) -> list[dict]:
    asked = {"deployments": {"id": {"any_": [deployment]}}}
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

"""Cluster files are checked before anything starts."""

import json
import socket

import pytest
from distributed.nanny import _get_env_variables

from flows.cluster import WORKER_MALLOC, LocalClusterFile, SchedulerFile, dask_settings, load_cluster
from larun.config import CLUSTER_FOLDER
from larun.errors import ConfigurationError, RunFailed


def test_the_files_that_come_with_larun_are_valid():
    local = load_cluster("local")
    assert isinstance(local, LocalClusterFile)
    assert local.threads_per_worker == 1
    assert isinstance(load_cluster("scheduler"), SchedulerFile)


def test_unknown_name_lists_the_known_ones():
    with pytest.raises(ConfigurationError, match=r"give one of local, scheduler"):
        load_cluster("moon")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("kind: local\nworker: 3\n", r"local\.worker is not known"),
        ("kind: local\nworkers: 0\n", "greater than or equal to 1"),
        ("kind: slurm\n", "'local', 'scheduler'"),
        ("workers: 3\n", "kind"),
        ("kind: scheduler\n", r"scheduler\.address"),
        ("kind: [\n", "cannot read the cluster file"),
        ("", "the file"),
    ],
)
def test_wrong_files_are_refused_by_name(tmp_path, text, said):
    path = tmp_path / "wrong.yaml"
    path.write_text(text)
    with pytest.raises(ConfigurationError, match=said) as caught:
        load_cluster(str(path))
    assert str(path) in str(caught.value)


def test_local_runner_is_a_temporary_cluster_of_processes():
    runner = LocalClusterFile(kind="local", workers=3, environment={"OMP_NUM_THREADS": "1"}).runner()
    assert runner.address is None
    assert runner.cluster_kwargs["n_workers"] == 3
    assert runner.cluster_kwargs["processes"] is True
    assert runner.cluster_kwargs["env"]["OMP_NUM_THREADS"] == "1"
    assert runner.cluster_kwargs["dashboard_address"].endswith(":0")


def test_absent_scheduler_is_said_before_the_run():
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    with pytest.raises(RunFailed, match="has no worker that answers"):
        SchedulerFile(kind="scheduler", address=f"tcp://127.0.0.1:{port}", timeout_s=0.5).preflight()


def test_workers_keep_the_memory_that_they_will_need_again(monkeypatch):
    """Dask's own trim threshold gives it back after each target; workers that others start may choose otherwise."""
    for name in WORKER_MALLOC:
        monkeypatch.delenv(name, raising=False)
    with dask_settings():
        environment = _get_env_variables("distributed.nanny.pre-spawn-environ")
    assert environment["MALLOC_TRIM_THRESHOLD_"] == str(256 * 2**20)
    assert environment["MALLOC_MMAP_THRESHOLD_"] == str(32 * 2**20)
    assert environment["MALLOC_ARENA_MAX"] == "1"
    assert environment["GLIBC_TUNABLES"] == "glibc.malloc.hugetlb=1"
    pool = json.loads((CLUSTER_FOLDER.parent / "work-pool.json").read_text())
    variables = pool["variables"]["properties"]["env"]["default"]
    assert {name: variables[name] for name in WORKER_MALLOC} == WORKER_MALLOC

"""Cluster files are checked before anything starts."""

import socket

import pytest

from flows.cluster import LocalClusterFile, SchedulerFile, load_cluster
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

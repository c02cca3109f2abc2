"""One Prefect server and one Dask cluster for all tests of flows that do not try to break them."""

import distributed
import pytest

from flows.cluster import dask_settings
from flows.server import embedded_server


@pytest.fixture(scope="session")
def prefect_server():
    """A server with everything on, so that deployments can be tested on it too."""
    with embedded_server(scheduling=True) as server:
        yield server


@pytest.fixture(scope="session")
def running_cluster(prefect_server, tmp_path_factory):
    """Cluster file of two workers that stay, started once; they were pointed to the server."""
    path = tmp_path_factory.mktemp("cluster") / "running.yaml"
    with (
        dask_settings(),
        distributed.LocalCluster(
            n_workers=2, threads_per_worker=1, processes=True, memory_limit="3GiB", dashboard_address="127.0.0.1:0"
        ) as cluster,
    ):
        path.write_text(f"kind: scheduler\naddress: {cluster.scheduler_address}\n")
        yield str(path)


@pytest.fixture
def one_worker(tmp_path):
    """Cluster file of one process that is started for the run, and may be killed."""
    path = tmp_path / "one-worker.yaml"
    path.write_text("kind: local\nworkers: 1\nmemory_limit: 3GiB\n")
    return str(path)

"""One Prefect server for all tests of flows."""

import pytest

from flows.server import embedded_server


@pytest.fixture(scope="session")
def prefect_server():
    with embedded_server() as server:
        yield server


@pytest.fixture
def two_workers(tmp_path):
    """Cluster file for tests: two processes whatever the machine."""
    return cluster_file(tmp_path, 2)


@pytest.fixture
def one_worker(tmp_path):
    """Cluster file of one process, where a second would only cost its start."""
    return cluster_file(tmp_path, 1)


def cluster_file(folder, workers):
    path = folder / f"workers-{workers}.yaml"
    path.write_text(f"kind: local\nworkers: {workers}\nmemory_limit: 3GiB\n")
    return str(path)

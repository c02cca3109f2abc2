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
    path = tmp_path / "two.yaml"
    path.write_text("kind: local\nworkers: 2\nmemory_limit: 2GiB\n")
    return str(path)

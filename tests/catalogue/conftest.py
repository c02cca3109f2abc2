"""Services of catalogues on loopback, in a thread of the test's own process."""

import threading
import time
from contextlib import contextmanager

import pytest
import uvicorn

from larun.config import load
from tests.loopback.tap import Tables, application, sample


@contextmanager
def serving(app):
    """URL of an application that is served meanwhile."""
    server = uvicorn.Server(uvicorn.Config(app, "127.0.0.1", 0, log_config=None, lifespan="off"))
    thread = threading.Thread(target=server.run)
    thread.start()
    while not server.started:
        time.sleep(0.01)
    port = server.servers[0].sockets[0].getsockname()[1]
    try:
        yield f"http://127.0.0.1:{port}"
    finally:
        server.should_exit = True
        server.force_exit = True
        thread.join()


def settings_for(url: str, **sections):
    """Settings that lead to the services at a URL, with short waits."""
    values = {
        "archives": {"mast_url": url, "connect_timeout_s": 2.0, "read_timeout_s": 1.0, "backoff_s": 0.01},
        "catalogues": {
            "exoplanet_archive_url": f"{url}/TAP",
            "vizier_url": f"{url}/TAPVizieR/tap",
            "exofop_url": url,
        },
    }
    return load(**{name: values.get(name, {}) | sections.get(name, {}) for name in values | sections})


@pytest.fixture(scope="session")
def served():
    """Address of the services, and what they hold; a test may change it, see `tables`."""
    tables = Tables({})
    with serving(application(tables)) as url:
        yield url, tables


@pytest.fixture
def tables(served) -> Tables:
    """What the services hold, fresh for each test."""
    _, held = served
    held.tables, held.faults, held.asked = dict(sample().tables), {}, []
    return held


@pytest.fixture
def settings(served, tables):
    return settings_for(served[0])

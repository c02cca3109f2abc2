"""Fixtures that several test folders share."""

import logging
from pathlib import Path

import pytest
from compiled import compile_search

TESTS = Path(__file__).parent

TOGETHER = ("flows", "network")
"""Folders whose tests run in one process: those of flows share a server and a cluster, those of the network a trained
bundle. They take longest, and come first, so that no worker is left with them at the end."""


def pytest_sessionstart(session):
    """Compile the search before the workers start: each would compile it for itself, in the time of a test."""
    if session.config.getoption("numprocesses", None) and not hasattr(session.config, "workerinput"):
        compile_search()


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(config, items):
    """Say which tests run in one process: those of a file, and those of the folders `TOGETHER`; the latter first.

    First of all hooks: pytest-xdist reads the groups in its own, and a group that is named later is none.

    Tests of flows count for no coverage: nearly all that runs in them is Prefect's and Dask's, which tracing makes half
    as slow again, and what larun does in them runs in other processes. The figure is a lower bound.
    """
    for item in items:
        group = item.path.relative_to(TESTS)
        if group.parent.name in TOGETHER:
            group = group.parent
        item.add_marker(pytest.mark.xdist_group(str(group)))
        if group.name == "flows":
            item.add_marker(pytest.mark.no_cover)
    if hasattr(config, "workerinput"):
        place = {name: number for number, name in enumerate(TOGETHER)}
        items.sort(key=lambda item: place.get(item.path.parent.name, len(place)))


@pytest.fixture(autouse=True)
def untouched_log_levels():
    """Commands choose what their whole process logs; a test that reads the log must not depend on who ran before."""
    for name, logger in logging.root.manager.loggerDict.items():
        if name.partition(".")[0] in ("larun", "flows", "tasks") and isinstance(logger, logging.Logger):
            logger.setLevel(logging.NOTSET)


@pytest.fixture(scope="session")
def real_data() -> Path:
    """Folder of the real light curves and catalogues; tests that need it are skipped where it is absent."""
    folder = Path(__file__).parents[2] / "shared" / "data"
    if not folder.is_dir():
        pytest.skip("needs the real light curves in ../shared/data, which are not part of the project")
    return folder

"""Which tests run in one process and in which order; fixtures that several test folders share."""

import logging
import sys
from collections import defaultdict
from pathlib import Path, PurePosixPath

import pytest
from xdist.scheduler import LoadScopeScheduling

TOGETHER = ("flows", "network")
"""Folders whose tests run in one process: those of flows share a server and a cluster, those of the network a trained
bundle. They take longest, and come first, so that no worker is left with them at the end."""

_workers = defaultdict(set)
"""Workers that ran tests of each group."""


def group_of(nodeid: str) -> str:
    """File of a test, or its folder where that is kept together."""
    file = PurePosixPath(nodeid.partition("::")[0])
    return str(file.parent if file.parent.name in TOGETHER else file)


class InGroups(LoadScopeScheduling):
    """Gives a group of tests to one worker, so that what they share is made once.

    Markers of pytest-xdist 3.8 come to nothing here: it writes them into the names of tests, and with pytest 9.2 names
    do not change, so that without a word each test is a group of its own.
    """

    def _split_scope(self, nodeid: str) -> str:
        return group_of(nodeid)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config, log):
    return InGroups(config, log)


def pytest_sessionstart(session):
    """Compile the search before the workers start: each would compile it for itself, in the time of a test."""
    if session.config.getoption("numprocesses", None) and not hasattr(session.config, "workerinput"):
        compile_once()


def pytest_collection_finish(session):
    """The same without workers, where a test may search."""
    alone = not session.config.getoption("numprocesses", None) and not hasattr(session.config, "workerinput")
    if alone and not session.config.option.collectonly and "larun.search.pipeline" in sys.modules:
        compile_once()


def compile_once():
    from compiled import compile_search, is_compiled

    if not is_compiled():
        compile_search()


def pytest_collection_modifyitems(config, items):
    """Put the folders of `TOGETHER` first.

    Tests of flows count for no coverage: nearly all that runs in them is Prefect's and Dask's, which tracing makes half
    as slow again, and what larun does in them runs in other processes. The figure is a lower bound.
    """
    for item in items:
        if item.path.parent.name == "flows":
            item.add_marker(pytest.mark.no_cover)
    if hasattr(config, "workerinput"):
        place = {name: number for number, name in enumerate(TOGETHER)}
        items.sort(key=lambda item: place.get(item.path.parent.name, len(place)))


def pytest_runtest_logreport(report):
    if hasattr(report, "node"):
        _workers[group_of(report.nodeid)].add(report.node.gateway.id)


def pytest_sessionfinish(session):
    """Fail where a group was torn apart: what its tests share was made several times."""
    torn = [group for group, workers in _workers.items() if len(workers) > 1]
    if torn:
        session.exitstatus = pytest.ExitCode.TESTS_FAILED
        reporter = session.config.pluginmanager.get_plugin("terminalreporter")
        reporter.write_line(f"\nran in several workers: {', '.join(torn)}", red=True)


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

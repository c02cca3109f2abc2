"""Which tests run in one process and in which order; fixtures that several test folders share."""

import logging
import sys
from collections import defaultdict
from pathlib import Path, PurePosixPath

import pytest
from xdist.scheduler import LoadScopeScheduling

TOGETHER = ("flows", "network")
"""Folders whose tests run in one process: those of flows share a server and a cluster, those of the network a trained
bundle."""

FIRST = (*TOGETHER, "test_notebook.py")
"""Folders and files that take longest: no worker shall be left with them at the end."""

FOREIGN = (
    "archive/test_lightkurve_agreement.py",
    "archive/test_unmodified_clients.py",
    "flows",
    "network/test_backends.py",
    "network/test_contrast.py",
    "network/test_heads.py",
    "network/test_wavenet.py",
    "report/test_plots.py",
    "store/test_s3.py",
    "store/test_s3_sweep.py",
    "test_loopback.py",
    "test_loopback_clients.py",
    "test_notebook.py",
)
"""Tests in which nearly all that runs is code of others, or runs in other processes. They count for no coverage, whose
tracing makes that code half as slow again; so the figure is a lower bound."""

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
    """Put `FIRST` first."""
    if hasattr(config, "workerinput"):
        place = {name: number for number, name in enumerate(FIRST)}
        items.sort(key=lambda item: min(place.get(name, len(FIRST)) for name in item.path.parts[-2:]))


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtest_protocol(item):
    """Measure no coverage of `FOREIGN` tests, nor while their fixtures are made."""
    coverage = getattr(item.config.pluginmanager.get_plugin("_cov"), "cov_controller", None)
    place = item.path.relative_to(Path(__file__).parent)
    if coverage is None or not {place.as_posix(), place.parent.as_posix()} & set(FOREIGN):
        return (yield)
    coverage.pause()
    try:
        return (yield)
    finally:
        coverage.resume()


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

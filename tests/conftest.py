"""Fixtures that several test folders share."""

import logging
from pathlib import Path

import pytest


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

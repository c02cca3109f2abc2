"""What the tests of killed ingests and of killed repairs share."""

import json
import subprocess
import sys
from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def kill_driver():
    """Run `kill_driver.py`, and what it found."""

    def driven(what: str, files: Path, place: Path) -> dict:
        driver = Path(__file__).parent / "kill_driver.py"
        command = [sys.executable, str(driver), what, str(files), str(place)]
        done = subprocess.run(command, capture_output=True, text=True, timeout=290, check=False)
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)

    return driven

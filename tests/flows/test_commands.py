"""`larun ingest` and its kin: through the server that is there, and once as a process that brings its own."""

import json
import re
import socket
import subprocess
import sys
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from tiny_sector import write_folder
from typer.testing import CliRunner

from larun.cli import app

pytestmark = pytest.mark.timeout(300)


@pytest.fixture
def config(tmp_path, one_worker):
    """Settings file with small shards."""
    path = tmp_path / "larun.toml"
    path.write_text(
        f'root = "{tmp_path / "root"}"\n[ingest]\nshard_targets = 4\nchunk_targets = 2\nmin_good_cadences = 10\n'
        f'[run]\ncluster = "{one_worker}"\n'
    )
    return path


@pytest.fixture
def folder(tmp_path):
    return write_folder(tmp_path / "fits", range(101, 107))


def run(*arguments):
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


@pytest.mark.usefixtures("prefect_server")
class TestAgainstAServerThatIsThere:
    def test_a_failed_run_is_1_with_its_reason(self, config, folder):
        result = run("ingest", "--archive", f"folder:{folder}", "--sector", 9, "--config", config, "--json")
        assert result.exit_code == 1
        assert result.stdout == ""
        assert "holds no tess/s0009/spoc-120s; it holds tess/s0001/spoc-120s (6)" in result.stderr.splitlines()[-1]

    def test_an_unknown_archive_lists_the_known(self, config):
        result = run("ingest", "--archive", "attic", "--sector", 1, "--config", config)
        assert result.exit_code == 1
        assert "give one of folder:PATH, simulated" in result.stderr

    def test_an_unknown_cluster_is_bad_usage(self, config, folder):
        result = run("ingest", "--archive", f"folder:{folder}", "--sector", 1, "--config", config, "--cluster", "moon")
        assert result.exit_code == 2
        assert "there is no cluster file" in result.stderr

    def test_a_root_that_cannot_be_written(self, config, folder, tmp_path):
        (tmp_path / "file").touch()
        root = tmp_path / "file" / "root"
        result = run("ingest", "--archive", f"folder:{folder}", "--sector", 1, "--config", config, "--root", root)
        assert result.exit_code == 1
        assert "cannot write" in result.stderr

    def test_a_sweep_before_its_ingest(self, config):
        result = run("sweep", "--sector", 1, "--config", config, "--json")
        assert result.exit_code == 1
        assert "Run `larun ingest` for it first" in result.stderr

    def test_nothing_can_be_stored(self, config, folder):
        for path in folder.glob("*.fits"):
            path.write_text("<html>gone</html>")
        result = run("ingest", "--archive", f"folder:{folder}", "--sector", 1, "--config", config)
        assert result.exit_code == 1
        assert "no product of 6 tried is usable" in result.stderr


def test_a_process_that_brings_its_own_server_and_takes_it_along(config, folder, tmp_path, monkeypatch):
    for name in ("PREFECT_API_URL", "PREFECT_HOME"):
        monkeypatch.delenv(name, raising=False)
    larun = str(Path(sys.executable).with_name("larun"))
    command = [larun, "ingest", "--archive", f"folder:{folder}", "--sector", "1", "--config", str(config), "--json"]
    ended = subprocess.run(command, capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stderr
    told = json.loads(ended.stdout)
    assert told["status"]["stored"] == 6
    assert told["shards"] == 2
    assert "ingest: 2 of 2" in ended.stderr
    address = urlsplit(re.search(r"http://127\.0\.0\.1:\d+", ended.stderr)[0])
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection((address.hostname, address.port), timeout=5)
    # Nothing but what larun says: neither Prefect's log nor Dask's.
    assert not [line for line in ended.stderr.splitlines() if "prefect." in line or "distributed" in line]

    status = subprocess.run(
        [larun, "status", "--config", str(config), "--json"], capture_output=True, text=True, check=True
    )
    assert json.loads(status.stdout)["sectors"][0]["complete"] is True

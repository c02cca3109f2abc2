"""The embedded server starts, answers, hands out its address and is gone at the end, whatever the end is."""

import json
import os
import signal
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

import prefect.settings
import pytest

from flows import server as server_module
from flows.server import embedded_server
from larun.errors import RunFailed

pytestmark = pytest.mark.timeout(240)


def gone(pid: int, within_s: float = 20.0) -> bool:
    """Whether a process that is no child of ours ends in time; a zombie has ended."""
    deadline = time.monotonic() + within_s
    while time.monotonic() < deadline:
        try:
            os.kill(pid, 0)
            if Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z":
                return True
        except (ProcessLookupError, FileNotFoundError):
            return True
        time.sleep(0.05)
    return False


def test_answers_on_loopback_with_an_interface_that_knows_its_address(prefect_server):
    assert prefect_server.api_url.startswith("http://127.0.0.1:")
    assert prefect_server.start_s < server_module.START_LIMIT_S
    with urllib.request.urlopen(f"{prefect_server.ui_url}/ui-settings") as reply:
        assert json.load(reply)["api_url"] == prefect_server.api_url
    with urllib.request.urlopen(prefect_server.ui_url) as reply:
        assert b"<html" in reply.read()


def test_this_process_and_its_children_are_pointed_to_it(prefect_server):
    assert os.environ["PREFECT_API_URL"] == prefect_server.api_url
    assert prefect.settings.PREFECT_API_URL.value() == prefect_server.api_url
    home = Path(os.environ["PREFECT_HOME"])
    assert (home / "prefect.db").is_file()
    assert home != Path.home() / ".prefect"


def test_says_nothing_to_the_outside(prefect_server):
    with urllib.request.urlopen(f"{prefect_server.api_url}/admin/settings") as reply:
        settings = json.load(reply)
    assert settings["server"]["analytics_enabled"] is False


def test_a_server_that_is_named_is_used(prefect_server):
    with embedded_server() as second:
        assert second.api_url == prefect_server.api_url
        assert second.pid is None


def test_a_named_server_that_does_not_answer_is_an_error(monkeypatch):
    monkeypatch.setenv("PREFECT_API_URL", "http://127.0.0.1:9/api")
    with pytest.raises(RunFailed, match="start that server or unset it"), embedded_server():
        pass


def test_a_server_that_cannot_start_shows_its_log(monkeypatch, tmp_path):
    monkeypatch.delenv("PREFECT_API_URL", raising=False)
    monkeypatch.setattr(server_module.sys, "executable", "/bin/ls")
    monkeypatch.setattr(server_module.tempfile, "mkdtemp", lambda prefix: str(_made(tmp_path / "home")))
    with pytest.raises(RunFailed, match=r"ended\. The end of its log: .*ls"), embedded_server():
        pass
    assert not (tmp_path / "home").exists()
    assert "PREFECT_API_URL" not in os.environ


def _made(folder: Path) -> Path:
    folder.mkdir()
    return folder


HOLDER = """
import time
import flows.server
def wait(process):
    print(process.pid, flush=True)
    time.sleep(300)
flows.server._Process.wait = wait
with flows.server.embedded_server():
    pass
"""

STARTER = """
import pathlib, sys, time
from flows.server import _Process
process = _Process(pathlib.Path(sys.argv[1]), False)
print(process.pid, flush=True)
time.sleep(300)
"""


def start(script: str, *arguments: str) -> tuple[subprocess.Popen, int]:
    """Start a process that holds a server; the process and the server's id."""
    environment = {k: v for k, v in os.environ.items() if not k.startswith("PREFECT_")}
    command = [sys.executable, "-c", script, *arguments]
    holder = subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True)
    return holder, int(holder.stdout.readline())


def test_sigterm_ends_the_server_and_then_the_process():
    holder, pid = start(HOLDER)
    assert not gone(pid, 0.2)
    holder.send_signal(signal.SIGTERM)
    assert holder.wait(30) == 128 + signal.SIGTERM
    holder.stdout.close()
    assert gone(pid)


def test_sigkill_of_the_process_ends_the_server_too(tmp_path):
    holder, pid = start(STARTER, str(tmp_path))
    assert not gone(pid, 0.2)
    holder.kill()
    holder.wait()
    holder.stdout.close()
    assert gone(pid)

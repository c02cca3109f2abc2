"""An embedded Prefect server: one real server process for one command, stopped at its end.

Prefect's own in-process mode loses task runs and starts a server in every Dask worker, so a run without a
server gets a real one: on a free port of the loopback interface, with a home folder and a database of its own.
"""

from __future__ import annotations

import contextlib
import logging
import os
import shutil
import signal
import socket
import sqlite3
import subprocess
import sys
import tempfile
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

from larun.errors import RunFailed

log = logging.getLogger(__name__)

START_LIMIT_S = 120.0
STOP_LIMIT_S = 10.0

QUIET = {
    "DO_NOT_TRACK": "1",
    "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
    "PREFECT_CLI_PROMPT": "false",
}
"""No message to anybody but the server itself."""

_SCHEDULING = (
    "SCHEDULER",
    "LATE_RUNS",
    "FOREMAN",
    "CANCELLATION_CLEANUP",
    "CLEANUP_RECONCILER",
    "PAUSE_EXPIRATIONS",
    "REPOSSESSOR",
    "TRIGGERS",
)
"""Services that deployments need and a single run does not."""


@dataclass(frozen=True, slots=True)
class Server:
    """A Prefect server that answers.

    Parameters
    ----------
    api_url, ui_url : str
        Addresses.
    pid : int or None
        Its process; None where somebody else runs it.
    start_s : float
        Seconds until it answered.
    """

    api_url: str
    ui_url: str
    pid: int | None
    start_s: float


@contextlib.contextmanager
def embedded_server(scheduling: bool = False) -> Iterator[Server]:
    """Run the body of ``with`` against a Prefect server.

    The server that ``PREFECT_API_URL`` names is used if it is set. Otherwise one is started, this process and
    all that it starts are pointed to it, and it is stopped at the end, after an error, Ctrl-C or SIGTERM too.

    Parameters
    ----------
    scheduling : bool
        Whether deployments are scheduled, which a single run does not need.

    Raises
    ------
    RunFailed
        The server does not answer within `START_LIMIT_S`; shows the end of its log.
    """
    named = os.environ.get("PREFECT_API_URL")
    if named:
        started = time.monotonic()
        if not _answers(named, 10.0):
            raise RunFailed(f"PREFECT_API_URL names {named}, which does not answer; start that server or unset it")
        yield Server(named, named.removesuffix("/api"), None, time.monotonic() - started)
        return
    with contextlib.ExitStack() as stack:
        stack.enter_context(_terminated_as_exit())
        home = Path(tempfile.mkdtemp(prefix="larun-prefect-"))
        stack.callback(shutil.rmtree, home, ignore_errors=True)
        process = _Process(home, scheduling)
        stack.callback(process.stop)
        environment = {"PREFECT_HOME": str(home), "PREFECT_API_URL": process.api_url} | QUIET
        stack.enter_context(_environment(environment))
        stack.enter_context(_prefect_settings(environment))
        process.wait()
        stack.callback(_send_what_is_left)
        yield Server(process.api_url, process.ui_url, process.pid, process.start_s)
        process.require_alive()


class _Process:
    """The server process, its address and its log."""

    def __init__(self, home: Path, scheduling: bool):
        self.home = home
        self.start_s = 0.0
        self._template = _template()
        self._from_template = self._template.is_file()
        if self._from_template:
            shutil.copyfile(self._template, home / "prefect.db")
        listener = socket.create_server(("127.0.0.1", 0), backlog=256)
        self.ui_url = f"http://127.0.0.1:{listener.getsockname()[1]}"
        self.api_url = f"{self.ui_url}/api"
        self._started = time.monotonic()
        with listener, (home / "server.log").open("wb") as server_log:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "flows.serve", str(listener.fileno())],
                env=self._environment(scheduling),
                stdin=subprocess.PIPE,
                stdout=server_log,
                stderr=subprocess.STDOUT,
                pass_fds=[listener.fileno()],
                start_new_session=True,
            )
        self.pid = self._process.pid

    def _environment(self, scheduling: bool) -> dict[str, str]:
        kept = {k: v for k, v in os.environ.items() if not k.startswith("PREFECT_")}
        services = {} if scheduling else {f"PREFECT_SERVER_SERVICES_{name}_ENABLED": "false" for name in _SCHEDULING}
        return (
            kept
            | QUIET
            | services
            | {
                "PREFECT_HOME": str(self.home),
                "PREFECT_API_URL": self.api_url,
                "PREFECT_SERVER_UI_API_URL": self.api_url,
                "PREFECT_SERVER_UI_STATIC_DIRECTORY": str(self.home / "ui"),
                "PREFECT_SERVER_DATABASE_CONNECTION_URL": f"sqlite+aiosqlite:///{self.home / 'prefect.db'}",
                "PREFECT_SERVER_LOGGING_LEVEL": "WARNING",
            }
        )

    def wait(self) -> None:
        """Return once the server answers."""
        while not _answers(self.api_url, 2.0):
            waited = time.monotonic() - self._started
            if self._process.poll() is not None or waited > START_LIMIT_S:
                if self._from_template:
                    self._template.unlink(missing_ok=True)
                said = "ended" if self._process.poll() is not None else f"did not answer within {START_LIMIT_S:.0f} s"
                raise RunFailed(f"the embedded Prefect server {said}. The end of its log: {self._log_end()}")
            time.sleep(0.05)
        self.start_s = time.monotonic() - self._started
        log.info("Prefect server at %s answered after %.1f s", self.ui_url, self.start_s)
        if not self._from_template:
            _keep_template(self.home / "prefect.db", self._template)

    def require_alive(self) -> None:
        """Warn, with the server's own words, if it ended before its work."""
        if self._process.poll() is not None:
            log.warning("the embedded Prefect server ended early. The end of its log: %s", self._log_end())

    def stop(self) -> None:
        """End the process, by force if it does not within `STOP_LIMIT_S`."""
        self._process.stdin.close()
        self._process.terminate()
        try:
            self._process.wait(STOP_LIMIT_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    def _log_end(self, characters: int = 2000) -> str:
        text = (self.home / "server.log").read_text(encoding="utf-8", errors="replace").strip()
        return text[-characters:] or "(empty)"


def _answers(api_url: str, timeout_s: float) -> bool:
    # Straight to the address: a proxy of the environment knows nothing of this machine's loopback.
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(f"{api_url}/health", timeout=timeout_s) as reply:
            return reply.status == 200
    except (urllib.error.URLError, OSError, TimeoutError):
        return False


def _template() -> Path:
    """Database of a fresh server of this Prefect, kept because making one takes ten seconds."""
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    return cache / "larun" / f"prefect-{version('prefect')}-sqlalchemy-{version('sqlalchemy')}.db"


def _keep_template(database: Path, template: Path) -> None:
    partial = template.with_name(f"{template.name}.{os.getpid()}")
    try:
        template.parent.mkdir(parents=True, exist_ok=True)
        with (
            contextlib.closing(sqlite3.connect(database)) as source,
            contextlib.closing(sqlite3.connect(partial)) as copy,
        ):
            source.backup(copy)
        partial.replace(template)
    except (OSError, sqlite3.Error) as error:
        log.info("the next server starts slower, its database cannot be kept in %s: %s", template.parent, error)
        partial.unlink(missing_ok=True)


def _send_what_is_left() -> None:
    """Let Prefect's threads deliver logs and events while the server is there to take them."""
    from prefect.events.worker import EventsWorker
    from prefect.logging.handlers import APILogWorker

    for worker in (APILogWorker, EventsWorker):
        worker.drain_all(timeout=5)


@contextlib.contextmanager
def _environment(values: dict[str, str]) -> Iterator[None]:
    """Set environment variables, which the Dask workers inherit, and restore them."""
    before = {name: os.environ.get(name) for name in values}
    os.environ.update(values)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value


@contextlib.contextmanager
def _prefect_settings(values: dict[str, str]) -> Iterator[None]:
    """Point an imported Prefect to the server: it reads the environment once, when it is imported."""
    from prefect import settings

    wanted = {
        settings.PREFECT_HOME: Path(values["PREFECT_HOME"]),
        settings.PREFECT_API_URL: values["PREFECT_API_URL"],
        settings.PREFECT_SERVER_ANALYTICS_ENABLED: False,
    }
    with settings.temporary_settings(wanted, restore_defaults=[settings.PREFECT_API_KEY]):
        yield


@contextlib.contextmanager
def _terminated_as_exit() -> Iterator[None]:
    """Let SIGTERM unwind the stack, so that the server is stopped; signals reach the main thread only."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def leave(number, frame):
        raise SystemExit(128 + number)

    before = signal.signal(signal.SIGTERM, leave)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)

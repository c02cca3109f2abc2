"""The request budget of a whole run: a server in the run's process, with which every worker holds its permits.

One socket is one permit. Lines of text: the worker says ``hello TOKEN SERVICE WORKER`` once, then ``ok AGE`` or
``failed SECONDS REASON`` about its last request, ``ask`` for the next or ``again SECONDS`` for one that was in vain so
long, ``bye`` at the end. The server answers with the verdicts of `larun.archive.allowance.Verdict`, and with ``wait``
every few seconds in between.
"""

from __future__ import annotations

import asyncio
import hmac
import logging
import secrets
import socket
import threading
import time

from larun.archive.allowance import Decision, Verdict
from larun.archive.desk import REST_S, Desk
from larun.archive.lines import HEARTBEAT_S
from larun.config import ArchiveSettings
from larun.errors import ConfigurationError

log = logging.getLogger(__name__)

DEATH_REST_S = 1.0
"""Rest of a permit whose worker died: its sockets are closed in no particular order."""

_LONGEST_LINE = 4096
_HELLO_S = 10.0
"""Who has not said hello by then is sent away."""


class BudgetServer:
    """Server of one run; use it in a `with`, and pass `address` to the workers.

    Parameters
    ----------
    settings : ArchiveSettings
        Limits of the services, and the host under which the workers reach this process.

    Raises
    ------
    ConfigurationError
        The host is none of this machine.
    """

    def __init__(self, settings: ArchiveSettings):
        self._settings = settings
        self._token = secrets.token_urlsafe(24)
        self._desk = Desk(settings)
        self._lock = threading.Lock()
        self._loop = asyncio.new_event_loop()
        self._guests: dict[int, _Guest] = {}
        self._timer: asyncio.TimerHandle | None = None
        self.address = ""

    def __enter__(self) -> BudgetServer:
        host = self._settings.budget_host
        ready: threading.Event = threading.Event()
        failed: list[OSError] = []
        self._thread = threading.Thread(target=self._run, args=(host, ready, failed), name="budget", daemon=True)
        self._thread.start()
        ready.wait()
        if failed:
            self._thread.join()
            raise ConfigurationError(
                f"the request budget cannot listen at archives.budget_host = {host!r}: {failed[0].strerror}; name an "
                "address of this machine that the workers reach"
            )
        return self

    def __exit__(self, *_: object) -> None:
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()

    def __repr__(self) -> str:
        return f"BudgetServer({self.address.rpartition('/')[0]!r})"

    def report(self) -> dict[str, dict]:
        """As `larun.archive.desk.Desk.report`."""
        with self._lock:
            return self._desk.report()

    def _run(self, host: str, ready: threading.Event, failed: list[OSError]) -> None:
        asyncio.set_event_loop(self._loop)
        try:
            listener = socket.create_server(
                (host, 0), family=socket.AF_INET6 if ":" in host else socket.AF_INET, backlog=1024
            )
        except OSError as error:
            failed.append(error)
            self._loop.close()
            ready.set()
            return
        server = self._loop.run_until_complete(self._loop.create_server(lambda: _Guest(self), sock=listener))
        self.address = f"{host}:{listener.getsockname()[1]}/{self._token}"
        beat = self._loop.create_task(self._beat())
        ready.set()
        try:
            self._loop.run_forever()
        finally:
            beat.cancel()
            server.close()
            for guest in list(self._guests.values()):
                guest.transport.abort()
            self._loop.run_until_complete(asyncio.sleep(0))
            self._loop.run_until_complete(server.wait_closed())
            self._loop.close()

    async def _beat(self) -> None:
        """Tell those who wait that the server is there."""
        while True:
            await asyncio.sleep(HEARTBEAT_S)
            for guest in list(self._guests.values()):
                if guest.waits:
                    guest.say("wait")

    def welcome(self, guest: _Guest, token: str, service: str, worker: str) -> int | None:
        """Number of a guest's permit, for which it waits now; None for a stranger."""
        if not hmac.compare_digest(token.encode(), self._token.encode()):
            log.warning("a stranger asked for a permit to %s and was sent away", service)
            return None
        with self._lock:
            permit = self._desk.enter(service, worker, time.monotonic())
            self._guests[permit] = guest
        return permit

    def take(self, permit: int, word: str, rest: str) -> None:
        """Take note of a line of a guest."""
        now = time.monotonic()
        with self._lock:
            allowance = self._desk.of(permit)
            if word == "ok":
                allowance.succeeded(permit, now - _seconds(rest))
            elif word == "ask":
                allowance.ask(permit)
            elif word == "again":
                allowance.ask_again(permit, now, _seconds(rest))
            elif word == "failed":
                seconds, _, reason = rest.partition(" ")
                allowance.failed(permit, now, reason, None if seconds == "-" else _seconds(seconds))

    def farewell(self, permit: int, *, announced: bool) -> None:
        """Take a permit back."""
        with self._lock:
            del self._guests[permit]
            self._desk.leave(permit, time.monotonic(), REST_S if announced else DEATH_REST_S)
        self.settle()

    def settle(self) -> None:
        """Tell the guests what is decided, and look again when more may be."""
        now = time.monotonic()
        with self._lock:
            made = self._desk.decide(now)
            wake = self._desk.wake(now)
        for decision, _ in made:
            self._guests[decision.permit].tell(decision)
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if wake is not None:
            self._timer = self._loop.call_later(max(0.0, wake - now), self.settle)


def _seconds(text: str) -> float:
    """Duration as a guest says it; a ValueError where it says none."""
    seconds = float(text)
    if not 0.0 <= seconds < float("inf"):
        raise ValueError(f"no duration: {text}")
    return seconds


class _Guest(asyncio.Protocol):
    """One worker's line."""

    transport: asyncio.Transport

    def __init__(self, server: BudgetServer):
        self._server = server
        self._buffer = b""
        self._permit: int | None = None
        self._announced = False
        self.waits = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport
        transport.get_extra_info("socket").setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._patience = asyncio.get_running_loop().call_later(_HELLO_S, self._send_away)

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        *lines, self._buffer = self._buffer.split(b"\n")
        if len(self._buffer) > _LONGEST_LINE:
            self.transport.abort()
            return
        try:
            for line in lines:
                self._take(line.decode())
        except (ValueError, KeyError):
            log.warning("a line of the budget said something that is not understood; it is closed")
            self.transport.abort()
        if self._permit is not None and lines:
            self._server.settle()

    def connection_lost(self, error: Exception | None) -> None:
        self._patience.cancel()
        if self._permit is not None:
            self._server.farewell(self._permit, announced=self._announced)

    def tell(self, decision: Decision) -> None:
        """Pass a decision on."""
        self.waits = False
        outage = decision.verdict is Verdict.OUTAGE
        self.say(f"{decision.verdict.value} {decision.reason}" if outage else decision.verdict.value)

    def say(self, line: str) -> None:
        """Send a line."""
        self.transport.write(f"{line}\n".encode())

    def _take(self, line: str) -> None:
        word, _, rest = line.partition(" ")
        if self._permit is None:
            token, service, worker = rest.split(" ", 2)
            self._permit = self._server.welcome(self, token, service, worker) if word == "hello" else None
            self._patience.cancel()
            self.waits = self._permit is not None
            if self._permit is None:
                self.transport.close()
        elif word == "bye":
            self._announced = True
            self.transport.close()
        else:
            self.waits = self.waits or word in ("ask", "again")
            self._server.take(self._permit, word, rest)

    def _send_away(self) -> None:
        self.transport.abort()

"""Permits to ask a service, from the one request budget of all threads and workers that ask it.

A `Line` is one permit: it covers one open connection, and each request on that connection passes through it. Lines of
one process meet at a desk of its own; those of many workers at the `larun.archive.budget.BudgetServer` of their run,
where a line is an open socket, so that a worker gives its permits back by dying.
"""

from __future__ import annotations

import logging
import os
import socket
import threading
import time
from typing import Protocol

from larun.archive.allowance import Decision, Verdict
from larun.archive.desk import Desk
from larun.config import ArchiveSettings
from larun.errors import ArchiveOutage

log = logging.getLogger(__name__)

REST_S = 0.05
"""A permit that was given back rests so long: its connection is closed here, but the service may not know yet."""

HEARTBEAT_S = 5.0
"""A server says so often that a line still waits."""

SILENCE_S = 6 * HEARTBEAT_S
"""A server that says nothing for so long is gone."""


class Line(Protocol):
    """One permit: from `wait` until `close` one connection may be open."""

    def wait(self) -> None:
        """Wait for the permit.

        Raises
        ------
        ArchiveOutage
            The service is given up, or the budget is gone.
        """
        ...

    def ask(self) -> Verdict:
        """Wait for leave to make one request: `Verdict.GO`, `PROBE` or `YIELD`.

        Raises
        ------
        ArchiveOutage
            As in `wait`.
        """
        ...

    def succeeded(self) -> None:
        """Say that the service answered; told with the next `ask`."""
        ...

    def failed(self, reason: str, retry_after_s: float | None) -> None:
        """Say that the service did not answer, and how long it asks to be left alone."""
        ...

    def close(self) -> None:
        """Give the permit back; the connection must be closed by now."""
        ...


def open_line(service: str, settings: ArchiveSettings, budget: str) -> Line:
    """Line to a service through the budget at an address, or through that of this process where it is empty."""
    return SharedLine(service, budget) if budget else LocalLine(service, local_desk(settings))


def outage(service: str, reason: str) -> ArchiveOutage:
    """Error about a service that was given up."""
    return ArchiveOutage(f"{service} does not serve: {reason}. What is stored stays; run this again later")


class LocalDesk:
    """Desk of the threads of one process."""

    def __init__(self, settings: ArchiveSettings, clock=time.monotonic):
        self._clock = clock
        self._desk = Desk(settings)
        self._changed = threading.Condition()
        self._decided: dict[int, tuple[Decision, str]] = {}

    def enter(self, service: str) -> int:
        """Queue for a permit; returns its number. Who comes first after all had left begins a run of its own."""
        with self._changed:
            self._desk.forgive(service)
            return self._desk.enter(service, "", self._clock())

    def ask(self, permit: int, succeeded: bool) -> None:
        """Queue for leave to make a request."""
        with self._changed:
            allowance = self._desk.of(permit)
            if succeeded:
                allowance.succeeded(permit)
            allowance.ask(permit)

    def decision(self, permit: int) -> tuple[Decision, str]:
        """Wait for the decision about a permit that is queued."""
        with self._changed:
            while permit not in self._decided:
                now = self._clock()
                self._publish(now)
                if permit in self._decided:
                    break
                wake = self._desk.wake(now)
                self._changed.wait(None if wake is None else max(0.0, wake - now))
            return self._decided.pop(permit)

    def failed(self, permit: int, reason: str, retry_after_s: float | None) -> None:
        """Take note of a failure."""
        with self._changed:
            self._desk.of(permit).failed(permit, self._clock(), reason, retry_after_s)
            self._publish(self._clock())

    def leave(self, permit: int, succeeded: bool) -> None:
        """Take a permit back; a thread that waits for it is told."""
        with self._changed:
            if succeeded and permit in self._desk:
                self._desk.of(permit).succeeded(permit)
            self._decided.pop(permit, None)
            if self._desk.leave(permit, self._clock(), REST_S):
                self._decided[permit] = (Decision(permit, Verdict.OUTAGE, "this process closed it"), "the archive")
            self._publish(self._clock())
            self._changed.notify_all()

    def report(self) -> dict[str, dict]:
        """As in `Desk.report`."""
        with self._changed:
            return self._desk.report()

    def _publish(self, now: float) -> None:
        made = self._desk.decide(now)
        self._decided |= {decision.permit: (decision, service) for decision, service in made}
        if made:
            self._changed.notify_all()


_local_desks: dict[ArchiveSettings, LocalDesk] = {}
_local_desks_lock = threading.Lock()


def local_desk(settings: ArchiveSettings) -> LocalDesk:
    """Desk of this process for archives with these settings."""
    with _local_desks_lock:
        return _local_desks.setdefault(settings, LocalDesk(settings))


class LocalLine:
    """Permit of a desk in this process."""

    def __init__(self, service: str, desk: LocalDesk):
        self._desk = desk
        self._succeeded = False
        self._permit = desk.enter(service)

    def wait(self) -> None:
        """As in `Line`."""
        self._verdict()

    def ask(self) -> Verdict:
        """As in `Line`."""
        self._desk.ask(self._permit, self._succeeded)
        self._succeeded = False
        return self._verdict()

    def succeeded(self) -> None:
        """As in `Line`."""
        self._succeeded = True

    def failed(self, reason: str, retry_after_s: float | None) -> None:
        """As in `Line`."""
        self._desk.failed(self._permit, reason, retry_after_s)

    def close(self) -> None:
        """As in `Line`."""
        self._desk.leave(self._permit, self._succeeded)

    def _verdict(self) -> Verdict:
        decision, service = self._desk.decision(self._permit)
        if decision.verdict is Verdict.OUTAGE:
            raise outage(service, decision.reason)
        return decision.verdict


class SharedLine:
    """Permit of a `BudgetServer`: an open socket to it."""

    def __init__(self, service: str, address: str):
        self._place, _, token = address.rpartition("/")
        host, _, port = self._place.rpartition(":")
        self._service = service
        self._pending = b""
        self._buffer = b""
        try:
            self._socket = socket.create_connection((host, int(port)), timeout=SILENCE_S)
        except (OSError, ValueError) as error:
            raise self._gone(error) from error
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._pending = f"hello {token} {service} {socket.gethostname()}:{os.getpid()}\n".encode()

    def wait(self) -> None:
        """As in `Line`."""
        self._send(self._pending)
        self._pending = b""
        self._verdict()

    def ask(self) -> Verdict:
        """As in `Line`."""
        self._send(self._pending + b"ask\n")
        self._pending = b""
        return self._verdict()

    def succeeded(self) -> None:
        """As in `Line`."""
        self._pending = b"ok\n"

    def failed(self, reason: str, retry_after_s: float | None) -> None:
        """As in `Line`."""
        said = " ".join(reason.split())[:500]
        self._send(f"failed {'-' if retry_after_s is None else f'{retry_after_s:.3f}'} {said}\n".encode())

    def close(self) -> None:
        """As in `Line`."""
        try:
            self._socket.sendall(self._pending + b"bye\n")
            self._socket.shutdown(socket.SHUT_RDWR)
        except OSError:
            log.debug("the budget at %s was gone before its permit", self._place)
        self._socket.close()

    def _send(self, line: bytes) -> None:
        try:
            self._socket.sendall(line)
        except OSError as error:
            raise self._gone(error) from error

    def _verdict(self) -> Verdict:
        while (line := self._line()) == "wait":
            pass
        word, _, reason = line.partition(" ")
        if word == Verdict.OUTAGE.value:
            raise outage(self._service, reason)
        try:
            return Verdict(word)
        except ValueError:
            raise self._gone(f"it answered {line[:80]!r}") from None

    def _line(self) -> str:
        while b"\n" not in self._buffer:
            try:
                came = self._socket.recv(4096)
            except OSError as error:
                raise self._gone(error) from error
            if not came:
                raise self._gone("it closed the connection")
            self._buffer += came
        line, _, self._buffer = self._buffer.partition(b"\n")
        return line.decode(errors="replace")

    def _gone(self, reason: object) -> ArchiveOutage:
        return ArchiveOutage(
            f"the request budget of this run at {self._place} does not answer ({reason}): the run has ended or lost "
            f"its machine, and without it {self._service} must not be asked. Start the run again"
        )

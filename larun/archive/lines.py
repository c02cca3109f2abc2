"""Permits to ask a service, from the one request budget of all threads and workers that ask it.

A `Line` is one permit: it covers one open connection, and each request on that connection passes through it. Lines of
one process meet at a desk of its own; those of many workers at the `larun.archive.budget_server.BudgetServer` of
their run, where a line is an open socket, so that a worker gives its permits back by dying.
"""

from __future__ import annotations

import logging
import os
import socket
import time
from typing import Protocol

from larun.archive.allowance import Decision, Verdict
from larun.archive.desk import LocalDesk, local_desk
from larun.config import ArchiveSettings
from larun.errors import ArchiveOutage

log = logging.getLogger(__name__)

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

    def ask(self, fruitless_s: float | None = None) -> Verdict:
        """Wait for leave to make one request: `Verdict.GO`, `PROBE`, `YIELD` or `ENOUGH`.

        Parameters
        ----------
        fruitless_s : float, optional
            The request was made as often as it may, all in vain, since so many seconds.

        Raises
        ------
        ArchiveOutage
            As in `wait`.
        """
        ...

    def succeeded(self) -> None:
        """Say that the service answered just now; told with the next `ask`."""
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


class LocalLine:
    """Permit of a desk in this process."""

    def __init__(self, service: str, desk: LocalDesk):
        self._desk = desk
        self._permit = desk.enter(service)

    def wait(self) -> None:
        """As in `Line`."""
        _unless_outage(*self._desk.wait(self._permit))

    def ask(self, fruitless_s: float | None = None) -> Verdict:
        """As in `Line`."""
        return _unless_outage(*self._desk.ask(self._permit, fruitless_s))

    def succeeded(self) -> None:
        """As in `Line`, told at once."""
        self._desk.succeeded(self._permit)

    def failed(self, reason: str, retry_after_s: float | None) -> None:
        """As in `Line`."""
        self._desk.failed(self._permit, reason, retry_after_s)

    def close(self) -> None:
        """As in `Line`."""
        self._desk.leave(self._permit)


def _unless_outage(decision: Decision, service: str) -> Verdict:
    if decision.verdict is Verdict.OUTAGE:
        raise outage(service, decision.reason)
    return decision.verdict


class SharedLine:
    """Permit of a `BudgetServer`: an open socket to it."""

    def __init__(self, service: str, address: str):
        self._place, _, token = address.rpartition("/")
        host, _, port = self._place.rpartition(":")
        self._service = service
        self._hello = b""
        self._succeeded: float | None = None
        self._buffer = b""
        try:
            self._socket = socket.create_connection((host, int(port)), timeout=SILENCE_S)
        except (OSError, ValueError) as error:
            raise self._gone(error) from error
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._hello = f"hello {token} {service} {socket.gethostname()}:{os.getpid()}\n".encode()

    def wait(self) -> None:
        """As in `Line`."""
        hello, self._hello = self._hello, b""
        self._send(hello)
        self._verdict()

    def ask(self, fruitless_s: float | None = None) -> Verdict:
        """As in `Line`."""
        self._send(self._outcome() + (b"ask\n" if fruitless_s is None else f"again {fruitless_s:.3f}\n".encode()))
        return self._verdict()

    def succeeded(self) -> None:
        """As in `Line`."""
        self._succeeded = time.monotonic()

    def failed(self, reason: str, retry_after_s: float | None) -> None:
        """As in `Line`."""
        said = " ".join(reason.split())[:500]
        self._send(f"failed {'-' if retry_after_s is None else f'{retry_after_s:.3f}'} {said}\n".encode())

    def close(self) -> None:
        """As in `Line`."""
        try:
            if not self._hello:
                self._socket.sendall(self._outcome() + b"bye\n")
            self._socket.shutdown(socket.SHUT_RDWR)
        except OSError:
            log.debug("the budget at %s was gone before its permit", self._place)
        self._socket.close()

    def _outcome(self) -> bytes:
        """The last success and how long ago that was; nothing where it is told already."""
        when, self._succeeded = self._succeeded, None
        return b"" if when is None else f"ok {time.monotonic() - when:.3f}\n".encode()

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

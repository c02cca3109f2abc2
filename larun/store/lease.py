"""A lease in the store: one run at a time does a kind of work, whichever machine it is on.

A lease is one JSON object that only changes by compare and swap. Who holds it writes a time in the future into it, and
renews it while the work goes on; whoever comes meanwhile is told to come later. A lease that is not renewed can be
taken over: at once where its process is gone from this machine, else when its time is over.

Times are those of the machines' own clocks. A lease is taken over `MARGIN` of its length later than it says, so that
clocks may differ by as much. Were they further apart, two runs could go on at once until the first renews, which is
a third of the lease; it finds the other's token then and stops at its next `check`. What they wrote meanwhile is safe
by itself: every object of the store is whole, and records are only written where there is none.
"""

from __future__ import annotations

import contextlib
import logging
import os
import socket
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from larun import paths
from larun.errors import RunDeferred, StoreError
from larun.objects import Root

logger = logging.getLogger(__name__)

MARGIN = 0.25
"""Share of a lease that has to pass beyond its end before another machine takes it over."""

_RENEWALS = 3
"""Renewals within the length of a lease."""


class Lease:
    """A lease that is held; made by `hold`.

    Parameters
    ----------
    root : Root
        Survey root.
    name : str
        Kind of work.
    minutes : float
        Its length.
    clock : callable
        Seconds since the epoch.
    """

    def __init__(self, root: Root, name: str, minutes: float, clock: Callable[[], float]):
        self.name = name
        self._root, self._path = root, paths.lease(name)
        self._seconds, self._clock = 60 * minutes, clock
        self._token = uuid.uuid4().hex
        self._until = 0.0
        self._lost_to = ""

    def check(self) -> None:
        """Make sure that the lease is still held; work that must not overlap does so before each step.

        Where its time is over because the machine slept, and nobody took it over, it is renewed.

        Raises
        ------
        RunDeferred
            It was lost: another run took it over, or it could not be renewed in time.
        """
        if not self._lost_to and self._clock() >= self._until:
            with contextlib.suppress(StoreError):
                self.renew()
        if self._lost_to:
            raise RunDeferred(f"{self._lost_to}; this run stops, and what it stored stays")
        if self._clock() >= self._until:
            raise RunDeferred(
                f"the lease {self.name} ended at {_shown(self._until)} and could not be renewed; this run stops, and "
                "what it stored stays"
            )

    def take(self) -> None:
        """Take the lease, or take it over from a run that is gone.

        Raises
        ------
        RunDeferred
            Another run holds it; names that run and the end of its lease.
        """
        now = self._clock()

        def claim(there: dict[str, Any]) -> dict[str, Any]:
            if there and there.get("token") != self._token:
                if not is_free(there, now):
                    raise RunDeferred(
                        f"another run holds the lease {self.name}: process {there['pid']} on {there['host']}, since "
                        f"{_shown(there['since'])}, until {_shown(there['until'])} unless it renews it. Let it end; "
                        "the next run does what is then missing"
                    )
                logger.warning(
                    "the lease %s of process %s on %s is taken over: it did not renew it",
                    self.name, there["pid"], there["host"],
                )  # fmt: skip
            return self._claimed(now, now)

        self._root.update_json(self._path, claim)
        self._until = now + self._seconds

    def renew(self) -> None:
        """Put the end of the lease off; a lease that another run holds now is lost.

        Raises
        ------
        StoreError
            The root cannot be written; the lease is still held until its end.
        """
        now = self._clock()

        def put_off(there: dict[str, Any]) -> dict[str, Any]:
            if there.get("token") != self._token:
                holder = f"process {there['pid']} on {there['host']}" if there else "nobody"
                self._lost_to = f"the lease {self.name} was lost, {holder} holds it now"
                raise RunDeferred(self._lost_to)
            return self._claimed(there["since"], now)

        with contextlib.suppress(RunDeferred):
            self._root.update_json(self._path, put_off)
            self._until = now + self._seconds

    def release(self) -> None:
        """Let the next run have the lease at once; nothing happens if it was lost."""

        def free(there: dict[str, Any]) -> dict[str, Any]:
            return {} if there.get("token") == self._token else there

        self._root.update_json(self._path, free)
        self._until = 0.0

    def _claimed(self, since: float, now: float) -> dict[str, Any]:
        return {"token": self._token, "since": since, "until": now + self._seconds, "length": self._seconds} | _myself()


@contextlib.contextmanager
def hold(root: Root, name: str, minutes: float, clock: Callable[[], float] = time.time) -> Iterator[Lease]:
    """Hold a lease while the context lasts; a thread renews it.

    Parameters
    ----------
    root : Root
        Survey root.
    name : str
        Kind of work that must not overlap.
    minutes : float
        A run that has not renewed its lease for so long has lost it to the next.
    clock : callable
        Seconds since the epoch.

    Yields
    ------
    Lease
        Its `check` tells whether it is still held.

    Raises
    ------
    RunDeferred
        Another run holds it.
    StoreError
        The root cannot be written.
    """
    lease = Lease(root, name, minutes, clock)
    lease.take()
    ended = threading.Event()
    thread = threading.Thread(
        target=_keep, args=(lease, 60 * minutes / _RENEWALS, ended), name=f"lease {name}", daemon=True
    )
    thread.start()
    try:
        yield lease
    finally:
        ended.set()
        thread.join()
        try:
            lease.release()
        except StoreError as error:
            logger.warning("the lease %s is left to expire: %s", name, error)


def _keep(lease: Lease, interval_s: float, ended: threading.Event) -> None:
    """Renew a lease until the work has ended or the lease is lost; a failed renewal is tried again sooner."""
    wait = interval_s
    while not ended.wait(wait):
        try:
            lease.renew()
            lease.check()
        except StoreError as error:
            logger.warning("the lease %s could not be renewed and is tried again: %s", lease.name, error)
            wait = interval_s / 5
        except RunDeferred as error:
            logger.warning("%s", error)
            return
        else:
            wait = interval_s


def is_free(lease: dict[str, Any], now: float) -> bool:
    """Whether the run that holds a lease is gone: its process from this machine, or its time over."""
    if now > lease["until"] + MARGIN * lease["length"]:
        return True
    myself = _myself()
    if lease["machine"] != myself["machine"]:
        return False
    return _started(lease["pid"]) != lease["started"]


def _myself() -> dict[str, Any]:
    """Number and start of this process, and the machine, boot and container within which they mean something."""
    pid = os.getpid()
    return {"host": socket.gethostname(), "machine": _machine(), "pid": pid, "started": _started(pid)}


def _machine() -> str:
    """What tells this machine, since its last start, and this container from all others."""
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
        namespace = os.readlink("/proc/self/ns/pid")  # noqa: PTH115 - the link names no file
    except OSError:
        return f"{socket.gethostname()}-{uuid.getnode():x}"
    return f"{socket.gethostname()}-{boot}-{namespace}"


def _started(pid: int) -> str:
    """When a process of this machine started, as the system counts; empty where there is no such process.

    A process number alone is given again to others.
    """
    try:
        text = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return _alive_without_proc(pid)
    fields = text.rpartition(")")[2].split()
    return "" if fields[0] in ("Z", "X") else fields[19]


def _alive_without_proc(pid: int) -> str:
    if Path("/proc/self/stat").exists():
        return ""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return ""
    except PermissionError:
        pass
    return "running"


def _shown(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")

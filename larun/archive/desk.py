"""Allowances of all services at one place: the threads of a process, or the workers of a run, meet here."""

from __future__ import annotations

import threading
import time
from itertools import count

from larun.archive.allowance import Allowance, Decision, Limits, Verdict
from larun.config import ArchiveSettings

REST_S = 0.05
"""A permit that was given back rests so long: its connection is closed here, but the service may not know yet."""


class Desk:
    """Allowances of all services, and who holds which permit; not for several threads at once."""

    def __init__(self, settings: ArchiveSettings):
        self._settings = settings
        self._numbers = count(1)
        self._service: dict[int, str] = {}
        self.allowances: dict[str, Allowance] = {}

    def enter(self, service: str, worker: str, now: float) -> int:
        """Wait for a permit; returns its number."""
        if service not in self.allowances:
            self.allowances[service] = Allowance(Limits.of(service, self._settings), now)
        permit = next(self._numbers)
        self._service[permit] = service
        self.allowances[service].enter(permit, worker)
        return permit

    def forgive(self, service: str) -> None:
        """Ask a service anew that was given up, if nobody is left who gave it up."""
        allowance = self.allowances.get(service)
        if allowance is not None and allowance.deserted and allowance.breaker.is_given_up:
            allowance.breaker.forget()

    def of(self, permit: int) -> Allowance:
        """Allowance that a permit belongs to."""
        return self.allowances[self._service[permit]]

    def leave(self, permit: int, now: float, rest_s: float) -> bool:
        """Give a permit back, once or more often; returns whether something was waited for with it."""
        service = self._service.pop(permit, None)
        return service is not None and self.allowances[service].leave(permit, now, rest_s)

    def __contains__(self, permit: int) -> bool:
        return permit in self._service

    def decide(self, now: float) -> list[tuple[Decision, str]]:
        """Decisions that are due, with the service that each is about."""
        return [
            (decision, service) for service, allowance in self.allowances.items() for decision in allowance.decide(now)
        ]

    def wake(self, now: float) -> float | None:
        """Time from which `decide` may have more to say."""
        times = [time for allowance in self.allowances.values() if (time := allowance.wake(now)) is not None]
        return min(times, default=None)

    def report(self) -> dict[str, dict]:
        """Per service: requests, failures, requests that waited, outages, state and the reason for it."""
        return {
            service: {
                "requests": allowance.totals.requests,
                "failures": allowance.totals.failures,
                "waits": allowance.totals.waits,
                "outages": allowance.totals.outages,
                "connections": allowance.open_permits,
                "state": allowance.breaker.state,
                "reason": allowance.breaker.reason,
            }
            for service, allowance in self.allowances.items()
        }


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

    def wait(self, permit: int) -> tuple[Decision, str]:
        """Wait for the decision about a permit that was queued for."""
        with self._changed:
            return self._decision(permit)

    def ask(self, permit: int, fruitless_s: float | None) -> tuple[Decision, str]:
        """Wait for leave to make a request, once more after as many as it may where it was in vain so long."""
        with self._changed:
            allowance = self._desk.of(permit)
            if fruitless_s is None:
                allowance.ask(permit)
            else:
                allowance.ask_again(permit, self._clock(), fruitless_s)
            return self._decision(permit)

    def succeeded(self, permit: int) -> None:
        """Take note of a success."""
        with self._changed:
            self._desk.of(permit).succeeded(permit, self._clock())
            self._publish(self._clock())

    def failed(self, permit: int, reason: str, retry_after_s: float | None) -> None:
        """Take note of a failure."""
        with self._changed:
            self._desk.of(permit).failed(permit, self._clock(), reason, retry_after_s)
            self._publish(self._clock())

    def leave(self, permit: int) -> None:
        """Take a permit back; a thread that waits for it is told."""
        with self._changed:
            self._decided.pop(permit, None)
            if self._desk.leave(permit, self._clock(), REST_S):
                self._decided[permit] = (Decision(permit, Verdict.OUTAGE, "this process closed it"), "the archive")
            self._publish(self._clock())
            self._changed.notify_all()

    def report(self) -> dict[str, dict]:
        """As in `Desk.report`."""
        with self._changed:
            return self._desk.report()

    def _decision(self, permit: int) -> tuple[Decision, str]:
        while permit not in self._decided:
            now = self._clock()
            self._publish(now, permit)
            if permit in self._decided:
                break
            wake = self._desk.wake(now)
            self._changed.wait(None if wake is None else max(0.0, wake - now))
        return self._decided.pop(permit)

    def _publish(self, now: float, mine: int | None = None) -> None:
        """Make the decisions that are due known to all that wait but the one who asks."""
        made = self._desk.decide(now)
        for decision, service in made:
            self._decided[decision.permit] = decision, service
        if made and [decision.permit for decision, _ in made] != [mine]:
            self._changed.notify_all()


_local_desks: dict[ArchiveSettings, LocalDesk] = {}
_local_desks_lock = threading.Lock()


def local_desk(settings: ArchiveSettings) -> LocalDesk:
    """Desk of this process for archives with these settings."""
    with _local_desks_lock:
        return _local_desks.setdefault(settings, LocalDesk(settings))

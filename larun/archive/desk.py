"""Allowances of all services at one place: the threads of a process, or the workers of a run, meet here."""

from __future__ import annotations

from itertools import count

from larun.archive.allowance import Allowance, Decision, Limits
from larun.config import ArchiveSettings


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
        if allowance is not None and allowance.deserted and allowance.state == "given up":
            allowance.forget()

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
                "state": allowance.state,
                "reason": allowance.reason,
            }
            for service, allowance in self.allowances.items()
        }

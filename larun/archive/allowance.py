"""How often one service is asked, and by how many connections at once: a state machine without a clock.

Whoever drives it (`larun.archive.desk`) passes the time, hands in what happened, and delivers the decisions.
"""

from __future__ import annotations

from collections import Counter, deque
from dataclasses import dataclass, field
from enum import Enum
from typing import NamedTuple

from larun.archive.breaker import Breaker, Tolerance
from larun.config import ArchiveSettings

_ROUNDING = 1e-6

_BURST_S = 0.1
"""Requests that may be made at once after a lull: those of so many seconds."""

_OTHER_CONNECTIONS = 4
"""Connections to a service that has no setting of its own: catalogues, of which each is asked a few times a night."""


@dataclass(frozen=True, slots=True)
class Limits:
    """What a service is spared.

    Parameters
    ----------
    connections : int
        Connections open at any moment.
    requests_per_s : float
        Requests per second in the long run.
    tolerance : Tolerance
        When it is asked no more, but by one probe at a time.
    """

    connections: int
    requests_per_s: float
    tolerance: Tolerance

    @classmethod
    def of(cls, service: str, settings: ArchiveSettings) -> Limits:
        """Limits of a service by name: ``mast``, ``cloud``, or any other."""
        connections = {"mast": settings.mast_connections, "cloud": settings.cloud_connections}
        return cls(
            connections.get(service, _OTHER_CONNECTIONS),
            settings.requests_per_s,
            Tolerance(settings.outage_failures, settings.patience_s, settings.backoff_s, settings.max_backoff_s),
        )

    @property
    def burst(self) -> float:
        """Requests that may be made at once after a lull."""
        return max(1.0, self.requests_per_s * _BURST_S)


class Verdict(Enum):
    """What the holder of a permit, or who waits for one, may do now."""

    GRANTED = "granted"
    """Open one connection."""
    GO = "go"
    """Make one request."""
    PROBE = "probe"
    """Make one request to see whether the service is back; nobody else makes one meanwhile."""
    YIELD = "yield"
    """Close the connection and give the permit back: another worker has none."""
    ENOUGH = "enough"
    """Ask for that thing no more: the service serves others."""
    OUTAGE = "outage"
    """Give up."""


class Decision(NamedTuple):
    """One verdict, for one permit."""

    permit: int
    verdict: Verdict
    reason: str = ""


@dataclass
class Totals:
    """What happened so far."""

    requests: int = 0
    failures: int = 0
    waits: int = 0
    outages: int = 0


@dataclass
class Allowance:
    """Permits, requests and health of one service.

    A permit covers one open connection from `GRANTED` until `leave`. Waiting is first come, first served, but a worker
    that holds fewer permits goes before one that holds more, and one that holds two more than another that waits is
    asked to yield. Requests pass a token bucket, and a breaker that tells whether the service is asked at all.

    Parameters
    ----------
    limits : Limits
        What the service is spared.
    now : float
        Present time, seconds on any clock that does not go back; the same clock in every call.

    Attributes
    ----------
    breaker : Breaker
        Whether the service is asked at all.
    """

    limits: Limits
    now: float = 0.0
    totals: Totals = field(default_factory=Totals)

    def __post_init__(self):
        self._free = self.limits.connections
        self._resting: list[float] = []
        self._worker: dict[int, str] = {}
        self._held: set[int] = set()
        self._yielding: set[int] = set()
        self._waiting: deque[int] = deque()
        self._asking: deque[int] = deque()
        self._counted: set[int] = set()
        self._tokens = self.limits.burst
        self._filled = self.now
        self._in_vain: set[int] = set()
        self._enough: list[int] = []
        self.breaker = Breaker(self.limits.tolerance)

    @property
    def open_permits(self) -> int:
        """Permits that cover a connection now."""
        return len(self._held)

    @property
    def deserted(self) -> bool:
        """Whether nobody holds a permit or waits for one."""
        return not self._worker

    def enter(self, permit: int, worker: str) -> None:
        """Wait for a permit, to be known by a number that nobody else uses, for a worker."""
        self._worker[permit] = worker
        self._waiting.append(permit)

    def ask(self, permit: int) -> None:
        """Wait for leave to make a request with a permit that was granted."""
        self._asking.append(permit)

    def ask_again(self, permit: int, now: float, fruitless_s: float) -> None:
        """Wait for leave to make a request that was made as often as it may, since so many seconds, all in vain.

        Where the service served nobody meanwhile it is the service that is in doubt, and the request waits for the
        outcome of a probe. Where others were served, or the first probe is, the decision is `Verdict.ENOUGH`.
        """
        if self.breaker.doubted(now, fruitless_s):
            self._asking.append(permit)
            self._in_vain.add(permit)
        else:
            self._enough.append(permit)

    def succeeded(self, permit: int, when: float) -> None:
        """The service answered the request of a permit, be it that there is no such thing, at a time not after now."""
        was_out, was_proven = self.breaker.is_out, self.breaker.is_proven
        self.breaker.succeeded(when)
        if was_out and not self.breaker.is_out:
            self.totals.outages += 1
            if not was_proven:
                self._enough += [asking for asking in self._asking if asking in self._in_vain]
                self._asking = deque(asking for asking in self._asking if asking not in self._in_vain)

    def failed(self, permit: int, now: float, reason: str, retry_after_s: float | None = None) -> None:
        """The service did not answer, or asked to be left alone for a while."""
        self.totals.failures += 1
        self.breaker.failed(permit, now, reason, retry_after_s)

    def leave(self, permit: int, now: float, rest_s: float = 0.0) -> bool:
        """Give a permit, or the wait for one, back; it is granted again after `rest_s` seconds.

        Returns
        -------
        bool
            Whether a decision was still to come.
        """
        queues = [queue for queue in (self._waiting, self._asking, self._enough) if permit in queue]
        if permit in self._held:
            self._held.discard(permit)
            self._yielding.discard(permit)
            self._resting.append(now + rest_s)
        for queue in queues:
            queue.remove(permit)
        self._worker.pop(permit, None)
        self._counted.discard(permit)
        self._in_vain.discard(permit)
        if self.breaker.probe == permit:
            self.breaker.probe = None
        return bool(queues)

    def decide(self, now: float) -> list[Decision]:
        """Decisions that are due, each made once."""
        made: list[Decision] = []
        if self._enough:
            made += [Decision(permit, Verdict.ENOUGH) for permit in self._enough]
            self._in_vain.difference_update(self._enough)
            self._enough.clear()
        if self._waiting or self._asking:
            self._fill(now)
        if self._waiting:
            made += self._grant(now)
        if self._asking:
            made += self._answer(now)
        return made

    def wake(self, now: float) -> float | None:
        """Time from which `decide` may have more to say though nothing happened; None where it waits for an event."""
        times = list(self._resting) if self._waiting else []
        if self._asking and self.breaker.is_out:
            probe_due = self.breaker.probe_due()
            times += [] if probe_due is None else [probe_due]
        elif self._asking:
            lacking = max(0.0, 1.0 - self._tokens)
            times.append(max(self.breaker.paused_until, self._filled + lacking / self.limits.requests_per_s))
        return min(times, default=None)

    def _fill(self, now: float) -> None:
        """Refill the token bucket and end rests."""
        self._tokens = min(self.limits.burst, self._tokens + (now - self._filled) * self.limits.requests_per_s)
        self._filled = now
        if self._resting:
            still = [until for until in self._resting if until > now]
            self._free, self._resting = self._free + len(self._resting) - len(still), still

    def _grant(self, now: float) -> list[Decision]:
        made = []
        if self.breaker.is_given_up and not self._probe_is_due(now):
            made = [Decision(permit, Verdict.OUTAGE, self.breaker.reason) for permit in self._waiting]
            self._waiting.clear()
        while self._free and self._waiting:
            held = self._held_by_worker()
            permit = min(self._waiting, key=lambda permit, held=held: held[self._worker[permit]])
            self._waiting.remove(permit)
            self._held.add(permit)
            self._free -= 1
            made.append(Decision(permit, Verdict.GRANTED))
        return made

    def _held_by_worker(self) -> Counter[str]:
        return Counter(self._worker[permit] for permit in self._held - self._yielding)

    def _answer(self, now: float) -> list[Decision]:
        made = []
        while self._asking:
            verdict = self._verdict(self._asking[0], now)
            if verdict is None:
                break
            permit = self._asking.popleft()
            self._counted.discard(permit)
            self._in_vain.discard(permit)
            made.append(Decision(permit, verdict, self.breaker.reason if verdict is Verdict.OUTAGE else ""))
            if verdict in (Verdict.GO, Verdict.PROBE):
                self.totals.requests += 1
                self._tokens -= 1.0
        for permit in self._asking:
            if permit not in self._counted:
                self._counted.add(permit)
                self.totals.waits += 1
        return made

    def _verdict(self, permit: int, now: float) -> Verdict | None:
        """What may be done with a permit now; None to wait."""
        breaker = self.breaker
        if breaker.is_out:
            if self._probe_is_due(now):
                breaker.probe = permit
                return Verdict.PROBE
            return Verdict.OUTAGE if breaker.is_given_up else None
        if self._should_yield(permit):
            self._yielding.add(permit)
            return Verdict.YIELD
        return Verdict.GO if now >= breaker.paused_until and self._tokens > 1.0 - _ROUNDING else None

    def _probe_is_due(self, now: float) -> bool:
        return now >= (self.breaker.probe_due() or float("inf"))

    def _should_yield(self, permit: int) -> bool:
        if len(self._waiting) <= self._free + len(self._resting) + len(self._yielding):
            return False
        held = self._held_by_worker()
        poorest = min(held[self._worker[waiting]] for waiting in self._waiting)
        return held[self._worker[permit]] > poorest + 1

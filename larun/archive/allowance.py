"""What one service is asked for at once, how often, and whether it is asked at all: a state machine without a clock.

Whoever drives it (`larun.archive.budget`) passes the time, hands in what happened, and delivers the decisions.
"""

from __future__ import annotations

from collections import Counter, deque
from dataclasses import dataclass, field
from enum import Enum

from larun.config import ArchiveSettings

_BURST_S = 0.1
"""Requests that may be made at once after a lull: those of so many seconds."""

_ROUNDING = 1e-6

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
    outage_failures : int
        Failures in a row after which the service is asked no more, but by one probe at a time.
    patience_s : float
        Seconds without service after which it is given up.
    pause_s, longest_pause_s : float
        Wait before the first probe, doubled after each up to the longest, seconds.
    """

    connections: int
    requests_per_s: float
    outage_failures: int
    patience_s: float
    pause_s: float
    longest_pause_s: float

    @classmethod
    def of(cls, service: str, settings: ArchiveSettings) -> Limits:
        """Limits of a service by name: ``mast``, ``cloud``, or any other."""
        connections = {"mast": settings.mast_connections, "cloud": settings.cloud_connections}
        return cls(
            connections.get(service, _OTHER_CONNECTIONS),
            settings.requests_per_s,
            settings.outage_failures,
            settings.patience_s,
            settings.backoff_s,
            settings.max_backoff_s,
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
    OUTAGE = "outage"
    """Give up."""


@dataclass(frozen=True, slots=True)
class Decision:
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
class _Breaker:
    """Failures in a row, and what they led to."""

    failures: int = 0
    reason: str = ""
    since: float | None = None
    """When the service was found to be out; None while it serves."""
    probe: int | None = None
    """Permit that probes now."""
    next_probe: float = 0.0
    pause: float = 0.0
    given_up: str = ""


@dataclass
class Allowance:
    """Permits, requests and health of one service.

    A permit covers one open connection from `GRANTED` until `leave`. Waiting is first come, first served, but a worker
    that holds fewer permits goes before one that holds more, and one that holds two more than another that waits is
    asked to yield. Requests pass a token bucket. Failures in a row open the breaker: all wait, one probes, with
    growing pauses; one success closes it.

    Parameters
    ----------
    limits : Limits
        What the service is spared.
    now : float
        Present time, seconds on any clock that does not go back; the same clock in every call.
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
        self._paused_until = self.now
        self._paused_since: float | None = None
        self._breaker = _Breaker()

    @property
    def open_permits(self) -> int:
        """Permits that cover a connection now."""
        return len(self._held)

    @property
    def deserted(self) -> bool:
        """Whether nobody holds a permit or waits for one."""
        return not self._worker

    @property
    def state(self) -> str:
        """``serving``, ``out`` (the breaker is open) or ``given up``."""
        if self._breaker.given_up:
            return "given up"
        return "serving" if self._breaker.since is None else "out"

    @property
    def reason(self) -> str:
        """Why the service is not asked, or the last failure; empty after a success."""
        return self._breaker.given_up or self._breaker.reason

    def forget(self) -> None:
        """Start anew with a service that was given up, as a run of its own would."""
        self._breaker = _Breaker()
        self._paused_since, self._paused_until = None, self._filled

    def enter(self, permit: int, worker: str) -> None:
        """Wait for a permit, to be known by a number that nobody else uses, for a worker."""
        self._worker[permit] = worker
        self._waiting.append(permit)

    def ask(self, permit: int) -> None:
        """Wait for leave to make a request with a permit that was granted."""
        self._asking.append(permit)

    def succeeded(self, permit: int) -> None:
        """The service answered the request of a permit, be it that there is no such thing."""
        if self._breaker.since is not None:
            self.totals.outages += 1
        self._breaker = _Breaker()
        self._paused_since = None

    def failed(self, permit: int, now: float, reason: str, retry_after_s: float | None = None) -> None:
        """The service did not answer, or asked to be left alone for a while."""
        breaker, limits = self._breaker, self.limits
        self.totals.failures += 1
        breaker.failures += 1
        breaker.reason = reason
        if breaker.since is None and breaker.failures >= limits.outage_failures:
            breaker.since = now
            breaker.pause = min(limits.pause_s, limits.longest_pause_s)
            self._schedule_probe(now)
        elif breaker.since is not None and breaker.probe == permit:
            breaker.pause = min(2 * breaker.pause, limits.longest_pause_s)
            breaker.probe = None
            self._schedule_probe(now)
        if retry_after_s is not None:
            self._pause(now, retry_after_s)

    def leave(self, permit: int, now: float, rest_s: float = 0.0) -> bool:
        """Give a permit, or the wait for one, back; it is granted again after `rest_s` seconds.

        Returns
        -------
        bool
            Whether a decision was still to come.
        """
        queued = permit in self._waiting or permit in self._asking
        if permit in self._held:
            self._held.discard(permit)
            self._yielding.discard(permit)
            self._resting.append(now + rest_s)
        for queue in (self._waiting, self._asking):
            if permit in queue:
                queue.remove(permit)
        self._worker.pop(permit, None)
        self._counted.discard(permit)
        if self._breaker.probe == permit:
            self._breaker.probe = None
        return queued

    def decide(self, now: float) -> list[Decision]:
        """Decisions that are due, each made once."""
        self._fill(now)
        return self._grant(now) + self._answer(now)

    def wake(self, now: float) -> float | None:
        """Time from which `decide` may have more to say though nothing happened; None where it waits for an event."""
        times = list(self._resting) if self._waiting else []
        breaker = self._breaker
        if self._asking and breaker.since is not None:
            if breaker.probe is None:
                times.append(max(breaker.next_probe, self._paused_until))
        elif self._asking:
            lacking = max(0.0, 1.0 - self._tokens)
            times.append(max(self._paused_until, self._filled + lacking / self.limits.requests_per_s))
        return min(times, default=None)

    def _schedule_probe(self, now: float) -> None:
        """The next probe, the last one when patience ends; after that the service is given up."""
        breaker = self._breaker
        left = breaker.since + self.limits.patience_s - now
        if left <= 0 and not breaker.given_up:
            breaker.given_up = (
                f"{breaker.failures} requests in a row failed, none served for {now - breaker.since:.0f} s; "
                f"the last: {breaker.reason}"
            )
        breaker.next_probe = now + (min(breaker.pause, left) if left > 0 else breaker.pause)

    def _pause(self, now: float, retry_after_s: float) -> None:
        """Leave the service alone as long as it asks, or give it up where that is longer than patience lasts."""
        if self._paused_since is None:
            self._paused_since = now
        since = self._paused_since if self._breaker.since is None else self._breaker.since
        if retry_after_s > since + self.limits.patience_s - now:
            self._breaker.since = since
            self._breaker.pause = max(self._breaker.pause, self.limits.pause_s)
            self._breaker.next_probe = now + retry_after_s
            self._breaker.given_up = (
                f"it asks to be left alone for {retry_after_s:.0f} s, longer than this run waits "
                f"({self.limits.patience_s:.0f} s in all); {self._breaker.reason}"
            )
        self._paused_until = max(self._paused_until, now + retry_after_s)

    def _fill(self, now: float) -> None:
        """Refill the token bucket and end rests."""
        self._tokens = min(self.limits.burst, self._tokens + (now - self._filled) * self.limits.requests_per_s)
        self._filled = now
        resting = [until for until in self._resting if until > now]
        self._free += len(self._resting) - len(resting)
        self._resting = resting

    def _grant(self, now: float) -> list[Decision]:
        made = []
        if self._breaker.given_up and not self._probe_is_due(now):
            made = [Decision(permit, Verdict.OUTAGE, self._breaker.given_up) for permit in self._waiting]
            self._waiting.clear()
        while self._free and self._waiting:
            permit = self._next_waiting()
            self._waiting.remove(permit)
            self._held.add(permit)
            self._free -= 1
            made.append(Decision(permit, Verdict.GRANTED))
        return made

    def _next_waiting(self) -> int:
        held = self._held_by_worker()
        return min(self._waiting, key=lambda permit: held[self._worker[permit]])

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
            made.append(Decision(permit, verdict, self._breaker.given_up if verdict is Verdict.OUTAGE else ""))
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
        breaker = self._breaker
        if breaker.since is not None:
            if self._probe_is_due(now):
                breaker.probe = permit
                return Verdict.PROBE
            return Verdict.OUTAGE if breaker.given_up else None
        if self._should_yield(permit):
            self._yielding.add(permit)
            return Verdict.YIELD
        return Verdict.GO if now >= self._paused_until and self._tokens > 1.0 - _ROUNDING else None

    def _probe_is_due(self, now: float) -> bool:
        return self._breaker.probe is None and now >= max(self._breaker.next_probe, self._paused_until)

    def _should_yield(self, permit: int) -> bool:
        if len(self._waiting) <= self._free + len(self._resting) + len(self._yielding):
            return False
        held = self._held_by_worker()
        poorest = min(held[self._worker[waiting]] for waiting in self._waiting)
        return held[self._worker[permit]] > poorest + 1

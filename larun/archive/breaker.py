"""Whether one service is asked at all: failures in a row, pauses that it asks for, and when it is given up.

No clock here: whoever drives it (`larun.archive.allowance`) passes the time.
"""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Tolerance:
    """How much of a service is borne before it is asked no more.

    Parameters
    ----------
    outage_failures : int
        Failures in a row that mean it is out.
    patience_s : float
        Seconds without service after which it is given up.
    pause_s, longest_pause_s : float
        Wait before the first probe, doubled after each up to the longest, seconds.
    """

    outage_failures: int
    patience_s: float
    pause_s: float
    longest_pause_s: float


@dataclass
class Breaker:
    """Health of a service.

    It serves until it fails too often in a row, or until somebody doubts it (`doubted`). Then it is out: nobody asks,
    but one probe at a time, with growing pauses. One success ends that; where none comes for as long as patience
    lasts, the service is given up, and probed still, should somebody come and ask.
    """

    tolerance: Tolerance
    failures: int = field(default=0, init=False)
    """Failures in a row."""
    probe: int | None = field(default=None, init=False)
    """Permit that probes now."""
    is_proven: bool = field(default=False, init=False)
    """Whether a probe found it out, and not only requests that may be to blame themselves."""
    paused_until: float = field(default=float("-inf"), init=False)
    """The service asked to be left alone until then."""

    def __post_init__(self):
        self._served_at = float("-inf")
        self.forget()

    def forget(self) -> None:
        """Start anew, as with a service that never failed."""
        self.failures, self.probe, self.is_proven = 0, None, False
        self._last, self._given_up = "", ""
        self.paused_until = float("-inf")
        self._began: float | None = None
        self._since: float | None = None
        self._pause = 0.0
        self._next_probe = 0.0
        self._paused_since: float | None = None

    @property
    def is_given_up(self) -> bool:
        """Whether patience is over."""
        return bool(self._given_up)

    @property
    def reason(self) -> str:
        """Why the service was given up, or else of the last failure; empty after a success."""
        return self._given_up or self._last

    @property
    def is_out(self) -> bool:
        """Whether nobody may ask but a probe."""
        return self._since is not None

    @property
    def state(self) -> str:
        """``serving``, ``out`` or ``given up``."""
        return "given up" if self.is_given_up else "out" if self.is_out else "serving"

    def probe_due(self) -> float | None:
        """Time from which one may probe; None where nobody may, because one does or because it serves."""
        return max(self._next_probe, self.paused_until) if self.is_out and self.probe is None else None

    def succeeded(self, when: float) -> None:
        """The service answered, at a time that may be past: success that came before the failures ends none."""
        self._served_at = max(self._served_at, when)
        if self._began is not None and when >= self._began:
            paused_until = self.paused_until
            self.forget()
            self.paused_until = paused_until

    def failed(self, permit: int, now: float, reason: str, retry_after_s: float | None) -> None:
        """The service did not answer, or asked to be left alone for a while."""
        self.failures += 1
        self._began = now if self._began is None else self._began
        self._last = reason
        if self._since is None and self.failures >= self.tolerance.outage_failures:
            self._since = now
            self._pause = min(self.tolerance.pause_s, self.tolerance.longest_pause_s)
            self._schedule_probe(now)
        elif self.probe == permit:
            self._pause = min(2 * self._pause, self.tolerance.longest_pause_s)
            self.probe, self.is_proven = None, True
            self._schedule_probe(now)
        if retry_after_s is not None:
            self._leave_alone(now, retry_after_s)

    def doubted(self, now: float, fruitless_s: float) -> bool:
        """Whether the service is to blame for a request that failed for so long, as often as it may.

        It is not where it serves and delivered something to anybody meanwhile. Otherwise it is out until a probe,
        which is due at once, tells.
        """
        if self._since is not None:
            return True
        if self._served_at >= now - fruitless_s:
            return False
        self._began = now if self._began is None else self._began
        self._since = self._next_probe = now
        self._pause = min(self.tolerance.pause_s, self.tolerance.longest_pause_s) / 2
        return True

    def _schedule_probe(self, now: float) -> None:
        """The next probe, the last one when patience ends; after that the service is given up."""
        left = self._since + self.tolerance.patience_s - now
        if left <= 0 and not self.is_given_up:
            self._given_up = (
                f"{self.failures} requests in a row failed, none served for {now - self._since:.0f} s; "
                f"the last: {self._last}"
            )
        self._next_probe = now + (min(self._pause, left) if left > 0 else self._pause)

    def _leave_alone(self, now: float, retry_after_s: float) -> None:
        """Pause as long as the service asks, or give it up where that is longer than patience lasts."""
        if self._paused_since is None:
            self._paused_since = now
        since = self._paused_since if self._since is None else self._since
        if retry_after_s > since + self.tolerance.patience_s - now:
            self._since = since
            self._pause = max(self._pause, self.tolerance.pause_s)
            self._next_probe = now + retry_after_s
            self._given_up = (
                f"it asks to be left alone for {retry_after_s:.0f} s, longer than this run waits "
                f"({self.tolerance.patience_s:.0f} s in all); {self._last}"
            )
        self.paused_until = max(self.paused_until, now + retry_after_s)

"""What goes wrong, for whom, and when: frozen, so that a run can be repeated."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import ClassVar

KINDS = {
    "404": "the archive has no such file",
    "429": "too many requests, Retry-After in seconds",
    "429-date": "too many requests, Retry-After as an HTTP date",
    "500": "internal error",
    "502": "bad gateway, a page of HTML",
    "503": "unavailable, Retry-After in seconds",
    "503-date": "unavailable, Retry-After as an HTTP date",
    "504": "gateway timeout, a page of HTML",
    "403": "access denied",
    "executing": "MAST's EXECUTING: ask again (requests to `invoke` alone; others are served)",
    "error": "MAST's ERROR with a message (requests to `invoke` alone; others are served)",
    "truncated": "half of the answer, Content-Length of the whole, then the end of the connection",
    "truncated-open": "half of the answer, no Content-Length, ended by the connection",
    "truncated-chunked": "half of the answer in chunks, the last one missing",
    "stall": "half of the answer, then silence",
    "reset": "half of the answer, then a reset connection",
    "bit-flip": "one bit of the answer is inverted on the way, another at each attempt",
    "bit-rot": "one bit is inverted where the file lies: the same at each attempt, and on every face",
    "other-star": "the sound file of another star",
    "html": "status 200 and a page of HTML",
    "empty": "status 200 and nothing",
    "all-nan": "a sound file whose every flux is NaN",
    "short-table": "a sound file with the first 2 % of its rows",
    "duplicate-rows": "a sound file with five rows twice",
    "redirect": "302 to the file under another query, which is then served",
    "redirect-loop": "302 to a place that answers 302 to itself, for ever",
    "redirect-cycle": "302 to a place whose 302 leads back to another, round and round",
}
"""Kinds of fault, and what each looks like from outside."""

CONTENT = ("other-star", "all-nan", "short-table", "duplicate-rows")
"""Faults of files that arrive whole and with right checksums; requests for anything else are served."""


@dataclass(frozen=True, slots=True)
class Fault:
    """One fault; a bare name stands for `Fault(name)`.

    Parameters
    ----------
    kind : str
        One of `Faults.kinds`; `ok` is no fault.
    retry_after_s : float
        What 429 and 503 ask for; negative leaves the header out.
    """

    kind: str
    retry_after_s: float = 1.0

    def __post_init__(self):
        if self.kind != "ok" and self.kind not in KINDS:
            raise ValueError(f"{self.kind!r} is no fault; there are {', '.join(KINDS)}, and ok")


@dataclass(frozen=True, slots=True)
class Outage:
    """The whole service is away, from one second to another after the server's first start.

    Parameters
    ----------
    start_s, stop_s : float
        Seconds since the first start.
    kind : str
        `503` answers so to everything; `refused` closes the listening socket and every connection.
    face : str
        The one face that is away (`503` alone), by default all.
    """

    start_s: float
    stop_s: float
    kind: str = "503"
    face: str = ""

    def __post_init__(self):
        if self.kind not in ("503", "refused") or (self.kind == "refused" and self.face):
            raise ValueError("an outage is 503, of all faces or one, or refused, of all")


@dataclass(frozen=True)
class Faults:
    """Faults of a server.

    A key of `script` and `always` is a target number (its file, wherever it is asked for), a face and a number such
    as ``cloud:123`` or ``mast:123``, a file name, a MAST service such as ``Mast.Caom.Filtered``, or a face:
    ``mast`` (downloads), ``cloud`` (objects), ``cloud-list``, ``invoke``, ``columnsconfig``, ``list``, ``index``,
    ``resolver``, ``path-lookup``, ``catalogue``. The first key, in this order, that has something to say decides.
    Only GET and POST consume a script; HEAD is served, unless `always` or an outage says otherwise.

    Parameters
    ----------
    script : mapping of key to sequence of Fault or str
        Consumed request by request, then the key is healthy.
    always : mapping of key to Fault or str
        Every request.
    held : frozenset of key
        Requests that wait at the door until faults without their key are set, and then meet those: so that a test does
        something while a run is at a known place. The log has them from then on.
    rate : float
        Share of the other requests, on `faces`, that fail; drawn from `seed`, the target and its attempt number, so
        that it does not depend on the order of requests.
    seed : int
        See `rate`.
    mix : tuple of str
        Kinds that `rate` draws from.
    faces : tuple of str
        Faces that `rate` is for.
    outages : tuple of Outage
        Of the whole service.
    retry_after_s : float
        Of faults that are given as a bare name.
    """

    kinds: ClassVar[tuple[str, ...]] = tuple(KINDS)

    script: Mapping[int | str, Sequence[Fault | str]] = field(default_factory=dict)
    always: Mapping[int | str, Fault | str] = field(default_factory=dict)
    held: frozenset[int | str] = frozenset()
    rate: float = 0.0
    seed: int = 0
    mix: tuple[str, ...] = tuple(kind for kind in KINDS if kind not in ("executing", "error"))
    faces: tuple[str, ...] = ("mast", "cloud")
    outages: tuple[Outage, ...] = ()
    retry_after_s: float = 1.0

    def __post_init__(self):
        for fault in [*self.always.values(), *(item for items in self.script.values() for item in items), *self.mix]:
            self.of(fault)

    def of(self, fault: Fault | str) -> Fault:
        """A fault that may be given by its name alone."""
        return Fault(fault, self.retry_after_s) if isinstance(fault, str) else fault


class Course:
    """How far the faults have got: what each request meets.

    Parameters
    ----------
    faults : Faults
        The plan.
    """

    def __init__(self, faults: Faults):
        self.faults = faults
        self.attempts: Counter[str] = Counter()
        """Requests so far, by face and target."""
        self.consumed: Counter[str] = Counter()
        """Items of a script that are used up, by key."""

    def holds(self, keys: Sequence[str]) -> bool:
        """Whether a request waits."""
        return any(key in self.faults.held or (key.isdigit() and int(key) in self.faults.held) for key in keys)

    def next(self, keys: Sequence[str], *, head: bool = False) -> tuple[Fault | None, str]:
        """Fault of a request, and the key of the script that it used up; None for a healthy answer.

        Parameters
        ----------
        keys : sequence of str
            Names of what is asked for, the most particular first; the last is the face.
        head : bool
            Whether the request is a HEAD, which uses up nothing.
        """
        faults, fault, key = self.faults, None, ""
        if not head:
            fault, key = self._scripted(keys)
            attempt = self.attempts[keys[0]]
            self.attempts[keys[0]] += 1
        if fault is None:
            fault = next((faults.of(f) for k in keys if (f := _item(faults.always, k)) is not None), None)
        if fault is None and not head and faults.rate and keys[-1] in faults.faces:
            fault = self._drawn(keys[0], attempt)
        return (None if fault is None or fault.kind == "ok" else fault), key

    def replay(self, begun: Sequence[Mapping]) -> None:
        """Count requests of an earlier life of the server, by its log."""
        for event in begun:
            if event["method"] != "HEAD":
                self.attempts[event["key"]] += 1
                self.consumed[event["script"]] += bool(event["script"])

    def _scripted(self, keys: Sequence[str]) -> tuple[Fault | None, str]:
        for key in keys:
            items = _item(self.faults.script, key) or ()
            if self.consumed[key] < len(items):
                fault = self.faults.of(items[self.consumed[key]])
                self.consumed[key] += 1
                return fault, key
        return None, ""

    def _drawn(self, key: str, attempt: int) -> Fault | None:
        draw = hashlib.blake2b(f"{self.faults.seed} {key} {attempt}".encode(), digest_size=8).digest()
        if int.from_bytes(draw[:4], "big") >= self.faults.rate * 2**32:
            return None
        return self.faults.of(self.faults.mix[int.from_bytes(draw[4:], "big") % len(self.faults.mix)])


def _item(table: Mapping, key: str):
    return table.get(int(key), table.get(key)) if key.isdigit() else table.get(key)

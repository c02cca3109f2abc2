"""Connections of one process to one service, each under a permit, lent to threads in the order they ask."""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from contextlib import suppress

from larun.archive.allowance import Verdict
from larun.archive.failures import Failure
from larun.archive.lines import Line, open_line
from larun.archive.wire import Wire
from larun.config import ArchiveSettings
from larun.errors import ArchiveOutage

log = logging.getLogger(__name__)

IDLE_S = 1.0
"""A connection that nobody used for so long is closed, and its permit given back."""

_LOOK_S = 0.25
"""So often somebody looks for idle connections and overdue answers."""

_LONGEST_SILENCES = 10
"""A body may take as long as so many of the longest silences."""


class Connection:
    """A wire to a service, and the permit that covers it.

    Parameters
    ----------
    line : Line
        The permit.
    wire : Wire
        The connection.
    generation : int
        Connections of an earlier generation are closed instead of lent.
    """

    def __init__(self, line: Line, wire: Wire, generation: int):
        self.line = line
        self.wire = wire
        self.generation = generation
        self.used = time.monotonic()

    def close(self) -> None:
        """Close the wire, and only then give the permit back."""
        self.wire.close()
        self.line.close()


class _Waiter:
    """A thread that waits for a connection, and what it is given: that, or the reason why there is none."""

    def __init__(self):
        self.served = threading.Event()
        self.connection: Connection | None = None
        self.error: ArchiveOutage | None = None


class Lent:
    """A connection in the hands of one thread; it is changed for another where its permit is called back.

    Entering waits until one is free or granted, and raises `ArchiveOutage` where the service is given up or the budget
    is gone. A connection on which something unforeseen happened is not used again.
    """

    def __init__(self, connections: Connections):
        self._connections = connections

    def __enter__(self) -> Lent:
        self.connection = self._connections.take()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: object) -> None:
        if error is None or isinstance(error, Failure):
            self._connections.put(self.connection)
        else:
            self._connections.drop(self.connection)

    def permission(self, in_vain_since: float | None = None) -> Verdict:
        """Wait for leave to make one request: `Verdict.GO` or `PROBE`; or not to make it again: `ENOUGH`.

        Parameters
        ----------
        in_vain_since : float, optional
            The request was made as often as it may, all in vain, since then, by `time.monotonic`.

        Raises
        ------
        ArchiveOutage
            The service is given up, or the budget is gone.
        """
        while True:
            fruitless_s = None if in_vain_since is None else time.monotonic() - in_vain_since
            verdict = self.connection.line.ask(fruitless_s)
            if verdict is not Verdict.YIELD:
                return verdict
            self._connections.drop(self.connection)
            self.connection = self._connections.take()


class Connections:
    """All connections of this process to one service.

    Parameters
    ----------
    service : str
        Name in the request budget.
    settings : ArchiveSettings
        Timeouts and limits.
    budget : str
        Address of the budget of the run; empty for one of this process alone.
    """

    def __init__(self, service: str, settings: ArchiveSettings, budget: str):
        self._service = service
        self._settings = settings
        self._budget = budget
        self._lock = threading.Lock()
        self._idle: list[Connection] = []
        self._lent: set[Connection] = set()
        self._waiting: deque[_Waiter] = deque()
        self._generation = 0
        self._opening: Line | None = None
        self._acquiring = False
        self._watching = False

    def lent(self) -> Lent:
        """A connection for one request, as a context."""
        return Lent(self)

    def take(self) -> Connection:
        """Take a connection; see `Lent`."""
        with self._lock:
            if self._idle:
                connection = self._idle.pop()
                self._lent.add(connection)
                return connection
            me = _Waiter()
            self._waiting.append(me)
            self._acquire_more()
        try:
            me.served.wait()
        except BaseException:
            with self._lock, suppress(ValueError):
                self._waiting.remove(me)
            if me.connection is not None:
                self.put(me.connection)
            raise
        if me.error is not None:
            raise me.error
        return me.connection

    def put(self, connection: Connection) -> None:
        """Give a connection back for the next thread."""
        with self._lock:
            self._lent.discard(connection)
            if stays := connection.generation == self._generation:
                self._hand_on(connection)
        if not stays:
            connection.close()

    def drop(self, connection: Connection) -> None:
        """Close a connection that was lent; who waits has asked for one of its own."""
        with self._lock:
            self._lent.discard(connection)
        connection.close()

    def close(self) -> None:
        """Close all that is idle now, and what is lent when it comes back."""
        with self._lock:
            self._generation += 1
            idle, self._idle = self._idle, []
            opening, self._opening = self._opening, None
            self._acquiring = False
            if self._waiting:
                self._acquire_more()
        for connection in idle:
            connection.close()
        if opening is not None:
            opening.close()

    def _hand_on(self, connection: Connection) -> None:
        """To the thread that has waited longest, if one waits."""
        self._watch()
        if self._waiting:
            waiter = self._waiting.popleft()
            self._lent.add(connection)
            waiter.connection = connection
            waiter.served.set()
        else:
            connection.used = time.monotonic()
            self._idle.append(connection)

    def _acquire_more(self) -> None:
        """See to it that a permit is asked for; one at a time, so that workers take turns."""
        if not self._acquiring:
            self._acquiring = True
            threading.Thread(
                target=self._acquire, args=(self._generation,), name=f"permits-{self._service}", daemon=True
            ).start()

    def _acquire(self, generation: int) -> None:
        """Get permits until nobody waits for a connection."""
        while True:
            line = None
            try:
                line = open_line(self._service, self._settings, self._budget)
                with self._lock:
                    current = generation == self._generation
                    self._opening = line if current else self._opening
                if current:
                    line.wait()
            except ArchiveOutage as error:
                self._fail(generation, error)
                if line is not None:
                    line.close()
                return
            settings = self._settings
            longest_s = _LONGEST_SILENCES * settings.read_timeout_s
            wire = Wire(settings.connect_timeout_s, settings.read_timeout_s, longest_s)
            with self._lock:
                current = generation == self._generation
                if current:
                    self._opening = None
                    self._hand_on(Connection(line, wire, generation))
                    self._acquiring = bool(self._waiting)
                    if not self._acquiring:
                        return
            if not current:
                line.close()
                return

    def _fail(self, generation: int, error: ArchiveOutage) -> None:
        with self._lock:
            if generation != self._generation:
                return
            self._opening, self._acquiring = None, False
            for waiter in self._waiting:
                waiter.error = ArchiveOutage(str(error))
                waiter.served.set()
            self._waiting.clear()

    def _watch(self) -> None:
        if not self._watching:
            self._watching = True
            threading.Thread(target=self._look, name=f"connections-{self._service}", daemon=True).start()

    def _look(self) -> None:
        """Close what is idle, cut off what takes too long, until there is neither."""
        while True:
            time.sleep(_LOOK_S)
            now = time.monotonic()
            with self._lock:
                idle = [connection for connection in self._idle if now - connection.used >= IDLE_S]
                self._idle = [connection for connection in self._idle if now - connection.used < IDLE_S]
                lent = list(self._lent)
                more = self._watching = bool(self._idle or lent)
            for connection in idle:
                connection.close()
            for connection in lent:
                connection.wire.cut_overdue(now)
            if not more:
                return

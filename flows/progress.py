"""How far a flow is: a Prefect progress artifact, and whoever listens in this process."""

from __future__ import annotations

import contextlib
import logging
import time
from collections.abc import Callable, Iterator
from contextvars import ContextVar

from prefect.artifacts import create_progress_artifact, update_progress_artifact

log = logging.getLogger(__name__)

Listener = Callable[[str, int, int], None]
"""Called with what is counted, how many are done, and how many there are."""

UPDATE_S = 5.0
"""Shortest time between two updates of the artifact."""

_listener: ContextVar[Listener | None] = ContextVar("listener", default=None)


@contextlib.contextmanager
def listening(listener: Listener) -> Iterator[None]:
    """Tell `listener` how far the flows are that are called within ``with``."""
    token = _listener.set(listener)
    try:
        yield
    finally:
        _listener.reset(token)


class Progress:
    """Progress of one stage of a flow; to be made and called inside a flow.

    Parameters
    ----------
    stage : str
        What is counted, e.g. ``ingest``.
    total : int
        How many there are.
    """

    def __init__(self, stage: str, total: int):
        self.stage = stage
        self.total = total
        self._artifact = create_progress_artifact(0.0, key=f"{stage}-progress", description=f"{stage}: {total} in all")
        self._shown: tuple[int, float] = (-1, 0.0)

    def __call__(self, done: int) -> None:
        """Show that `done` are done."""
        listener = _listener.get()
        if listener is not None:
            listener(self.stage, done, self.total)
        before, at = self._shown
        if done == before or (done < self.total and time.monotonic() - at < UPDATE_S):
            return
        self._shown = done, time.monotonic()
        update_progress_artifact(self._artifact, 100.0 * done / max(self.total, 1))
        log.info("%s: %d of %d", self.stage, done, self.total)

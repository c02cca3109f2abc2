"""The archives of a run, and the request budget that all its workers share."""

from __future__ import annotations

import contextlib
import logging
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from larun.archive.protocol import Archive
from larun.config import Settings
from larun.survey.archives import LOCAL, open_archives

if TYPE_CHECKING:
    from larun.archive.budget_server import BudgetServer

log = logging.getLogger(__name__)

LOOK_S = 2.0
"""Time between two looks at whether the services of a run serve."""

_SERVING = "serving"


@dataclass(frozen=True, slots=True)
class Sources:
    """Where a run takes products from.

    Parameters
    ----------
    archives : tuple of Archive
        In the order in which they are asked.
    budget : BudgetServer or None
        What limits their requests; None where none of them is on the network.
    """

    archives: tuple[Archive, ...]
    budget: BudgetServer | None = None

    @property
    def on_network(self) -> bool:
        """Whether an archive is asked over the network."""
        return self.budget is not None

    @property
    def address(self) -> str:
        """Address of the budget; empty where there is none."""
        return "" if self.budget is None else self.budget.address

    def report(self) -> dict[str, dict[str, Any]]:
        """Requests, failures and waits so far, per service."""
        return {} if self.budget is None else self.budget.report()


@contextlib.contextmanager
def open_sources(spec: str | None, settings: Settings) -> Iterator[Sources]:
    """Archives of a list such as ``cloud,mast``, with a budget around them where one is on the network.

    Raises
    ------
    InputError
        There is no such archive.
    """
    if all(archive.name in LOCAL for archive in open_archives(spec, settings)):
        yield Sources(open_archives(spec, settings))
        return
    from larun.archive.budget_server import BudgetServer

    with BudgetServer(settings.archives) as budget, _outages_told(budget):
        archives = open_archives(spec, settings, budget.address)
        try:
            yield Sources(archives, budget)
        finally:
            for archive in archives:
                archive.close()


@contextlib.contextmanager
def _outages_told(budget: BudgetServer) -> Iterator[None]:
    """Log while the run goes on that a service is out, and that it serves again: a run may wait long for it."""
    ended = threading.Event()

    def watch() -> None:
        known: dict[str, str] = {}
        while not ended.wait(LOOK_S):
            for service, said in budget.report().items():
                state = said["state"]
                if state == known.get(service, _SERVING):
                    continue
                known[service] = state
                if state == _SERVING:
                    log.warning("%s serves again", service)
                else:
                    log.warning("%s does not serve now (%s): %s", service, state, said["reason"])

    thread = threading.Thread(target=watch, name="outages", daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()

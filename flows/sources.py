"""The archives of a run, and the request budget that all its workers share."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from larun.archive.protocol import Archive
from larun.config import Settings
from larun.survey.archives import LOCAL, open_archives

if TYPE_CHECKING:
    from larun.archive.budget_server import BudgetServer


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

    with BudgetServer(settings.archives) as budget:
        archives = open_archives(spec, settings, budget.address)
        try:
            yield Sources(archives, budget)
        finally:
            for archive in archives:
                archive.close()

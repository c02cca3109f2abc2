"""Runs that go on later end in a Prefect state of their own, not among the failures that need a person."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from prefect.client.schemas.objects import State
from prefect.states import Failed

from larun.errors import ArchiveOutage, RunDeferred

DEFERRED = "Deferred"
"""Name of the state; its type is failed, so that automations on failures see it too."""


def deferrable(body: Callable[[], dict[str, Any]]) -> dict[str, Any] | State:
    """Return what the body of a flow returns; where it is deferred, the state that says so, which raises the reason."""
    try:
        return body()
    except (RunDeferred, ArchiveOutage) as error:
        reason = error if isinstance(error, RunDeferred) else RunDeferred(str(error))
        return Failed(name=DEFERRED, message=str(reason), data=reason)

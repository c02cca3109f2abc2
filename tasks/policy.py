"""What all tasks on shards share: when a failure is worth another attempt, and that nothing is kept but counts."""

from __future__ import annotations

import errno
from typing import Any

from prefect import Task
from prefect.cache_policies import NO_CACHE
from prefect.client.schemas.objects import State, TaskRun

from larun.errors import NotInStore, PlanMismatch, ProductUnreachable, StoreError

SHARD_TASK: dict[str, Any] = {
    "retries": 2,
    "retry_delay_seconds": [5, 30],
    "retry_jitter_factor": 0.5,
    "persist_result": False,
    "cache_policy": NO_CACHE,
}
"""Options of a task that does whole shards; all of them may be done twice without harm.

There is no timeout here: Prefect cannot interrupt a task in a Dask worker's thread. `flows.fanout` ends a round
in which nothing happens for long, and with it the worker processes.
"""


def worth_retrying(task: Task, task_run: TaskRun, state: State) -> bool:
    """Whether a failed task may succeed next time: the store was out of reach.

    An archive that is out of service is not asked again within a run: the request budget has waited long enough, and
    the run is deferred.
    """
    failure = state.result(raise_on_failure=False)
    if isinstance(failure, PlanMismatch | NotInStore) or _disk_full(failure):
        return False
    return isinstance(failure, StoreError | ProductUnreachable | OSError)


def _disk_full(failure: Any) -> bool:
    """Whether there is no space left, which a person has to make."""
    cause = failure.__cause__ if isinstance(failure, StoreError) else failure
    return isinstance(cause, OSError) and cause.errno in (errno.ENOSPC, errno.EDQUOT)

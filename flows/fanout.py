"""Fan-out of shards over a cluster. The store's records say what is done, not the states of tasks."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from typing import Any

from prefect import Task
from prefect_dask.task_runners import PrefectDaskFuture

from flows.cluster import dask_settings, load_cluster
from flows.progress import Progress
from larun.errors import LarunError, RunFailed

log = logging.getLogger(__name__)

ROUNDS = 3
"""Clusters that are tried: the first with whole groups, the others with single shards."""

POLL_S = 0.1
STORE_POLL_S = 2.0
STALL_S = 2 * 3600.0
"""A round in which no shard and no task is done for so long is given up; its worker processes end with it."""

GRACE_S = 20.0
"""Wait for tasks to report after the store is complete; Dask may have lost one that did its work."""

_REASONS_SHOWN = 3

Groups = list[tuple[int, ...]]


def fan_out(
    stage: str, task: Task, work: Callable[[tuple[int, ...]], Any], pending: Callable[[int], Groups], size: int,
    n_shards: int, cluster: str,
) -> None:  # fmt: skip
    """Run a task over all pending shards until the store has them all.

    Parameters
    ----------
    stage : str
        Name of the work, for people.
    task : Task
        Takes one value, the work.
    work : callable
        Work on a group of shards.
    pending : callable
        Groups of at most so many shards that the store lacks.
    size : int
        Shards of one task run.
    n_shards : int
        Shards in all.
    cluster : str
        Cluster file.

    Raises
    ------
    RunFailed
        Shards are missing after the last round; says why.
    """
    missing = pending(size)
    if not missing:
        return
    cluster_file = load_cluster(cluster)
    cluster_file.preflight()
    progress = Progress(stage, n_shards)
    failures: list[BaseException] = []
    for _ in range(ROUNDS):
        with dask_settings(), cluster_file.runner() as runner:
            futures = [runner.submit(task, {"work": work(group)}) for group in missing]
            failures = _watch(futures, lambda: _count(pending(size)), lambda left: progress(n_shards - left))
        missing = pending(1)
        if not missing:
            return
        log.warning("%s: %d shards are missing after a round: %s", stage, len(missing), _said(failures))
        if failures and all(isinstance(f, LarunError) and not isinstance(f, RunFailed) for f in failures):
            break
    raise RunFailed(
        f"{stage} ended with {len(missing)} of {n_shards} shards missing, the first is {missing[0][0]}; "
        f"what is stored stays, run it again to go on. Reason: {_said(failures)}"
    )


def _watch(
    futures: list[PrefectDaskFuture], left: Callable[[], int], show: Callable[[int], None]
) -> list[BaseException]:
    """Wait for the tasks or for the store, whichever is complete first; return why tasks failed."""
    open_futures = list(futures)
    failures: list[BaseException] = []
    missing, looked, changed = -1, 0.0, time.monotonic()
    while open_futures:
        finished = [future for future in open_futures if future.wrapped_future.done()]
        failures += [failure for future in finished if (failure := _failure(future)) is not None]
        open_futures = [future for future in open_futures if future not in finished]
        now = time.monotonic()
        if finished or now - looked >= STORE_POLL_S:
            before, missing, looked = missing, left(), now
            changed = now if finished or missing != before else changed
            show(missing)
        if open_futures and now - changed > (STALL_S if missing else GRACE_S):
            failures.append(RunFailed(f"{len(open_futures)} tasks did not report for {now - changed:.0f} s"))
            break
        time.sleep(POLL_S)
    for future in open_futures:
        future.wrapped_future.cancel()
    return failures


def _failure(future: PrefectDaskFuture) -> BaseException | None:
    """Why a finished task failed; a worker's death is Dask's exception, not the state of the task run."""
    dask_future = future.wrapped_future
    if dask_future.status == "cancelled":
        return RunFailed("the cluster lost the task")
    if dask_future.status == "error":
        return dask_future.exception()
    outcome = future.result(raise_on_failure=False)
    return outcome if isinstance(outcome, BaseException) else None


def _count(groups: Groups) -> int:
    return sum(map(len, groups))


def _said(failures: list[BaseException]) -> str:
    """Different reasons, the most frequent first."""
    texts = [f"{failure}" if isinstance(failure, LarunError) else f"{type(failure).__name__}: {failure}"
             for failure in failures]  # fmt: skip
    different = sorted(set(texts), key=lambda text: -texts.count(text))
    more = f" (and {len(different) - _REASONS_SHOWN} other reasons)" if len(different) > _REASONS_SHOWN else ""
    return "; ".join(different[:_REASONS_SHOWN]) + more if different else "no task said why"

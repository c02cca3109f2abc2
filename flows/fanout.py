"""Fan-out of shards over a cluster. The store's records say what is done, not the states of tasks."""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Callable, Iterable
from typing import Any

from prefect import Task
from prefect_dask import DaskTaskRunner
from prefect_dask.task_runners import PrefectDaskFuture

from flows.cluster import dask_settings, load_cluster
from flows.progress import Progress
from larun.errors import ArchiveError, ArchiveOutage, LarunError, RunFailed

log = logging.getLogger(__name__)

ROUNDS = 3
"""Clusters that are tried: the first with groups of shards, the others with single shards."""

POLL_S = 0.1
STORE_POLL_S = 2.0
STALL_S = 2 * 3600.0
"""A round in which no shard and no task is done for so long is given up; its worker processes end with it."""

GRACE_S = 20.0
"""Wait for tasks to report after the store is complete; Dask may have lost one that did its work."""

OUTAGE_GRACE_S = 60.0
"""Wait for shards under way after an archive went out of service; they end by themselves, with it or without."""

_REASONS_SHOWN = 3

Group = tuple[int, ...]
Pending = Callable[[int], list[Group]]


def groups_of(shards: Iterable[int], size: int) -> list[Group]:
    """Shards in groups of at most `size`, in their order."""
    shards = list(shards)
    return [tuple(shards[i : i + size]) for i in range(0, len(shards), size)]


def fan_out(
    stage: str, task: Task, work: Callable[[Group], Any], pending: Pending, size: int, n_shards: int, cluster: str,
    finished: Callable[[Group], None] | None = None,
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
        Groups of at most so many shards that remain to be done.
    size : int
        Shards of one task run at most; fewer where workers would have none.
    n_shards : int
        Shards in all.
    cluster : str
        Cluster file.
    finished : callable, optional
        Told each group whose task succeeded, for work that leaves no mark in the store where nothing was to be done.

    Raises
    ------
    ArchiveOutage
        An archive is out of service; the shards that were not begun are left alone.
    RunFailed
        Shards are missing after the last round; says why.
    """
    missing = pending(1)
    if not missing:
        return
    cluster_file = load_cluster(cluster)
    workers = cluster_file.preflight()
    missing = pending(max(1, min(size, math.ceil(len(missing) / workers))))
    progress = Progress(stage, n_shards)
    failures: list[BaseException] = []
    for _ in range(ROUNDS):
        with dask_settings(), cluster_file.runner() as runner:
            futures = {runner.submit(task, {"work": work(group)}): group for group in missing}
            watch = _Watch(runner, futures, lambda: _count(pending(1)), finished)
            failures = watch(lambda left: progress(n_shards - left))
        missing = pending(1)
        if not missing:
            return
        log.warning("%s: %d shards are missing after a round: %s", stage, len(missing), _said(failures))
        if any(isinstance(failure, ArchiveError) for failure in failures) or _permanent(failures):
            break
    outages = [failure for failure in failures if isinstance(failure, ArchiveOutage)]
    if outages:
        raise ArchiveOutage(_said(outages))
    raise RunFailed(
        f"{stage} ended with {len(missing)} of {n_shards} shards missing, the first is {missing[0][0]}; "
        f"what is stored stays, run it again to go on. Reason: {_said(failures)}"
    )


class _Watch:
    """Wait for the tasks of a round, or for the store, whichever is complete first.

    Parameters
    ----------
    runner : DaskTaskRunner
        Runs the tasks.
    futures : dict
        Groups of shards by their tasks.
    left : callable
        Number of shards that remain to be done.
    finished : callable, optional
        Told each group whose task succeeded.
    """

    def __init__(
        self, runner: DaskTaskRunner, futures: dict[PrefectDaskFuture, Group], left: Callable[[], int],
        finished: Callable[[Group], None] | None,
    ):  # fmt: skip
        self._runner = runner
        self._open = dict(futures)
        self._left = left
        self._finished = finished
        self._failures: list[BaseException] = []

    def __call__(self, show: Callable[[int], None]) -> list[BaseException]:
        """Wait, and return why tasks failed."""
        missing, looked, changed = -1, 0.0, time.monotonic()
        out_since: float | None = None
        while self._open:
            ended = self._collect()
            now = time.monotonic()
            if ended or now - looked >= STORE_POLL_S:
                before, missing, looked = missing, self._left(), now
                changed = now if ended or missing != before else changed
                show(missing)
            if out_since is None and any(isinstance(failure, ArchiveError) for failure in self._failures):
                out_since = now
                self._drop(self._not_begun())
            if out_since is not None and now - out_since > OUTAGE_GRACE_S:
                break
            if self._open and now - changed > (STALL_S if missing else GRACE_S):
                self._failures.append(RunFailed(f"{len(self._open)} tasks did not report for {now - changed:.0f} s"))
                break
            time.sleep(POLL_S)
        self._drop(list(self._open))
        return self._failures

    def _collect(self) -> bool:
        """Take what ended; whether anything did."""
        ended = [future for future in self._open if future.wrapped_future.done()]
        for future in ended:
            group = self._open.pop(future)
            failure = _failure(future)
            if failure is not None:
                self._failures.append(failure)
            elif self._finished is not None:
                self._finished(group)
        return bool(ended)

    def _not_begun(self) -> list[PrefectDaskFuture]:
        """Tasks that no worker has; those that one has end by themselves."""
        begun = {key for keys in self._runner.client.processing().values() for key in keys}
        return [future for future in self._open if future.wrapped_future.key not in begun]

    def _drop(self, futures: list[PrefectDaskFuture]) -> None:
        for future in futures:
            future.wrapped_future.cancel()
            del self._open[future]


def _failure(future: PrefectDaskFuture) -> BaseException | None:
    """Why a finished task failed; a worker's death is Dask's exception, not the state of the task run."""
    dask_future = future.wrapped_future
    if dask_future.status == "cancelled":
        return RunFailed("the cluster lost the task")
    if dask_future.status == "error":
        return dask_future.exception()
    outcome = future.result(raise_on_failure=False)
    return outcome if isinstance(outcome, BaseException) else None


def _permanent(failures: list[BaseException]) -> bool:
    """Whether another round would fail as this one did: larun itself says why all of them failed."""
    return bool(failures) and all(isinstance(f, LarunError) and not isinstance(f, RunFailed) for f in failures)


def _count(groups: list[Group]) -> int:
    return sum(map(len, groups))


def _said(failures: list[BaseException]) -> str:
    """Different reasons, the most frequent first."""
    texts = [f"{failure}" if isinstance(failure, LarunError) else f"{type(failure).__name__}: {failure}"
             for failure in failures]  # fmt: skip
    different = sorted(set(texts), key=lambda text: -texts.count(text))
    more = f" (and {len(different) - _REASONS_SHOWN} other reasons)" if len(different) > _REASONS_SHOWN else ""
    return "; ".join(different[:_REASONS_SHOWN]) + more if different else "no task said why"

"""Task of the sweep: some whole shards."""

from __future__ import annotations

from prefect import task

from larun.survey.sweep import SweepWork, sweep_shards
from tasks.policy import SHARD_TASK, worth_retrying


@task(name="sweep shards", tags=["sweep"], retry_condition_fn=worth_retrying, **SHARD_TASK)
def sweep_shards_task(work: SweepWork) -> dict[str, int]:
    """Search and classify some shards; targets per status."""
    return sweep_shards(work)

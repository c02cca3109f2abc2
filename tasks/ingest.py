"""Task of the ingest: one shard."""

from __future__ import annotations

from prefect import task

from larun.survey.ingest import ShardWork, ingest_shard
from tasks.policy import SHARD_TASK, worth_retrying


@task(name="ingest shard", tags=["ingest"], retry_condition_fn=worth_retrying, **SHARD_TASK)
def ingest_shard_task(work: ShardWork) -> dict[str, int]:
    """Ingest one shard; targets per status."""
    return ingest_shard(work).counts

"""Task of the ingest: some whole shards."""

from __future__ import annotations

from prefect import task

from larun.survey.ingest import IngestWork, ingest_shards
from tasks.policy import SHARD_TASK, worth_retrying


@task(name="ingest shards", tags=["ingest"], retry_condition_fn=worth_retrying, **SHARD_TASK)
def ingest_shards_task(work: IngestWork) -> dict[str, int]:
    """Ingest or repair some shards; targets per status."""
    return ingest_shards(work)

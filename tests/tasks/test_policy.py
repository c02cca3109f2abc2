"""Only what may succeed next time is tried again, and no task keeps more than counts."""

import errno

import pytest
from prefect.cache_policies import NO_CACHE
from prefect.states import Failed

from larun.errors import (
    ArchiveOutage,
    ArchiveRefused,
    InputError,
    NotInStore,
    PlanMismatch,
    ProductCorrupt,
    ProductUnreachable,
    RunFailed,
    StoreError,
)
from tasks.ingest import ingest_shards_task
from tasks.policy import worth_retrying
from tasks.sweep import sweep_shards_task


@pytest.mark.parametrize(
    ("failure", "again"),
    [
        (StoreError("slow down"), True),
        (ProductUnreachable("503"), True),
        (ConnectionResetError("peer"), True),
        (PlanMismatch("other plan", ("targets",)), False),
        (NotInStore("no plan"), False),
        (InputError("no archive"), False),
        (ArchiveOutage("maintenance"), False),
        (ArchiveRefused("403"), False),
        (ProductCorrupt("checksum"), False),
        (RunFailed("the bundle changed"), False),
        (ZeroDivisionError("a bug"), False),
    ],
)
def test_what_is_tried_again(failure, again):
    assert worth_retrying(ingest_shards_task, None, Failed(data=failure)) is again


def test_a_full_disk_is_for_a_person_to_mend():
    failure = StoreError("cannot write")
    failure.__cause__ = OSError(errno.ENOSPC, "No space left on device")
    assert worth_retrying(ingest_shards_task, None, Failed(data=failure)) is False
    failure.__cause__ = OSError(errno.EIO, "Input/output error")
    assert worth_retrying(ingest_shards_task, None, Failed(data=failure)) is True


@pytest.mark.parametrize("shard_task", [ingest_shards_task, sweep_shards_task])
def test_tasks_keep_nothing(shard_task):
    assert shard_task.persist_result is False
    assert shard_task.cache_policy is NO_CACHE or shard_task.cache_policy == NO_CACHE
    assert shard_task.retries == 2
    assert shard_task.tags

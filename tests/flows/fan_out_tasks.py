"""Tasks for `test_fanout`, in a module of their own so that Dask workers can import them."""

import os
import signal
import threading
import time
from dataclasses import dataclass
from pathlib import Path

from prefect import task

from larun.errors import ArchiveOutage, StoreError
from tasks.policy import SHARD_TASK, worth_retrying

POISON = 3


@dataclass(frozen=True)
class Work:
    folder: Path
    shards: tuple[int, ...]


@task(**SHARD_TASK)
def poisoned_in_company(work: Work) -> dict[str, int]:
    """Marks its shards; a group of several that holds the poison kills its worker."""
    for shard in work.shards:
        if shard == POISON and len(work.shards) > 1:
            deaths = work.folder / f"death-{os.getpid()}"
            deaths.touch()
            os.kill(os.getpid(), signal.SIGKILL)
        (work.folder / f"done-{shard}").touch()
    return {"done": len(work.shards)}


@task(**SHARD_TASK | {"retries": 0})
def refuses(work: Work) -> dict[str, int]:
    """Fails with an error of larun on the poison."""
    if POISON in work.shards:
        raise StoreError("the disk of shard 3 is full")
    for shard in work.shards:
        (work.folder / f"done-{shard}").touch()
    return {"done": len(work.shards)}


@task(**SHARD_TASK)
def marks_and_hangs(work: Work) -> dict[str, int]:
    """Does its work and never reports."""
    for shard in work.shards:
        (work.folder / f"done-{shard}").touch()
    threading.Event().wait(300)
    return {}


def until_known(folder: Path, shard: int) -> None:
    """Who asks an archive that is out waits for it: all but the first do until the flow has acted on that one's end."""
    deadline = time.monotonic() + 60
    while shard > POISON and not (folder / "known").exists() and time.monotonic() < deadline:
        time.sleep(0.05)


@task(retry_condition_fn=worth_retrying, **SHARD_TASK)
def finds_the_archive_out(work: Work) -> dict[str, int]:
    """Does what it can until the archive is out of service."""
    for shard in work.shards:
        (work.folder / f"begun-{shard}").touch()
        if shard >= POISON:
            until_known(work.folder, shard)
            raise ArchiveOutage("MAST is down for maintenance until Monday")
        (work.folder / f"done-{shard}").touch()
    return {"done": len(work.shards)}

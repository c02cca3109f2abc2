"""Task of the training."""

from __future__ import annotations

from collections.abc import Callable

from prefect import task
from prefect.cache_policies import NO_CACHE

from larun.config import Settings


@task(name="train network", tags=["train"], persist_result=False, cache_policy=NO_CACHE)
def train_task(
    settings: Settings, progress: Callable[[int], None], preparing: Callable[[int, int], None]
) -> str | None:
    """Train and write a bundle below the root; its name/version, None where only data were prepared."""
    from larun.network.chatter import TENSORFLOW_STARTS, without_chatter

    with without_chatter(TENSORFLOW_STARTS):
        from larun.network.fit import train

    return train(settings, progress, preparing)

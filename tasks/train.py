"""Task of the training."""

from __future__ import annotations

from collections.abc import Callable

from prefect import task
from prefect.cache_policies import NO_CACHE

from larun.config import Settings


@task(name="train network", tags=["train"], persist_result=False, cache_policy=NO_CACHE)
def train_task(
    settings: Settings,
    progress: Callable[[int], None],
    preparing: Callable[[int, int], None],
    fetching: Callable[[int, int], None],
) -> tuple[str | None, dict[str, dict[str, int]]]:
    """Train and write a bundle below the root; its name/version.

    Where `training.epochs` is 0 the views are prepared only: then there is no bundle, and their counts are told, per
    source and class.

    With `dataset.data` ``archives`` the labelled light curves are fetched first, `fetching` being told of each star.
    """
    curves = None
    if settings.dataset.data == "archives":
        from larun.survey.assemble import assemble

        curves = assemble(settings, fetching)
    from larun.network.chatter import TENSORFLOW_STARTS, without_chatter

    with without_chatter(TENSORFLOW_STARTS):
        if settings.training.epochs == 0:
            from larun.network.fit import prepare

            return None, prepare(settings, preparing, curves)
        from larun.network.fit import train

        return train(settings, progress, preparing, curves), {}

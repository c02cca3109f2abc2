"""What is wrong with a request, said before a server starts: the same checks that the flows make themselves."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from larun.config import Settings


def check_ingest(
    settings: Settings, sector: int, archive: str, mission: str, author: str | None, cadence_s: int | None
) -> None:
    """Look for the archive, its product of the sector, the cluster file and a root that can be written.

    Raises
    ------
    LarunError
        As the flow would.
    """
    from larun.survey.ingest import open_archive
    from larun.survey.offered import offered_product

    _check_cluster(settings)
    held = open_archive(archive, settings)
    held.targets(offered_product(held, settings, mission, sector, author, cadence_s))
    _check_root(settings)


def check_sweep(settings: Settings, sector: int, mission: str, author: str | None) -> None:
    """Look for the sector in the store, the bundle, the cluster file and a root that can be written.

    Raises
    ------
    LarunError
        As the flow would.
    """
    from larun.objects import Root
    from larun.survey.sweep import find_product

    _check_cluster(settings)
    find_product(Root(settings.root, settings.storage_options), sector, mission, author)
    check_bundle(settings, settings.sweep.bundle)
    _check_root(settings)


def check_train(settings: Settings) -> None:
    """Look for the labelled light curves, the bundle to start from and a root that can be written.

    Raises
    ------
    LarunError
        As the flow would.
    """
    if settings.train.data != "simulated":
        from larun.network.bank import read_bank

        read_bank(settings.train.data)
    if settings.train.start_from:
        check_bundle(settings, settings.train.start_from)
    _check_root(settings)


def check_demo(settings: Settings) -> None:
    """Look for the cluster file and a root that can be written.

    Raises
    ------
    LarunError
        As the flows would.
    """
    _check_cluster(settings)
    _check_root(settings)


def check_bundle(settings: Settings, spec: str) -> None:
    """Read a bundle and check its digests.

    Raises
    ------
    BundleError
        There is none, or it cannot be used.
    """
    from larun.bundles import load_bundle
    from larun.objects import Root

    load_bundle(spec, Root(settings.root, settings.storage_options))


def _check_cluster(settings: Settings) -> None:
    from flows.cluster import load_cluster

    load_cluster(settings.run.cluster)


def _check_root(settings: Settings) -> None:
    """Last, because it makes the folder."""
    from larun.objects import Root

    Root(settings.root, settings.storage_options).check_writable()

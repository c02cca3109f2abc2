"""What is wrong with a request, said before a server starts: the same checks that the flows make themselves."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from larun.config import Settings

LONGEST_S = {"connect_timeout_s": 5.0, "read_timeout_s": 15.0}
"""Longest waits for an archive before a run; settings may say less."""


def check_ingest(
    settings: Settings,
    sector: int,
    archive: str | None,
    mission: str,
    author: str | None,
    cadence_s: int | None,
    repair: bool = False,
) -> str:
    """Look for the archives, their product of the sector, the cluster file and a root that can be written.

    Of an archive on the network only the list of its sectors is asked for, and not even that where the store holds
    the sector's plan. Archives that do not answer now are left to the run, which has more patience.

    Returns
    -------
    str
        Why the archives do not answer now; empty where they do, or were not asked.

    Raises
    ------
    LarunError
        As the flow would.
    """
    from larun.errors import ArchiveOutage
    from larun.objects import Root
    from larun.survey.archives import LOCAL, list_targets, open_archives
    from larun.survey.discover import require_offered
    from larun.survey.offered import offered_product
    from larun.survey.sweep import find_product

    _check_cluster(settings)
    root = Root(settings.root, settings.storage_options)
    held = open_archives(archive, _impatient(settings))
    if repair:
        find_product(root, sector, mission, author)
        return ""
    silent = ""
    product = offered_product(held, settings, mission, sector, author, cadence_s)
    if all(one.name in LOCAL for one in held):
        list_targets(held, product)
    elif not root.exists(product.plan_json):
        try:
            require_offered(held, product)
        except ArchiveOutage as error:
            silent = str(error)
        finally:
            for one in held:
                one.close()
    _check_root(settings)
    return silent


def check_stars(settings: Settings, targets: list[str], targets_file: str | None, mission: str | None) -> None:
    """Look at the names of stars, the cluster file and a root that can be written; nobody is asked about the stars.

    Raises
    ------
    LarunError
        As the flow would.
    """
    from larun.archive.stars import parse_stars, read_stars

    _check_cluster(settings)
    if targets:
        parse_stars(targets, mission or "tess")
    if targets_file:
        read_stars(targets_file, mission or "tess")
    _check_root(settings)


def check_night(settings: Settings, archive: str | None) -> None:
    """Look for the archives, the bundle, the cluster file and a root that can be written; the night finds the rest.

    Raises
    ------
    LarunError
        As the flow would.
    """
    from larun.survey.archives import open_archives
    from larun.survey.discover import discoverers

    _check_cluster(settings)
    check_bundle(settings, settings.sweep.bundle)
    discoverers(open_archives(archive, settings))
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
    if settings.dataset.data not in ("simulated", "archives"):
        from larun.network.bank import read_bank

        read_bank(settings.dataset.data)
    for spec in filter(None, (settings.training.start_from, *settings.training.teachers)):
        check_bundle(settings, spec)
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


def _impatient(settings: Settings) -> Settings:
    """Settings that give up at once where a run would wait."""
    waits = {name: min(getattr(settings.archives, name), limit_s) for name, limit_s in LONGEST_S.items()}
    archives = settings.archives.model_copy(update=waits | {"attempts": 2, "patience_s": 0.0, "outage_failures": 2})
    return settings.model_copy(update={"archives": archives})


def _check_cluster(settings: Settings) -> None:
    from flows.cluster import load_cluster

    load_cluster(settings.run.cluster)


def _check_root(settings: Settings) -> None:
    """Last, because it makes the folder."""
    from larun.objects import Root

    Root(settings.root, settings.storage_options).check_writable()

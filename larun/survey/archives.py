"""The archives that a run names: opened in their order, and asked for the list of a sector's targets."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence

from larun.archive.protocol import Archive
from larun.config import Settings
from larun.errors import ArchiveError, ArchiveOutage, InputError
from larun.paths import Product
from larun.plan import TargetList

logger = logging.getLogger(__name__)

KNOWN = ("cloud", "mast", "lightkurve", "folder:PATH", "simulated")
"""What `open_archives` opens."""

LOCAL = frozenset({"folder", "simulated"})
"""Names of archives that hold what this machine has, not what a mission published."""


def open_archives(spec: str | None, settings: Settings, budget: str = "") -> tuple[Archive, ...]:
    """Archives of a list such as ``cloud,mast``, in the order in which they are asked.

    Parameters
    ----------
    spec : str, optional
        Names of `KNOWN`, separated by commas; by default the ``archives.order`` of the settings.
    settings : Settings
        Where the archives are, and how they are asked.
    budget : str
        Address of the run's request budget; empty for a budget of this process alone.

    Returns
    -------
    tuple of Archive
        At least one, each once. Nothing is connected yet.

    Raises
    ------
    InputError
        No such archive, or one is named twice; lists those that there are.
    """
    names = [name.strip() for name in spec.split(",")] if spec is not None else list(settings.archives.order)
    for name in names:
        if names.count(name) > 1:
            raise InputError(f"the archive {name} is named twice in {','.join(names)!r}; name it once")
    return tuple(_open(name, settings, budget) for name in names)


def _open(spec: str, settings: Settings, budget: str) -> Archive:
    opener = _OPENERS.get(spec)
    if opener is not None:
        return opener(settings, budget)
    name, _, argument = spec.partition(":")
    if name == "folder" and argument:
        from larun.archive.folder import FolderArchive

        return FolderArchive(argument)
    raise InputError(f"there is no archive {spec!r}; give one or several of {', '.join(KNOWN)}")


def _open_cloud(settings: Settings, budget: str) -> Archive:
    from larun.archive.cloud import CloudArchive

    return CloudArchive(settings.archives, budget)


def _open_mast(settings: Settings, budget: str) -> Archive:
    from larun.archive.mast import MastArchive

    return MastArchive(settings.archives, budget)


def _open_lightkurve(settings: Settings, budget: str) -> Archive:
    from larun.archive.searched import LightkurveArchive

    return LightkurveArchive(settings.archives, budget)


def _open_simulated(settings: Settings, budget: str) -> Archive:
    from larun.simulate.archive import SimulatedArchive

    return SimulatedArchive(settings.simulate)


_OPENERS: dict[str, Callable[[Settings, str], Archive]] = {
    "cloud": _open_cloud,
    "mast": _open_mast,
    "lightkurve": _open_lightkurve,
    "simulated": _open_simulated,
}


def listing_archives(archives: Sequence[Archive]) -> list[Archive]:
    """Archives that say which targets a sector has, in order.

    A folder or a simulation does so only where no archive of a mission is among them: beside one it is a place to
    take products from, and what it lacks is still part of the sector.
    """
    return [archive for archive in archives if archive.name not in LOCAL] or list(archives)


def list_targets(archives: Sequence[Archive], product: Product) -> tuple[TargetList, str]:
    """Targets of a sector, from the first archive that can say, and the name of that archive.

    Raises
    ------
    ArchiveError
        None can say, and at least one is out of service or refuses us: it may hold the sector.
    InputError
        All of them say that they hold nothing of the product; says what each said.
    """
    failures: list[tuple[str, ArchiveError | InputError]] = []
    for archive in listing_archives(archives):
        try:
            listed = archive.targets(product)
        except (ArchiveError, InputError) as error:
            logger.warning("the archive %s gives no list of %s: %s", archive.name, product, error)
            failures.append((archive.name, error))
            continue
        if len(listed):
            return listed, archive.name
        failures.append((archive.name, InputError(f"the archive {archive.name} holds nothing of {product}")))
    if len(failures) == 1:
        raise failures[0][1]
    said = "; ".join(f"{name}: {error}" for name, error in failures)
    out = [error for _, error in failures if isinstance(error, ArchiveError)]
    kind = next((type(error) for error in out if isinstance(error, ArchiveOutage)), type(out[0]) if out else InputError)
    raise kind(f"no archive gives a list of {product}: {said}")

"""Which product of a sector is meant when a person names only the sector."""

from __future__ import annotations

from collections.abc import Sequence

from larun.archive.folder import FolderArchive
from larun.archive.names import FFI_AUTHORS, ffi_cadence_s
from larun.archive.protocol import Archive
from larun.archive.searched import USUAL
from larun.config import Settings
from larun.errors import InputError
from larun.paths import Product
from larun.survey.archives import listing_archives

SIMULATED = "simulated"
"""Name of the archive and of the author of what comes from it."""


def offered_product(
    archives: Sequence[Archive],
    settings: Settings,
    mission: str,
    sector: int,
    author: str | None,
    cadence_s: int | None,
) -> Product:
    """Product of a sector: the mission's usual one, that of an author, or the only one that a folder holds.

    The pipelines of full-frame images have the cadence in which the sector's images were taken.

    Where archives of a mission are among those named, they decide what there is, and folders do not.

    Raises
    ------
    InputError
        A folder holds several, none of them the usual one; lists them.
    """
    first, *_ = listing_archives(archives)
    if first.name == SIMULATED:
        return Product(mission, sector, author or SIMULATED, cadence_s or settings.simulate.cadence_s)
    usual_author, usual_cadence_s = USUAL.get(mission, ("", 0))
    if author in FFI_AUTHORS:
        usual_cadence_s = ffi_cadence_s(sector)
    usual = Product(mission, sector, author or usual_author, cadence_s or usual_cadence_s)
    held = [
        product
        for product in (first.products() if isinstance(first, FolderArchive) else ())
        if (product.mission, product.sector) == (mission, sector)
        and author in {None, product.author}
        and cadence_s in {None, product.cadence_s}
    ]
    if usual in held or not held:
        return usual
    if len(held) > 1:
        raise InputError(
            f"{first!r} holds several products of {mission} sector {sector}: {', '.join(map(str, held))}; "
            "choose one with --author and --cadence"
        )
    return held[0]

"""One light curve through the code of a whole sector: what a person asks about a file or a star."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from larun import ledger
from larun.archive import files
from larun.archive.holdings import HeldFile
from larun.archive.stars import WantedStar
from larun.config import Settings
from larun.errors import ArchiveError, InputError, LarunError, NotInStore, ProductError
from larun.lightcurve import LightCurve, Shard, shard_of
from larun.network.infer import Classifier
from larun.objects import Root
from larun.paths import CATALOGUES, Product, parse_star
from larun.schema import CLASSES, SEARCHED, EventFlag, Status
from larun.search.stitch import stitch
from larun.store.reading import find_target, products, read_rows
from larun.survey.classify import Classified, classify_shard, classify_stitched
from larun.survey.wanted import StarArchives

UNREADABLE = "unreadable"
"""Status of a file that is no light curve larun knows."""

_FILE_SUFFIXES = (".fits", ".fit", ".gz", ".csv", ".npz", ".txt")
"""What ends so is a file, also where there is none."""


@dataclass(frozen=True)
class Found:
    """One light curve that was asked for, or why there is none.

    Parameters
    ----------
    file : str
        Where it is.
    target : str or None
        Catalogue and number of its star.
    shard : Shard or None
        The light curve.
    status, reason : str
        What became of it where there is none.
    """

    file: str
    target: str | None = None
    shard: Shard | None = None
    status: str = ""
    reason: str = ""


def examine(
    name: str,
    settings: Settings,
    classifier: Classifier,
    archives: StarArchives | None = None,
    sector: int | None = None,
) -> list[dict[str, Any]]:
    """Search and classify one file, or one star.

    Parameters
    ----------
    name : str
        Path of a FITS, CSV or NPZ light curve; or a star such as ``TIC 261136679``; with archives also a name such
        as ``Kepler-10``.
    settings : Settings
        Root, search and vetting settings.
    classifier : Classifier
        The network.
    archives : StarArchives, optional
        Where light curves of a star come from that the store of `settings.root` lacks.
    sector : int, optional
        Only this sector, quarter or campaign of a star.

    Returns
    -------
    list of dict
        One plain JSON object per light curve: one for a file, one per sector for a star. It tells the best event;
        `further` lists what else was found when that was masked, alike, stronger ones first and a single transit
        last. `t0` is in `time_format`, the light curve's own. `status` is ``searched``, ``rejected`` (too little to
        search), ``unreadable`` (no light curve), or what became of the product: ``corrupt``, ``absent``,
        ``unreachable``; `reason` says why nothing was searched. Nothing that is wrong with the input is raised.
    """
    return [_answer(found, settings, classifier) for found in _look(name, settings, archives, sector)]


def examine_stitched(
    names: Iterable[str],
    settings: Settings,
    classifier: Classifier,
    archives: StarArchives | None = None,
    sector: int | None = None,
) -> list[dict[str, Any]]:
    """Search all light curves of a star as one, to longer periods.

    Parameters
    ----------
    names : iterable of str
        As `examine` takes them: stars, or files of one or several stars. Files that name no star are taken to be of
        one.
    settings, classifier, archives, sector
        As `examine` takes them.

    Returns
    -------
    list of dict
        As `examine`: one object per star, whose `file` lists what was joined, and one per light curve that could not
        be read.
    """
    found = [one for name in names for one in _look(name, settings, archives, sector)]
    answers = [_answer(one, settings, classifier) for one in found if one.shard is None]
    stars: dict[str | None, list[Found]] = {}
    for one in found:
        if one.shard is not None:
            stars.setdefault(one.target, []).append(one)
    for target, ones in stars.items():
        files = ", ".join(one.file for one in ones)
        try:
            whole = stitch([one.shard for one in ones], settings.search)
        except InputError as error:
            answers.append(_answer(Found(files, target, None, Status.REJECTED, str(error)), settings, classifier))
        else:
            answers.append(_told(Found(files, target, whole.shard), classify_stitched(whole, settings, classifier)))
    return answers


def _look(name: str, settings: Settings, archives: StarArchives | None, sector: int | None) -> list[Found]:
    """Light curves of a file or a star; nothing that is wrong with the input is raised."""
    try:
        return _find(name, settings, archives, sector)
    except LarunError as error:
        return [Found(name, None, None, _status_of(error), str(error))]


def _find(name: str, settings: Settings, archives: StarArchives | None, sector: int | None) -> list[Found]:
    star = parse_star(name)
    if not _is_there(name):
        if star is not None:
            return _of_star(WantedStar(name, *star), settings, archives, sector)
        if not name.lower().endswith(_FILE_SUFFIXES):
            if archives is None:
                raise InputError(
                    f"there is no file {name}; if it is a star's name, look it up with --archive lightkurve"
                )
            stars = archives.resolve(name)
            return [found for its in stars for found in _of_star(its, settings, archives, sector)]
    curve = files.read(name)
    return [Found(name, _target(curve), shard_of(curve))]


def _is_there(name: str) -> bool:
    try:
        return Path(name).exists()
    except OSError:
        # Longer than a file name can be.
        return False


def _status_of(error: LarunError) -> str:
    """What an error means for the light curve that was asked for."""
    if isinstance(error, ProductError):
        return error.status
    if isinstance(error, NotInStore):
        return Status.ABSENT
    return Status.UNREACHABLE if isinstance(error, ArchiveError) else UNREADABLE


def _of_star(star: WantedStar, settings: Settings, archives: StarArchives | None, sector: int | None) -> list[Found]:
    """Light curves of the store, and of the archives for what it lacks."""
    stored = _of_store(star, settings, sector)
    if archives is None:
        if not stored:
            root, which = (
                Root(settings.root, settings.storage_options),
                "" if sector is None else f" in sector {sector}",
            )
            raise NotInStore(
                f"{root.url} holds no light curve of {star}{which}; fetch it with --archive lightkurve, ingest its "
                "sector first, or give a file"
            )
        return list(stored.values())
    known = {product for product, found in stored.items() if found.shard is not None}
    try:
        fetched = {held.product: _of_archives(archives, held) for held in archives.find(star, sector, known)}
    except ArchiveError as error:
        return [*stored.values(), Found(star.text, _name_of(star), None, Status.UNREACHABLE, str(error))]
    if not stored and not fetched:
        raise NotInStore(f"neither the store nor MAST has a light curve of {star}{_within(sector)}")
    return list((stored | fetched).values())


def _of_store(star: WantedStar, settings: Settings, sector: int | None) -> dict[Product, Found]:
    """Light curve of every sector that planned a star, or what became of it at ingest."""
    root = Root(settings.root, settings.storage_options)
    stored = {}
    for product in products(root, star.mission, sector):
        found = Found(root.url_of(product.zarr), _name_of(star))
        try:
            shard, _ = read_rows(root, product, np.array([find_target(root, product, star.number)]))
        except NotInStore:
            for failed in (o for o in ledger.counts(root, product).failures if o.target_id == star.number):
                stored[product] = replace(found, status=failed.status, reason=failed.reason)
        else:
            stored[product] = replace(found, shard=shard)
    return stored


def _of_archives(archives: StarArchives, held: HeldFile) -> Found:
    """One light curve that is not in the store."""
    target = f"{held.product.catalogue} {held.star.target_id}"
    obtained = archives.obtain(held)
    if obtained.checked is None:
        return Found(held.name, target, None, obtained.status, obtained.reason)
    return Found(obtained.source, target, shard_of(obtained.checked))


def _within(sector: int | None) -> str:
    return "" if sector is None else f" in sector {sector}"


def _name_of(star: WantedStar) -> str:
    return f"{CATALOGUES[star.mission]} {star.number}"


def _target(curve: LightCurve) -> str | None:
    if curve.star.target_id < 0:
        return None
    return f"{CATALOGUES.get(curve.mission, '')} {curve.star.target_id}".strip()


def _answer(found: Found, settings: Settings, classifier: Classifier) -> dict[str, Any]:
    """What is said of one light curve."""
    if found.shard is None:
        return _blank(found) | {"status": found.status, "reason": found.reason}
    return _told(found, classify_shard(found.shard, settings, classifier))


def _told(found: Found, result: Classified) -> dict[str, Any]:
    """What is said of a light curve that was classified."""
    answer = _blank(found) | {"n_cadences": _delivered(found.shard), "time_format": found.shard.time_format}
    if not result.searched[0]:
        return answer | {"status": Status.REJECTED, "reason": result.reason[0]}
    best, *further = (_event(*row) for row in zip(result.events, result.classes, result.probabilities, strict=True))
    return answer | best | {"further": further, "status": SEARCHED, "reason": ""}


def _event(event: np.void, name: str, probabilities: np.ndarray) -> dict[str, Any]:
    """What is said of one event; the period of a single transit is null."""
    return {
        "period_d": _number(event["period_d"]),
        "t0": _number(event["t0_btjd"]),
        "duration_h": _number(event["duration_h"]),
        "depth_ppm": _number(event["depth_ppm"]),
        "snr": _number(event["snr"]),
        "sde": _number(event["sde"]),
        "class": name,
        "probabilities": {name: _number(p) for name, p in zip(CLASSES, probabilities, strict=True)},
        "flags": EventFlag(int(event["flags"])).names,
    }


def _delivered(shard: Shard) -> int:
    """Cadences of a shard of one star that its product holds with a time; the store's grid has more."""
    timed = np.isfinite(shard.time_correction[0])
    return int(np.count_nonzero((shard.quality[0] != -1) & (timed | ~timed.any())))


def _blank(found: Found) -> dict[str, Any]:
    """An answer in which nothing is known of the light curve."""
    return {
        "file": found.file,
        "target": found.target,
        "n_cadences": 0,
        "time_format": None,
        "period_d": None,
        "t0": None,
        "duration_h": None,
        "depth_ppm": None,
        "snr": None,
        "sde": None,
        "class": None,
        "probabilities": None,
        "flags": [],
        "further": [],
        "status": None,
        "reason": "",
    }


def _number(value: Any) -> float | None:
    """JSON has no NaN: what is not known is null."""
    return float(value) if np.isfinite(value) else None

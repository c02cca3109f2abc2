"""One light curve through the code of a whole sector: what a person asks about a file or a star."""

from __future__ import annotations

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
from larun.store.reading import find_target, products, read_rows
from larun.survey.classify import classify_shard
from larun.survey.wanted import StarArchives

UNREADABLE = "unreadable"
"""Status of a file that is no light curve larun knows."""

_FILE_SUFFIXES = (".fits", ".fit", ".gz", ".csv", ".npz", ".txt")
"""What ends so is a file, also where there is none."""


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
    try:
        return _answers(name, settings, classifier, archives, sector)
    except LarunError as error:
        return [_silent(name, _status_of(error), str(error))]


def _answers(
    name: str, settings: Settings, classifier: Classifier, archives: StarArchives | None, sector: int | None
) -> list[dict[str, Any]]:
    star = parse_star(name)
    if not _is_there(name):
        if star is not None:
            return _of_star(WantedStar(name, *star), settings, classifier, archives, sector)
        if not name.lower().endswith(_FILE_SUFFIXES):
            if archives is None:
                raise InputError(
                    f"there is no file {name}; if it is a star's name, look it up with --archive lightkurve"
                )
            stars = archives.resolve(name)
            return [a for its in stars for a in _of_star(its, settings, classifier, archives, sector)]
    curve = files.read(name)
    return [_answer(name, _target(curve), shard_of(curve), settings, classifier)]


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


def _of_star(
    star: WantedStar, settings: Settings, classifier: Classifier, archives: StarArchives | None, sector: int | None
) -> list[dict[str, Any]]:
    """Answers of the store, and of the archives for what it lacks."""
    answers = _of_store(star, settings, classifier, sector)
    if archives is None:
        if not answers:
            root, which = (
                Root(settings.root, settings.storage_options),
                "" if sector is None else f" in sector {sector}",
            )
            raise NotInStore(
                f"{root.url} holds no light curve of {star}{which}; fetch it with --archive lightkurve, ingest its "
                "sector first, or give a file"
            )
        return list(answers.values())
    known = {product for product, answer in answers.items() if answer["status"] in {SEARCHED, Status.REJECTED}}
    try:
        fetched = {
            held.product: _of_archives(archives, held, settings, classifier)
            for held in archives.find(star, sector, known)
        }
    except ArchiveError as error:
        return [*answers.values(), _silent(star.text, Status.UNREACHABLE, str(error)) | {"target": _name_of(star)}]
    if not answers and not fetched:
        raise NotInStore(f"neither the store nor MAST has a light curve of {star}{_within(sector)}")
    return list((answers | fetched).values())


def _of_store(
    star: WantedStar, settings: Settings, classifier: Classifier, sector: int | None
) -> dict[Product, dict[str, Any]]:
    """Answer of every sector that planned a star: its event, or what became of it at ingest."""
    root = Root(settings.root, settings.storage_options)
    answers = {}
    for product in products(root, star.mission, sector):
        file = root.url_of(product.zarr)
        try:
            shard, _ = read_rows(root, product, np.array([find_target(root, product, star.number)]))
        except NotInStore:
            for failed in (o for o in ledger.counts(root, product).failures if o.target_id == star.number):
                answers[product] = _silent(file, failed.status, failed.reason) | {"target": _name_of(star)}
        else:
            answers[product] = _answer(file, _name_of(star), shard, settings, classifier)
    return answers


def _of_archives(archives: StarArchives, held: HeldFile, settings: Settings, classifier: Classifier) -> dict[str, Any]:
    """Answer of one light curve that is not in the store."""
    target = f"{held.product.catalogue} {held.star.target_id}"
    obtained = archives.obtain(held)
    if obtained.checked is None:
        return _silent(held.name, obtained.status, obtained.reason) | {"target": target}
    return _answer(obtained.source, target, shard_of(obtained.checked), settings, classifier)


def _within(sector: int | None) -> str:
    return "" if sector is None else f" in sector {sector}"


def _name_of(star: WantedStar) -> str:
    return f"{CATALOGUES[star.mission]} {star.number}"


def _target(curve: LightCurve) -> str | None:
    if curve.star.target_id < 0:
        return None
    return f"{CATALOGUES.get(curve.mission, '')} {curve.star.target_id}".strip()


def _answer(file: str, target: str | None, shard: Shard, settings: Settings, classifier: Classifier) -> dict[str, Any]:
    result = classify_shard(shard, settings, classifier)
    answer = _blank(file) | {"target": target, "n_cadences": _delivered(shard), "time_format": shard.time_format}
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


def _silent(file: str, status: str, reason: str) -> dict[str, Any]:
    return _blank(file) | {"status": status, "reason": reason}


def _blank(file: str) -> dict[str, Any]:
    """An answer in which nothing is known."""
    return {
        "file": file,
        "target": None,
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

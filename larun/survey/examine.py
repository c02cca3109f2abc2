"""One light curve through the code of a whole sector: what a person asks about a file or a star."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from larun import ledger
from larun.archive import files
from larun.config import Settings
from larun.errors import LarunError, NotInStore, ProductError
from larun.lightcurve import LightCurve, Shard, shard_of
from larun.network.infer import Classifier
from larun.objects import Root
from larun.paths import CATALOGUES, parse_star
from larun.schema import CLASSES, SEARCHED, EventFlag, Status
from larun.store.reading import find_target, products, read_rows
from larun.survey.classify import classify_shard

UNREADABLE = "unreadable"
"""Status of a file that is no light curve larun knows."""


def examine(name: str, settings: Settings, classifier: Classifier) -> list[dict[str, Any]]:
    """Search and classify one file, or one star of the store.

    Parameters
    ----------
    name : str
        Path of a FITS, CSV or NPZ light curve; or a star such as ``TIC 261136679`` that the store of
        `settings.root` holds.
    settings : Settings
        Root, search and vetting settings.
    classifier : Classifier
        The network.

    Returns
    -------
    list of dict
        One plain JSON object per light curve: one for a file, one per sector for a star. `t0` is in
        `time_format`, the light curve's own. `status` is ``searched``, ``rejected`` (too little to search),
        ``unreadable`` (no light curve), or what became of the product: ``corrupt``, ``absent``, ``unreachable``;
        `reason` says why nothing was searched. Nothing that is wrong with the input is raised.
    """
    try:
        if (star := parse_star(name)) and not Path(name).exists():
            return _of_store(*star, settings, classifier)
        curve = files.read(name)
    except ProductError as error:
        return [_silent(name, error.status, str(error))]
    except NotInStore as error:
        return [_silent(name, Status.ABSENT, str(error))]
    except LarunError as error:
        return [_silent(name, UNREADABLE, str(error))]
    return [_answer(name, _target(curve), shard_of(curve), settings, classifier)]


def _of_store(mission: str, number: int, settings: Settings, classifier: Classifier) -> list[dict[str, Any]]:
    """Answers of every sector that planned a star: its event, or what became of it at ingest."""
    root, target = Root(settings.root, settings.storage_options), f"{CATALOGUES[mission]} {number}"
    answers = []
    for product in products(root, mission):
        file = root.url_of(product.zarr)
        try:
            shard, _ = read_rows(root, product, np.array([find_target(root, product, number)]))
        except NotInStore:
            failed = (o for o in ledger.counts(root, product).failures if o.target_id == number)
            answers += [_silent(file, o.status, o.reason) | {"target": target} for o in failed]
        else:
            answers.append(_answer(file, target, shard, settings, classifier))
    if not answers:
        raise NotInStore(f"{root.url} holds no light curve of {target}; ingest its sector first, or give a file")
    return answers


def _target(curve: LightCurve) -> str | None:
    if curve.star.target_id < 0:
        return None
    return f"{CATALOGUES.get(curve.mission, '')} {curve.star.target_id}".strip()


def _answer(file: str, target: str | None, shard: Shard, settings: Settings, classifier: Classifier) -> dict[str, Any]:
    result = classify_shard(shard, settings, classifier)
    event = result.events[0]
    answer = _blank(file) | {"target": target, "n_cadences": _delivered(shard), "time_format": shard.time_format}
    if not result.searched[0]:
        return answer | {"status": Status.REJECTED, "reason": result.reason[0]}
    return answer | {
        "period_d": _number(event["period_d"]),
        "t0": _number(event["t0_btjd"]),
        "duration_h": _number(event["duration_h"]),
        "depth_ppm": _number(event["depth_ppm"]),
        "snr": _number(event["snr"]),
        "sde": _number(event["sde"]),
        "class": result.classes[0],
        "probabilities": {name: _number(p) for name, p in zip(CLASSES, result.probabilities[0], strict=True)},
        "flags": EventFlag(int(event["flags"])).names,
        "status": SEARCHED,
        "reason": "",
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
        "status": None,
        "reason": "",
    }


def _number(value: Any) -> float | None:
    """JSON has no NaN: what is not known is null."""
    return float(value) if np.isfinite(value) else None

"""One light curve through the code of a whole sector: what a person asks about a file or a star."""

from __future__ import annotations

import contextlib
import re
from pathlib import Path
from typing import Any

import numpy as np

from larun.archive import files
from larun.config import Settings
from larun.errors import LarunError, NotInStore, ProductCorrupt
from larun.lightcurve import LightCurve, Shard, shard_of
from larun.network.infer import Classifier
from larun.objects import Root
from larun.paths import CATALOGUES
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
        One plain JSON object per light curve: one for a file, one per sector for a star. `status` is
        ``searched``, ``rejected`` (too little to search), ``corrupt``, ``unreadable`` or ``absent``;
        `reason` says why nothing was searched. Never raises for a single input.
    """
    try:
        curves = _curves(name, settings)
    except ProductCorrupt as error:
        return [_silent(name, Status.CORRUPT, error)]
    except NotInStore as error:
        return [_silent(name, Status.ABSENT, error)]
    except LarunError as error:
        return [_silent(name, UNREADABLE, error)]
    return [_answer(file, target, shard, settings, classifier) for file, target, shard in curves]


def _curves(name: str, settings: Settings) -> list[tuple[str, str, Shard]]:
    """File, target name and light curve of everything that `name` stands for."""
    if not Path(name).exists() and (star := _star(name)):
        return _stored(star, Root(settings.root, settings.storage_options))
    curve = files.read(name)
    return [(str(name), _target(curve), shard_of(curve))]


def _star(name: str) -> tuple[str, int] | None:
    """Catalogue and number of names such as `TIC 261136679` or `KIC11904151`."""
    match = re.fullmatch(r"(TIC|KIC|EPIC)[ _-]*(\d+)", name.strip(), re.IGNORECASE)
    return (match[1].upper(), int(match[2])) if match else None


def _stored(star: tuple[str, int], root: Root) -> list[tuple[str, str, Shard]]:
    catalogue, number = star
    found = []
    for product in (p for p in products(root) if p.catalogue == catalogue):
        with contextlib.suppress(NotInStore):
            shard, _ = read_rows(root, product, np.array([find_target(root, product, number)]))
            found.append((root.url_of(product.zarr), f"{catalogue} {number}", shard))
    if not found:
        raise NotInStore(
            f"{root.url} holds no light curve of {catalogue} {number}; ingest its sector first, or give a file"
        )
    return found


def _target(curve: LightCurve) -> str | None:
    if curve.star.target_id < 0:
        return None
    return f"{CATALOGUES.get(curve.mission, '')} {curve.star.target_id}".strip()


def _answer(file: str, target: str | None, shard: Shard, settings: Settings, classifier: Classifier) -> dict[str, Any]:
    result = classify_shard(shard, settings, classifier)
    event = result.events[0]
    answer = _blank(file) | {"target": target, "n_cadences": len(shard.time), "time_format": shard.time_format}
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


def _silent(file: str, status: str, error: LarunError) -> dict[str, Any]:
    return _blank(file) | {"status": status, "reason": str(error)}


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

"""What a training is before it begins: its settings on record, its start, the name and place of its bundle."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np

import larun
from larun.bundles import MANIFEST, Bundle
from larun.config import Settings
from larun.errors import ConfigurationError
from larun.network.labelled import LabelledViews
from larun.objects import Root


def software() -> dict[str, str]:
    """Versions that decide what a training gives."""
    return {"keras": keras.__version__, "backend": keras.backend.backend(), "numpy": np.__version__}


def identity(settings: Settings, data: LabelledViews, start: Bundle | None) -> dict[str, Any]:
    """All that decides the weights of a training: equal identity, equal bundle but for its version."""
    return {
        "larun_version": larun.__version__,
        "software": software(),
        "settings": recorded_settings(settings),
        "data": data.digest,
        "start": None if start is None else start.digest,
    }


def recorded_settings(settings: Settings) -> dict[str, Any]:
    """Settings that a bundle records: all that change what it is, and none that only say where it goes."""
    sections = ("model", "dataset", "training", "augmentation", "search", "simulate")
    values = {name: getattr(settings, name).model_dump(mode="json") for name in sections}
    for section, name in (("training", "output"), ("model", "version")):
        del values[section][name]
    return values


def require_same_split(start: Bundle | None, settings: Settings) -> None:
    """Refuse a start whose training stars could be among those that are held out now."""
    if start is None:
        return
    which = f"{start.name}/{start.version}"
    trained, architecture = start.manifest["settings"], start.manifest["architecture"]["name"]
    if architecture != settings.model.architecture:
        raise ConfigurationError(
            f"training.start_from names {which}, a {architecture}; "
            f"model.architecture is {settings.model.architecture}. Make them the same."
        )
    for section, name in (
        ("training", "seed"),
        ("dataset", "validation_fraction"),
        ("dataset", "test_fraction"),
    ):
        ours, theirs = getattr(getattr(settings, section), name), trained[section][name]
        if ours != theirs:
            raise ConfigurationError(
                f"{section}.{name} is {ours} and was {theirs} for {which}, "
                "from which training is to start: stars that it was trained on would be held out now. "
                f"Set {section}.{name} = {theirs}."
            )
    seen = sorted(set(settings.dataset.hold_out) - set(trained["dataset"]["hold_out"]))
    if seen:
        raise ConfigurationError(
            f"dataset.hold_out names {', '.join(seen)}, which {which} may have been trained on; "
            "start from random weights to hold them out."
        )


def new_version(root: Root, settings: Settings) -> str:
    """Version of the new bundle: the one asked for, or the number after the highest, complete or not."""
    name, asked = settings.model.name, settings.model.version
    versions = [path.rsplit("/", 1)[-1] for path in root.list(f"models/{name}")]
    if asked and asked in versions:
        raise ConfigurationError(
            f"{root.url} holds a bundle {name}/{asked}, and bundles are never written over; ask for another "
            "model.version, or leave it empty for the next number"
        )
    return asked or f"{max((int(version) for version in versions if version.isdigit()), default=0) + 1:04d}"


def output_root(settings: Settings) -> Root | None:
    """Where the bundle is written to beside the root; a folder that holds something else is refused."""
    if not settings.training.output:
        return None
    place = Root(settings.training.output, settings.storage_options)
    if place.list("") and not place.exists(MANIFEST):
        raise ConfigurationError(
            f"training.output is {place.url}, which holds something that is no bundle; name a new or an empty folder"
        )
    place.check_writable()
    return place

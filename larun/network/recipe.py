"""What a training is before it begins: its settings on record, its start, the name and place of its bundle."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras
import numpy as np

import larun
from larun.bundles import MANIFEST, Bundle, load_bundle
from larun.config import Settings
from larun.errors import ConfigurationError
from larun.network.architectures import build
from larun.network.labelled import LabelledViews
from larun.objects import Root

EXPORTING = "tensorflow"
"""Backend of Keras that writes all formats of a bundle."""


def require_network(settings: Settings) -> None:
    """Refuse a network that cannot be built or whose outputs a bundle has no place for, before anything is prepared.

    Raises
    ------
    ConfigurationError
        `model.options` holds an option that the architecture lacks, or asks for heads beside the classes; settings are
        to be searched under a backend that cannot export what comes of it.
    """
    backend = keras.backend.backend()
    if settings.training.tune and backend != EXPORTING:
        raise ConfigurationError(
            f"training.tune searches with KERAS_BACKEND={EXPORTING} alone, so that the settings are the same when it "
            f"exports; Keras runs on {backend}. Search there, and give what was found"
        )
    model = settings.model
    if isinstance(build(model.architecture, model.dropout, **model.options).output, dict):
        raise ConfigurationError(
            "model.options asks for the heads localise or regress, and a bundle has the six classes alone. Leave them "
            "out; training.pretrain_on = transits teaches these heads before, and keeps what they learnt"
        )


def software() -> dict[str, str]:
    """Versions that decide what a training gives."""
    return {"keras": keras.__version__, "backend": keras.backend.backend(), "numpy": np.__version__}


def identity(
    settings: Settings, data: LabelledViews, start: Bundle | None, teachers: Sequence[Bundle]
) -> dict[str, Any]:
    """All that decides the weights of a training: equal identity, equal bundle but for its version."""
    return {
        "larun_version": larun.__version__,
        "software": software(),
        "settings": recorded_settings(settings),
        "data": data.digest,
        "start": None if start is None else start.digest,
        "teachers": [teacher.digest for teacher in teachers],
    }


def recorded_settings(settings: Settings) -> dict[str, Any]:
    """Settings that a bundle records: all that change what it is, and none that only say where it goes."""
    sections = ("model", "dataset", "training", "augmentation", "search", "simulate")
    values = {name: getattr(settings, name).model_dump(mode="json") for name in sections}
    for section, name in (("training", "output"), ("model", "version"), ("dataset", "use_cache")):
        del values[section][name]
    return values


def load_start(settings: Settings, root: Root) -> Bundle | None:
    """The bundle whose weights training goes on from, of the same architecture and split; None for random weights."""
    if not settings.training.start_from:
        return None
    start = load_bundle(settings.training.start_from, root)
    architecture = start.manifest["architecture"]["name"]
    if architecture != settings.model.architecture:
        raise ConfigurationError(
            f"training.start_from names {start.name}/{start.version}, a {architecture}; "
            f"model.architecture is {settings.model.architecture}. Make them the same."
        )
    require_same_split(start, settings, "from which training is to start")
    return start


def load_teachers(settings: Settings, root: Root) -> tuple[Bundle, ...]:
    """The bundles that teach, of the same split."""
    teachers = tuple(load_bundle(spec, root) for spec in settings.training.teachers)
    for teacher in teachers:
        require_same_split(teacher, settings, "which is to teach")
    return teachers


def require_same_split(bundle: Bundle, settings: Settings, role: str) -> None:
    """Refuse a bundle whose training stars could be among those that are held out now.

    Raises
    ------
    ConfigurationError
        Names the setting that differs.
    """
    which = f"{bundle.name}/{bundle.version}, {role}"
    trained = bundle.manifest["settings"]
    for section, name in (("training", "seed"), ("dataset", "validation_fraction"), ("dataset", "test_fraction")):
        ours, theirs = getattr(getattr(settings, section), name), trained[section][name]
        if ours != theirs:
            raise ConfigurationError(
                f"{section}.{name} is {ours} and was {theirs} for {which}: stars that it was trained on would be held "
                f"out now. Set {section}.{name} = {theirs}."
            )
    seen = sorted(set(settings.dataset.hold_out) - set(trained["dataset"]["hold_out"]))
    if seen:
        raise ConfigurationError(
            f"dataset.hold_out names {', '.join(seen)}, which {which}, may have been trained on; do without it to hold "
            "them out."
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

"""Training: from settings to a sealed bundle."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import keras
import numpy as np

import larun
from larun import paths
from larun.bundles import CARD_FILE, FLOAT_FILE, INT8_FILE, MANIFEST, Bundle, load_bundle, save_bundle, seal
from larun.config import Settings, digest
from larun.errors import ConfigurationError, InputError
from larun.network import quantise
from larun.network.architectures import build
from larun.network.card import model_card
from larun.network.dataset import training_views
from larun.network.evaluate import by_source, fit_calibration, mean_average_precision
from larun.network.infer import Interpreter, calibrated
from larun.network.labelled import TEST, TRAIN, VALIDATION, LabelledViews, require_disjoint, split_by_star
from larun.network.optimise import Judged, Samples, State, Training, class_weights, hard_targets
from larun.objects import Root
from larun.schema import CLASSES

log = logging.getLogger(__name__)


def train(
    settings: Settings,
    progress: Callable[[int], None] | None = None,
    preparing: Callable[[int, int], None] | None = None,
) -> str | None:
    """Train a network and write its bundle below the survey root, and to `training.output` where that is given.

    Parameters
    ----------
    settings : Settings
        `model`, `dataset`, `training`, `augmentation`, `search`, `simulate` and `root`.
    progress : callable, optional
        Given the number of epochs done, at last all of them.
    preparing : callable, optional
        Given the light curves searched for training views, and their number.

    Returns
    -------
    str or None
        ``name/version`` of the bundle; versions count up from 0001. None where `training.epochs` is 0: then the
        views are prepared, and nothing is trained.

    Raises
    ------
    InputError
        No labelled light curves, or a class without any.
    BundleError, ConfigurationError
        The bundle to start from cannot be used, or not with these settings; the version is taken.
    DeviceMemoryError
        A batch does not fit into the device's memory.
    """
    root = Root(settings.root, settings.storage_options)
    start = load_bundle(settings.training.start_from, root) if settings.training.start_from else None
    _require_same_split(start, settings)
    version = _version(root, settings)
    elsewhere = _output(settings)
    data = training_views(settings, preparing or _log_preparation)
    if settings.training.epochs == 0:
        _log_views(data)
        return None
    bundle = fit(settings, data, version, progress or (lambda done: None), start)
    save_bundle(bundle, root, paths.bundle(bundle.name, bundle.version))
    if elsewhere:
        save_bundle(bundle, elsewhere, "")
    log.info("wrote the bundle %s/%s, %s", bundle.name, bundle.version, bundle.digest)
    return f"{bundle.name}/{bundle.version}"


def fit(
    settings: Settings,
    data: LabelledViews,
    version: str,
    progress: Callable[[int], None],
    start: Bundle | None = None,
) -> Bundle:
    """Fit, quantise, calibrate and score a network on labelled views.

    Parameters
    ----------
    settings : Settings
        `model`, `dataset`, `training`, `augmentation` and, for the record, `search` and `simulate`.
    data : LabelledViews
        All sides of the split.
    version : str
        Version of the bundle.
    progress : callable
        Given the number of epochs done.
    start : Bundle, optional
        Where the weights come from; by default they are random.
    """
    parts = split(settings, data)
    seed = settings.training.seed
    keras.utils.clear_session()  # names of layers count up over a process, and end up in the files
    keras.utils.set_random_seed(seed)
    network = build(settings.model.architecture, settings.model.dropout)
    if start is not None:
        quantise.load_weights(network, start)
    history = _optimise(network, parts, settings, progress)
    files = quantise.export(network, quantise.representative_views(parts[TRAIN].views, parts[TRAIN].label, seed))
    int8 = Interpreter(files[INT8_FILE])
    calibration = fit_calibration(int8.logits(parts[VALIDATION].views), parts[VALIDATION].label)

    def probabilities(runner: Interpreter, name: str) -> np.ndarray:
        logits = runner.logits(parts[name].views)
        return calibrated(logits, calibration["temperature"], np.asarray(calibration["bias"]))

    test, scores = parts[TEST], probabilities(int8, TEST)
    exact = probabilities(Interpreter(files[FLOAT_FILE]), TEST)
    manifest = {
        "name": settings.model.name,
        "version": version,
        "larun_version": larun.__version__,
        "software": {"keras": keras.__version__, "backend": keras.backend.backend(), "numpy": np.__version__},
        "architecture": {"name": settings.model.architecture, "parameters": int(network.count_params())},
        "settings": recorded_settings(settings),
        "training": history,
        "search_digest": digest(settings.search),
        "started_from": None if start is None else {"bundle": f"{start.name}/{start.version}", "digest": start.digest},
        "data": {
            "digest": data.digest,
            "offered": data.offered,
            "stars": {name: len(np.unique(part.star)) for name, part in parts.items()},
            "views": {name: part.counts() for name, part in parts.items()},
            "held_out_stars": list(settings.dataset.hold_out),
        },
        "calibration": calibration,
        "float_vs_int8": quantise.compare(files, test.views)
        | {
            "mean_ap_float": round(mean_average_precision(exact, test.label), 5),
            "mean_ap_int8": round(mean_average_precision(scores, test.label), 5),
        },
        "metrics": by_source(scores, test.label, test.star, test.source),
    }
    return seal(manifest, files | {CARD_FILE: model_card(manifest).encode()})


def split(settings: Settings, data: LabelledViews) -> dict[str, LabelledViews]:
    """Views of each side, `TRAIN`, `VALIDATION` and `TEST`; no star is on two.

    Raises
    ------
    InputError
        A side has too few views of a class.
    """
    d = settings.dataset
    side = split_by_star(data.star, d.validation_fraction, d.test_fraction, settings.training.seed, d.hold_out)
    require_disjoint(data.star, side)
    parts = {name: data.take(side == name) for name in (TRAIN, VALIDATION, TEST)}
    _require_classes(parts)
    return parts


def recorded_settings(settings: Settings) -> dict[str, Any]:
    """Settings that a bundle records: all that change what it is, and none that only say where it goes."""
    sections = ("model", "dataset", "training", "augmentation", "search", "simulate")
    values = {name: getattr(settings, name).model_dump(mode="json") for name in sections}
    for section, name in (("training", "output"), ("model", "version")):
        del values[section][name]
    return values


def _optimise(network: keras.Model, parts: dict[str, LabelledViews], settings: Settings, progress) -> dict[str, Any]:
    """Train in place; what happened, for the manifest."""
    train, validation = parts[TRAIN], parts[VALIDATION]
    weights = class_weights(train.label, settings.training.class_weights)
    training = Training(
        network,
        Samples(train.views, hard_targets(train.label, weights)),
        Judged(validation.views, validation.label, weights),
        settings.training,
        settings.augmentation,
    )
    state = training.run(lambda state: progress(state.epoch))
    progress(settings.training.epochs)
    return _history(state) | {"class_weights": [round(float(w), 4) for w in weights]}


def _history(state: State) -> dict[str, Any]:
    best = state.history[state.best_epoch - 1]
    return {
        "epochs_run": state.epoch,
        "best_epoch": state.best_epoch,
        "chosen_by": "mean average precision on the validation stars",
        "best_validation_ap": round(best["val_ap"], 5),
        "best_validation_loss": round(best["val_loss"], 5),
    }


def _require_classes(parts: dict[str, LabelledViews]) -> None:
    for name, needed in ((TRAIN, 2), (VALIDATION, 1), (TEST, 1)):
        counts = np.bincount(parts[name].label, minlength=len(CLASSES))
        short = [CLASSES[k] for k in np.flatnonzero(counts < needed)]
        if short:
            raise InputError(
                f"the {name} side of the split has fewer than {needed} views of {', '.join(short)}; "
                f"it has {len(parts[name])} views in all. Give more light curves or ask for more injections."
            )


def _require_same_split(start: Bundle | None, settings: Settings) -> None:
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


def _version(root: Root, settings: Settings) -> str:
    """Version of the new bundle: the one asked for, or the number after the highest, complete or not."""
    name, asked = settings.model.name, settings.model.version
    versions = [path.rsplit("/", 1)[-1] for path in root.list(f"models/{name}")]
    if asked and asked in versions:
        raise ConfigurationError(
            f"{root.url} holds a bundle {name}/{asked}, and bundles are never written over; ask for another "
            "model.version, or leave it empty for the next number"
        )
    return asked or f"{max((int(version) for version in versions if version.isdigit()), default=0) + 1:04d}"


def _output(settings: Settings) -> Root | None:
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


def _log_views(data: LabelledViews) -> None:
    counts = np.bincount(data.label, minlength=len(CLASSES))
    log.info("prepared %s", ", ".join(f"{n} {name}" for name, n in zip(CLASSES, counts, strict=True)))


def _log_preparation(done: int, total: int) -> None:
    if done == total or done % 100 == 0:
        log.info("searched %d of %d light curves for training views", done, total)

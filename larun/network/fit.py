"""Training: from settings to a sealed bundle."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import keras
import numpy as np

import larun
from larun import paths
from larun.bundles import CARD_FILE, FLOAT_FILE, INT8_FILE, Bundle, save_bundle, seal
from larun.config import Settings, digest
from larun.errors import InputError, RunFailed
from larun.network import quantise
from larun.network.bank import Curve
from larun.network.card import model_card
from larun.network.checkpoint import Checkpoints
from larun.network.dataset import training_views
from larun.network.evaluate import by_collection, by_source, fit_calibration, mean_average_precision
from larun.network.folds import cross_validate
from larun.network.infer import Interpreter, calibrated
from larun.network.labelled import (
    SPLIT_FILE,
    TEST,
    TRAIN,
    VALIDATION,
    LabelledViews,
    concatenate,
    require_disjoint,
    split_by_star,
    split_table,
    validate_by_time,
)
from larun.network.logbook import LOG_FILE, event_file
from larun.network.optimise import State, predict
from larun.network.plots import plot_files
from larun.network.predictions import PREDICTIONS_FILE, predictions_table
from larun.network.pretraining import Quiet, quiet_curves
from larun.network.recipe import (
    EXPORTING,
    identity,
    load_start,
    load_teachers,
    new_version,
    output_root,
    recorded_settings,
    require_network,
    software,
)
from larun.network.run import Run
from larun.network.tune import tune
from larun.objects import Root
from larun.schema import CLASSES

log = logging.getLogger(__name__)


def prepare(
    settings: Settings,
    preparing: Callable[[int, int], None] | None = None,
    curves: Sequence[Curve] | None = None,
) -> dict[str, dict[str, int]]:
    """Make the views that a training of these settings would learn from, and train nothing.

    Parameters
    ----------
    settings, preparing, curves
        As in `train`.

    Returns
    -------
    dict
        Views per source and class, as `LabelledViews.counts` gives them.
    """
    return training_views(settings, preparing or _log_preparation, curves).counts()


def train(
    settings: Settings,
    progress: Callable[[int], None] | None = None,
    preparing: Callable[[int, int], None] | None = None,
    curves: Sequence[Curve] | None = None,
) -> str:
    """Train a network and write its bundle below the survey root, and to `training.output` where that is given.

    A training that was killed goes on from its last epoch when it is asked for again, see `larun.network.checkpoint`.

    Parameters
    ----------
    settings : Settings
        `model`, `dataset`, `training`, `augmentation`, `search`, `simulate` and `root`.
    progress : callable, optional
        Given the number of epochs done, at last all of them.
    preparing : callable, optional
        Given the light curves searched for training views, and their number.
    curves : sequence of Curve, optional
        Labelled light curves, where they are not those that `dataset.data` names.

    Returns
    -------
    str
        ``name/version`` of the bundle; versions count up from 0001.

    Raises
    ------
    InputError
        No labelled light curves, or a class without any.
    BundleError, ConfigurationError
        The bundle to start from cannot be used, or not with these settings; the version is taken; `model.options` are
        none of the architecture's.
    DeviceMemoryError
        A batch does not fit into the device's memory.
    RunFailed
        The network is trained under another backend than TensorFlow, which alone can export it: the same call under
        TensorFlow writes the bundle.
    """
    root = Root(settings.root, settings.storage_options)
    require_network(settings)
    start, teachers = load_start(settings, root), load_teachers(settings, root)
    version = new_version(root, settings)
    elsewhere = output_root(settings)
    quiet = quiet_curves(settings, curves)
    data = training_views(settings, preparing or _log_preparation, curves)
    checkpoints = Checkpoints(root, identity(settings, data, start, teachers))
    bundle = fit(settings, data, version, progress or (lambda done: None), start, teachers, quiet, checkpoints)
    save_bundle(bundle, root, paths.bundle(bundle.name, bundle.version))
    if elsewhere:
        save_bundle(bundle, elsewhere, "")
    checkpoints.discard()
    log.info("wrote the bundle %s/%s, %s", bundle.name, bundle.version, bundle.digest)
    return f"{bundle.name}/{bundle.version}"


def fit(
    settings: Settings,
    data: LabelledViews,
    version: str,
    progress: Callable[[int], None],
    start: Bundle | None = None,
    teachers: Sequence[Bundle] = (),
    quiet: Quiet = Quiet(),  # noqa: B008 - frozen
    checkpoints: Checkpoints | None = None,
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
    teachers : sequence of Bundle
        Whose networks the network learns from beside the labels.
    quiet : Quiet
        Light curves that it is pre-trained on, see `larun.network.pretraining`.
    checkpoints : Checkpoints, optional
        Where the training is kept from epoch to epoch, and goes on from.
    """
    parts = split(settings, data)
    given, extra = settings, {}
    if settings.training.tune:
        settings, extra["tuning"] = tune(
            settings,
            settings.training.tune,
            lambda tried, after: Run(tried, start, teachers, quiet).train(parts[TRAIN], parts[VALIDATION], after=after),
        )
    if settings.training.kfold:
        seen = concatenate([parts[TRAIN], parts[VALIDATION]])
        fitted = partial(_fitted, Run(settings, start, teachers, quiet, checkpoints))
        extra["kfold"] = cross_validate(seen, settings.training.kfold, settings.training.seed, fitted)
    run = Run(settings, start, teachers, quiet, checkpoints)
    state, files, calibration = trained(run, parts, progress)
    scores = _probabilities(Interpreter(files[INT8_FILE]), calibration, parts[TEST])
    manifest = _describe(settings, data, parts, version, run) | _score(files, parts, calibration, scores) | extra
    manifest["training"] = _history(state) | run.record
    manifest["asked"] = recorded_settings(given) if given is not settings else None
    files |= {
        SPLIT_FILE: split_table(parts),
        PREDICTIONS_FILE: predictions_table(parts[TEST], scores),
        LOG_FILE: event_file(state.history),
        **plot_files(scores, parts[TEST]),
        CARD_FILE: model_card(manifest).encode(),
    }
    return seal(manifest, files)


def trained(
    run: Run, parts: dict[str, LabelledViews], progress: Callable[[int], None]
) -> tuple[State, dict[str, bytes], dict[str, Any]]:
    """Train a network and quantise it.

    Where the settings ask for a refit, the network is another one, which has learnt from the validation stars, too;
    epochs and calibration are those of the first, the only one to which these stars are new.

    Parameters
    ----------
    run : Run
        Untrained; its network is the trained one afterwards.
    parts : dict
        Views of the sides `TRAIN` and `VALIDATION`.
    progress : callable
        Given the number of epochs done.

    Returns
    -------
    state : State
        Of the training that had a validation.
    files : dict
        Network files of a bundle, as `larun.network.quantise.export` gives them.
    calibration : dict
        As `larun.network.evaluate.fit_calibration` gives it.

    Raises
    ------
    RunFailed
        The run has checkpoints and the network is trained, under another backend than TensorFlow, which alone can
        export it.
    """
    asked = run.settings.training
    state = run.train(parts[TRAIN], parts[VALIDATION], lambda state: progress(state.epoch), "network")
    progress(asked.epochs)
    first, seen = run.network, parts[TRAIN]
    if asked.refit:
        seen = concatenate([parts[TRAIN], parts[VALIDATION]])
        run.train(seen, None, lambda again: progress(asked.epochs + again.epoch), "refit", state.best_epoch)
        progress(asked.epochs_in_all)
    _require_export(run.checkpoints)
    files = _exported(first, parts[TRAIN], asked.seed)
    calibration = fit_calibration(
        Interpreter(files[INT8_FILE]).logits(parts[VALIDATION].views), parts[VALIDATION].label
    )
    return state, _exported(run.network, seen, asked.seed) if asked.refit else files, calibration


def _exported(network: keras.Model, seen: LabelledViews, seed: int) -> dict[str, bytes]:
    return quantise.export(network, quantise.representative_views(seen.views, seen.label, seed))


def _require_export(checkpoints: Checkpoints | None) -> None:
    """Say how to go on where the network is trained and cannot be written, as on a machine with JAX alone."""
    backend = keras.backend.backend()
    if checkpoints is not None and backend != EXPORTING:
        raise RunFailed(
            f"the network is trained and kept in {checkpoints.url}; Keras runs on {backend} here, and only {EXPORTING} "
            f"writes TFLite. Give the same command with KERAS_BACKEND={EXPORTING}, and it writes the bundle"
        )


def _fitted(run: Run, train: LabelledViews, choosing: LabelledViews, stage: str) -> Callable[[np.ndarray], np.ndarray]:
    run.train(train, choosing, lambda state: None, stage)
    log.info("%s is trained on %d stars", stage, len(np.unique(train.star)))
    return partial(predict, run.network)


def _describe(
    settings: Settings, data: LabelledViews, parts: dict[str, LabelledViews], version: str, run: Run
) -> dict[str, Any]:
    """What a bundle is and was made from."""
    start = run.start
    return {
        "name": settings.model.name,
        "version": version,
        "larun_version": larun.__version__,
        "software": software(),
        "architecture": {"name": settings.model.architecture, "parameters": int(run.network.count_params())},
        "settings": recorded_settings(settings),
        "search_digest": digest(settings.search),
        "started_from": None if start is None else {"bundle": f"{start.name}/{start.version}", "digest": start.digest},
        "teachers": [{"bundle": f"{t.name}/{t.version}", "digest": t.digest} for t in run.teachers],
        "data": {
            "digest": data.digest,
            "offered": data.offered,
            "stars": {name: len(np.unique(part.star)) for name, part in parts.items()},
            "views": {name: part.counts() for name, part in parts.items()},
            "held_out_stars": list(settings.dataset.hold_out),
        },
    }


def _probabilities(runner: Interpreter, calibration: dict[str, Any], part: LabelledViews) -> np.ndarray:
    return calibrated(runner.logits(part.views), calibration["temperature"], np.asarray(calibration["bias"]))


def _score(
    files: dict[str, bytes], parts: dict[str, LabelledViews], calibration: dict[str, Any], scores: np.ndarray
) -> dict[str, Any]:
    """Figures of merit of the held-out views."""
    test = parts[TEST]
    exact = _probabilities(Interpreter(files[FLOAT_FILE]), calibration, test)
    return {
        "calibration": calibration,
        "float_vs_int8": quantise.compare(files, test.views)
        | {
            "mean_ap_float": round(mean_average_precision(exact, test.label), 5),
            "mean_ap_int8": round(mean_average_precision(scores, test.label), 5),
        },
        "metrics": by_source(scores, test.label, test.star, test.source),
        "collections": by_collection(scores, test.label, test.star, test.source, test.kind),
    }


def split(settings: Settings, data: LabelledViews) -> dict[str, LabelledViews]:
    """Views of each side, `TRAIN`, `VALIDATION` and `TEST`; no star is on two.

    Raises
    ------
    InputError
        A side has too few views of a class.
    """
    d = settings.dataset
    side = split_by_star(data.star, d.validation_fraction, d.test_fraction, settings.training.seed, d.hold_out)
    if d.validation_times:
        side = validate_by_time(side, data.star, data.start_d, d.validation_times)
    require_disjoint(data.star, side)
    parts = {name: data.take(side == name) for name in (TRAIN, VALIDATION, TEST)}
    _require_classes(parts)
    return parts


def _history(state: State) -> dict[str, Any]:
    best = state.history[state.best_epoch - 1]
    return {
        "epochs_run": state.epoch,
        "best_epoch": state.best_epoch,
        "chosen_by": "mean average precision on the validation stars",
        "best_validation_ap": round(best["val_ap"], 5),
        "best_validation_loss": round(best["val_loss"], 5),
        "backend": state.backend,
        "pretraining": state.pretraining or None,
    }


def _require_classes(parts: dict[str, LabelledViews]) -> None:
    for name, needed in ((TRAIN, 2), (VALIDATION, 1), (TEST, 1)):
        counts = np.bincount(parts[name].label, minlength=len(CLASSES))
        short = [CLASSES[k] for k in np.flatnonzero(counts < needed)]
        if short:
            raise InputError(
                f"the {name} side of the split has fewer than {needed} views of {', '.join(short)}; "
                f"it has {len(parts[name])} views in all. Give more light curves, or ask for more injections or "
                "simulated stars (dataset.injections, dataset.stars)."
            )


def _log_preparation(done: int, total: int) -> None:
    if done == total or done % 100 == 0:
        log.info("searched %d of %d light curves for training views", done, total)

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
from larun.bundles import CARD_FILE, FLOAT_FILE, INT8_FILE, Bundle, load_bundle, save_bundle, seal
from larun.config import Settings, TrainSettings, digest
from larun.errors import ConfigurationError, InputError
from larun.network import quantise
from larun.network.architectures import build
from larun.network.augmentation import Augment, Augmentation
from larun.network.card import model_card
from larun.network.dataset import training_views
from larun.network.evaluate import average_precision, by_source, fit_calibration
from larun.network.infer import Interpreter, calibrated
from larun.network.labelled import TEST, TRAIN, VALIDATION, LabelledViews, require_disjoint, split_by_star
from larun.objects import Root
from larun.schema import CLASSES

log = logging.getLogger(__name__)

MIN_PATIENCE = 12
PATIENCE_SHARE = 3
"""Training stops after a third of the epochs without progress: the cosine gains most near its end."""
WARM_UP_EPOCHS = 2
WEIGHT_DECAY = 1e-3


def train(
    settings: Settings,
    progress: Callable[[int], None] | None = None,
    preparing: Callable[[int, int], None] | None = None,
) -> str:
    """Train a network and write its bundle below the survey root.

    Parameters
    ----------
    settings : Settings
        `train`, `search`, `simulate` and `root`.
    progress : callable, optional
        Given the number of epochs done, at last all of them.
    preparing : callable, optional
        Given the light curves searched for training views, and their number.

    Returns
    -------
    str
        ``name/version`` of the bundle; versions count up from 0001.

    Raises
    ------
    InputError
        No labelled light curves, a class without any, or no epochs to train.
    BundleError, ConfigurationError
        The bundle to start from cannot be used, or not with these settings.
    """
    if settings.train.epochs == 0:
        raise InputError("train.epochs is 0: there is nothing to train; ask for at least one epoch")
    root = Root(settings.root, settings.storage_options)
    start = load_bundle(settings.train.start_from, root) if settings.train.start_from else None
    _require_same_split(start, settings.train)
    data = training_views(settings, preparing or _log_preparation)
    version = f"{_last_version(root, settings.train.name) + 1:04d}"
    bundle = fit(settings, data, version, progress or (lambda done: None), start)
    save_bundle(bundle, root, paths.bundle(bundle.name, bundle.version))
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
        `train` and, for the record, `search` and `simulate`.
    data : LabelledViews
        All sides of the split.
    version : str
        Version of the bundle.
    progress : callable
        Given the number of epochs done.
    start : Bundle, optional
        Where the weights come from; by default they are random.
    """
    t = settings.train
    side = split_by_star(data.star, t.validation_fraction, t.test_fraction, t.seed, t.hold_out)
    require_disjoint(data.star, side)
    parts = {name: data.take(side == name) for name in (TRAIN, VALIDATION, TEST)}
    _require_classes(parts)
    keras.utils.clear_session()  # names of layers count up over a process, and end up in the files
    keras.utils.set_random_seed(t.seed)
    network = build(t.architecture)
    if start is not None:
        quantise.load_weights(network, start)
    history = _optimise(network, parts, settings, progress)
    files = quantise.export(network, quantise.representative_views(parts[TRAIN].views, parts[TRAIN].label, t.seed))
    int8 = Interpreter(files[INT8_FILE])
    calibration = fit_calibration(int8.logits(parts[VALIDATION].views), parts[VALIDATION].label)

    def probabilities(runner: Interpreter, name: str) -> np.ndarray:
        logits = runner.logits(parts[name].views)
        return calibrated(logits, calibration["temperature"], np.asarray(calibration["bias"]))

    test, scores = parts[TEST], probabilities(int8, TEST)
    exact = probabilities(Interpreter(files[FLOAT_FILE]), TEST)
    manifest = {
        "name": t.name,
        "version": version,
        "larun_version": larun.__version__,
        "software": {"keras": keras.__version__, "backend": keras.backend.backend(), "numpy": np.__version__},
        "architecture": {"name": t.architecture, "parameters": int(network.count_params())},
        "training": t.model_dump(mode="json") | {"augmentation": vars(Augment()) if t.augment else None} | history,
        "search_digest": digest(settings.search),
        "search": settings.search.model_dump(mode="json"),
        "started_from": None if start is None else {"bundle": f"{start.name}/{start.version}", "digest": start.digest},
        "data": {
            "digest": data.digest,
            "offered": data.offered,
            "stars": {name: len(np.unique(part.star)) for name, part in parts.items()},
            "views": {name: part.counts() for name, part in parts.items()},
            "held_out_stars": list(t.hold_out),
        },
        "calibration": calibration,
        "float_vs_int8": quantise.compare(files, test.views)
        | {"mean_ap_float": _mean_ap(exact, test.label), "mean_ap_int8": _mean_ap(scores, test.label)},
        "metrics": by_source(scores, test.label, test.star, test.source),
    }
    return seal(manifest, files | {CARD_FILE: model_card(manifest).encode()})


def _optimise(network: keras.Model, parts: dict[str, LabelledViews], settings: Settings, progress) -> dict[str, Any]:
    """Train in place, best validation loss kept; what happened, for the manifest."""
    t = settings.train
    train, validation = parts[TRAIN], parts[VALIDATION]
    inputs = keras.Input(network.input_shape[1:])
    varied = Augmentation(Augment(), t.seed)(inputs) if t.augment else inputs
    trainer = keras.Model(inputs, network(varied))
    steps = -(-len(train) // t.batch_size)
    warm_up = min(WARM_UP_EPOCHS, t.epochs - 1) * steps
    rate = keras.optimizers.schedules.CosineDecay(
        t.learning_rate * (0.1 if warm_up else 1.0),
        max(t.epochs * steps - warm_up, 1),
        alpha=0.01,
        warmup_target=t.learning_rate if warm_up else None,
        warmup_steps=warm_up,
    )
    trainer.compile(
        optimizer=keras.optimizers.AdamW(rate, weight_decay=WEIGHT_DECAY, clipnorm=1.0),
        loss=keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        # XLA takes longer to compile for a CPU than it saves; JAX has no other way.
        jit_compile=False if keras.backend.backend() == "tensorflow" else "auto",
    )
    best = keras.callbacks.EarlyStopping(
        "val_loss",
        patience=max(MIN_PATIENCE, t.epochs // PATIENCE_SHARE),
        restore_best_weights=True,
        start_from_epoch=min(t.epochs // 3, t.epochs - 1),
    )
    shown = keras.callbacks.LambdaCallback(on_epoch_end=lambda epoch, logs: progress(epoch + 1))
    weights = class_weights(train.label)
    record = trainer.fit(
        train.views,
        train.label,
        sample_weight=weights[train.label],
        validation_data=(validation.views, validation.label, weights[validation.label]),
        epochs=t.epochs,
        batch_size=t.batch_size,
        callbacks=[best, shown],
        verbose=0,
    )
    progress(t.epochs)
    losses = record.history["val_loss"]
    return {
        "epochs_run": len(losses),
        "best_epoch": int(best.best_epoch) + 1,
        "best_validation_loss": round(float(min(losses[best.best_epoch : best.best_epoch + 1])), 5),
        "class_weights": [round(float(w), 4) for w in weights],
    }


def class_weights(label: np.ndarray) -> np.ndarray:
    """Weight of each class, (6,) float32: one over the root of its share, 1 on average over the views.

    Between the shares of the data and equal shares: rare classes count more, not as much as the large ones.
    """
    share = np.bincount(label, minlength=len(CLASSES)) / len(label)
    weight = np.where(share > 0, 1 / np.sqrt(np.maximum(share, 1e-12)), 0.0)
    return (weight / np.sum(weight * share)).astype(np.float32)


def _mean_ap(probabilities: np.ndarray, label: np.ndarray) -> float:
    """Mean over the classes that occur of their average precision."""
    present = np.unique(label)
    return round(float(np.mean([average_precision(probabilities[:, k], label == k) for k in present])), 5)


def _require_classes(parts: dict[str, LabelledViews]) -> None:
    for name, needed in ((TRAIN, 2), (VALIDATION, 1), (TEST, 1)):
        counts = np.bincount(parts[name].label, minlength=len(CLASSES))
        short = [CLASSES[k] for k in np.flatnonzero(counts < needed)]
        if short:
            raise InputError(
                f"the {name} side of the split has fewer than {needed} views of {', '.join(short)}; "
                f"it has {len(parts[name])} views in all. Give more light curves or ask for more injections."
            )


def _require_same_split(start: Bundle | None, settings: TrainSettings) -> None:
    """Refuse a start whose training stars could be among those that are held out now."""
    if start is None:
        return
    trained = start.manifest["training"]
    if trained["architecture"] != settings.architecture:
        raise ConfigurationError(
            f"train.start_from names {start.name}/{start.version}, a {trained['architecture']}; "
            f"train.architecture is {settings.architecture}. Make them the same."
        )
    for name in ("seed", "validation_fraction", "test_fraction"):
        if trained[name] != getattr(settings, name):
            raise ConfigurationError(
                f"train.{name} is {getattr(settings, name)} and was {trained[name]} for {start.name}/{start.version}, "
                "from which training is to start: stars that it was trained on would be held out now. "
                f"Set train.{name} = {trained[name]}."
            )
    seen = sorted(set(settings.hold_out) - set(trained["hold_out"]))
    if seen:
        raise ConfigurationError(
            f"train.hold_out names {', '.join(seen)}, which {start.name}/{start.version} may have been trained on; "
            "start from random weights to hold them out."
        )


def _last_version(root: Root, name: str) -> int:
    """Highest version number below a bundle's name, complete or not; 0 if there is none."""
    versions = (path.rsplit("/", 1)[-1] for path in root.list(f"models/{name}"))
    return max((int(version) for version in versions if version.isdigit()), default=0)


def _log_preparation(done: int, total: int) -> None:
    if done == total or done % 100 == 0:
        log.info("searched %d of %d light curves for training views", done, total)

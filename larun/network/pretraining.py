"""What a network learns before it learns classes, from light curves whose labels are not needed."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np

from larun.config import Settings
from larun.errors import ConfigurationError, InputError
from larun.lightcurve import shard_of
from larun.network.architectures import build
from larun.network.augmentation import WINDOW
from larun.network.bank import UNLABELLED, Curve, curve_of, read_bank, read_hosts, segments
from larun.network.contrast import LOGITS, pretrain
from larun.network.examples import NOISE
from larun.network.labelled import SIMULATED, TEST, TRAIN, split_by_star
from larun.network.localise import WINDOW_D, localisation_scores, localised, marked_windows, train_localiser
from larun.network.simulated import simulated_quiet
from larun.windows import sliding_windows

log = logging.getLogger(__name__)

VIEWS, WINDOWS, TRANSITS = "views", "windows", "transits"
"""What pre-training is on, see `larun.config.TrainingSettings`."""


@dataclass(frozen=True)
class Quiet:
    """Quiet light curves: of stars that are trained on, and of stars that are held out."""

    train: tuple[Curve, ...] = ()
    test: tuple[Curve, ...] = ()


def quiet_curves(settings: Settings, curves: Sequence[Curve] | None = None) -> Quiet:
    """The quiet light curves of a training's data, by side; none where pre-training does not need them.

    Raises
    ------
    ConfigurationError
        Only the wavenet has a head that marks transits.
    InputError
        The data hold no quiet light curve.
    """
    t, d = settings.training, settings.dataset
    if not t.pretrain_epochs or t.pretrain_on == VIEWS:
        return Quiet()
    if t.pretrain_on == TRANSITS and settings.model.architecture != "wavenet":
        raise ConfigurationError(
            f"training.pretrain_on = transits needs model.architecture = wavenet, which marks samples; it is "
            f"{settings.model.architecture}"
        )
    if curves is None and d.data == SIMULATED:
        found = [piece for star, curve in simulated_quiet(settings) for piece in _pieces(star, curve)]
    else:
        bank = read_bank(d.data) if curves is None else curves
        found = [c for c in bank if c.label == NOISE] + (read_hosts(d.data) if curves is None else [])
    if not found:
        raise InputError(f"pre-training on {t.pretrain_on} needs quiet light curves, and the data hold none")
    star = np.array([curve.star for curve in found], dtype=np.str_)
    side = split_by_star(star, d.validation_fraction, d.test_fraction, t.seed, d.hold_out)
    return Quiet(*(tuple(c for c, s in zip(found, side, strict=True) if s == name) for name in (TRAIN, TEST)))


def teach(network: keras.Model, settings: Settings, views: np.ndarray, quiet: Quiet) -> dict[str, Any]:
    """Pre-train a network in place.

    Parameters
    ----------
    network : keras.Model
        Of `settings.model`.
    settings : Settings
        `model`, `training` and `augmentation`.
    views : (n, 1024) float32
        Views of the training stars.
    quiet : Quiet
        From `quiet_curves`.

    Returns
    -------
    dict
        ``on``, ``examples``, ``losses`` of the epochs, and with transits ``localisation``: scores on windows of
        held-out stars, as `larun.network.localise.localisation_scores` gives them.
    """
    t = settings.training
    if t.pretrain_on == TRANSITS:
        return {"on": TRANSITS} | _mark_transits(network, settings, quiet)
    parts = {}
    if t.pretrain_on == WINDOWS:
        cut = [sliding_windows(c.time, c.flux, WINDOW_D, 0.5 * WINDOW_D).samples for c in quiet.train]
        views, parts = np.concatenate(cut), {"parts": WINDOW}
    losses = pretrain(network, views, t, settings.augmentation, **parts)
    return {"on": t.pretrain_on, "examples": len(views), "losses": _rounded(losses)}


def _mark_transits(network: keras.Model, settings: Settings, quiet: Quiet) -> dict[str, Any]:
    """Train a twin that marks transits, and take over all layers but that of the classes."""
    model = settings.model
    twin = build(model.architecture, model.dropout, **model.options | {"localise": True})
    marked, held_out = (marked_windows(part, settings.training.seed) for part in (quiet.train, quiet.test))
    losses = train_localiser(twin, marked, settings.training)
    for layer in network.layers:
        if layer.weights and layer.name != LOGITS:
            layer.set_weights(twin.get_layer(layer.name).get_weights())
    scores = localisation_scores(localised(twin, held_out.samples), held_out.mask) if len(held_out) else None
    log.info("marking transits in windows of held-out stars: %s", scores)
    return {"examples": len(marked), "losses": _rounded(losses), "localisation": scores}


def _pieces(star: str, curve: Any) -> list[Curve]:
    whole = curve_of(shard_of(curve))
    return [] if whole is None else [Curve(star, UNLABELLED, SIMULATED, c.time, c.flux) for c in segments(whole)]


def _rounded(losses: list[float]) -> list[float]:
    return [round(loss, 5) for loss in losses]

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
from larun.network.heads import heads_scores, train_heads
from larun.network.labelled import SIMULATED, TEST, TRAIN, split_by_star
from larun.network.marked import EVENTS, marked_windows
from larun.network.simulated import simulated_quiet
from larun.schema import VIEW_LENGTH
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
        Only the wavenet has heads that mark and measure transits; quiet light curves have no events.
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
    if t.pretrain_on == WINDOWS and t.pretrain_cut == EVENTS:
        raise ConfigurationError(
            "training.pretrain_cut = events needs training.pretrain_on = transits: quiet light curves have no events"
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
        ``on``, ``examples``, ``losses`` of the epochs, and with transits the scores of `larun.network.heads` on
        windows of held-out stars: ``localisation``, ``depth`` and ``period``.

    Raises
    ------
    InputError
        The light curves give no windows, being shorter than one or mostly gaps.
    """
    t = settings.training
    if t.pretrain_on == TRANSITS:
        return {"on": TRANSITS} | _teach_heads(network, settings, quiet)
    parts = {}
    if t.pretrain_on == WINDOWS:
        length_d = t.pretrain_window_d
        cut = [sliding_windows(c.time, c.flux, length_d, 0.5 * length_d, t.pretrain_trend) for c in quiet.train]
        views, parts = (
            np.concatenate([np.empty((0, VIEW_LENGTH), np.float32), *(w.samples for w in cut)]),
            {"parts": WINDOW},
        )
        _require_windows(len(views), settings)
    losses = pretrain(network, views, t, settings.augmentation, **parts)
    return {"on": t.pretrain_on, "examples": len(views), "losses": _rounded(losses)}


def _teach_heads(network: keras.Model, settings: Settings, quiet: Quiet) -> dict[str, Any]:
    """Train a twin that marks and measures transits, and take over all layers but that of the classes."""
    model = settings.model
    twin = build(model.architecture, model.dropout, **model.options | {"localise": True, "regress": True})
    marked, held_out = (marked_windows(part, settings.training) for part in (quiet.train, quiet.test))
    _require_windows(len(marked), settings)
    losses = train_heads(twin, marked, settings.training)
    for layer in network.layers:
        if layer.weights and layer.name != LOGITS:
            layer.set_weights(twin.get_layer(layer.name).get_weights())
    scores = heads_scores(twin, held_out) if len(held_out) else {}
    log.info("transits in windows of held-out stars: %s", scores)
    return {"examples": len(marked), "losses": _rounded(losses)} | scores


def _require_windows(count: int, settings: Settings) -> None:
    if not count:
        t = settings.training
        raise InputError(
            f"pre-training on {t.pretrain_on} needs windows of {t.pretrain_window_d:g} d that hold data, and "
            "the quiet light curves of the training stars give none"
        )


def _pieces(star: str, curve: Any) -> list[Curve]:
    whole = curve_of(shard_of(curve))
    return [] if whole is None else [Curve(star, UNLABELLED, SIMULATED, c.time, c.flux) for c in segments(whole)]


def _rounded(losses: list[float]) -> list[float]:
    return [round(loss, 5) for loss in losses]

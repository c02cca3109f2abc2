"""One network of some settings, from its first weights to the best of its training."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from typing import Any

import keras

from larun.bundles import Bundle
from larun.config import Settings
from larun.network.architectures import build
from larun.network.checkpoint import Checkpoints
from larun.network.contrast import pretrain
from larun.network.labelled import LabelledViews
from larun.network.optimise import Judged, Samples, State, Training, class_weights, hard_targets
from larun.network.restore import load_network, load_weights

log = logging.getLogger(__name__)


class Run:
    """One network of some settings, from its first weights to the best of its training.

    Parameters
    ----------
    settings : Settings
        As in `larun.network.fit.fit`.
    start : Bundle, optional
        Where the weights come from.
    teachers : sequence of Bundle
        Whose networks it learns from beside the labels.
    checkpoints : Checkpoints, optional
        Where the training is kept.
    """

    def __init__(
        self,
        settings: Settings,
        start: Bundle | None = None,
        teachers: Sequence[Bundle] = (),
        checkpoints: Checkpoints | None = None,
    ):
        self.settings, self.start, self.teachers, self.checkpoints = settings, start, teachers, checkpoints
        self.record: dict[str, Any] = {}

    def train(
        self, train: LabelledViews, validation: LabelledViews, after: Callable[[State], None], stage: str = ""
    ) -> State:
        """Train a new network, `network`; `stage` names its checkpoints, without one it has none."""
        s = self.settings
        keras.utils.clear_session()  # names of layers count up over a process, and end up in the files
        keras.utils.set_random_seed(s.training.seed)
        self.network = build(s.model.architecture, s.model.dropout, **s.model.options)
        if self.start is not None:
            load_weights(self.network, self.start)
        weights = class_weights(train.label, s.training.class_weights)
        self.record = {"class_weights": [round(float(w), 4) for w in weights]}
        training = Training(
            self.network,
            Samples(train.views, hard_targets(train.label, weights)),
            Judged(validation.views, validation.label, weights),
            s.training,
            s.augmentation,
            [load_network(teacher) for teacher in self.teachers],
        )
        kept = self.checkpoints if stage else None
        if kept:
            kept.load(stage, training)
        if s.training.pretrain_epochs and not training.state.epoch:
            losses = pretrain(self.network, train.views, s.training, s.augmentation)
            log.info("pre-trained on %d views, contrastive loss %.3f to %.3f", len(train), losses[0], losses[-1])

        def done(state: State) -> None:
            if kept:
                kept.save(stage, training)
            after(state)

        return training.run(done)

"""One network of some settings, from its first weights to the best of its training."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import keras
import numpy as np

from larun.bundles import Bundle
from larun.config import Settings
from larun.network.architectures import build
from larun.network.checkpoint import Checkpoints
from larun.network.labelled import LabelledViews
from larun.network.optimise import Judged, Samples, State, Training, class_weights, hard_targets, source_weights
from larun.network.pretraining import Quiet, teach
from larun.network.restore import load_network, load_weights


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
    quiet : Quiet
        Light curves that it is pre-trained on.
    checkpoints : Checkpoints, optional
        Where the training is kept.
    """

    def __init__(
        self,
        settings: Settings,
        start: Bundle | None = None,
        teachers: Sequence[Bundle] = (),
        quiet: Quiet = Quiet(),  # noqa: B008 - frozen
        checkpoints: Checkpoints | None = None,
    ):
        self.settings, self.start, self.teachers, self.checkpoints = settings, start, teachers, checkpoints
        self.quiet = quiet
        self.record: dict[str, Any] = {}

    def train(
        self,
        train: LabelledViews,
        validation: LabelledViews | None,
        after: Callable[[State], None],
        stage: str = "",
        epochs: int | None = None,
    ) -> State:
        """Train a new network, `network`.

        Parameters
        ----------
        train : LabelledViews
            What it learns from.
        validation : LabelledViews or None
            What chooses its best epoch; without it the last is.
        after : callable
            Given the state after every epoch.
        stage : str
            Name of its checkpoints; without one it has none.
        epochs : int, optional
            By default those of the settings.
        """
        s = self.settings
        keras.utils.clear_session()  # names of layers count up over a process, and end up in the files
        keras.utils.set_random_seed(s.training.seed)
        self.network = build(s.model.architecture, s.model.dropout, **s.model.options)
        if self.start is not None:
            load_weights(self.network, self.start)
        weights = class_weights(train.label, s.training.class_weights)
        self.record = {"class_weights": [round(float(w), 4) for w in weights]}
        targets = hard_targets(train.label, weights)
        targets *= source_weights(train.source, s.training.real_weight)[:, np.newaxis]
        training = Training(
            self.network,
            Samples(train.views, targets),
            Judged(validation.views, validation.label, weights) if validation is not None else None,
            s.training if epochs is None else s.training.model_copy(update={"epochs": epochs}),
            s.augmentation,
            [load_network(teacher) for teacher in self.teachers],
        )
        kept = self.checkpoints if stage else None
        if kept:
            kept.load(stage, training)
        if s.training.pretrain_epochs and not training.state.epoch:
            training.state.pretraining = teach(self.network, s, train.views, self.quiet)

        def done(state: State) -> None:
            if kept:
                kept.save(stage, training)
            after(state)

        return training.run(done)

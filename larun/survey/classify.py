"""From light curves to classified events: the one path that sweep, examine and training controls share."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from larun import vet
from larun.config import Settings
from larun.lightcurve import Shard
from larun.network.infer import Classifier
from larun.schema import CLASSES, EVENT_COLUMNS, empty_events
from larun.search.pipeline import search_shard
from larun.views import shard_views


@dataclass(frozen=True)
class Classified:
    """What search, vetting and network say about the stars of a shard."""

    events: np.ndarray
    probabilities: np.ndarray
    searched: np.ndarray
    reason: tuple[str, ...]

    @property
    def classes(self) -> list[str | None]:
        """Class of the largest probability; none where nothing was searched."""
        best = np.argmax(np.nan_to_num(self.probabilities, nan=-1.0), axis=1)
        return [CLASSES[k] if done else None for k, done in zip(best, self.searched, strict=True)]

    def columns(self) -> dict[str, Any]:
        """Event, class and probability columns of `larun.schema.DETECTION_COLUMNS`."""
        events = {c.name: self.events[c.name] for c in EVENT_COLUMNS}
        probabilities = {f"p_{name}": self.probabilities[:, k] for k, name in enumerate(CLASSES)}
        return events | {"class": self.classes} | probabilities


def classify_shard(
    shard: Shard, settings: Settings, classifier: Classifier, stored: np.ndarray | None = None
) -> Classified:
    """Search every star of a shard, flag its best event and classify it.

    Parameters
    ----------
    shard : Shard
        Light curves.
    settings : Settings
        Search and vetting settings.
    classifier : Classifier
        The network with its calibration.
    stored : (star,) bool, optional
        Stars that hold data; the others are not searched. By default all.

    Returns
    -------
    Classified
        One event and six probabilities per star; NaN where nothing was searched.
    """
    n = len(shard)
    rows = np.arange(n) if stored is None else np.flatnonzero(stored)
    events, probabilities = empty_events(n), np.full((n, len(CLASSES)), np.nan, np.float32)
    searched, reason = np.zeros(n, bool), [""] * n
    if len(rows):
        part = shard.take(rows)
        found = search_shard(part, settings.search)
        radius, logg = ([getattr(star, name) for star in part.stars] for name in ("radius", "logg"))
        flags = vet.flag(found.events, radius=radius, logg=logg, settings=settings.vet)
        found.events["flags"] = np.where(found.searched, flags, 0)
        done = np.flatnonzero(found.searched)
        if len(done):
            views = shard_views(part, found.relative, found.detrended, found.events, found.searched)
            probabilities[rows[done]] = classifier.probabilities(views[done])
        events[rows], searched[rows] = found.events, found.searched
        for row, why in zip(rows, found.reason, strict=True):
            reason[row] = why
    return Classified(events, probabilities, searched, tuple(reason))

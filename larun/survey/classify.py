"""From light curves to classified events: the one path that sweep, examine and training controls share."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from larun import vet
from larun.config import Settings
from larun.lightcurve import Shard
from larun.network.infer import Classifier
from larun.schema import CLASSES, EVENT_COLUMNS, EventFlag, empty_events
from larun.search.pipeline import search_shard
from larun.search.rows import event_rows, without_earlier
from larun.search.stitch import Stitched
from larun.views import shard_views


@dataclass(frozen=True)
class Classified:
    """What search, vetting and network say about the stars of a shard, one row per event.

    Parameters
    ----------
    star : (row,) int64
        Row of the shard; increasing. Every star has at least one event.
    events : (row,) structured
        Of `larun.schema.event_dtype`; of one star in the order of `event`.
    probabilities : (row, 6) float32
        NaN where nothing was searched.
    searched : (row,) bool
        Whether there is an event.
    reason : (row,) tuple of str
        Why there is none; empty where there is.
    """

    star: np.ndarray
    events: np.ndarray
    probabilities: np.ndarray
    searched: np.ndarray
    reason: tuple[str, ...]

    def take(self, rows: np.ndarray) -> Classified:
        """The given rows."""
        values = (getattr(self, name)[rows] for name in ("star", "events", "probabilities", "searched"))
        return Classified(*values, tuple(self.reason[k] for k in rows))

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
    """Search every star of a shard, flag its events and classify them.

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
    """
    n = len(shard)
    rows = np.arange(n) if stored is None else np.flatnonzero(stored)
    idle = np.setdiff1d(np.arange(n), rows)
    found = _classify(shard.take(rows), settings, classifier) if len(rows) else _blank(0)
    star = np.concatenate([rows[found.star], idle])
    blank = _blank(len(idle))
    # A stable sort keeps the order of the events of a star.
    order = np.argsort(star, kind="stable")
    reason = found.reason + blank.reason
    events, probabilities, searched = (
        np.concatenate([getattr(found, name), getattr(blank, name)])[order]
        for name in ("events", "probabilities", "searched")
    )
    return Classified(star[order], events, probabilities, searched, tuple(reason[k] for k in order))


def _blank(n: int) -> Classified:
    """Stars that were not searched."""
    unknown = np.full((n, len(CLASSES)), np.nan, np.float32)
    return Classified(np.arange(n), empty_events(n), unknown, np.zeros(n, bool), ("",) * n)


def classify_stitched(whole: Stitched, settings: Settings, classifier: Classifier) -> Classified:
    """Search joined light curves as one, to half of their time span, and classify the events.

    Parameters
    ----------
    whole : Stitched
        From `larun.search.stitch`: of one star, or of several.
    settings, classifier
        As in `classify_shard`.
    """
    return classify_shard(whole.shard, settings.model_copy(update={"search": whole.settings}), classifier)


def _classify(shard: Shard, settings: Settings, classifier: Classifier) -> Classified:
    found = search_shard(shard, settings.search)
    star, events, searched = event_rows(found)
    reason = tuple(found.reason[k] if event == 1 else "" for k, event in zip(star, events["event"], strict=True))
    radius, logg = ([getattr(shard.stars[k], name) for k in star] for name in ("radius", "logg"))
    flags = vet.flag(events, radius=radius, logg=logg, settings=settings.vet)
    events["flags"] = np.where(searched, flags | _single(events), 0)
    probabilities = np.full((len(star), len(CLASSES)), np.nan, np.float32)
    done = np.flatnonzero(searched)
    if len(done):
        flat = without_earlier(shard, found.detrended, star[done], events[done])
        views = shard_views(shard, star[done], found.relative, flat, events[done])
        probabilities[done] = classifier.probabilities(views)
    return Classified(star, events, probabilities, searched, reason)


def _single(events: np.ndarray) -> np.ndarray:
    single = np.isnan(events["period_d"]) & np.isfinite(events["t0_btjd"])
    return np.where(single, np.uint32(EventFlag.SINGLE_TRANSIT), np.uint32(0))

"""All events of a shard, one row each, and the flux in which each was found."""

from __future__ import annotations

import numpy as np

from larun.lightcurve import Shard
from larun.search.events import mask_transits
from larun.search.pipeline import Searched


def event_rows(found: Searched) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Best and further events together.

    Returns
    -------
    star : (row,) int64
        Row of the shard; increasing, every star at least once.
    events : (row,) structured
        Of `larun.schema.event_dtype`; of one star in the order of `event`.
    searched : (row,) bool
        Whether there is an event.
    """
    star = np.concatenate([np.arange(len(found.events)), found.further_star])
    order = np.argsort(star, kind="stable")
    searched = np.append(found.searched, np.ones(len(found.further), bool))
    return star[order], np.concatenate([found.events, found.further])[order], searched[order]


def without_earlier(shard: Shard, detrended: np.ndarray, star: np.ndarray, events: np.ndarray) -> np.ndarray:
    """Flux of each event with the earlier events of its star masked, as it was found.

    Parameters
    ----------
    shard : Shard
        For the times.
    detrended : (star, cadence) float32
        Of the shard.
    star, events : (row,)
        From `event_rows`.

    Returns
    -------
    (row, cadence) float32
    """
    flat = detrended[star]
    for row in np.flatnonzero(events["event"] > 1):
        time = shard.barycentric_time(star[row])
        for earlier in np.flatnonzero(star[:row] == star[row]):
            mask_transits(flat[row], time, events[earlier])
    return flat

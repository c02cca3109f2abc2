"""All events of a shard, one row each, and the flux in which each was found."""

from __future__ import annotations

import numpy as np

from larun.lightcurve import Shard
from larun.search.events import SAME_PERIOD, mask_transits
from larun.search.pipeline import Searched
from larun.units import HOURS_PER_DAY, from_mid_transit_d

HARMONICS = (1 / 3, 1 / 2, 2, 3)
"""Periods of one signal that two searches may find, over each other."""


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


def same_signal(event: np.void, other: np.void, other_t0: float) -> bool:
    """Whether an event of several joined sectors is one that a single sector shows.

    Parameters
    ----------
    event, other : record
        Of `larun.schema.event_dtype`; of the joined sectors, and of one of them.
    other_t0 : float
        Epoch of the latter in the time system of the former, days.

    Returns
    -------
    bool
        True where their periods agree to 1 %; where one is a harmonic of the other and they coincide; and for a single
        transit that is one of the event's.
    """
    period, other_period = float(event["period_d"]), float(other["period_d"])
    reach = 0.5 * max(float(event["duration_h"]), float(other["duration_h"])) / HOURS_PER_DAY
    apart = other_t0 - float(event["t0_btjd"])
    if np.isnan(period):
        return bool(np.isnan(other_period) and abs(apart) < reach)
    apart = from_mid_transit_d(other_t0, period, float(event["t0_btjd"]))
    if np.isnan(other_period):
        return bool(abs(apart) < reach)
    ratio = other_period / period
    if ratio < 1:
        apart -= np.rint(apart / other_period) * other_period
    harmonic = any(abs(ratio / harmonic - 1) < SAME_PERIOD for harmonic in HARMONICS)
    return bool(abs(ratio - 1) < SAME_PERIOD or (harmonic and abs(apart) < reach))

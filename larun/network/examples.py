"""From light curves of known content to labelled views, by the search and the views of the sweep itself.

The views of every example come from the events that the search found in it, for noise from its false peaks.
An event of a planet's or a binary's light curve that is not its own signal (another period, another epoch) is left out
rather than given a label that its view does not show, and so is one that does not cover an injected dip.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from larun.config import SearchSettings
from larun.lightcurve import Shard
from larun.network.bank import Ephemeris
from larun.network.labelled import LabelledViews, labelled
from larun.schema import CLASSES
from larun.search.pipeline import search_shard
from larun.search.rows import event_rows, without_earlier
from larun.units import HOURS_PER_DAY, from_mid_transit_d
from larun.views import shard_views

NOISE, STELLAR, PLANET, BINARY, ARTEFACT, ANOMALY = range(len(CLASSES))
BINARY_HARMONICS = (1.0, 0.5, 2.0)
COVERED_DEPTH = 0.5
MIN_PLANET_SNR = 7.1
"""Planets are shown from here on: noise makes weaker signals too (Jenkins et al. 2002, ApJ 575, 493)."""


@dataclass(frozen=True)
class Example:
    """What is known about one light curve of a shard.

    Parameters
    ----------
    star : str
        Name.
    label : int
        Class.
    source, kind : str
        See `LabelledViews`.
    ephemerides : tuple of Ephemeris
        Signals of which one must be the event; needed for planets, and for binaries where known.
    loss : (cadence,) float, optional
        Injected loss of light, which the event must cover.
    """

    star: str
    label: int
    source: str
    kind: str
    ephemerides: tuple[Ephemeris, ...] = ()
    loss: np.ndarray | None = None


def example_views(shard: Shard, examples: Sequence[Example], settings: SearchSettings) -> LabelledViews:
    """Search a shard and keep the views that show what their label says.

    Parameters
    ----------
    shard : Shard
        Light curves.
    examples : sequence of Example
        One per star of the shard.
    settings : SearchSettings
        Of the sweep.
    """
    found = search_shard(shard, settings)
    star, events, searched = event_rows(found)
    offered: dict[str, int] = {}
    for example in examples:
        name = f"{example.source} {CLASSES[example.label]}"
        offered[name] = offered.get(name, 0) + 1
    kept = [
        row
        for row in np.flatnonzero(searched)
        if shows(events[row], examples[star[row]], shard.barycentric_time(star[row]))
    ]
    of, flat = star[kept], without_earlier(shard, found.detrended, star, events)[kept]
    views = shard_views(shard, of, found.relative, flat, events[kept])
    columns = {name: [getattr(examples[k], name) for k in of] for name in ("label", "star", "source", "kind")}
    columns["start_d"] = [shard.barycentric_time(k)[0] for k in of]
    return labelled(views, columns, offered)


def shows(event: np.void, example: Example, time: np.ndarray) -> bool:
    """Whether an event is the signal that its light curve is labelled for.

    Parameters
    ----------
    event : record
        Of `larun.schema.event_dtype`.
    example : Example
        The label.
    time : (cadence,) float64
        Barycentric time of the light curve.
    """
    if example.label == PLANET:
        return float(event["snr"]) >= MIN_PLANET_SNR and any(
            same_signal(event, truth, time, (1.0,)) for truth in example.ephemerides
        )
    if example.label == BINARY and example.ephemerides:
        return any(same_signal(event, truth, time, BINARY_HARMONICS) for truth in example.ephemerides)
    return example.loss is None or covers(event, example.loss, time)


def same_signal(event: np.void, truth: Ephemeris, time: np.ndarray, harmonics: tuple[float, ...]) -> bool:
    """Whether period and epoch of an event are those of a known signal.

    Over the length of the light curve the two must not drift apart by more than half a duration. With
    harmonics beside 1 (binaries), half or twice the period will do, and the epoch may be that of any dip. A single
    transit must lie on one of the signal.
    """
    duration_d = float(event["duration_h"]) / HOURS_PER_DAY
    if np.isfinite(truth.duration_h):
        duration_d = max(duration_d, truth.duration_h / HOURS_PER_DAY)
    period = float(event["period_d"])
    if np.isnan(period):
        offset = from_mid_transit_d(float(event["t0_btjd"]), truth.period_d, truth.t0)
        return bool(abs(offset) < 0.5 * duration_d)
    cycles = max(np.ptp(time) / truth.period_d, 1.0)
    for harmonic in harmonics:
        wanted = truth.period_d * harmonic
        if abs(period - wanted) * cycles / harmonic > max(0.5 * duration_d, 0.002 * wanted):
            continue
        if len(harmonics) > 1:
            return True
        middle = 0.5 * (time[0] + time[-1])
        ours = float(event["t0_btjd"]) + np.round((middle - float(event["t0_btjd"])) / period) * period
        offset = from_mid_transit_d(ours, wanted, truth.t0)
        return bool(abs(offset) < 0.75 * duration_d)
    return False


def covers(event: np.void, loss: np.ndarray, time: np.ndarray) -> bool:
    """Whether a transit of the event lies on an injected dip: on at least half of its greatest loss of light."""
    period, duration_d = float(event["period_d"]), float(event["duration_h"]) / HOURS_PER_DAY
    if np.isnan(period):
        period = 2.0 * float(np.ptp(time))
    inside = np.abs(from_mid_transit_d(time, period, float(event["t0_btjd"]))) < 0.5 * duration_d
    return bool(inside.any() and loss[inside].max() >= COVERED_DEPTH * loss.max())

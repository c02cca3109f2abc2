"""Several light curves of one star as one, so that longer periods and weaker planets are found with the same search."""

from __future__ import annotations

import logging
from collections.abc import Sequence

import numpy as np

from larun.config import SearchSettings
from larun.errors import InputError
from larun.lightcurve import Shard
from larun.search.grid import optimal_frequencies
from larun.search.prepare import relative_flux
from larun.units import SECONDS_PER_DAY, to_btjd

log = logging.getLogger(__name__)

SAME_CADENCE = 1.5
"""Cadences that differ by less than this factor are not averaged to match."""

MOST_OVERLAP = 0.1
"""A light curve is left out if others hold so much of its time already."""

_COLUMNS = ("flux_err", "background", "centroid_col", "centroid_row")


def stitch(parts: Sequence[Shard], settings: SearchSettings) -> Shard:
    """Join light curves of one star in barycentric time.

    Parameters
    ----------
    parts : sequence of Shard
        Shards of one star: sectors, quarters or campaigns, of any pipeline and cadence.
    settings : SearchSettings
        `quality_mask` is used.

    Returns
    -------
    Shard
        One star; `time` is barycentric, flux is around 1 in each part, bad cadences have quality -1 and good ones 0,
        cadences are averaged to the longest of the parts. Of parts that overlap the one with shorter cadences is
        kept. Background and errors are relative to the flux, centroids to their median in each part.

    Raises
    ------
    InputError
        No part has anything to search; says why.
    """
    joined, reasons = [], []
    for part in sorted(parts, key=lambda part: (part.cadence_s, -part.flux.shape[1])):
        relative, (reason,), _ = relative_flux(part, settings)
        if reason:
            reasons.append(f"{part.mission} {part.sector}: {reason}")
            continue
        columns = _columns(part, relative[0])
        if not _covered(columns["time"], joined):
            joined.append(columns)
    if not joined:
        raise InputError(f"none of {len(parts)} light curves can be searched: {'; '.join(reasons)}")
    cadence_s = max(columns["cadence_s"] for columns in joined)
    joined = sorted((_averaged(columns, cadence_s) for columns in joined), key=lambda columns: columns["time"][0])
    whole = {name: np.concatenate([columns[name] for columns in joined]) for name in ("time", "flux", *_COLUMNS)}
    # Parts may overlap a little: the first to see a moment keeps it.
    order = np.argsort(whole["time"], kind="stable")
    order = order[np.diff(whole["time"][order], prepend=-np.inf) > 0]
    return _shard(parts, cadence_s, {name: values[order] for name, values in whole.items()})


def stitched_settings(time: np.ndarray, settings: SearchSettings) -> SearchSettings:
    """Search to half of the time span, from as short a period as `max_trial_periods` allows.

    The number of trial periods grows with the time span, most of them at short periods, which each part can be
    searched for by itself.

    Parameters
    ----------
    time : (cadence,) float64
        Days, increasing.
    settings : SearchSettings
        Of a single part.
    """
    baseline_d = float(time[-1] - time[0])
    longest = max(settings.max_period_d, baseline_d / 2)
    shortest = settings.min_period_d

    def count(period_d: float) -> int:
        return len(optimal_frequencies(baseline_d, period_d, min(longest, baseline_d / 2), settings.oversampling))

    if baseline_d / 2 > shortest and count(shortest) > settings.max_trial_periods:
        low, high = shortest, baseline_d / 2
        while high > 1.001 * low:
            middle = np.sqrt(low * high)
            low, high = (middle, high) if count(middle) > settings.max_trial_periods else (low, middle)
        shortest = high
        log.warning("%.0f days are searched from %.2f days on: search.max_trial_periods", baseline_d, shortest)
    return settings.model_copy(update={"min_period_d": float(shortest), "max_period_d": float(longest)})


def _columns(part: Shard, relative: np.ndarray) -> dict:
    """Columns of one part in barycentric time, NaN where bad."""
    level = np.nanmedian(part.flux[0][np.isfinite(relative)])
    good = np.isfinite(relative)
    time = part.barycentric_time(0)
    cadence_s = part.cadence_s if part.cadence_s > 0 else SECONDS_PER_DAY * float(np.median(np.diff(time)))
    columns = {"time": to_btjd(time, part.time_format), "flux": relative, "cadence_s": cadence_s}
    for name in ("flux_err", "background"):
        columns[name] = np.where(good, getattr(part, name)[0] / level, np.float32(np.nan))
    for name in ("centroid_col", "centroid_row"):
        values = np.where(good, getattr(part, name)[0], np.float32(np.nan))
        known = np.isfinite(values)
        columns[name] = values - np.median(values[known]) if known.any() else values
    return columns


def _covered(time: np.ndarray, joined: list[dict]) -> bool:
    """Whether parts that are joined already hold this one's time."""
    inside = np.zeros(len(time), bool)
    for other in joined:
        inside |= (time >= other["time"][0]) & (time <= other["time"][-1])
    return inside.mean() > MOST_OVERLAP


def _averaged(columns: dict, cadence_s: float) -> dict:
    """Columns averaged over bins of the given cadence; as they are where theirs is about that."""
    if cadence_s < SAME_CADENCE * columns["cadence_s"]:
        return columns
    time = columns["time"]
    bins = np.floor((time - time[0]) * SECONDS_PER_DAY / cadence_s).astype(np.int64)
    starts = np.flatnonzero(np.diff(bins, prepend=-1))
    averaged = {"cadence_s": cadence_s, "time": np.add.reduceat(time, starts) / np.diff(starts, append=len(time))}
    for name in ("flux", *_COLUMNS):
        known = np.isfinite(columns[name])
        count = np.add.reduceat(known, starts, dtype=np.int64)
        total = np.add.reduceat(np.where(known, columns[name], 0), starts, dtype=np.float64)
        averaged[name] = np.where(count > 0, total / np.maximum(count, 1), np.nan).astype(np.float32)
    return averaged


def _shard(parts: Sequence[Shard], cadence_s: float, columns: dict[str, np.ndarray]) -> Shard:
    missions, authors = ({getattr(part, name) for part in parts} for name in ("mission", "author"))
    one_mission = missions.pop() if len(missions) == 1 else ""
    return Shard(
        stars=parts[0].stars,
        time=columns["time"],
        cadence_no=np.arange(len(columns["time"]), dtype=np.int32),
        time_correction=np.full((1, len(columns["time"])), np.nan, np.float32),
        flux=columns["flux"][None],
        **{name: columns[name][None] for name in _COLUMNS},
        quality=np.where(np.isfinite(columns["flux"]), 0, -1).astype(np.int32)[None],
        mission=one_mission,
        cadence_s=cadence_s,
        time_format="btjd",
        author=authors.pop() if len(authors) == 1 else "",
    )

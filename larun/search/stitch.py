"""Light curves of several sectors as one, so that longer periods and weaker planets are found with the same search."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass

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

_COLUMNS = ("flux", "time_correction", "flux_err", "background", "centroid_col", "centroid_row")


@dataclass(frozen=True)
class Stitched:
    """Light curves that were joined.

    Parameters
    ----------
    shard : Shard
        The joined light curves.
    used : tuple of int
        Which of the parts are in it, in the order in which they were given.
    """

    shard: Shard
    used: tuple[int, ...]


def stitch(parts: Sequence[Shard], settings: SearchSettings) -> Stitched:
    """Join light curves of the same stars in barycentric time.

    Parameters
    ----------
    parts : sequence of Shard
        Shards of the same stars in the same order: sectors, quarters or campaigns, of any pipeline and cadence. The
        stars are said to be what the first part says.
    settings : SearchSettings
        `quality_mask` is used.

    Returns
    -------
    Stitched
        `time` is barycentric, of several stars the mean of theirs with the small rest as `time_correction`; flux is
        around 1 in each part, bad cadences have quality -1 and good ones 0, cadences are averaged to the longest of
        the parts. Of parts that overlap the one with shorter cadences is kept. Background and errors are relative to
        the flux, centroids to their median in each part.

    Raises
    ------
    InputError
        No part has anything to search; says why.
    """
    joined, reasons, used = [], [], []
    for index in sorted(range(len(parts)), key=lambda k: (parts[k].cadence_s, -parts[k].flux.shape[1])):
        part = parts[index]
        relative, obstacles, _ = relative_flux(part, settings)
        if all(obstacles):
            reasons.append(f"{part.mission} {part.sector}: {obstacles[0]}")
            continue
        relative[[bool(obstacle) for obstacle in obstacles]] = np.nan
        columns = _columns(part, relative)
        if not _covered(columns["time"], joined):
            joined.append(columns)
            used.append(index)
    if not joined:
        raise InputError(f"none of {len(parts)} light curves can be searched: {'; '.join(reasons)}")
    cadence_s = max(columns["cadence_s"] for columns in joined)
    joined = sorted((_averaged(columns, cadence_s) for columns in joined), key=lambda columns: columns["time"][0])
    time = np.concatenate([columns["time"] for columns in joined])
    # Parts may overlap a little: the first to see a moment keeps it.
    order = np.argsort(time, kind="stable")
    order = order[np.diff(time[order], prepend=-np.inf) > 0]
    whole = {name: np.concatenate([columns[name] for columns in joined], axis=1)[:, order] for name in _COLUMNS}
    return Stitched(_shard(parts, cadence_s, time[order], whole), tuple(sorted(used)))


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
    good = np.isfinite(relative)
    own = np.stack([part.barycentric_time(star) for star in range(len(part))])
    time = own.mean(axis=0)
    cadence_s = part.cadence_s if part.cadence_s > 0 else SECONDS_PER_DAY * float(np.median(np.diff(time)))
    columns = {"time": to_btjd(time, part.time_format), "flux": relative, "cadence_s": cadence_s}
    columns["time_correction"] = (own - time).astype(np.float32)
    level = _medians(np.where(good, part.flux, np.float32(np.nan)))
    for name in ("flux_err", "background"):
        columns[name] = np.where(good, getattr(part, name) / level, np.float32(np.nan))
    for name in ("centroid_col", "centroid_row"):
        values = np.where(good, getattr(part, name), np.float32(np.nan))
        columns[name] = values - _medians(values)
    return columns


def _medians(values: np.ndarray) -> np.ndarray:
    """Median of what is finite in each row, (star, 1) float32; NaN where nothing is."""
    medians = np.full((len(values), 1), np.nan, np.float32)
    for star, row in enumerate(values):
        known = row[np.isfinite(row)]
        if len(known):
            medians[star] = np.median(known)
    return medians


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
    for name in _COLUMNS:
        known = np.isfinite(columns[name])
        count = np.add.reduceat(known, starts, axis=1, dtype=np.int64)
        total = np.add.reduceat(np.where(known, columns[name], 0), starts, axis=1, dtype=np.float64)
        averaged[name] = np.where(count > 0, total / np.maximum(count, 1), np.nan).astype(np.float32)
    return averaged


def _shard(parts: Sequence[Shard], cadence_s: float, time: np.ndarray, columns: dict[str, np.ndarray]) -> Shard:
    missions, authors = ({getattr(part, name) for part in parts} for name in ("mission", "author"))
    return Shard(
        stars=parts[0].stars,
        time=time,
        cadence_no=np.arange(len(time), dtype=np.int32),
        **columns,
        quality=np.where(np.isfinite(columns["flux"]), 0, -1).astype(np.int32),
        mission=missions.pop() if len(missions) == 1 else "",
        cadence_s=cadence_s,
        time_format="btjd",
        author=authors.pop() if len(authors) == 1 else "",
    )

"""Light curves of several sectors as one, so that longer periods and weaker planets are found with the same search."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import chain

import numpy as np

from larun.config import SearchSettings
from larun.errors import InputError
from larun.lightcurve import Shard, Star, barycentric_time
from larun.search.grid import optimal_frequencies
from larun.search.prepare import relative_flux
from larun.units import SECONDS_PER_DAY, to_btjd

log = logging.getLogger(__name__)

SAME_CADENCE = 1.5
"""Cadences that differ by less than this factor are not averaged to match."""

MOST_OVERLAP = 0.1
"""A light curve is left out if others hold so much of its time already."""

_COLUMNS = ("flux", "time_correction", "centroid_col", "centroid_row")
"""What is joined; the search looks at nothing else."""


@dataclass(frozen=True)
class Part:
    """Light curves of some stars in one sector, quarter or campaign, ready to be joined.

    Parameters
    ----------
    stars, time, time_correction, mission, sector, cadence_s, time_format, author
        As in `larun.lightcurve.Shard`.
    flux : (star, cadence) float32
        Over its median, NaN where bad; all NaN for a star that cannot be searched.
    centroid_col, centroid_row : (star, cadence) float32
        Less their median, pixels; NaN where the flux is bad.
    obstacles : (star,) tuple of str
        Why a star cannot be searched; empty where it can.
    """

    stars: tuple[Star, ...]
    time: np.ndarray
    time_correction: np.ndarray
    flux: np.ndarray
    centroid_col: np.ndarray
    centroid_row: np.ndarray
    obstacles: tuple[str, ...]
    mission: str
    sector: int
    cadence_s: float
    time_format: str
    author: str

    @classmethod
    def of(cls, shard: Shard, settings: SearchSettings) -> Part:
        """Part of all stars of a shard; `quality_mask` of the settings is used."""
        flux, obstacles, _ = relative_flux(shard, settings)
        flux[[bool(obstacle) for obstacle in obstacles]] = np.nan
        col, row = (_about_median(values, flux) for values in (shard.centroid_col, shard.centroid_row))
        about = (shard.mission, shard.sector, shard.cadence_s, shard.time_format, shard.author)
        return cls(shard.stars, shard.time, shard.time_correction, flux, col, row, obstacles, *about)

    def __len__(self) -> int:
        return len(self.stars)

    def take(self, rows: Sequence[int]) -> Part:
        """The given stars, in the given order."""
        rows = list(rows)
        columns = {name: getattr(self, name)[rows] for name in _COLUMNS}
        stars, obstacles = (tuple(values[k] for k in rows) for values in (self.stars, self.obstacles))
        return replace(self, stars=stars, obstacles=obstacles, **columns)


def same_cadences(parts: Sequence[Part]) -> Part:
    """Stars of several parts on the same cadences, in the order given."""
    if len(parts) == 1:
        return parts[0]
    columns = {name: np.concatenate([getattr(part, name) for part in parts]) for name in _COLUMNS}
    stars, obstacles = (tuple(chain(*(getattr(part, name) for part in parts))) for name in ("stars", "obstacles"))
    return replace(parts[0], stars=stars, obstacles=obstacles, **columns)


@dataclass(frozen=True)
class Stitched:
    """Light curves that were joined.

    Parameters
    ----------
    shard : Shard
        The joined light curves.
    used : tuple of int
        Which of the parts are in it, in the order in which they were given.
    settings : SearchSettings
        To search it with, see `stitched_settings`.
    """

    shard: Shard
    used: tuple[int, ...]
    settings: SearchSettings


def stitch(shards: Sequence[Shard], settings: SearchSettings) -> Stitched:
    """Join light curves of the same stars; `join` of the parts that they are."""
    return join([Part.of(shard, settings) for shard in shards], settings)


def join(parts: Sequence[Part], settings: SearchSettings) -> Stitched:
    """Join light curves of the same stars in barycentric time.

    Parameters
    ----------
    parts : sequence of Part
        Of the same stars in the same order: sectors, quarters or campaigns, of any pipeline and cadence. The stars are
        said to be what the first part says.
    settings : SearchSettings
        Of a single part.

    Returns
    -------
    Stitched
        `time` is barycentric, of several stars the mean of theirs with the small rest as `time_correction`; flux is
        around 1 in each part, bad cadences have quality -1 and good ones 0, cadences are averaged to the longest of
        the parts. Of parts that overlap the one with shorter cadences is kept. Centroids are relative to their median
        in each part. Errors and background, which the search has no use for, are NaN.

    Raises
    ------
    InputError
        No part has anything to search; says why.
    """
    joined, reasons, used = [], [], []
    for index in sorted(range(len(parts)), key=lambda k: (parts[k].cadence_s, -parts[k].flux.shape[1])):
        part = parts[index]
        if all(part.obstacles):
            reasons.append(f"{part.mission} {part.sector}: {part.obstacles[0]}")
            continue
        columns = _columns(part)
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
    shard = _shard(parts, cadence_s, time[order], whole)
    return Stitched(shard, tuple(sorted(used)), stitched_settings(shard.time, settings))


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


def _columns(part: Part) -> dict:
    """Columns of one part in barycentric time."""
    own = np.stack([barycentric_time(part.time, correction) for correction in part.time_correction])
    time = own.mean(axis=0)
    cadence_s = part.cadence_s if part.cadence_s > 0 else SECONDS_PER_DAY * float(np.median(np.diff(time)))
    columns = {name: getattr(part, name) for name in _COLUMNS}
    columns |= {"time": to_btjd(time, part.time_format), "cadence_s": cadence_s}
    return columns | {"time_correction": (own - time).astype(np.float32)}


def _about_median(values: np.ndarray, flux: np.ndarray) -> np.ndarray:
    """Values less their median in each row, where the flux is good; (star, cadence) float32."""
    values = np.where(np.isfinite(flux), values, np.float32(np.nan))
    return values - _medians(values)


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


def _shard(parts: Sequence[Part], cadence_s: float, time: np.ndarray, columns: dict[str, np.ndarray]) -> Shard:
    unknown = np.broadcast_to(np.float32(np.nan), columns["flux"].shape)
    missions, authors = ({getattr(part, name) for part in parts} for name in ("mission", "author"))
    return Shard(
        stars=parts[0].stars,
        time=time,
        cadence_no=np.arange(len(time), dtype=np.int32),
        **columns,
        flux_err=unknown,
        background=unknown,
        quality=np.where(np.isfinite(columns["flux"]), 0, -1).astype(np.int32),
        mission=missions.pop() if len(missions) == 1 else "",
        cadence_s=cadence_s,
        time_format="btjd",
        author=authors.pop() if len(authors) == 1 else "",
    )

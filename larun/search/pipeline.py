"""From the light curves of a shard to the events of every star."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from larun.config import SearchSettings
from larun.finite import finite_counts
from larun.lightcurve import Shard
from larun.schema import empty_events
from larun.search.cotrend import groups_of
from larun.search.events import Flux, best_events, further_events
from larun.search.flatten import flatten
from larun.search.grid import make_grid
from larun.search.pointing import dump_rows
from larun.search.prepare import relative_flux
from larun.search.restore import restore_transits
from larun.units import SECONDS_PER_DAY

NOT_SEARCHED = ("flux_err", "background")
"""Arrays of a shard that search, vetting and network do not look at."""


@dataclass(frozen=True)
class Searched:
    """What the search of a shard found.

    Parameters
    ----------
    events : (star,) structured
        Best event of each star, of `larun.schema.event_dtype`; unknown values NaN, no flags set.
    relative : (star, cadence) float32
        Flux over its median, NaN where masked.
    detrended : (star, cadence) float32
        Flux over its trend, around 1, NaN where masked or clipped.
    searched : (star,) bool
        Whether there is an event.
    reason : (star,) tuple of str
        Why there is none; empty where there is.
    further : (further,) structured
        Events beside the best ones, their `event` from 2 on, by star; single transits have a `period_d` of NaN.
    further_star : (further,) int64
        Whose they are.
    """

    events: np.ndarray
    relative: np.ndarray
    detrended: np.ndarray
    searched: np.ndarray
    reason: tuple[str, ...]
    further: np.ndarray
    further_star: np.ndarray


def search_shard(shard: Shard, settings: SearchSettings) -> Searched:
    """Search all stars of a shard for transit-like events.

    Parameters
    ----------
    shard : Shard
        Light curves on one cadence grid.
    settings : SearchSettings
        Detrending, trial boxes, refinement.

    Returns
    -------
    Searched
        A star that cannot be searched is not an error; it has a reason. With `settings.cotrend` a star's
        result depends on the others of the shard that are on its CCD, from `larun.search.cotrend.FEWEST_STARS` on,
        and on their order; without it, and for a star that is searched alone, on none, but for rounding of the box
        statistic (1e-6).
    """
    relative, obstacles, negative = relative_flux(shard, settings)
    events = empty_events(len(shard))
    events["n_good"] = finite_counts(relative)
    reasons = list(obstacles)
    cadence_d = _cadence_d(shard)
    grid = make_grid(shard.time, cadence_d, settings)
    rows = np.flatnonzero([not reason for reason in reasons])
    if grid is None:
        for row in rows:
            reasons[row] = "the time series is too short for two transits at the shortest trial period"
        rows = rows[:0]
    further, further_star = empty_events(0), np.empty(0, np.int64)
    flux = np.empty((0, len(shard.time)), np.float32)
    if len(rows):
        known = relative if len(rows) == len(shard) else relative[rows]
        flat = flatten(known, shard.time, cadence_d, settings, groups_of(shard.stars)[rows])
        every = np.arange(len(rows))
        stars = Flux(shard.take(rows), flat.flux, flat.sigma, cadence_d, dump_rows(shard), flat, every)
        first = restore_transits(stars, best_events(stars, grid, settings), settings)
        flux = stars.flux
        for row, best in zip(rows, first, strict=True):
            reasons[row] = best.reason
            if best.event is not None:
                events[row] = best.event
        further, further_star = _numbered(further_events(stars, first, grid, settings), rows)
        seen = np.flatnonzero([not reasons[row] for row in rows])
        for name, values in flat.variability.items():
            events[name][rows[seen]] = values[seen]
            further[name] = values[np.searchsorted(rows, further_star)]
    events["n_negative"], further["n_negative"] = negative, negative[further_star]
    searched = np.array([not reason for reason in reasons], bool)
    detrended = _of_all(flux, rows, len(shard))
    return Searched(events, relative, detrended, searched, tuple(reasons), further, further_star)


def _of_all(flux: np.ndarray, rows: np.ndarray, n: int) -> np.ndarray:
    """Flux of some of `n` stars, and NaN for the others; (n, cadence) float32."""
    if len(rows) == n:
        return flux
    of_all = np.full((n, flux.shape[1]), np.nan, np.float32)
    of_all[rows] = flux
    return of_all


def _numbered(found: list[tuple[int, np.void]], rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Further events with their numbers, and their rows in the shard."""
    events = empty_events(len(found))
    star = np.array([rows[i] for i, _ in found], np.int64)
    for k, (_, event) in enumerate(found):
        events[k] = event
        events["event"][k] = events["event"][k - 1] + 1 if k and star[k] == star[k - 1] else 2
    return events, star


def _cadence_d(shard: Shard) -> float:
    """Time between cadences, days: what the product says, or the median step."""
    if shard.cadence_s > 0:
        return shard.cadence_s / SECONDS_PER_DAY
    return float(np.median(np.diff(shard.time))) if len(shard.time) > 1 else 0.0

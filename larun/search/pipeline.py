"""From the light curves of a shard to the best event of every star."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from larun.config import SearchSettings
from larun.lightcurve import Shard
from larun.schema import empty_events
from larun.search.box import best_box, bin_series, spectra
from larun.search.cotrend import groups_of
from larun.search.flatten import Flat, flatten
from larun.search.grid import Grid, make_grid
from larun.search.measure import measure
from larun.search.peaks import efficiencies, top_peaks
from larun.search.pointing import dump_rows, measure_pointing
from larun.search.prepare import MIN_GOOD_CADENCES, relative_flux
from larun.search.refine import Box, refine, series
from larun.units import SECONDS_PER_DAY


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
    """

    events: np.ndarray
    relative: np.ndarray
    detrended: np.ndarray
    searched: np.ndarray
    reason: tuple[str, ...]


def search_shard(shard: Shard, settings: SearchSettings) -> Searched:
    """Search all stars of a shard for their best transit-like event.

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
        and on their order; without it, and for a star that is searched alone, on none.
    """
    relative, obstacles = relative_flux(shard, settings)
    events = empty_events(len(shard))
    events["n_good"] = np.isfinite(relative).sum(axis=1)
    reasons = list(obstacles)
    cadence_d = _cadence_d(shard)
    grid = make_grid(shard.time, cadence_d, settings)
    detrended = np.full(relative.shape, np.nan, np.float32)
    rows = np.flatnonzero([not reason for reason in reasons])
    if grid is None:
        for row in rows:
            reasons[row] = "the time series is too short for two transits at the shortest trial period"
        rows = rows[:0]
    if len(rows):
        flat = flatten(relative[rows], shard.time, cadence_d, settings, groups_of(shard.stars)[rows])
        detrended[rows] = flat.flux
        for i, (event, reason) in enumerate(_events(shard, rows, flat, grid, settings)):
            reasons[rows[i]] = reason
            if not reason:
                events[rows[i]] = event
                for name, values in flat.variability.items():
                    events[name][rows[i]] = values[i]
    searched = np.array([not reason for reason in reasons], bool)
    return Searched(events, relative, detrended, searched, tuple(reasons))


def _cadence_d(shard: Shard) -> float:
    """Time between cadences, days: what the product says, or the median step."""
    if shard.cadence_s > 0:
        return shard.cadence_s / SECONDS_PER_DAY
    return float(np.median(np.diff(shard.time))) if len(shard.time) > 1 else 0.0


def _events(shard: Shard, rows: np.ndarray, flat: Flat, grid: Grid, settings: SearchSettings):
    """Yield the best event, or the reason for none, of each star that can be searched."""
    time, mean, weight = bin_series(flat.flux, shard.time, grid.bin_d)
    cadence_d = _cadence_d(shard)
    spectrum = spectra(time, mean, weight, flat.sigma, grid)
    efficiency = efficiencies(spectrum)
    dumps = dump_rows(shard)
    for i, row in enumerate(rows):
        barycentric = shard.barycentric_time(row)
        data = series(barycentric, flat.flux[i], flat.sigma[i], cadence_d)
        if data is None or len(data.time) < MIN_GOOD_CADENCES:
            yield None, "nothing is left to search after detrending"
            continue
        own_time = time + np.interp(time, shard.time, barycentric - shard.time)
        found = top_peaks(efficiency[i], grid.frequency, grid.baseline_d, settings.top_peaks)
        starts = _starts(own_time, mean[i], weight[i], efficiency[i], grid, found)
        best = refine(data, starts, settings)
        if best is None:
            yield None, "no dip at any trial period"
        else:
            event = measure(data, best, len(data.time))
            used = np.isfinite(flat.flux[i])
            measure_pointing(event, barycentric, dumps, used, shard.centroid_col[row], shard.centroid_row[row])
            yield event, ""


def _starts(time, mean, weight, efficiency, grid: Grid, found: np.ndarray) -> list[Box]:
    """Epoch and duration at the peaks of one star."""
    level = np.sum(mean * weight, dtype=np.float64) / weight.sum(dtype=np.float64)
    values = ((mean - level) * weight).astype(np.float32)
    boxes = []
    for peak in found:
        period = 1.0 / grid.frequency[peak]
        t0, duration = best_box(time - time[0], values, weight, period, grid.n_bins[peak], grid.width[peak])
        if np.isfinite(t0):
            boxes.append(Box(period, time[0] + t0, duration, 0.0, float(efficiency[peak])))
    return boxes

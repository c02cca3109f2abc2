"""Events of stars whose flux is flat: the best one of each, and what is left when its transits are masked."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
from numba import njit

from larun.config import SearchSettings
from larun.lightcurve import Shard
from larun.search.best_box import best_boxes
from larun.search.binning import bin_series, even_out
from larun.search.box import spectra
from larun.search.flatten import Flat, flatten_around
from larun.search.grid import Grid
from larun.search.measure import measure
from larun.search.peaks import efficiencies, top_peaks
from larun.search.pointing import measure_pointing
from larun.search.prepare import MIN_GOOD_CADENCES
from larun.search.refine import Box, Series, refine, series
from larun.search.single import dip_to_hide, jumps, single_transit
from larun.units import HOURS_PER_DAY, from_mid_transit_d

STRONG_SNR = 7.1
"""Signal-to-noise of an event that is masked, and of every further event (Jenkins et al. 2002, ApJ 575, 493)."""

MASKED_DETECTION = 0.63
"""Detection score of an event that is masked, so that its star is searched again."""

FURTHER_DETECTION = 0.7
"""Detection score of a further event."""

DOMINATES_SNR = 15.0
"""An event so strong may hide all peaks of another."""

PROMISING, PROMISING_SDE = 0.64, 4.5
"""Detection score, and SDE in the last spectrum, of a peak beside a weaker event for another search to be made."""

MASK_MARGIN = 0.25
"""Transits are masked with so many durations more on either side."""

SAME_PERIOD = 0.01
"""Events of one star whose periods agree to this are one object: a binary and its secondary, or what a mask left."""


@dataclass(frozen=True)
class Flux:
    """Stars of a shard that can be searched.

    Parameters
    ----------
    shard : Shard
        For the times and centroids.
    flux : (star, cadence) float32
        Around 1, NaN where masked.
    sigma : (star,) float64
        Robust scatter per cadence.
    cadence_d : float
        Days.
    dumps : (dump cadence,) int64
        From `larun.search.pointing.dump_rows`.
    flat : Flat
        Where they come from.
    rows : (star,) int64
        Their rows in `shard` and `flat`, which have the same.
    """

    shard: Shard
    flux: np.ndarray
    sigma: np.ndarray
    cadence_d: float
    dumps: np.ndarray
    flat: Flat
    rows: np.ndarray

    def series(self, star: int, time: np.ndarray) -> Series | None:
        """Good cadences of one star, given its barycentric time; None where too few are left."""
        return self.gathered(time, self.flux[star], self.sigma[star])

    def gathered(self, time: np.ndarray, flux: np.ndarray, sigma: float) -> Series | None:
        """The same of any flux."""
        data = series(time, flux, sigma, self.cadence_d)
        return None if data is None or len(data.time) < MIN_GOOD_CADENCES else data

    def take(self, rows: list[int]) -> Flux:
        """The given stars."""
        return replace(self, flux=self.flux[rows], sigma=self.sigma[rows], rows=self.rows[rows])

    def time(self, star: int) -> np.ndarray:
        """Barycentric time of one star, (cadence,) float64."""
        return self.shard.barycentric_time(int(self.rows[star]))

    def around(
        self, stars: list[int], hidden: np.ndarray, longest_d: list[float], settings: SearchSettings
    ) -> tuple[np.ndarray, np.ndarray]:
        """Flux and scatter of some stars, flattened with cadences hidden; see `larun.search.flatten.flatten_around`."""
        rows = self.rows[stars]
        return flatten_around(self.flat, rows, hidden, self.shard.time, self.cadence_d, np.array(longest_d), settings)

    def single(self, star: int, time: np.ndarray, data: Series, settings: SearchSettings) -> np.void | None:
        """Strongest single transit of one star."""
        dip = dip_to_hide(data, settings)
        if dip is None:
            return None
        hidden = np.abs(time - dip[0]) < dip[1]
        # Transits of other events; what was clipped may have been a shoulder that the trend made.
        masked = np.isnan(self.flux[star]) & np.isfinite(self.flat.flux[self.rows[star]])
        (flux,), (sigma,) = self.around([star], (hidden | masked)[None], [2 * dip[1]], settings)
        flux[masked] = np.nan
        data = series(time, flux, sigma, self.cadence_d)
        event = None if data is None else single_transit(data, settings)
        # The trend has followed a jump, and may have left a dip where it was hidden.
        if event is not None and jumps(time, self.flat.calm[self.rows[star]], event):
            return None
        if event is not None:
            self.point(star, time, event)
        return event

    def point(self, star: int, time: np.ndarray, event: np.void) -> None:
        """Fill in what `larun.search.pointing` knows of an event."""
        row = self.rows[star]
        centroid = self.shard.centroid_col[row], self.shard.centroid_row[row]
        measure_pointing(event, time, self.dumps, np.isfinite(self.flux[star]), *centroid)


@dataclass(frozen=True)
class Best:
    """Best periodic event of one star.

    Parameters
    ----------
    event : record or None
        Of `larun.schema.event_dtype`.
    reason : str
        Why there is none; empty where there is.
    starts : tuple of Box
        Peaks of the spectrum, as they were before they were refined.
    single : record or None
        Strongest single transit; looked for where the event is not strong enough to be masked first.
    """

    event: np.void | None
    reason: str = ""
    starts: tuple[Box, ...] = ()
    single: np.void | None = None

    def strong(self, detection: float) -> bool:
        """Whether there is an event of such a detection score that is strong enough to be masked."""
        event = self.event
        return event is not None and bool(event["snr"] >= STRONG_SNR and event["detection"] >= detection)


def best_events(stars: Flux, grid: Grid, settings: SearchSettings) -> Iterator[Best]:
    """Yield the best periodic event of each star, measured but for what `Flux.point` fills in."""
    at_spacecraft = stars.shard.time
    time, mean, weight = bin_series(stars.flux, at_spacecraft, grid.bin_d)
    mean, weight = even_out(mean, weight)
    efficiency = efficiencies(spectra(time, mean, weight, stars.sigma, grid))
    places = _places(time, at_spacecraft)
    for star in range(len(stars.flux)):
        own = stars.time(star)
        data = stars.series(star, own)
        if data is None:
            yield Best(None, "nothing is left to search after detrending")
            continue
        own_time = _at_bins(time, *places, at_spacecraft, own)
        found = top_peaks(efficiency[star], grid.frequency, grid.baseline_d, settings.top_peaks)
        starts = _starts(own_time, mean[star], weight[star], efficiency[star], grid, found)
        box = refine(data, starts, settings)
        if box is None:
            yield Best(None, "no dip at any trial period")
            continue
        best = Best(measure(data, box, len(data.time)), "", tuple(starts))
        yield best if best.strong(MASKED_DETECTION) else replace(best, single=stars.single(star, own, data, settings))


@njit(cache=True, nogil=True)
def _places(bins, time):
    """Cadence before each bin, int64, and how far on the way to the next one the bin lies."""
    before = np.zeros(len(bins), np.int64)
    share = np.zeros(len(bins))
    k = 0
    for b in range(len(bins)):
        while k < len(time) - 2 and time[k + 1] <= bins[b]:
            k += 1
        step = time[k + 1] - time[k]
        before[b] = k
        share[b] = (bins[b] - time[k]) / step if step > 0 else 0.0
    return before, share


@njit(cache=True, nogil=True)
def _at_bins(bins, before, share, time, own):
    """Barycentric times of the bins of one star, given the shard's and its own times of the cadences."""
    found = np.empty(len(bins))
    for b in range(len(bins)):
        k = np.uintp(before[b])
        early = own[k] - time[k]
        late = own[k + np.uintp(1)] - time[k + np.uintp(1)]
        found[b] = bins[b] + early + (late - early) * share[b]
    return found


def _starts(time, mean, weight, efficiency, grid: Grid, found: np.ndarray) -> list[Box]:
    """Epoch and duration at the peaks of one star."""
    period = 1.0 / grid.frequency[found]
    t0, duration = best_boxes(time, mean, weight, period, grid.n_bins[found], grid.width[found])
    known = zip(period.tolist(), t0.tolist(), duration.tolist(), efficiency[found].tolist(), strict=True)
    return [Box(*box, 0.0, sde) for *box, sde in known if np.isfinite(box[1])]


def further_events(stars: Flux, first: list[Best], grid: Grid, settings: SearchSettings) -> list[tuple[int, np.void]]:
    """Events beside the best one of each star.

    A star is searched again with the transits of its last event masked while that event is strong. A weak event is
    masked too, and the whole search is only made again if one of the other peaks is still worth it then.

    Parameters
    ----------
    stars : Flux
        Not changed.
    first : (star,) list of Best
        From `best_events`.
    grid : Grid
        Trial boxes.
    settings : SearchSettings
        `max_events` is used.

    Returns
    -------
    list of (int, record)
        Star and event: of every star first its periodic events, the stronger first, then a single transit.
    """
    found: dict[int, list[np.void]] = {}
    left = replace(stars, flux=stars.flux.copy())
    last = {star: best for star, best in enumerate(first) if best.strong(MASKED_DETECTION)}
    single = {star: best.single for star, best in enumerate(first) if star not in last}
    for number in range(1, settings.max_events + 1):
        again = []
        for star, best in last.items():
            time = stars.time(star)
            mask_transits(left.flux[star], time, best.event)
            data = left.series(star, time)
            if number < settings.max_events and data is not None and _promising(data, best, settings):
                again.append(star)
            elif data is not None:
                single[star] = left.single(star, time, data, settings)
        last = {}
        for star, best in zip(again, best_events(left.take(again), grid, settings), strict=True) if again else ():
            if not best.strong(FURTHER_DETECTION):
                single[star] = best.single
                continue
            last[star] = best
            known = [first[star].event, *found.get(star, [])]
            if not any(_same_object(best.event, other) for other in known):
                left.point(star, left.time(star), best.event)
                found.setdefault(star, []).append(best.event)
    for star, event in single.items():
        if event is not None:
            found.setdefault(star, []).append(event)
    return [(star, event) for star in sorted(found) for event in found[star]]


def _same_object(event: np.void, other: np.void) -> bool:
    """Whether an event is what is left of another whose transits were masked.

    A secondary half a period after the masked primary also fits half the period, every second transit masked.
    """
    ratio = event["period_d"] / other["period_d"]
    if abs(ratio - 1) < SAME_PERIOD:
        return True
    apart_d = abs(from_mid_transit_d(other["t0_btjd"], event["period_d"], event["t0_btjd"]))
    return bool(abs(2 * ratio - 1) < SAME_PERIOD and apart_d < event["duration_h"] / HOURS_PER_DAY)


def _promising(data: Series, best: Best, settings: SearchSettings) -> bool:
    """Whether another search may find more, in a star whose last event is masked."""
    if best.event["snr"] >= DOMINATES_SNR:
        return True
    period = best.event["period_d"]
    rivals = [box for box in best.starts if box.sde >= PROMISING_SDE and abs(box.period / period - 1) > SAME_PERIOD]
    box = refine(data, rivals, settings) if rivals else None
    return box is not None and box.score >= PROMISING


def mask_transits(flux: np.ndarray, time: np.ndarray, event: np.void) -> None:
    """Set all transits of an event to NaN, in place; see `in_transits`."""
    flux[in_transits(time, event)] = np.nan


def in_transits(time: np.ndarray, event: np.void) -> np.ndarray:
    """Cadences in the transits of an event, (cadence,) bool, with `MASK_MARGIN` on either side.

    Parameters
    ----------
    time : (cadence,) float64
        Barycentric time of the star, days, increasing.
    event : record
        Of `larun.schema.event_dtype`; of a single transit there is one.
    """
    half = (0.5 + MASK_MARGIN) * float(event["duration_h"]) / HOURS_PER_DAY
    period = float(event["period_d"])
    return _in_transits(time, period if np.isfinite(period) else np.inf, float(event["t0_btjd"]), half)


@njit(cache=True, nogil=True)
def _in_transits(time, period, t0, half):
    inside = np.zeros(len(time), np.bool_)
    first = last = 0
    if period < np.inf and len(time):
        first, last = int(np.floor((time[0] - t0) / period)), int(np.ceil((time[-1] - t0) / period))
    for k in range(first, last + 1):
        middle = t0 + k * period if k else t0
        low = np.searchsorted(time, middle - half, side="right")
        inside[low : max(np.searchsorted(time, middle + half), low)] = True
    return inside

"""The best event of one star, measured at full cadence in its own barycentric time."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from larun.config import SearchSettings
from larun.search.transits import (
    box_power,
    climb,
    cumulative,
    lookup_table,
    transit_noise,
    transit_sums,
)
from larun.units import HOURS_PER_DAY

HARMONIC_RATIOS = (1 / 3, 0.5, 2 / 3, 1.5, 2.0, 3.0)
"""Periods that are tried beside the best one."""

COARSE, MIDDLE, FINE = (0, 3), (1, 3), (3, 6)
"""Rounds of the local search (see `climb`) for peaks, for their harmonics, and for the event itself."""

HARMONIC_GAIN = 1.05
"""A harmonic takes over if its gain in chi-square is so much larger."""

WORTH_REFINING = 0.8
"""Harmonics with a smaller share of the gain are not refined."""

ODD_EVEN_SPLIT = 4.0
"""Odd and even transits that differ by so many sigma double the period."""

MIN_TRANSITS = 2
"""Peaks with fewer well observed transits only win where no other is left."""

SINGLE_EVENT = 0.9
"""A transit with a larger share of the dimming counts as a single one."""

DURATION_MARGIN = 0.2
"""Refined durations may lie outside the trial durations by this share."""


@dataclass(frozen=True)
class Series:
    """Good cadences of one star.

    Parameters
    ----------
    time : (cadence,) float64
        Barycentric, days, increasing.
    flux : (cadence,) float64
        Zero mean, in units of `sigma`.
    sigma : float
        Robust scatter per cadence of the detrended flux.
    cadence_d : float
        Time between cadences, days.
    table : (cell,) int32
        See `larun.search.transits.lookup_table`.
    sums : (cadence + 1,) float64
        See `larun.search.transits.cumulative`.
    """

    time: np.ndarray
    flux: np.ndarray
    sigma: float
    cadence_d: float
    table: np.ndarray
    sums: np.ndarray


@dataclass(frozen=True)
class Depths:
    """Depths of the transits of one box; depth and errors in units of `Series.sigma`.

    Parameters
    ----------
    number, count : (transit,) int64
        Number of each transit counted from `Box.t0`, and its cadences.
    depth, error, noise : float
        Mean depth, its error, and the noise of the mean over one fully observed transit.
    n_transits : int
        Transits with at least half of their cadences.
    odd_even : float
        Difference between odd and even transits over its error; NaN without transits of both kinds.
    largest_share : float
        Share of the dimming that the strongest transit carries.
    """

    number: np.ndarray
    count: np.ndarray
    depth: float
    error: float
    noise: float
    n_transits: int
    odd_even: float
    largest_share: float


@dataclass(frozen=True)
class Box:
    """Periodic box, days; `t0` is any mid-time, `power` the gain in chi-square at white noise."""

    period: float
    t0: float
    duration: float
    power: float
    sde: float
    depths: Depths | None = None

    @property
    def snr(self) -> float:
        """Depth over its error, red noise included."""
        return self.depths.depth / self.depths.error


def series(time: np.ndarray, detrended: np.ndarray, sigma: float, cadence_d: float) -> Series | None:
    """Good cadences of one star; None where their scatter is not positive.

    Parameters
    ----------
    time : (cadence,) float64
        Barycentric, days, increasing.
    detrended : (cadence,) float32
        Around 1, NaN where masked.
    sigma : float
        Robust scatter of `detrended`.
    cadence_d : float
        Days.
    """
    good = np.isfinite(detrended)
    t, y = time[good], detrended[good].astype(np.float64)
    if len(t) < 2 or not sigma > 0 or not t[-1] > t[0]:
        return None
    flux = (y - y.mean()) / sigma
    cell = max(cadence_d, (t[-1] - t[0]) / 1e7)
    return Series(t, flux, sigma, cell, lookup_table(t, cell), cumulative(flux))


def depths(data: Series, period: float, t0: float, duration: float) -> Depths:
    """Measure the transits of one box."""
    number, count, total = transit_sums(data.time, data.table, data.cadence_d, data.sums, period, t0, duration)
    full = max(duration / data.cadence_d, 1.0)
    noise = transit_noise(data.time, data.table, data.cadence_d, data.sums, period, t0, duration)
    n = int(count.sum())
    outside = -total.sum() / max(len(data.time) - n, 1)
    depth = outside - total.sum() / max(n, 1)
    error = noise / np.sqrt(max(n, 1) / full)
    dimming = -float(total.sum())
    return Depths(
        number=number,
        count=count,
        depth=depth,
        error=error,
        noise=noise,
        n_transits=int((count >= 0.5 * full).sum()),
        odd_even=_odd_even(number, count, total, noise, full),
        largest_share=min(-float(total.min()) / dimming, 1.0) if dimming > 0 else 1.0,
    )


def _odd_even(number, count, total, noise: float, full: float) -> float:
    """Difference of odd and even depths over its error.

    The error is the larger of the noise and of the scatter that transits of one kind show among themselves:
    with few cadences per transit the sampling of ingress and egress, not the noise, decides the depths.
    """
    means, errors = [], []
    for odd in (0, 1):
        own = (number % 2 == odd) & (count > 0)
        n = count[own]
        if not len(n):
            return np.nan
        mean = total[own].sum() / n.sum()
        spread = 0.0
        if len(n) > 1:
            spread = np.sqrt(np.sum(n * (total[own] / n - mean) ** 2) / n.sum() / (len(n) - 1))
        means.append(mean)
        errors.append(max(noise * np.sqrt(full / n.sum()), spread))
    return float(abs(means[0] - means[1]) / np.hypot(*errors))


def refine(data: Series, starts: list[Box], settings: SearchSettings) -> Box | None:
    """Best event among the peaks of the box search and their harmonics.

    Parameters
    ----------
    data : Series
        One star.
    starts : list of Box
        Peaks, with their `sde`.
    settings : SearchSettings
        Limits of period and duration.

    Returns
    -------
    Box or None
        None where no peak dims.
    """
    boxes = [_climbed(data, start, settings, COARSE) for start in starts]
    boxes = [box for box in boxes if box is not None]
    if not boxes:
        return None
    best = _true_period(data, max(boxes, key=_merit), settings)
    return _climbed(data, best, settings, FINE) or best


def _merit(box: Box) -> tuple[bool, float]:
    """Order of rival boxes: several transits before a single one, then signal-to-noise."""
    several = box.depths.n_transits >= MIN_TRANSITS and box.depths.largest_share < SINGLE_EVENT
    return (several, box.snr)


def _climbed(data: Series, start: Box, settings: SearchSettings, rounds: tuple[int, int]) -> Box | None:
    """Refine one box; None where it does not dim."""
    shortest = max(settings.min_duration_h / HOURS_PER_DAY * (1 - DURATION_MARGIN), data.cadence_d)
    longest = max(settings.max_duration_h / HOURS_PER_DAY * (1 + DURATION_MARGIN), shortest)
    period, t0, duration, power = climb(
        data.time, data.table, data.cadence_d, data.sums, start.period, start.t0, start.duration,
        shortest, longest, settings.max_duty_cycle, *rounds,
    )  # fmt: skip
    if not power > 0:
        return None
    return Box(period, t0, duration, power, start.sde, depths(data, period, t0, duration))


def _true_period(data: Series, best: Box, settings: SearchSettings) -> Box:
    """Replace a harmonic by the period it belongs to.

    A period that gathers all transits gains most: with twice the true period half of the transits are lost,
    with half of it every other box is empty. Transits that alternate in depth belong to a binary of twice the
    period.
    """
    for _ in range(2):
        rivals = [_climbed(data, start, settings, MIDDLE) for start in _harmonics(data, best, settings)]
        rivals = [box for box in rivals if box and box.power > HARMONIC_GAIN * best.power and _merit(box)[0]]
        if not rivals:
            break
        best = max(rivals, key=lambda box: box.power)
    if best.depths.odd_even > ODD_EVEN_SPLIT and 2 * best.period <= _longest(data, settings):
        # Of the two kinds the deeper transits are the primaries.
        starts = [Box(2 * best.period, best.t0 + k * best.period, best.duration, 0.0, best.sde) for k in (0, 1)]
        doubled = [_climbed(data, start, settings, MIDDLE) for start in starts]
        doubled = [box for box in doubled if box and box.depths.n_transits >= MIN_TRANSITS]
        best = max(doubled, key=lambda box: box.depths.depth, default=best)
    return best


def _longest(data: Series, settings: SearchSettings) -> float:
    """Longest period that is asked for and leaves room for two transits, days."""
    return min((data.time[-1] - data.time[0]) / 2 * 1.02, settings.max_period_d)


def _harmonics(data: Series, best: Box, settings: SearchSettings) -> list[Box]:
    """Boxes at simple ratios of a period, at every epoch that can belong to it, that are worth refining."""
    boxes = []
    for ratio in HARMONIC_RATIOS:
        period = best.period * ratio
        if not settings.min_period_d <= period <= _longest(data, settings):
            continue
        duration = min(best.duration, settings.max_duty_cycle * period)
        for k in range(int(np.ceil(ratio))):
            t0 = best.t0 + k * best.period
            power = box_power(data.time, data.table, data.cadence_d, data.sums, period, t0, duration)
            if power > WORTH_REFINING * best.power:
                boxes.append(Box(period, t0, duration, power, best.sde))
    return boxes

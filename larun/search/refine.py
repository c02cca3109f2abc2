"""The best event of one star, from the peaks of its spectrum, at full cadence in its own barycentric time."""

from __future__ import annotations

from functools import lru_cache
from typing import NamedTuple

import numpy as np
from numba import njit

from larun.config import SearchSettings
from larun.finite import end_of_run, start_of_run
from larun.lanes import LANES, broadcast, count_less, load, magnitude, total, where_less
from larun.search import cells
from larun.search.rating import BOX, rate
from larun.search.transits import lookup_table
from larun.units import HOURS_PER_DAY, transit_duration_h

HARMONIC_RATIOS = np.array([1 / 5, 1 / 4, 1 / 3, 1 / 2, 2 / 3, 3 / 2, 2.0, 3.0])
"""Periods that are tried beside the best one."""

COARSE, MIDDLE, FINE = (0.2, 0.05), (0.1, 0.05), (0.05, 0.01)
"""First and last steps, in durations, of the local search for peaks, for their harmonics, and for the event itself."""

HARMONIC_GAIN = 1.05
"""A harmonic takes over if its gain in chi-square is so much larger."""

WORTH_REFINING = 0.8
"""Harmonics with a smaller share of the gain are not refined."""

ODD_EVEN_SPLIT = 4.0
"""Odd and even transits that differ by so many sigma double the period."""

DURATION_MARGIN = 0.2
"""Refined durations may lie outside the trial durations by this share."""


class Series(NamedTuple):
    """Good cadences of one star.

    Parameters
    ----------
    time : (cadence,) float64
        Barycentric, days, increasing.
    flux : (cadence,) float64
        Zero mean, in units of `sigma`.
    sums : (cadence + 1,) float64
        All flux before each cadence.
    table : (cell,) int64
        See `larun.search.transits.lookup_table`.
    exposures : (cell + 1, 2) float64
        See `larun.search.cells.lay_out`.
    sigma : float
        Robust scatter per cadence of the detrended flux.
    cadence_d : float
        Time between cadences, days.
    per_cell : int
        Cadences of a full cell.
    cell_d : float
        Length of a cell, days.
    """

    time: np.ndarray
    flux: np.ndarray
    sums: np.ndarray
    table: np.ndarray
    exposures: np.ndarray
    sigma: float
    cadence_d: float
    per_cell: int
    cell_d: float

    def in_days(self, cell):
        """Time, days, of a number of cells since the start of the first exposure."""
        return (cell - 0.5 / self.per_cell) * self.cell_d + self.time[0]


class Depths(NamedTuple):
    """Depths of the transits of one box; depth and errors in units of `Series.sigma`.

    Parameters
    ----------
    number : (transit,) int64
        Number of each transit counted from `Box.t0`.
    count : (transit,) float64
        Its exposures; those that the box covers in part count in part.
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


class Box(NamedTuple):
    """Periodic box, days; `t0` is any mid-time, `power` the gain in chi-square at white noise."""

    period: float
    t0: float
    duration: float
    power: float
    sde: float
    score: float = np.nan
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
    if not sigma > 0:
        return None
    t, flux, sums = _good(time, detrended, sigma)
    if len(t) < 2 or not t[-1] > t[0]:
        return None
    cadence_d = max(cadence_d, float(t[-1] - t[0]) / cells.MOST_CELLS)
    per_cell = cells.exposures_per_cell(cadence_d)
    cell_d = cadence_d * per_cell
    exposures = cells.lay_out(t, sums, cell_d, per_cell)
    return Series(t, flux, sums, lookup_table(t, cadence_d), exposures, float(sigma), cadence_d, per_cell, cell_d)


@njit(cache=True, nogil=True)
def _good(time, detrended, sigma):
    """Times of the finite cadences, their flux about its mean in units of `sigma`, and the sums of it before each."""
    level, n = _mean(detrended)
    inverse = 1.0 / sigma
    good, flux = np.empty(n), np.empty(n)
    taken = 0
    first = start_of_run(detrended, 0)
    while first < len(detrended):
        last = end_of_run(detrended, first)
        _scaled(time[first:last], detrended[first:last], level, inverse, good[taken:], flux[taken:])
        taken += last - first
        first = start_of_run(detrended, last)
    return good, flux, cells.sums_before(flux)


@njit(cache=True, nogil=True)
def _mean(values):
    """Mean of the finite ones, which are around 1, and their number."""
    one, zero, infinite = broadcast(np.float32(1)), broadcast(np.float32(0)), broadcast(np.float32(np.inf))
    excess, n = zero, 0
    whole = len(values) - len(values) % LANES
    for i in range(0, whole, LANES):
        own = load(values, i) - one
        excess = excess + where_less(magnitude(own), infinite, own, zero)
        n += count_less(magnitude(own), infinite)
    summed = np.float64(total(excess))
    for i in range(whole, len(values)):
        if np.isfinite(values[i]):
            summed += values[i] - np.float32(1)
            n += 1
    return 1.0 + summed / max(n, 1), n


@njit(cache=True, nogil=True)
def _scaled(time, values, level, inverse, good, flux):
    for i in range(len(time)):
        good[i] = time[i]
        flux[i] = (values[i] - level) * inverse


def depths(data: Series, period: float, t0: float, duration: float) -> Depths:
    """Measure the transits of one box, days."""
    box = np.array([[period, t0, duration, 0.0, 0.0]])
    return _box(_rated(data, box, _usual_duration(data.cell_d))).depths


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
    if not starts:
        return None
    found = _refined(data, np.array([start[:5] for start in starts]), _limits(data, settings))
    return _box(found) if found[0] else None


class Limits(NamedTuple):
    """What is asked for, in cells; `duty` is the longest duration over the period, `usual_duration` see `rate`."""

    shortest: float
    longest: float
    duty: float
    least_period: float
    most_period: float
    usual_duration: float


def _limits(data: Series, settings: SearchSettings) -> Limits:
    cell_d = data.cell_d
    shortest = max(settings.min_duration_h / HOURS_PER_DAY * (1 - DURATION_MARGIN) / cell_d, 1.0)
    longest = settings.max_duration_h / HOURS_PER_DAY * (1 + DURATION_MARGIN) / cell_d
    # Room for two transits.
    most_d = min(float(data.time[-1] - data.time[0]) / 2 * 1.02, settings.max_period_d)
    return Limits(
        shortest, max(longest, shortest), settings.max_duty_cycle,
        settings.min_period_d / cell_d, most_d / cell_d, _usual_duration(cell_d),
    )  # fmt: skip


@lru_cache(maxsize=16)
def _usual_duration(cell_d: float) -> float:
    """Duration of the central transit of a Sun-like star at a period of one cell, cells."""
    return float(transit_duration_h(cell_d)) / HOURS_PER_DAY / cell_d


def _box(found: tuple) -> Box:
    """Box of what `_in_days` returns."""
    _, box, depths, n_transits, number, count = found
    return Box(*box, Depths(number, count, *depths[:3], n_transits, *depths[3:]))


@njit(cache=True, nogil=True)
def _in_days(data, dims, boxes):
    """Whether the first of `boxes`, in cells, dims, and what makes it a `Box`: floats, those of its `Depths`, the rest.

    A record does not keep the memory of its array, which numba gives back after the last use of the array itself.
    """
    box = boxes[0]
    number, count, _ = cells.transits(data.exposures, box.period, box.middle, box.duration)
    unit = np.sqrt(data.per_cell)
    t0 = (box.middle - 0.5 / data.per_cell) * data.cell_d + data.time[0]
    known = box.period * data.cell_d, t0, box.duration * data.cell_d, box.power, box.sde, box.score
    depths = box.depth / unit, box.error / unit, box.noise / unit, box.odd_even, box.largest_share
    return dims, known, depths, int(box.n_transits), number, count * data.per_cell


@njit(cache=True, nogil=True)
def _in_cells(data, starts):
    """Records of `BOX` of periods, mid-times, durations, powers and detection efficiencies, (box, 5) float64; days."""
    boxes = np.zeros(len(starts), BOX)
    for i in range(len(starts)):
        boxes[i].period = starts[i, 0] / data.cell_d
        boxes[i].middle = (starts[i, 1] - data.time[0]) / data.cell_d + 0.5 / data.per_cell
        boxes[i].duration = starts[i, 2] / data.cell_d
        boxes[i].power, boxes[i].sde = starts[i, 3], starts[i, 4]
    return boxes


@njit(cache=True, nogil=True)
def _rated(data, starts, usual_duration):
    """One box in days, rated as it is; see `_in_days`."""
    boxes = _in_cells(data, starts)
    rate(data.exposures, boxes[0], usual_duration)
    return _in_days(data, True, boxes)


@njit(cache=True, nogil=True)
def _refined(data, starts, limits):
    """See `refine` and `_in_days`."""
    boxes = _in_cells(data, starts)
    held = np.zeros(3, BOX)
    held[BEST] = boxes[0]
    dims = _refine(data.exposures, boxes, limits, held)
    return _in_days(data, dims, held[BEST : BEST + 1])


BEST, START, RIVAL = 0, 1, 2
"""Places of the records that `_refine` works with."""


@njit(cache=True, nogil=True)
def _refine(sums, boxes, limits, held):
    """Fill the record `BEST`; False where no box dims. See `refine`; all in cells."""
    found = False
    for i in range(len(boxes)):
        if _climbed(sums, boxes[i], limits, COARSE) and (not found or boxes[i].score > held[BEST].score):
            held[BEST] = boxes[i]
            found = True
    if not found:
        return False
    for _ in range(2):
        if not _harmonic(sums, held, limits):
            break
    _double(sums, held, limits)
    held[RIVAL] = held[BEST]
    if _climbed(sums, held[RIVAL], limits, FINE):
        held[BEST] = held[RIVAL]
    return True


@njit(cache=True, nogil=True)
def _climbed(sums, box, limits, steps):
    """Refine and rate one box in place; False where it does not dim."""
    period, middle, duration, power = cells.climb(
        sums, box.period, box.middle, box.duration, limits.shortest, limits.longest, limits.duty, *steps
    )
    box.period, box.middle, box.duration, box.power = period, middle, duration, power
    if not power > 0:
        return False
    rate(sums, box, limits.usual_duration)
    return True


@njit(cache=True, nogil=True)
def _try(sums, held, period, middle, limits):
    """Refine the record `RIVAL` at another ephemeris than that of `START`; False where it does not dim."""
    held[RIVAL] = held[START]
    held[RIVAL].period = period
    held[RIVAL].middle = middle
    return _climbed(sums, held[RIVAL], limits, MIDDLE)


@njit(cache=True, nogil=True)
def _harmonic(sums, held, limits):
    """Replace a harmonic by the period it belongs to; False where it is the right one.

    A period that gathers all transits gains most: with twice the true period half of the transits are lost,
    with half of it every other box is empty.
    """
    held[START] = held[BEST]
    start = held[START]
    taken = False
    for ratio in HARMONIC_RATIOS:
        period = start.period * ratio
        if not limits.least_period <= period <= limits.most_period:
            continue
        duration = min(start.duration, limits.duty * period)
        for k in range(int(np.ceil(ratio))):
            middle = start.middle + k * start.period
            power = cells.box_power(sums, period, middle, duration)
            if power <= WORTH_REFINING * start.power or not _try(sums, held, period, middle, limits):
                continue
            rival = held[RIVAL]
            if rival.power > HARMONIC_GAIN * start.power and rival.power > held[BEST].power and rival.trimmed > 0:
                held[BEST] = rival
                taken = True
    return taken


@njit(cache=True, nogil=True)
def _double(sums, held, limits):
    """Double the period of transits that alternate in depth: a binary, whose deeper eclipses are the primaries."""
    held[START] = held[BEST]
    start = held[START]
    if not start.odd_even > ODD_EVEN_SPLIT or 2 * start.period > limits.most_period:
        return
    deepest = 0.0
    for k in range(2):
        if not _try(sums, held, 2 * start.period, start.middle + k * start.period, limits):
            continue
        rival = held[RIVAL]
        if rival.n_transits >= 2 and rival.depth > deepest:
            deepest = rival.depth
            held[BEST] = rival

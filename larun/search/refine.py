"""The best event of one star, from the peaks of its spectrum, at full cadence in its own barycentric time."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import NamedTuple

import numpy as np
from numba import njit

from larun.config import SearchSettings
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
    sums : (cadence + 1,) float64
        All flux before each cadence.
    exposures : (cell + 1, 2) float64
        See `larun.search.cells.lay_out`.
    per_cell : int
        Cadences of a full cell.
    """

    time: np.ndarray
    flux: np.ndarray
    sigma: float
    cadence_d: float
    sums: np.ndarray
    exposures: np.ndarray
    per_cell: int

    @cached_property
    def table(self) -> np.ndarray:
        """See `larun.search.transits.lookup_table`, (cell,) int64."""
        return lookup_table(self.time, self.cadence_d)

    @property
    def cell_d(self) -> float:
        """Length of a cell, days."""
        return self.cadence_d * self.per_cell

    def in_cells(self, time_d):
        """Time, days, as the number of cells since the start of the first exposure."""
        return (time_d - self.time[0]) / self.cell_d + 0.5 / self.per_cell

    def in_days(self, cell):
        """Inverse of `in_cells`."""
        return (cell - 0.5 / self.per_cell) * self.cell_d + self.time[0]


@dataclass(frozen=True)
class Depths:
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


@dataclass(frozen=True)
class Box:
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
    cadence_d = max(cadence_d, (t[-1] - t[0]) / cells.MOST_CELLS)
    per_cell = cells.exposures_per_cell(cadence_d)
    exposures = cells.lay_out(t, flux, cadence_d * per_cell, per_cell)
    return Series(t, flux, sigma, cadence_d, sums, exposures, per_cell)


@njit(cache=True, nogil=True)
def _good(time, detrended, sigma):
    """Times of the finite cadences, their flux about its mean in units of `sigma`, and the sums of it before each."""
    total, n = _total(detrended)
    level = total / max(n, 1)
    inverse = 1.0 / sigma
    # One more than there may be: what is missing is written over, so that nothing hangs on a branch.
    good = np.empty(len(time) + 1)
    flux = np.empty(len(time) + 1)
    sums = np.empty(len(time) + 2)
    sums[0] = before = 0.0
    n = np.uintp(0)
    for k in range(len(time)):
        used = np.isfinite(detrended[k])
        value = (detrended[k] - level) * inverse
        good[n], flux[n] = time[k], value
        before += value if used else 0.0
        n += np.uintp(used)
        sums[n] = before
    return good[:n], flux[:n], sums[: n + np.uintp(1)]


@njit(cache=True, nogil=True, fastmath={"reassoc"})
def _total(values):
    """Sum and number of the finite ones."""
    total = 0.0
    n = np.int32(0)
    for value in values:
        used = np.isfinite(value)
        total += np.float64(value) if used else 0.0
        n += np.int32(used)
    return total, n


def depths(data: Series, period: float, t0: float, duration: float) -> Depths:
    """Measure the transits of one box, days."""
    boxes = _records([Box(period, t0, duration, 0.0, 0.0)], data)
    rate(data.exposures, boxes[0], _usual_duration(data.cell_d))
    return _box(data, boxes[0]).depths


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
    held = np.zeros(3, BOX)
    if not _refine(data.exposures, _records(starts, data), _limits(data, settings), held):
        return None
    return _box(data, held[BEST])


class Limits(NamedTuple):
    """What is asked for, in cells; `duty` is the longest duration over the period, `usual_duration` see `rate`."""

    shortest: float
    longest: float
    duty: float
    least_period: float
    most_period: float
    usual_duration: float


def _limits(data: Series, settings: SearchSettings) -> Limits:
    shortest = max(settings.min_duration_h / HOURS_PER_DAY * (1 - DURATION_MARGIN) / data.cell_d, 1.0)
    longest = settings.max_duration_h / HOURS_PER_DAY * (1 + DURATION_MARGIN) / data.cell_d
    # Room for two transits.
    most_d = min((data.time[-1] - data.time[0]) / 2 * 1.02, settings.max_period_d)
    return Limits(
        shortest, max(longest, shortest), settings.max_duty_cycle,
        settings.min_period_d / data.cell_d, most_d / data.cell_d, _usual_duration(data.cell_d),
    )  # fmt: skip


@lru_cache(maxsize=16)
def _usual_duration(cell_d: float) -> float:
    """Duration of the central transit of a Sun-like star at a period of one cell, cells."""
    return float(transit_duration_h(cell_d)) / HOURS_PER_DAY / cell_d


def _records(boxes: list[Box], data: Series) -> np.ndarray:
    """Boxes in cells, (box,) of `BOX`."""
    records = np.zeros(len(boxes), BOX)
    records["period"] = [box.period / data.cell_d for box in boxes]
    records["duration"] = [box.duration / data.cell_d for box in boxes]
    records["middle"] = [data.in_cells(box.t0) for box in boxes]
    records["power"] = [box.power for box in boxes]
    records["sde"] = [box.sde for box in boxes]
    return records


def _box(data: Series, record: np.void) -> Box:
    """Box in days."""
    known = dict(zip(BOX.names, record.item(), strict=True))
    number, count, _ = cells.transits(data.exposures, known["period"], known["middle"], known["duration"])
    unit = float(np.sqrt(data.per_cell))
    depths = Depths(
        number, count * data.per_cell, known["depth"] / unit, known["error"] / unit, known["noise"] / unit,
        int(known["n_transits"]), known["odd_even"], known["largest_share"],
    )  # fmt: skip
    return Box(
        known["period"] * data.cell_d, float(data.in_days(known["middle"])), known["duration"] * data.cell_d,
        known["power"], known["sde"], known["score"], depths,
    )  # fmt: skip


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

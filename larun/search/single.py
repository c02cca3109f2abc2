"""Single transits: the strongest isolated dip of a star, whose period is not known.

A planet with a period of more than half the data shows one or two transits, which no period search can fold. Here boxes
of several durations slide over the flat light curve; the strongest dip is an event if it is far above the noise on
its own time scale, if little else in the light curve is as strong, and if the light curve is observed and quiet on
both sides of it. A long transit only is all this once the trend does not know of it: the strongest dip is hidden from
the trend first.
"""

from __future__ import annotations

import numpy as np
from numba import njit

from larun.config import SearchSettings
from larun.schema import empty_events
from larun.search import cells
from larun.search.measure import measure
from larun.search.refine import Box, Series, depths
from larun.selection import level_and_scatter
from larun.units import HOURS_PER_DAY, PPM

DURATIONS = 6
"""Trial durations, evenly spaced in their logarithm."""

LEAST_CELLS = 3
"""A dip of fewer cells of time is an outlier."""

LEAST_SNR, LEAST_LONG_SNR = 9.0, 11.0
"""Signal-to-noise of the dip, red noise included; and of one of more than `LONG_H`, which hiding makes deeper."""

LONG_H = 6.0

LEAST_FLAT = 0.15
"""Flat share of the dip, where it can be told: what is as pointed as a V is an artefact, or a binary."""

UNIQUE = 1.6
"""The dip is so many times stronger than the third strongest and than the strongest brightening. The second may be
another transit."""

LEAST_TO_HIDE, UNIQUE_TO_HIDE = 5.5, 1.25
"""The same of a dip that is hidden from the trend: of a long transit it has left little, and made shoulders."""

COVERED = 0.8
"""Share of the dip that must be observed, and of three quarters of a duration on either side. Bright cadences count
as lost, as they are beside a jump."""

QUIET = 0.4
"""The flux on either side lies within this share of the depth."""

EVEN = 0.4
"""The two halves of a dip are alike up to this share of its depth: after a jump the flux creeps back."""

LARGEST = 0.45
"""Share of the dip that its strongest cell may carry."""

STEPS = 3
"""Trial mid-times per duration."""

CLEAR, SIDE, FEWEST_BESIDE, JUMP = 0.6, 1.5, 6, 0.5
"""See `jumps`: where a side begins and how long it is, in durations, the cadences that it needs, and what counts."""

LONGER = 1.5
"""Transits of unknown, longer periods last up to so many times as long as those that are searched with a period."""

HIDDEN = 0.9
"""So many durations on either side of the middle of a dip are hidden from the trend."""

FAR = 2.5
"""Brightenings within so many durations of a dip that the trend knows of may be its shoulders."""

KNOWN = (
    "t0_btjd", "duration_h", "depth_ppm", "depth_err_ppm", "snr", "n_transits", "shape", "single_event_fraction",
    "gap_fraction", "scatter_ppm", "red_noise_ppm", "n_good",
)  # fmt: skip
"""What can be said of a single transit."""


def dip_to_hide(data: Series, settings: SearchSettings) -> tuple[float, float] | None:
    """Strongest dip of one star, if it may be a single transit.

    Parameters
    ----------
    data : Series
        Without the transits of what is known to repeat.
    settings : SearchSettings
        `min_duration_h` and `max_duration_h` are used.

    Returns
    -------
    (middle, half) : float
        Days, of what is to be hidden from the trend; None where no dip stands out.
    """
    durations = _durations(data, settings)
    middle, duration = strongest_dip(data.exposures, durations, False)
    return (float(data.in_days(middle)), HIDDEN * duration * data.cell_d) if duration > 0 else None


def single_transit(data: Series, settings: SearchSettings) -> np.ndarray | None:
    """Strongest single transit of one star.

    Parameters
    ----------
    data : Series
        Without the transits of what is known to repeat, flattened with the dip of `dip_to_hide` hidden.
    settings : SearchSettings
        `min_duration_h` and `max_duration_h` are used.

    Returns
    -------
    () structured or None
        Of `larun.schema.event_dtype`: `period_d` NaN, one transit, NaN for all that a period is needed for; None where
        no dip stands out.
    """
    durations = _durations(data, settings)
    middle, duration = strongest_dip(data.exposures, durations, True)
    if not duration > 0:
        return None
    # Longer than the data: one transit whatever its place.
    period = 2.0 * (len(data.exposures) - 1)
    _, middle, duration, power = cells.climb(
        data.exposures, period, middle, duration, durations[0], durations[-1], 0.5, 0.1, 0.02
    )
    period_d = 2.0 * (data.time[-1] - data.time[0])
    t0, duration_d = float(data.in_days(middle)), duration * data.cell_d
    box = Box(period_d, t0, duration_d, power, np.nan, np.nan, depths(data, period_d, t0, duration_d))
    whole = measure(data, box, len(data.time))
    too_weak = whole["duration_h"] > LONG_H and not whole["snr"] > LEAST_LONG_SNR
    if too_weak or whole["shape"] < LEAST_FLAT:
        return None
    event = empty_events(1)[0]
    for name in KNOWN:
        event[name] = whole[name]
    return event


def jumps(time: np.ndarray, flux: np.ndarray, event: np.ndarray) -> bool:
    """Whether the light curve changes its level where an event dims it.

    Parameters
    ----------
    time : (cadence,) float64
        Barycentric, days, increasing.
    flux : (cadence,) float32
        Of one star around 1, with its trend; NaN where masked.
    event : record
        From `single_transit`.

    Returns
    -------
    bool
        Straight lines through both sides, one duration and a half each, are apart at mid-transit by more than `JUMP` of
        the depth; False where one side holds too little to say.
    """
    late = (time - float(event["t0_btjd"])) / (float(event["duration_h"]) / HOURS_PER_DAY)
    seen = np.isfinite(flux)
    levels = []
    for side in (-late, late):
        rows = np.flatnonzero(seen & (side > CLEAR) & (side < CLEAR + SIDE))
        if len(rows) < FEWEST_BESIDE:
            return False
        levels.append(np.polynomial.polynomial.polyfit(late[rows], flux[rows].astype(np.float64), 1)[0])
    return abs(levels[0] - levels[1]) > JUMP * float(event["depth_ppm"]) / PPM


def _durations(data: Series, settings: SearchSettings) -> np.ndarray:
    """Trial durations, cells; none where the light curve cannot resolve any."""
    shortest = max(settings.min_duration_h / HOURS_PER_DAY / data.cell_d, LEAST_CELLS)
    longest = LONGER * settings.max_duration_h / HOURS_PER_DAY / data.cell_d
    if longest < shortest:
        return np.empty(0)
    return shortest * (longest / shortest) ** (np.arange(DURATIONS) / (DURATIONS - 1))


@njit(cache=True, nogil=True)
def strongest_dip(sums, durations, alone):
    """Mid-time and duration, cells, of the dip that stands out most; zeros where none does.

    Parameters
    ----------
    sums
        From `larun.search.cells.lay_out`.
    durations : (duration,) float64
        Cells.
    alone : bool
        Whether the dip must be a single transit; otherwise one that the trend has changed.
    """
    least, unique = (LEAST_SNR, UNIQUE) if alone else (LEAST_TO_HIDE, UNIQUE_TO_HIDE)
    best, best_middle, best_duration = 0.0, 0.0, 0.0
    for duration in durations:
        step = duration / STEPS
        n_steps = int((len(sums) - 1 - duration) / step)
        if n_steps < 4 * STEPS:
            continue
        strength = _strengths(sums, duration, step, n_steps)
        dip = _strongest(strength)
        if dip < 0 or not strength[dip] > max(least, best):
            continue
        _, scatter = level_and_scatter(strength, np.empty(n_steps))
        snr = strength[dip] / max(scatter, 1.0)
        if not snr > max(least, best):
            continue
        begin = dip * step
        if alone and not _isolated(sums, begin, duration):
            continue
        if _rival(strength, dip, 0 if alone else int(FAR * STEPS)) * unique > strength[dip]:
            continue
        best, best_middle, best_duration = snr, begin + 0.5 * duration, duration
    return best_middle, best_duration


@njit(cache=True, nogil=True)
def _strengths(sums, duration, step, n_steps):
    """Signal-to-noise, white, of the dip at each step; NaN where too little is observed."""
    # A dip is as long as `STEPS` steps.
    number, flux = np.empty(n_steps + STEPS), np.empty(n_steps + STEPS)
    for k in range(n_steps + STEPS):
        number[k], flux[k] = cells.before(sums, k * step)
    strength = np.full(n_steps, np.nan)
    for k in range(n_steps):
        n = number[k + STEPS] - number[k]
        if n >= COVERED * duration:
            strength[k] = (flux[k] - flux[k + STEPS]) / np.sqrt(n)
    return strength


@njit(cache=True, nogil=True)
def _rival(strength, dip, near):
    """Strongest brightening, `near` steps or more from the dip, or third strongest dip, if that is stronger."""
    bump = 0.0
    for k in range(len(strength)):
        if abs(k - dip) >= near and strength[k] < -bump:
            bump = -strength[k]
    left = strength.copy()
    for _ in range(2):
        left[max(dip - 2 * STEPS, 0) : dip + 2 * STEPS + 1] = np.nan
        dip = _strongest(left)
        if dip < 0:
            return bump
    return max(bump, left[dip])


@njit(cache=True, nogil=True)
def _strongest(strength):
    """Index of the largest value; -1 where all are NaN."""
    best = -1
    for k in range(len(strength)):
        if np.isfinite(strength[k]) and (best < 0 or strength[k] > strength[best]):
            best = k
    return best


@njit(cache=True, nogil=True)
def _isolated(sums, begin, duration):
    """Whether a dip is even, and the light curve observed and quiet for half a duration on either side of it."""
    n, s = cells.between(sums, begin, begin + duration)
    depth = -s / n
    edge, half = 0.25 * duration, 0.5 * duration
    first_n, first = cells.between(sums, begin, begin + half)
    second_n, second = cells.between(sums, begin + half, begin + duration)
    if min(first_n, second_n) < QUIET * half or abs(first / first_n - second / second_n) > EVEN * depth:
        return False
    for cell in range(int(begin), int(begin + duration) + 1):
        _, one = cells.between(sums, cell, cell + 1.0)
        if one < LARGEST * (first + second):
            return False
    for start, near in ((begin - edge - half, begin - edge), (begin + duration + edge, begin + duration)):
        n, s = cells.between(sums, start, start + half)
        close, _ = cells.between(sums, near, near + edge)
        if start < 0 or min(n / half, close / edge) < COVERED or abs(s / n) > QUIET * depth:
            return False
    return True

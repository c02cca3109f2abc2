"""Single transits: the strongest isolated dip of a star, whose period is not known.

A planet with a period of more than half the data shows one or two transits, which no period search can fold. Here boxes
of several durations slide over the flat light curve; the strongest dip is an event if it is far above the noise on
its own time scale, if little else in the light curve is as strong, and if the light curve is observed and quiet on
both sides of it.
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
from larun.units import HOURS_PER_DAY

DURATIONS = 6
"""Trial durations, evenly spaced in their logarithm."""

LEAST_CELLS = 3
"""A dip of fewer cells of time is an outlier."""

LEAST_SNR = 9.0
"""Signal-to-noise of the dip, red noise included."""

UNIQUE = 1.6
"""The dip is so many times stronger than the third strongest and than the strongest brightening. The second may be
another transit."""

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

KNOWN = (
    "t0_btjd", "duration_h", "depth_ppm", "depth_err_ppm", "snr", "n_transits", "shape", "single_event_fraction",
    "gap_fraction", "scatter_ppm", "red_noise_ppm", "n_good",
)  # fmt: skip
"""What can be said of a single transit."""


def single_transit(data: Series, settings: SearchSettings) -> np.ndarray | None:
    """Strongest single transit of one star.

    Parameters
    ----------
    data : Series
        Without the transits of what is known to repeat.
    settings : SearchSettings
        `min_duration_h` and `max_duration_h` are used.

    Returns
    -------
    () structured or None
        Of `larun.schema.event_dtype`: `period_d` NaN, one transit, NaN for all that a period is needed for; None where
        no dip stands out.
    """
    shortest = max(settings.min_duration_h / HOURS_PER_DAY / data.cell_d, LEAST_CELLS)
    longest = settings.max_duration_h / HOURS_PER_DAY / data.cell_d
    if longest < shortest:
        return None
    durations = shortest * (longest / shortest) ** (np.arange(DURATIONS) / (DURATIONS - 1))
    middle, duration = strongest_dip(data.exposures, durations)
    if not duration > 0:
        return None
    # Longer than the data: one transit whatever its place.
    period = 2.0 * (len(data.exposures) - 1)
    period, middle, duration, power = cells.climb(
        data.exposures, period, middle, duration, shortest, longest, 0.5, 0.1, 0.02
    )
    period_d = 2.0 * (data.time[-1] - data.time[0])
    t0, duration_d = float(data.in_days(middle)), duration * data.cell_d
    box = Box(period_d, t0, duration_d, power, np.nan, np.nan, depths(data, period_d, t0, duration_d))
    whole = measure(data, box, len(data.time))
    event = empty_events(1)[0]
    for name in KNOWN:
        event[name] = whole[name]
    return event


@njit(cache=True, nogil=True)
def strongest_dip(sums, durations):
    """Mid-time and duration, cells, of the dip that stands out most; zeros where none does.

    Parameters
    ----------
    sums
        From `larun.search.cells.lay_out`.
    durations : (duration,) float64
        Cells.
    """
    best, best_middle, best_duration = 0.0, 0.0, 0.0
    for duration in durations:
        step = duration / STEPS
        n_steps = int((len(sums) - 1 - duration) / step)
        if n_steps < 4 * STEPS:
            continue
        depth = np.full(n_steps, np.nan)
        strength = np.full(n_steps, np.nan)
        for k in range(n_steps):
            n, s = cells.between(sums, k * step, k * step + duration)
            if n >= COVERED * duration:
                depth[k] = -s / n
                strength[k] = -s / np.sqrt(n)
        dip = _strongest(strength)
        if dip < 0 or not strength[dip] > max(LEAST_SNR, best):
            continue
        _, scatter = level_and_scatter(strength, np.empty(n_steps))
        scatter = max(scatter, 1.0)
        if not strength[dip] > scatter * max(LEAST_SNR, best):
            continue
        begin, snr = dip * step, strength[dip] / scatter
        if not _isolated(sums, begin, duration, depth[dip]) or -np.nanmin(strength) * UNIQUE > strength[dip]:
            continue
        for _ in range(2):
            strength[max(dip - 2 * STEPS, 0) : dip + 2 * STEPS + 1] = np.nan
            dip = _strongest(strength)
            if dip < 0:
                break
        if dip >= 0 and strength[dip] * UNIQUE > snr * scatter:
            continue
        best, best_middle, best_duration = snr, begin + 0.5 * duration, duration
    return best_middle, best_duration


@njit(cache=True, nogil=True)
def _strongest(strength):
    """Index of the largest value; -1 where all are NaN."""
    best = -1
    for k in range(len(strength)):
        if np.isfinite(strength[k]) and (best < 0 or strength[k] > strength[best]):
            best = k
    return best


@njit(cache=True, nogil=True)
def _isolated(sums, begin, duration, depth):
    """Whether a dip is even, and the light curve observed and quiet for half a duration on either side of it."""
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

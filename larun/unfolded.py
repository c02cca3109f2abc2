"""What a light curve shows unfolded: flares, dips, how it varies from half-hour on, and what is lost beside gaps."""

from __future__ import annotations

import numpy as np
import scipy.fft
from numba import njit

from larun.selection import even_median, level_and_scatter, point_to_point_scatter
from larun.units import MINUTES_PER_DAY

AROUND_D, AROUND_CADENCES = 0.125, 15
"""Excursions are measured from the median of so many days, and of so many cadences at least."""

FAR = 3.0
"""Excursions of so many times the noise are counted."""

SPIKE = 10.0
"""Flux of so many times the usual one, above zero or below, is not the star's but scattered light, or that of a
neighbour: in the red bands of TESS and Kepler next to no flare reaches it."""

HALF_HOUR_D = 30.0 / MINUTES_PER_DAY
OUTLIER_SIGMA = 5.0
"""Cadences, and means of half an hour, so far from the median are left out of these means."""

LONGEST_D = 13.0
"""Longest period of a sinusoid in half-hour means: half a sector shows it twice."""

FEWEST_MEANS = 32
OVERSAMPLING = 8

GAP_D, BESIDE_D = 0.2, 0.5
"""Gaps of so many days, and the ends of a light curve, are what scattered light comes with; so far it reaches."""


def without_spikes(time: np.ndarray, relative: np.ndarray, delivered: np.ndarray) -> np.ndarray:
    """Leave out the surroundings of flux that cannot be the star's.

    Parameters
    ----------
    time : (cadence,) float64
        Days, increasing.
    relative : (cadence,) float32
        Flux over its median, NaN where masked.
    delivered : (cadence,) float32
        Flux in any unit, with what was masked.

    Returns
    -------
    (cadence,) float32
        NaN within `BESIDE_D` of it; the same array where there is no such flux.
    """
    if not np.isfinite(relative).any():
        return relative
    brightest = int(np.nanargmax(relative))
    usual = delivered[brightest] / relative[brightest]
    if not (np.abs(delivered) > SPIKE * usual).any():
        return relative
    # Where next to nothing is left of a star, its noise may be as large as its light.
    spikes = time[np.abs(delivered) > SPIKE * usual * max(1.0, point_to_point_scatter(relative))]
    if not len(spikes):
        return relative
    after = np.searchsorted(spikes, time)
    distance = np.minimum(
        np.abs(time - spikes[np.maximum(after - 1, 0)]), np.abs(time - spikes[np.minimum(after, len(spikes) - 1)])
    )
    return np.where(distance < BESIDE_D, np.float32(np.nan), relative)


@njit(cache=True, nogil=True)
def from_surroundings(relative, around):
    """How far every cadence is from the median of those around it.

    Parameters
    ----------
    relative : (cadence,) float32
        Flux over its median, not detrended, NaN where masked.
    around : int
        Cadences of which the median is taken.

    Returns
    -------
    (good cadence,) float64
        Of the cadences that are not masked; empty where there are fewer than `around`.
    """
    flux = relative[~np.isnan(relative)]
    if len(flux) < around:
        return np.empty(0)
    out = np.empty(len(flux))
    work = np.empty(around, flux.dtype)
    for start in range(0, len(flux), around):
        # The last ones share their middle with those before them.
        first = min(start, len(flux) - around)
        work[:] = flux[first : first + around]
        middle = float(even_median(work))
        for i in range(start, min(start + around, len(flux))):
            out[i] = flux[i] - middle
    return out


@njit(cache=True, nogil=True)
def excursions(deviation, noise, around):
    """How far two and three successive cadences go from those around them, and how often: flares up, dips down.

    Parameters
    ----------
    deviation : (good cadence,) float64
        From `from_surroundings`.
    noise : float
        Scatter of successive cadences.
    around : int
        As in `from_surroundings`: successive cadences share their surroundings.

    Returns
    -------
    (6,) float64
        Largest excursion of a pair upwards and downwards, in units of the noise, the lesser of the two cadences
        counting; shares of the pairs that go farther than `FAR` upwards and downwards; largest excursion of three
        cadences upwards and downwards, the least of them counting.
    """
    out = np.zeros(6)
    if noise <= 0 or len(deviation) == 0:
        return out
    last = before = 0.0
    for start in range(0, len(deviation), around):
        for i in range(start, min(start + around, len(deviation))):
            z = deviation[i] / noise
            up, down = min(z, last), min(-z, -last)
            if i > start:
                out[0], out[1] = max(out[0], up), max(out[1], down)
                out[2] += up > FAR
                out[3] += down > FAR
            if i > start + 1:
                out[4], out[5] = max(out[4], min(up, before)), max(out[5], min(down, -before))
            before, last = last, z
    out[2:4] /= len(deviation)
    return out


def half_hours(time: np.ndarray, relative: np.ndarray) -> tuple[float, float]:
    """How a light curve varies once it is averaged over half hours, so that every cadence is judged alike.

    Parameters
    ----------
    time : (cadence,) float64
        Days, increasing.
    relative : (cadence,) float32
        Flux over its median, not detrended, NaN where masked.

    Returns
    -------
    power : float
        Share of the variance of the means that the best sinusoid of at most `LONGEST_D` explains: the highest peak of
        the classical periodogram, 0 to 1 (Scargle 1982, ApJ 263, 835, normalised by the variance).
    excess : float
        Robust scatter of the means over that of successive ones; 1 for white noise. Both NaN where there are fewer
        than `FEWEST_MEANS`.
    """
    means = _half_hour_means(np.ascontiguousarray(time), np.ascontiguousarray(relative, dtype=np.float32))
    known = np.isfinite(means)
    n = int(np.count_nonzero(known))
    if n < FEWEST_MEANS:
        return np.nan, np.nan
    series = np.where(known, means - means[known].mean(dtype=np.float64), 0.0)
    variance = float(np.square(series).mean())
    length = scipy.fft.next_fast_len(OVERSAMPLING * len(series), real=True)
    first = int(np.ceil(length * HALF_HOUR_D / LONGEST_D))
    peak = float(np.abs(scipy.fft.rfft(series, length)[first:]).max())
    steps = point_to_point_scatter(means)
    power = 2.0 * peak**2 / (n * variance * len(series)) if variance > 0 else np.nan
    return power, level_and_scatter(means, np.empty_like(means))[1] / steps if steps > 0 else np.nan


@njit(cache=True, nogil=True)
def _half_hour_means(time, relative):
    """Means of half hours, outliers left out before and after, (half hour,) float32; NaN where there is nothing."""
    n = len(time)
    if n == 0:
        return np.empty(0, np.float32)
    level, sigma = level_and_scatter(relative, np.empty(n, np.float32))
    reach = np.float32(OUTLIER_SIGMA * sigma)
    length = int((time[-1] - time[0]) / HALF_HOUR_D + 0.5) + 1
    total, count = np.zeros(length), np.zeros(length)
    for k in range(n):
        if abs(relative[k] - level) <= reach:
            place = int((time[k] - time[0]) / HALF_HOUR_D + 0.5)
            total[place] += relative[k]
            count[place] += 1
    means = np.empty(length, np.float32)
    for place in range(length):
        means[place] = total[place] / count[place] if count[place] > 0 else np.nan
    level, sigma = level_and_scatter(means, np.empty(length, np.float32))
    reach = np.float32(OUTLIER_SIGMA * sigma)
    for place in range(length):
        if not abs(means[place] - level) <= reach:
            means[place] = np.nan
    return means


@njit(cache=True, nogil=True)
def beside_gaps(time, detrended, period_d, t0, duration_d):
    """How much of an event lies beside gaps and the ends of the data.

    Parameters
    ----------
    time : (cadence,) float64
        Days, increasing.
    detrended : (cadence,) float32
        Flux around 1, NaN where masked.
    period_d, t0, duration_d : float
        Days.

    Returns
    -------
    share : float
        Of the light that is lost in transits, how much within `BESIDE_D` of the nearest gap or end.
    distance_d : float
        Mean distance of the lost light of the strongest transit from the nearest gap or end. Both NaN where
        no light is lost.
    """
    n = 0
    when, loss = np.empty(len(time)), np.empty(len(time))
    for k in range(len(time)):
        if not np.isnan(detrended[k]):
            when[n], loss[n] = time[k], 1.0 - detrended[k]
            n += 1
    after = np.empty(n)
    for k in range(n - 1, -1, -1):
        gap = k == n - 1 or when[k + 1] - when[k] > GAP_D
        after[k] = 0.0 if gap else after[k + 1] + when[k + 1] - when[k]
    total = beside = strongest = its_distance = own = own_distance = before = 0.0
    number = -np.inf
    for k in range(n):
        before = 0.0 if k == 0 or when[k] - when[k - 1] > GAP_D else before + when[k] - when[k - 1]
        cycle = np.floor((when[k] - t0) / period_d + 0.5)
        if abs(when[k] - t0 - cycle * period_d) >= 0.5 * duration_d or loss[k] <= 0:
            continue
        distance = min(before, after[k])
        if cycle != number:
            number, own, own_distance = cycle, 0.0, 0.0
        own += loss[k]
        own_distance += loss[k] * distance
        if own > strongest:
            strongest, its_distance = own, own_distance
        total += loss[k]
        beside += loss[k] * (distance < BESIDE_D)
    if total == 0:
        return np.nan, np.nan
    return beside / total, its_distance / strongest

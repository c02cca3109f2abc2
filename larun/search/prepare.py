"""From delivered flux to relative flux: which cadences are good, and which stars can be searched."""

from __future__ import annotations

import numpy as np
from numba import njit

from larun.config import SearchSettings
from larun.finite import finite_values
from larun.lightcurve import Shard, bad_quality_bits
from larun.selection import level_and_scatter, median, point_to_point_scatter

MIN_GOOD_CADENCES = 100
"""A star with fewer good cadences is not searched: a box needs an inside and an outside."""

NEGATIVE_SIGMA, NEGATIVE_SHARE = 5.0, 0.1
"""No star has less light than none: flux below zero by so many standard deviations of white noise, and by such a share
of its usual light, is a background that was overestimated. The share is there because the correction for light of
neighbours may take a few per cent too much, which shows at the bottom of a total eclipse."""

CLIP_SIGMA = 4.0
"""Cadences this far above the trend are left out of the search (flares, cosmic rays)."""

ISOLATED_SIGMA = 6.0
"""Single cadences this far below the trend, with both neighbours within half of that, are left out too."""

CALM_SHARE = 0.2
"""... or within this share of its depth."""

CLIPPED_AT_ONCE = 256
"""Cadences that are looked through for outliers at once."""

RESTLESS_BLOCKS = 2
"""Parts of a day that are masked as a whole where the flux jumps from cadence to cadence, as when pointing is lost."""

JUMP_SIGMA = 5.0
"""A cadence jumps if its second difference exceeds so many standard deviations of white noise."""

RESTLESS_SHARE, FEWEST_JUMPS = 0.25, 3
"""A larger share of jumps, and more of them, are in a restless part; a short eclipse bends the flux at fewer of its
cadences."""

RESTLESS_WHITE = 0.4
"""In a restless part so much of the variance is white; in one with a long eclipse next to nothing."""


def bad_bits(mission: str, author: str, settings: SearchSettings) -> int:
    """Quality bits that hide a cadence; 0 for a mission whose bits are not known."""
    if settings.quality_mask is not None:
        return settings.quality_mask
    return bad_quality_bits(mission, author)


def relative_flux(shard: Shard, settings: SearchSettings) -> tuple[np.ndarray, tuple[str, ...], np.ndarray]:
    """Flux over its median, without what is no light, and why a star cannot be searched.

    Parameters
    ----------
    shard : Shard
        Flux in any unit.
    settings : SearchSettings
        `quality_mask` is used.

    Returns
    -------
    relative : (star, cadence) float32
        NaN where the cadence is not finite, not delivered, hidden by its quality bits, or farther below zero than
        any eclipse and its noise; all NaN for a star whose median is not positive.
    reasons : (star,) tuple of str
        Empty where the star can be searched.
    n_negative : (star,) int64
        Cadences that are left out because they are so far below zero.
    """
    bits = bad_bits(shard.mission, shard.author, settings)
    relative, n_negative, *known = _normalise(
        np.ascontiguousarray(shard.flux, np.float32), np.ascontiguousarray(shard.quality, np.int32), np.int32(bits)
    )
    return relative, tuple(_obstacle(*star) for star in zip(*known, strict=True)), n_negative


@njit(cache=True, nogil=True, error_model="numpy")
def _normalise(flux, quality, bits):
    """Relative flux, number of negative cadences, of good ones, their median and whether they differ, per star."""
    n_stars, n = flux.shape
    relative = np.empty((n_stars, n), np.float32)
    negative = np.zeros(n_stars, np.int64)
    count = np.zeros(n_stars, np.int64)
    level = np.full(n_stars, np.float32(np.nan), np.float32)
    varies = np.zeros(n_stars, np.bool_)
    work = np.empty(n, np.float32)
    for star in range(n_stars):
        own = relative[star]
        _mask(flux[star], quality[star], bits, own)
        m = finite_values(own, work)
        count[star] = m
        if m > 0:
            different = 0
            for value in work[:m]:
                different += value != work[0]
            varies[star] = different > 0
            level[star] = median(work, m)
        unit = level[star] if level[star] > 0 else np.float32(np.nan)
        for k in range(n):
            own[k] /= unit
        negative[star] = _mask_negative(own)
    return relative, negative, count, level, varies


@njit(cache=True, nogil=True)
def _mask(flux, quality, bits, masked):
    """Fill `masked` with the flux, NaN where it is bad."""
    for k in range(len(flux)):
        used = np.isfinite(flux[k]) & (quality[k] >= 0) & ((quality[k] & bits) == 0)
        masked[k] = flux[k] if used else np.float32(np.nan)


def _obstacle(count: int, level: float, varies: bool) -> str:
    """Why a star cannot be searched; empty if it can."""
    if count == 0:
        return "no good cadence"
    if count < MIN_GOOD_CADENCES:
        return f"{count} good cadences, {MIN_GOOD_CADENCES} are needed"
    if not varies:
        return f"constant flux {level:g}"
    if not level > 0:
        return f"median flux {level:g} is not positive"
    return ""


@njit(cache=True, nogil=True)
def _mask_negative(flux):
    """Set to NaN, in place, flux of one star that is farther below zero than any eclipse and its noise; how often."""
    if _below(flux, np.float32(-NEGATIVE_SHARE)) == 0:
        return 0
    limit = np.float32(-max(NEGATIVE_SHARE, NEGATIVE_SIGMA * point_to_point_scatter(flux)))
    masked = 0
    for k in range(len(flux)):
        if flux[k] < limit:
            flux[k] = np.nan
            masked += 1
    return masked


@njit(cache=True, nogil=True)
def _below(flux, limit):
    count = np.int32(0)
    for value in flux:
        count += np.int32(value < limit)
    return count


def clip(detrended: np.ndarray, time: np.ndarray, isolated_dips: bool) -> np.ndarray:
    """Set to NaN, in place, what is no signal.

    That is bright cadences, single low ones that are no transits, and parts of a day in which the flux jumps.

    Parameters
    ----------
    detrended : (star, cadence) float32
        Around 1.
    time : (cadence,) float64
        Days, increasing.
    isolated_dips : bool
        Leave out all single low cadences. Only right where the shortest transit spans several cadences, so that a dip
        of one cadence cannot be one; otherwise only those are left out that stay alone in the whole light curve,
        twice as deep as all others but one.

    Returns
    -------
    (star,) float64
        Robust scatter of each star per cadence before clipping; NaN where no cadence is finite.

    Notes
    -----
    Dips of two or more cadences are only touched where the flux is restless.
    """
    return _clip(detrended, np.ascontiguousarray(time), isolated_dips)


@njit(cache=True, nogil=True)
def _clip(detrended, time, isolated_dips):
    n_stars, n = detrended.shape
    edges = _parts_of_a_day(time)
    sigmas = np.empty(n_stars)
    work = np.empty(n, np.float32)
    for star in range(n_stars):
        flux = detrended[star]
        level, sigma = level_and_scatter(flux, work)
        sigmas[star] = sigma
        if not sigma > 0:
            continue
        _mask_restless(flux, edges, sigma)
        _mask_outliers(flux, level, sigma, isolated_dips)
    return sigmas


@njit(cache=True, nogil=True)
def _parts_of_a_day(time):
    """First cadence of each, and the end of the last."""
    edges = np.empty(len(time) + 1, np.int64)
    n = k = 0
    while k < len(time):
        edges[n] = k
        n += 1
        end = (np.floor(time[k] * RESTLESS_BLOCKS) + 1) / RESTLESS_BLOCKS
        k = max(np.searchsorted(time, end), k + 1)
    edges[n] = len(time)
    return edges[: n + 1]


@njit(cache=True, nogil=True)
def _mask_outliers(flux, level, sigma, isolated_dips):
    """Set bright cadences and single low ones of one star to NaN, run by run of those that hold any."""
    n = len(flux)
    high = np.float32(level + CLIP_SIGMA * sigma)
    calm = np.float32(level - 0.5 * ISOLATED_SIGMA * sigma)
    low = np.float32(level - ISOLATED_SIGMA * sigma)
    before, seen = np.float32(level), -1
    for first in range(0, n, CLIPPED_AT_ONCE):
        last = min(first + CLIPPED_AT_ONCE, n)
        if not _any_beyond(flux[first:last], low, high):
            continue
        # The last flux before this run, clipped or not.
        k = first - 1
        while k > seen and not np.isfinite(flux[k]):
            k -= 1
        before = flux[k] if k > seen else before
        seen = last - 1
        for k in range(first, last):
            value = flux[k]
            if not np.isfinite(value):
                continue
            if value > high:
                flux[k] = np.nan
            elif value < low:
                near = min(calm, np.float32(level - CALM_SHARE * (level - value)))
                after = k + 1
                while after < n and not np.isfinite(flux[after]):
                    after += 1
                single = before > near and (after == n or flux[after] > near)
                if single and (isolated_dips or _alone(flux, np.float32(level), value)):
                    flux[k] = np.nan
            before = value


@njit(cache=True, nogil=True)
def _any_beyond(flux, low, high):
    count = np.int32(0)
    for value in flux:
        count += np.int32((value > high) | (value < low))
    return count > 0


@njit(cache=True, nogil=True)
def _alone(flux, level, value):
    """Whether at most one other cadence is half as low as this one."""
    half = level - np.float32(0.5) * (level - value)
    count = 0
    for other in flux:
        count += other < half
    return count <= 2


@njit(cache=True, nogil=True)
def _mask_restless(flux, edges, sigma):
    """Set whole parts of a day of one star to NaN in which the flux jumps from cadence to cadence.

    A cadence jumps if its second difference with its neighbours exceeds `JUMP_SIGMA` of that of white noise. In white
    noise the mean square of second differences is six times the variance, in what is smooth it is far less.
    """
    n = len(flux)
    limit = np.float32(JUMP_SIGMA * np.sqrt(6.0) * sigma)
    for part in range(len(edges) - 1):
        first, last = edges[part], edges[part + 1]
        # With one neighbour on either side, as far as there is one.
        around = flux[max(first - 1, 0) : min(last + 1, n)]
        if _jumps(around, limit) > FEWEST_JUMPS and _restless(around, limit):
            flux[first:last] = np.nan


@njit(cache=True, nogil=True)
def _jumps(flux, limit):
    count = np.int32(0)
    for k in range(len(flux) - 2):
        count += np.int32(abs(flux[k] - np.float32(2) * flux[k + 1] + flux[k + 2]) > limit)
    return count


@njit(cache=True, nogil=True)
def _restless(flux, limit):
    """Whether the cadences between the first and the last jump too often, and not like an eclipse."""
    jumps = seen = 0
    total = squares = differences = 0.0
    for k in range(1, len(flux) - 1):
        second = flux[k - 1] - np.float32(2) * flux[k] + flux[k + 1]
        if np.isfinite(second):
            seen += 1
            jumps += abs(second) > limit
            total += flux[k] - np.float32(1)
            squares += (flux[k] - np.float32(1)) ** 2
            differences += second * second
    variance = squares - total * total / max(seen, 1)
    return jumps > RESTLESS_SHARE * seen and differences > 6.0 * RESTLESS_WHITE * variance

"""From delivered flux to relative flux: which cadences are good, and which stars can be searched."""

from __future__ import annotations

import numpy as np
from numba import njit

from larun.config import SearchSettings
from larun.lightcurve import Shard, bad_quality_bits
from larun.selection import level_and_scatter, median

MIN_GOOD_CADENCES = 100
"""A star with fewer good cadences is not searched: a box needs an inside and an outside."""

CLIP_SIGMA = 4.0
"""Cadences this far above the trend are left out of the search (flares, cosmic rays)."""

ISOLATED_SIGMA = 6.0
"""Single cadences this far below the trend, with both neighbours within half of that, are left out too."""

CALM_SHARE = 0.2
"""... or within this share of its depth."""

RESTLESS_BLOCKS = 2
"""Parts of a day that are masked as a whole where the flux jumps from cadence to cadence, as when pointing is lost."""

JUMP_SIGMA = 5.0
"""A cadence jumps if its second difference exceeds so many standard deviations of white noise."""

RESTLESS_SHARE = 0.25
"""Share of jumps in a restless part; a short eclipse bends the flux at fewer of its cadences."""

RESTLESS_WHITE = 0.4
"""In a restless part so much of the variance is white; in one with a long eclipse next to nothing."""


def bad_bits(mission: str, author: str, settings: SearchSettings) -> int:
    """Quality bits that hide a cadence; 0 for a mission whose bits are not known."""
    if settings.quality_mask is not None:
        return settings.quality_mask
    return bad_quality_bits(mission, author)


def relative_flux(shard: Shard, settings: SearchSettings) -> tuple[np.ndarray, tuple[str, ...]]:
    """Flux over its median, and why a star cannot be searched.

    Parameters
    ----------
    shard : Shard
        Flux in any unit.
    settings : SearchSettings
        `quality_mask` is used.

    Returns
    -------
    relative : (star, cadence) float32
        NaN where the cadence is not finite, not delivered, or hidden by its quality bits; all NaN for a star
        whose median is not positive.
    reasons : (star,) tuple of str
        Empty where the star can be searched.
    """
    bits = bad_bits(shard.mission, shard.author, settings)
    relative, count, median_flux, spread = _normalise(
        np.ascontiguousarray(shard.flux, np.float32), np.ascontiguousarray(shard.quality, np.int32), np.int32(bits)
    )
    reasons = tuple(_obstacle(*known) for known in zip(count, median_flux, spread, strict=True))
    return relative, reasons


@njit(cache=True, nogil=True)
def _normalise(flux, quality, bits):
    """Relative flux, number of good cadences, their median and their range, per star."""
    n_stars, n = flux.shape
    relative = np.full((n_stars, n), np.float32(np.nan), np.float32)
    count = np.zeros(n_stars, np.int64)
    level = np.full(n_stars, np.nan)
    spread = np.zeros(n_stars)
    work = np.empty(n, np.float32)
    for star in range(n_stars):
        m = 0
        low = np.inf
        high = -np.inf
        for k in range(n):
            q = quality[star, k]
            if np.isfinite(flux[star, k]) and q >= 0 and (q & bits) == 0:
                value = flux[star, k]
                relative[star, k] = value
                work[m] = value
                m += 1
                low = min(low, value)
                high = max(high, value)
        count[star] = m
        if m > 0:
            level[star] = median(work, m)
            spread[star] = high - low
        for k in range(n):
            relative[star, k] = relative[star, k] / level[star] if level[star] > 0 else np.nan
    return relative, count, level, spread


def _obstacle(count: int, level: float, spread: float) -> str:
    """Why a star cannot be searched; empty if it can."""
    if count == 0:
        return "no good cadence"
    if count < MIN_GOOD_CADENCES:
        return f"{count} good cadences, {MIN_GOOD_CADENCES} are needed"
    if spread == 0:
        return f"constant flux {level:g}"
    if not level > 0:
        return f"median flux {level:g} is not positive"
    return ""


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
    return _clip(detrended, np.floor(time * RESTLESS_BLOCKS).astype(np.int64), isolated_dips)


@njit(cache=True, nogil=True)
def _clip(detrended, block, isolated_dips):
    n_stars, n = detrended.shape
    sigmas = np.empty(n_stars)
    work = np.empty(n, np.float32)
    for star in range(n_stars):
        flux = detrended[star]
        level, sigma = level_and_scatter(flux, work)
        sigmas[star] = sigma
        if not sigma > 0:
            continue
        _mask_restless(flux, block, sigma)
        high = np.float32(level + CLIP_SIGMA * sigma)
        calm = np.float32(level - 0.5 * ISOLATED_SIGMA * sigma)
        low = np.float32(level - ISOLATED_SIGMA * sigma)
        before = np.float32(level)
        for k in range(n):
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
    return sigmas


@njit(cache=True, nogil=True)
def _alone(flux, level, value):
    """Whether at most one other cadence is half as low as this one."""
    half = level - np.float32(0.5) * (level - value)
    count = 0
    for other in flux:
        count += other < half
    return count <= 2


@njit(cache=True, nogil=True)
def _mask_restless(flux, block, sigma):
    """Set whole blocks of the cadences of one star to NaN in which the flux jumps from cadence to cadence.

    A cadence jumps if its second difference with its neighbours exceeds `JUMP_SIGMA` of that of white noise. In white
    noise the mean square of second differences is six times the variance, in what is smooth it is far less.
    """
    n = len(flux)
    limit = np.float32(JUMP_SIGMA * np.sqrt(6.0) * sigma)
    start = 0
    while start < n:
        stop = start
        jumps = seen = 0
        total = squares = differences = 0.0
        while stop < n and block[stop] == block[start]:
            if 0 < stop < n - 1:
                second = flux[stop - 1] - np.float32(2) * flux[stop] + flux[stop + 1]
                if np.isfinite(second):
                    seen += 1
                    jumps += abs(second) > limit
                    total += flux[stop] - np.float32(1)
                    squares += (flux[stop] - np.float32(1)) ** 2
                    differences += second * second
            stop += 1
        variance = squares - total * total / max(seen, 1)
        if jumps > max(RESTLESS_SHARE * seen, 3) and differences > 6.0 * RESTLESS_WHITE * variance:
            flux[start:stop] = np.nan
        start = stop

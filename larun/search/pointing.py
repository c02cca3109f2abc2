"""Where the light of an event is lost, and whether the spacecraft moved: centroids and momentum dumps."""

from __future__ import annotations

import numpy as np
from numba import njit

from larun.finite import start_of_run
from larun.lightcurve import AUTHOR_QUALITY_MASKS, Shard
from larun.search.transits import first_after, lookup_table, transit_range
from larun.units import HOURS_PER_DAY, PPM

DESATURATION = {"tess": 32, "kepler": 32}
"""Quality bit of a momentum dump (TESS Science Data Products Description, table 32; Kepler Archive Manual, table
2-3). K2 fires its thrusters every six hours, so that a coincidence there says nothing."""

SETTLING_D = 1 / HOURS_PER_DAY
"""A transit that begins so soon after a momentum dump counts as beside it."""

MIN_SNR = 7.0
"""Centroids of weaker events are not measured: their shift would be lost in the noise."""

MIN_WINDOWS = 10
"""Windows beside the transits that measure how far a centroid moves by itself."""

NEAR, WIDE = 0.75, 2.0
"""The centroid in transit is compared with that at both sides, between so many durations from mid-transit."""


def dump_rows(shard: Shard) -> np.ndarray:
    """Cadences during which the spacecraft dumped momentum, (dump cadence,) int64; empty where not known.

    Parameters
    ----------
    shard : Shard
        The bit of any of its stars counts, because all stars share the spacecraft.
    """
    bit = DESATURATION.get(shard.mission, 0)
    if not bit or shard.author in AUTHOR_QUALITY_MASKS:
        return np.empty(0, np.int64)
    return np.flatnonzero(_any_bit(np.ascontiguousarray(shard.quality, np.int32), np.int32(bit)))


def measure_pointing(event, time, dumps, used, column, row) -> None:
    """Fill in what cadences and pixels say about one event.

    Parameters
    ----------
    event : () structured
        Of `larun.schema.event_dtype`, measured; `dump_fraction`, `column_pix`, `row_pix`, `centroid_offset_pix` and
        `centroid_sigma` are set. The last two stay NaN below `MIN_SNR` and without centroids.
    time : (cadence,) float64
        Barycentric time of the star, days, of all cadences.
    dumps : (dump cadence,) int64
        From `dump_rows`.
    used : (cadence,) bool
        Cadences that were searched.
    column, row : (cadence,) float32
        Centroid, pixels; NaN where missing.
    """
    period, t0 = float(event["period_d"]), float(event["t0_btjd"])
    duration = float(event["duration_h"]) / HOURS_PER_DAY
    if not np.isfinite(duration):
        return
    if not np.isfinite(period):
        # A single transit: the next one would lie beyond the data.
        period = 2 * (time[-1] - time[0]) + duration
    if len(dumps):
        event["dump_fraction"] = dump_fraction(time, dumps, used, period, t0, duration)
    if event["snr"] >= MIN_SNR:
        shift, event["centroid_sigma"], event["column_pix"], event["row_pix"] = centroid_shift(
            time, used, column, row, period, t0, duration
        )
        event["centroid_offset_pix"] = shift / max(float(event["depth_ppm"]) / PPM, 1e-9)


@njit(cache=True, nogil=True)
def _any_bit(quality, bit):
    n_stars, n = quality.shape
    seen = np.zeros(n, np.bool_)
    for star in range(n_stars):
        for k in range(n):
            # -1 stands for a cadence that was not delivered.
            seen[k] |= quality[star, k] > 0 and quality[star, k] & bit != 0
    return seen


@njit(cache=True, nogil=True)
def dump_fraction(time, dumps, used, period, t0, duration):
    """Share of the transits with data in which a momentum dump falls, or that begin within an hour of one."""
    first, last = transit_range(time, period, t0, duration)
    hit = n = 0
    d = 0
    for k in range(first, last):
        middle = t0 + k * period
        low = np.searchsorted(time, middle - duration)
        high = np.searchsorted(time, middle + duration)
        if not used[low:high].any():
            continue
        n += 1
        while d < len(dumps) and time[dumps[d]] < middle - 0.5 * duration - SETTLING_D:
            d += 1
        hit += d < len(dumps) and time[dumps[d]] <= middle + 0.5 * duration
    return hit / n if n > 0 else np.nan


@njit(cache=True, nogil=True)
def centroid_shift(time, used, column, row, period, t0, duration):
    """Shift of the centroid in transit against both sides of each transit.

    Parameters
    ----------
    time : (cadence,) float64
        Days.
    used : (cadence,) bool
        Cadences that count, where their centroid is finite.
    column, row : (cadence,) float32
        Centroid, pixels.
    period, t0, duration : float
        Ephemeris, days.

    Returns
    -------
    shift, sigma : float
        Length of the mean shift, pixels, and over its error: the root of the sum of both axes' squared
        significances, with a Rayleigh distribution where nothing moves. The error of a transit is the standard
        deviation of the same difference at windows beside the transits, so that jitter and drifts are in it.
    column, row : float
        Mean centroid, pixels.

    Notes
    -----
    NaN with too few windows or without a transit that has data at both sides. After Batalha et al. (2010, ApJ 713,
    L103) and Bryson et al. (2013, PASP 125, 889).
    """
    n = len(time)
    nothing = (np.nan, np.nan, np.nan, np.nan)
    start = start_of_run(column, 0)
    while start < n and not (used[start] and np.isfinite(column[start]) and np.isfinite(row[start])):
        start += 1
    if n - start < 2:
        return nothing
    x0, y0 = column[start], row[start]
    sums = np.empty((n + 1, 3))
    seen = x = y = 0.0
    for k in range(n):
        sums[k, 0], sums[k, 1], sums[k, 2] = seen, x, y
        # Sums without a branch: what is missing adds nothing.
        moved_x, moved_y = column[k] - x0, row[k] - y0
        good = used[k] & np.isfinite(moved_x) & np.isfinite(moved_y)
        seen += 1.0 if good else 0.0
        x += moved_x if good else np.float32(0)
        y += moved_y if good else np.float32(0)
    sums[n, 0], sums[n, 1], sums[n, 2] = seen, x, y
    column_mean, row_mean = x0 + x / seen, y0 + y / seen
    cell = (time[-1] - time[0]) / (n - 1)
    table = lookup_table(time, cell)
    first, last = transit_range(time, period, t0, duration)
    enough = max(0.5 * duration / cell, 0.5)
    dx = dy = 0.0
    m = 0
    for k in range(first, last):
        clear, here_x, here_y = _contrast(time, table, cell, sums, t0 + k * period, duration, enough)
        if clear:
            dx += here_x
            dy += here_y
            m += 1
    size = int((time[-1] - time[0]) / duration) + 1
    aside_x, aside_y = np.empty(size), np.empty(size)
    aside = 0
    for k in range(size):
        middle = time[0] + (k + 0.5) * duration
        phase = (middle - t0) / period
        if abs(phase - np.rint(phase)) * period < (WIDE + 0.5) * duration:
            continue
        clear, here_x, here_y = _contrast(time, table, cell, sums, middle, duration, enough)
        if clear:
            aside_x[aside], aside_y[aside] = here_x, here_y
            aside += 1
    if m == 0 or aside < MIN_WINDOWS:
        return np.nan, np.nan, column_mean, row_mean
    # Not a robust scatter: episodes of jitter may fall on a transit like on any other window.
    sigma_x, sigma_y = np.std(aside_x[:aside]), np.std(aside_y[:aside])
    if not (sigma_x > 0 and sigma_y > 0):
        return np.nan, np.nan, column_mean, row_mean
    dx, dy = dx / m, dy / m
    return np.hypot(dx, dy), np.hypot(dx / sigma_x, dy / sigma_y) * np.sqrt(m), column_mean, row_mean


@njit(cache=True, nogil=True)
def _contrast(time, table, cell, sums, middle, duration, enough):
    """Mean of both coordinates within half a duration less the mean of their means at the two sides.

    `sums` holds the number of good cadences before each, and the sums of their coordinates. The first value is False
    where one of the three windows holds fewer than `enough`.
    """
    a = first_after(time, table, cell, middle - WIDE * duration)
    b = first_after(time, table, cell, middle - NEAR * duration)
    c = first_after(time, table, cell, middle - 0.5 * duration)
    d = first_after(time, table, cell, middle + 0.5 * duration)
    e = first_after(time, table, cell, middle + NEAR * duration)
    f = first_after(time, table, cell, middle + WIDE * duration)
    before, inside, after = sums[b, 0] - sums[a, 0], sums[d, 0] - sums[c, 0], sums[f, 0] - sums[e, 0]
    if before < enough or inside < enough or after < enough:
        return False, 0.0, 0.0
    dx = (sums[d, 1] - sums[c, 1]) / inside
    dx -= 0.5 * ((sums[b, 1] - sums[a, 1]) / before + (sums[f, 1] - sums[e, 1]) / after)
    dy = (sums[d, 2] - sums[c, 2]) / inside
    dy -= 0.5 * ((sums[b, 2] - sums[a, 2]) / before + (sums[f, 2] - sums[e, 2]) / after)
    return True, dx, dy

"""Shape and timing of the transits of one ephemeris, from the cadences around them."""

from __future__ import annotations

import numpy as np
from numba import njit

from larun.search.transits import first_after, transit_range

REACH = 1.5
"""Cadences within so many durations of mid-transit are fitted."""

BINS = 60
"""Bins of the distance from mid-transit."""

LENGTHS = 15
"""Trial lengths of the trapezoid, each 6 % longer than the one before, from 0.89 to 2 durations of the box."""

FLAT_STEPS = 10
"""Steps of the flat share from 0 to 1."""

SOFTEST = 0.2
"""Shortest ingress, as a share of half the duration, that transit times are measured with."""


@njit(cache=True, nogil=True)
def trapezoid(time, flux, table, cell, period, t0, duration):
    """Fit a symmetric trapezoid to the folded transit.

    Parameters
    ----------
    time, flux, table, cell
        See `larun.search.refine.Series`.
    period, t0 : float
        Ephemeris, days.
    duration : float
        Length of the best box, days.

    Returns
    -------
    total, flat : float
        Full duration, days, and the flat share of it; depth and level are fitted for each trial. NaN as the share
        where nothing dims.

    Notes
    -----
    The cadences are binned in distance from mid-transit, and the sums of every trial follow from running sums over
    the bins, because a trapezoid is a constant, a straight line and zero, one after the other.
    """
    reach = min(REACH * duration, 0.5 * period)
    weight = np.zeros(BINS)
    place = np.zeros(BINS)
    light = np.zeros(BINS)
    first, last = transit_range(time, period, t0, 2 * reach)
    for k in range(first, last):
        middle = t0 + k * period
        low = first_after(time, table, cell, middle - reach)
        high = first_after(time, table, cell, middle + reach)
        for i in range(low, high):
            x = abs(time[i] - middle)
            b = min(int(x / reach * BINS), BINS - 1)
            weight[b] += 1
            place[b] += x
            light[b] += flux[i]
    return _best_trapezoid(weight, place, light, duration)


@njit(cache=True, nogil=True)
def _best_trapezoid(weight, place, light, duration):
    """Trapezoid of the largest gain; weight, summed distance and summed flux of each bin are given."""
    n = len(weight)
    x = np.empty(n)
    # Sums over the bins before each: weight, flux, and their products with the distance.
    w, wx, wxx, f, fx = np.zeros(n + 1), np.zeros(n + 1), np.zeros(n + 1), np.zeros(n + 1), np.zeros(n + 1)
    for b in range(n):
        # An empty bin adds nothing; infinitely far, it would only disturb the order.
        x[b] = place[b] / weight[b] if weight[b] > 0 else (x[b - 1] if b > 0 else 0.0)
        w[b + 1] = w[b] + weight[b]
        wx[b + 1] = wx[b] + place[b]
        wxx[b + 1] = wxx[b] + place[b] * x[b]
        f[b + 1] = f[b] + light[b]
        fx[b + 1] = fx[b] + light[b] * x[b]
    best, total, flat = 0.0, duration, np.nan
    for i in range(LENGTHS):
        length = duration * 1.06 ** (i - 2)
        edge = 0.5 * length
        outer = np.searchsorted(x, edge)
        for j in range(FLAT_STEPS + 1):
            share = j / FLAT_STEPS
            inner = np.searchsorted(x, share * edge, side="right") if j < FLAT_STEPS else outer
            inner = min(inner, outer)
            # The model is 1 up to `inner` and ``slope * (edge - x)`` up to `outer`.
            slope = 1 / (edge * (1 - share)) if j < FLAT_STEPS else 0.0
            dw, dx, dxx = w[outer] - w[inner], wx[outer] - wx[inner], wxx[outer] - wxx[inner]
            sm = w[inner] + slope * (edge * dw - dx)
            smm = w[inner] + slope * slope * (edge * edge * dw - 2 * edge * dx + dxx)
            smf = f[inner] + slope * (edge * (f[outer] - f[inner]) - (fx[outer] - fx[inner]))
            variance = smm - sm * sm / w[n]
            covariance = smf - sm * f[n] / w[n]
            if variance > 1e-12 * w[n] and covariance < 0:
                gain = covariance * covariance / variance
                if gain > best:
                    best, total, flat = gain, length, share
    return total, flat


@njit(cache=True, nogil=True)
def timing(time, flux, table, cell, period, t0, length, flat, noise):
    """Difference of the mid-times of odd and even transits over its error.

    Each transit's time is fitted with the derivative of the trapezoid, as a small shift of its ingress and egress;
    only transits with cadences in both count. As for depths, the error is the larger of the noise and of the scatter
    that transits of one kind show among themselves.

    Parameters
    ----------
    time, flux, table, cell
        See `larun.search.refine.Series`.
    period, t0 : float
        Ephemeris, days.
    length, flat : float
        From `trapezoid`.
    noise : float
        Noise of one cadence, scaled up so that it averages down to the noise of a transit.

    Returns
    -------
    float
        NaN without transits of both kinds.
    """
    if not np.isfinite(flat):
        return np.nan
    edge = 0.5 * length
    # A ramp that is softened, or made to hold a cadence, keeps its middle.
    ramp = min(max((1 - flat) * edge, SOFTEST * edge, 1.5 * cell), edge)
    outer = edge * (0.5 + 0.5 * flat) + 0.5 * ramp
    inner = outer - ramp
    depth = _depth(time, flux, table, cell, period, t0, inner, outer)
    if not depth > 0:
        return np.nan
    first, last = transit_range(time, period, t0, length)
    n = max(last - first, 0)
    shift, weight = np.zeros(n), np.zeros(n)
    for k in range(first, last):
        middle = t0 + k * period
        low = first_after(time, table, cell, middle - outer)
        high = first_after(time, table, cell, middle + outer)
        before = after = before_flux = after_flux = 0.0
        for i in range(low, high):
            x = time[i] - middle
            if abs(x) <= inner:
                continue
            # What is left over the trapezoid: its level cancels in the difference of the two sides.
            left = flux[i] + depth * (outer - abs(x)) / ramp
            if x < 0:
                before += 1
                before_flux += left
            else:
                after += 1
                after_flux += left
        if before > 0 and after > 0:
            # A later transit is brighter in its ingress and fainter in its egress, by depth / ramp each.
            weight[k - first] = 1 / (1 / before + 1 / after)
            shift[k - first] = (before_flux / before - after_flux / after) * 0.5 * ramp / depth
    return _difference(shift, weight, first, noise * 0.5 * ramp / depth)


@njit(cache=True, nogil=True)
def _depth(time, flux, table, cell, period, t0, inner, outer):
    """Depth between the contacts, over the level of as many cadences outside."""
    first, last = transit_range(time, period, t0, 4 * outer)
    bottom = level = 0.0
    n = m = 0
    for k in range(first, last):
        middle = t0 + k * period
        low = first_after(time, table, cell, middle - 2 * outer)
        high = first_after(time, table, cell, middle + 2 * outer)
        for i in range(low, high):
            x = abs(time[i] - middle)
            if x <= max(inner, 0.5 * outer):
                bottom += flux[i]
                n += 1
            elif x > outer:
                level += flux[i]
                m += 1
    return level / m - bottom / n if n > 0 and m > 0 else np.nan


@njit(cache=True, nogil=True)
def _difference(value, weight, first, noise):
    """Difference of weighted means of even and odd entries, counted from `first`, over its error."""
    mean, variance = np.zeros(2), np.zeros(2)
    for kind in range(2):
        own = np.zeros(len(value), np.bool_)
        for k in range(len(value)):
            own[k] = (first + k) % 2 == kind and weight[k] > 0
        n = own.sum()
        if n == 0:
            return np.nan
        total = weight[own].sum()
        mean[kind] = (weight[own] * value[own]).sum() / total
        variance[kind] = noise * noise / total
        if n > 1:
            spread = (weight[own] * (value[own] - mean[kind]) ** 2).sum() / total / (n - 1)
            variance[kind] = max(variance[kind], spread)
    return abs(mean[0] - mean[1]) / np.sqrt(variance.sum())

"""Best box of one star at a few periods, with its epoch and duration."""

from __future__ import annotations

import numpy as np
from numba import njit


@njit(cache=True, nogil=True)
def best_boxes(time, mean, weight, period, n_bins, width):
    """Best box of one star at each of some periods.

    Parameters
    ----------
    time : (bin,) float64
        Days.
    mean, weight : (bin,) float32
        Flux and weight.
    period : (period,) float64
        Days.
    n_bins : (period,) int32
        Phase bins.
    width : (period, duration) int32
        Box widths in bins; 0 is skipped.

    Returns
    -------
    t0, duration : (period,) float64
        Mid-time of a box and its length, days; NaN where no box lies below the rest.
    """
    total = whole = 0.0
    for b in range(len(mean)):
        total += np.float64(mean[b] * weight[b])
        whole += np.float64(weight[b])
    level = total / whole
    values = np.empty(len(mean), np.float32)
    from_first = np.empty(len(time))
    for b in range(len(mean)):
        values[b] = (mean[b] - level) * weight[b]
        from_first[b] = time[b] - time[0]
    t0, duration = np.empty(len(period)), np.empty(len(period))
    for p in range(len(period)):
        t0[p], duration[p] = best_box(from_first, values, weight, period[p], n_bins[p], width[p])
        t0[p] += time[0]
    return t0, duration


@njit(cache=True, nogil=True)
def best_box(time, values, weights, period, nb, widths):
    """Best box of one star at one period.

    Parameters
    ----------
    time : (bin,) float64
        Days.
    values, weights : (bin,) float32
        Flux times weight, zero mean, and weight.
    period : float
        Days.
    nb : int
        Phase bins.
    widths : (duration,) int32
        Box widths in bins; 0 is skipped.

    Returns
    -------
    t0, duration : float
        Mid-time of a box, days, in the zero point of `time`, and its length, days; NaN where no box lies below
        the rest.
    """
    longest = widths.max()
    s = np.zeros(nb + longest + 1)
    w = np.zeros(nb + longest + 1)
    place = np.empty(len(time), np.int32)
    for k in range(len(time)):
        phase = time[k] / period
        place[k] = min(np.int32((phase - np.floor(phase)) * nb), nb - 1) + 1
    for k in range(len(time)):
        s[np.uint32(place[k])] += values[k]
        w[np.uint32(place[k])] += weights[k]
    for i in range(nb):
        s[i + 1] += s[i]
        w[i + 1] += w[i]
    for i in range(nb + 1, nb + longest + 1):
        s[i] = s[i - nb] + s[nb]
        w[i] = w[i - nb] + w[nb]
    best, t0, duration = 0.0, np.nan, np.nan
    power = np.empty(nb)
    for m in widths:
        if m == 0:
            continue
        _powers(s, w, s[m:], w[m:], w[nb], power)
        for i in range(nb):
            if power[i] > best:
                best = power[i]
                t0 = (i + 0.5 * m) / nb * period
                duration = m / nb * period
    return t0, duration


@njit(cache=True, nogil=True, error_model="numpy")
def _powers(s, w, s_end, w_end, whole, power):
    """Gains of boxes whose sums go from `s` and `w` to `s_end` and `w_end`; 0 where one brightens."""
    for i in range(len(power)):
        inside, weight = s_end[i] - s[i], w_end[i] - w[i]
        dims = (inside < 0) & (weight > 0) & (whole - weight > 0)
        below = weight * (whole - weight) if dims else 1.0
        power[i] = inside * inside / below if dims else 0.0

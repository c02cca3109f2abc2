"""An event and its light curve as the one vector that the network reads.

This is the only place that makes network inputs, for training, sweep and `examine` alike. A vector is a strip
of six views and the measured quantities, every sample within [-1, 1], so that one INT8 scale serves all of them:

==========  =======  =====================================================================================
view        samples  what it shows
==========  =======  =====================================================================================
global      256      detrended flux folded with the period, the transit in the middle; depth units
odd         112      transits 1, 3, 5, ... over five durations, detrended; depth units
even        112      transits 2, 4, 6, ... over five durations, detrended; depth units
secondary   112      five durations around the deepest dip at another phase, detrended; depth units
depth       112      all transits over five durations, detrended; absolute, compressed
sector      256      undetrended flux against time; units of the noise, compressed
measured    64       what the search measured of the event and of its light curve, see `larun.measured`
==========  =======  =====================================================================================

Depth units: deviation from 1 over twice the event's depth, so the transit sits at -0.5 and its noise is
1/SNR. Absolute: ``asinh(deviation / 0.001) / asinh(1000)``, which keeps 100 ppm and 50 % apart. Noise units:
``asinh(deviation / error of the bin) / asinh(1000)``, the error from the scatter of successive cadences, so
the same star looks alike at every cadence.

Samples are medians over bins. An empty bin of a folded view is interpolated from its filled neighbours and a
view without any data is zero; an empty bin of the sector view is zero, its median.
"""

from __future__ import annotations

import math

import numpy as np
from numba import njit

from larun.lightcurve import Shard
from larun.measured import UNFOLDED, measured
from larun.schema import VIEW_DEFINITION, VIEW_LENGTH
from larun.selection import even_median, point_to_point_scatter
from larun.unfolded import (
    AROUND_CADENCES,
    AROUND_D,
    beside_gaps,
    excursions,
    from_surroundings,
    half_hours,
    without_spikes,
)
from larun.units import HOURS_PER_DAY, PPM

_LENGTHS = dict(VIEW_DEFINITION["views"])
GLOBAL, LOCAL, SECTOR = _LENGTHS["global"], _LENGTHS["odd"], _LENGTHS["sector"]
HALF_WIDTH_DURATIONS = VIEW_DEFINITION["half_width_durations"]
DEPTH_SCALE = VIEW_DEFINITION["depth_scale"]
ABSOLUTE_SCALE = VIEW_DEFINITION["absolute_scale"]
COMPRESSION = VIEW_DEFINITION["compression"]

_COMPRESSED_UNIT = 1.0 / math.asinh(COMPRESSION)
_LOCAL_OVERLAP = 1
_FEW = 24
_MEDIAN_ERROR = 1.2533
"""Standard error of a median over that of a mean, normal noise."""


def view_slices() -> dict[str, slice]:
    """Place of each view in the vector, by name."""
    places, start = {}, 0
    for name, length in VIEW_DEFINITION["views"]:
        places[name] = slice(start, start + length)
        start += length
    return places


def shard_views(
    shard: Shard, star: np.ndarray, relative: np.ndarray, detrended: np.ndarray, events: np.ndarray
) -> np.ndarray:
    """Views of events of the stars of a shard.

    Parameters
    ----------
    shard : Shard
        The stars, for their barycentric times.
    star : (event,) int
        Row in the shard of each event's star.
    relative : (star, cadence) float32
        Flux over its median, not detrended, NaN where masked.
    detrended : (event, cadence) float32
        Flux around 1, NaN where masked.
    events : (event,) structured
        Records of `larun.schema.event_dtype`; ``t0_btjd`` in the time system of the shard. A single transit is folded
        with a period of twice the data, which shows it once.

    Returns
    -------
    (event, 1024) float32
        Within [-1, 1]; zero for an event without an epoch or duration.
    """
    views = np.zeros((len(events), VIEW_LENGTH), np.float32)
    unfolded = np.zeros((len(events), len(UNFOLDED)))
    step_d = float(np.median(np.diff(shard.time))) if len(shard.time) > 1 else np.inf
    around = max(AROUND_CADENCES, round(AROUND_D / step_d))
    period_d = [folding_period(float(period), shard.time) for period in events["period_d"]]
    ephemerides = np.column_stack([period_d, events["t0_btjd"], events["duration_h"].astype(float) / HOURS_PER_DAY])
    told = np.isfinite(ephemerides).all(axis=1) & (ephemerides[:, 0] > 0) & (ephemerides[:, 2] > 0)
    for row in np.unique(star[told]):
        time = shard.barycentric_time(row)
        flux = without_spikes(time, np.ascontiguousarray(relative[row], np.float32), shard.flux[row])
        deviation, averaged = from_surroundings(flux, around), half_hours(time, flux)
        for k in np.flatnonzero(told & (star == row)):
            depth = float(events["depth_ppm"][k]) / PPM
            secondary = float(events["secondary_phase"][k])
            flat = np.ascontiguousarray(detrended[k], dtype=np.float32)
            noise = event_view(
                time,
                flux,
                flat,
                *ephemerides[k],
                depth if depth > 0 else 1.0 / PPM,
                secondary if np.isfinite(secondary) else 0.5,
                views[k],
            )
            gaps = beside_gaps(time, flat, *ephemerides[k])
            unfolded[k] = (*excursions(deviation, noise, around), *averaged, *gaps)
    shown = np.flatnonzero(views.any(axis=1))
    if len(shown):
        places = view_slices()
        views[shown, places["measured"]] = measured(events[shown], views[shown, places["sector"]], unfolded[shown])
    return views


def folding_period(period_d: float, time: np.ndarray) -> float:
    """Period with which an event is shown: its own, or twice the length of the data for a single transit."""
    return period_d if np.isfinite(period_d) or not len(time) else 2.0 * float(time[-1] - time[0])


@njit(cache=True, nogil=True)
def event_view(time, relative, detrended, period_d, t0, duration_d, depth, secondary_phase, out):
    """Fill one vector.

    Parameters
    ----------
    time : (cadence,) float64
        Barycentric time, days.
    relative, detrended : (cadence,) float32
        As in `shard_views`.
    period_d, t0, duration_d : float
        Days.
    depth : float
        Relative depth of the transit, positive.
    secondary_phase : float
        Phase of the secondary view, the transit at 0.
    out : (1024,) float32
        Written, but for the measured quantities.

    Returns
    -------
    float
        Scatter of successive cadences.
    """
    n = len(time)
    used = 0
    when = np.empty(n)
    deviation = np.empty(n, np.float32)
    for i in range(n):
        if not math.isnan(detrended[i]):
            when[used] = time[i]
            deviation[used] = detrended[i] - np.float32(1.0)
            used += 1
    when, deviation = when[:used], deviation[:used]
    position = np.empty(n, np.float32)
    depth_unit = 1.0 / (DEPTH_SCALE * depth)

    for i in range(used):
        phase = (when[i] - t0) / period_d + 0.5
        position[i] = (phase - math.floor(phase)) * GLOBAL
    counts = _median_bins(position[:used], deviation, 0, out[:GLOBAL])
    _fill_empty(out[:GLOBAL], counts, True)
    _scale(out[:GLOBAL], depth_unit)

    half = min(HALF_WIDTH_DURATIONS * duration_d, 0.5 * period_d)
    number = np.empty(used, np.int64)
    near = np.empty(used, np.float32)
    views = out[GLOBAL : GLOBAL + 4 * LOCAL].reshape(4, LOCAL)
    for which, centre in ((2, t0 + secondary_phase * period_d), (0, t0)):
        inside = _around(when, deviation, centre, period_d, half, position, number, near)
        if which == 2:
            _local_view(position[:inside], near[:inside], views[2], depth_unit)
            continue
        counts = _median_bins(position[:inside], near[:inside], _LOCAL_OVERLAP, views[3])
        _fill_empty(views[3], counts, False)
        _compress(views[3], 1.0 / ABSOLUTE_SCALE)
        first = 0
        for i in range(inside):
            if number[i] % 2 == 0:
                position[i], position[first] = position[first], position[i]
                near[i], near[first] = near[first], near[i]
                number[i], number[first] = number[first], number[i]
                first += 1
        _local_view(position[:first], near[:first], views[0], depth_unit)
        _local_view(position[first:inside], near[first:inside], views[1], depth_unit)
    start = GLOBAL + 4 * LOCAL

    return _sector_view(time, relative, detrended, position, out[start : start + SECTOR])


@njit(cache=True, nogil=True)
def _around(time, deviation, centre, period_d, half, position, number, near):
    """Pick the points within `half` days of a repeating moment; return how many there are.

    `position` is filled with their places in a local view, `number` with their cycles, `near` with their deviations.
    """
    inside = 0
    for i in range(len(time)):
        cycle = (time[i] - centre) / period_d
        nearest = math.floor(cycle + 0.5)
        place = np.float32(((cycle - nearest) * period_d / half + 1.0) * (0.5 * LOCAL))
        if place >= 0 and place < LOCAL:
            position[inside], number[inside], near[inside] = place, int(nearest), deviation[i]
            inside += 1
    return inside


@njit(cache=True, nogil=True)
def _local_view(position, deviation, view, depth_unit):
    counts = _median_bins(position, deviation, _LOCAL_OVERLAP, view)
    _fill_empty(view, counts, False)
    _scale(view, depth_unit)


@njit(cache=True, nogil=True)
def _sector_view(time, relative, detrended, position, out):
    """Undetrended flux over the whole time span, in units of each bin's error, compressed; returns the noise."""
    n = len(time)
    first, last = np.inf, -np.inf
    for i in range(n):
        if not math.isnan(relative[i]):
            first, last = min(first, time[i]), max(last, time[i])
    if not last > first:
        out[:] = 0.0
        return 0.0
    deviation = np.empty(n, np.float32)
    for i in range(n):
        position[i] = (time[i] - first) / (last - first) * (SECTOR * 0.999999)
        deviation[i] = relative[i] - np.float32(1.0)
    counts = _median_bins(position, deviation, 0, out)
    noise = point_to_point_scatter(detrended)
    for i in range(SECTOR):
        if counts[i] == 0 or noise <= 0:
            out[i] = 0.0
        else:
            error = noise if counts[i] < 3 else noise * _MEDIAN_ERROR / math.sqrt(counts[i])
            out[i] = max(-1.0, min(1.0, math.asinh(out[i] / error) * _COMPRESSED_UNIT))
    return noise


@njit(cache=True, nogil=True)
def _median_bins(position, value, overlap, out):
    """Median of `value` in each unit cell of `position` and `overlap` cells on either side.

    Where these cells hold many points, the mean of the cells' medians weighted by their counts, which is as
    robust there and needs no second sorting. Points outside ``[0, len(out))`` and NaN are left out; empty bins
    are 0. Returns the count of each bin.
    """
    n_bins = len(out)
    first = np.zeros(n_bins + 1, np.int64)
    for i in range(len(position)):
        if position[i] >= 0 and position[i] < n_bins and not math.isnan(value[i]):
            first[int(position[i]) + 1] += 1
    for cell in range(n_bins):
        first[cell + 1] += first[cell]
    ordered = np.empty(first[n_bins], np.float32)
    place = first[:n_bins].copy()
    for i in range(len(position)):
        if position[i] >= 0 and position[i] < n_bins and not math.isnan(value[i]):
            cell = int(position[i])
            ordered[place[cell]] = value[i]
            place[cell] += 1
    counts = np.empty(n_bins, np.int64)
    own = np.zeros(n_bins, np.float32)
    for cell in range(n_bins):
        low, high = first[max(cell - overlap, 0)], first[min(cell + overlap, n_bins - 1) + 1]
        counts[cell] = high - low
        out[cell] = np.float32(0.0)
        if 0 < high - low < _FEW:
            out[cell] = even_median(ordered[low:high].copy())
    for cell in range(n_bins):
        if first[cell + 1] > first[cell]:
            own[cell] = even_median(ordered[first[cell] : first[cell + 1]])
    for cell in range(n_bins):
        if counts[cell] >= _FEW:
            total = 0.0
            for other in range(max(cell - overlap, 0), min(cell + overlap, n_bins - 1) + 1):
                total += own[other] * (first[other + 1] - first[other])
            out[cell] = total / counts[cell]
    return counts


@njit(cache=True, nogil=True)
def _fill_empty(view, counts, periodic):
    """Interpolate bins without data between their filled neighbours; hold the last one at the ends."""
    n = len(view)
    n_filled = 0
    for i in range(n):
        n_filled += counts[i] > 0
    if n_filled in (0, n):
        return
    for i in range(n):
        if counts[i] > 0:
            continue
        left, right = 1, 1
        while left <= n and (periodic or i - left >= 0) and counts[(i - left) % n] == 0:
            left += 1
        while right <= n and (periodic or i + right < n) and counts[(i + right) % n] == 0:
            right += 1
        has_left, has_right = periodic or i - left >= 0, periodic or i + right < n
        a, b = view[(i - left) % n], view[(i + right) % n]
        if has_left and has_right:
            view[i] = (a * right + b * left) / (left + right)
        else:
            view[i] = a if has_left else b


@njit(cache=True, nogil=True)
def _scale(view, unit):
    for i in range(len(view)):
        view[i] = max(-1.0, min(1.0, view[i] * unit))


@njit(cache=True, nogil=True)
def _compress(view, unit):
    for i in range(len(view)):
        view[i] = max(-1.0, min(1.0, math.asinh(view[i] * unit) * _COMPRESSED_UNIT))

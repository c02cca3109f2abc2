"""How good a periodic box is: depth with red noise, consistency of its transits, and the score that ranks events.

The score is a product of figures between 0 and 1, each of which falls where false alarms differ from transits:

===================  =========  ========  =======================================================================
figure               full from  exponent  what falls short
===================  =========  ========  =======================================================================
``trimmed``          8          0.17      chance, and events that one dip carries
``sde``              6          0.08      signals that other periods fit almost as well
strength over dip    2.7        0.25      variability: the strongest other dip of the fold is as deep
strength over bump   2.9        0.18      noise that is not white: the strongest brightening of the fold is as high
transits             3.5        0.23      two or three unrelated dips, of which long periods always find some
``beside``           0.9        0.10      dips at gaps, where instruments settle: one side of them is not observed
``local``            1.0        0.30      waves and ramps, whose flux is low beside the transit too
===================  =========  ========  =======================================================================

and of penalties for depths that scatter more than the noise (exponent 0.07 of the reduced chi-square), and for transits
longer than that of a Sun-like star (exponent 0.32) or shorter than 0.3 of it (0.1). Above these limits strength
says nothing more about what a signal is; systematics are often stronger than planets. Limits and exponents are those
that find most of the transits injected into real light curves at 0.4 to 3 % false alarms among the same light curves
without them, and upside down.
"""

from __future__ import annotations

import numpy as np
from numba import njit

from larun.search import cells
from larun.search.template import template_power

_FIELDS = (
    "period", "middle", "duration", "power", "sde", "depth", "error", "noise", "strength", "trimmed", "dip", "bump",
    "n_transits", "n_seen", "odd_even", "largest_share", "chi2", "beside", "local", "score",
)  # fmt: skip
BOX = np.dtype((np.record, [(name, np.float64) for name in _FIELDS]))
"""Box with its rating. Times in cells, depth and noise in units of the noise per exposure.

``strength`` is the signal-to-noise of the best template, red noise included, ``trimmed`` what is left of it without the
transit that helps most; ``dip`` and ``bump`` are the same of the strongest other dip and brightening at this period.
``n_seen`` counts transits with `SEEN` of their exposures, ``beside`` is the share of the flux on their less observed
side that was observed, ``local`` their depth below both sides over that below the whole light curve, NaN where the
sides were not observed.
"""

SEEN = 0.1
"""A transit takes part if it has such a share of its exposures."""

AREA = (1.4, 1.0)
"""Odd and even transits are compared by the light lost in so many durations and cells: all of a transit, however the
exposures fall on its edges."""

WHOLE = 0.9
"""Share of the exposures of such a window without which a transit is not compared."""

LEAST_DIFFERENCE = 0.05
"""Odd and even transits that differ by a smaller share of their depth are alike: detrending makes as much."""

DEPTH_ERROR = 0.1
"""Depths of single transits scatter by this share without meaning anything: where exposures fall on their edges, and
what detrending does to them."""

BINS_PER_DURATION = 3
"""Phase bins in which other dips and bumps are looked for."""

LEAST_RIVAL = 2.5
"""Signal-to-noise that the strongest of so many phases reaches in white noise."""

LONG, SHORT = 1.0, 0.3
"""Durations, in those of a Sun-like star, beyond which a transit is unusual."""

ASIDE, SIDE = (0.15, 0.3), 2.0
"""The flux beside a transit is that of one duration, at least of `SIDE` cells, from so many durations and cells off its
edge."""

SIDE_SEEN = 0.3
"""A side with a smaller share of its exposures has no depth to compare with."""

UNKNOWN_LOCAL = 0.5
"""What ``local`` counts as where no side is observed."""


@njit(cache=True, nogil=True)
def rate(sums, box, usual_duration):
    """Fill in all but times, `power` and `sde` of one record of `BOX`.

    Parameters
    ----------
    sums
        From `larun.search.cells.lay_out`, of flux in units of its noise.
    box : record
        Of `BOX`.
    usual_duration : float
        Duration of the central transit of a Sun-like star at a period of one cell, cells.
    """
    number, count, total = cells.transits(sums, box.period, box.middle, box.duration)
    full = max(box.duration, 1.0)
    n, s = count.sum(), total.sum()
    level = -s / max(sums[-1, 0] - n, 1.0)
    box.noise = cells.noise_of_a_transit(sums, box.period, box.middle, box.duration)
    box.depth = level - s / max(n, 1e-9)
    box.error = box.noise / np.sqrt(max(n, 1e-9) / full)
    box.largest_share = min(-total.min() / -s, 1.0) if s < 0 else 1.0
    box.n_transits = np.sum(count >= cells.FULL_TRANSIT * full)
    box.odd_even = _odd_even(sums, box)
    red = box.noise * np.sqrt(full)
    power, _, _ = template_power(sums, box.period, box.middle, box.duration)
    box.strength = np.sqrt(max(power, box.power)) / red
    kept, box.chi2 = _consistency(count, total, level, red, SEEN * full)
    box.trimmed = box.strength * min(max(kept, 0.0), 1.0)
    dip, bump = rivals(sums, box.period, box.middle, box.duration)
    box.dip, box.bump = dip / red, bump / red
    box.n_seen = np.sum(count >= SEEN * full)
    box.beside, box.local = _sides(sums, box, number, count, total)
    box.score = _score(box, usual_duration)


@njit(cache=True, nogil=True)
def _score(box, usual_duration):
    """Product of the figures at the top of this module, times a factor near 1 that still grows with strength."""
    length = box.duration / (usual_duration * np.cbrt(box.period))
    score = _figure(box.trimmed, 8.0, 0.17) * _figure(box.sde, 6.0, 0.08)
    score *= _figure(box.strength / max(box.dip, LEAST_RIVAL), 2.7, 0.25)
    score *= _figure(box.strength / max(box.bump, LEAST_RIVAL), 2.9, 0.18)
    score *= _figure(box.n_seen, 3.5, 0.23) * _figure(box.beside, 0.9, 0.10)
    score *= _figure(box.local if np.isfinite(box.local) else UNKNOWN_LOCAL, 1.0, 0.30)
    score *= _figure(LONG / length, 1.0, 0.32) * _figure(length / SHORT, 1.0, 0.10)
    score *= _figure(1.0 / box.chi2, 1.0, 0.07) if box.chi2 > 0 else 1.0
    return score * box.strength / (1.0 + box.strength)


@njit(cache=True, nogil=True)
def _figure(value, full, exponent):
    """1 from `full` on, falling below."""
    return min(max(value, 0.0) / full, 1.0) ** exponent


@njit(cache=True, nogil=True)
def _sides(sums, box, number, count, total):
    """How much of the flux beside the transits is observed, and the depth below it; see `BOX`."""
    width = max(box.duration, SIDE)
    off = 0.5 * box.duration + ASIDE[0] * box.duration + ASIDE[1]
    least = SEEN * max(box.duration, 1.0)
    n = observed = n_both = lost = 0.0
    for k in range(len(number)):
        if count[k] < least:
            continue
        middle = box.middle + number[k] * box.period
        before_n, before = cells.between(sums, middle - off - width, middle - off)
        after_n, after = cells.between(sums, middle + off, middle + off + width)
        fewer = min(before_n, after_n) / width
        n += count[k]
        observed += count[k] * min(fewer, 1.0)
        if fewer > SIDE_SEEN:
            n_both += count[k]
            lost += count[k] * 0.5 * (before / before_n + after / after_n) - total[k]
    local = lost / n_both / box.depth if n_both > 0 and box.depth > 0 else np.nan
    return observed / n if n > 0 else 0.0, local


@njit(cache=True, nogil=True)
def _consistency(count, total, level, red, least):
    """How alike the transits are.

    Returns
    -------
    kept : float
        Share of the mean depth that is left without the transit that helps most; 0 for a single transit.
    chi2 : float
        Reduced chi-square of the depths about their mean.
    """
    n = s = 0.0
    seen = 0
    for k in range(len(count)):
        if count[k] >= least:
            seen += 1
            n += count[k]
            s += level * count[k] - total[k]
    if seen < 2 or s <= 0:
        return 0.0, 1.0
    mean = s / n
    depth = np.inf
    chi2 = 0.0
    for k in range(len(count)):
        if count[k] >= least:
            lost = level * count[k] - total[k]
            depth = min(depth, (s - lost) / (n - count[k]))
            chi2 += (lost / count[k] - mean) ** 2 / (red * red / count[k] + (DEPTH_ERROR * mean) ** 2)
    return depth / mean, chi2 / (seen - 1)


@njit(cache=True, nogil=True)
def rivals(sums, period, middle, duration):
    """Strongest dip and strongest bump of one duration at other phases of the folded light curve.

    Both in units of the noise of their exposures, white; 0 where too little of the phases is observed.
    """
    width = BINS_PER_DURATION
    n_bins = max(int(np.rint(period / duration * width)), 4 * width)
    count = np.zeros(n_bins + width + 1)
    total = np.zeros(n_bins + width + 1)
    size = len(sums) - 1
    bin_width = period / n_bins
    # Bins start with those of the transit.
    start = middle - np.ceil(middle / period) * period - 0.5 * width * bin_width
    while start < size:
        n, s = cells.before(sums, start)
        for b in range(n_bins):
            end = start + (b + 1) * bin_width
            if end > 0:
                n_before, s_before = n, s
                n, s = cells.before(sums, end)
                count[b + 1] += n - n_before
                total[b + 1] += s - s_before
                if end >= size:
                    break
        start += period
    for b in range(n_bins):
        count[b + 1] += count[b]
        total[b + 1] += total[b]
    inside = count[width]
    level = (total[n_bins] - total[width]) / max(count[n_bins] - inside, 1.0)
    dip = bump = 0.0
    for b in range(width, n_bins - width + 1):
        n = count[b + width] - count[b]
        if n > 0.5 * inside and n >= 1.0:
            excess = (total[b + width] - total[b] - level * n) / np.sqrt(n)
            dip = max(dip, -excess)
            bump = max(bump, excess)
    return dip, bump


@njit(cache=True, nogil=True)
def _odd_even(sums, box):
    """Difference of the light lost in odd and even transits over its error; NaN without transits of both kinds.

    The error is the larger of the noise and of the scatter that transits of one kind show among themselves.
    """
    width = min(AREA[0] * box.duration + AREA[1], 0.5 * box.period)
    number, count, total = cells.transits(sums, box.period, box.middle, width)
    noise = box.noise * np.sqrt(box.duration * width)
    mean = np.zeros(2)
    square = np.zeros(2)
    seen = np.zeros(2)
    for k in range(len(number)):
        if count[k] >= WHOLE * width:
            kind = number[k] % 2
            lost = -total[k] * width / count[k]
            seen[kind] += 1
            mean[kind] += lost
            square[kind] += lost * lost
    if seen[0] == 0 or seen[1] == 0:
        return np.nan
    variance = 0.0
    for kind in range(2):
        mean[kind] /= seen[kind]
        scatter = 0.0
        if seen[kind] > 1:
            scatter = max(square[kind] / seen[kind] - mean[kind] ** 2, 0.0) / (seen[kind] - 1)
        variance += max(noise * noise / seen[kind], scatter)
    difference = abs(mean[0] - mean[1])
    if difference < LEAST_DIFFERENCE * max(mean[0], mean[1]):
        return 0.0
    return difference / np.sqrt(variance)

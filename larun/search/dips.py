"""What else a folded light curve holds: other dips, brightenings and sinusoids.

The significances are those of the model-shift uniqueness test (Rowe et al. 2015, ApJS 217, 16;
Thompson et al. 2018, ApJS 235, 38): the transit's box is moved through all phases, and the deepest dip
beside the transit is its secondary, the deepest beside both its tertiary.
"""

from __future__ import annotations

import numpy as np
from numba import njit

FIGURES = (
    "secondary_depth",
    "secondary_snr",
    "secondary_phase",
    "tertiary_snr",
    "positive_snr",
    "phase_scatter",
)
"""What `other_dips` returns, in its order."""

CLEAR = 1.5
"""A secondary lies at least so many durations from the transit, centre to centre."""

APART = 2.0
"""A tertiary lies at least so many durations from transit and secondary."""

FAR = 3.0
"""A brightening lies at least so many durations from both: detrending raises the flux beside a deep dip."""

FEWEST_PHASES = 5
"""With fewer independent phases beside the transit and the secondary their scatter is not known."""


@njit(cache=True, nogil=True)
def _distance(a, b, n):
    """Bins between two phases of a cycle of `n`."""
    apart = abs(a - b)
    return min(apart, n - apart)


@njit(cache=True, nogil=True)
def other_dips(total, count, per_duration, full, noise):
    """Strongest dips and the strongest brightening beside the transit of a folded light curve.

    Parameters
    ----------
    total, count : (bin,) float64
        Summed flux and cadences; the transit is centred on the start of bin 0.
    per_duration : int
        Bins per duration.
    full : float
        Cadences of one fully observed transit.
    noise : float
        Noise of the mean of so many cadences, red noise included.

    Returns
    -------
    secondary_depth : float
        Depth of the deepest dip in significance, in the unit of the flux.
    secondary_snr, secondary_phase : float
        Its significance, and the phase of its middle, 0 to 1.
    tertiary_snr : float
        Significance of the next one.
    positive_snr : float
        Significance of the strongest brightening.
    phase_scatter : float
        Standard deviation of the significances at all phases beside the transit and the secondary: 1 if the noise
        averages out from orbit to orbit, more where something repeats with the period.

    Notes
    -----
    NaN where no phase holds half a transit's worth of cadences: fewer would let single outliers pass for a dip.
    """
    n = len(total)
    half = per_duration // 2
    inside_flux = inside_count = 0.0
    for b in range(half):
        inside_flux += total[b] + total[n - 1 - b]
        inside_count += count[b] + count[n - 1 - b]
    level = (total.sum() - inside_flux) / max(count.sum() - inside_count, 1.0)
    strength = np.full(n, np.nan)
    depth = np.empty(n)
    flux = cadences = 0.0
    for b in range(per_duration):
        flux += total[b]
        cadences += count[b]
    # Window w holds the bins w to w + per_duration - 1, so its middle is w + half.
    for w in range(1, n):
        flux += total[(w + per_duration - 1) % n] - total[w - 1]
        cadences += count[(w + per_duration - 1) % n] - count[w - 1]
        if cadences >= 0.5 * full and _distance(w + half, 0, n) >= CLEAR * per_duration:
            depth[w] = level - flux / cadences
            strength[w] = depth[w] * np.sqrt(cadences / full) / noise
    second = -1
    for w in range(n):
        if np.isfinite(strength[w]) and (second < 0 or strength[w] > strength[second]):
            second = w
    if second < 0:
        return np.nan, np.nan, np.nan, np.nan, np.nan, np.nan
    third = positive = np.nan
    m = 0
    mean = squares = 0.0
    for w in range(n):
        apart = _distance(w, second, n)
        if not np.isfinite(strength[w]) or apart < CLEAR * per_duration:
            continue
        m += 1
        step = strength[w] - mean
        mean += step / m
        squares += step * (strength[w] - mean)
        clear = min(apart, _distance(w + half, 0, n))
        if clear >= APART * per_duration and not strength[w] <= third:
            third = strength[w]
        if clear >= FAR * per_duration and not -strength[w] <= positive:
            positive = -strength[w]
    scatter = np.sqrt(squares / (m - 1)) if m >= FEWEST_PHASES * per_duration else np.nan
    return depth[second], strength[second], ((second + half) % n) / n, third, positive, scatter


@njit(cache=True, nogil=True)
def sinusoid_gain(total, count):
    """Gain in chi-square of the best of sinusoids at half the period, the period and twice the period.

    After SWEET (Thompson et al. 2018, ApJS 235, 38), on a light curve folded at twice the period.

    Parameters
    ----------
    total, count : (bin,) float64
        Summed flux in units of its noise, and cadences, of two periods.
    """
    n = len(total)
    best = 0.0
    for order in (1, 2, 4):
        turn = 2 * np.pi * order / n
        cos, sin = np.cos(0.5 * turn), np.sin(0.5 * turn)
        step_cos, step_sin = np.cos(turn), np.sin(turn)
        w = c = s = cc = cs = ss = f = fc = fs = 0.0
        for b in range(n):
            w += count[b]
            c += count[b] * cos
            s += count[b] * sin
            cc += count[b] * cos * cos
            cs += count[b] * cos * sin
            ss += count[b] * sin * sin
            f += total[b]
            fc += total[b] * cos
            fs += total[b] * sin
            cos, sin = cos * step_cos - sin * step_sin, sin * step_cos + cos * step_sin
        # The constant is taken out first, then a plane is fitted to what is left.
        cc, cs, ss = cc - c * c / w, cs - c * s / w, ss - s * s / w
        fc, fs = fc - f * c / w, fs - f * s / w
        determinant = cc * ss - cs * cs
        if determinant > 1e-9 * w * w:
            best = max(best, (ss * fc * fc - 2 * cs * fc * fs + cc * fs * fs) / determinant)
    return best

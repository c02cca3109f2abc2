"""Events that repeat the signal of another star of the sector: its light reaches their aperture, or their column.

After Coughlin et al. (2014, AJ 147, 119): two stars whose transits always coincide see one source, and the one that
loses more light is, or is nearer to, that source.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

NEAR, COLUMN = "near", "column"
"""How the light got there: through the wings of the image, or along a column of the CCD."""

KEPLER_PIXEL, TESS_PIXEL = 3.98, 21.0
"""Arcseconds (Kepler Instrument Handbook, section 1; Ricker et al. 2015)."""

REACH_ARCSEC, REACH_MAG = 50.0 * TESS_PIXEL / KEPLER_PIXEL, 10.3
"""Coughlin's largest distance, 50 arcsec at Kepler magnitude 15 for the wings and more for brighter stars, in pixels
of TESS, and for its magnitude of the same electrons per second."""

COLUMN_PIX = 3.0
"""Largest difference of columns."""

COLUMN_LIGHT = 10.0
"""A star along the column must lose so many times as much light."""

RATIOS = (0.5, 1.0, 2.0, 3.0)
"""Periods of the copy over that of its source: a binary's eclipses may count as alike, a copy may miss some."""

CLEAR_LEAD = 2.0
"""Where two stars lose the same light within this factor the deeper one is the source: it is diluted less."""


@dataclass(frozen=True)
class Ephemerides:
    """Events of a sector as the match needs them, one row each; NaN and 0 where not known.

    Parameters
    ----------
    target : (event,) str
        Name of the star.
    xyz : (event, 3) float64
        Unit vector to it.
    tmag, depth_ppm, snr : (event,) float64
    period_d, t0_btjd, duration_d : (event,) float64
    n_transits : (event,) int64
    secondary_phase : (event,) float64
        Where a second eclipse was seen, else NaN.
    detector : (event,) int64
        Number of the CCD, 0 where not known.
    column_pix : (event,) float64
        Position on it.
    """

    target: np.ndarray
    xyz: np.ndarray
    tmag: np.ndarray
    depth_ppm: np.ndarray
    snr: np.ndarray
    period_d: np.ndarray
    t0_btjd: np.ndarray
    duration_d: np.ndarray
    n_transits: np.ndarray
    secondary_phase: np.ndarray
    detector: np.ndarray
    column_pix: np.ndarray


@dataclass(frozen=True)
class Parents:
    """For each event the row of the event that it repeats.

    Parameters
    ----------
    row : (event,) int64
        -1 where none.
    arcsec, light_ratio, period_ratio : (event,) float64
        Distance, light that the source loses over that lost here, period over that of the source; NaN where none.
    how : (event,) str
        `NEAR`, `COLUMN` or empty.
    """

    row: np.ndarray
    arcsec: np.ndarray
    light_ratio: np.ndarray
    period_ratio: np.ndarray
    how: np.ndarray


def unit_vectors(ra: np.ndarray, dec: np.ndarray) -> np.ndarray:
    """Unit vectors of positions in degrees, (n, 3)."""
    ra, dec = np.radians(ra), np.radians(dec)
    return np.stack([np.cos(dec) * np.cos(ra), np.cos(dec) * np.sin(ra), np.sin(dec)], axis=-1)


def reach_arcsec(tmag) -> np.ndarray:
    """Distance to which a star's light may reach an aperture, arcseconds."""
    bright = np.where(np.isfinite(tmag), 10.0 ** (-0.4 * (np.nan_to_num(tmag) - REACH_MAG)), 0.0)
    return REACH_ARCSEC * np.sqrt(bright + 1)


def find_parents(events: Ephemerides, min_snr: float) -> Parents:
    """Find the source of every event that is a copy.

    Parameters
    ----------
    events : Ephemerides
        All events of a sector.
    min_snr : float
        Weaker events are neither copies nor sources.

    Returns
    -------
    Parents
        Of several sources the one that loses most light.
    """
    n = len(events.target)
    used = np.flatnonzero(
        (events.snr >= min_snr) & np.isfinite(events.period_d + events.t0_btjd + events.duration_d)
        & (events.period_d > 0) & (events.depth_ppm > 0)
    )  # fmt: skip
    parents = Parents(
        np.full(n, -1), np.full(n, np.nan), np.full(n, np.nan), np.full(n, np.nan), np.full(n, "", object)
    )
    if len(used) < 2:
        return parents
    last = events.t0_btjd[used] + (events.n_transits[used] - 1) * events.period_d[used]
    span = last.max() - events.t0_btjd[used].min()
    for how, (source, copy) in ((NEAR, _near(events, used)), (COLUMN, _same_column(events, used))):
        lead = _light_ratio(events, source, copy)
        deeper = events.depth_ppm[source] > events.depth_ppm[copy]
        ahead = (lead > CLEAR_LEAD) | ((lead >= 1 / CLEAR_LEAD) & deeper)
        ratio = _coincide(events, source, copy, span)
        kept = np.isfinite(ratio) & (ahead if how == NEAR else lead > COLUMN_LIGHT)
        kept &= events.target[source] != events.target[copy]
        # The last of several assignments stays: the largest lead.
        order = np.flatnonzero(kept)[np.argsort(lead[kept], kind="stable")]
        order = order[parents.row[copy[order]] < 0]
        rows = copy[order]
        parents.row[rows], parents.how[rows] = source[order], how
        parents.light_ratio[rows], parents.period_ratio[rows] = lead[order], ratio[order]
        parents.arcsec[rows] = _separation(events.xyz[source[order]], events.xyz[rows])
    return parents


def _near(events: Ephemerides, used: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Rows of sources and of events within their reach."""
    from scipy.spatial import cKDTree

    placed = used[np.isfinite(events.xyz[used]).all(axis=1)]
    if not len(placed):
        return np.empty(0, np.int64), np.empty(0, np.int64)
    chord = 2 * np.sin(0.5 * np.radians(reach_arcsec(events.tmag[placed]) / 3600))
    lists = cKDTree(events.xyz[placed]).query_ball_point(events.xyz[placed], chord)
    count = np.fromiter(map(len, lists), np.int64, len(lists))
    copies = np.fromiter((i for found in lists for i in found), np.int64, count.sum())
    return np.repeat(placed, count), placed[copies]


def _same_column(events: Ephemerides, used: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Rows of sources and of events on the same columns of a CCD."""
    placed = used[np.isfinite(events.column_pix[used]) & (events.detector[used] > 0)]
    # CCDs side by side, farther apart than any column.
    x = events.detector[placed] * 1e5 + events.column_pix[placed]
    order = np.argsort(x, kind="stable")
    placed, x = placed[order], x[order]
    first = np.searchsorted(x, x - COLUMN_PIX)
    count = np.searchsorted(x, x + COLUMN_PIX, side="right") - first
    within = np.arange(count.sum()) - np.repeat(np.cumsum(count) - count, count)
    return np.repeat(placed, count), placed[np.repeat(first, count) + within]


def _light_ratio(events: Ephemerides, source: np.ndarray, copy: np.ndarray) -> np.ndarray:
    """Light lost by the source over that lost by the copy; of depths alone where a magnitude is not known."""
    brighter = 10.0 ** (-0.4 * (events.tmag[source] - events.tmag[copy]))
    return np.where(np.isfinite(brighter), brighter, 1.0) * events.depth_ppm[source] / events.depth_ppm[copy]


def _coincide(events: Ephemerides, source: np.ndarray, copy: np.ndarray, span: float) -> np.ndarray:
    """Ratio of the periods, where every transit of the copy falls on an eclipse of the source; NaN elsewhere."""
    p, q = events.period_d[source], events.period_d[copy]
    reach = 0.5 * np.maximum(events.duration_d[source], events.duration_d[copy])
    delay = events.t0_btjd[copy] - events.t0_btjd[source]
    second = events.secondary_phase[source]
    found = np.full(len(source), np.nan)
    for ratio in RATIOS:
        # Drift of the copy against its source over the data.
        drift = np.abs(q - ratio * p) * span / q
        cycle = np.minimum(p, q)
        meets = _distance(delay, cycle) < reach
        meets |= _distance(delay - second * p, cycle) < reach
        found[(drift < reach) & meets] = ratio
    return found


def _distance(delay: np.ndarray, cycle: np.ndarray) -> np.ndarray:
    """Distance of a delay from a whole number of cycles."""
    return np.abs(delay - np.rint(delay / cycle) * cycle)


def _separation(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Angles between unit vectors, arcseconds."""
    chord = np.sqrt(((a - b) ** 2).sum(axis=-1))
    return np.degrees(2 * np.arcsin(np.minimum(0.5 * chord, 1.0))) * 3600

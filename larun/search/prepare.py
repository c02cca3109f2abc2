"""From delivered flux to relative flux: which cadences are good, and which stars can be searched."""

from __future__ import annotations

import numpy as np

from larun.config import SearchSettings
from larun.lightcurve import QUALITY_MASKS, Shard
from larun.units import MAD_TO_SIGMA

MIN_GOOD_CADENCES = 100
"""A star with fewer good cadences is not searched: a box needs an inside and an outside."""

CLIP_SIGMA = 4.0
"""Cadences this far above the trend are left out of the search (flares, cosmic rays)."""

ISOLATED_SIGMA = 6.0
"""Single cadences this far below the trend with both neighbours on it are left out too, see `isolated`."""


def bad_bits(mission: str, settings: SearchSettings) -> int:
    """Quality bits that hide a cadence; 0 for a mission whose bits are not known."""
    if settings.quality_mask is not None:
        return settings.quality_mask
    return QUALITY_MASKS.get(mission, 0)


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
    good = np.isfinite(shard.flux) & (shard.quality >= 0)
    bits = bad_bits(shard.mission, settings)
    if bits:
        good &= (shard.quality & bits) == 0
    relative = np.full(shard.flux.shape, np.nan, np.float32)
    reasons = []
    for star in range(len(shard)):
        flux = shard.flux[star, good[star]]
        reasons.append(_obstacle(flux))
        median = float(np.median(flux)) if len(flux) else 0.0
        if median > 0 and np.isfinite(median):
            relative[star, good[star]] = (flux.astype(np.float64) / median).astype(np.float32)
    return relative, tuple(reasons)


def _obstacle(flux: np.ndarray) -> str:
    """Why these good cadences cannot be searched; empty if they can."""
    if not len(flux):
        return "no good cadence"
    if len(flux) < MIN_GOOD_CADENCES:
        return f"{len(flux)} good cadences, {MIN_GOOD_CADENCES} are needed"
    if flux.min() == flux.max():
        return f"constant flux {flux[0]:g}"
    median = float(np.median(flux))
    if not median > 0:
        return f"median flux {median:g} is not positive"
    return ""


def robust_sigma(values: np.ndarray) -> float:
    """Standard deviation from the median absolute deviation of finite `values`; NaN if there are none."""
    values = values[np.isfinite(values)]
    if not len(values):
        return np.nan
    return float(MAD_TO_SIGMA * np.median(np.abs(values - np.median(values))))


def clip(detrended: np.ndarray, isolated_dips: bool) -> None:
    """Set upward outliers of each star to NaN, in place.

    Parameters
    ----------
    detrended : (star, cadence) float32
        Around 1.
    isolated_dips : bool
        Also leave out single low cadences. Only right where the shortest transit spans several cadences, so
        that a dip of one cadence cannot be one.

    Notes
    -----
    Dips of two or more cadences are never touched.
    """
    for flux in detrended:
        rows = np.flatnonzero(np.isfinite(flux))
        if len(rows) < 3:
            continue
        level = np.median(flux[rows])
        sigma = robust_sigma(flux[rows])
        if not sigma > 0:
            continue
        offset = (flux[rows] - level) / sigma
        bad = offset > CLIP_SIGMA
        if isolated_dips:
            bad |= isolated(offset)
        flux[rows[bad]] = np.nan


def isolated(offset: np.ndarray) -> np.ndarray:
    """Cadences below -ISOLATED_SIGMA whose neighbours both lie within half of that; (cadence,) bool."""
    calm = np.ones(len(offset) + 2, bool)
    calm[1:-1] = offset > -ISOLATED_SIGMA / 2
    return (offset < -ISOLATED_SIGMA) & calm[:-2] & calm[2:]

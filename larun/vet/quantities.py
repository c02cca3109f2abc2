"""Numbers that the vetting tests compare with their thresholds.

Each is a small pure function from a table of events (structured array of `larun.schema.event_dtype`, or one record of
it), what is known of the stars, and `VetSettings`, to one number per event; NaN where it is not known or the test
does not apply.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from scipy.special import chdtrc, erfcinv

from larun.config import VetSettings
from larun.units import HOURS_PER_DAY, PPM, R_JUPITER_PER_R_SUN, transit_duration_h

LOGG_SUN = 4.438
"""Surface gravity of the Sun, dex(cm/s2) (IAU 2015 resolution B3)."""

TESS_ORBIT_D = 13.7
"""Orbital period of TESS (Ricker et al. 2015, JATIS 1, 014003)."""

ALIASES_D = (1.0, TESS_ORBIT_D / 2, TESS_ORBIT_D)
"""Periods of scattered light: rotation of the Earth, half an orbit, an orbit."""

CHANCE = 1e-4
"""Transits scatter in depth if noise alone would scatter them so much with less than this probability."""

FEW = 4
"""With fewer transits odd or even ones are single."""

ONE_ECLIPSE = 0.7
"""A secondary of which one occurrence carries a larger share does not repeat."""


@dataclass(frozen=True)
class Stars:
    """What the vetting tests know of the stars; NaN where not known.

    Parameters
    ----------
    radius : (star,) float64
        Solar radii.
    density : (star,) float64
        Mean density in units of the Sun's.
    """

    radius: np.ndarray
    density: np.ndarray


def density_solar(radius, logg) -> np.ndarray:
    """Mean stellar density in units of the Sun's, from radius (solar radii) and logg (dex(cm/s2)).

    ``rho = g / R`` in solar units; NaN where either is not known or the radius is not positive.
    """
    radius = np.asarray(radius, np.float64)
    gravity = 10.0 ** (np.asarray(logg, np.float64) - LOGG_SUN)
    return gravity / np.where(radius > 0, radius, np.nan)


Quantity = Callable[[np.ndarray, Stars, VetSettings], np.ndarray]


def column(name: str) -> Quantity:
    """Quantity that the table of events holds already."""
    return lambda events, stars, settings: np.asarray(events[name], np.float64)


def _where(applies, value) -> np.ndarray:
    """Value where the test applies, NaN elsewhere."""
    return np.where(applies, np.asarray(value, np.float64), np.nan)


def odd_even(events, stars: Stars, settings: VetSettings):
    """Significance of the difference of odd and even depths, if it is no small share of the depth.

    Each kind has half of the transits and so the root of two times the error of the depth, their difference twice
    that error. Systematics change the depth of very significant transits by a per cent or so.
    """
    sigma = np.asarray(events["odd_even_sigma"], np.float64)
    return _where(2 * sigma > settings.min_odd_even_share * events["snr"], _sobered(events, sigma))


def odd_even_epoch(events, stars: Stars, settings: VetSettings):
    """Significance of the difference of odd and even mid-times."""
    return _sobered(events, np.asarray(events["odd_even_epoch_sigma"], np.float64))


def _sobered(events, sigma):
    """Half of a difference of odd and even transits where one kind has a single transit, and no scatter to show."""
    return np.where(events["n_transits"] >= FEW, sigma, 0.5 * sigma)


def secondary(events, stars: Stars, settings: VetSettings):
    """Significance of the deepest other dip, if it repeats and is too deep for a planet's occultation.

    A planet's occultation is a small share of its transit, a binary's is not; a dip that one orbit makes alone is
    another planet, or an accident.
    """
    deep = events["secondary_depth_ppm"] > settings.max_occultation * events["depth_ppm"]
    return _where(deep & ~np.greater(events["secondary_share"], ONE_ECLIPSE), events["secondary_snr"])


def planet_radius(events, stars: Stars, settings: VetSettings):
    """Radius of an opaque dark disc that would make the transit, in radii of Jupiter."""
    depth = np.maximum(np.asarray(events["depth_ppm"], np.float64), 0) / PPM
    return np.sqrt(depth) * stars.radius * R_JUPITER_PER_R_SUN


def depth_alone(events, stars: Stars, settings: VetSettings):
    """Depth where the star's radius is not known, ppm."""
    return _where(~np.isfinite(stars.radius), events["depth_ppm"])


def clear_shape(events, stars: Stars, settings: VetSettings):
    """Flat share of transits that are strong enough to show it."""
    return _where(events["snr"] >= settings.min_shape_snr, events["shape"])


def strongest_share(events, stars: Stars, settings: VetSettings):
    """Share of the signal in its strongest transit, of events with several."""
    return _where(events["n_transits"] > 1, events["single_event_fraction"])


def uniqueness(events, stars: Stars, settings: VetSettings):
    """Smallest margin, in sigma, of the transit over what chance and the rest of the light curve can do.

    The transit over the scatter of all other phases must be no false alarm among all stars searched (FA1), and its
    lead over the next but one dip and over the strongest brightening no false alarm within its own light curve (FA2):
    MS1 to MS3 of Thompson et al. (2018), with the sign turned.
    """
    trials = np.asarray(events["duration_h"], np.float64) / HOURS_PER_DAY / events["period_d"]
    survey, own = (np.sqrt(2) * erfcinv(np.clip(trials / n, 1e-300, 1)) for n in (settings.searched_stars, 1))
    snr = np.asarray(events["snr"], np.float64)
    margin = snr / np.fmax(events["phase_scatter"], 1.0) - survey
    for rival in ("tertiary_snr", "positive_snr"):
        margin = np.fmin(margin, snr - events[rival] - own)
    return margin


def consistent_snr(events, stars: Stars, settings: VetSettings):
    """SNR with the error that the scatter among transits gives, where they scatter more than noise makes them."""
    freedom = np.maximum(np.asarray(events["n_transits"], np.float64) - 1, 1)
    chi2 = np.asarray(events["depth_chi2"], np.float64)
    scatters = (chi2 > 1) & (chdtrc(freedom, np.where(np.isfinite(chi2), chi2, 0.0) * freedom) < CHANCE)
    return _where(scatters, events["snr"] / np.sqrt(np.where(scatters, chi2, 1.0)))


def source_offset(events, stars: Stars, settings: VetSettings):
    """Distance of the dip's source from the star, pixels, less three sigma, where the centroid moves significantly.

    Light of neighbours in the aperture moves the centroid in a planet's transit too, but not as far.
    """
    sigma = np.asarray(events["centroid_sigma"], np.float64)
    moves = sigma > settings.centroid_sigma
    return _where(moves, events["centroid_offset_pix"] * (1 - 3 / np.where(moves, sigma, 3.0)))


def duration_ratio(events, stars: Stars, settings: VetSettings):
    """Duration over that of a central transit on a circular orbit around a star of this density."""
    with np.errstate(invalid="ignore"):
        return events["duration_h"] / transit_duration_h(events["period_d"], stars.density)


def alias_distance(events, stars: Stars, settings: VetSettings):
    """Relative distance to the nearest period at which scattered light repeats."""
    period = np.asarray(events["period_d"])[..., np.newaxis]
    return np.abs(period / np.array(ALIASES_D) - 1).min(axis=-1)

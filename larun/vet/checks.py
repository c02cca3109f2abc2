"""Vetting tests as data: what each measures, its threshold, and the paper it follows.

A test is a small pure function from a table of events (structured array of `larun.schema.event_dtype`, or one record
of it) to one number per event, and a field of `VetSettings` that the number is compared with. A value that is not
known or does not apply is NaN and raises no flag: a flag says that something was seen. The layout follows LEO-Vetter
(Kunimoto et al. 2025).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from scipy.special import chdtrc, erfcinv

from larun.config import VetSettings
from larun.schema import EventFlag
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
    return _where(deep & ~(events["secondary_share"] > ONE_ECLIPSE), events["secondary_snr"])


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
    trials = events["duration_h"].astype(np.float64) / HOURS_PER_DAY / events["period_d"]
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


@dataclass(frozen=True)
class Check:
    """One vetting test.

    Parameters
    ----------
    flag : EventFlag
        What is raised.
    quantity : callable
        Measured number of each event; NaN where not known or not applicable.
    threshold : str
        Field of `VetSettings`.
    raised_above : bool
        Whether larger values raise the flag, or smaller ones.
    unit : str
    meaning : str
        What is measured, and what a flag suggests.
    paper : str
        Where the test comes from.
    """

    flag: EventFlag
    quantity: Quantity
    threshold: str
    raised_above: bool
    unit: str
    meaning: str
    paper: str

    def raised(self, value, settings: VetSettings) -> np.ndarray:
        """Whether a value raises the flag."""
        limit = getattr(settings, self.threshold)
        return np.asarray(value) > limit if self.raised_above else np.asarray(value) < limit


@dataclass(frozen=True)
class Verdict:
    """What one test says about one event.

    Parameters
    ----------
    check : Check
    value, limit : float
        Measured, NaN where not known or not applicable, and the threshold.
    raised : bool
    """

    check: Check
    value: float
    limit: float
    raised: bool


CHECKS: tuple[Check, ...] = (
    Check(EventFlag.FEW_TRANSITS, column("n_transits"), "min_transits", False, "",
          "transits with at least half of their cadences: too few to know a period",
          "Jenkins et al. 2010, ApJ 713, L87"),
    Check(EventFlag.LOW_COVERAGE, column("phase_coverage"), "min_coverage", False, "",
          "share of the orbit that was observed: transits may have been missed",
          "Thompson et al. 2018, ApJS 235, 38"),
    Check(EventFlag.ODD_EVEN, odd_even, "odd_even_sigma", True, "sigma",
          "difference in depth of odd and even transits: a binary of twice the period",
          "Batalha et al. 2010, ApJ 713, L103"),
    Check(EventFlag.ODD_EVEN_EPOCH, odd_even_epoch, "odd_even_epoch_sigma", True, "sigma",
          "difference in mid-time of odd and even transits: an eccentric binary of twice the period",
          "Twicken et al. 2018, PASP 130, 064502"),
    Check(EventFlag.SECONDARY, secondary, "secondary_snr", True, "sigma",
          "deepest other dip, at any phase, if too deep for an occultation: a binary",
          "Coughlin & López-Morales 2012, AJ 143, 39; Thompson et al. 2018, ApJS 235, 38"),
    Check(EventFlag.TOO_DEEP, planet_radius, "max_planet_radius_jupiter", True, "R_Jup",
          "radius of what transits, from the depth and the star's radius: a star",
          "Thompson et al. 2018, ApJS 235, 38"),
    Check(EventFlag.TOO_DEEP, depth_alone, "max_planet_depth_ppm", True, "ppm",
          "depth of a star whose radius is not known",
          "Thompson et al. 2018, ApJS 235, 38"),
    Check(EventFlag.V_SHAPE, clear_shape, "min_shape", False, "",
          "flat share of the transit: hardly any is a grazing or blended binary",
          "Thompson et al. 2018, ApJS 235, 38"),
    Check(EventFlag.NOT_UNIQUE, uniqueness, "uniqueness_margin", False, "sigma",
          "lead over other dips, brightenings and chance: noise, or a variable star",
          "Rowe et al. 2015, ApJS 217, 16; Thompson et al. 2018, ApJS 235, 38"),
    Check(EventFlag.INCONSISTENT, consistent_snr, "min_consistent_snr", False, "",
          "SNR judged by the scatter among the transits: unrelated dips",
          "Seader et al. 2013, ApJS 206, 25; Kunimoto et al. 2025"),
    Check(EventFlag.SINGLE_DOMINATES, strongest_share, "max_single_event_fraction", True, "",
          "share of the signal in the strongest transit: one accident",
          "Mullally et al. 2016, PASP 128, 074502"),
    Check(EventFlag.NEAR_GAP, column("gap_fraction"), "max_gap_fraction", True, "",
          "share of the transits at a gap or an end of the data, where instruments settle",
          "Mullally et al. 2016, PASP 128, 074502"),
    Check(EventFlag.NEAR_DUMP, column("dump_fraction"), "max_dump_fraction", True, "",
          "share of the transits at a momentum dump, where pointing and focus settle",
          "Kunimoto et al. 2023, arXiv:2302.00009"),
    Check(EventFlag.SINUSOID, column("sinusoid_ratio"), "sinusoid_ratio", True, "",
          "gain of a sinusoid of half, once or twice the period over that of the box: rotation or pulsation",
          "Thompson et al. 2018, ApJS 235, 38"),
    Check(EventFlag.LONG_DURATION, duration_ratio, "max_duration_ratio", True, "",
          "duration over that of a central transit of this star: another star, or no transit",
          "Seager & Mallén-Ornelas 2003, ApJ 585, 1038"),
    Check(EventFlag.PERIOD_ALIAS, alias_distance, "alias_tolerance", False, "",
          "relative distance to 1 d, 6.85 d or 13.7 d, where scattered light repeats",
          "Guerrero et al. 2021, ApJS 254, 39"),
    Check(EventFlag.CENTROID_SHIFT, source_offset, "max_centroid_offset_pix", True, "pix",
          "least distance from the star to the source of the dip, where the centroid moves: another star",
          "Batalha et al. 2010, ApJ 713, L103; Bryson et al. 2013, PASP 125, 889"),
)  # fmt: skip
"""Every test of a single event; two may raise one flag."""


def flag(events: np.ndarray, *, radius=None, logg=None, settings: VetSettings) -> np.ndarray:
    """Flags of each event that its own star decides.

    Parameters
    ----------
    events : (event,) structured
        Of `larun.schema.event_dtype`; or one record.
    radius, logg : (event,) float, optional
        Solar radii and dex(cm/s2) of the stars; without them no test of radius and duration is made.
    settings : VetSettings
        Thresholds.

    Returns
    -------
    (event,) uint32
        Bits of `EventFlag`; 0 where there is no event (its epoch is NaN).
    """
    stars = _stars(events, radius, logg)
    bits = np.zeros(np.shape(events["t0_btjd"]), np.uint32)
    for check in CHECKS:
        raised = check.raised(check.quantity(events, stars, settings), settings)
        bits |= np.where(raised, np.uint32(check.flag), np.uint32(0))
    return np.where(np.isfinite(events["t0_btjd"]), bits, np.uint32(0))


def verdicts(event, *, radius=None, logg=None, settings: VetSettings) -> list[Verdict]:
    """What every test says about one event; parameters as for `flag`."""
    stars = _stars(event, radius, logg)
    said = []
    for check in CHECKS:
        value = float(check.quantity(event, stars, settings))
        raised = bool(check.raised(value, settings))
        said.append(Verdict(check, value, float(getattr(settings, check.threshold)), raised))
    return said


def _stars(events, radius, logg) -> Stars:
    unknown = np.full(np.shape(events["t0_btjd"]), np.nan)
    radius = np.asarray(unknown if radius is None else radius, np.float64)
    return Stars(radius, density_solar(radius, unknown if logg is None else logg))

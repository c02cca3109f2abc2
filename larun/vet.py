"""Vetting tests as data: each a small pure function of events and thresholds, in one table.

Functions take a table of events (structured array of `larun.schema.event_dtype`, or one record of it), what is
known of the stars, and `VetSettings`; they return one boolean per event. A value that is not known (NaN) raises
no flag: a flag says that something was seen. The layout follows LEO-Vetter (Kunimoto et al. 2025).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from larun.config import VetSettings
from larun.schema import EventFlag
from larun.units import HOURS_PER_DAY, transit_duration_h

LOGG_SUN = 4.438
"""Surface gravity of the Sun, dex(cm/s2) (IAU 2015 resolution B3)."""

TESS_ORBIT_D = 13.7
"""Orbital period of TESS (Ricker et al. 2015, JATIS 1, 014003)."""

ALIASES_D = (1.0, TESS_ORBIT_D / 2, TESS_ORBIT_D)
"""Periods of scattered light: rotation of the Earth, half an orbit, an orbit."""

ALIAS_TOLERANCE = 0.005

PILE_UP_PERIOD = 0.01
"""Relative difference of periods within a pile-up."""


@dataclass(frozen=True)
class Stars:
    """What the vetting tests know of the stars.

    Parameters
    ----------
    density_solar : (star,) float64
        Mean density in units of the Sun's; NaN where not known.
    """

    density_solar: np.ndarray


def density_solar(radius, logg) -> np.ndarray:
    """Mean stellar density in units of the Sun's, from radius (solar radii) and logg (dex(cm/s2)).

    ``rho = g / R`` in solar units; NaN where either is not known or the radius is not positive.
    """
    radius = np.asarray(radius, np.float64)
    gravity = 10.0 ** (np.asarray(logg, np.float64) - LOGG_SUN)
    return gravity / np.where(radius > 0, radius, np.nan)


def few_transits(events, stars: Stars, settings: VetSettings):
    """Fewer well observed transits than `min_transits`."""
    return events["n_transits"] < settings.min_transits


def low_coverage(events, stars: Stars, settings: VetSettings):
    """A smaller share of the orbital phases was observed than `min_coverage`."""
    return events["phase_coverage"] < settings.min_coverage


def odd_even(events, stars: Stars, settings: VetSettings):
    """Odd and even transits differ in depth: a binary of twice the period."""
    return events["odd_even_sigma"] > settings.odd_even_sigma


def secondary(events, stars: Stars, settings: VetSettings):
    """A significant second dip at another phase, deeper than a planet's eclipse can be.

    An occultation of a hot planet is less than a tenth of its transit; a binary's is not.
    """
    deep = events["secondary_depth_ppm"] > 0.1 * events["depth_ppm"]
    return (events["secondary_snr"] > settings.secondary_snr) & deep


def too_deep(events, stars: Stars, settings: VetSettings):
    """Deeper than the largest planet of the smallest ordinary star."""
    return events["depth_ppm"] > settings.max_planet_depth_ppm


def v_shape(events, stars: Stars, settings: VetSettings):
    """Hardly a flat bottom: a grazing or blended binary."""
    return events["shape"] < settings.min_shape


def single_dominates(events, stars: Stars, settings: VetSettings):
    """One transit carries most of the signal."""
    return events["single_event_fraction"] > settings.max_single_event_fraction


def near_gap(events, stars: Stars, settings: VetSettings):
    """Most transits touch a gap of the data, where instruments settle."""
    return events["gap_fraction"] > settings.max_gap_fraction


def sinusoid(events, stars: Stars, settings: VetSettings):
    """A sinusoid of the same period explains more than the box: rotation or pulsation."""
    return events["sinusoid_ratio"] > settings.sinusoid_ratio


def long_duration(events, stars: Stars, settings: VetSettings):
    """Longer than a planet on a circular orbit can take to cross a star of this density."""
    with np.errstate(invalid="ignore"):
        longest_h = transit_duration_h(events["period_d"], stars.density_solar)
    return events["duration_h"] > settings.max_duration_ratio * longest_h


def period_alias(events, stars: Stars, settings: VetSettings):
    """The period is one at which scattered light repeats."""
    period = np.asarray(events["period_d"])[..., np.newaxis]
    return (np.abs(period / np.array(ALIASES_D) - 1) < ALIAS_TOLERANCE).any(axis=-1)


Test = Callable[[np.ndarray, Stars, VetSettings], np.ndarray]

TESTS: tuple[tuple[EventFlag, Test, str], ...] = (
    (EventFlag.FEW_TRANSITS, few_transits, "Jenkins et al. 2010, ApJ 713, L87"),
    (EventFlag.LOW_COVERAGE, low_coverage, "Thompson et al. 2018, ApJS 235, 38, A.4"),
    (EventFlag.ODD_EVEN, odd_even, "Batalha et al. 2010, ApJ 713, L103"),
    (EventFlag.SECONDARY, secondary, "Coughlin & López-Morales 2012, AJ 143, 39"),
    (EventFlag.TOO_DEEP, too_deep, "Thompson et al. 2018, ApJS 235, 38, A.4"),
    (EventFlag.V_SHAPE, v_shape, "Thompson et al. 2018, ApJS 235, 38, A.5.3"),
    (EventFlag.SINGLE_DOMINATES, single_dominates, "Mullally et al. 2016, PASP 128, 074502"),
    (EventFlag.NEAR_GAP, near_gap, "Kunimoto et al. 2023, arXiv:2302.00009"),
    (EventFlag.SINUSOID, sinusoid, "Thompson et al. 2018, ApJS 235, 38, A.5.4"),
    (EventFlag.LONG_DURATION, long_duration, "Seager & Mallén-Ornelas 2003, ApJ 585, 1038"),
    (EventFlag.PERIOD_ALIAS, period_alias, "Guerrero et al. 2021, ApJS 254, 39"),
)
"""Flag, test and the paper that the test follows."""


def flag(events: np.ndarray, *, radius=None, logg=None, settings: VetSettings) -> np.ndarray:
    """Flags of each event, all but `EventFlag.EPOCH_PILE_UP`.

    Parameters
    ----------
    events : (star,) structured
        Of `larun.schema.event_dtype`; or one record.
    radius, logg : (star,) float, optional
        Solar radii and dex(cm/s2); without them no test of the duration is made.
    settings : VetSettings
        Thresholds.

    Returns
    -------
    (star,) uint32
        Bits of `EventFlag`; 0 for a star without an event (its period is NaN).
    """
    shape = np.shape(events["period_d"])
    unknown = np.full(shape, np.nan)
    stars = Stars(density_solar(unknown if radius is None else radius, unknown if logg is None else logg))
    bits = np.zeros(shape, np.uint32)
    for event_flag, test, _ in TESTS:
        bits |= np.where(test(events, stars, settings), np.uint32(event_flag), np.uint32(0))
    return np.where(np.isfinite(events["period_d"]), bits, np.uint32(0))


def pile_up(events: np.ndarray, settings: VetSettings) -> np.ndarray:
    """Events whose epoch and period recur over a whole sector, which the spacecraft makes and not the stars.

    Parameters
    ----------
    events : (star,) structured
        Best events of all stars of a sector.
    settings : VetSettings
        `pile_up_stars` is used.

    Returns
    -------
    (star,) bool
        Whether at least so many stars, this one counted, share the epoch of the first transit within half of
        this duration and the period within 1 %.
    """
    period, t0 = events["period_d"], events["t0_btjd"]
    reach = 0.5 * events["duration_h"].astype(np.float64) / HOURS_PER_DAY
    known = np.flatnonzero(np.isfinite(period) & np.isfinite(t0) & np.isfinite(reach))
    order = known[np.argsort(t0[known], kind="stable")]
    epochs, periods = t0[order], period[order]
    first = np.searchsorted(epochs, epochs - reach[order])
    last = np.searchsorted(epochs, epochs + reach[order], side="right")
    piled = np.zeros(len(events), bool)
    for i, (low, high) in enumerate(zip(first, last, strict=True)):
        if high - low >= settings.pile_up_stars:
            alike = np.abs(periods[low:high] / periods[i] - 1) < PILE_UP_PERIOD
            piled[order[i]] = alike.sum() >= settings.pile_up_stars
    return piled

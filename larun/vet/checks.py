"""Vetting tests of single events as data: what each measures, its threshold, and the paper it follows.

A value that is not known or does not apply raises no flag: a flag says that something was seen. The layout follows
LEO-Vetter (Kunimoto et al. 2025).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from larun.config import VetSettings
from larun.schema import EventFlag
from larun.vet import quantities
from larun.vet.quantities import Quantity, Stars, column


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
    Check(EventFlag.ODD_EVEN, quantities.odd_even, "odd_even_sigma", True, "sigma",
          "difference in depth of odd and even transits: a binary of twice the period",
          "Batalha et al. 2010, ApJ 713, L103"),
    Check(EventFlag.ODD_EVEN_EPOCH, quantities.odd_even_epoch, "odd_even_epoch_sigma", True, "sigma",
          "difference in mid-time of odd and even transits: an eccentric binary of twice the period",
          "Twicken et al. 2018, PASP 130, 064502"),
    Check(EventFlag.SECONDARY, quantities.secondary, "secondary_snr", True, "sigma",
          "deepest other dip, at any phase, if too deep for an occultation: a binary",
          "Coughlin & López-Morales 2012, AJ 143, 39; Thompson et al. 2018, ApJS 235, 38"),
    Check(EventFlag.TOO_DEEP, quantities.planet_radius, "max_planet_radius_jupiter", True, "R_Jup",
          "radius of what transits, from the depth and the star's radius: a star",
          "Thompson et al. 2018, ApJS 235, 38"),
    Check(EventFlag.TOO_DEEP, quantities.depth_alone, "max_planet_depth_ppm", True, "ppm",
          "depth of a star whose radius is not known",
          "Thompson et al. 2018, ApJS 235, 38"),
    Check(EventFlag.V_SHAPE, quantities.clear_shape, "min_shape", False, "",
          "flat share of the transit: hardly any is a grazing or blended binary",
          "Thompson et al. 2018, ApJS 235, 38"),
    Check(EventFlag.NOT_UNIQUE, quantities.uniqueness, "uniqueness_margin", False, "sigma",
          "lead over other dips, brightenings and chance: noise, or a variable star",
          "Rowe et al. 2015, ApJS 217, 16; Thompson et al. 2018, ApJS 235, 38"),
    Check(EventFlag.INCONSISTENT, quantities.consistent_snr, "min_consistent_snr", False, "",
          "SNR judged by the scatter among the transits: unrelated dips",
          "Seader et al. 2013, ApJS 206, 25; Kunimoto et al. 2025"),
    Check(EventFlag.SINGLE_DOMINATES, quantities.strongest_share, "max_single_event_fraction", True, "",
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
    Check(EventFlag.LONG_DURATION, quantities.duration_ratio, "max_duration_ratio", True, "",
          "duration over that of a central transit of this star: another star, or no transit",
          "Seager & Mallén-Ornelas 2003, ApJ 585, 1038"),
    Check(EventFlag.PERIOD_ALIAS, quantities.alias_distance, "alias_tolerance", False, "",
          "relative distance to 1 d, 6.85 d or 13.7 d, where scattered light repeats",
          "Guerrero et al. 2021, ApJS 254, 39"),
    Check(EventFlag.CENTROID_SHIFT, quantities.source_offset, "max_centroid_offset_pix", True, "pix",
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


def verdicts(
    event, *, radius=None, logg=None, settings: VetSettings, checks: tuple[Check, ...] = CHECKS
) -> list[Verdict]:
    """What each test says about one event.

    Parameters
    ----------
    event : record or mapping
        Columns of `larun.schema.EVENT_COLUMNS`, and of `SECTOR_COLUMNS` where `checks` need them.
    radius, logg : float, optional
        As for `flag`.
    settings : VetSettings
        Thresholds.
    checks : tuple of Check
        Tests to ask; by default those of single events.
    """
    stars = _stars(event, radius, logg)
    said = []
    for check in checks:
        value = float(check.quantity(event, stars, settings))
        raised = bool(check.raised(value, settings))
        said.append(Verdict(check, value, float(getattr(settings, check.threshold)), raised))
    return said


def _stars(events, radius, logg) -> Stars:
    unknown = np.full(np.shape(events["t0_btjd"]), np.nan)
    radius = np.asarray(unknown if radius is None else radius, np.float64)
    return Stars(radius, quantities.density_solar(radius, unknown if logg is None else logg))

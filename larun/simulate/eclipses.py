"""Transits and eclipses: batman where a limb-darkened star is covered, disc geometry where a uniform one is."""

from __future__ import annotations

from dataclasses import dataclass

import batman
import numpy as np

from larun.simulate.stars import transit_duration_d
from larun.units import from_mid_transit_d

_STEPS_PER_EXPOSURE = 6
_STEPS_PER_EVENT = 400
_CONTACT_FILL = 0.125


@dataclass(frozen=True)
class Dip:
    """Relative flux around mid-event, averaged over one exposure.

    Parameters
    ----------
    offset_d : (step,) float64
        Time from mid-event, days, increasing.
    flux : (step,) float64
        Flux over that out of the event.
    """

    offset_d: np.ndarray
    flux: np.ndarray

    @property
    def depth(self) -> float:
        """Largest loss of light."""
        return float(1 - self.flux.min())

    def at(self, time: np.ndarray, period_d: float, epoch: float) -> np.ndarray:
        """Relative flux at the given times, (cadence,) float64; 1 out of the events, which repeat with the period."""
        offset = from_mid_transit_d(time, period_d, epoch)
        flux = np.ones(len(time))
        inside = np.abs(offset) < self.offset_d[-1]
        flux[inside] = np.interp(offset[inside], self.offset_d, self.flux)
        return flux


def transit(
    period_d: float, ratio: float, axis: float, impact: float, limb: tuple[float, float], exposure_d: float
) -> Dip:
    """Transit of a dark body over a limb-darkened star.

    Parameters
    ----------
    period_d : float
        Period of the circular orbit.
    ratio, axis, impact : float
        Radius ratio, semi-major axis over stellar radius, impact parameter.
    limb : (float, float)
        Quadratic limb-darkening coefficients.
    exposure_d : float
        Length of a cadence, over which the model is averaged.

    Returns
    -------
    Dip
        Model of Mandel & Agol (2002) by batman (Kreidberg 2015, PASP 127, 1161).
    """
    offset = _offsets(transit_duration_d(period_d, axis, impact, ratio), exposure_d)
    parameters = batman.TransitParams()
    parameters.t0, parameters.per, parameters.ecc, parameters.w = 0.0, period_d, 0.0, 90.0
    parameters.rp, parameters.a = ratio, axis
    parameters.inc = np.degrees(np.arccos(impact / axis))
    parameters.limb_dark, parameters.u = "quadratic", list(limb)
    flux = batman.TransitModel(parameters, offset).light_curve(parameters)
    return _averaged(offset, flux, exposure_d)


def occultation(period_d: float, ratio: float, axis: float, impact: float, exposure_d: float) -> Dip:
    """Occultation of a companion with a uniform disc by its star; `flux` is that of the companion alone."""
    offset = _offsets(transit_duration_d(period_d, axis, impact, ratio), exposure_d)
    angle = 2 * np.pi * offset / period_d
    separation = axis * np.sqrt(np.sin(angle) ** 2 + (impact / axis * np.cos(angle)) ** 2)
    flux = 1 - disc_overlap(separation, 1.0, ratio) / (np.pi * ratio**2)
    return _averaged(offset, flux, exposure_d)


def disc_overlap(separation: np.ndarray, radius_1: float, radius_2: float) -> np.ndarray:
    """Area that two discs share, in the square of the unit of the radii.

    Parameters
    ----------
    separation : ndarray
        Distance of the centres.
    radius_1, radius_2 : float
        Radii.
    """
    d = np.clip(separation, abs(radius_1 - radius_2), radius_1 + radius_2)
    d = np.maximum(d, 1e-12)
    cos_1 = np.clip((d**2 + radius_1**2 - radius_2**2) / (2 * d * radius_1), -1, 1)
    cos_2 = np.clip((d**2 + radius_2**2 - radius_1**2) / (2 * d * radius_2), -1, 1)
    kite = (
        (-d + radius_1 + radius_2) * (d + radius_1 - radius_2) * (d - radius_1 + radius_2) * (d + radius_1 + radius_2)
    )
    return radius_1**2 * np.arccos(cos_1) + radius_2**2 * np.arccos(cos_2) - 0.5 * np.sqrt(np.maximum(kite, 0))


@dataclass(frozen=True)
class EclipsingPair:
    """Light of a detached binary, as relative flux around 1.

    Parameters
    ----------
    primary, secondary : Dip
        Eclipses of the whole system's light.
    secondary_phase : float
        Phase of the secondary.
    ellipsoidal : float
        Half the peak-to-peak amplitude of the tidal distortion.
    """

    primary: Dip
    secondary: Dip
    secondary_phase: float
    ellipsoidal: float

    def at(self, time: np.ndarray, period_d: float, epoch: float) -> np.ndarray:
        """Relative flux, (cadence,) float64, with the primary at `epoch`."""
        eclipses = (
            self.primary.at(time, period_d, epoch)
            + self.secondary.at(time, period_d, epoch + self.secondary_phase * period_d)
            - 1
        )
        return eclipses - self.ellipsoidal * np.cos(4 * np.pi * (time - epoch) / period_d)


def eclipsing_pair(
    period_d: float,
    ratio: float,
    axis: float,
    impact: float,
    mass_ratio: float,
    brightness_ratio: float,
    secondary_phase: float,
    limb: tuple[float, float],
    exposure_d: float,
) -> EclipsingPair:
    """Detached eclipsing binary: both eclipses and the ellipsoidal variation of the larger star.

    Parameters
    ----------
    period_d, ratio, axis, impact, limb, exposure_d
        As for `transit`, the companion being the smaller and cooler star.
    mass_ratio, brightness_ratio : float
        Companion over star.
    secondary_phase : float
        Phase of the secondary eclipse.

    Notes
    -----
    The ellipsoidal semi-amplitude is 1.2 q (R/a)^3 sin^2 i (Morris & Naftilan 1993, ApJ 419, 344, with the
    coefficient of limb and gravity darkening of a solar-type star).
    """
    light = ratio**2 * brightness_ratio
    share = 1 / (1 + light)
    front = transit(period_d, ratio, axis, impact, limb, exposure_d)
    behind = occultation(period_d, ratio, axis, impact, exposure_d)
    sin2_i = 1 - (impact / axis) ** 2
    return EclipsingPair(
        primary=Dip(front.offset_d, 1 - share * (1 - front.flux)),
        secondary=Dip(behind.offset_d, 1 - (1 - share) * (1 - behind.flux)),
        secondary_phase=secondary_phase,
        ellipsoidal=share * 1.2 * mass_ratio * sin2_i / axis**3,
    )


def contact_binary(time: np.ndarray, period_d: float, epoch: float, amplitude: float) -> np.ndarray:
    """Light curve of a W UMa star, deeper minimum at `epoch`, brightest at 1.

    Parameters
    ----------
    time : (cadence,) float64
        Days.
    period_d, epoch : float
        Orbital period and time of a deeper minimum.
    amplitude : float
        Peak to peak, relative flux.

    Returns
    -------
    (cadence,) float64
        Cosine series whose fourth term follows from the second as at marginal contact,
        a4 = a2 (0.125 - a2) (Rucinski 1993, PASP 105, 1433), with 5 % difference of the minima.
    """
    a2 = -0.5 * amplitude
    a1, a4 = 0.05 * a2, a2 * (_CONTACT_FILL - a2)

    def series(angle: np.ndarray) -> np.ndarray:
        return a1 * np.cos(angle) + a2 * np.cos(2 * angle) + a4 * np.cos(4 * angle)

    orbit = series(np.linspace(0, 2 * np.pi, 721))
    flux = series(2 * np.pi * (time - epoch) / period_d)
    return 1 + (flux - orbit.max()) * amplitude / np.ptp(orbit)


def _offsets(duration_d: float, exposure_d: float) -> np.ndarray:
    half = 0.5 * duration_d + exposure_d
    step = min(exposure_d / _STEPS_PER_EXPOSURE, duration_d / _STEPS_PER_EVENT)
    count = int(np.ceil(half / step))
    return np.linspace(-half, half, 2 * count + 1)


def _averaged(offset: np.ndarray, flux: np.ndarray, exposure_d: float) -> Dip:
    """Average over an exposure, by differences of the running integral; the ends lie outside the event."""
    step = offset[1] - offset[0]
    integral = np.concatenate([[0.0], np.cumsum(0.5 * step * ((flux - 1)[1:] + (flux - 1)[:-1]))])
    late = np.interp(offset + 0.5 * exposure_d, offset, integral)
    early = np.interp(offset - 0.5 * exposure_d, offset, integral)
    return Dip(offset, 1 + (late - early) / exposure_d)

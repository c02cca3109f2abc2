"""Shapes that are injected into quiet light curves, where real examples of a class are few.

Every shape is relative flux, (cadence,) float64, around 1, from the physical models of `larun.simulate`; its size
is drawn in units of the noise of its host, so that it is found at every brightness.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from larun.network.bank import Ephemeris
from larun.schema import CLASSES
from larun.simulate import eclipses, variability
from larun.simulate.stars import limb_darkening, radius_of, scaled_axis, transit_duration_d
from larun.units import HOURS_PER_DAY

HOUR_D = 1.0 / HOURS_PER_DAY
SHARES = {
    "planetary_transit": 0.40,
    "eclipsing_binary": 0.25,
    "stellar_signal": 0.08,
    "instrument_artifact": 0.10,
    "unknown_anomaly": 0.17,
}
"""Share of each class among injected shapes."""


SINGLE_SHARE = 0.12
"""Share of the planets that transit once within their light curve."""


@dataclass(frozen=True)
class Host:
    """Light curve that receives a shape.

    Parameters
    ----------
    time : (cadence,) float64
        Days.
    cadence_d : float
        Exposure, days.
    sigma : float
        Scatter of one cadence, relative flux.
    """

    time: np.ndarray
    cadence_d: float
    sigma: float

    @property
    def span_d(self) -> float:
        """Length of the light curve."""
        return float(self.time[-1] - self.time[0])

    @property
    def hourly(self) -> float:
        """Scatter of an hour's mean, white noise."""
        return self.sigma * float(np.sqrt(min(self.cadence_d / HOUR_D, 1.0)))


@dataclass(frozen=True)
class Injected:
    """A shape and its truth.

    Parameters
    ----------
    kind : str
        Name of the shape.
    flux : (cadence,) float64
        Relative flux to multiply with.
    ephemeris : Ephemeris, optional
        Where it repeats.
    """

    kind: str
    flux: np.ndarray
    ephemeris: Ephemeris | None = None


def inject(label: int, host: Host, rng: np.random.Generator) -> Injected:
    """Draw one shape of a class for a host."""
    return _MAKERS[CLASSES[label]](host, rng)


def draw_label(rng: np.random.Generator) -> int:
    """Class of the next shape, by `SHARES`."""
    return CLASSES.index(str(rng.choice(list(SHARES), p=list(SHARES.values()))))


def planet(host: Host, rng: np.random.Generator) -> Injected:
    """Transiting planet: period 0.5 to 13 d, or one transit in the light curve; SNR 8 to 400, at most 3.5 % deep."""
    mass = rng.uniform(0.25, 1.6)
    radius = float(radius_of(mass)) * rng.uniform(0.9, 1.5)
    once = rng.random() < SINGLE_SHARE
    span = host.span_d
    period = _log_uniform(rng, span, 6 * span) if once else _log_uniform(rng, 0.5, min(13.0, 0.48 * span))
    axis = max(float(scaled_axis(period, mass, radius)), 2.0)
    impact = rng.uniform(0.0, 0.9)
    duration = float(transit_duration_d(period, axis, impact, 0.05))
    in_transit = max(duration / host.cadence_d * (1.0 if once else span / period), 2.0)
    snr = _log_uniform(rng, 15.0 if once else 8.0, 60.0) if rng.random() < 0.7 else _log_uniform(rng, 60.0, 400.0)
    depth = float(np.clip(snr * host.sigma / np.sqrt(in_transit), 5e-5, 0.035))
    limb = tuple(float(u) for u in limb_darkening(rng.uniform(3200, 6800)))
    dip = eclipses.transit(period, float(np.sqrt(depth)), axis, impact, limb, host.cadence_d)
    epoch = host.time[0] + (rng.uniform(0.02, 0.98) * span if once else rng.uniform(0, period))
    known = Ephemeris(period, epoch, duration * HOURS_PER_DAY)
    return Injected("single_transit" if once else "planet", dip.at(host.time, period, epoch), known)


def binary(host: Host, rng: np.random.Generator) -> Injected:
    """Eclipsing binary: detached, blended with a brighter star, or in contact; primary SNR of an hour 8 at least."""
    kind = str(rng.choice(["detached", "blended", "contact"], p=[0.5, 0.3, 0.2]))
    if kind == "contact":
        period = _log_uniform(rng, 0.22, 0.8)
        epoch = host.time[0] + rng.uniform(0, period)
        amplitude = float(np.clip(_log_uniform(rng, 0.02, 0.7), 8 * host.hourly, 0.8))
        shape = eclipses.contact_binary(host.time, period, epoch, amplitude)
        return Injected("contact_binary", shape, Ephemeris(period, epoch))
    period = _log_uniform(rng, 0.6, min(12.0, 0.48 * host.span_d))
    mass, ratio = rng.uniform(0.5, 2.0), rng.uniform(0.28, 0.95)
    mass_ratio = ratio ** (1 / 0.945)
    axis = max(float(scaled_axis(period, mass * (1 + mass_ratio), radius_of(mass))), 1.3 * (1 + ratio))
    impact = rng.uniform(0.0, 0.85 * (1 + ratio))
    eccentric = 0.12 * rng.standard_normal() if period > 3 and rng.random() < 0.5 else 0.0
    limb = tuple(float(u) for u in limb_darkening(rng.uniform(3800, 8000)))
    pair = eclipses.eclipsing_pair(
        period, ratio, axis, impact, mass_ratio, ratio ** rng.uniform(0.5, 4.0),
        float(np.clip(0.5 + eccentric, 0.2, 0.8)), limb, host.cadence_d,
    )  # fmt: skip
    epoch = host.time[0] + rng.uniform(0, period)
    flux = pair.at(host.time, period, epoch)
    depth = max(pair.primary.depth, 1e-6)
    share = _log_uniform(rng, 0.003, 0.2) if kind == "blended" else 1.0
    share = min(max(share, 8 * host.hourly / depth), 1.0)
    duration = float(transit_duration_d(period, axis, impact, ratio)) * HOURS_PER_DAY
    return Injected(f"{kind}_binary", 1 + share * (flux - 1), Ephemeris(period, epoch, duration))


def stellar(host: Host, rng: np.random.Generator) -> Injected:
    """Spots, pulsations, RR Lyrae, or flares."""
    amplitude = min(host.hourly * _log_uniform(rng, 1.5, 400.0), 0.3)
    kind = str(rng.choice(["spots", "delta_scuti", "gamma_doradus", "rr_lyrae", "flares"], p=[0.4, 0.2, 0.2, 0.1, 0.1]))
    if kind == "spots":
        flux = variability.spots(host.time, _log_uniform(rng, 0.3, 12.0), amplitude, rng)
    elif kind == "delta_scuti":
        flux = variability.pulsations(host.time, _log_uniform(rng, 0.03, 0.25), amplitude, rng.integers(2, 9), 1.6, rng)
    elif kind == "gamma_doradus":
        flux = variability.pulsations(host.time, _log_uniform(rng, 0.35, 2.5), amplitude, rng.integers(2, 6), 1.3, rng)
    elif kind == "rr_lyrae":
        flux = variability.rr_lyrae(host.time, _log_uniform(rng, 0.35, 0.8), host.time[0] + rng.random(), 2 * amplitude)
    else:
        flux = variability.flares(host.time, rng.uniform(0.3, 2.0), 5 * host.sigma, rng)
    return Injected(kind, flux)


def artefact(host: Host, rng: np.random.Generator) -> Injected:
    """Ramps after momentum dumps, scattered light at the ends of orbits, jumps, or bursts of jitter."""
    kind = str(rng.choice(["ramps", "scattered_light", "jumps", "jitter"], p=[0.35, 0.3, 0.2, 0.15]))
    size = min(host.hourly * _log_uniform(rng, 20.0, 300.0), 0.3)
    x = host.time - host.time[0]
    flux = np.ones(len(x))
    if kind == "ramps":
        for dump in np.cumsum(rng.uniform(2.5, 3.0, 12)):
            after = np.maximum(x - dump, 0)
            flux += np.where(x >= dump, rng.normal(0.3, 1.0) * size * np.exp(-after / rng.uniform(0.05, 0.4)), 0)
    elif kind == "scattered_light":
        for end in (0.0, 0.5 * host.span_d, host.span_d):
            flux += rng.normal(0.0, 1.0) * size * np.exp(-np.abs(x - end) / rng.uniform(0.2, 0.8))
    elif kind == "jumps":
        for _ in range(rng.integers(1, 5)):
            start, length = rng.uniform(0, host.span_d), rng.uniform(0.2, 8.0)
            flux += rng.choice([-1, 1]) * size * ((x >= start) & (x < start + length))
    else:
        for _ in range(rng.integers(1, 4)):
            start, length = rng.uniform(0, host.span_d), rng.uniform(0.2, 1.5)
            burst = (x >= start) & (x < start + length)
            flux -= burst * np.abs(rng.standard_normal(len(x))) * min(rng.uniform(3, 15) * host.sigma, 0.3)
    return Injected(kind, np.maximum(flux, 0.01))


def anomaly(host: Host, rng: np.random.Generator) -> Injected:
    """Dips of no common class: dippers, exocomets (once or periodic), irregular dips."""
    kind = str(rng.choice(["dipper", "exocomet", "periodic_exocomet", "irregular_dip"]))
    depth = min(host.hourly * _log_uniform(rng, 20.0, 300.0), 0.6)
    middle = host.time[0] + rng.uniform(0.08, 0.92) * host.span_d
    if kind == "dipper":
        flux = variability.dipper(host.time, rng.uniform(1.5, 9.0), middle, depth, rng.uniform(0.3, 1.5), rng)
    elif kind == "exocomet":
        flux = variability.exocomet(host.time, middle, depth, rng.uniform(0.3, 1.5))
    elif kind == "irregular_dip":
        flux = variability.irregular_dip(host.time, middle, depth, rng.uniform(0.3, 1.8), rng)
    else:
        period = rng.uniform(2.0, min(9.0, 0.48 * host.span_d))
        offset = (host.time - middle + 0.15 * period) % period - 0.15 * period
        flux = variability.exocomet(offset, 0.0, depth, rng.uniform(0.1, 0.18) * period)
    return Injected(kind, np.maximum(flux, 0.01))


_MAKERS: dict[str, Callable[[Host, np.random.Generator], Injected]] = {
    "planetary_transit": planet,
    "eclipsing_binary": binary,
    "stellar_signal": stellar,
    "instrument_artifact": artefact,
    "unknown_anomaly": anomaly,
}


def _log_uniform(rng: np.random.Generator, low: float, high: float) -> float:
    return float(np.exp(rng.uniform(np.log(low), np.log(max(high, low)))))

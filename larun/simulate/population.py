"""Which stars a simulated sector holds, and what each of them does."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.special import ndtri

from larun.config import SimulateSettings
from larun.errors import ConfigurationError, InputError
from larun.simulate import stars as relations
from larun.simulate.random import Stream, generator
from larun.units import R_EARTH_PER_R_SUN

FIRST_TARGET_ID = 9_000_000_000
"""Simulated stars are numbered from here, above every number that the TESS Input Catalog uses.

A star of sector s and row i is 9,000,000,000 + 1,000,000 s + i; the numbers need 64 bits.
"""
TARGETS_PER_SECTOR = 1_000_000

CLASS_OF_KIND = {
    "quiet": "noise",
    "planet": "planetary_transit",
    "detached_binary": "eclipsing_binary",
    "blended_binary": "eclipsing_binary",
    "contact_binary": "eclipsing_binary",
    "rotator": "stellar_signal",
    "delta_scuti": "stellar_signal",
    "gamma_doradus": "stellar_signal",
    "rr_lyrae": "stellar_signal",
    "momentum_ramps": "instrument_artifact",
    "scattered_light": "instrument_artifact",
    "discontinuities": "instrument_artifact",
    "jitter": "instrument_artifact",
    "dipper": "unknown_anomaly",
    "exocomet": "unknown_anomaly",
    "irregular_dip": "unknown_anomaly",
    "self_lensing": "unknown_anomaly",
}
"""Kinds of simulated stars, and the class that a perfect classifier gives to each."""

BINARY_SHARES = {"detached_binary": 0.55, "blended_binary": 0.25, "contact_binary": 0.20}
VARIABLE_SHARES = {"rotator": 0.62, "delta_scuti": 0.14, "gamma_doradus": 0.14, "rr_lyrae": 0.10}
ARTEFACT_SHARES = {"momentum_ramps": 0.3, "scattered_light": 0.3, "discontinuities": 0.25, "jitter": 0.15}
ANOMALY_SHARES = {"dipper": 0.3, "exocomet": 0.25, "irregular_dip": 0.25, "self_lensing": 0.2}

_DRAWS = (
    "camera", "x", "y", "tmag", "mass", "radius_scatter", "metallicity", "pm_angle", "pm_size", "crowding",
    "family", "period", "size", "impact", "phase", "amplitude", "duration", "mass_ratio", "dilution",
    "eccentricity", "teff_scatter",
)  # fmt: skip
"""Columns of the matrix of uniform numbers: row i belongs to star i however many stars there are."""

_TMAG_QUANTILES = (0.0, 0.05, 0.10, 0.25, 0.50, 0.75, 0.90, 0.99, 1.0)
_TMAG = (5.5, 6.9, 7.9, 8.7, 9.8, 10.8, 12.5, 15.0, 15.5)
"""Magnitudes of the 2-minute targets of sector 1, rounded."""

_GOLDEN = 0.6180339887498949


@dataclass(frozen=True)
class Population:
    """Stars of one sector, one row each; NaN where a property does not apply to the kind.

    Parameters
    ----------
    target_id : (star,) int64
        Simulated number, see `FIRST_TARGET_ID`.
    kind : (star,) str
        Key of `CLASS_OF_KIND`.
    ra, dec, pm_ra, pm_dec : (star,) float64
        Degrees; milliarcseconds per year.
    column, row : (star,) float64
        Position on the CCD, pixels.
    camera, ccd : (star,) int64
        1 to 4.
    tmag, teff, logg, metallicity, mass, radius : (star,) float64
        TESS magnitude, kelvin, dex(cm/s2), dex, solar units.
    crowding : (star,) float64
        Share of the light in the aperture that is the target's.
    period_d : (star,) float64
        Orbital, rotation or pulsation period.
    phase : (star,) float64
        Epoch after the start of the sector in periods (in sector lengths where there is no period), 0 to 1.
    ratio : (star,) float64
        Radius of the companion over that of the star.
    impact : (star,) float64
        Impact parameter.
    axis : (star,) float64
        Semi-major axis over the radius of the star.
    mass_ratio, brightness_ratio : (star,) float64
        Companion over star: mass, and surface brightness in the TESS band.
    secondary_phase : (star,) float64
        Phase of the secondary eclipse.
    dilution : (star,) float64
        Share of the measured light that comes from the varying star.
    amplitude : (star,) float64
        Relative flux, peak to peak or depth.
    duration_d : (star,) float64
        Length of an event, first to fourth contact where there are contacts.
    """

    target_id: np.ndarray
    kind: np.ndarray
    ra: np.ndarray
    dec: np.ndarray
    pm_ra: np.ndarray
    pm_dec: np.ndarray
    column: np.ndarray
    row: np.ndarray
    camera: np.ndarray
    ccd: np.ndarray
    tmag: np.ndarray
    teff: np.ndarray
    logg: np.ndarray
    metallicity: np.ndarray
    mass: np.ndarray
    radius: np.ndarray
    crowding: np.ndarray
    period_d: np.ndarray
    phase: np.ndarray
    ratio: np.ndarray
    impact: np.ndarray
    axis: np.ndarray
    mass_ratio: np.ndarray
    brightness_ratio: np.ndarray
    secondary_phase: np.ndarray
    dilution: np.ndarray
    amplitude: np.ndarray
    duration_d: np.ndarray

    def __len__(self) -> int:
        return len(self.target_id)


def kind_shares(settings: SimulateSettings) -> dict[str, float]:
    """Share of each kind among the stars; they sum to one.

    Raises
    ------
    ConfigurationError
        The fractions of the settings sum to more than one.
    """
    families = (
        (settings.planet_fraction, {"planet": 1.0}),
        (settings.binary_fraction, BINARY_SHARES),
        (settings.variable_fraction, VARIABLE_SHARES),
        (settings.artefact_fraction, ARTEFACT_SHARES),
        (settings.anomaly_fraction, ANOMALY_SHARES),
    )
    total = sum(fraction for fraction, _ in families)
    if total > 1 + 1e-9:
        raise ConfigurationError(
            f"the fractions of planets, binaries, variables, artefacts and anomalies sum to {total:.3f}; "
            "lower some of simulate.*_fraction until they sum to at most 1, the rest are quiet stars"
        )
    shares = {kind: fraction * share for fraction, kinds in families for kind, share in kinds.items()}
    return {"quiet": max(0.0, 1 - total)} | shares


def draw_population(settings: SimulateSettings, sector: int) -> Population:
    """Draw the stars of a sector.

    Parameters
    ----------
    settings : SimulateSettings
        Number of stars, fractions and seed.
    sector : int
        1 or larger.

    Returns
    -------
    Population
        Row i depends on seed, sector and i only, not on the number of stars.

    Raises
    ------
    InputError
        The sector number is not positive, or there are more than a million stars.
    ConfigurationError
        The fractions sum to more than one.
    """
    n = settings.stars
    if sector < 1:
        raise InputError(f"a sector number is 1 or larger, not {sector}")
    if n > TARGETS_PER_SECTOR:
        raise InputError(f"a simulated sector holds at most {TARGETS_PER_SECTOR} stars, not {n}; lower simulate.stars")
    rng = generator(settings.seed, sector, Stream.POPULATION)
    start = rng.random()
    uniform = dict(zip(_DRAWS, rng.random((n, len(_DRAWS))).T, strict=True))
    kind = _kinds(kind_shares(settings), n, start)
    field = _field(uniform, sector)
    star = _star(uniform, kind)
    signal = {name: np.full(n, np.nan) for name in _SIGNAL_FIELDS}
    signal["dilution"] = np.ones(n)
    signal["phase"] = uniform["phase"]
    for make in (_planets, _binaries, _variables, _anomalies):
        make(uniform, kind, star, signal)
    return Population(
        target_id=FIRST_TARGET_ID + TARGETS_PER_SECTOR * sector + np.arange(n, dtype=np.int64),
        kind=kind,
        crowding=(1 - 0.3 * uniform["crowding"] ** 4).round(8),
        **field,
        **star,
        **signal,
    )


_SIGNAL_FIELDS = (
    "period_d", "phase", "ratio", "impact", "axis", "mass_ratio", "brightness_ratio", "secondary_phase",
    "dilution", "amplitude", "duration_d",
)  # fmt: skip


def _kinds(shares: dict[str, float], n: int, start: float) -> np.ndarray:
    """Kinds by a golden-ratio sequence: any run of stars holds each kind in its share, to about one star."""
    names = np.array(list(shares))
    edges = np.cumsum(list(shares.values()))
    place = (start + _GOLDEN * np.arange(n)) % 1.0
    return names[np.minimum(np.searchsorted(edges, place, side="right"), len(names) - 1)]


def _normal(uniform: np.ndarray) -> np.ndarray:
    return ndtri(np.clip(uniform, 1e-6, 1 - 1e-6))


def _log_uniform(uniform: np.ndarray, low, high) -> np.ndarray:
    return low * (high / low) ** uniform


def _field(uniform: dict[str, np.ndarray], sector: int) -> dict[str, np.ndarray]:
    camera = 1 + np.floor(4 * uniform["camera"]).astype(np.int64)
    half = relations.FIELD_DEG / 2
    x, y = half * (2 * uniform["x"] - 1), half * (2 * uniform["y"] - 1)
    ra, dec = relations.sky_position(sector, camera, x, y)
    size, angle = 8 * np.exp(1.1 * _normal(uniform["pm_size"])), 2 * np.pi * uniform["pm_angle"]
    return {
        "ra": ra.round(8),
        "dec": dec.round(8),
        "pm_ra": (size * np.cos(angle)).round(6),
        "pm_dec": (size * np.sin(angle)).round(6),
        "column": 45 + 2048 * np.abs(x) / half,
        "row": 1 + 2048 * np.abs(y) / half,
        "camera": camera,
        "ccd": 1 + (x > 0).astype(np.int64) + 2 * (y > 0).astype(np.int64),
    }


def _star(uniform: dict[str, np.ndarray], kind: np.ndarray) -> dict[str, np.ndarray]:
    """Masses by kind, then radius, temperature and gravity from main-sequence relations with scatter.

    Rounded to what a header card holds, so that a file says exactly what was simulated.
    """
    u = uniform["mass"]
    mass = 0.25 + 1.15 * u**0.8
    mass = np.where(kind == "rotator", 0.2 + 1.0 * u, mass)
    mass = np.where(kind == "delta_scuti", 1.5 + 0.7 * u, mass)
    mass = np.where(kind == "gamma_doradus", 1.35 + 0.25 * u, mass)
    mass = np.where(np.isin(kind, ("detached_binary", "contact_binary")), 0.5 + 1.3 * u, mass)
    radius = relations.radius_of(mass)
    teff = relations.teff_of(relations.luminosity_of(mass), radius) * (1 + 0.015 * _normal(uniform["teff_scatter"]))
    radius = radius * np.exp(0.08 * _normal(uniform["radius_scatter"]) + 0.15 * uniform["radius_scatter"] ** 3)
    giant = kind == "rr_lyrae"
    mass = np.where(giant, 0.65, mass)
    radius = np.where(giant, 4.5 + 1.5 * u, radius)
    teff = np.where(giant, 6100 + 1100 * uniform["teff_scatter"], teff)
    return {
        "tmag": np.interp(uniform["tmag"], _TMAG_QUANTILES, _TMAG).round(6),
        "teff": teff.round(4),
        "logg": relations.logg_of(mass, radius).round(6),
        "metallicity": (0.2 * _normal(uniform["metallicity"])).round(6),
        "mass": mass,
        "radius": radius.round(6),
    }


def _planets(uniform, kind, star, signal) -> None:
    """Planets that transit: 25 % giants, 30 % Neptunes, 45 % small ones. A sample to test with, not a rate."""
    here = kind == "planet"
    u = {name: values[here] for name, values in uniform.items()}
    mass, radius = star["mass"][here], star["radius"][here]
    giant, neptune = u["family"] < 0.25, (u["family"] >= 0.25) & (u["family"] < 0.55)
    low = np.where(giant, 8.0, np.where(neptune, 3.0, 1.0))
    high = np.where(giant, 18.0, np.where(neptune, 8.0, 3.0))
    ratio = _log_uniform(u["size"], low, high) / R_EARTH_PER_R_SUN / radius
    period = _log_uniform(u["period"], np.where(giant, 0.8, 0.5), np.where(giant, 10.0, 13.0))
    period, axis = _outside(period, mass, radius, 2.2)
    signal["period_d"][here] = period
    signal["ratio"][here] = ratio
    signal["impact"][here] = 0.95 * u["impact"]
    signal["axis"][here] = axis
    signal["duration_d"][here] = relations.transit_duration_d(period, axis, 0.95 * u["impact"], ratio)


def _binaries(uniform, kind, star, signal) -> None:
    """Detached (also as a blend in the background) and contact binaries of two main-sequence stars."""
    here = np.isin(kind, list(BINARY_SHARES))
    u = {name: values[here] for name, values in uniform.items()}
    contact, blended = kind[here] == "contact_binary", kind[here] == "blended_binary"
    mass, radius, teff = (star[name][here] for name in ("mass", "radius", "teff"))
    q = 0.25 + 0.74 * u["mass_ratio"]
    radius_2 = relations.radius_of(q * mass)
    ratio = np.minimum(radius_2 / radius, 0.98)
    teff_2 = np.minimum(relations.teff_of(relations.luminosity_of(q * mass), radius_2), teff)
    period = np.where(contact, 0.25 + 0.45 * u["period"], _log_uniform(u["period"], 0.7, 13.0))
    detached_period, detached_axis = _outside(period, mass * (1 + q), radius, 1.7 * (1 + ratio))
    period = np.where(contact, period, detached_period)
    impact = np.where(contact, np.nan, 0.9 * (1 + ratio) * u["impact"])
    axis = np.where(contact, np.nan, detached_axis)
    eccentric = (period > 4) & ~contact
    signal["period_d"][here] = period
    signal["ratio"][here] = np.where(contact, np.nan, ratio)
    signal["impact"][here] = impact
    signal["axis"][here] = axis
    signal["mass_ratio"][here] = q
    signal["brightness_ratio"][here] = relations.surface_brightness_ratio(teff_2, teff)
    signal["secondary_phase"][here] = 0.5 + np.where(eccentric, 0.15 * _normal(u["eccentricity"]).clip(-1, 1), 0.0)
    signal["dilution"][here] = np.where(blended, _log_uniform(u["dilution"], 0.003, 0.2), 1.0)
    signal["amplitude"][here] = np.where(contact, 0.1 + 0.6 * u["amplitude"], np.nan)
    signal["duration_d"][here] = relations.transit_duration_d(period, axis, impact, ratio)


def _outside(period: np.ndarray, mass: np.ndarray, radius: np.ndarray, smallest: np.ndarray | float):
    """Lengthen periods until the semi-major axis over the radius is at least `smallest`; both, as (period, axis)."""
    axis = relations.scaled_axis(period, mass, radius)
    period = period * np.maximum(smallest / axis, 1.0) ** 1.5
    return period, np.maximum(axis, smallest)


def _variables(uniform, kind, star, signal) -> None:
    """Dominant period and peak-to-peak amplitude of rotators and pulsators."""
    ranges = {
        "rotator": ((0.3, 20.0), (0.001, 0.06)),
        "delta_scuti": ((0.025, 0.2), (0.002, 0.08)),
        "gamma_doradus": ((0.35, 2.5), (0.002, 0.03)),
        "rr_lyrae": ((0.30, 0.75), (0.25, 0.6)),
    }
    for name, (periods, amplitudes) in ranges.items():
        here = kind == name
        signal["period_d"][here] = _log_uniform(uniform["period"][here], *periods)
        signal["amplitude"][here] = _log_uniform(uniform["amplitude"][here], *amplitudes)


def _anomalies(uniform, kind, star, signal) -> None:
    """Quasi-periodic dippers, single dips and self-lensing pulses."""
    ranges = {
        "dipper": ((2.0, 8.0), (0.03, 0.4), (0.3, 1.0)),
        "exocomet": (None, (0.001, 0.03), (0.3, 1.5)),
        "irregular_dip": (None, (0.005, 0.2), (0.5, 3.0)),
        "self_lensing": ((3.0, 13.0), (0.0005, 0.005), (0.08, 0.3)),
    }
    for name, (periods, amplitudes, durations) in ranges.items():
        here = kind == name
        if periods is not None:
            signal["period_d"][here] = _log_uniform(uniform["period"][here], *periods)
        signal["amplitude"][here] = _log_uniform(uniform["amplitude"][here], *amplitudes)
        signal["duration_d"][here] = _log_uniform(uniform["duration"][here], *durations)

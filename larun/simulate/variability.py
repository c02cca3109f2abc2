"""Light of stars that vary by themselves: spots and flares, pulsations, and shapes of no common class.

Every function returns relative flux, (cadence,) float64, around 1 at the given times in days.
"""

from __future__ import annotations

import numpy as np

from larun.units import from_mid_transit_d


def spots(time: np.ndarray, period_d: float, amplitude: float, rng: np.random.Generator) -> np.ndarray:
    """Rotating star with 2 to 5 spots that grow and decay.

    Parameters
    ----------
    time : (cadence,) float64
        Days.
    period_d : float
        Rotation period.
    amplitude : float
        Peak to peak, relative flux.
    rng : numpy.random.Generator
        Longitudes, latitudes, life times and differential rotation of the spots.

    Notes
    -----
    A spot hides light in proportion to its area times the cosine of its angle from the line of sight while it
    is in view (Budding 1977, Ap&SS 48, 207, small spots, no limb darkening). Areas are Gaussian in time.
    """
    flux = np.zeros(len(time))
    span = time[-1] - time[0]
    tilt = np.arccos(rng.uniform(0.0, 0.6))
    for _ in range(rng.integers(2, 6)):
        latitude = rng.uniform(-0.7, 1.0)
        rate = 2 * np.pi / (period_d * (1 + 0.06 * np.sin(latitude) ** 2))
        view = np.cos(tilt) * np.sin(latitude) + np.sin(tilt) * np.cos(latitude) * np.cos(
            rate * time + rng.uniform(0, 2 * np.pi)
        )
        middle, life = rng.uniform(time[0] - 0.3 * span, time[-1] + 0.3 * span), rng.uniform(0.5, 2.0) * span
        flux -= rng.uniform(0.3, 1.0) * np.exp(-0.5 * ((time - middle) / life) ** 2) * np.maximum(view, 0)
    reach = np.ptp(flux)
    return 1 + (flux - np.median(flux)) * (amplitude / reach if reach > 0 else 0.0)


def flares(time: np.ndarray, rate_per_d: float, scale: float, rng: np.random.Generator) -> np.ndarray:
    """Flares of a cool star, as relative flux added to 1.

    Parameters
    ----------
    time : (cadence,) float64
        Days.
    rate_per_d : float
        Flares per day.
    scale : float
        Smallest peak, relative flux; peaks follow a power law of index -2 up to 50 times that.
    rng : numpy.random.Generator
        Number, times, peaks and widths.

    Notes
    -----
    Shape of Davenport et al. (2014, ApJ 797, 122), eqs 1 and 4.
    """
    flux = np.ones(len(time))
    for _ in range(rng.poisson(rate_per_d * (time[-1] - time[0]))):
        peak = scale / (1 - 0.98 * rng.random())
        middle, half_width = rng.uniform(time[0], time[-1]), rng.uniform(2, 12) / 1440
        first, last = np.searchsorted(time, [middle - half_width, middle + 20 * half_width])
        x = (time[first:last] - middle) / half_width
        rise = 1 + x * (1.941 + x * (-0.175 + x * (-2.246 - 1.125 * x)))
        decay = 0.6890 * np.exp(-1.600 * x) + 0.3030 * np.exp(-0.2783 * x)
        flux[first:last] += peak * np.where(x < 0, rise, decay)
    return flux


def pulsations(
    time: np.ndarray, period_d: float, amplitude: float, modes: int, spread: float, rng: np.random.Generator
) -> np.ndarray:
    """Several sine waves near a dominant one, as in delta Scuti and gamma Doradus stars.

    Parameters
    ----------
    time : (cadence,) float64
        Days.
    period_d : float
        Period of the dominant mode.
    amplitude : float
        Peak-to-peak of the dominant mode, relative flux.
    modes : int
        Number of modes.
    spread : float
        Frequencies of the others lie within this factor of the dominant one.
    rng : numpy.random.Generator
        Frequencies, amplitudes and phases.
    """
    flux = np.zeros(len(time))
    for mode in range(modes):
        frequency = (spread ** rng.uniform(-1, 1) if mode else 1.0) / period_d
        size = 0.5 * amplitude * (rng.uniform(0.1, 0.7) if mode else 1.0)
        flux += size * np.sin(2 * np.pi * (frequency * time + rng.random()))
    return 1 + flux


def rr_lyrae(time: np.ndarray, period_d: float, epoch: float, amplitude: float) -> np.ndarray:
    """Saw-tooth light curve of an RRab star, brightest near `epoch`.

    A sine series with amplitude ratios R21 0.45, R31 0.35, R41 0.2 and phases typical of RRab stars
    (Simon & Teays 1982, ApJ 261, 586).
    """
    angle = 2 * np.pi * (time - epoch) / period_d
    shape = sum(
        size * np.cos(k * angle + offset)
        for k, size, offset in ((1, 1.0, 0.0), (2, 0.45, 0.9), (3, 0.35, 1.6), (4, 0.20, 2.4))
    )
    return 1 + amplitude * shape / 2.4


def dipper(
    time: np.ndarray, period_d: float, epoch: float, amplitude: float, duration_d: float, rng: np.random.Generator
) -> np.ndarray:
    """Dips of changing depth and length near every period, as of dust at the inner edge of a disc.

    Ansdell et al. (2016, ApJ 816, 69): quasi-periodic dips of up to tens of per cent, no two alike.
    """
    flux = np.ones(len(time))
    first, last = int(np.floor((time[0] - epoch) / period_d)), int(np.ceil((time[-1] - epoch) / period_d))
    for cycle in range(first, last + 1):
        for _ in range(rng.integers(1, 3)):
            middle = epoch + (cycle + 0.12 * rng.standard_normal()) * period_d
            depth, width = amplitude * rng.uniform(0.15, 1.0), duration_d * rng.uniform(0.3, 1.0) / 4
            flux -= depth * np.exp(-0.5 * ((time - middle) / width) ** 2)
    return np.maximum(flux, 0.05)


def exocomet(time: np.ndarray, epoch: float, amplitude: float, duration_d: float) -> np.ndarray:
    """One dip with a steep start and an exponential tail, deepest at `epoch`.

    The shape of Lecavelier des Etangs et al. (1999, A&A 343, 916); seen by Zieba et al. (2019, A&A 625, L13).
    """
    x = time - epoch
    ingress, tail = 0.12 * duration_d, 0.4 * duration_d
    return 1 - amplitude * np.where(x < 0, np.exp(-0.5 * (x / ingress) ** 2), np.exp(-np.maximum(x, 0) / tail))


def irregular_dip(
    time: np.ndarray, epoch: float, amplitude: float, duration_d: float, rng: np.random.Generator
) -> np.ndarray:
    """One structured dip around `epoch`, a sum of unequal dips as of KIC 8462852 (Boyajian et al. 2016)."""
    flux = np.zeros(len(time))
    for _ in range(rng.integers(3, 7)):
        middle, width = epoch + 0.25 * duration_d * rng.standard_normal(), duration_d * rng.uniform(0.05, 0.25)
        flux += rng.uniform(0.2, 1.0) * np.exp(-(np.abs((time - middle) / width) ** rng.uniform(1.2, 4.0)))
    deepest = flux.max()
    return 1 - flux * (amplitude / deepest if deepest > 0 else 0.0)


def self_lensing(time: np.ndarray, period_d: float, epoch: float, amplitude: float, duration_d: float) -> np.ndarray:
    """Flat-topped brightenings once an orbit, as a compact companion lenses its star (Kruse & Agol 2014)."""
    offset = from_mid_transit_d(time, period_d, epoch)
    edge = 0.1 * duration_d
    return 1 + amplitude * np.clip((0.5 * duration_d - np.abs(offset)) / edge + 0.5, 0, 1)

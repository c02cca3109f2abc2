"""Main-sequence relations and the fields that the four cameras see."""

from __future__ import annotations

import numpy as np

from larun.units import SOLAR_DENSITY_G_CM3

SOLAR_TEFF_K = 5772.0
SOLAR_LOGG = 4.438
OBLIQUITY_RAD = np.radians(23.4392911)
"""Obliquity of the ecliptic, J2000."""

CAMERA_LATITUDES_DEG = (18.0, 42.0, 66.0, 90.0)
"""Ecliptic latitudes (absolute) of the boresights of cameras 1 to 4 in the prime mission (Ricker et al. 2015)."""
FIELD_DEG = 24.0
"""Side of a camera's square field."""
SECTOR_1_LONGITUDE_DEG = 315.8
SECTOR_LONGITUDE_STEP_DEG = 27.7
SECTORS_PER_HEMISPHERE = 13

_LIMB_TEFF_K = (3000.0, 3500.0, 4500.0, 5500.0, 6500.0, 8000.0, 10000.0)
_LIMB_U1 = (0.22, 0.26, 0.40, 0.31, 0.23, 0.17, 0.14)
_LIMB_U2 = (0.33, 0.30, 0.18, 0.24, 0.29, 0.28, 0.26)


def radius_of(mass: np.ndarray) -> np.ndarray:
    """Radius of a main-sequence star.

    Parameters
    ----------
    mass : ndarray
        Solar masses.

    Returns
    -------
    ndarray
        Solar radii: 1.06 M^0.945 below 1.66 solar masses, 1.33 M^0.555 above (Demircan & Kahraman 1991,
        Ap&SS 181, 313).
    """
    return np.where(mass < 1.66, 1.06 * mass**0.945, 1.33 * mass**0.555)


def luminosity_of(mass: np.ndarray) -> np.ndarray:
    """Luminosity of a main-sequence star in solar units: 0.23 M^2.3 below 0.43 solar masses, M^4 above.

    Duric (2004), Advanced Astrophysics, section 1.4.
    """
    return np.where(mass < 0.43, 0.23 * mass**2.3, mass**4.0)


def teff_of(luminosity: np.ndarray, radius: np.ndarray) -> np.ndarray:
    """Effective temperature in kelvin, from luminosity and radius in solar units (Stefan-Boltzmann)."""
    return SOLAR_TEFF_K * (luminosity / radius**2) ** 0.25


def logg_of(mass: np.ndarray, radius: np.ndarray) -> np.ndarray:
    """Surface gravity, dex(cm/s2), from mass and radius in solar units."""
    return SOLAR_LOGG + np.log10(mass) - 2 * np.log10(radius)


def density_g_cm3(mass: np.ndarray, radius: np.ndarray) -> np.ndarray:
    """Mean density from mass and radius in solar units."""
    return SOLAR_DENSITY_G_CM3 * mass / radius**3


def scaled_axis(period_d: np.ndarray, mass: np.ndarray, radius: np.ndarray) -> np.ndarray:
    """Semi-major axis over stellar radius, by Kepler's third law.

    Parameters
    ----------
    period_d : ndarray
        Orbital period.
    mass : ndarray
        Total mass, solar masses.
    radius : ndarray
        Radius of the star, solar radii.

    Returns
    -------
    ndarray
        4.2083 P^(2/3) M^(1/3) / R, P in days.
    """
    return 4.2083 * np.asarray(period_d) ** (2 / 3) * np.cbrt(mass) / radius


def transit_duration_d(period_d, axis, impact, ratio):
    """Duration from first to fourth contact on a circular orbit, days (Winn 2010, arXiv:1001.2010, eq. 14).

    Parameters
    ----------
    period_d, axis, impact, ratio : float or ndarray
        Period, semi-major axis over stellar radius, impact parameter, radius ratio.
    """
    path = np.sqrt(np.maximum((1 + np.asarray(ratio)) ** 2 - np.asarray(impact) ** 2, 0.0))
    sin_i = np.sqrt(1 - (np.asarray(impact) / axis) ** 2)
    return np.asarray(period_d) / np.pi * np.arcsin(np.minimum(path / (axis * sin_i), 1.0))


def limb_darkening(teff_k) -> tuple[np.ndarray, np.ndarray]:
    """Quadratic coefficients in the TESS band, rounded after Claret (2017, A&A 600, A30) for dwarfs."""
    return np.interp(teff_k, _LIMB_TEFF_K, _LIMB_U1), np.interp(teff_k, _LIMB_TEFF_K, _LIMB_U2)


def surface_brightness_ratio(teff_cool, teff_hot):
    """Ratio of Planck functions at 0.8 micrometres, the middle of the TESS band."""
    c2_over_lambda_k = 0.014387769 / 0.8e-6
    return np.expm1(c2_over_lambda_k / teff_hot) / np.expm1(c2_over_lambda_k / teff_cool)


def boresight(sector: int, camera) -> tuple[np.ndarray, np.ndarray]:
    """Ecliptic longitude and latitude of a camera's boresight, degrees.

    The spacecraft turns by 27.7 degrees from sector to sector and changes hemisphere after 13, beginning in the
    south with sector 1.
    """
    longitude = (SECTOR_1_LONGITUDE_DEG + SECTOR_LONGITUDE_STEP_DEG * (sector - 1)) % 360
    sign = -1.0 if ((sector - 1) // SECTORS_PER_HEMISPHERE) % 2 == 0 else 1.0
    latitude = sign * np.asarray(CAMERA_LATITUDES_DEG)[np.asarray(camera) - 1]
    return np.full_like(latitude, longitude), latitude


def sky_position(sector: int, camera: np.ndarray, x_deg: np.ndarray, y_deg: np.ndarray):
    """Equatorial position of points in the cameras' fields.

    Parameters
    ----------
    sector : int
        Sector.
    camera : (star,) int
        1 to 4.
    x_deg, y_deg : (star,) float
        Offset from the boresight, along ecliptic longitude and latitude, on the tangent plane.

    Returns
    -------
    ra, dec : (star,) float64
        Degrees, ICRS.
    """
    longitude, latitude = (np.radians(v) for v in boresight(sector, camera))
    x, y = np.tan(np.radians(x_deg)), np.tan(np.radians(y_deg))
    cos_b, sin_b, cos_l, sin_l = np.cos(latitude), np.sin(latitude), np.cos(longitude), np.sin(longitude)
    ecliptic = np.stack(
        [
            cos_b * cos_l - x * sin_l - y * sin_b * cos_l,
            cos_b * sin_l + x * cos_l - y * sin_b * sin_l,
            sin_b + y * cos_b,
        ]
    )
    ecliptic /= np.linalg.norm(ecliptic, axis=0)
    cos_e, sin_e = np.cos(OBLIQUITY_RAD), np.sin(OBLIQUITY_RAD)
    north = sin_e * ecliptic[1] + cos_e * ecliptic[2]
    east = cos_e * ecliptic[1] - sin_e * ecliptic[2]
    return np.degrees(np.arctan2(east, ecliptic[0])) % 360, np.degrees(np.arcsin(np.clip(north, -1, 1)))

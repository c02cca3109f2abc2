"""Conversions and constants, each in one place. Names carry their units."""

from __future__ import annotations

import numpy as np

BTJD_OFFSET_D = 2457000.0
"""BTJD = BJD(TDB) - 2457000 (TESS Science Data Products Description, section 4)."""

BKJD_OFFSET_D = 2454833.0
"""BKJD = BJD(TDB) - 2454833 (Kepler Archive Manual, section 2.3)."""

_BEFORE_BTJD_D = {"btjd": 0.0, "bkjd": BTJD_OFFSET_D - BKJD_OFFSET_D}

HOURS_PER_DAY = 24.0
SECONDS_PER_DAY = 86400.0
MINUTES_PER_DAY = 1440.0
PPM = 1e6

MAD_TO_SIGMA = 1.482602218505602
"""Standard deviation of a normal distribution per median absolute deviation."""

SOLAR_DENSITY_G_CM3 = 1.41
"""Mean density of the Sun (Seager & Mallén-Ornelas 2003, ApJ 585, 1038)."""

R_SUN_M = 6.957e8
M_SUN_KG = 1.98841e30
G_SI = 6.6743e-11
R_EARTH_PER_R_SUN = 109.076
R_JUPITER_PER_R_SUN = 9.7310
"""Nominal equatorial radii (IAU 2015 resolution B3)."""


def to_btjd(time_d, time_format: str):
    """Time of a light curve as BTJD.

    Parameters
    ----------
    time_d : float or ndarray
        Barycentric time, days, TDB.
    time_format : str
        Its zero point: ``btjd`` or ``bkjd``.

    Returns
    -------
    float or ndarray
        The same time as BJD(TDB) - 2457000, days.
    """
    return time_d - _BEFORE_BTJD_D[time_format]


def from_mid_transit_d(time_d, period_d, t0):
    """Time from the nearest mid-transit.

    Parameters
    ----------
    time_d : float or ndarray
        Times, days.
    period_d, t0 : float or ndarray
        Ephemeris, days, on the time scale of `time_d`.

    Returns
    -------
    float or ndarray
        Days, from minus half a period to half a period; negative before the transit.
    """
    return (time_d - t0 + 0.5 * period_d) % period_d - 0.5 * period_d


def transit_duration_h(period_d, density_solar=1.0):
    """Duration of a central transit of a small planet on a circular orbit.

    Parameters
    ----------
    period_d : float or ndarray
        Orbital period, days.
    density_solar : float or ndarray
        Mean stellar density in units of the Sun's.

    Returns
    -------
    float or ndarray
        Duration in hours: 13 h (P / 1 yr)^(1/3) rho^(-1/3) (Seager & Mallén-Ornelas 2003, eq. 19
        with b = 0 and k << 1).
    """
    return 12.97 * np.cbrt(np.asarray(period_d) / 365.25 / np.asarray(density_solar))

"""How noisy TESS is: photons, sky, read-out and the floor of systematics.

Components as in Sullivan et al. (2015, ApJ 809, 77, section 6.4), with values measured in flight: the zero point
and aperture sizes of the 2-minute products, an exposure that loses a fifth to on-board cosmic-ray mitigation.
"""

from __future__ import annotations

import numpy as np

ZERO_POINT_MAG = 20.5
"""TESS magnitude of a star that gives 1 electron/s, all its light."""
LIVE_FRACTION = 0.792
"""Exposure over elapsed time: 1.98 s of each 2 s frame, 8 of each 10 frames."""
FRAME_S = 2.0
MITIGATION = 0.8
READ_NOISE_E = 9.0
"""Electrons per pixel and frame."""
SKY_E_S = 95.0
"""Zodiacal light and faint stars, electron/s per pixel."""
EXCESS = 1.05
"""Measured noise over the sum of the components: quantisation, smear correction, intra-pixel response."""
RED_FLOOR_PPM = 22.0
"""Scatter of the correlated part: pointing and granulation."""
RED_TIME_SCALE_D = 0.08


def star_flux(tmag: np.ndarray) -> np.ndarray:
    """Electrons per second of a star, all its light."""
    return 10 ** (-0.4 * (np.asarray(tmag) - ZERO_POINT_MAG))


def aperture_pixels(tmag: np.ndarray) -> np.ndarray:
    """Pixels of the optimal aperture: 45 at magnitude 5.1, a factor 10 fewer each 8.7 magnitudes, at least 3."""
    return np.maximum(np.round(45 * 10 ** (-0.115 * (np.asarray(tmag) - 5.1))), 3).astype(np.int64)


def aperture_share(tmag: np.ndarray) -> np.ndarray:
    """Share of the star's light that falls into the optimal aperture."""
    return np.interp(tmag, (5.0, 7.0, 9.0, 10.5, 12.0, 13.5, 16.0), (0.98, 0.93, 0.90, 0.87, 0.80, 0.70, 0.62))


def flux_error(light: np.ndarray, background: np.ndarray, pixels: int, cadence_s: float) -> np.ndarray:
    """One-sigma error of aperture photometry of one cadence, electron/s.

    Parameters
    ----------
    light, background : ndarray
        Starlight in the aperture; background of the whole aperture: electron/s.
    pixels : int
        Pixels of the aperture.
    cadence_s : float
        Length of a cadence, seconds.
    """
    live_s = LIVE_FRACTION * cadence_s
    reads = MITIGATION * cadence_s / FRAME_S
    variance = (np.maximum(light, 0) + background) * live_s + pixels * reads * READ_NOISE_E**2
    return EXCESS * np.sqrt(variance) / live_s


def cadence_noise_ppm(tmag, crowding=1.0, cadence_s: float = 120.0) -> np.ndarray:
    """White noise of one cadence of a quiet star under a dark sky.

    Parameters
    ----------
    tmag : float or ndarray
        TESS magnitude.
    crowding : float or ndarray
        Share of the light in the aperture that is the target's.
    cadence_s : float
        Length of a cadence, seconds.

    Returns
    -------
    ndarray
        One sigma relative to the star's flux after correction for crowding, ppm.
    """
    pixels = aperture_pixels(tmag)
    inside = star_flux(tmag) * aperture_share(tmag)
    return 1e6 * flux_error(inside / crowding, SKY_E_S * pixels, pixels, cadence_s) / inside


def event_noise_ppm(tmag, duration_h, crowding=1.0, cadence_s: float = 120.0) -> np.ndarray:
    """Noise of the mean flux over an event: white noise averaged down, and the correlated floor; ppm."""
    white = cadence_noise_ppm(tmag, crowding, cadence_s) * np.sqrt(cadence_s / (3600 * np.asarray(duration_h)))
    correlated = RED_FLOOR_PPM / np.sqrt(1 + np.asarray(duration_h) / (24 * 2 * RED_TIME_SCALE_D))
    return np.hypot(white, correlated)

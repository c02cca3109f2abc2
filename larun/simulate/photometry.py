"""Photometry of one simulated star: its own light through the instrument."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from larun.simulate import eclipses, noise, variability
from larun.simulate.instrument import (
    IMPULSIVE_OUTLIER,
    NO_APERTURE_FLUX,
    NO_CORRECTED_FLUX,
    CameraState,
    Instrument,
    correlated_noise,
)
from larun.simulate.population import Population
from larun.simulate.stars import limb_darkening

_COOL_TEFF_K = 4300.0
_TREND_SIZES = (2.5e-3, 1.5e-3, 1.0e-3, 1.5e-3)
"""Typical relative size of the trends in aperture photometry."""
_LEFT_AFTER_CORRECTION = 0.04
"""Typical share of a trend that the mission's correction leaves."""


@dataclass(frozen=True)
class Photometry:
    """Columns of one star's product, each (cadence,); electron/s and pixels.

    Parameters
    ----------
    time : float64
        Barycentric, BTJD; NaN in the gap.
    time_correction : float32
        Days.
    cadence_no, quality : int32
        Cadence numbers and quality bits.
    aperture, aperture_err, background, background_err, corrected, corrected_err : float32
        Aperture flux, background in the aperture, and flux corrected for systematics and crowding.
    column, row : float64
        Flux-weighted centroid.
    column_err, row_err : float32
        Its errors.
    shift_column, shift_row : float32
        Position correction.
    """

    time: np.ndarray
    time_correction: np.ndarray
    cadence_no: np.ndarray
    quality: np.ndarray
    aperture: np.ndarray
    aperture_err: np.ndarray
    background: np.ndarray
    background_err: np.ndarray
    corrected: np.ndarray
    corrected_err: np.ndarray
    column: np.ndarray
    row: np.ndarray
    column_err: np.ndarray
    row_err: np.ndarray
    shift_column: np.ndarray
    shift_row: np.ndarray


def dip_of(stars: Population, i: int, exposure_d: float) -> eclipses.Dip | eclipses.EclipsingPair:
    """Model of star i's transits or eclipses, before dilution; star i is a planet host or a detached binary."""
    limb = tuple(float(u) for u in limb_darkening(stars.teff[i]))
    orbit = (float(stars.period_d[i]), float(stars.ratio[i]), float(stars.axis[i]), float(stars.impact[i]))
    if stars.kind[i] == "planet":
        return eclipses.transit(*orbit, limb, exposure_d)
    return eclipses.eclipsing_pair(
        *orbit,
        float(stars.mass_ratio[i]),
        float(stars.brightness_ratio[i]),
        float(stars.secondary_phase[i]),
        limb,
        exposure_d,
    )


def epoch_of(stars: Population, i: int, start_d: float, span_d: float) -> float:
    """Time of the first event after the start of the sector; NaN where star i has none."""
    period = stars.period_d[i]
    return start_d + stars.phase[i] * (period if np.isfinite(period) else span_d)


def star_light(
    stars: Population, i: int, time: np.ndarray, epoch: float, exposure_d: float, rng: np.random.Generator
) -> np.ndarray:
    """Relative light of star i as it leaves the star, (cadence,) float64, around 1.

    Parameters
    ----------
    stars : Population
        The sector's stars.
    i : int
        Row.
    time : (cadence,) float64
        Barycentric time.
    epoch : float
        Time of one event.
    exposure_d : float
        Length of a cadence.
    rng : numpy.random.Generator
        What differs from event to event.
    """
    kind, period, size, duration = stars.kind[i], stars.period_d[i], stars.amplitude[i], stars.duration_d[i]
    if kind in ("planet", "detached_binary", "blended_binary"):
        light = dip_of(stars, i, exposure_d).at(time, period, epoch)
        light = _background_activity(time, rng) * (1 + stars.dilution[i] * (light - 1))
    elif kind == "contact_binary":
        light = eclipses.contact_binary(time, period, epoch, size)
    elif kind == "rotator":
        light = variability.spots(time, period, size, rng)
        if stars.teff[i] < _COOL_TEFF_K:
            light = light + variability.flares(time, rng.uniform(0.05, 1.5), 0.005, rng) - 1
    elif kind == "delta_scuti":
        light = variability.pulsations(time, period, size, int(rng.integers(3, 9)), 1.8, rng)
    elif kind == "gamma_doradus":
        light = variability.pulsations(time, period, size, int(rng.integers(2, 6)), 1.3, rng)
    elif kind == "rr_lyrae":
        light = variability.rr_lyrae(time, period, epoch, size)
    elif kind == "dipper":
        light = variability.dipper(time, period, epoch, size, duration, rng)
    elif kind == "exocomet":
        light = variability.exocomet(time, epoch, size, duration)
    elif kind == "irregular_dip":
        light = variability.irregular_dip(time, epoch, size, duration, rng)
    elif kind == "self_lensing":
        light = variability.self_lensing(time, period, epoch, size, duration)
    else:
        light = _background_activity(time, rng)
    return light


def _background_activity(time: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Spots of a few hundred ppm on a third of the stars that are not variable by kind."""
    active, period, size = rng.random() < 0.35, 3 * 8 ** rng.random(), 1e-4 * 20 ** rng.random()
    return variability.spots(time, period, size, rng) if active else np.ones(len(time))


def observe(stars: Population, i: int, instrument: Instrument, rng: np.random.Generator) -> Photometry:
    """Photometry of star i.

    Parameters
    ----------
    stars : Population
        The sector's stars.
    i : int
        Row.
    instrument : Instrument
        The sector's spacecraft.
    rng : numpy.random.Generator
        The star's own stream.

    Returns
    -------
    Photometry
        All cadences, with the gaps and bits of a mission product.
    """
    camera = instrument.camera(int(stars.camera[i]), int(stars.ccd[i]))
    correction = instrument.time_correction(stars.ra[i], stars.dec[i])
    time = instrument.time + correction.astype(np.float64)
    epoch = epoch_of(stars, i, instrument.start_d, instrument.time[-1] - instrument.start_d)
    light = star_light(stars, i, time, epoch, instrument.exposure_d, rng)
    n, tmag, crowding = len(time), stars.tmag[i], stars.crowding[i]
    pixels, share = int(noise.aperture_pixels(tmag)), float(noise.aperture_share(tmag))
    inside = float(noise.star_flux(tmag)) * share
    neighbours = inside * (1 - crowding) / crowding
    cadence_s = instrument.exposure_d * 86400
    background = camera.background * np.float32(pixels)
    error = noise.flux_error(inside * light + neighbours, background, pixels, cadence_s)

    red = noise.RED_FLOOR_PPM * 1e-6 * correlated_noise(rng, n, instrument.exposure_d, noise.RED_TIME_SCALE_D)
    raw, left = _systematics(stars.kind[i], camera, instrument, tmag, rng)
    glare = camera.glare * np.float32(pixels) * _glare_share(stars.kind[i], inside, camera, pixels, rng)
    starlight = inside * light * (1 + red)
    white = error * rng.standard_normal(n, dtype=np.float32)
    outliers, quality = _outliers(error, camera.quality, rng)
    aperture = (starlight + neighbours) * (1 + raw) + glare + white + outliers
    corrected = (starlight * (1 + left) + glare + white + outliers) / share

    moved = _motion(stars, i, light, instrument, neighbours / (inside + neighbours), rng)
    scatter = (error / (inside + neighbours)).mean() * 0.8
    column, row = (
        place + shift + scatter * rng.standard_normal(n, dtype=np.float32)
        for place, shift in zip((stars.column[i], stars.row[i]), moved, strict=True)
    )
    no_aperture, no_corrected = (quality & NO_APERTURE_FLUX) != 0, (quality & NO_CORRECTED_FLUX) != 0
    background_err = np.sqrt(background / (noise.LIVE_FRACTION * cadence_s)) * 0.3
    return Photometry(
        time=np.where(instrument.in_gap, np.nan, time),
        time_correction=correction,
        cadence_no=instrument.cadence_no,
        quality=quality,
        aperture=_masked(aperture, no_aperture),
        aperture_err=_masked(error, no_aperture),
        background=_masked(background, no_aperture),
        background_err=_masked(background_err, no_aperture),
        corrected=_masked(corrected, no_corrected),
        corrected_err=_masked(error / share, no_corrected),
        column=np.where(no_aperture, np.nan, column),
        row=np.where(no_aperture, np.nan, row),
        column_err=_masked(np.full(n, scatter), no_aperture),
        row_err=_masked(np.full(n, scatter), no_aperture),
        shift_column=_masked(instrument.pointing.column, no_aperture),
        shift_row=_masked(instrument.pointing.row, no_aperture),
    )


def _masked(values: np.ndarray, bad: np.ndarray) -> np.ndarray:
    values = values.astype(np.float32)
    values[bad] = np.nan
    return values


def _systematics(
    kind: str, camera: CameraState, instrument: Instrument, tmag: float, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """Relative systematics of aperture flux, and what the correction leaves of them, each (cadence,) float64."""
    weights = np.asarray(_TREND_SIZES) * rng.standard_normal(len(_TREND_SIZES))
    left = weights * _LEFT_AFTER_CORRECTION * rng.standard_normal(len(weights))
    loss = rng.uniform(0.05, 0.5) * instrument.pointing.jitter.astype(np.float64) ** 2
    linear = rng.normal(0, 0.01) * instrument.pointing.column
    jump = _jumps(instrument.time, rng.poisson(0.15), (2e-4, 3e-3), rng)
    kept_jitter, kept_jump = rng.uniform(0.0, 0.1), 0.1 * rng.random()
    contrast = max(noise.cadence_noise_ppm(tmag) * 1e-6, 3e-4)
    if kind == "momentum_ramps":
        left[1] = rng.choice((-1.0, 1.0)) * contrast * rng.uniform(1.0, 4.0)
        weights[1] += left[1]
    elif kind == "discontinuities":
        jump = jump + _jumps(instrument.time, 1 + rng.poisson(1.5), (2 * contrast, 12 * contrast), rng)
        kept_jump = rng.uniform(0.7, 1.0)
    elif kind == "jitter":
        linear = linear + contrast * rng.uniform(80, 300) * instrument.pointing.row
        kept_jitter = rng.uniform(0.7, 1.0)
    raw = weights @ camera.trends - loss + linear + jump
    return raw, left @ camera.trends - kept_jitter * (loss - linear) + kept_jump * jump


def _glare_share(kind: str, inside: float, camera: CameraState, pixels: int, rng: np.random.Generator) -> float:
    """Share of the scattered light that background subtraction leaves in the aperture, either sign."""
    share = 0.002 * rng.standard_normal()
    if kind == "scattered_light":
        usable = camera.glare[(camera.quality & NO_CORRECTED_FLUX) == 0]
        wanted = rng.choice((-1.0, 1.0)) * rng.uniform(0.01, 0.06) * inside
        share = wanted / (float(usable.max()) * pixels)
    return share


def _jumps(time: np.ndarray, count: int, sizes: tuple[float, float], rng: np.random.Generator) -> np.ndarray:
    """Sudden drops of a pixel's sensitivity after a particle hit, half of it recovering over a day or so."""
    jumps = np.zeros(len(time))
    for _ in range(count):
        first = int(rng.integers(0, len(time)))
        size = sizes[0] * (sizes[1] / sizes[0]) ** rng.random()
        since = time[first:] - time[first]
        recovering = rng.uniform(0.0, 0.6)
        jumps[first:] -= size * (1 - recovering + recovering * np.exp(-since / rng.uniform(0.1, 1.5)))
    return jumps


def _outliers(error: np.ndarray, quality: np.ndarray, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Cosmic rays and other single bad cadences; most are flagged. Added flux and quality, each (cadence,)."""
    added, quality = np.zeros(len(error), np.float32), quality.copy()
    rows = rng.integers(0, len(error), rng.poisson(len(error) / 2000))
    added[rows] = error[rows] * rng.uniform(5, 30, len(rows)) * np.where(rng.random(len(rows)) < 0.8, 1, -1)
    flagged = rows[rng.random(len(rows)) < 0.7]
    quality[flagged] |= IMPULSIVE_OUTLIER
    return added, quality


def _motion(
    stars: Population, i: int, light: np.ndarray, instrument: Instrument, contamination: float,
    rng: np.random.Generator,
) -> tuple[np.ndarray, np.ndarray]:  # fmt: skip
    """Centroid motion: pointing, and the pull of the light that does not vary when the star's dims; pixels.

    A binary in the background lies up to 1.5 pixels from the target, so that its eclipses move the centroid.
    """
    offset, angle = rng.uniform(0.3, 1.5), rng.uniform(0, 2 * np.pi)
    pull = offset if stars.kind[i] == "blended_binary" else offset * contamination
    change = pull * (light - 1)
    return instrument.pointing.column + change * np.cos(angle), instrument.pointing.row + change * np.sin(angle)

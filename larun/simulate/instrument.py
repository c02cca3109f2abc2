"""What spacecraft and cameras do to every star of a sector: cadences, pointing, momentum dumps, scattered light."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import erfa
import numpy as np
from scipy.signal import lfilter

from larun.config import SimulateSettings
from larun.simulate.noise import SKY_E_S
from larun.simulate.random import Stream, generator
from larun.units import BTJD_OFFSET_D, SECONDS_PER_DAY

FIRST_SECTOR_START_D = 1325.2925
"""Start of sector 1, days after JD 2457000 at the spacecraft (TDB)."""
SECTOR_STEP_D = 27.4
"""Two orbits of 13.7 days."""
FIRST_CADENCE = 70444
"""Number of the first 2-minute cadence of sector 1."""
LIGHT_D_PER_AU = 499.004783836 / SECONDS_PER_DAY

COARSE_POINT, EARTH_POINT, ARGABRIGHTENING, DESATURATION = 4, 8, 16, 32
MANUAL_EXCLUDE, IMPULSIVE_OUTLIER, SCATTERED_LIGHT = 128, 512, 4096
"""Quality bits (TESS Science Data Products Description, table 32)."""
NO_APERTURE_FLUX = COARSE_POINT | EARTH_POINT | ARGABRIGHTENING
NO_CORRECTED_FLUX = NO_APERTURE_FLUX | DESATURATION | MANUAL_EXCLUDE | SCATTERED_LIGHT

_KNOTS = 16
_DUMP_CADENCE_MINUTES = 14.0
_DUMP_COARSE_MINUTES = 6.0


@dataclass(frozen=True)
class Pointing:
    """Motion of the image, common to all stars.

    Parameters
    ----------
    column, row : (cadence,) float32
        Offset in pixels.
    jitter : (cadence,) float32
        Size of the fast part, pixels.
    """

    column: np.ndarray
    row: np.ndarray
    jitter: np.ndarray


@dataclass(frozen=True)
class CameraState:
    """What the stars of one CCD share.

    Parameters
    ----------
    background : (cadence,) float32
        Electron/s per pixel.
    glare : (cadence,) float32
        Part of the background that is scattered light.
    trends : (trend, cadence) float32
        Systematics in units of their typical size: drift, focus after dumps, two slow common modes.
    quality : (cadence,) int32
        Quality bits of all stars of this CCD.
    """

    background: np.ndarray
    glare: np.ndarray
    trends: np.ndarray
    quality: np.ndarray


class Instrument:
    """One simulated sector's spacecraft.

    Parameters
    ----------
    settings : SimulateSettings
        Length, cadence and seed.
    sector : int
        1 or larger.
    """

    def __init__(self, settings: SimulateSettings, sector: int):
        self._settings, self._sector = settings, sector
        self._cameras: dict[tuple[int, int], CameraState] = {}

    @property
    def exposure_d(self) -> float:
        """Time between cadences, days."""
        return self._settings.cadence_s / SECONDS_PER_DAY

    @property
    def start_d(self) -> float:
        """Start of the first cadence at the spacecraft, TDB, JD - 2457000."""
        step = max(SECTOR_STEP_D, self._settings.days + 0.1)
        return FIRST_SECTOR_START_D + step * (self._sector - 1)

    @cached_property
    def time(self) -> np.ndarray:
        """Mid-cadence time at the spacecraft, (cadence,) float64, TDB, JD - 2457000."""
        count = round(self._settings.days / self.exposure_d)
        return self.start_d + (np.arange(count) + 0.5) * self.exposure_d

    @cached_property
    def cadence_no(self) -> np.ndarray:
        """Cadence numbers, (cadence,) int32."""
        first = FIRST_CADENCE + round((self.start_d - FIRST_SECTOR_START_D) / self.exposure_d)
        return np.arange(first, first + len(self.time), dtype=np.int32)

    @cached_property
    def dumps(self) -> np.ndarray:
        """Times of momentum dumps, (dump,) float64: every 2.5 to 3 days."""
        rng = generator(self._settings.seed, self._sector, Stream.INSTRUMENT, 1)
        times = self.start_d + np.cumsum(rng.uniform(2.5, 3.0, size=64))
        return times[times < self.time[-1] - 0.2]

    @cached_property
    def in_gap(self) -> np.ndarray:
        """Cadences of the data downlink in the middle, about a day, (cadence,) bool."""
        middle = self.start_d + 0.495 * self._settings.days
        length = min(1.13, 0.05 * self._settings.days)
        return np.abs(self.time - middle) <= max(0.5 * length, self.exposure_d)

    @cached_property
    def pointing(self) -> Pointing:
        """Pointing over the sector: drift, settling after the gap, jitter with bad episodes, kicks at dumps."""
        rng = generator(self._settings.seed, self._sector, Stream.INSTRUMENT, 2)
        n = len(self.time)
        phase = (self.time - self.start_d) / self._settings.days
        since_gap = self.time - self.time[self.in_gap][-1]
        settle = np.where(since_gap > 0, np.exp(-np.maximum(since_gap, 0) / 0.6), 0.0)
        size = 0.004 * np.exp(0.4 * _smooth_noise(rng, self.time, 1.5))
        for _ in range(rng.poisson(0.7)):
            episode = np.abs(self.time - rng.uniform(self.time[0], self.time[-1])) < rng.uniform(0.3, 0.9)
            size = np.where(episode, size * rng.uniform(3, 10), size)
        kick = np.zeros(n)
        for dump in self.dumps:
            here = np.abs(self.time - dump) < 0.5 * _DUMP_CADENCE_MINUTES / 1440
            kick[here] = rng.uniform(0.1, 0.8)
        fast = (size + kick) * _heavy_tailed(rng, (2, n))
        slow = [rng.normal(0, 0.04) * phase + rng.normal(0, 0.05) * settle for _ in range(2)]
        return Pointing(
            (slow[0] + fast[0]).astype(np.float32),
            (slow[1] + fast[1]).astype(np.float32),
            np.hypot(*fast).astype(np.float32),
        )

    @cached_property
    def quality(self) -> np.ndarray:
        """Quality bits that hold for all stars, (cadence,) int32."""
        rng = generator(self._settings.seed, self._sector, Stream.INSTRUMENT, 3)
        quality = np.zeros(len(self.time), np.int32)
        quality[self.in_gap] |= EARTH_POINT
        quality[0] |= EARTH_POINT
        for dump in self.dumps:
            since = (self.time - dump) * 1440 + 0.5 * _DUMP_CADENCE_MINUTES
            quality[(since > 0) & (since < _DUMP_CADENCE_MINUTES)] |= DESATURATION | MANUAL_EXCLUDE
            quality[(since > 0) & (since < _DUMP_COARSE_MINUTES)] |= COARSE_POINT
        quality[self.pointing.jitter > 0.06] |= MANUAL_EXCLUDE
        quality[rng.integers(0, len(quality), rng.poisson(2))] |= ARGABRIGHTENING
        return quality

    @cached_property
    def _earth_knots(self) -> tuple[np.ndarray, np.ndarray]:
        knots = np.linspace(self.time[0], self.time[-1], _KNOTS)
        return knots, erfa.epv00(BTJD_OFFSET_D, knots)[1]["p"]

    def time_correction(self, ra: float, dec: float) -> np.ndarray:
        """Barycentric minus spacecraft time of a star, (cadence,) float32, days.

        The light travel time from the Earth to the barycentre along the star's direction, with the Earth's
        barycentric position (ERFA `epv00`, good to 5 km) at 16 knots, parabolas between. TESS itself is at most
        1.3 light seconds from the Earth, which is left out.
        """
        knots, earth = self._earth_knots
        ra, dec = np.radians(ra), np.radians(dec)
        direction = np.array([np.cos(dec) * np.cos(ra), np.cos(dec) * np.sin(ra), np.sin(dec)])
        middle, half = 0.5 * (knots[0] + knots[-1]), 0.5 * (knots[-1] - knots[0])
        curve = np.polynomial.chebyshev.Chebyshev.fit((knots - middle) / half, earth @ direction, 6, domain=[-1, 1])
        return (LIGHT_D_PER_AU * curve((self.time - middle) / half)).astype(np.float32)

    def camera(self, camera: int, ccd: int) -> CameraState:
        """State of one CCD, drawn on first use."""
        key = camera, ccd
        if key not in self._cameras:
            self._cameras[key] = self._draw_camera(camera, ccd)
        return self._cameras[key]

    def observed(self, camera: int, ccd: int) -> np.ndarray:
        """Cadences with corrected flux, (cadence,) bool."""
        return (self.camera(camera, ccd).quality & NO_CORRECTED_FLUX) == 0

    def _draw_camera(self, camera: int, ccd: int) -> CameraState:
        common = generator(self._settings.seed, self._sector, Stream.CAMERA, camera)
        own = generator(self._settings.seed, self._sector, Stream.CAMERA, 10 * camera + ccd)
        glare = self._glare(common) * own.uniform(0.6, 1.4)
        sky = SKY_E_S * own.uniform(0.9, 1.3) * (1 + 0.05 * _smooth_noise(common, self.time, 3.0))
        quality = self.quality | np.where(glare > 900, SCATTERED_LIGHT, 0).astype(np.int32)
        trends = np.stack([self._drift(own), self._ramps(own), *(_smooth_noise(own, self.time, s) for s in (1.5, 5.0))])
        return CameraState(
            (sky + glare).astype(np.float32), glare.astype(np.float32), trends.astype(np.float32), quality
        )

    def _glare(self, rng: np.random.Generator) -> np.ndarray:
        """Light of Earth and Moon: a smooth rise near the ends of the orbits, modulated by the Earth's rotation."""
        edges = (self.time[0], self.time[self.in_gap][0], self.time[self.in_gap][-1], self.time[-1])
        glare = np.zeros(len(self.time))
        for edge in edges:
            peak = 10 ** rng.uniform(0.5, 3.4)
            length = rng.uniform(0.2, 0.7)
            away = np.abs(self.time - edge - rng.normal(0, 0.3))
            bump = peak * np.exp(-((away / length) ** 2))
            modulation = 1 + 0.4 * np.cos(2 * np.pi * (self.time - edge) / 0.997 + rng.uniform(0, 6.28))
            glare += bump * modulation
        return glare

    def _drift(self, rng: np.random.Generator) -> np.ndarray:
        """Differential velocity aberration: a parabola an orbit, and the settling of focus at its start."""
        drift = np.zeros(len(self.time))
        second = self.time > self.time[self.in_gap][0]
        for part in (~second, second):
            x = np.linspace(-1, 1, part.sum())
            settle = np.exp(-(self.time[part] - self.time[part][0]) / 0.5)
            drift[part] = rng.normal(0, 1) * x + rng.normal(0, 0.7) * x**2 + rng.normal(0, 1.5) * settle
        return drift

    def _ramps(self, rng: np.random.Generator) -> np.ndarray:
        """Exponential ramp after each momentum dump, as the spacecraft warms and the pointing settles."""
        ramps, sign = np.zeros(len(self.time)), rng.choice((-1.0, 1.0))
        for dump in self.dumps:
            since = self.time - dump
            size = sign * rng.uniform(0.5, 1.5)
            ramps += np.where(since > 0, size * np.exp(-np.maximum(since, 0) / rng.uniform(0.2, 0.6)), 0.0)
        return ramps


def correlated_noise(rng: np.random.Generator, n: int, step_d: float, scale_d: float) -> np.ndarray:
    """First-order autoregressive noise of unit variance, (n,) float64, exponential correlation over `scale_d`."""
    memory = np.exp(-step_d / scale_d)
    drive = rng.standard_normal(n)
    drive[1:] *= np.sqrt(1 - memory**2)
    return lfilter([1.0], [1.0, -memory], drive)


def _smooth_noise(rng: np.random.Generator, time: np.ndarray, scale_d: float) -> np.ndarray:
    """Smooth curve of about unit variance: random values every `scale_d` joined by cosines."""
    knots = np.arange(time[0] - scale_d, time[-1] + 2 * scale_d, scale_d)
    values = rng.standard_normal(len(knots))
    place = (time - knots[0]) / scale_d
    left = place.astype(np.int64)
    weight = 0.5 - 0.5 * np.cos(np.pi * (place - left))
    return values[left] * (1 - weight) + values[left + 1] * weight


def _heavy_tailed(rng: np.random.Generator, shape: tuple[int, int]) -> np.ndarray:
    """Normal numbers, one in fifty of them three times as large."""
    return rng.standard_normal(shape) * np.where(rng.random(shape) < 0.02, 3.0, 1.0)

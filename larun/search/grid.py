"""Trial periods and durations of the box search."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from larun.config import SearchSettings
from larun.units import G_SI, HOURS_PER_DAY, M_SUN_KG, MINUTES_PER_DAY, R_SUN_M, SECONDS_PER_DAY, transit_duration_h

DURATION_RANGE = (0.3, 3.0)
"""Trial durations in units of the central transit of a Sun-like star at that period.

0.3 is a star of 37 times the Sun's density (M4) or a grazing transit, 3 a subgiant of 1/27.
"""

PHASE_BINS_PER_DURATION = 3
"""Phase bins, and trial phases, per duration."""

MAX_PHASE_BINS = 4096


@dataclass(frozen=True)
class Grid:
    """Trial boxes.

    Parameters
    ----------
    frequency : (period,) float64
        1/d, decreasing.
    n_bins : (period,) int32
        Phase bins into which this period is folded.
    width, stride : (period, duration) int32
        Box widths, and steps between trial phases, in phase bins; width 0 where there are fewer durations.
    bin_d : float
        Bin of the time series that this grid is for, days; 0 for none.
    baseline_d : float
        First to last cadence, days.
    """

    frequency: np.ndarray
    n_bins: np.ndarray
    width: np.ndarray
    stride: np.ndarray
    bin_d: float = 0.0
    baseline_d: float = field(default=0.0)

    @property
    def period_d(self) -> np.ndarray:
        """Trial periods, days, increasing."""
        return 1.0 / self.frequency

    def duration_d(self, index: int) -> np.ndarray:
        """Trial durations of one period, days."""
        width = self.width[index]
        return width[width > 0] / self.n_bins[index] / self.frequency[index]


def optimal_frequencies(
    baseline_d: float, min_period_d: float, max_period_d: float, oversampling: float, density_solar: float = 1.0
) -> np.ndarray:
    """Frequencies whose steps keep the loss of signal the same at every period.

    Even steps in the cube root of frequency (Ofir 2014, A&A 561, A138, eqs. 5-7).

    Parameters
    ----------
    baseline_d : float
        First to last cadence, days.
    min_period_d, max_period_d : float
        Days.
    oversampling : float
        Steps per transit duration of drift over the baseline.
    density_solar : float
        Mean density of the star in units of the Sun's.

    Returns
    -------
    (period,) float64
        1/d, decreasing, both ends included.
    """
    ratio = R_SUN_M / np.cbrt(G_SI * M_SUN_KG * density_solar)
    step = (2 * np.pi) ** (2 / 3) / np.pi * ratio / (baseline_d * SECONDS_PER_DAY * oversampling) / 3
    low, high = np.cbrt(1.0 / (np.array([max_period_d, min_period_d]) * SECONDS_PER_DAY))
    count = max(int(np.ceil((high - low) / step)), 1) + 1
    return np.linspace(high, low, count) ** 3 * SECONDS_PER_DAY


def period_range(baseline_d: float, settings: SearchSettings) -> tuple[float, float]:
    """Shortest and longest trial period, days.

    The longest leaves room for two transits: half the baseline. A single transit has no period to search for.
    """
    return settings.min_period_d, min(settings.max_period_d, baseline_d / 2)


def make_grid(time: np.ndarray, cadence_d: float, settings: SearchSettings) -> Grid | None:
    """Lay out the trial boxes.

    Parameters
    ----------
    time : (cadence,) float64
        Days, increasing.
    cadence_d : float
        Time between cadences, days.
    settings : SearchSettings
        All but `window_d`, `top_peaks` and `quality_mask`.

    Returns
    -------
    Grid or None
        None where the time series is too short for two transits at the shortest period.
    """
    baseline_d = float(time[-1] - time[0]) if len(time) else 0.0
    shortest, longest = period_range(baseline_d, settings)
    if not longest > shortest:
        return None
    bin_d = settings.bin_minutes / MINUTES_PER_DAY
    bin_d = bin_d if bin_d > 1.5 * cadence_d else 0.0
    frequency = optimal_frequencies(baseline_d, shortest, longest, settings.oversampling)
    n_bins, width = _widths(1.0 / frequency, max(bin_d, cadence_d), settings)
    stride = np.maximum(width // PHASE_BINS_PER_DURATION, 1).astype(np.int32)
    return Grid(frequency, n_bins, width, stride, bin_d, baseline_d)


def _widths(period_d, resolution_d, settings) -> tuple[np.ndarray, np.ndarray]:
    """Phase bins per period, and widths of the boxes in them, increasing and distinct."""
    central_d = transit_duration_h(period_d) / HOURS_PER_DAY
    low = np.maximum(DURATION_RANGE[0] * central_d, settings.min_duration_h / HOURS_PER_DAY)
    low = np.minimum(np.maximum(low, resolution_d), settings.max_duty_cycle * period_d)
    high = np.minimum(DURATION_RANGE[1] * central_d, settings.max_duration_h / HOURS_PER_DAY)
    high = np.maximum(np.minimum(high, settings.max_duty_cycle * period_d), low)
    bins = np.ceil(np.minimum(period_d / low * PHASE_BINS_PER_DURATION, period_d / resolution_d * 2))
    n_bins = np.clip(bins, 8, MAX_PHASE_BINS).astype(np.int32)
    share = np.linspace(0.0, 1.0, settings.n_durations) if settings.n_durations > 1 else np.zeros(1)
    duration_d = low[:, None] * (high / low)[:, None] ** share
    width = np.rint(duration_d / period_d[:, None] * n_bins[:, None]).astype(np.int32)
    width = np.maximum(width, 1)
    repeated = np.zeros(width.shape, bool)
    repeated[:, 1:] = width[:, 1:] == width[:, :-1]
    width[repeated] = 0
    return n_bins, width

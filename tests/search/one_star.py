"""One star with box transits, and the event that refinement finds near a rough start."""

import numpy as np

from larun.config import SearchSettings
from larun.search.measure import measure
from larun.search.refine import Box, refine, series

SETTINGS = SearchSettings()
CADENCE_D = 10 / 1440


def light_curve(period, t0, duration, depth, *, noise=5e-4, days=27.0, seed=0):
    rng = np.random.default_rng(seed)
    time = 1000 + np.arange(0, days, CADENCE_D)
    phase = (time - t0) / period
    inside = np.abs(phase - np.rint(phase)) * period < duration / 2
    flux = 1 + rng.normal(0, noise, len(time))
    flux[inside] -= depth if np.ndim(depth) == 0 else np.where(np.rint(phase[inside]) % 2, depth[1], depth[0])
    return time, flux.astype(np.float32)


def found(time, flux, start, noise=5e-4, settings=SETTINGS):
    data = series(time, flux, noise, CADENCE_D)
    best = refine(data, [Box(*start, 0.0, 9.0)], settings)
    return measure(data, best, len(time))

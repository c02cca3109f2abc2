"""Compiles what searching a shard needs, so that it lies in numba's cache when tests want it."""

import numpy as np

from larun.config import Settings
from larun.lightcurve import Shard, Star
from larun.survey.classify import classify_shard

STARS = 18
"""Enough on one CCD for common modes, and for a second block of the box search."""


class Undecided:
    """In place of the network, which is not compiled."""

    def probabilities(self, views):
        return np.full((len(views), 6), 1 / 6, np.float32)


def compile_search() -> None:
    """Search planets of several depths, single transits and variable stars at 2 and 10 min."""
    for cadence_s in (120.0, 600.0):
        classify_shard(shard(cadence_s), Settings(), Undecided())


def shard(cadence_s: float) -> Shard:
    """Stars on one CCD with a common drift, a gap, transits and variability."""
    rng = np.random.default_rng(1)
    time = 1325.0 + np.arange(0, 27, cadence_s / 86400)
    flux = 1.0 + rng.normal(0, 1e-3, (STARS, len(time))) + 1e-3 * np.sin(time)
    for star in range(6):
        period = 1.3 + star
        flux[star, np.abs((time - 1326.0 + 0.5 * period) % period - 0.5 * period) < 0.06] -= 4e-3 / (1 + star)
    flux[6, np.abs(time - 1340.0) < 0.2] -= 1e-2
    for star in (7, 8):
        flux[star] += 2e-2 * np.sin(2 * np.pi * time / (0.1 + 0.4 * (star - 7)))
    flux[:, (time > 1338) & (time < 1339)] = np.nan
    missing = np.full(flux.shape, np.nan, np.float32)
    centroid = rng.normal(100, 1e-3, flux.shape)
    stars = tuple(Star(i, camera=1, ccd=1, radius=1.0, logg=4.4) for i in range(STARS))
    return Shard(
        stars, time, np.arange(len(time), dtype=np.int32), np.zeros(flux.shape, np.float32), (1e3 * flux).astype("f4"),
        missing, missing, centroid, centroid, np.zeros(flux.shape, np.int32), "tess", 1, cadence_s,
    )  # fmt: skip

"""Compiles what searching a shard needs, so that it lies in numba's cache when tests want it."""

import hashlib
import multiprocessing
from pathlib import Path

import numba
import numpy as np

import larun
from larun.config import Settings
from larun.lightcurve import Shard, Star
from larun.schema import VIEW_LENGTH, empty_events
from larun.search import events, pipeline
from larun.search.cotrend import groups_of
from larun.search.flatten import Flat, flatten, flatten_around
from larun.search.prepare import relative_flux
from larun.survey import classify
from larun.units import SECONDS_PER_DAY, from_mid_transit_d
from larun.views import shard_views

STARS = 18
"""Enough on one CCD for common modes, and for a second block of the box search."""

CADENCES_S = 120.0, 600.0
LEVEL, SCATTER = 1000.0, 1e-3


class Undecided:
    """In place of the network, which is not compiled."""

    def probabilities(self, views):
        return np.full((len(views), 6), 1 / 6, np.float32)


DONE = Path(__file__).parent / "__pycache__" / "compiled"
"""Says of which code numba's cache holds the search."""


def is_compiled() -> bool:
    """Whether these very files were compiled here."""
    return DONE.is_file() and DONE.read_text() == _code()


def _code() -> str:
    """Hash of what numba goes by: its version, and times and sizes of files."""
    files = [(str(path), path.stat()) for path in sorted(Path(larun.__file__).parent.rglob("*.py"))]
    known = [(name, stat.st_mtime_ns, stat.st_size) for name, stat in files]
    return hashlib.sha256(repr((numba.__version__, numba.config.CACHE_DIR, known)).encode()).hexdigest()


def compile_search() -> None:
    """Search planets of several depths, single transits and variable stars at 2 and 10 min.

    Flattening and views take half of the time to compile, the search between them the other half: each has a process.
    """
    between = multiprocessing.get_context("spawn").Process(target=compile_between)
    between.start()
    compile_flattening_and_views()
    between.join()
    # What neither has met; and what went wrong in either goes wrong here too.
    for cadence_s in CADENCES_S:
        classify.classify_shard(shard(cadence_s), Settings(), Undecided())
    DONE.parent.mkdir(exist_ok=True)
    DONE.write_text(_code())


def compile_flattening_and_views() -> None:
    """The search up to flat light curves, and views of an event that is known."""
    settings = Settings().search
    event = empty_events(1)
    for name, value in {"period_d": 1.3, "t0_btjd": 1326.0, "duration_h": 2.9, "depth_ppm": 4e3}.items():
        event[name] = value
    for cadence_s in CADENCES_S:
        stars, cadence_d = shard(cadence_s), cadence_s / SECONDS_PER_DAY
        relative, _, _ = relative_flux(stars, settings)
        flat = flatten(relative, stars.time, cadence_d, settings, groups_of(stars.stars))
        hidden = np.abs(stars.time - 1326.0)[None] < 0.1
        flatten_around(flat, np.array([0]), hidden, stars.time, cadence_d, np.array([0.2]), settings)
        shard_views(stars, np.array([0]), relative, flat.flux[:1], event)


def compile_between() -> None:
    """The search of light curves that are taken to be flat as they are; in a process whose functions it replaces."""

    def relative_as_it_is(stars, settings):
        return stars.flux / np.float32(LEVEL), ("",) * len(stars), np.zeros(len(stars), np.int64)

    def flat_as_it_is(relative, *_):
        return Flat(relative, np.full(len(relative), SCATTER), {}, relative)

    pipeline.relative_flux, pipeline.flatten = relative_as_it_is, flat_as_it_is
    events.flatten_around = lambda flat, rows, *_: (flat.flux[rows], flat.sigma[rows])
    classify.shard_views = lambda stars, star, *_: np.zeros((len(star), VIEW_LENGTH), np.float32)
    for cadence_s in CADENCES_S:
        classify.classify_shard(shard(cadence_s), Settings(), Undecided())


def shard(cadence_s: float) -> Shard:
    """Stars on one CCD with a common drift, a gap, transits and variability."""
    rng = np.random.default_rng(1)
    time = 1325.0 + np.arange(0, 27, cadence_s / SECONDS_PER_DAY)
    flux = 1.0 + rng.normal(0, SCATTER, (STARS, len(time))) + 1e-3 * np.sin(time)
    for star in range(6):
        period = 1.3 + star
        flux[star, np.abs(from_mid_transit_d(time, period, 1326.0)) < 0.06] -= 4e-3 / (1 + star)
    flux[6, np.abs(time - 1340.0) < 0.2] -= 1e-2
    for star in (7, 8):
        flux[star] += 2e-2 * np.sin(2 * np.pi * time / (0.1 + 0.4 * (star - 7)))
    flux[:, (time > 1338) & (time < 1339)] = np.nan
    flux = (LEVEL * flux).astype(np.float32)
    missing, quality = np.full_like(flux, np.nan), np.zeros(flux.shape, np.int32)
    centroid = rng.normal(100, 1e-3, flux.shape)
    stars = tuple(Star(i, camera=1, ccd=1, radius=1.0, logg=4.4) for i in range(STARS))
    return Shard(
        stars, time, np.arange(len(time), dtype=np.int32), np.zeros_like(flux), flux, missing, missing,
        centroid, centroid, quality, "tess", 1, cadence_s,
    )  # fmt: skip

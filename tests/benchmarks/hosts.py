"""Real light curves without a known signal, as shards, and transits that are injected into them.

Stars of the 30-min collection are put together by sector, camera and CCD on their common cadences, as a survey does;
the few 2-min stars are shards of one, among them planets' hosts without the cadences of their transits. A transit
multiplies the flux before anything is done to it.
"""

from __future__ import annotations

import csv
from collections import defaultdict
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from larun.archive.files import read
from larun.lightcurve import Shard, Star, shard_of
from larun.network.bank import Curve, read_bank, star_name
from larun.schema import CLASSES
from larun.simulate.eclipses import transit
from larun.simulate.stars import limb_darkening, luminosity_of, radius_of, scaled_axis, teff_of, transit_duration_d
from larun.units import HOURS_PER_DAY, MINUTES_PER_DAY, SECONDS_PER_DAY, from_mid_transit_d

PERIODS_D = (0.5, 1.5, 4.0, 13.0)
SNRS = (5.0, 7.0, 9.0, 12.0, 20.0)
"""Edges of the cells."""

MAX_DEPTH = 0.035
"""A dwarf's planet is not deeper; a host too noisy for the wanted SNR below this depth gets a shorter period."""

MAX_SCATTER = 0.01
"""Hosts noisier than this in half an hour would need planets deeper than `MAX_DEPTH` for most cells: left out."""

CURVES_OF_A_PLANET_HOST = 3

_TRIES = 200


@dataclass(frozen=True)
class Hosts:
    """Stars on one cadence grid.

    Parameters
    ----------
    shard : Shard
        Their light curves.
    names : (star,) tuple of str
        Who they are.
    kind : str
        ``30 min`` or ``2 min``.
    """

    shard: Shard
    names: tuple[str, ...]
    kind: str


@dataclass(frozen=True, slots=True)
class Planet:
    """An injected transit: its period, first mid-time and total SNR if the noise of its host were white."""

    period_d: float
    t0: float
    snr: float


def ffi_hosts(folder: Path, count: int, seed: int) -> list[Hosts]:
    """Shards of the quiet 30-min (a few 10-min) stars, whole CCDs in random order until there are `count` stars."""
    with (folder / "ffi_injection_hosts.csv").open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    with np.load(folder / "ffi_injection_hosts.npz") as arrays:
        time, flux, offset = arrays["time"], arrays["nflux"], arrays["offset"]
    by_ccd = defaultdict(list)
    for index, row in enumerate(rows):
        by_ccd[int(row["sector"]), int(row["cam"]), int(row["ccd"])].append(index)
    ccds = sorted(by_ccd)
    chosen: list[Hosts] = []
    for which in np.random.default_rng(seed).permutation(len(ccds)):
        if sum(len(hosts.names) for hosts in chosen) >= count:
            break
        sector, camera, ccd = ccds[which]
        indices = by_ccd[ccds[which]]
        curves = [(time[offset[i] : offset[i + 1]], flux[offset[i] : offset[i + 1]]) for i in indices]
        star = Star(camera=camera, ccd=ccd)
        names = tuple(f"Gaia DR3 {rows[i]['gaia_dr3']}" for i in indices)
        chosen.append(Hosts(_shard_of_ccd(curves, sector, star), names, "30 min"))
    return chosen


def _shard_of_ccd(curves: list[tuple[np.ndarray, np.ndarray]], sector: int, star: Star) -> Shard:
    """Light curves of one CCD on all cadences that any of them has."""
    times = np.unique(np.concatenate([time for time, _ in curves]))
    times = times[np.isfinite(times)]
    flux = np.full((len(curves), len(times)), np.nan, np.float32)
    for row, (time, values) in zip(flux, curves, strict=True):
        known = np.isfinite(time)
        row[np.searchsorted(times, time[known])] = values[known]
    missing = np.full(flux.shape, np.nan, np.float32)
    return Shard(
        stars=(star,) * len(curves), time=times, cadence_no=np.arange(len(times), dtype=np.int32),
        time_correction=missing, flux=flux, flux_err=missing, background=missing, centroid_col=missing,
        centroid_row=missing, quality=np.where(np.isfinite(flux), 0, -1).astype(np.int32), mission="",
        sector=sector, cadence_s=float(np.median(np.diff(times))) * SECONDS_PER_DAY,
    )  # fmt: skip


def two_minute_hosts(folder: Path) -> list[Hosts]:
    """Shards of one star each: 2-min light curves of the bank, and 2-min files of stars without a known signal.

    Of the bank those labelled noise, and `CURVES_OF_A_PLANET_HOST` of each star whose planets all have an ephemeris,
    without the flux within one duration of each mid-transit.
    """
    bank = [curve for curve in read_bank(folder) if curve.cadence_d < 3 / MINUTES_PER_DAY]
    chosen = [curve for curve in bank if CLASSES[curve.label] == "noise"]
    of_planets = defaultdict(list)
    for curve in bank:
        if CLASSES[curve.label] == "planetary_transit" and curve.ephemerides:
            of_planets[curve.star].append(replace(curve, flux=without_transits(curve)))
    chosen += [curve for curves in of_planets.values() for curve in curves[:CURVES_OF_A_PLANET_HOST]]
    hosts = [Hosts(curve.shard(), (curve.star,), "2 min") for curve in chosen]
    known = {c.star for c in bank if CLASSES[c.label] in ("planetary_transit", "eclipsing_binary")}
    for path in sorted((folder / "fits").glob("tess*_lc.fits")):
        curve = read(path)
        name = star_name(f"TIC {curve.star.target_id}")
        if name not in known and curve.cadence_s == 120:
            hosts.append(Hosts(shard_of(curve), (name,), "2 min"))
    return hosts


def without_transits(curve: Curve) -> np.ndarray:
    """Flux of a light curve, (cadence,) float32, NaN within one duration of each mid-time of its known planets."""
    flux = curve.flux.copy()
    for planet in curve.ephemerides:
        flux[np.abs(from_mid_transit_d(curve.time, planet.period_d, planet.t0)) < planet.duration_h / HOURS_PER_DAY] = (
            np.nan
        )
    return flux


def inverted(shard: Shard) -> Shard:
    """The same light curves upside down about their medians: what was a flare is a dip."""
    level = np.nanmedian(shard.flux, axis=1, keepdims=True)
    return replace(shard, flux=2 * level - shard.flux)


def with_planets(
    shard: Shard, detrended: np.ndarray, rng: np.random.Generator
) -> tuple[Shard, tuple[Planet | None, ...]]:
    """Every star with one planet of random period and SNR.

    Parameters
    ----------
    shard : Shard
        Hosts.
    detrended : (star, cadence) float32
        Their detrended flux without a planet, for the noise and the good cadences.
    rng : Generator
        Random numbers.

    Returns
    -------
    Shard
        With transits.
    planets : (star,) tuple of Planet or None
        None for a host that can carry none within `MAX_DEPTH`.
    """
    flux = shard.flux.copy()
    planets = []
    for star in range(len(shard)):
        planet, model = _draw(shard.barycentric_time(star), shard.cadence_s / SECONDS_PER_DAY, detrended[star], rng)
        flux[star] *= model
        planets.append(planet)
    return replace(shard, flux=flux), tuple(planets)


def scatter(detrended: np.ndarray) -> float:
    """Robust scatter of one cadence, NaN where nothing is finite."""
    good = detrended[np.isfinite(detrended)]
    return 1.4826 * float(np.median(np.abs(good - np.median(good)))) if len(good) else np.nan


def quiet(detrended: np.ndarray, cadence_s: float) -> np.ndarray:
    """Which stars scatter by less than `MAX_SCATTER` in half an hour, white noise assumed.

    Parameters
    ----------
    detrended : (star, cadence) float32
        Detrended flux.
    cadence_s : float
        Time between cadences, s.

    Returns
    -------
    (star,) bool
    """
    return np.array([scatter(row) for row in detrended]) * np.sqrt(cadence_s / 1800.0) < MAX_SCATTER


def _draw(time, exposure_d, detrended, rng) -> tuple[Planet | None, np.ndarray]:
    """A planet and its light curve, (cadence,) float32; the size is that which gives the wanted SNR."""
    good = np.isfinite(detrended)
    sigma = scatter(detrended)
    if not sigma > 0:
        return None, np.ones(len(time), np.float32)
    span_d = float(np.ptp(time[good]))
    snr = _log_uniform(rng, SNRS[0], SNRS[-1])
    for _ in range(_TRIES):
        period = _log_uniform(rng, PERIODS_D[0], min(PERIODS_D[-1], 0.48 * span_d))
        mass = rng.uniform(0.4, 1.2)
        radius = float(radius_of(mass))
        axis, impact = float(scaled_axis(period, mass, radius)), rng.uniform(0.0, 0.8)
        limb = tuple(float(u) for u in limb_darkening(teff_of(luminosity_of(mass), radius)))
        t0 = time[0] + rng.uniform(0, period)
        inside = good & (
            np.abs(from_mid_transit_d(time, period, t0)) < 0.5 * float(transit_duration_d(period, axis, impact, 0.05))
        )
        if len(np.unique(np.rint((time[inside] - t0) / period))) < 2:
            continue
        depth = snr * sigma / np.sqrt(inside.sum())
        for _ in range(4):
            if not depth < MAX_DEPTH:
                break
            loss = 1 - transit(period, np.sqrt(depth), axis, impact, limb, exposure_d).at(time, period, t0)
            depth *= snr / (np.sqrt(np.sum(loss[good] ** 2)) / sigma)
        else:
            return Planet(period, t0, snr), (1 - loss).astype(np.float32)
    return None, np.ones(len(time), np.float32)


def _log_uniform(rng: np.random.Generator, low: float, high: float) -> float:
    return float(np.exp(rng.uniform(np.log(low), np.log(high))))

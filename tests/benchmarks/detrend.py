"""What is taken out of real light curves before the search, and what becomes of transits in them.

The sliding trend beside wotan's biweight, on the same light curves in the same run: CPU, scatter left on the time
scales of transits, and depth kept of injected transits by duration. Co-trending on whole CCDs of real stars.
Pre-whitening on real rotators and pulsators. Periodograms beside astropy and nifty-ls. Depths are compared with and
without the transit in the same noise, so that noise makes none.
"""

from __future__ import annotations

import argparse
import json
import os
import time
import warnings
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")

import nifty_ls
import numpy as np
from astropy.timeseries import LombScargle

from larun.config import SearchSettings
from larun.lightcurve import Shard
from larun.network.bank import Curve, read_bank
from larun.schema import CLASSES
from larun.search.cotrend import cotrend, groups_of
from larun.search.detrend import detrend
from larun.search.flatten import flatten
from larun.search.periodogram import bin_length_d, even_bins, periodograms
from larun.search.pipeline import search_shard
from larun.search.prepare import relative_flux
from larun.search.prewhiten import transit_scatter
from larun.selection import point_to_point_scatter
from larun.simulate.eclipses import transit
from larun.units import HOURS_PER_DAY, SECONDS_PER_DAY, from_mid_transit_d
from tests.benchmarks.hosts import ffi_hosts, two_minute_hosts, with_planets
from tests.benchmarks.machine import machine, versions
from tests.benchmarks.peers import wotan_flat

SETTINGS = SearchSettings()
DURATIONS_H = (2.0, 4.0, 8.0, 13.0)
LIMB = (0.35, 0.2)
SNR = 12.0
"""Of the injected transits together, against the point-to-point noise."""


def dimmed(
    t: np.ndarray, flux: np.ndarray, duration_h: float, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """Flux with limb-darkened transits of one duration, and the flux that they take away."""
    period = rng.uniform(2, 6) if duration_h <= 4 else rng.uniform(8, 13)
    axis = period * HOURS_PER_DAY / (np.pi * duration_h)
    t0 = t[0] + rng.uniform(0, period)
    exposure_d = float(np.median(np.diff(t)))
    noise = point_to_point_scatter(flux)
    inside = np.isfinite(flux) & (np.abs(from_mid_transit_d(t, period, t0)) < duration_h / 48)
    depth = min(SNR * noise / np.sqrt(max(inside.sum(), 1)), 0.03)
    loss = 1 - transit(period, np.sqrt(depth), axis, 0.3, LIMB, exposure_d).at(t, period, t0)
    return (flux * (1 - loss)).astype(np.float32), (flux * loss).astype(np.float32)


def kept(without: np.ndarray, dimmer: np.ndarray, loss: np.ndarray) -> float:
    """Share of the lost light that is still missing after detrending."""
    used = (loss > 0) & np.isfinite(without) & np.isfinite(dimmer)
    return float(np.sum((without - dimmer)[used]) / np.sum(loss[used])) if used.any() else np.nan


def scatter_ppm(flat: np.ndarray, cadence_d: float) -> list[float]:
    """Scatter on 1, 2 and 3 h."""
    return [1e6 * transit_scatter(flat, max(round(h / HOURS_PER_DAY / cadence_d), 1)) for h in (1, 2, 3)]


def beside_wotan(curves: list[tuple[np.ndarray, np.ndarray]], seed: int) -> dict:
    """Trend of larun and of wotan on the same curves, each a time and a relative flux."""
    ways = {
        "larun": lambda t, flux: detrend(flux[None], t, SETTINGS.window_d)[0],
        "wotan_biweight": lambda t, flux: wotan_flat(t, flux, SETTINGS.window_d).astype(np.float32),
    }
    found = {"stars": len(curves)}
    ways["larun"](*curves[0]), ways["wotan_biweight"](*curves[0])
    for name, way in ways.items():
        rng = np.random.default_rng(seed)
        spent, scatters = [], []
        share, hidden = ({duration: [] for duration in DURATIONS_H} for _ in range(2))
        for t, flux in curves:
            start = time.process_time()
            flat = way(t, flux)
            spent.append(time.process_time() - start)
            scatters.append(scatter_ppm(flat, float(np.median(np.diff(t)))))
            for duration, values in share.items():
                dimmer, loss = dimmed(t, flux, duration, rng)
                values.append(kept(flat, way(t, dimmer), loss))
                if name == "larun":
                    window_d, inside = max(SETTINGS.window_d, 3 * duration / HOURS_PER_DAY), loss[None] > 0
                    around = [detrend(one[None], t, window_d, inside)[0] for one in (flux, dimmer)]
                    hidden[duration].append(kept(*around, loss))
        found[name] = {
            "cpu_ms": 1e3 * float(np.median(spent)),
            "scatter_ppm_1_2_3_h": np.median(scatters, axis=0).tolist(),
            "depth_kept_by_duration_h": {str(d): float(np.nanmedian(values)) for d, values in share.items()},
        }
        if name == "larun":
            again = {str(d): float(np.nanmedian(values)) for d, values in hidden.items()}
            found[name]["depth_kept_with_transits_hidden"] = again
    found["cpu_ratio"] = found["wotan_biweight"]["cpu_ms"] / found["larun"]["cpu_ms"]
    return found


def curves_of(shards: list[Shard]) -> list[tuple[np.ndarray, np.ndarray]]:
    """Time and relative flux of every star, cadences without any left out."""
    curves = []
    for shard in shards:
        for row in relative_flux(shard, SETTINGS)[0]:
            known = np.isfinite(row)
            if known.sum() > 500:
                curves.append((shard.time[known], row[known]))
    return curves


def co_trending(shards: list[Shard], seed: int) -> dict:
    """Whole CCDs of real stars with and without: scatter, depth kept, and injected planets found."""
    rng = np.random.default_rng(seed)
    ratios, plain_kept, shared_kept, spent, corrected = [], [], [], 0.0, 0
    found = {False: [], True: []}
    for shard in shards:
        cadence_d, group = shard.cadence_s / SECONDS_PER_DAY, groups_of(shard.stars)
        calm = detrend(relative_flux(shard, SETTINGS)[0], shard.time, SETTINGS.window_d)
        hosting, planets = with_planets(shard, calm, rng)
        dimmer = detrend(relative_flux(hosting, SETTINGS)[0], shard.time, SETTINGS.window_d)
        start = time.process_time()
        model = cotrend(calm, shard.time, cadence_d, group)
        spent += time.process_time() - start
        dimmer_model = cotrend(dimmer, shard.time, cadence_d, group)
        corrected += int((model != 0).any(axis=1).sum())
        loss = 1 - hosting.flux / shard.flux
        for i, planet in enumerate(planets):
            before, after = (scatter_ppm(flat, cadence_d) for flat in (calm[i], calm[i] - model[i]))
            ratios.append(np.divide(after, before))
            if planet is not None:
                plain_kept.append(kept(calm[i], dimmer[i], loss[i]))
                shared_kept.append(kept(calm[i] - model[i], dimmer[i] - dimmer_model[i], loss[i]))
        for use in (False, True):
            events = search_shard(hosting, SETTINGS.model_copy(update={"cotrend": use, "max_events": 1})).events
            for i, planet in enumerate(planets):
                if planet is not None:
                    found[use].append(abs(events["period_d"][i] / planet.period_d - 1) < 5e-3)
    return {
        "stars": len(ratios),
        "ccds": len(shards),
        "corrected_stars": corrected,
        "cpu_ms": 1e3 * spent / len(ratios),
        "scatter_ratio_1_2_3_h": np.nanmean(ratios, axis=0).tolist(),
        "depth_kept_without": float(np.nanmedian(plain_kept)),
        "depth_kept_with": float(np.nanmedian(shared_kept)),
        "injected": len(found[True]),
        "right_period_without": float(np.mean(found[False])),
        "right_period_with": float(np.mean(found[True])),
    }


def pre_whitening(curves: list[Curve], seed: int) -> dict:
    """Transits of 2 h injected into real variable stars: found with and without."""
    rng = np.random.default_rng(seed)
    found, calmer, spent = {False: 0, True: 0}, [], []
    stars = 0
    for curve in curves:
        flux = curve.flux / np.median(curve.flux)
        period, t0 = rng.uniform(1, 6), curve.time[0] + rng.uniform(0, 1)
        inside = np.abs(from_mid_transit_d(curve.time, period, t0)) < 1 / HOURS_PER_DAY
        depth = 2 * SNR * point_to_point_scatter(flux) / np.sqrt(max(inside.sum(), 1))
        if not 0 < depth < 0.02:
            continue
        flat = {}
        for use in (False, True):
            settings = SETTINGS.model_copy(update={"prewhiten": use})
            shard = curve.shard(np.where(inside, flux * (1 - depth), flux))
            relative = relative_flux(shard, settings)[0]
            start = time.process_time()
            flat[use] = flatten(relative, shard.time, curve.cadence_d, settings)
            spent.append(time.process_time() - start)
            event = search_shard(shard, settings.model_copy(update={"max_events": 1})).events[0]
            found[use] += abs(event["period_d"] / period - 1) < 5e-3
        if flat[True].variability["n_waves"][0]:
            cadence_d = curve.cadence_d
            calmer.append(
                scatter_ppm(flat[True].flux[0], cadence_d)[1] / scatter_ppm(flat[False].flux[0], cadence_d)[1]
            )
        stars += 1
    return {
        "stars": stars,
        "pre_whitened": len(calmer),
        "snr_injected": 2 * SNR,
        "found_without": found[False] / max(stars, 1),
        "found_with": found[True] / max(stars, 1),
        "scatter_ratio_2_h_of_pre_whitened": float(np.median(calmer)) if calmer else None,
        "cpu_ms_flatten_without": 1e3 * float(np.median(spent[::2])),
        "cpu_ms_flatten_with": 1e3 * float(np.median(spent[1::2])),
    }


def lomb_scargle(curves: list[tuple[np.ndarray, np.ndarray]]) -> dict:
    """CPU of one star's periodogram on the same bins and frequencies, and how far ours is from astropy's."""
    spent: dict[str, list[float]] = {"larun": [], "nifty_ls": [], "astropy_fast": []}
    furthest = 0.0
    for t, flux in curves:
        bin_d = bin_length_d(t, float(np.median(np.diff(t))))
        start = time.process_time()
        binned, weight = even_bins(flux[None], np.ones((1, len(t)), np.float32), t, bin_d)
        ours = periodograms(binned, weight, bin_d)
        spent["larun"].append(time.process_time() - start)
        used = weight[0] > 0
        moment, y = np.flatnonzero(used) * bin_d, binned[0, used].astype(np.float64)
        dy = 1 / np.sqrt(weight[0, used].astype(np.float64))
        first, last = ours.frequency[[0, -1]]
        start = time.process_time()
        nifty_ls.lombscargle(moment, y, dy, fmin=first, fmax=last, Nf=len(ours.frequency))
        spent["nifty_ls"].append(time.process_time() - start)
        peer = LombScargle(moment, y, dy)
        start = time.process_time()
        peer.power(ours.frequency, method="fast", assume_regular_frequency=True)
        spent["astropy_fast"].append(time.process_time() - start)
        furthest = max(furthest, float(np.abs(peer.power(ours.frequency, method="cython") - ours.power[0]).max()))
    result = {f"{name}_ms": 1e3 * float(np.median(seconds)) for name, seconds in spent.items()}
    return result | {"largest_difference_of_power_from_astropy": furthest}


def main() -> None:
    """Run the comparison and print it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", action="store_true", help="one JSON object as the last line")
    parser.add_argument("--data", default="../shared/data", help="folder of the real light curves")
    parser.add_argument("--hosts", type=int, default=240, help="30-min stars, in whole CCDs")
    parser.add_argument("--peer-stars", type=int, default=16, help="stars of each kind that wotan is given")
    parser.add_argument("--variables", type=int, default=60, help="real variable stars")
    options = parser.parse_args()
    warnings.simplefilter("ignore")
    folder = Path(options.data)
    ccds = [hosts.shard for hosts in ffi_hosts(folder, options.hosts, 7)]
    fast = curves_of([hosts.shard for hosts in two_minute_hosts(folder)])[: options.peer_stars]
    slow = curves_of(ccds)
    slow = slow[:: max(len(slow) // options.peer_stars, 1)][: options.peer_stars]
    variables = [
        curve
        for curve in read_bank(folder)
        if CLASSES[curve.label] == "stellar_signal" and curve.origin == "sunnyhills"
    ]
    result = {
        "what": "real light curves: trend beside wotan, co-trending, pre-whitening, periodograms",
        "settings": {"window_d": SETTINGS.window_d},
        "trend_2_min": beside_wotan(fast, 1),
        "trend_30_min": beside_wotan(slow, 2),
        "co_trending_30_min": co_trending([shard for shard in ccds if len(shard) >= 16], 3),
        "pre_whitening_2_min": pre_whitening(variables[:: max(len(variables) // options.variables, 1)], 4),
        "periodograms_2_min": lomb_scargle(fast),
        "machine": machine(),
        "versions": versions("larun", "numpy", "numba", "scipy", "wotan", "astropy", "nifty-ls"),
    }
    print(json.dumps(result) if options.json else json.dumps(result, indent=2))


if __name__ == "__main__":
    main()

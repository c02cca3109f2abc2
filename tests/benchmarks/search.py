"""Detrending, search and vetting beside wotan, astropy and TLS, on the same light curves, in one run on one core.

Times are CPU seconds of this process per light curve, medians over repetitions, compilation excluded.
"""

from __future__ import annotations

import argparse
import json
import os
import time
import warnings

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
from numba import njit

from larun import vet
from larun.config import SearchSettings, VetSettings
from larun.lanes import LANES, aligned, broadcast, load, store
from larun.lightcurve import Shard, Star
from larun.search import lookups
from larun.search.binning import bin_series, even_out
from larun.search.box import spectra
from larun.search.detrend import detrend
from larun.search.grid import Grid, make_grid
from larun.search.pipeline import search_shard
from larun.units import MAD_TO_SIGMA
from tests.benchmarks.machine import machine, versions
from tests.benchmarks.peers import astropy_search, tls_search, wotan_flat

SETTINGS = SearchSettings()
SCATTER = 1e-3
WHOLE_ROUNDS = 5
"""How often the whole path, wotan and astropy are called in turn."""


def light_curves(n_stars: int, cadence_s: float, seed: int) -> tuple[Shard, np.ndarray]:
    """27.4 d with rotation, a gap and box transits; and period, epoch, duration (days) and depth of each."""
    rng = np.random.default_rng(seed)
    t = 1325.0 + np.arange(0, 27.4, cadence_s / 86400)
    truth = np.empty((n_stars, 4))
    flux = np.empty((n_stars, len(t)), np.float32)
    noise = SCATTER * np.sqrt(120 / cadence_s)
    for star in range(n_stars):
        period = np.exp(rng.uniform(np.log(0.8), np.log(12)))
        duration = 2.2 / 24 * np.cbrt(period / 3)
        t0 = t[0] + rng.uniform(0, period)
        in_transit = 27.4 * 0.94 / period * duration * 86400 / cadence_s
        depth = rng.uniform(6, 14) * noise / np.sqrt(in_transit)
        truth[star] = period, t0, duration, depth
        phase = (t - t0) / period
        rotation = 10 ** rng.uniform(-4, -2.5) * np.sin(2 * np.pi * (t / rng.uniform(5, 20) + rng.random()))
        flux[star] = 1 + rotation + rng.normal(0, noise, len(t))
        flux[star, np.abs(phase - np.rint(phase)) * period < duration / 2] -= depth
    flux[:, (t > 1338) & (t < 1339)] = np.nan
    flux[rng.random(flux.shape) < 1e-3] = np.nan
    missing = np.full(flux.shape, np.nan, np.float32)
    shard = Shard(
        (Star(),) * n_stars, t, np.arange(len(t), dtype=np.int32), np.zeros_like(flux), 1000 * flux, missing, missing,
        missing, missing, np.zeros(flux.shape, np.int32), "tess", 1, cadence_s,
    )  # fmt: skip
    return shard, truth


def cpu(function, repetitions: int = 3):
    """Median CPU seconds of a call, and its last result."""
    spent = []
    for _ in range(repetitions):
        start = time.process_time()
        result = function()
        spent.append(time.process_time() - start)
    return float(np.median(spent)), result


def in_turn(functions: dict, rounds: int) -> tuple[dict, dict]:
    """Median CPU seconds of functions that are called one after the other, round by round, and their last results.

    So that what else the machine does falls on all of them.
    """
    spent, result = {name: [] for name in functions}, {}
    for _ in range(rounds):
        for name, function in functions.items():
            seconds, result[name] = cpu(function, 1)
            spent[name].append(seconds)
    return {name: float(np.median(seconds)) for name, seconds in spent.items()}, result


def grid_of(count: int, baseline_d: float, n_durations: int = 8) -> Grid:
    """Grid of a given number of periods, frequencies evenly spaced in their cube root, and 8 fixed durations."""
    frequency = np.linspace(np.cbrt(1 / 0.5), np.cbrt(2 / baseline_d), count) ** 3
    duration_d = 0.05 * 1.25 ** np.arange(n_durations)
    n_bins = np.ceil(1 / frequency / duration_d[0] * 5).astype(np.int32)
    width = np.rint(duration_d[None, :] * frequency[:, None] * n_bins[:, None]).astype(np.int32)
    return Grid(frequency, n_bins, width, np.maximum(width // 5, 1).astype(np.int32), 0.0, baseline_d)


def compare_detrending(shard: Shard, truth: np.ndarray, n_peer: int) -> dict:
    """Seconds per star, scatter left and share of the injected depth kept."""
    relative = shard.flux / np.nanmedian(shard.flux, axis=1, keepdims=True)
    ours_s, ours = cpu(lambda: detrend(relative, shard.time, SETTINGS.window_d))
    wotan_flat(shard.time, relative[0], SETTINGS.window_d)
    peer_s, peer = cpu(lambda: [wotan_flat(shard.time, row, SETTINGS.window_d) for row in relative[:n_peer]], 1)

    def quality(flat):
        scatter, kept = [], []
        for row, (period, t0, duration, depth) in zip(flat, truth, strict=False):
            phase = (shard.time - t0) / period
            distance = np.abs(phase - np.rint(phase)) * period
            scatter.append(MAD_TO_SIGMA * np.nanmedian(np.abs(row - np.nanmedian(row))) * 1e6)
            around = (distance > duration) & (distance < 3 * duration)
            kept.append((np.nanmean(row[around]) - np.nanmean(row[distance < duration / 2])) / depth)
        return {"scatter_ppm": float(np.median(scatter)), "depth_kept": float(np.median(kept))}

    return {
        "larun_ms": 1e3 * ours_s / len(shard),
        "wotan_biweight_ms": 1e3 * peer_s / n_peer,
        "ratio": (peer_s / n_peer) / (ours_s / len(shard)),
        "larun": quality(ours[:n_peer]),
        "wotan": quality(peer),
    }


@njit(nogil=True)
def _multiply_add(rounds, memory):
    """Eight chains of products and sums of lanes that wait for nothing but each other's registers."""
    a = b = c = d = e = f = g = h = load(memory, 0)
    x, y = broadcast(np.float32(0.999)), broadcast(np.float32(1e-3))
    for _ in range(rounds):
        a, b, c, d = a * x + y, b * x + y, c * x + y, d * x + y
        e, f, g, h = e * x + y, f * x + y, g * x + y, h * x + y
    store(memory, 0, a + b + c + d + e + f + g + h)


@njit(nogil=True)
def _read(rounds, memory, rows):
    """Sum up rows, all that fit in the second cache, again and again."""
    a = b = c = d = load(memory, 0)
    for _ in range(rounds):
        for at in range(0, rows * LANES, 4 * LANES):
            a, b = a + load(memory, at), b + load(memory, at + LANES)
            c, d = c + load(memory, at + 2 * LANES), d + load(memory, at + 3 * LANES)
    store(memory, 0, a + b + c + d)


def ceilings() -> dict:
    """What one core of this machine can do: products and sums of lanes, and reading as much as one block of stars."""
    memory = aligned(4096 * LANES, np.float32)
    memory[:] = 0
    _multiply_add(1, memory)
    _read(1, memory, 4096)
    multiply_s, _ = cpu(lambda: _multiply_add(1_000_000, memory), 5)
    read_s, _ = cpu(lambda: _read(500, memory, 4096), 5)
    return {
        "float_operations_per_ns": 2 * 8 * LANES * 1e6 / (multiply_s * 1e9),
        "second_cache_bytes_per_ns": 500 * 4096 * LANES * 4 / (read_s * 1e9),
    }


def work_per_period(time: np.ndarray, grid: Grid) -> dict:
    """Mean operations on one star and bytes moved for it at one trial period, counted on the grid of the search.

    A look-up adds one running sum, an edge takes a difference and a conversion, and a box a difference, a product and
    a comparison. Bytes are those that leave the first cache: running sums, and lists shared by sixteen stars.
    """
    cycles = np.floor((time[-1] - time[0]) * grid.frequency) + 1
    edges = -(-grid.n_bins // lookups.AT_ONCE) * lookups.AT_ONCE
    looked_up = float(np.mean(edges * cycles))
    boxes = float(np.mean(np.sum(np.where(grid.width > 0, -(-grid.n_bins[:, None] // grid.stride), 0), axis=1)))
    edges = float(np.mean(edges))
    operations = {"fold": looked_up, "edges": 2 * edges, "boxes": 3 * boxes}
    return {
        "lookups": looked_up,
        "edges": edges,
        "boxes": boxes,
        "operations": operations,
        "operations_in_all": sum(operations.values()),
        "operations_of_a_plain_fold": 2 * len(time) + 2 * edges + 12 * boxes,
        "bytes": 4 * looked_up + 4 * (looked_up + boxes) / LANES,
    }


def compare_box_search(shard: Shard, n_peer: int, n_periods: int, bin_d: float) -> dict:
    """Same cadences, averaged over `bin_d`, same periods, same 8 durations, phase bins of a fifth of the shortest."""
    flux = (shard.flux / np.nanmedian(shard.flux, axis=1, keepdims=True)).astype(np.float32)
    binned, mean, weight = bin_series(flux, shard.time, bin_d)
    mean, weight = even_out(mean, weight)
    t = binned - binned[0]
    flux = np.where(weight > 0, mean, np.nan)
    grid = grid_of(n_periods, t[-1])
    durations = 0.05 * 1.25 ** np.arange(8)
    sigma = np.full(len(shard), SCATTER)
    spectra(t, mean[:1], weight[:1], sigma[:1], grid)
    ours_s, ours = cpu(lambda: spectra(t, mean, weight, sigma, grid))
    peers = [cpu(lambda row=row: astropy_search(t, row, grid.frequency, durations), 1) for row in flux[:n_peer]]
    peer_s = float(np.median([seconds for seconds, _ in peers]))
    same = [np.corrcoef(ours[i], np.nan_to_num(np.asarray(peer.depth_snr)))[0, 1] for i, (_, peer) in enumerate(peers)]
    work = work_per_period(t, grid)
    star_ns = 1e9 * ours_s / len(shard) / n_periods
    return {
        "cadences": len(t),
        "periods": n_periods,
        "durations": 8,
        "larun_ms": 1e3 * ours_s / len(shard),
        "astropy_bls_ms": 1e3 * peer_s,
        "ratio": peer_s / (ours_s / len(shard)),
        "correlation_of_spectra": float(np.median(same)),
        "per_trial_period": work
        | {
            "larun_ns_per_star": star_ns,
            "operations_per_ns": work["operations_in_all"] / star_ns,
            "bytes_per_ns": work["bytes"] / star_ns,
        },
    }


def found_share(periods, truth) -> float:
    return float(np.mean(np.abs(np.asarray(periods) / truth[: len(periods), 0] - 1) < 5e-3))


def larun_whole(shard: Shard):
    """Flux to flagged events, with everything that the settings ask for."""
    found = search_shard(shard, SETTINGS)
    stars = {name: [getattr(star, name) for star in shard.stars] for name in ("radius", "logg")}
    vet.flag(found.events, settings=VetSettings(), **stars)
    return found


def compare_whole_path(shard: Shard, truth: np.ndarray, n_peer: int) -> dict:
    """Flux to flagged events, in turn with wotan and astropy on 10-min means, and beside TLS with its defaults.

    Both peers are given the periods of our own grid. TLS gets the flux that wotan flattened, every cadence of it and
    10-min means; its own time is that of the search alone.
    """
    larun_whole(shard.take([0]))
    grid = make_grid(shard.time, shard.cadence_s / 86400, SETTINGS)
    durations = np.geomspace(SETTINGS.min_duration_h, 0.9 * 0.5 * 24 * 0.5, 8) / 24
    flat, means = [], []

    def flattened():
        flat.clear(), means.clear()
        for row in shard.flux[:n_peer]:
            flat.append(wotan_flat(shard.time, row / np.nanmedian(row), SETTINGS.window_d))
            t, mean, weight = bin_series(flat[-1][None].astype(np.float32), shard.time, grid.bin_d)
            means.append((t, np.where(weight[0] > 0, mean[0], np.nan)))

    def boxes():
        found = [astropy_search(t, row, grid.frequency, durations) for t, row in means]
        return [result.period[np.nanargmax(result.power)] for result in found]

    def tls(series):
        low, high = 1 / grid.frequency[0], 1 / grid.frequency[-1]
        return [float(tls_search(t, row, low, high).period) for t, row in series]

    n_tls = max(n_peer // 3, 1)
    tls([means[0]] if means else [(shard.time[:2000], 1 + 1e-3 * np.sin(np.arange(2000.0)))])
    called = {"wotan": flattened, "astropy": boxes, "larun": lambda: larun_whole(shard)}
    seconds, result = in_turn(called, WHOLE_ROUNDS)
    wotan_s, astropy_s, ours, periods = seconds["wotan"], seconds["astropy"], result["larun"], result["astropy"]
    means_s, tls_periods = cpu(lambda: tls(means[:n_tls]), 1)
    whole_s, _ = cpu(lambda: tls([(shard.time, row) for row in flat[:n_tls]]), 1)
    star_s = seconds["larun"] / len(shard)
    return {
        "cadences": len(shard.time),
        "periods": len(grid.frequency),
        "larun_ms": 1e3 * star_s,
        "wotan_ms": 1e3 * wotan_s / n_peer,
        "astropy_ms": 1e3 * astropy_s / n_peer,
        "wotan_and_astropy_ms": 1e3 * (wotan_s + astropy_s) / n_peer,
        "tls_ms": 1e3 * whole_s / n_tls,
        "tls_on_means_ms": 1e3 * means_s / n_tls,
        "ratio": (wotan_s + astropy_s) / n_peer / star_s,
        "tls_ratio": whole_s / n_tls / star_s,
        "tls_on_means_ratio": means_s / n_tls / star_s,
        "larun_recovered": found_share(ours.events["period_d"], truth),
        "larun_recovered_of_peers_stars": found_share(ours.events["period_d"][:n_peer], truth),
        "wotan_and_astropy_recovered": found_share(periods, truth),
        "tls_on_means_recovered": found_share(tls_periods, truth),
    }


def main() -> None:
    """Run the comparison and print it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", action="store_true", help="one JSON object as the last line")
    parser.add_argument("--stars", type=int, default=256, help="stars of a shard")
    parser.add_argument("--peer-stars", type=int, default=12, help="stars that the slower peers are given")
    parser.add_argument("--periods", type=int, default=10_000, help="trial periods of the bare box search")
    options = parser.parse_args()
    warnings.simplefilter("ignore")
    result = {"machine": machine(), "stars": options.stars, "peer_stars": options.peer_stars}
    result["versions"] = versions("larun", "numpy", "numba", "astropy", "wotan", "transitleastsquares")
    two, two_truth = light_curves(options.stars, 120.0, 1)
    ten, ten_truth = light_curves(options.stars, 600.0, 2)
    result["detrend_120s"] = compare_detrending(two, two_truth, options.peer_stars)
    result["ceilings"] = ceilings()
    result["box_120s_in_10_min_means"] = compare_box_search(two, options.peer_stars, options.periods, 10 / 1440)
    result["box_120s_every_cadence"] = compare_box_search(two, options.peer_stars // 3, options.periods, 0.0)
    result["box_600s"] = compare_box_search(ten, options.peer_stars, options.periods, 0.0)
    result["whole_120s"] = compare_whole_path(two, two_truth, options.peer_stars)
    result["whole_600s"] = compare_whole_path(ten, ten_truth, options.peer_stars)
    print(json.dumps(result) if options.json else json.dumps(result, indent=2))


if __name__ == "__main__":
    main()

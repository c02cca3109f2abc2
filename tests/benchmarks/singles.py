"""Single transits injected into real light curves that are found, and what else in these curves is taken for one.

``python -m tests.benchmarks.singles --data DIR --json`` prints one JSON object as its last line.

Every quiet 30-min host (`tests.benchmarks.hosts`) is searched as it is, upside down, and with one transit of 3 to 16 h,
an SNR of 10 to 60 if its noise were white, and data on both sides. A transit is found where an event without a period
lies within half a duration of it. 400 hosts take half a minute.
"""

from __future__ import annotations

import argparse
import json
from collections import defaultdict
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path

import numpy as np

from larun.config import SearchSettings
from larun.lightcurve import Shard
from larun.search.pipeline import Searched, search_shard
from larun.simulate.eclipses import transit
from larun.units import HOURS_PER_DAY, SECONDS_PER_DAY
from tests.benchmarks.hosts import MAX_DEPTH, ffi_hosts, inverted, quiet, scatter
from tests.benchmarks.machine import machine, versions
from tests.benchmarks.recovery import wilson

DURATIONS_H = (3.0, 6.0, 10.0, 16.0)
SNRS = (10.0, 20.0, 35.0, 60.0)
"""Edges of the cells."""

PERIOD_D = 400.0
LIMB = (0.27, 0.27)
CLEAR = 1.5
"""Durations on either side of mid-transit that are observed, to `OBSERVED`."""

OBSERVED = 0.9
WITHIN = 0.45
"""Durations from mid-transit to the middle of ingress and egress, about."""

SETTINGS = SearchSettings()
_TRIES = 100


@dataclass(frozen=True, slots=True)
class Single:
    """An injected transit: mid-time, days, duration, hours, mean depth between its edges, and SNR in white noise."""

    t0: float
    duration_h: float
    depth: float
    snr: float


def draw(time: np.ndarray, exposure_d: float, detrended: np.ndarray, rng: np.random.Generator):
    """A transit and its light curve, (cadence,) float32; None where there is no room or it would be too deep."""
    good, sigma = np.isfinite(detrended), scatter(detrended)
    if not sigma > 0:
        return None
    seen = time[good]
    for _ in range(_TRIES):
        duration_h = float(np.exp(rng.uniform(*np.log([DURATIONS_H[0], DURATIONS_H[-1]]))))
        duration_d, t0 = duration_h / HOURS_PER_DAY, rng.uniform(seen[0] + 1, seen[-1] - 1)
        count = np.sum(np.abs(seen - t0) < CLEAR * duration_d)
        if count * exposure_d > OBSERVED * 2 * CLEAR * duration_d:
            break
    else:
        return None
    snr = float(np.exp(rng.uniform(*np.log([SNRS[0], SNRS[-1]]))))
    depth = snr * sigma / np.sqrt(np.sum(np.abs(seen - t0) < 0.5 * duration_d))
    if depth > MAX_DEPTH:
        return None
    ratio = np.sqrt(depth)
    axis = (1 + ratio) * PERIOD_D / np.pi / duration_d
    model = transit(PERIOD_D, ratio, axis, 0.0, LIMB, exposure_d).at(time, PERIOD_D, t0)
    inside = np.abs(time - t0) < WITHIN * duration_d
    return Single(t0, duration_h, float(1 - model[inside].mean()), snr), model.astype(np.float32)


def with_singles(shard: Shard, detrended: np.ndarray, rng: np.random.Generator):
    """Every star with one transit, and what it is; None where it has none."""
    flux, drawn = shard.flux.copy(), []
    for star in range(len(shard)):
        one = draw(shard.barycentric_time(star), shard.cadence_s / SECONDS_PER_DAY, detrended[star], rng)
        if one is not None:
            flux[star] *= one[1]
        drawn.append(one and one[0])
    return replace(shard, flux=flux), drawn


def singles(found: Searched, star: int) -> np.ndarray:
    """Events of a star that have no period."""
    own = found.further[found.further_star == star]
    return own[np.isnan(own["period_d"])]


def measure(folder: Path, hosts: int, seed: int) -> dict:
    """Search all hosts three times."""
    false, curves, drawn = 0, 0, []
    for number, group in enumerate(ffi_hosts(folder, hosts, seed)):
        plain = search_shard(group.shard, SETTINGS)
        rows = np.flatnonzero(plain.searched & quiet(plain.detrended, group.shard.cadence_s))
        for found in (plain, search_shard(inverted(group.shard), SETTINGS)):
            false += sum(len(singles(found, star)) > 0 for star in rows)
            curves += len(rows)
        shard, planets = with_singles(group.shard, plain.detrended, np.random.default_rng([seed, number]))
        found = search_shard(shard, SETTINGS)
        drawn += [(planets[star], singles(found, star)) for star in rows if planets[star] is not None]
    return {"light_curves_without": curves, "taken_for_one": false, "share": false / curves, **_cells(drawn)}


def _cells(drawn: list[tuple[Single, np.ndarray]]) -> dict:
    """Share found in each cell, and how well depth and duration come back."""
    cells, ratios = {}, defaultdict(list)
    for d_low, d_high in pairwise(DURATIONS_H):
        for s_low, s_high in pairwise(SNRS):
            hits = n = 0
            for planet, events in drawn:
                if d_low <= planet.duration_h < d_high and s_low <= planet.snr < s_high:
                    late_d = np.abs(events["t0_btjd"] - planet.t0)
                    own = events[late_d < 0.5 * planet.duration_h / HOURS_PER_DAY]
                    n, hits = n + 1, hits + bool(len(own))
                    for event in own:
                        ratios[f"{d_low:g}-{d_high:g} h"].append(
                            (event["depth_ppm"] * 1e-6 / planet.depth, event["duration_h"] / planet.duration_h)
                        )
            low, high = wilson(hits, n)
            where = f"{d_low:g}-{d_high:g} h, SNR {s_low:g}-{s_high:g}"
            cells[where] = {"n": n, "share": hits / max(n, 1), "low": low, "high": high}
    medians = {where: np.median(pairs, axis=0).round(3).tolist() for where, pairs in ratios.items()}
    return {"cells": cells, "median_depth_and_duration_over_true": medians}


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, default=Path("../shared/data"), help="folder of the real light curves")
    parser.add_argument("--json", action="store_true", help="one JSON object as the last line")
    parser.add_argument("--hosts", type=int, default=400, help="30-min hosts, about")
    parser.add_argument("--seed", type=int, default=1, help="of the choice of hosts and of the transits")
    options = parser.parse_args()
    result = {
        "machine": machine(),
        "versions": versions("larun", "numpy", "numba"),
        "options": {"hosts": options.hosts, "seed": options.seed},
        **measure(options.data, options.hosts, options.seed),
    }
    print(json.dumps(result) if options.json else json.dumps(result, indent=1))


if __name__ == "__main__":
    main()

"""Injected and real planets that larun, astropy's BLS and TLS find at one rate of false alarms.

``python -m tests.benchmarks.recovery --data DIR --json`` prints one JSON object as its last line.

Limb-darkened transits are injected into real light curves (`tests.benchmarks.hosts`), larun searches them through its
public entry, and each peer is given the detrended flux that larun's search made of the same curve (binned to 10 min
where cadences are shorter). A method's threshold is what at most 1 % of the same light curves without an injection,
as they are and upside down, exceed. A planet is found where the statistic exceeds the threshold and the period is the
true one to `PERIOD_TOLERANCE`; a harmonic does not count.

``--quick`` is for trying things out: fewer hosts, no real planets. ``--peers none`` measures larun alone.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import combinations, pairwise
from pathlib import Path

import numpy as np

from larun.config import SearchSettings
from larun.lightcurve import Shard
from larun.search.binning import bin_series
from larun.search.grid import make_grid, period_range
from larun.search.pipeline import search_shard
from larun.units import MINUTES_PER_DAY, SECONDS_PER_DAY
from tests.benchmarks.hosts import (
    PERIODS_D,
    SNRS,
    Hosts,
    Planet,
    ffi_hosts,
    inverted,
    quiet,
    two_minute_hosts,
    with_planets,
)
from tests.benchmarks.machine import machine, versions
from tests.benchmarks.peers import Peak, bls_peaks, tls_peaks
from tests.benchmarks.real_planets import false_alarms, real_planets

SETTINGS = SearchSettings()
FALSE_ALARMS = 0.01
PERIOD_TOLERANCE = 5e-3
"""Relative; the period of two or three weak transits is not known better."""

STRONG_SNR = 10.0
SAME_PERIOD = 1e-2
AS_IS, INVERTED, INJECTED = "as it is", "inverted", "injected"
BLS_DURATIONS_D = np.geomspace(1.0, 10.0, 10) / 24


def detection_statistic(events: np.ndarray) -> dict[str, np.ndarray]:
    """What larun ranks events by, from the columns of `larun.schema.EVENT_COLUMNS`.

    ``larun`` is the one that is compared with the peers; the others are shown beside it.
    """
    snr, sde = np.nan_to_num(events["snr"]), np.nan_to_num(events["sde"])
    detection = np.nan_to_num(events["detection"])
    return {"larun": detection, "larun_snr_and_sde": np.minimum(snr, sde), "larun_snr": snr, "larun_sde": sde}


@dataclass(frozen=True)
class Scored:
    """One searched light curve: what it was, and the best period of each method by each of its statistics."""

    what: str
    kind: str
    star: str
    planet: Planet | None
    peaks: dict[str, Peak]


@dataclass
class Clock:
    """CPU seconds and light curves of each method."""

    seconds: dict[str, float] = field(default_factory=lambda: defaultdict(float))
    curves: dict[str, int] = field(default_factory=lambda: defaultdict(int))

    @contextmanager
    def of(self, method: str, curves: int = 1) -> Iterator[None]:
        """Add the CPU time of a block to a method."""
        started = time.process_time()
        yield
        self.seconds[method] += time.process_time() - started
        self.curves[method] += curves


def score(hosts: Hosts, shard: Shard, what: str, planets, rows: np.ndarray, peers, clock: Clock) -> list[Scored]:
    """Search some stars of one shard with every method."""
    with clock.of("larun", len(shard)):
        found = search_shard(shard, SETTINGS)
    statistics = detection_statistic(found.events)
    scored = []
    for row in rows:
        period = float(found.events["period_d"][row])
        peaks = {name: Peak(float(values[row]), period) for name, values in statistics.items()}
        if found.searched[row]:
            peaks |= _peer_peaks(shard, found.detrended[row], peers, clock)
        scored.append(Scored(what, hosts.kind, hosts.names[row], planets[row] if planets else None, peaks))
    return scored


def _peer_peaks(shard: Shard, detrended: np.ndarray, peers: tuple[str, ...], clock: Clock) -> dict[str, Peak]:
    """The peers on what larun made of the light curve."""
    grid = make_grid(shard.time, shard.cadence_s / SECONDS_PER_DAY, SETTINGS)
    bin_d = 10 / MINUTES_PER_DAY if shard.cadence_s < 300 else 0.0
    times, mean, weight = bin_series(detrended[None], shard.time, bin_d)
    flux = np.where(weight[0] > 0, mean[0], np.nan)
    low, high = period_range(grid.baseline_d, SETTINGS)
    methods = {
        "bls": lambda: bls_peaks(times, flux, grid.frequency, BLS_DURATIONS_D),
        "tls": lambda: tls_peaks(times, flux, low, high),
    }
    peaks = {}
    for peer in peers:
        with clock.of(peer):
            peaks |= {f"{peer}_{name}": peak for name, peak in methods[peer]().items()}
    return peaks


def search_hosts(groups: list[Hosts], injections: int, peers: tuple[str, ...], seed: int, clock: Clock):
    """Every group as it is, inverted, and with planets; and what was left out for being too noisy."""
    scored, noisy = [], 0
    for number, hosts in enumerate(groups):
        rng = np.random.default_rng([seed, number])
        plain = search_shard(hosts.shard, SETTINGS)
        usable = plain.searched & quiet(plain.detrended, hosts.shard.cadence_s)
        noisy += len(usable) - int(usable.sum())
        rows = np.flatnonzero(usable)
        scored += score(hosts, hosts.shard, AS_IS, None, rows, peers, clock)
        scored += score(hosts, inverted(hosts.shard), INVERTED, None, rows, peers, clock)
        for _ in range(injections if hosts.kind == "30 min" else 4 * injections):
            shard, planets = with_planets(hosts.shard, plain.detrended, rng)
            carrying = np.array([row for row in rows if planets[row] is not None], int)
            scored += score(hosts, shard, INJECTED, planets, carrying, peers, clock)
        print(f"{number + 1}/{len(groups)} groups, {len(scored)} light curves", file=sys.stderr)
    return scored, noisy


def already_strong(scored: list[Scored]) -> set[str]:
    """Hosts that show a strong signal of their own, and are left out with all that was injected into them.

    That is where two of the methods give one period (to `SAME_PERIOD`) for the light curve as it is, or for it upside
    down, and the depth there is more than `STRONG_SNR` times its error by astropy's BLS, white noise assumed.
    """
    strong = set()
    for one in scored:
        if one.what == INJECTED or "bls_snr" not in one.peaks or one.peaks["bls_snr"].value < STRONG_SNR:
            continue
        periods = {
            method: [peak.period_d for name, peak in one.peaks.items() if name.startswith(method)]
            for method in ("larun", "bls", "tls")
        }
        if any(
            abs(p / q - 1) < SAME_PERIOD for a, b in combinations(periods, 2) for p in periods[a] for q in periods[b]
        ):
            strong.add(one.star)
    return strong


def threshold(scored: list[Scored], name: str) -> float:
    """Statistic that at most `FALSE_ALARMS` of the light curves without an injection exceed."""
    values = sorted(s.peaks[name].value if name in s.peaks else 0.0 for s in scored if s.what != INJECTED)
    return values[-1 - int(FALSE_ALARMS * len(values))]


def found(one: Scored, name: str, limit: float) -> bool:
    """Whether a method found the planet that was injected."""
    peak = one.peaks.get(name)
    return peak is not None and peak.value > limit and abs(peak.period_d / one.planet.period_d - 1) < PERIOD_TOLERANCE


def wilson(hits: int, n: int, z: float = 1.0) -> tuple[float, float]:
    """Interval of a share (Wilson 1927), one sigma by default."""
    if not n:
        return 0.0, 1.0
    share, z2 = hits / n, z * z / n
    middle, half = share + z2 / 2, z * np.sqrt(share * (1 - share) / n + z2 / (4 * n))
    return float((middle - half) / (1 + z2)), float((middle + half) / (1 + z2))


def completeness(scored: list[Scored], names: list[str], limits: dict[str, float]) -> dict:
    """Share found by each method in each cell of period and SNR, with hits and one-sigma Wilson intervals."""
    injected = [one for one in scored if one.what == INJECTED]
    cells = {}
    for p_low, p_high in [*pairwise(PERIODS_D), (PERIODS_D[0], PERIODS_D[-1])]:
        for s_low, s_high in [*pairwise(SNRS), (SNRS[0], SNRS[-1])]:
            own = [o for o in injected if p_low <= o.planet.period_d < p_high and s_low <= o.planet.snr < s_high]
            cell = {"n": len(own)}
            for name in names:
                hits = sum(found(one, name, limits[name]) for one in own)
                low, high = wilson(hits, len(own))
                cell[name] = {"share": hits / max(len(own), 1), "low": low, "high": high}
            cells[f"{p_low:g}-{p_high:g} d, SNR {s_low:g}-{s_high:g}"] = cell
    return cells


def found_of_kind(scored: list[Scored], names: list[str]) -> dict:
    """Light curves of one cadence: the thresholds that these alone would give, and what is found at them."""
    limits = {name: threshold(scored, name) for name in names}
    return {"thresholds": limits, "cells": completeness(scored, names, limits)}


def at_least(cell: dict, other: str) -> bool:
    """Whether larun's share is that of another or less than one sigma of both together below it."""
    ours, theirs = cell["larun"], cell[other]
    error = np.hypot(ours["high"] - ours["share"], theirs["share"] - theirs["low"])
    return bool(ours["share"] >= theirs["share"] - error)


def summary(scored: list[Scored], peers: tuple[str, ...]) -> dict:
    """Thresholds, completeness in cells, and how larun compares with the best statistic of each peer."""
    names = sorted({name for one in scored for name in one.peaks})
    limits = {name: threshold(scored, name) for name in names}
    whole = f"{PERIODS_D[0]:g}-{PERIODS_D[-1]:g} d"
    everywhere = f"{whole}, SNR {SNRS[0]:g}-{SNRS[-1]:g}"
    every = completeness(scored, names, limits)
    best = {
        peer: max((n for n in names if n.startswith(peer)), key=lambda n: every[everywhere][n]["share"])
        for peer in peers
    }
    result = {
        "thresholds": limits,
        "overall_by_statistic": {name: every[everywhere][name]["share"] for name in names},
        "compared": best | {"larun": "larun"},
        "cells": {
            where: {"n": cell["n"]} | {who: cell[name] for who, name in (best | {"larun": "larun"}).items()}
            for where, cell in every.items()
        },
        "by_kind": {
            kind: found_of_kind([one for one in scored if one.kind == kind], [*best.values(), "larun"])
            for kind in sorted({one.kind for one in scored})
        },
    }
    if "tls" in peers:
        result["at_or_above_tls"] = {w: at_least(cell, "tls") for w, cell in result["cells"].items()}
        result["at_or_above_tls_in_every_cell"] = all(result["at_or_above_tls"].values())
    if "bls" in peers:
        cell = result["cells"][f"{whole}, SNR 7-9"]
        ahead = cell["larun"]["share"] - cell["bls"]["share"]
        result |= {"points_above_bls_at_snr_7_to_9": 100 * ahead, "ten_points_above_bls": ahead >= 0.10}
    return result


def measure(folder: Path, options: argparse.Namespace, peers: tuple[str, ...]) -> dict:
    """Injections, then real planets and real noise at the threshold that they gave."""
    clock = Clock()
    groups = ffi_hosts(folder, options.hosts, options.seed)
    groups += [] if options.quick else two_minute_hosts(folder)
    scored, noisy = search_hosts(groups, options.injections, peers, options.seed, clock)
    strong = already_strong(scored)
    kept = [one for one in scored if one.star not in strong]
    result = {
        "hosts": len({one.star for one in scored}),
        "left_out_as_too_noisy": noisy,
        "left_out_with_a_strong_signal": len(strong),
        "rule_of_a_strong_signal": f"two methods agree on the period to {SAME_PERIOD:.0%}, BLS SNR over {STRONG_SNR:g}",
        "light_curves": {what: sum(o.what == what for o in kept) for what in (AS_IS, INVERTED, INJECTED)},
        "cpu_ms_per_light_curve": {name: 1e3 * s / max(clock.curves[name], 1) for name, s in clock.seconds.items()},
        "false_alarm_rate": FALSE_ALARMS,
        **summary(kept, peers),
    }
    unsorted = summary(scored, peers)
    result["without_leaving_out_strong_signals"] = {
        key: unsorted[key] for key in ("thresholds", "overall_by_statistic") if key in unsorted
    }
    if not options.quick:
        limit = result["thresholds"]["larun"]
        result["real_planets"] = real_planets(folder, detection_statistic, limit)
        result["real_noise"] = false_alarms(folder, detection_statistic, limit)
    return result


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, default=Path("../shared/data"), help="folder of the real light curves")
    parser.add_argument("--json", action="store_true", help="one JSON object as the last line")
    parser.add_argument("--hosts", type=int, help="30-min hosts, about: 400, or 100 with --quick")
    parser.add_argument("--injections", type=int, default=3, help="planets per 30-min host; four times that at 2 min")
    parser.add_argument("--peers", default="bls,tls", help="of bls, tls; or none")
    parser.add_argument("--seed", type=int, default=1, help="of the choice of hosts and of the planets")
    parser.add_argument("--quick", action="store_true", help="two to three minutes: no 2-min hosts, no real planets")
    options = parser.parse_args()
    options.hosts = options.hosts or (100 if options.quick else 400)
    peers = tuple(name for name in options.peers.split(",") if name in ("bls", "tls"))
    result = {
        "machine": machine(),
        "versions": versions("larun", "numpy", "numba", "astropy", "transitleastsquares", "batman-package"),
        "options": {"hosts": options.hosts, "injections": options.injections, "peers": peers, "seed": options.seed},
        **measure(options.data, options, peers),
    }
    print(json.dumps(result) if options.json else json.dumps(result, indent=1))


if __name__ == "__main__":
    main()

"""What each vetting test flags: planets that it should not, and binaries, variables and artefacts that it should.

Stars of a simulated sector at 2 min, and with `--data` planets injected into real light curves. Only events that
a sweep could rank count: SNR and SDE of at least `SweepSettings`, and for planets the true period.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np

from larun.candidates import score
from larun.config import SearchSettings, SimulateSettings, SweepSettings, VetSettings
from larun.lightcurve import Shard
from larun.network.bank import Curve, read_bank, read_hosts
from larun.network.injection import Host, planet
from larun.schema import EventFlag, empty_events
from larun.search.pipeline import search_shard
from larun.simulate.population import CLASS_OF_KIND
from larun.simulate.sector import SimulatedSector
from larun.vet import INPUTS, flag, vet_sector
from tests.benchmarks.machine import machine, versions

SECTOR = 907
FRACTIONS = {
    "planet_fraction": 0.35,
    "binary_fraction": 0.20,
    "variable_fraction": 0.15,
    "artefact_fraction": 0.15,
    "anomaly_fraction": 0.05,
}
BATCH = 64
STAR = ("ra", "dec", "tmag", "radius", "logg", "camera", "ccd")
SAME_PERIOD = 5e-3
"""Relative difference of periods that are one."""
SWEEP, SEARCH, VET = SweepSettings(), SearchSettings(), VetSettings()


def simulated(stars: int) -> tuple[np.ndarray, np.ndarray, dict[str, np.ndarray]]:
    """Events, flags and truth of a simulated sector, and of quiet stars that light of a binary reaches."""
    sector = SimulatedSector(SimulateSettings(stars=stars, **FRACTIONS), SECTOR)
    rows = sector.truth.to_pylist()
    truth = {name: np.array([row[name] for row in rows]) for name in ("target_id", "kind", *STAR, "period_d")}
    events = empty_events(stars)
    for start in range(0, stars, BATCH):
        batch = slice(start, min(start + BATCH, stars))
        events[batch] = search_shard(shard_of_stars(sector, truth["target_id"][batch]), SEARCH).events
    strong = (truth["kind"] == "detached_binary") & (events["snr"] > 100)
    source, quiet = np.flatnonzero(strong), np.flatnonzero(truth["kind"] == "quiet")
    source = source[: len(quiet)]
    quiet = quiet[: len(source)]
    if len(source):
        events = np.concatenate([events, search_shard(leaking(sector, truth, source, quiet), SEARCH).events])
        copies = {name: values[quiet] for name, values in truth.items()}
        copies |= {name: truth[name][source] for name in ("ra", "camera", "ccd", "period_d")}
        copies |= {"kind": np.full(len(source), "copy"), "dec": truth["dec"][source] + 40 / 3600}
        truth = {name: np.concatenate([values, copies[name]]) for name, values in truth.items()}
    flags = flag(events, radius=truth["radius"], logg=truth["logg"], settings=VET)
    columns = {name: events[name] for name in INPUTS if name in events.dtype.names}
    columns |= {name: truth[name] for name in ("ra", "dec", "tmag", "camera", "ccd")}
    names = np.array([f"TIC {i}" for i in range(len(events))])
    return events, flags | vet_sector(columns | {"target": names}, VET)[1], truth


def leaking(sector: SimulatedSector, truth: dict[str, np.ndarray], source: np.ndarray, quiet: np.ndarray) -> Shard:
    """Quiet stars whose apertures catch 1 to 20 % of a binary's light, which the pipeline took for constant."""
    clean = shard_of_stars(sector, truth["target_id"][quiet])
    binaries = shard_of_stars(sector, truth["target_id"][source]).flux
    share = np.geomspace(0.01, 0.2, len(source))[:, np.newaxis]
    change = share * (binaries - np.nanmedian(binaries, axis=1, keepdims=True))
    return replace(clean, flux=(clean.flux + np.nan_to_num(change)).astype(np.float32))


def shard_of_stars(sector: SimulatedSector, numbers: np.ndarray) -> Shard:
    """Light curves of some stars of a simulated sector."""
    curves = [sector.light_curve(int(number)) for number in numbers]
    names = ("time_correction", "flux", "flux_err", "background", "centroid_col", "centroid_row", "quality")
    return Shard(
        stars=tuple(curve.star for curve in curves),
        time=sector.instrument.time,
        cadence_no=sector.instrument.cadence_no,
        **{name: np.stack([getattr(curve, name) for curve in curves]) for name in names},
        sector=sector.sector,
        cadence_s=float(sector.settings.cadence_s),
    )


def ranked(events: np.ndarray) -> np.ndarray:
    """Events that pass the thresholds of a sweep."""
    return (events["snr"] >= SWEEP.min_snr) & (events["sde"] >= SWEEP.min_sde)


def shares(flags: np.ndarray) -> dict[str, float]:
    """Share of events with each flag, with any, and what their score is multiplied by on average."""
    said = {f.name.lower(): float(np.mean(flags & f > 0)) for f in EventFlag if np.any(flags & f)}
    kept = score(np.ones(len(flags)), flags)
    if not len(flags):
        return {"events": 0}
    return {"events": len(flags)} | {"any": float(np.mean(flags > 0)), "score_kept": float(np.mean(kept))} | said


def of_simulation(stars: int) -> dict:
    """Shares by what was simulated."""
    events, flags, truth = simulated(stars)
    kind = truth["kind"]
    own = np.abs(events["period_d"] / truth["period_d"] - 1) < SAME_PERIOD
    counted = ranked(events) & (own | ~np.isin(kind, ("planet", "copy")))
    by_kind = {name: shares(flags[counted & (kind == name)]) for name in dict.fromkeys(kind.tolist())}
    family = np.array([{"planet": "planet", "copy": "copy"}.get(k) or CLASS_OF_KIND[k] for k in kind])
    by_family = {name: shares(flags[counted & (family == name)]) for name in dict.fromkeys(family.tolist())}
    return {"stars": stars, "by_family": by_family, "by_kind": by_kind}


def injected(hosts: list[Curve], count: int, seed: int) -> Iterator[tuple[np.ndarray, float]]:
    """Event and true period of planets injected into quiet light curves."""
    rng = np.random.default_rng(seed)
    for _ in range(count):
        curve = hosts[rng.integers(len(hosts))]
        sigma = float(np.nanstd(np.diff(curve.flux)) / np.sqrt(2))
        shape = planet(Host(curve.time, curve.cadence_d, sigma), rng)
        shard = replace(curve, flux=(curve.flux * shape.flux).astype(np.float32)).shard()
        yield search_shard(shard, SEARCH).events[0], shape.ephemeris.period_d


def of_real_noise(hosts: list[Curve], count: int) -> dict:
    """Shares among planets injected into real light curves, and among what these curves hold without them."""
    pairs = list(injected(hosts, count, 1))
    events, period = np.array([event for event, _ in pairs]), np.array([p for _, p in pairs])
    own = ranked(events) & (np.abs(events["period_d"] / period - 1) < SAME_PERIOD)
    bare = np.array([search_shard(curve.shard(), SEARCH).events[0] for curve in hosts[:count]])
    return {
        "injected": count,
        "planets": shares(flag(events[own], settings=VET)),
        "without": shares(flag(bare[ranked(bare)], settings=VET)),
    }


def main() -> None:
    """Print the measurement as one JSON object."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", action="store_true", help="print one JSON object, which is what happens anyway")
    parser.add_argument("--stars", type=int, default=2000)
    parser.add_argument("--data", type=Path, help="folder of real light curves")
    parser.add_argument("--injections", type=int, default=300)
    asked = parser.parse_args()
    start = time.process_time()
    result = {"benchmark": "vetting", "simulated": of_simulation(asked.stars)}
    if asked.data:
        result["real_ffi"] = of_real_noise(read_hosts(asked.data), asked.injections)
        quiet = [c for c in read_bank(asked.data) if c.cadence_d < 0.003 and "ucd_flares" in c.origin]
        result["real_2min"] = of_real_noise(quiet, asked.injections)
    result |= {"cpu_s": time.process_time() - start, "machine": machine(), "versions": versions("numpy", "numba")}
    print(json.dumps(result))


if __name__ == "__main__":
    main()

"""Real planets that a search finds at their true period, and real noise that it takes for planets."""

from __future__ import annotations

import csv
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from larun.archive.files import read
from larun.config import SearchSettings, SweepSettings
from larun.lightcurve import Shard, shard_of
from larun.network.bank import Curve, Ephemeris, read_bank, segments, star_name
from larun.paths import CATALOGUES
from larun.schema import CLASSES
from larun.search.pipeline import search_shard
from larun.units import HOURS_PER_DAY, from_mid_transit_d

PERIOD_TOLERANCE = 2e-3
ONE_SECTOR = SearchSettings()
SEVERAL_SECTORS = SearchSettings(max_period_d=30.0)
SWEEP = SweepSettings()

EASY = {
    "WASP-4": "TIC 402026209",
    "WASP-100": "TIC 38846515",
    "Pi Men c": "TIC 261136679",
    "L 98-59": "TIC 307210830",
    "TOI-2000": "TIC 371188886",
    "TOI-5493": "TIC 468979441",
    "TrES-2": "KIC 11446443",
    "WASP-47": "EPIC 206103150",
}
HARD = {
    "TOI-540": "TIC 200322593",
    "TOI-2266": "TIC 8348911",
    "AU Mic": "TIC 441420236",
    "Kepler-90": "KIC 11442793",
}
"""Stars of the two lists in data/README.md: found by a plain box search, and visible when folded."""

Statistic = Callable[[np.ndarray], dict[str, np.ndarray]]


@dataclass(frozen=True)
class Observed:
    """A light curve of a star with known planets: which one, and whether it is one sector or several."""

    star: str
    name: str
    whole: bool
    shard: Shard
    ephemerides: tuple[Ephemeris, ...]


def real_planets(folder: Path, statistic: Statistic, limit: float) -> dict:
    """Search every light curve of the stars with a known ephemeris.

    Parameters
    ----------
    folder : path
        Data folder.
    statistic : callable
        `tests.benchmarks.recovery.detection_statistic`.
    limit : float
        Operating threshold of its ``larun``.

    Returns
    -------
    dict
        Per star of the easy and the hard list: light curves of one sector and of several, and in how many of each a
        planet was found at its true period; every light curve with what came out.
    """
    results = [_search(one, statistic, limit) for one in light_curves(folder)]
    lists = {"easy": EASY, "hard": HARD}
    by_list = {
        which: {name: _of_star([r for r in results if r["star"] == star]) for name, star in stars.items()}
        for which, stars in lists.items()
    }
    return {
        **by_list,
        "easy_found": sum(star["found"] for star in by_list["easy"].values()),
        "all_easy_found": all(star["found"] for star in by_list["easy"].values()),
        "hard_found": sum(star["found"] for star in by_list["hard"].values()),
        "half_of_the_hard_found": 2 * sum(star["found"] for star in by_list["hard"].values()) >= len(HARD),
        "light_curves": results,
    }


def _of_star(results: list[dict]) -> dict:
    sectors = [r for r in results if not r["several_sectors"]]
    wholes = [r for r in results if r["several_sectors"]]
    return {
        "found": any(r["found"] for r in results),
        "of_one_sector": len(sectors),
        "found_in_one_sector": sum(r["found"] for r in sectors),
        "of_several_sectors": len(wholes),
        "found_in_several_sectors": sum(r["found"] for r in wholes),
    }


def light_curves(folder: Path) -> Iterator[Observed]:
    """Light curves of the bank, whole and cut into sectors, and the files in the mission's own formats."""
    known = {}
    for name, curve in _bank_planets(folder):
        known[curve.star] = curve.ephemerides
        pieces = segments(curve)
        if len(pieces) > 1:
            yield Observed(curve.star, name, True, curve.shard(), curve.ephemerides)
        for number, piece in enumerate(pieces):
            yield Observed(curve.star, f"{name} #{number + 1}", False, piece.shard(), curve.ephemerides)
    for path in sorted((folder / "fits").glob("*.fits")):
        curve = read(path)
        star = star_name(f"{CATALOGUES.get(curve.mission, '')} {curve.star.target_id}")
        if star in known:
            shard = shard_of(curve)
            yield Observed(star, path.name, float(np.ptp(shard.time)) > 40, shard, known[star])


def _bank_planets(folder: Path) -> Iterator[tuple[str, Curve]]:
    """Uncut light curves of the bank with the label planetary_transit and an ephemeris."""
    with (folder / "lc_bank.csv").open(newline="", encoding="utf-8") as file:
        rows = [row for row in csv.DictReader(file) if row["label"] == "planetary_transit" and row["period_d"]]
    with np.load(folder / "lc_bank.npz") as arrays:
        time, flux, offset = arrays["time"], arrays["flux"], arrays["offset"]
    for row in rows:
        own = slice(*offset[int(row["bank_index"]) :][:2])
        good = np.isfinite(time[own]) & np.isfinite(flux[own])
        times, first = np.unique(time[own][good], return_index=True)
        columns = [[float(part) for part in row[c].split(";")] for c in ("period_d", "t0", "duration_h")]
        yield (
            f"{row['source']}, {row['mission']}",
            Curve(
                star_name(row["target"]),
                CLASSES.index(row["label"]),
                row["source"],
                times,
                flux[own][good][first],
                tuple(Ephemeris(*values) for values in zip(*columns, strict=True)),
            ),
        )


def _search(one: Observed, statistic: Statistic, limit: float) -> dict:
    """Best event of a light curve, and whether it or a further event is a known planet."""
    result = search_shard(one.shard, SEVERAL_SECTORS if one.whole else ONE_SECTOR)
    events = np.append(result.events, result.further)
    values = statistic(events)["larun"]
    found = [
        event
        for event, value in zip(events, values, strict=True)
        if any(_matches(event, value > limit, known, one.shard.time) for known in one.ephemerides)
    ]
    return {
        "star": one.star,
        "light_curve": one.name,
        "several_sectors": one.whole,
        "found": bool(found),
        "event": int(found[0]["event"]) if found else 0,
        "period_d": float(np.nan_to_num(events["period_d"][0])),
        "statistic": float(values[0]),
    }


def _matches(event: np.ndarray, above: bool, known: Ephemeris, time: np.ndarray) -> bool:
    """Whether an event is a known planet.

    A periodic event needs its period and a statistic above the threshold; where the light curve has no room for two
    transits, a single transit (`period_d` NaN) needs the time of one of them and the SNR of a candidate.
    """
    if np.isfinite(event["period_d"]):
        return bool(above and abs(event["period_d"] / known.period_d - 1) < PERIOD_TOLERANCE)
    if known.period_d < 0.5 * np.ptp(time) or not event["snr"] >= SWEEP.min_snr:
        return False
    late_d = from_mid_transit_d(event["t0_btjd"], known.period_d, known.t0)
    return abs(late_d) < 0.5 * known.duration_h / HOURS_PER_DAY


def false_alarms(folder: Path, statistic: Statistic, limit: float) -> dict:
    """Share of the real curves labelled noise with an event above the operating threshold, and the sweep's own."""
    noise = [curve for curve in read_bank(folder) if CLASSES[curve.label] == "noise"]
    values, passed = [], []
    for curve in noise:
        events = search_shard(curve.shard(), ONE_SECTOR).events
        values.append(float(statistic(events)["larun"][0]))
        least = {"snr": SWEEP.min_snr, "sde": SWEEP.min_sde, "detection": SWEEP.min_detection}
        passed.append(all(events[name][0] >= value for name, value in least.items()))
    above = np.array(values) > limit
    return {
        "light_curves": len(noise),
        "above_the_threshold": int(above.sum()),
        "share": float(above.mean()),
        "under_one_percent": bool(above.mean() < 0.01),
        "above_the_thresholds_of_a_sweep": int(np.sum(passed)),
        "share_above_the_thresholds_of_a_sweep": float(np.mean(passed)),
    }

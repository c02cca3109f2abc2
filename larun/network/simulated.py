"""Labelled views of a simulated sector."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from larun.config import Settings
from larun.errors import InputError
from larun.lightcurve import LightCurve, Shard
from larun.network.bank import Ephemeris
from larun.network.examples import ANOMALY, BINARY, NOISE, PLANET, STELLAR, Example, example_views
from larun.network.injection import Host, draw_label, inject
from larun.network.labelled import SIMULATED, LabelledViews, concatenate, labelled
from larun.schema import CLASSES, VIEW_LENGTH
from larun.simulate.sector import SimulatedSector
from larun.units import HOURS_PER_DAY, PPM, SECONDS_PER_DAY

TRAINING_SECTOR = 901
"""Far from the sectors that people simulate to sweep, so that training never sees their stars."""

FRACTIONS = {"planet_fraction": 0.25, "binary_fraction": 0.15, "variable_fraction": 0.2}
BATCH = 48
MIN_VARIABLE_SIGMA = 3.0
MIN_EVENT_SNR = 15.0


@dataclass(frozen=True)
class _Star:
    """A simulated star with its light curve and label."""

    curve: LightCurve
    example: Example
    noise: float


def simulated_views(settings: Settings, injections: int, report: Callable[[int, int], None]) -> LabelledViews:
    """Views of a simulated sector, and of shapes injected into its quiet stars.

    Parameters
    ----------
    settings : Settings
        `dataset.stars` and `training.seed`, the simulation's length, cadence and seed, and the search.
    injections : int
        Shapes to inject.
    report : callable
        Given the light curves done and their number.

    Notes
    -----
    Signals too weak to be seen at all are left out: variables of less than three times the noise of an hour,
    binaries and anomalies whose expected SNR is below 15; planets are judged by whether the search found them.
    """
    wanted = settings.simulate.model_copy(update=FRACTIONS | {"stars": settings.dataset.stars})
    sector = SimulatedSector(wanted, TRAINING_SECTOR)
    truth = sector.truth.to_pylist()
    total = len(truth) + injections
    per_hour = np.sqrt(min(wanted.cadence_s * HOURS_PER_DAY / SECONDS_PER_DAY, 1.0))
    parts, quiet = [], []
    for start in range(0, len(truth), BATCH):
        labels = [(row, _example(row, row["noise_ppm"] * per_hour)) for row in truth[start : start + BATCH]]
        stars = [
            _Star(sector.light_curve(row["target_id"]), example, row["noise_ppm"] / PPM)
            for row, example in labels
            if example is not None
        ]
        quiet += [star for star in stars if star.example.label == NOISE]
        parts.append(_views(sector, stars, settings))
        report(min(start + BATCH, len(truth)), total)
    if injections and not quiet:
        raise InputError(f"none of the {len(truth)} simulated stars is quiet; ask for more stars or no injections")
    rng = np.random.default_rng([settings.training.seed, TRAINING_SECTOR])
    for start in range(0, injections, BATCH):
        count = min(BATCH, injections - start)
        stars = [_injected(quiet[rng.integers(len(quiet))], rng) for _ in range(count)]
        parts.append(_views(sector, stars, settings))
        report(len(truth) + start + count, total)
    return concatenate(parts)


def _views(sector: SimulatedSector, stars: list[_Star], settings: Settings) -> LabelledViews:
    def stacked(name: str) -> np.ndarray:
        return np.stack([getattr(star.curve, name) for star in stars])

    if not stars:
        return labelled(np.empty((0, VIEW_LENGTH)), {name: [] for name in ("label", "star", "source", "kind")}, {})
    names = ("time_correction", "flux", "flux_err", "background", "centroid_col", "centroid_row", "quality")
    shard = Shard(
        stars=tuple(star.curve.star for star in stars),
        time=sector.instrument.time,
        cadence_no=sector.instrument.cadence_no,
        **{name: stacked(name) for name in names},
        sector=sector.sector,
        cadence_s=float(sector.settings.cadence_s),
    )
    return example_views(shard, [star.example for star in stars], settings.search)


def _injected(star: _Star, rng: np.random.Generator) -> _Star:
    curve = star.curve
    known = np.isfinite(curve.time)
    index = np.arange(len(curve.time))
    time = np.interp(index, index[known], curve.time[known])
    label = draw_label(rng)
    shape = inject(label, Host(time, curve.cadence_s / SECONDS_PER_DAY, star.noise), rng)
    example = Example(
        star=star.example.star,
        label=label,
        source=SIMULATED,
        kind=shape.kind,
        ephemerides=(shape.ephemeris,) if shape.ephemeris else (),
        loss=1.0 - shape.flux if label == ANOMALY else None,
    )
    return _Star(replace(curve, flux=(curve.flux * shape.flux).astype(np.float32)), example, star.noise)


def _example(row: dict[str, Any], hourly_ppm: float) -> Example | None:
    """Label of a simulated star; None where its signal is too weak to be seen."""
    label = CLASSES.index(row["class6"])
    weak = label in (BINARY, ANOMALY) and not row["expected_snr"] >= MIN_EVENT_SNR
    if label == STELLAR:
        weak = row["amplitude_ppm"] < MIN_VARIABLE_SIGMA * hourly_ppm
    if weak:
        return None
    known = ()
    if label in (PLANET, BINARY):
        known = (Ephemeris(row["period_d"], row["t0_btjd"], row["duration_h"]),)
    return Example(f"simulated {row['target_id']}", label, SIMULATED, row["kind"], known)


def simulated_quiet(settings: Settings) -> Iterator[tuple[str, LightCurve]]:
    """Names and light curves of the quiet stars of the simulated training sector."""
    wanted = settings.simulate.model_copy(update=FRACTIONS | {"stars": settings.dataset.stars})
    sector = SimulatedSector(wanted, TRAINING_SECTOR)
    for row in sector.truth.to_pylist():
        if CLASSES.index(row["class6"]) == NOISE:
            yield f"simulated {row['target_id']}", sector.light_curve(row["target_id"])

"""The labelled views that a training asks for: real, hybrid and simulated."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from larun.config import Settings
from larun.network.bank import UNLABELLED, Curve, read_bank, read_hosts
from larun.network.examples import ANOMALY, ARTEFACT, BINARY, NOISE, PLANET, STELLAR, Example, example_views
from larun.network.injection import HOUR_D, Host, draw_label, inject
from larun.network.labelled import HYBRID, REAL, SIMULATED, LabelledViews, concatenate
from larun.network.simulated import simulated_views
from larun.search.detrend import detrend
from larun.selection import point_to_point_scatter
from larun.units import MAD_TO_SIGMA

SHORT_CADENCE_D = 5.0 / 1440.0
PER_STAR = 3
PER_STAR_OF_EVENTS = 10
INJECTIONS_PER_HOST = 4
MAX_PER_HOST = 16
QUIETING_WINDOW_D = 0.6
MAX_HOST_SCATTER = 0.02
MAX_HOURLY_EXCESS = 1.6


@dataclass(frozen=True)
class Item:
    """One light curve to search, with and without shapes injected into it."""

    curve: Curve
    injections: int


def training_views(
    settings: Settings, report: Callable[[int, int], None], curves: Sequence[Curve] | None = None
) -> LabelledViews:
    """Make the labelled views that `settings.dataset` asks for.

    Parameters
    ----------
    settings : Settings
        `dataset`, `training.seed`, and the search.
    report : callable
        Given the light curves done and their number.
    curves : sequence of Curve, optional
        Labelled light curves, such as those that `larun.survey.assemble` found; by default those of `dataset.data`.

    Returns
    -------
    LabelledViews
        Real, hybrid and simulated for a folder; simulated alone for ``simulated``. Shapes go into simulated stars where
        no real light curve can receive one. Deterministic.

    Raises
    ------
    InputError
        The folder holds no bank, see `larun.network.bank`.
    """
    d, seed = settings.dataset, settings.training.seed
    if d.data == SIMULATED and curves is None:
        return simulated_views(settings, d.injections, report)
    hosts = read_hosts(d.data) if curves is None else []
    items = plan(list(curves or read_bank(d.data)), hosts, d.injections, seed, d.hold_out)
    simulated = 0 if any(item.injections for item in items) else d.injections
    total = len(items) + d.stars + simulated
    parts = []
    for done, item in enumerate(items, 1):
        parts.append(item_views(item, settings))
        report(done, total)
    parts.append(simulated_views(settings, simulated, lambda done, _: report(len(items) + done, total)))
    return concatenate(parts)


def plan(
    bank: list[Curve], hosts: list[Curve], injections: int, seed: int, hold_out: tuple[str, ...] = ()
) -> list[Item]:
    """Choose curves and hosts.

    A star gives at most a few pieces. Half of the injections go to hosts of short cadence and half to the
    others, so that no class is bound to a cadence; planets, binaries and held-out stars are never hosts. Planets and
    binaries go into variable stars and artefacts too, so that these alone never say what a star is.
    """
    rng = np.random.default_rng(seed)
    taken: dict[tuple[str, int], int] = {}
    chosen = []
    for curve in bank:
        key = (curve.star, curve.label)
        limit = PER_STAR_OF_EVENTS if curve.label in (PLANET, BINARY) else PER_STAR
        taken[key] = taken.get(key, 0) + 1
        if taken[key] <= limit:
            chosen.append(curve)
    usable = [curve for curve in chosen if curve.label in (NOISE, STELLAR, ARTEFACT)] + hosts
    usable = [curve for curve in usable if curve.star not in hold_out]
    short = [curve for curve in usable if curve.cadence_d <= SHORT_CADENCE_D]
    long = [curve for curve in usable if curve.cadence_d > SHORT_CADENCE_D]
    load = {}
    for group in (short, long):
        others = long if group is short else short
        wanted = injections // 2 if others else injections
        each = min(max(INJECTIONS_PER_HOST, -(-wanted // max(len(group), 1))), MAX_PER_HOST)
        order = rng.permutation(len(group))[: -(-wanted // each)]
        load |= {id(group[i]): each for i in order}
    items = [Item(curve, load.get(id(curve), 0)) for curve in chosen]
    return items + [Item(curve, load[id(curve)]) for curve in hosts if id(curve) in load]


def item_views(item: Item, settings: Settings) -> LabelledViews:
    """Views of a curve as it is, and of the shapes injected into it.

    Shapes go by turns into the curve and into the same curve with its slow variation divided out, but into a
    variable star as it is only planets and binaries, since it already shows another class, and into an artefact these
    alone. The quieted curve is an example of noise, hybrid because its trend was taken away, unless some of the
    variation is left or it is an artefact.
    """
    curve = item.curve
    fluxes, examples = [], []
    if curve.label != UNLABELLED:
        fluxes.append(curve.flux)
        examples.append(Example(curve.star, curve.label, REAL, curve.origin, curve.ephemerides))
    if item.injections:
        rng = np.random.default_rng([settings.training.seed, zlib.crc32(curve.star.encode()), abs(int(curve.time[0]))])
        quiet = detrend(curve.flux[np.newaxis], curve.time, QUIETING_WINDOW_D)[0]
        sigma = point_to_point_scatter(quiet)
        calm = curve.label != ARTEFACT and _hourly_excess(quiet, sigma, curve.cadence_d) < MAX_HOURLY_EXCESS
        if calm:
            fluxes.append(quiet)
            examples.append(Example(curve.star, NOISE, HYBRID, "quieted"))
        for turn in range(item.injections if 0 < sigma < MAX_HOST_SCATTER else 0):
            label = draw_label(rng)
            shape = inject(label, Host(curve.time, curve.cadence_d, sigma), rng)
            other = curve.label in (STELLAR, ARTEFACT) and label not in (PLANET, BINARY)
            if other and not calm:
                continue
            fluxes.append((quiet if turn % 2 or other else curve.flux) * shape.flux.astype(np.float32))
            known = (shape.ephemeris,) if shape.ephemeris else ()
            loss = 1.0 - shape.flux if label == ANOMALY else None
            examples.append(Example(curve.star, label, HYBRID, shape.kind, known, loss))
    return example_views(curve.shard(np.array(fluxes)), examples, settings.search)


def _hourly_excess(flux: np.ndarray, sigma: float, cadence_d: float) -> float:
    """Robust scatter of hourly means over that of white noise with the scatter of successive cadences."""
    n = max(round(HOUR_D / cadence_d), 2)
    values = flux[np.isfinite(flux)]
    means = values[: len(values) // n * n].reshape(-1, n).mean(axis=1)
    scatter = MAD_TO_SIGMA * np.median(np.abs(means - np.median(means)))
    return float(scatter * np.sqrt(n) / sigma) if sigma > 0 else np.inf

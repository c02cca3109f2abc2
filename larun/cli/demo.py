"""The demonstration: a simulated sector through ingest, training and sweep, and its candidates beside the truth."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict
from typing import Any

import typer

from larun.cli.console import Given, print_json, print_table, survey_root

SECTOR = 1
_INGEST = {"shard_targets": 64, "chunk_targets": 16}
_START = "default"
_TRAIN = {
    "dataset": {"data": "simulated", "stars": 240, "injections": 600},
    "training": {"start_from": _START, "epochs": 6, "learning_rate": 2e-4},
}
"""Short: it goes on from the bundle that comes with larun, which was trained at length on real light curves."""

_SHOWN = ("rank", "target", "class", "score", "period_d", "depth_ppm", "snr", "true_kind", "true_period_d", "found")


def run_demo(options: Given, run: Callable[..., dict[str, Any]], stars: int, json: bool) -> None:
    """Run all stages into the root and print what was found.

    Parameters
    ----------
    options : Given
        Root and settings file.
    run : callable
        Runs a flow by name.
    stars : int
        Stars of the simulated sector.
    json : bool
        Print one JSON object instead of tables.
    """
    from larun.bundles import load_bundle

    start = load_bundle(_START).manifest["settings"]["model"]
    model = {"name": "demo"} | {name: start[name] for name in ("architecture", "options", "dropout")}
    overrides = {"simulate": {"stars": stars}, "ingest": _INGEST, "model": model, **_TRAIN}
    run("ingest", sector=SECTOR, archive="simulated", overrides=options.overrides(**overrides))
    trained = run("train", overrides=options.overrides(**overrides))
    chosen = options.overrides(**overrides, sweep={"bundle": trained["bundle"]})
    summary = run("sweep", sector=SECTOR, author="simulated", overrides=chosen)
    from larun.simulate.sector import SimulatedSector
    from larun.survey.published import published_candidates
    from larun.survey.truth import beside_truth, recovery

    settings = options.settings(**overrides)
    store = survey_root(settings)
    truth = SimulatedSector(settings.simulate, SECTOR).truth
    candidates = published_candidates(store)
    found = recovery(candidates, truth)
    best = beside_truth(candidates, truth)
    place = store.url_of(summary["candidates"])
    if json:
        print_json({"candidates": place, "recovery": asdict(found), "best": best} | {"summary": summary})
        return
    print_table("the ten best candidates beside the truth", _SHOWN, ([row[name] for name in _SHOWN] for row in best))
    typer.echo(f"planets injected: {found.injected}, of which {found.detectable} are strong enough for a box search")
    typer.echo(f"planets found: {found.found}, of which {found.found_detectable} are among the strong ones")
    typer.echo(f"false positives: {found.false_positives} of {found.candidates} candidates of class planetary_transit")
    if found.harmonics:
        typer.echo(f"planets found at a multiple of their period, counted as neither: {found.harmonics}")
    typer.echo(f"candidates: {place}")
    typer.echo(f"light curves: {store.url_of('lightcurves')}; see `larun candidates --root {store.url}`")

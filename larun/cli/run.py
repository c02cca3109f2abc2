"""Commands that run flows: ingest, sweep, nightly, demo; `larun.cli.train` has the other."""

from __future__ import annotations

import contextlib
import importlib
import logging
import os
from collections.abc import Callable, Iterator
from typing import Annotated, Any

import typer

from larun.cli import preflight
from larun.cli.console import (
    AuthorOption,
    CadenceOption,
    ConfigOption,
    Given,
    JsonOption,
    MissionOption,
    RootOption,
    SectorOption,
    VerboseOption,
    counted,
    given,
    known_mission,
    print_json,
    progress,
    say,
)

ArchiveOption = Annotated[
    str | None,
    typer.Option(
        "--archive",
        help="Archives in the order in which they are asked: cloud, mast, lightkurve, folder:PATH, simulated; "
        "several separated by commas. By default archives.order of the settings.",
    ),
]
BundleOption = Annotated[str | None, typer.Option("--bundle", help="Model bundle: default, name/version or a folder.")]
StitchOption = Annotated[
    bool | None,
    typer.Option(
        "--stitch/--no-stitch",
        help="Search the sectors of a star up to this one as one light curve, too. By default sweep.stitch of the "
        "settings.",
    ),
]
ClusterOption = Annotated[
    str | None, typer.Option("--cluster", help="Cluster file: a name in deployments/clusters or a path to YAML.")
]


def ingest(
    context: typer.Context,
    sector: Annotated[
        int | None, typer.Option("--sector", min=0, help="Sector; not needed where stars are named.")
    ] = None,
    target: Annotated[
        list[str] | None, typer.Option("--target", help="Only this star, by number or name; may be repeated.")
    ] = None,
    targets: Annotated[
        str | None, typer.Option("--targets", metavar="FILE", help="Only the stars of this list, one per line.")
    ] = None,
    repair: Annotated[
        bool, typer.Option("--repair", help="Only ask again for unreachable and corrupt targets of finished shards.")
    ] = False,
    archive: ArchiveOption = None,
    mission: Annotated[
        str | None,
        typer.Option(
            "--mission", callback=known_mission, help="tess, kepler or k2; tess for a sector, all for named stars."
        ),
    ] = None,
    author: AuthorOption = None,
    cadence: CadenceOption = None,
    cluster: ClusterOption = None,
    root: RootOption = None,
    config: ConfigOption = None,
    json: JsonOption = False,
    verbose: VerboseOption = False,
) -> None:
    """Bring what is missing of a sector into the store.

    Or with --target and --targets, which take their light curves from lightkurve's search, all that there are of some
    stars: every sector is a product of its own.
    """
    options = given(context, config, root, verbose)
    asked = {"sector": sector, "archive": archive, "mission": mission, "author": author, "cadence_s": cadence}
    chosen = {"run": {"cluster": cluster}}
    settings = options.settings(**chosen)
    if target or targets:
        _refuse_beside_stars(repair, archive)
        preflight.check_stars(settings, target or [], targets, mission)
        asked |= {"archive": None, "targets": target or None, "targets_file": targets}
    else:
        if sector is None:
            raise typer.BadParameter("name a sector, or stars with --target or --targets", param_hint="--sector")
        asked |= {"mission": mission or "tess", "repair": repair}
        _say_silence(preflight.check_ingest(settings, **asked))
    with running_flows(options) as run:
        result = run("ingest", **asked, overrides=options.overrides(**chosen))
    if json:
        print_json(result)
        return
    for done in result.get("products", [result]):
        _print_ingest(done)
    _print_failed(result.get("failed", []))


def _refuse_beside_stars(repair: bool, archive: str | None) -> None:
    if repair:
        raise typer.BadParameter(
            "a sector is repaired as a whole, also one of named stars; give --sector without stars",
            param_hint="--repair",
        )
    if archive not in (None, "lightkurve"):
        raise typer.BadParameter("named stars come through lightkurve's search alone", param_hint="--archive")


def sweep(
    context: typer.Context,
    sector: SectorOption,
    mission: MissionOption = "tess",
    author: AuthorOption = None,
    bundle: BundleOption = None,
    stitch: StitchOption = None,
    cluster: ClusterOption = None,
    root: RootOption = None,
    config: ConfigOption = None,
    json: JsonOption = False,
    verbose: VerboseOption = False,
) -> None:
    """Search every star of a sector, publish the candidates.

    With --stitch the light curves that the store holds of a star in earlier sectors are joined with that of this one
    and searched as one, too: longer periods and weaker planets are found, and the tables say in which sectors.
    """
    options = given(context, config, root, verbose)
    asked = {"sector": sector, "mission": mission, "author": author}
    chosen = {"run": {"cluster": cluster}, "sweep": {"bundle": bundle, "stitch": stitch}}
    settings = options.settings(**chosen)
    preflight.check_sweep(settings, **asked)
    with running_flows(options) as run:
        result = run("sweep", **asked, overrides=options.overrides(**chosen))
    _print_sweep(result, settings.sweep.stitch, json)


def nightly(
    context: typer.Context,
    sector: Annotated[
        int | None, typer.Option("--sector", min=0, help="Sector; by default what is unfinished or new.")
    ] = None,
    archive: ArchiveOption = None,
    mission: MissionOption = "tess",
    author: AuthorOption = None,
    cadence: CadenceOption = None,
    bundle: BundleOption = None,
    stitch: StitchOption = None,
    cluster: ClusterOption = None,
    root: RootOption = None,
    config: ConfigOption = None,
    json: JsonOption = False,
    verbose: VerboseOption = False,
) -> None:
    """Find what is new, ingest it, sweep it and publish.

    Without --sector the archives are asked which sectors there are, and what is unfinished or new is brought up to
    date; the section `nightly` of the settings says of which pipeline, and how many a night. With it, that sector.
    Of the latest sectors, targets that were unreachable are asked for again.
    """
    options = given(context, config, root, verbose)
    asked = {"sector": sector, "archive": archive, "mission": mission, "author": author, "cadence_s": cadence}
    chosen = {"run": {"cluster": cluster}, "sweep": {"bundle": bundle, "stitch": stitch}}
    settings = options.settings(**chosen)
    if sector is None:
        if author or cadence or mission != "tess":
            raise typer.BadParameter(
                "without a sector the settings nightly.author and nightly.cadence_s say which product",
                param_hint="--sector",
            )
        preflight.check_night(settings, archive)
    else:
        preflight.check_bundle(settings, settings.sweep.bundle)
        _say_silence(preflight.check_ingest(settings, **asked))
    with running_flows(options) as run:
        result = run("nightly", **asked, overrides=options.overrides(**chosen))
    if json:
        print_json(result)
        return
    for done in result["sectors"]:
        if done["ingest"]:
            _print_ingest(done["ingest"])
        _print_sweep(done["sweep"], settings.sweep.stitch)
    if not result["sectors"]:
        typer.echo("nothing is new: every sector that the archives hold is ingested and swept")
    if result["joined_others"]:
        after = "nights" if settings.sweep.stitch else "nights with --stitch"
        waiting = ", ".join(result["joined_others"])
        typer.echo(f"earlier sectors were changed since these were swept; {after} sweep them again: {waiting}")
    _print_failed(result["failed"])
    for catalogue in result["catalogues"]:
        if catalogue["reason"]:
            say(f"catalogue {catalogue['name']} is {catalogue['state']}: {catalogue['reason']}")


def demo(
    context: typer.Context,
    stars: Annotated[int, typer.Option("--stars", min=16, help="Stars of the simulated sector.")] = 512,
    root: RootOption = None,
    config: ConfigOption = None,
    json: JsonOption = False,
    verbose: VerboseOption = False,
) -> None:
    """Run everything on a simulated sector.

    Simulates, ingests, trains shortly, sweeps, and shows the candidates beside the truth.
    """
    from larun.cli.demo import run_demo

    options = given(context, config, root, verbose)
    preflight.check_demo(options.settings())
    with running_flows(options) as run:
        run_demo(options, run, stars, json)


@contextlib.contextmanager
def running_flows(options: Given) -> Iterator[Callable[..., dict[str, Any]]]:
    """Run flows by name against one Prefect server, with progress on standard error."""
    _quieten(options.verbose)
    from flows.server import embedded_server

    say("starting the Prefect server")
    with embedded_server() as server:
        from flows.progress import listening

        say(f"runs can be watched at {server.ui_url}")

        def run(name: str, **parameters: Any) -> dict[str, Any]:
            flow = getattr(importlib.import_module(f"flows.{name}"), name)
            with progress() as report, listening(report):
                return flow(config=options.config, **parameters)

        try:
            yield run
        except (KeyboardInterrupt, SystemExit):
            say("interrupted: what is stored stays, and the same command goes on from there")
            raise


def _quieten(verbose: bool) -> None:
    """Let Prefect, Dask and TensorFlow speak only where the person wants it; they read the environment once."""
    os.environ.setdefault("PREFECT_LOGGING_LEVEL", "INFO" if verbose else "CRITICAL")
    os.environ.setdefault("DASK_LOGGING__DISTRIBUTED", "info" if verbose else "critical")
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "0" if verbose else "3")
    logging.getLogger("flows").setLevel(logging.INFO if verbose else logging.ERROR)
    logging.getLogger("flows.sources").setLevel(logging.INFO if verbose else logging.WARNING)


def _say_silence(silent: str) -> None:
    if silent:
        say(f"no archive says now what it holds: {silent}. The run asks again, and is deferred if none answers")


def _counts(result: dict[str, Any]) -> str:
    return ", ".join(f"{n} {status}" for status, n in result["status"].items() if n)


def _print_ingest(result: dict[str, Any]) -> None:
    by_archive = [f"{said['targets']} from {name}" for name, said in result["archives"].items() if said["targets"]]
    held = f"{counted(result['targets'], 'target')} in {counted(result['shards'], 'shard')}"
    typer.echo(
        f"{result['product']}: " + "; ".join(filter(None, (f"{held}, {_counts(result)}", ", ".join(by_archive))))
    )


def _print_failed(failed: list[dict[str, str]]) -> None:
    for failure in failed:
        typer.echo(f"{failure['product']}: {failure['reason']}")


def _print_sweep(result: dict[str, Any], stitch: bool, json: bool = False) -> None:
    if json:
        print_json(result)
        return
    found = f"{counted(result['n_candidates'], 'candidate')} among {counted(result['n_targets'], 'target')}"
    typer.echo(f"{result['product']}: {found}, sweep {result['run']}; see `larun candidates`")
    if result["joined"]:
        with_sectors = f"{counted(result['n_joined'], 'target')} joined with {', '.join(result['joined'])}"
        failed = result["n_not_joined"]
        typer.echo(
            f"{with_sectors}; {failed} not as told, see `not_joined` of the detections" if failed else with_sectors
        )
    elif stitch:
        typer.echo("no target was joined: the store holds none of them in an earlier sector that can be used")

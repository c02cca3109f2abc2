"""Commands that write files for people: report, export, simulate."""

from __future__ import annotations

from typing import Annotated

import typer

from larun.cli.console import (
    AnyMissionOption,
    AnySectorOption,
    AuthorOption,
    ConfigOption,
    JsonOption,
    RootOption,
    VerboseOption,
    given,
    print_json,
    progress,
    survey_root,
)


def report(
    context: typer.Context,
    sector: AnySectorOption = None,
    mission: AnyMissionOption = None,
    author: AuthorOption = None,
    limit: Annotated[int, typer.Option("--limit", min=0, help="Candidates with a page of their own.")] = 50,
    root: RootOption = None,
    config: ConfigOption = None,
    json: JsonOption = False,
    verbose: VerboseOption = False,
) -> None:
    """Write static pages of a published sweep.

    One page of the sector, and one of each candidate.
    """
    settings = given(context, config, root, verbose).settings()
    from larun.report import write_report
    from larun.survey.published import find_published

    store = survey_root(settings)
    product = find_published(store, sector, mission, author)
    with progress() as show:
        url = write_report(store, settings, product, limit, lambda done, total: show("pages", done, total))
    if json:
        print_json({"report": url})
        return
    typer.echo(url)


def export(
    context: typer.Context,
    path: Annotated[str, typer.Argument(help="File to write; its ending says the format, e.g. .csv, .ecsv, .fits.")],
    target: Annotated[
        str | None, typer.Option("--target", help="Export this star's light curve, e.g. 'TIC 261136679'.")
    ] = None,
    sector: AnySectorOption = None,
    mission: AnyMissionOption = None,
    author: AuthorOption = None,
    root: RootOption = None,
    config: ConfigOption = None,
    json: JsonOption = False,
    verbose: VerboseOption = False,
) -> None:
    """Write the candidates, or a star's light curve, to a file.

    The candidates are those of the published sweep.
    """
    from larun.export import export_candidates, export_light_curve
    from larun.paths import parse_star
    from larun.survey.published import find_published, published_candidates

    store = survey_root(given(context, config, root, verbose).settings())
    if target is None:
        written = export_candidates(published_candidates(store, find_published(store, sector, mission, author)), path)
    else:
        star = parse_star(target)
        if star is None:
            raise typer.BadParameter(f"{target!r} is no star such as 'TIC 261136679'", param_hint="--target")
        written = export_light_curve(store, star[1], path, sector, star[0], author)
    if json:
        print_json({"file": str(written)})
        return
    typer.echo(str(written))


def simulate(
    context: typer.Context,
    folder: Annotated[str, typer.Argument(help="Folder to write the FITS files and the truth table to.")],
    stars: Annotated[int | None, typer.Option("--stars", min=1, help="Stars of the sector.")] = None,
    seed: Annotated[int | None, typer.Option("--seed", min=0, help="Seed of everything random.")] = None,
    sector: Annotated[int, typer.Option("--sector", min=1, help="Number of the sector.")] = 1,
    config: ConfigOption = None,
    json: JsonOption = False,
    verbose: VerboseOption = False,
) -> None:
    """Write a simulated sector as FITS files, with its truth.

    The files have the official layout.
    """
    settings = given(context, config, None, verbose).settings(simulate={"stars": stars, "seed": seed})
    from larun.simulate.sector import write_sector

    with progress() as show:
        write_sector(folder, settings.simulate, sector, lambda done, total: show("stars", done, total))
    if json:
        print_json({"folder": folder, "sector": sector, "stars": settings.simulate.stars})
        return
    typer.echo(f"{settings.simulate.stars} simulated stars of sector {sector} are in {folder}")

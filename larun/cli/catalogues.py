"""Commands for catalogues of known objects: list the snapshots, update them, import one where there is no network."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from larun.cli.console import (
    ConfigOption,
    JsonOption,
    RootOption,
    VerboseOption,
    given,
    print_json,
    print_table,
    say,
    survey_root,
)

_LISTED = ("name", "state", "rows", "age_d", "date", "sha256", "reason")
_SHA_SHOWN = 16

catalogues = typer.Typer(no_args_is_help=True, help="Catalogues of known objects: list, update or import snapshots.")


@catalogues.command("list")
def list_catalogues(
    context: typer.Context,
    root: RootOption = None,
    config: ConfigOption = None,
    json: JsonOption = False,
    verbose: VerboseOption = False,
) -> None:
    """List the snapshots below the root, and the catalogues that have none."""
    from larun.survey.snapshots import states

    settings = given(context, config, root, verbose).settings()
    rows = states(survey_root(settings), settings.catalogues.max_age_days)
    if json:
        print_json(rows)
        return
    print_table("catalogues", _LISTED, map(_cells, rows))


@catalogues.command("update")
def update(
    context: typer.Context,
    names: Annotated[
        list[str] | None, typer.Argument(metavar="[NAME]...", help="Fetch these, whatever their age; else what is old.")
    ] = None,
    root: RootOption = None,
    config: ConfigOption = None,
    json: JsonOption = False,
    verbose: VerboseOption = False,
) -> None:
    """Fetch catalogues, and match the published sweeps with what is new.

    What cannot be had keeps its old snapshot; the exit code is then 1.
    """
    from larun.catalogue.sources import choose
    from larun.errors import CatalogueError
    from larun.survey.known import match_published, update_catalogues
    from larun.survey.refresh import STALE, UNREACHABLE

    settings = given(context, config, root, verbose).settings()
    store = survey_root(settings)
    rows = update_catalogues(store, settings, names or None)
    matched = match_published(store, settings)
    if json:
        print_json({"catalogues": rows, "matched": matched})
    else:
        print_table("catalogues", _LISTED, map(_cells, rows))
        for record in matched:
            typer.echo(f"{record['product']}: {record['n_matches']} known objects at {record['n_targets']} stars")
    without = {c.name for c in choose(names or settings.catalogues.use)} - {row["catalogue"] for row in rows}
    if without:
        say(f"no published sweep has stars to ask about: {', '.join(sorted(without))}")
    failed = [row for row in rows if row["state"] in {STALE, UNREACHABLE}]
    if failed:
        said = "; ".join(f"{row['name']} {row['state']}, {row['reason']}" for row in failed)
        raise CatalogueError(f"{len(failed)} of {len(rows)} catalogues could not be had: {said}. Run it again later")


@catalogues.command("import")
def import_snapshot(
    context: typer.Context,
    path: Annotated[
        str, typer.Argument(help="The .json of a snapshot of another root, or a table: CSV, VOTable, IPAC, Parquet.")
    ],
    name: Annotated[
        str | None, typer.Option("--name", help="Which catalogue it is, where its columns do not say.")
    ] = None,
    root: RootOption = None,
    config: ConfigOption = None,
    json: JsonOption = False,
    verbose: VerboseOption = False,
) -> None:
    """Import a table as the snapshot of a catalogue, and match the published sweeps with it."""
    from larun.survey.known import match_published
    from larun.survey.snapshots import import_table

    settings = given(context, config, root, verbose).settings()
    store = survey_root(settings)
    row = import_table(store, path, name)
    matched = match_published(store, settings)
    if json:
        print_json(row | {"matched": matched})
        return
    typer.echo(f"{row['name']}: {row['rows']} rows, sha256 {row['sha256'][:_SHA_SHOWN]}")
    for record in matched:
        typer.echo(f"{record['product']}: {record['n_matches']} known objects at {record['n_targets']} stars")


def _cells(row: dict[str, Any]) -> list[Any]:
    return [_shown(row, name) for name in _LISTED]


def _shown(row: dict[str, Any], name: str) -> Any:
    value = row[name]
    if name == "age_d" and value is not None:
        return f"{value:.1f}"
    return value[:_SHA_SHOWN] if name == "sha256" and value else value

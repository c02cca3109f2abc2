"""Commands for model bundles: list, show, compare, promote."""

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
    survey_root,
)

bundles = typer.Typer(no_args_is_help=True, help="Model bundles: list, show, compare or promote them.")

_COMPARED = ("accuracy", "macro_f1", "brier", "ece", "planet_ap")


@bundles.command("list")
def list_bundles(
    context: typer.Context,
    root: RootOption = None,
    config: ConfigOption = None,
    json: JsonOption = False,
    verbose: VerboseOption = False,
) -> None:
    """List the bundle that comes with larun and those below the root; the default one is what sweeps take."""
    from larun.bundles import SHIPPED, load_bundle, promoted
    from larun.errors import BundleError

    store = survey_root(given(context, config, root, verbose).settings())
    folders = [path for name in store.list("models") if not name.endswith(".json") for path in store.list(name)]
    default = (promoted(store) or {"bundle": SHIPPED})["bundle"]
    rows = []
    for spec in (SHIPPED, *(path.removeprefix("models/") for path in folders)):
        row = {"bundle": spec, "default": spec == default, "name": None, "version": None, "digest": None}
        try:
            bundle = load_bundle(spec, store)
        except BundleError as error:
            rows.append(row | {"reason": str(error)})
            continue
        rows.append(row | {"name": bundle.name, "version": bundle.version, "digest": bundle.digest, "reason": ""})
    if json:
        print_json(rows)
        return
    print_table("bundles", rows[0], (row.values() for row in rows))


@bundles.command("show")
def show_bundle(
    context: typer.Context,
    spec: Annotated[str, typer.Argument(help="default, name, name/version or a folder.")] = "default",
    root: RootOption = None,
    config: ConfigOption = None,
    json: JsonOption = False,
    verbose: VerboseOption = False,
) -> None:
    """Print the model card of a bundle; with --json its manifest."""
    from larun.bundles import CARD_FILE, load_bundle

    bundle = load_bundle(spec, survey_root(given(context, config, root, verbose).settings()))
    if json:
        print_json(bundle.manifest)
        return
    typer.echo(bundle.files[CARD_FILE].decode())


@bundles.command("compare")
def compare_bundles(
    context: typer.Context,
    first: Annotated[str, typer.Argument(help="default, shipped, name, name/version or a folder.")],
    second: Annotated[str, typer.Argument(help="The bundle to set beside it.")],
    root: RootOption = None,
    config: ConfigOption = None,
    json: JsonOption = False,
    verbose: VerboseOption = False,
) -> None:
    """Set two bundles side by side, on the stars that both have held out."""
    from larun.bundles import load_bundle
    from larun.network.compare import compare

    store = survey_root(given(context, config, root, verbose).settings())
    said = compare(load_bundle(first, store), load_bundle(second, store))
    if json:
        print_json(said)
        return
    columns = ("source", "figure", said["first"], said["second"], "difference")
    print_table(f"{said['stars']} held-out stars in common", columns, _compared(said["sources"]))


def _compared(sources: dict[str, Any]) -> list[list[str]]:
    rows = []
    for source, both in sources.items():
        for figure in _COMPARED:
            values = [_figure_of(both[which], figure) for which in ("first", "second")]
            rows.append([source, figure, *map(_interval, [*values, both["difference"][figure]])])
    return rows


def _figure_of(scores: dict[str, Any], figure: str) -> dict[str, float] | None:
    if figure == "planet_ap":
        return scores["classes"]["planetary_transit"]["average_precision"]
    return scores[figure]


def _interval(value: dict[str, float] | None) -> str:
    return "-" if value is None else f"{value['value']:.3f} [{value['low']:.3f}, {value['high']:.3f}]"


@bundles.command("promote")
def promote_bundle(
    context: typer.Context,
    spec: Annotated[str, typer.Argument(help="name or name/version below the root, or shipped.")],
    root: RootOption = None,
    config: ConfigOption = None,
    json: JsonOption = False,
    verbose: VerboseOption = False,
) -> None:
    """Make a bundle the root's default, which sweeps take where no other is named."""
    from larun.bundles import promote

    store = survey_root(given(context, config, root, verbose).settings())
    bundle = promote(store, spec)
    if json:
        print_json({"default": spec, "name": bundle.name, "version": bundle.version, "digest": bundle.digest})
        return
    typer.echo(f"{bundle.name}/{bundle.version} is the default of {store.url}, {bundle.digest}")

"""Commands that read: status, candidates, examine, bundles. None of them needs a server."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from larun.cli.console import (
    AnySectorOption,
    AuthorOption,
    ConfigOption,
    JsonOption,
    MissionOption,
    RootOption,
    VerboseOption,
    given,
    print_json,
    print_table,
    progress,
    say,
    survey_root,
)

if TYPE_CHECKING:
    from larun.objects import Root
    from larun.paths import Product

BundleOption = Annotated[str | None, typer.Option("--bundle", help="Model bundle: default, name/version or a folder.")]

_FAILURES_SHOWN = 20
_EXAMINED = ("target", "n_cadences", "period_d", "duration_h", "depth_ppm", "snr", "sde", "class", "flags")
_LISTED = ("rank", "target", "sector", "class", "score", "period_d", "duration_h", "depth_ppm", "snr", "sde", "flags")


def status(
    context: typer.Context,
    sector: AnySectorOption = None,
    mission: Annotated[str | None, typer.Option("--mission", help="tess, kepler or k2.")] = None,
    root: RootOption = None,
    config: ConfigOption = None,
    json: JsonOption = False,
    verbose: VerboseOption = False,
) -> None:
    """Show what a survey holds, and why targets are missing."""
    from larun.errors import NotInStore
    from larun.store.publish import published
    from larun.store.reading import products

    store = survey_root(given(context, config, root, verbose).settings())
    held = products(store, mission, sector)
    if not held:
        wanted = "sector" if sector is None else f"{mission or ''} sector {sector}".strip()
        others = ", ".join(map(str, products(store))) or "nothing"
        raise NotInStore(f"{store.url} holds no {wanted}; it holds {others}. Run `larun ingest` first")
    seen = published(store)["sectors"]
    sectors = [_sector_status(store, product) | {"published": seen.get(str(product))} for product in held]
    if json:
        print_json({"root": store.url, "sectors": sectors})
        return
    for found in sectors:
        _print_status(found)


def _sector_status(store: Root, product: Product) -> dict[str, Any]:
    from larun import ledger

    counts = ledger.counts(store, product)
    return {
        "product": str(product),
        "mission": product.mission,
        "sector": product.sector,
        "author": product.author,
        "cadence_s": product.cadence_s,
        "simulated": product.simulated,
        "targets": counts.targets,
        "shards": counts.shards,
        "recorded_shards": counts.recorded_shards,
        "complete": counts.complete,
        "status": counts.by_status,
        "failures": [
            {"target": f"{product.catalogue} {o.target_id}", "status": o.status, "reason": o.reason}
            for o in counts.failures
        ],
    }


def _print_status(found: dict[str, Any]) -> None:
    title = f"{found['product']}: {found['recorded_shards']} of {found['shards']} shards ingested"
    print_table(title, ("status", "targets"), found["status"].items())
    failures = found["failures"]
    if failures:
        rows = [(f["target"], f["status"], f["reason"]) for f in failures[:_FAILURES_SHOWN]]
        more = f", the first {len(rows)} of {len(failures)}" if len(failures) > len(rows) else ""
        print_table(f"not stored{more}", ("target", "status", "reason"), rows)
    sweep = found["published"]
    if sweep:
        typer.echo(f"published: sweep {sweep['run']}, {sweep.get('n_candidates', '?')} candidates")
    else:
        typer.echo("no sweep is published")


def candidates(
    context: typer.Context,
    sector: AnySectorOption = None,
    mission: MissionOption = "tess",
    author: AuthorOption = None,
    limit: Annotated[int | None, typer.Option("--limit", min=1, help="Only the best so many.")] = None,
    root: RootOption = None,
    config: ConfigOption = None,
    json: JsonOption = False,
    verbose: VerboseOption = False,
) -> None:
    """List the ranked candidates of a published sweep."""
    from larun.candidates import listing
    from larun.survey.published import published_candidates

    store = survey_root(given(context, config, root, verbose).settings())
    rows = listing(published_candidates(store, product_of(store, sector, mission, author)))[:limit]
    if json:
        print_json(rows)
        return
    print_table(f"{len(rows)} candidates", _LISTED, ([row[name] for name in _LISTED] for row in rows))


def product_of(store: Root, sector: int | None, mission: str, author: str | None) -> Product | None:
    """Product of the sector that was named; None where none was."""
    if sector is None:
        return None
    from larun.survey.sweep import find_product

    return find_product(store, sector, mission, author)


def examine(
    context: typer.Context,
    names: Annotated[
        list[str], typer.Argument(metavar="PATH...", help="FITS, CSV or NPZ files, or stars such as 'TIC 261136679'.")
    ],
    bundle: BundleOption = None,
    root: RootOption = None,
    config: ConfigOption = None,
    json: JsonOption = False,
    verbose: VerboseOption = False,
) -> None:
    """Search and classify single light curves.

    With --json one line and one JSON object per light curve. The exit code is 0 if every input could be read,
    also where a light curve holds too little to search, and 1 if one could not.
    """
    options = given(context, config, root, verbose)
    settings = options.settings(sweep={"bundle": bundle})
    from larun.bundles import load_bundle
    from larun.errors import InputError
    from larun.network.infer import Classifier
    from larun.schema import SEARCHED, Status
    from larun.survey.examine import examine as examine_one

    classifier = Classifier(load_bundle(settings.sweep.bundle, survey_root(settings)))
    answers = []
    with progress() as report:
        for done, name in enumerate(names, 1):
            found = examine_one(name, settings, classifier)
            for answer in found if json else ():
                print_json(answer)
            answers += found
            if len(names) > 1:
                report("light curves", done, len(names))
    silent = [answer for answer in answers if answer["status"] != SEARCHED]
    if not json:
        searched = [answer for answer in answers if answer["status"] == SEARCHED]
        rows = [[answer["target"] or answer["file"], *(answer[n] for n in _EXAMINED[1:])] for answer in searched]
        print_table(f"{len(searched)} light curves searched", _EXAMINED, rows)
        for answer in silent:
            say(f"{answer['file']}: {answer['status']}, {answer['reason']}")
    unread = [answer for answer in silent if answer["status"] != Status.REJECTED]
    if unread:
        first = f"{unread[0]['file']}: {unread[0]['status']}, {unread[0]['reason']}"
        raise InputError(f"{len(unread)} of {len(answers)} light curves could not be read; the first is {first}")


bundles = typer.Typer(no_args_is_help=True, help="Model bundles: list them, or show one.")


@bundles.command("list")
def list_bundles(
    context: typer.Context,
    root: RootOption = None,
    config: ConfigOption = None,
    json: JsonOption = False,
    verbose: VerboseOption = False,
) -> None:
    """List the bundle that comes with larun and those below the root."""
    from larun.bundles import DEFAULT, load_bundle
    from larun.errors import BundleError

    store = survey_root(given(context, config, root, verbose).settings())
    folders = [path for name in store.list("models") for path in store.list(name)]
    rows = []
    for spec in (DEFAULT, *(path.removeprefix("models/") for path in folders)):
        try:
            bundle = load_bundle(spec, store)
        except BundleError as error:
            rows.append({"bundle": spec, "name": None, "version": None, "digest": None, "reason": str(error)})
            continue
        said = {"name": bundle.name, "version": bundle.version, "digest": bundle.digest, "reason": ""}
        rows.append({"bundle": spec} | said)
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

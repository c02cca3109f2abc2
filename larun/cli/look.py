"""Commands that read: candidates, examine, bundles. None of them needs a server."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Annotated, Any

import typer

from larun.cli.console import (
    AnyMissionOption,
    AnySectorOption,
    AuthorOption,
    ConfigOption,
    JsonOption,
    RootOption,
    VerboseOption,
    counted,
    given,
    print_json,
    print_table,
    progress,
    say,
    survey_root,
)

if TYPE_CHECKING:
    pass

BundleOption = Annotated[str | None, typer.Option("--bundle", help="Model bundle: default, name/version or a folder.")]

_EXAMINED = ("target", "n_cadences", "period_d", "duration_h", "depth_ppm", "snr", "sde", "class", "flags")
_LISTED = ("rank", "target", "sector", "class", "score", "period_d", "duration_h", "depth_ppm", "snr", "sde", "flags")
_KNOWN_LISTED = 2


def candidates(
    context: typer.Context,
    sector: AnySectorOption = None,
    mission: AnyMissionOption = None,
    author: AuthorOption = None,
    limit: Annotated[int | None, typer.Option("--limit", min=1, help="Only the best so many.")] = None,
    root: RootOption = None,
    config: ConfigOption = None,
    json: JsonOption = False,
    verbose: VerboseOption = False,
) -> None:
    """List the ranked candidates of a published sweep."""
    from larun.candidates import listing
    from larun.survey.known import known_objects
    from larun.survey.published import choose_published, find_published, published_candidates

    store = survey_root(given(context, config, root, verbose).settings())
    product, summary = choose_published(store, find_published(store, sector, mission, author))
    known = known_objects(store, product, summary["run"])
    rows = listing(published_candidates(store, product), known.matches, known.not_matched)[:limit]
    if json:
        print_json(rows)
        return
    sectors = "sectors" if summary.get("joined") else "sector"
    listed = tuple(sectors if name == "sector" else name for name in _LISTED)
    columns = (*listed, "known") if known.matches else listed
    shown = (row | {"known": _known(row)} for row in rows)
    print_table(counted(len(rows), "candidate"), columns, ([row[name] for name in columns] for row in shown))
    for said in known.not_matched:
        say(f"not matched yet: {said}")


def _known(row: dict[str, Any]) -> str:
    """Known objects of a candidate in one cell."""
    from larun.candidates import in_words

    shown = [in_words(match) for match in row["known"][:_KNOWN_LISTED]]
    more = len(row["known"]) - len(shown)
    return "; ".join([*shown, f"{more} more"] if more else shown)


def examine(
    context: typer.Context,
    names: Annotated[
        list[str], typer.Argument(metavar="PATH...", help="FITS, CSV or NPZ files, or stars such as 'TIC 261136679'.")
    ],
    archive: Annotated[
        str | None,
        typer.Option("--archive", help="Fetch light curves that the store lacks: lightkurve, mast, cloud or several."),
    ] = None,
    sector: Annotated[
        int | None, typer.Option("--sector", min=0, help="Only this sector, quarter or campaign of a star.")
    ] = None,
    stitch: Annotated[
        bool, typer.Option("--stitch", help="Search all light curves of a star as one, to half of their time span.")
    ] = False,
    bundle: BundleOption = None,
    root: RootOption = None,
    config: ConfigOption = None,
    json: JsonOption = False,
    verbose: VerboseOption = False,
) -> None:
    """Search and classify single light curves.

    A star is looked up in the store. With --archive it may have any name that MAST knows, and its newest light curves
    are fetched. With --stitch the light curves of a star, of several sectors, quarters or files, are searched as one in
    barycentric time, which finds longer periods and weaker planets.

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
    from larun.survey.examine import examine_stitched
    from larun.survey.wanted import StarArchives

    archives = None if archive is None else StarArchives(archive, settings)
    classifier = Classifier(load_bundle(settings.sweep.bundle, survey_root(settings)))
    answers = []
    with progress() as report, archives or contextlib.nullcontext():
        for done, name in enumerate([names] if stitch else names, 1):
            look = examine_stitched if stitch else examine_one
            found = look(name, settings, classifier, archives, sector)
            for answer in found if json else ():
                print_json(answer)
            answers += found
            if len(names) > 1 and not stitch:
                report("light curves", done, len(names))
    silent = [answer for answer in answers if answer["status"] != SEARCHED]
    if not json:
        searched = [answer for answer in answers if answer["status"] == SEARCHED]
        rows = [
            [answer["target"] or answer["file"], answer["n_cadences"], *(event[n] for n in _EXAMINED[2:])]
            for answer in searched
            for event in (answer, *answer["further"])
        ]
        print_table(f"{counted(len(searched), 'light curve')} searched", _EXAMINED, rows)
        for answer in silent:
            say(f"{answer['file']}: {answer['status']}, {answer['reason']}")
    unread = [answer for answer in silent if answer["status"] != Status.REJECTED]
    if unread:
        first = f"{unread[0]['file']}: {unread[0]['status']}, {unread[0]['reason']}"
        raise InputError(
            f"{len(unread)} of {counted(len(answers), 'light curve')} could not be read; the first is {first}"
        )

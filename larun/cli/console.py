"""What all commands share: settings, output, progress bars, log and exit codes.

Data goes to standard output and everything else to standard error, so that ``--json`` prints JSON only.
"""

from __future__ import annotations

import contextlib
import json
import logging
import math
import os
import sys
import warnings
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any

import typer
from typer.core import TyperGroup

from larun.errors import ConfigurationError, LarunError

if TYPE_CHECKING:
    from larun.config import Settings
    from larun.objects import Root

FAILED = 1
USAGE = 2

ConfigOption = Annotated[str | None, typer.Option("--config", metavar="FILE", help="TOML or YAML file with settings.")]
RootOption = Annotated[str | None, typer.Option("--root", help="Survey root: a folder or s3://bucket/prefix.")]
VerboseOption = Annotated[bool, typer.Option("-v", "--verbose", help="Show the log, and tracebacks of errors.")]
JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON and nothing else.")]
SectorOption = Annotated[int, typer.Option("--sector", min=0, help="Sector; quarter of Kepler, campaign of K2.")]
AnySectorOption = Annotated[
    int | None, typer.Option("--sector", min=0, help="Sector; may be left out if there is only one.")
]
_MISSIONS = ("tess", "kepler", "k2")


def known_mission(name: str | None) -> str | None:
    """The mission, if there is such a one."""
    if name is not None and name not in _MISSIONS:
        raise typer.BadParameter(f"{name!r} is none of {', '.join(_MISSIONS)}")
    return name


MissionOption = Annotated[str, typer.Option("--mission", callback=known_mission, help="tess, kepler or k2.")]
AnyMissionOption = Annotated[
    str | None,
    typer.Option("--mission", callback=known_mission, help="tess, kepler or k2; may be left out if there is only one."),
]
AuthorOption = Annotated[str | None, typer.Option("--author", help="Pipeline, e.g. spoc, tess-spoc, qlp.")]
CadenceOption = Annotated[
    int | None, typer.Option("--cadence", min=1, help="Time between cadences, seconds; by default the pipeline's own.")
]

Report = Callable[[str, int, int], None]
"""Takes what is counted, how many are done, and how many there are."""


@dataclass(frozen=True, slots=True)
class Given:
    """Options that may stand before or after the command's name."""

    config: str | None = None
    root: str | None = None
    verbose: bool = False

    def overrides(self, **sections: dict[str, Any]) -> dict[str, Any]:
        """Settings that the command line decides; sections without a value are left out."""
        chosen = {name: {k: v for k, v in values.items() if v is not None} for name, values in sections.items()}
        root = {} if self.root is None else {"root": self.root}
        return root | {name: values for name, values in chosen.items() if values}

    def settings(self, **sections: dict[str, Any]) -> Settings:
        """Load the settings."""
        from larun.config import load

        return load(self.config, **self.overrides(**sections))


def _show_version(asked: bool) -> None:
    if asked:
        import larun

        typer.echo(f"larun {larun.__version__}")
        raise typer.Exit


def remember(
    context: typer.Context,
    config: ConfigOption = None,
    root: RootOption = None,
    verbose: VerboseOption = False,
    version: Annotated[
        bool, typer.Option("--version", is_eager=True, callback=_show_version, help="Print the version.")
    ] = False,
) -> None:
    """From a whole TESS sector to a ranked, traceable table of planet candidates."""
    context.obj = Given(config, root, verbose)


def given(context: typer.Context, config: str | None, root: str | None, verbose: bool) -> Given:
    """Options of a command; those before its name count where it has none of its own."""
    before = context.find_object(Given) or Given()
    chosen = Given(config or before.config, root or before.root, verbose or before.verbose)
    context.find_root().obj = chosen
    set_up_log(chosen.verbose)
    return chosen


class LarunGroup(TyperGroup):
    """Commands whose failures end in one paragraph and an exit code."""

    def invoke(self, ctx: typer.Context) -> Any:
        """Run the command; an error of larun becomes its text on standard error."""
        try:
            return super().invoke(ctx)
        except LarunError as error:
            if isinstance(ctx.obj, Given) and ctx.obj.verbose:
                logging.getLogger(__name__).exception("larun failed")
            typer.echo(f"larun: {' '.join(str(error).split())}", err=True)
            raise typer.Exit(USAGE if isinstance(error, ConfigurationError) else FAILED) from error
        except BrokenPipeError:
            # The reader has seen enough, as `larun candidates | head` does; nothing is left to say to it.
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            raise typer.Exit(FAILED) from None


def survey_root(settings: Settings) -> Root:
    """Root of the settings."""
    from larun.objects import Root

    return Root(settings.root, settings.storage_options)


def set_up_log(verbose: bool) -> None:
    """Log to standard error: warnings, or with `verbose` everything that larun says."""
    logging.basicConfig(format="%(levelname)s %(name)s: %(message)s", stream=sys.stderr)
    logging.getLogger("larun").setLevel(logging.INFO if verbose else logging.WARNING)
    # Said on every import of lightkurve, about a part of it that larun does not use.
    warnings.filterwarnings("ignore", message="Warning: the tpfmodel submodule", category=UserWarning)


def print_json(value: Any) -> None:
    """Print one JSON document on one line; what is not a number is null."""
    typer.echo(json.dumps(_plain(value), allow_nan=False))


def _plain(value: Any) -> Any:
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, dict):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    return value


def counted(n: int | str, noun: str) -> str:
    """A number of things, such as ``1 shard`` or ``2 shards``."""
    return f"{n} {noun}" if n == 1 else f"{n} {noun}s"


def print_table(title: str, columns: Iterable[str], rows: Iterable[Iterable[Any]]) -> None:
    """Print a table; numbers to the right, what is not known as a dash."""
    from rich.console import Console
    from rich.table import Table

    rows = [list(row) for row in rows]
    table = Table()
    for index, name in enumerate(columns):
        numeric = any(isinstance(row[index], int | float) for row in rows)
        table.add_column(name, justify="right" if numeric else "left", overflow="fold")
    for row in rows:
        table.add_row(*map(_cell, row))
    wide = None if sys.stdout.isatty() else 160
    typer.echo(title)
    if rows:
        Console(width=wide, highlight=False, markup=False).print(table)


def _cell(value: Any) -> str:
    if value is None or (isinstance(value, float) and not math.isfinite(value)):
        return "-"
    if isinstance(value, float):
        return f"{value:.0f}" if abs(value) >= 1e4 else f"{value:.5g}"
    return ", ".join(map(str, value)) if isinstance(value, list | tuple) else str(value)


@contextlib.contextmanager
def progress() -> Iterator[Report]:
    """Progress of long work on standard error: bars on a terminal, lines elsewhere."""
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        TextColumn,
        TimeElapsedColumn,
        TimeRemainingColumn,
    )

    console = Console(stderr=True, highlight=False)
    if not console.is_terminal:
        yield _lines()
        return
    bar = Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
        console=console,
    )
    tasks: dict[str, Any] = {}

    def report(stage: str, done: int, total: int) -> None:
        if stage not in tasks:
            tasks[stage] = bar.add_task(stage, total=total)
        bar.update(tasks[stage], completed=done, total=total)

    with bar:
        yield report


def _lines(steps: int = 10) -> Report:
    """Report in lines, about `steps` of each stage."""
    shown: dict[str, int] = {}

    def report(stage: str, done: int, total: int) -> None:
        step = steps * done // max(total, 1)
        if shown.get(stage) != step:
            shown[stage] = step
            typer.echo(f"{stage}: {done} of {total}", err=True)

    return report


def say(text: str) -> None:
    """Tell the person something that is not data."""
    typer.echo(text, err=True)

"""The `larun` command. Heavy imports happen inside the commands, so that ``larun --help`` answers at once."""

from __future__ import annotations

import sys

import typer

from larun.cli import catalogues, look, make, models, run, status, train
from larun.cli.console import LarunGroup, remember

app = typer.Typer(
    name="larun",
    cls=LarunGroup,
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
app.callback()(remember)
for command in (
    *(run.ingest, train.train, run.sweep, run.nightly, run.demo),
    *(status.status, look.candidates, look.examine),
    *(make.report, make.export, make.simulate),
):
    app.command()(command)
app.add_typer(models.bundles, name="bundles")
app.add_typer(catalogues.catalogues, name="catalogues")


def main() -> None:
    """Run the command line."""
    if hasattr(sys.stdout, "reconfigure"):
        sys.stdout.reconfigure(encoding="utf-8")
    app()

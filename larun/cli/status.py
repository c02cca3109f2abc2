"""The command that tells what a survey holds, from the store alone; no server, no archive."""

from __future__ import annotations

from typing import Any

import typer

from larun.cli.console import (
    AnyMissionOption,
    AnySectorOption,
    ConfigOption,
    JsonOption,
    RootOption,
    VerboseOption,
    counted,
    given,
    print_json,
    print_table,
    survey_root,
)

_FAILURES_SHOWN = 20
_CATALOGUES = ("name", "state", "rows", "age_d", "reason")


def status(
    context: typer.Context,
    sector: AnySectorOption = None,
    mission: AnyMissionOption = None,
    root: RootOption = None,
    config: ConfigOption = None,
    json: JsonOption = False,
    verbose: VerboseOption = False,
) -> None:
    """Show what a survey holds, and why targets are missing.

    Also which runs are under way, what was deferred, and how old the catalogues are.
    """
    from larun.errors import NotInStore
    from larun.store.reading import products
    from larun.survey.snapshots import states
    from larun.survey.state import survey_state

    settings = given(context, config, root, verbose).settings()
    store = survey_root(settings)
    held = products(store, mission, sector)
    told = survey_state(store, held)
    if not held and (sector is not None or mission is not None or not told["deferred"]):
        wanted = "sector" if sector is None else f"{mission or ''} sector {sector}".strip()
        others = ", ".join(map(str, products(store))) or "nothing"
        raise NotInStore(f"{store.url} holds no {wanted}; it holds {others}. Run `larun ingest` first")
    told["catalogues"] = states(store, settings.catalogues.max_age_days)
    if json:
        print_json(told)
        return
    for found in told["sectors"]:
        _print_sector(found)
    _print_survey(told)


def _print_sector(found: dict[str, Any]) -> None:
    title = f"{found['product']}: {found['recorded_shards']} of {counted(found['shards'], 'shard')} ingested"
    print_table(title, ("status", "targets"), found["status"].items())
    if found["archives"]:
        print_table("delivered by", ("archive", "targets"), found["archives"].items())
    if found["reasons"]:
        rows = [(r["status"], r["targets"], *r["example"].values()) for r in found["reasons"][:_FAILURES_SHOWN]]
        print_table("why targets are not stored", ("status", "targets", "for example", "reason"), rows)
    failures = found["failures"]
    if failures:
        rows = [(f["target"], f["status"], f["reason"]) for f in failures[:_FAILURES_SHOWN]]
        more = f", the first {len(rows)} of {len(failures)}" if len(failures) > len(rows) else ""
        print_table(f"not stored{more}", ("target", "status", "reason"), rows)
    repairable = found["status"]["unreachable"] + found["status"]["corrupt"]
    if repairable:
        typer.echo(f"`larun ingest --repair {_named(found)}` asks again for {repairable} targets")
    if found["unfinished_repairs"]:
        typer.echo(f"repairs that were broken off, or are under way: shards {_listed(found['unfinished_repairs'])}")
    sweep = found["published"]
    if sweep:
        old = "" if found["published_is_current"] else "; the sector was changed since, sweep it again"
        if not old and not found["joined_is_current"]:
            old = f"; earlier sectors changed since, `larun sweep --stitch {_named(found)}` joins them as they are now"
        joined = f", {counted(sweep['n_joined'], 'target')} joined with earlier sectors" if sweep.get("joined") else ""
        found = counted(sweep.get("n_candidates", "?"), "candidate")
        typer.echo(f"published: sweep {sweep['run']}, {found}{joined}{old}")
    else:
        typer.echo("no sweep is published")


def _named(found: dict[str, Any]) -> str:
    """Options that name a sector."""
    return f"--sector {found['sector']}" + ("" if found["mission"] == "tess" else f" --mission {found['mission']}")


def _print_survey(told: dict[str, Any]) -> None:
    for lease in told["leases"]:
        run = f"process {lease['pid']} on {lease['host']}, since {lease['since']}"
        if lease["over"]:
            typer.echo(f"{lease['name']} broke off: {run}, is gone; the next run goes on")
        else:
            typer.echo(f"{lease['name']} is under way: {run}")
    for note in told["deferred"]:
        missing = "" if note["missing_targets"] is None else f", {note['missing_targets']} targets missing"
        last = "" if note["last"] == note["since"] else f", last tried at {note['last']}"
        typer.echo(f"deferred since {note['since']}{last}: {note['work']}{missing}. {note['reason']}")
    kept = [row for row in told["catalogues"] if row["state"] != "absent"]
    if kept:
        rounded = (row | {"age_d": row["age_d"] and round(row["age_d"], 1)} for row in kept)
        print_table("catalogues", _CATALOGUES, ([row[name] for name in _CATALOGUES] for row in rounded))


def _listed(shards: list[int]) -> str:
    shown = ", ".join(map(str, shards[:_FAILURES_SHOWN]))
    return f"{shown} and {len(shards) - _FAILURES_SHOWN} more" if len(shards) > _FAILURES_SHOWN else shown

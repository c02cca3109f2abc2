"""Pages of a published sweep, written below the survey root; plain files that any web server or browser shows."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any

import jinja2
import numpy as np

from larun import candidates as ranking
from larun import paths, vet
from larun.config import Settings, VetSettings
from larun.objects import Root
from larun.paths import Product
from larun.report.plots import EventCurve, candidate_figure
from larun.schema import CANDIDATE_COLUMNS, CLASSES
from larun.search.pipeline import search_shard
from larun.search.stitch import stitch
from larun.store.reading import find_target, read_rows
from larun.store.tables import read_table
from larun.survey.earlier import star_parts
from larun.survey.known import known_objects
from larun.survey.published import choose_published
from larun.units import to_btjd
from larun.views import folding_period

_DIGITS = {"float32": ".5g", "float64": ".10g"}
"""Digits that a value of each type is shown with."""

_NOT_JUDGED = "nothing to judge"


def write_report(
    root: Root,
    settings: Settings,
    product: Product | None = None,
    limit: int = 50,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> str:
    """Write the pages of a published sweep.

    Parameters
    ----------
    root : Root
        Survey root.
    settings : Settings
        Search settings, to detrend the light curves that are shown.
    product : Product, optional
        Which sweep; may be left out if only one is published.
    limit : int
        The best so many candidates get a page of their own.
    progress : callable
        Called with the pages done and their total.

    Returns
    -------
    str
        Where the page of the sector is.

    Raises
    ------
    NotInStore
        Nothing is published.
    InputError
        Several sweeps are published and `product` does not decide.
    """
    product, summary = choose_published(root, product)
    table = read_table(root, paths.run_folder("candidates", product, summary["run"])).sort_by("rank")
    known = known_objects(root, product, summary["run"])
    listing = ranking.listing(table, known.matches, known.not_matched)
    folder = paths.report_folder(product, summary["run"])
    shown = table.slice(0, limit).to_pylist()
    thresholds = _thresholds(root, product, summary["run"])
    for index, row in enumerate(shown):
        progress(index, len(shown))
        _write_candidate(root, settings, thresholds, product, folder, row, listing[index], [len(shown), index])
    page = (
        _templates()
        .get_template("sector.html")
        .render(
            product=product,
            summary=summary,
            candidates=listing,
            pages=len(shown),
            page_name=_page_name,
            anything_known=any(row["known"] for row in listing),
            not_matched=known.not_matched,
        )
    )
    root.write(f"{folder}/index.html", page.encode())
    progress(len(shown), len(shown))
    return root.url_of(f"{folder}/index.html")


def _write_candidate(
    root: Root,
    settings: Settings,
    thresholds: VetSettings,
    product: Product,
    folder: str,
    row: dict[str, Any],
    shown: dict[str, Any],
    place: list[int],
) -> None:
    number = int(row["target"].split()[1])
    shard, _ = read_rows(root, product, np.array([find_target(root, product, number)]))
    logg, search = shard.stars[0].logg, settings.search
    if row["n_sectors"] > 1:
        whole = stitch(star_parts(root, product, row["run"], number, shard, row["sectors"]), search)
        shard, search = whole.shard, whole.settings
    found = search_shard(shard, search)
    secondary_phase = row["secondary_phase"]
    curve = EventCurve(
        time=to_btjd(shard.barycentric_time(0), shard.time_format),
        relative=found.relative[0],
        detrended=found.detrended[0],
        period_d=folding_period(row["period_d"], shard.time),
        t0=row["t0_btjd"],
        duration_h=row["duration_h"],
        depth_ppm=row["depth_ppm"],
        secondary_phase=secondary_phase if np.isfinite(secondary_phase) else 0.5,
    )
    sectors = f", sectors {row['sectors']}" if row["n_sectors"] > 1 else ""
    title = f"{row['target']}, {product}{sectors}{', simulated' if row['simulated'] else ''}"
    name = _page_name(row["rank"])
    root.write(f"{folder}/{name}.png", candidate_figure(curve, title))
    total, position = place
    page = (
        _templates()
        .get_template("candidate.html")
        .render(
            product=product,
            row=shown,
            figure=f"{name}.png",
            probabilities=[(c, shown["probabilities"][c] or 0.0) for c in CLASSES],
            verdicts=_verdicts(row, logg, thresholds),
            parent=_parent(row),
            facts=_facts(row),
            previous=_page_name(position) if position else None,
            following=_page_name(position + 2) if position + 1 < total else None,
        )
    )
    root.write(f"{folder}/{name}.html", page.encode())


def _thresholds(root: Root, product: Product, run: str) -> VetSettings:
    """Thresholds that a sweep was vetted with."""
    used = root.read_json(paths.run_settings(product, run))["settings"]["vet"]
    return VetSettings(**{name: value for name, value in used.items() if name in VetSettings.model_fields})


def _verdicts(row: dict[str, Any], logg: float, thresholds: VetSettings) -> list[dict[str, Any]]:
    """Rows of the vetting table: flags first, then the tests that it passed, then what is not known.

    Of two tests that raise one flag, where only one can be judged, the other is left out.
    """
    said = vet.verdicts(
        row, radius=row["radius"], logg=logg, settings=thresholds, checks=(*vet.CHECKS, *vet.SECTOR_CHECKS)
    )
    rows = [
        {
            "name": verdict.check.flag.name.lower(),
            "value": f"{verdict.value:.3g} {verdict.check.unit}".strip() if np.isfinite(verdict.value) else "",
            "limit": f"{'>' if verdict.check.raised_above else '<'} {verdict.limit:.6g}",
            "verdict": "flagged" if verdict.raised else "passed" if np.isfinite(verdict.value) else _NOT_JUDGED,
            "meaning": verdict.check.meaning,
            "paper": verdict.check.paper,
        }
        for verdict in said
    ]
    judged = {row["name"] for row in rows if row["verdict"] != _NOT_JUDGED}
    shown = [row for row in rows if row["verdict"] != _NOT_JUDGED or row["name"] not in judged]
    return sorted(shown, key=lambda row: ("flagged", "passed", _NOT_JUDGED).index(row["verdict"]))


def _parent(row: dict[str, Any]) -> dict[str, Any] | None:
    """The star whose signal the candidate repeats, if there is one."""
    if row["parent"] is None:
        return None
    return {"name": row["parent"], "arcsec": row["parent_arcsec"], "how": row["parent_how"]}


def _facts(row: dict[str, Any]) -> list[tuple[str, str, str, str]]:
    """Name, value, unit and meaning of every column that is not shown elsewhere on the page."""
    hidden = {"rank", "score", "class", "flags", "target", "status", "reason", *(f"p_{c}" for c in CLASSES)}
    return [
        (c.name, _shown(row[c.name], c.dtype), c.unit or "", c.meaning)
        for c in CANDIDATE_COLUMNS
        if c.name not in hidden
    ]


def _shown(value: Any, dtype: str) -> str:
    if value is None or (isinstance(value, float) and not np.isfinite(value)):
        return "not known"
    if isinstance(value, bool):
        return "yes" if value else "no"
    return f"{value:{_DIGITS[dtype]}}" if dtype in _DIGITS else str(value)


def _page_name(rank: int) -> str:
    return f"candidate-{rank:04d}"


@cache
def _templates() -> jinja2.Environment:
    templates = jinja2.Environment(
        loader=jinja2.PackageLoader("larun.report"), autoescape=True, undefined=jinja2.StrictUndefined
    )
    templates.filters["in_words"] = ranking.in_words
    return templates

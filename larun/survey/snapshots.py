"""Snapshots of catalogues in the store: a table named by its content, and a pointer to the latest, written last.

A pointer is ``catalogues/<name>.json``: query, address, date, hash, rows and columns of the snapshot, and since when
the catalogue could not be had where that is so. Tables stay, because matches name them.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pyarrow as pa

from larun import paths
from larun.catalogue.files import columns_of_file
from larun.catalogue.normalise import content_sha256, normalise, recognise
from larun.catalogue.sources import CATALOGUES, Catalogue, choose
from larun.errors import CatalogueError, InputError, NotInStore, StoreError
from larun.objects import Root
from larun.store.tables import read_table, write_table

log = logging.getLogger(__name__)

Pointer = dict[str, Any]


def pointer(root: Root, name: str) -> Pointer:
    """Pointer of a snapshot; empty where the catalogue was never asked for, only a reason where it is damaged."""
    path = paths.catalogue(name)
    if not root.exists(path):
        return {}
    content = root.read(path)
    try:
        points = {**json.loads(content)}
        if "sha256" in points:
            _when(points["date"])
            paths.catalogue_table(name, points["sha256"])
    except (ValueError, KeyError, TypeError) as error:
        log.info("%s should be the pointer of a snapshot and is not: %r", root.url_of(path), error)
        return {"failed_reason": f"has a damaged pointer, {root.url_of(path)}; run `larun catalogues update`"}
    return points


def save(
    root: Root, name: str, catalogue: Catalogue, columns: Mapping[str, Sequence[Any]], origin: Mapping[str, str]
) -> Pointer:
    """Write a snapshot and then point to it.

    Parameters
    ----------
    root : Root
        Survey root.
    name : str
        Name of the snapshot.
    catalogue : Catalogue
        What it is a snapshot of.
    columns : mapping
        As `larun.catalogue.normalise.normalise` gives them.
    origin : mapping
        Where it comes from: ``query``, ``url``, ``date`` and, of a catalogue of given stars, ``stars``.

    Returns
    -------
    dict
        The pointer. A failure that the former one noted is over.
    """
    sha256 = content_sha256(columns)
    points = {
        **origin,
        "catalogue": catalogue.name,
        "title": catalogue.title,
        "credit": catalogue.credit,
        "sha256": sha256,
        "rows": len(next(iter(columns.values()))),
        "columns": [column.name for column in catalogue.columns],
    }

    def change(former: Pointer) -> Pointer:
        # Here, where no other process changes this pointer, and so none writes the very same table.
        write_table(root, paths.catalogue_table(name, sha256), columns, catalogue.columns)
        return points

    return _change_pointer(root, name, change)


def note_failure(root: Root, name: str, reason: str, date: str) -> Pointer:
    """Note in the pointer that the catalogue could not be had, and since when; the snapshot stays."""

    def change(former: Pointer) -> Pointer:
        return former | {"failed_since": former.get("failed_since", date), "failed_reason": reason}

    return _change_pointer(root, name, change)


def _change_pointer(root: Root, name: str, change: Callable[[Pointer], Pointer]) -> Pointer:
    """Replace a pointer by `change` of it, losing no other process's change; a damaged one counts as none."""
    if pointer(root, name).keys() == {"failed_reason"}:
        root.delete(paths.catalogue(name))
    root.update_json(paths.catalogue(name), change)
    return pointer(root, name)


def load(root: Root, name: str) -> pa.Table:
    """Table of the latest snapshot.

    Raises
    ------
    NotInStore
        There is none.
    CatalogueError
        The table is not what its pointer says, or not what this version of larun keeps of the catalogue.
    """
    points = pointer(root, name)
    if "sha256" not in points:
        raise NotInStore(f"{root.url} holds no snapshot of the catalogue {name}; run `larun catalogues update`")
    path = paths.catalogue_table(name, points["sha256"])
    said = f"run `larun catalogues update {points.get('catalogue', name)}`"
    try:
        table = read_table(root, path)
    except NotInStore:
        raise
    except StoreError as error:
        raise CatalogueError(f"{root.url_of(path)} cannot be read or is damaged ({error}); {said}") from error
    if content_sha256(table.to_pydict()) != points["sha256"]:
        raise CatalogueError(f"{root.url_of(path)} is damaged; {said}")
    columns = next(c.columns for c in CATALOGUES.values() if c.has_snapshot(name))
    if table.column_names != [column.name for column in columns]:
        raise CatalogueError(f"{root.url_of(path)} has the columns of another version of larun; {said}")
    return table


def age_days(points: Pointer, now: str) -> float | None:
    """Age of a snapshot, days; None where there is none."""
    if "date" not in points or "sha256" not in points:
        return None
    return (_when(now) - _when(points["date"])).total_seconds() / 86400.0


def is_old(age: float, max_age_days: float) -> bool:
    """Whether a snapshot is due; one from the future was made by a clock that went wrong, and is."""
    return abs(age) > max_age_days


def _when(date: str) -> datetime:
    """Time that an ISO date says, in UTC where it names no zone."""
    then = datetime.fromisoformat(date)
    return then if then.tzinfo else then.replace(tzinfo=UTC)


def current_time() -> str:
    """Time now, UTC, in whole seconds."""
    return datetime.now(UTC).isoformat(timespec="seconds")


def states(root: Root, max_age_days: float) -> list[dict[str, Any]]:
    """What the store holds of each catalogue.

    Returns
    -------
    list of dict
        Per snapshot, and per catalogue without one: ``name, catalogue, title, state, rows, age_d, date, sha256, query,
        url, reason, credit``; what is not known is None. The state is ``fresh``; ``old``, the next update fetches it;
        ``stale``, it could not be fetched the last time; ``unreachable``, it never could; or ``absent``.
    """
    now = current_time()
    names = [Path(path).stem for path in root.list("catalogues", ".json")]
    rows = []
    for catalogue in CATALOGUES.values():
        for name in list(filter(catalogue.has_snapshot, names)) or [catalogue.name]:
            points = pointer(root, name)
            age = age_days(points, now)
            rows.append(
                {
                    "name": name,
                    "catalogue": catalogue.name,
                    "title": catalogue.title,
                    "state": _state(points, age, max_age_days if not catalogue.stars_per_request else None),
                    "age_d": age,
                    **{key: points.get(key) for key in ("rows", "date", "sha256", "query", "url")},
                    "reason": points.get("failed_reason"),
                    "credit": catalogue.credit,
                }
            )
    return rows


def _state(points: Pointer, age: float | None, max_age_days: float | None) -> str:
    if age is None:
        return "unreachable" if "failed_since" in points else "absent"
    if "failed_since" in points:
        return "stale"
    return "old" if max_age_days is not None and is_old(age, max_age_days) else "fresh"


def import_table(root: Root, path: str, name: str | None = None) -> dict[str, Any]:
    """Take a table from a file as the snapshot of a catalogue.

    Parameters
    ----------
    root : Root
        Survey root.
    path : str
        The pointer of a snapshot below another root, its table beside it; or a table as
        `larun.catalogue.files.columns_of_file` reads it, in the catalogue's own columns. The date of such a file is
        taken for the date of the snapshot.
    name : str, optional
        Which catalogue it is; by default the one whose columns it has.

    Returns
    -------
    dict
        ``name`` and what the pointer says.

    Raises
    ------
    InputError
        The file cannot be read, or it is not clear which catalogue it is.
    CatalogueError
        It is not that catalogue, or its table is not what its pointer says.
    """
    if path.endswith(".json"):
        return _import_pointer(root, Path(path), name)
    raw = columns_of_file(path)
    whole = [c for c in CATALOGUES.values() if not c.stars_per_request]
    if name is None:
        candidates = recognise(raw, whole)
        if len(candidates) != 1:
            said = " or ".join(c.name for c in candidates) or "none"
            raise InputError(
                f"the columns of {path} should be those of one of the catalogues {', '.join(c.name for c in whole)}; "
                f"they are those of {said}. Say which with --name"
            )
        (catalogue,) = candidates
    else:
        (catalogue,) = choose([name])
    if catalogue not in whole:
        raise InputError(f"a snapshot of {catalogue.name} is of given stars: import its .json from another root")
    columns = normalise(catalogue, raw)
    if not columns["object"]:
        raise CatalogueError(f"{path} has no rows that name an object and its place; nothing is imported")
    file = Path(path)
    date = datetime.fromtimestamp(file.stat().st_mtime, UTC).isoformat(timespec="seconds")
    origin = {"query": f"imported from {file.name}", "url": "", "date": date}
    return {"name": catalogue.name} | save(root, catalogue.name, catalogue, columns, origin)


def _import_pointer(root: Root, path: Path, name: str | None) -> dict[str, Any]:
    """Take over the snapshot that a pointer of another root names."""
    try:
        points = json.loads(path.read_text(encoding="utf-8"))
        (catalogue,) = choose([points["catalogue"]])
        table = path.parent / path.stem / Path(paths.catalogue_table(path.stem, points["sha256"])).name
        _when(points["date"])
    except OSError as error:
        raise InputError(f"cannot read {path}: {error.strerror or error}") from error
    except (ValueError, KeyError, TypeError) as error:
        raise CatalogueError(
            f"{path} should be the pointer of a snapshot, with its catalogue, date and sha256"
        ) from error
    if name not in (None, catalogue.name) or not catalogue.has_snapshot(path.stem):
        raise InputError(f"{path} is of the catalogue {catalogue.name}: its name and --name should say so")
    columns = columns_of_file(table)
    if content_sha256(columns) != points["sha256"]:
        raise CatalogueError(f"{table} is not what {path} says: it was altered or cut. Copy the snapshot again")
    if list(columns) != [column.name for column in catalogue.columns]:
        raise CatalogueError(f"{table} has the columns of another version of larun; import the table it was made from")
    origin = {key: points[key] for key in ("query", "url", "date", "stars") if key in points}
    return {"name": path.stem} | save(root, path.stem, catalogue, columns, origin)

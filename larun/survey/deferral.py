"""Notes in the store of work that was deferred: why, since when, and how much is missing.

A note is for people and for `larun status`. What remains is always found from plan and records; a note that is
out of date misleads nobody but its reader, so the run that does the work deletes it.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from datetime import UTC, datetime

from larun import paths
from larun.errors import NotInStore, StoreError
from larun.objects import Root


@dataclass(frozen=True, slots=True)
class Deferral:
    """One kind of work that goes on later.

    Parameters
    ----------
    work : str
        What was deferred: ``nightly``, or the ingest of a product such as ``tess/s0001/spoc-120s``.
    reason : str
        Why, in a sentence or two.
    since, last : str
        When it was deferred for the first time since it last succeeded, and for the last time; UTC, ISO 8601.
    missing_targets, missing_shards : int or None
        What is missing; None where the run could not find out.
    """

    work: str
    reason: str
    since: str
    last: str
    missing_targets: int | None = None
    missing_shards: int | None = None


def note_deferral(
    root: Root, work: str, reason: str, missing_targets: int | None = None, missing_shards: int | None = None
) -> None:
    """Leave a note, in place of an earlier one of the same work, of which it keeps since when."""
    now = datetime.now(UTC).isoformat(timespec="seconds")
    try:
        since = root.read_json(paths.deferral(work)).get("since", now)
    except NotInStore:
        since = now
    root.write_json(paths.deferral(work), asdict(Deferral(work, reason, since, now, missing_targets, missing_shards)))


def clear_deferral(root: Root, work: str) -> None:
    """Take back the note; nothing happens where there is none."""
    if root.exists(paths.deferral(work)):
        root.delete(paths.deferral(work))


def deferrals(root: Root) -> list[Deferral]:
    """All notes, by the name of the work.

    Raises
    ------
    StoreError
        A note cannot be read.
    """
    folder = paths.deferral("").rpartition("/")[0]
    notes = []
    for name in root.list(folder, ".json"):
        try:
            notes.append(Deferral(**root.read_json(name)))
        except TypeError as error:
            raise StoreError(f"{root.url_of(name)} is no note of deferred work: {error}; delete it") from error
    return notes

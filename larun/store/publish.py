"""`published.json`: which run of which sector readers see. It is replaced atomically, after all that it names."""

from __future__ import annotations

from typing import Any

from larun.errors import StoreError
from larun.objects import Root
from larun.paths import PUBLISHED, Product
from larun.schema import SCHEMA_VERSION


def publish(root: Root, product: Product, run: str, summary: dict[str, Any]) -> None:
    """Let readers see a run. Other sectors stay as published, also those that another process publishes meanwhile.

    Parameters
    ----------
    root : Root
        Survey root.
    product : Product
        The sector that the run swept.
    run : str
        Identifier of the run, whose tables are complete.
    summary : dict
        Plain JSON to show with it: counts, digests, paths.

    Raises
    ------
    StoreError
        The root cannot be written, or was published by a later version of larun.
    """

    def change(current: dict[str, Any]) -> dict[str, Any]:
        sectors = _checked(root, current).get("sectors", {})
        return {"schema_version": SCHEMA_VERSION, "sectors": sectors | {str(product): summary | {"run": run}}}

    root.update_json(PUBLISHED, change)


def published(root: Root) -> dict[str, Any]:
    """What readers see: ``sectors`` holds per product (``tess/s0001/spoc-120s``) its ``run`` and the summary.

    Without ``published.json`` there are no sectors.
    """
    if not root.exists(PUBLISHED):
        return {"schema_version": SCHEMA_VERSION, "sectors": {}}
    return _checked(root, root.read_json(PUBLISHED))


def _checked(root: Root, current: dict[str, Any]) -> dict[str, Any]:
    found = current.get("schema_version", SCHEMA_VERSION)
    if found != SCHEMA_VERSION:
        raise StoreError(
            f"{root.url_of(PUBLISHED)} has schema version {found}, this larun knows {SCHEMA_VERSION}; "
            + ("update larun" if found > SCHEMA_VERSION else "use another root, or the larun that wrote it")
        )
    return current

"""The name resolver and MAST's path look-up, two hosts that astroquery has written into its code."""

from __future__ import annotations

import math
import re

from tests.loopback.library import Library

_CATALOGUES = {"tess": "TIC", "kepler": "KIC", "k2": "EPIC"}


def position(library: Library, name: str) -> tuple[float, float] | None:
    """Position of a star by any name that the library knows, degrees."""
    wanted = re.sub(r"[\s_-]+", "", name).lower()
    for known, place in library.names.items():
        if re.sub(r"[\s_-]+", "", known).lower() == wanted:
            return place
    for item in library.held:
        if f"{_CATALOGUES[item.mission]}{item.target_id}".lower() == wanted and math.isfinite(item.ra):
            return item.ra, item.dec
    return None


def resolve(library: Library, query: dict[str, list[str]]) -> dict:
    """Reply of the name resolver to ``?name=...``, once or several times; unknown names are left out."""
    found = []
    for name in query.get("name", []):
        place = position(library, name)
        if place is not None:
            found.append(
                {
                    "searchString": name.lower(),
                    "resolver": "SIMBAD",
                    "cached": True,
                    "resolverTime": 1,
                    "searchRadius": -1.0,
                    "canonicalName": name,
                    "ra": place[0],
                    "decl": place[1],
                    "objectType": "Star",
                }
            )
    return {"resolvedCoordinate": found, "status": ""}


def path_lookup(library: Library, query: dict[str, list[str]]) -> dict:
    """Reply of the path look-up: place in the public bucket of each ``?uri=...``."""
    found = {}
    for uri in query.get("uri", []):
        item = library.by_name.get(uri.rpartition("/")[2])
        known = item is not None and item.uri == uri
        found[uri] = {"status_code": 200, "path": f"/{item.key}"} if known else {"status_code": 404, "path": None}
    return found

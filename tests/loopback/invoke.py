"""MAST's portal as astroquery 0.4.11 speaks to it: `invoke` and `columnsconfig`.

A request is a form with one field, ``request``, of JSON: service, params, page, pagesize. A reply has status, msg,
data (one object per row), fields (names and types in order) and paging.
"""

from __future__ import annotations

import json
from functools import cached_property
from typing import Any
from urllib.parse import parse_qs

from tests.loopback import observations, tic
from tests.loopback.answer import Answer, data_json, page
from tests.loopback.library import Library
from tests.loopback.names import resolve
from tests.loopback.tables import Table

_PAGE_SIZE = 50_000


def service_of(body: bytes) -> str:
    """Service that a request asks for; empty where it cannot be read."""
    try:
        return str(_request(body).get("service", ""))
    except (ValueError, KeyError):
        return ""


def _request(body: bytes) -> dict[str, Any]:
    return json.loads(parse_qs(body.decode())["request"][0])


def columns_config(body: bytes) -> dict[str, Any]:
    """Reply of ``columnsconfig``: what the columns of a service are; nothing for a service that is not known."""
    service = parse_qs(body.decode()).get("colConfigId", [""])[0]
    if service.startswith("Mast.Caom."):
        return observations.COLUMNS_CONFIG
    return tic.COLUMNS_CONFIG if service.startswith("Mast.Catalogs.") else {}


class Portal:
    """The portal of a library.

    Parameters
    ----------
    library : Library
        What is held.
    """

    def __init__(self, library: Library):
        self.library = library

    @cached_property
    def _observations(self) -> Table:
        return observations.observations(self.library)

    @cached_property
    def _products(self) -> Table:
        return observations.products(self.library)

    @cached_property
    def _stars(self) -> Table:
        return tic.stars(self.library)

    def answer(self, body: bytes) -> Answer:
        """Reply to a request."""
        try:
            request = _request(body)
        except (ValueError, KeyError):
            return page(400, "a form with a field `request` of JSON was expected")
        service, params = request["service"], request.get("params", {})
        if service == "Mast.Name.Lookup":
            return data_json(resolve(self.library, {"name": [params["input"]]}))
        if service.startswith("Mast.Catalogs.All."):
            return data_json(tic.ALL)
        table = self._table(service, params)
        if table is None:
            return data_json({"status": "ERROR", "msg": f"Service {service} is not known", "data": []})
        if str(params.get("columns", "*")).startswith("COUNT"):
            table = Table(("Column1:string",), [{"Column1": len(table.rows)}])
        return data_json(_reply(table, int(request.get("page") or 1), int(request.get("pagesize") or _PAGE_SIZE)))

    def _table(self, service: str, params: dict[str, Any]) -> Table | None:
        if service == "Mast.Caom.Products":
            return self._products.among("obsID", params["obsid"].split(","))
        whole = None
        if service.startswith(("Mast.Caom.Filtered", "Mast.Caom.Cone")):
            whole, names = self._observations, ("s_ra", "s_dec", "distance")
        elif service.startswith(("Mast.Catalogs.Filtered.Tic", "Mast.Catalogs.Tic.Cone")):
            whole, names = self._stars, ("ra", "dec", "dstArcSec")
        if whole is None:
            return None
        found = whole.filtered(params.get("filters", []))
        if "position" in params:
            return found.near(*(float(x) for x in params["position"].split(",")), *names)
        if "radius" in params:
            return found.near(*(float(params[name]) for name in ("ra", "dec", "radius")), *names)
        return found


def _reply(table: Table, number: int, size: int) -> dict[str, Any]:
    rows = table.rows[(number - 1) * size : number * size]
    return {
        "status": "COMPLETE",
        "msg": "",
        "data": rows,
        "fields": [dict(zip(("name", "type"), column.split(":"), strict=True)) for column in table.columns],
        "paging": {
            "page": number,
            "pageSize": size,
            "pagesFiltered": max(-(-len(table.rows) // size), 1),
            "rows": len(rows),
            "rowsFiltered": len(table.rows),
            "rowsTotal": len(table.rows),
        },
    }

"""Table services: TAP of the Exoplanet Archive and of VizieR with uploads, and ExoFOP's file of CTOIs.

`tap_routes()` serves a few objects of the small test stars; a test gives `Tables` of its own, and faults by table.
"""

from __future__ import annotations

import asyncio
import re
from dataclasses import dataclass, field
from typing import Any

from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from tests.loopback.adql import BadQuery, Rows, csv_text, error_document, read_votable, run_query, votable

VOTABLE = "application/x-votable+xml"
HTML = "<!DOCTYPE html>\n<html><head><title>Maintenance</title></head><body><h1>We are back soon</h1></body></html>\n"

FAULTS = ("503", "429", "400", "html", "error", "truncated", "overflow", "stall", "empty", "renamed")
"""Faults of a table: status codes; a page in place of the table; the error document of TAP; a document that ends in
the middle; a table that the service cut; half a document and then silence; an empty body; a column of another name."""


@dataclass
class Tables:
    """What the services hold.

    Parameters
    ----------
    tables : mapping
        Rows by name of the table, as ADQL names it: ``toi``, ``pscomppars``, ``J/ApJS/258/16/tess-ebs``,
        ``B/vsx/vsx``; ``ctoi`` is ExoFOP's file.
    faults : dict
        Per table what goes wrong with its next answers, a list that is used up; None is a healthy answer.
    asked : list of dict
        Queries so far: ``path``, ``query``, ``table`` where it was understood, ``uploads``.
    """

    tables: dict[str, Rows]
    faults: dict[str, list[str | None]] = field(default_factory=dict)
    asked: list[dict[str, Any]] = field(default_factory=list)
    default_rows: int | None = None
    """Rows of an answer to a query that sets no MAXREC, as at services that do not say so."""

    def fault(self, table: str) -> str | None:
        """What goes wrong with this answer."""
        waiting = self.faults.get(table)
        return waiting.pop(0) if waiting else None


def sample() -> Tables:
    """Objects of the stars 21 to 28 of the small test sector, whose star n is at RA 80 + n/100, Dec -60."""
    place = {"ra": 80.21, "dec": -60.0}
    return Tables(
        {
            "pscomppars": [
                {"pl_name": "Sample-21 b", "tic_id": "TIC 21", **place, "pl_orbper": 0.9, "pl_orbpererr1": 1e-6,
                 "pl_tranmid": 2458325.7, "pl_trandur": 2.4, "pl_trandep": 0.4},
            ],
            "toi": [
                {"toi": 100.01, "tid": 21, **place, "tfopwg_disp": "CP", "pl_orbper": 0.9, "pl_orbpererr1": 1e-6,
                 "pl_tranmid": 2458325.7, "pl_trandurh": 2.4, "pl_trandep": 4000.0},
                {"toi": 101.01, "tid": 9999, "ra": 10.0, "dec": 5.0, "tfopwg_disp": "FP", "pl_orbper": None,
                 "pl_orbpererr1": None, "pl_tranmid": 2458400.0, "pl_trandurh": None, "pl_trandep": None},
            ],
            "J/ApJS/258/16/tess-ebs": [
                {"TIC": "0000000022", "m_TIC": 1, "RAJ2000": 80.22, "DEJ2000": -60.0, "BJD0": 1325.7, "Per": 2.6,
                 "e_Per": 1e-5, "Morph": 0.2},
            ],
            "B/vsx/vsx": [
                {"OID": 1, "Name": "V0023 Tst", "V": 0, "RAJ2000": 80.2301, "DEJ2000": -60.0, "Type": "RRAB",
                 "Epoch": 2458325.0, "Period": 0.55},
                {"OID": 2, "Name": "V0024 Tst", "V": 2, "RAJ2000": 80.24, "DEJ2000": -60.0, "Type": "CST",
                 "Epoch": None, "Period": None},
            ],
            "ctoi": [
                {"TIC ID": 22, "CTOI": 22.01, "User Disposition": "PC", "RA": 80.22, "Dec": -60.0,
                 "Transit Epoch (BJD)": 2458325.7, "Period (days)": 1.3, "Period (days) Error": None,
                 "Depth ppm": 6000.0, "Duration (hrs)": 2.4},
            ],
        }
    )  # fmt: skip


def tap_routes(tables: Tables | None = None) -> list[Route]:
    """Routes of all table services but MAST's."""
    held = sample() if tables is None else tables

    async def sync(request: Request) -> Response:
        async with request.form() as posted:
            form = posted or request.query_params
            uploads = dict(part.split(",", 1) for part in str(form.get("UPLOAD", "")).split(";") if part)
            parts = {name: await form[place.removeprefix("param:")].read() for name, place in uploads.items()}
            query = str(form.get("QUERY", ""))
        try:
            table, columns, rows = run_query(query, held.tables, {n: read_votable(b) for n, b in parts.items()})
        except BadQuery as error:
            held.asked.append({"path": request.url.path, "query": query, "uploads": list(parts)})
            return Response(error_document(str(error)), 400, media_type=VOTABLE)
        held.asked.append({"path": request.url.path, "query": query, "table": table, "uploads": list(parts)})
        if "MAXREC" not in form:
            rows = rows[: held.default_rows]
        return await answered(held.fault(table), votable(columns, rows), VOTABLE)

    async def ctoi(request: Request) -> Response:
        held.asked.append({"path": request.url.path, "query": str(request.query_params), "table": "ctoi"})
        return await answered(held.fault("ctoi"), csv_text(held.tables.get("ctoi", [])), "text/csv")

    async def availability(request: Request) -> Response:
        return Response(AVAILABLE, media_type="text/xml")

    async def capabilities(request: Request) -> Response:
        return Response(CAPABILITIES.format(url=str(request.url).removesuffix("/capabilities")), media_type="text/xml")

    routes = [Route("/tess/download_ctoi.php", ctoi, methods=["GET"])]
    for base in ("/TAP", "/TAPVizieR/tap"):
        routes += [
            Route(f"{base}/sync", sync, methods=["GET", "POST"]),
            Route(f"{base}/availability", availability),
            Route(f"{base}/capabilities", capabilities),
        ]
    return routes


async def answered(fault: str | None, body: str, kind: str) -> Response:
    """A healthy answer, or what a fault makes of it."""
    if fault in ("503", "429"):
        return PlainTextResponse("try again", int(fault), {"Retry-After": "0"})
    if fault == "400":
        return PlainTextResponse("bad request", 400)
    if fault == "html":
        return Response(HTML, media_type="text/html")
    if fault == "error":
        return Response(error_document("ORA-00942: table or view does not exist"), media_type=VOTABLE)
    if fault == "truncated":
        return Response(body[: len(body) * 2 // 3], media_type=kind)
    if fault == "overflow":
        cut = '<INFO name="QUERY_STATUS" value="OVERFLOW"/>\n</RESOURCE>'
        return Response(body.replace("</RESOURCE>", cut), media_type=kind)
    if fault == "stall":
        await asyncio.sleep(3.0)
    if fault == "empty":
        return Response("", media_type=kind)
    if fault == "renamed":
        return Response(re.sub(r'name="(pl_orbper|Per|Period)"', 'name="renamed"', body), media_type=kind)
    return Response(body, media_type=kind)


AVAILABLE = (
    '<?xml version="1.0" encoding="UTF-8"?>\n<vosi:availability xmlns:vosi="http://www.ivoa.net/xml/VOSIAvailability/'
    'v1.0"><vosi:available>true</vosi:available></vosi:availability>\n'
)

CAPABILITIES = """<?xml version="1.0" encoding="UTF-8"?>
<vosi:capabilities xmlns:vosi="http://www.ivoa.net/xml/VOSICapabilities/v1.0"
 xmlns:vs="http://www.ivoa.net/xml/VODataService/v1.1" xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance">
<capability standardID="ivo://ivoa.net/std/TAP"><interface xsi:type="vs:ParamHTTP" role="std">
<accessURL use="base">{url}</accessURL></interface></capability>
</vosi:capabilities>
"""

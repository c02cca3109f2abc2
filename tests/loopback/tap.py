"""Table services: TAP of the Exoplanet Archive and of VizieR with uploads, ExoFOP's file of CTOIs, the TIC at MAST.

`tap_routes()` serves a few objects of the small test stars; a test gives `Tables` of its own, and faults by table.
ADQL is understood as far as larun asks: ``SELECT columns FROM table [WHERE column = value [AND ...]]`` and a join of
an uploaded table by position. What is not understood, or names a table or column that is not there, gets the error
document of a real service.
"""

from __future__ import annotations

import asyncio
import csv
import io
import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qs
from xml.sax.saxutils import escape, quoteattr

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

Rows = Sequence[Mapping[str, Any]]
VOTABLE = "application/x-votable+xml"
HTML = "<!DOCTYPE html>\n<html><head><title>Maintenance</title></head><body><h1>We are back soon</h1></body></html>\n"

FAULTS = ("503", "429", "400", "html", "error", "truncated", "overflow", "stall", "empty", "reset-type")
"""Faults of a table: status codes; a page in place of the table; the error document of TAP; a document that ends in
the middle; a table that the service cut; half a document and then silence; an empty body; a column of another name."""


@dataclass
class Tables:
    """What the services hold.

    Parameters
    ----------
    tables : mapping
        Rows by name of the table, as ADQL names it: ``toi``, ``pscomppars``, ``J/ApJS/258/16/tess-ebs``,
        ``B/vsx/vsx``; ``ctoi`` is ExoFOP's file and ``tic`` MAST's catalogue.
    faults : dict
        Per table what goes wrong with its next answers, a list that is used up; None is a healthy answer.
    """

    tables: dict[str, Rows]
    faults: dict[str, list[str | None]] = field(default_factory=dict)
    asked: list[dict[str, Any]] = field(default_factory=list)

    def fault(self, table: str) -> str | None:
        """What goes wrong with this answer."""
        waiting = self.faults.get(table)
        return waiting.pop(0) if waiting else None


class BadQuery(Exception):
    """A query that the service does not answer."""


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
        form = await request.form() if request.method == "POST" else request.query_params
        uploads = dict(part.split(",", 1) for part in str(form.get("UPLOAD", "")).split(";") if part)
        parts = {name: await form[place.removeprefix("param:")].read() for name, place in uploads.items()}
        query = str(form.get("QUERY", ""))
        try:
            table, columns, rows = run_query(query, held.tables, {n: read_votable(b) for n, b in parts.items()})
        except BadQuery as error:
            held.asked.append({"path": request.url.path, "query": query, "uploads": list(parts)})
            return Response(error_document(str(error)), 400, media_type=VOTABLE)
        held.asked.append({"path": request.url.path, "query": query, "table": table, "uploads": list(parts)})
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
    if fault == "reset-type":
        return Response(re.sub(r'name="(pl_orbper|Per|Period)"', 'name="renamed"', body), media_type=kind)
    return Response(body, media_type=kind)


_NAME = r'(?:[A-Za-z_]\w*|"[^"]+")'
_SELECT = re.compile(
    rf"\s*select\s+(?P<columns>.+?)\s+from\s+(?P<table>{_NAME}(?:\.{_NAME})?)(?:\s+(?:as\s+)?(?P<alias>{_NAME}))?"
    rf"(?:\s+join\s+(?P<other>{_NAME})\s+as\s+(?P<other_alias>{_NAME})\s+on\s+(?P<on>.+?))?"
    r"(?:\s+where\s+(?P<where>.+?))?\s*",
    re.IGNORECASE | re.DOTALL,
)
_NEAR = re.compile(
    rf"1\s*=\s*CONTAINS\(\s*POINT\('ICRS',\s*(?P<a>{_NAME})\.(?P<a_ra>{_NAME}),\s*{_NAME}\.(?P<a_dec>{_NAME})\),\s*"
    rf"CIRCLE\('ICRS',\s*(?P<b>{_NAME})\.(?P<b_ra>{_NAME}),\s*{_NAME}\.(?P<b_dec>{_NAME}),\s*(?P<radius>[\d.eE+-]+)\)\)",
    re.IGNORECASE,
)
_EQUAL = re.compile(rf"(?P<column>{_NAME})\s*=\s*(?P<value>'[^']*'|[\d.+-]+)")


def run_query(query: str, tables: Mapping[str, Rows], uploads: Mapping[str, Rows]) -> tuple[str, list[str], Rows]:
    """Table, columns and rows that a query asks for."""
    parsed = _SELECT.fullmatch(query)
    if parsed is None:
        raise BadQuery(f"cannot parse: {query[:200]}")
    table, rows = _rows_of(parsed["table"], tables, uploads)
    if parsed["other"]:
        table, other = _rows_of(parsed["other"], tables, uploads)
        rows = _joined(parsed, rows, other)
    for condition in re.split(r"\s+and\s+", parsed["where"], flags=re.IGNORECASE) if parsed["where"] else ():
        equal = _EQUAL.fullmatch(condition.strip())
        if equal is None:
            raise BadQuery(f"cannot parse the condition {condition}")
        column, value = _plain(equal["column"]), equal["value"].strip("'")
        rows = [row for row in rows if _text(row.get(column)) == value]
    held = list(tables[table][0]) if tables[table] else []
    wanted = held if parsed["columns"].strip() == "*" else [_plain(c) for c in parsed["columns"].split(",")]
    missing = [column for column in wanted if held and column not in held]
    if missing:
        raise BadQuery(f'column "{missing[0]}" not found in {table}')
    return table, wanted, [{column: row[column] for column in wanted} for row in rows]


def _rows_of(name: str, tables: Mapping[str, Rows], uploads: Mapping[str, Rows]) -> tuple[str, Rows]:
    prefix, _, rest = name.partition(".")
    if prefix.upper() == "TAP_UPLOAD":
        if rest not in uploads:
            raise BadQuery(f"no table {name} was uploaded")
        return name, uploads[rest]
    plain = name.strip('"')
    if plain not in tables:
        raise BadQuery(f'table "{plain}" not found')
    return plain, tables[plain]


def _joined(parsed: re.Match, left: Rows, right: Rows) -> list[Mapping[str, Any]]:
    """Rows of the second table that are near a row of the first, once per pair."""
    from astropy.coordinates import SkyCoord

    near = _NEAR.fullmatch(parsed["on"].strip())
    if near is None or {near["a"], near["b"]} != {parsed["alias"], parsed["other_alias"]}:
        raise BadQuery(f"cannot parse the join {parsed['on']}")
    point = (_plain(near["a_ra"]), _plain(near["a_dec"]))
    circle = (_plain(near["b_ra"]), _plain(near["b_dec"]))
    places = {near["a"]: point, near["b"]: circle}
    found = []
    for star in left:
        for row in right:
            ours, theirs = places[parsed["alias"]], places[parsed["other_alias"]]
            a = SkyCoord(float(star[ours[0]]), float(star[ours[1]]), unit="deg")
            b = SkyCoord(float(row[theirs[0]]), float(row[theirs[1]]), unit="deg")
            if a.separation(b).deg <= float(near["radius"]):
                found.append(row)
    return found


def _plain(name: str) -> str:
    """Column without its table and its quotes."""
    return name.strip().rpartition(".")[2].strip('"')


def _text(value: Any) -> str:
    return f"{value:g}" if isinstance(value, float) else str(value)


def votable(columns: Iterable[str], rows: Rows) -> str:
    """VOTable as TAP services send it: TABLEDATA, missing values as empty cells."""
    columns = list(columns)
    fields = []
    for column in columns:
        values = [row[column] for row in rows if row[column] is not None]
        if all(isinstance(value, int) for value in values) and values:
            kind = 'datatype="long"'
        elif all(isinstance(value, int | float) for value in values) and values:
            kind = 'datatype="double"'
        else:
            kind = 'datatype="char" arraysize="*"'
        fields.append(f"<FIELD name={quoteattr(column)} {kind}/>")
    lines = [
        "<TR>" + "".join(f"<TD>{'' if row[c] is None else escape(str(row[c]))}</TD>" for c in columns) + "</TR>"
        for row in rows
    ]
    return "\n".join(
        [
            '<?xml version="1.0" encoding="UTF-8"?>',
            '<VOTABLE version="1.4" xmlns="http://www.ivoa.net/xml/VOTable/v1.3">',
            '<RESOURCE type="results">',
            '<INFO name="QUERY_STATUS" value="OK"/>',
            "<TABLE>",
            *fields,
            "<DATA><TABLEDATA>",
            *lines,
            "</TABLEDATA></DATA>",
            "</TABLE>",
            "</RESOURCE>",
            "</VOTABLE>",
            "",
        ]
    )


def error_document(message: str) -> str:
    """What TAP answers to a query that fails."""
    return (
        '<?xml version="1.0" encoding="UTF-8"?>\n'
        '<VOTABLE version="1.4" xmlns="http://www.ivoa.net/xml/VOTable/v1.3">\n<RESOURCE type="results">\n'
        f'<INFO name="QUERY_STATUS" value="ERROR">{escape(message)}</INFO>\n</RESOURCE>\n</VOTABLE>\n'
    )


def read_votable(content: bytes) -> Rows:
    """Rows of an uploaded VOTable."""
    from astropy.table import Table

    table = Table.read(io.BytesIO(content), format="votable")
    return [dict(zip(table.colnames, row, strict=True)) for row in table.iterrows()]


def csv_text(rows: Rows) -> str:
    """CSV as ExoFOP sends it."""
    out = io.StringIO()
    if rows:
        writer = csv.DictWriter(out, list(rows[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
    return out.getvalue()


TIC_COLUMNS = {
    "ID": "string", "ra": "float", "dec": "float", "Tmag": "float", "Teff": "float", "e_Teff": "float",
    "logg": "float", "rad": "float", "e_rad": "float", "mass": "float", "e_mass": "float", "rho": "float",
    "contratio": "float", "lumclass": "string", "disposition": "string",
}  # fmt: skip
"""Columns of the TIC that are served, and MAST's types of them."""


def tic_answer(body: bytes, stars: Rows) -> dict[str, Any]:
    """MAST's answer to a request for the TIC, as astroquery makes it; None for any other service.

    Parameters
    ----------
    body : bytes
        Of the POST to `invoke`.
    stars : sequence of mapping
        Rows with columns of `TIC_COLUMNS`; what a row lacks is null.
    """
    request = json.loads(parse_qs(body.decode())["request"][0])
    if request["service"] == "Mast.Catalogs.All.Tic":
        histograms = {"discreteHistogram": {}, "continuousHistogram": {}}
        return {"status": "COMPLETE", "data": {"Tables": [{"ExtendedProperties": histograms}]}}
    if request["service"] != "Mast.Catalogs.Filtered.Tic.Rows":
        return {"status": "ERROR", "msg": f"there is no service {request['service']}"}
    (wanted,) = (set(map(str, f["values"])) for f in request["params"]["filters"] if f["paramName"] == "ID")
    rows = [{name: row.get(name) for name in TIC_COLUMNS} for row in stars if str(row["ID"]) in wanted]
    paging = {"page": 1, "pageSize": request["pagesize"], "pagesFiltered": 1, "rows": len(rows)}
    fields = [{"name": name, "type": kind} for name, kind in TIC_COLUMNS.items()]
    return {"status": "COMPLETE", "msg": "", "data": rows, "fields": fields, "paging": paging}


def tic_routes(tables: Tables) -> list[Route]:
    """MAST's face with the TIC alone."""

    async def invoke(request: Request) -> Response:
        body = await request.body()
        held = json.dumps(tic_answer(body, tables.tables.get("tic", [])))
        service = json.loads(parse_qs(body.decode())["request"][0])["service"]
        tables.asked.append({"path": request.url.path, "table": "tic", "service": service})
        fault = tables.fault("tic") if service.endswith("Rows") else None
        if fault == "executing":
            return Response('{"status": "EXECUTING", "msg": ""}', media_type="application/json")
        if fault == "error":
            return Response('{"status": "ERROR", "msg": "timed out"}', media_type="application/json")
        return await answered(fault, held, "application/json")

    async def columns_config(request: Request) -> Response:
        return Response(json.dumps({name: {"text": name} for name in TIC_COLUMNS}), media_type="application/json")

    return [
        Route("/api/v0/invoke", invoke, methods=["POST"]),
        Route("/portal/Mashup/Mashup.asmx/columnsconfig", columns_config, methods=["POST"]),
    ]


def application(tables: Tables) -> Starlette:
    """All of it as one application, for tests that need no archive beside it."""
    return Starlette(routes=[*tap_routes(tables), *tic_routes(tables)])


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

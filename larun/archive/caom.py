"""MAST's catalogue of observations, asked for a whole sector at once."""

from __future__ import annotations

import json
import logging
import re
import time
from urllib.parse import quote

import numpy as np

from larun.archive.http import Client
from larun.config import ArchiveSettings
from larun.errors import ProductUnreachable
from larun.lightcurve import Star
from larun.paths import Product

log = logging.getLogger(__name__)

PAGE_ROWS = 50_000

_MOST_PAGES = 100

POLL_S = 1.0
_COLUMNS = "obs_id,target_name,s_ra,s_dec,t_exptime,dataURL"
_COLLECTIONS = {"spoc": ("TESS", "SPOC"), "tess-spoc": ("HLSP", "TESS-SPOC"), "qlp": ("HLSP", "QLP")}
"""Collection and provenance of a pipeline in the catalogue."""


def caom_rows(client: Client, settings: ArchiveSettings, product: Product) -> list[tuple[Star, str]]:
    """Stars of a product with position, and the name of a file of each.

    Raises
    ------
    ProductUnreachable
        MAST answered with an error, or with something else than rows.
    ArchiveError
        As `Client.post`.
    """
    collection, provenance = _COLLECTIONS[product.author]
    filters = {
        "obs_collection": [collection],
        "provenance_name": [provenance],
        "sequence_number": [product.sector],
        "dataproduct_type": ["timeseries"],
    }
    params = {
        "columns": _COLUMNS,
        "filters": [{"paramName": name, "values": values} for name, values in filters.items()],
    }
    rows = invoke(client, settings, "Mast.Caom.Filtered", params)
    found = []
    for row in rows:
        number = re.fullmatch(r"(?:TIC\s*)?(\d{1,16})", str(row.get("target_name", "")))
        file = str(row.get("dataURL") or row.get("obs_id") or "").rpartition("/")[2]
        fast = "fast" in str(row.get("obs_id"))
        if number is None or not file or fast != (product.cadence_s == 20):
            continue
        found.append((Star(int(number[1]), _number(row.get("s_ra")), _number(row.get("s_dec"))), file))
    return found


def invoke(client: Client, settings: ArchiveSettings, service: str, params: dict) -> list[dict]:
    """All rows of a query of MAST.

    Parameters
    ----------
    client : Client
        MAST.
    settings : ArchiveSettings
        Where MAST is, and how often a failed query is made again.
    service : str
        Name of the query, such as ``Mast.Caom.Filtered``.
    params : dict
        Its parameters.

    Raises
    ------
    ProductUnreachable
        MAST answered with an error, or with something else than rows.
    ArchiveError
        As `Client.post`.
    """
    rows: list[dict] = []
    page = 1
    while True:
        reply = _page(client, settings, service, params, page)
        came = reply["data"]
        rows += [row for row in came if isinstance(row, dict)]
        paging = reply.get("paging")
        total = paging.get("rowsFiltered") if isinstance(paging, dict) else None
        complete = len(rows) >= total if isinstance(total, int) else len(came) < PAGE_ROWS
        if complete or not came or page == _MOST_PAGES:
            return rows
        page += 1


def _page(client: Client, settings: ArchiveSettings, service: str, params: dict, page: int) -> dict:
    """One page, asked for until it is complete; an error is asked for again as often as a product."""
    url = f"{settings.mast_url.rstrip('/')}/api/v0/invoke"
    request = {"service": service, "params": params, "format": "json", "pagesize": PAGE_ROWS, "page": page}
    body = f"request={quote(json.dumps(request))}".encode()
    errors = 0
    give_up = time.monotonic() + settings.patience_s
    while True:
        answer = client.post(url, body, {"Accept": "application/json"})
        try:
            reply = json.loads(answer.data)
            status = reply["status"]
            if status == "COMPLETE" and isinstance(reply["data"], list):
                return reply
            came = f"ends as {status}: {str(reply.get('msg', ''))[:200]}"
        except (ValueError, TypeError, KeyError, AttributeError):
            status, came = "", f"should answer in JSON, not {answer.data[:60]!r}"
        errors += status != "EXECUTING"
        if errors >= settings.attempts or time.monotonic() > give_up:
            raise ProductUnreachable(f"{answer.url}: {service} {came}")
        time.sleep(POLL_S)


def _number(value: object) -> float:
    return float(value) if isinstance(value, int | float) and not isinstance(value, bool) else np.nan

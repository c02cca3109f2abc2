"""The services of catalogues alone, in a thread of the test's own process, where a test can change what they hold."""

from __future__ import annotations

import json
import math
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from larun.config import Settings, load
from tests.loopback import Held, Library
from tests.loopback.invoke import Portal, columns_config, service_of
from tests.loopback.tap import Tables, answered, sample, tap_routes


@dataclass
class Services:
    """What the services hold, and what goes wrong with them.

    Parameters
    ----------
    tables : Tables
        Of the table services; faults of the TIC are those of the table ``tic``.
    stars : Library
        Stars of the TIC.
    """

    tables: Tables = field(default_factory=sample)
    stars: Library = field(default_factory=lambda: Library(()))

    def reset(self) -> None:
        """Hold what they held at first, with no faults."""
        fresh = sample()
        self.tables.tables, self.tables.faults, self.tables.asked = fresh.tables, {}, []
        self.tables.default_rows = None
        self.stars = Library(())

    def application(self) -> Starlette:
        """All services."""
        mast = [
            Route("/api/v0/invoke", self._invoke, methods=["POST"]),
            Route("/portal/Mashup/Mashup.asmx/columnsconfig", self._columns_config, methods=["POST"]),
        ]
        return Starlette(routes=[*tap_routes(self.tables), *mast])

    async def _invoke(self, request: Request) -> Response:
        body = await request.body()
        service = service_of(body)
        self.tables.asked.append({"path": request.url.path, "query": service, "table": "tic"})
        fault = self.tables.fault("tic") if service.endswith("Rows") else None
        if fault in ("executing", "error"):
            said = {"status": fault.upper(), "msg": "timed out", "data": []}
            return Response(json.dumps(said), media_type="application/json")
        content = b"".join(bytes(piece) for piece in Portal(self.stars).answer(body).pieces)
        return await answered(fault, content.decode(), "application/json")

    async def _columns_config(self, request: Request) -> Response:
        return Response(json.dumps(columns_config(await request.body())), media_type="application/json")


def star(tic: int, **values) -> Held:
    """One star of the TIC, beside no product."""
    common = {"ra": 80.0, "dec": -60.0, "magnitude": 9.0, "teff": 5800.0, "logg": 4.4, "radius": 1.0}
    product = {"name": f"{tic}", "mission": "tess", "author": "spoc", "sector": 1, "exposure_s": 120.0, "size": 0}
    return Held(target_id=tic, start_mjd=math.nan, stop_mjd=math.nan, content=b"", **product, **common | values)


@contextmanager
def serving(app) -> Iterator[str]:
    """URL of an application that is served meanwhile."""
    server = uvicorn.Server(uvicorn.Config(app, "127.0.0.1", 0, log_config=None, lifespan="off"))
    thread = threading.Thread(target=server.run)
    thread.start()
    while not server.started:
        time.sleep(0.01)
    try:
        yield f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}"
    finally:
        server.should_exit = server.force_exit = True
        thread.join()


def settings_for(url: str, **sections) -> Settings:
    """Settings that lead to the services at a URL, with short waits."""
    values = {
        "archives": {"mast_url": url, "connect_timeout_s": 2.0, "read_timeout_s": 1.0, "backoff_s": 0.01},
        "catalogues": {
            "exoplanet_archive_url": f"{url}/TAP",
            "vizier_url": f"{url}/TAPVizieR/tap",
            "exofop_url": url,
        },
    }
    return load(**{name: values.get(name, {}) | sections.get(name, {}) for name in values | sections})

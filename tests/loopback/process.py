"""The server's process: `python -m tests.loopback.process SPECIFICATION`."""

from __future__ import annotations

import asyncio
import os
import pickle
import sys
import time
from pathlib import Path

import uvicorn
from starlette.applications import Starlette

from tests.loopback import log
from tests.loopback.app import Archive
from tests.loopback.connections import Connection, Connections
from tests.loopback.port import bound
from tests.loopback.tap import tap_routes

_ACCEPTING_S = 0.02
"""Time for connections that are being accepted; one whose door closes meanwhile would hang for ever."""


class Server(uvicorn.Server):
    """A server that says when it serves, dies with its parent, and can close its door for a while.

    Parameters
    ----------
    config : uvicorn.Config
        Of the application.
    archive : Archive
        The application.
    port : int
        Where it listens.
    """

    def __init__(self, config: uvicorn.Config, archive: Archive, port: int):
        super().__init__(config)
        self.archive, self.port = archive, port

    async def startup(self, sockets=None):
        """Begin to serve, and say so."""
        await super().startup(sockets)
        self.archive.started = self.archive.started or time.time()
        self.archive.log.write("up")
        asyncio.get_running_loop().add_reader(0, self._read_parent)
        self._doors = [
            asyncio.create_task(self._close_for(outage))
            for outage in self.archive.course.faults.outages
            if outage.kind == "refused"
        ]
        sys.stdout.write("serving\n")
        sys.stdout.flush()

    def _read_parent(self) -> None:
        """Orders of the test: new faults, pickled; its end is ours."""
        length = int.from_bytes(_exactly(8), "big")
        self.archive.set_faults(pickle.loads(_exactly(length)))
        sys.stdout.write("done\n")
        sys.stdout.flush()

    async def _close_for(self, outage) -> None:
        loop, started = asyncio.get_running_loop(), self.archive.started
        await asyncio.sleep(max(started + outage.start_s - time.time(), 0))
        for server in self.servers:
            for sock in server.sockets:
                loop.remove_reader(sock.fileno())
        await asyncio.sleep(_ACCEPTING_S)
        for server in self.servers:
            server.close()
        self.archive.connections.reset_all()
        await asyncio.sleep(max(started + outage.stop_s - time.time(), 0))

        def protocol() -> Connection:
            return Connection(config=self.config, server_state=self.server_state, app_state={}, _loop=loop)

        self.servers = [await loop.create_server(protocol, sock=bound(self.port), backlog=self.config.backlog)]


def _exactly(count: int) -> bytes:
    """Bytes from the test; ends the process where there are no more."""
    data = b""
    while len(data) < count:
        more = os.read(0, count - len(data))
        if not more:
            os._exit(0)
        data += more
    return data


def main(specification: str) -> None:
    """Serve until the parent ends."""
    spec = pickle.loads(Path(specification).read_bytes())
    before = log.events(spec["log"])
    writer = log.Log(spec["log"])
    connections = Connections(writer, sum(event["event"] == "open" for event in before))
    Connection.all = connections
    archive = Archive(
        spec["library"],
        spec["faults"],
        writer,
        connections,
        recorded=spec["recorded"],
        latency_s=spec["latency_s"],
        started=next((event["time"] for event in before if event["event"] == "up"), 0.0),
        first_request=sum(event["event"] == "begin" for event in before),
        catalogues=Starlette(routes=tap_routes(spec["tables"])),
    )
    archive.course.replay([event for event in before if event["event"] == "begin"])
    config = uvicorn.Config(
        archive,
        http=Connection,
        loop="asyncio",
        lifespan="off",
        ws="none",
        log_config=None,
        log_level="critical",
        access_log=False,
        server_header=False,
        proxy_headers=False,
        timeout_keep_alive=60,
    )
    Server(config, archive, spec["port"]).run([bound(spec["port"])])


if __name__ == "__main__":
    main(sys.argv[1])

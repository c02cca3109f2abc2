"""Connections of the server: their numbers, their beginning and end in the log, and their sockets."""

from __future__ import annotations

import select
import socket
import struct

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol

from tests.loopback.log import Log

_SEND_BUFFER = 1 << 22
"""Room for a whole file of the mission, so that it is one call to the kernel."""
_GONE = select.POLLRDHUP | select.POLLHUP | select.POLLERR


class Connections:
    """Open connections.

    Parameters
    ----------
    log : Log
        Where they are written down.
    first : int
        Number of the first one of this life of the server.
    """

    def __init__(self, log: Log, first: int = 0):
        self._log, self._next = log, first
        self._open: dict[tuple[str, int], Connection] = {}

    def of(self, scope) -> Connection:
        """Connection of a request."""
        return self._open[tuple(scope["client"])]

    def opened(self, connection: Connection) -> None:
        """Write down a new connection, after those that their clients have closed already."""
        self._sweep()
        connection.number, connection.written = self._next, True
        self._next += 1
        self._open[connection.client] = connection
        self._log.write("open", connection=connection.number)

    def closed(self, connection: Connection) -> None:
        """Write down the end of a connection, once."""
        if connection.written:
            connection.written = False
            self._log.write("shut", connection=connection.number)
        if self._open.get(connection.client) is connection:
            del self._open[connection.client]

    def reset_all(self) -> None:
        """Reset every connection."""
        for connection in list(self._open.values()):
            connection.reset()

    def _sweep(self) -> None:
        """Write down the end of connections that the client has closed and the event loop has not seen yet.

        Else a client that closes one and then opens one would be seen with one too many.
        """
        poll, by_file = select.poll(), {}
        for connection in self._open.values():
            file = connection.transport.get_extra_info("socket").fileno()
            if file >= 0 and connection.written:
                by_file[file] = connection
                poll.register(file, _GONE)
        for file, event in poll.poll(0):
            if event & _GONE:
                connection = by_file[file]
                connection.written = False
                self._log.write("shut", connection=connection.number)


class Connection(H11Protocol):
    """One connection, counted."""

    all: Connections
    number = -1
    written = False

    def connection_made(self, transport):
        """Count it."""
        super().connection_made(transport)
        transport.set_write_buffer_limits(0)
        sock = transport.get_extra_info("socket")
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _SEND_BUFFER)
        self.all.opened(self)

    def connection_lost(self, exc):
        """Count it no more."""
        self.all.closed(self)
        super().connection_lost(exc)

    async def send_part(self, part: memoryview) -> None:
        """Send a part of a body without a copy, and wait until it is with the kernel; nothing to a client that left."""
        if self.transport.is_closing() or self.conn.our_state is not h11.SEND_BODY:
            return
        for data in self.conn.send_with_data_passthrough(h11.Data(data=part)):
            self.transport.write(data)
        while self.flow.write_paused and not self.transport.is_closing():
            await self.flow.drain()

    def reset(self):
        """End it with RST instead of FIN."""
        sock = self.transport.get_extra_info("socket")
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.transport.abort()

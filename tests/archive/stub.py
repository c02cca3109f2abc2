"""A server that answers with bytes of the test's own, for what no archive on loopback should do."""

from __future__ import annotations

import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterable


class Stub:
    """A server on 127.0.0.1 in threads; a context manager.

    Parameters
    ----------
    answer : callable
        Takes the head of a request, gives the pieces to send; seconds between two pieces are numbers among them.
        After the pieces the connection stays open, unless the last is None.
    tls : ssl.SSLContext, optional
        Speak TLS.
    host : str
        Address of this machine to listen at.
    """

    def __init__(
        self,
        answer: Callable[[str], Iterable[bytes | float | None]],
        tls: ssl.SSLContext | None = None,
        host: str = "127.0.0.1",
    ):
        self._answer = answer
        self._host = host
        self._tls = tls
        self.heads: list[str] = []
        self.open_now = 0
        self.most_open = 0
        self._lock = threading.Lock()
        self._connections: list[socket.socket] = []

    def __enter__(self) -> Stub:
        self._listener = socket.create_server(
            (self._host, 0), family=socket.AF_INET6 if ":" in self._host else socket.AF_INET
        )
        self.port = self._listener.getsockname()[1]
        scheme = "https" if self._tls else "http"
        self.url = f"{scheme}://{f'[{self._host}]' if ':' in self._host else self._host}:{self.port}"
        threading.Thread(target=self._accept, daemon=True).start()
        return self

    def __exit__(self, *_) -> None:
        self._listener.close()
        with self._lock:
            for connection in self._connections:
                connection.close()

    def _accept(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            with self._lock:
                self._connections.append(connection)
                self.open_now += 1
                self.most_open = max(self.most_open, self.open_now)
            threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, connection: socket.socket) -> None:
        try:
            if self._tls:
                connection = self._tls.wrap_socket(connection, server_side=True)
            self._talk(connection)
        except (OSError, ValueError):
            pass
        finally:
            with self._lock:
                self.open_now -= 1
            connection.close()

    def _talk(self, connection: socket.socket) -> None:
        buffer = b""
        while True:
            while b"\r\n\r\n" not in buffer:
                came = connection.recv(65536)
                if not came:
                    return
                buffer += came
            head, _, buffer = buffer.partition(b"\r\n\r\n")
            self.heads.append(head.decode())
            for piece in self._answer(head.decode()):
                if piece is None:
                    return
                if isinstance(piece, bytes):
                    connection.sendall(piece)
                else:
                    time.sleep(piece)


def reply(status: int, body: bytes = b"", *headers: str) -> bytes:
    """A whole answer."""
    fields = "".join(f"{header}\r\n" for header in headers)
    return f"HTTP/1.1 {status} X\r\nContent-Length: {len(body)}\r\n{fields}\r\n".encode() + body

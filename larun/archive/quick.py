"""GET over an HTTP/1.1 connection that is open: answers of known length, read without the machinery of a library.

urllib3 opens connections, with names, TLS and proxies, and reads every answer that is unusual in any way. Its ways, and
those of the standard library under it, cost as much per light curve as the kernel takes to hand over its 2 MB.
"""

from __future__ import annotations

import http.client
import io
import re
import select
import socket
from collections.abc import Mapping
from typing import NamedTuple

import urllib3
from urllib3 import exceptions as wrong

_NAME = r"[!#$%&'*+.^_`|~0-9A-Za-z-]+"
_FIELD = re.compile(rf"({_NAME}):[ \t]*([^\r\n]*?)[ \t]*\r\n")
_HEAD = re.compile(rf"HTTP/1\.1 ([2-5]\d\d)[ \r][^\n]*\n((?:{_NAME}:[^\r\n]*\r\n){{0,64}})\r\n", re.ASCII)
_WITHOUT_BODY = (204, 304)
_LONGEST_HEAD = 8192
_END = b"\r\n\r\n"
_UNUSUAL = frozenset({"transfer-encoding", "content-encoding"})
"""Header fields of answers that are left to urllib3."""

_FOLD = re.compile(r"\r?\n[ \t]+")
_URL = re.compile(r"[a-z]+://(?:[^/?#]*@)?(?P<place>[!\"$-.0->A-~]+)(?P<target>(?:[/?][!\"$-~]*)?)(?:#.*)?")


def request_of(url: str, headers: Mapping[str, str]) -> bytes | None:
    """Bytes that ask for a URL; None where it needs encoding first."""
    found = _URL.fullmatch(url)
    if found is None:
        return None
    target = found["target"] if found["target"].startswith("/") else f"/{found['target']}"
    lines = [f"GET {target} HTTP/1.1", f"Host: {found['place']}", "Accept-Encoding: identity"]
    lines += [f"{name}: {value}" for name, value in headers.items()]
    return "\r\n".join([*lines, "", ""]).encode("latin-1")


class Plain:
    """A usual answer: status, headers and the whole body.

    Parameters
    ----------
    status : int
        HTTP status.
    headers : dict
        Header fields, names in lower case.
    data : bytes
        The body, as long as was announced.
    """

    def __init__(self, status: int, headers: dict[str, str], data: bytes):
        self.status, self.headers, self.data = status, headers, data


class Channel:
    """A connection that urllib3 opened, over which requests are made one after the other.

    Parameters
    ----------
    connection : HTTPConnection
        Open, and nothing is under way on it.
    silence_s : float
        Longest wait for the next bytes.
    """

    def __init__(self, connection: urllib3.connection.HTTPConnection, silence_s: float):
        self._connection = connection
        self._socket = connection.sock
        self._socket.settimeout(silence_s)
        self._came = select.poll()
        self._came.register(self._socket, select.POLLIN)

    @property
    def is_ready(self) -> bool:
        """Whether it is open, and nothing came that nobody asked for, as the end of the connection is."""
        return self._connection.sock is self._socket and not self._came.poll(0)

    def close(self) -> None:
        """Close the connection."""
        self._connection.close()

    def ask(self, request: bytes, most_bytes: int) -> Plain | urllib3.BaseHTTPResponse:
        """Send a request; a usual answer, or one that urllib3 has begun to read.

        After an answer that urllib3 reads, or an error, the channel must be closed.

        Parameters
        ----------
        request : bytes
            From `request_of`.
        most_bytes : int
            A longer answer is left to urllib3.

        Raises
        ------
        urllib3.exceptions.ProtocolError
            The answer broke off, or is none.
        OSError
            The connection broke, or nothing came for too long.
        """
        self._socket.sendall(request)
        try:
            came = self._socket.recv(_LONGEST_HEAD)
            while _END not in came and len(came) < _LONGEST_HEAD and (more := self._socket.recv(_LONGEST_HEAD)):
                came += more
            head = _head(came[: came.find(_END) + len(_END)])
            if head is None or head.length > most_bytes:
                return _left_to_urllib3(_Replayed(came, self._socket))
            # What came beyond the end of this answer is none of the next one.
            data = _body(_Replayed(came[head.size :], self._socket), head.length)
        except http.client.HTTPException as error:
            raise wrong.ProtocolError(f"Connection broken: {error!r}", error) from error
        return Plain(head.status, head.fields, data)


class _Head(NamedTuple):
    """Beginning of a usual answer: its own length and that of the body, status, and fields with names in lower case."""

    size: int
    length: int
    status: int
    fields: dict[str, str]


def _head(came: bytes) -> _Head | None:
    """Head that these bytes begin with; None where they lack some of it, or it is unusual in any way."""
    found = _HEAD.match(came.decode("latin-1"))
    if found is None:
        return None
    fields = _FIELD.findall(found[2])
    by_name = {name.lower(): value for name, value in fields}
    status, length = int(found[1]), by_name.get("content-length", "")
    if status in _WITHOUT_BODY or not length.isdecimal() or len(by_name) < len(fields):
        return None
    if not _UNUSUAL.isdisjoint(by_name) or by_name.get("connection", "keep-alive").lower() != "keep-alive":
        return None
    return _Head(found.end(), int(length), status, by_name)


def _body(stream: _Replayed, length: int) -> bytes:
    # Without a buffer, in which the last kilobytes would need another turn.
    data = io.BufferedReader(stream, 1).read(length)
    if len(data) < length:
        raise http.client.IncompleteRead(data, length - len(data))
    return data


def _left_to_urllib3(stream: _Replayed) -> urllib3.BaseHTTPResponse:
    """Answer from its beginning."""
    answer = http.client.HTTPResponse(stream, method="GET")
    answer.begin()
    return urllib3.HTTPResponse(
        body=answer,
        headers=urllib3.HTTPHeaderDict((name, _FOLD.sub(" ", value)) for name, value in answer.msg.items()),
        status=answer.status,
        version=answer.version,
        reason=answer.reason,
        preload_content=False,
        original_response=answer,
        request_method="GET",
    )


class _Replayed(io.RawIOBase):
    """Bytes of a socket, some of which were read already; by nothing but its own method.

    What `socket.makefile` gives adds four functions to it.
    """

    def __init__(self, said: bytes, connected: socket.socket):
        self._said, self._receive = io.BytesIO(said), connected.recv_into

    def makefile(self, mode: str) -> io.BufferedReader:
        """As of a socket."""
        return io.BufferedReader(self)

    def readable(self) -> bool:
        """As every stream that is read."""
        return True

    def readinto(self, place) -> int:
        """As of a socket."""
        return self._said.readinto(place) or self._receive(place)

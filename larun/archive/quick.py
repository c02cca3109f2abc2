"""GET over an HTTP/1.1 connection that is open: answers of known length, read without the machinery of a library.

urllib3 opens connections, with names, TLS and proxies, and reads every answer that is unusual in any way. Its ways, and
those of the standard library under it, cost as much per light curve as the kernel takes to hand over its 2 MB.
"""

from __future__ import annotations

import http.client
import io
import re
from collections.abc import Mapping

import urllib3
from urllib3 import exceptions as wrong

_STATUS = re.compile(rb"HTTP/1\.1 ([2-5]\d\d)[ \r].*\n", re.DOTALL)
_HEADER = re.compile(rb"([!#$%&'*+.^_`|~0-9A-Za-z-]+):[ \t]*([^\r\n]*?)[ \t]*\r\n")
_WITHOUT_BODY = (204, 304)
_LONGEST_LINE = 8192
_MOST_HEADERS = 64
_UNUSUAL = frozenset({b"transfer-encoding", b"content-encoding"})
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
    headers : urllib3.HTTPHeaderDict
        Header fields.
    data : bytes
        The body, as long as was announced.
    """

    def __init__(self, status: int, headers: urllib3.HTTPHeaderDict, data: bytes):
        self.status, self.headers, self.data = status, headers, data


def ask(
    connection: urllib3.connection.HTTPConnection, request: bytes, silence_s: float, most_bytes: int
) -> Plain | urllib3.BaseHTTPResponse:
    """Send a request over an idle connection; a usual answer, or one that urllib3 has begun to read.

    After an answer that urllib3 reads the connection must be closed.

    Parameters
    ----------
    connection : HTTPConnection
        Open, and nothing is under way on it.
    request : bytes
        From `request_of`.
    silence_s : float
        Longest wait for the next bytes.
    most_bytes : int
        A longer answer is left to urllib3.

    Raises
    ------
    urllib3.exceptions.ProtocolError
        The answer broke off, or is none.
    OSError
        The connection broke, or nothing came for too long.
    """
    connection.sock.settimeout(silence_s)
    connection.sock.sendall(request)
    reader = connection.sock.makefile("rb")
    try:
        said, status, headers = _head(reader)
        length = headers.get("content-length", "")
        if status is None or not length.isdecimal() or int(length) > most_bytes:
            return _left_to_urllib3(b"".join(said), reader)
        data = _body(reader, int(length))
    except http.client.HTTPException as error:
        reader.close()
        raise wrong.ProtocolError(f"Connection broken: {error!r}", error) from error
    except BaseException:
        reader.close()
        raise
    reader.close()
    return Plain(status, headers, data)


def _head(reader: io.BufferedReader) -> tuple[list[bytes], int | None, urllib3.HTTPHeaderDict]:
    """Lines that came, and status and header fields; no status where anything is unusual."""
    line = reader.readline(_LONGEST_LINE)
    said, headers = [line], urllib3.HTTPHeaderDict()
    found = _STATUS.fullmatch(line)
    if found is None or int(found[1]) in _WITHOUT_BODY:
        return said, None, headers
    for _ in range(_MOST_HEADERS):
        line = reader.readline(_LONGEST_LINE)
        said.append(line)
        if line == b"\r\n":
            return said, int(found[1]), headers
        field = _HEADER.fullmatch(line)
        if field is None or field[1].lower() in _UNUSUAL:
            break
        if field[1].lower() == b"connection" and field[2].lower() != b"keep-alive":
            break
        headers.add(field[1].decode("latin-1"), field[2].decode("latin-1"))
    return said, None, headers


def _body(reader: io.BufferedReader, length: int) -> bytes:
    data = reader.read(length)
    if len(data) < length:
        raise http.client.IncompleteRead(data, length - len(data))
    return data


def _left_to_urllib3(said: bytes, reader: io.BufferedReader) -> urllib3.BaseHTTPResponse:
    """Answer of which some lines were read, from its beginning."""
    answer = http.client.HTTPResponse(_Replayed(said, reader), method="GET")
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
    """In place of a socket: what was read of it, and then the rest."""

    def __init__(self, said: bytes, rest: io.BufferedReader):
        self._said, self._rest = io.BytesIO(said), rest

    def makefile(self, mode: str) -> io.BufferedReader:
        """As of a socket."""
        return io.BufferedReader(self)

    def readable(self) -> bool:
        """As every stream that is read."""
        return True

    def readinto(self, place) -> int:
        """As of a socket."""
        return self._said.readinto(place) or self._rest.readinto1(place)

    def close(self) -> None:
        """Let go of the socket."""
        self._rest.close()
        super().close()

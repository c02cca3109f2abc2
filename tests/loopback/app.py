"""The server's application: which face a request is for, what goes wrong with it, and the log."""

from __future__ import annotations

import asyncio
import hashlib
import itertools
import time
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import parse_qs, unquote

from tests.loopback import damage, invoke
from tests.loopback.answer import Answer, data_json, page, part
from tests.loopback.bucket import BUCKET, object_list, object_part, xml_error
from tests.loopback.connections import Connections
from tests.loopback.faults import CONTENT, Course, Fault, Faults
from tests.loopback.library import Held, Library
from tests.loopback.lists import Lists
from tests.loopback.log import Log
from tests.loopback.names import path_lookup, resolve

_PART = 1 << 20
_LOOK_S = 0.01
"""So often a request that is held looks whether it still is."""

_DOWNLOADS = ("/api/v0.1/Download/file", "/api/v0.1/Download/file/")


@dataclass
class Asked:
    """One request, taken apart."""

    method: str
    path: str
    query: str
    face: str
    item: Held | None = None
    name: str = ""
    service: str = ""
    host: str = ""
    """Foreign host, of a request that came as to a proxy."""
    body: bytes = b""

    @property
    def keys(self) -> tuple[str, ...]:
        """Names under which faults may be given, the most particular first."""
        target = self.item.target_id if self.item else None
        found = (f"{self.face}:{target}", str(target)) if target is not None else ()
        return (*found, *(key for key in (self.name, self.service) if key), self.face)


class Archive:
    """The ASGI application.

    Parameters
    ----------
    library : Library
        What is held.
    faults : Faults
        What goes wrong.
    log : Log
        Open for writing.
    connections : Connections
        Open connections, for faults that are not HTTP.
    recorded : mapping of str to Path
        Replies that are sent as they are, by MAST service or by face.
    latency_s : float
        Wait before each answer.
    started : float
        Time from which outages count, seconds since 1970; 0 for the start that is to come.
    first_request : int
        Number of the first request of this life of the server.
    catalogues : ASGI application, optional
        Answers what no other face does.
    """

    def __init__(
        self,
        library,
        faults,
        log,
        connections,
        *,
        recorded=None,
        latency_s=0.0,
        started=0.0,
        first_request=0,
        catalogues=None,
    ):
        self.library: Library = library
        self.log: Log = log
        self.connections: Connections = connections
        self.recorded: dict[str, Path] = recorded or {}
        self.latency_s = latency_s
        self.started = started
        self.course = Course(faults)
        self.catalogues = catalogues
        self._numbers = itertools.count(first_request)
        self._portal, self._lists = invoke.Portal(library), Lists(library)

    def set_faults(self, faults: Faults) -> None:
        """Forget the old faults and how far they had got."""
        self.course = Course(faults)

    async def __call__(self, scope, receive, send):
        """Answer one request."""
        if scope["type"] != "http":
            return
        asked = await self._take_apart(scope, receive)
        while self.course.holds(asked.keys):
            await asyncio.sleep(_LOOK_S)
        attempt = self.course.attempts[asked.keys[0]]
        fault, key = self.course.next(asked.keys, head=asked.method == "HEAD")
        fault = self._outage(asked) or self._marked(asked) or fault
        connection = self.connections.of(scope)
        number = next(self._numbers)
        reply = Reply(send, connection, self.log, number)
        self.log.write(
            "begin",
            request=number,
            connection=connection.number,
            face=asked.face,
            method=asked.method,
            path=asked.path + (f"?{asked.query}" if asked.query else ""),
            host=asked.host,
            name=asked.name,
            target=asked.item.target_id if asked.item else None,
            service=asked.service,
            fault=fault.kind if fault else "",
            script=key,
            key=asked.keys[0],
        )
        try:
            if self.latency_s:
                await asyncio.sleep(self.latency_s)
            await self._answer(asked, fault, scope, receive, reply, connection, attempt)
        finally:
            reply.done()

    async def _take_apart(self, scope, receive) -> Asked:
        path, query = scope["path"], scope["query_string"].decode("latin-1")
        host = ""
        if "://" in path[:8]:
            host, _, path = path.split("://", 1)[1].partition("/")
            path = f"/{path}"
        elif scope["method"] == "CONNECT":
            host = path
        asked = Asked(scope["method"], path, query, face_of(scope["method"], path), host=host)
        if asked.face == "mast":
            uri = parse_qs(query).get("uri", [""])[0]
            asked.name = uri.rpartition("/")[2]
            asked.item = self.library.by_name.get(asked.name)
            if asked.item and asked.item.uri != uri:
                asked.item = None
        elif asked.face == "cloud":
            key = unquote(path.removeprefix(BUCKET))
            asked.name = key.rpartition("/")[2]
            asked.item = self.library.by_name.get(asked.name)
            if asked.item and asked.item.key != key:
                asked.item = None
            if asked.item is None and ("list-type" in query or not key):
                asked.face, asked.name = "cloud-list", ""
        elif asked.method == "POST":
            asked.body = await _read(receive)
            if asked.face == "invoke":
                asked.service = invoke.service_of(asked.body)
        return asked

    def _outage(self, asked: Asked) -> Fault | None:
        now = time.time() - self.started
        for outage in self.course.faults.outages:
            if outage.start_s <= now < outage.stop_s and outage.face in ("", asked.face):
                return Fault("503", outage.stop_s - now)
        return None

    def _marked(self, asked: Asked) -> Fault | None:
        """A redirect that is under way goes on whatever the faults say."""
        if not any(mark in asked.query for mark in ("redirected=", "loop=", "cycle=")):
            return None
        marks = {"redirected": "ok", "loop": "redirect-loop", "cycle": "redirect-cycle"}
        query = parse_qs(asked.query)
        return next((Fault(kind) for mark, kind in marks.items() if mark in query), None)

    async def _answer(self, asked, fault, scope, receive, reply, connection, attempt) -> None:
        kind = fault.kind if fault else "ok"
        answer = damage.instead(fault, asked) if fault else None
        if answer is None:
            altered = kind if kind in CONTENT and asked.item else ""
            answer = await self._healthy(asked, altered, scope)
        if asked.method == "HEAD" or answer.status >= 300 or kind not in damage.ON_THE_WAY:
            await reply.whole(answer, head=asked.method == "HEAD")
        else:
            what = f"{asked.name} {kind}" if kind == "bit-rot" else f"{asked.keys[0]} {attempt}"
            place = int.from_bytes(hashlib.blake2b(what.encode(), digest_size=8).digest(), "big")
            await damage.ON_THE_WAY[kind](answer, reply, receive, connection, place)

    async def _healthy(self, asked: Asked, altered: str, scope) -> Answer:
        face = asked.face
        recorded = self.recorded.get(asked.service) or self.recorded.get(face)
        if recorded is not None:
            return Answer(200, [recorded.read_bytes()], {"content-type": "application/json"})
        if face in ("mast", "cloud"):
            return self._product(asked, altered, scope)
        if face == "invoke":
            return self._portal.answer(asked.body)
        if face == "columnsconfig":
            return data_json(invoke.columns_config(asked.body))
        if face == "cloud-list":
            return object_list(self.library, parse_qs(asked.query))
        if face in ("list", "index"):
            return self._lists.answer(asked.path)
        if face == "resolver":
            return data_json(resolve(self.library, parse_qs(asked.query)))
        if face == "path-lookup":
            return data_json(path_lookup(self.library, parse_qs(asked.query)))
        if face == "connect":
            return page(403, "this stand-in leads to no other host")
        if face == "private":
            return xml_error(403, "AccessDenied", "Access Denied")
        if face == "catalogue" and self.catalogues is not None:
            return await captured(self.catalogues, scope, asked)
        return page(404, f"there is nothing at {asked.path}")

    def _product(self, asked: Asked, altered: str, scope) -> Answer:
        if asked.item is None:
            missing = xml_error(404, "NoSuchKey", "The specified key does not exist.")
            return missing if asked.face == "cloud" else page(404, "no such file")
        pieces = damage.altered(altered, self.library, asked.item) if altered else self.library.pieces(asked.item)
        headers = {"content-type": "application/octet-stream", "last-modified": "Wed, 01 Jan 2020 00:00:00 GMT"}
        answer = Answer(200, pieces, headers)
        if asked.face == "cloud":
            return object_part(answer, asked.item, dict(scope["headers"]).get(b"range", b"").decode())
        answer.headers["content-disposition"] = f"attachment; filename={asked.name}"
        return answer


class Reply:
    """The way back, which counts what went over it.

    Bodies go straight from memory to the socket, a part at a time, so that the server copies nothing and a request
    is under way until its last part goes to the kernel. The end is in the log before the client can see it.
    """

    def __init__(self, send, connection, log: Log, number: int):
        self._send, self._connection, self._log, self._number = send, connection, log, number
        self._done = False
        self.status: int | None = None
        self.sent = 0

    def done(self) -> None:
        """Write the end of the request down, once."""
        if not self._done:
            self._done = True
            self._log.write("end", request=self._number, status=self.status, sent=self.sent)

    async def begin(self, status: int, headers: list[tuple[bytes, bytes]]) -> None:
        """Send the headers."""
        self.status = status
        await self._send({"type": "http.response.start", "status": status, "headers": headers})

    async def body(self, pieces, *, more: bool = False) -> None:
        """Send some of the body; the end of it unless there is more."""
        views = (memoryview(piece) for piece in pieces)
        parts = [view[start : start + _PART] for view in views for start in range(0, len(view), _PART)]
        for i, view in enumerate(parts):
            self.sent += len(view)
            if i == len(parts) - 1 and not more:
                self.done()
            await self._connection.send_part(view)
        if not more:
            await self._send({"type": "http.response.body", "body": b""})

    async def whole(self, answer: Answer, *, head: bool = False) -> None:
        """Send an answer as it should be."""
        if head or not answer.length:
            self.status = answer.status
            self.done()
        length = [(b"content-length", str(answer.length).encode())]
        await self.begin(answer.status, answer.raw_headers + length)
        await self.body([] if head else answer.pieces)

    async def half(self, answer: Answer, *, announced: bool = True) -> None:
        """Send half of the body, after headers that announce the length of the whole, or begin chunks."""
        length = answer.length
        announcement = [(b"content-length", str(length).encode())] if announced else []
        await self.begin(answer.status, answer.raw_headers + announcement)
        await self.body(part(answer, 0, length // 2), more=True)


def face_of(method: str, path: str) -> str:
    """Which face a path belongs to."""
    if method == "CONNECT":
        return "connect"
    if path in _DOWNLOADS:
        return "mast"
    if path.startswith(BUCKET) or path == BUCKET.rstrip("/"):
        return "cloud"
    prefixes = {
        "/api/v0/invoke": "invoke",
        "/portal/Mashup/Mashup.asmx/columnsconfig": "columnsconfig",
        "/missions/tess/download_scripts/": "list",
        "/hlsps/": "list",
        "/tess/bulk_downloads": "index",
        "/Santa-war/query": "resolver",
        "/api/v0.1/path_lookup": "path-lookup",
        "/private": "private",
    }
    return next((face for prefix, face in prefixes.items() if path.startswith(prefix)), "catalogue")


async def _read(receive) -> bytes:
    body, more = b"", True
    while more:
        message = await receive()
        body += message.get("body", b"")
        more = message.get("more_body", False)
    return body


async def captured(app, scope, asked: Asked) -> Answer:
    """Answer of another ASGI application, so that faults get at it too."""
    answer = Answer()

    async def receive():
        return {"type": "http.request", "body": asked.body, "more_body": False}

    async def send(message):
        if message["type"] == "http.response.start":
            answer.status = message["status"]
            names = ((name.decode().lower(), value.decode("latin-1")) for name, value in message["headers"])
            answer.headers |= {name: value for name, value in names if name != "content-length"}
        else:
            answer.pieces.append(message.get("body", b""))

    await app({**scope, "path": asked.path}, receive, send)
    answer.pieces = [piece for piece in answer.pieces if piece]
    return answer

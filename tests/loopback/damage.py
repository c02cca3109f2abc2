"""How each kind of fault is done."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from tests.loopback import fits
from tests.loopback.answer import Answer, data_json, page, part, retry_after
from tests.loopback.bucket import xml_error
from tests.loopback.faults import Fault

_WAITING = ("429", "503")
_S3_CODES = {
    "403": ("AccessDenied", "Access Denied"),
    "404": ("NoSuchKey", "The specified key does not exist."),
    "429": ("TooManyRequests", "Please reduce your request rate."),
    "500": ("InternalError", "We encountered an internal error. Please try again."),
    "502": ("BadGateway", "Bad Gateway"),
    "503": ("SlowDown", "Please reduce your request rate."),
    "504": ("GatewayTimeout", "Gateway Timeout"),
}


def instead(fault: Fault, asked) -> Answer | None:
    """Answer that a fault puts in place of the true one; None where it needs that one."""
    kind = fault.kind
    if kind[:3].isdigit() and asked.face.startswith("cloud"):
        code, words = _S3_CODES[kind[:3]]
        answer = xml_error(int(kind[:3]), code, words)
        if kind[:3] in _WAITING:
            answer.headers |= retry_after(fault.retry_after_s, date=kind.endswith("-date"))
        return answer
    if kind[:3] in _WAITING:
        words = "Too Many Requests" if kind.startswith("429") else "Service Unavailable"
        return page(int(kind[:3]), words, retry_after(fault.retry_after_s, date=kind.endswith("-date")))
    if kind.isdigit():
        return page(int(kind))
    if kind == "html":
        return page(200, "This request could not be served.")
    if kind == "empty":
        return Answer(200, [], {"content-type": "application/octet-stream"})
    if kind.startswith("redirect"):
        return _redirect(kind, asked)
    if kind in ("executing", "error") and asked.face == "invoke":
        return data_json({"status": kind.upper(), "msg": "" if kind == "executing" else "Database timeout", "data": []})
    return None


def _redirect(kind: str, asked) -> Answer:
    plain = "&".join(p for p in asked.query.split("&") if p.partition("=")[0] not in ("loop", "cycle") and p)
    mark = {"redirect": "redirected=1", "redirect-loop": "loop=1"}.get(kind)
    if mark is None:
        mark = "cycle=2" if "cycle=1" in asked.query else "cycle=1"
    return page(302, "moved", {"location": f"{asked.path}?{plain}{'&' if plain else ''}{mark}"})


def altered(kind: str, library, item) -> list[bytes | memoryview]:
    """Bytes of a product whose content alone is wrong."""
    if kind == "other-star":
        twins = [h for h in library.held if (h.author, h.sector, h.exposure_s) == _product(item)]
        other = twins[(twins.index(item) + 1) % len(twins)]
        if other is not item:
            return library.pieces(other)
        return [fits.relabelled(library.content(item), item.target_id + 1)]
    change = {"all-nan": fits.all_nan, "short-table": fits.short_table, "duplicate-rows": fits.duplicate_rows}[kind]
    return [change(library.content(item))]


def _product(item) -> tuple:
    return item.author, item.sector, item.exposure_s


async def _truncated(answer: Answer, reply, receive, connection, place: int) -> None:
    await reply.half(answer)
    await _end(reply, receive, connection.transport.close)


async def _truncated_open(answer: Answer, reply, receive, connection, place: int) -> None:
    reply.status = answer.status
    headers = b"".join(b"%s: %s\r\n" % pair for pair in answer.raw_headers)
    connection.transport.write(b"HTTP/1.1 %d OK\r\n%sconnection: close\r\n\r\n" % (answer.status, headers))
    for piece in part(answer, 0, answer.length // 2):
        reply.sent += len(piece)
        connection.transport.write(piece)
    await _end(reply, receive, connection.transport.close)


async def _truncated_chunked(answer: Answer, reply, receive, connection, place: int) -> None:
    await reply.half(answer, announced=False)
    await _end(reply, receive, connection.transport.close)


async def _stall(answer: Answer, reply, receive, connection, place: int) -> None:
    await reply.half(answer)
    await _gone(receive)


async def _reset(answer: Answer, reply, receive, connection, place: int) -> None:
    await reply.half(answer)
    await _end(reply, receive, connection.reset)


async def _bit_flip(answer: Answer, reply, receive, connection, place: int) -> None:
    at = place % max(answer.length, 1)
    (old,) = b"".join(part(answer, at, at + 1)) or b"\0"
    new = bytes([old ^ 1 << place // 7 % 8])
    pieces = [*part(answer, 0, at), new, *part(answer, at + 1, answer.length)]
    await reply.whole(replace(answer, pieces=pieces))


async def _end(reply, receive, close: Callable[[], None]) -> None:
    reply.done()
    close()
    await _gone(receive)


async def _gone(receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


ON_THE_WAY = {
    "truncated": _truncated,
    "truncated-open": _truncated_open,
    "truncated-chunked": _truncated_chunked,
    "stall": _stall,
    "reset": _reset,
    "bit-flip": _bit_flip,
    "bit-rot": _bit_flip,
}
"""Faults that need the true answer: coroutines of it, the way back, the client's end, the connection and a place."""

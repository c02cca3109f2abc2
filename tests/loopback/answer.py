"""What a face answers with, before a fault gets at it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from email.utils import formatdate
from math import ceil
from time import time
from typing import Any

Piece = bytes | memoryview

PAGE = b"""<!DOCTYPE html>
<html><head><title>MAST</title></head><body><h1>We will be back soon</h1><p>%s</p></body></html>
"""


@dataclass
class Answer:
    """Status, headers and body of one answer; Content-Length is not among the headers.

    Parameters
    ----------
    status : int
        HTTP status.
    pieces : list of bytes or memoryview
        Body.
    headers : dict
        By name in lower case.
    """

    status: int = 200
    pieces: list[Piece] = field(default_factory=list)
    headers: dict[str, str] = field(default_factory=dict)

    @property
    def length(self) -> int:
        """Bytes of the body."""
        return sum(len(piece) for piece in self.pieces)

    @property
    def raw_headers(self) -> list[tuple[bytes, bytes]]:
        """Headers as ASGI wants them."""
        return [(name.encode(), value.encode("latin-1")) for name, value in self.headers.items()]


def page(status: int, text: str = "", headers: Mapping[str, str] | None = None) -> Answer:
    """A page of HTML, such as gateways and maintenance send."""
    body = PAGE % (text or f"status {status}").encode()
    return Answer(status, [body], {"content-type": "text/html; charset=UTF-8", **(headers or {})})


def text(body: str, kind: str = "text/plain; charset=UTF-8", status: int = 200) -> Answer:
    """Text, such as a list or XML."""
    return Answer(status, [body.encode()], {"content-type": kind})


def data_json(value: Any, status: int = 200) -> Answer:
    """JSON."""
    return Answer(status, [json.dumps(value).encode()], {"content-type": "application/json"})


def retry_after(seconds: float, *, date: bool) -> Mapping[str, str]:
    """Retry-After header, none for a negative time; a date is rounded up to the next whole second."""
    if seconds < 0:
        return {}
    value = formatdate(ceil(time() + seconds), usegmt=True) if date else str(ceil(seconds))
    return {"retry-after": value}


def part(answer: Answer, start: int, stop: int) -> list[Piece]:
    """Some bytes of the body, in pieces."""
    found, place = [], 0
    for piece in answer.pieces:
        first, last = max(start - place, 0), min(stop - place, len(piece))
        if first < last:
            found.append(memoryview(piece)[first:last])
        place += len(piece)
    return found

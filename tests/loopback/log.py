"""The request log: one JSON line per event, written by the server at once, so that it outlives a SIGKILL.

Events, in the order in which they happened: ``up`` (a server starts; what was open before is gone), ``open`` and
``shut`` (a connection), ``begin`` and ``end`` (a request).
"""

from __future__ import annotations

import json
import os
import time
from collections import Counter
from pathlib import Path
from typing import Any


class Log:
    """Log being written; each line is one `write` to a file opened for appending.

    Parameters
    ----------
    path : Path
        Made if it does not exist.
    """

    def __init__(self, path: Path):
        self._file = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)

    def write(self, event: str, **fields: Any) -> None:
        """Append one event, with the time."""
        line = json.dumps({"event": event, "time": time.time(), **fields}, separators=(",", ":"))
        os.write(self._file, line.encode() + b"\n")


def events(path: Path) -> list[dict[str, Any]]:
    """Whole lines of a log."""
    if not path.exists():
        return []
    return [json.loads(line) for line in path.read_bytes().split(b"\n")[:-1]]


def requests(path: Path) -> list[dict[str, Any]]:
    """Requests in order of their beginning; `end` and `status` are None where the server did not live to answer."""
    found: dict[tuple, dict[str, Any]] = {}
    for event in events(path):
        if event["event"] == "begin":
            found[event["request"]] = {
                "start": event["time"],
                "end": None,
                "status": None,
                "sent": 0,
                **{key: value for key, value in event.items() if key not in ("event", "time")},
            }
        elif event["event"] == "end":
            found[event["request"]] |= {"end": event["time"], "status": event["status"], "sent": event["sent"]}
    return list(found.values())


def most_at_once(path: Path, face: str = "") -> tuple[int, int]:
    """Most connections open, and most requests under way, at any moment.

    Parameters
    ----------
    path : Path
        The log.
    face : str
        Only connections on which this face was asked, from their opening to their end, and requests to it.
    """
    log = events(path)
    asked = {event["connection"] for event in log if event["event"] == "begin" and face in ("", event["face"])}
    counted = {event["request"] for event in log if event["event"] == "begin" and face in ("", event["face"])}
    now, most = Counter(), Counter()
    for event in log:
        kind = event["event"]
        if kind == "up":
            now.clear()
        elif kind in ("open", "shut") and (not face or event["connection"] in asked):
            now["connections"] += 1 if kind == "open" else -1
        elif kind in ("begin", "end") and event["request"] in counted:
            now["requests"] += 1 if kind == "begin" else -1
        most |= now
    return most["connections"], most["requests"]

"""A port of 127.0.0.1 that stays ours while nobody listens on it."""

from __future__ import annotations

import socket


def bound(port: int) -> socket.socket:
    """Socket bound to a port of 127.0.0.1, shared with the reservation that the test holds."""
    sock = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    sock.bind(("127.0.0.1", port))
    return sock

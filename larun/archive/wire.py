"""One connection to a service: a single request and its answer, and what can go wrong on the way."""

from __future__ import annotations

import logging
import socket
import ssl
import threading
import time
from contextlib import suppress
from email.utils import parsedate_to_datetime
from functools import cache
from typing import NamedTuple
from urllib.parse import unquote, urlsplit, urlunsplit
from urllib.request import getproxies, proxy_bypass

import urllib3
from urllib3 import exceptions as wrong

from larun.archive import quick
from larun.archive.failures import Failure, Waits, meaning, redact

log = logging.getLogger(__name__)

USER_AGENT = "larun (TESS survey; https://github.com/larun/larun)"

_HOSTS = 4
"""Hosts that one permit may be connected to: a service, and those that it redirects to."""

_MOST_BYTES = 1 << 28
"""A longer answer is none of an archive's: lists and pages of queries have some 10 MB, light curves up to 30."""

_PIECE = 1 << 20

_PORTS = {"http": 80, "https": 443}


class Answer(NamedTuple):
    """What a service answered.

    Parameters
    ----------
    status : int
        HTTP status.
    headers : dict
        Header fields, names in lower case.
    data : bytes
        The whole body.
    url : str
        Where it came from after redirects, without secrets.
    """

    status: int
    headers: dict[str, str]
    data: bytes
    url: str

    @property
    def is_html(self) -> bool:
        """Whether it is a web page."""
        start = self.data[:200].lstrip().lower()
        return start.startswith((b"<!doctype html", b"<html")) or "html" in self.headers.get("content-type", "")


def retry_after(headers, now: float) -> float | None:
    """Seconds that a service asks to be left alone; None where it does not say, or not in a way that can be read.

    Parameters
    ----------
    headers : mapping of str
        Header fields: Retry-After in seconds or as a date, which counts from Date where there is one.
    now : float
        Present time, seconds since 1970.
    """
    said = (headers.get("retry-after") or "").strip()
    if said.isdecimal():
        return float(said)
    try:
        then = parsedate_to_datetime(said).timestamp()
    except (ValueError, TypeError, OverflowError):
        return None
    with suppress(ValueError, TypeError, OverflowError):
        now = parsedate_to_datetime(headers.get("date") or "").timestamp()
    return max(0.0, then - now)


@cache
def _tls() -> ssl.SSLContext:
    """Certificates of the system, or of SSL_CERT_FILE and SSL_CERT_DIR; read once."""
    return ssl.create_default_context()


class _PlainPool(urllib3.HTTPConnectionPool):
    """Keeps hold of its one connection, so that it can be cut off from outside."""

    newest: urllib3.connection.HTTPConnection | None = None

    def _new_conn(self):
        self.newest = super()._new_conn()
        return self.newest


class _SecurePool(urllib3.HTTPSConnectionPool):
    """As `_PlainPool`."""

    newest: urllib3.connection.HTTPConnection | None = None

    def _new_conn(self):
        self.newest = super()._new_conn()
        return self.newest


class Wire:
    """One open connection per host, of which a permit covers one; for one thread at a time.

    Parameters
    ----------
    connect_timeout_s, read_timeout_s : float
        Longest wait for a connection, and longest silence within an answer.
    longest_s : float
        Longest time of one answer in all: one that trickles is cut off.
    """

    def __init__(self, connect_timeout_s: float, read_timeout_s: float, longest_s: float):
        self._waits = Waits(connect_timeout_s, read_timeout_s)
        self._timeout = urllib3.Timeout(connect=connect_timeout_s, read=read_timeout_s)
        self._longest_s = longest_s
        self._managers: dict[str, tuple[tuple[str, int | None], urllib3.PoolManager]] = {}
        self._latest: tuple[str, urllib3.PoolManager] | None = None
        self._channel: tuple[urllib3.PoolManager, quick.Channel] | None = None
        self._lock = threading.Lock()
        self._deadline = float("inf")
        self._cut = False

    def exchange(self, method: str, url: str, headers: dict[str, str], body: bytes | None = None) -> Answer:
        """Make one request and read the whole answer, redirects not followed.

        Raises
        ------
        Failure
            No connection, no answer, or one that broke off.
        ArchiveRefused
            The service cannot be trusted, or a proxy refuses us; waiting changes nothing.
        """
        manager = self._manager(url)
        with self._lock:
            self._cut = False
            self._deadline = time.monotonic() + self._longest_s
        response = began = None
        try:
            began = response = self._asked(manager, url, headers) if method == "GET" and body is None else None
            if response is None:
                self._channel = None
                response = manager.urlopen(
                    method,
                    url,
                    body=body,
                    headers=headers,
                    timeout=self._timeout,
                    retries=False,
                    redirect=False,
                    preload_content=False,
                )
            data = response.data if isinstance(response, quick.Plain) else _whole(response, url)
            if self._cut:
                raise self._slow(url)
        except (wrong.HTTPError, OSError, Failure) as error:
            if isinstance(response, urllib3.BaseHTTPResponse):
                response.close()
            if isinstance(error, Failure):
                self.close()
                raise
            if self._cut:
                raise self._slow(url) from error
            raise meaning(error, url, self._waits) from error
        finally:
            with self._lock:
                self._deadline = float("inf")
            if isinstance(began, urllib3.BaseHTTPResponse):
                # The library's connection knows nothing of this answer.
                self.close()
        if isinstance(response, quick.Plain):
            return Answer(response.status, response.headers, data, redact(url))
        fields = {name.lower(): value for name, value in response.headers.items()}
        return Answer(response.status, fields, data, redact(url))

    def _asked(
        self, manager: urllib3.PoolManager, url: str, headers: dict[str, str]
    ) -> quick.Plain | urllib3.BaseHTTPResponse | None:
        """Answer over the connection that is open; None where there is none, or a proxy is between."""
        request = quick.request_of(url, headers)
        channel = self._channel_of(manager) if request is not None else None
        if channel is None:
            return None
        try:
            return channel.ask(request, _MOST_BYTES)
        except BaseException:
            self._channel = None
            channel.close()
            raise

    def _channel_of(self, manager: urllib3.PoolManager) -> quick.Channel | None:
        if self._channel is not None and self._channel[0] is manager and self._channel[1].is_ready:
            return self._channel[1]
        self._channel = None
        connection = next((pool.newest for pool in _pools(manager)), None)
        if manager.proxy is not None or connection is None or connection.sock is None or not connection.is_connected:
            return None
        channel = quick.Channel(connection, self._waits.silence_s)
        self._channel = manager, channel
        return channel

    def cut_overdue(self, now: float) -> None:
        """Cut an answer off that takes too long; called by another thread."""
        with self._lock:
            if now < self._deadline:
                return
            self._cut, self._deadline = True, float("inf")
            for _, manager in list(self._managers.values()):
                for pool in _pools(manager):
                    _shut(pool.newest)

    def close(self) -> None:
        """Close the connections."""
        self._channel = None
        # Clearing a manager leaves its connections open until its pools are collected.
        for _, manager in list(self._managers.values()):
            _close(manager)
        self._managers.clear()
        self._latest = None

    def _slow(self, url: str) -> Failure:
        return Failure(f"{redact(url)}: the answer took longer than {self._longest_s:.0f} s")

    def _manager(self, url: str) -> urllib3.PoolManager:
        """Connections to a host, through the proxy that the environment names for it.

        A host that is asked at another port or by another scheme, after a redirect, is connected to anew and not
        twice.
        """
        if self._latest is None or not url.startswith(self._latest[0]):
            scheme, _, rest = url.partition("://")
            self._latest = f"{scheme}://{rest.partition('/')[0]}/", self._manager_of(url)
        return self._latest[1]

    def _manager_of(self, url: str) -> urllib3.PoolManager:
        try:
            parts = urlsplit(url)
            host, place = parts.hostname or "", (parts.scheme, parts.port or _PORTS.get(parts.scheme))
        except ValueError as error:
            raise meaning(wrong.LocationValueError(), url, self._waits) from error
        held = self._managers.get(host)
        if held is not None and held[0] == place:
            return held[1]
        if held is not None:
            _close(held[1])
        elif len(self._managers) >= _HOSTS:
            self.close()
        proxy = getproxies().get(parts.scheme, "")
        if proxy and proxy_bypass(host):
            proxy = ""
        options = {"num_pools": 1, "maxsize": 1, "ssl_context": _tls()}
        manager = _through_proxy(proxy, options) if proxy else urllib3.PoolManager(**options)
        manager.pool_classes_by_scheme = {"http": _PlainPool, "https": _SecurePool}
        self._managers[host] = place, manager
        return manager


def _whole(response: urllib3.BaseHTTPResponse, url: str) -> bytes:
    """Body of an answer, of which there is not too much."""
    if response.status < 200:
        raise Failure(f"{redact(url)} answers {response.status}, which is no end")
    announced = response.headers.get("content-length", "")
    if announced.isdecimal() and "content-encoding" not in response.headers and int(announced) <= _MOST_BYTES:
        return response.data
    pieces, length = [], 0
    while piece := response.read(_PIECE):
        pieces.append(piece)
        length += len(piece)
        if length > _MOST_BYTES:
            raise Failure(
                f"{redact(url)}: the answer has more than {_MOST_BYTES >> 20} MiB, no list or product has so much"
            )
    return b"".join(pieces)


def _pools(manager: urllib3.PoolManager) -> list[_PlainPool | _SecurePool]:
    return [manager.pools[key] for key in manager.pools.keys()]  # noqa: SIM118


def _close(manager: urllib3.PoolManager) -> None:
    for pool in _pools(manager):
        pool.close()
    manager.clear()


def _shut(connection: urllib3.connection.HTTPConnection | None) -> None:
    """End a connection under the thread that reads from it."""
    try:
        with socket.fromfd(connection.sock.fileno(), socket.AF_INET, socket.SOCK_STREAM) as same:
            same.shutdown(socket.SHUT_RDWR)
    except (AttributeError, OSError, ValueError):
        log.debug("a slow answer ended just before it was cut off")


def _through_proxy(proxy: str, options: dict) -> urllib3.ProxyManager:
    address = proxy if "://" in proxy else f"http://{proxy}"
    parts = urlsplit(address)
    user, _, password = unquote(parts.netloc.rpartition("@")[0]).partition(":")
    headers = urllib3.make_headers(proxy_basic_auth=f"{user}:{password}") if user else None
    bare = urlunsplit((parts.scheme, parts.netloc.rpartition("@")[2], "", "", ""))
    return urllib3.ProxyManager(bare, proxy_headers=headers, **options)

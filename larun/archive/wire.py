"""One connection to a service: a single request and its answer, and what can go wrong on the way."""

from __future__ import annotations

import http.client
import logging
import re
import socket
import ssl
import threading
import time
from contextlib import suppress
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from functools import cache
from urllib.parse import unquote, urlsplit, urlunsplit
from urllib.request import getproxies, proxy_bypass

import urllib3
from urllib3 import exceptions as wrong

from larun.errors import ArchiveRefused

log = logging.getLogger(__name__)

USER_AGENT = "larun (TESS survey; https://github.com/larun/larun)"

_HOSTS = 4
"""Hosts that one permit may be connected to: a service, and those that it redirects to."""

_SECRET = re.compile(r"(?i)((?:^|[?&])[^=&]*(?:sign|token|secret|password|passwd|key|credential|auth)[^=&]*=)[^&]*")


class Failure(Exception):
    """A request failed in a way that may pass: try again.

    Parameters
    ----------
    reason : str
        What happened, without secrets.
    retry_after_s : float or None
        How long the service asks to be left alone.
    refused : bool
        Whether it was a refusal, which is final where the service refuses everything.
    nowhere : bool
        Whether there is no such host, which is final where nothing ever came from it.
    """

    def __init__(
        self, reason: str, retry_after_s: float | None = None, *, refused: bool = False, nowhere: bool = False
    ):
        super().__init__(reason)
        self.reason = reason
        self.retry_after_s = retry_after_s
        self.refused = refused
        self.nowhere = nowhere


@dataclass(frozen=True, slots=True)
class Answer:
    """What a service answered.

    Parameters
    ----------
    status : int
        HTTP status.
    headers : mapping of str
        Header fields, any case.
    data : bytes
        The whole body.
    url : str
        Where it came from after redirects, without secrets.
    """

    status: int
    headers: urllib3.HTTPHeaderDict
    data: bytes
    url: str

    @property
    def is_html(self) -> bool:
        """Whether it is a web page."""
        start = self.data[:200].lstrip().lower()
        return start.startswith((b"<!doctype html", b"<html")) or "html" in self.headers.get("content-type", "")


def redact(url: str) -> str:
    """URL without user, password, and values of query fields that sign or identify."""
    parts = urlsplit(url)
    place = parts.netloc.rpartition("@")[2]
    return urlunsplit((parts.scheme, place, parts.path, _SECRET.sub(r"\1...", parts.query), ""))


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


class Wire:
    """One open connection per host, of which a permit covers one; for one thread at a time.

    Parameters
    ----------
    connect_timeout_s, read_timeout_s : float
        Longest wait for a connection, and longest silence within an answer.
    longest_s : float
        Longest time of one body in all: one that trickles is cut off.
    """

    def __init__(self, connect_timeout_s: float, read_timeout_s: float, longest_s: float):
        self.connect_timeout_s = connect_timeout_s
        self.read_timeout_s = read_timeout_s
        self._timeout = urllib3.Timeout(connect=connect_timeout_s, read=read_timeout_s)
        self._longest_s = longest_s
        self._managers: dict[tuple[str, str], urllib3.PoolManager] = {}
        self._lock = threading.Lock()
        self._reading: tuple[float, urllib3.BaseHTTPResponse] | None = None
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
        self._cut = False
        try:
            response = self._manager(url).urlopen(
                method,
                url,
                body=body,
                headers=headers,
                timeout=self._timeout,
                retries=False,
                redirect=False,
                preload_content=False,
            )
            self._reading = (time.monotonic() + self._longest_s, response)
            data = response.data
        except (wrong.HTTPError, OSError) as error:
            raise self._what(error, url) from error
        finally:
            with self._lock:
                self._reading = None
        return Answer(response.status, response.headers, data, redact(url))

    def cut_overdue(self, now: float) -> None:
        """Cut a body off that takes too long; called by another thread."""
        with self._lock:
            if self._reading is None or now < self._reading[0]:
                return
            self._cut = True
            try:
                with socket.fromfd(self._reading[1].fileno(), socket.AF_INET, socket.SOCK_STREAM) as same:
                    same.shutdown(socket.SHUT_RDWR)
            except (OSError, ValueError):
                log.debug("a slow answer ended just before it was cut off")

    def close(self) -> None:
        """Close the connections."""
        # Clearing a manager leaves its connections open until its pools are collected.
        for manager in self._managers.values():
            for key in manager.pools.keys():  # noqa: SIM118
                manager.pools[key].close()
            manager.clear()
        self._managers.clear()

    def _manager(self, url: str) -> urllib3.PoolManager:
        """Connections to a host, through the proxy that the environment names for it."""
        parts = urlsplit(url)
        origin = (parts.scheme, parts.netloc)
        if origin not in self._managers:
            if len(self._managers) >= _HOSTS:
                self.close()
            proxy = "" if proxy_bypass(parts.hostname or "") else getproxies().get(parts.scheme, "")
            options = {"num_pools": 1, "maxsize": 1, "ssl_context": _tls()}
            self._managers[origin] = _through_proxy(proxy, options) if proxy else urllib3.PoolManager(**options)
        return self._managers[origin]

    def _what(self, error: Exception, url: str) -> Failure | ArchiveRefused:
        """What an exception of the HTTP library means."""
        place = redact(url)
        if self._cut:
            return Failure(f"{place}: the answer took longer than {self._longest_s:.0f} s")
        for kind, meaning in _MEANINGS:
            if isinstance(error, kind):
                return meaning(error, place, self)
        return Failure(f"{place}: {_broken(error)}")


def _meaningless(error: Exception, place: str, wire: Wire) -> ArchiveRefused:
    return ArchiveRefused(f"{place!r} is no address of a service; look at [archives] in the configuration")


def _unknown_host(error: Exception, place: str, wire: Wire) -> Failure:
    host = urlsplit(place).hostname
    if getattr(error.__cause__, "errno", None) == socket.EAI_NONAME:
        return Failure(f"{place}: there is no host {host}; look at [archives] in the configuration", nowhere=True)
    return Failure(f"{place}: the name of the host {host} cannot be looked up now")


def _no_connection(error: Exception, place: str, wire: Wire) -> Failure:
    cause = error.__cause__ or error.__context__
    return Failure(f"{place}: cannot connect: {getattr(cause, 'strerror', None) or 'there is no way to it'}")


def _slow_connection(error: Exception, place: str, wire: Wire) -> Failure:
    return Failure(f"{place}: no connection within {wire.connect_timeout_s:g} s")


def _silence(error: Exception, place: str, wire: Wire) -> Failure:
    return Failure(f"{place}: nothing came for {wire.read_timeout_s:g} s")


def _through_proxy(proxy: str, options: dict) -> urllib3.ProxyManager:
    address = proxy if "://" in proxy else f"http://{proxy}"
    parts = urlsplit(address)
    user, _, password = unquote(parts.netloc.rpartition("@")[0]).partition(":")
    headers = urllib3.make_headers(proxy_basic_auth=f"{user}:{password}") if user else None
    bare = urlunsplit((parts.scheme, parts.netloc.rpartition("@")[2], "", "", ""))
    return urllib3.ProxyManager(bare, proxy_headers=headers, **options)


def _broken(error: Exception) -> str:
    """How a connection broke, in words without a URL."""
    inner = next((arg for arg in error.args if isinstance(arg, Exception)), error)
    if isinstance(inner, http.client.IncompleteRead):
        came = inner.partial if isinstance(inner.partial, int) else len(inner.partial)
        of = "" if inner.expected is None else f" of {came + inner.expected}"
        return f"the answer broke off after {came}{of} bytes"
    if isinstance(inner, wrong.InvalidChunkLength):
        return "the answer broke off between two chunks"
    if isinstance(inner, ConnectionResetError):
        return "the connection was reset"
    return f"the connection broke ({type(inner).__name__})"


def _proxy_failure(error: wrong.ProxyError, place: str, wire: Wire) -> Failure | ArchiveRefused:
    said = str(error.original_error)
    refused = re.search(r"\b(401|403|407)\b", said)
    if refused:
        return ArchiveRefused(
            f"{place}: the proxy of the environment (https_proxy, http_proxy) answers {refused[1]} and lets us not "
            "through; give it the right user and password, or name the host in no_proxy"
        )
    return Failure(f"{place}: the proxy of the environment (https_proxy, http_proxy) does not serve")


def _tls_failure(error: Exception, place: str, wire: Wire) -> Failure | ArchiveRefused:
    said = str(error)
    if isinstance(error.args[0] if error.args else None, ssl.SSLCertVerificationError) or "CERTIFICATE" in said:
        return ArchiveRefused(
            f"{place}: the certificate cannot be verified; a proxy may answer in its place. If that proxy is yours, "
            "name its certificate in SSL_CERT_FILE; else do not go on"
        )
    if "WRONG_VERSION_NUMBER" in said:
        return ArchiveRefused(f"{place}: that port does not speak TLS; look at [archives] in the configuration")
    return Failure(f"{place}: the secured connection broke")


_MEANINGS = (
    (wrong.ProxyError, _proxy_failure),
    (wrong.SSLError | ssl.SSLError, _tls_failure),
    (wrong.NameResolutionError, _unknown_host),
    (wrong.NewConnectionError, _no_connection),
    (wrong.ConnectTimeoutError, _slow_connection),
    (wrong.ReadTimeoutError | TimeoutError, _silence),
    (wrong.LocationValueError, _meaningless),
)
"""Exceptions of the HTTP library and what each means; the first that fits counts."""

"""What can go wrong with a request by HTTP, in words without secrets."""

from __future__ import annotations

import http.client
import re
import socket
import ssl
from typing import NamedTuple
from urllib.parse import urlsplit, urlunsplit

from urllib3 import exceptions as wrong

from larun.errors import ArchiveRefused

_SECRET = re.compile(
    r"(?i)((?:^|[?&])[^=&\s]*(?:sig|token|secret|password|passwd|key|credential|auth)[^=&\s]*=)[^&\s]*"
)
_PLAIN = re.compile(r"[a-z]+://[a-z0-9.-]+(?::\d+)?/[\w./-]*(?:\?uri=[\w.:/-]*)?", re.ASCII)
"""A URL without anything to hide, such as that of a product."""

_URL = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://\S+")


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


class Waits(NamedTuple):
    """Longest wait for a connection, and longest silence within an answer, seconds."""

    connect_s: float
    silence_s: float


def redact(url: str) -> str:
    """URL without user, password, and values of query fields that sign or identify; empty where it is none."""
    if _PLAIN.fullmatch(url):
        return url
    try:
        parts = urlsplit(url)
    except ValueError:
        return ""
    place = parts.netloc.rpartition("@")[2]
    query = _SECRET.sub(r"\1...", "%20".join(parts.query.split()))
    return urlunsplit((parts.scheme, place, parts.path, query, ""))


def without_secrets(text: str) -> str:
    """Text in which every URL is redacted, and every query field outside of one that signs or identifies."""
    return _SECRET.sub(r"\1...", _URL.sub(lambda found: redact(found[0]), text))


def meaning(error: Exception, url: str, within: Waits) -> Failure | ArchiveRefused:
    """What an exception of the HTTP library means."""
    place = redact(url)
    for kind, said in _MEANINGS:
        if isinstance(error, kind):
            return said(error, place, within)
    return Failure(f"{place}: {_broken(error)}")


def _meaningless(error: Exception, place: str, within: Waits) -> ArchiveRefused:
    return ArchiveRefused(f"{place!r} is no address of a service; look at [archives] in the configuration")


def _unknown_host(error: Exception, place: str, within: Waits) -> Failure:
    host = urlsplit(place).hostname
    if getattr(error.__cause__, "errno", None) == socket.EAI_NONAME:
        return Failure(f"{place}: there is no host {host}; look at [archives] in the configuration", nowhere=True)
    return Failure(f"{place}: the name of the host {host} cannot be looked up now")


def _no_connection(error: Exception, place: str, within: Waits) -> Failure:
    cause = error.__cause__ or error.__context__
    return Failure(f"{place}: cannot connect: {getattr(cause, 'strerror', None) or 'there is no way to it'}")


def _slow_connection(error: Exception, place: str, within: Waits) -> Failure:
    return Failure(f"{place}: no connection within {within.connect_s:g} s")


def _silence(error: Exception, place: str, within: Waits) -> Failure:
    return Failure(f"{place}: nothing came for {within.silence_s:g} s")


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


def _proxy_failure(error: wrong.ProxyError, place: str, within: Waits) -> Failure | ArchiveRefused:
    said = str(error.original_error)
    refused = re.search(r"\b(401|403|407)\b", said)
    if refused:
        return ArchiveRefused(
            f"{place}: the proxy of the environment (https_proxy, http_proxy) answers {refused[1]} and lets us not "
            "through; give it the right user and password, or name the host in no_proxy"
        )
    return Failure(f"{place}: the proxy of the environment (https_proxy, http_proxy) does not serve")


def _tls_failure(error: Exception, place: str, within: Waits) -> Failure | ArchiveRefused:
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

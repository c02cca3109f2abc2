"""HTTP to one service: attempts, redirects and what a status means, within the request budget.

A request that fails in a way that may pass is made again after a random wait (full jitter, Brooker 2015, "Exponential
backoff and jitter"), so that many workers do not come back together.
"""

from __future__ import annotations

import logging
import random
import time
from typing import NamedTuple
from urllib.parse import urljoin, urlsplit

from larun.archive.allowance import Verdict
from larun.archive.connections import Connections
from larun.archive.failures import Failure, redact
from larun.archive.lines import Line
from larun.archive.wire import USER_AGENT, Answer, Wire, retry_after
from larun.config import ArchiveSettings
from larun.errors import ArchiveRefused, ProductUnreachable

log = logging.getLogger(__name__)

_REDIRECTS = {301, 302, 303, 307, 308}
_SEE_OTHER = {301, 302, 303}
"""Redirects after which a POST becomes a GET."""

_MOST_REDIRECTS = 8
_REFUSALS = frozenset({401, 403, 407})
_ABSENT = frozenset({404, 410})
_ALWAYS = {"User-Agent": USER_AGENT}

PROXY_HINT = (
    "a proxy or a login page answers in place of the archive. Look at https_proxy and no_proxy, or open the URL in a "
    "browser"
)


class _Request(NamedTuple):
    method: str
    url: str
    headers: dict[str, str]
    body: bytes | None = None
    accept: frozenset[int] = _ABSENT


class Client:
    """A service that is asked by HTTP; for several threads at once.

    Parameters
    ----------
    service : str
        Name in the request budget: ``mast``, ``cloud``, or any other.
    settings : ArchiveSettings
        Timeouts, attempts and limits.
    budget : str
        Address of the budget of the run; empty for one of this process alone.
    sign_of_life : str
        URL that the service answers where it serves, be it that there is no such thing; asked for to tell an outage
        from a product that always fails, while nothing else came from the service.
    patient : bool
        False not to wait for a service in doubt, because there is another way to the same thing.

    Notes
    -----
    A request is made `archives.attempts` times. Where the service served somebody else since the first failure, the
    request is to blame; where it did not, the service is in doubt, and the request waits under the breaker until it
    serves again or is given up.
    """

    def __init__(
        self, service: str, settings: ArchiveSettings, budget: str = "", sign_of_life: str = "", *, patient: bool = True
    ):
        self.service = service
        self._is_patient = patient
        self._sign_of_life = sign_of_life
        self._settings = settings
        self._connections = Connections(service, settings, budget)
        self._random = random.Random()
        self._known_good = ""
        self._pages_in_a_row = 0

    def get(
        self,
        url: str,
        headers: dict[str, str] | None = None,
        accept: frozenset[int] = _ABSENT,
        method: str = "GET",
    ) -> Answer:
        """Get a document.

        Parameters
        ----------
        url : str
            What to get.
        headers : dict
            Further header fields.
        accept : set of int
            Statuses beside 2xx that are an answer to the caller.
        method : str
            ``HEAD`` for the header fields alone.

        Raises
        ------
        ProductUnreachable
            All attempts failed, or the status is none that a retry would change.
        ArchiveRefused
            Status 401, 403 or 407 from a service that never delivered, or a certificate that cannot be verified.
        ArchiveOutage
            The service is given up, or the budget is gone.
        """
        return self._request(_Request(method, url, _ALWAYS | headers if headers else _ALWAYS, None, accept))

    def post(self, url: str, body: bytes, headers: dict[str, str] | None = None) -> Answer:
        """Post a form or document; raises as `get` does, and for a status of 404 too."""
        said = _ALWAYS | {"Content-Type": "application/x-www-form-urlencoded"} | (headers or {})
        return self._request(_Request("POST", url, said, body, frozenset()))

    def download(self, url: str, accept: frozenset[int] = _ABSENT) -> Answer:
        """Get a file, as `get` does; a web page in its place is the caller's to refuse, once or twice.

        Raises
        ------
        ArchiveRefused
            As in `get`, and where every file comes as a web page.
        """
        answer = self.get(url, accept=accept)
        if answer.status != 200 or not answer.is_html:
            self._pages_in_a_row = 0
            return answer
        self._pages_in_a_row += 1
        if self._pages_in_a_row >= self._settings.outage_failures:
            raise ArchiveRefused(
                f"{answer.url} should be a file, and the last {self._pages_in_a_row} files all came as web pages, this "
                f"one beginning {answer.data[:60]!r}: {PROXY_HINT}"
            )
        return answer

    def close(self) -> None:
        """Close connections and give their permits back; the next request opens them again."""
        self._connections.close()

    def _request(self, request: _Request) -> Answer:
        n_failures = 0
        first_failure = in_vain_since = None
        while True:
            try:
                answer = self._attempt(request, in_vain_since)
            except Failure as failure:
                first_failure = first_failure or time.monotonic()
                n_failures = 1 if in_vain_since is not None else n_failures + 1
                in_vain_since, last = None, failure
                log.debug("attempt %d of %d: %s", n_failures, self._settings.attempts, failure.reason)
                if n_failures < self._settings.attempts:
                    time.sleep(self._wait_s(n_failures))
                    continue
                if not self._is_patient or self._is_refused(failure):
                    raise self._final(failure) from failure
                in_vain_since = first_failure
                continue
            if answer is None:
                raise self._final(last) from last
            if 200 <= answer.status < 300 or answer.status in request.accept:
                return answer
            raise ProductUnreachable(f"{answer.url} answers {answer.status}, which no retry changes")

    def _is_refused(self, failure: Failure) -> bool:
        """Whether the service refuses us: one that delivered before refuses one thing."""
        return failure.refused and not self._known_good

    def _final(self, failure: Failure) -> ProductUnreachable | ArchiveRefused:
        """What the last attempt's failure comes to."""
        if self._is_refused(failure):
            return ArchiveRefused(
                f"{failure.reason}, {self._settings.attempts} times: {self.service} refuses us; it needs credentials "
                "that larun does not have, or a proxy between it and us does"
            )
        return ProductUnreachable(f"{failure.reason}, the last of {self._settings.attempts} attempts")

    def _wait_s(self, n_failures: int) -> float:
        """Full jitter: anything up to twice the mean, which doubles with each failure."""
        longest = min(self._settings.max_backoff_s, 2 * self._settings.backoff_s * 2 ** (n_failures - 1))
        return self._random.uniform(0.0, longest)

    def _attempt(self, request: _Request, in_vain_since: float | None) -> Answer | None:
        """One attempt that counts; while the service is out, what it takes until it is back.

        None where the request was in vain since a time and the service served others meanwhile.
        """
        with self._connections.lent() as lent:
            while True:
                verdict = lent.permission(in_vain_since)
                line, wire = lent.connection.line, lent.connection.wire
                if verdict is Verdict.ENOUGH:
                    return None
                if verdict is Verdict.PROBE and (self._known_good or self._sign_of_life):
                    failure = self._probe(line, wire)
                    if failure is not None and not self._is_patient:
                        raise failure
                    in_vain_since = in_vain_since if failure is None else None
                    continue
                try:
                    answer = _follow(wire, request)
                except Failure as failure:
                    if self._is_refused(failure):
                        line.succeeded()
                        raise
                    line.failed(failure.reason, failure.retry_after_s)
                    if failure.nowhere and not self._known_good:
                        raise ArchiveRefused(failure.reason) from failure
                    if verdict is Verdict.GO or not self._is_patient:
                        raise
                    in_vain_since = None
                    continue
                line.succeeded()
                if request.method == "GET" and answer.status == 200:
                    self._known_good = request.url
                return answer

    def _probe(self, line: Line, wire: Wire) -> Failure | None:
        """Look whether the service is back, with something that it delivered before or that it answers at least."""
        url, accept = (self._known_good, _ABSENT) if self._known_good else (self._sign_of_life, _REFUSALS)
        try:
            _follow(wire, _Request("HEAD", url, _ALWAYS, None, accept))
        except Failure as failure:
            line.failed(failure.reason, failure.retry_after_s)
            return failure
        line.succeeded()
        return None


def _follow(wire: Wire, request: _Request) -> Answer:
    """Answer to a request after redirects."""
    seen: set[str] = set()
    while (answer := _once(wire, request)).status in _REDIRECTS:
        seen.add(request.url)
        target = _redirected(request.url, answer)
        if target in seen or len(seen) > _MOST_REDIRECTS:
            raise Failure(f"{answer.url} redirects in a circle (redirect {len(seen)})")
        request = request._replace(url=target)
        if answer.status in _SEE_OTHER and request.method == "POST":
            request = request._replace(method="GET", body=None)
    return answer


def _redirected(url: str, answer: Answer) -> str:
    """Where an answer sends us."""
    place = answer.headers.get("location")
    try:
        target = urljoin(url, place or "")
        scheme, _ = urlsplit(target).scheme, urlsplit(target).port
    except ValueError:
        scheme = ""
    if not place or scheme not in ("http", "https"):
        raise Failure(f"{answer.url} redirects to no place that can be followed: {redact(place or '')[:120]!r}")
    if urlsplit(url).scheme == "https" and scheme != "https":
        raise ArchiveRefused(f"{answer.url} redirects to {redact(target)}, which is not secured; not followed")
    return target


def _once(wire: Wire, request: _Request) -> Answer:
    """One request and its answer; statuses and bodies that a retry may change are failures."""
    answer = wire.exchange(request.method, request.url, request.headers, request.body)
    if answer.status in (408, 425, 429) or answer.status >= 500:
        wait_s = retry_after(answer.headers, time.time()) if answer.status in (429, 503) else None
        asked = "" if wait_s is None else f" and asks to be left alone for {wait_s:.0f} s"
        raise Failure(f"{answer.url} answers {answer.status}{asked}", wait_s)
    if answer.status in _REFUSALS and answer.status not in request.accept:
        raise Failure(f"{answer.url} answers {answer.status}", refused=True)
    if request.method != "HEAD" and answer.status < 300:
        if answer.status != 200:
            raise Failure(f"{answer.url} answers {answer.status}, where 200 and the whole was expected")
        if not answer.data:
            raise Failure(f"{answer.url} answers 200 with nothing")
    return answer

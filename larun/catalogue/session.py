"""One HTTP session for all catalogues: timeouts, few bounded retries, whole bodies; pyvo and astroquery run on it."""

from __future__ import annotations

import io
import logging
import random
import time

import requests
import urllib3

import larun
from larun.config import ArchiveSettings

log = logging.getLogger(__name__)

ATTEMPTS = 3
"""Times that one request is made. A match can wait for the next night, so it does not try as hard as an ingest."""

_TRY_AGAIN = frozenset({429, 500, 502, 503, 504})
_WHOLE_ANSWER_TIMEOUTS = 5
"""Longest time for one whole answer, in read timeouts: a service that sends a byte now and then is as good as down."""
_POLL_S = 1.0
"""Wait before MAST is asked again whether it is done; astroquery itself asks without a pause."""


class CatalogueSession(requests.Session):
    """A `requests.Session` whose every request ends: whole, with an error, or after a known time.

    Parameters
    ----------
    settings : ArchiveSettings
        Timeouts and waits.
    """

    def __init__(self, settings: ArchiveSettings):
        super().__init__()
        self._settings = settings
        self.headers["User-Agent"] = f"larun/{larun.__version__} {self.headers['User-Agent']}"

    def send(self, request: requests.PreparedRequest, **kwargs) -> requests.Response:
        """Send a request and read its whole answer, again where the failure is one that passes.

        Raises
        ------
        requests.RequestException
            No whole answer came, in all attempts. An answer with an error status is returned.
        """
        kwargs["stream"] = True
        kwargs["timeout"] = (self._settings.connect_timeout_s, self._settings.read_timeout_s)
        attempt = 1
        while True:
            try:
                response = self._whole(super().send(request, **kwargs))
            except requests.RequestException as error:
                if attempt == ATTEMPTS or isinstance(
                    error, requests.exceptions.InvalidSchema | requests.TooManyRedirects
                ):
                    raise
                wait, said = self._wait(attempt), type(error).__name__
            else:
                if attempt == ATTEMPTS or response.status_code not in _TRY_AGAIN:
                    if b'"EXECUTING"' in response.content[:200]:
                        time.sleep(_POLL_S)
                    return response
                wait, said = self._wait(attempt, response.headers.get("Retry-After", "")), response.status_code
            log.info("%s: %s; attempt %d of %d follows in %.1f s", request.url, said, attempt + 1, ATTEMPTS, wait)
            time.sleep(wait)
            attempt += 1

    def disconnect(self) -> None:
        """Close the connections that are kept for the next request; it opens them again."""
        for adapter in self.adapters.values():
            adapter.close()

    def _wait(self, attempt: int, retry_after: str = "") -> float:
        """Seconds before the next attempt: what the service asks for, else full jitter; never longer than set."""
        asked = float(retry_after) if retry_after.strip().isdecimal() else 0.0
        drawn = random.uniform(0, 2 * self._settings.backoff_s * 2 ** (attempt - 1))
        return min(asked or drawn, self._settings.max_backoff_s)

    def _whole(self, response: requests.Response) -> requests.Response:
        """Read the body now, within its time, and let readers of the raw stream have it from memory."""
        until = time.monotonic() + _WHOLE_ANSWER_TIMEOUTS * self._settings.read_timeout_s
        parts = []
        try:
            for part in response.iter_content(1 << 16):
                parts.append(part)
                if time.monotonic() > until:
                    raise requests.ReadTimeout(f"{response.url} did not send its whole answer in time")
        finally:
            response.close()
        content = b"".join(parts)
        response._content = content
        headers = {k: v for k, v in response.headers.items() if k.lower() not in {"content-encoding", "content-length"}}
        response.raw = urllib3.HTTPResponse(
            io.BytesIO(content), headers=headers, status=response.status_code, preload_content=False
        )
        return response

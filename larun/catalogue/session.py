"""One HTTP session for all catalogues: timeouts, few bounded retries, whole bodies; pyvo and astroquery run on it."""

from __future__ import annotations

import io
import logging
import random
import time
from email.utils import parsedate_to_datetime
from urllib.parse import urlsplit, urlunsplit

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


def without_password(url: str) -> str:
    """URL without user and password."""
    parts = urlsplit(url)
    return urlunsplit(parts._replace(netloc=parts.netloc.rpartition("@")[2]))


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

        A service that asks to be left alone for longer than the longest wait is not asked again.

        Raises
        ------
        requests.RequestException
            No whole answer came, in all attempts. An answer with an error status is returned.
        """
        # What the address held of a password is in a header by now, and errors and logs quote the address.
        request.url = without_password(request.url)
        kwargs["stream"] = True
        kwargs["timeout"] = (self._settings.connect_timeout_s, self._settings.read_timeout_s)
        # requests follows a redirect by sending again through this method: the attempts are those of the first request.
        attempts = ATTEMPTS if kwargs.get("allow_redirects", True) else 1
        attempt = 1
        while True:
            try:
                response = self._whole(super().send(request, **kwargs))
            except requests.RequestException as error:
                if attempt == attempts or isinstance(
                    error, requests.exceptions.InvalidSchema | requests.TooManyRedirects
                ):
                    raise
                wait, said = self._drawn(attempt), type(error).__name__
            else:
                asked = _asked(response)
                patient = asked is None or asked <= self._settings.max_backoff_s
                if attempt == attempts or response.status_code not in _TRY_AGAIN or not patient:
                    if b'"EXECUTING"' in response.content[:200]:
                        time.sleep(_POLL_S)
                    return response
                wait, said = self._drawn(attempt) if asked is None else asked, response.status_code
            log.info("%s: %s; attempt %d of %d follows in %.1f s", request.url, said, attempt + 1, attempts, wait)
            time.sleep(wait)
            attempt += 1

    def disconnect(self) -> None:
        """Close the connections that are kept for the next request; it opens them again."""
        for adapter in self.adapters.values():
            adapter.close()

    def _drawn(self, attempt: int) -> float:
        """Seconds before the next attempt, with full jitter."""
        return min(random.uniform(0, 2 * self._settings.backoff_s * 2 ** (attempt - 1)), self._settings.max_backoff_s)

    def _whole(self, response: requests.Response) -> requests.Response:
        """Read the body now, within its time, and let readers of the raw stream have it from memory."""
        until = time.monotonic() + _WHOLE_ANSWER_TIMEOUTS * self._settings.read_timeout_s
        parts = []
        try:
            # What has come, however little: a whole part of a body that trickles would be waited for without end.
            while part := response.raw.read1(1 << 16, decode_content=True):
                parts.append(part)
                if time.monotonic() > until:
                    raise requests.ReadTimeout(f"{response.url} did not send its whole answer in time")
        except urllib3.exceptions.ReadTimeoutError as error:
            raise requests.ReadTimeout(str(error)) from error
        except urllib3.exceptions.HTTPError as error:
            raise requests.exceptions.ChunkedEncodingError(str(error)) from error
        finally:
            response.close()
        content = b"".join(parts)
        response._content = content
        headers = {k: v for k, v in response.headers.items() if k.lower() not in {"content-encoding", "content-length"}}
        response.raw = urllib3.HTTPResponse(
            io.BytesIO(content), headers=headers, status=response.status_code, preload_content=False
        )
        return response


def _asked(response: requests.Response) -> float | None:
    """Seconds that a service asks to be left alone, in seconds or as a date; None where it does not say."""
    said = response.headers.get("Retry-After", "").strip()
    if said.isdecimal():
        return float(said)
    try:
        return max(0.0, parsedate_to_datetime(said).timestamp() - time.time())
    except (ValueError, TypeError, OverflowError):
        return None

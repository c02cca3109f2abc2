"""astroquery's MAST client with larun's own connections below it.

astroquery sets no timeout, does not retry, ignores Retry-After and polls an unfinished query without a pause. Here
every request that it makes goes through `larun.archive.http.Client`, and so under the request budget of the survey.
"""

from __future__ import annotations

import io
import json
import logging
import random
import re
import tempfile
import threading
import time
import warnings
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from larun.archive.http import Client
from larun.archive.mast import download_url, mast_client
from larun.archive.wire import Answer
from larun.config import ArchiveSettings
from larun.errors import ProductAbsent, ProductUnreachable

if TYPE_CHECKING:
    import requests
    from astropy.table import Table
    from astroquery.mast import ObservationsClass

log = logging.getLogger(__name__)

BATCH = 500
"""Names or observations of one query."""

_LOCK = threading.RLock()
"""astroquery keeps the state of a query in its client and in its classes: one call at a time per process."""

_OBSERVATION = ("obsid", "target_name", "project", "provenance_name", "sequence_number", "s_ra", "s_dec")
_PRODUCT = ("productFilename", "dataURI")


class Portal:
    """Searches and downloads of astroquery, one at a time per process.

    Parameters
    ----------
    settings : ArchiveSettings
        Where MAST is, and how politely it is asked.
    budget : str
        Address of the survey's request budget; empty for one of this process alone.

    Notes
    -----
    The client is one of our own: the `astroquery.mast.Observations` that other code of the process may use is left as
    it is. Nothing is kept of an answer.
    """

    def __init__(self, settings: ArchiveSettings, budget: str = ""):
        self._settings = settings
        self._budget = budget
        self._client: Client | None = None
        self._observations: ObservationsClass | None = None

    def __reduce__(self):
        return (type(self), (self._settings, self._budget))

    @property
    def search_url(self) -> str:
        """Where searches go."""
        return f"{self._settings.mast_url.rstrip('/')}/api/v0/invoke"

    def url_of(self, uri: str) -> str:
        """Where a file comes from."""
        return download_url(self._settings, uri)

    def observations(self, **criteria: Any) -> list[dict[str, Any]]:
        """Observations that fulfil all criteria of `Observations.query_criteria`; missing values are None.

        Raises
        ------
        ProductUnreachable
            No table came after all attempts: MAST is out of order, or something answers in its place.
        ArchiveError
            MAST does not serve now, or refuses us.
        """
        return _rows(self._ask(lambda mast: mast.query_criteria(**criteria)), _OBSERVATION)

    def products(self, obsids: Sequence[str]) -> Iterator[dict[str, Any]]:
        """Files of observations; asked for in batches.

        Raises
        ------
        ProductUnreachable, ArchiveError
            As in `observations`.
        """
        for batch in batches(obsids):
            yield from _rows(self._ask(lambda mast, batch=batch: mast.get_product_list(list(batch))), _PRODUCT)

    def position(self, name: str) -> tuple[float, float] | None:
        """Right ascension and declination of a name, degrees, from MAST's own resolver; None where it knows none.

        The resolver that astroquery and lightkurve ask lies on a host of its own, which they reach past every
        setting of theirs; this is the same resolver behind MAST's interface.

        Raises
        ------
        ProductUnreachable, ArchiveError
            As in `observations`.
        """
        request = {"service": "Mast.Name.Lookup", "params": {"input": name, "format": "json"}, "format": "json"}

        def look_up(mast: ObservationsClass) -> list[dict[str, Any]]:
            url = mast._portal_api_connection.MAST_REQUEST_URL
            answer = mast._session.post(url, data={"request": json.dumps(request)})
            answer.raise_for_status()
            return answer.json()["resolvedCoordinate"]

        found = self._ask(look_up)
        return (float(found[0]["ra"]), float(found[0]["decl"])) if found else None

    def download(self, uri: str) -> bytes:
        """Bytes of a file, by its MAST URI. They lie in a temporary folder of this call alone in between.

        Raises
        ------
        ProductAbsent
            MAST has no such file.
        ProductUnreachable
            It did not come after all attempts.
        ArchiveError
            MAST does not serve now, or refuses us.
        """
        with _LOCK, tempfile.TemporaryDirectory(prefix="larun-") as folder:
            path = Path(folder) / "product.fits"
            status, message, _ = self._mast().download_file(uri, local_path=str(path), cache=False, verbose=False)
            if status == "COMPLETE":
                return path.read_bytes()
        if message and re.search(r"HTTPError: (404|410)\b", message):
            raise ProductAbsent(f"MAST has no {uri}")
        raise ProductUnreachable(f"{uri} did not come: {message or status}")

    def close(self) -> None:
        """Let go of the connections; the next use opens them again."""
        with _LOCK:
            client, self._client, self._observations = self._client, None, None
            if client is not None:
                client.close()

    def _mast(self) -> ObservationsClass:
        """The client of this process; call it under the lock."""
        if self._observations is None:
            from astroquery.mast import ObservationsClass

            self._client = mast_client(self._settings, self._budget)
            self._observations = mast = ObservationsClass()
            adapter = _adapter(self._client, self._settings)
            # Proxies are the business of `Client`, and MAST is asked without anybody's credentials.
            mast._session.trust_env = False
            for scheme in ("https://", "http://"):
                mast._session.mount(scheme, adapter)
            _point_at(mast, self._settings.mast_url)
            connection = mast._portal_api_connection
            connection.TIMEOUT = min(connection.TIMEOUT, self._settings.patience_s)
        return self._observations

    def _ask(self, question: Callable[[ObservationsClass], Any]) -> Any:
        """Answer to a search; asked again where what came is not what MAST answers."""
        from astroquery.exceptions import NoResultsWarning, RemoteServiceError

        attempts = self._settings.attempts
        attempt = 0
        while True:
            attempt += 1
            try:
                with _LOCK, warnings.catch_warnings():
                    warnings.simplefilter("ignore", NoResultsWarning)
                    return question(self._mast())
            except TimeoutError as error:
                raise ProductUnreachable(f"{self._settings.mast_url} is still at work on a search: {error}") from error
            except (RemoteServiceError, ValueError, KeyError) as error:
                log.info("attempt %d of a search in MAST failed: %s: %s", attempt, type(error).__name__, error)
                if attempt >= attempts:
                    raise ProductUnreachable(
                        f"{self._settings.mast_url} answered a search {attempts} times with something else than a "
                        f"table ({type(error).__name__}: {error}): maintenance, or a proxy that answers in its place; "
                        "look at it with a browser"
                    ) from error
            time.sleep(_pause_s(attempt, self._settings))


def batches(items: Sequence[str]) -> Iterator[Sequence[str]]:
    """Parts of a list that one query takes."""
    for start in range(0, len(items), BATCH):
        yield items[start : start + BATCH]


def _point_at(mast: ObservationsClass, url: str) -> None:
    """Let a client ask another server; the official one is left to astroquery's own configuration."""
    if url == ArchiveSettings.model_fields["mast_url"].default:
        return
    connection = mast._portal_api_connection
    for name in ("MAST_REQUEST_URL", "COLUMNS_CONFIG_URL", "MAST_DOWNLOAD_URL", "MAST_BUNDLE_URL"):
        _, _, path = getattr(type(connection), name).partition("://")
        setattr(connection, name, url.rstrip("/") + "/" + path.partition("/")[2])
    # Descriptions of columns are kept by class, whatever server they came from.
    connection._column_configs = {}


def _adapter(client: Client, settings: ArchiveSettings) -> requests.adapters.BaseAdapter:
    """Transport of a `requests` session that is a `Client`."""
    import requests

    class Adapter(requests.adapters.BaseAdapter):
        def send(self, request, *_, **__):
            if request.method == "HEAD":
                # astroquery asks for a file's length before it fetches it, and here has no use for it.
                return _response(request, Answer(200, {}, b"", request.url))
            headers = {key: value for key, value in request.headers.items() if key.lower() in _PASSED_ON}
            if request.method == "GET":
                return _response(request, client.get(request.url, headers=headers))
            body = request.body.encode() if isinstance(request.body, str) else request.body or b""
            answer = client.post(request.url, body, headers)
            if _is_executing(answer):
                # astroquery asks again at once.
                time.sleep(settings.backoff_s)
            return _response(request, answer)

        def close(self):
            client.close()

    return Adapter()


_PASSED_ON = ("accept", "content-type", "user-agent")


def _is_executing(answer: Answer) -> bool:
    """Whether MAST is still at work on a query."""
    return re.search(rb'"status"\s*:\s*"EXECUTING"', answer.data[:4096]) is not None


def _response(request: requests.PreparedRequest, answer: Answer) -> requests.Response:
    import requests

    response = requests.Response()
    response.status_code = answer.status
    response.headers.update({k: v for k, v in answer.headers.items() if k.lower() != "content-encoding"})
    response.raw = io.BytesIO(answer.data)
    response.url = answer.url
    response.request = request
    return response


def _pause_s(attempt: int, settings: ArchiveSettings) -> float:
    """Wait before an attempt, with full jitter."""
    longest = min(settings.max_backoff_s, 2 * settings.backoff_s * 2 ** (attempt - 1))
    return random.uniform(0, longest)


def _rows(table: Table, columns: Iterable[str]) -> list[dict[str, Any]]:
    """Rows of a table as dictionaries; None where a value is missing."""
    if len(table) == 0:
        return []
    values = {name: table[name].tolist() for name in columns if name in table.colnames}
    return [dict(zip(values, row, strict=True)) for row in zip(*values.values(), strict=True)]

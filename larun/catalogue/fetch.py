"""Asking the services for a catalogue: TAP with pyvo, the TIC with astroquery, ExoFOP's file; all on one session."""

from __future__ import annotations

import contextlib
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from larun.catalogue.files import columns_of_csv, columns_of_table, is_cut
from larun.catalogue.normalise import Raw, normalise
from larun.catalogue.session import CatalogueSession, without_password
from larun.catalogue.sources import Catalogue
from larun.config import ArchiveSettings, CatalogueSettings
from larun.errors import CatalogueError, CatalogueUnreachable

_SAID = 200
"""Longest quotation of what a service or a reader said, characters."""

_MOST_ROWS = 1_000_000
"""Rows that a table service is asked for at most: its own limit is another, which it need not tell."""

_MAST_TIMEOUTS = 5
"""Longest time that MAST may work on one request, in read timeouts."""


@dataclass(frozen=True, slots=True)
class StarList:
    """Stars that a catalogue is asked about.

    Parameters
    ----------
    tic : sequence of int
        TIC numbers; -1 where there is none.
    ra, dec : sequence of float
        Degrees, ICRS; NaN where not known.
    """

    tic: Sequence[int]
    ra: Sequence[float]
    dec: Sequence[float]


@dataclass(frozen=True, slots=True)
class Reply:
    """What a service sent: columns of the snapshot, the query as it was asked, and where."""

    columns: dict[str, list[Any]]
    query: str
    url: str


class CatalogueServices:
    """The services of all catalogues, asked one after the other on one session.

    Parameters
    ----------
    archives : ArchiveSettings
        Timeouts, and the address of MAST.
    catalogues : CatalogueSettings
        Addresses of the others, and the radius of matches by position.
    mast_permit : callable
        Gives a context within which one request to MAST may be made.
    """

    def __init__(
        self,
        archives: ArchiveSettings,
        catalogues: CatalogueSettings,
        mast_permit: Callable[[], AbstractContextManager] = contextlib.nullcontext,
    ):
        self._addresses = {
            "exoplanet_archive": catalogues.exoplanet_archive_url,
            "vizier": catalogues.vizier_url,
            "exofop": catalogues.exofop_url,
            "mast": archives.mast_url,
        }
        self._radius_deg = catalogues.radius_arcsec / 3600.0
        self._mast_permit = mast_permit
        self._mast_timeout_s = _MAST_TIMEOUTS * archives.read_timeout_s
        self._session = CatalogueSession(archives)

    def __enter__(self) -> CatalogueServices:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self._session.close()

    def query(self, catalogue: Catalogue) -> str:
        """The catalogue's query as it is asked with these settings."""
        return catalogue.query.replace("{radius_deg}", f"{self._radius_deg:.8f}")

    def fetch(self, catalogue: Catalogue, stars: StarList | None = None) -> Reply:
        """Ask for a catalogue.

        Parameters
        ----------
        catalogue : Catalogue
            Which.
        stars : StarList, optional
            For a catalogue that is asked about given stars.

        Raises
        ------
        CatalogueUnreachable
            The service did not answer, or with an error status.
        CatalogueError
            It answered something else than the catalogue: an error, a web page, a broken or cut table.
        """
        address = self._addresses[catalogue.service].rstrip("/")
        shown = without_password(address)
        ask = {"exofop": self._file, "mast": self._tic}.get(catalogue.service, self._tap)
        raw: dict[str, list[Any]] = {}
        with _said_plainly(address):
            for batch in [None] if stars is None else _batches(stars, catalogue):
                for name, values in ask(catalogue, address, batch).items():
                    raw.setdefault(name, []).extend(values)
        if not raw and stars is not None:
            return Reply({column.name: [] for column in catalogue.columns}, self.query(catalogue), shown)
        return Reply(normalise(catalogue, raw), self.query(catalogue), shown)

    def _tap(self, catalogue: Catalogue, address: str, stars: StarList | None) -> Raw:
        import pyvo
        from astropy.table import Table

        uploads = None
        if stars is not None:
            uploads = {"stars": Table({"tic": list(stars.tic), "ra": list(stars.ra), "dec": list(stars.dec)})}
        service = pyvo.dal.TAPService(address, session=self._session)
        result = service.run_sync(self.query(catalogue), maxrec=_MOST_ROWS, uploads=uploads)
        if is_cut(result.votable):
            raise CatalogueError(f"{_host(address)} cut the table after {len(result)} rows")
        return columns_of_table(result.to_table())

    def _file(self, catalogue: Catalogue, address: str, stars: StarList | None) -> Raw:
        response = self._session.get(f"{address}/{catalogue.query}")
        response.raise_for_status()
        columns = columns_of_csv(response.content)
        if not response.content.endswith(b"\n"):
            raise CatalogueError(f"the file of {_host(address)} breaks off in its last line")
        return columns

    def _tic(self, catalogue: Catalogue, address: str, stars: StarList) -> Raw:
        from astroquery.mast import Catalogs

        # The address and the session are astroquery's own attributes: what its configuration sets is read on import.
        client = type(Catalogs)()
        portal = client._portal_api_connection
        portal._session = self._session
        portal.MAST_REQUEST_URL = f"{address}/api/v0/invoke"
        portal.COLUMNS_CONFIG_URL = f"{address}/portal/Mashup/Mashup.asmx/columnsconfig"
        portal.TIMEOUT = self._mast_timeout_s
        with self._mast_permit():
            try:
                return columns_of_table(client.query_criteria(catalog="Tic", ID=list(stars.tic)))
            finally:
                self._session.disconnect()


def _host(address: str) -> str:
    return urlsplit(address).hostname or "no address"


def _batches(stars: StarList, catalogue: Catalogue) -> Iterator[StarList]:
    """Stars in portions of one request: with a number for the TIC, with a position for the others."""
    rows = [
        row
        for row in zip(stars.tic, stars.ra, stars.dec, strict=True)
        if (row[0] >= 0 if catalogue.service == "mast" else row[1] == row[1] and row[2] == row[2])
    ]
    for start in range(0, len(rows), catalogue.stars_per_request):
        yield StarList(*zip(*rows[start : start + catalogue.stars_per_request], strict=True))


@contextlib.contextmanager
def _said_plainly(address: str) -> Iterator[None]:
    """Turn what pyvo, astroquery and requests raise into our errors, without addresses that may hold a password."""
    from astropy.utils.exceptions import AstropyWarning
    from pyvo.dal import DALAccessError, DALOverflowWarning
    from requests import RequestException

    host = _host(address)
    with warnings.catch_warnings():
        # Units and empty replies that astropy, astroquery and pyvo remark upon; a cut table is an error here.
        warnings.simplefilter("ignore", AstropyWarning)
        warnings.simplefilter("ignore", DALOverflowWarning)
        try:
            yield
        except (RequestException, DALAccessError, OSError, *_format_errors()) as error:
            raise _plain_error(host, getattr(error, "cause", None) or error) from error


def _plain_error(host: str, cause: Exception) -> CatalogueError:
    """What an error means: the service does not answer, or it answers something else."""
    from requests.exceptions import HTTPError, InvalidJSONError, RequestException

    if isinstance(cause, HTTPError) and cause.response is not None:
        status = cause.response.status_code
        passing = status == 429 or status >= 500
        said = f"{host} answered HTTP {status}"
        return CatalogueUnreachable(said) if passing else CatalogueError(said)
    if isinstance(cause, InvalidJSONError):
        return CatalogueError(f"{host} should have answered JSON and did not")
    if isinstance(cause, RequestException | OSError):
        return CatalogueUnreachable(f"{host} does not answer: {type(cause).__name__}")
    said = " ".join(str(cause).split())[:_SAID]
    return CatalogueError(f"{host} sent no such table: {said or type(cause).__name__}")


def _format_errors() -> tuple[type[Exception], ...]:
    """Errors by which readers say that an answer is no table."""
    from astroquery.exceptions import InvalidQueryError, RemoteServiceError

    return (InvalidQueryError, RemoteServiceError, ValueError, KeyError, TypeError, IndexError, AttributeError)

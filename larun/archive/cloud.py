"""The public bucket of the mission, asked anonymously through the REST interface of S3."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass, field
from functools import cached_property
from urllib.parse import quote, urlencode
from xml.etree import ElementTree as ET

from larun.archive import listing
from larun.archive.failures import redact
from larun.archive.http import Client
from larun.archive.mast import in_words, mast_client
from larun.archive.names import bucket_folder, bucket_key, ffi_cadence_s, parse
from larun.archive.protocol import Fetched
from larun.archive.wire import Answer
from larun.config import ArchiveSettings
from larun.errors import ArchiveOutage, ArchiveRefused, InputError, ProductAbsent, ProductUnreachable
from larun.paths import Product
from larun.plan import PlannedTarget, TargetList

PAGE_KEYS = 1000
"""Keys of one page of a listing, as many as S3 gives."""

_OBJECT_STATUSES = frozenset({403, 404, 410})


@dataclass(frozen=True)
class CloudArchive:
    """The public bucket of the TESS mission.

    Parameters
    ----------
    settings : ArchiveSettings
        Where it is, and how politely it is asked.
    budget : str
        Address of the request budget of the run; empty for one of this process alone.
    """

    settings: ArchiveSettings
    budget: str = field(default="", repr=False)

    name = "cloud"

    def __reduce__(self):
        return type(self), (self.settings, self.budget)

    def targets(self, product: Product) -> TargetList:
        """Targets by MAST's bulk list of the sector, or by listing the bucket where that is not to be had.

        Raises
        ------
        InputError
            The bucket holds no such sector; says which it holds.
        ArchiveError
            The archive does not serve now, or refuses us.
        """
        listing.require_known(product)
        lists = listing.lists_client(self.settings, self.budget, patient=False)
        mast = mast_client(self.settings, self.budget, patient=False)
        with closing(mast):
            found = listing.targets_or(lists, mast, self.settings, product, lambda: self._listed(product))
        if found is None:
            there = self.sectors(product.mission, product.author, product.cadence_s)
            raise InputError(f"the public bucket holds no {product}; {in_words(there)}")
        return found

    def sectors(self, mission: str, author: str, cadence_s: int) -> list[int]:
        """Sectors of a kind of product, increasing; the folders of 2-min and 20-s products are the same.

        Raises
        ------
        InputError
            Such products are not known here.
        ArchiveError
            The archive does not serve now, or refuses us.
        """
        if mission != "tess":
            return []
        try:
            folders = [name for page in self._pages(bucket_folder(author), "/") for name in page.prefixes]
        except ProductUnreachable as error:
            raise ArchiveOutage(f"the list of sectors is not to be had: {error}") from error
        found = {int(match[1]) for folder in folders if (match := re.search(r"/s(\d{4})/$", folder))}
        if author == "spoc":
            return sorted(s for s in found if cadence_s == 120 or s >= listing.FAST_FIRST_SECTOR)
        return sorted(s for s in found if ffi_cadence_s(s) == cadence_s)

    def fetch(self, product: Product, target: PlannedTarget) -> Fetched:
        """Bytes of one target's product.

        Raises
        ------
        ProductAbsent
            The bucket has no such product.
        ProductUnreachable
            It was not delivered after all attempts.
        ArchiveError
            The archive does not serve at all, or refuses us.
        """
        key = bucket_key(target.product.rpartition("/")[2])
        url = f"{self._url}/{quote(key)}"
        answer = self._client.download(url, _OBJECT_STATUSES)
        if answer.status == 403 and self._lists(key):
            answer = self._client.download(url)
        if answer.status != 200:
            raise ProductAbsent(f"the public bucket has no {key} (status {answer.status})")
        return Fetched(answer.data, redact(url))

    def close(self) -> None:
        """Close connections and give their permits back; the next use opens them again."""
        self._client.close()

    @property
    def _url(self) -> str:
        return self.settings.cloud_url.rstrip("/")

    @cached_property
    def _client(self) -> Client:
        return Client(self.name, self.settings, self.budget, f"{self._url}/tess/public/tid/none.fits")

    def _lists(self, key: str) -> bool:
        """Whether the bucket holds a key.

        S3 answers 403 for a missing key where listing is not allowed, and for one that exists and is not public.
        """
        return key in next(self._pages(key, "", n_keys=1)).keys

    def _listed(self, product: Product) -> TargetList | None:
        """Targets by listing the sector's folder; None where it is empty."""
        folder = f"{bucket_folder(product.author)}s{product.sector:04d}/"
        names: dict[int, str] = {}
        digest = hashlib.sha256()
        for page in self._pages(folder, ""):
            for name in (key.rpartition("/")[2] for key in page.keys):
                said = parse(name)
                if said is None or said.product != product:
                    continue
                digest.update(f"{name}\n".encode())
                if name > names.get(said.target_id, ""):
                    names[said.target_id] = name
        if not names:
            return None
        return TargetList(listing.place(names, {}), redact(f"{self._url}/{folder}"), digest.hexdigest())

    def _pages(self, prefix: str, delimiter: str, n_keys: int | None = None) -> Iterator[_Page]:
        """Pages of a listing (ListObjectsV2)."""
        query = {"list-type": "2", "prefix": prefix, "max-keys": str(n_keys or PAGE_KEYS)} | (
            {"delimiter": delimiter} if delimiter else {}
        )
        token = ""
        while True:
            answer = self._client.get(
                f"{self._url}/?{urlencode(query | ({'continuation-token': token} if token else {}))}",
                accept=_OBJECT_STATUSES,
            )
            if answer.status != 200:
                raise ArchiveRefused(
                    f"{self._url} cannot be listed without credentials: {_s3_error(answer)}. larun reads public "
                    "buckets; look at archives.cloud_url"
                )
            page = _read_page(answer)
            yield page
            token = page.token
            if not token:
                return


@dataclass(frozen=True)
class _Page:
    keys: tuple[str, ...]
    prefixes: tuple[str, ...]
    token: str


def _read_page(answer: Answer) -> _Page:
    listing.refuse_html(answer, "a listing of the bucket")
    root = _xml(answer.data)
    if root is None or root.tag != "ListBucketResult":
        raise ProductUnreachable(f"{answer.url} should be a listing of the bucket, not {answer.data[:60]!r}")
    return _Page(
        tuple(item.findtext("Key", "") for item in root.findall("Contents")),
        tuple(item.findtext("Prefix", "") for item in root.findall("CommonPrefixes")),
        root.findtext("NextContinuationToken", ""),
    )


def _s3_error(answer: Answer) -> str:
    """Status and code of an error of S3."""
    root = _xml(answer.data)
    code = root.findtext("Code", "") if root is not None else ""
    return f"status {answer.status}" + (f", {code}" if code else "")


def _xml(data: bytes) -> ET.Element | None:
    """Root of an XML document without namespaces; None where it is none."""
    try:
        return ET.fromstring(re.sub(rb'\sxmlns="[^"]*"', b"", data, count=1))
    except ET.ParseError:
        return None

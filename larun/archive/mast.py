"""MAST over HTTP: the target list of a sector, and one product per request."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from urllib.parse import quote

from larun.archive import listing
from larun.archive.failures import redact
from larun.archive.http import Client
from larun.archive.names import mast_uri, name_of
from larun.archive.protocol import Fetched
from larun.config import ArchiveSettings
from larun.errors import (
    ArchiveOutage,
    InputError,
    ProductAbsent,
    ProductUnreachable,
)
from larun.paths import Product
from larun.plan import PlannedTarget, TargetList

_PRODUCT_STATUSES = frozenset({404, 410})


@dataclass(frozen=True)
class MastArchive:
    """The archive of the mission.

    Parameters
    ----------
    settings : ArchiveSettings
        Where it is, and how politely it is asked.
    budget : str
        Address of the request budget of the run; empty for one of this process alone.
    """

    settings: ArchiveSettings
    budget: str = field(default="", repr=False)

    name = "mast"

    def __reduce__(self):
        return type(self), (self.settings, self.budget)

    def targets(self, product: Product) -> TargetList:
        """Targets by the bulk list of the sector, or by one query where that is not to be had.

        Raises
        ------
        InputError
            There is no such sector; says which there are.
        ArchiveError
            The archive does not serve now, or refuses us.
        """
        listing.require_known(product)
        lists = listing.lists_client(self.settings, self.budget, patient=False)
        found = listing.targets_or(
            lists,
            self._client,
            self.settings,
            product,
            lambda: listing.targets_by_query(self._client, self.settings, product),
        )
        if found is None:
            there = self.sectors(product.mission, product.author, product.cadence_s)
            raise InputError(f"MAST holds no {product}; {in_words(there)}")
        return found

    def sectors(self, mission: str, author: str, cadence_s: int) -> list[int]:
        """Sectors of a kind of product, increasing.

        Raises
        ------
        InputError
            Such products are not known here.
        ArchiveError
            The archive does not serve now, or refuses us.
        """
        if mission != "tess":
            return []
        lists = listing.lists_client(self.settings, self.budget)
        try:
            return listing.sectors(lists, self.settings, author, cadence_s)
        except ProductUnreachable as error:
            raise ArchiveOutage(f"the list of sectors is not to be had: {error}") from error
        finally:
            lists.close()

    def fetch(self, product: Product, target: PlannedTarget) -> Fetched:
        """Bytes of one target's product.

        Raises
        ------
        ProductAbsent
            MAST has no such product.
        ProductUnreachable
            It was not delivered after all attempts.
        ArchiveError
            The archive does not serve at all, or refuses us.
        """
        name = target.product.rpartition("/")[2] or self._name(product, target.star.target_id)
        url = download_url(self.settings, mast_uri(name))
        answer = self._client.download(url)
        if answer.status in _PRODUCT_STATUSES:
            raise ProductAbsent(f"MAST has no {name} (status {answer.status})")
        return Fetched(answer.data, redact(url))

    def close(self) -> None:
        """Close connections and give their permits back; the next use opens them again."""
        self._client.close()

    @cached_property
    def _client(self) -> Client:
        return mast_client(self.settings, self.budget)

    @cached_property
    def _examples(self) -> dict[Product, str]:
        return {}

    def _name(self, product: Product, number: int) -> str:
        """Name of a target that the plan gives none for, by the rule of its sector's names."""
        if product.author == "spoc" and product not in self._examples:
            self._examples[product] = self.targets(product).targets[0].product
        return name_of(product, number, self._examples.get(product, ""))


def download_url(settings: ArchiveSettings, uri: str) -> str:
    """Where MAST gives out a file."""
    return f"{settings.mast_url.rstrip('/')}/api/v0.1/Download/file?uri={quote(uri, safe=':/')}"


def mast_client(settings: ArchiveSettings, budget: str, *, patient: bool = True) -> Client:
    """Client of MAST, which says at once that it has no file of a name that no file has."""
    return Client("mast", settings, budget, download_url(settings, "mast:TESS/product/none.fits"), patient=patient)


def in_words(sectors: list[int]) -> str:
    """Which sectors there are, in ranges."""
    if not sectors:
        return "there are none of its kind"
    starts = [s for s in sectors if s - 1 not in sectors]
    ends = [s for s in sectors if s + 1 not in sectors]
    ranges = [f"{a}" if a == b else f"{a}-{b}" for a, b in zip(starts, ends, strict=True)]
    return f"there are sectors {', '.join(ranges)}"

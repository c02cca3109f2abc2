"""What every archive offers: which targets it holds, and the bytes of one product."""

from __future__ import annotations

from typing import NamedTuple, Protocol, runtime_checkable

from larun.paths import Product
from larun.plan import PlannedTarget, TargetList


class Fetched(NamedTuple):
    """A product as it arrived: its bytes, and the file or URL it came from."""

    data: bytes
    source: str


@runtime_checkable
class Archive(Protocol):
    """A place that products come from. Cheap to pickle; connections are opened on first use.

    `fetch` may be called from several threads at once. What an archive does about a product that arrives damaged
    is not its business: it delivers what came in full length, and `larun.survey.obtain` verifies and asks again.
    """

    name: str

    def targets(self, product: Product) -> TargetList:
        """Targets that the archive holds of a product.

        Raises
        ------
        InputError
            The archive holds nothing of this product; says what it does hold.
        ArchiveError
            The archive does not serve now, or refuses us.
        """
        ...

    def fetch(self, product: Product, target: PlannedTarget) -> Fetched:
        """Bytes of one target's product.

        Raises
        ------
        ProductAbsent
            The archive has no such product.
        ProductUnreachable
            The archive did not deliver this product after all attempts; transient.
        ArchiveError
            The archive does not serve at all, or refuses us.
        """
        ...

    def close(self) -> None:
        """Let go of connections and of what they hold of the request budget; the next use opens them again."""
        ...


@runtime_checkable
class Discoverer(Protocol):
    """An archive that can tell which sectors it holds."""

    def sectors(self, mission: str, author: str, cadence_s: int) -> list[int]:
        """Sectors (quarters, campaigns) of a kind of product, increasing.

        Raises
        ------
        ArchiveError
            The archive does not serve now, or refuses us.
        """
        ...

"""What every archive offers: which targets it holds, and the bytes of one product."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol, runtime_checkable

from larun.paths import Product
from larun.plan import PlannedTarget


@dataclass(frozen=True, slots=True)
class Fetched:
    """A product as it arrived: its bytes, and the file or URL it came from."""

    data: bytes
    source: str


@runtime_checkable
class Archive(Protocol):
    """A place that products come from. Cheap to pickle; connections are opened on first use."""

    name: str

    def targets(self, product: Product) -> list[PlannedTarget]:
        """Targets that the archive holds of a product, in any order.

        Raises
        ------
        InputError
            The archive holds nothing of this product; says what it does hold.
        """
        ...

    def fetch(self, product: Product, target: PlannedTarget) -> Fetched:
        """Bytes of one target's product.

        Raises
        ------
        ProductAbsent
            The archive has no such product.
        ProductUnreachable
            The archive did not deliver; transient.
        """
        ...

"""What readers see: the published sweep of a sector and its candidates."""

from __future__ import annotations

from typing import Any

import pyarrow as pa

from larun import paths
from larun.errors import InputError, NotInStore
from larun.objects import Root
from larun.paths import Product
from larun.store.publish import published
from larun.store.tables import read_table


def choose_published(root: Root, product: Product | None = None) -> tuple[Product, dict[str, Any]]:
    """The published sweep of `product`, or the only one there is, with its summary."""
    sectors = published(root)["sectors"]
    if not sectors:
        raise NotInStore(f"{root.url} has no published sweep; run `larun sweep` first")
    if product is None and len(sectors) > 1:
        raise InputError(f"{root.url} has several published sweeps: {', '.join(sectors)}; choose one with --sector")
    name = str(product) if product else next(iter(sectors))
    if name not in sectors:
        raise NotInStore(f"{root.url} has no published sweep of {name}; it has {', '.join(sectors)}")
    return Product.from_zarr_path(f"{name}.zarr"), sectors[name]


def published_candidates(root: Root, product: Product | None = None) -> pa.Table:
    """Ranked candidates of a published sweep."""
    product, summary = choose_published(root, product)
    return read_table(root, paths.run_folder("candidates", product, summary["run"]))

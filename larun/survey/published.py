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
    sectors = _sectors(root)
    if product is None:
        product = _only(root, sectors)
    if str(product) not in sectors:
        raise NotInStore(f"{root.url} has no published sweep of {product}; it has {', '.join(sectors)}")
    return product, sectors[str(product)]


def find_published(
    root: Root, sector: int | None = None, mission: str | None = None, author: str | None = None
) -> Product:
    """The one published sweep of which all is true that is said.

    Parameters
    ----------
    root : Root
        Survey root.
    sector, mission, author
        Of the product; None where it may be any.

    Raises
    ------
    NotInStore
        Nothing is published, or nothing of the kind; names what is.
    InputError
        Several are; names them.
    """
    return _only(root, _sectors(root), mission=mission, sector=sector, author=author)


def _sectors(root: Root) -> dict[str, dict[str, Any]]:
    """Summary of each published sweep, by the name of its product."""
    sectors = published(root)["sectors"]
    if not sectors:
        raise NotInStore(f"{root.url} has no published sweep; run `larun sweep` first")
    return sectors


def _only(root: Root, sectors: dict[str, dict[str, Any]], **asked: str | int | None) -> Product:
    """The one product that has all the attributes that are asked for."""
    wanted = {name: value for name, value in asked.items() if value is not None}
    found = [
        product
        for product in (Product.from_zarr_path(f"{name}.zarr") for name in sectors)
        if all(getattr(product, name) == value for name, value in wanted.items())
    ]
    said = ", ".join(f"{name} {value}" for name, value in wanted.items())
    if not found:
        raise NotInStore(f"{root.url} has no published sweep of {said}; it has {', '.join(sectors)}")
    if len(found) > 1:
        several = (
            f"{root.url} has several published sweeps{f' of {said}' if said else ''}: {', '.join(map(str, found))}"
        )
        raise InputError(f"{several}; choose one with --sector, --mission and --author")
    return found[0]


def published_candidates(root: Root, product: Product | None = None) -> pa.Table:
    """Ranked candidates of a published sweep."""
    product, summary = choose_published(root, product)
    return read_table(root, paths.run_folder("candidates", product, summary["run"]))

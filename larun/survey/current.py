"""Whether a sector is ingested, and whether the sweep that readers see is of what the store holds now."""

from __future__ import annotations

from collections.abc import Iterable

from larun import ledger, paths
from larun.config import SweepSettings
from larun.errors import NotInStore
from larun.objects import Root
from larun.paths import Product
from larun.plan import load_plan
from larun.store.publish import published
from larun.store.reading import products
from larun.survey.earlier import find_earlier, is_earlier
from larun.survey.sweep import records_digest


def is_ingested(root: Root, product: Product) -> bool:
    """Whether every shard of a sector has its record, and no repair of one broke off."""
    try:
        fields = root.read_json(product.plan_json)["fields"]
    except NotInStore:
        return False
    shards = -(-fields["n_targets"] // fields["shard_targets"])
    return len(ledger.recorded(root, product)) == shards and not ledger.unfinished_repairs(root, product)


def is_published(root: Root, product: Product) -> bool:
    """Whether readers see a sweep of what is stored of a sector now, by whatever settings and model.

    The records are read only where one was written after the sweep began.
    """
    run = published(root)["sectors"].get(str(product), {}).get("run")
    if run is None:
        return False
    if 0 < root.changed(product.records, ".json") < _began(root, product, run):
        return True
    try:
        made_with = root.read_json(paths.run_settings(product, run))["records_digest"]
    except NotInStore:
        return False
    return made_with == records_digest(root, load_plan(root, product))


def joined_others(root: Root, swept: Iterable[Product]) -> tuple[Product, ...]:
    """Sectors whose published sweep joined other light curves of earlier sectors than it would now, the newest first.

    Such a sweep was begun before an earlier sector arrived, was repaired or was ingested again. Sweeps that were not
    asked to join sectors are none of them. Lists of earlier light curves are only made where records of an earlier
    sector, which is ingested as a whole, were written after the sweep began; light curves that are gone count then.
    """
    summaries = published(root)["sectors"]
    asked = {p: summaries[str(p)] for p in swept if summaries.get(str(p), {}).get("stitch_sectors", 1) > 1}
    held = {product: root.changed(product.records, ".json") for product in products(root)} if asked else {}
    found = []
    for product, summary in sorted(asked.items(), key=lambda item: item[0].sector, reverse=True):
        began = _began(root, product, summary["run"])
        late = [p for p, changed in held.items() if is_earlier(p, product) and changed >= began]
        if any(is_ingested(root, p) for p in late):
            settings = SweepSettings(stitch=True, stitch_sectors=summary["stitch_sectors"])
            if find_earlier(root, load_plan(root, product), settings).digest != summary["earlier_digest"]:
                found.append(product)
    return tuple(found)


def _began(root: Root, product: Product, run: str) -> float:
    """Time at which a sweep began, by the clock of the root as `Root.changed` gives it."""
    folder, _, name = paths.run_settings(product, run).rpartition("/")
    return root.changed(folder, name)

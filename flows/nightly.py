"""Flow `nightly`: find what is new, ingest it, sweep it, publish, and match the candidates with catalogues."""

from __future__ import annotations

import logging
from dataclasses import dataclass, field
from typing import Any

from prefect import flow
from prefect.client.schemas.objects import State

from flows.deferral import deferrable
from flows.product import ingest_product, ingest_unfinished, repair_unasked
from flows.sources import Sources, open_sources
from flows.sweep import sweep_product
from larun.config import Settings, load
from larun.errors import LarunError, RunDeferred
from larun.objects import Root
from larun.paths import Product
from larun.store import lease
from larun.store.publish import published
from larun.store.reading import products
from larun.survey.current import is_ingested, is_published, joined_others
from larun.survey.deferral import clear_deferral, note_deferral
from larun.survey.discover import has_unreachable, sectors_to_do, sectors_to_repair, sweeps_to_match
from larun.survey.known import match_sweep, update_catalogues
from larun.survey.offered import offered_product

log = logging.getLogger(__name__)

WORK = "nightly"
"""Name of the lease and of the note of a night."""


@flow(name="nightly", persist_result=False)
def nightly(
    sector: int | None = None,
    archive: str | None = None,
    mission: str = "tess",
    author: str | None = None,
    cadence_s: int | None = None,
    config: str | None = None,
    overrides: dict[str, Any] | None = None,
) -> dict[str, Any] | State:
    """Bring the survey up to date, from the archives to the published candidates.

    What is done already is not done again, so a night that was missed or broke off costs nothing twice.

    Parameters
    ----------
    sector : int, optional
        Bring this sector up to date; by default what `larun.survey.discover` finds.
    archive, mission, author, cadence_s, config, overrides
        As in `flows.ingest.ingest`. Without a sector, the settings' section `nightly` says which product.

    Returns
    -------
    dict
        `sectors`: one per sector that was brought up to date, with `product`, `ingest` and `sweep` (what the two flows
        return; `ingest` is None where nothing was missing) and `matches`; `failed`: `product` and `reason` of those
        that could not be repaired; `catalogues`: what became of each; `joined_others`: sectors whose published sweep
        joined other light curves than it would now, see `larun.survey.current.joined_others`.

    Raises
    ------
    RunDeferred
        Another night is under way, or no archive serves; names what is missing. The run ends in the state `Deferred`.
    RunFailed
        Shards are missing at the end.
    """
    settings = load(config, **(overrides or {}))
    return deferrable(lambda: run_night(settings, sector, archive, mission, author, cadence_s))


def run_night(
    settings: Settings, sector: int | None, archive: str | None, mission: str, author: str | None, cadence_s: int | None
) -> dict[str, Any]:
    """Body of the flow; must run inside one."""
    root = Root(settings.root, settings.storage_options)
    with lease.hold(root, WORK, settings.nightly.lease_minutes) as held, open_sources(archive, settings) as sources:
        night = _Night(settings, root, sources)
        if sector is None:
            for product in night.find():
                held.check()
                night.bring_up_to_date(product)
        else:
            product = offered_product(sources.archives, settings, mission, sector, author, cadence_s)
            night.bring_up_to_date(product, asked_for=True)
        night.match()
        return night.end()


@dataclass
class _Night:
    """One night under way: what it brought up to date, and what it had to leave."""

    settings: Settings
    root: Root
    sources: Sources
    sectors: dict[str, dict[str, Any]] = field(default_factory=dict)
    failed: list[dict[str, str]] = field(default_factory=list)
    catalogues: list[dict[str, Any]] = field(default_factory=list)
    deferred: list[str] = field(default_factory=list)
    again: frozenset[Product] = frozenset()

    def find(self) -> list[Product]:
        """Sectors of this night; where no archive answers only those that need none."""
        agenda = sectors_to_do(self.root, self.sources.archives, self.settings)
        found = agenda.tonight(self.settings.nightly.sectors_per_night)
        self.again = frozenset(found).intersection(agenda.to_sweep_again)
        if agenda.unreachable:
            begun = ", ".join(map(str, agenda.to_ingest)) or "no sector"
            self.deferred.append(
                f"No archive says which sectors there are, {begun} is ingested in part. Reason: {agenda.unreachable}"
            )
            return list(found)
        # A sector that waits for its sweep is repaired when its turn comes.
        repairable = [p for p in sectors_to_repair(self.root, self.settings) if p not in agenda.to_sweep]
        found = tuple(dict.fromkeys((*found, *repairable)))
        log.info("to do: %s", ", ".join(map(str, found)) or "nothing")
        return list(found)

    def bring_up_to_date(self, product: Product, asked_for: bool = False) -> None:
        """Ingest, repair and sweep what is missing of a sector; after an outage only what needs no archive."""
        complete = is_ingested(self.root, product)
        ingested = None
        try:
            if not self.deferred:
                ingested = self._ingest(product, complete, asked_for)
            elif not complete:
                self.deferred.append(f"{product} was not begun.")
        except RunDeferred as error:
            self.deferred.append(str(error))
        swept = is_published(self.root, product) and product not in self.again
        if not is_ingested(self.root, product) or (swept and not asked_for):
            return
        summary = sweep_product(self.settings, product)
        self.sectors[str(product)] = {"product": str(product), "ingest": ingested, "sweep": summary, "matches": None}

    def _ingest(self, product: Product, complete: bool, asked_for: bool) -> dict[str, Any] | None:
        """Bring what is missing of a sector into the store, or what was out of reach in an earlier run."""
        if complete and has_unreachable(self.root, product):
            if asked_for:
                return ingest_product(self.settings, self.sources, product, repair=True)
            return repair_unasked(self.settings, self.sources, product, self.failed)
        if complete and not asked_for:
            return None
        return ingest_unfinished(self.settings, self.sources, product)

    def match(self) -> None:
        """Match published sweeps with the catalogues. What cannot be had waits for another night, and fails none."""
        swept = published(self.root)["sectors"]
        if all(summary.get("simulated") for summary in swept.values()):
            return
        try:
            self.catalogues = update_catalogues(self.root, self.settings, budget=self.sources.address)
            for product, run in sweeps_to_match(self.root, self.settings):
                matches = match_sweep(self.root, product, run, self.settings)
                if str(product) in self.sectors:
                    self.sectors[str(product)]["matches"] = matches
        except LarunError as error:
            log.warning("the candidates are not matched with the catalogues tonight: %s", error)
            self.catalogues.append({"name": "", "state": "failed", "reason": str(error)})

    def end(self) -> dict[str, Any]:
        """What the night did.

        Raises
        ------
        RunDeferred
            Something had to be left for another night.
        """
        done = ", ".join(self.sectors) or "nothing"
        if self.deferred:
            reason = " ".join(self.deferred)
            note_deferral(self.root, WORK, reason)
            raise RunDeferred(f"the night is deferred; brought up to date: {done}. {reason}")
        clear_deferral(self.root, WORK)
        return {
            "sectors": list(self.sectors.values()),
            "failed": self.failed,
            "catalogues": self.catalogues,
            "joined_others": [str(product) for product in joined_others(self.root, products(self.root))],
        }

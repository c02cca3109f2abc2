"""All light curves of one star as one light curve, as ``larun examine --stitch`` joins them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from larun.candidates import strong_enough
from larun.config import Settings, SweepSettings
from larun.lightcurve import Shard
from larun.network.bank import Curve
from larun.network.infer import Classifier
from larun.search.stitch import stitch
from larun.survey.classify import Classified, classify_shard, classify_stitched


@dataclass(frozen=True)
class Whole(Curve):
    """All light curves of one star and label; its own columns are those of the first.

    Parameters
    ----------
    parts : tuple of Curve
        At least two.
    """

    parts: tuple[Curve, ...] = ()

    def shard(self, fluxes: np.ndarray | None = None) -> Shard:
        """Shard of the joined light curve."""
        return stitch([part.shard() for part in self.parts], Settings().search).shard


def wholes(curves: list[Curve]) -> list[Whole]:
    """The light curves of each star and label that has several, as one."""
    groups: dict[tuple[str, int], list[Curve]] = {}
    for curve in curves:
        groups.setdefault((curve.star, curve.label), []).append(curve)
    return [
        Whole(star, label, parts[0].origin, parts[0].time, parts[0].flux, parts[0].ephemerides, tuple(parts))
        for (star, label), parts in groups.items()
        if len(parts) > 1
    ]


def below_threshold(curve: Curve, events: np.ndarray) -> np.ndarray:
    """Events, as of `larun.schema.event_dtype`, that no sweep would list as candidates, whatever the network says."""
    joined = np.full(len(events), isinstance(curve, Whole))
    return ~strong_enough(events, joined, SweepSettings())


def classify(curve: Curve, settings: Settings, classifier: Classifier) -> Classified:
    """One light curve, or all of a star as one, through search and network."""
    if isinstance(curve, Whole):
        whole = stitch([part.shard() for part in curve.parts], settings.search)
        return classify_stitched(whole, settings, classifier)
    return classify_shard(curve.shard(), settings, classifier)

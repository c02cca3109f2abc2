"""A sweep of the simulated sector beside what was put into it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa

PERIOD_TOLERANCE = 0.002
"""Relative difference up to which a period counts as found."""

DETECTABLE_SNR = 10.0
"""Expected SNR from which a simulated planet is counted as one that a box search should find."""


@dataclass(frozen=True, slots=True)
class Recovery:
    """How many of the injected planets are among the candidates, and what else is."""

    injected: int
    detectable: int
    found: int
    found_detectable: int
    candidates: int
    false_positives: int


def recovery(candidates: pa.Table, truth: pa.Table) -> Recovery:
    """Count what was found.

    Parameters
    ----------
    candidates : Table
        Ranked candidates; only those of class planetary_transit are counted.
    truth : Table
        Columns `target_id, class6, period_d, expected_snr` of the simulated sector.

    Returns
    -------
    Recovery
        A planet is found if its star is a candidate at its period within 0.2 percent; every other candidate
        is a false positive.
    """
    planets = {row["target_id"]: row for row in truth.to_pylist() if row["class6"] == "planetary_transit"}
    chosen = [row for row in candidates.to_pylist() if row["class"] == "planetary_transit"]
    found = {row["tic"] for row in chosen if _same_period(row, planets.get(row["tic"]))}
    detectable = {tic for tic, row in planets.items() if row["expected_snr"] >= DETECTABLE_SNR}
    return Recovery(
        injected=len(planets),
        detectable=len(detectable),
        found=len(found),
        found_detectable=len(found & detectable),
        candidates=len(chosen),
        false_positives=len(chosen) - len(found),
    )


def beside_truth(candidates: pa.Table, truth: pa.Table, n: int = 10) -> list[dict[str, Any]]:
    """The `n` best candidates, each with the kind, period and depth of what was simulated on its star."""
    by_star = {row["target_id"]: row for row in truth.to_pylist()}
    rows = []
    for row in candidates.sort_by("rank").to_pylist()[:n]:
        star = by_star[row["tic"]]
        rows.append(
            {name: row[name] for name in ("rank", "target", "class", "score", "period_d", "depth_ppm", "snr")}
            | {"true_kind": star["kind"], "true_period_d": star["period_d"], "true_depth_ppm": star["depth_ppm"]}
            | {"found": star["class6"] == "planetary_transit" and _same_period(row, star)}
        )
    return rows


def _same_period(row: dict[str, Any], planet: dict[str, Any] | None) -> bool:
    return planet is not None and bool(np.isclose(row["period_d"], planet["period_d"], rtol=PERIOD_TOLERANCE, atol=0))

"""A sweep of the simulated sector beside what was put into it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa

from larun.errors import InputError

PERIOD_TOLERANCE = 0.002
"""Relative difference up to which a period counts as found."""

HARMONICS = {"a third": 1 / 3, "half": 0.5, "twice": 2.0, "three times": 3.0}
"""Multiples of the true period at which a box search may find a planet; they are shown and do not count as found."""

DETECTABLE_SNR = 10.0
"""Expected SNR from which a simulated planet is counted as one that a box search should find."""


@dataclass(frozen=True, slots=True)
class Recovery:
    """How many of the injected planets are among the candidates, and what else is.

    Parameters
    ----------
    injected : int
        Simulated planets.
    detectable : int
        Those of them that a box search should find, see `DETECTABLE_SNR`.
    found : int
        Planets that are a candidate at their period.
    found_detectable : int
        Those of them that count as detectable.
    harmonics : int
        Planets that are a candidate at a multiple of their period instead, see `HARMONICS`.
    candidates : int
        Candidates of class planetary_transit.
    false_positives : int
        Those of them that are neither found planets nor harmonics.
    """

    injected: int
    detectable: int
    found: int
    found_detectable: int
    harmonics: int
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
        A planet is found if its star is a candidate at its period within 0.2 percent.

    Raises
    ------
    InputError
        A candidate's star is not in the truth table.
    """
    chosen = [row for row in _with_truth(candidates, truth) if row["class"] == "planetary_transit"]
    planets = {row["target_id"]: row for row in truth.to_pylist() if row["class6"] == "planetary_transit"}
    found = {row["tic"] for row in chosen if _found(row)}
    harmonics = {row["tic"] for row in chosen if _harmonic(row)}
    detectable = {number for number, planet in planets.items() if planet["expected_snr"] >= DETECTABLE_SNR}
    return Recovery(
        injected=len(planets),
        detectable=len(detectable),
        found=len(found),
        found_detectable=len(found & detectable),
        harmonics=len(harmonics),
        candidates=len(chosen),
        false_positives=len(chosen) - len(found) - len(harmonics),
    )


def beside_truth(candidates: pa.Table, truth: pa.Table, n: int = 10) -> list[dict[str, Any]]:
    """The `n` best candidates, each with what was simulated on its star.

    Parameters
    ----------
    candidates, truth : Table
        As in `recovery`; `truth` also with `kind` and `depth_ppm`.
    n : int
        How many.

    Returns
    -------
    list of dict
        `rank, target, class, score, period_d, depth_ppm, snr` of the candidate; `true_kind, true_period_d,
        true_depth_ppm` of what was simulated, None where it has none; `found`, whether it is a planet at this
        period; `harmonic`, which multiple of the true period was found of a planet, see `HARMONICS`, or None.
    """
    return [
        {name: row[name] for name in ("rank", "target", "class", "score", "period_d", "depth_ppm", "snr")}
        | {f"true_{name}": _known(row["truth"][name]) for name in ("kind", "period_d", "depth_ppm")}
        | {"found": _found(row), "harmonic": _harmonic(row)}
        for row in _with_truth(candidates, truth)[:n]
    ]


def _with_truth(candidates: pa.Table, truth: pa.Table) -> list[dict[str, Any]]:
    """Candidates, best first, each with its row of the truth table as `truth`."""
    by_star = {row["target_id"]: row for row in truth.to_pylist()}
    rows = candidates.sort_by("rank").to_pylist()
    strangers = [row["target"] for row in rows if row["tic"] not in by_star]
    if strangers:
        raise InputError(
            f"{len(strangers)} candidates are not among the {len(by_star)} stars of the truth table, the first is "
            f"{strangers[0]}; give the truth of the simulation that was swept"
        )
    return [row | {"truth": by_star[row["tic"]]} for row in rows]


def _found(row: dict[str, Any]) -> bool:
    return row["truth"]["class6"] == "planetary_transit" and _is_multiple(row, 1.0)


def _harmonic(row: dict[str, Any]) -> str | None:
    if row["truth"]["class6"] != "planetary_transit":
        return None
    return next((name for name, factor in HARMONICS.items() if _is_multiple(row, factor)), None)


def _is_multiple(row: dict[str, Any], factor: float) -> bool:
    true_period_d = factor * row["truth"]["period_d"]
    return bool(np.isclose(row["period_d"], true_period_d, rtol=PERIOD_TOLERANCE, atol=0))


def _known(value: Any) -> Any:
    """None for NaN: JSON has no other word for what is not there."""
    return None if isinstance(value, float) and not np.isfinite(value) else value

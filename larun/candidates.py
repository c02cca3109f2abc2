"""Ranking: which detections of a sweep become candidates, in which order, and how they are shown."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa

from larun.config import SweepSettings
from larun.schema import CANDIDATE_COLUMNS, CLASSES, EventFlag

FALSE_POSITIVE_FLAGS = (
    EventFlag.ODD_EVEN
    | EventFlag.SECONDARY
    | EventFlag.TOO_DEEP
    | EventFlag.CENTROID_SHIFT
    | EventFlag.SINUSOID
    | EventFlag.NOT_UNIQUE
    | EventFlag.INCONSISTENT
    | EventFlag.EPOCH_PILE_UP
    | EventFlag.EPHEMERIS_MATCH
)
"""Flags that say what the signal is instead of a planet's: each leaves a tenth of the score."""

DOUBT_FLAGS = (
    EventFlag.FEW_TRANSITS
    | EventFlag.LOW_COVERAGE
    | EventFlag.ODD_EVEN_EPOCH
    | EventFlag.SINGLE_DOMINATES
    | EventFlag.NEAR_GAP
    | EventFlag.NEAR_DUMP
    | EventFlag.LONG_DURATION
    | EventFlag.TRANSIT_PILE_UP
)
"""Flags of circumstances in which planets are seen too: each halves the score. The others are for the vetter's eye."""

FALSE_POSITIVE_FACTOR, DOUBT_FACTOR = 0.1, 0.5

SHOWN_COLUMNS = (
    "rank",
    "tic",
    "target",
    "event",
    "mission",
    "sector",
    "n_sectors",
    "sectors",
    "author",
    "class",
    "score",
    "period_d",
    "t0_btjd",
    "duration_h",
    "depth_ppm",
    "snr",
    "sde",
    "n_transits",
    "parent",
    "tmag",
    "ra",
    "dec",
    "simulated",
    "run",
)
"""Columns of the JSON listing, besides `flags` and `probabilities`."""

KNOWN_SHOWN = (
    "catalogue",
    "object",
    "disposition",
    "matched_by",
    "separation_arcsec",
    "period_d",
    "period_ratio",
    "relation",
    "epoch_phase",
)
"""Columns of a match in the JSON listing."""


def score(planet_probability: np.ndarray, flags: np.ndarray) -> np.ndarray:
    """Score that the ranking sorts by.

    Parameters
    ----------
    planet_probability : (event,) float
        Calibrated probability of a planetary transit.
    flags : (event,) uint32
        Bits of `larun.schema.EventFlag`.

    Returns
    -------
    (event,) float32
        The probability, times a tenth for each of `FALSE_POSITIVE_FLAGS` and a half for each of `DOUBT_FLAGS`. No
        flag takes a candidate off the list: vetters see what was found, and why it is ranked where it is.
    """
    flags = np.asarray(flags, dtype=np.uint32)
    factor = FALSE_POSITIVE_FACTOR ** np.bitwise_count(flags & np.uint32(FALSE_POSITIVE_FLAGS))
    factor = factor * DOUBT_FACTOR ** np.bitwise_count(flags & np.uint32(DOUBT_FLAGS))
    return (np.nan_to_num(np.asarray(planet_probability, dtype=np.float64)) * factor).astype(np.float32)


def strong_enough(
    events: Mapping[str, np.ndarray] | np.ndarray, joined: np.ndarray, settings: SweepSettings
) -> np.ndarray:
    """Whether events are strong enough for candidates, whatever their class.

    Parameters
    ----------
    events : mapping or structured array
        ``snr``, ``sde``, ``detection`` and ``flags``, each (event,); NaN where not known, which is never enough.
    joined : (event,) bool
        Found in joined sectors.
    settings : SweepSettings
        Thresholds.

    Returns
    -------
    (event,) bool
        Single transits need an SNR alone; those of joined sectors are never enough, because each lies in one sector,
        whose own search finds it.
    """
    single = _single(events["flags"])
    with np.errstate(invalid="ignore"):
        regular = (events["sde"] >= settings.min_sde) & (
            events["detection"] >= np.where(joined, settings.min_joined_detection, settings.min_detection)
        )
        return (events["snr"] >= settings.min_snr) & np.where(single, ~joined, regular)


def _single(flags: np.ndarray) -> np.ndarray:
    return (flags & np.uint32(EventFlag.SINGLE_TRANSIT)) > 0


def rank(detections: pa.Table, settings: SweepSettings) -> dict[str, Any]:
    """Choose and order the candidates of a sweep.

    Parameters
    ----------
    detections : Table
        One row per event, columns of `larun.schema.DETECTION_COLUMNS` and `SECTOR_COLUMNS`; flags already complete.
    settings : SweepSettings
        Thresholds.

    Returns
    -------
    dict
        Columns of `larun.schema.CANDIDATE_COLUMNS`, best first; ties are broken by SNR, then by target and event.
        Single transits, for which no SDE is asked, come after all events with a period; those of joined sectors are no
        candidates, because each lies in one sector, whose own search finds it. Of a signal that was found in the sector
        alone and in joined sectors the better row is a candidate.
    """
    planet, snr, n_sectors = (_floats(detections, name) for name in ("p_planetary_transit", "snr", "n_sectors"))
    flags = detections["flags"].to_numpy()
    strength = {"flags": flags, "snr": snr} | {name: _floats(detections, name) for name in ("sde", "detection")}
    scores, single = score(planet, flags), _single(flags)
    with np.errstate(invalid="ignore"):
        likely = planet >= settings.min_planet_probability
    rows = np.flatnonzero(strong_enough(strength, n_sectors > 1, settings) & likely)
    targets = np.array(detections["target"].to_pylist())[rows] if len(rows) else np.empty(0, str)
    events = detections["event"].to_numpy()[rows]
    order = np.lexsort((events, targets, -snr[rows], -scores[rows], single[rows]))
    same = detections["same_event"].to_numpy()[rows]
    signals = list(zip(targets[order], np.where(same > 0, same, events)[order], strict=True))
    first = {signal: place for place, signal in reversed(list(enumerate(signals)))}
    rows = rows[order[sorted(first.values())]]
    ranked = detections.take(pa.array(rows))
    columns: dict[str, Any] = {"rank": np.arange(1, len(rows) + 1, dtype=np.int32), "score": scores[rows]}
    return columns | {c.name: ranked[c.name] for c in CANDIDATE_COLUMNS if c.name not in columns}


def listing(
    candidates: pa.Table,
    known: Mapping[str, Sequence[Mapping[str, Any]]] | None = None,
    not_matched: Sequence[str] = (),
) -> list[dict[str, Any]]:
    """Candidates as plain values, as `larun candidates --json` prints them.

    Parameters
    ----------
    candidates : Table
        Columns of `larun.schema.CANDIDATE_COLUMNS`.
    known : mapping, optional
        Matches per target, columns of `larun.schema.MATCH_COLUMNS`.
    not_matched : sequence of str
        What was not looked up yet, and why.

    Returns
    -------
    list of dict
        Best first. With `known`, each has ``known``, a list of the objects that catalogues know at this star, and
        ``not_matched``.
    """
    rows = []
    for row in candidates.sort_by("rank").to_pylist():
        shown = {name: _plain(row[name]) for name in SHOWN_COLUMNS}
        shown["flags"] = EventFlag(row["flags"]).names
        shown["probabilities"] = {name: _plain(row[f"p_{name}"]) for name in CLASSES}
        if known is not None:
            matches = known.get(row["target"], ())
            own = [match for match in matches if match["event"] == row["event"]]
            shown["known"] = [{name: _plain(match[name]) for name in KNOWN_SHOWN} for match in own]
            shown["not_matched"] = list(not_matched)
        rows.append(shown)
    return rows


def in_words(match: Mapping[str, Any]) -> str:
    """One match for people, such as ``TOI-700.01 PC, same period``.

    Parameters
    ----------
    match : mapping
        One entry of ``known`` in `listing`.
    """
    name = " ".join(filter(None, (match["object"], match["disposition"])))
    near = f", {match['separation_arcsec']:.1f} arcsec away" if match["matched_by"] == "position" else ""
    return f"{name}, {match['relation']}{near}"


def _plain(value: Any) -> Any:
    """JSON has no NaN: what is not known is null."""
    return None if isinstance(value, float) and not np.isfinite(value) else value


def _floats(table: pa.Table, name: str) -> np.ndarray:
    """Column as floats, NaN for null."""
    return table[name].to_numpy(zero_copy_only=False).astype(np.float64)

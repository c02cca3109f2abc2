"""Vetting tests that need all events of a sector at once."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from larun.config import VetSettings
from larun.schema import EventFlag
from larun.units import HOURS_PER_DAY
from larun.vet.checks import Check
from larun.vet.matches import Ephemerides, find_parents, unit_vectors
from larun.vet.pileup import piled_up_share, same_ephemeris
from larun.vet.quantities import column

INPUTS = (
    "target", "ra", "dec", "tmag", "camera", "ccd", "period_d", "t0_btjd", "duration_h", "depth_ppm", "snr",
    "n_transits", "secondary_phase", "secondary_snr", "column_pix",
)  # fmt: skip
"""Columns of detections that the tests of a sector read."""

SECTOR_CHECKS: tuple[Check, ...] = (
    Check(EventFlag.EPOCH_PILE_UP, column("same_ephemeris"), "pile_up_stars", True, "",
          "other stars of the sector with this epoch and period: the spacecraft",
          "Coughlin et al. 2016, ApJS 224, 12"),
    Check(EventFlag.TRANSIT_PILE_UP, column("pile_up_fraction"), "max_pile_up_fraction", True, "",
          "share of the transits at times when unusually many stars of the camera dim: the spacecraft, or stray light",
          "Thompson et al. 2018, ApJS 235, 38"),
    Check(EventFlag.EPHEMERIS_MATCH, column("parent_light"), "min_parent_light", True, "",
          "light lost by another star whose transits these repeat, over that lost here: its light, not this star's",
          "Coughlin et al. 2014, AJ 147, 119"),
)  # fmt: skip
"""Every test of a whole sector; their quantities are columns of `larun.schema.SECTOR_COLUMNS`."""


def vet_sector(events: Mapping[str, Any], settings: VetSettings) -> tuple[dict[str, np.ndarray], np.ndarray]:
    """Measure and flag what only the whole sector shows.

    Parameters
    ----------
    events : mapping
        Columns `INPUTS` of all events of a sector, (event,) each; `in_sector` too where they come from `within`.
    settings : VetSettings
        Thresholds.

    Returns
    -------
    columns : dict
        Of `larun.schema.SECTOR_COLUMNS`.
    flags : (event,) uint32
        Bits of `EventFlag`.
    """
    values = {name: np.asarray(events[name]) for name in INPUTS}
    period, t0, duration = (values[name].astype(np.float64) for name in ("period_d", "t0_btjd", "duration_h"))
    duration = duration / HOURS_PER_DAY
    camera, n_transits = values["camera"].astype(np.int64), values["n_transits"].astype(np.int64)
    second = np.where(values["secondary_snr"] > settings.secondary_snr, values["secondary_phase"], np.nan)
    parents = find_parents(
        Ephemerides(
            target=values["target"].astype(object),
            xyz=unit_vectors(values["ra"].astype(np.float64), values["dec"].astype(np.float64)),
            tmag=values["tmag"].astype(np.float64),
            depth_ppm=values["depth_ppm"].astype(np.float64),
            snr=values["snr"].astype(np.float64),
            period_d=period,
            t0_btjd=t0,
            duration_d=duration,
            n_transits=n_transits,
            secondary_phase=second.astype(np.float64),
            detector=np.where(camera > 0, 10 * camera + values["ccd"], 0),
            column_pix=values["column_pix"].astype(np.float64),
        ),
        settings.match_snr,
    )
    names = np.full(len(t0), None, object)
    names[parents.row >= 0] = values["target"][parents.row[parents.row >= 0]]
    piled_up = piled_up_share(period, t0, n_transits, camera, settings.pile_up_stars) * events.get("in_sector", 1.0)
    columns = {
        "same_ephemeris": same_ephemeris(period, t0, 0.5 * duration).astype(np.int32),
        "pile_up_fraction": piled_up.astype(np.float32),
        "parent": names,
        "parent_how": np.where(parents.row >= 0, parents.how, None),
        "parent_light": parents.light_ratio.astype(np.float32),
        "parent_period_ratio": parents.period_ratio.astype(np.float32),
        "parent_arcsec": parents.arcsec.astype(np.float32),
    }
    flags = np.zeros(len(t0), np.uint32)
    for check in SECTOR_CHECKS:
        raised = check.raised(check.quantity(columns, None, settings), settings)
        flags |= np.where(raised, np.uint32(check.flag), np.uint32(0))
    return columns, flags


def within(events: Mapping[str, Any], joined: np.ndarray, start: float, end: float) -> dict[str, np.ndarray]:
    """Events of joined sectors as one of these sectors shows them.

    Parameters
    ----------
    events : mapping
        Columns `INPUTS`.
    joined : (event,) bool
        Which events are of joined sectors; the others stay as they are.
    start, end : float
        First and last time of the sector, BTJD.

    Returns
    -------
    dict
        The columns; `t0_btjd` is the first transit in the sector and NaN without one, `n_transits` those in it. And
        `in_sector`, which share of an event's transits they are.
    """
    values = {name: np.array(events[name]) for name in INPUTS}
    period = np.where(np.isfinite(values["period_d"]), values["period_d"], np.inf)[joined]
    t0 = values["t0_btjd"][joined].astype(np.float64)
    cycles = np.where(np.isfinite(period), np.ceil((start - t0) / period), 0)
    first = t0 + np.where(cycles > 0, cycles * np.where(np.isfinite(period), period, 0.0), 0.0)
    seen = (first >= start) & (first <= end)
    values["t0_btjd"][joined] = np.where(seen, first, np.nan)
    count = np.where(seen, np.floor((end - first) / period) + 1, 0)
    values["in_sector"] = np.ones(len(joined))
    values["in_sector"][joined] = np.minimum(count / np.maximum(values["n_transits"][joined], 1), 1.0)
    values["n_transits"][joined] = count
    return values

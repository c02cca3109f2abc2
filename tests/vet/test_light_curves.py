"""Each vetting test on a light curve that has what it looks for, and on one that nearly has it, through the search."""

from functools import cache

import numpy as np
import pytest

from larun.config import SearchSettings, VetSettings
from larun.lightcurve import Shard, Star
from larun.schema import EventFlag, empty_events
from larun.search.pipeline import search_shard
from larun.search.pointing import DESATURATION
from larun.vet import flag

START, DAYS, STEP_D = 1325.0, 27.0, 600 / 86400
TIME = START + np.arange(0, DAYS, STEP_D)
NOISE = 4e-4
GIANT, SUN = (2.2, 3.6), (1.0, 4.438)
"""Radius, solar, and logg of a star that has left the main sequence, and of the other stars."""


def dips(period, t0, depth, hours, shape="u", time=TIME):
    """Flux that is lost; `depth` of each dip in turn, a trapezoid with an ingress of a tenth, or a triangle."""
    number = np.rint((time - t0) / period).astype(int)
    distance = np.abs(time - t0 - number * period) / (hours / 48)
    edge = 0.1 if shape == "u" else 1.0
    return np.take(np.atleast_1d(depth), number % np.size(depth)) * np.clip((1 - distance) / edge, 0, 1)


PLANET = dips(3.1, START + 1.2, 6e-3, 3.0)
NINE_HOURS = dips(4.0, START + 1.2, 6e-3, 9.0)
AT_DUMPS = START + np.arange(1.0, DAYS, 3.1)

CURVES = {
    "planet": PLANET,
    "eclipses of two depths": dips(9.3, START + 2.0, (9e-3, 5e-3), 4.0),
    "secondary": PLANET + dips(3.1, START + 1.2 + 0.37 * 3.1, 2e-3, 3.0),
    "occultation": PLANET + dips(3.1, START + 1.2 + 0.5 * 3.1, 4e-4, 3.0),
    "pointed": dips(3.1, START + 1.2, 9e-3, 4.0, "v"),
    "unlike dips": dips(4.1, START + 1.2, (1.5e-3, 7e-3, 3e-3, 9e-3, 5e-4), 3.0),
    "one dip of many": dips(6.1, START + 1.2, (1.2e-3, 1e-3, 2e-2, 1.1e-3, 1e-3), 3.0),
    "deep": dips(3.1, START + 1.2, 0.06, 3.0),
    "long": NINE_HOURS,
    "long of a giant": NINE_HOURS,
    "at a gap": dips(6.6, START + 2.0, 6e-3, 3.0),
    "beside no gap": dips(6.6, START + 2.0, 6e-3, 3.0),
    "at dumps": dips(3.1, AT_DUMPS[0] + 0.05, 6e-3, 2.4),
    "between dumps": dips(3.1, AT_DUMPS[0] + 1.6, 6e-3, 2.4),
    "every day": dips(1.0, START + 0.4, 6e-3, 2.0),
    "moves": PLANET,
    "stays": PLANET,
}


@cache
def searched() -> np.ndarray:
    """Best event of each light curve with its flags, by name."""
    rng = np.random.default_rng(7)
    shape = (len(CURVES), len(TIME))
    names = list(CURVES)
    stars = [GIANT if "giant" in name else SUN for name in names]
    flux = 1e4 * (1 - np.stack(list(CURVES.values()))) * (1 + rng.normal(0, NOISE, shape))
    for middle in START + 2.0 + 6.6 * np.arange(4):
        flux[names.index("at a gap"), np.abs(TIME - middle - 0.28) < 0.2] = np.nan
        flux[names.index("beside no gap"), np.abs(TIME - middle - 2.0) < 0.2] = np.nan
    missing = np.full(shape, np.nan, np.float32)
    quality = np.zeros(shape, np.int32)
    quality[:, np.searchsorted(TIME, AT_DUMPS)] = DESATURATION["tess"]
    column = 500 + rng.normal(0, 2e-3, shape)
    # Light that is lost a pixel and a half away from where the star is.
    column[names.index("moves")] += 1.5 * PLANET
    found = search_shard(
        Shard(
            stars=tuple(Star(radius=radius, logg=logg) for radius, logg in stars),
            time=TIME, cadence_no=np.arange(len(TIME), dtype=np.int32), time_correction=missing,
            flux=flux.astype(np.float32), flux_err=missing, background=missing,
            centroid_col=column.astype(np.float32),
            centroid_row=(500 + rng.normal(0, 2e-3, shape)).astype(np.float32), quality=quality, mission="tess",
            sector=1, cadence_s=600.0,
        ),
        SearchSettings(),
    )  # fmt: skip
    events = empty_events(len(names))
    events[:] = found.events
    radius, logg = np.transpose(stars)
    events["flags"] = flag(events, radius=radius, logg=logg, settings=VetSettings())
    return events


def flags_of(name: str) -> EventFlag:
    return EventFlag(int(searched()["flags"][list(CURVES).index(name)]))


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("eclipses of two depths", EventFlag.ODD_EVEN),
        ("secondary", EventFlag.SECONDARY),
        ("pointed", EventFlag.V_SHAPE),
        ("unlike dips", EventFlag.INCONSISTENT),
        ("one dip of many", EventFlag.SINGLE_DOMINATES),
        ("deep", EventFlag.TOO_DEEP),
        ("long", EventFlag.LONG_DURATION),
        ("at a gap", EventFlag.NEAR_GAP),
        ("at dumps", EventFlag.NEAR_DUMP),
        ("every day", EventFlag.PERIOD_ALIAS),
        ("moves", EventFlag.CENTROID_SHIFT),
    ],
)
def test_what_is_there_is_flagged(name, expected):
    assert expected in flags_of(name)


@pytest.mark.parametrize(
    "name", ["planet", "occultation", "long of a giant", "beside no gap", "between dumps", "stays"]
)
def test_what_is_nearly_there_is_not(name):
    assert flags_of(name) == EventFlag(0)

"""Events of the search, flagged: simulated stars whose truth is known, and real ones."""

from functools import cache

import numpy as np
import pytest

from larun.archive.files import read
from larun.config import SearchSettings, SimulateSettings, VetSettings
from larun.lightcurve import Shard, shard_of
from larun.schema import EventFlag
from larun.search.pipeline import search_shard
from larun.simulate.sector import SimulatedSector
from larun.vet import flag

SETTINGS = SimulateSettings(
    stars=220, cadence_s=600, planet_fraction=0.2, binary_fraction=0.4, variable_fraction=0.05, artefact_fraction=0.3
)


@cache
def swept():
    """Truth and flags of the clearly seen stars of a simulated sector."""
    sector = SimulatedSector(SETTINGS, 31)
    truth = [row for row in sector.truth.to_pylist() if row["expected_snr"] > 40 or row["kind"] == "momentum_ramps"]
    curves = [sector.light_curve(row["target_id"]) for row in truth]
    names = ("time_correction", "flux", "flux_err", "background", "centroid_col", "centroid_row", "quality")
    shard = Shard(
        stars=tuple(curve.star for curve in curves),
        time=sector.instrument.time,
        cadence_no=sector.instrument.cadence_no,
        **{name: np.stack([getattr(curve, name) for curve in curves]) for name in names},
        sector=31,
        cadence_s=600.0,
    )
    events = search_shard(shard, SearchSettings()).events
    radius, logg = (np.array([row[name] for row in truth]) for name in ("radius", "logg"))
    found = np.abs(events["period_d"] / np.array([row["period_d"] for row in truth]) - 1) < 5e-3
    kind = np.array([row["kind"] for row in truth])
    return kind, found, events, flag(events, radius=radius, logg=logg, settings=VetSettings())


def share_of(kind: str, *flags: EventFlag) -> float:
    """Share of the stars of a kind that carry one of the flags, where the period or the strong ramps were found."""
    kinds, found, events, bits = swept()
    here = (kinds == kind) & ((events["snr"] > 10) if kind == "momentum_ramps" else found)
    assert here.sum() >= 5
    return float(np.mean(bits[here] & np.uint32(sum(flags)) > 0))


def test_simulated_planets_keep_a_clean_record():
    kinds, found, _, bits = swept()
    planets = bits[(kinds == "planet") & found]
    assert len(planets) >= 15
    assert np.mean(planets > 0) < 0.1


@pytest.mark.parametrize(
    ("kind", "flags", "least"),
    [
        ("detached_binary", (EventFlag.SECONDARY, EventFlag.ODD_EVEN, EventFlag.TOO_DEEP), 0.9),
        ("detached_binary", (EventFlag.TOO_DEEP,), 0.6),
        ("contact_binary", (EventFlag.SECONDARY, EventFlag.NOT_UNIQUE, EventFlag.SINUSOID), 0.9),
        ("blended_binary", (EventFlag.CENTROID_SHIFT,), 0.4),
        ("momentum_ramps", (EventFlag.NEAR_DUMP, EventFlag.INCONSISTENT, EventFlag.LONG_DURATION), 0.7),
    ],
)
def test_simulated_impostors_are_flagged(kind, flags, least):
    assert share_of(kind, *flags) >= least


def test_centroids_tell_the_blended_binary_from_the_planet():
    kinds, found, events, _ = swept()
    offset = {
        k: np.nanmedian(events["centroid_offset_pix"][(kinds == k) & found]) for k in ("planet", "blended_binary")
    }
    # The simulation puts the blended binary 0.3 to 1.5 pixels from the target.
    assert 0.3 < offset["blended_binary"] < 1.5
    assert offset["planet"] < 0.3


def flags_of(path) -> EventFlag:
    curve = read(path)
    event = search_shard(shard_of(curve), SearchSettings()).events[0]
    star = curve.star
    return EventFlag(int(flag(event, radius=star.radius, logg=star.logg, settings=VetSettings())))


SPOC = "tess2018206045859-s0001-{:016d}-0120-s_lc.fits"


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        # Eclipsing binaries.
        (SPOC.format(32150630), EventFlag.SECONDARY | EventFlag.TOO_DEEP),
        (SPOC.format(53842685), EventFlag.SECONDARY | EventFlag.NOT_UNIQUE),
        # Transits of the outer planets of Kepler-90, each seen once in a quarter, under one period.
        ("kplr011442793-2010009091648_llc.fits", EventFlag.SINGLE_DOMINATES | EventFlag.INCONSISTENT),
        # Rotation.
        ("kplr010002792-2009259160929_llc.fits", EventFlag.SINUSOID),
        # Two dips of unlike depth.
        (SPOC.format(126890217), EventFlag.INCONSISTENT),
    ],
)
def test_real_stars_that_are_no_periodic_planets(real_data, name, expected):
    assert expected in flags_of(real_data / "fits" / name)


def test_the_centroid_of_a_real_planet_host_stays(real_data):
    """WASP-100 b, whose transits are significant enough to see a shift of a hundredth of a pixel."""
    curve = read(real_data / "fits" / SPOC.format(38846515))
    event = search_shard(shard_of(curve), SearchSettings()).events[0]
    assert event["centroid_offset_pix"] < 0.15
    assert event["dump_fraction"] < 0.3
    assert event["column_pix"] == pytest.approx(938.3, abs=0.5)

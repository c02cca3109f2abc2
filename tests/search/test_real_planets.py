"""Real planets in real light curves come out at their true period."""

import pytest

from larun.archive.files import read
from larun.config import SearchSettings, VetSettings
from larun.lightcurve import shard_of
from larun.network.bank import read_bank
from larun.schema import EventFlag
from larun.search.pipeline import search_shard
from larun.vet import flag

SPOC = "tess2018206045859-s0001-{:016d}-0120-s_lc.fits"


def event_of(path):
    curve = read(path)
    return search_shard(shard_of(curve), SearchSettings()).events[0], curve.star


@pytest.mark.parametrize(
    ("name", "period_d", "depth_ppm"),
    [
        (SPOC.format(38846515), 2.849382, 6800),
        (SPOC.format(261136679), 6.267832, 277),
        ("tess2018234235059-s0002-0000000402026209-0121-s_lc.fits", 1.338231, 24700),
        ("hlsp_qlp_tess_ffi_s0002-0000000038846515_tess_v01_llc.fits", 2.849382, 6800),
        ("hlsp_tess-spoc_tess_phot_0000000261136679-s0001_tess_v1_lc.fits", 6.267832, 277),
        ("kplr011446443-2009259160929_llc.fits", 2.470613, 11600),
        ("ktwo206103150-c03_llc.fits", 4.159129, 11000),
    ],
)
def test_planets_are_found_at_their_period(real_data, name, period_d, depth_ppm):
    event, star = event_of(real_data / "fits" / name)
    assert event["period_d"] == pytest.approx(period_d, rel=2e-3)
    assert event["depth_ppm"] == pytest.approx(depth_ppm, rel=0.15)
    assert event["snr"] > 20
    assert event["sde"] > 15
    flags = EventFlag(int(flag(event, radius=star.radius, logg=star.logg, settings=VetSettings())))
    assert not flags & ~EventFlag.NEAR_GAP


def test_an_eclipsing_binary_is_flagged(real_data):
    event, star = event_of(real_data / "fits" / SPOC.format(117544915))
    flags = EventFlag(int(flag(event, radius=star.radius, logg=star.logg, settings=VetSettings())))
    assert EventFlag.SECONDARY | EventFlag.TOO_DEEP in flags


@pytest.mark.parametrize(
    ("target", "piece", "period_d"),
    [("TIC 200322593", 0, 1.239153), ("TIC 200322593", 2, 1.239153), ("TIC 441420236", 0, 8.463)],
)
def test_planets_of_spotted_stars_are_found_at_their_period(real_data, target, piece, period_d):
    """TOI-540 rotates in 17.4 h, AU Mic flares and varies by 3 %: without pre-whitening their rotation wins."""
    curve = [curve for curve in read_bank(real_data) if curve.star == target][piece]
    event = search_shard(curve.shard(), SearchSettings()).events[0]
    assert event["period_d"] == pytest.approx(period_d, rel=2e-3)
    assert event["snr"] > 7
    assert event["n_waves"] > 0
    plain = search_shard(curve.shard(), SearchSettings(prewhiten=False)).events[0]
    assert plain["period_d"] != pytest.approx(period_d, rel=2e-2)

"""Tests of a whole sector, on a table made by hand."""

import numpy as np

from larun.config import VetSettings
from larun.schema import SECTOR_COLUMNS, EventFlag
from larun.vet import INPUTS, SECTOR_CHECKS, vet_sector, within

SETTINGS = VetSettings()


def sector(n=60):
    """Unrelated events of many transits, far apart on the sky."""
    rng = np.random.default_rng(7)
    period = 0.6 * 1.05 ** rng.permutation(n)
    events = {name: np.full(n, np.nan) for name in INPUTS}
    return events | {
        "target": np.array([f"TIC {i}" for i in range(n)]),
        "ra": 40 + np.arange(n) * 1.0,
        "dec": np.full(n, -60.0),
        "tmag": np.full(n, 11.0),
        "camera": np.full(n, 2, np.uint8),
        "ccd": np.full(n, 3, np.uint8),
        "period_d": period,
        "t0_btjd": 1325 + rng.random(n) * period,
        "duration_h": np.full(n, 3.0),
        "depth_ppm": np.full(n, 1500.0),
        "snr": np.full(n, 9.0),
        "n_transits": np.floor(27 / period).astype(np.int16),
    }


def flags_of(events):
    columns, flags = vet_sector(events, SETTINGS)
    assert set(columns) == {column.name for column in SECTOR_COLUMNS}
    assert flags.dtype == np.uint32
    return columns, [EventFlag(int(bits)) for bits in flags]


def test_unrelated_events_have_no_flag():
    columns, flags = flags_of(sector())
    assert not any(flags)
    assert set(columns["parent"]) == {None}


def test_shared_ephemeris():
    events = sector()
    events["period_d"][:7], events["t0_btjd"][:7], events["n_transits"][:7] = 1.5, 1326.0, 18
    _, flags = flags_of(events)
    assert flags[:7] == [EventFlag.EPOCH_PILE_UP] * 7
    assert not any(flags[7:])


def test_single_transits_at_one_time():
    events = sector()
    events["period_d"][:9], events["t0_btjd"][:9], events["n_transits"][:9] = np.nan, 1338.4, 1
    columns, flags = flags_of(events)
    assert flags[:9] == [EventFlag.TRANSIT_PILE_UP] * 9
    assert (columns["pile_up_fraction"][:9] == 1).all()


def test_a_copy_of_a_neighbour():
    events = sector()
    for name in ("ra", "period_d", "t0_btjd", "n_transits"):
        events[name][1] = events[name][0]
    events["dec"][1] += 0.01
    events["depth_ppm"][0] = 90_000
    columns, flags = flags_of(events)
    assert (flags[0], flags[1]) == (0, EventFlag.EPHEMERIS_MATCH)
    assert (columns["parent"][1], columns["parent_how"][1]) == ("TIC 0", "near")
    assert columns["parent_light"][1] == 60


def test_every_sector_wide_flag_has_a_test_with_a_setting():
    assert [check.flag.name for check in SECTOR_CHECKS] == ["EPOCH_PILE_UP", "TRANSIT_PILE_UP", "EPHEMERIS_MATCH"]
    assert all(check.threshold in VetSettings.model_fields for check in SECTOR_CHECKS)


def test_a_sector_where_nothing_was_found():
    events = sector(3)
    for name in ("period_d", "t0_btjd", "duration_h", "depth_ppm", "snr"):
        events[name][:] = np.nan
    events["n_transits"][:] = 0
    assert not any(flags_of(events)[1])


def test_joined_events_are_judged_by_their_transits_in_the_sector():
    """Sector from 1325 to 1352. Nine stars dim once at 1338.4; three events of joined sectors have a transit then."""
    events = sector()
    events["period_d"][:9], events["t0_btjd"][:9], events["n_transits"][:9] = np.nan, 1338.4, 1
    events["period_d"][59], events["t0_btjd"][59], events["n_transits"][59] = 2.5, 1326.9, 11
    joined = np.zeros(60, bool)
    joined[9:13] = True
    events["period_d"][9:13] = 40.0, 10.0, 6.7, 40.0
    events["t0_btjd"][9:13] = 1298.4, 1298.4, 1318.31, 1300.0
    events["n_transits"][9:13] = 2, 6, 6, 2
    seen = within(events, joined, 1325.0, 1352.0)
    np.testing.assert_allclose(seen["t0_btjd"][9:13], [1338.4, 1328.4, 1325.01, 1340.0])
    assert seen["n_transits"][9:13].tolist() == [1, 3, 5, 1]
    np.testing.assert_allclose(seen["in_sector"][8:13], [1, 1 / 2, 3 / 6, 5 / 6, 1 / 2])
    assert (seen["t0_btjd"][~joined] == events["t0_btjd"][~joined]).all()
    columns, flags = flags_of(seen)
    np.testing.assert_allclose(columns["pile_up_fraction"][9:13], [1 / 2, 1 / 6, 1 / 6, 0], atol=1e-6)
    assert not any(flags[9:13])
    assert all(EventFlag.TRANSIT_PILE_UP in flag for flag in flags[:9])


def test_a_joined_event_without_a_transit_in_the_sector_is_not_judged():
    events = sector()
    joined = np.arange(60) < 3
    events["period_d"][:3], events["t0_btjd"][:3], events["n_transits"][:3] = (
        (60.0, np.nan, 30.0),
        (1300.0, 1310.0, 1360.0),
        2,
    )
    seen = within(events, joined, 1325.0, 1352.0)
    assert np.isnan(seen["t0_btjd"][:3]).all()
    assert (seen["n_transits"][:3] == 0).all()
    columns, flags = flags_of(seen)
    assert np.isnan(columns["pile_up_fraction"][:3]).all()
    assert not any(flags[:3])


def test_a_joined_copy_finds_its_parent():
    """A binary and its copy 40 arcsec away: one sector shows the binary's two eclipses, several show the copy."""
    events = sector()
    events["ra"][1], events["dec"][1] = events["ra"][0], events["dec"][0] + 40 / 3600
    events["period_d"][:2], events["n_transits"][:2] = 11.0, (2, 8)
    events["t0_btjd"][:2] = 1330.0, 1330.0 - 6 * 11.0
    events["depth_ppm"][0], events["snr"][0] = 60_000.0, 300.0
    columns, flags = flags_of(within(events, np.arange(60) == 1, 1325.0, 1352.0))
    assert columns["parent"][1] == "TIC 0"
    assert flags[1] == EventFlag.EPHEMERIS_MATCH

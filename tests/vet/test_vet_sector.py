"""Tests of a whole sector, on a table made by hand."""

import numpy as np

from larun.config import VetSettings
from larun.schema import SECTOR_COLUMNS, EventFlag
from larun.vet import INPUTS, SECTOR_CHECKS, vet_sector

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

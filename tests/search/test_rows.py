"""Events of a shard as rows."""

import numpy as np
import pytest

from larun.lightcurve import Shard, Star
from larun.schema import empty_events
from larun.search.pipeline import Searched
from larun.search.rows import event_rows, same_signal, without_earlier

TIME = 1325.0 + np.arange(0, 20.0, 0.02)


def shard(n):
    empty = np.full((n, len(TIME)), np.nan, np.float32)
    number = np.arange(len(TIME), dtype=np.int32)
    quality = np.zeros((n, len(TIME)), np.int32)
    return Shard((Star(),) * n, TIME, number, empty, empty, empty, empty, empty, empty, quality)


def events(*rows):
    table = empty_events(len(rows))
    for record, (number, period, t0) in zip(table, rows, strict=True):
        record["event"], record["period_d"], record["t0_btjd"], record["duration_h"] = number, period, t0, 4.8
    return table


def searched():
    flux = np.ones((3, len(TIME)), np.float32)
    best = events((1, 3.0, 1326.0), (1, np.nan, np.nan), (1, 2.5, 1326.5))
    further = events((2, np.nan, 1330.0), (3, 7.0, 1328.0))
    has = np.array([True, False, True])
    return Searched(best, flux, flux, has, ("", "no data", ""), further, np.array([0, 0]))


def test_rows_are_in_the_order_of_stars_and_events():
    star, found, has = event_rows(searched())
    assert star.tolist() == [0, 0, 0, 1, 2]
    assert found["event"].tolist() == [1, 2, 3, 1, 1]
    assert has.tolist() == [True, True, True, False, True]


def test_a_further_event_is_shown_without_those_before_it():
    found = searched()
    star, rows, _ = event_rows(found)
    flat = without_earlier(shard(3), found.detrended, star, rows)
    # 4.8 h and a quarter of them on either side: 0.15 d from the middle.
    first = np.abs((TIME - 1326.0 + 1.5) % 3.0 - 1.5) < 0.15 - 1e-6
    once = np.abs(TIME - 1330.0) < 0.15 - 1e-6
    assert not np.isnan(flat[[0, 3, 4]]).any()
    assert np.isnan(flat[1][first]).all()
    assert np.isnan(flat[2][first | once]).all()
    assert np.isnan(flat[1]).mean() < 1.1 * first.mean() + 0.002


@pytest.mark.parametrize(
    ("joined", "alone", "same"),
    [
        ((12.0, 1300.0), (12.1, 1335.9), True),
        ((12.0, 1300.0), (12.3, 1336.0), False),
        # Every other transit, at the right time and beside it; transits between those of the event.
        ((6.0, 1300.0), (12.0, 1330.05), True),
        ((6.0, 1300.0), (12.0, 1333.0), False),
        ((12.0, 1300.0), (6.0, 1330.0), True),
        ((12.0, 1300.0), (4.0, 1332.05), True),
        ((12.0, 1300.0), (4.0, 1333.5), False),
        ((12.0, 1300.0), (5.0, 1336.0), False),
        # A single transit in the sector, on a transit of the event and off it; the event is single, too.
        ((40.0, 1300.0), (np.nan, 1340.09), True),
        ((40.0, 1300.0), (np.nan, 1350.0), False),
        ((np.nan, 1300.0), (np.nan, 1300.02), True),
        ((np.nan, 1300.0), (np.nan, 1310.0), False),
        ((np.nan, 1300.0), (3.0, 1300.0), False),
    ],
)
def test_one_signal_in_one_sector_and_in_several(joined, alone, same):
    """Transits of 4.8 h: epochs coincide within 0.1 d. The sector has its own zero of time."""
    event, other = events((1, *joined), (1, alone[0], alone[1] - 700.0))
    assert same_signal(event, other, alone[1]) is same

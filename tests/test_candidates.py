"""Ranking, against tables made by hand."""

import json

import numpy as np
import pyarrow as pa

from larun import candidates
from larun.config import SweepSettings
from larun.schema import CANDIDATE_COLUMNS, CLASSES, DETECTION_COLUMNS, SECTOR_COLUMNS, EventFlag


def detections(*rows: dict) -> pa.Table:
    """Detections that carry the given values and are otherwise a plain strong planet."""
    common = {"status": "searched", "snr": 12.0, "sde": 9.0, "detection": 0.9, "flags": 0, "class": "planetary_transit"}
    common |= {"event": 1, "period_d": 3.0, "tmag": float("nan")} | {f"p_{name}": 0.0 for name in CLASSES}
    kinds = {"str": pa.string(), "bool": pa.bool_()}
    schema = pa.schema(
        [(c.name, kinds.get(c.dtype) or pa.from_numpy_dtype(c.dtype)) for c in (*DETECTION_COLUMNS, *SECTOR_COLUMNS)]
    )
    return pa.Table.from_pylist([common | row for row in rows], schema=schema)


def star(tic: int, planet: float, **values) -> dict:
    return {"tic": tic, "target": f"TIC {tic}", "p_planetary_transit": planet} | values


def test_score_falls_by_what_the_flags_say():
    flags = [
        0,
        EventFlag.FEW_TRANSITS | EventFlag.NEAR_GAP,
        EventFlag.SECONDARY,
        EventFlag.SECONDARY | EventFlag.TOO_DEEP | EventFlag.LONG_DURATION,
        EventFlag.V_SHAPE | EventFlag.PERIOD_ALIAS,
        0,
    ]
    got = candidates.score(np.array([0.8] * 5 + [np.nan]), np.array(flags, np.uint32))
    np.testing.assert_allclose(got, [0.8, 0.2, 0.08, 0.004, 0.8, 0.0], rtol=1e-6)


def test_no_flag_counts_twice():
    assert not candidates.FALSE_POSITIVE_FLAGS & candidates.DOUBT_FLAGS


def test_rank_keeps_what_passes_every_threshold_and_orders_by_score_then_snr():
    table = detections(
        star(1, 0.5),
        star(2, 0.9, snr=8.0),
        star(3, 0.9, snr=20.0),
        star(4, 0.99, snr=6.0),
        star(5, 0.99, sde=2.0),
        star(6, 0.01),
        star(8, 0.99, detection=0.3),
        star(7, float("nan"), snr=float("nan"), sde=float("nan"), status="absent"),
    )
    columns = candidates.rank(table, SweepSettings(min_snr=7, min_sde=5, min_planet_probability=0.1))
    assert columns["tic"].to_pylist() == [3, 2, 1]
    assert columns["rank"].tolist() == [1, 2, 3]
    assert set(columns) == {c.name for c in CANDIDATE_COLUMNS}


def test_single_transits_need_no_sde_and_come_last():
    single = {"event": 2, "period_d": float("nan"), "sde": float("nan"), "flags": int(EventFlag.SINGLE_TRANSIT)}
    table = detections(star(1, 0.3), star(2, 0.9, **single), star(3, 0.9, **single | {"snr": 5.0}))
    columns = candidates.rank(table, SweepSettings())
    assert columns["tic"].to_pylist() == [1, 2]
    schema = pa.schema([*[("rank", pa.int32()), ("score", pa.float32())], *detections().schema])
    row = candidates.listing(pa.table(columns, schema=schema))[1]
    assert row["period_d"] is None
    assert row["event"] == 2
    assert row["flags"] == ["single_transit"]


def test_joined_sectors_need_a_higher_detection_score_and_have_no_single_transits():
    joined = {"n_sectors": 3, "sectors": "1-3"}
    single = {"event": 2, "period_d": float("nan"), "sde": float("nan"), "flags": int(EventFlag.SINGLE_TRANSIT)}
    table = detections(
        star(1, 0.9, detection=0.71, n_sectors=1),
        star(2, 0.8, detection=0.71, **joined),
        star(3, 0.7, detection=0.76, **joined),
        star(4, 0.6, n_sectors=1, **single),
        star(5, 0.5, **single, **joined),
    )
    assert candidates.rank(table, SweepSettings())["tic"].to_pylist() == [1, 3, 4]
    low = candidates.rank(table, SweepSettings(min_joined_detection=0.7))
    assert low["tic"].to_pylist() == [1, 2, 3, 4]


def test_of_one_signal_the_better_row_is_a_candidate():
    """Events 1 and 2 of the sector alone; joined, the first is better and the second is not, and a third is new."""
    joined = {"n_sectors": 3, "sectors": "1-3"}
    table = detections(
        star(1, 0.5, same_event=0),
        star(1, 0.9, event=2, same_event=0),
        star(1, 0.6, event=3, same_event=1, **joined),
        star(1, 0.8, event=4, same_event=2, **joined),
        star(1, 0.7, event=5, same_event=0, **joined),
        star(2, 0.4, event=1, same_event=0),
    )
    columns = candidates.rank(table, SweepSettings())
    assert [*zip(columns["tic"].to_pylist(), columns["event"].to_pylist(), strict=True)] == [
        (1, 2),
        (1, 5),
        (1, 3),
        (2, 1),
    ]
    assert columns["rank"].tolist() == [1, 2, 3, 4]


def test_a_period_from_joined_sectors_wins_over_its_single_transit():
    single = {"period_d": float("nan"), "sde": float("nan"), "flags": int(EventFlag.SINGLE_TRANSIT), "same_event": 0}
    table = detections(star(1, 0.9, **single), star(1, 0.3, event=2, same_event=1, n_sectors=2))
    assert candidates.rank(table, SweepSettings())["event"].to_pylist() == [2]


def test_known_objects_are_shown_with_the_event_they_were_compared_with():
    table = pa.table(candidates.rank(detections(star(1, 0.7), star(1, 0.6, event=2)), SweepSettings()))
    matches = {"TIC 1": [match(), match(event=2, relation="another period")]}
    shown = candidates.listing(table, matches)
    assert [[m["relation"] for m in row["known"]] for row in shown] == [["same period"], ["another period"]]


def test_rank_of_a_sector_without_candidates_is_empty():
    columns = candidates.rank(detections(star(1, 0.0)), SweepSettings())
    assert len(columns["rank"]) == 0


def test_listing_has_the_keys_of_the_contract_and_is_plain_json():
    columns = candidates.rank(detections(star(1, 0.7, flags=int(EventFlag.V_SHAPE))), SweepSettings())
    schema = pa.schema([*[("rank", pa.int32()), ("score", pa.float32())], *detections().schema])
    (row,) = candidates.listing(pa.table(columns, schema=schema))
    promised = "rank tic target mission sector class score period_d t0_btjd duration_h depth_ppm snr sde flags"
    assert set(promised.split()) <= set(row)
    assert row["flags"] == ["v_shape"]
    assert row["tmag"] is None
    json.dumps(row, allow_nan=False)


def match(**values) -> dict:
    common = {"event": 1, "catalogue": "toi", "object": "TOI-700.01", "disposition": "PC", "matched_by": "tic"}
    common |= {"separation_arcsec": 0.1, "period_d": 9.98, "period_ratio": 1.0, "relation": "same period"}
    return common | {"epoch_phase": float("nan")} | values


def test_listing_names_known_objects_where_they_were_looked_up():
    table = pa.table(candidates.rank(detections(star(1, 0.7), star(2, 0.6)), SweepSettings()))
    assert "known" not in candidates.listing(table)[0]
    first, second = candidates.listing(table, {"TIC 1": [match(run="r1")]}, ("ctoi was never asked for",))
    (known,) = first["known"]
    assert known == {name: value for name, value in match(epoch_phase=None).items() if name != "event"}
    assert second["known"] == []
    assert first["not_matched"] == second["not_matched"] == ["ctoi was never asked for"]
    json.dumps(first, allow_nan=False)


def test_a_match_in_words():
    assert candidates.in_words(match()) == "TOI-700.01 PC, same period"
    near = match(disposition=None, matched_by="position", separation_arcsec=4.26, relation="no period known")
    assert candidates.in_words(near) == "TOI-700.01, no period known, 4.3 arcsec away"

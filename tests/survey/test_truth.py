"""Counting what was found of a simulated sector, on tables made by hand and on the simulated truth itself."""

import json

import pyarrow as pa
import pytest

from larun.config import SimulateSettings
from larun.errors import InputError
from larun.simulate.sector import SimulatedSector
from larun.survey.truth import DETECTABLE_SNR, beside_truth, recovery

NAN = float("nan")
TRUTH = pa.Table.from_pylist(
    [
        {"target_id": 1, "class6": "planetary_transit", "kind": "planet", "period_d": 4.0, "expected_snr": 30.0},
        {"target_id": 2, "class6": "planetary_transit", "kind": "planet", "period_d": 6.0, "expected_snr": 12.0},
        {"target_id": 3, "class6": "planetary_transit", "kind": "planet", "period_d": 3.0, "expected_snr": 2.0},
        {"target_id": 4, "class6": "eclipsing_binary", "kind": "detached_binary", "period_d": 2.0, "expected_snr": 9e3},
        {"target_id": 5, "class6": "noise", "kind": "quiet", "period_d": NAN, "expected_snr": NAN},
        {"target_id": 6, "class6": "planetary_transit", "kind": "planet", "period_d": 5.0, "expected_snr": 11.0},
    ]
).append_column("depth_ppm", pa.array([900.0, 800.0, 100.0, 2e5, NAN, 700.0]))


def candidates(*rows: tuple[int, float, str]) -> pa.Table:
    return pa.Table.from_pylist(
        [
            {"rank": n, "tic": tic, "target": f"TIC {tic}", "class": name, "score": 0.9, "period_d": period,
             "depth_ppm": 500.0, "snr": 20.0}
            for n, (tic, period, name) in enumerate(rows, 1)
        ]
    )  # fmt: skip


def test_recovery_counts_planets_at_their_period():
    table = candidates(
        (1, 4.0 * 1.0019, "planetary_transit"),
        (2, 3.0, "planetary_transit"),
        (3, 3.0 * 0.9979, "planetary_transit"),
        (4, 2.0, "planetary_transit"),
        (5, 7.0, "planetary_transit"),
        (6, 5.0, "eclipsing_binary"),
    )
    found = recovery(table, TRUTH)
    assert (found.injected, found.detectable) == (4, 3)
    assert (found.found, found.found_detectable) == (1, 1)
    assert found.harmonics == 1
    assert found.candidates == 5
    assert found.false_positives == 3
    assert found.found + found.harmonics + found.false_positives == found.candidates


@pytest.mark.parametrize(
    ("period", "found", "harmonic"),
    [(6.0, True, None), (3.0, False, "half"), (12.0, False, "twice"), (2.0, False, "a third"),
     (18.0, False, "three times"), (7.0, False, None)],
)  # fmt: skip
def test_harmonics_are_shown_and_not_found(period, found, harmonic):
    (row,) = beside_truth(candidates((2, period, "planetary_transit")), TRUTH)
    assert (row["found"], row["harmonic"]) == (found, harmonic)


def test_beside_truth_is_in_order_short_and_plain_json():
    table = candidates((5, 7.0, "noise"), (4, 2.0, "planetary_transit"), (1, 4.0, "planetary_transit"))
    rows = beside_truth(table.take([2, 0, 1]), TRUTH, n=2)
    assert [row["rank"] for row in rows] == [1, 2]
    assert [row["true_kind"] for row in rows] == ["quiet", "detached_binary"]
    assert rows[0]["true_period_d"] is None
    assert [row["found"] for row in rows] == [False, False]
    assert rows[1]["harmonic"] is None, "a binary at its own period is no harmonic of a planet"
    json.dumps(rows, allow_nan=False)


def test_candidates_of_another_sector_are_refused():
    for count in (recovery, beside_truth):
        with pytest.raises(InputError, match=r"1 candidates are not among the 6 stars .* the first is TIC 99"):
            count(candidates((99, 3.0, "planetary_transit")), TRUTH)


def test_no_candidates_at_all():
    empty = candidates((1, 1.0, "noise")).slice(0, 0)
    assert recovery(empty, TRUTH).found == 0
    assert beside_truth(empty, TRUTH) == []


def test_the_simulated_truth_has_the_columns_and_finds_itself():
    truth = SimulatedSector(SimulateSettings(stars=64, days=10.0), 1).truth
    planets = [row for row in truth.to_pylist() if row["class6"] == "planetary_transit"]
    table = candidates(*((row["target_id"], row["period_d"], "planetary_transit") for row in planets))
    found = recovery(table, truth)
    assert found.found == found.injected == len(planets) > 0
    assert found.false_positives == 0
    assert found.found_detectable == found.detectable == sum(p["expected_snr"] >= DETECTABLE_SNR for p in planets)
    assert all(row["found"] and row["true_kind"] == "planet" for row in beside_truth(table, truth))

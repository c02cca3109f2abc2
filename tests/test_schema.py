"""The schema, and that its listing in the documentation is up to date."""

import subprocess
import sys
from pathlib import Path

import numpy as np

from larun import schema
from larun.schema import EventFlag, Status


def test_listing_is_the_checked_in_one():
    checked_in = Path(__file__).parents[1] / "docs" / "schema.md"
    assert checked_in.read_text(encoding="utf-8") == schema.listing(), "run `make schema`"


def test_listing_can_be_printed():
    printed = subprocess.run([sys.executable, "-m", "larun.schema"], capture_output=True, text=True, check=True)
    assert printed.stdout == schema.listing()


def test_names_are_used_once():
    tables = (schema.SECTOR_ARRAYS, schema.PLAN_COLUMNS, schema.DETECTION_COLUMNS, schema.CANDIDATE_COLUMNS)
    for table in tables:
        names = [item.name for item in table]
        assert len(set(names)) == len(names)


def test_types_and_fills_exist():
    for array in schema.SECTOR_ARRAYS:
        assert np.array(array.fill, array.dtype) == array.fill or np.isnan(array.fill)
        assert array.meaning
    for column in schema.CANDIDATE_COLUMNS:
        assert column.dtype in ("str", "bool", "list[str]") or np.dtype(column.dtype)
        assert column.meaning


def test_units_are_known_to_astropy():
    from astropy import units

    items = (*schema.SECTOR_ARRAYS, *schema.PLAN_COLUMNS, *schema.CANDIDATE_COLUMNS)
    for item in items:
        if item.unit not in (None, "ppm"):
            units.Unit(item.unit)


def test_arrays_fall_into_three_kinds():
    kinds = (schema.TARGET_ARRAYS, schema.CADENCE_ARRAYS, schema.FLUX_ARRAYS)
    assert sorted(a.name for kind in kinds for a in kind) == sorted(a.name for a in schema.SECTOR_ARRAYS)


def test_codes_of_status_are_the_five_and_none_is_pending():
    assert set(Status.CODES) == {"stored", "absent", "corrupt", "unreachable", "rejected"}
    assert len(set(Status.CODES.values()) | {Status.PENDING_CODE}) == 6


def test_classes_are_those_of_the_network_in_order():
    assert schema.CLASSES == (
        "noise", "stellar_signal", "planetary_transit", "eclipsing_binary", "instrument_artifact", "unknown_anomaly",
    )  # fmt: skip
    assert [c.name for c in schema.DETECTION_COLUMNS if c.name.startswith("p_")] == [f"p_{n}" for n in schema.CLASSES]


def test_flags_have_names():
    assert (EventFlag.ODD_EVEN | EventFlag.FEW_TRANSITS).names == ["few_transits", "odd_even"]
    assert EventFlag(0).names == []


def test_empty_events_know_nothing():
    events = schema.empty_events(3)
    assert events.shape == (3,)
    for name in events.dtype.names:
        values = events[name]
        known = 1 if name == "event" else 0
        assert np.isnan(values).all() if values.dtype.kind == "f" else (values == known).all()

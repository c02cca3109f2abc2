"""From a service's columns to those of a snapshot: values worked out by hand."""

import math

import pytest

from larun.catalogue.normalise import content_sha256, normalise, recognise
from larun.catalogue.sources import CATALOGUES
from larun.errors import CatalogueError

TOI = CATALOGUES["toi"]


def toi_rows(**columns):
    n = len(next(iter(columns.values())))
    common = {
        "toi": [256.01 + i for i in range(n)], "tid": [92226327 + i for i in range(n)], "ra": [11.25] * n,
        "dec": [-15.25] * n, "tfopwg_disp": ["KP"] * n, "pl_orbper": [24.7] * n,
    }  # fmt: skip
    return normalise(TOI, common | columns)


def test_a_toi_in_the_archives_columns():
    found = toi_rows(toi=[256.01], pl_tranmid=[2458389.2852780], pl_trandurh=[3.7], pl_trandep=[4900.0])
    assert found["object"] == ["TOI-256.01"]
    assert found["tic"] == [92226327]
    assert (found["ra"], found["dec"]) == ([11.25], [-15.25])
    assert found["disposition"] == ["KP"]
    assert found["period_d"] == [24.7]
    assert found["t0_btjd"] == pytest.approx([1389.285278], abs=1e-6)
    assert (found["duration_h"], found["depth_ppm"]) == ([3.7], [4900.0])
    assert math.isnan(found["period_err_d"][0]), "a column that the reply has not is missing"


def test_a_toi_in_exofops_columns():
    raw = {
        "TIC ID": ["231663901"], "TOI": ["101.01"], "TFOPWG Disposition": ["KP"], "RA": ["21:14:56.88"],
        "Dec": ["-00:52:18.71"], "Period (days)": ["1.43"], "Epoch (BJD)": ["2458326.009117"],
    }  # fmt: skip
    found = normalise(TOI, raw)
    assert found["ra"] == pytest.approx([15 * (21 + 14 / 60 + 56.88 / 3600)])
    assert found["dec"] == pytest.approx([-(52 / 60 + 18.71 / 3600)]), "the sign of -00 is kept"
    assert found["tic"] == [231663901]


@pytest.mark.parametrize(
    ("column", "name", "value", "expected"),
    [
        ("pl_orbper", "period_d", 0.0, math.nan),
        ("pl_orbper", "period_d", "", math.nan),
        ("pl_orbper", "period_d", None, math.nan),
        ("pl_orbper", "period_d", "not a number", math.nan),
        ("pl_orbper", "period_d", 2459517.0, math.nan),
        ("pl_tranmid", "t0_btjd", 24588985.1, math.nan),
        ("pl_tranmid", "t0_btjd", 1325.7, 1325.7),
        ("pl_trandep", "depth_ppm", -3.0, math.nan),
        ("ra", "ra", 361.0, math.nan),
        ("dec", "dec", "-91", math.nan),
        ("tfopwg_disp", "disposition", "  ", None),
        ("tid", "tic", "TIC 0000117544915", 117544915),
        ("tid", "tic", 117544915.0, 117544915),
        ("tid", "tic", "117544915x", None),
        ("toi", "object", "700.1", "TOI-700.10"),
        ("toi", "object", "TOI 700.01", "TOI-700.01"),
    ],
)
def test_one_value(column, name, value, expected):
    (found,) = toi_rows(**{column: [value]})[name]
    assert found == expected or (math.isnan(expected) and math.isnan(found))


def test_a_planet_of_the_archive():
    raw = {
        "pl_name": ["pi Men c"], "tic_id": ["TIC 261136679"], "ra": [84.299], "dec": [-80.469],
        "pl_orbper": [6.2678], "pl_trandep": [0.0298],
    }  # fmt: skip
    found = normalise(CATALOGUES["planets"], raw)
    assert found["object"] == ["pi Men c"]
    assert found["tic"] == [261136679]
    assert found["disposition"] == ["CP"]
    assert found["depth_ppm"] == pytest.approx([298.0]), "the archive gives percent"


@pytest.mark.parametrize("epoch", ["BJD0", "_tab1_10"])
def test_an_eclipsing_binary_of_vizier(epoch):
    raw = {"TIC": ["0117544915"], "RAJ2000": [10.0], "DEJ2000": [5.0], "Per": [3.6], epoch: [1326.5]}
    found = normalise(CATALOGUES["tess-eb"], raw)
    assert found["object"] == ["TIC 117544915"]
    assert found["disposition"] == ["EB"]
    assert found["t0_btjd"] == [1326.5]


def test_a_variable_star_that_does_not_vary_is_left_out():
    raw = {
        "Name": ["A", "B", "C", "A"], "V": [0, 2, 3, 0], "RAJ2000": [1.0] * 4, "DEJ2000": [2.0] * 4,
        "Type": ["EA"] * 4, "Period": [None] * 4,
    }  # fmt: skip
    found = normalise(CATALOGUES["vsx"], raw)
    assert found["object"] == ["A"], "once, though it is near two stars, and missing values differ from themselves"
    assert found["tic"] == [None]


def test_infinity_is_no_number():
    raw = {"ID": [1, 2], "ra": [1.0, 1.0], "dec": [2.0, 2.0], "Tmag": ["inf", -1.5], "logg": [float("-inf"), 4.4]}
    found = normalise(CATALOGUES["tic"], raw)
    assert [found["tmag"][1], found["logg"][1]] == [-1.5, 4.4]
    assert math.isnan(found["tmag"][0])
    assert math.isnan(found["logg"][0])


def test_what_has_no_name_or_no_place_is_left_out():
    found = toi_rows(toi=[1.01, None, 3.01, 4.01], tid=[1, 2, None, None], ra=[1.0, 1.0, None, 1.0])
    assert found["object"] == ["TOI-1.01", "TOI-4.01"]


def test_another_table_is_refused():
    with pytest.raises(CatalogueError, match=r"should have a column tid or TIC ID; its columns are toi, ra"):
        normalise(TOI, {"toi": [1.01], "ra": [1.0]})


def test_equal_content_has_one_hash_in_any_order():
    one = toi_rows(toi=[1.01, 2.01], tid=[1, 2], pl_tranmid=[None, 2458326.0])
    two = toi_rows(toi=[2.01, 1.01], tid=["TIC 2", "1"], pl_tranmid=["2458326.0", ""])
    three = toi_rows(toi=[2.01, 1.01], tid=[2, 1], pl_tranmid=[2458326.0, 2458327.0])
    assert content_sha256(one) == content_sha256(two)
    assert content_sha256(one) != content_sha256(three)


def test_a_table_is_recognised_by_its_columns():
    raw = {name: [] for name in ("TIC ID", "CTOI", "RA", "Dec", "User Disposition", "Period (days)")}
    assert [c.name for c in recognise(raw, list(CATALOGUES.values()))] == ["ctoi"]
    assert recognise({"time": [], "flux": []}, list(CATALOGUES.values())) == []


def test_every_column_that_is_filled_is_one_of_the_snapshot():
    for catalogue in CATALOGUES.values():
        names = [column.name for column in catalogue.columns]
        assert {field.column for field in catalogue.fields} <= set(names)
        assert catalogue.credit

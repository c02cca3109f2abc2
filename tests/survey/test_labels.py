"""Labels from catalogues: what counts, what is disputed, and which stars are chosen."""

import pyarrow as pa
import pytest

from larun.network.bank import Ephemeris
from larun.schema import CLASSES, KNOWN_COLUMNS
from larun.survey.labels import BINARY, PLANET, STELLAR, KnownStar, chosen, known_stars, variable_label


def table(*rows):
    blank = dict.fromkeys(column.name for column in KNOWN_COLUMNS)
    return pa.Table.from_pylist([blank | row for row in rows])


def planet(tic, name="P b", **changes):
    return {"tic": tic, "object": name, "period_d": 3.0, "t0_btjd": 1326.0, "duration_h": 2.0} | changes


def test_planets_and_binaries_and_their_ephemerides():
    stars = known_stars(
        {
            "planets": table(
                planet(1, "Kepler-10 b"), planet(1, "Kepler-10 c", period_d=45.0), planet(5, t0_btjd=None)
            ),
            "toi": table(planet(1, disposition="CP"), planet(2, disposition="KP", duration_h=None)),
            "tess-eb": table(planet(3, disposition="EB"), planet(4, period_d=None)),
        }
    )
    assert [(s.tic, s.label, s.catalogue) for s in stars] == [
        (1, PLANET, "planets"), (2, PLANET, "toi"), (3, BINARY, "tess-eb"), (4, BINARY, "tess-eb"),
    ]  # fmt: skip
    assert stars[0].hosts == ("Kepler-10",)
    assert [e.period_d for e in stars[0].ephemerides] == [3.0, 45.0]
    assert stars[2].ephemerides == (Ephemeris(3.0, 1326.0, 2.0),)
    assert stars[3].ephemerides == ()


def test_disputed_stars_are_left_out():
    assert known_stars({"planets": table(planet(1)), "tess-eb": table(planet(1))}) == []
    for disposition in ("PC", "FP", "FA", "APC", None):
        assert known_stars({"planets": table(planet(1)), "toi": table(planet(1, disposition=disposition))}) == []
    assert known_stars({"planets": table(planet(None), planet(-1))}) == []


@pytest.mark.parametrize(
    ("kind", "label"),
    [
        ("EA", BINARY), ("EW/KW", None), ("EB|EW", BINARY), ("RRAB", STELLAR), ("DSCT", STELLAR), ("ROT", STELLAR),
        ("E:", BINARY), ("EA+DSCT", None), ("VAR", None), ("CST", None), ("", None), ("BY|RS", STELLAR),
    ],
)  # fmt: skip
def test_variables_by_their_type(kind, label):
    assert variable_label(kind) == label


def test_the_chosen_stars_are_bounded_mixed_and_stay():
    stars = [KnownStar(tic, label, "c") for tic, label in enumerate([PLANET] * 30 + [BINARY] * 30 + [STELLAR] * 4)]
    few, more = chosen(stars, 5, 10, seed=1), chosen(stars, 8, 20, seed=1)
    labels = [star.label for star in few]
    assert [labels.count(k) for k in (PLANET, BINARY, STELLAR)] == [5, 6, 4]
    assert {s.tic for s in few} <= {s.tic for s in more}
    assert chosen(reversed(stars), 5, 10, seed=1) == few
    assert chosen(stars, 5, 10, seed=2) != few
    assert CLASSES[BINARY] == "eclipsing_binary"

"""pyvo, astroquery and requests, unmodified, against services on loopback: replies, and what may go wrong with them."""

import json
import math
import time
import warnings
from contextlib import contextmanager
from dataclasses import replace

import pytest
from astroquery.mast.discovery_portal import PortalAPI

from larun.catalogue.fetch import CatalogueServices, StarList
from larun.catalogue.sources import CATALOGUES
from larun.errors import CatalogueError, CatalogueUnreachable
from tests.loopback import Library, invoke
from tests.loopback.adql import csv_text
from tests.loopback.answer import data_json
from tests.loopback.services import settings_for, star

STARS = StarList((21, 22, 23, -1), (80.21, 80.22, 80.23, math.nan), (-60.0, -60.0, -60.0, -60.0))


def fetch(settings, name, stars=None):
    with CatalogueServices(settings.archives, settings.catalogues) as services:
        return services.fetch(CATALOGUES[name], stars)


def test_planets_and_tois(settings):
    planets = fetch(settings, "planets")
    assert planets.columns["object"] == ["Sample-21 b"]
    assert planets.columns["depth_ppm"] == pytest.approx([4000.0])
    assert planets.url == settings.catalogues.exoplanet_archive_url
    toi = fetch(settings, "toi").columns
    assert toi["object"] == ["TOI-100.01", "TOI-101.01"]
    assert toi["t0_btjd"] == pytest.approx([1325.7, 1400.0], abs=1e-6)
    assert math.isnan(toi["period_d"][1]), "an empty cell is missing"


def test_ctois_and_eclipsing_binaries(settings):
    assert fetch(settings, "ctoi").columns["object"] == ["CTOI-22.01"]
    binaries = fetch(settings, "tess-eb").columns
    assert (binaries["object"], binaries["tic"], binaries["period_d"]) == (["TIC 22"], [22], [2.6])


def test_variable_stars_around_given_stars_come_by_upload_in_batches(settings, tables):
    with CatalogueServices(settings.archives, settings.catalogues) as opened:
        found = opened.fetch(replace(CATALOGUES["vsx"], stars_per_request=2), STARS)
    assert found.columns["object"] == ["V0023 Tst"], "the other is known not to vary"
    assert "0.00277778" in found.query, "10 arcsec"
    assert [request["uploads"] for request in tables.asked] == [["stars"]] * 2, "three stars have a position"


def test_stars_without_a_position_are_not_asked_about(settings, tables):
    nowhere = StarList((21,), (math.nan,), (math.nan,))
    assert fetch(settings, "vsx", nowhere).columns["object"] == []
    assert tables.asked == []


def test_the_tic_comes_in_batches_through_astroquery(settings, services):
    tics = tuple(range(1, 1301))
    services.stars = Library(tuple(star(tic, magnitude=5 + tic / 1000, radius=math.nan) for tic in tics))
    found = fetch(settings, "tic", StarList(tics, (80.0,) * 1300, (-60.0,) * 1300)).columns
    assert sorted(found["tic"]) == list(tics), "each once"
    assert found["tmag"] == pytest.approx([5 + tic / 1000 for tic in found["tic"]])
    assert all(math.isnan(value) for value in found["radius"]), "null is missing"
    assert set(found["luminosity_class"]) == {"DWARF"}
    asked = [request for request in services.tables.asked if request["query"].endswith("Rows")]
    assert len(asked) == 3, "500 stars a request"


def test_density_of_the_sun_is_one(settings, services):
    services.stars = Library((star(21, logg=4.438),))
    found = fetch(settings, "tic", StarList((21,), (80.0,), (-60.0,))).columns
    assert found["mass"] == pytest.approx([1.0])
    assert found["density"] == pytest.approx([1.0])


def test_mast_is_not_asked_without_a_pause(settings, services):
    services.stars = Library((star(21),))
    services.tables.faults["tic"] = ["executing"]
    started = time.monotonic()
    assert fetch(settings, "tic", StarList((21,), (80.0,), (-60.0,))).columns["tic"] == [21]
    assert time.monotonic() - started >= 1.0


def test_each_request_to_mast_has_a_permit(settings, services):
    services.stars = Library(tuple(star(tic) for tic in range(1, 601)))
    held = []

    @contextmanager
    def permit():
        held.append("taken")
        yield
        held.append("back")

    tics = tuple(range(1, 601))
    with CatalogueServices(settings.archives, settings.catalogues, permit) as opened:
        opened.fetch(CATALOGUES["tic"], StarList(tics, (80.0,) * 600, (-60.0,) * 600))
        opened.fetch(CATALOGUES["toi"])
    assert held == ["taken", "back"] * 2


@pytest.mark.parametrize("name", ["toi", "ctoi", "tic"])
def test_a_failure_that_passes_is_tried_again(settings, tables, name):
    tables.faults[name] = ["503", "429"]
    fetch(settings, name, STARS if name == "tic" else None)
    assert tables.faults[name] == []


@pytest.mark.parametrize("name", ["toi", "ctoi", "tic"])
def test_a_service_that_stays_down_is_unreachable(settings, tables, name):
    tables.faults[name] = ["503"] * 9
    with pytest.raises(CatalogueUnreachable, match=r"127\.0\.0\.1 answered HTTP 503"):
        fetch(settings, name, STARS if name == "tic" else None)
    assert len(tables.faults[name]) == 9 - 3, "three attempts, no more"


def test_a_service_that_falls_silent_is_left_in_time(served, tables):
    tables.faults["toi"] = ["stall"] * 3
    settings = settings_for(served[0], archives={"read_timeout_s": 0.2})
    started = time.monotonic()
    with pytest.raises(CatalogueUnreachable, match="does not answer: ReadTimeout"):
        fetch(settings, "toi")
    assert time.monotonic() - started < 8.0, "three answers of the service take 9 s"


def test_nobody_there_is_unreachable():
    settings = settings_for("http://127.0.0.1:9")
    for name in ("toi", "ctoi", "tic"):
        with pytest.raises(CatalogueUnreachable, match="does not answer: ConnectionError"):
            fetch(settings, name, STARS if name == "tic" else None)


@pytest.mark.parametrize(
    ("name", "fault", "said"),
    [
        ("toi", "400", "answered HTTP 400"),
        ("toi", "html", "not appear to be a VOTABLE"),
        ("toi", "error", "ORA-00942"),
        ("toi", "truncated", "sent no such table"),
        ("toi", "overflow", "cut the table after 2 rows"),
        ("toi", "empty", "sent no such table"),
        ("toi", "renamed", "should have a column pl_orbper"),
        ("ctoi", "html", "is a web page"),
        ("ctoi", "empty", "CSV with a header"),
        ("tic", "html", "should have answered JSON"),
        ("tic", "error", "timed out"),
        ("tic", "truncated", "should have answered JSON"),
    ],
)
def test_what_is_no_catalogue_is_refused_and_said(settings, tables, name, fault, said):
    tables.faults[name] = [fault]
    with pytest.raises(CatalogueError, match=said) as refused:
        fetch(settings, name, STARS if name == "tic" else None)
    assert not isinstance(refused.value, CatalogueUnreachable)


def test_all_rows_are_asked_for_where_a_service_has_a_limit_of_its_own(settings, tables):
    tables.default_rows = 1
    assert len(fetch(settings, "toi").columns["object"]) == 2


def test_a_file_that_is_cut_in_its_last_value_is_refused(settings, tables, monkeypatch):
    monkeypatch.setattr("tests.loopback.tap.csv_text", lambda rows: csv_text(rows)[:-2])
    with pytest.raises(CatalogueError, match="breaks off in its last line"):
        fetch(settings, "ctoi")


def test_a_file_that_is_cut_in_a_line_is_refused(settings, tables):
    rows = tables.tables["ctoi"] * 3
    tables.tables["ctoi"] = [row | {"CTOI": 22.01 + i} for i, row in enumerate(rows)]
    tables.faults["ctoi"] = ["truncated"]
    with pytest.raises(CatalogueError, match="should have 10 values, and row 2 has 3"):
        fetch(settings, "ctoi")


def test_an_unknown_table_gets_the_services_own_words(settings, tables):
    del tables.tables["toi"]
    with pytest.raises(CatalogueError, match='table "toi" not found'):
        fetch(settings, "toi")


def test_a_password_in_an_address_is_not_said(served, tables):
    host = served[0].removeprefix("http://")
    settings = settings_for(f"http://someone:secret-word@{host}")
    for name, fault in (("toi", "503"), ("toi", "html"), ("ctoi", "400"), ("tic", "503")):
        tables.faults[name] = [fault] * 3
        with pytest.raises(CatalogueError) as refused:
            fetch(settings, name, STARS if name == "tic" else None)
        assert "secret-word" not in str(refused.value)
        tables.faults[name] = []


def test_the_reply_says_where_it_came_from_without_the_password(served, tables):
    host = served[0].removeprefix("http://")
    reply = fetch(settings_for(f"http://someone:secret-word@{host}"), "toi")
    assert reply.url == f"http://{host}/TAP"


def test_the_recorded_reply_of_the_exoplanet_archive(settings, tables, real_data):
    """A real row of the `toi` table, as astroquery's test-suite recorded it, sent as TAP sends it."""
    from astropy.table import Table

    recorded = real_data / "mast_recorded_responses/ipac/nexsci/nasa_exoplanet_archive/tests/data/toi_expect_0.txt"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        table = Table.read(recorded, format="ascii.ipac")
    tables.tables["toi"] = [
        {name: None if value is None else value for name, value in zip(table.colnames, row, strict=True)}
        for row in zip(*(table[name].tolist() for name in table.colnames), strict=True)
    ]
    found = fetch(settings, "toi").columns
    assert found["object"] == ["TOI-256.01"]
    assert found["tic"] == [92226327]
    assert found["disposition"] == ["KP"]
    assert found["ra"] == pytest.approx([11.2486320])
    assert found["t0_btjd"] == pytest.approx([1389.285278], abs=1e-6)


def test_the_recorded_columns_and_rows_of_the_tic(served, services, real_data, monkeypatch):
    """MAST's own description of its columns and its own rows: what is null in them is missing."""
    folder = real_data / "mast_recorded_responses/mast/tests/data"
    columns = json.loads((folder / "ticcolumns.json").read_text())
    reply = json.loads((folder / "tic.json").read_text())
    healthy = invoke.Portal.answer
    monkeypatch.setattr(PortalAPI, "_column_configs", {})
    monkeypatch.setattr("tests.loopback.services.columns_config", lambda body: columns)
    monkeypatch.setattr(
        invoke.Portal, "answer", lambda self, body: data_json(reply) if b"Rows" in body else healthy(self, body)
    )
    tics = tuple(sorted(row["ID"] for row in reply["data"]))
    found = fetch(settings_for(served[0]), "tic", StarList(tics, (0.0,) * len(tics), (0.0,) * len(tics))).columns
    assert sorted(found["tic"]) == [int(tic) for tic in tics]
    by_tic = {int(row["ID"]): row for row in reply["data"]}
    for tic, tmag, radius in zip(found["tic"], found["tmag"], found["radius"], strict=True):
        assert tmag == pytest.approx(by_tic[tic]["Tmag"])
        assert math.isnan(radius) == (by_tic[tic]["rad"] is None)

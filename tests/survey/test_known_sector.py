"""Catalogues about the stars of a stored sector, and what people see of them: the listing, the pages, the commands."""

import json
import shutil
from pathlib import Path

import pytest
from swept_sector import PLANETS, TICS, Judge, ingest, settings_of, sweep, write_products
from tiny_sector import PRODUCT
from typer.testing import CliRunner

from larun import paths
from larun.archive.budget_server import BudgetServer
from larun.cli import app
from larun.errors import NotInStore
from larun.objects import Root
from larun.report import write_report
from larun.schema import STELLAR_COLUMNS
from larun.survey import snapshots
from larun.survey.known import match_sweep, update_catalogues
from tests.loopback import Library
from tests.loopback.services import Services, serving, settings_for, star

STORED = (21, 22, 23, 24, 28)


@pytest.fixture(scope="module")
def served():
    """Address of the services, and what they hold."""
    held = Services()
    with serving(held.application()) as url:
        yield url, held


@pytest.fixture
def services(served):
    """Address of the services, and what they hold, fresh for each test."""
    url, held = served
    held.reset()
    held.stars = Library(tuple(star(tic, magnitude=tic / 2) for tic in TICS))
    return url, held


@pytest.fixture(scope="module")
def published(tmp_path_factory):
    """Root of a published sweep, and its run."""
    place = tmp_path_factory.mktemp("known")
    settings = settings_of(str(place / "root"))
    root = Root(settings.root)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("larun.survey.sweep.Classifier", Judge)
        ingest(root, write_products(place / "files"), settings)
        return root, sweep(root, settings)["run"]


@pytest.fixture
def swept(published, tmp_path):
    """Root of a published sweep, not matched yet, and its run; a copy for each test."""
    root, run = published
    return Root(shutil.copytree(root.url, tmp_path / "root").as_posix()), run


@pytest.fixture
def configuration(services, tmp_path):
    """Configuration file that leads to the services."""
    url, _ = services
    path = tmp_path / "larun.toml"
    path.write_text(
        f"[archives]\nmast_url = '{url}'\nread_timeout_s = 2.0\nbackoff_s = 0.01\n"
        f"[catalogues]\nexoplanet_archive_url = '{url}/TAP'\nvizier_url = '{url}/TAPVizieR/tap'\nexofop_url = '{url}'\n"
    )
    return path


def larun(*words, code=0):
    result = CliRunner().invoke(app, [str(word) for word in words])
    assert result.exit_code == code, result.output
    return result


def test_the_stars_of_a_sector_are_asked_about_once(swept, services):
    root, _ = swept
    url, held = services
    settings = settings_for(url, catalogues={"use": ["vsx", "tic"]})
    names = ["vsx-tess-s0001-spoc-120s", "tic-tess-s0001-spoc-120s"]
    results = update_catalogues(root, settings)
    assert [(row["name"], row["state"]) for row in results] == [(name, "updated") for name in names]
    table = snapshots.load(root, names[1])
    assert table.column_names == [column.name for column in STELLAR_COLUMNS]
    assert table["tic"].to_pylist() == list(STORED), "those that are stored"
    assert table["tmag"].to_pylist() == [tic / 2 for tic in STORED]
    assert snapshots.load(root, names[0])["object"].to_pylist() == ["V0023 Tst"]
    held.tables.asked.clear()
    make_old = snapshots.pointer(root, names[0]) | {"date": "2019-01-01T00:00:00+00:00"}
    root.write_json(paths.catalogue(names[0]), make_old)
    assert {row["state"] for row in update_catalogues(root, settings, products=[PRODUCT])} == {"fresh"}
    assert held.tables.asked == []
    wider = settings_for(url, catalogues={"use": ["vsx", "tic"], "radius_arcsec": 20.0})
    states = [row["state"] for row in update_catalogues(root, wider)]
    assert states == ["updated", "fresh"], "another radius is another question"


def test_requests_to_mast_take_permits_of_the_budget(swept, services):
    root, _ = swept
    settings = settings_for(services[0])
    with BudgetServer(settings.archives) as budget:
        (result,) = update_catalogues(root, settings, ["tic"], budget.address, [PRODUCT])
        assert result["state"] == "updated"
        report = budget.report()
    assert (report["mast"]["requests"], report["mast"]["failures"]) == (1, 0)


def test_without_a_budget_mast_is_not_asked(swept, services):
    root, _ = swept
    _, held = services
    settings = settings_for(services[0])
    with BudgetServer(settings.archives) as budget:
        gone = budget.address
    (result,) = update_catalogues(root, settings, ["tic"], gone, [PRODUCT])
    assert (result["state"], result["rows"]) == ("unreachable", None)
    assert held.tables.asked == []
    (result,) = update_catalogues(root, settings, ["tic"], products=[PRODUCT])
    assert result["state"] == "updated"
    held.tables.asked.clear()
    (result,) = update_catalogues(root, settings, ["tic"], gone, [PRODUCT])
    assert (result["state"], result["rows"]) == ("stale", len(STORED)), "what was asked before stays"
    assert held.tables.asked == []


def test_the_commands(swept, services, configuration):
    root, run = swept
    _, held = services
    before = larun("candidates", "--root", root.url, "--json")
    assert {row["tic"] for row in json.loads(before.stdout)} == set(PLANETS)
    assert json.loads(before.stdout)[0]["known"] == []
    assert json.loads(before.stdout)[0]["not_matched"] == ["no catalogue was looked up yet"]

    held.tables.faults["toi"] = ["503"] * 3
    words = ("catalogues", "update", "--root", root.url, "--config", configuration)
    failed = larun(*words, "--json", code=1)
    told = json.loads(failed.stdout)
    assert {row["name"]: row["state"] for row in told["catalogues"]}["toi"] == "unreachable"
    assert told["matched"][0]["run"] == run
    assert "toi unreachable, 127.0.0.1 answered HTTP 503" in " ".join(failed.stderr.split())

    listed = larun("candidates", "--root", root.url)
    assert "Sample-21 b CP, same period" in " ".join(listed.stdout.split())
    assert "not matched yet: toi unreachable since" in " ".join(listed.stderr.split())

    updated = larun(*words)
    assert "5 known objects at 3 stars" in updated.stdout
    rows = {row["tic"]: row for row in json.loads(larun("candidates", "--root", root.url, "--json").stdout)}
    assert [known["object"] for known in rows[21]["known"]] == ["Sample-21 b", "TOI-100.01"]
    assert [known["relation"] for known in rows[22]["known"]] == ["same period", "half the period"]
    assert rows[21]["not_matched"] == []

    states = json.loads(larun("catalogues", "list", "--root", root.url, "--json").stdout)
    assert {row["state"] for row in states} == {"fresh"}
    assert "toi" in larun("catalogues", "list", "--root", root.url).stdout


def test_stars_of_no_sector_cannot_be_asked_about(configuration, tmp_path):
    told = larun("catalogues", "update", "vsx", "toi", "--root", tmp_path, "--config", configuration)
    assert "no published sweep has stars to ask about: vsx" in told.stderr
    listed = larun("catalogues", "list", "--root", tmp_path).stdout
    assert "0.0" in listed, "days, to a tenth"


def test_a_sector_whose_light_curves_were_deleted_is_not_asked_about(swept, services, monkeypatch):
    def gone(root, product):
        raise NotInStore(f"there is no {product}")

    root, _ = swept
    monkeypatch.setattr("larun.survey.known.stars_of", gone)
    settings = settings_for(services[0], catalogues={"use": ["toi", "tic"]})
    assert [row["name"] for row in update_catalogues(root, settings)] == ["toi"]


def test_the_pages_name_what_is_known(swept, services):
    root, run = swept
    url, _ = services
    settings = settings_for(url, catalogues={"use": ["planets", "toi", "ctoi", "tess-eb", "vsx"]})
    update_catalogues(root, settings)
    match_sweep(root, PRODUCT, run, settings)
    index = Path(write_report(root, settings_of(root.url), PRODUCT, limit=1))
    text = index.read_text(encoding="utf-8")
    assert "TOI-100.01 CP, same period" in text
    assert "Not matched yet" not in text
    first = index.with_name("candidate-0001.html").read_text(encoding="utf-8")
    assert "Known objects at this star" in first
    assert "Known at this star: Sample-21 b CP, same period; 1 more below" in first
    nothing = settings_for(url, catalogues={"use": ["vsx"]})
    match_sweep(root, PRODUCT, run, nothing)
    write_report(root, settings_of(root.url), PRODUCT, limit=1)
    assert "No catalogue that was looked up knows an object" in index.with_name("candidate-0001.html").read_text()
    root.delete(paths.match_record(PRODUCT, run))
    again = Path(write_report(root, settings_of(root.url), PRODUCT, limit=0)).read_text(encoding="utf-8")
    assert "Not matched yet: no catalogue was looked up yet" in again
    assert "TOI-100.01" not in again


def test_importing_a_table(swept, tmp_path):
    root, _ = swept
    path = tmp_path / "saved.csv"
    path.write_text("pl_name,tic_id,ra,dec,pl_orbper\nImported-22 b,TIC 22,80.22,-60.0,1.3\n")
    told = json.loads(larun("catalogues", "import", path, "--root", root.url, "--json").stdout)
    assert (told["name"], told["rows"]) == ("planets", 1)
    assert told["query"] == "imported from saved.csv"
    rows = {row["tic"]: row for row in json.loads(larun("candidates", "--root", root.url, "--json").stdout)}
    assert rows[22]["known"][0]["object"] == "Imported-22 b"
    failed = larun("catalogues", "import", tmp_path / "absent.csv", "--root", root.url, code=1)
    assert "cannot read" in failed.stderr

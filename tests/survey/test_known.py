"""Snapshots of catalogues, and matching a sweep with them: what is fetched, kept, refused, deferred."""

import json
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta

import numpy as np
import pytest
from tiny_sector import tree

from larun import paths
from larun.catalogue.normalise import content_sha256
from larun.catalogue.sources import CATALOGUES
from larun.errors import CatalogueError, InputError, NotInStore
from larun.objects import Root
from larun.paths import Product
from larun.schema import DETECTION_COLUMNS, KNOWN_COLUMNS, MATCH_COLUMNS
from larun.store.publish import publish
from larun.store.tables import read_table, write_table
from larun.survey import snapshots
from larun.survey.discover import sweeps_to_match
from larun.survey.known import known_objects, match_published, match_sweep, update_catalogues
from tests.loopback.services import Services, serving, settings_for

PRODUCT = Product("tess", 1, "spoc", 120)
RUN = "r1"
WHOLE = ("planets", "toi", "ctoi", "tess-eb")
NOBODY = "http://127.0.0.1:9"
STARS = {
    21: {"period_d": 0.9001, "t0_btjd": 1325.7 + 5 * 0.9},
    22: {"period_d": 1.3, "t0_btjd": 1325.7 + 1.3},
    23: {"period_d": 3.0, "t0_btjd": 1330.0},
    24: {"period_d": 5.0, "t0_btjd": 1330.0},
}
"""Best events of four stars; what the sample catalogues hold of them is in `tests.loopback.tap.sample`."""


@pytest.fixture(scope="module")
def served():
    services = Services()
    with serving(services.application()) as url:
        yield url, services


@pytest.fixture
def services(served):
    served[1].reset()
    return served[1]


@pytest.fixture
def settings(served, services):
    return with_catalogues(served[0])


def with_catalogues(url, *use, **catalogues):
    return settings_for(url, catalogues={"use": use or WHOLE} | catalogues)


@pytest.fixture
def root(tmp_path):
    return Root(str(tmp_path))


def write_detections(root, product=PRODUCT, stars=STARS, **columns):
    n = len(stars)
    values = {}
    for column in DETECTION_COLUMNS:
        kind = "" if column.dtype in ("str", "bool") else np.dtype(column.dtype).kind
        values[column.name] = [float("nan") if kind == "f" else 0 if kind in "iu" and kind else ""] * n
    values |= {"simulated": [product.simulated] * n, "tic": list(stars), "target": [f"TIC {tic}" for tic in stars]}
    values |= {"ra": [80.0 + tic / 100 for tic in stars], "dec": [-60.0] * n, "mission": [product.mission] * n}
    values |= {"sector": [product.sector] * n, "run": [RUN] * n, "class": ["planetary_transit"] * n}
    values |= {name: [star[name] for star in stars.values()] for name in ("period_d", "t0_btjd")}
    write_table(root, paths.part("detections", product, RUN, 0), values | columns, DETECTION_COLUMNS)


def matches(root):
    return read_table(root, paths.run_folder("matches", PRODUCT, RUN)).to_pylist()


def states(results):
    return {row["name"]: row["state"] for row in results}


def make_older(root, name, days):
    points = snapshots.pointer(root, name)
    then = datetime.fromisoformat(points["date"]) - timedelta(days=days)
    root.write_json(paths.catalogue(name), points | {"date": then.isoformat(timespec="seconds")})


def test_a_snapshot_says_where_it_comes_from(root, settings):
    before = datetime.now(UTC).replace(microsecond=0)
    results = update_catalogues(root, settings)
    assert states(results) == dict.fromkeys(WHOLE, "updated")
    points = snapshots.pointer(root, "toi")
    assert points["query"].endswith("from toi")
    assert points["url"] == settings.catalogues.exoplanet_archive_url
    assert points["rows"] == 2
    assert before <= datetime.fromisoformat(points["date"]) <= datetime.now(UTC)
    assert root.list("catalogues/toi") == [f"catalogues/toi/{points['sha256'][:16]}.parquet"]
    table = snapshots.load(root, "toi")
    assert table["object"].to_pylist() == ["TOI-100.01", "TOI-101.01"]
    assert table.schema.field("period_d").metadata[b"unit"] == b"d"


def test_what_is_fresh_is_not_asked_for_and_what_is_old_is(root, settings, services):
    update_catalogues(root, settings)
    services.tables.asked.clear()
    assert states(update_catalogues(root, settings)) == dict.fromkeys(WHOLE, "fresh")
    assert services.tables.asked == []
    make_older(root, "toi", 7.1)
    make_older(root, "ctoi", 6.9)
    assert states(update_catalogues(root, settings)) == dict.fromkeys(WHOLE, "fresh") | {"toi": "updated"}
    assert [request["table"] for request in services.tables.asked] == ["toi"]
    assert states(update_catalogues(root, settings, ["ctoi"])) == {"ctoi": "updated"}, "by name at any age"


def test_equal_content_is_one_snapshot(root, settings, services):
    update_catalogues(root, settings)
    first = snapshots.pointer(root, "toi")
    make_older(root, "toi", 30)
    services.tables.tables["toi"] = services.tables.tables["toi"][::-1]
    update_catalogues(root, settings)
    assert snapshots.pointer(root, "toi")["sha256"] == first["sha256"]
    assert len(root.list("catalogues/toi")) == 1
    assert snapshots.age_days(snapshots.pointer(root, "toi"), snapshots.current_time()) < 1


@pytest.mark.parametrize("fault", ["503", "html", "error", "truncated", "overflow", "renamed"])
def test_a_fetch_that_fails_keeps_the_old_snapshot(root, settings, services, fault):
    update_catalogues(root, settings)
    old = snapshots.pointer(root, "toi")
    services.tables.faults["toi"] = [fault] * 3
    (result,) = update_catalogues(root, settings, ["toi"])
    assert result["state"] == "stale"
    assert result["reason"]
    assert result["sha256"] == old["sha256"]
    points = snapshots.pointer(root, "toi")
    assert {key: points[key] for key in old} == old
    assert points["failed_reason"] == result["reason"]
    assert snapshots.load(root, "toi").num_rows == 2
    services.tables.faults["toi"] = []
    assert states(update_catalogues(root, settings))["toi"] == "updated", "though it is not old"
    assert "failed_since" not in snapshots.pointer(root, "toi")


def test_a_catalogue_that_shrinks_by_more_than_half_is_refused(root, settings, services):
    (row, _) = services.tables.tables["toi"]
    services.tables.tables["toi"] = [row | {"toi": 100.01 + i} for i in range(10)]
    update_catalogues(root, settings)
    for rows, state in ((4, "stale"), (0, "stale"), (5, "updated")):
        services.tables.tables["toi"] = [row | {"toi": 100.01 + i} for i in range(rows)]
        (result,) = update_catalogues(root, settings, ["toi"])
        assert result["state"] == state
        assert result["rows"] == (5 if state == "updated" else 10)
    assert snapshots.load(root, "toi").num_rows == 5


def test_the_first_failure_is_remembered_until_it_is_over(root, settings, services):
    nobody = with_catalogues(NOBODY, "toi")
    (first,) = update_catalogues(root, nobody)
    assert (first["state"], first["rows"], first["sha256"]) == ("unreachable", None, None)
    since = snapshots.pointer(root, "toi")["failed_since"]
    root.write_json(paths.catalogue("toi"), {"failed_since": "2020-01-01T00:00:00+00:00", "failed_reason": "x"})
    update_catalogues(root, nobody)
    points = snapshots.pointer(root, "toi")
    assert points["failed_since"] == "2020-01-01T00:00:00+00:00" != since
    assert points["failed_reason"] == "127.0.0.1 does not answer: ConnectionError"


def test_a_service_that_is_away_is_not_asked_for_its_other_catalogues(root, settings, services):
    services.tables.faults["pscomppars"] = ["503"] * 9
    results = update_catalogues(root, settings)
    assert states(results) == {
        "planets": "unreachable", "toi": "unreachable", "ctoi": "updated", "tess-eb": "updated"
    }  # fmt: skip
    assert "toi" not in [request["table"] for request in services.tables.asked]


def test_an_unknown_catalogue_is_refused(root, settings):
    with pytest.raises(InputError, match="no catalogue koi; the catalogues are planets, toi"):
        update_catalogues(root, settings, ["koi"])


@pytest.mark.parametrize("damage", ["cut", "flipped", "older", "pointer", "list"])
def test_a_snapshot_that_cannot_be_used_waits_and_the_next_update_replaces_it(root, settings, damage):
    write_detections(root)
    update_catalogues(root, settings)
    (name,) = root.list("catalogues/toi")
    content = root.read(name)
    if damage == "cut":
        root.write(name, content[: len(content) // 2])
    elif damage == "flipped":
        root.write(name, content[:-20] + bytes([content[-20] ^ 4]) + content[-19:])
    elif damage == "older":
        columns = snapshots.load(root, "toi").drop_columns("period_err_d").to_pydict()
        sha256 = content_sha256(columns)
        write_table(
            root, paths.catalogue_table("toi", sha256), columns, [c for c in KNOWN_COLUMNS if c.name in columns]
        )
        root.write_json(paths.catalogue("toi"), snapshots.pointer(root, "toi") | {"sha256": sha256})
    else:
        root.write(paths.catalogue("toi"), b'{"rows": 2' if damage == "pointer" else b"[1]")
    record = match_sweep(root, PRODUCT, RUN, settings)
    assert list(record["deferred"]) == ["toi"]
    assert any(said in record["deferred"]["toi"]["reason"] for said in ("damaged", "another version of larun"))
    assert known_objects(root, PRODUCT, RUN).not_matched[0].startswith("toi ")
    assert {row["name"]: row["state"] for row in snapshots.states(root, 7.0)}["planets"] == "fresh"
    assert states(update_catalogues(root, settings)) == dict.fromkeys(WHOLE, "fresh") | {"toi": "updated"}
    assert match_sweep(root, PRODUCT, RUN, settings)["deferred"] == {}


@pytest.mark.parametrize("days", [-400, 8])
def test_what_a_wrong_clock_dated_is_fetched_again(root, settings, days):
    update_catalogues(root, settings)
    make_older(root, "toi", days)
    assert {row["name"]: row["state"] for row in snapshots.states(root, 7.0)}["toi"] == "old"
    assert states(update_catalogues(root, settings))["toi"] == "updated"


def test_a_date_without_a_zone_is_utc(root, settings):
    update_catalogues(root, settings)
    now = datetime.now(UTC).replace(microsecond=0, tzinfo=None)
    root.write_json(paths.catalogue("toi"), snapshots.pointer(root, "toi") | {"date": now.isoformat()})
    assert states(update_catalogues(root, settings))["toi"] == "fresh"


def test_processes_that_save_the_same_snapshot_at_once_do_not_disturb_each_other(root):
    columns = {column.name: [None if column.dtype in ("str", "int64") else float("nan")] for column in KNOWN_COLUMNS}
    columns |= {"object": ["TOI-1.01"], "tic": [1]}
    arguments = (root, "toi", CATALOGUES["toi"], columns, {"query": "", "url": "", "date": snapshots.current_time()})
    with ThreadPoolExecutor(8) as pool:
        saved = [pool.submit(snapshots.save, *arguments) for _ in range(40)]
        noted = [
            pool.submit(snapshots.note_failure, root, "toi", "away", "2020-01-01T00:00:00+00:00") for _ in range(40)
        ]
        assert len({done.result()["sha256"] for done in saved}) == 1
        for done in noted:
            done.result()
    assert snapshots.pointer(root, "toi")["sha256"] == saved[0].result()["sha256"]
    assert snapshots.load(root, "toi").num_rows == 1


def test_a_damaged_snapshot_is_not_matched(root, settings):
    write_detections(root)
    update_catalogues(root, settings)
    (name,) = root.list("catalogues/toi")
    (ctoi,) = root.list("catalogues/ctoi")
    root.write(name, root.read(ctoi))
    with pytest.raises(CatalogueError, match="damaged"):
        snapshots.load(root, "toi")
    record = match_sweep(root, PRODUCT, RUN, settings)
    assert "damaged" in record["deferred"]["toi"]["reason"]
    root.delete(ctoi)
    assert "there is no" in match_sweep(root, PRODUCT, RUN, settings)["deferred"]["ctoi"]["reason"]
    assert states(update_catalogues(root, settings))["ctoi"] == "updated", "gone is not fresh"
    update_catalogues(root, settings, ["toi"])
    assert match_sweep(root, PRODUCT, RUN, settings)["deferred"] == {}


def test_matches_by_number_position_and_ephemeris(root, settings, services):
    services.tables.tables["toi"] = [
        *services.tables.tables["toi"],
        {"toi": 200.01, "tid": 777, "ra": 80.23 + 4 / 3600, "dec": -60.0, "tfopwg_disp": None, "pl_orbper": 9.0,
         "pl_orbpererr1": None, "pl_tranmid": 2458330.9, "pl_trandurh": None, "pl_trandep": None},
    ]  # fmt: skip
    write_detections(root)
    update_catalogues(root, settings)
    record = match_sweep(root, PRODUCT, RUN, settings)
    rows = matches(root)
    assert (record["n_matches"], record["n_targets"]) == (5, 3)
    found = {(row["target"], row["object"]): row for row in rows}
    assert list(found) == [
        ("TIC 21", "Sample-21 b"), ("TIC 21", "TOI-100.01"), ("TIC 22", "CTOI-22.01"), ("TIC 22", "TIC 22"),
        ("TIC 23", "TOI-200.01"),
    ]  # fmt: skip
    toi = found["TIC 21", "TOI-100.01"]
    assert (toi["matched_by"], toi["disposition"], toi["relation"]) == ("tic", "CP", "same period")
    assert toi["period_ratio"] == pytest.approx(0.9001 / 0.9)
    assert toi["epoch_phase"] == pytest.approx(0.0, abs=1e-6)
    assert toi["catalogue_sha256"] == snapshots.pointer(root, "toi")["sha256"]
    binary = found["TIC 22", "TIC 22"]
    assert (binary["relation"], binary["disposition"]) == ("half the period", "EB")
    assert abs(binary["epoch_phase"]) == pytest.approx(0.5), "at half a cycle, where its other eclipse is"
    near = found["TIC 23", "TOI-200.01"]
    assert (near["matched_by"], near["relation"], near["disposition"]) == ("position", "another period", None)
    assert near["separation_arcsec"] == pytest.approx(2.0, abs=1e-3), "4 arcsec of right ascension at -60 degrees"
    assert near["epoch_phase"] == pytest.approx(-0.1)


def test_the_planet_that_the_event_belongs_to_is_named_first(root, settings, services):
    (planet,) = services.tables.tables["pscomppars"]
    periods = {"b": 7.0, "c": 0.45, "d": 3.0, "e": 0.9, "f": None}
    services.tables.tables["pscomppars"] = [
        planet | {"pl_name": f"Sample-21 {letter}", "pl_orbper": period} for letter, period in periods.items()
    ]
    write_detections(root)
    update_catalogues(root, settings, ["planets"])
    match_sweep(root, PRODUCT, RUN, settings)
    rows = known_objects(root, PRODUCT, RUN).matches["TIC 21"]
    assert [(row["object"], row["relation"]) for row in rows] == [
        ("Sample-21 e", "same period"), ("Sample-21 c", "twice the period"), ("Sample-21 b", "another period"),
        ("Sample-21 d", "another period"), ("Sample-21 f", "no period known"),
    ]  # fmt: skip


def test_a_sweep_is_matched_again_with_other_snapshots_or_settings(root, settings, served):
    write_detections(root)
    publish(root, PRODUCT, RUN, {})
    update_catalogues(root, settings)
    assert sweeps_to_match(root, settings) == [(PRODUCT, RUN)]
    match_sweep(root, PRODUCT, RUN, settings)
    assert sweeps_to_match(root, settings) == []
    for other in ({"radius_arcsec": 20.0}, {"period_tolerance": 0.01}):
        assert sweeps_to_match(root, with_catalogues(served[0], **other)) == [(PRODUCT, RUN)]
    assert sweeps_to_match(root, with_catalogues(served[0], "toi")) == [(PRODUCT, RUN)]


def test_the_radius_is_that_of_the_settings(root, served, services):
    settings = with_catalogues(served[0], "vsx", radius_arcsec=0.1)
    wide = with_catalogues(served[0], "vsx", radius_arcsec=1.0)
    columns = {"object": ["V"], "tic": [None], "ra": [80.23], "dec": [-60.0 + 0.5 / 3600], "disposition": ["EA"]}
    empty = {name: [float("nan")] for name in ("period_d", "period_err_d", "t0_btjd", "duration_h", "depth_ppm")}
    vsx = CATALOGUES["vsx"]
    origin = {"query": "by hand", "url": "", "date": snapshots.current_time()}
    snapshots.save(root, vsx.snapshot_name(PRODUCT), vsx, columns | empty, origin)
    write_detections(root)
    assert match_sweep(root, PRODUCT, RUN, settings)["n_matches"] == 0
    assert match_sweep(root, PRODUCT, RUN, wide)["n_matches"] == 1
    (row,) = matches(root)
    assert (row["target"], row["relation"]) == ("TIC 23", "no period known")


def test_matching_again_gives_the_same_bytes(root, settings, tmp_path):
    write_detections(root)
    update_catalogues(root, settings)
    match_sweep(root, PRODUCT, RUN, settings)
    before = tree(tmp_path)
    match_sweep(root, PRODUCT, RUN, settings)
    assert tree(tmp_path) == before
    table = read_table(root, paths.run_folder("matches", PRODUCT, RUN))
    assert table.column_names == [column.name for column in MATCH_COLUMNS]


def test_what_is_deferred_is_said_and_matched_by_the_next_run(root, served, services):
    settings = with_catalogues(served[0], "toi", "ctoi")
    write_detections(root)
    services.tables.faults["toi"] = ["503"] * 3
    update_catalogues(root, settings)
    record = match_sweep(root, PRODUCT, RUN, settings)
    assert set(record["catalogues"]) == {"ctoi"}
    assert record["deferred"]["toi"]["reason"] == "127.0.0.1 answered HTTP 503"
    known = known_objects(root, PRODUCT, RUN)
    since = snapshots.pointer(root, "toi")["failed_since"]
    assert known.not_matched == (f"toi unreachable since {since}: 127.0.0.1 answered HTTP 503",)
    assert [row["object"] for row in known.matches["TIC 22"]] == ["CTOI-22.01"]
    assert "TIC 21" not in known.matches

    assert states(update_catalogues(root, settings)) == {"toi": "updated", "ctoi": "fresh"}
    assert match_sweep(root, PRODUCT, RUN, settings)["deferred"] == {}
    known = known_objects(root, PRODUCT, RUN)
    assert known.not_matched == ()
    assert [row["object"] for row in known.matches["TIC 21"]] == ["TOI-100.01"]


def test_what_was_never_asked_for_is_deferred(root, settings):
    write_detections(root)
    record = match_sweep(root, PRODUCT, RUN, settings)
    assert record["n_matches"] == 0
    assert list(record["deferred"]) == list(WHOLE)
    assert known_objects(root, PRODUCT, RUN).not_matched[0].startswith("planets was never asked for")


def test_before_a_match_that_is_said(root):
    assert known_objects(root, PRODUCT, RUN).not_matched == ("no catalogue was looked up yet",)


def test_stars_that_do_not_exist_are_not_looked_up(root, settings):
    product = Product("tess", 1, "simulated", 120)
    update_catalogues(root, settings)
    record = match_sweep(root, product, RUN, settings)
    assert (record["n_matches"], record["catalogues"], record["deferred"]) == (0, {}, {})
    assert known_objects(root, product, RUN).not_matched == ()


def test_a_sweep_without_detections_cannot_be_matched(root, settings):
    with pytest.raises(NotInStore):
        match_sweep(root, PRODUCT, "r2", settings)


def test_every_published_sweep_is_matched(root, settings):
    write_detections(root)
    update_catalogues(root, settings)
    assert match_published(root, settings) == []
    publish(root, PRODUCT, RUN, {})
    (record,) = match_published(root, settings)
    assert (record["product"], record["run"]) == (str(PRODUCT), RUN)


def test_a_snapshot_travels_to_a_machine_without_network(root, settings, tmp_path):
    update_catalogues(root, settings)
    away = Root(str(tmp_path / "away"))
    imported = snapshots.import_table(away, str(tmp_path / "catalogues" / "toi.json"))
    assert imported["name"] == "toi"
    assert tree(tmp_path / "away" / "catalogues") == {
        name: content for name, content in tree(tmp_path / "catalogues").items() if name.startswith("toi")
    }
    (name,) = root.list("catalogues/toi")
    root.write(name, root.read(name).replace(b"TOI-100.01", b"TOI-100.02"))
    with pytest.raises(CatalogueError, match="altered or cut"):
        snapshots.import_table(away, str(tmp_path / "catalogues" / "toi.json"))


def test_a_pointer_is_imported_under_the_name_of_its_catalogue_or_not_at_all(root, settings, tmp_path):
    update_catalogues(root, settings, ["toi"])
    folder = tmp_path / "catalogues"
    (folder / "toi").rename(folder / "copy")
    (folder / "toi.json").rename(folder / "copy.json")
    away = Root(str(tmp_path / "away"))
    with pytest.raises(InputError, match="is of the catalogue toi"):
        snapshots.import_table(away, str(folder / "copy.json"))
    (folder / "copy").rename(folder / "toi")
    (folder / "copy.json").rename(folder / "toi.json")
    with pytest.raises(InputError, match="is of the catalogue toi"):
        snapshots.import_table(away, str(folder / "toi.json"), "ctoi")
    assert snapshots.import_table(away, str(folder / "toi.json"), "toi")["rows"] == 2


def test_what_is_no_pointer_is_refused(root, tmp_path):
    (tmp_path / "x.json").write_text(json.dumps({"rows": 1}))
    with pytest.raises(CatalogueError, match="should be the pointer of a snapshot"):
        snapshots.import_table(root, str(tmp_path / "x.json"))
    with pytest.raises(InputError, match="cannot read"):
        snapshots.import_table(root, str(tmp_path / "absent.json"))


def test_a_table_of_nobody_knows_what_is_refused(root, tmp_path):
    path = tmp_path / "x.csv"
    path.write_text("time,flux\n1,2\n")
    with pytest.raises(InputError, match="those of none"):
        snapshots.import_table(root, str(path))
    with pytest.raises(CatalogueError, match="should have a column toi"):
        snapshots.import_table(root, str(path), "toi")
    with pytest.raises(InputError, match="is of given stars"):
        snapshots.import_table(root, str(path), "vsx")
    path.write_text("pl_name,tic_id,ra,dec,pl_orbper\n")
    with pytest.raises(CatalogueError, match="no rows"):
        snapshots.import_table(root, str(path))
    assert root.list("catalogues") == []


def test_states_of_all_catalogues(root, settings, services):
    services.tables.faults["pscomppars"] = ["html"]
    update_catalogues(root, settings)
    make_older(root, "ctoi", 8)
    services.tables.faults["toi"] = ["html"]
    update_catalogues(root, settings, ["toi"])
    rows = {row["name"]: row for row in snapshots.states(root, 7.0)}
    assert {name: row["state"] for name, row in rows.items()} == {
        "planets": "unreachable", "toi": "stale", "ctoi": "old", "tess-eb": "fresh", "vsx": "absent", "tic": "absent",
    }  # fmt: skip
    assert rows["ctoi"]["age_d"] == pytest.approx(8, abs=0.01)
    assert "VOTABLE" in rows["toi"]["reason"]

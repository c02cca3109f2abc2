"""Sweeps that join the sectors of a star: what they find, what they leave, and what breaks them not."""

import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from several_sectors import (
    GONE,
    LONG,
    ONCE,
    PLAIN,
    PLANETS,
    PRODUCTS,
    QUIET,
    SHALLOW,
    SWEPT,
    TICS,
    ingest,
    settings_of,
    write_files,
)
from swept_sector import Judge, write_until
from tiny_sector import tree

from larun import ledger, paths
from larun.errors import RunFailed, StoreError
from larun.objects import Root
from larun.plan import load_plan
from larun.report.pages import write_report
from larun.store.publish import published
from larun.store.tables import read_table
from larun.survey import joined
from larun.survey.examine import examine_stitched
from larun.survey.published import published_candidates
from larun.survey.sweep import SweepWork, finish_sweep, pending_groups, start_sweep, sweep_shards


@pytest.fixture(scope="module")
def stored(tmp_path_factory):
    """Folder of a root with three sectors; tests work on copies."""
    place = tmp_path_factory.mktemp("stored")
    ingest(Root(str(place / "root")), write_files(place / "files"))
    return place / "root"


@pytest.fixture(autouse=True)
def judge(monkeypatch):
    monkeypatch.setattr("larun.survey.sweep.Classifier", Judge)


@pytest.fixture
def root(stored, tmp_path):
    shutil.copytree(stored, tmp_path / "root")
    return Root(str(tmp_path / "root"))


def sweep(root: Root, product=SWEPT, **settings) -> dict:
    settings = settings_of(root.url, **settings)
    run = start_sweep(root, product, settings)
    for group in pending_groups(root, run, 1):
        sweep_shards(SweepWork(root, run, group, settings))
    return finish_sweep(root, run, settings)


@pytest.fixture(scope="module")
def undisturbed(stored, tmp_path_factory):
    """Root that was swept with joined sectors, the summary, and every file."""
    place = tmp_path_factory.mktemp("undisturbed") / "root"
    shutil.copytree(stored, place)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("larun.survey.sweep.Classifier", Judge)
        summary = sweep(Root(str(place)))
    return Root(str(place)), summary, tree(place)


def rows_of(root: Root, summary: dict, tic: int, joined_only: bool = False) -> list[dict]:
    rows = read_table(root, summary["detections"]).to_pylist()
    return [row for row in rows if row["tic"] == tic and (row["n_sectors"] > 1 or not joined_only)]


def damage(root: Root, path: str) -> None:
    place = Path(root.url) / path
    content = bytearray(place.read_bytes())
    content[len(content) // 2] ^= 255
    place.write_bytes(content)


@pytest.mark.parametrize("tic", [LONG, SHALLOW])
def test_planets_that_no_sector_shows_are_candidates_at_their_period(root, undisturbed, tic):
    period, t0, depth = PLANETS[tic]
    alone = sweep(root, stitch=False)
    assert not any(
        row["tic"] == tic and row["period_d"] == pytest.approx(period, rel=1e-2)
        for row in published_candidates(root).to_pylist()
    )
    assert (alone["joined"], alone["n_joined"]) == ([], 0)
    store, summary, _ = undisturbed
    (row,) = (row for row in published_candidates(store).to_pylist() if row["tic"] == tic)
    assert row["period_d"] == pytest.approx(period, rel=2e-3)
    assert row["depth_ppm"] == pytest.approx(1e6 * depth, rel=0.2)
    cycles = (row["t0_btjd"] - t0) / period
    assert abs(cycles - round(cycles)) * period < 0.03
    assert (row["n_sectors"], row["sectors"], row["cadence_s"], row["sector"]) == (3, "1-3", 120, 3)
    assert summary["joined"] == [str(PRODUCTS[1]), str(PRODUCTS[0])]


def test_rows_of_the_sector_alone_are_those_of_a_plain_sweep(root, undisturbed):
    store, summary, _ = undisturbed
    plain = read_table(root, sweep(root, stitch=False)["detections"])
    own = [row for row in read_table(store, summary["detections"]).to_pylist() if row["n_sectors"] == 1]
    same = [name for name in plain.column_names if name not in ("run", "config_digest")]
    np.testing.assert_equal([{n: row[n] for n in same} for row in own], plain.select(same).to_pylist())


def test_events_count_on_and_say_which_own_event_they_repeat(undisturbed):
    store, summary, _ = undisturbed
    for tic in TICS:
        assert [row["event"] for row in rows_of(store, summary, tic)] == list(
            range(1, 1 + len(rows_of(store, summary, tic)))
        )
    (again,) = rows_of(store, summary, PLAIN, joined_only=True)
    assert again["same_event"] == 1
    (repeated,) = rows_of(store, summary, LONG, joined_only=True)
    single = rows_of(store, summary, LONG)[repeated["same_event"] - 1]
    assert np.isnan(single["period_d"])
    candidates = published_candidates(store).to_pylist()
    assert sorted(row["tic"] for row in candidates) == sorted([LONG, SHALLOW, PLAIN])


def test_a_star_of_one_sector_and_one_without_flux_in_another(undisturbed):
    store, summary, _ = undisturbed
    assert rows_of(store, summary, ONCE, joined_only=True) == []
    (row,) = rows_of(store, summary, GONE, joined_only=True)
    assert (row["n_sectors"], row["sectors"]) == (2, "1,3")
    assert {row["not_joined"] for row in rows_of(store, summary, GONE)} == {""}
    assert summary["n_joined"] == len(TICS) - 1


def test_joined_events_are_those_of_examine(undisturbed):
    """One star against four in a batch: the boxes differ by rounding, so peaks that noise makes may differ."""
    store, summary, _ = undisturbed
    (answer,) = examine_stitched([f"TIC {SHALLOW}"], settings_of(store.url), Judge(None))
    (row,) = rows_of(store, summary, SHALLOW, joined_only=True)
    for name, key in (("period_d", "period_d"), ("t0_btjd", "t0"), ("depth_ppm", "depth_ppm"), ("snr", "snr")):
        assert row[name] == pytest.approx(answer[key], rel=1e-4)
    assert row["class"] == answer["class"]


def test_the_same_sweep_again_is_the_same_run_and_makes_nothing_new(undisturbed):
    store, summary, files = undisturbed
    assert sweep(store) == summary
    assert tree(Path(store.url)) == files


def test_a_broken_off_sweep_goes_on_to_the_same_tables(root, undisturbed):
    _, summary, files = undisturbed
    settings = settings_of(root.url)
    run = start_sweep(root, SWEPT, settings)
    sweep_shards(SweepWork(root, run, (1,), settings))
    assert pending_groups(root, run, 1) == [(0,)]
    assert sweep(root) == summary
    assert tree(Path(root.url)) == files


@pytest.mark.parametrize("last", range(6))
def test_a_sweep_that_ends_at_any_write_goes_on(root, undisturbed, monkeypatch, last):
    """Its six writes: the list of earlier light curves, the settings, two parts, the candidates, the pointer."""
    _, summary, files = undisturbed
    failing, done = write_until(last)
    with monkeypatch.context() as patch:
        patch.setattr(Root, "write", failing)
        with pytest.raises(StoreError, match="No space left"):
            sweep(root)
    assert len(done) == last
    assert published(root)["sectors"] == {}
    assert sweep(root) == summary
    assert tree(Path(root.url)) == files


def test_an_earlier_sector_that_changed_is_another_run(root, undisturbed):
    plan = load_plan(root, PRODUCTS[0])
    record = ledger.read_record(root, plan, 0)
    settings = settings_of(root.url)
    run = start_sweep(root, SWEPT, settings)
    assert run.run == undisturbed[1]["run"]
    root.write_json(PRODUCTS[0].record(0), replace(record, hashes=record.hashes | {"background": "0" * 64}).as_json())
    with pytest.raises(RunFailed, match=r"tess/s0001/spoc-120s, which is joined, was ingested or repaired"):
        sweep_shards(SweepWork(root, run, (0,), settings))
    assert start_sweep(root, SWEPT, settings).run != run.run


def test_later_sectors_do_not_matter(root):
    run = start_sweep(root, PRODUCTS[1], settings_of(root.url))
    assert [source.product for source in run.earlier] == [PRODUCTS[0]]
    shutil.rmtree(Path(root.url) / SWEPT.zarr)
    assert start_sweep(root, PRODUCTS[1], settings_of(root.url)).run == run.run


def test_nothing_to_join_is_the_plain_sweep(root):
    first = PRODUCTS[0]
    plain = start_sweep(root, first, settings_of(root.url, stitch=False))
    assert start_sweep(root, first, settings_of(root.url)) == plain
    assert start_sweep(root, first, settings_of(root.url, stitch_sectors=5)) == plain
    assert not root.exists(paths.earlier_sectors(first, plain.run))


@pytest.mark.parametrize(("array", "reason"), [("flux", "is damaged"), ("centroid_col", "not what was written")])
def test_a_damaged_earlier_sector_is_left_out_and_told(root, undisturbed, array, reason):
    """The first shard of sector 1 holds four of the stars; sector 2 is joined still, and other stars are untouched."""
    path = f"{PRODUCTS[0].zarr}/{array}/c/0/0"
    damage(root, path) if array == "flux" else root.delete(path)
    summary = sweep(root)
    for tic in (LONG, SHALLOW):
        (row,) = rows_of(root, summary, tic, joined_only=True)
        assert row["sectors"] == "2-3"
        assert "tess/s0001/spoc-120s" in row["not_joined"]
        assert reason in row["not_joined"]
    assert summary["n_not_joined"] == 4
    (row,) = rows_of(root, summary, PLAIN, joined_only=True)
    assert (row["sectors"], row["not_joined"]) == ("1-3", "")
    theirs = rows_of(undisturbed[0], undisturbed[1], LONG)
    assert [row["snr"] for row in rows_of(root, summary, LONG)][:2] == [row["snr"] for row in theirs][:2]


@pytest.mark.parametrize("lost", ["plan.json", "zarr.json", "records/000000.json"])
def test_an_earlier_sector_that_is_no_sector_is_left_out(root, lost):
    for product in PRODUCTS[:2]:
        (Path(root.url) / product.zarr / lost).write_bytes(b"{}")
    summary = sweep(root)
    assert (summary["joined"], summary["n_joined"]) == ([], 0)


def test_a_store_out_of_reach_fails_the_shard(root, monkeypatch):
    """What is there and cannot be read now must not become a table without it."""
    settings = settings_of(root.url)
    run = start_sweep(root, SWEPT, settings)
    read = Root.read

    def failing(self, path):
        if path.startswith(f"{PRODUCTS[0].zarr}/flux"):
            with self.named(path, "read"):
                raise TimeoutError("timed out")
        return read(self, path)

    monkeypatch.setattr(Root, "read", failing)
    with pytest.raises(StoreError, match="timed out"):
        sweep_shards(SweepWork(root, run, (0,), settings))


def test_a_star_that_cannot_be_joined_keeps_its_own_result(root, monkeypatch, undisturbed):
    classify = joined.classify_stitched

    def failing(whole, settings, classifier):
        if any(star.target_id == QUIET for star in whole.shard.stars):
            raise ZeroDivisionError("division by zero")
        return classify(whole, settings, classifier)

    monkeypatch.setattr(joined, "classify_stitched", failing)
    summary = sweep(root)
    (row,) = rows_of(root, summary, QUIET)
    assert row["not_joined"] == "joined light curve: ZeroDivisionError: division by zero"
    (theirs,) = (row for row in rows_of(undisturbed[0], undisturbed[1], QUIET) if row["n_sectors"] == 1)
    assert row["snr"] == theirs["snr"]
    for tic in (LONG, SHALLOW):
        assert rows_of(root, summary, tic, joined_only=True)[0]["sectors"] == "1-3"


def test_stars_take_turns_where_memory_is_short(root, monkeypatch, undisturbed):
    monkeypatch.setattr(joined, "HELD_BYTES", 1.0)
    settings = settings_of(root.url)
    run = start_sweep(root, SWEPT, settings)
    sweep_shards(SweepWork(root, run, (0, 1), settings))
    summary = finish_sweep(root, run, settings)
    (row,) = rows_of(root, summary, SHALLOW, joined_only=True)
    (theirs,) = rows_of(undisturbed[0], undisturbed[1], SHALLOW, joined_only=True)
    assert row["period_d"] == pytest.approx(theirs["period_d"], rel=1e-6)
    assert row["snr"] == pytest.approx(theirs["snr"], rel=1e-3)


def test_fewer_sectors_on_request(root):
    summary = sweep(root, stitch_sectors=2)
    assert {row["sectors"] for row in rows_of(root, summary, LONG)} == {"3", "2-3"}
    assert {row["sectors"] for row in rows_of(root, summary, GONE)} == {"3", "1,3"}


def test_pages_show_the_joined_light_curve(undisturbed, tmp_path):
    store, summary, _ = undisturbed
    shutil.copytree(store.url, tmp_path / "root")
    page = Path(write_report(Root(str(tmp_path / "root")), settings_of(store.url)))
    assert "sectors 1-3" in page.read_text()
    assert f"{PRODUCTS[0]}" in page.read_text()
    assert len(list(page.parent.glob("candidate-*.png"))) == summary["n_candidates"]

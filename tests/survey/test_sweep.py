"""The sweep of a small sector: its rows, its names, its kills, and what readers see meanwhile."""

import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from pyarrow.dataset import dataset
from swept_sector import (
    ABSENT,
    BUNDLE,
    CORRUPT,
    DURATION_D,
    PLANETS,
    QUIET,
    REJECTED,
    T0,
    TICS,
    Judge,
    ingest,
    judge_bundle,
    settings_of,
    sweep,
    write_products,
    write_until,
)
from tiny_sector import PRODUCT, tree

import larun
from larun import paths
from larun.archive.folder import FolderArchive
from larun.bundles import save_bundle
from larun.errors import BundleError, InputError, NotInStore, PlanMismatch, RunFailed, StoreError
from larun.lightcurve import CadenceGrid
from larun.objects import Root
from larun.paths import Product
from larun.plan import load_plan
from larun.schema import CANDIDATE_COLUMNS, CLASSES, DETECTION_COLUMNS, EVENT_COLUMNS, PROVENANCE_COLUMNS
from larun.store.publish import published
from larun.store.tables import arrow_schema, read_table
from larun.survey.examine import examine
from larun.survey.ingest import IngestWork, ingest_shards, start_ingest
from larun.survey.published import choose_published, published_candidates
from larun.survey.sweep import SweepWork, find_product, finish_sweep, pending_groups, start_sweep, sweep_shards


@pytest.fixture(scope="module")
def ingested(tmp_path_factory):
    """Folder of a root with the small sector and a bundle; tests work on copies."""
    place = tmp_path_factory.mktemp("ingested")
    root = Root(str(place / "root"))
    ingest(root, write_products(place / "files"), settings_of(root.url))
    return place / "root"


@pytest.fixture(autouse=True)
def judge(monkeypatch):
    monkeypatch.setattr("larun.survey.sweep.Classifier", Judge)


@pytest.fixture
def root(ingested, tmp_path):
    shutil.copytree(ingested, tmp_path / "root")
    return Root(str(tmp_path / "root"))


@pytest.fixture(scope="module")
def undisturbed(ingested, tmp_path_factory):
    """Files of a root that was swept without trouble, and the summary."""
    place = tmp_path_factory.mktemp("undisturbed") / "root"
    shutil.copytree(ingested, place)
    root = Root(str(place))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("larun.survey.sweep.Classifier", Judge)
        summary = sweep(root, settings_of(root.url))
    return tree(place), summary, root


def root_folder(root: Root) -> Path:
    return Path(root.url)


def rows_of(root: Root, summary: dict) -> dict[int, dict]:
    return {row["tic"]: row for row in read_table(root, summary["detections"]).to_pylist()}


def test_every_planned_target_has_one_row_with_its_status(undisturbed):
    _, summary, root = undisturbed
    rows = read_table(root, summary["detections"]).to_pylist()
    assert sorted(row["tic"] for row in rows) == list(TICS)
    status = {row["tic"]: row["status"] for row in rows}
    assert {tic for tic, said in status.items() if said == "searched"} == {*PLANETS, *QUIET}
    assert (status[ABSENT], status[CORRUPT], status[REJECTED]) == ("absent", "corrupt", "rejected")
    assert summary["status"] == {"searched": 5, "absent": 1, "corrupt": 1, "rejected": 1}
    assert summary["n_targets"] == len(TICS)


@pytest.mark.parametrize("tic", [ABSENT, CORRUPT, REJECTED])
def test_a_star_without_light_curve_has_a_reason_and_no_event(undisturbed, tic):
    _, summary, root = undisturbed
    row = rows_of(root, summary)[tic]
    assert row["reason"]
    assert row["class"] is None
    assert (row["n_transits"], row["flags"], row["n_good"]) == (0, 0, 0)
    floats = [c.name for c in EVENT_COLUMNS if c.dtype.startswith("float")] + [f"p_{name}" for name in CLASSES]
    assert all(np.isnan(row[name]) for name in floats)
    assert (row["camera"], row["ccd"], row["target"]) == (4, 2, f"TIC {tic}")


@pytest.mark.parametrize("tic", PLANETS)
def test_injected_transits_are_measured(undisturbed, tic):
    _, summary, root = undisturbed
    row, (period, depth) = rows_of(root, summary)[tic], PLANETS[tic]
    assert row["period_d"] == pytest.approx(period, rel=2e-3)
    assert row["depth_ppm"] == pytest.approx(depth, rel=0.1)
    assert row["duration_h"] == pytest.approx(24 * DURATION_D, rel=0.2)
    cycles = (row["t0_btjd"] - T0) / period
    assert abs(cycles - round(cycles)) * period < 0.1 * DURATION_D
    assert (row["class"], row["reason"]) == ("planetary_transit", "")
    assert sum(row[f"p_{name}"] for name in CLASSES) == pytest.approx(1, abs=1e-5)


def test_every_row_carries_its_provenance(undisturbed):
    _, summary, root = undisturbed
    plan = load_plan(root, PRODUCT)
    expected = {
        "simulated": False,
        "run": summary["run"],
        "larun_version": larun.__version__,
        "plan_digest": plan.digest,
        "bundle": "judge/1",
        "bundle_digest": judge_bundle().digest,
        "config_digest": summary["config_digest"],
    }
    assert set(expected) == {c.name for c in PROVENANCE_COLUMNS}
    tables = read_table(root, summary["detections"]), read_table(root, summary["candidates"])
    for row in (row for table in tables for row in table.to_pylist()):
        assert {name: row[name] for name in expected} == expected
    snapshot = root.read_json(paths.run_settings(PRODUCT, summary["run"]))
    assert {name: snapshot[name] for name in expected if name != "simulated"} == {
        name: value for name, value in expected.items() if name != "simulated"
    }
    assert snapshot["settings"]["sweep"]["min_snr"] == 20.0
    assert set(snapshot["settings"]) == {"search", "vet", "sweep"}


@pytest.mark.parametrize("kind", ["detections", "candidates"])
def test_a_folder_of_runs_opens_in_pandas_and_pyarrow(undisturbed, kind):
    _, summary, root = undisturbed
    rows = read_table(root, summary[kind]).num_rows
    frame = pd.read_parquet(root.url_of(kind))
    assert len(frame) == rows
    assert set(frame["run"]) == {summary["run"]}
    assert set(frame["sector"]) == {PRODUCT.sector}
    assert dataset(root.url_of(kind), partitioning="hive").count_rows() == rows


def test_tables_have_the_columns_of_the_schema(undisturbed):
    _, summary, root = undisturbed
    detections = read_table(root, summary["detections"])
    assert detections.schema.equals(arrow_schema(DETECTION_COLUMNS), check_metadata=True)
    assert published_candidates(root).schema.equals(arrow_schema(CANDIDATE_COLUMNS), check_metadata=True)


def test_candidates_are_the_strong_events_best_first(undisturbed):
    _, summary, root = undisturbed
    candidates = published_candidates(root).to_pylist()
    assert sorted(row["tic"] for row in candidates) == sorted(PLANETS)
    assert [row["rank"] for row in candidates] == [1, 2]
    assert candidates[0]["score"] >= candidates[1]["score"]
    assert summary["n_candidates"] == 2
    assert choose_published(root)[1] == summary


def test_the_same_sweep_again_is_the_same_run_and_makes_nothing_new(undisturbed):
    files, summary, root = undisturbed
    run = start_sweep(root, PRODUCT, settings_of(root.url))
    assert run.run == summary["run"]
    assert pending_groups(root, run, 2) == []
    assert finish_sweep(root, run, settings_of(root.url)) == summary
    assert tree(root_folder(root)) == files


@pytest.mark.parametrize("shards_per_task", [1, 2, 5])
def test_results_do_not_depend_on_how_shards_are_grouped(root, undisturbed, shards_per_task):
    sweep(root, settings_of(root.url, sweep={"shards_per_task": shards_per_task, "bundle": BUNDLE, "min_snr": 20.0}))
    assert tree(root_folder(root)) == undisturbed[0]


def test_pending_groups_are_whole_shards_in_order(root):
    run = start_sweep(root, PRODUCT, settings_of(root.url))
    assert pending_groups(root, run, 1) == [(0,), (1,), (2,)]
    assert pending_groups(root, run, 2) == [(0, 1), (2,)]


@pytest.mark.parametrize(
    "change",
    [
        {"search": {"window_d": 1.2}},
        {"vet": {"min_transits": 3}},
        {"sweep": {"min_snr": 19.0, "bundle": BUNDLE}},
    ],
)
def test_another_setting_that_matters_is_another_run(root, change):
    ours, other = settings_of(root.url), settings_of(root.url, **change)
    assert start_sweep(root, PRODUCT, ours).run != start_sweep(root, PRODUCT, other).run


@pytest.mark.parametrize("change", [{"ingest": {"fetch_threads": 2}}, {"run": {"cluster": "scheduler"}}])
def test_another_setting_that_does_not_matter_is_the_same_run(root, change):
    ours, other = settings_of(root.url), settings_of(root.url, **change)
    assert start_sweep(root, PRODUCT, ours).run == start_sweep(root, PRODUCT, other).run


def test_another_bundle_is_another_run_and_another_name_of_the_same_is_not(root):
    ours = settings_of(root.url)
    save_bundle(judge_bundle("2"), root, "models/judge/2")
    save_bundle(judge_bundle(), root, "models/copy/1")
    newer = settings_of(root.url, sweep={"bundle": "judge/2", "min_snr": 20.0})
    copied = settings_of(root.url, sweep={"bundle": "copy", "min_snr": 20.0})
    assert start_sweep(root, PRODUCT, newer).run != start_sweep(root, PRODUCT, ours).run
    assert start_sweep(root, PRODUCT, copied).run == start_sweep(root, PRODUCT, ours).run


def test_a_sweep_that_lost_a_part_makes_that_part_again(root, undisturbed):
    settings = settings_of(root.url)
    summary = sweep(root, settings)
    root.delete(paths.part("detections", PRODUCT, summary["run"], 1))
    run = start_sweep(root, PRODUCT, settings)
    with pytest.raises(RunFailed, match="1 of 3 shards"):
        finish_sweep(root, run, settings)
    assert pending_groups(root, run, 4) == [(1,)]
    sweep(root, settings)
    assert tree(root_folder(root)) == undisturbed[0]


@pytest.mark.parametrize("last", range(6))
def test_a_sweep_that_ends_at_any_write_shows_the_old_run_and_goes_on(root, undisturbed, monkeypatch, last):
    """Its six writes: the settings, three parts, the candidates, the pointer."""
    old = sweep(root, settings_of(root.url, search={"window_d": 1.4}))
    before = json.loads((root_folder(root) / "published.json").read_bytes())
    settings = settings_of(root.url)
    failing, done = write_until(last)
    with monkeypatch.context() as patch:
        patch.setattr(Root, "write", failing)
        with pytest.raises(StoreError, match="No space left"):
            sweep(root, settings)
    assert len(done) == last
    assert published(root) == before
    assert sorted(row["tic"] for row in published_candidates(root).to_pylist()) == sorted(PLANETS)
    run = start_sweep(root, PRODUCT, settings)
    assert len(pending_groups(root, run, 1)) == min(max(4 - last, 0), 3)
    summary = sweep(root, settings)
    assert summary["run"] != old["run"]
    assert published(root)["sectors"][str(PRODUCT)]["run"] == summary["run"]
    fresh = {name: data for name, data in tree(root_folder(root)).items() if old["run"] not in name}
    assert fresh == undisturbed[0]


def test_shards_that_are_not_ingested_refuse_the_sweep(root):
    root.delete(PRODUCT.record(1))
    with pytest.raises(RunFailed, match=r"1 of 3 shards .* the first is 1; run `larun ingest` again"):
        start_sweep(root, PRODUCT, settings_of(root.url))


def test_a_repaired_sector_is_swept_anew(root, tmp_path):
    settings = settings_of(root.url)
    before = start_sweep(root, PRODUCT, settings).run
    plan = load_plan(root, PRODUCT)
    index = next(i for i in range(3) if any(t.star.target_id == ABSENT for t in plan.shard(i)))
    root.delete(PRODUCT.record(index))
    archive = FolderArchive(str(write_products(tmp_path / "files")))
    ingest_shards(IngestWork.of(root, [archive], plan, [index], settings.ingest))
    assert start_sweep(root, PRODUCT, settings).run != before
    assert rows_of(root, sweep(root, settings))[ABSENT]["status"] == "searched"


def test_work_of_another_plan_or_bundle_is_refused(root, monkeypatch):
    settings = settings_of(root.url)
    run = start_sweep(root, PRODUCT, settings)
    work = SweepWork(root, run, (0,), settings)
    folder = f"models/{BUNDLE}"
    root.delete(folder)
    save_bundle(judge_bundle(content=b"another"), root, folder)
    with pytest.raises(RunFailed, match="the bundle of sweep"):
        sweep_shards(work)
    plan = load_plan(root, PRODUCT)
    moved = CadenceGrid(plan.grid.first, plan.grid.time + 1e-3)
    changed = replace(plan, grid=moved)
    monkeypatch.setattr("larun.survey.sweep.load_plan", lambda *_: changed)
    with pytest.raises(RunFailed, match="the plan of sweep"):
        sweep_shards(work)


def test_a_mixed_store_is_refused(root):
    record = root.read_json(PRODUCT.record(0))
    root.write_json(PRODUCT.record(0), record | {"plan_digest": "0" * 64})
    with pytest.raises(PlanMismatch):
        start_sweep(root, PRODUCT, settings_of(root.url))


def test_a_store_that_lost_data_is_not_swept(root):
    """A missing object reads as NaN: the times would be those of the spacecraft."""
    settings = settings_of(root.url)
    run = start_sweep(root, PRODUCT, settings)
    root.delete(f"{PRODUCT.zarr}/centroid_col/c/0/0")
    with pytest.raises(StoreError, match=r"^centroid_col of shard 0 .*not what was written"):
        sweep_shards(SweepWork(root, run, (0,), settings))
    assert [i for group in pending_groups(root, run, 1) for i in group] == list(range(run.n_shards))


def test_an_absent_bundle_is_refused_before_anything_is_written(root):
    with pytest.raises(BundleError):
        start_sweep(root, PRODUCT, settings_of(root.url, sweep={"bundle": "nobody"}))
    assert root.list("runs") == []


def test_product_of_a_sector(root, tmp_path):
    assert find_product(root, 1) == PRODUCT
    assert find_product(root, 1, author="spoc") == PRODUCT
    with pytest.raises(NotInStore, match=r"no tess sector 7; it holds tess/s0001/spoc-120s\. Run `larun ingest`"):
        find_product(root, 7)
    with pytest.raises(NotInStore, match="no tess sector 1 by qlp"):
        find_product(root, 1, author="qlp")
    other = Product("tess", 1, "tess-spoc", 600)
    shutil.copytree(root_folder(root) / PRODUCT.zarr, root_folder(root) / other.zarr)
    with pytest.raises(InputError, match="choose one with --author"):
        find_product(root, 1)


def test_epochs_of_kepler_are_btjd_in_the_tables(real_data, tmp_path):
    """BKJD = BJD - 2454833 and BTJD = BJD - 2457000."""
    settings = settings_of(str(tmp_path), ingest={"shard_targets": 2})
    root, product = Root(settings.root), Product("kepler", 2, "kepler", 1765)
    archive = FolderArchive(str(real_data / "fits"))
    plan = start_ingest(root, [archive], product, settings.ingest)
    ingest_shards(IngestWork.of(root, [archive], plan, range(plan.n_shards), settings.ingest))
    save_bundle(judge_bundle(), root, f"models/{BUNDLE}")
    run = start_sweep(root, product, settings)
    sweep_shards(SweepWork(root, run, tuple(range(plan.n_shards)), settings))
    detections = read_table(root, finish_sweep(root, run, settings)["detections"]).to_pylist()
    (row,) = (r for r in detections if r["target"] == "KIC 11446443" and r["event"] == 1)
    (answer,) = examine("KIC 11446443", settings, Judge(None))
    assert answer["time_format"] == "bkjd"
    assert row["t0_btjd"] + 2457000 == pytest.approx(answer["t0"] + 2454833, abs=1e-6)
    assert row["tic"] is None
    cycles = (row["t0_btjd"] + 2457000 - 2453957.63479) / 2.470621  # TrES-2 b, Sozzetti et al. 2007, ApJ 664, 1190
    assert abs(cycles - round(cycles)) < 0.01

"""The same store on S3 as in a local folder, through a server on loopback."""

import json
import threading
from dataclasses import replace
from pathlib import Path

import pytest
from tiny_sector import PRODUCT, SETTINGS, tree, write_folder

from larun import ledger
from larun.archive.folder import FolderArchive
from larun.errors import NotInStore, PlanMismatch, ProductUnreachable, StoreError
from larun.objects import Root
from larun.plan import load_plan
from larun.schema import Column
from larun.store.publish import publish, published
from larun.store.reading import open_sector, products, read_shard
from larun.store.tables import read_table, write_table
from larun.survey.ingest import IngestWork, ingest_shards, start_ingest
from larun.survey.repair import repairable, settle


@pytest.fixture
def root(s3_options, request):
    return Root(f"s3://survey/{request.node.name}", s3_options)


def objects(root):
    """Content of every object below a root on S3, by relative name."""
    return {name[len(root.base) + 1 :]: root.filesystem.cat_file(name) for name in root.filesystem.find(root.base)}


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    return FolderArchive(write_folder(tmp_path_factory.mktemp("files"), range(21, 27)))


def ingest(root, archive):
    plan = start_ingest(root, [archive], PRODUCT, SETTINGS)
    ingest_shards(IngestWork.of(root, [archive], plan, range(plan.n_shards), SETTINGS))
    return plan


@pytest.fixture(scope="module")
def stores(s3_options, files, tmp_path_factory):
    """The same sector on S3 and in a folder."""
    both = Root("s3://survey/sector", s3_options), Root(str(tmp_path_factory.mktemp("sector")))
    for root in both:
        ingest(root, files)
    return both


def test_store_on_s3_is_that_of_a_folder_byte_for_byte(stores):
    remote, local = stores
    assert objects(remote) == tree(Path(local.url))


class Broken(FolderArchive):
    """Some products are out of reach, and one arrives damaged."""

    def fetch(self, product, target):
        if target.star.target_id == 22:
            raise ProductUnreachable("503")
        fetched = super().fetch(product, target)
        return replace(fetched, data=fetched.data[:-2880]) if target.star.target_id == 24 else fetched


def test_a_repair_on_s3_that_is_broken_off_and_run_again(root, tmp_path, monkeypatch):
    files = FolderArchive(write_folder(tmp_path / "files", range(21, 25)))
    local = Root(str(tmp_path / "local"))
    ingest(local, files)
    plan = start_ingest(root, [files], PRODUCT, SETTINGS)
    ingest_shards(IngestWork.of(root, [Broken(files.path)], plan, [0], SETTINGS))
    broken = objects(root)
    assert ledger.counts(root, PRODUCT).by_status["stored"] == 2
    work = IngestWork.of(root, [files], plan, repairable(root, plan), SETTINGS, repair=True)
    write = Root.write

    def stopped(self, path, data):
        write(self, path, data)
        if path.endswith("flux/c/0/0"):
            raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(Root, "write", stopped)
        with pytest.raises(KeyboardInterrupt):
            ingest_shards(work)
    settle(root, plan, 0)
    assert objects(root) == broken
    assert ingest_shards(work)["stored"] == 4
    assert objects(root) == tree(Path(local.url))


def test_a_finished_store_on_s3_is_left_alone(stores, files):
    remote, _ = stores
    before = {name: info["LastModified"] for name, info in remote.filesystem.find(remote.base, detail=True).items()}
    plan = ingest(remote, files)
    after = {name: info["LastModified"] for name, info in remote.filesystem.find(remote.base, detail=True).items()}
    assert after == before
    assert ledger.pending(remote, plan) == []
    assert ledger.counts(remote, PRODUCT).by_status["stored"] == 6
    with pytest.raises(PlanMismatch, match="min_good_cadences"):
        start_ingest(remote, [files], PRODUCT, SETTINGS.model_copy(update={"min_good_cadences": 12}))


def test_store_on_s3_reads_as_that_of_a_folder(stores, s3_options):
    import xarray

    remote, local = stores
    assert products(remote) == products(local) == [PRODUCT]
    direct = xarray.open_zarr(remote.url_of(PRODUCT.zarr), storage_options=s3_options)
    with open_sector(remote, PRODUCT) as ours, open_sector(local, PRODUCT) as theirs:
        xarray.testing.assert_identical(ours.load(), theirs.load())
        xarray.testing.assert_identical(direct.load(), theirs)
    plan = load_plan(local, PRODUCT)
    ours, theirs = read_shard(remote, plan, 1)[0], read_shard(local, plan, 1)[0]
    assert (ours.stars, ours.flux.tobytes()) == (theirs.stars, theirs.flux.tobytes())


def test_objects_on_s3(root):
    assert not root.is_local
    assert not root.exists("a.json")
    assert root.list("") == root.list("folder") == []
    with pytest.raises(NotInStore, match=r"a\.json"):
        root.read("a.json")
    root.write("folder/a.json", b"{}")
    root.write("folder/b.txt", b"b")
    assert root.list("folder") == ["folder/a.json", "folder/b.txt"]
    assert root.list("folder", ".json") == ["folder/a.json"]
    root.delete("folder/a.json")
    root.delete("folder/a.json")
    assert root.list("folder") == ["folder/b.txt"]
    root.discard_partials("folder")
    root.check_writable()
    assert root.list("") == ["folder"]


def test_tables_on_s3(root):
    columns = (Column("a", "int32", "d", "a number"),)
    write_table(root, "t/part-00000.parquet", {"a": [1]}, columns)
    write_table(root, "t/part-00001.parquet", {"a": [2]}, columns)
    assert read_table(root, "t").column("a").to_pylist() == [1, 2]


def test_an_update_loses_no_other_update(root):
    """Twelve writers that add one key each, all at once."""
    start = threading.Barrier(4)

    def add(worker):
        start.wait()
        for step in range(3):
            root.update_json("shared.json", lambda now, step=step: now | {f"{worker}-{step}": True})

    workers = [threading.Thread(target=add, args=(i,)) for i in range(4)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert len(root.read_json("shared.json")) == 12


def test_of_several_creations_one_succeeds(root):
    start = threading.Barrier(4)
    won = []

    def create(worker):
        start.wait()
        won.append(root.create_json("one.json", {"worker": worker}))

    workers = [threading.Thread(target=create, args=(i,)) for i in range(4)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert sorted(won) == [False, False, False, True]
    assert not root.create_json("one.json", {"worker": 9})
    assert root.read_json("one.json")["worker"] != 9


def test_an_update_that_is_always_overtaken_gives_up(root):
    root.write_json("shared.json", {"n": 0})

    def overtaken(now):
        root.write_json("shared.json", {"n": now["n"] + 1})
        return {"n": -1}

    with pytest.raises(StoreError, match="others changed it"):
        root.update_json("shared.json", overtaken)
    assert root.read_json("shared.json")["n"] > 0


def test_publishing_on_s3(root):
    assert published(root)["sectors"] == {}
    publish(root, PRODUCT, "r1", {"candidates": 3})
    publish(root, PRODUCT, "r2", {"candidates": 4})
    saved = json.loads(objects(root)["published.json"])
    assert saved["sectors"] == {str(PRODUCT): {"run": "r2", "candidates": 4}}


def test_an_absent_bucket_and_an_absent_server_are_store_errors(s3_options):
    with pytest.raises(StoreError, match="cannot write s3://no-such-bucket/x"):
        Root("s3://no-such-bucket", s3_options).write("x", b"")
    with pytest.raises(StoreError):
        Root("s3://no-such-bucket", s3_options).update_json("x", dict)
    nowhere = s3_options | {"endpoint_url": "http://127.0.0.1:9", "config_kwargs": {"retries": {"max_attempts": 0}}}
    with pytest.raises(StoreError, match=r"127\.0\.0\.1:9"):
        Root("s3://survey/x", nowhere).read("x")


def test_secrets_are_not_shown(s3_options):
    assert "secret" not in repr(Root("s3://survey/x", s3_options))

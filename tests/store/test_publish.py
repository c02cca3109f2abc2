"""What readers see, and that publishing loses nothing."""

import json
import multiprocessing

import pytest

from larun.errors import StoreError
from larun.objects import Root
from larun.paths import Product
from larun.store.publish import publish, published

SPOC = Product("tess", 1, "spoc", 120)


def publish_many(url, sectors):
    for sector in sectors:
        publish(Root(url), Product("tess", sector, "spoc", 120), f"run-{sector}", {"n": sector})


def test_nothing_is_published_at_first(tmp_path):
    assert published(Root(str(tmp_path / "absent"))) == {"schema_version": 2, "sectors": {}}


def test_each_product_has_its_run(tmp_path):
    root = Root(str(tmp_path))
    publish(root, SPOC, "a", {"candidates": 1})
    publish(root, Product("tess", 1, "qlp", 1800), "b", {"candidates": 2})
    publish(root, SPOC, "c", {"candidates": 3})
    saved = json.loads((tmp_path / "published.json").read_text())
    assert saved == published(root)
    assert saved["sectors"] == {
        "tess/s0001/spoc-120s": {"run": "c", "candidates": 3},
        "tess/s0001/qlp-1800s": {"run": "b", "candidates": 2},
    }
    assert [p.name for p in tmp_path.iterdir()] == ["published.json"]


def test_processes_that_publish_at_once_lose_nothing(tmp_path):
    context = multiprocessing.get_context("spawn")
    workers = [context.Process(target=publish_many, args=(str(tmp_path), range(n, n + 8))) for n in (1, 11, 21)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join(60)
    assert [w.exitcode for w in workers] == [0, 0, 0]
    assert len(published(Root(str(tmp_path)))["sectors"]) == 24


def test_a_later_schema_is_not_overwritten(tmp_path):
    (tmp_path / "published.json").write_text('{"schema_version": 99, "sectors": {}}')
    for call in (lambda: published(Root(str(tmp_path))), lambda: publish(Root(str(tmp_path)), SPOC, "a", {})):
        with pytest.raises(StoreError, match=r"schema version 99.*update larun"):
            call()
    assert "99" in (tmp_path / "published.json").read_text()

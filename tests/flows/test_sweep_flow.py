"""From a simulated sector to published candidates: the demonstration's flows on a few stars, then a night."""

import contextlib
import io
import json

import httpx
import pyarrow.parquet as pq
import pytest

from flows.ingest import ingest
from flows.nightly import nightly
from flows.sweep import sweep
from larun.cli.console import Given
from larun.cli.demo import run_demo
from larun.objects import Root
from larun.store.publish import published
from larun.store.reading import products

pytestmark = [pytest.mark.timeout(300)]

STARS = 20
CONFIG = """
[ingest]
min_good_cadences = 100
[simulate]
days = 12
cadence_s = 600
[search]
min_period_d = 1.0
max_period_d = 5.0
[run]
cluster = "{cluster}"
"""


@pytest.fixture(scope="module")
def survey(prefect_server, tmp_path_factory):
    """A demonstration with the default bundle in place of a training; root, settings file and what it printed."""
    folder = tmp_path_factory.mktemp("survey")
    cluster, config = folder / "one.yaml", folder / "larun.toml"
    cluster.write_text("kind: local\nworkers: 1\nmemory_limit: 3GiB\n")
    config.write_text(CONFIG.format(cluster=cluster))
    options = Given(config=str(config), root=str(folder / "root"))
    called = []

    def run(name, **parameters):
        called.append(name)
        if name == "train":
            return {"bundle": "default"}
        return {"ingest": ingest, "sweep": sweep}[name](config=options.config, **parameters)

    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):
        run_demo(options, run, STARS, json=True)
    assert called == ["ingest", "train", "sweep"]
    return Root(options.root), options, json.loads(printed.getvalue())


def test_every_target_has_a_detection_row_and_candidates_are_published(survey):
    root, _, told = survey
    (product,) = products(root)
    assert str(product) == "tess/s0001/simulated-600s"
    summary = published(root)["sectors"][str(product)]
    assert summary["simulated"] is True
    detections = pq.read_table(root.full(summary["detections"]))
    assert detections.num_rows == STARS == summary["n_targets"]
    candidates = pq.read_table(root.full(summary["candidates"]))
    assert candidates.num_rows == summary["n_candidates"]
    assert set(candidates["run"].to_pylist()) <= {summary["run"]}
    assert told["candidates"] == root.url_of(summary["candidates"])
    assert told["summary"]["run"] == summary["run"]


def test_the_truth_stands_beside_the_candidates(survey):
    _, _, told = survey
    recovery = told["recovery"]
    assert recovery["found"] + recovery["false_positives"] == recovery["candidates"]
    assert recovery["found"] <= recovery["injected"] <= STARS
    for row in told["best"]:
        assert row["found"] is (row["true_kind"] == "planet" and abs(row["period_d"] / row["true_period_d"] - 1) < 2e-3)


def test_the_best_are_an_artifact(survey, prefect_server):
    _, _, told = survey
    artifacts = httpx.post(f"{prefect_server.api_url}/artifacts/latest/filter", json={}).json()
    shown = {artifact["key"]: artifact for artifact in artifacts}
    rows = json.loads(shown["best-candidates"]["data"])
    assert [row["target"] for row in rows] == [row["target"] for row in told["best"]]


def test_a_night_finds_nothing_left_to_do(survey, prefect_server):
    root, options, told = survey
    before = httpx.post(f"{prefect_server.api_url}/task_runs/count", json={}).json()
    overrides = options.overrides(
        simulate={"stars": STARS}, ingest={"shard_targets": 64, "chunk_targets": 16}, sweep={"bundle": "default"}
    )
    result = nightly(sector=1, archive="simulated", config=options.config, overrides=overrides)
    assert result["sweep"]["run"] == told["summary"]["run"]
    assert result["ingest"]["targets"] == STARS
    assert httpx.post(f"{prefect_server.api_url}/task_runs/count", json={}).json() == before
    assert published(root)["sectors"][result["sweep"]["product"]]["run"] == told["summary"]["run"]

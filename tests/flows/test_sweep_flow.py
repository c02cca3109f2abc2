"""From a simulated sector to published candidates: the demonstration's flows on a few stars, then a night."""

import contextlib
import io
import json
from pathlib import Path

import httpx
import pytest
from tiny_sector import tree
from typer.testing import CliRunner

from flows.ingest import ingest
from flows.sweep import sweep
from larun.cli import app
from larun.cli.console import Given
from larun.cli.demo import run_demo
from larun.objects import Root
from larun.store.publish import published
from larun.store.reading import products
from larun.store.tables import read_table

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
def survey(running_cluster, tmp_path_factory):
    """A demonstration with the default bundle in place of a training; root, settings file and what it printed."""
    folder = tmp_path_factory.mktemp("survey")
    config = folder / "larun.toml"
    config.write_text(CONFIG.format(cluster=running_cluster))
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
    detections = read_table(root, summary["detections"])
    best = [
        target
        for target, event in zip(*(detections[c].to_pylist() for c in ("target", "event")), strict=True)
        if event == 1
    ]
    assert len(set(best)) == len(best) == STARS == summary["n_targets"]
    assert set(detections["target"].to_pylist()) == set(best)
    candidates = read_table(root, summary["candidates"])
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
    asked = {"artifacts": {"key": {"any_": ["best-candidates"]}}}
    artifacts = httpx.post(f"{prefect_server.api_url}/artifacts/filter", json=asked).json()
    shown = [[row["target"] for row in json.loads(artifact["data"])] for artifact in artifacts]
    assert [row["target"] for row in told["best"]] in shown


def test_a_night_finds_nothing_left_to_do_and_starts_no_cluster(survey, tmp_path, monkeypatch):
    """The demonstration did the work; of what follows the second night does not change a byte."""
    root, options, told = survey
    config = tmp_path / "night.toml"
    same = Path(options.config).read_text().replace("[simulate]", f"[simulate]\nstars = {STARS}")
    config.write_text(same.replace("[ingest]", "[ingest]\nshard_targets = 64\nchunk_targets = 16"))

    def refuse(name):
        raise AssertionError(name)

    monkeypatch.setattr("flows.fanout.load_cluster", refuse)
    nights = []
    for _ in range(2):
        command = ["nightly", "--sector", "1", "--archive", "simulated", "--root", root.url, "--config", str(config)]
        ended = CliRunner().invoke(app, [*command, "--json"])
        assert ended.exit_code == 0, ended.output
        night = json.loads(ended.stdout)
        assert night["catalogues"] == []
        (done,) = night["sectors"]
        assert done["sweep"]["run"] == told["summary"]["run"]
        assert done["ingest"]["status"]["stored"] == done["ingest"]["targets"] == STARS
        nights.append(tree(Path(root.url)))
    assert nights[0] == nights[1]
    assert published(root)["sectors"][done["sweep"]["product"]]["run"] == told["summary"]["run"]

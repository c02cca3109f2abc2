"""`larun sweep --stitch` on a cluster, with the network that is shipped."""

import json

import pytest
from several_sectors import LONG, PLANETS, PRODUCTS, SHALLOW, ingest, write_files
from typer.testing import CliRunner

from larun.cli import app
from larun.objects import Root

pytestmark = pytest.mark.timeout(300)


CONFIG = """
root = "{root}"
[run]
cluster = "{cluster}"
[sweep]
min_planet_probability = 0.0
min_sde = 5.0
"""


def run(*arguments):
    ended = CliRunner().invoke(app, [str(argument) for argument in arguments])
    assert ended.exit_code == 0, ended.output
    return ended


def test_sweep_with_joined_sectors(running_cluster, tmp_path):
    root = Root(str(tmp_path / "root"))
    ingest(root, write_files(tmp_path / "files"))
    config = tmp_path / "larun.toml"
    config.write_text(CONFIG.format(root=root.url, cluster=running_cluster))
    swept = run("sweep", "--sector", 3, "--stitch", "--config", config).stdout
    assert f"5 targets joined with {PRODUCTS[1]}, {PRODUCTS[0]}" in swept
    rows = json.loads(run("candidates", "--config", config, "--json").stdout)
    for tic in (LONG, SHALLOW):
        (row,) = (row for row in rows if row["tic"] == tic)
        assert row["period_d"] == pytest.approx(PLANETS[tic][0], rel=2e-3)
        assert (row["n_sectors"], row["sectors"]) == (3, "1-3")
    assert "1-3" in run("candidates", "--config", config).stdout
    assert "5 targets joined with earlier sectors" in run("status", "--sector", 3, "--config", config).stdout
    first = run("sweep", "--sector", 1, "--stitch", "--config", config).stdout
    assert "no target was joined" in first

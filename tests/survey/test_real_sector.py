"""Sector 1 as SPOC delivered it, from its files to the ranked candidates, with the bundle that comes with larun."""

import numpy as np
import pytest

from larun.candidates import listing
from larun.config import Settings
from larun.objects import Root
from larun.paths import Product
from larun.schema import CLASSES
from larun.store.tables import read_table
from larun.survey.archives import open_archives
from larun.survey.ingest import IngestWork, ingest_shards, start_ingest
from larun.survey.published import published_candidates
from larun.survey.sweep import SweepWork, find_product, finish_sweep, pending_groups, start_sweep, sweep_shards

WASP_100, PI_MEN, BINARY = 38846515, 261136679, 117544915
PERIODS_D = {WASP_100: 2.84938, PI_MEN: 6.2678}
"""Hellier et al. 2014, MNRAS 440, 1982 (WASP-100 b); Gandolfi et al. 2018, A&A 619, L10 (Pi Men c)."""


@pytest.fixture(scope="module")
def swept(real_data, tmp_path_factory):
    """Root and summary of the swept sector."""
    settings = Settings(root=str(tmp_path_factory.mktemp("root")))
    root = Root(settings.root)
    archive = open_archives(f"folder:{real_data / 'fits'}", settings)[0]
    plan = start_ingest(root, [archive], Product("tess", 1, "spoc", 120), settings.ingest)
    ingest_shards(IngestWork.of(root, [archive], plan, range(plan.n_shards), settings.ingest))
    run = start_sweep(root, find_product(root, 1), settings)
    for group in pending_groups(root, run, settings.sweep.shards_per_task):
        sweep_shards(SweepWork(root, run, group, settings))
    return root, finish_sweep(root, run, settings)


def test_every_star_is_searched(swept):
    root, summary = swept
    assert summary["status"] == {"searched": 10}
    detections = read_table(root, summary["detections"])
    total = sum(detections[f"p_{name}"].to_numpy().astype(float) for name in CLASSES)
    np.testing.assert_allclose(total, 1, atol=1e-5)


@pytest.mark.parametrize("tic", PERIODS_D)
def test_known_planet_is_a_candidate_at_its_period(swept, tic):
    rows = {row["tic"]: row for row in listing(published_candidates(swept[0]))}
    assert rows[tic]["period_d"] == pytest.approx(PERIODS_D[tic], rel=2e-3)
    assert rows[tic]["class"] == "planetary_transit"
    assert not rows[tic]["simulated"]


def test_depth_and_epoch_of_pi_men_c_are_the_published_ones(swept):
    """Huang et al. 2018, ApJ 868, L39: radius ratio 0.01703, whose square is 290 ppm, and T0 = BTJD 1325.5040."""
    (row,) = (r for r in listing(published_candidates(swept[0])) if r["tic"] == PI_MEN)
    assert row["depth_ppm"] == pytest.approx(0.01703**2 * 1e6, rel=0.1)
    cycles = (row["t0_btjd"] - 1325.5040) / 6.2678
    assert abs(cycles - round(cycles)) * 6.2678 < 0.01


def test_binary_is_no_planet(swept):
    root, summary = swept
    rows = {row["tic"]: row for row in read_table(root, summary["detections"]).to_pylist()}
    assert rows[BINARY]["class"] != "planetary_transit"
    assert rows[BINARY]["period_d"] == pytest.approx(2.968, rel=2e-3)

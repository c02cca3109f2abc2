"""A planet of 60 d in three quarters of Kepler, with the network that is shipped."""

import pytest

from larun.archive.folder import FolderArchive
from larun.config import Settings
from larun.objects import Root
from larun.paths import Product
from larun.store.tables import read_table
from larun.survey.ingest import IngestWork, ingest_shards, start_ingest
from larun.survey.published import published_candidates
from larun.survey.sweep import SweepWork, finish_sweep, start_sweep, sweep_shards

QUARTERS = tuple(Product("kepler", quarter, "kepler", 1765) for quarter in (3, 4, 5))


def test_kepler_90_d_is_the_best_candidate_of_joined_quarters(real_data, tmp_path):
    """P = 59.73667 d (Cabrera et al. 2014, ApJ 781, 18); a quarter holds one or two of its transits."""
    settings = Settings(root=str(tmp_path), sweep={"stitch": True})
    root, archive = Root(settings.root), FolderArchive(str(real_data / "fits"))
    for product in QUARTERS:
        plan = start_ingest(root, [archive], product, settings.ingest)
        ingest_shards(IngestWork.of(root, [archive], plan, range(plan.n_shards), settings.ingest))
    run = start_sweep(root, QUARTERS[-1], settings)
    sweep_shards(SweepWork(root, run, (0,), settings))
    summary = finish_sweep(root, run, settings)
    best = published_candidates(root).to_pylist()[0]
    assert (best["target"], best["sectors"], best["class"]) == ("KIC 11442793", "3-5", "planetary_transit")
    assert best["period_d"] == pytest.approx(59.73667, rel=1e-3)
    cycles = (best["t0_btjd"] + 2457000 - 2454833 - 158.96561) / 59.73667
    assert abs(cycles - round(cycles)) < 0.005
    rows = read_table(root, summary["detections"]).to_pylist()
    alone = [row["period_d"] for row in rows if row["n_sectors"] == 1]
    assert not any(abs(period / 59.73667 - 1) < 0.01 for period in alone)

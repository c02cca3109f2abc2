"""Which light curves of earlier sectors a sweep joins, on stores without light curves."""

import numpy as np
import pytest
from tiny_sector import plan_of

from larun import ledger
from larun.config import SweepSettings
from larun.ledger import ShardRecord, TargetOutcome
from larun.lightcurve import Star
from larun.objects import Root
from larun.paths import Product
from larun.plan import Plan, PlannedTarget
from larun.store.sector import SHARD_ARRAYS, create_sector
from larun.survey.earlier import find_earlier, sector_numbers, sector_ranges


def hold(root: Root, product: Product, stars: dict[int, str]) -> Plan:
    """Plan and records of stars and what became of them."""
    like = plan_of(1)
    targets = tuple(PlannedTarget(Star(tic, 80.0, -60.0, 9.0), f"{tic}.fits") for tic in stars)
    plan = Plan(product, targets, like.grid, 2, 2, 10, 17087)
    plan.save(root)
    create_sector(root, plan)
    for index in range(plan.n_shards):
        outcomes = tuple(TargetOutcome(t.star.target_id, stars[t.star.target_id]) for t in plan.shard(index))
        hashes = {array.name: f"{index:064}" for array in SHARD_ARRAYS}
        ledger.write_record(root, product, ShardRecord(plan.digest, index, outcomes, hashes))
    return plan


def product(sector: int, author: str = "spoc", cadence_s: int = 120, mission: str = "tess") -> Product:
    return Product(mission, sector, author, cadence_s)


def joined(earlier) -> list[tuple]:
    names = ("target_id", "earlier_sector", "author", "cadence_s", "earlier_row")
    return list(zip(*(earlier.columns[name].tolist() for name in names), strict=True))


def test_stored_stars_of_earlier_sectors_of_the_mission(tmp_path):
    root = Root(str(tmp_path))
    plan = hold(root, product(5), {1: "stored", 2: "stored", 3: "absent", 4: "stored"})
    hold(root, product(4), {9: "stored", 2: "stored", 3: "stored", 1: "corrupt"})
    hold(root, product(2), {4: "stored", 1: "stored"})
    hold(root, product(6), {1: "stored"})
    hold(root, product(3, "simulated"), {1: "stored"})
    hold(root, product(3, "kepler", 1765, "kepler"), {1: "stored"})
    earlier = find_earlier(root, plan, SweepSettings())
    assert joined(earlier) == [(1, 2, "spoc", 120, 1), (2, 4, "spoc", 120, 1), (4, 2, "spoc", 120, 0)]
    assert earlier.columns["row"].tolist() == [0, 1, 3]
    assert [source.product for source in earlier.sources] == [product(4), product(2)]


def test_of_a_sector_the_same_author_comes_first_then_the_same_cadence(tmp_path):
    root = Root(str(tmp_path))
    plan = hold(root, product(5, "tess-spoc", 200), dict.fromkeys(range(1, 6), "stored"))
    hold(root, product(4, "tess-spoc", 600), {1: "stored"})
    hold(root, product(4, "tess-spoc", 200), {2: "stored"})
    hold(root, product(4, "qlp", 200), {1: "stored", 2: "stored", 3: "stored"})
    hold(root, product(4, "spoc", 120), {1: "stored", 2: "stored", 3: "stored", 4: "stored"})
    hold(root, product(4, "spoc", 20), {4: "stored"})
    chosen = {row[0]: row[2:4] for row in joined(find_earlier(root, plan, SweepSettings()))}
    assert chosen == {1: ("tess-spoc", 600), 2: ("tess-spoc", 200), 3: ("qlp", 200), 4: ("spoc", 20)}


def test_other_pipelines_of_the_swept_sector_are_left_alone(tmp_path):
    root = Root(str(tmp_path))
    plan = hold(root, product(5), {1: "stored"})
    hold(root, product(5, "qlp", 200), {1: "stored"})
    assert find_earlier(root, plan, SweepSettings()).sources == ()


def test_the_latest_sectors_are_joined(tmp_path):
    root = Root(str(tmp_path))
    plan = hold(root, product(9), {1: "stored", 2: "stored"})
    for sector in range(1, 9):
        hold(root, product(sector), {1: "stored"} if sector % 2 else {1: "stored", 2: "stored"})
    rows = joined(find_earlier(root, plan, SweepSettings(stitch_sectors=4)))
    assert [row[1] for row in rows if row[0] == 1] == [6, 7, 8]
    assert [row[1] for row in rows if row[0] == 2] == [4, 6, 8]


def test_a_sector_under_repair_is_left_out(tmp_path, caplog):
    root = Root(str(tmp_path))
    plan = hold(root, product(5), {1: "stored"})
    hold(root, product(4), {1: "stored"})
    hold(root, product(3), {1: "stored"})
    root.write_json(product(4).repair(0), {})
    earlier = find_earlier(root, plan, SweepSettings())
    assert [row[1] for row in joined(earlier)] == [3]
    assert "is not finished" in earlier.left_out[str(product(4))]
    assert "tess/s0004/spoc-120s is not joined" in caplog.text


def test_the_digest_is_of_what_is_stored(tmp_path):
    digests = set()
    for number, status in enumerate(("stored", "stored", "corrupt")):
        root = Root(str(tmp_path / str(number)))
        plan = hold(root, product(5), {1: "stored", 2: "stored"})
        hold(root, product(4), {1: "stored", 2: status})
        digests.add(find_earlier(root, plan, SweepSettings()).digest)
    assert len(digests) == 2


@pytest.mark.parametrize(
    ("numbers", "text"), [((3,), "3"), ((1, 2, 3), "1-3"), ((1, 3, 4, 9, 27), "1,3-4,9,27"), ((14, 15), "14-15")]
)
def test_ranges_of_sectors(numbers, text):
    assert sector_ranges(np.random.default_rng(0).permutation(numbers).tolist()) == text
    assert sector_numbers(text) == set(numbers)

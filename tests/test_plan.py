"""The frozen plan: order, digest, and refusal of another one."""

import json
import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import numpy as np
import pytest
from tiny_sector import PRODUCT, plan_of, spacecraft_time

from larun.errors import NotInStore, PlanMismatch, StoreError
from larun.lightcurve import CadenceGrid, Star
from larun.objects import Root
from larun.paths import Product
from larun.plan import ListOrigin, PlannedTarget, load_plan, order_targets


def target(number, ra=0.0, dec=0.0, camera=1, ccd=1):
    return PlannedTarget(Star(number, ra, dec, camera=camera, ccd=ccd), f"{number}.fits")


def test_shards_cover_the_targets_once_and_the_last_may_be_short():
    plan = plan_of(10)
    assert plan.n_shards == 3
    assert [len(plan.shard(i)) for i in range(3)] == [4, 4, 2]
    assert sum((plan.shard(i) for i in range(3)), ()) == plan.targets
    assert plan_of(8).n_shards == 2


def test_digest_covers_everything_that_changes_bytes():
    plan = plan_of(4)
    assert plan.digest == plan_of(4).digest
    assert len(plan.digest) == 64
    int(plan.digest, 16)
    time = spacecraft_time()
    moved = time.copy()
    moved[3] += 1e-9
    first, *rest = plan.targets
    changes = {
        "mission": {"product": Product("kepler", 1, "spoc", 120)},
        "sector": {"product": Product("tess", 2, "spoc", 120)},
        "author": {"product": Product("tess", 1, "qlp", 120)},
        "cadence_s": {"product": Product("tess", 1, "spoc", 20)},
        "shard_targets": {"shard_targets": 2},
        "chunk_targets": {"chunk_targets": 1},
        "min_good_cadences": {"min_good_cadences": 11},
        "quality_mask": {"quality_mask": 0},
        "time_format": {"time_format": "bkjd"},
        "flux_unit": {"flux_unit": "relative"},
        "targets": {"targets": (replace(first, product="other.fits"), *rest)},
        "first_cadence": {"grid": CadenceGrid(1, time)},
        "cadence_times": {"grid": CadenceGrid(plan.grid.first, moved)},
    }
    for field, change in changes.items():
        other = replace(plan, **change)
        assert other.digest != plan.digest, field
        with pytest.raises(PlanMismatch, match=f"{field} is ") as caught:
            plan.require_same(other)
        assert caught.value.fields == (field,)
    plan.require_same(plan_of(4))


def test_other_targets_are_named():
    with pytest.raises(PlanMismatch) as caught:
        plan_of(4).require_same(plan_of(5))
    assert "1 targets are new, the first is tess2018206045859-s0001-0000000000000004" in str(caught.value)
    assert set(caught.value.fields) == {"targets", "n_targets"}
    with pytest.raises(PlanMismatch, match="1 planned targets are missing now"):
        plan_of(5).require_same(plan_of(4))
    plan = plan_of(4)
    with pytest.raises(PlanMismatch, match="in another order"):
        plan.require_same(replace(plan, targets=plan.targets[::-1]))


def test_plan_survives(tmp_path):
    root = Root(str(tmp_path))
    plan = plan_of(10)
    unknown = PlannedTarget(Star(), "unknown.fits")
    plan = replace(plan, targets=(*plan.targets, unknown))
    plan.save(root)
    saved = load_plan(root, PRODUCT)
    assert saved.digest == plan.digest
    np.testing.assert_array_equal(saved.grid.time, plan.grid.time)
    assert [t.product for t in saved.targets] == [t.product for t in plan.targets]
    assert np.isnan(saved.targets[-1].star.ra)
    assert saved.targets[0].star == plan.targets[0].star


def test_an_unchanged_plan_is_parsed_once(tmp_path):
    root, other = Root(str(tmp_path / "one")), Root(str(tmp_path / "other"))
    plan_of(10).save(root)
    saved = load_plan(root, PRODUCT)
    assert load_plan(root, PRODUCT) is saved
    plan_of(4).save(other)
    assert len(load_plan(other, PRODUCT).targets) == 4
    assert load_plan(root, PRODUCT).digest == saved.digest


def test_an_altered_plan_is_refused(tmp_path):
    root = Root(str(tmp_path))
    with pytest.raises(NotInStore):
        load_plan(root, PRODUCT)
    plan_of(10).save(root)
    value = root.read_json(PRODUCT.plan_json)
    value["fields"]["shard_targets"] = 2
    root.write(PRODUCT.plan_json, json.dumps(value).encode())
    with pytest.raises(StoreError, match="does not match its digest"):
        load_plan(root, PRODUCT)


@pytest.mark.parametrize(
    "damage",
    [
        lambda plan, table: (plan, table[: len(table) // 2]),
        lambda plan, table: (plan, b""),
        lambda plan, table: ({name: plan[name] for name in plan if name != "time"}, table),
        lambda plan, table: ({name: plan[name] for name in plan if name != "digest"}, table),
        lambda plan, table: (plan | {"fields": {}}, table),
        lambda plan, table: (plan | {"target_list": {"place": "here"}}, table),
        lambda plan, table: ([], table),
    ],
)
def test_a_damaged_plan_is_a_store_error(tmp_path, damage):
    root = Root(str(tmp_path))
    plan_of(10).save(root)
    plan, table = damage(root.read_json(PRODUCT.plan_json), root.read(PRODUCT.plan_table))
    root.write_json(PRODUCT.plan_json, plan)
    root.write(PRODUCT.plan_table, table)
    with pytest.raises(StoreError, match=r"cannot be read .* Restore .*plan\.json and its table"):
        load_plan(root, PRODUCT)


def test_a_lost_table_is_not_taken_for_a_sector_without_a_plan(tmp_path):
    root = Root(str(tmp_path))
    plan_of(10).save(root)
    root.delete(PRODUCT.plan_table)
    with pytest.raises(StoreError, match=r"the target list of .* is lost") as raised:
        load_plan(root, PRODUCT)
    assert not isinstance(raised.value, NotInStore)


def test_targets_go_by_camera_ccd_and_sky():
    stars = [
        target(1, 10, 10, camera=2), target(2, 10, 10, ccd=2), target(3, 200, -40), target(4, 10, 10),
        target(5, 200.1, -40.1), target(6, 10.1, 10.1), target(7, np.nan, np.nan),
    ]  # fmt: skip
    ordered = [t.star.target_id for t in order_targets(stars)]
    assert ordered == [t.star.target_id for t in order_targets(stars[::-1])]
    assert ordered[-2:] == [2, 1]
    assert ordered[0] == 7
    assert abs(ordered.index(3) - ordered.index(5)) == 1
    assert abs(ordered.index(4) - ordered.index(6)) == 1


def test_neighbours_in_the_order_are_neighbours_on_the_sky():
    rng = np.random.default_rng(3)
    ra, dec = rng.uniform(0, 360, 600), np.degrees(np.arcsin(rng.uniform(-1, 1, 600)))
    ordered = order_targets([target(i, ra[i], dec[i]) for i in range(600)])

    def vectors(targets):
        a, d = np.radians([[t.star.ra, t.star.dec] for t in targets]).T
        return np.array([np.cos(d) * np.cos(a), np.cos(d) * np.sin(a), np.sin(d)]).T

    def step(points):
        return np.median(np.degrees(np.arccos(np.clip((points[1:] * points[:-1]).sum(axis=1), -1, 1))))

    points = vectors(ordered)
    assert step(points) < 0.2 * step(rng.permutation(points))


def test_the_origin_of_the_list_is_kept_and_is_no_part_of_the_digest(tmp_path):
    root = Root(str(tmp_path))
    origin = ListOrigin("mast", "https://archive.example/list.sh", "ab" * 32)
    plan = replace(plan_of(4), target_list=origin)
    assert plan.digest == plan_of(4).digest
    plan.save(root)
    assert load_plan(root, PRODUCT).target_list == origin


def test_of_two_plans_saved_at_once_the_first_stays_whole(tmp_path):
    """Two runs begin the same sector, one of them with other settings; neither mixes its table with the other's."""
    root = Root(str(tmp_path))
    plans = [plan_of(4), plan_of(6), replace(plan_of(8), min_good_cadences=11)] * 3
    start = threading.Barrier(len(plans))

    def save(plan):
        start.wait()
        return plan.save(root)

    with ThreadPoolExecutor(len(plans)) as pool:
        written = list(pool.map(save, plans))
    assert sum(written) == 1
    assert load_plan(root, PRODUCT).digest == plans[written.index(True)].digest
    assert not plan_of(4).save(root)

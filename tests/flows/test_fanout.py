"""Fan-out judges by what is stored: dead workers, lost tasks and permanent errors."""

import pytest
from fan_out_tasks import POISON, Work, finds_the_archive_out, marks_and_hangs, poisoned_in_company, refuses
from prefect import flow

from flows import fanout
from flows.progress import listening
from larun.errors import ArchiveOutage, RunFailed

N_SHARDS = 5

pytestmark = [pytest.mark.timeout(240), pytest.mark.usefixtures("prefect_server")]


def run(folder, task, size, cluster, n_shards=N_SHARDS, finished=None):
    """Fan a task out over the shards that have no marker file; what was reported on the way."""
    heard = []

    def pending(size):
        return fanout.groups_of((i for i in range(n_shards) if not (folder / f"done-{i}").exists()), size)

    @flow(name="fan out", persist_result=False)
    def fan():
        fanout.fan_out("marks", task, lambda group: Work(folder, group), pending, size, n_shards, cluster, finished)

    with listening(lambda *said: heard.append(said)):
        fan()
    return heard


def test_a_group_that_kills_workers_is_split(tmp_path, one_worker):
    heard = run(tmp_path, poisoned_in_company, 2, one_worker)
    assert all((tmp_path / f"done-{i}").exists() for i in range(N_SHARDS))
    deaths = len(list(tmp_path.glob("death-*")))
    assert deaths == 2
    assert heard[-1] == ("marks", N_SHARDS, N_SHARDS)
    assert [done for _, done, _ in heard] == sorted(done for _, done, _ in heard)


def test_a_permanent_error_ends_the_run_with_its_reason(tmp_path, running_cluster):
    with pytest.raises(RunFailed, match=r"1 of 5 shards missing, the first is 3; .* the disk of shard 3 is full"):
        run(tmp_path, refuses, 1, running_cluster)
    assert sorted(path.name for path in tmp_path.glob("done-*")) == [
        f"done-{i}" for i in range(N_SHARDS) if i != POISON
    ]


def test_a_complete_store_ends_the_run_though_tasks_do_not_report(tmp_path, one_worker, monkeypatch):
    monkeypatch.setattr(fanout, "GRACE_S", 1.0)
    monkeypatch.setattr(fanout, "STORE_POLL_S", 0.5)
    run(tmp_path, marks_and_hangs, N_SHARDS, one_worker)
    assert len(list(tmp_path.glob("done-*"))) == N_SHARDS


def test_nothing_is_started_where_nothing_is_missing(tmp_path):
    for index in range(N_SHARDS):
        (tmp_path / f"done-{index}").touch()
    assert run(tmp_path, refuses, 1, "no such cluster") == []


def test_groups_hold_each_shard_once_in_order():
    assert fanout.groups_of([3, 4, 9, 12, 13], 2) == [(3, 4), (9, 12), (13,)]
    assert fanout.groups_of([], 4) == []


def test_few_shards_are_shared_out_among_the_workers(tmp_path, running_cluster):
    groups = []
    run(tmp_path, refuses, 4, running_cluster, n_shards=POISON, finished=groups.append)
    assert sorted(groups) == [(0, 1), (2,)]


def test_an_outage_ends_the_round_and_leaves_what_was_not_begun_alone(tmp_path, one_worker, monkeypatch):
    drop = fanout._Watch._drop

    def dropped(watch, futures):
        drop(watch, futures)
        (tmp_path / "known").touch()

    monkeypatch.setattr(fanout._Watch, "_drop", dropped)
    with pytest.raises(ArchiveOutage, match=r"^MAST is down for maintenance until Monday$"):
        run(tmp_path, finds_the_archive_out, 1, one_worker, n_shards=20)
    assert len(list(tmp_path.glob("done-*"))) == POISON
    # The one that failed, and what Dask had given to the worker before that was known.
    assert POISON < len(list(tmp_path.glob("begun-*"))) <= POISON + 4

"""A lease in the store: one holder at a time, renewed, taken over from the dead, lost by the slow."""

import json
import os
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from larun import paths
from larun.errors import RunDeferred, StoreError
from larun.objects import Root
from larun.store import lease
from larun.store.lease import Lease, hold

PATH = "leases/nightly.json"


class Clock:
    now = 1_800_000_000.0

    def __call__(self):
        return self.now


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture(params=["local", "s3"])
def root(request, tmp_path):
    if request.param == "local":
        return Root(str(tmp_path))
    return Root(f"s3://survey/{tmp_path.name}", request.getfixturevalue("s3_options"))


def another(there, **changes):
    """The lease as another run left it, on another machine."""
    return there | {"token": "0" * 32, "host": "elsewhere", "machine": "elsewhere-boot-pid"} | changes


def test_path():
    assert paths.lease("nightly") == PATH


def test_a_lease_is_held_by_one_and_free_afterwards(root, clock):
    with hold(root, "nightly", 10, clock) as first:
        first.check()
        with (
            pytest.raises(RunDeferred, match=rf"process {os.getpid()} on .*until 2027-01-15 08:10:00 UTC"),
            hold(root, "nightly", 10, clock),
        ):
            raise AssertionError
        with hold(root, "weekly", 10, clock):
            pass
        first.check()
    assert root.read_json(PATH) == {}
    with hold(root, "nightly", 10, clock) as second:
        second.check()


def test_a_lease_is_released_when_the_work_fails(root, clock):
    with pytest.raises(ZeroDivisionError), hold(root, "nightly", 10, clock):
        raise ZeroDivisionError
    with hold(root, "nightly", 10, clock):
        pass


def test_a_lease_of_another_machine_is_taken_over_when_its_time_is_over(root, clock):
    held = Lease(root, "nightly", 10, clock)
    held.take()
    root.write_json(PATH, another(root.read_json(PATH)))
    clock.now += 10 * 60 + 1
    # Its own end has passed by this clock; by the other's it may not have.
    with pytest.raises(RunDeferred, match="elsewhere"), hold(root, "nightly", 10, clock):
        raise AssertionError
    clock.now += lease.MARGIN * 10 * 60
    with hold(root, "nightly", 10, clock) as taken:
        taken.check()


def test_a_holder_whose_lease_was_taken_over_stops(root, clock):
    held = Lease(root, "nightly", 10, clock)
    held.take()
    there = another(root.read_json(PATH))
    root.write_json(PATH, there)
    held.check()
    held.renew()
    with pytest.raises(RunDeferred, match=r"lost, process .* on elsewhere holds it now"):
        held.check()
    held.release()
    assert root.read_json(PATH) == there


def test_renewal_puts_the_end_off_and_keeps_the_start(root, clock):
    held = Lease(root, "nightly", 10, clock)
    held.take()
    clock.now += 500
    held.renew()
    there = root.read_json(PATH)
    assert (there["since"], there["until"]) == (1_800_000_000.0, 1_800_000_500.0 + 600)
    clock.now += 599
    held.check()
    assert root.read_json(PATH)["until"] == 1_800_000_500.0 + 600


def test_a_machine_that_slept_gets_its_lease_back_if_nobody_took_it(root, clock):
    held = Lease(root, "nightly", 10, clock)
    held.take()
    clock.now += 3600
    held.check()
    assert root.read_json(PATH)["until"] == clock.now + 600
    clock.now += 3600
    root.write_json(PATH, another(root.read_json(PATH)))
    with pytest.raises(RunDeferred, match="elsewhere holds it now"):
        held.check()


def test_a_root_that_cannot_be_written_loses_the_lease_only_at_its_end(tmp_path, clock, monkeypatch):
    held = Lease(Root(str(tmp_path)), "nightly", 10, clock)
    held.take()

    def refuse(*_):
        raise StoreError("no space left")

    monkeypatch.setattr(Root, "update_json", refuse)
    with pytest.raises(StoreError):
        held.renew()
    clock.now += 599
    held.check()
    clock.now += 1
    with pytest.raises(RunDeferred, match="could not be renewed"):
        held.check()


def test_a_lease_that_ended_while_the_machine_slept_is_renewed_where_nobody_took_it(root, clock):
    held = Lease(root, "nightly", 10, clock)
    held.take()
    clock.now += 8 * 3600
    held.check()
    assert root.read_json(PATH)["until"] == clock.now + 600
    clock.now += 8 * 3600
    root.write_json(PATH, another(root.read_json(PATH), until=clock.now + 300))
    with pytest.raises(RunDeferred, match=r"lost, process .* on elsewhere holds it now"):
        held.check()


def test_the_thread_renews_and_notices_a_loss(tmp_path):
    root = Root(str(tmp_path))
    with hold(root, "nightly", 0.9 / 60) as held:
        first = root.read_json(PATH)["until"]
        deadline = time.monotonic() + 20
        while root.read_json(PATH)["until"] == first:
            assert time.monotonic() < deadline
            time.sleep(0.02)
        held.check()
        root.update_json(PATH, lambda there: another(there, until=there["until"] + 1000))
        with pytest.raises(RunDeferred):
            check_until(held, deadline)
    assert root.read_json(PATH)["host"] == "elsewhere"
    assert not [thread for thread in threading.enumerate() if thread.name == "lease nightly"]


def check_until(held, deadline):
    while time.monotonic() < deadline:
        held.check()
        time.sleep(0.02)


HOLDER = """
import sys, time
from larun.objects import Root
from larun.store.lease import hold
with hold(Root(sys.argv[1]), "nightly", 600):
    print("held", flush=True)
    time.sleep(600)
"""


def test_a_lease_of_a_dead_process_of_this_machine_is_taken_over_at_once(tmp_path):
    root = Root(str(tmp_path))
    holder = subprocess.Popen([sys.executable, "-c", HOLDER, str(tmp_path)], stdout=subprocess.PIPE, text=True)
    try:
        assert holder.stdout.readline() == "held\n"
        with pytest.raises(RunDeferred, match=f"process {holder.pid} "), hold(root, "nightly", 600):
            raise AssertionError
    finally:
        holder.kill()
        holder.wait()
        holder.stdout.close()
    with hold(root, "nightly", 600) as taken:
        taken.check()


def test_a_process_number_that_was_given_again_is_not_the_holder(tmp_path, clock):
    root = Root(str(tmp_path))
    Lease(root, "nightly", 10, clock).take()
    root.write_json(PATH, root.read_json(PATH) | {"token": "0" * 32, "started": "1"})
    with hold(root, "nightly", 10, clock):
        pass


def test_one_of_many_gets_it(tmp_path, clock):
    root = Root(str(tmp_path))
    results = []

    def try_it():
        try:
            Lease(root, "nightly", 10, clock).take()
            results.append("held")
        except RunDeferred:
            results.append("deferred")

    threads = [threading.Thread(target=try_it) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(results) == ["deferred"] * 7 + ["held"]


def test_a_lease_says_who_holds_it_and_nothing_secret(tmp_path, clock):
    Lease(Root(str(tmp_path)), "nightly", 10, clock).take()
    there = json.loads(Path(tmp_path, PATH).read_text())
    assert there.keys() == {"token", "since", "until", "length", "host", "machine", "pid", "started"}
    assert there["pid"] == os.getpid()

"""Ingest and nights against the archive on loopback: outages, kills, and what the next run fetches again."""

import contextlib
import json
import multiprocessing
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import httpx
import pytest
from tiny_sector import PRODUCT, tree
from typer.testing import CliRunner

import flows.sources
from flows.ingest import ingest
from flows.nightly import nightly
from larun import ledger
from larun.archive.cloud import CloudArchive
from larun.cli import app
from larun.config import load
from larun.errors import RunDeferred
from larun.objects import Root
from larun.plan import load_plan
from larun.store import lease
from larun.survey.archives import open_archives
from larun.survey.deferral import deferrals
from larun.survey.ingest import IngestWork, ingest_shards, start_ingest
from tests.loopback import Faults, Library, Loopback

pytestmark = [pytest.mark.timeout(300), pytest.mark.usefixtures("prefect_server")]

TICS = range(101, 117)
LATER = frozenset({106, 107, 108, 109, 114, 115, 116, 101})
"""Stars of the second and the fourth shard, which are the second ones of the two task runs."""
HELD = frozenset({107, 109, 115, 116})
"""Those of them that the plan does not take its cadences from."""
DOWNLOADS = ("cloud", "mast")
RULES = {"shard_targets": 4, "chunk_targets": 2, "min_good_cadences": 10, "fetch_threads": 2, "shards_per_task": 2}
HASTY = {"attempts": 3, "backoff_s": 0.05, "max_backoff_s": 0.2, "outage_failures": 4, "patience_s": 1.0}
OUT = Faults(always=dict.fromkeys(("cloud", "mast", "invoke", "list", "index", "cloud-list"), "503"), retry_after_s=0.1)


@pytest.fixture
def archive():
    with Loopback(Library.tiny(TICS)) as server:
        yield server


@pytest.fixture
def halting_archive(archive):
    """Holds requests for some stars of every second shard, so that something can happen in the middle of a run."""
    archive.set_faults(Faults(held=HELD))
    return archive


@pytest.fixture
def chosen(tmp_path, running_cluster):
    """Settings of a run against an archive."""

    def settings(server, cluster=running_cluster, **archives):
        found = server.overrides()
        return {
            "root": str(tmp_path / "root"),
            "ingest": RULES,
            "run": {"cluster": str(cluster)},
            "archives": found["archives"] | archives,
            "catalogues": found["catalogues"],
        }

    return settings


def undisturbed(overrides, root):
    """The light curves of a store that was filled in this process, without a fault; the archive must be sound."""
    settings = load(**overrides | {"root": str(root)})
    archives, store = open_archives(None, settings), Root(str(root))
    plan = start_ingest(store, archives, PRODUCT, settings.ingest)
    ingest_shards(IngestWork.of(store, archives, plan, range(plan.n_shards), settings.ingest))
    for one in archives:
        one.close()
    return tree(root / "lightcurves")


def downloads(server, after=0.0):
    """Numbers of the targets whose products were asked for since a moment, with repetition."""
    return [
        r["target"] for r in server.requests() if r["face"] in DOWNLOADS and r["method"] == "GET" and r["start"] > after
    ]


def stored_targets(overrides):
    """Numbers of the targets whose shards have their records."""
    root = Root(overrides["root"])
    plan = load_plan(root, PRODUCT)
    return {t.star.target_id for shard in ledger.recorded(root, PRODUCT) for t in plan.shard(shard)}


@contextlib.contextmanager
def when_stored(overrides, shards, act):
    """Do something in a thread as soon as so many shards have their records; what it returns is appended."""
    happened, over = [], threading.Event()

    def watch():
        root = Root(overrides["root"])
        while not over.wait(0.02):
            if len(ledger.recorded(root, PRODUCT)) >= shards:
                happened.append(act())
                return

    thread = threading.Thread(target=watch)
    thread.start()
    try:
        yield happened
    finally:
        over.set()
        thread.join()


def contents(root):
    """Every file with its time of change, but for leases, which every run takes."""
    files = [p for p in sorted(Path(root).rglob("*")) if p.is_file() and p.parent.name != "leases"]
    return {str(p): p.stat().st_mtime_ns for p in files}


def run(*arguments):
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


def write_settings(path, overrides):
    """The settings as a TOML file, for the command line."""
    lines = [f'root = "{overrides["root"]}"']
    for section in ("ingest", "run", "archives", "catalogues"):
        lines += [f"[{section}]", *(f"{name} = {json.dumps(value)}" for name, value in overrides[section].items())]
    path.write_text("\n".join(lines) + "\n")
    return path


def last_state(server, flow):
    runs = httpx.post(
        f"{server.api_url}/flow_runs/filter", json={"flows": {"name": {"any_": [flow]}}, "sort": "START_TIME_DESC"}
    ).json()
    return runs[0]["state"]


def test_a_night_that_meets_an_outage_and_those_after_it(halting_archive, chosen, tmp_path, prefect_server):
    overrides = chosen(halting_archive, **HASTY)
    config = write_settings(tmp_path / "larun.toml", overrides)
    deferred = r"brought up to date: nothing\. the ingest of tess/s0001/spoc-120s is deferred"
    with (
        when_stored(overrides, 2, lambda: halting_archive.set_faults(OUT)) as happened,
        pytest.raises(RunDeferred, match=deferred) as caught,
    ):
        nightly(overrides=overrides)
    assert happened
    stored = stored_targets(overrides)
    missing = len(LATER)
    assert stored == set(TICS) - LATER
    assert f"with {missing} of {len(TICS)} targets missing" in str(caught.value)
    state = last_state(prefect_server, "nightly")
    assert (state["type"], state["name"]) == ("FAILED", "Deferred")
    assert f"{missing} of {len(TICS)} targets missing" in state["message"]

    told = json.loads(run("status", "--config", config, "--json").stdout)
    assert [note["work"] for note in told["deferred"]] == ["nightly", "tess/s0001/spoc-120s"]
    assert told["sectors"][0]["deferred"]["missing_targets"] == missing
    assert f"deferred since {told['deferred'][0]['since']}: nightly" in run("status", "--config", config).stdout

    still_out = run("nightly", "--config", config)
    assert still_out.exit_code == 1
    assert "No archive says which sectors there are, tess/s0001/spoc-120s is ingested in part" in still_out.stderr
    assert stored_targets(overrides) == stored

    halting_archive.set_faults(Faults())
    back = time.time()
    night = nightly(overrides=overrides)
    (done,) = night["sectors"]
    assert done["ingest"]["status"]["stored"] == len(TICS)
    delivered = done["ingest"]["archives"]
    assert (delivered["cloud"]["targets"], delivered["mast"]["targets"]) == (len(TICS), 0)
    assert delivered["cloud"]["requests"] >= missing
    assert done["sweep"]["n_targets"] == len(TICS)
    assert done["matches"]["deferred"] == {}
    assert {catalogue["state"] for catalogue in night["catalogues"]} == {"updated"}
    assert not stored.intersection(downloads(halting_archive, back))
    assert deferrals(Root(overrides["root"])) == []

    before, at = contents(overrides["root"]), time.time()
    late = nightly(overrides=overrides)
    assert late["sectors"] == []
    assert {catalogue["state"] for catalogue in late["catalogues"]} == {"fresh"}
    asked = [request["face"] for request in halting_archive.requests() if request["start"] > at]
    assert sorted(asked) == ["cloud-list", "index"]
    assert contents(overrides["root"]) == before
    told = json.loads(run("status", "--config", config, "--json").stdout)
    (sector,) = told["sectors"]
    assert sector["archives"] == {"cloud": len(TICS)}
    assert sector["published_is_current"] is True
    assert (told["leases"], told["deferred"]) == ([], [])
    assert {row["state"] for row in told["catalogues"]} == {"fresh"}
    assert tree(tmp_path / "root" / "lightcurves") == undisturbed(overrides, tmp_path / "other")


def test_a_second_night_ends_at_once_and_names_the_first(archive, chosen):
    overrides = chosen(archive)
    with lease.hold(Root(overrides["root"]), "nightly", 10):
        with pytest.raises(RunDeferred, match=rf"process {os.getpid()} on"):
            nightly(overrides=overrides)
        assert archive.requests() == []
    with lease.hold(Root(overrides["root"]), "ingest", 10), pytest.raises(RunDeferred, match="holds the lease ingest"):
        ingest(sector=1, overrides=overrides)
    assert deferrals(Root(overrides["root"])) == []


def test_nights_ask_again_for_what_was_unreachable(archive, chosen, tmp_path):
    """Each night once, until it is there; the sector is then swept anew. Settings of another time are no failure."""
    overrides = chosen(archive, **HASTY | {"order": ["cloud"], "outage_failures": 100})
    archive.set_faults(Faults(always={103: "503", 105: "503", 106: "truncated"}, retry_after_s=0.0))
    (first,) = ingest(overrides=overrides)["products"]
    assert first["status"]["stored"] == len(TICS) - 3

    def asked_by(run, faults):
        archive.set_faults(Faults(always=faults, retry_after_s=0.0))
        at = time.time()
        return run(overrides=overrides), sorted(set(downloads(archive, at)))

    changed = overrides | {"ingest": RULES | {"min_good_cadences": 11}}
    told = ingest(overrides=changed)
    assert told["products"] == []
    assert [failed["product"] for failed in told["failed"]] == [str(PRODUCT)]
    assert "min_good_cadences" in told["failed"][0]["reason"]

    night, asked = asked_by(nightly, {103: "503"})
    assert asked == [103, 105, 106]
    (done,) = night["sectors"]
    assert done["ingest"]["status"]["unreachable"] == 1
    (repaired,), asked = asked_by(lambda overrides: ingest(overrides=overrides)["products"], {})
    assert asked == [103]
    assert repaired["status"]["stored"] == len(TICS)
    night, asked = asked_by(nightly, {})
    assert asked == []
    assert night["sectors"][0]["ingest"] is None
    assert night["sectors"][0]["sweep"]["run"] != done["sweep"]["run"]
    assert tree(tmp_path / "root" / "lightcurves") == undisturbed(overrides, tmp_path / "other")


def test_an_archive_that_is_killed_and_comes_back(halting_archive, chosen, tmp_path, caplog, monkeypatch):
    """Within patience; and the person who waits meanwhile is told why."""
    monkeypatch.setattr(flows.sources, "LOOK_S", 0.05)
    overrides = chosen(halting_archive, connect_timeout_s=1.0, max_backoff_s=0.5, attempts=40)

    def told():
        return [record.getMessage() for record in caplog.records if record.name == "flows.sources"]

    def restart():
        halting_archive.kill()
        deadline = time.monotonic() + 60
        while not told() and time.monotonic() < deadline:
            time.sleep(0.05)
        halting_archive.faults = Faults()
        halting_archive.start()
        return stored_targets(overrides), time.time()

    with when_stored(overrides, 2, restart) as happened:
        result = ingest(sector=1, overrides=overrides)
    ((stored, back),) = happened
    assert result["status"]["stored"] == len(TICS)
    assert sum(said["failures"] for said in result["archives"].values()) > 0
    assert told()[0].startswith("cloud does not serve now (out): http://127.0.0.1")
    assert "cloud serves again" in told()
    assert stored == set(TICS) - LATER
    assert not stored.intersection(downloads(halting_archive, back))
    assert tree(tmp_path / "root" / "lightcurves") == undisturbed(overrides, tmp_path / "other")


class DeadlyCloud(CloudArchive):
    """Kills the first worker process that asks for the last star."""

    def fetch(self, product, target):
        marker = Path(os.environ["LOOPBACK_MARKER"])
        in_worker = multiprocessing.parent_process() is not None
        if in_worker and target.star.target_id == TICS[-1] and not marker.exists():
            marker.touch()
            os.kill(os.getpid(), signal.SIGKILL)
        return super().fetch(product, target)


FLOW = "import json, sys; from flows.ingest import ingest; ingest(sector=1, overrides=json.loads(sys.argv[1]))"


def test_a_flow_that_is_killed_and_then_a_worker(halting_archive, chosen, one_worker, tmp_path, monkeypatch):
    """The lease of a dead flow is taken over at once, and the permits of a dead worker are given to the next."""
    overrides = chosen(halting_archive, cluster=one_worker, order=["cloud"], cloud_connections=2)
    child = subprocess.Popen([sys.executable, "-c", FLOW, json.dumps(overrides)], stderr=subprocess.DEVNULL)
    try:
        with when_stored(overrides, 1, child.kill) as happened:
            assert child.wait(120) == -signal.SIGKILL
    finally:
        child.kill()
    assert happened
    halting_archive.set_faults(Faults())
    settled = settle(halting_archive)
    stored = stored_targets(overrides)
    assert len(stored) < len(TICS)

    monkeypatch.setenv("LOOPBACK_MARKER", str(tmp_path / "killed"))
    monkeypatch.setattr(
        flows.sources, "open_archives", lambda _, settings, budget="": (DeadlyCloud(settings.archives, budget),)
    )
    result = ingest(sector=1, overrides=overrides)
    assert (tmp_path / "killed").exists()
    assert result["status"]["stored"] == len(TICS)
    assert not stored.intersection(downloads(halting_archive, settled))
    assert halting_archive.most_at_once("cloud")[0] <= 2
    assert tree(tmp_path / "root" / "lightcurves") == undisturbed(overrides, tmp_path / "other")


def settle(server, quiet_s=2.0):
    """Wait until nobody asks any more, and return when that was: workers outlive their flow by a moment."""
    while True:
        now = time.time()
        if all(request["end"] and request["end"] < now - quiet_s for request in server.requests()):
            return now
        time.sleep(0.2)

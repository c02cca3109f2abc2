"""A sector from the archive on loopback with every kind of fault: each target is stored, or named with its reason."""

import contextlib
from collections import Counter

import pytest
from tiny_sector import PRODUCT, SETTINGS, tree

from larun import ledger
from larun.archive.budget_server import BudgetServer
from larun.config import load
from larun.errors import ArchiveOutage
from larun.objects import Root
from larun.survey.archives import open_archives
from larun.survey.ingest import IngestWork, ingest_shards, start_ingest
from larun.survey.repair import repairable
from tests.loopback import Faults, Library, Loopback

HASTE = {"backoff_s": 0.01, "max_backoff_s": 1.0, "read_timeout_s": 1.0, "connect_timeout_s": 2.0, "attempts": 3,
         "patience_s": 3.0, "requests_per_s": 2000.0, "outage_failures": 3}  # fmt: skip
SOUND = ("all-nan", "short-table")
"""What an archive may really hold: whole files with right checksums and too few good cadences."""
KINDS = tuple(kind for kind in Faults.kinds if kind not in ("executing", "error", "redirect"))
"""Kinds that leave a download without its product."""
TICS = range(101, 101 + 4 * 8)
SICK = dict(zip(TICS, KINDS, strict=False))


@pytest.fixture(scope="module")
def server():
    with Loopback(Library.tiny(TICS)) as server:
        yield server


@pytest.fixture(autouse=True)
def healthy(server):
    server.set_faults(Faults())


@contextlib.contextmanager
def opened(spec, server):
    """Archives of one run, with a request budget of its own."""
    overrides = server.overrides()
    settings = load(**overrides | {"archives": overrides["archives"] | HASTE})
    with BudgetServer(settings.archives) as budget:
        yield open_archives(spec, settings, budget.address)


def begun(place, archives):
    """A root with the plan of the sector, made while the archive is healthy."""
    root = Root(str(place))
    return root, start_ingest(root, archives, PRODUCT, SETTINGS)


def ingest(root, archives, plan, **changes):
    shards = changes.pop("shards", range(plan.n_shards))
    return ingest_shards(IngestWork.of(root, archives, plan, shards, SETTINGS, **changes))


def asked_for(server):
    """Downloads by target so far."""
    return Counter(r["target"] for r in server.requests() if r["method"] == "GET" and r["face"] in ("mast", "cloud"))


def outcomes(root):
    return {o.target_id: o for record in ledger.records(root, PRODUCT) for o in record.outcomes}


@pytest.fixture(scope="module")
def undisturbed(server, tmp_path_factory):
    """Store of an ingest from `mast` without faults."""
    server.set_faults(Faults())
    place = tmp_path_factory.mktemp("undisturbed")
    with opened("mast", server) as archives:
        root, plan = begun(place, archives)
        ingest(root, archives, plan)
    return tree(place)


@pytest.fixture
def mast(server):
    with opened("mast", server) as archives:
        yield archives


def test_a_fault_that_passes_leaves_no_trace(server, mast, undisturbed, tmp_path):
    root, plan = begun(tmp_path, mast)
    passing = {tic: [kind] for tic, kind in SICK.items() if kind not in (*SOUND, "404", "403")}
    server.set_faults(Faults(script=passing, retry_after_s=-1))
    counts = ingest(root, mast, plan)
    assert counts["stored"] == len(TICS)
    assert tree(tmp_path) == undisturbed


STATUS = {"404": "absent", **dict.fromkeys(SOUND, "rejected")} | dict.fromkeys(
    ("truncated-open", "bit-flip", "bit-rot", "other-star", "html", "duplicate-rows"), "corrupt"
)


def test_a_fault_that_stays_is_named_and_repaired_when_it_is_gone(server, mast, undisturbed, tmp_path):
    root, plan = begun(tmp_path, mast)
    server.set_faults(Faults(always=SICK, retry_after_s=-1))
    ingest(root, mast, plan)
    found = outcomes(root)
    assert {tic: found[tic].status for tic in SICK} == {
        tic: STATUS.get(kind, "unreachable") for tic, kind in SICK.items()
    }
    assert all(found[tic].status == "stored" for tic in TICS if tic not in SICK)
    for tic, word in {"503": "503", "html": "HTML", "other-star": "another product", "404": "404"}.items():
        assert word in next(found[t].reason for t, kind in SICK.items() if kind == tic)
    assert not any(str(tmp_path) in o.reason for o in found.values())

    before = asked_for(server)
    server.set_faults(Faults())
    ingest(root, mast, plan, shards=repairable(root, plan), repair=True)
    asked = asked_for(server) - before
    assert set(asked) == {tic for tic in SICK if found[tic].status in ("corrupt", "unreachable")}
    assert set(asked.values()) == {1}
    assert ledger.counts(root, PRODUCT).by_status["stored"] == len(TICS) - 3

    final = [t for t, kind in SICK.items() if STATUS.get(kind) in ("absent", "rejected")]
    other_shards = [
        index for index in range(plan.n_shards) if not {t.star.target_id for t in plan.shard(index)} & set(final)
    ]
    assert other_shards
    mine = tree(tmp_path)
    for index in other_shards:
        names = [n for n in undisturbed if f"/c/{index}" in n or n.endswith(f"records/{index:06d}.json")]
        assert len(names) > 10
        assert {n: mine[n] for n in names} == {n: undisturbed[n] for n in names}
    assert not [n for n in mine if "quarantine" in n or "/repairs/" in n]


def test_what_one_archive_lacks_or_damages_comes_from_the_next(server, tmp_path):
    always = {f"cloud:{tic}": kind for tic, kind in SICK.items() if kind not in SOUND}
    with opened("cloud,mast", server) as archives:
        root, plan = begun(tmp_path, archives)
        server.set_faults(Faults(always=always, retry_after_s=-1))
        ingest(root, archives, plan)
    counts = ledger.counts(root, PRODUCT)
    assert counts.by_status["stored"] == len(TICS)
    assert counts.by_archive == {"cloud": len(TICS) - len(always), "mast": len(always)}


def test_an_archive_that_goes_down_ends_the_run_and_the_next_asks_for_the_rest_alone(
    server, mast, undisturbed, tmp_path, monkeypatch
):
    root, plan = begun(tmp_path, mast)
    write = ledger.write_record

    def end_of_shift(root, product, record):
        write(root, product, record)
        if record.shard == 1:
            server.set_faults(Faults(always={"mast": "503"}, retry_after_s=-1))

    with monkeypatch.context() as patch:
        patch.setattr("larun.survey.ingest.write_record", end_of_shift)
        patch.setattr("larun.survey.shard.LOOK_AHEAD", 2)
        with pytest.raises(ArchiveOutage):
            ingest(root, mast, plan)
    assert ledger.recorded(root, PRODUCT) == [0, 1]
    server.set_faults(Faults())
    before = asked_for(server)
    with opened("mast", server) as archives:
        ingest(root, archives, plan)
    assert asked_for(server) - before == Counter(target.star.target_id for target in plan.targets[8:])
    assert tree(tmp_path) == undisturbed

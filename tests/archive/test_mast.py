"""The archive `mast` against the archive on loopback."""

import pickle
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

import larun.config
from larun.archive.mast import MastArchive
from larun.archive.protocol import Archive, Discoverer
from larun.errors import ArchiveOutage, ArchiveRefused, InputError, ProductAbsent, ProductUnreachable
from larun.lightcurve import Star
from larun.paths import Product
from larun.plan import PlannedTarget
from tests.archive.stub import Stub, reply
from tests.loopback import Faults, Library, Loopback
from tests.tiny_sector import PRODUCT, file_name

TICS = tuple(range(100, 130))


def settings(server, **changes):
    overrides = server.overrides()
    quick = {"attempts": 5, "backoff_s": 0.02, "read_timeout_s": 1.0, "requests_per_s": 1e5}
    overrides["archives"] = overrides["archives"] | quick | changes
    return larun.config.load(**overrides).archives


def target(tic: int, product: str | None = None) -> PlannedTarget:
    return PlannedTarget(Star(tic), file_name(tic) if product is None else product)


@pytest.fixture(scope="module")
def server():
    faults = Faults(always={101: "404", 102: "500"}, script={103: ["503", "reset"]}, retry_after_s=0.1)
    with Loopback(Library.tiny(TICS), faults) as server:
        yield server


@pytest.fixture
def archive(server):
    archive = MastArchive(settings(server))
    yield archive
    archive.close()


def test_it_is_an_archive_that_is_cheap_to_pickle(archive, server):
    archive.fetch(PRODUCT, target(100))
    assert isinstance(archive, Archive)
    assert isinstance(archive, Discoverer)
    copy = pickle.loads(pickle.dumps(archive))
    assert len(pickle.dumps(archive)) < 3000
    assert copy.fetch(PRODUCT, target(100)).data == server.library.content(file_name(100))
    copy.close()


def test_bytes_and_source_of_a_product(archive, server):
    fetched = archive.fetch(PRODUCT, target(100))
    assert fetched.data == server.library.content(file_name(100))
    assert fetched.source == f"{server.url}/api/v0.1/Download/file?uri=mast:TESS/product/{file_name(100)}"


def test_a_product_that_is_not_there(archive):
    with pytest.raises(ProductAbsent, match=r"MAST has no tess2018206045859-s0001-0+101-"):
        archive.fetch(PRODUCT, target(101))
    with pytest.raises(ProductAbsent):
        archive.fetch(PRODUCT, target(999))


def test_a_product_that_never_comes(archive):
    archive.fetch(PRODUCT, target(100))
    with pytest.raises(ProductUnreachable, match="answers 500, the last of 5 attempts"):
        archive.fetch(PRODUCT, target(102))


def test_a_product_that_comes_in_the_end(archive, server):
    assert archive.fetch(PRODUCT, target(103)).data == server.library.content(file_name(103))


def test_a_target_without_a_name_is_found_by_the_rule_of_its_sector(archive, server):
    assert archive.fetch(PRODUCT, target(104, "")).data == server.library.content(file_name(104))


def test_a_folder_in_the_name_of_a_planned_product_does_not_matter(archive, server):
    assert archive.fetch(PRODUCT, target(104, f"elsewhere/{file_name(104)}")).source.endswith(file_name(104))


def test_an_unknown_sector_says_which_there_are(archive):
    with pytest.raises(InputError, match=r"MAST holds no tess/s0099/spoc-120s; there are sectors 1$"):
        archive.targets(Product("tess", 99, "spoc", 120))


def test_other_missions_have_no_sectors_here(archive):
    assert archive.sectors("kepler", "kepler", 1765) == []


def test_without_a_list_one_query_gives_the_targets():
    with Loopback(Library.tiny([11, 12]), Faults(always={"list": "404"})) as server:
        archive = MastArchive(settings(server))
        found = archive.targets(PRODUCT)
        archive.close()
        assert [t.product for t in found] == [file_name(11), file_name(12)]
        assert [r["service"] for r in server.requests("invoke")] == ["Mast.Caom.Filtered"]


def test_a_list_that_is_not_to_be_had_is_an_outage():
    with Stub(lambda head: [reply(500)]) as stub:
        rules = larun.config.load(
            archives={"mast_url": stub.url, "lists_url": stub.url, "attempts": 2, "backoff_s": 0.01, "patience_s": 0.2}
        ).archives
        archive = MastArchive(rules)
        for question in (lambda: archive.targets(PRODUCT), lambda: archive.sectors("tess", "spoc", 120)):
            with pytest.raises(ArchiveOutage, match=r"does not serve: .* http://127\.0\.0\.1"):
                question()
        archive.close()


@pytest.mark.parametrize(
    "answer",
    [reply(403), reply(500), reply(200, b"<html>log in</html>"), None],
    ids=["refused", "500", "web page", "hung up"],
)
def test_lists_that_another_host_does_not_give_are_asked_of_mast(answer):
    with Loopback(Library.tiny([11, 12])) as server, Stub(lambda head: [answer]) as lists:
        archive = MastArchive(settings(server, lists_url=lists.url, outage_failures=2, backoff_s=0.005))
        start = time.monotonic()
        found = archive.targets(PRODUCT)
        archive.close()
        assert [t.product for t in found] == [file_name(11), file_name(12)]
        assert found.source == f"{server.url}/api/v0/invoke"
        assert time.monotonic() - start < 10.0, "there is another way, so that nobody waits for patience to end"


def test_a_web_page_for_every_question_is_a_proxy_and_no_outage():
    with Stub(lambda head: [reply(200, b"<html>log in</html>")]) as stub:
        rules = larun.config.load(
            archives={"mast_url": stub.url, "lists_url": stub.url, "attempts": 1, "backoff_s": 0.01}
        ).archives
        archive = MastArchive(rules)
        with pytest.raises(ArchiveRefused, match="should be a list of downloads, and a web page came"):
            archive.targets(PRODUCT)
        archive.close()


def test_connections_stay_within_the_limit_with_every_third_request_failing():
    """With faults that break connections, and more threads than connections."""
    broken = ("429", "500", "503", "truncated", "truncated-chunked", "reset", "empty", "redirect")
    faults = Faults(rate=0.3, mix=broken, seed=3, retry_after_s=-1)
    with Loopback(Library.tiny(TICS), faults) as server:
        archive = MastArchive(settings(server, mast_connections=4, attempts=12, outage_failures=30))
        with ThreadPoolExecutor(9) as pool:
            fetched = list(pool.map(lambda tic: archive.fetch(PRODUCT, target(tic)).data, TICS * 2))
        archive.close()
        assert fetched == [server.library.content(file_name(tic)) for tic in TICS * 2]
        assert server.most_at_once()[0] <= 4
        assert any(request["fault"] for request in server.requests())


def test_a_service_that_is_killed_and_comes_back():
    import threading

    with Loopback(Library.tiny(TICS)) as server:
        archive = MastArchive(settings(server, attempts=4, outage_failures=4, max_backoff_s=0.2))
        archive.fetch(PRODUCT, target(100))
        server.kill()
        back = threading.Timer(1.5, server.start)
        back.start()
        with ThreadPoolExecutor(4) as pool:
            fetched = list(pool.map(lambda tic: archive.fetch(PRODUCT, target(tic)).data, TICS))
        back.join()
        archive.close()
        assert fetched == [server.library.content(file_name(tic)) for tic in TICS]

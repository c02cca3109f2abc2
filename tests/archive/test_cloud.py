"""The archive `cloud` against the bucket of the archive on loopback, and against buckets that refuse."""

import pickle

import pytest

import larun.config
from larun.archive import cloud
from larun.archive.cloud import CloudArchive
from larun.archive.names import bucket_key
from larun.archive.protocol import Archive, Discoverer
from larun.errors import ArchiveOutage, ArchiveRefused, InputError, ProductAbsent, ProductUnreachable
from larun.lightcurve import Star
from larun.paths import Product
from larun.plan import PlannedTarget
from tests.archive.stub import Stub, reply
from tests.loopback import Faults, Library, Loopback
from tests.tiny_sector import PRODUCT, file_name

DENIED = b'<?xml version="1.0"?><Error><Code>AccessDenied</Code><Message>Access Denied</Message></Error>'
MISSING = b'<?xml version="1.0"?><Error><Code>NoSuchKey</Code><Message>no</Message></Error>'


def settings(url: str, **changes):
    quick = {"attempts": 2, "backoff_s": 0.01, "requests_per_s": 1e5, "cloud_url": f"{url}/stpubdata"}
    return larun.config.load(archives=quick | {"mast_url": url, "lists_url": url} | changes).archives


def target(tic: int) -> PlannedTarget:
    return PlannedTarget(Star(tic), file_name(tic))


@pytest.fixture(scope="module")
def server():
    library = Library.tiny([11, 12, 13]) + Library.tiny([14], sector=30)
    with Loopback(library, Faults(script={"cloud:13": ["403"]})) as server:
        yield server


@pytest.fixture
def archive(server):
    archive = CloudArchive(settings(server.url))
    yield archive
    archive.close()


def listing_of(*keys: str, prefixes: tuple[str, ...] = ()) -> bytes:
    found = "".join(f"<Contents><Key>{key}</Key></Contents>" for key in keys)
    found += "".join(f"<CommonPrefixes><Prefix>{prefix}</Prefix></CommonPrefixes>" for prefix in prefixes)
    return (
        '<?xml version="1.0"?><ListBucketResult xmlns="http://s3.amazonaws.com/doc/2006-03-01/">'
        f"<IsTruncated>false</IsTruncated>{found}</ListBucketResult>"
    ).encode()


def bucket(answer_object: bytes, answer_listing: bytes):
    return Stub(lambda head: [answer_listing if "list-type=2" in head.split()[1] else answer_object])


def test_it_is_an_archive_that_is_cheap_to_pickle(archive, server):
    assert isinstance(archive, Archive)
    assert isinstance(archive, Discoverer)
    fetched = archive.fetch(PRODUCT, target(11))
    assert fetched.data == server.library.content(file_name(11))
    assert fetched.source == f"{server.url}/stpubdata/tess/public/tid/s0001/0000/0000/0000/0011/{file_name(11)}"
    copy = pickle.loads(pickle.dumps(archive))
    assert copy.fetch(PRODUCT, target(12)).data == server.library.content(file_name(12))
    copy.close()


def test_a_key_that_is_not_there(archive):
    with pytest.raises(ProductAbsent, match=r"no tess/public/tid/s0001/0000/0000/0000/0099/.* \(status 404\)"):
        archive.fetch(PRODUCT, target(99))


def test_a_passing_403_of_a_key_that_is_there(archive, server):
    assert archive.fetch(PRODUCT, target(13)).data == server.library.content(file_name(13))


def test_a_403_of_a_key_that_the_listing_does_not_have_is_absent():
    with bucket(reply(403, DENIED), reply(200, listing_of())) as stub:
        archive = CloudArchive(settings(stub.url))
        with pytest.raises(ProductAbsent, match="status 403"):
            archive.fetch(PRODUCT, target(11))
        archive.close()


def test_a_404_by_code_is_absent():
    with bucket(reply(404, MISSING), b"") as stub:
        archive = CloudArchive(settings(stub.url))
        with pytest.raises(ProductAbsent, match="status 404"):
            archive.fetch(PRODUCT, target(11))
        archive.close()


def test_a_private_bucket_is_refused_with_its_reason():
    with bucket(reply(403, DENIED), reply(403, DENIED)) as stub:
        archive = CloudArchive(settings(stub.url))
        for question in (lambda: archive.fetch(PRODUCT, target(11)), lambda: archive.sectors("tess", "spoc", 120)):
            with pytest.raises(ArchiveRefused, match=r"stpubdata cannot be listed .*AccessDenied.*archives\.cloud_url"):
                question()
        archive.close()


def test_an_object_that_exists_and_is_not_public():
    with bucket(reply(403, DENIED), reply(200, listing_of(bucket_key(file_name(11))))) as stub:
        archive = CloudArchive(settings(stub.url))
        with pytest.raises((ArchiveRefused, ProductUnreachable), match="answers 403"):
            archive.fetch(PRODUCT, target(11))
        archive.close()


def test_targets_by_the_bulk_list_or_by_listing_the_bucket():
    with Loopback(Library.tiny([11, 12, 13])) as server:
        archive = CloudArchive(settings(server.url))
        by_list = archive.targets(PRODUCT)
        archive.close()
    with Loopback(Library.tiny([11, 12, 13]), Faults(always={"list": "500"})) as server:
        archive = CloudArchive(settings(server.url))
        by_bucket = archive.targets(PRODUCT)
        archive.close()
    assert by_list.source.endswith("tesscurl_sector_1_lc.sh")
    assert by_bucket.source.endswith("/stpubdata/tess/public/tid/s0001/")
    assert [t.product for t in by_bucket] == [t.product for t in by_list] == [file_name(t) for t in (11, 12, 13)]


def test_a_listing_of_several_pages(archive, server, monkeypatch):
    monkeypatch.setattr(cloud, "PAGE_KEYS", 2)
    found = archive._listed(PRODUCT)
    assert [t.star.target_id for t in found] == [11, 12, 13]


def test_sectors_by_the_folders_of_the_bucket(archive):
    assert archive.sectors("tess", "spoc", 120) == [1, 30]
    assert archive.sectors("tess", "spoc", 20) == [30]
    assert archive.sectors("tess", "qlp", 600) == []
    assert archive.sectors("k2", "k2", 1765) == []


def test_an_unknown_sector_says_which_there_are(archive):
    with pytest.raises(InputError, match=r"holds no tess/s0099/spoc-120s; there are sectors 1, 30$"):
        archive.targets(Product("tess", 99, "spoc", 120))


@pytest.mark.parametrize("body", [b"{}", b"<Other/>", b"<ListBucketResult>"])
def test_something_else_than_a_listing_is_an_outage(body):
    with bucket(b"", reply(200, body)) as stub:
        archive = CloudArchive(settings(stub.url))
        with pytest.raises(ArchiveOutage, match="should be a listing of the bucket"):
            archive.sectors("tess", "spoc", 120)
        archive.close()


def test_a_web_page_in_place_of_a_listing_is_refused():
    with bucket(b"", reply(200, b"<html>log in</html>", "Content-Type: text/html")) as stub:
        archive = CloudArchive(settings(stub.url))
        with pytest.raises(ArchiveRefused, match="a web page came"):
            archive.sectors("tess", "spoc", 120)
        archive.close()

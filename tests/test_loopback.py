"""The archive on loopback does what it says: seen with urllib3, with raw sockets and with astropy."""

import email.utils
import io
import socket
import struct
import time
from itertools import pairwise
from xml.etree import ElementTree as ET

import numpy as np
import pytest
import urllib3
from astropy.io import fits

from larun.archive.decode import decode
from larun.lightcurve import Star
from larun.plan import PlannedTarget, order_targets
from tests import tiny_sector
from tests.loopback import Faults, Library, Loopback, Outage
from tests.loopback.faults import Course

A, B, C = 11, 12, 13
TINY = Library.tiny([A, B, C])


@pytest.fixture(scope="module")
def server():
    with Loopback(TINY) as running:
        yield running


@pytest.fixture
def http():
    with urllib3.PoolManager(timeout=5.0, retries=False) as pool:
        yield pool


def held(tic: int, library: Library = TINY):
    return next(item for item in library.held if item.target_id == tic)


def download(server, tic: int) -> str:
    return f"{server.url}/api/v0.1/Download/file?uri={held(tic, server.library).uri}"


def cloud(server, tic: int) -> str:
    return f"{server.url}/stpubdata/{held(tic, server.library).key}"


def raw_get(url: str) -> socket.socket:
    """Socket on which a GET was sent and nothing read yet."""
    host, _, path = url.removeprefix("http://").partition("/")
    sock = socket.create_connection((host.partition(":")[0], int(host.partition(":")[2])), timeout=5)
    sock.sendall(f"GET /{path} HTTP/1.1\r\nHost: {host}\r\n\r\n".encode())
    return sock


def read_all(sock: socket.socket) -> bytes:
    with sock:
        return b"".join(iter(lambda: sock.recv(65536), b""))


def checked(data: bytes) -> fits.HDUList:
    """The file as astropy reads it.

    Each HDU must carry a CHECKSUM and the sum of its words must be all ones, that is a multiple of 2^32 - 1 (FITS
    4.0, 4.4.2.7); astropy verifies no HDU that has no DATASUM.
    """
    hdus = fits.open(io.BytesIO(data))
    for hdu in hdus:
        info = hdu.fileinfo()
        words = data[info["hdrLoc"] : info["datLoc"] + info["datSpan"]]
        assert "CHECKSUM" in hdu.header
        assert sum(struct.unpack(f">{len(words) // 4}I", words)) % (2**32 - 1) == 0
        if "DATASUM" in hdu.header:
            assert hdu.verify_datasum() == 1
    assert sum(hdu.filebytes() for hdu in hdus) == len(data)
    return hdus


def test_downloads_are_the_files_of_the_tiny_sector(server, http, tmp_path):
    expected = next(tiny_sector.write_folder(tmp_path, [B]).iterdir()).read_bytes()
    assert http.request("GET", download(server, B)).data == expected
    assert http.request("GET", download(server, B).replace("file?", "file/?")).data == expected
    assert http.request("GET", cloud(server, B)).data == expected
    head = http.request("HEAD", download(server, B))
    assert (head.status, head.headers["content-length"], head.data) == (200, str(len(expected)), b"")
    assert http.request("GET", download(server, B).replace("0012", "0099")).status == 404
    missing = http.request("GET", cloud(server, B).replace("0012", "0099"))
    assert missing.status == 404
    assert b"<Code>NoSuchKey</Code>" in missing.data


STATUS = ("403", "404", "429", "429-date", "500", "502", "503", "503-date", "504")


@pytest.mark.parametrize("kind", STATUS)
@pytest.mark.parametrize("place", [download, cloud])
def test_status_faults(server, http, kind, place):
    server.set_faults(Faults(always={A: kind}, retry_after_s=7))
    before = time.time()
    answer = http.request("GET", place(server, A))
    assert answer.status == int(kind[:3])
    wait = answer.headers.get("retry-after")
    if kind.endswith("-date"):
        assert 6 < email.utils.parsedate_to_datetime(wait).timestamp() - before < 9
    else:
        assert wait == ("7" if kind in ("429", "503") else None)
    assert http.request("GET", place(server, B)).status == 200


def test_answers_that_end_too_early(server, http):
    whole = TINY.content(held(A))
    kinds = ["truncated", "truncated-chunked", "truncated-open", "reset", "stall"]
    server.set_faults(Faults(script={A: [k for k in kinds for _ in range(2)]}))
    for kind in kinds[:2]:
        with pytest.raises(urllib3.exceptions.ProtocolError, match="IncompleteRead"):
            http.request("GET", download(server, A))
        headers, _, body = read_all(raw_get(download(server, A))).partition(b"\r\n\r\n")
        assert (f"content-length: {len(whole)}".encode() in headers.lower()) == (kind == "truncated")
        assert whole[: len(whole) // 2].startswith(body) or kind == "truncated-chunked"

    answer = http.request("GET", download(server, A))
    assert (answer.status, answer.data) == (200, whole[: len(whole) // 2])
    assert b"content-length" not in read_all(raw_get(download(server, A))).lower()

    for _ in range(2):
        with pytest.raises(ConnectionResetError):
            read_all(raw_get(download(server, A)))

    sock = raw_get(download(server, A))
    sock.settimeout(0.4)
    came = bytearray()
    with pytest.raises(TimeoutError):
        _ = [came.extend(more) for more in iter(lambda: sock.recv(65536), b"")]
    assert came.partition(b"\r\n\r\n")[2] == whole[: len(whole) // 2]
    sock.close()


def test_answers_that_are_something_else(server, http):
    server.set_faults(Faults(script={A: ["html", "empty", "executing", "error"]}))
    html = http.request("GET", download(server, A))
    assert (html.status, html.headers["content-type"].split(";")[0]) == (200, "text/html")
    assert html.data.startswith(b"<!DOCTYPE html>")
    empty = http.request("GET", download(server, A))
    assert (empty.status, empty.headers["content-length"], empty.data) == (200, "0", b"")
    for _ in range(2):
        assert http.request("GET", download(server, A)).data == TINY.content(held(A)), "only `invoke` knows these"


def differing_bits(one: bytes, two: bytes) -> list[int]:
    a, b = (np.unpackbits(np.frombuffer(data, np.uint8)) for data in (one, two))
    return np.flatnonzero(a != b).tolist()


def test_inverted_bits(server, http):
    whole = TINY.content(held(A))
    server.set_faults(Faults(always={A: "bit-flip", B: "bit-rot"}))
    flips = [differing_bits(whole, http.request("GET", download(server, A)).data) for _ in range(4)]
    assert {len(bits) for bits in flips} == {1}
    assert len({bits[0] for bits in flips}) > 1
    rotten = {http.request("GET", place(server, B)).data for place in (download, cloud) for _ in range(2)}
    assert len(rotten) == 1
    assert len(differing_bits(rotten.pop(), TINY.content(held(B)))) == 1


def tables_of(data: bytes) -> np.ndarray:
    return checked(data)["LIGHTCURVE"].data


@pytest.mark.parametrize("library", [TINY, Library.kepler()], ids=["tess", "kepler"])
def test_damaged_content_has_right_checksums(http, library):
    first, second = library.held[:2]
    with Loopback(
        library, Faults(script={first.name: ["all-nan", "short-table", "duplicate-rows", "other-star"]})
    ) as s:
        url = f"{s.url}/api/v0.1/Download/file?uri={first.uri}"
        nan, short, twice, other = (http.request("GET", url).data for _ in range(4))
    good = tables_of(library.content(first))

    assert np.isnan(tables_of(nan)["PDCSAP_FLUX"]).all()
    assert np.isfinite(good["PDCSAP_FLUX"]).any()
    np.testing.assert_array_equal(tables_of(nan)["TIME"], good["TIME"])

    assert 0 < len(tables_of(short)) <= 0.02 * len(good) + 1
    assert tables_of(short)["CADENCENO"].tolist() == good["CADENCENO"][: len(tables_of(short))].tolist()

    numbers = tables_of(twice)["CADENCENO"]
    assert (len(numbers), len(np.unique(numbers))) == (len(good) + 5, len(good))
    # Nothing but the repetition gives it away.
    _, once = np.unique(numbers, return_index=True)
    for name in good.dtype.names:
        np.testing.assert_array_equal(tables_of(twice)[name][once], good[name])

    if second.author == first.author and second.sector == first.sector:
        assert other == library.content(second)
    else:
        key = "TICID" if first.mission == "tess" else "KEPLERID"
        assert checked(other)[0].header[key] != first.target_id
        np.testing.assert_array_equal(tables_of(other)["TIME"], good["TIME"])


def test_redirects(server, http):
    server.set_faults(Faults(script={A: ["redirect"], B: ["redirect-loop"], C: ["redirect-cycle"]}))
    assert http.request("GET", download(server, A)).status == 302
    server.set_faults(Faults(script={A: ["redirect"], B: ["redirect-loop"], C: ["redirect-cycle"]}))
    assert http.request("GET", download(server, A), retries=3).data == TINY.content(held(A))
    for tic in (B, C):
        with pytest.raises(urllib3.exceptions.MaxRetryError, match="too many redirects"):
            http.request("GET", download(server, tic), retries=12)
        assert http.request("GET", download(server, tic)).status == 200, "the next attempt is a new one"


def test_each_kind_is_tested_here():
    tested = {*STATUS, "truncated", "truncated-open", "truncated-chunked", "reset", "stall", "html", "empty"}
    tested |= {"executing", "error", "bit-flip", "bit-rot", "all-nan", "short-table", "duplicate-rows", "other-star"}
    assert tested | {"redirect", "redirect-loop", "redirect-cycle"} == set(Faults.kinds)


def test_scripts_are_consumed_request_by_request_and_keys_have_an_order(server, http):
    server.set_faults(
        Faults(script={A: ["503", "ok", "404"], f"cloud:{B}": ["500"], held(C).name: ["502"]}, always={"list": "403"})
    )

    def status(url, method="GET"):
        return http.request(method, url).status

    assert [status(download(server, A), m) for m in ("HEAD", "GET", "GET", "HEAD", "GET", "GET")] == [
        200, 503, 200, 200, 404, 200]  # fmt: skip
    assert [status(download(server, B)), status(cloud(server, B)), status(cloud(server, B))] == [200, 500, 200]
    assert [status(cloud(server, C)), status(download(server, C))] == [502, 200]
    assert status(f"{server.url}/missions/tess/download_scripts/sector/tesscurl_sector_1_lc.sh") == 403
    server.set_faults(Faults(always={"mast": "404"}))
    assert [status(download(server, A), "HEAD"), status(download(server, A)), status(cloud(server, A))] == [
        404, 404, 200]  # fmt: skip


def test_a_request_that_is_held_meets_the_faults_of_its_release(http):
    with Loopback(TINY, Faults(held=frozenset({A}), always={B: "404"})) as server:
        waiting = raw_get(download(server, A))
        assert http.request("GET", download(server, B)).status == 404
        assert [request["target"] for request in server.requests()] == [B]
        server.set_faults(Faults(always={A: "502"}))
        assert waiting.recv(12) == b"HTTP/1.1 502"
        waiting.close()
        assert [request["target"] for request in server.requests()] == [B, A]


def test_a_rate_is_drawn_per_target_and_attempt_whatever_the_order():
    faults = Faults(rate=0.3, seed=5, mix=("404", "reset"))
    keys = [(f"mast:{tic}", str(tic), "mast") for tic in range(2000)]

    def drawn(order):
        course = Course(faults)
        return {(key[0], attempt): course.next(key)[0] for attempt in range(2) for key in order}

    one, two = drawn(keys), drawn(keys[::-1])
    assert one == two
    hit = [fault.kind for fault in one.values() if fault]
    assert abs(len(hit) - 1200) < 4 * np.sqrt(4000 * 0.3 * 0.7)
    assert abs(hit.count("404") - len(hit) / 2) < 4 * np.sqrt(len(hit) / 4)
    assert drawn(keys) != {k: Course(Faults(rate=0.3, seed=6)).next((k[0], "mast"))[0] for k in one}
    assert Course(faults).next(("list",))[0] is None


def test_unknown_faults_are_refused():
    with pytest.raises(ValueError, match="'530' is no fault"):
        Faults(script={A: ["530"]})


def test_outages_from_one_second_to_another(http):
    faults = Faults(outages=(Outage(0.0, 30.0, face="cloud"), Outage(2.5, 5.0, "refused")))
    with Loopback(TINY, faults) as server:
        began = time.time()
        away = http.request("GET", cloud(server, A))
        assert (away.status, 20 <= int(away.headers["retry-after"]) <= 30) == (503, True)
        assert http.request("GET", download(server, A)).status == 200
        idle = socket.create_connection(("127.0.0.1", server.port), timeout=5)
        with pytest.raises(ConnectionResetError):
            idle.recv(1)
        with pytest.raises(urllib3.exceptions.NewConnectionError):
            http.request("GET", download(server, A))
        idle.close()
        time.sleep(max(began + 5.5 - time.time(), 0))
        assert http.request("GET", download(server, A)).status == 200


def test_the_log_and_the_script_outlive_sigkill(http):
    with Loopback(TINY, Faults(script={A: ["503", "404"]})) as server:
        assert http.request("GET", download(server, A)).status == 503
        server.latency_s = 30.0
        server.kill()
        with pytest.raises(urllib3.exceptions.NewConnectionError):
            http.request("GET", download(server, A))
        server.start()
        cut = raw_get(download(server, B))
        while len(server.requests()) < 2:
            time.sleep(0.01)
        server.latency_s = 0.0
        server.kill()
        server.start()
        cut.close()
        assert http.request("GET", download(server, A)).status == 404
        assert http.request("GET", download(server, A)).status == 200
        seen = server.requests("mast")
        assert [(r["target"], r["status"], r["fault"]) for r in seen] == [
            (A, 503, "503"), (B, None, ""), (A, 404, "404"), (A, 200, "")]  # fmt: skip
        assert seen[1]["end"] is None
        assert all(r["start"] <= r["end"] for r in seen if r["end"])
        assert len({r["request"] for r in seen}) == 4
        assert [r["connection"] for r in seen][2:] == [2, 2]
        assert seen[3]["sent"] == len(TINY.content(held(A)))


def test_high_water_marks():
    with Loopback(TINY, latency_s=2.0) as server:
        address = ("127.0.0.1", server.port)
        for _ in range(20):
            socket.create_connection(address).close()
        for _ in range(2000):
            if len([e for e in server.log_file.read_text().splitlines() if '"open"' in e]) == 20:
                break
            time.sleep(0.01)
        assert server.most_at_once() == (1, 0)
        open_at_once = [socket.create_connection(address) for _ in range(5)]
        asking = [raw_get(cloud(server, A)) for _ in range(3)] + [raw_get(download(server, A)) for _ in range(2)]
        for sock in asking:
            sock.recv(1)
        assert server.most_at_once() == (10, 5)
        assert server.most_at_once("cloud") == (3, 3)
        assert server.most_at_once("mast") == (2, 2)
        for sock in open_at_once + asking:
            sock.close()


@pytest.fixture(scope="module")
def mission(tmp_path_factory) -> Library:
    return Library.mission(6, distinct=2, days=1.5, folder=tmp_path_factory.mktemp("pool"))


def test_a_mission_is_a_few_curves_relabelled(mission, http):
    with Loopback(mission) as server:
        files = [http.request("GET", cloud(server, item.target_id)).data for item in mission.held]
    for item, data in zip(mission.held, files, strict=True):
        assert data == mission.content(item)
        assert len(data) == item.size
        hdus = checked(data)
        assert [hdu.header.get("TICID", item.target_id) for hdu in hdus] == [item.target_id] * 3
        assert hdus[0].header["OBJECT"] == f"TIC {item.target_id}"
        assert hdus[0].header["SIMDATA"] is False
        assert (hdus[0].header["RA_OBJ"], hdus[0].header["DEC_OBJ"]) == (item.ra, item.dec)
        curve = decode(data)
        assert (curve.author, curve.star.target_id, curve.simulated) == ("spoc", item.target_id, False)
    first, second = (
        [tables_of(data)["PDCSAP_FLUX"] for item, data in zip(mission.held, files, strict=True) if item.content == row]
        for row in (0, 1)
    )
    one, same, other = *first[:2], second[0]
    assert np.sum(~((one == same) | np.isnan(one))) == 1
    assert np.sum(one == other) < 0.01 * len(one)
    assert len({item.name for item in mission.held}) == len({(item.ra, item.dec) for item in mission.held}) == 6


def test_a_whole_sector_of_the_mission_has_the_files_of_sector_1(mission):
    assert [item.name[:23] for item in mission.held] == ["tess2018206045859-s0001"] * 6
    many = Library.mission(2000, distinct=2, days=1.5, folder=mission.pool.files[0].parents[1])
    assert len(many.by_name) == 2000
    assert [(item.name, item.ra, item.dec) for item in many.held[:6]] == [
        (item.name, item.ra, item.dec) for item in mission.held
    ]


@pytest.mark.parametrize("n", [40, 400])
def test_neighbours_have_different_curves_however_many_there_are(mission, n):
    library = Library.mission(n, distinct=2, days=1.5, folder=mission.pool.files[0].parents[1])
    stars = order_targets(PlannedTarget(Star(item.target_id, item.ra, item.dec), "") for item in library.held)
    curves = {item.target_id: item.content for item in library.held}
    assert all(curves[one.star.target_id] != curves[two.star.target_id] for one, two in pairwise(stars))


def test_bulk_lists_and_their_pages(http):
    library = TINY + TINY.under("spoc", 20.0) + TINY.under("qlp", 1800.0) + TINY.under("tess-spoc", 1800.0)
    with Loopback(library + Library.tiny([A], sector=2)) as server:

        def lines(path):
            answer = http.request("GET", server.url + path)
            return answer.data.decode().splitlines() if answer.status == 200 else answer.status

        name = "tess2018206045859-s0001-0000000000000011-0120-s_lc.fits"
        host = "https://mast.stsci.edu/api/v0.1/Download/file/?uri="
        scripts = "/missions/tess/download_scripts/sector"
        spoc = lines(f"{scripts}/tesscurl_sector_1_lc.sh")
        assert spoc[:2] == ["#!/bin/sh", f"curl -C - -L -o {name} {host}mast:TESS/product/{name}"]
        assert len(spoc) == 4
        assert "a_fast-lc.fits" in lines(f"{scripts}/tesscurl_sector_1_fast-lc.sh")[1]
        place = "s0001/target/0000/0000/0000/0011/hlsp_tess-spoc_tess_phot_0000000000000011-s0001_tess_v1_lc.fits"
        folder = "/hlsps/tess-spoc/download_scripts"
        assert lines(f"{folder}/hlsp_tess-spoc_tess_phot_s0001_tess_v1_dl-lc.sh")[1] == (
            f"curl -f --create-dirs --output './{place}' '{host}mast:HLSP/tess-spoc/{place}'"
        )
        assert len(lines("/hlsps/qlp/download_scripts/hlsp_qlp_tess_ffi_s0001_tess_v01_llc-fits.sh")) == 4
        assert lines(f"{scripts}/tesscurl_sector_3_lc.sh") == 404
        index = "".join(lines("/tess/bulk_downloads/bulk_downloads_ffi-tp-lc-dv.html"))
        assert index.count("href=") == 3
        assert f'href="{scripts}/tesscurl_sector_2_lc.sh"' in index
        assert 'href="hlsp_qlp_tess_ffi_s0001_tess_v01_llc-fits.sh"' in "".join(lines("/hlsps/qlp/download_scripts/"))


def test_listing_of_the_bucket_in_pages(http):
    library = TINY + Library.tiny([A], sector=2) + TINY.under("qlp", 1800.0)
    keys = sorted(item.key for item in library.held)
    with Loopback(library) as server:

        def listed(**query) -> tuple[list[str], list[str], str]:
            fields = {"list-type": "2"} | {name.replace("_", "-"): str(value) for name, value in query.items()}
            root = ET.fromstring(http.request("GET", f"{server.url}/stpubdata", fields=fields).data)
            space = "{http://s3.amazonaws.com/doc/2006-03-01/}"
            names = [node.text for node in root.iter(f"{space}Key")]
            folders = [node.text for node in root.findall(f"{space}CommonPrefixes/{space}Prefix")]
            return names, folders, root.findtext(f"{space}NextContinuationToken") or ""

        pages, token = [], ""
        for _ in range(4):
            names, _, token = listed(max_keys=2, **({"continuation_token": token} if token else {}))
            pages.append(names)
        assert pages == [keys[:2], keys[2:4], keys[4:6], keys[6:]]
        assert token == ""
        folders = ["tess/public/tid/s0001/", "tess/public/tid/s0002/"]
        assert listed(prefix="tess/public/tid/", delimiter="/") == ([], folders, "")
        _, first, token = listed(prefix="tess/public/tid/", delimiter="/", max_keys=1)
        assert first == folders[:1]
        after = listed(prefix="tess/public/tid/", delimiter="/", max_keys=1, continuation_token=token)
        assert after == ([], folders[1:], "")


def test_files_of_a_folder_keep_their_bytes(real_data, http):
    library = Library.folder(real_data / "fits")
    names = (
        "tess2018206045859-s0001-0000000261136679-0120-s_lc.fits",
        "hlsp_qlp_tess_ffi_s0002-0000000038846515_tess_v01_llc.fits",
        "kplr011442793-2009350155506_llc.fits",
    )
    with Loopback(library) as server:
        for name in names:
            url = f"{server.url}/api/v0.1/Download/file?uri={library.by_name[name].uri}"
            assert http.request("GET", url).data == (real_data / "fits" / name).read_bytes()
    star = library.by_name[names[0]]
    assert (star.ra, star.magnitude, star.sector) == (84.291187997985200, 5.10540009, 1)
    assert abs(star.start_mjd - 58324.79487730) < 1e-6
    assert (library.by_name[names[2]].sector, library.by_name[names[2]].exposure_s) == (3, 1800.0)

"""Bulk download lists: what they name, and what is refused."""

import hashlib
import logging
from dataclasses import replace

import numpy as np
import pytest

import larun.config
from larun.archive import caom, listing
from larun.archive.http import Client
from larun.archive.listing import read_names
from larun.archive.mast import in_words
from larun.errors import ArchiveRefused, InputError, ProductUnreachable
from larun.paths import Product
from tests.archive.stub import Stub, reply
from tests.loopback import Faults, Library, Loopback
from tests.tiny_sector import file_name

SPOC = Product("tess", 1, "spoc", 120)
FAST = Product("tess", 28, "spoc", 20)
TESS_SPOC = Product("tess", 45, "tess-spoc", 600)
QLP = Product("tess", 11, "qlp", 1800)
DOWNLOAD = "https://mast.stsci.edu/api/v0.1/Download/file/?uri="
FAST_NAME = "tess2020212050318-s0028-0000000261136679-0190-a_fast-lc.fits"
TESS_SPOC_NAME = "hlsp_tess-spoc_tess_phot_0000000016740101-s0045_tess_v1_lc.fits"
QLP_NAME = "hlsp_qlp_tess_ffi_s0011-0000000277554109_tess_v01_llc.fits"


def settings(url: str = "http://127.0.0.1:1", **changes):
    quick = {"attempts": 2, "backoff_s": 0.01, "mast_url": url, "lists_url": url}
    return larun.config.load(archives=quick | changes).archives


def line(name: str, uri: str = "") -> str:
    return f"curl -C - -L -o {name} {DOWNLOAD}{uri or 'mast:TESS/product/' + name}"


def test_a_list_of_the_mission():
    text = "#!/bin/sh\n\n" + "\n".join(line(file_name(tic)) for tic in (12, 11)) + "\n"
    assert read_names(text.encode(), SPOC) == {12: file_name(12), 11: file_name(11)}


@pytest.mark.parametrize(
    ("product", "number", "text"),
    [
        (FAST, 261136679, f"curl -C - -L -o {FAST_NAME} {DOWNLOAD}mast:TESS/product/{FAST_NAME}"),
        (
            TESS_SPOC,
            16740101,
            f"curl -f --create-dirs --output './s0045/{TESS_SPOC_NAME}' '{DOWNLOAD}mast:HLSP/t/{TESS_SPOC_NAME}'",
        ),
        (
            QLP,
            277554109,
            f"curl -f --create-dirs --output './s0011/{QLP_NAME}' '{DOWNLOAD[:-6]}?uri=mast%3AHLSP/q/{QLP_NAME}'",
        ),
    ],
)
def test_lists_of_other_products(product, number, text):
    names = read_names(f"#!/bin/sh\nmkdir -p x\n{text}\n".encode(), product)
    assert list(names) == [number]
    assert names[number] in text


def test_of_two_files_of_one_star_the_later_counts():
    later = file_name(11).replace("tess2018206045859", "tess2019000000000")
    for text in (f"{line(later)}\n{line(file_name(11))}", f"{line(file_name(11))}\n{line(later)}"):
        assert read_names(text.encode(), SPOC) == {11: later}


def test_files_of_other_products_are_left_out_and_counted(caplog):
    others = [file_name(11).replace("_lc", "_tp"), FAST_NAME]
    text = "\n".join(line(name) for name in [*others, file_name(12)])
    with caplog.at_level(logging.WARNING):
        assert list(read_names(text.encode(), SPOC)) == [12]
    assert "2 files that are no light curves of tess/s0001/spoc-120s" in caplog.text


@pytest.mark.parametrize(
    "junk",
    [
        "curl -C - -L -o tess2018206045859-s0001-00000000000",
        "<html><body>Service unavailable</body></html>",
        "\x00\x12\u00e9garbage",
        f"rm -rf / ?uri=mast:TESS/product/{file_name(13)}",
    ],
)
def test_a_line_that_is_no_download_is_refused_by_its_number(junk):
    text = f"#!/bin/sh\n{line(file_name(11))}\n{junk}\n"
    with pytest.raises(InputError, match=r"^http://host/list: line 3 is no download"):
        read_names(text.encode(), SPOC, "http://host/list")


@pytest.mark.parametrize("text", ["", "#!/bin/sh\n", line(FAST_NAME)])
def test_a_list_without_a_light_curve_of_the_product_is_refused(text):
    with pytest.raises(InputError, match="names no light curve of tess/s0001/spoc-120s"):
        read_names(text.encode(), SPOC, "http://host/list")


@pytest.mark.parametrize(
    ("product", "message"),
    [
        (Product("k2", 4, "k2", 1765), "--from lightkurve"),
        (Product("tess", 1, "tasoc", 1800), "spoc .120 s and 20 s., tess-spoc and qlp"),
        (Product("tess", 1, "spoc", 1800), "not of spoc 1800 s"),
        (Product("tess", 30, "qlp", 1800), "sector 30 were taken every 600 s, not every 1800 s"),
    ],
)
def test_products_that_no_list_can_have(product, message):
    with pytest.raises(InputError, match=message):
        listing.require_known(product)


def held(library: Library, number: int, **changes):
    return replace(library.held[number], **changes)


@pytest.fixture(scope="module")
def server():
    tiny = Library.tiny([11, 12, 13])
    fast = held(tiny, 0, name=FAST_NAME, target_id=261136679, sector=28, exposure_s=20.0)
    spoc_ffi = held(tiny, 0, name=TESS_SPOC_NAME, author="tess-spoc", target_id=16740101, sector=45, exposure_s=475.0)
    qlp = held(tiny, 0, name=QLP_NAME, author="qlp", target_id=277554109, sector=11, exposure_s=1800.0)
    library = tiny + Library.tiny([14], sector=2) + Library((fast, spoc_ffi, qlp))
    with Loopback(library, Faults(script={"Mast.Caom.Filtered": ["executing", "error"]})) as server:
        yield server


@pytest.fixture
def client(server):
    client = Client("mast", settings(server.url), "")
    yield client
    client.close()


@pytest.mark.parametrize(
    ("product", "numbers"), [(SPOC, [11, 12, 13]), (FAST, [261136679]), (TESS_SPOC, [16740101]), (QLP, [277554109])]
)
def test_the_list_of_a_sector_with_positions(server, client, product, numbers):
    found = listing.targets(client, client, settings(server.url), product)
    assert [target.star.target_id for target in found] == numbers
    held = {item.name: item for item in server.library.held}
    for target in found:
        assert (target.star.ra, target.star.dec) == (held[target.product].ra, held[target.product].dec)
    raw = client.get(found.source).data
    assert found.sha256 == hashlib.sha256(raw).hexdigest()


@pytest.mark.parametrize(
    ("product", "numbers"), [(SPOC, [11, 12, 13]), (FAST, [261136679]), (TESS_SPOC, [16740101]), (QLP, [277554109])]
)
def test_one_query_gives_the_same_targets(server, client, product, numbers):
    by_list = listing.targets(client, client, settings(server.url), product)
    by_query = listing.targets_by_query(client, settings(server.url), product)
    assert by_query.targets == by_list.targets
    assert len(by_query.sha256) == 64
    assert by_query.source.endswith("/api/v0/invoke")


def test_a_sector_without_a_list(server, client):
    nine = Product("tess", 9, "spoc", 120)
    assert listing.targets(client, client, settings(server.url), nine) is None
    assert listing.targets_by_query(client, settings(server.url), nine) is None


@pytest.mark.parametrize(
    ("author", "cadence_s", "sectors"),
    [("spoc", 120, [1, 2]), ("spoc", 20, [28]), ("tess-spoc", 600, [45]), ("qlp", 1800, [11]), ("qlp", 600, [])],
)
def test_sectors_by_the_page_of_links(server, client, author, cadence_s, sectors):
    assert listing.sectors(client, settings(server.url), author, cadence_s) == sectors


def test_without_a_page_of_links_the_lists_are_looked_for():
    with Loopback(Library.tiny([11]) + Library.tiny([12], sector=3), Faults(always={"index": "404"})) as server:
        client = Client("mast", settings(server.url), "")
        assert listing.sectors(client, settings(server.url), "spoc", 120) == [1, 3]
        client.close()


def test_a_web_page_in_place_of_a_list_is_refused():
    page = reply(200, b"<!DOCTYPE html><html>Please log in</html>", "Content-Type: text/html")
    with Stub(lambda head: [page]) as stub:
        client = Client("mast", settings(stub.url), "")
        with pytest.raises(
            ArchiveRefused, match=r"tesscurl_sector_1_lc\.sh should be a list .*a proxy or a login page"
        ):
            listing.targets(client, client, settings(stub.url), SPOC)
        client.close()


def test_without_positions_the_list_still_counts(caplog, monkeypatch):
    monkeypatch.setattr(caom, "POLL_S", 0.01)
    text = line(file_name(11)).encode()

    def answer(head):
        return [reply(200, text)] if head.startswith("GET") else [reply(200, b"not JSON")]

    with Stub(answer) as stub, caplog.at_level(logging.WARNING):
        client = Client("mast", settings(stub.url), "")
        (target,) = listing.targets(client, client, settings(stub.url), SPOC)
        client.close()
    assert target.star.target_id == 11
    assert np.isnan(target.star.ra)
    assert "positions are not to be had" in caplog.text


def test_a_query_is_read_page_by_page(server, client, monkeypatch):
    whole = caom.caom_rows(client, settings(server.url), SPOC)
    monkeypatch.setattr(caom, "PAGE_ROWS", 2)
    assert [star.target_id for star, _ in caom.caom_rows(client, settings(server.url), SPOC)] == [
        star.target_id for star, _ in whole
    ]


def test_a_query_that_always_fails_says_how(monkeypatch):
    monkeypatch.setattr(caom, "POLL_S", 0.01)
    with Loopback(Library.tiny([11]), Faults(always={"Mast.Caom.Filtered": "error"})) as server:
        client = Client("mast", settings(server.url), "")
        with pytest.raises(ProductUnreachable, match=r"Mast\.Caom\.Filtered ends as ERROR"):
            caom.caom_rows(client, settings(server.url), SPOC)
        client.close()


@pytest.mark.parametrize(
    ("sectors", "words"),
    [
        ([], "there are none of its kind"),
        ([3], "there are sectors 3"),
        ([1, 2, 3, 5, 7, 8], "there are sectors 1-3, 5, 7-8"),
    ],
)
def test_sectors_in_words(sectors, words):
    assert in_words(sectors) == words


def test_a_query_that_is_answered_with_a_web_page_once_is_made_again(monkeypatch):
    monkeypatch.setattr(caom, "POLL_S", 0.01)
    replies = [b"<html>maintenance</html>", b'{"status": "COMPLETE", "data": [{}, "x"], "paging": []}']
    answers = iter([reply(200, body) for body in replies])
    with Stub(lambda head: [next(answers)] if "POST" in head else []) as stub:
        client = Client("mast", settings(stub.url), "")
        monkeypatch.setattr(caom, "quote", lambda text: "")
        assert caom.invoke(client, settings(stub.url), "S", {}) == [{}]
        client.close()


def test_a_host_that_answers_for_every_sector_is_a_proxy():
    def answer(head):
        return [reply(404) if head.startswith("GET") else reply(200)]

    with Stub(answer) as stub:
        client = Client("mast", settings(stub.url, requests_per_s=1e5), "")
        with pytest.raises(ArchiveRefused, match="every sector up to 999"):
            listing.sectors(client, settings(stub.url), "spoc", 120)
        client.close()


def test_a_list_with_windows_line_ends_and_repeated_lines():
    text = "\r\n".join(["#!/bin/sh", line(file_name(11)), line(file_name(11)), line(file_name(12)), ""])
    assert read_names(text.encode(), SPOC) == {11: file_name(11), 12: file_name(12)}

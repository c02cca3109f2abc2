"""Requests over a connection that is open: usual answers are read at once, unusual ones by urllib3, both alike."""

import gzip
import threading
import time

import pytest

from larun.archive import quick
from larun.archive.failures import Failure
from larun.archive.wire import Wire
from tests.archive.stub import Stub, reply

BODY = bytes(range(256)) * 8000
HEAD = b"HTTP/1.1 200 OK\r\n"


@pytest.mark.parametrize(
    ("url", "host", "target"),
    [
        ("http://h:80/a/b?c=mast:d", b"h:80", b"/a/b?c=mast:d"),
        ("https://h", b"h", b"/"),
        ("http://h?q=/1", b"h", b"/?q=/1"),
        ("http://user:word@h/x?y@z", b"h", b"/x?y@z"),
        ("http://h/a#b/?c", b"h", b"/a"),
        ("http://[::1]:8/a", b"[::1]:8", b"/a"),
    ],
)
def test_what_a_url_asks_for(url, host, target):
    lines = quick.request_of(url, {"X": "1"}).split(b"\r\n")
    assert lines == [b"GET " + target + b" HTTP/1.1", b"Host: " + host, b"Accept-Encoding: identity", b"X: 1", b"", b""]


@pytest.mark.parametrize("url", ["http://h/a b", "http://h/\u00e4", "http://\u00e4/", "http://h/\r\nX: 2"])
def test_no_request_is_made_up_for_a_url_that_needs_encoding(url):
    assert quick.request_of(url, {}) is None


def test_hosts_whose_urls_have_no_path_are_not_taken_for_one_another(wire):
    assert wire._manager("http://127.0.0.1") is wire._manager("http://127.0.0.1/a")
    assert wire._manager("http://127.0.0.1") is not wire._manager("http://127.0.0.2")


@pytest.fixture
def wire():
    wire = Wire(2.0, 0.5, 20.0)
    yield wire
    wire.close()


@pytest.fixture
def kinds(monkeypatch):
    """Whether each answer over an open connection was a usual one."""
    kinds, ask = [], quick.Channel.ask

    def asked(*arguments):
        answer = ask(*arguments)
        kinds.append(isinstance(answer, quick.Plain))
        return answer

    monkeypatch.setattr(quick.Channel, "ask", asked)
    return kinds


def answering(special):
    """A server with something special at /special."""
    return Stub(lambda head: special if head.startswith("GET /special") else [reply(200, b"x")])


USUAL = {
    "200": ([reply(200, BODY, "X-Name:  a value")], 200, BODY),
    "in pieces": ([reply(200, BODY)[:40], 0.05, reply(200, BODY)[40:5000], 0.05, reply(200, BODY)[5000:]], 200, BODY),
    "nothing": ([reply(200)], 200, b""),
    "404": ([reply(404, b"no")], 404, b"no"),
    "302": ([reply(302, b"", "Location: /x")], 302, b""),
    "keep-alive": ([reply(200, b"y", "Connection: keep-alive")], 200, b"y"),
}
UNUSUAL = {
    "chunks": ([HEAD + b"Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n4\r\ndefg\r\n0\r\n\r\n"], 200, b"abcdefg"),
    "no length": ([HEAD + b"\r\n" + BODY, None], 200, BODY),
    "gzip": ([reply(200, gzip.compress(BODY), "Content-Encoding: gzip")], 200, BODY),
    "close": ([reply(200, b"y", "Connection: close"), None], 200, b"y"),
    "folded": ([reply(200, b"y", "X-Long: a\r\n b")], 200, b"y"),
    "continue": ([b"HTTP/1.1 100 Continue\r\n\r\n", reply(200, b"y")], 200, b"y"),
    "1.0": ([b"HTTP/1.0 200 OK\r\nContent-Length: 1\r\n\r\ny", None], 200, b"y"),
    "many headers": ([reply(200, b"y", *[f"X-{i}: 1" for i in range(80)])], 200, b"y"),
}


@pytest.mark.parametrize("kind", [*USUAL, *UNUSUAL])
def test_answers_are_those_of_urllib3(wire, kinds, kind):
    special, status, body = (USUAL | UNUSUAL)[kind]
    with answering(special) as stub:
        first = wire.exchange("GET", f"{stub.url}/special", {})
        wire.close()
        assert wire.exchange("GET", f"{stub.url}/warm", {}).data == b"x"
        assert kinds == []
        second = wire.exchange("GET", f"{stub.url}/special", {})
        assert kinds == [kind in USUAL]
        assert (second.status, second.data, second.url) == (status, body, f"{stub.url}/special")
        assert (first.status, first.data, first.url) == (second.status, second.data, second.url)
        assert sorted(first.headers.items()) == sorted(second.headers.items())
        assert wire.exchange("GET", f"{stub.url}/warm", {}).data == b"x"


BROKEN = {
    "short": ([HEAD + b"Content-Length: 100\r\n\r\n" + b"x" * 30, None], "broke off after 30 of 100 bytes"),
    "silence": ([HEAD + b"Content-Length: 100\r\n\r\nx", 1.5], r"nothing came for 0\.5 s"),
    "silence in the head": ([HEAD + b"Content-", 1.5], r"nothing came for 0\.5 s"),
    "hung up": ([None], "the connection was reset"),
    "not HTTP": ([b"SSH-2.0-OpenSSH_9\r\n", None], "connection broke"),
    "two lengths": ([HEAD + b"Content-Length: 3\r\nContent-Length: 4\r\n\r\nabc", None], "broke"),
}


@pytest.mark.parametrize("kind", BROKEN)
def test_answers_that_break_off_are_failures_and_the_next_is_sound(wire, kind):
    special, said = BROKEN[kind]
    with answering(special) as stub:
        wire.exchange("GET", f"{stub.url}/warm", {})
        with pytest.raises(Failure, match=said) as caught:
            wire.exchange("GET", f"{stub.url}/special", {})
        assert str(caught.value).startswith(f"{stub.url}/special: ")
        assert wire.exchange("GET", f"{stub.url}/warm", {}).data == b"x"
        assert stub.open_now <= 2


def test_what_is_sent_is_what_urllib3_sends(wire):
    headers = {"User-Agent": "larun", "Range": "bytes=0-9"}
    with answering([reply(200, b"y")]) as stub:
        for _ in range(2):
            wire.exchange("GET", f"{stub.url}/special?uri=mast:TESS/a.fits", headers)
    first, second = (sorted(head.split("\r\n")) for head in stub.heads)
    assert first == second
    assert second[-1].startswith("User-Agent") or "GET /special?uri=mast:TESS/a.fits HTTP/1.1" in second


def test_a_connection_that_urllib3_closes_is_closed(wire):
    """After an answer to a request that is not ours the connection is not held open by what we had of it."""
    ends = [reply(200, b"", "Connection: close")]
    with Stub(lambda head: ends if head.startswith("HEAD") else [reply(200, b"x")]) as stub:
        for _ in range(2):
            wire.exchange("GET", stub.url, {})
        assert stub.open_now == 1
        wire.exchange("HEAD", stub.url, {})
        end = time.monotonic() + 20.0
        while stub.open_now and time.monotonic() < end:
            time.sleep(0.01)
        assert stub.open_now == 0
        assert stub.most_open == 1


def test_what_came_unasked_is_no_answer(wire):
    """Bytes beyond the end of an answer, with it or after it, do not begin the next one."""
    sent = threading.Event()

    def late():
        yield reply(200, b"y") + reply(200, b"z")
        yield 0.05
        yield reply(200, b"z")
        sent.set()

    with Stub(lambda head: late() if "/special" in head else [reply(200, b"x")]) as stub:
        wire.exchange("GET", f"{stub.url}/warm", {})
        for _ in range(3):
            assert wire.exchange("GET", f"{stub.url}/special", {}).data == b"y"
            assert sent.wait(20)
            sent.clear()
            assert wire.exchange("GET", f"{stub.url}/warm", {}).data == b"x"


def test_a_url_that_needs_encoding_is_left_to_urllib3(wire, kinds):
    with answering([reply(200, b"y")]) as stub:
        for _ in range(2):
            assert wire.exchange("GET", f"{stub.url}/special a\u00e9", {}).data == b"y"
    assert kinds == []
    assert len({head.split("\r\n")[0] for head in stub.heads}) == 1

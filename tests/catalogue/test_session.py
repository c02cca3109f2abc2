"""The session of the catalogues against a server that misbehaves byte by byte: bounded in time, polite, discreet."""

import logging
import socket
import threading
import time
from contextlib import contextmanager, suppress
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import pytest
import requests

from larun.catalogue import session as catalogue_session
from larun.catalogue.session import CatalogueSession
from larun.config import load


@contextmanager
def answering(head: bytes, trickle: bytes = b""):
    """Address of a server that sends a head and then a little every now and then; and the requests so far."""
    asked = []
    over = threading.Event()

    def serve(connection):
        with connection, suppress(OSError):
            asked.append(connection.recv(1 << 16))
            connection.sendall(head)
            while trickle and not over.wait(0.02):
                connection.sendall(trickle)

    listener = socket.create_server(("127.0.0.1", 0))
    listener.settimeout(0.05)
    threads: list[threading.Thread] = []

    def accept():
        while not over.is_set():
            with suppress(TimeoutError):
                connection, _ = listener.accept()
                threads.append(threading.Thread(target=serve, args=(connection,)))
                threads[-1].start()

    main = threading.Thread(target=accept)
    main.start()
    try:
        yield f"127.0.0.1:{listener.getsockname()[1]}", asked
    finally:
        over.set()
        main.join()
        for thread in threads:
            thread.join()
        listener.close()


def session(**settings) -> CatalogueSession:
    values = {"read_timeout_s": 0.06, "connect_timeout_s": 1.0, "backoff_s": 0.01, "max_backoff_s": 0.2}
    return CatalogueSession(load(archives=values | settings).archives)


@pytest.mark.parametrize(
    ("head", "trickle"),
    [
        (b"Content-Length: 100000\r\n\r\n", b"x"),
        (b"Transfer-Encoding: chunked\r\n\r\n", b"1\r\nx\r\n"),
        (b"Transfer-Encoding: chunked\r\n\r\nfffff\r\n", b"x"),
        (b"\r\n", b"x"),
    ],
    ids=["length", "chunks", "one chunk", "no length"],
)
def test_an_answer_that_trickles_is_left_in_time(head, trickle, monkeypatch):
    """Something comes every 20 ms, so that it is not the silence of half a second that ends it."""
    monkeypatch.setattr(catalogue_session, "_WHOLE_ANSWER_TIMEOUTS", 1.0)
    started = time.monotonic()
    patient = session(read_timeout_s=0.5)
    with answering(b"HTTP/1.1 200 OK\r\n" + head, trickle) as (host, asked), patient as opened:
        with pytest.raises(requests.ReadTimeout, match="whole answer in time"):
            opened.get(f"http://{host}/x")
        assert len(asked) == 3
    assert time.monotonic() - started < 30.0, "the whole answer would take 2000 s"


@pytest.mark.parametrize(
    "body",
    [b"Content-Length: 9\r\n\r\nabc", b"Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n"],
    ids=["length", "chunks"],
)
def test_an_answer_that_breaks_off_is_none(body):
    with answering(b"HTTP/1.1 200 OK\r\n" + body) as (host, asked), session() as opened:
        with pytest.raises(requests.exceptions.ChunkedEncodingError):
            opened.get(f"http://{host}/x")
        assert len(asked) == 3


def busy(retry_after: str) -> bytes:
    return f"HTTP/1.1 503 Busy\r\nRetry-After: {retry_after}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n".encode()


@pytest.mark.parametrize("wait_s", [3600, 1])
def test_a_service_that_asks_for_more_than_we_wait_is_left_alone(wait_s):
    with answering(busy(str(wait_s))) as (host, asked), session() as opened:
        assert opened.get(f"http://{host}/x").status_code == 503
        assert len(asked) == 1


def test_a_date_to_come_back_at_is_obeyed(monkeypatch):
    waits = []
    monkeypatch.setattr(time, "sleep", waits.append)
    then = datetime.now(UTC) + timedelta(seconds=30)
    with answering(busy(format_datetime(then, usegmt=True))) as (host, _), session(max_backoff_s=60.0) as opened:
        opened.get(f"http://{host}/x")
    assert len(waits) == 2
    assert all(25.0 < wait <= 30.0 for wait in waits)


def test_a_redirect_to_nobody_has_no_attempts_of_its_own(monkeypatch):
    waits = []
    monkeypatch.setattr(time, "sleep", waits.append)
    head = b"HTTP/1.1 302 Found\r\nLocation: http://127.0.0.1:9/\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
    with answering(head) as (host, asked), session() as opened:
        with pytest.raises(requests.ConnectionError):
            opened.get(f"http://{host}/x")
        assert (len(asked), len(waits)) == (3, 2)


def test_a_password_is_sent_and_never_said(caplog):
    caplog.set_level(logging.DEBUG)
    with answering(busy("0")) as (host, asked), session() as opened:
        response = opened.get(f"http://someone:secret-word@{host}/x")
        with pytest.raises(requests.HTTPError) as refused:
            response.raise_for_status()
    assert b"Authorization: Basic c29tZW9uZTpzZWNyZXQtd29yZA==" in asked[0]
    assert "attempt 2 of 3" in caplog.text
    assert "secret-word" not in caplog.text + str(refused.value) + response.url

"""The HTTP client against the archive on loopback and against servers that misbehave at will."""

import datetime as dt
import gzip
import itertools
import logging
import random
import socket
import ssl
import threading
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from email.utils import formatdate
from unittest import mock

import numpy as np
import pytest

import larun.config
from larun.archive import connections, wire
from larun.archive.decode import decode
from larun.archive.failures import redact, without_secrets
from larun.archive.http import Client
from larun.archive.wire import retry_after
from larun.errors import ArchiveOutage, ArchiveRefused, ProductUnreachable
from tests.archive.stub import Stub, reply
from tests.loopback import Faults, Library, Loopback
from tests.tiny_sector import columns_of, file_name

PASSING = ("429", "429-date", "500", "502", "503", "503-date", "504", "403", "truncated", "truncated-chunked",
           "stall", "reset", "empty", "redirect-loop")  # fmt: skip
"""Faults after which the same request succeeds."""

LASTING = {101: "500", 102: "redirect-cycle", 103: "404", 104: "403", 105: "truncated"}


def settings(**changes):
    quick = {
        "attempts": 3,
        "backoff_s": 0.01,
        "connect_timeout_s": 2.0,
        "read_timeout_s": 0.6,
        "requests_per_s": 1e5,
        "outage_failures": 50,
        "patience_s": 30.0,
    }
    return larun.config.load(archives=quick | changes).archives


@pytest.fixture(scope="module")
def server():
    script = {tic: [kind] for tic, kind in enumerate(PASSING, start=1)}
    numbers = [*script, *LASTING, 50, 51]
    faults = Faults(script=script | {50: ["redirect"]}, always=LASTING, retry_after_s=0.4)
    with Loopback(Library.tiny(numbers), faults) as server:
        yield server


@pytest.fixture
def client(server):
    client = Client("mast", settings(), "")
    client.get(url_of(server, 51))
    yield client
    client.close()


def url_of(server, tic: int) -> str:
    return f"{server.url}/api/v0.1/Download/file?uri=mast:TESS/product/{file_name(tic)}"


def requests(server, tic: int) -> list[dict]:
    return [r for r in server.requests("mast") if r["name"] == file_name(tic)]


def sound(data: bytes, tic: int) -> bool:
    """Whether it is the star's file, every checksum right."""
    return decode(data).star.target_id == tic and np.array_equal(
        decode(data).flux, columns_of(tic)["PDCSAP_FLUX"], equal_nan=True
    )


@pytest.mark.parametrize(("tic", "kind"), list(enumerate(PASSING, start=1)))
def test_a_fault_that_passes_is_asked_for_again(server, client, tic, kind):
    answer = client.get(url_of(server, tic))
    assert sound(answer.data, tic)
    first, *_, last = requests(server, tic)
    assert first["fault"] == kind
    assert last["fault"] == ""
    if kind in ("429", "503"):
        assert last["start"] >= first["end"] + 0.4
    if kind in ("429-date", "503-date"):
        assert last["start"] >= first["end"], "an HTTP date has whole seconds"


@pytest.mark.parametrize("tic", [101, 102, 104, 105])
def test_a_fault_that_stays_is_unreachable_after_the_last_attempt(server, client, tic):
    before = len(requests(server, tic))
    with pytest.raises(ProductUnreachable, match="the last of 3 attempts") as caught:
        client.get(url_of(server, tic))
    assert url_of(server, tic).partition("?")[0] in str(caught.value)
    if tic != 102:
        assert len(requests(server, tic)) - before == 3


def test_a_missing_file_is_an_answer_at_once(server, client):
    before = len(requests(server, 103))
    assert client.get(url_of(server, 103)).status == 404
    assert len(requests(server, 103)) - before == 1


def test_a_redirect_is_followed(server, client):
    assert sound(client.get(url_of(server, 50)).data, 50)
    assert [r["status"] for r in requests(server, 50)] == [302, 200]


def test_threads_reuse_connections_and_never_open_more_than_allowed():
    with Stub(lambda head: [0.01, reply(200, b"x")]) as stub:
        client = Client("mast", settings(mast_connections=3), "")
        with ThreadPoolExecutor(8) as pool:
            answers = list(pool.map(lambda i: client.get(f"{stub.url}/{i}").data, range(60)))
        client.close()
    assert answers == [b"x"] * 60
    assert 1 < stub.most_open <= 3


def test_clients_of_one_process_share_its_budget(monkeypatch):
    monkeypatch.setattr(connections, "IDLE_S", 0.02)
    monkeypatch.setattr(connections, "_LOOK_S", 0.02)
    with Stub(lambda head: [0.02, reply(200, b"x")]) as stub:
        rules = settings(mast_connections=2)
        clients = [Client("mast", rules, "") for _ in range(3)]
        with ThreadPoolExecutor(6) as pool:
            list(pool.map(lambda i: clients[i % 3].get(f"{stub.url}/{i}"), range(30)))
        for client in clients:
            client.close()
    assert stub.most_open <= 2


def test_an_idle_connection_is_closed_and_opened_again(monkeypatch):
    monkeypatch.setattr(connections, "IDLE_S", 0.05)
    monkeypatch.setattr(connections, "_LOOK_S", 0.05)
    with Stub(lambda head: [reply(200, b"x")]) as stub:
        client = Client("mast", settings(), "")
        client.get(stub.url)
        assert stub.open_now == 1
        end = time.monotonic() + 20
        while stub.open_now and time.monotonic() < end:
            time.sleep(0.02)
        assert stub.open_now == 0
        assert client.get(stub.url).data == b"x"
        client.close()


def test_close_lets_go_of_every_connection():
    with Stub(lambda head: [reply(200, b"x")]) as stub:
        client = Client("mast", settings(), "")
        with ThreadPoolExecutor(4) as pool:
            list(pool.map(lambda _: client.get(stub.url), range(8)))
        client.close()
        end = time.monotonic() + 20
        while stub.open_now and time.monotonic() < end:
            time.sleep(0.01)
        assert stub.open_now == 0


@pytest.mark.parametrize("seed", [1, 2])
def test_never_more_connections_than_allowed_whatever_happens(seed, monkeypatch):
    """Failures of all kinds, outages that are given up, and archives that are closed in the middle."""
    monkeypatch.setattr(connections, "IDLE_S", 0.05)
    monkeypatch.setattr(connections, "_LOOK_S", 0.02)
    chance = random.Random(seed)
    share = [0.2]
    bad = ([reply(503)], [b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nx", None], [None])

    def answer(head):
        probe = head.startswith("HEAD")
        if chance.random() < share[0]:
            return bad[0] if probe else chance.choice(bad)
        return [reply(200, b"" if probe else b"x")]

    rules = settings(mast_connections=3, backoff_s=0.005, max_backoff_s=0.05, patience_s=0.3, outage_failures=4)
    outcomes = Counter()
    over = threading.Event()

    def ask(client):
        while not over.is_set():
            try:
                client.get(stub.url)
                outcomes["served"] += 1
            except (ProductUnreachable, ArchiveOutage) as error:
                outcomes[type(error).__name__] += 1

    with Stub(answer) as stub, ThreadPoolExecutor(8) as pool:
        clients = [Client("mast", rules, "") for _ in range(2)]
        asking = [pool.submit(ask, clients[i % 2]) for i in range(8)]
        for share[0], seen in ((0.3, "served"), (1.0, "ArchiveOutage"), (0.0, "served"), (1.0, "ArchiveOutage")):
            before, end = outcomes[seen], time.monotonic() + 20
            while outcomes[seen] < before + 3 and time.monotonic() < end:
                time.sleep(0.02)
            chance.choice(clients).close()
            assert outcomes[seen] > before
            time.sleep(0.2)
        over.set()
        for thread in asking:
            thread.result()
        for client in clients:
            client.close()
    assert stub.most_open <= 3


def test_a_body_that_trickles_is_cut_off(monkeypatch):
    monkeypatch.setattr(connections, "_LONGEST_SILENCES", 2)
    monkeypatch.setattr(connections, "_LOOK_S", 0.05)

    def trickle(head):
        yield b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n"
        for _ in range(1000):
            yield b"x"
            yield 0.1

    with Stub(trickle) as stub:
        client = Client("mast", settings(attempts=1), "", patient=False)
        start = time.monotonic()
        with pytest.raises(ProductUnreachable, match=r"took longer than 1 s"):
            client.get(stub.url)
        assert time.monotonic() - start < 30.0, "the whole takes 100 s"
        client.close()


def test_an_answer_shorter_than_announced_says_how_short():
    cut = b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n" + b"x" * 30
    with Stub(lambda head: [cut, None]) as stub:
        client = Client("mast", settings(attempts=1), "", patient=False)
        with pytest.raises(ProductUnreachable, match="broke off after 30 of 100 bytes"):
            client.get(stub.url)
        client.close()


def test_a_status_that_no_retry_changes_is_asked_for_once():
    with Stub(lambda head: [reply(400, b"bad")]) as stub:
        client = Client("mast", settings(), "")
        with pytest.raises(ProductUnreachable, match="answers 400"):
            client.get(stub.url)
        client.close()
    assert len(stub.heads) == 1


@pytest.mark.parametrize("status", [401, 403, 407])
def test_a_service_that_refuses_from_the_first_is_refused(status):
    with Stub(lambda head: [reply(status)]) as stub:
        client = Client("mast", settings(), "")
        with pytest.raises(ArchiveRefused, match=f"answers {status}, 3 times.*credentials"):
            client.get(stub.url)
        client.close()


def test_a_post_is_sent_with_its_body_and_retried():
    answers = iter([reply(503), reply(200, b"{}")])
    with Stub(lambda head: [next(answers)]) as stub:
        client = Client("mast", settings(), "")
        # The stub reads heads alone: an empty body keeps its place in the stream.
        assert client.post(stub.url, b"").data == b"{}"
        client.close()
    assert [head.split()[0] for head in stub.heads] == ["POST", "POST"]


def test_secrets_of_an_url_appear_nowhere(caplog):
    caplog.set_level(logging.DEBUG)
    secret = "s3cr3t"
    with Stub(lambda head: [reply(302, b"", f"Location: /other?X-Amz-Signature={secret}")]) as stub:
        client = Client("mast", settings(), "", patient=False)
        with pytest.raises(ProductUnreachable) as caught:
            client.get(f"http://user:{secret}@127.0.0.1:{stub.port}/file?token={secret}&uri=mast:TESS")
        client.close()
    assert secret not in str(caught.value) + repr(caught.value) + str(caught.value.__cause__)
    ours = [record.getMessage() for record in caplog.records if record.name.startswith("larun")]
    assert ours
    assert secret not in "".join(ours)


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("https://u:p@host/a?b=c", "https://host/a?b=c"),
        ("https://host/a?uri=mast:TESS/x&X-Amz-Credential=AK%2F1&X-Amz-Signature=ff&X-Amz-Expires=9",
         "https://host/a?uri=mast:TESS/x&X-Amz-Credential=...&X-Amz-Signature=...&X-Amz-Expires=9"),
        ("http://host/?AWSAccessKeyId=1&Signature=2", "http://host/?AWSAccessKeyId=...&Signature=..."),
        ("http://host/a#token", "http://host/a"),
    ],
)  # fmt: skip
def test_redaction(url, shown):
    assert redact(url) == shown
    assert without_secrets(f"it said: {url} and ended") == f"it said: {shown} and ended"


def test_secrets_of_a_text_without_a_url():
    assert without_secrets("GET /a?uri=x&sig=1&Token=ab%20c answers 403") == (
        "GET /a?uri=x&sig=...&Token=... answers 403"
    )
    assert redact("http://host/a?token=ab cd&x=1") == "http://host/a?token=...&x=1"


def test_retry_after_in_seconds_and_as_a_date():
    now = 1_700_000_000.0
    assert retry_after({"retry-after": "7"}, now) == 7.0
    assert retry_after({"retry-after": formatdate(now + 90, usegmt=True)}, now) == 90.0
    assert retry_after({"retry-after": formatdate(now - 90, usegmt=True)}, now) == 0.0
    skewed = {"retry-after": formatdate(now + 1030, usegmt=True), "date": formatdate(now + 1000, usegmt=True)}
    assert retry_after(skewed, now) == 30.0
    for nonsense in ("", "soon", "-5", "1.5e400", "Thu, 99 Foo 2020 00:00:00 GMT"):
        assert retry_after({"retry-after": nonsense}, now) is None


def test_waits_are_drawn_from_zero_to_twice_the_mean():
    client = Client("mast", settings(backoff_s=1.0, max_backoff_s=5.0), "")
    for n_failures, longest in ((1, 2.0), (2, 4.0), (3, 5.0), (9, 5.0)):
        waits = [client._wait_s(n_failures) for _ in range(400)]
        assert 0 <= min(waits) < 0.1 * longest
        assert 0.9 * longest < max(waits) <= longest


def test_while_the_service_is_out_attempts_are_not_spent_and_a_known_file_is_the_probe():
    """The service goes away in the middle; the request that waits is served when it is back, after three probes."""
    away = threading.Event()
    probes = []

    def answer(head):
        if head.startswith("HEAD"):
            probes.append(head)
            if len(probes) > 3:
                away.clear()
        return [reply(503) if away.is_set() else reply(200, b"x")]

    with Stub(answer) as stub:
        client = Client("mast", settings(attempts=3, outage_failures=3, max_backoff_s=0.05), "")
        client.get(f"{stub.url}/known")
        away.set()
        with ThreadPoolExecutor(3) as pool:
            assert {a.data for a in pool.map(lambda i: client.get(f"{stub.url}/{i}"), range(3))} == {b"x"}
        client.close()
    asked = [head.split()[:2] for head in stub.heads]
    assert asked.count(["HEAD", "/known"]) == len(probes) >= 4
    assert len([path for method, path in asked if method == "GET" and path != "/known"]) <= 3 + 3 + 3


def test_an_outage_longer_than_patience():
    with Stub(lambda head: [reply(503)]) as stub:
        client = Client("mast", settings(attempts=20, outage_failures=3, patience_s=0.3, max_backoff_s=0.1), "")
        with pytest.raises(ArchiveOutage, match=r"mast does not serve: .*answers 503") as caught:
            client.get(f"{stub.url}/a")
        assert "run this again later" in str(caught.value)
        client.close()


def test_a_second_run_of_the_process_asks_anew_after_an_outage():
    away = threading.Event()
    away.set()
    with Stub(lambda head: [reply(503) if away.is_set() else reply(200, b"x")]) as stub:
        rules = settings(attempts=20, outage_failures=3, patience_s=0.3, max_backoff_s=60.0, backoff_s=0.2)
        first = Client("mast", rules, "")
        with pytest.raises(ArchiveOutage):
            first.get(stub.url)
        first.close()
        away.clear()
        second = Client("mast", rules, "")
        assert second.get(stub.url).data == b"x"
        second.close()


def test_retry_after_longer_than_patience_is_an_outage():
    with Stub(lambda head: [reply(503, b"", "Retry-After: 3600")]) as stub:
        client = Client("mast", settings(patience_s=100.0), "")
        start = time.monotonic()
        with pytest.raises(ArchiveOutage, match="left alone for 3600 s"):
            client.get(stub.url)
        client.close()
    assert time.monotonic() - start < 30.0, "nobody waits for patience to end"


def test_nobody_listens():
    with Stub(lambda head: []) as stub:
        url = stub.url
    client = Client("mast", settings(), "", patient=False)
    with pytest.raises(ProductUnreachable, match="cannot connect: Connection refused"):
        client.get(url)
    client.close()


def test_a_host_that_does_not_exist_is_refused_at_once():
    client = Client("mast", settings(backoff_s=30.0, max_backoff_s=60.0), "")
    error = socket.gaierror(socket.EAI_NONAME, "Name or service not known")
    with (
        mock.patch("socket.getaddrinfo", side_effect=error),
        pytest.raises(ArchiveRefused, match=r"there is no host archive\.invalid; look at \[archives\]"),
    ):
        client.get("http://archive.invalid/file")
    client.close()


def test_a_name_server_that_is_away_may_come_back():
    client = Client("mast", settings(), "", patient=False)
    error = socket.gaierror(socket.EAI_AGAIN, "Temporary failure in name resolution")
    with (
        mock.patch("socket.getaddrinfo", side_effect=error),
        pytest.raises(ProductUnreachable, match="cannot be looked up now, the last of 3 attempts"),
    ):
        client.get("http://archive.invalid/file")
    client.close()


def test_a_service_that_refuses_everybody_is_not_taken_for_an_outage():
    """More refusals than an outage takes, from several threads at once."""
    with Stub(lambda head: [reply(403)]) as stub:
        client = Client("mast", settings(outage_failures=4, patience_s=60.0), "")

        def fetch(i):
            with pytest.raises(ArchiveRefused):
                client.get(f"{stub.url}/{i}")

        start = time.monotonic()
        with ThreadPoolExecutor(4) as pool:
            list(pool.map(fetch, range(8)))
        client.close()
    assert time.monotonic() - start < 30.0, "nobody waits for patience to end"


def test_files_that_all_come_as_web_pages_are_a_proxy():
    with Stub(lambda head: [reply(200, b"<html>log in</html>")]) as stub:
        client = Client("mast", settings(outage_failures=3), "")
        assert [client.download(f"{stub.url}/{i}").is_html for i in range(2)] == [True, True]
        with pytest.raises(ArchiveRefused, match=r"last 3 files all came as web pages.*no_proxy"):
            client.download(f"{stub.url}/x")
        client.close()


def test_a_web_page_among_files_is_left_to_the_caller():
    answers = itertools.cycle([reply(200, b"<html>"), reply(200, b"SIMPLE  =")])
    with Stub(lambda head: [next(answers)]) as stub:
        client = Client("mast", settings(outage_failures=2), "")
        assert [client.download(stub.url).is_html for _ in range(6)] == [True, False] * 3
        client.close()


def test_a_proxy_that_wants_a_password(monkeypatch):
    with Stub(lambda head: [reply(407), None]) as stub:
        monkeypatch.setenv("https_proxy", f"http://user:s3cr3t@127.0.0.1:{stub.port}")
        monkeypatch.delenv("no_proxy", raising=False)
        monkeypatch.delenv("NO_PROXY", raising=False)
        client = Client("mast", settings(), "")
        with pytest.raises(ArchiveRefused, match=r"proxy of the environment .* answers 407") as caught:
            client.get("https://archive.invalid/file")
        client.close()
    assert "s3cr3t" not in str(caught.value)
    assert "dXNlcjpzM2NyM3Q=" in stub.heads[0], "user:s3cr3t was sent to the proxy as it wants it"


def certificate(folder):
    """A certificate for 127.0.0.1 that nobody vouches for."""
    import ipaddress

    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "loopback")])
    now = dt.datetime.now(dt.UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - dt.timedelta(days=1))
        .not_valid_after(now + dt.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    path = folder / "cert.pem"
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    path.write_bytes(private + made.public_bytes(serialization.Encoding.PEM))
    return path


def test_a_certificate_nobody_vouches_for_and_one_that_the_environment_does(tmp_path, monkeypatch):
    path = certificate(tmp_path)
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(path)
    with Stub(lambda head: [reply(200, b"x")], tls) as stub:
        client = Client("mast", settings(), "")
        with pytest.raises(ArchiveRefused, match=r"127\.0\.0\.1.* certificate cannot be verified.*SSL_CERT_FILE"):
            client.get(f"{stub.url}/file")
        client.close()
        monkeypatch.setenv("SSL_CERT_FILE", str(path))
        wire._tls.cache_clear()
        try:
            assert client.get(f"{stub.url}/file").data == b"x"
        finally:
            wire._tls.cache_clear()
            client.close()


def test_a_secure_service_does_not_redirect_to_an_insecure_one(tmp_path, monkeypatch):
    path = certificate(tmp_path)
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(path)
    monkeypatch.setenv("SSL_CERT_FILE", str(path))
    wire._tls.cache_clear()
    with Stub(lambda head: [reply(302, b"", "Location: http://127.0.0.1:1/")], tls) as stub:
        client = Client("mast", settings(), "")
        try:
            with pytest.raises(ArchiveRefused, match="not secure"):
                client.get(f"{stub.url}/file")
        finally:
            wire._tls.cache_clear()
            client.close()


def test_an_outage_longer_than_all_attempts_of_a_single_thread_is_waited_for():
    away = threading.Event()
    away.set()
    with Stub(lambda head: [reply(503) if away.is_set() else reply(200, b"x")]) as stub:
        client = Client("mast", settings(attempts=2, backoff_s=0.02, max_backoff_s=0.1), "")
        threading.Timer(0.7, away.clear).start()
        assert client.get(stub.url).data == b"x"
        client.close()


@pytest.mark.parametrize("is_known", [True, False])
def test_a_file_that_always_fails_is_told_from_an_outage_by_a_probe(is_known):
    """By a file that came before, or by an address that is answered, be it with a 404."""

    def answer(head):
        method, path = head.split()[:2]
        if path == "/bad":
            return [reply(502)]
        return [reply(200, b"" if method == "HEAD" else b"x") if path == "/known" else reply(404)]

    with Stub(answer) as stub:
        client = Client("mast", settings(attempts=4), "", f"{stub.url}/nothing")
        if is_known:
            client.get(f"{stub.url}/known")
        with pytest.raises(ProductUnreachable, match="answers 502, the last of 4 attempts"):
            client.get(f"{stub.url}/bad")
        client.close()
    asked = Counter(tuple(head.split()[:2]) for head in stub.heads)
    assert asked["GET", "/bad"] == 4
    assert asked["HEAD", "/known" if is_known else "/nothing"] == 1


def test_a_file_that_always_fails_while_others_come_is_not_probed_for():
    with Stub(lambda head: [0.005, reply(502 if "/bad" in head else 200, b"x")]) as stub:
        client = Client("mast", settings(attempts=4, backoff_s=0.05), "")
        with ThreadPoolExecutor(2) as pool:
            good = pool.submit(lambda: [client.get(f"{stub.url}/{i}").data for i in range(150)])
            with pytest.raises(ProductUnreachable):
                client.get(f"{stub.url}/bad")
            assert good.result() == [b"x"] * 150
        client.close()
    assert not [head for head in stub.heads if head.startswith("HEAD")]


def forever(*pieces):
    def answer(head):
        yield from pieces[:-1]
        while True:
            yield pieces[-1]

    return answer


def slow_headers(head):
    for byte in b"HTTP/1.1 200 OK\r\nX-Slow: " + b"a" * 1000:
        yield bytes([byte])
        yield 0.05


ZEROS = gzip.compress(b"\0" * (8 << 20))
HEAD = b"HTTP/1.1 200 OK\r\n"
HOSTILE = {
    "huge length": (lambda head: [HEAD + b"Content-Length: 99999999999999\r\n\r\nx", None], "more than 1 MiB|broke"),
    "negative length": (lambda head: [HEAD + b"Content-Length: -5\r\n\r\nx", None], None),
    "endless": (forever(HEAD + b"\r\n", b"x" * 65536), "more than 1 MiB"),
    "gzip bomb": (lambda head: [reply(200, ZEROS, "Content-Encoding: gzip")], "more than 1 MiB"),
    "no gzip": (lambda head: [reply(200, b"SIMPLE", "Content-Encoding: gzip")], "connection broke"),
    "100 for ever": (forever(b"HTTP/1.1 100 Continue\r\n\r\n"), "took longer than 1 s"),
    "103": (lambda head: [b"HTTP/1.1 103 Early Hints\r\n\r\n", reply(200, b"y")], "answers 103"),
    "204": (lambda head: [b"HTTP/1.1 204 No Content\r\n\r\n"], "answers 204"),
    "206": (lambda head: [reply(206, b"SIMP", "Content-Range: bytes 0-3/99")], "answers 206"),
    "300 headers": (lambda head: [reply(200, b"x", *[f"X-{i}: 1" for i in range(300)])], "connection broke"),
    "long header": (lambda head: [HEAD + b"X: " + b"a" * 200_000 + b"\r\n\r\n"], "connection broke"),
    "slow headers": (slow_headers, "took longer than 1 s"),
    "not HTTP": (lambda head: [b"SSH-2.0-OpenSSH_9\r\n", None], "connection broke"),
    "redirect to a file": (lambda head: [reply(302, b"", "Location: file:///etc/passwd")], "no place that can be"),
    "redirect to nonsense": (lambda head: [reply(302, b"", "Location: http://[::1/x")], "no place that can be"),
    "redirect to no port": (lambda head: [reply(302, b"", "Location: http://127.0.0.1:99999/")], "no place that"),
    "redirect to nowhere": (lambda head: [reply(302)], "no place that can be"),
}


@pytest.mark.parametrize("is_open", [False, True], ids=["first", "later"])
@pytest.mark.parametrize("kind", HOSTILE)
def test_answers_of_a_hostile_server_are_failures_of_one_product(kind, is_open, monkeypatch):
    """Be it the first answer on a connection or a later one."""
    monkeypatch.setattr(connections, "_LONGEST_SILENCES", 2)
    monkeypatch.setattr(connections, "_LOOK_S", 0.05)
    monkeypatch.setattr(wire, "_MOST_BYTES", 1 << 20)
    answer, said = HOSTILE[kind]
    with Stub(lambda head: [reply(200, b"x")] if "/sound" in head else answer(head)) as stub:
        client = Client("mast", settings(attempts=1), "", patient=False)
        if is_open:
            client.get(f"{stub.url}/sound")
        start = time.monotonic()
        if said is None:
            assert client.get(stub.url).data == b"x"
        else:
            with pytest.raises(ProductUnreachable, match=said):
                client.get(stub.url)
        assert time.monotonic() - start < 30.0, "some of them never end"
        client.close()


def test_a_redirect_to_another_port_of_the_host_opens_no_second_connection_there(monkeypatch):
    monkeypatch.setattr(connections, "IDLE_S", 60.0)
    with (
        Stub(lambda head: [reply(200, b"x")]) as other,
        Stub(lambda head: [reply(302, b"", f"Location: {other.url}/x")]) as first,
    ):
        client = Client("mast", settings(mast_connections=1), "")
        for _ in range(3):
            assert client.get(first.url).data == b"x"
            end = time.monotonic() + 20
            while first.open_now and time.monotonic() < end:
                time.sleep(0.01)
            assert (first.open_now, other.open_now) == (0, 1)
        client.close()


def test_a_service_on_ipv6(monkeypatch):
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")
    monkeypatch.setenv("no_proxy", "::1,127.0.0.1")
    try:
        stub = Stub(lambda head: [reply(200, b"x")], host="::1").__enter__()
    except OSError:
        pytest.skip("no IPv6 here")
    client = Client("mast", settings(), "")
    assert client.get(stub.url).data == b"x"
    client.close()
    stub.__exit__()

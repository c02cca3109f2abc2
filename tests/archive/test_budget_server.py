"""One budget for many workers: as many connections as are allowed, shared fairly, whoever dies."""

import contextlib
import json
import pickle
import signal
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

import larun.config
from larun.archive.allowance import Verdict
from larun.archive.budget_server import BudgetServer
from larun.archive.http import Client
from larun.archive.lines import SharedLine
from larun.archive.mast import MastArchive
from larun.errors import ArchiveOutage, ConfigurationError
from tests.archive.stub import Stub, reply

ROOT = Path(__file__).parents[2]


def settings(**changes):
    return larun.config.load(archives={"requests_per_s": 1e5, "backoff_s": 0.01} | changes).archives


@contextlib.contextmanager
def worker(address: str, url: str, rules, threads: int = 4, seconds: float = 2.0):
    command = [sys.executable, "-m", "tests.archive.budget_worker", address, url, str(threads), str(seconds)]
    process = subprocess.Popen(
        [*command, rules.model_dump_json()], cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    try:
        yield process
    finally:
        process.kill()
        process.wait()
        process.stdin.close()
        process.stdout.close()


def begin(*processes) -> None:
    """Let workers begin at the same moment."""
    assert {said(process) for process in processes} == {"ready"}
    for process in processes:
        process.stdin.write("\n")
        process.stdin.flush()


def said(process) -> str:
    return process.stdout.readline().strip()


def until(condition, seconds: float = 30.0) -> bool:
    end = time.monotonic() + seconds
    while not condition() and time.monotonic() < end:
        time.sleep(0.01)
    return condition()


def test_permits_are_granted_in_order_and_given_back():
    with BudgetServer(settings(mast_connections=1)) as server:
        first, second = SharedLine("mast", server.address), SharedLine("mast", server.address)
        first.wait()
        assert first.ask() is Verdict.GO
        granted = threading.Event()
        waiting = threading.Thread(target=lambda: (second.wait(), granted.set()))
        waiting.start()
        assert not granted.wait(0.2)
        first.close()
        assert granted.wait(5.0)
        assert second.ask() is Verdict.GO
        second.close()
        waiting.join()
        assert until(lambda: server.report()["mast"]["connections"] == 0)
        assert server.report()["mast"]["requests"] == 2


def test_services_have_limits_of_their_own():
    with BudgetServer(settings(mast_connections=1, cloud_connections=1)) as server:
        lines = [SharedLine(service, server.address) for service in ("mast", "cloud", "exofop")]
        for line in lines:
            line.wait()
        assert set(server.report()) == {"mast", "cloud", "exofop"}
        for line in lines:
            line.close()


def test_failures_of_all_workers_count_together_and_the_report_says_why():
    with BudgetServer(settings(outage_failures=2, patience_s=0.0, backoff_s=30.0)) as server:
        lines = [SharedLine("mast", server.address) for _ in range(2)]
        for line in lines:
            line.wait()
            assert line.ask() is Verdict.GO
        for line in lines:
            line.failed("http://archive/x\nanswers 503", None)
        assert until(lambda: server.report()["mast"]["failures"] == 2)
        with pytest.raises(ArchiveOutage, match="answers 503"):
            lines[0].ask()
        report = server.report()["mast"]
        assert (report["failures"], report["state"]) == (2, "given up")
        assert "http://archive/x answers 503" in report["reason"]
        for line in lines:
            line.close()


@pytest.mark.parametrize("token", ["", "wrong", "\u00e9"])
def test_a_stranger_gets_nothing(token):
    with BudgetServer(settings()) as server:
        line = SharedLine("mast", f"{server.address.rpartition('/')[0]}/{token}")
        with pytest.raises(ArchiveOutage):
            line.wait()
        line.close()
        assert server.report() == {}


@pytest.mark.parametrize("junk", [b"\xff\xfe\n", b"GET / HTTP/1.1\r\n\r\n", b"x" * 10_000, b"hello\n"])
def test_junk_is_sent_away_and_the_server_goes_on(junk):
    with BudgetServer(settings()) as server:
        host, port = server.address.partition("/")[0].split(":")
        with socket.create_connection((host, int(port)), timeout=5) as stranger:
            stranger.sendall(junk)
            with contextlib.suppress(ConnectionResetError):
                assert stranger.recv(10) == b""
        line = SharedLine("mast", server.address)
        line.wait()
        line.close()


def test_the_token_is_in_no_text_that_people_read():
    with BudgetServer(settings()) as server:
        token = server.address.rpartition("/")[2]
        archive = MastArchive(settings(), server.address)
        assert token not in repr(server) + str(server) + repr(archive) + json.dumps(server.report())
        assert pickle.loads(pickle.dumps(archive)).budget == server.address
    with pytest.raises(ArchiveOutage) as caught:
        SharedLine("mast", server.address)
    assert token not in str(caught.value)


def test_an_address_that_is_none_of_this_machine():
    with pytest.raises(ConfigurationError, match=r"archives\.budget_host = '192\.0\.2\.1'"):
        BudgetServer(settings(budget_host="192.0.2.1")).__enter__()


def test_workers_share_connections_fairly_and_never_open_more():
    """A busy machine may hold up a worker in one round or another; one that is starved waits in all of them."""
    rules, rounds = settings(mast_connections=3), []
    while len(rounds) < 4:
        with (
            Stub(lambda head: [0.01, reply(200, b"x")]) as stub,
            BudgetServer(rules) as server,
            worker(server.address, stub.url, rules) as one,
            worker(server.address, stub.url, rules) as two,
        ):
            begin(one, two)
            results = [[float(x) for x in said(process).split()] for process in (one, two)]
        assert stub.most_open <= 3
        served, longest = zip(*results, strict=True)
        if min(served) > 0.2 * max(served) and max(longest) < 1.5:
            return
        rounds.append((served, longest))
    pytest.fail(f"requests served and longest waits of both workers: {rounds}")


def test_a_killed_worker_gives_its_permits_back_after_its_connections_are_gone():
    rules = settings(mast_connections=2)
    with (
        Stub(lambda head: [0.3, reply(200, b"x")]) as stub,
        BudgetServer(rules) as server,
        worker(server.address, stub.url, rules, threads=4, seconds=60) as victim,
    ):
        begin(victim)
        assert until(lambda: stub.open_now == 2)
        with worker(server.address, stub.url, rules, threads=2, seconds=1) as other:
            begin(other)
            victim.send_signal(signal.SIGKILL)
            assert float(said(other).split()[0]) > 0
        assert stub.most_open <= 2


def test_workers_stop_when_the_run_is_gone():
    rules = settings(mast_connections=2)
    with Stub(lambda head: [0.02, reply(200, b"x")]) as stub, contextlib.ExitStack() as run:
        server = run.enter_context(BudgetServer(rules))
        with worker(server.address, stub.url, rules, threads=3, seconds=60) as process:
            begin(process)
            assert until(lambda: len(stub.heads) > 10)
            run.close()
            last = said(process)
            asked = len(stub.heads)
            time.sleep(0.3)
            assert len(stub.heads) == asked
        assert last.startswith("ArchiveOutage the request budget of this run at 127.0.0.1:")
        assert "Start the run again" in last
        assert until(lambda: stub.open_now == 0)


def test_idle_connections_go_to_a_worker_that_needs_them():
    rules = settings(mast_connections=1)
    with Stub(lambda head: [reply(200, b"x")]) as stub, BudgetServer(rules) as server:
        first, second = Client("mast", rules, server.address), Client("mast", rules, server.address)
        first.get(stub.url)
        start = time.monotonic()
        assert second.get(stub.url).data == b"x"
        assert time.monotonic() - start < 20.0, "the first client is not closed before"
        assert stub.most_open == 1
        first.close()
        second.close()

"""`larun ingest` and its kin: through the server that is there, and once as a process that brings its own."""

import json
import re
import shutil
import socket
import subprocess
import sys
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from tiny_sector import PRODUCT, SETTINGS, columns_of, file_name, product_bytes, tree, write_folder
from typer.testing import CliRunner

from larun import ledger
from larun.archive.folder import FolderArchive
from larun.cli import app
from larun.objects import PARTIAL_SUFFIX, Root
from larun.survey.ingest import IngestWork, ingest_shards, start_ingest

pytestmark = pytest.mark.timeout(300)

TICS = range(101, 109)
RULES = '[ingest]\nshard_targets = {shard}\nchunk_targets = 2\nmin_good_cadences = 10\n[run]\ncluster = "{cluster}"\n'


def run(*arguments):
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


@pytest.fixture
def config(tmp_path, running_cluster):
    """Settings file with small shards."""
    path = tmp_path / "larun.toml"
    path.write_text(f'root = "{tmp_path / "root"}"\n' + RULES.format(shard=4, cluster=running_cluster))
    return path


@pytest.fixture
def folder(tmp_path):
    return write_folder(tmp_path / "fits", TICS)


def damage(folder):
    """Spoil five of the eight products; for each star the status and a word of the reason that must come of it."""
    good = {tic: (folder / file_name(tic)).read_bytes() for tic in TICS}
    flipped = bytearray(good[103])
    flipped[-2780] ^= 4
    spoilt = {
        102: (good[102][: len(good[102]) // 2], "corrupt", "truncated or damaged"),
        103: (bytes(flipped), "corrupt", "checksum"),
        105: (product_bytes(999), "corrupt", "999"),
        106: (b"<!DOCTYPE html><html><body>503 Service Unavailable</body></html>", "corrupt", "HTML"),
        107: (product_bytes(107, columns_of(107, nan=True)), "rejected", "no finite flux"),
    }
    for tic, (data, _, _) in spoilt.items():
        (folder / file_name(tic)).write_bytes(data)
    (folder / "notes.csv").write_text("day,flux\n1,1\n")
    return {f"TIC {tic}": (status, word) for tic, (_, status, word) in spoilt.items()}


def test_bad_products_each_have_their_reason_and_the_others_are_stored(config, folder):
    expected = damage(folder)
    ingested = run("ingest", "--archive", f"folder:{folder}", "--sector", 1, "--config", config, "--json")
    assert ingested.exit_code == 0, ingested.output
    told = json.loads(ingested.stdout)
    assert {status: n for status, n in told["status"].items() if n} == {"stored": 3, "corrupt": 4, "rejected": 1}

    shown = run("status", "--config", config, "--json")
    assert shown.exit_code == 0
    (sector,) = json.loads(shown.stdout)["sectors"]
    assert sector["complete"] is True
    assert sector["status"]["stored"] == 3
    assert {failure["target"] for failure in sector["failures"]} == set(expected)
    for failure in sector["failures"]:
        status, word = expected[failure["target"]]
        assert failure["status"] == status
        assert word in failure["reason"], failure
    assert len({failure["reason"] for failure in sector["failures"]}) == len(expected)
    people = run("status", "--config", config)
    assert all(target in people.stdout for target in expected)


def test_nothing_can_be_stored(config, folder):
    for path in folder.glob("*.fits"):
        path.write_text("<html>gone</html>")
    result = run("ingest", "--archive", f"folder:{folder}", "--sector", 1, "--config", config)
    assert result.exit_code == 1
    assert result.stdout == ""
    assert "is usable" in result.stderr.splitlines()[-1]


def test_another_plan_is_1_and_names_the_field(config, folder, tmp_path):
    start_ingest(Root(str(tmp_path / "root")), [FolderArchive(str(folder))], PRODUCT, SETTINGS)
    before = tree(tmp_path / "root")
    config.write_text(config.read_text().replace("min_good_cadences = 10", "min_good_cadences = 11"))
    result = run("ingest", "--archive", f"folder:{folder}", "--sector", 1, "--config", config)
    assert result.exit_code == 1
    assert "min_good_cadences is 10 in the store and 11" in result.stderr.splitlines()[-1]
    assert tree(tmp_path / "root") == before


@pytest.fixture
def small_disk(tmp_path):
    """A file system of 240 KiB: room for the plan and some shards."""
    place = tmp_path / "disk"
    place.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=240k", "tmpfs", str(place)]
    if shutil.which("mount") is None or subprocess.run(command, capture_output=True, check=False).returncode:
        pytest.skip("needs the right to mount a small file system; tests/survey fills a disk without")
    yield place
    subprocess.run(["umount", "-l", str(place)], check=True)


def test_a_disk_that_fills_up(small_disk, folder, tmp_path, running_cluster):
    config, root = tmp_path / "larun.toml", small_disk / "root"
    config.write_text(RULES.format(shard=2, cluster=running_cluster))
    command = ["ingest", "--archive", f"folder:{folder}", "--sector", 1, "--config", config, "--root", root]
    result = run(*command)
    assert result.exit_code == 1
    assert "No space left on device" in result.stderr.splitlines()[-1]
    assert "what is stored stays" in result.stderr.splitlines()[-1]
    kept = tree(root)
    assert not [name for name in kept if name.endswith(PARTIAL_SUFFIX)]
    assert len(ledger.recorded(Root(str(root)), PRODUCT)) < 4

    subprocess.run(["mount", "-o", "remount,size=8m", str(small_disk)], check=True)
    again = run(*command)
    assert again.exit_code == 0, again.output
    archive, settings = FolderArchive(str(folder)), SETTINGS.model_copy(update={"shard_targets": 2})
    undisturbed = Root(str(tmp_path / "undisturbed"))
    plan = start_ingest(undisturbed, [archive], PRODUCT, settings)
    ingest_shards(IngestWork.of(undisturbed, [archive], plan, range(plan.n_shards), settings))
    assert tree(root) == tree(tmp_path / "undisturbed")


def test_a_process_that_brings_its_own_server_and_takes_it_along(folder, tmp_path, one_worker, monkeypatch):
    config = tmp_path / "larun.toml"
    config.write_text(f'root = "{tmp_path / "root"}"\n' + RULES.format(shard=8, cluster=one_worker))
    for name in ("PREFECT_API_URL", "PREFECT_HOME"):
        monkeypatch.delenv(name, raising=False)
    larun = str(Path(sys.executable).with_name("larun"))
    command = [larun, "ingest", "--archive", f"folder:{folder}", "--sector", "1", "--config", str(config), "--json"]
    ended = subprocess.run(command, capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stderr
    told = json.loads(ended.stdout)
    assert told["status"]["stored"] == len(TICS)
    assert "ingest: 1 of 1" in ended.stderr
    address = urlsplit(re.search(r"http://127\.0\.0\.1:\d+", ended.stderr)[0])
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection((address.hostname, address.port), timeout=5)
    # Nothing but what larun says: neither Prefect's log nor Dask's.
    assert not [line for line in ended.stderr.splitlines() if "prefect." in line or "distributed" in line]
    assert ledger.counts(Root(str(tmp_path / "root")), PRODUCT).complete

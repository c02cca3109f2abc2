"""A sweep that is killed with SIGKILL at a write and run again ends in the tables of an undisturbed one."""

import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from swept_sector import Judge, ingest, settings_of, sweep, write_products
from tiny_sector import tree

from larun.objects import Root
from larun.store.publish import published

DRIVER = """
import os, signal, sys
sys.path.insert(0, sys.argv[1])
from swept_sector import Judge, settings_of, sweep
import larun.survey.sweep
from larun import objects
from larun.objects import Root
larun.survey.sweep.Classifier = Judge
write = objects._write_local
def deadly(path, pieces):
    if sys.argv[3] in str(path):
        if sys.argv[4] == "after":
            write(path, pieces)
        else:
            data = b"".join(pieces)
            path.parent.mkdir(parents=True, exist_ok=True)
            path.with_name(f"{path.name}.0000{objects.PARTIAL_SUFFIX}").write_bytes(data[: len(data) // 2])
        os.kill(os.getpid(), signal.SIGKILL)
    write(path, pieces)
objects._write_local = deadly
sweep(Root(sys.argv[2]), settings_of(sys.argv[2]))
"""


def killed(root: Path, at: str, mode: str) -> int:
    command = [sys.executable, "-c", DRIVER, str(Path(__file__).parents[1]), str(root), at, mode]
    return subprocess.run(command, capture_output=True, timeout=100, check=False, env=os.environ).returncode


@pytest.fixture(scope="module")
def ingested(tmp_path_factory):
    place = tmp_path_factory.mktemp("ingested")
    ingest(Root(str(place / "root")), write_products(place / "files"), settings_of("unused"))
    return place / "root"


@pytest.mark.parametrize(("at", "mode"), [("part-00001", "torn"), ("candidates/", "after"), ("published.json", "torn")])
def test_killed_sweep_goes_on_where_it_stopped(ingested, tmp_path, monkeypatch, at, mode):
    monkeypatch.setattr("larun.survey.sweep.Classifier", Judge)
    for name in ("killed", "undisturbed"):
        shutil.copytree(ingested, tmp_path / name)
    sweep(Root(str(tmp_path / "undisturbed")), settings_of("unused"))
    root = Root(str(tmp_path / "killed"))
    assert killed(tmp_path / "killed", at, mode) == -signal.SIGKILL
    assert published(root)["sectors"] == {}
    sweep(root, settings_of("unused"))
    ours, theirs = tree(tmp_path / "killed"), tree(tmp_path / "undisturbed")
    assert set(ours) == set(theirs)
    assert [name for name in theirs if ours[name] != theirs[name]] == []

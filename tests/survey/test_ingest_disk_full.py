"""A disk that fills up: a clear error, nothing stored before is lost, and the next run completes the same store."""

import errno
import os
import shutil
import subprocess

import pytest
from tiny_sector import PRODUCT, SETTINGS, tree, write_folder

from larun import ledger
from larun.archive.folder import FolderArchive
from larun.errors import StoreError
from larun.objects import PARTIAL_SUFFIX, Root
from larun.survey.ingest import IngestWork, ingest_shards, start_ingest

SETTINGS = SETTINGS.model_copy(update={"shard_targets": 2})


def ingest(root, archive):
    plan = start_ingest(root, [archive], PRODUCT, SETTINGS)
    ingest_shards(IngestWork.of(root, [archive], plan, range(plan.n_shards), SETTINGS))


@pytest.fixture(scope="module")
def archive(tmp_path_factory):
    return FolderArchive(write_folder(tmp_path_factory.mktemp("files"), range(31, 37)))


@pytest.fixture(scope="module")
def undisturbed(archive, tmp_path_factory):
    place = tmp_path_factory.mktemp("undisturbed")
    ingest(Root(str(place)), archive)
    return tree(place)


@pytest.fixture
def small_disk(tmp_path):
    """A file system of 240 KiB; call it to make it larger."""
    place = tmp_path / "disk"
    place.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=240k", "tmpfs", str(place)]
    if shutil.which("mount") is None or subprocess.run(command, capture_output=True, check=False).returncode:
        pytest.skip("needs the right to mount a small file system; the injected ENOSPC below runs everywhere")
    yield place, lambda: subprocess.run(["mount", "-o", "remount,size=8m", str(place)], check=True)
    subprocess.run(["umount", "-l", str(place)], check=True)


def test_a_full_file_system(small_disk, archive, undisturbed):
    place, enlarge = small_disk
    root = Root(str(place / "root"))
    with pytest.raises(StoreError, match="No space left on device") as caught:
        ingest(root, archive)
    assert "space left" in str(caught.value)
    kept = tree(place / "root")
    assert not any(name.endswith(PARTIAL_SUFFIX) for name in kept)
    finished = ledger.recorded(root, PRODUCT)
    assert len(finished) < 3
    enlarge()
    ingest(root, archive)
    assert tree(place / "root") == undisturbed


@pytest.mark.parametrize("number", [0, 2, 30, 60, 85, 86, 110, 140])
def test_no_space_at_any_write(number, archive, undisturbed, tmp_path, monkeypatch):
    """The disk fills up while the system brings the data of one write to it."""
    fsync, done = os.fsync, 0

    def full(handle):
        nonlocal done
        done += 1
        if done > number:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        fsync(handle)

    root = Root(str(tmp_path))
    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", full)
        with pytest.raises(StoreError, match="No space left on device"):
            ingest(root, archive)
    left = tree(tmp_path)
    assert not any(name.endswith(PARTIAL_SUFFIX) for name in left)
    records = {name: data for name, data in left.items() if "/records/" in name}
    ingest(root, archive)
    after = tree(tmp_path)
    assert after == undisturbed
    assert records.items() <= after.items()


def test_disk_fills_up_between_two_shards(archive, undisturbed, tmp_path, monkeypatch):
    root = Root(str(tmp_path))
    plan = start_ingest(root, [archive], PRODUCT, SETTINGS)
    ingest_shards(IngestWork.of(root, [archive], plan, [0], SETTINGS))
    before = tree(tmp_path)

    def full(handle):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", full)
        with pytest.raises(StoreError, match="nothing that was stored before is changed"):
            ingest_shards(IngestWork.of(root, [archive], plan, [1], SETTINGS))
    assert tree(tmp_path) == before
    assert ledger.pending(root, plan) == [1, 2]
    ingest(root, archive)
    assert tree(tmp_path) == undisturbed

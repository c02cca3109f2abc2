"""Whole objects below a local root; those on S3 are tested with the store."""

import os
import pickle

import pytest

from larun.errors import InputError, NotInStore, StoreError
from larun.objects import PARTIAL_SUFFIX, Root


@pytest.fixture
def root(tmp_path):
    return Root(str(tmp_path / "survey"))


def test_objects_come_back(root, tmp_path):
    root.write("a/b/c.bin", b"\0\1")
    assert (tmp_path / "survey/a/b/c.bin").read_bytes() == b"\0\1"
    assert root.read("a/b/c.bin") == b"\0\1"
    root.write("a/b/c.bin", b"2")
    assert root.read("a/b/c.bin") == b"2"
    assert root.exists("a/b/c.bin")
    assert root.exists("a")
    assert not root.exists("a/c")


def test_pieces_are_one_object(root):
    root.write("a", [b"one", b"", b"three"])
    assert root.read("a") == b"onethree"
    assert list(root.read_pieces("a", [2, 3, 1])) == [b"on", b"eth", b"ree"]
    with pytest.raises(NotInStore):
        list(root.read_pieces("b", [1]))


def test_equal_json_is_equal_bytes(root):
    root.write_json("a.json", {"b": 1, "a": [1, 2]})
    root.write_json("b.json", {"a": [1, 2], "b": 1})
    assert root.read("a.json") == root.read("b.json")
    assert root.read_json("a.json") == {"a": [1, 2], "b": 1}


def test_listing_is_sorted_and_hides_what_is_not_finished(root, tmp_path):
    for name in ("f/b.json", "f/a.json", "f/deep/c.json", "f/a.txt", f"f/a.json.00{PARTIAL_SUFFIX}"):
        root.write(name, b"")
    assert root.list("f", ".json") == ["f/a.json", "f/b.json"]
    assert root.list("f") == ["f/a.json", "f/a.txt", "f/b.json", "f/deep"]
    assert root.list("absent") == []


def test_deleting(root):
    root.write("f/a", b"")
    root.write("f/g/b", b"")
    root.delete("f/a")
    root.delete("f/a")
    assert root.list("f") == ["f/g"]
    root.delete("f")
    assert not root.exists("f")


def test_partial_objects_of_killed_writers_go_by_name(root, tmp_path):
    names = [f"f/a.00{PARTIAL_SUFFIX}", f"f/ab.00{PARTIAL_SUFFIX}", "f/a.json"]
    for name in names:
        root.write(name, b"")
    root.discard_partials("f", "a.")
    assert sorted(p.name for p in (tmp_path / "survey/f").iterdir()) == ["a.json", f"ab.00{PARTIAL_SUFFIX}"]
    root.discard_partials("f")
    assert [p.name for p in (tmp_path / "survey/f").iterdir()] == ["a.json"]
    root.discard_partials("absent")


def test_a_failed_write_leaves_the_old_object_and_no_part(root, tmp_path, monkeypatch):
    root.write("a", b"old")

    def refuse(handle):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", refuse)
    with pytest.raises(StoreError, match=r"cannot write .*survey/a: No space left on device\. Check the root"):
        root.write("a", b"new")
    monkeypatch.undo()
    assert root.read("a") == b"old"
    assert [p.name for p in (tmp_path / "survey").iterdir()] == ["a"]


def test_errors_name_the_object_and_the_cause(root, tmp_path):
    with pytest.raises(NotInStore, match=r"there is no .*survey/absent"):
        root.read("absent")
    root.write("text", b"{ torn")
    with pytest.raises(StoreError, match="text should hold JSON"):
        root.read_json("text")
    root.write("folder/a", b"")
    with pytest.raises(StoreError, match=r"cannot read .*folder"):
        root.read("folder")


@pytest.mark.parametrize("place", ["file/root", "../../proc/larun"])
def test_a_root_that_cannot_be_written(tmp_path, place):
    (tmp_path / "file").write_text("")
    url = "/proc/larun" if "proc" in place else str(tmp_path / place)
    with pytest.raises(StoreError, match=r"cannot .*rights"):
        Root(url).check_writable("lightcurves")


def test_checking_leaves_nothing(root, tmp_path):
    root.write("f/.writable.00" + PARTIAL_SUFFIX, b"")
    root.check_writable("f")
    root.check_writable()
    assert [p.name for p in (tmp_path / "survey/f").iterdir()] == []


def test_update(root, tmp_path):
    root.update_json("f/a.json", lambda now: now | {"n": 1})
    (tmp_path / f"survey/f/a.json.00{PARTIAL_SUFFIX}").write_text("{")
    root.update_json("f/a.json", lambda now: now | {"m": now["n"] + 1})
    assert root.read_json("f/a.json") == {"n": 1, "m": 2}
    assert [p.name for p in (tmp_path / "survey/f").iterdir()] == ["a.json"]


def test_creating_is_done_once(root, tmp_path):
    assert root.create_json("f/a.json", {"n": 1})
    assert not root.create_json("f/a.json", {"n": 2})
    assert root.read_json("f/a.json") == {"n": 1}
    assert [p.name for p in (tmp_path / "survey/f").iterdir()] == ["a.json"]


def test_two_writers_of_one_object_are_told_so(root, monkeypatch):
    """The other run takes the unfinished object for what a killed writer left."""
    flush = os.fsync

    def discard_first(handle):
        flush(handle)
        monkeypatch.undo()
        root.discard_partials("f", "a.")

    monkeypatch.setattr("os.fsync", discard_first)
    with pytest.raises(StoreError, match=r"cannot write .*f/a: another process writes it too"):
        root.write("f/a", b"1")


@pytest.mark.parametrize("url", ["file:///tmp/survey", "gs://bucket", "http://host/survey", "nonsense://x"])
def test_roots_of_another_kind_are_refused(url):
    with pytest.raises(InputError, match=r"a local path or s3://bucket/prefix"):
        Root(url)


def test_a_root_below_the_home_folder(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    assert Root("~/survey/").url_of("a") == str(tmp_path / "survey/a")


def test_a_root_is_a_small_value(root):
    root.write("a", b"1")
    twin = pickle.loads(pickle.dumps(root))
    assert twin == root
    assert hash(twin) == hash(root)
    assert len(pickle.dumps(root)) < 300
    assert twin.read("a") == b"1"


def test_addresses_for_other_tools(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert Root("survey").url_of("a/b") == str(tmp_path / "survey/a/b")
    assert Root("survey").is_local
    remote = Root("s3://bucket/prefix/", {"secret": "hidden"})
    assert not remote.is_local
    assert remote.url_of("a/b") == "s3://bucket/prefix/a/b"
    assert remote.full("a/b") == "bucket/prefix/a/b"
    assert remote.full("") == "bucket/prefix"
    assert "hidden" not in repr(remote)

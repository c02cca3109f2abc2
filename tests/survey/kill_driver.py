"""Ingests or repairs a small sector in children that kill themselves, and tells what is left.

`python kill_driver.py ingest|repair FILES WORK`, run by test_ingest_kill.py and test_repair_kill.py, prints one JSON
object. The parent only imports, loads what is compiled, and forks: it never runs an ingest, so that every child starts
with one thread and without open files.
"""

import json
import os
import shutil
import signal
import sys
import traceback
import uuid
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

import fsspec.implementations.local  # noqa: F401
import pandas as pd  # noqa: F401 - pyarrow imports it on first use; here, once for all children
from tiny_sector import PRODUCT, SETTINGS, tree

from larun import ledger, objects
from larun.archive.fits import ones_complement_sum
from larun.archive.folder import FolderArchive
from larun.errors import ProductUnreachable, StoreError
from larun.objects import PARTIAL_SUFFIX, Root
from larun.store.sector import SHARD_ARRAYS, object_hash, object_path
from larun.survey.ingest import IngestWork, ingest_shards, start_ingest
from larun.survey.repair import repairable

ones_complement_sum(bytes(4))  # loads compiled code, which takes a second; here, once for all children

MODES = ("before", "torn", "unrenamed", "after")
"""Where in a write the process dies: before it, with half a partial file, with a whole one, when it is done."""


def ingest(root: Path, files: str) -> None:
    store, archive = Root(str(root)), FolderArchive(files)
    plan = start_ingest(store, [archive], PRODUCT, SETTINGS)
    ingest_shards(IngestWork.of(store, [archive], plan, range(plan.n_shards), SETTINGS))


class Broken(FolderArchive):
    """Some products are out of reach, and some arrive damaged."""

    unreachable, corrupt = frozenset({22, 29}), frozenset({25, 26})

    def fetch(self, product, target):
        tic = target.star.target_id
        if tic in self.unreachable:
            raise ProductUnreachable("503")
        fetched = super().fetch(product, target)
        return replace(fetched, data=fetched.data[:-2880]) if tic in self.corrupt else fetched


class Noting(FolderArchive):
    """Writes the number of every target that it is asked for to a file."""

    notes: Path

    def fetch(self, product, target):
        with self.notes.open("a") as file:
            file.write(f"{target.star.target_id}\n")
        return super().fetch(product, target)


def repair(root: Path, archive: FolderArchive) -> None:
    store = Root(str(root))
    plan = start_ingest(store, [archive], PRODUCT, SETTINGS)
    ingest_shards(IngestWork.of(store, [archive], plan, repairable(store, plan), SETTINGS, repair=True))


def in_child(work: Callable[[], None]) -> int:
    """Run `work` in a forked child; its exit code, or minus the signal that ended it."""
    child = os.fork()
    if child == 0:
        try:
            work()
        except BaseException:  # noqa: BLE001
            traceback.print_exc()
            os._exit(1)
        os._exit(0)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def note_writes(notes: Path) -> None:
    """Write the path of every store write, and of every deletion, to a file."""
    write, delete = objects._write_local, Root.delete

    def noted(path, pieces):
        with notes.open("a") as file:
            file.write(f"write {path}\n")
        write(path, pieces)

    def noted_deletion(root, path):
        if root.exists(path):
            with notes.open("a") as file:
                file.write(f"delete {root.full(path)}\n")
        delete(root, path)

    objects._write_local = noted
    Root.delete = noted_deletion


def die_at(path: Path, mode: str) -> None:
    """Kill this process at its first write of `path`, whatever its other threads are writing at that moment."""
    write, rename = objects._write_local, objects._rename

    def deadly_write(written, pieces):
        if written != path:
            write(written, pieces)
            return
        if mode == "before":
            die()
        if mode == "torn":
            data = b"".join(pieces)
            path.parent.mkdir(parents=True, exist_ok=True)
            path.with_name(f"{path.name}.{uuid.uuid4().hex}{PARTIAL_SUFFIX}").write_bytes(data[: len(data) // 2])
            die()
        write(path, pieces)
        die()

    def deadly_rename(partial, renamed):
        if renamed == path and mode == "unrenamed":
            die()
        rename(partial, renamed)

    objects._write_local, objects._rename = deadly_write, deadly_rename


def die_after_deletion(path: Path) -> None:
    """Kill this process after it has deleted what was at `path`."""
    delete = Root.delete

    def deadly(root, deleted):
        there = Path(root.full(deleted)) == path and path.exists()
        delete(root, deleted)
        if there:
            die()

    Root.delete = deadly


POINTS = {
    ".writable": "torn",
    "plan.parquet": "unrenamed",
    "plan.json": "before torn after",
    "flux/zarr.json": "torn",
    "time/c/0": "after",
    "120s.zarr/zarr.json": "before unrenamed",
    "target_id/c/0": "before",
    "flux/c/1/0": "torn unrenamed after",
    "quality/c/2/0": "unrenamed after",
    "status/c/2": "after",
    "0025-0120-s_lc.fits": "torn after",
    "records/000000.json": "before",
    "records/000001.json": "before torn unrenamed after",
    "records/000002.json": "after",
}
"""Ends of paths, and how to die at their first write; `status` is the last array before a shard's record."""


def points(paths: list[Path]) -> list[tuple[Path, str]]:
    """Kill points: paths and ways to die."""
    return [
        (next(path for path in paths if str(path).endswith(end)), mode)
        for end, modes in POINTS.items()
        for mode in modes.split()
    ]


def noted(work: Callable[[], None], root: Path, notes: Path) -> list[tuple[str, Path]]:
    """What `work` writes and deletes below `root`, in order: a verb and a relative path."""

    def with_notes():
        note_writes(notes)
        work()

    if in_child(with_notes):
        raise RuntimeError("the undisturbed run failed")
    steps = [line.split(" ", 1) for line in notes.read_text().splitlines()]
    return [(verb, Path(path).relative_to(root)) for verb, path in steps]


def kill_ingests(files: str, place: Path) -> dict:
    undisturbed = place / "undisturbed"
    steps = noted(lambda: ingest(undisturbed, files), undisturbed, place / "writes")
    expected = tree(undisturbed)
    results = []
    for path, mode in points([path for verb, path in steps if verb == "write"]):
        root = place / "killed"

        def killed(path=path, mode=mode, root=root):
            die_at(root / path, mode)
            ingest(root, files)

        death = in_child(killed)
        left = tree(root) if root.exists() else {}
        again = in_child(lambda root=root: ingest(root, files))
        results.append(
            {
                "path": str(path),
                "mode": mode,
                "death": death,
                "partials": sum(name.endswith(PARTIAL_SUFFIX) for name in left),
                "records": sum("/records/" in name and name.endswith(".json") for name in left),
                "again": again,
                "same": tree(root) == expected,
            }
        )
        shutil.rmtree(root)
    return {"files": len(expected), "results": results}


def kill_repairs(files: str, place: Path) -> dict:
    sound, broken = place / "sound", place / "broken"
    codes = [in_child(lambda: ingest(sound, files)), in_child(lambda: begin(broken, files))]
    expected = tree(sound)
    repaired = place / "repaired"
    shutil.copytree(broken, repaired)
    steps = noted(lambda: repair(repaired, FolderArchive(files)), repaired, place / "writes")
    results = []
    for kill, mode, path in repair_points(steps):
        root = place / "killed"
        shutil.copytree(broken, root)
        Noting.notes = place / "asked"

        def killed(kill=kill, path=path, root=root):
            kill(root / path)
            repair(root, FolderArchive(files))

        death = in_child(killed)
        results.append(
            {
                "path": str(path),
                "mode": mode,
                "death": death,
                "torn": torn_shards(root),
                "again": in_child(lambda root=root: repair(root, Noting(files))),
                "asked": sorted(map(int, Noting.notes.read_text().split())) if Noting.notes.exists() else [],
                "same": tree(root) == expected,
            }
        )
        Noting.notes.unlink(missing_ok=True)
        shutil.rmtree(root)
    return {"codes": codes, "repaired": tree(repaired) == expected, "steps": len(steps), "results": results}


def begin(root: Path, files: str) -> None:
    """Ingest while archives are broken."""
    store, archive = Root(str(root)), Broken(files)
    plan = start_ingest(store, [FolderArchive(files)], PRODUCT, SETTINGS)
    ingest_shards(IngestWork.of(store, [archive], plan, range(plan.n_shards), SETTINGS))


def repair_points(steps: list[tuple[str, Path]]) -> list[tuple[Callable[[Path], None], str, Path]]:
    """After every write of the second shard and every deletion; and in the middle of a few writes."""
    found = []
    for verb, path in steps:
        name = str(path)
        if verb == "delete":
            if path.name != ".writable":
                found.append((die_after_deletion, "deleted", path))
        elif name.endswith(("/c/1/0", "/c/1", "000001.json")):
            modes = ["after"]
            if name.endswith(("repairs/000001.json", "flux/c/1/0", "records/000001.json")):
                modes += ["torn", "unrenamed"]
            found += [(partial(die_at, mode=mode), mode, path) for mode in modes]
    return found


def torn_shards(place: Path) -> list[int]:
    """Shards that a sweep would take, and of which an object is not what the record says."""
    root = Root(str(place))
    try:
        ledger.require_settled(root, PRODUCT)
    except StoreError:
        return []
    plan = ledger.load_plan(root, PRODUCT)

    def data(name: str, shard: int) -> bytes | None:
        path = place / object_path(plan.product, name, shard)
        return path.read_bytes() if path.exists() else None

    return [
        record.shard
        for record in ledger.records(root, PRODUCT)
        if any(object_hash(data(a.name, record.shard)) != record.hashes[a.name] for a in SHARD_ARRAYS)
    ]


def main(what: str, files: str, work: str) -> None:
    # A signal loses nothing that was handed to the system, so that flushing would only cost time here.
    os.fsync = lambda handle: None
    kill = {"ingest": kill_ingests, "repair": kill_repairs}[what]
    print(json.dumps(kill(files, Path(work))))  # noqa: T201


if __name__ == "__main__":
    main(*sys.argv[1:])

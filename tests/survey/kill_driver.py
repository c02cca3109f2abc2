"""Ingests a small sector in children that kill themselves, and tells what is left; run by test_ingest_kill.py.

`python kill_driver.py FILES WORK` prints one JSON object. The parent only imports and forks: it never runs
larun, so that every child starts with one thread and without open files.
"""

import json
import os
import shutil
import signal
import sys
import traceback
import uuid
from collections.abc import Callable
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

import fsspec.implementations.local  # noqa: F401
import pandas as pd  # noqa: F401 - pyarrow imports it on first use; here, once for all children
from tiny_sector import PRODUCT, SETTINGS, tree

from larun import objects
from larun.archive.folder import FolderArchive
from larun.objects import PARTIAL_SUFFIX, Root
from larun.survey.ingest import IngestWork, ingest_shards, start_ingest

MODES = ("before", "torn", "unrenamed", "after")
"""Where in a write the process dies: before it, with half a partial file, with a whole one, when it is done."""


def ingest(root: Path, files: str) -> None:
    store, archive = Root(str(root)), FolderArchive(files)
    plan = start_ingest(store, [archive], PRODUCT, SETTINGS)
    ingest_shards(IngestWork.of(store, [archive], plan, range(plan.n_shards), SETTINGS))


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
    """Write the path of every store write to a file."""
    write = objects._write_local

    def noted(path, data):
        with notes.open("a") as file:
            file.write(f"{path}\n")
        write(path, data)

    objects._write_local = noted


def die_at(number: int, mode: str) -> None:
    """Kill this process at its write number `number`."""
    write = objects._write_local
    done = 0

    def deadly(path, data):
        nonlocal done
        done += 1
        if done - 1 != number:
            write(path, data)
            return
        if mode == "before":
            die()
        if mode == "torn":
            path.parent.mkdir(parents=True, exist_ok=True)
            path.with_name(f"{path.name}.{uuid.uuid4().hex}{PARTIAL_SUFFIX}").write_bytes(data[: len(data) // 2])
            die()
        if mode == "unrenamed":
            os.fsync = lambda handle: die()
        write(path, data)
        die()

    objects._write_local = deadly


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


def points(paths: list[str]) -> list[tuple[int, str]]:
    """Kill points as numbers of writes and ways to die."""
    return [
        (next(number for number, path in enumerate(paths) if path.endswith(end)), mode)
        for end, modes in POINTS.items()
        for mode in modes.split()
    ]


def main(files: str, work: str) -> None:
    # A signal loses nothing that was handed to the system, so that flushing would only cost time here.
    os.fsync = lambda handle: None
    place = Path(work)
    notes = place / "writes"
    undisturbed = place / "undisturbed"

    def noted_ingest():
        note_writes(notes)
        ingest(undisturbed, files)

    code = in_child(noted_ingest)
    expected = tree(undisturbed)
    paths = notes.read_text().split()
    results = []
    for number, mode in points(paths):
        root = place / "killed"

        def killed(number=number, mode=mode, root=root):
            die_at(number, mode)
            ingest(root, files)

        death = in_child(killed)
        left = tree(root) if root.exists() else {}
        again = in_child(lambda root=root: ingest(root, files))
        results.append(
            {
                "path": str(Path(paths[number]).relative_to(undisturbed)),
                "mode": mode,
                "death": death,
                "partials": sum(name.endswith(PARTIAL_SUFFIX) for name in left),
                "records": sum("/records/" in name and name.endswith(".json") for name in left),
                "again": again,
                "same": tree(root) == expected,
            }
        )
        shutil.rmtree(root)
    print(json.dumps({"undisturbed": code, "files": len(expected), "results": results}))  # noqa: T201


if __name__ == "__main__":
    main(*sys.argv[1:])

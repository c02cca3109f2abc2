"""Whole objects below a survey root: a local folder or ``s3://bucket/prefix``, through one code path.

Every write is atomic: on S3 a PUT is, and a local write goes to a temporary name beside its target, is
flushed to the disk and renamed over it. A reader sees the old object or the new one, never a part.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import uuid
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import fsspec

from larun.errors import InputError, NotInStore, StoreError

PARTIAL_SUFFIX = ".partial"
"""Ending of temporary names; whatever carries it was left by a killed writer."""

_REMOTE = ("s3", "memory")
"""Protocols of roots that are no folder; `memory` is fsspec's store within one process."""

_UPDATE_ATTEMPTS = 20
"""Times that `Root.update_json` starts again because another process was faster."""


@dataclass(frozen=True)
class Root:
    """A survey root.

    Parameters
    ----------
    url : str
        Local path (``~`` is the home folder) or ``s3://bucket/prefix``.
    storage_options : dict
        Options of the fsspec file system, e.g. ``{"endpoint_url": ...}``. Never shown in `repr`.

    Notes
    -----
    Cheap to pickle and to make; the file system is opened on first use in each process, because an open
    S3 session does not survive a fork.
    """

    url: str
    storage_options: dict = field(default_factory=dict, repr=False, hash=False)

    def __post_init__(self):
        if not self.is_local and self.url.split("://", 1)[0] not in _REMOTE:
            raise InputError(f"a survey root is a local path or s3://bucket/prefix, not {self.url}")

    def __reduce__(self):
        return (type(self), (self.url, self.storage_options))

    @property
    def is_local(self) -> bool:
        """Whether the root is a folder of this machine."""
        return "://" not in self.url

    @cached_property
    def filesystem(self) -> fsspec.AbstractFileSystem:
        """The fsspec file system, listing caches off: other processes write here too."""
        if self.is_local:
            return fsspec.filesystem("file")
        options = {"use_listings_cache": False} | self.storage_options
        return fsspec.filesystem(self.url.split("://", 1)[0], **options)

    @cached_property
    def base(self) -> str:
        """Root without its protocol, as `filesystem` wants it."""
        if self.is_local:
            return str(Path(self.url).expanduser().absolute())
        return self.url.split("://", 1)[1].rstrip("/")

    def full(self, path: str) -> str:
        """Join `path` to the root, as `filesystem` wants it."""
        return f"{self.base}/{path}" if path else self.base

    def url_of(self, path: str) -> str:
        """Join `path` to the root, as other tools (xarray, polars, DuckDB) want it."""
        return str(Path(self.full(path))) if self.is_local else f"{self.url.rstrip('/')}/{path}"

    def exists(self, path: str) -> bool:
        """Whether there is an object or folder of this name."""
        with self.named(path, "look up"):
            return self.filesystem.exists(self.full(path))

    def read(self, path: str) -> bytes:
        """Read a whole object.

        Raises
        ------
        NotInStore
            There is no such object.
        StoreError
            The root cannot be read.
        """
        with self.named(path, "read"):
            return self.filesystem.cat_file(self.full(path))

    def read_pieces(self, path: str, sizes: Sequence[int]) -> Iterator[bytes]:
        """Read a whole object piece by piece: of these sizes, the last with all that is left.

        Raises
        ------
        NotInStore, StoreError
            As in `read`.
        """
        with self.named(path, "read"):
            if self.is_local:
                with Path(self.full(path)).open("rb") as file:
                    for size in sizes[:-1]:
                        yield file.read(size)
                    yield file.read()
            else:
                data, place = self.filesystem.cat_file(self.full(path)), 0
                for size in sizes[:-1]:
                    yield data[place : place + size]
                    place += size
                yield data[place:]

    def write(self, path: str, data: bytes | Sequence[bytes]) -> None:
        """Write a whole object, atomically.

        Parameters
        ----------
        path : str
            Its name.
        data : bytes, or sequence of bytes
            What it holds, in one or several pieces.

        Raises
        ------
        StoreError
            The root cannot be written: rights, a full disk, a lost connection.
        """
        pieces = [data] if isinstance(data, bytes) else data
        with self.named(path, "write"):
            if self.is_local:
                _write_local(Path(self.full(path)), pieces)
            else:
                self.filesystem.pipe_file(self.full(path), b"".join(pieces))

    def read_json(self, path: str) -> dict:
        """Read a JSON object; one that does not parse is a `StoreError`."""
        try:
            return json.loads(self.read(path))
        except ValueError as error:
            raise StoreError(f"{self.url_of(path)} should hold JSON and does not: {error}") from error

    def write_json(self, path: str, value: dict) -> None:
        """Write a JSON object with sorted keys, so that equal values are equal bytes."""
        self.write(path, _json_bytes(value))

    def create_json(self, path: str, value: dict) -> bool:
        """Write a JSON object unless there is one of this name; whether it was written.

        Of several processes that do so at once one succeeds.
        """
        data = _json_bytes(value)
        if self.is_local:
            with self.named(path, "write"), _locked(Path(self.full(path)).parent):
                if self.exists(path):
                    return False
                self.write(path, data)
                return True
        if self._etag(path):
            return False
        try:
            with self.named(path, "write"):
                self.filesystem.pipe_file(self.full(path), data, IfNoneMatch="*")
        except StoreError:
            if self._etag(path) is None:
                raise
            return False
        return True

    def list(self, folder: str, suffix: str = "") -> list[str]:
        """Names (relative to the root, sorted) directly below `folder` that end in `suffix`."""
        with self.named(folder, "list"):
            try:
                names = self.filesystem.ls(self.full(folder), detail=False)
            except FileNotFoundError:
                return []
        heads = len(self.base) + 1
        relative = (str(name).rstrip("/")[heads:] for name in names)
        return sorted(
            name for name in relative if name.endswith(suffix) and not name.endswith(PARTIAL_SUFFIX) and name != folder
        )

    def changed(self, folder: str, suffix: str = "") -> float:
        """Time of the latest write of an object directly below `folder` whose name ends in `suffix`.

        Seconds since the epoch by the clock of the root; 0 where there is no such object.
        """
        with self.named(folder, "list"):
            try:
                entries = self.filesystem.ls(self.full(folder), detail=True)
            except FileNotFoundError:
                return 0.0
        times = (entry.get("mtime") or entry.get("LastModified") or entry.get("created")
                 for entry in entries if entry["type"] == "file" and entry["name"].endswith(suffix))  # fmt: skip
        return max((time if isinstance(time, float) else time.timestamp() for time in times), default=0.0)

    def delete(self, path: str) -> None:
        """Delete an object or a folder with all below it; nothing happens if it is absent."""
        with self.named(path, "delete"), contextlib.suppress(FileNotFoundError):
            self.filesystem.rm(self.full(path), recursive=True)

    def update_json(self, path: str, change: Callable[[dict], dict]) -> None:
        """Replace a JSON object by `change` of it (of ``{}`` where it is absent), losing no other process's change.

        A local folder is locked meanwhile; the lock goes with its process. On S3 the write is conditional on
        the object being the one that was read, and starts again where it was not.
        """
        if self.is_local:
            folder, _, name = path.rpartition("/")
            with self.named(path, "write"), _locked(Path(self.full(path)).parent):
                self.discard_partials(folder, f"{name}.")
                current = self.read_json(path) if self.exists(path) else {}
                self.write_json(path, change(current))
            return
        for _ in range(_UPDATE_ATTEMPTS):
            etag = self._etag(path)
            current = self.read_json(path) if etag else {}
            data = _json_bytes(change(current))
            condition = {"IfMatch": etag} if etag else {"IfNoneMatch": "*"}
            try:
                with self.named(path, "write"):
                    self.filesystem.pipe_file(self.full(path), data, **condition)
            except StoreError:
                if self._etag(path) == etag:
                    raise
            else:
                return
        raise StoreError(
            f"cannot update {self.url_of(path)}: others changed it {_UPDATE_ATTEMPTS} times meanwhile; try again"
        )

    def _etag(self, path: str) -> str | None:
        with self.named(path, "look up"):
            try:
                return self.filesystem.info(self.full(path))["ETag"]
            except FileNotFoundError:
                return None

    def discard_partials(self, folder: str, prefix: str = "") -> None:
        """Delete what killed writers left directly below a local `folder` under names that begin with `prefix`.

        The caller must be the only writer of those names. On S3 there is nothing to delete.
        """
        if not self.is_local:
            return
        place = Path(self.full(folder))
        with self.named(folder, "clean"):
            if place.is_dir():
                for entry in place.iterdir():
                    if entry.name.startswith(prefix) and entry.name.endswith(PARTIAL_SUFFIX):
                        entry.unlink(missing_ok=True)

    def check_writable(self, folder: str = "") -> None:
        """Raise `StoreError` now rather than after an hour if `folder` cannot be written."""
        probe = f"{folder}/.writable" if folder else ".writable"
        self.discard_partials(folder, ".writable.")
        self.write(probe, b"")
        self.delete(probe)

    @contextlib.contextmanager
    def named(self, path: str, verb: str):
        """Turn file system errors into ours, naming the object and the cause."""
        try:
            yield
        except (OSError, *_connection_errors(self.is_local)) as error:
            if isinstance(error, FileNotFoundError) and verb != "write":
                raise NotInStore(f"there is no {self.url_of(path)}") from error
            reason = getattr(error, "strerror", None) or str(error)
            raise StoreError(
                f"cannot {verb} {self.url_of(path)}: {reason}. Check the root, its rights and the space left; "
                "nothing that was stored before is changed."
            ) from error


def _json_bytes(value: Any) -> bytes:
    """JSON, of an object with a line for every entry, and for every item of an entry that is a list."""
    # With an indent Python encodes JSON itself, and not in C: thirty times as slow for the record of a shard.
    encode = json.JSONEncoder(sort_keys=True).encode
    if not isinstance(value, dict):
        return (encode(value) + "\n").encode()
    lines = [f"{encode(name)}: {_lines(encode, entry)}" for name, entry in sorted(value.items())]
    return ("{\n" + ",\n".join(lines) + "\n}\n").encode()


def _lines(encode: Callable[[Any], str], entry: Any) -> str:
    if not isinstance(entry, list) or not entry:
        return encode(entry)
    return "[\n " + ",\n ".join(map(encode, entry)) + "\n]"


def _connection_errors(is_local: bool) -> tuple[type[Exception], ...]:
    """Errors of an S3 client that are no `OSError`: no credentials, no connection, no such endpoint."""
    if is_local:
        return ()
    from botocore.exceptions import BotoCoreError

    return (BotoCoreError,)


@contextlib.contextmanager
def _locked(folder: Path):
    """Hold the lock of a folder; it leaves nothing behind, and ends with the process at the latest."""
    folder.mkdir(parents=True, exist_ok=True)
    handle = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield
    finally:
        os.close(handle)


def _write_local(path: Path, pieces: Sequence[bytes]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f"{path.name}.{uuid.uuid4().hex}{PARTIAL_SUFFIX}")
    try:
        with partial.open("wb") as file:
            file.writelines(pieces)
            file.flush()
            os.fsync(file.fileno())
        _rename(partial, path)
    except OSError:
        partial.unlink(missing_ok=True)
        raise
    _flush_folder(path.parent)


def _rename(partial: Path, path: Path) -> None:
    try:
        partial.replace(path)
    except FileNotFoundError as error:
        said = "another process writes it too and took the unfinished one for a leftover; let one run do this work"
        raise FileNotFoundError(error.errno, said, str(path)) from error


def _flush_folder(folder: Path) -> None:
    """Bring a rename to the disk, so that after a power cut no marker is there without what it marks."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)

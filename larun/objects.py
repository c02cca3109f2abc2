"""Whole objects below a survey root: a local folder or ``s3://bucket/prefix``, through one code path.

Every write is atomic: on S3 a PUT is, and a local write goes to a temporary name beside its target, is
flushed to the disk and renamed over it. A reader sees the old object or the new one, never a part.
"""

from __future__ import annotations

import contextlib
import json
import os
import uuid
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

import fsspec

from larun.errors import NotInStore, StoreError

PARTIAL_SUFFIX = ".partial"
"""Ending of temporary names; whatever carries it was left by a killed writer."""


@dataclass(frozen=True)
class Root:
    """A survey root.

    Parameters
    ----------
    url : str
        Local path or ``s3://bucket/prefix``.
    storage_options : dict
        Options of the fsspec file system, e.g. ``{"endpoint_url": ...}``. Never shown in `repr`.

    Notes
    -----
    Cheap to pickle and to make; the file system is opened on first use in each process, because an open
    S3 session does not survive a fork.
    """

    url: str
    storage_options: dict = field(default_factory=dict, repr=False)

    def __reduce__(self):
        return (type(self), (self.url, self.storage_options))

    @property
    def is_local(self) -> bool:
        """Whether the root is a folder of this machine."""
        return "://" not in self.url

    @cached_property
    def filesystem(self) -> fsspec.AbstractFileSystem:
        """The fsspec file system, listing caches off: other processes write here too."""
        protocol = "file" if self.is_local else self.url.split("://", 1)[0]
        options = {"use_listings_cache": False} | self.storage_options if not self.is_local else {}
        return fsspec.filesystem(protocol, **options)

    @cached_property
    def base(self) -> str:
        """Root without its protocol, as `filesystem` wants it."""
        if self.is_local:
            return str(Path(self.url).absolute())
        return self.url.split("://", 1)[1].rstrip("/")

    def full(self, path: str) -> str:
        """Join `path` to the root, as `filesystem` wants it."""
        return f"{self.base}/{path}" if path else self.base

    def url_of(self, path: str) -> str:
        """Join `path` to the root, as other tools (xarray, polars, DuckDB) want it."""
        return str(Path(self.full(path))) if self.is_local else f"{self.url.rstrip('/')}/{path}"

    def exists(self, path: str) -> bool:
        """Whether there is an object or folder of this name."""
        with self._named(path, "look up"):
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
        with self._named(path, "read"):
            return self.filesystem.cat_file(self.full(path))

    def write(self, path: str, data: bytes) -> None:
        """Write a whole object, atomically.

        Raises
        ------
        StoreError
            The root cannot be written: rights, a full disk, a lost connection.
        """
        with self._named(path, "write"):
            if self.is_local:
                _write_local(Path(self.full(path)), data)
            else:
                self.filesystem.pipe_file(self.full(path), data)

    def read_json(self, path: str) -> dict:
        """Read a JSON object; one that does not parse is a `StoreError`."""
        try:
            return json.loads(self.read(path))
        except ValueError as error:
            raise StoreError(f"{self.url_of(path)} should hold JSON and does not: {error}") from error

    def write_json(self, path: str, value: dict) -> None:
        """Write a JSON object with sorted keys, so that equal values are equal bytes."""
        self.write(path, (json.dumps(value, sort_keys=True, indent=1) + "\n").encode())

    def list(self, folder: str, suffix: str = "") -> list[str]:
        """Names (relative to the root, sorted) directly below `folder` that end in `suffix`."""
        with self._named(folder, "list"):
            try:
                names = self.filesystem.ls(self.full(folder), detail=False)
            except FileNotFoundError:
                return []
        heads = len(self.base) + 1
        relative = (str(name).rstrip("/")[heads:] for name in names)
        return sorted(
            name for name in relative if name.endswith(suffix) and not name.endswith(PARTIAL_SUFFIX) and name != folder
        )

    def delete(self, path: str) -> None:
        """Delete an object or a folder with all below it; nothing happens if it is absent."""
        with self._named(path, "delete"), contextlib.suppress(FileNotFoundError):
            self.filesystem.rm(self.full(path), recursive=True)

    def check_writable(self) -> None:
        """Raise `StoreError` now rather than after an hour if the root cannot be written."""
        probe = f".writable-{uuid.uuid4().hex}"
        self.write(probe, b"")
        self.delete(probe)

    @contextlib.contextmanager
    def _named(self, path: str, verb: str):
        """Turn file system errors into ours, naming the object and the cause."""
        try:
            yield
        except FileNotFoundError as error:
            raise NotInStore(f"there is no {self.url_of(path)}") from error
        except OSError as error:
            reason = error.strerror or str(error)
            raise StoreError(
                f"cannot {verb} {self.url_of(path)}: {reason}. Check the root, its rights and the space left; "
                "nothing that was stored before is changed."
            ) from error


def _write_local(path: Path, data: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f"{path.name}.{uuid.uuid4().hex}{PARTIAL_SUFFIX}")
    try:
        with partial.open("wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        partial.replace(path)
    except OSError:
        partial.unlink(missing_ok=True)
        raise

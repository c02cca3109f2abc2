"""Model bundles: a folder with weights in four formats, and a manifest that says and proves what they are.

``bundle.json`` holds the SHA-256 of every file, and `digest` covers the manifest itself, so two bundles with
one digest classify alike. `load_bundle` refuses a folder that does not match its manifest.
"""

from __future__ import annotations

import hashlib
import io
import json
import re
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from larun import paths
from larun.config import DATA_FOLDER
from larun.errors import BundleError, NotInStore
from larun.objects import Root
from larun.schema import CLASSES, VIEW_DEFINITION

MANIFEST = "bundle.json"
INT8_FILE = "model_int8.tflite"
FLOAT_FILE = "model.tflite"
KERAS_FILE = "model.keras"
H5_FILE = "model.weights.h5"
CARD_FILE = "model_card.md"
BUNDLE_FILES = (INT8_FILE, FLOAT_FILE, KERAS_FILE, H5_FILE, CARD_FILE)
"""Files of a complete bundle, beside its manifest; there may be more, such as plots."""

_FILE_NAME = re.compile(r"(?:[a-z0-9_-][A-Za-z0-9_.-]*/)?[a-z0-9_-][A-Za-z0-9_.-]*")

DEFAULT, SHIPPED = "default", "shipped"
"""The bundle that a root promotes, or else the one that comes with larun; the latter in any case."""

_KERAS_MEMBERS = {"config.json", "metadata.json", "model.weights.h5"}
FORMAT_VERSION = 1


@dataclass(frozen=True)
class Bundle:
    """A checked bundle in memory; pickles, so it can travel to a worker.

    Parameters
    ----------
    manifest : dict
        Contents of ``bundle.json``.
    files : dict
        Name to bytes of every file that the manifest lists.
    """

    manifest: dict[str, Any]
    files: dict[str, bytes]

    def __repr__(self) -> str:
        return f"Bundle({self.name}/{self.version}, {self.digest[:12]})"

    @property
    def name(self) -> str:
        """Name of the model."""
        return self.manifest["name"]

    @property
    def version(self) -> str:
        """Version of the model, unique below its name."""
        return self.manifest["version"]

    @property
    def digest(self) -> str:
        """Hexadecimal SHA-256 over the manifest, and through it over every file."""
        return self.manifest["digest"]

    @property
    def int8_model(self) -> bytes:
        """The INT8 network, a TFLite flatbuffer: (n, 1024) float32 in, (n, 6) logits out."""
        return self.files[INT8_FILE]

    @property
    def temperature(self) -> float:
        """Divisor of the logits, fitted on held-out stars after quantisation."""
        return float(self.manifest["calibration"]["temperature"])

    @property
    def bias(self) -> np.ndarray:
        """Added to the divided logits, (6,) float32."""
        return np.asarray(self.manifest["calibration"]["bias"], np.float32)


def manifest_digest(manifest: dict[str, Any]) -> str:
    """SHA-256 over a manifest without its own ``digest``."""
    content = {key: value for key, value in manifest.items() if key != "digest"}
    return hashlib.sha256(json.dumps(content, sort_keys=True, allow_nan=False).encode()).hexdigest()


def seal(manifest: dict[str, Any], files: dict[str, bytes]) -> Bundle:
    """Make a bundle: add format, classes, view definition, the files' digests and the digest over all.

    Raises
    ------
    BundleError
        A file of a complete bundle is missing.
    """
    missing = [name for name in BUNDLE_FILES if name not in files]
    if missing:
        raise BundleError(f"a bundle holds {', '.join(BUNDLE_FILES)}; missing: {', '.join(missing)}")
    content = manifest | {
        "format": FORMAT_VERSION,
        "classes": list(CLASSES),
        "view_definition": VIEW_DEFINITION,
        "files": {name: hashlib.sha256(data).hexdigest() for name, data in sorted(files.items())},
    }
    content = json.loads(json.dumps(content, allow_nan=False))
    return Bundle(content | {"digest": manifest_digest(content)}, dict(files))


def save_bundle(bundle: Bundle, root: Root, folder: str) -> None:
    """Write a bundle below `root`, the manifest last."""
    for name, data in sorted(bundle.files.items()):
        root.write(f"{folder}/{name}" if folder else name, data)
    root.write_json(f"{folder}/{MANIFEST}" if folder else MANIFEST, bundle.manifest)


def load_bundle(spec: str, root: Root | None = None) -> Bundle:
    """Find, read and check a bundle.

    Parameters
    ----------
    spec : str
        ``default`` for the one that `promote` chose for `root`, else for the one that comes with larun;
        ``shipped`` for the latter; the path of a folder; or ``name`` or ``name/version`` of one trained into `root`,
        without a version the last one by name order.
    root : Root, optional
        Survey root whose ``models`` are looked at, local or S3.

    Returns
    -------
    Bundle
        Complete, unaltered, and made for the views and classes of this larun.

    Raises
    ------
    BundleError
        There is no such bundle, a file is missing or altered, it was made for other views or classes, or its
        ``.keras`` file holds code.
    """
    chosen = promoted(root) if spec == DEFAULT and root is not None else None
    if chosen:
        bundle = load_bundle(chosen["bundle"], root)
        _check("digest of the promoted bundle", chosen["digest"], bundle.digest, chosen["bundle"], root.url)
        return bundle
    if spec in (DEFAULT, SHIPPED):
        return _read(Root(str(DATA_FOLDER / "bundles" / DEFAULT)), "", spec)
    if (Path(spec) / MANIFEST).is_file():
        return _read(Root(spec), "", spec)
    looked = [f"the folder {Path(spec).absolute()}"]
    if root is not None and "://" not in spec and not spec.startswith(("/", ".")):
        name, _, version = spec.partition("/")
        looked.append(root.url_of(f"models/{spec}"))
        version = version or _last_version(root, name)
        if version and root.exists(f"{paths.bundle(name, version)}/{MANIFEST}"):
            return _read(root, paths.bundle(name, version), spec)
    raise BundleError(
        f"there is no bundle {spec!r}: no {MANIFEST} in {' or '.join(looked)}. "
        "Name `default`, a bundle folder, or one that `larun train` wrote below the survey root."
    )


def promote(root: Root, spec: str) -> Bundle:
    """Make a bundle the ``default`` of a root, which sweeps take where no other is named.

    Parameters
    ----------
    root : Root
        Survey root.
    spec : str
        ``name`` or ``name/version`` of a bundle below it; ``shipped`` for the one that comes with larun.

    Raises
    ------
    BundleError
        There is no such bundle, it cannot be used, or it lies outside of the root.
    """
    bundle = load_bundle(spec, root)
    if spec == SHIPPED:
        root.delete(paths.PROMOTED)
        return bundle
    which = f"{bundle.name}/{bundle.version}"
    if not root.exists(f"{paths.bundle(bundle.name, bundle.version)}/{MANIFEST}") or (
        load_bundle(which, root).digest != bundle.digest
    ):
        raise BundleError(
            f"{spec!r} lies outside of {root.url}, and whoever reads the root must find it there: "
            f"copy it to {root.url_of(paths.bundle(bundle.name, bundle.version))} and promote {which}"
        )
    root.write_json(paths.PROMOTED, {"bundle": which, "digest": bundle.digest})
    return bundle


def promoted(root: Root) -> dict[str, str] | None:
    """``bundle`` (name/version) and ``digest`` of what a root promotes; None where that is the shipped one."""
    return root.read_json(paths.PROMOTED) if root.exists(paths.PROMOTED) else None


def require_plain_keras(data: bytes, which: str) -> None:
    """Refuse a ``.keras`` file that holds more than layers and weights, without loading any of it.

    Raises
    ------
    BundleError
        It is no archive of these, has other members (such as pickles), or a Lambda layer or function in it.
    """
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            members, config = set(archive.namelist()), archive.read("config.json").decode()
    except (zipfile.BadZipFile, KeyError, UnicodeDecodeError) as error:
        raise BundleError(f"{which} is no .keras archive: {error}; train the bundle again") from error
    if members - _KERAS_MEMBERS:
        raise BundleError(
            f"{which} should hold {', '.join(sorted(_KERAS_MEMBERS))} and nothing else; it holds "
            f"{', '.join(sorted(members - _KERAS_MEMBERS))}. Whatever that is, it is not loaded"
        )
    if re.search(r'"(?:Lambda|__lambda__|function|__typespec__)"', config):
        raise BundleError(f"{which} holds a Lambda layer or a function, which is code of whoever made it; not loaded")


def _last_version(root: Root, name: str) -> str | None:
    versions = [path.rsplit("/", 1)[-1] for path in root.list(f"models/{name}")]
    complete = [version for version in versions if root.exists(f"{paths.bundle(name, version)}/{MANIFEST}")]
    return max(complete, default=None)


def _read(root: Root, folder: str, spec: str) -> Bundle:
    where = root.url_of(folder)

    def read(name: str) -> bytes:
        try:
            return root.read(f"{folder}/{name}" if folder else name)
        except NotInStore:
            raise BundleError(
                f"the bundle {spec!r} in {where} has no {name}; expected {MANIFEST} and the files that it lists. "
                "Train it again or restore the file."
            ) from None

    try:
        manifest = json.loads(read(MANIFEST))
        listed = dict(manifest["files"])
        stated = (manifest["digest"], manifest["format"], manifest["classes"], manifest["view_definition"])
    except (ValueError, KeyError, TypeError) as error:
        raise BundleError(
            f"{MANIFEST} of the bundle {spec!r} in {where} is no manifest ({error!r}); train it again or restore it"
        ) from error
    _check("digest of the manifest", manifest_digest(manifest), stated[0], spec, where)
    _check("format", FORMAT_VERSION, stated[1], spec, where)
    _check("classes", list(CLASSES), stated[2], spec, where)
    _check("view definition", VIEW_DEFINITION, stated[3], spec, where)
    _check("list of files", sorted(BUNDLE_FILES), sorted(set(listed) & set(BUNDLE_FILES)), spec, where)
    _check("names outside of the folder", [], [name for name in listed if not _FILE_NAME.fullmatch(name)], spec, where)
    files = {name: read(name) for name in listed}
    for name, data in files.items():
        _check(f"SHA-256 of {name}", hashlib.sha256(data).hexdigest(), listed[name], spec, where)
    if zipfile.is_zipfile(io.BytesIO(files[KERAS_FILE])):
        require_plain_keras(files[KERAS_FILE], f"{KERAS_FILE} of the bundle {spec!r} in {where}")
    return Bundle(manifest, files)


def _check(what: str, expected: Any, came: Any, spec: str, where: str) -> None:
    if expected != came:
        raise BundleError(
            f"the bundle {spec!r} in {where} cannot be used: {what} should be {expected} and is {came}. "
            "It was altered, or made by another version of larun; train it again or restore it."
        )

"""Trainings that were killed go on: the whole state after every epoch, below the survey root.

A checkpoint lies under the digest of all that decides the result: data, settings, software. Equal digest means the same
training, so a run that finds one goes on from it, and ends with the weights of a run that was never killed. The backend
of Keras alone is not part of the digest: a training that was finished under JAX is exported under TensorFlow.
"""

from __future__ import annotations

import hashlib
import io
import json
import logging
from dataclasses import asdict
from typing import Any

import numpy as np

from larun import paths
from larun.errors import StoreError
from larun.network.optimise import State, Training
from larun.objects import Root

log = logging.getLogger(__name__)

_BACKEND = "software.backend"


class Checkpoints:
    """Checkpoints of one training run, one file per stage of it.

    Parameters
    ----------
    root : Root
        Survey root.
    identity : dict
        All that decides the result, as plain values, from `larun.network.recipe.identity`.
    """

    def __init__(self, root: Root, identity: dict[str, Any]):
        self._root = root
        self._identity = json.dumps(identity, sort_keys=True, allow_nan=False)
        software = {name: value for name, value in identity["software"].items() if name != "backend"}
        shared = json.dumps(identity | {"software": software}, sort_keys=True, allow_nan=False)
        self.digest = hashlib.sha256(shared.encode()).hexdigest()

    @property
    def url(self) -> str:
        """Where they lie."""
        return self._root.url_of(paths.checkpoints(self.digest))

    def save(self, stage: str, training: Training) -> None:
        """Replace the checkpoint of a stage, atomically."""
        state = asdict(training.state)
        best = state.pop("best_weights")
        arrays = {
            "identity": np.array(self._identity),
            "state": np.array(json.dumps(state)),
            **{f"variable_{i}": value for i, value in enumerate(training.variables())},
            **{f"best_{i}": value for i, value in enumerate(best)},
        }
        written = io.BytesIO()
        np.savez(written, **arrays)
        self._root.write(self._path(stage), written.getvalue())

    def load(self, stage: str, training: Training) -> None:
        """Bring a training to where its checkpoint is; nothing happens where there is none.

        Of a training that was finished under another backend the weights of its best epoch are taken.

        Raises
        ------
        StoreError
            The checkpoint cannot be read, is that of another training, or was left unfinished under another backend.
        """
        path = self._path(stage)
        if not self._root.exists(path):
            return
        try:
            with np.load(io.BytesIO(self._root.read(path)), allow_pickle=False) as file:
                arrays = {name: file[name] for name in file.files}
            identity, state = str(arrays["identity"]), json.loads(str(arrays["state"]))
        except (ValueError, KeyError, OSError) as error:
            raise StoreError(f"the checkpoint {self._root.url_of(path)} cannot be read: {error}. Delete it") from error
        differences = _differences(json.loads(identity), json.loads(self._identity))
        if differences not in ([], [_BACKEND]):
            raise StoreError(
                f"the checkpoint {self._root.url_of(path)} is of another training, which differs in "
                f"{', '.join(differences)}. Delete it"
            )
        state = State(**state | {"best_weights": _numbered(arrays, "best")})
        if differences and not training.is_over(state):
            raise StoreError(
                f"the checkpoint {self._root.url_of(path)} was begun with Keras on {state.backend}, not finished: "
                f"give the same command with KERAS_BACKEND={state.backend} again, or delete it"
            )
        training.restore(state, [] if differences else _numbered(arrays, "variable"))
        log.info("%s goes on after epoch %d, training %s", stage, training.state.epoch, self.digest[:16])

    def discard(self) -> None:
        """Delete all checkpoints of the run; it is done."""
        self._root.delete(paths.checkpoints(self.digest))

    def _path(self, stage: str) -> str:
        return f"{paths.checkpoints(self.digest)}/{stage}.npz"


def _numbered(arrays: dict[str, np.ndarray], name: str) -> list[np.ndarray]:
    found = [key for key in arrays if key.startswith(f"{name}_")]
    return [arrays[f"{name}_{i}"] for i in range(len(found))]


def _differences(theirs: Any, ours: Any, name: str = "") -> list[str]:
    """Names of the fields in which two identities differ, such as ``training.seed``."""
    if isinstance(theirs, dict) and isinstance(ours, dict):
        keys = sorted(theirs.keys() | ours.keys())
        return [d for key in keys for d in _differences(theirs.get(key), ours.get(key), f"{name}.{key}".lstrip("."))]
    return [] if theirs == ours else [name]

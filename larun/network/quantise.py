"""Export of a trained network: ``.keras``, ``.h5``, float ``.tflite`` and INT8 ``.tflite``."""

from __future__ import annotations

import io
import json
import re
import tempfile
import zipfile
from pathlib import Path

import keras
import numpy as np

from larun.bundles import FLOAT_FILE, H5_FILE, INT8_FILE, KERAS_FILE
from larun.errors import ConfigurationError
from larun.network.chatter import without_chatter
from larun.network.infer import Interpreter

REPRESENTATIVE = 500
"""Views from which the ranges of activations are learnt."""


def representative_views(views: np.ndarray, label: np.ndarray, seed: int, size: int = REPRESENTATIVE) -> np.ndarray:
    """Pick training views for the quantiser: all classes alike, and the most extreme ones of each.

    Parameters
    ----------
    views : (n, 1024) float32
        Training views.
    label : (n,) int
        Classes.
    seed : int
        Seed of the choice.
    size : int
        About how many.

    Returns
    -------
    (m, 1024) float32
        For each class, half are those with the largest mean square (deep eclipses, strong artefacts), the
        others random.
    """
    rng = np.random.default_rng(seed)
    chosen = []
    present = np.unique(label)
    for k in present:
        rows = np.flatnonzero(label == k)
        wanted = min(len(rows), max(2, size // len(present)))
        strongest = rows[np.argsort(-np.square(views[rows]).mean(axis=1), kind="stable")][: wanted // 2]
        rest = np.setdiff1d(rows, strongest)
        chosen += [strongest, rng.choice(rest, min(len(rest), wanted - len(strongest)), replace=False)]
    return views[rng.permutation(np.concatenate(chosen))]


def export(model: keras.Model, representative: np.ndarray) -> dict[str, bytes]:
    """Write a network in the four formats of a bundle.

    Parameters
    ----------
    model : keras.Model
        Trained, with logits out.
    representative : (n, 1024) float32
        Real views that span what the network will see.

    Returns
    -------
    dict of str to bytes
        By the file names of `larun.bundles`. INT8 has int8 inputs and outputs, per-channel weights and a free
        batch dimension.

    Raises
    ------
    ConfigurationError
        Keras runs on another backend than TensorFlow.
    """
    if keras.backend.backend() != "tensorflow":
        raise ConfigurationError(
            f"export to TFLite needs the TensorFlow backend of Keras, this process runs on {keras.backend.backend()}; "
            "set KERAS_BACKEND=tensorflow, load the .keras file and export"
        )
    import tensorflow as tf

    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder)
        model.save(place / KERAS_FILE)
        model.save_weights(place / H5_FILE)
        model.export(place / "saved", verbose=False)
        convert = tf.lite.TFLiteConverter.from_saved_model
        floating = convert(str(place / "saved")).convert()
        converter = convert(str(place / "saved"))
        converter.optimizations = [tf.lite.Optimize.DEFAULT]
        converter.representative_dataset = lambda: ([view[np.newaxis]] for view in representative.astype(np.float32))
        converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
        converter.inference_input_type = converter.inference_output_type = tf.int8
        with without_chatter("fully_quantize: "):
            quantised = converter.convert()
        return {
            KERAS_FILE: without_clock((place / KERAS_FILE).read_bytes()),
            H5_FILE: (place / H5_FILE).read_bytes(),
            FLOAT_FILE: floating,
            INT8_FILE: without_names(quantised),
        }


def without_clock(archive: bytes) -> bytes:
    """A ``.keras`` file without times and memory addresses: equal networks are then equal bytes."""
    written = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(archive)) as source, zipfile.ZipFile(written, "w", zipfile.ZIP_DEFLATED) as target:
        for name in sorted(source.namelist()):
            data = source.read(name)
            if name == "metadata.json":
                metadata = json.loads(data)
                metadata.pop("date_saved", None)
                data = json.dumps(metadata, sort_keys=True).encode()
            elif name == "config.json":
                data = _renumbered(data)
            target.writestr(zipfile.ZipInfo(name, (1980, 1, 1, 0, 0, 0)), data, zipfile.ZIP_DEFLATED)
    return written.getvalue()


def _renumbered(config: bytes) -> bytes:
    """Shared objects numbered in order of appearance, where Keras writes their addresses."""
    numbers: dict[bytes, int] = {}

    def number(found: re.Match) -> bytes:
        return found[1] + str(numbers.setdefault(found[2], len(numbers) + 1)).encode()

    return re.sub(rb'("shared_object_id": )(\d+)', number, config)


def without_names(model: bytes) -> bytes:
    """A TFLite flatbuffer without the names of its tensors and its metadata, which nothing reads.

    Tensors that are computed share one buffer, which is empty, where the converter writes one for each.
    """
    import flatbuffers
    from tensorflow.lite.python import schema_py_generated as schema

    graph = schema.ModelT.InitFromPackedBuf(model, 0)
    for subgraph in graph.subgraphs:
        for tensor in subgraph.tensors:
            tensor.name = None
            if not _filled(graph.buffers[tensor.buffer]):
                tensor.buffer = 0
    _without_unused_buffers(graph)
    graph.metadata, graph.metadataBuffer, graph.signatureDefs, graph.description = None, None, None, b""
    builder = flatbuffers.Builder(len(model))
    builder.Finish(graph.Pack(builder), b"TFL3")
    return bytes(builder.Output())


def _filled(buffer) -> bool:
    return buffer.data is not None and len(buffer.data) > 0


def _without_unused_buffers(graph) -> None:
    """Number the buffers anew, without those that no tensor names; the first stays, it is the empty one."""
    tensors = [tensor for subgraph in graph.subgraphs for tensor in subgraph.tensors]
    kept = sorted({0, *(tensor.buffer for tensor in tensors)})
    place = {old: new for new, old in enumerate(kept)}
    for tensor in tensors:
        tensor.buffer = place[tensor.buffer]
    graph.buffers = [graph.buffers[old] for old in kept]


def compare(files: dict[str, bytes], views: np.ndarray) -> dict[str, float]:
    """Float against INT8 network on the same views.

    Parameters
    ----------
    files : dict
        From `export`.
    views : (n, 1024) float32
        Held-out views.

    Returns
    -------
    dict
        ``agreement`` (share with the same largest logit), ``rank_correlation`` (Spearman's, smallest over the
        six outputs), ``rms_difference`` of the logits over their standard deviation, ``distinct_levels`` (of
        the INT8 outputs), ``int8_bytes``, ``float_bytes``.
    """
    exact = Interpreter(files[FLOAT_FILE]).logits(views)
    network = Interpreter(files[INT8_FILE])
    quantised = network.logits(views)
    correlations = [
        np.corrcoef(_ranks(exact[:, k]), _ranks(quantised[:, k]))[0, 1] if np.ptp(quantised[:, k]) > 0 else 0.0
        for k in range(exact.shape[1])
    ]
    return {
        "agreement": float(np.mean(exact.argmax(axis=1) == quantised.argmax(axis=1))),
        "rank_correlation": float(min(correlations)),
        "rms_difference": float(np.sqrt(np.mean((exact - quantised) ** 2)) / max(float(exact.std()), 1e-9)),
        "distinct_levels": len(np.unique(network.raw_logits(views))),
        "int8_bytes": len(files[INT8_FILE]),
        "float_bytes": len(files[FLOAT_FILE]),
        "views": len(views),
    }


def _ranks(values: np.ndarray) -> np.ndarray:
    """Ranks from 0, ties at their mean."""
    _, inverse, counts = np.unique(values, return_inverse=True, return_counts=True)
    last = np.cumsum(counts) - 1
    return (last - (counts - 1) / 2)[inverse]

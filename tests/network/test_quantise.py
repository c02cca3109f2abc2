"""Export in four formats, and what INT8 costs."""

import io
import zipfile

import keras
import numpy as np
import pytest

from larun.bundles import FLOAT_FILE, H5_FILE, INT8_FILE, KERAS_FILE
from larun.errors import ConfigurationError
from larun.network import quantise
from larun.network.architectures import build
from larun.network.infer import Interpreter
from larun.network.labelled import TEST, split_by_star


@pytest.fixture(scope="module")
def held_out(data, small_settings):
    d = small_settings.dataset
    side = split_by_star(data.star, d.validation_fraction, d.test_fraction, small_settings.training.seed)
    return data.views[side == TEST]


def test_int8_is_small_and_answers_finely(bundle, held_out):
    assert len(bundle.int8_model) < 25_000
    levels = Interpreter(bundle.int8_model).raw_logits(held_out)
    assert levels.dtype == np.int8
    assert len(np.unique(levels)) >= 64


def test_all_formats_hold_the_same_network(bundle, held_out, tmp_path):
    for name in (KERAS_FILE, H5_FILE):
        (tmp_path / name).write_bytes(bundle.files[name])
    loaded = keras.saving.load_model(tmp_path / KERAS_FILE)
    expected = np.asarray(keras.ops.convert_to_numpy(loaded(held_out[:16])))
    empty = build("spectral_cnn")
    empty.load_weights(tmp_path / H5_FILE)
    assert keras.ops.convert_to_numpy(empty(held_out[:16])) == pytest.approx(expected, abs=1e-5)
    floating = Interpreter(bundle.files[FLOAT_FILE]).logits(held_out[:16])
    assert floating == pytest.approx(expected, abs=1e-3 * float(np.abs(expected).max()))
    int8 = Interpreter(bundle.files[INT8_FILE]).logits(held_out[:16])
    assert int8 == pytest.approx(expected, abs=0.1 * float(np.abs(expected).max()))


def test_the_comparison_notices_a_broken_network(bundle, held_out):
    same = quantise.compare(bundle.files | {INT8_FILE: bundle.files[FLOAT_FILE]}, held_out)
    assert same["agreement"] == 1.0
    assert same["rms_difference"] == 0.0
    assert same["rank_correlation"] == pytest.approx(1.0)
    mirrored = quantise.compare(bundle.files, -held_out)
    assert mirrored["views"] == len(held_out)


def test_weights_are_quantised_per_channel_and_nothing_is_named(bundle):
    from tensorflow.lite.python import schema_py_generated as schema

    graph = schema.ModelT.InitFromPackedBuf(bundle.int8_model, 0)
    scales = [len(t.quantization.scale) for t in graph.subgraphs[0].tensors if t.quantization.scale is not None]
    assert {12, 48} <= set(scales)
    assert not any(tensor.name for tensor in graph.subgraphs[0].tensors)


def test_only_weights_and_constants_have_a_buffer_of_their_own(bundle):
    from tensorflow.lite.python import schema_py_generated as schema

    graph = schema.ModelT.InitFromPackedBuf(bundle.int8_model, 0)
    held = [buffer.data is not None and len(buffer.data) > 0 for buffer in graph.buffers]
    assert held == [False] + [True] * (len(held) - 1)
    assert {tensor.buffer for tensor in graph.subgraphs[0].tensors} == set(range(len(held)))


def test_no_clock_is_in_the_keras_file(bundle):
    with zipfile.ZipFile(io.BytesIO(bundle.files[KERAS_FILE])) as archive:
        assert {item.date_time for item in archive.infolist()} == {(1980, 1, 1, 0, 0, 0)}
        assert b"date_saved" not in archive.read("metadata.json")


def test_the_representative_set_holds_the_extremes_of_every_class():
    rng = np.random.default_rng(0)
    views = 0.01 * rng.standard_normal((300, 1024)).astype(np.float32)
    label = np.arange(300) % 3
    views[5] = -1.0
    chosen = quantise.representative_views(views, label, seed=1, size=30)
    assert len(chosen) == 30
    assert any(np.array_equal(row, views[5]) for row in chosen)
    assert np.array_equal(chosen, quantise.representative_views(views, label, seed=1, size=30))


def test_another_backend_is_told_what_to_do(monkeypatch):
    monkeypatch.setattr(keras.backend, "backend", lambda: "jax")
    with pytest.raises(ConfigurationError, match="KERAS_BACKEND=tensorflow"):
        quantise.export(None, np.zeros((1, 1024)))


def test_ranks_share_ties():
    assert quantise._ranks(np.array([3.0, 1.0, 3.0, 2.0])).tolist() == [2.5, 0.0, 2.5, 1.0]


def test_nothing_of_the_int8_network_is_left_in_float(bundle):
    from tensorflow.lite.python import schema_py_generated as schema

    graph = schema.ModelT.InitFromPackedBuf(bundle.int8_model, 0)
    assert {t.type for t in graph.subgraphs[0].tensors} == {schema.TensorType.INT8, schema.TensorType.INT32}
    floating = schema.ModelT.InitFromPackedBuf(bundle.files[FLOAT_FILE], 0)
    assert schema.TensorType.FLOAT32 in {t.type for t in floating.subgraphs[0].tensors}

"""Networks come back from bundles, and what could run code does not."""

import io
import json
import pickle
import zipfile

import keras
import numpy as np
import pytest

from larun.bundles import KERAS_FILE, Bundle
from larun.errors import BundleError
from larun.network.architectures import build
from larun.network.quantise import without_clock
from larun.network.restore import load_network


def keras_bytes(network, tmp_path):
    network.save(tmp_path / KERAS_FILE)
    return (tmp_path / KERAS_FILE).read_bytes()


def bundle(content):
    return Bundle({"name": "small", "version": "1"}, {KERAS_FILE: content})


@pytest.fixture(scope="module")
def content(tmp_path_factory):
    keras.utils.set_random_seed(3)
    network = build("spectral_cnn_plain")
    views = np.random.default_rng(0).uniform(-1, 1, (2, 1024)).astype(np.float32)
    return keras_bytes(network, tmp_path_factory.mktemp("k")), views, keras.ops.convert_to_numpy(network(views))


def rewritten(content, change=lambda config: config, **members):
    """A .keras file with another configuration, and more members."""
    written = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(content)) as source, zipfile.ZipFile(written, "w") as target:
        for name in source.namelist():
            data = source.read(name)
            target.writestr(name, change(data.decode()) if name == "config.json" else data)
        for name, data in members.items():
            target.writestr(name, data)
    return written.getvalue()


def test_the_network_comes_back(content):
    saved, views, logits = content
    network = load_network(bundle(without_clock(saved)))
    assert keras.ops.convert_to_numpy(network(views)) == pytest.approx(logits, abs=1e-6)


def test_a_pickle_beside_the_layers_is_refused(content):
    with pytest.raises(BundleError, match=r"it holds weights\.pkl"):
        load_network(bundle(rewritten(content[0], **{"weights.pkl": pickle.dumps([1])})))


def test_a_pickle_in_place_of_the_archive_is_refused():
    with pytest.raises(BundleError, match=r"is no \.keras archive"):
        load_network(bundle(pickle.dumps({"layers": []})))


def test_a_lambda_is_refused(tmp_path):
    inputs = keras.Input((1024,))
    logits = keras.layers.Dense(6)(keras.layers.Lambda(lambda x: 2 * x)(inputs))
    with pytest.raises(BundleError, match="holds a Lambda layer or a function"):
        load_network(bundle(keras_bytes(keras.Model(inputs, logits), tmp_path)))


def test_another_input_length_is_refused(tmp_path):
    inputs = keras.Input((512,))
    with pytest.raises(BundleError, match=r"should take \(n, 1024\) and give \(n, 6\), its shapes are \(None, 512\)"):
        load_network(bundle(keras_bytes(keras.Model(inputs, keras.layers.Dense(6)(inputs)), tmp_path)))


def test_a_broken_configuration_is_refused(content):
    broken = rewritten(content[0], lambda config: json.dumps(json.loads(config) | {"class_name": "Unknown"}))
    with pytest.raises(BundleError, match="cannot be read"):
        load_network(bundle(broken))

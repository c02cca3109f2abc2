"""Networks: shapes and sizes."""

import keras
import numpy as np
import pytest

from larun.network.architectures import build


@pytest.mark.parametrize("name", ["spectral_cnn", "spectral_cnn_plain"])
def test_views_in_logits_out(name):
    network = build(name)
    out = keras.ops.convert_to_numpy(network(np.zeros((3, 1024), np.float32)))
    assert out.shape == (3, 6)
    assert network.count_params() < 16_000
    stages = [layer for layer in network.layers if isinstance(layer, keras.layers.Conv2D)]
    assert len(stages) == (6 if name == "spectral_cnn" else 3)
    assert all(layer.kernel_size[0] == 1 for layer in stages)


def test_a_wider_network_has_more_filters_and_reads_the_same_views():
    plain, wide = build("spectral_cnn"), build("spectral_cnn", width=2.0, measured_units=(40,))
    assert wide.get_layer("local_1").filters == 2 * plain.get_layer("local_1").filters
    assert wide.get_layer("measured_1").units == 40
    assert wide.input_shape == plain.input_shape
    views = np.zeros((2, 1024), np.float32)
    views[1, 960:] = 1.0
    out = keras.ops.convert_to_numpy(plain(views))
    assert not np.allclose(out[0], out[1])


def test_a_perceptron_reads_its_part_alone():
    network = build("perceptron", first=100, last=140, units=(8, 4))
    assert network.count_params() == 40 * 8 + 8 + 8 * 4 + 4 + 4 * 6 + 6
    views = np.random.default_rng(1).normal(0, 1, (2, 1024)).astype(np.float32)
    elsewhere = views.copy()
    elsewhere[:, :100], elsewhere[:, 140:] = 9.0, 9.0
    convert = keras.ops.convert_to_numpy
    assert np.array_equal(convert(network(views)), convert(network(elsewhere)))
    x = views[:, 100:140]
    *hidden, (kernel, bias) = [layer.get_weights() for layer in network.layers if layer.weights]
    for weights, offset in hidden:
        x = np.maximum(x @ weights + offset, 0)
    assert convert(network(views)) == pytest.approx(x @ kernel + bias, abs=1e-4)

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

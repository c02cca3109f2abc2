"""WaveNet: what each sample sees, the heads, and a round trip through a file; JAX is in test_backends.py."""

import keras
import numpy as np
import pytest

from larun.errors import ConfigurationError
from larun.network import quantise
from larun.network.architectures import build
from larun.network.wavenet import receptive_field

SMALL = {"length": 64, "residual": 4, "skip": 6, "blocks": 2, "depth": 3, "localise": True}


def output(network, views, head="localisation"):
    return keras.ops.convert_to_numpy(network(views)[head])


def reached(network, position, length=64):
    """Samples of the localisation that change when one input sample does.

    No weight is near zero: at the ends the change went through all layers, and must not be lost in rounding.
    """
    rng = np.random.default_rng(3)
    for layer in network.layers:
        layer.set_weights([rng.choice([-1, 1], w.shape) * rng.uniform(0.3, 0.6, w.shape) for w in layer.get_weights()])
    views = np.random.default_rng(1).normal(0, 1, (1, length)).astype(np.float32)
    other = views.copy()
    other[0, position] += 3.0
    return np.flatnonzero(output(network, views)[0] != output(network, other)[0])


def test_receptive_field_of_the_defaults_by_hand():
    # 2 blocks of dilations 1 + 2 + ... + 128 = 255, each of which a kernel of 3 doubles: 2 * 2 * 255, and the sample.
    assert receptive_field() == 1021
    assert receptive_field(1, 3, 3) == 15
    assert receptive_field(2, 3, 2) == 15


@pytest.mark.parametrize("unit", ["gated", "relu"])
def test_receptive_field_by_perturbation(unit):
    seen = reached(build("wavenet", **SMALL, unit=unit), 32)
    half = (receptive_field(2, 3, 3) - 1) // 2
    assert half == 14
    assert seen.min() >= 32 - half
    assert seen.max() <= 32 + half
    if unit == "gated":  # a rectified unit may be shut
        assert (seen.min(), seen.max()) == (32 - half, 32 + half)


def test_causal_sees_only_the_past():
    seen = reached(build("wavenet", **SMALL, causal=True), 20)
    assert (seen.min(), seen.max()) == (20, 20 + receptive_field(2, 3, 3) - 1)


def test_defaults_of_the_guide():
    network = build("wavenet")
    dilated = [layer for layer in network.layers if layer.name.endswith("_filter")]
    assert [layer.dilation_rate[1] for layer in dilated] == [1, 2, 4, 8, 16, 32, 64, 128] * 2
    assert {(layer.filters, layer.kernel_size) for layer in dilated} == {(32, (1, 3))}
    assert network.get_layer("block2_layer8_skip").filters == 64
    assert network.output_shape == (None, 6)


@pytest.mark.parametrize("pooling", ["average", "attention"])
def test_shapes_of_all_heads(pooling):
    network = build("wavenet", **SMALL, pooling=pooling, regress=True)
    out = network(np.zeros((3, 64), np.float32))
    shapes = {name: tuple(head.shape) for name, head in out.items()}
    assert shapes == {"logits": (3, 6), "localisation": (3, 64), "depth": (3, 1), "period": (3, 1)}


def test_attention_is_a_weighted_mean_over_time():
    network = build("wavenet", **SMALL, pooling="attention")
    views = np.random.default_rng(2).normal(0, 1, (2, 64)).astype(np.float32)
    names = ("segments", "attention_weights", "logits")
    inner = keras.Model(network.inputs[0], [network.get_layer(name).output for name in names])
    features, weights, logits = (keras.ops.convert_to_numpy(part) for part in inner(views))
    assert weights.shape == (2, 1, 2)  # 64 samples in segments of 32
    assert weights.sum(axis=-1) == pytest.approx(1.0, abs=1e-5)
    kernel, bias = (keras.ops.convert_to_numpy(w) for w in network.get_layer("logits").weights)
    expected = np.einsum("nt,ntc->nc", weights[:, 0], features[:, 0]) @ kernel + bias
    assert logits == pytest.approx(expected, abs=1e-4)


def test_a_round_trip_through_a_file_changes_nothing(tmp_path):
    network = build("wavenet", **SMALL, pooling="attention", causal=True, regress=True)
    network.save(tmp_path / "w.keras")
    again = keras.saving.load_model(tmp_path / "w.keras")
    views = np.random.default_rng(2).normal(0, 1, (2, 64)).astype(np.float32)
    for head in ("logits", "localisation", "depth", "period"):
        assert np.array_equal(output(network, views, head), output(again, views, head))


@pytest.mark.parametrize("pooling", ["average", "attention"])
def test_int8_ranks_like_float(pooling):
    network = build("wavenet", residual=4, skip=8, blocks=1, depth=3, pooling=pooling, causal=True)
    rng = np.random.default_rng(0)
    for layer in network.layers:
        layer.set_weights([rng.normal(0, 0.5, w.shape).astype(np.float32) for w in layer.get_weights()])
    level, slope = rng.uniform(-0.5, 0.5, (2, 80, 1))
    views = level + slope * np.linspace(-1, 1, 1024) + rng.normal(0, 0.05, (80, 1024))
    views = np.clip(views, -1, 1).astype(np.float32)
    files = quantise.export(network, views[:40])
    found = quantise.compare(files, views[40:])
    assert found["rank_correlation"] > 0.85  # the logits of random weights differ little between views


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"unit": "tanh"}, "unit is 'tanh', it should be one of gated, relu"),
        ({"pooling": "max"}, "should be one of average, attention"),
        ({"blocks": 0}, "blocks is 0"),
        ({"widths": 3}, "no option widths"),
    ],
)
def test_unknown_options_are_refused(options, message):
    with pytest.raises(ConfigurationError, match=message):
        build("wavenet", **options)


def test_unknown_architectures_are_refused():
    with pytest.raises(ConfigurationError, match="no architecture 'resnet'; there are spectral_cnn"):
        build("resnet")

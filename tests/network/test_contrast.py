"""Contrastive pre-training: its loss against the formula, and that it teaches without labels."""

import keras
import numpy as np
import pytest

from larun.config import Settings
from larun.network import contrast
from larun.network.architectures import build


def test_the_loss_is_that_of_the_formula():
    rng = np.random.default_rng(0)
    vectors = rng.standard_normal((2, 5, 4))
    vectors /= np.linalg.norm(vectors, axis=2, keepdims=True)
    every = vectors.reshape(10, 4)
    expected = np.zeros(5)
    for i in range(5):
        for one, other in ((i, i + 5), (i + 5, i)):
            likeness = np.exp(every @ every[one] / contrast.TEMPERATURE)
            expected[i] -= 0.5 * np.log(likeness[other] / (likeness.sum() - likeness[one]))
    pairs = np.concatenate([vectors[0], vectors[1]], axis=1).astype(np.float32)
    got = keras.ops.convert_to_numpy(contrast.contrastive_loss(None, keras.ops.convert_to_tensor(pairs)))
    assert got == pytest.approx(expected, rel=1e-4)


def test_views_are_known_again_without_labels(data):
    settings = Settings(training={"pretrain_epochs": 4, "batch_size": 32})
    keras.utils.set_random_seed(1)
    network = build("spectral_cnn")
    before = network.get_weights()
    losses = contrast.pretrain(network, data.views[:128], settings.training, settings.augmentation)
    assert len(losses) == 4
    assert losses[-1] < losses[0] - 0.2
    logits = [w.path for w in network.weights].index("logits/kernel")
    changed = [not np.array_equal(a, b) for a, b in zip(before, network.get_weights(), strict=True)]
    assert not changed[logits]
    assert all(
        c for c, w in zip(changed, network.weights, strict=True) if w.path.endswith("kernel") and "logits" not in w.path
    )

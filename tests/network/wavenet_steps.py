"""Three steps of a WaveNet, which must be the same under every backend."""

import keras
import numpy as np

from larun.network.architectures import build


def step_losses() -> list[float]:
    """Losses of three steps with all heads, from weights and views that the backend has no part in."""
    network = build("wavenet", 0.0, length=64, residual=4, skip=6, blocks=1, depth=3, localise=True, regress=True)
    rng = np.random.default_rng(0)
    views, label = rng.normal(0, 1, (8, 64)).astype(np.float32), np.arange(8) % 6
    for layer in network.layers:
        layer.set_weights([rng.normal(0, 0.3, w.shape).astype(np.float32) for w in layer.get_weights()])
    ones = np.ones((8, 1))
    targets = {"logits": label, "localisation": (views > 1).astype(np.float32), "depth": ones, "period": ones}
    losses = {
        "logits": keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        "localisation": keras.losses.BinaryCrossentropy(from_logits=True),
        "depth": "mse",
        "period": "mse",
    }
    network.compile(keras.optimizers.SGD(0.05), losses, jit_compile=keras.backend.backend() == "jax")
    return [float(network.train_on_batch(views, targets, return_dict=True)["loss"]) for _ in range(3)]

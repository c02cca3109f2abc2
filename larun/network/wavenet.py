"""WaveNet for light curves: dilated convolutions that see the whole series at full resolution.

After van den Oord et al. 2016 (arXiv:1609.03499), with class, localisation and regression heads instead of a
generative output.
"""

from __future__ import annotations

import keras
from keras import layers, ops

from larun.errors import ConfigurationError
from larun.schema import CLASSES, VIEW_LENGTH

UNITS = ("gated", "relu")
POOLINGS = ("average", "attention")
SEGMENT = 32
"""Samples that attention weighs together. An INT8 softmax has steps of 1/256: over 1024 samples most would be 0."""


def receptive_field(blocks: int = 2, depth: int = 8, kernel: int = 3) -> int:
    """Input samples that one output sample depends on.

    Every layer widens it by ``(kernel - 1)`` times its dilation, and the dilations of a block sum to
    ``2**depth - 1``.
    """
    return 1 + blocks * (kernel - 1) * (2**depth - 1)


def wavenet(
    dropout: float = 0.2,
    *,
    length: int = VIEW_LENGTH,
    residual: int = 32,
    skip: int = 64,
    blocks: int = 2,
    depth: int = 8,
    kernel: int = 3,
    unit: str = "gated",
    causal: bool = False,
    pooling: str = "average",
    localise: bool = False,
    regress: bool = False,
) -> keras.Model:
    """Stacks of dilated residual units; their summed skips feed the heads.

    Parameters
    ----------
    dropout : float
        Share of the pooled features left out while training.
    length : int
        Samples of the input.
    residual, skip : int
        Channels between the units, and of the sum that the heads read.
    blocks, depth, kernel : int
        Each block has `depth` layers of dilation 1, 2, 4, ...
    unit : {"gated", "relu"}
        ``tanh(filter) * sigmoid(gate)``, or a rectified convolution.
    causal : bool
        No sample of the skips depends on a later input.
    pooling : {"average", "attention"}
        How time goes: mean, or a mean weighted by a learnt softmax over segments of `SEGMENT` samples.
    localise : bool
        Add the head ``localisation``: a logit per sample, in transit or not.
    regress : bool
        Add the heads ``depth`` (log10 ppm) and ``period`` (log10 d).

    Returns
    -------
    keras.Model
        (n, length) float32 to (n, 6) logits; with further heads to a dict of ``logits``, ``localisation``
        (n, length), ``depth`` (n, 1) and ``period`` (n, 1), those that were asked for.

    Raises
    ------
    ConfigurationError
        `unit` or `pooling` is none of the above, or a size is not positive.
    """
    _require(unit, pooling, length=length, residual=residual, skip=skip, blocks=blocks, depth=depth, kernel=kernel)
    inputs = keras.Input((length,), name="views")
    x = layers.Conv2D(residual, (1, 1), name="initial")(ops.reshape(inputs, (-1, 1, length, 1)))
    skips = []
    for block in range(1, blocks + 1):
        for layer in range(depth):
            name = f"block{block}_layer{layer + 1}"
            hidden = _unit(x, residual, kernel, 2**layer, unit, causal, name)
            skips.append(layers.Conv2D(skip, (1, 1), name=f"{name}_skip")(hidden))
            x = layers.Add(name=f"{name}_sum")([x, layers.Conv2D(residual, (1, 1), name=f"{name}_residual")(hidden)])
    summed = layers.Add(name="skips")(skips) if len(skips) > 1 else skips[0]
    summed = layers.ReLU(name="skips_relu")(summed)
    features = layers.Conv2D(skip, (1, 1), activation="relu", name="features")(summed)
    pooled = layers.Dropout(dropout, name="dropout")(_pooled(features, skip, pooling))
    heads = {"logits": layers.Dense(len(CLASSES), name="logits")(pooled)}
    if localise:
        per_sample = layers.Conv2D(1, (1, 1), name="localisation_conv")(features)
        heads["localisation"] = layers.Reshape((length,), name="localisation")(per_sample)
    if regress:
        heads |= {name: layers.Dense(1, name=name)(pooled) for name in ("depth", "period")}
    return keras.Model(inputs, heads if len(heads) > 1 else heads["logits"], name="wavenet")


def _unit(x, channels: int, kernel: int, dilation: int, unit: str, causal: bool, name: str):
    """The dilated convolution of one layer and its non-linearity."""
    if causal:
        x = layers.ZeroPadding2D(((0, 0), ((kernel - 1) * dilation, 0)), name=f"{name}_past")(x)
    options = {"dilation_rate": (1, dilation), "padding": "valid" if causal else "same"}
    if unit == "relu":
        return layers.Conv2D(channels, (1, kernel), activation="relu", name=f"{name}_conv", **options)(x)
    signal = layers.Conv2D(channels, (1, kernel), activation="tanh", name=f"{name}_filter", **options)(x)
    gate = layers.Conv2D(channels, (1, kernel), activation="sigmoid", name=f"{name}_gate", **options)(x)
    return layers.Multiply(name=f"{name}_gated")([signal, gate])


def _pooled(features, channels: int, pooling: str):
    """(n, 1, length, channels) to (n, channels)."""
    if pooling == "average":
        return layers.GlobalAveragePooling2D(name="average")(features)
    segments = layers.AveragePooling2D((1, SEGMENT), padding="same", name="segments")(features)
    count = segments.shape[2]
    weights = layers.Conv2D(1, (1, 1), name="attention")(segments)
    weights = layers.Softmax(name="attention_weights")(layers.Reshape((1, count))(weights))
    return layers.Reshape((channels,))(ops.matmul(weights, layers.Reshape((count, channels))(segments)))


def _require(unit: str, pooling: str, **sizes: int) -> None:
    for name, value, known in (("unit", unit, UNITS), ("pooling", pooling, POOLINGS)):
        if value not in known:
            raise ConfigurationError(f"wavenet's {name} is {value!r}, it should be one of {', '.join(known)}")
    for name, size in sizes.items():
        if size < 1:
            raise ConfigurationError(f"wavenet's {name} is {size}, it should be at least 1")

"""Networks, written with Keras 3 layers so that they train under TensorFlow and under JAX alike.

A Conv1D is written as a Conv2D of height one: TFLite has no other, and would wrap every Conv1D in reshapes that
cost more bytes than its weights. Reshapes name the batch -1, so that it stays free without shape arithmetic.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from typing import Any

import keras
from keras import layers, ops

from larun.errors import ConfigurationError
from larun.network.wavenet import wavenet
from larun.schema import CLASSES, VIEW_LENGTH
from larun.views import view_slices

PLAIN_STAGES = ((16, 7, 4), (32, 5, 4), (48, 3, 4))
LOCAL_STAGES = ((8, 5, 2), (12, 5, 2), (8, 3, 4))
WIDE_STAGES = ((8, 5, 2), (12, 5, 2), (12, 3, 2))
"""Filters, kernel size and pooling of the three stages."""

SHOWN_UNITS = 16
"""Size of the layer behind both columns, beside those of the measured quantities."""

LOCAL_VIEWS = ("odd", "even", "secondary", "depth")


def build(architecture: str, dropout: float = 0.2, **options: Any) -> keras.Model:
    """Make an untrained network by name.

    Parameters
    ----------
    architecture : str
        One of `ARCHITECTURES`. ``spectral_cnn``: the multi-view form; ``spectral_cnn_plain``: the whole vector as
        one series; ``wavenet``: dilated convolutions over the whole vector; ``perceptron``: dense layers over a part
        of it.
    dropout : float
        Share of the units before the logits (of the features, for ``wavenet``) left out while training.
    **options
        Of the architecture: those of `larun.network.wavenet.wavenet`, `spectral_cnn` and `perceptron`;
        `spectral_cnn_plain` has none.

    Returns
    -------
    keras.Model
        (n, 1024) float32 to (n, 6) logits, or to a dict of heads where `options` ask for more of them.

    Raises
    ------
    ConfigurationError
        No such architecture, or none of its options.
    """
    if architecture not in ARCHITECTURES:
        raise ConfigurationError(f"there is no architecture {architecture!r}; there are {', '.join(ARCHITECTURES)}")
    make = ARCHITECTURES[architecture]
    unknown = sorted(set(options) - set(inspect.signature(make).parameters))
    if unknown:
        raise ConfigurationError(f"the architecture {architecture} has no option {', '.join(unknown)}")
    return make(dropout, **options)


def spectral_cnn_plain(dropout: float = 0.2) -> keras.Model:
    """Three Conv1D-BatchNorm-ReLU-pool stages, global average, dense, dropout, six logits."""
    inputs = keras.Input((VIEW_LENGTH,), name="views")
    x = _stages(_series(inputs, VIEW_LENGTH, 1), PLAIN_STAGES, "conv")
    x = layers.Dense(48, activation="relu", name="dense")(layers.GlobalAveragePooling2D()(x))
    x = layers.Dropout(dropout, name="dropout")(x)
    return keras.Model(inputs, layers.Dense(len(CLASSES), name="logits")(x), name="spectral_cnn_plain")


def spectral_cnn(dropout: float = 0.2, *, width: float = 1.0, measured_units: Sequence[int] = (48, 32)) -> keras.Model:
    """`spectral_cnn_plain`'s stages on each of two columns, sliced from the vector, beside the measured quantities.

    The four views around the event enter the local column as channels, sample by sample, so that its first
    stage can compare odd, even, secondary and all transits; global and sector view enter the wide column, two
    samples of each per step. The local column keeps seven positions, because where a dip lies and how it is
    shaped matters there; the wide one keeps averages and strongest responses. The measured quantities pass dense
    layers of their own.

    Parameters
    ----------
    dropout : float
        Share of the units before the logits left out while training.
    width : float
        Multiplies the filters of all stages.
    measured_units : sequence of int
        Sizes of the layers that read the measured quantities.
    """
    inputs = keras.Input((VIEW_LENGTH,), name="views")
    places, n_views = view_slices(), len(LOCAL_VIEWS)
    # One split: behind several slices of the vector the converter leaves a dense layer in float32.
    edges = [places[name].start for name in ("odd", "sector", "measured")]
    whole, local, sector, numbers = ops.split(inputs, edges, axis=1)

    # Transposed in three dimensions: behind a transpose of four the converter leaves the convolution in float32.
    local = layers.Permute((2, 1))(ops.reshape(local, (-1, n_views, local.shape[1] // n_views)))
    local = ops.reshape(local, (-1, 1, local.shape[1], n_views))
    local = _stages(local, _widened(LOCAL_STAGES, width), "local")
    local = ops.reshape(local, (-1, local.shape[2] * local.shape[3]))
    wide = layers.Concatenate()([_pairs(whole), _pairs(sector)])
    wide = _stages(wide, _widened(WIDE_STAGES, width), "wide")
    x = [local, layers.GlobalAveragePooling2D()(wide), layers.GlobalMaxPooling2D()(wide)]
    x = layers.Dense(SHOWN_UNITS, activation="relu", name="dense")(layers.Concatenate()(x))
    for number, size in enumerate(measured_units, 1):
        numbers = layers.Dropout(0.5 * dropout, name=f"measured_{number}_dropout")(numbers)
        numbers = layers.Dense(size, activation="relu", name=f"measured_{number}")(numbers)
    x = layers.Dropout(dropout, name="dropout")(layers.Concatenate()([x, numbers]))
    return keras.Model(inputs, layers.Dense(len(CLASSES), name="logits")(x), name="spectral_cnn")


def perceptron(
    dropout: float = 0.2,
    *,
    first: int = 0,
    last: int = VIEW_LENGTH,
    units: Sequence[int] = (128, 64),
    activation: str = "relu",
) -> keras.Model:
    """Dense layers over a part of the vector that holds measured quantities rather than a series.

    Parameters
    ----------
    dropout : float
        Share of the units of every layer left out while training.
    first, last : int
        The samples that are read, `last` excluded.
    units : sequence of int
        Sizes of the hidden layers.
    activation : str
        Name of their non-linearity.
    """
    inputs = keras.Input((VIEW_LENGTH,), name="views")
    x = inputs[:, first:last]
    for number, size in enumerate(units, 1):
        x = layers.Dense(size, activation=activation, name=f"dense_{number}")(x)
        x = layers.Dropout(dropout, name=f"dropout_{number}")(x)
    return keras.Model(inputs, layers.Dense(len(CLASSES), name="logits")(x), name="perceptron")


def _series(flat, length: int, channels: int):
    return ops.reshape(flat, (-1, 1, length, channels))


def _pairs(flat):
    """Two successive samples per step."""
    return _series(flat, flat.shape[1] // 2, 2)


def _widened(stages, width: float):
    return tuple((max(round(width * filters), 1), kernel, pool) for filters, kernel, pool in stages)


def _stages(x, stages, name: str):
    for number, (filters, kernel, pool) in enumerate(stages, 1):
        x = layers.Conv2D(filters, (1, kernel), padding="same", use_bias=False, name=f"{name}_{number}")(x)
        x = layers.BatchNormalization(name=f"{name}_{number}_norm")(x)
        x = layers.ReLU(name=f"{name}_{number}_relu")(x)
        x = layers.MaxPooling2D((1, pool), name=f"{name}_{number}_pool")(x)
    return x


ARCHITECTURES: dict[str, Callable[..., keras.Model]] = {
    "spectral_cnn": spectral_cnn,
    "spectral_cnn_plain": spectral_cnn_plain,
    "wavenet": wavenet,
    "perceptron": perceptron,
}

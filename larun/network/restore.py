"""Networks back from their bundles, without running anything that a file could smuggle in."""

from __future__ import annotations

import tempfile
from pathlib import Path

import keras

from larun.bundles import H5_FILE, KERAS_FILE, Bundle, require_plain_keras
from larun.errors import BundleError
from larun.schema import CLASSES, VIEW_LENGTH


def load_network(bundle: Bundle) -> keras.Model:
    """The network of a bundle, of whatever architecture, in float.

    Raises
    ------
    BundleError
        Its ``.keras`` file holds code, cannot be read, or is a network of other inputs or outputs.
    """
    which = f"{KERAS_FILE} of {bundle.name}/{bundle.version}"
    require_plain_keras(bundle.files[KERAS_FILE], which)
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder) / KERAS_FILE
        place.write_bytes(bundle.files[KERAS_FILE])
        try:
            network = keras.saving.load_model(place, compile=False, safe_mode=True)
        except (ValueError, TypeError, KeyError, OSError) as error:
            raise BundleError(f"{which} cannot be read: {error}") from error
    shapes = (getattr(network, "input_shape", None), getattr(network, "output_shape", None))
    if shapes != ((None, VIEW_LENGTH), (None, len(CLASSES))):
        raise BundleError(
            f"{which} should take (n, {VIEW_LENGTH}) and give (n, {len(CLASSES)}), its shapes are "
            f"{shapes[0]} and {shapes[1]}"
        )
    return network


def load_weights(network: keras.Model, bundle: Bundle) -> None:
    """Give a network the weights of a bundle of the same architecture.

    Raises
    ------
    BundleError
        The weights are of another network.
    """
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder) / H5_FILE
        place.write_bytes(bundle.files[H5_FILE])
        try:
            network.load_weights(place)
        except (ValueError, KeyError, OSError) as error:
            raise BundleError(
                f"the weights of {bundle.name}/{bundle.version} are of another network than {network.name}: {error}"
            ) from error

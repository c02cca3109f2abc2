"""Class probabilities from views, with the LiteRT runtime alone: sweep workers never load TensorFlow."""

from __future__ import annotations

import numpy as np

from larun.bundles import Bundle
from larun.errors import BundleError, InputError
from larun.network.chatter import without_chatter
from larun.schema import CLASSES, VIEW_LENGTH

BATCH = 64
"""Views of one invocation."""


class Interpreter:
    """One TFLite network on one thread, resized once to a fixed batch.

    Parameters
    ----------
    model : bytes
        TFLite flatbuffer, (n, 1024) in and (n, 6) out, float32 or int8 with a free batch dimension.
    batch : int
        Views of one invocation.

    Raises
    ------
    BundleError
        The flatbuffer cannot be read, or has other inputs or outputs.
    """

    def __init__(self, model: bytes, batch: int = BATCH):
        from ai_edge_litert.interpreter import Interpreter as LiteRT  # costs 0.25 s

        try:
            self._runtime = LiteRT(model_content=model, num_threads=1)
        except (ValueError, RuntimeError) as error:
            raise BundleError(f"the network is no readable TFLite flatbuffer: {error}") from error
        inputs, outputs = self._runtime.get_input_details(), self._runtime.get_output_details()
        shapes = [tuple(item["shape_signature"][1:]) for item in (*inputs, *outputs)]
        if shapes != [(VIEW_LENGTH,), (len(CLASSES),)]:
            raise BundleError(
                f"the network should take (n, {VIEW_LENGTH}) and give (n, {len(CLASSES)}), its tensors are {shapes}"
            )
        self.batch = batch
        self._runtime.resize_tensor_input(inputs[0]["index"], [batch, VIEW_LENGTH])
        with without_chatter("INFO: Created TensorFlow Lite XNNPACK delegate"):
            self._runtime.allocate_tensors()
        self._input, self._output = self._runtime.get_input_details()[0], self._runtime.get_output_details()[0]

    def raw_logits(self, views: np.ndarray) -> np.ndarray:
        """Outputs as the network gives them: (n, 6) int8 levels, or float32.

        Raises
        ------
        InputError
            `views` is not (n, 1024) or holds NaN.
        """
        views = np.asarray(views, np.float32)
        if views.ndim != 2 or views.shape[1] != VIEW_LENGTH:
            raise InputError(f"views should be (n, {VIEW_LENGTH}), they are {views.shape}")
        result = np.empty((len(views), len(CLASSES)), self._output["dtype"])
        padded = np.zeros((self.batch, VIEW_LENGTH), self._input["dtype"])
        for start in range(0, len(views), self.batch):
            part = views[start : start + self.batch]
            if not np.isfinite(part).all():
                bad = np.sum(~np.isfinite(views).all(axis=1))
                raise InputError(f"{bad} of {len(views)} views hold NaN or infinity")
            padded[: len(part)] = self._quantised(part)
            self._runtime.set_tensor(self._input["index"], padded)
            self._runtime.invoke()
            result[start : start + len(part)] = self._runtime.get_tensor(self._output["index"])[: len(part)]
        return result

    def logits(self, views: np.ndarray) -> np.ndarray:
        """Outputs as (n, 6) float32, dequantised."""
        raw = self.raw_logits(views)
        if raw.dtype != np.int8:
            return raw
        scale, zero = self._output["quantization"]
        return (raw.astype(np.float32) - zero) * np.float32(scale)

    def _quantised(self, views: np.ndarray) -> np.ndarray:
        """Levels of the input as float32, one batch at a time so that they stay in the processor's cache."""
        if self._input["dtype"] != np.int8:
            return views
        scale, zero = self._input["quantization"]
        levels = np.divide(views, np.float32(scale))
        np.rint(levels, out=levels)
        np.add(levels, np.float32(zero), out=levels)
        return np.clip(levels, -128.0, 127.0, out=levels)


class Classifier:
    """Calibrated six-class probabilities of the INT8 network of a bundle; one per process.

    Parameters
    ----------
    bundle : Bundle
        From `larun.bundles.load_bundle`.
    batch : int
        Views of one invocation.
    """

    def __init__(self, bundle: Bundle, batch: int = BATCH):
        self.bundle = bundle
        self._interpreter = Interpreter(bundle.int8_model, batch)

    def probabilities(self, views: np.ndarray) -> np.ndarray:
        """Probability of each class.

        Parameters
        ----------
        views : (n, 1024) float32
            From `larun.views.shard_views`.

        Returns
        -------
        (n, 6) float32
            In the order of `larun.schema.CLASSES`; rows sum to 1.

        Raises
        ------
        InputError
            Another shape, or NaN.
        """
        return calibrated(self._interpreter.logits(views), self.bundle.temperature, self.bundle.bias)


def calibrated(logits: np.ndarray, temperature: float, bias: np.ndarray) -> np.ndarray:
    """Softmax of ``logits / temperature + bias``, (n, 6) float32."""
    scores = logits.astype(np.float64) / temperature + bias
    scores -= scores.max(axis=1, keepdims=True)
    odds = np.exp(scores)
    return (odds / odds.sum(axis=1, keepdims=True)).astype(np.float32)

"""What a device says when its memory is full, in words that help."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

from larun.errors import DeviceMemoryError

_TENSORFLOW, _JAX = ("ResourceExhaustedError",), ("XlaRuntimeError", "JaxRuntimeError")


@contextlib.contextmanager
def naming_batch_size(batch_size: int) -> Iterator[None]:
    """Turn a device's shortage of memory into an error that says which batch did not fit.

    Raises
    ------
    DeviceMemoryError
        The body ran out of memory; every other error passes.
    """
    try:
        yield
    except Exception as error:
        if not _out_of_memory(error):
            raise
        raise DeviceMemoryError(
            f"the device has not enough memory for a batch of {batch_size} views. Ask for a smaller one, such as "
            f"--batch-size {max(batch_size // 2, 1)}, or let no other process use the device"
        ) from error


def _out_of_memory(error: Exception) -> bool:
    """Whether an error of TensorFlow, JAX or Python means that memory is full; neither is imported to tell."""
    name = type(error).__name__
    return (
        isinstance(error, MemoryError) or name in _TENSORFLOW or (name in _JAX and "RESOURCE_EXHAUSTED" in str(error))
    )

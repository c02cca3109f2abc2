"""A full device is said with the batch that did not fit; other errors pass."""

import pytest

from larun.errors import DeviceMemoryError
from larun.network.memory import naming_batch_size


class ResourceExhaustedError(Exception):
    """Named as TensorFlow names it."""


class XlaRuntimeError(RuntimeError):
    """Named as JAX names it."""


@pytest.mark.parametrize(
    "error",
    [
        ResourceExhaustedError("OOM when allocating tensor with shape[512,1024]"),
        XlaRuntimeError("RESOURCE_EXHAUSTED: Out of memory while trying to allocate 8589934592 bytes."),
        MemoryError(),
    ],
)
def test_a_full_device_names_the_batch(error):
    with (
        pytest.raises(DeviceMemoryError, match=r"batch of 512 views.*--batch-size 256") as raised,
        naming_batch_size(512),
    ):
        raise error
    assert raised.value.__cause__ is error


@pytest.mark.parametrize("error", [XlaRuntimeError("INTERNAL: no kernel"), ValueError("shapes"), KeyError("x")])
def test_other_errors_pass(error):
    with pytest.raises(type(error)), naming_batch_size(512):
        raise error

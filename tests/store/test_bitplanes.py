"""The bit shuffle beside its definition, and beside Blosc's own."""

import numpy as np
import pytest
from numcodecs import blosc

from larun.store.bitplanes import GROUP, hold, numbers_of, planes_of

SIZES = [8, 56, 64, 72, 320, 1000]


def numbers(n):
    return np.random.default_rng(n).integers(0, 2**32, n, dtype=np.uint32)


def by_definition(values, block):
    """First the lowest bit of every number of a block, then the next, eight numbers to a byte."""
    planes = []
    for first in range(0, len(values), block):
        part = values[first : first + block]
        planes += [np.packbits(part >> np.uint32(bit) & np.uint32(1), bitorder="little") for bit in range(32)]
    return np.concatenate(planes)


@pytest.mark.parametrize("n", SIZES)
@pytest.mark.parametrize("block", [64, 136, 1024])
def test_planes_are_the_bits_of_all_numbers(n, block):
    values = numbers(n)
    planes = np.zeros(4 * n, np.uint8)
    planes_of(values, planes, block)
    np.testing.assert_array_equal(planes, by_definition(values, block))
    back = np.zeros_like(values)
    numbers_of(planes, back, block)
    np.testing.assert_array_equal(back, values)


def test_planes_are_those_of_blosc():
    values = numbers(1024) >> np.uint32(9)
    planes = np.zeros(values.nbytes, np.uint8)
    planes_of(values, planes, 1024)
    by_blosc = bytearray(blosc.compress(np.resize(values, 64 * 1024), b"zstd", 1, blosc.BITSHUFFLE, values.nbytes))
    by_blosc[2] &= ~0x04  # so that it is not shuffled back
    back = np.zeros(64 * values.nbytes, np.uint8)
    blosc.decompress(bytes(by_blosc), back)
    np.testing.assert_array_equal(back[: values.nbytes], planes)


@pytest.mark.parametrize("n", SIZES)
def test_one_bit_that_differs_is_found_wherever_it_is(n):
    values = numbers(n)
    planes = np.zeros(4 * n, np.uint8)
    planes_of(values, planes, 512)
    assert hold(planes, values, 512)
    for at in range(0, n, GROUP - 1):
        for bit in (0, 13, 31):
            other = values.copy()
            other[at] ^= np.uint32(1 << bit)
            assert not hold(planes, other, 512)
    for at in range(0, 4 * n, 7):
        other = planes.copy()
        other[at] ^= 0x10
        assert not hold(other, values, 512)

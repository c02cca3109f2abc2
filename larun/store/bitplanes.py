"""Blosc's bit shuffle of numbers of four bytes: the first bits of all numbers, then the second bits, and so on.

The one that comes with numcodecs knows SSE2 and goes over the data three times. Here 64 numbers at once stay in
registers: LLVM turns the sign bits of 64 bytes into one word, with AVX-512 in a single instruction, and back. What
comes out is the same (Masui et al. 2015, "A compression scheme for radio data in high performance computing").
"""

from __future__ import annotations

import numpy as np
from llvmlite import ir
from numba import njit, types
from numba.extending import intrinsic

from larun.lanes import LANES, expect

GROUP = 8
"""A block must hold so many numbers, or a multiple: a plane is made up of whole bytes."""

WIDTH = 4
"""Bytes of a number."""

_AT_ONCE = 64
_LINE = 8 * _AT_ONCE
"""Numbers whose bits of one plane make up a cache line. Planes a power of two of bytes apart share few places of the
cache; lines that are written once, and whole, get along there."""

_AHEAD = 16 * _AT_ONCE

_BITS = 8
_BIT, _BYTE, _INDEX, _WORD = (ir.IntType(bits) for bits in (1, 8, 32, 64))
_FLAGS = ir.VectorType(_BIT, _AT_ONCE)
_PART = ir.VectorType(_BYTE, _AT_ONCE)
_NUMBERS = ir.VectorType(_INDEX, _AT_ONCE)
_MEMORY = ir.VectorType(_BYTE, _AT_ONCE * WIDTH)
_PARTS = [range(byte, _AT_ONCE * WIDTH, WIDTH) for byte in range(WIDTH)]
"""Where the first bytes of 64 numbers lie in memory, the second ones, and so on."""

_WOVEN = [i // 2 + _AT_ONCE * (i % 2) for i in range(2 * _AT_ONCE)]
"""Bytes of two parts in turn."""

_WOVEN_TWICE = [2 * _AT_ONCE * (i // 2 % 2) + i // 4 * 2 + i % 2 for i in range(4 * _AT_ONCE)]
"""Pairs of bytes of two such rows in turn."""


def planes_of(values: np.ndarray, planes: np.ndarray, block: int) -> None:
    """Shuffle numbers.

    Parameters
    ----------
    values : (number,) uint32
        The numbers.
    planes : (4 number,) uint8
        What comes out.
    block : int
        Numbers that are shuffled among themselves, and last the rest of them; multiples of `GROUP`.
    """
    _planes_of(values, planes, block)


def numbers_of(planes: np.ndarray, values: np.ndarray, block: int) -> None:
    """Inverse of `planes_of`."""
    _numbers_of(planes, values, block)


def hold(planes: np.ndarray, values: np.ndarray, block: int) -> bool:
    """Whether `numbers_of` would make these very values of some planes."""
    return _n_differing(planes, values, block) == 0


@njit(cache=True, nogil=True)
def _layout(values, first, block):
    """Numbers of the block from `first` on, those that go 64 at once, where its planes begin and the bytes of one."""
    n = min(block, values.shape[0] - first)
    return n, n // _AT_ONCE * _AT_ONCE, first * WIDTH, n // GROUP


@njit(cache=True, nogil=True, inline="always")
def _expect_more(values, at):
    """Say which 64 numbers are used some time after those from `at` on: the processor's own guess comes too late."""
    for line in range(0, _AT_ONCE, LANES):
        expect(values, at + _AHEAD + line)


@njit(cache=True, nogil=True)
def _planes_of(values, planes, block):
    near = np.empty(_BITS * WIDTH * _AT_ONCE, np.uint8)
    for first in range(0, values.shape[0], block):
        n, whole, place, stride = _layout(values, first, block)
        in_lines = n // _LINE * _LINE
        for at in range(0, in_lines, _LINE):
            for part in range(_LINE // _AT_ONCE):
                _expect_more(values, first + at + part * _AT_ONCE)
                _split(values, first + at + part * _AT_ONCE, near, part * GROUP, _AT_ONCE)
            for plane in range(_BITS * WIDTH):
                _move(near, plane * _AT_ONCE, planes, place + plane * stride + at // GROUP)
        for at in range(in_lines, whole, _AT_ONCE):
            _split(values, first + at, planes, place + at // GROUP, stride)
        for at in range(whole, n, GROUP):
            for plane in range(WIDTH * _BITS):
                bits = 0
                for i in range(GROUP):
                    bits |= ((values[first + at + i] >> plane) & 1) << i
                planes[place + plane * stride + at // GROUP] = bits


@njit(cache=True, nogil=True)
def _numbers_of(planes, values, block):
    for first in range(0, values.shape[0], block):
        n, whole, place, stride = _layout(values, first, block)
        for at in range(0, whole, _AT_ONCE):
            _join(planes, place + at // GROUP, stride, values, first + at)
        for at in range(whole, n):
            values[first + at] = _number(planes, place, stride, at)


@njit(cache=True, nogil=True)
def _n_differing(planes, values, block):
    n_differing = 0
    for first in range(0, values.shape[0], block):
        n, whole, place, stride = _layout(values, first, block)
        for at in range(0, whole, _AT_ONCE):
            _expect_more(values, first + at)
            n_differing += _differ(planes, place + at // GROUP, stride, values, first + at)
        for at in range(whole, n):
            n_differing += _number(planes, place, stride, at) != values[first + at]
    return n_differing


@njit(cache=True, nogil=True)
def _number(planes, place, stride, at):
    """One number of a block."""
    number = np.uint32(0)
    for plane in range(WIDTH * _BITS):
        bit = (planes[place + plane * stride + at // GROUP] >> (at % GROUP)) & 1
        number |= np.uint32(bit) << np.uint32(plane)
    return number


def _mask(places) -> ir.Constant:
    return ir.Constant(ir.VectorType(_INDEX, len(places)), list(places))


def _all(value: int) -> ir.Constant:
    return ir.Constant(_PART, [value] * _AT_ONCE)


def _address(context, builder, array_type, array, at, pointee):
    data = context.make_array(array_type)(context, builder, array).data
    return builder.bitcast(builder.gep(data, [at]), ir.PointerType(pointee))


def _plane_addresses(builder, place, stride) -> list:
    """Of the eight bytes of every plane that belong to the same 64 numbers."""
    offsets = [builder.mul(stride, ir.Constant(stride.type, plane)) for plane in range(WIDTH * _BITS)]
    return [builder.bitcast(builder.gep(place, [offset]), ir.PointerType(_WORD)) for offset in offsets]


def _joined(context, builder, planes_type, planes, row, stride):
    """Memory of 64 numbers from their bits."""
    addresses = _plane_addresses(builder, _address(context, builder, planes_type, planes, row, _BYTE), stride)
    parts = []
    for byte in range(WIDTH):
        part = _all(0)
        for bit in range(_BITS):
            flags = builder.bitcast(builder.load(addresses[byte * _BITS + bit], align=1), _FLAGS)
            part = builder.or_(part, builder.select(flags, _all(1 << bit), _all(0)))
        parts.append(part)
    low = builder.shuffle_vector(parts[0], parts[1], _mask(_WOVEN))
    high = builder.shuffle_vector(parts[2], parts[3], _mask(_WOVEN))
    return builder.shuffle_vector(low, high, _mask(_WOVEN_TWICE))


@intrinsic
def _split(typing_context, values, at, planes, row, stride):
    """Write the bits of 64 numbers from `at` on into their planes, `stride` bytes apart, from byte `row` on."""

    def generate(context, builder, signature, args):
        values, at, planes, row, stride = args
        memory = builder.load(_address(context, builder, signature.args[0], values, at, _MEMORY), align=WIDTH)
        place = _address(context, builder, signature.args[2], planes, row, _BYTE)
        addresses = _plane_addresses(builder, place, stride)
        for byte, places in enumerate(_PARTS):
            part = builder.shuffle_vector(memory, memory, _mask(places))
            for bit in reversed(range(_BITS)):
                signs = builder.bitcast(builder.icmp_signed("<", part, _all(0)), _WORD)
                builder.store(signs, addresses[byte * _BITS + bit], align=1)
                part = builder.add(part, part)
        return context.get_dummy_value()

    return types.void(values, types.intp, planes, types.intp, types.intp), generate


@intrinsic
def _move(typing_context, source, at, target, to):
    """Copy 64 bytes."""

    def generate(context, builder, signature, args):
        source, at, target, to = args
        line = builder.load(_address(context, builder, signature.args[0], source, at, _PART), align=1)
        builder.store(line, _address(context, builder, signature.args[2], target, to, _PART), align=1)
        return context.get_dummy_value()

    return types.void(source, types.intp, target, types.intp), generate


@intrinsic
def _join(typing_context, planes, row, stride, values, at):
    """Inverse of `_split`."""

    def generate(context, builder, signature, args):
        planes, row, stride, values, at = args
        memory = _joined(context, builder, signature.args[0], planes, row, stride)
        builder.store(memory, _address(context, builder, signature.args[3], values, at, _MEMORY), align=WIDTH)
        return context.get_dummy_value()

    return types.void(planes, types.intp, types.intp, values, types.intp), generate


@intrinsic
def _differ(typing_context, planes, row, stride, values, at):
    """Whether `_join` would write anything else than what is there."""

    def generate(context, builder, signature, args):
        planes, row, stride, values, at = args
        memory = _joined(context, builder, signature.args[0], planes, row, stride)
        there = builder.load(_address(context, builder, signature.args[3], values, at, _NUMBERS), align=WIDTH)
        unequal = builder.icmp_unsigned("!=", builder.bitcast(memory, _NUMBERS), there)
        return builder.icmp_unsigned("!=", builder.bitcast(unequal, _WORD), ir.Constant(_WORD, 0))

    return types.boolean(planes, types.intp, types.intp, values, types.intp), generate

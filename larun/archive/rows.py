"""Columns of numbers from the rows of a table: sixteen rows at a time, in registers, and each byte read once.

A row is big-endian words of four bytes. Sixteen words of each of sixteen rows are swapped and transposed, so that
sixteen numbers of one column lie side by side, and go to where the column is in one piece.
"""

from __future__ import annotations

import numpy as np
from llvmlite import ir
from numba import njit, types
from numba.core import cgutils
from numba.extending import intrinsic

from larun.archive.fits import in_other_order
from larun.lanes import LANES, expect, load, store

SHORT, LONG, NARROWED = range(3)
"""Kinds of columns: of one word, of two, and of two that become a float32."""

_GROUPS_AHEAD = 2
"""The processor is told so early which rows come next. It finds out by itself that they lie one after the other, and
still waits for memory as long as for the work."""

_WORD, _INDEX = ir.IntType(32), ir.IntType(64)
_WORDS = ir.VectorType(_WORD, LANES)
_BYTES = ir.VectorType(ir.IntType(8), 4 * LANES)
_HALF = LANES // 2
_DOUBLES, _SINGLES = ir.VectorType(ir.DoubleType(), _HALF), ir.VectorType(ir.FloatType(), _HALF)

_SWAPPED = [i ^ 3 for i in range(4 * LANES)]
"""Bytes of words in the other order."""

_WOVEN = [[first + i // 2 + LANES * (i % 2) for i in range(LANES)] for first in (0, _HALF)]
"""Words of two rows in turn: of their first halves, and of their second halves."""


@njit(cache=True, nogil=True)
def gather(words, stride, places, kinds, short, long):
    """Columns of the first rows of a table.

    Parameters
    ----------
    words : (word,) uint32
        The table and what follows it.
    stride : int
        Words of a row.
    places : (column,) int64
        First word of each column in a row.
    kinds : (column,) uint8
        `SHORT`, `LONG` or `NARROWED`.
    short : (column, row) uint32
        Is filled with the columns that are short or narrowed, in their order.
    long : (column, row) uint64
        Is filled with the long ones.

    Returns
    -------
    total : uint64
        Sum of all words of these rows.
    n_lost : int
        Numbers that became infinite as float32.
    """
    n_rows = max(short.shape[1], long.shape[1])
    n_blocks = -(-stride // LANES)
    near = np.empty(n_blocks * LANES * LANES, np.uint32)
    singles, pairs = short.ravel(), long.ravel()
    turned, bits = near.view(np.int32), singles.view(np.int32)
    total, n_lost, first = np.uint64(0), 0, 0
    # The last block of a row reaches into the next one.
    while first + LANES <= n_rows and (first + LANES - 1) * stride + n_blocks * LANES <= words.shape[0]:
        for at in range(first * stride, (first + LANES) * stride, LANES):
            expect(words, at + _GROUPS_AHEAD * LANES * stride)
        for block in range(n_blocks):
            _turn(words, first * stride + block * LANES, stride, near, block * LANES * LANES)
        for i in range(LANES * stride):
            total += np.uint64(near[i])
        to_short = to_long = first
        for column in range(places.shape[0]):
            at = places[column] * LANES
            if kinds[column] == SHORT:
                store(bits, to_short, load(turned, at))
                to_short += n_rows
            elif kinds[column] == NARROWED:
                n_lost += _narrow(near, at, singles, to_short)
                to_short += n_rows
            else:
                for i in range(LANES):
                    pairs[to_long + i] = (np.uint64(near[at + i]) << np.uint64(32)) | np.uint64(near[at + LANES + i])
                to_long += n_rows
        first += LANES
    for row in range(first, n_rows):
        for at in range(row * stride, (row + 1) * stride):
            total += np.uint64(in_other_order(words[at]))
        n_lost += _put_one(words, row * stride, places, kinds, short, long, row)
    return total, n_lost


@njit(cache=True, nogil=True)
def _put_one(words, start, places, kinds, short, long, row):
    """Write the number of each column of one row, which begins at a word."""
    pair = np.empty(1, np.uint64)
    real, narrow = pair.view(np.float64), short.view(np.float32)
    n_short = n_long = n_lost = 0
    for column in range(places.shape[0]):
        word = in_other_order(words[start + places[column]])
        if kinds[column] == SHORT:
            short[n_short, row] = word
            n_short += 1
            continue
        pair[0] = (np.uint64(word) << np.uint64(32)) | np.uint64(in_other_order(words[start + places[column] + 1]))
        if kinds[column] == LONG:
            long[n_long, row] = pair[0]
            n_long += 1
        else:
            narrow[n_short, row] = real[0]
            n_lost += np.isinf(narrow[n_short, row]) & np.isfinite(real[0])
            n_short += 1
    return n_lost


def _mask(places) -> ir.Constant:
    return ir.Constant(ir.VectorType(_WORD, len(places)), list(places))


def _address(context, builder, array_type, array, at, pointee):
    data = context.make_array(array_type)(context, builder, array).data
    return builder.bitcast(builder.gep(data, [at]), ir.PointerType(pointee))


def _transposed(builder, rows: list) -> list:
    """Columns of sixteen rows of sixteen: weaving each with the one half of them further on, four times, does it."""
    for _ in range(LANES.bit_length() - 1):
        pairs = zip(rows[:_HALF], rows[_HALF:], strict=True)
        rows = [builder.shuffle_vector(a, b, _mask(woven)) for a, b in pairs for woven in _WOVEN]
    return rows


def _magnitude(builder, numbers):
    bits = numbers.type.element.intrinsic_name
    kind = ir.FunctionType(numbers.type, [numbers.type])
    return builder.call(cgutils.get_or_insert_function(builder.module, kind, f"llvm.fabs.v{_HALF}{bits}"), [numbers])


@intrinsic
def _turn(typing_context, words, at, stride, near, to):
    """Sixteen words from `at` on of each of sixteen rows, in the machine's byte order, words of one column together."""

    def generate(context, builder, signature, args):
        words, at, stride, near, to = args
        rows = []
        for row in range(LANES):
            start = builder.add(at, builder.mul(stride, _INDEX(row)))
            memory = builder.load(_address(context, builder, signature.args[0], words, start, _BYTES), align=4)
            rows.append(builder.bitcast(builder.shuffle_vector(memory, memory, _mask(_SWAPPED)), _WORDS))
        for number, column in enumerate(_transposed(builder, rows)):
            place = builder.add(to, _INDEX(number * LANES))
            builder.store(column, _address(context, builder, signature.args[3], near, place, _WORDS), align=4)
        return context.get_dummy_value()

    return types.void(words, types.intp, types.intp, near, types.intp), generate


@intrinsic
def _narrow(typing_context, near, at, singles, to):
    """Write sixteen float64, whose high words and low words lie at `at`, as float32; how many became infinite."""

    def generate(context, builder, signature, args):
        near, at, singles, to = args
        places = at, builder.add(at, _INDEX(LANES))
        high, low = (
            builder.load(_address(context, builder, signature.args[0], near, place, _WORDS), align=4)
            for place in places
        )
        n_lost = _INDEX(0)
        for part, woven in enumerate(_WOVEN):
            doubles = builder.bitcast(builder.shuffle_vector(low, high, _mask(woven)), _DOUBLES)
            narrowed = builder.fptrunc(doubles, _SINGLES)
            place = builder.add(to, _INDEX(part * _HALF))
            builder.store(narrowed, _address(context, builder, signature.args[2], singles, place, _SINGLES), align=4)
            infinite = [ir.Constant(numbers, [float("inf")] * _HALF) for numbers in (_SINGLES, _DOUBLES)]
            is_infinite = builder.fcmp_ordered("==", _magnitude(builder, narrowed), infinite[0])
            was_finite = builder.fcmp_ordered("<", _magnitude(builder, doubles), infinite[1])
            lost = builder.bitcast(builder.and_(is_infinite, was_finite), ir.IntType(_HALF))
            n_lost = builder.add(n_lost, builder.zext(builder.ctpop(lost), _INDEX))
        return n_lost

    return types.intp(near, types.intp, singles, types.intp), generate

"""Sixteen stars side by side in one SIMD value.

LLVM vectorises an inner loop over stars, and then keeps what such a loop carries from row to row in memory. A value
of sixteen lanes keeps it in registers. Outside compiled code the same functions work on numpy arrays of sixteen.
"""

from __future__ import annotations

import operator

import numpy as np
from llvmlite import ir
from numba.core import cgutils, types
from numba.core.datamodel import models
from numba.extending import lower_builtin, register_model, type_callable

LANES = 16
"""Stars of one value: one AVX-512 register; LLVM makes several of a machine's smaller ones."""

CACHE_LINE = 64
"""Bytes; a row of sixteen numbers that starts on such a boundary is one access."""


class Lanes(types.Type):
    """Numba type of sixteen numbers."""

    def __init__(self, scalar: types.Type):
        self.scalar = scalar
        super().__init__(name=f"Lanes({scalar})")


FLOATS = Lanes(types.float32)
INTS = Lanes(types.int32)
_LLVM = {FLOATS: ir.VectorType(ir.FloatType(), LANES), INTS: ir.VectorType(ir.IntType(32), LANES)}
_STORED = {types.float32: FLOATS, types.int32: INTS}
_FUSED = ("contract",)


@register_model(Lanes)
class _LanesModel(models.PrimitiveModel):
    def __init__(self, manager, lanes):
        super().__init__(manager, lanes, _LLVM[lanes])


def aligned(count: int, dtype) -> np.ndarray:
    """Uninitialised array of `count` numbers that starts on a cache line."""
    dtype = np.dtype(dtype)
    memory = np.empty(count * dtype.itemsize + CACHE_LINE, np.uint8)
    first = -memory.ctypes.data % CACHE_LINE
    return memory[first : first + count * dtype.itemsize].view(dtype)


def load(array, at):
    """Sixteen numbers of a flat array from `at` on."""
    return array[at : at + LANES].copy()


def load_since(array, at, origin):
    """Sixteen float64 of a flat array from `at` on, less a float64, rounded to float32 then."""
    return (array[at : at + LANES] - origin).astype(np.float32)


def store(array, at, lanes):
    """Write sixteen numbers into a flat array from `at` on."""
    array[at : at + LANES] = lanes


def places():
    """The numbers 0 to 15 as float32."""
    return np.arange(LANES, dtype=np.float32)


def store_between(array, at, lanes, low, high):
    """Write the floats above `low` and not above `high`, floats too, one after the other from `at` on; how many."""
    kept = lanes[(lanes > low) & (lanes <= high)]
    array[at : at + len(kept)] = kept
    return len(kept)


def broadcast(value):
    """One float32 or int32 in every lane."""
    return np.full(LANES, value)


def expect(array, at):
    """Say that the numbers around `at` in a flat array will be used soon; there need not be any."""


def to_float(lanes):
    """Lanes of int32 as float32, rounded to nearest."""
    return lanes.astype(np.float32)


def where_less(a, b, yes, no):
    """`yes` where ``a < b``, else `no`, lanes of either type; NaN is not less."""
    return np.where(a < b, yes, no)


def count_less(a, b):
    """Number of lanes in which ``a < b``; NaN is not less."""
    return np.count_nonzero(a < b)


def total(lanes):
    """Sum of sixteen floats, in any order."""
    return lanes.sum()


def least(lanes):
    """Smallest of sixteen floats; none may be NaN."""
    return lanes.min()


def magnitude(lanes):
    """Absolute values of lanes of float32."""
    return np.abs(lanes)


def square_root(lanes):
    """Square roots of lanes of float32."""
    return np.sqrt(lanes)


def _address(context, builder, array_type, array, at, pointee):
    data = context.make_array(array_type)(context, builder, array).data
    return builder.bitcast(builder.gep(data, [at]), ir.PointerType(pointee))


@type_callable(load)
def _type_load(context):
    def typed(array, at):
        if isinstance(array, types.Array) and array.dtype in _STORED and isinstance(at, types.Integer):
            return _STORED[array.dtype]
        return None

    return typed


@lower_builtin(load, types.Array, types.Integer)
def _lower_load(context, builder, signature, args):
    array_type, at_type = signature.args
    at = context.cast(builder, args[1], at_type, types.intp)
    return builder.load(_address(context, builder, array_type, args[0], at, _LLVM[signature.return_type]), align=4)


@type_callable(load_since)
def _type_load_since(context):
    def typed(array, at, origin):
        if isinstance(array, types.Array) and array.dtype == types.float64 and isinstance(at, types.Integer):
            return FLOATS if origin == types.float64 else None
        return None

    return typed


@lower_builtin(load_since, types.Array, types.Integer, types.Float)
def _lower_load_since(context, builder, signature, args):
    array_type, at_type, _ = signature.args
    at = context.cast(builder, args[1], at_type, types.intp)
    doubles = ir.VectorType(ir.DoubleType(), LANES)
    values = builder.load(_address(context, builder, array_type, args[0], at, doubles), align=8)
    return builder.fptrunc(builder.fsub(values, _in_every_lane(builder, args[2], doubles)), _LLVM[FLOATS])


@type_callable(store)
def _type_store(context):
    def typed(array, at, lanes):
        if isinstance(array, types.Array) and isinstance(lanes, Lanes) and array.dtype == lanes.scalar:
            return types.void
        return None

    return typed


@lower_builtin(store, types.Array, types.Integer, Lanes)
def _lower_store(context, builder, signature, args):
    array_type, at_type, lanes = signature.args
    at = context.cast(builder, args[1], at_type, types.intp)
    builder.store(args[2], _address(context, builder, array_type, args[0], at, _LLVM[lanes]), align=4)
    return context.get_dummy_value()


@type_callable(store_between)
def _type_store_between(context):
    def typed(array, at, lanes, low, high):
        if isinstance(array, types.Array) and array.dtype == types.float32 and isinstance(at, types.Integer):
            return types.int32 if lanes == low == high == FLOATS else None
        return None

    return typed


@lower_builtin(store_between, types.Array, types.Integer, Lanes, Lanes, Lanes)
def _lower_store_between(context, builder, signature, args):
    array_type, at_type, *_ = signature.args
    at = context.cast(builder, args[1], at_type, types.intp)
    _, _, lanes, low, high = args
    wanted = builder.and_(builder.fcmp_ordered(">", lanes, low), builder.fcmp_ordered("<=", lanes, high))
    place = _address(context, builder, array_type, args[0], at, ir.FloatType())
    stored = ir.FunctionType(ir.VoidType(), [lanes.type, place.type, wanted.type])
    store_some = cgutils.get_or_insert_function(builder.module, stored, f"llvm.masked.compressstore.v{LANES}f32")
    builder.call(store_some, [lanes, place, wanted])
    return builder.zext(builder.ctpop(builder.bitcast(wanted, ir.IntType(LANES))), ir.IntType(32))


@type_callable(broadcast)
def _type_broadcast(context):
    return {types.float32: FLOATS, types.int32: INTS}.get


@lower_builtin(broadcast, types.Number)
def _lower_broadcast(context, builder, signature, args):
    return _in_every_lane(builder, args[0], _LLVM[signature.return_type])


def _in_every_lane(builder, value, vector):
    index = ir.IntType(32)
    empty = ir.Constant(vector, ir.Undefined)
    first = builder.insert_element(empty, value, ir.Constant(index, 0))
    return builder.shuffle_vector(first, empty, ir.Constant(ir.VectorType(index, LANES), [0] * LANES))


@type_callable(places)
def _type_places(context):
    return lambda: FLOATS


@lower_builtin(places)
def _lower_places(context, builder, signature, args):
    return ir.Constant(_LLVM[FLOATS], [float(place) for place in range(LANES)])


@type_callable(expect)
def _type_expect(context):
    def typed(array, at):
        return types.void if isinstance(array, types.Array) and isinstance(at, types.Integer) else None

    return typed


@lower_builtin(expect, types.Array, types.Integer)
def _lower_expect(context, builder, signature, args):
    array_type, at_type = signature.args
    at = context.cast(builder, args[1], at_type, types.intp)
    place = _address(context, builder, array_type, args[0], at, ir.IntType(8))
    number = ir.IntType(32)
    kind = ir.FunctionType(ir.VoidType(), [place.type, number, number, number])
    hint = builder.module.declare_intrinsic("llvm.prefetch", [place.type], kind)
    # To be read, and kept near; data, not instructions.
    builder.call(hint, [place, number(0), number(3), number(1)])
    return context.get_dummy_value()


@type_callable(to_float)
def _type_to_float(context):
    return lambda lanes: FLOATS if lanes == INTS else None


@lower_builtin(to_float, Lanes)
def _lower_to_float(context, builder, signature, args):
    return builder.sitofp(args[0], _LLVM[FLOATS])


@type_callable(square_root)
def _type_square_root(context):
    return lambda lanes: FLOATS if lanes == FLOATS else None


@lower_builtin(square_root, Lanes)
def _lower_square_root(context, builder, signature, args):
    of_floats = ir.FunctionType(_LLVM[FLOATS], [_LLVM[FLOATS]])
    root = cgutils.get_or_insert_function(builder.module, of_floats, f"llvm.sqrt.v{LANES}f32")
    return builder.call(root, args)


@type_callable(where_less)
def _type_where_less(context):
    return lambda a, b, yes, no: yes if a == b == FLOATS and isinstance(yes, Lanes) and yes == no else None


@lower_builtin(where_less, Lanes, Lanes, Lanes, Lanes)
def _lower_where_less(context, builder, signature, args):
    a, b, yes, no = args
    return builder.select(builder.fcmp_ordered("<", a, b), yes, no)


@type_callable(count_less)
def _type_count_less(context):
    return lambda a, b: types.int32 if a == b == FLOATS else None


@lower_builtin(count_less, Lanes, Lanes)
def _lower_count_less(context, builder, signature, args):
    bits = builder.bitcast(builder.fcmp_ordered("<", *args), ir.IntType(LANES))
    return builder.zext(builder.ctpop(bits), ir.IntType(32))


@type_callable(total)
@type_callable(least)
def _type_reduced(context):
    return lambda lanes: types.float32 if lanes == FLOATS else None


@lower_builtin(total, Lanes)
def _lower_total(context, builder, signature, args):
    of_floats = ir.FunctionType(ir.FloatType(), [ir.FloatType(), _LLVM[FLOATS]])
    reduce = cgutils.get_or_insert_function(builder.module, of_floats, f"llvm.vector.reduce.fadd.v{LANES}f32")
    return builder.call(reduce, [ir.Constant(ir.FloatType(), -0.0), args[0]], fastmath=("reassoc",))


@lower_builtin(least, Lanes)
def _lower_least(context, builder, signature, args):
    of_floats = ir.FunctionType(ir.FloatType(), [_LLVM[FLOATS]])
    reduce = cgutils.get_or_insert_function(builder.module, of_floats, f"llvm.vector.reduce.fmin.v{LANES}f32")
    return builder.call(reduce, args, fastmath=("nnan",))


@type_callable(magnitude)
def _type_magnitude(context):
    return lambda lanes: FLOATS if lanes == FLOATS else None


@lower_builtin(magnitude, Lanes)
def _lower_magnitude(context, builder, signature, args):
    of_floats = ir.FunctionType(_LLVM[FLOATS], [_LLVM[FLOATS]])
    size = cgutils.get_or_insert_function(builder.module, of_floats, f"llvm.fabs.v{LANES}f32")
    return builder.call(size, args)


def _arithmetic(function, name: str) -> None:
    """Let an operator work on lanes; products and sums of floats may be fused, which never hides a NaN."""

    @type_callable(function)
    def typed(context):
        return lambda a, b: a if isinstance(a, Lanes) and a == b else None

    @lower_builtin(function, Lanes, Lanes)
    def lower(context, builder, signature, args):
        if signature.return_type == FLOATS:
            return getattr(builder, f"f{name}")(*args, flags=_FUSED)
        return getattr(builder, name)(*args)


_arithmetic(operator.add, "add")
_arithmetic(operator.sub, "sub")
_arithmetic(operator.mul, "mul")
_arithmetic(operator.truediv, "div")

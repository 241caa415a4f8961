"""What numba writes for arrays and records of arrays, written shorter: three quarters of a kernel were that.

numba hands each of the seven fields of an array on as an argument of its own, copies an array to the stack to read one
number of it, and finds out anew at each `+` what integers add up to. All of it comes to the same machine code in the
end; what it costs is the time until then. Importing this file is enough, and it holds for the whole process.
"""

from __future__ import annotations

import operator
from functools import cache
from typing import Any

from numba.core import cgutils as _cgutils
from numba.core import types as _types
from numba.core.types import functions as _functions
from numba.extending import lower_builtin, lower_getattr, models, register_model
from numba.np import arrayobj as _arrayobj

# What numba says of the types of its inside does not hold, or is not said.
arrayobj: Any = _arrayobj
cgutils: Any = _cgutils
functions: Any = _functions
types: Any = _types

# Arguments.


def _handed_on_as_one(model: Any) -> Any:
    """The same value in memory and in registers, but one argument where it has been one for each of its fields."""

    class AsOne(model):
        def get_argument_type(self) -> Any:
            return self.get_value_type()

        def as_argument(self, builder: Any, value: Any) -> Any:
            del builder
            return value

        def from_argument(self, builder: Any, value: Any) -> Any:
            del builder
            return value

    return AsOne


for _kind, _model in (
    (types.Array, models.ArrayModel), (types.NamedTuple, models.TupleModel),
    (types.NamedUniTuple, models.UniTupleModel),
):  # fmt: skip
    register_model(_kind)(_handed_on_as_one(_model))


# Numbers of arrays.

_NUMBERS = (types.Integer, types.Float, types.Boolean)
_DATA, _SHAPE = (("meminfo", "parent", "nitems", "itemsize", "data", "shape", "strides").index(name) for name in (
    "data", "shape"))  # fmt: skip


def _names_a_number(array: Any, indices: tuple[Any, ...]) -> bool:
    """Whether such indices name one number of such an array, whose numbers lie one behind the other."""
    return (
        type(array) is types.Array and array.layout == "C" and isinstance(array.dtype, _NUMBERS)
        and len(indices) == array.ndim and all(isinstance(index, types.Integer) for index in indices)
    )  # fmt: skip


def _pointer(context: Any, builder: Any, array: Any, value: Any, kinds: tuple[Any, ...], indices: list[Any]) -> Any:
    """Where the number lies; an index below 0 counts from the end, as ever."""
    shape = builder.extract_value(value, _SHAPE)
    place = None
    for axis, (kind, index) in enumerate(zip(kinds, indices, strict=True)):
        length = builder.extract_value(shape, axis)
        along = arrayobj.fix_integer_index(context, builder, kind, index, length)
        place = along if place is None else builder.add(builder.mul(place, length), along)
    return builder.gep(builder.extract_value(value, _DATA), [place])


@lower_builtin(operator.getitem, types.Array, types.Integer)
def _number_at(context: Any, builder: Any, sig: Any, args: Any) -> Any:
    array, index = sig.args
    if not _names_a_number(array, (index,)):
        return arrayobj.getitem_arraynd_intp(context, builder, sig, args)
    pointer = _pointer(context, builder, array, args[0], (index,), [args[1]])
    return arrayobj.load_item(context, builder, array, pointer)


@lower_builtin(operator.getitem, types.Array, types.BaseTuple)
def _number_at_all(context: Any, builder: Any, sig: Any, args: Any) -> Any:
    array, indices = sig.args
    if not _names_a_number(array, indices.types):
        return arrayobj.getitem_array_tuple(context, builder, sig, args)
    pointer = _pointer(context, builder, array, args[0], indices.types, cgutils.unpack_tuple(builder, args[1]))
    return arrayobj.load_item(context, builder, array, pointer)


@lower_builtin(operator.setitem, types.Array, types.Any, types.Any)
def _set_number(context: Any, builder: Any, sig: Any, args: Any) -> Any:
    array, index, number = sig.args
    several = isinstance(index, types.BaseTuple)
    kinds = index.types if several else (index,)
    if not _names_a_number(array, kinds):
        return arrayobj.setitem_array(context, builder, sig, args)
    indices = cgutils.unpack_tuple(builder, args[1]) if several else [args[1]]
    stored = context.cast(builder, args[2], number, array.dtype)
    arrayobj.store_item(context, builder, array, stored, _pointer(context, builder, array, args[0], kinds, indices))
    return context.get_dummy_value()


@lower_getattr(types.Array, "shape")
def _shape(context: Any, builder: Any, kind: Any, value: Any) -> Any:
    del context, kind
    return builder.extract_value(value, _SHAPE)


@lower_builtin(len, types.Array)
def _length(context: Any, builder: Any, sig: Any, args: Any) -> Any:
    del context, sig
    return builder.extract_value(builder.extract_value(args[0], _SHAPE), 0)


# Types of operations.

_REMEMBERED = frozenset({
    operator.add, operator.iadd, operator.sub, operator.isub, operator.mul, operator.imul, operator.truediv,
    operator.floordiv, operator.ifloordiv, operator.mod, operator.imod, operator.and_, operator.or_, operator.xor,
    operator.lshift, operator.rshift, operator.iand, operator.ior, operator.neg, operator.not_, operator.invert,
    operator.eq, operator.ne, operator.lt, operator.le, operator.gt, operator.ge, operator.getitem, operator.setitem,
    min, max, abs, len, bool, range,
})  # fmt: skip
"""Operations that make nothing else of a number that stands there than of a number of its type."""
_PLAIN = (*_NUMBERS, types.Array)

_find_type = functions.BaseFunction.get_call_type


@cache
def _find_once(function: Any, context: Any, args: tuple[Any, ...]) -> Any:
    return _find_type(function, context, args, {})


def _remember_type(function: Any, context: Any, args: tuple[Any, ...], kws: Any) -> Any:
    """The types of a call. numba goes through up to 30 templates at each place, and three times."""
    plain = tuple(types.unliteral(one) for one in args)
    if kws or function.key[0] not in _REMEMBERED or not all(isinstance(one, _PLAIN) for one in plain):
        return _find_type(function, context, args, kws)
    return _find_once(function, context, plain)


functions.BaseFunction.get_call_type = _remember_type

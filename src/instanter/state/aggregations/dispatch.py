"""What chooses between the aggregations, compiled: written once from the files of all of them.

A kernel of an aggregation names what it needs by its parameters: words and times as they are given, `k`, `half_life_ms`
and the like of the feature. What is written here is a chain of comparisons with a call in each, as one would by hand.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from types import CodeType, FunctionType
from typing import Any, Final, cast

import numpy as np

from ..compiled import Ints, Reals, kernel
from ..layout import BY_ITEM
from ..program import AGGREGATION, AS_CAME, AT, BY, HALF_LIFE_MS, SINCE_MS, TAKES_BACK, TILE_MS, TILES, TRAITS, K
from ..table import Index
from . import AGGREGATIONS
from .base import Aggregation, Kernel, Trait
from .fixed_point import bounded, to_micro

_FROM_ZERO: Final = int(Trait.FROM_ZERO)

_OF_FEATURE: Final = {
    "k": f"features[feature, {K}]",
    "half_life_ms": f"features[feature, {HALF_LIFE_MS}]",
    "tile_ms": f"features[feature, {TILE_MS}]",
    "tiles": f"features[feature, {TILES}]",
    "as_came": f"features[feature, {AS_CAME}]",
    "takes_back": f"features[feature, {TAKES_BACK}]",
    "unique": f"features[feature, {BY}] != 0",
    "by_row": "goes_by_row(features, feature)",
    "micro": "to_micro(value)",
}
"""What a kernel may need beyond what is given to all, and where it comes from."""


@kernel
def goes_by_row(features: Ints, feature: int) -> bool:
    """Whether items of one time in a last k stand in the order of their rows."""
    return bool(features[feature, AS_CAME] and features[feature, BY] == BY_ITEM)


def chosen(
    name: str, given: str, part: Callable[[Aggregation], Kernel | None], *, first: Sequence[str] = (),
    calling: Sequence[str] = ("return {}",), known_too: str = "", otherwise: str = "",
) -> Any:  # fmt: skip
    """A kernel `name` with the parameters `given` that calls this part of the feature's aggregation.

    The statements of `first` come first. Where an aggregation has no such part, `otherwise` is returned, an expression
    over the parameters. `calling` are the statements with the call, which has the place of the braces; `known_too`
    names what they know beside the parameters.
    """
    parts = [(one, of_it) for one in AGGREGATIONS if (of_it := part(one)) is not None]
    lines = [f"def {name}(features, feature, {given}):", *first, f"    number = features[feature, {AGGREGATION}]"]
    known: dict[str, Any] = {f"{name}_{one.name}": of_it for one, of_it in parts}
    known |= {"goes_by_row": goes_by_row, "bounded": bounded, "to_micro": to_micro, "np": np, "__name__": __name__}
    for one, of_it in parts:
        call = f"{name}_{one.name}({_arguments(of_it, f'{given}, {known_too}')})"
        lines += [f"    if number == {one.number}:", *(f"        {line.format(call)}" for line in calling)]
    lines.append(f"    return {otherwise}")
    module = compile("\n".join(lines), f"{__file__}: {name}", "exec")
    (code,) = (constant for constant in module.co_consts if isinstance(constant, CodeType))
    return kernel(FunctionType(code, known, name))


def _arguments(of_it: Kernel, given: str) -> str:
    names = inspect.signature(getattr(of_it, "py_func", of_it)).parameters
    return ", ".join(name if name in given.split(", ") else _OF_FEATURE[name] for name in names)


_Add = Callable[[Ints, int, Ints, Reals, Index, int, int, int, float, int, int, bool], None]
_Merge = Callable[[Ints, int, Ints, Reals, Index, int, int], None]
_Read = Callable[[Ints, int, Ints, Reals, int, int], float]
_ReadAll = Callable[[Ints, int, Ints, Reals, Ints, int, Reals], None]
_ReadList = Callable[[Ints, int, Ints, Reals, int, int, Ints, Reals, int], int]

_SAYS_NOTHING: Final = f"""\
    if value != value or (features[feature, {BY}] != 0 and ref == 0):
        return
    value = bounded(value)"""

add = cast("_Add", chosen(
    "add", "ints, reals, items, at, at_ms, message, value, ref, order, back", lambda one: one.add, first=[_SAYS_NOTHING]
))  # fmt: skip
"""Add one value to the feature's words at `at`, or take it back. A value or reference that is not there changes
nothing."""
add_order = cast("Callable[[Ints, int, Ints, int, int, int, bool], None]", chosen(
    "add_order", "ints, at, at_ms, order, back", lambda one: one.add_order
))  # fmt: skip
"""Add one statement about an order to the words at `at`."""
merge_feature = cast("_Merge", chosen("merge", "ints, reals, items, to, of", lambda one: one.merge))
"""Merge the words of one feature at `of` into those at `to`."""
_read = cast("_Read", chosen("read", "ints, reals, at, now_ms", lambda one: one.read, otherwise="np.nan"))
_read_all = cast("_ReadAll", chosen(
    "read_all", "ints, reals, records, now_ms, numbers", lambda one: one.read, known_too="at",
    calling=(
        "for i in range(len(records)):",
        "    if records[i] >= 0:",
        f"        at = records[i] + features[feature, {AT}]",
        "        numbers[i] = {}",
        "return",
    ),
))  # fmt: skip
read_list = cast("_ReadList", chosen(
    "read_list", "ints, reals, at, now_ms, refs, weights, start", lambda one: one.read_list, otherwise="0"
))  # fmt: skip
"""Write the entries of a list into `refs` and `weights` from `start` on; how many."""
lasting = cast("Callable[[Ints, int, Ints, Reals, int], float]", chosen(
    "lasting", "ints, reals, at", lambda one: one.lasting, otherwise="np.nan"
))  # fmt: skip
"""A score in the order of the numbers at any time; minus infinity for nothing, NaN where the numbers do not fade."""


@kernel
def read_number(
    features: Ints, feature: int, ints: Ints, reals: Reals, at: int, now_ms: int, first_ms: int, default: float
) -> float:
    """The number that the feature's words at `at` mean at `now_ms`: times in seconds, fixed point as reals.

    Where nothing has been counted it is the default, if there is one (not NaN). Else it is 0 of what counts and sums
    up, if the feature counts since `first_ms`, when the record's owner was seen first; and missing, NaN, otherwise.
    """
    number = _read(features, feature, ints, reals, at, now_ms)
    return number if number == number else _uncounted(features, feature, now_ms, first_ms, default)


@kernel
def read_numbers(
    features: Ints, feature: int, ints: Ints, reals: Reals, records: Ints, first_ms: Ints, now_ms: int, default: float,
    numbers: Reals,
) -> None:  # fmt: skip
    """What `read_number` gives of many records, chosen once for all of them: `records` and `first_ms` say where each
    begins, less than 0 where there is none, and when its owner was seen first. What `numbers` says where there is none
    stays."""
    _read_all(features, feature, ints, reals, records, now_ms, numbers)
    for i in range(len(records)):
        if records[i] >= 0 and numbers[i] != numbers[i]:
            numbers[i] = _uncounted(features, feature, now_ms, first_ms[i], default)


@kernel
def _uncounted(features: Ints, feature: int, now_ms: int, first_ms: int, default: float) -> float:
    """What a feature reads of which nothing has been counted."""
    if default == default:
        return default
    since_ms, from_zero = features[feature, SINCE_MS], features[feature, TRAITS] & _FROM_ZERO != 0
    if from_zero and first_ms >= since_ms:
        return 0.0
    tiles = features[feature, TILES]
    if from_zero and tiles > 0 and now_ms - since_ms >= features[feature, TILE_MS] * tiles:
        return 0.0
    return np.nan

"""Numbers of arrays, and records of arrays that are handed on, compiled as we write them: the same as plain Python."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import pytest

from instanter.state.compiled import kernel

Array = npt.NDArray[Any]


class Pair(NamedTuple):
    numbers: Array
    table: Array


class Nested(NamedTuple):
    pair: Pair
    factor: float


@kernel
def _read(array: Array, at: Any) -> Any:
    return array[at]


@kernel
def _read_in_table(array: Array, at: Any, along: Any) -> Any:
    return array[at, along]


@kernel
def _write(array: Array, at: Any, number: Any) -> int:
    array[at] = number
    return len(array)


@kernel
def _write_in_table(array: Array, at: Any, along: Any, number: Any) -> int:
    array[at, along] = number
    return int(array.shape[1])


@kernel
def _copy_row(array: Array, at: int, out: Array) -> None:
    row = array[at]
    for place in range(row.size):
        out[place] = row[place]


@kernel
def _last(pair: Pair) -> Any:
    return pair.numbers[-1] + pair.table[-1, -2]


@kernel
def _grow(nested: Nested) -> None:
    pair = nested.pair
    for at in range(len(pair.numbers)):
        pair.numbers[at] = nested.factor * pair.numbers[at] + _last(pair)


def plain(function: Any) -> Any:
    return getattr(function, "py_func", function)


INDICES = [0, 2, -1, -4, np.int32(3), np.uint8(1), np.int8(-2)]
KINDS = [np.int64, np.int32, np.uint8, np.float64, np.float32, np.bool_]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("at", INDICES)
def test_a_number_is_read_and_written_where_the_index_says(kind: Any, at: Any) -> None:
    array = np.arange(4).astype(kind)
    assert _read(array, at) == plain(_read)(array, at)
    written = array.copy()
    assert _write(array, at, 1) == plain(_write)(written, at, 1)
    assert array.tolist() == written.tolist()


@pytest.mark.parametrize("at", INDICES)
def test_and_so_it_is_in_tables_and_in_parts_of_arrays(at: Any) -> None:
    table = np.arange(20.0).reshape(4, 5)
    for array in (table, table[:, ::2], np.asfortranarray(table), table[::-1]):
        assert _read_in_table(array, at, -2) == plain(_read_in_table)(array, at, -2)
        written = array.copy()
        assert _write_in_table(array, at, 2, 7) == plain(_write_in_table)(written, at, 2, 7)
        assert array.tolist() == written.tolist()
    column = table[:, 1]
    assert _read(column, at) == plain(_read)(column, at)
    row = np.empty(5)
    _copy_row(table, at, row)
    assert row.tolist() == table[at].tolist()


def test_a_record_of_arrays_goes_through_kernels_as_it_is() -> None:
    def made() -> Nested:
        return Nested(Pair(np.arange(3.0), np.arange(6).reshape(2, 3)), 0.5)

    compiled, expected = made(), made()
    _grow(compiled)
    plain(_grow)(expected)
    assert compiled.pair.numbers.tolist() == expected.pair.numbers.tolist()


@kernel
def _calculate(number: Any, other: Any) -> float:
    return (number + 1) * 2 / other - number // 3 + (number % other) + min(number, 2) + max(other, 0.5) + number**2


@pytest.mark.parametrize(("number", "other"), [(7, 2), (7.5, 2), (7, 2.5), (7.5, 2.5), (-7, 2), (True, 3)])
def test_what_is_known_of_an_operation_on_integers_is_not_taken_for_others(number: Any, other: Any) -> None:
    assert _calculate(number, other) == plain(_calculate)(number, other)

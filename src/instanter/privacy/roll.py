"""The roll: which slot of the vault holds the key of a person, by the keyed hash of the id and by pseudonym.

About 100 bytes a subject. New ones wait in a dictionary until there are enough to index at once, because calling a
kernel costs more than what it does for one.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np

from ..state.compiled import Ints, kernel
from ..state.table import Index, find, find_all, grown, insert, make_index, migrate, remove, settled
from .vault import Entries

FRESH_MAX: Final = 256
"""Subjects indexed in one go, about 20 us."""
MIGRATED_PER_SUBJECT: Final = 64
_NUMBER_BYTES: Final = 8
_CELL_BOUND: Final = 2**63
_NOBODY: Final = (-1, 0)
"""Slot and pseudonym of who is not there."""
_NO_NAME: Final = 1
"""Stands for 0, which is an empty place of an index."""


def number_of(name: bytes) -> int:
    """The part of a keyed hash that the roll goes by.

    >>> number_of(bytes(16)), number_of(b"\\x05" + bytes(15))
    (1, 5)
    """
    return int.from_bytes(name[:_NUMBER_BYTES], "little", signed=True) or _NO_NAME


class Roll:
    """Changed on one thread; `slot_of_cell` may be asked from others."""

    def __init__(self, entries: Sequence[Entries] = ()) -> None:
        count = sum(len(some.slots) for some in entries)
        self._by_name, self._by_cell = grown(make_index(), room_for=count), grown(make_index(), room_for=count)
        self._cells: Ints = np.zeros(4_096, np.int64)
        """Pseudonym by slot."""
        self._fresh: dict[int, tuple[int, int]] = {}
        """Number of the name -> (slot, pseudonym)."""
        self._fresh_cells: dict[int, int] = {}
        self._indexed = 0
        for some in entries:
            names = np.where(some.names == 0, _NO_NAME, some.names)
            self._enter(np.stack([names, some.slots, some.numbers], axis=1))

    def __len__(self) -> int:
        return self._indexed + len(self._fresh)

    def of_name(self, name: bytes) -> tuple[int, int]:
        """Slot and pseudonym of a keyed hash, (-1, 0) if there is none."""
        number = number_of(name)
        known = self._fresh.get(number)
        if known is not None:
            return known
        slot = find(self._by_name, number)
        return (slot, int(self._cells[slot])) if slot >= 0 else _NOBODY

    def of_names(self, names: Sequence[bytes]) -> list[tuple[int, int]]:
        """As `of_name` of each."""
        numbers, slots = [number_of(name) for name in names], np.empty(len(names), np.int64)
        find_all(self._by_name, np.array(numbers, np.int64), slots)
        cells = self._cells[np.maximum(slots, 0)]
        return [
            self._fresh.get(number) or ((slot, cell) if slot >= 0 else _NOBODY)
            for number, slot, cell in zip(numbers, slots.tolist(), cells.tolist(), strict=True)
        ]

    def slot_of_cell(self, cell: int) -> int:
        """The slot of a pseudonym, or -1; a number beyond 64 bits, as a log can hold it, is nobody's."""
        known = self._fresh_cells.get(cell)
        if known is not None:
            return known
        return find(self._by_cell, cell) if -_CELL_BOUND <= cell < _CELL_BOUND else -1

    def add(self, name: bytes, slot: int, cell: int) -> None:
        """Enter a subject that is not there."""
        number = number_of(name)
        self._fresh[number] = slot, cell
        self._fresh_cells[cell] = slot
        if len(self._fresh) >= FRESH_MAX:
            self._settle()

    def remove(self, name: bytes, cell: int) -> None:
        """Strike a subject off. Somebody else who came by the same name later stays."""
        self._settle()
        number, slot = number_of(name), find(self._by_cell, cell)
        if find(self._by_name, number) == slot:
            remove(self._by_name, number)
        remove(self._by_cell, cell)
        self._indexed -= 1

    def _settle(self) -> None:
        self._enter(np.array([(number, slot, cell) for number, (slot, cell) in self._fresh.items()], np.int64))
        self._fresh.clear()
        self._fresh_cells.clear()

    def _enter(self, rows: Ints) -> None:
        """Index rows of [number of the name, slot, pseudonym]."""
        if not len(rows):
            return
        self._by_name = grown(settled(self._by_name), room_for=len(rows))
        self._by_cell = grown(settled(self._by_cell), room_for=len(rows))
        slots_max = int(rows[:, 1].max()) + 1
        if slots_max > len(self._cells):
            self._cells = np.concatenate([self._cells, np.zeros(max(slots_max, len(self._cells)), np.int64)])
        _enter_all(self._by_name, self._by_cell, self._cells, rows)
        self._indexed += len(rows)


def warm_up() -> None:
    """Load or compile what a roll runs on."""
    roll, name = Roll(), bytes(_NUMBER_BYTES)
    roll.add(name, 0, 1)
    roll.of_names([name])
    roll.remove(name, 1)


@kernel
def _enter_all(by_name: Index, by_cell: Index, cells: Ints, rows: Ints) -> None:
    migrate(by_name, MIGRATED_PER_SUBJECT * len(rows))
    migrate(by_cell, MIGRATED_PER_SUBJECT * len(rows))
    for row in range(len(rows)):
        slot = rows[row, 1]
        cells[slot] = rows[row, 2]
        if find(by_name, rows[row, 0]) >= 0:
            remove(by_name, rows[row, 0])  # Of somebody whose key should be destroyed: the newest of a name counts.
        insert(by_name, rows[row, 0], slot)
        insert(by_cell, rows[row, 2], slot)

"""Rows of items that have left the catalogue and of which nothing was counted: room for the next ones.

A vacant row is all zeros, its key too. Which are vacant follows from the tables, so a checkpoint does not say it; the
lowest is taken first, so that every replay puts an item into the same row.
"""

from __future__ import annotations

import numpy as np

from ..foundation.pages import give_back
from .compiled import Bytes, Ints, Reals, Shorts
from .layout import ITEM_KEY
from .table import ITEMS, LIVE, Index, Memory, insert, remove, rows_of, touch

GIVEN_BACK_ROWS = 4_096
"""Rows that become vacant before their memory is given back, and the fewest in a row of which it is."""


class VacantRows:
    """The vacant rows of one state's table of items."""

    def __init__(self, rows_max: int) -> None:
        self._vacant: Bytes = np.zeros(rows_max, np.uint8)
        """By row."""
        self._count = 0
        self._below = 0
        """No row below this one is vacant."""
        self._left = 0
        """Since memory was given back."""

    def __len__(self) -> int:
        return self._count

    def find(self, memory: Memory) -> None:
        """Find those of tables that were filled from a checkpoint."""
        keys = rows_of(memory, ITEMS)[:, ITEM_KEY]
        self._vacant[: len(keys)] = keys == 0
        self._count, self._below = int(np.count_nonzero(keys == 0)), 0

    def __contains__(self, row: int) -> bool:
        return row >= 0 and bool(self._vacant[row])

    def take(self, memory: Memory, index: Index, ref: int, row: int = -1) -> None:
        """Let an item that has no row have this one of them, or the lowest."""
        lowest = self._below + int(self._vacant[self._below :].argmax())
        row = lowest if row < 0 else row
        self._vacant[row] = 0
        self._count, self._below = self._count - 1, row + 1 if row == lowest else lowest
        touch(memory, ITEMS, row)
        rows_of(memory, ITEMS)[row, ITEM_KEY] = ref
        memory.regions[ITEMS, LIVE] += 1
        insert(index, ref, row)

    def leave(self, memory: Memory, index: Index, row: int) -> None:
        """Make the row of an item of which nothing was counted vacant."""
        words = rows_of(memory, ITEMS)[row]
        touch(memory, ITEMS, row)
        remove(index, int(words[ITEM_KEY]))
        words[ITEM_KEY] = 0
        memory.regions[ITEMS, LIVE] -= 1
        self._vacant[row] = 1
        self._count, self._below = self._count + 1, min(self._below, row)
        self._left += 1

    def give_back(self, *columns: Ints | Reals | Shorts | Bytes) -> bool:
        """Hand the memory of many vacant rows side by side back to the system, after many were left; whether that was
        so. `columns` are by row, and hold zeros there."""
        if self._left < GIVEN_BACK_ROWS:
            return False
        self._left = 0
        edges = np.flatnonzero(np.diff(self._vacant, prepend=0, append=0))
        for first, end in edges.reshape(-1, 2).tolist():
            if end - first >= GIVEN_BACK_ROWS:
                for column in columns:
                    give_back(column[first:end])
        return True

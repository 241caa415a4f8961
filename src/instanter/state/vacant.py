"""Rows of items that have left the catalogue and of which nothing was counted: room for the next ones.

A vacant row is all zeros, its key too. Which are vacant follows from the tables, so a checkpoint does not say it; the
lowest is taken first, so that every replay puts an item into the same row.
"""

from __future__ import annotations

from enum import IntEnum

import numpy as np

from .compiled import Bytes
from .layout import ITEM_KEY
from .table import ITEMS, LIVE, Index, Memory, insert, remove, rows_of, touch

GIVEN_BACK_ROWS = 4_096
"""Rows that become vacant before their memory is given back, and the fewest in a row of which it is."""
STILL_STEPS = 64
"""So often nothing has become vacant when that has come to an end: some tenths of a second to some seconds."""


class Due(IntEnum):
    """What of memory is to be given back."""

    NOTHING = 0
    SOME = 1
    """Of many rows, while there may be more to come."""
    ALL = 2
    """The rest."""


class VacantRows:
    """The vacant rows of one state's table of items."""

    def __init__(self, rows_max: int) -> None:
        self._vacant: Bytes = np.zeros(rows_max, np.uint8)
        """By row."""
        self._count = 0
        self._below = 0
        """No row below this one is vacant."""
        self._left = self._left_before = 0
        """Since memory was given back, and as of the last look at it."""
        self._still = 0
        """Looks since the last row was left."""
        self._unsettled = False
        """Whether memory was given back and more may have to follow."""

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

    def due(self) -> Due:
        """What is to be done about memory: call it again and again. Much is given back while rows are being left, and
        what is left of it once that has come to an end."""
        if self._left >= GIVEN_BACK_ROWS:
            self._left, self._still, self._unsettled = 0, 0, True
            return Due.SOME
        self._still = self._still + 1 if self._left == self._left_before else 0
        self._left_before = self._left
        if not self._unsettled or self._still < STILL_STEPS:
            return Due.NOTHING
        self._left, self._unsettled = 0, False
        return Due.ALL

    def runs(self, used: int) -> list[tuple[int, int]]:
        """Where many vacant rows lie side by side: the first of them, and the one behind the last. From row `used` on,
        where nobody ever was, all belongs to those before: what the system gave in large pages goes back whole."""
        edges = np.flatnonzero(np.diff(self._vacant[:used], prepend=0, append=0)).reshape(-1, 2)
        return [
            (first, end if end < used else len(self._vacant))
            for first, end in edges.tolist()
            if end - first >= GIVEN_BACK_ROWS
        ]

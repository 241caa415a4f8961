"""What happens beside the fold: people who are gone are swept, erased ones removed, changed items published."""

from __future__ import annotations

from typing import NamedTuple

from .compiled import Ints, kernel
from .dedup import forget
from .layout import CELL_CHUNK, CELL_PREVIOUS, CELL_RECEIVED_MS, CELL_SESSION, CELL_SWEPT_MS
from .program import Changes
from .steps import publish_steps
from .table import CELLS, ITEMS, SESSIONS, STEPS, USED, WORDS, Index, Memory, address, find, release, remove, touch


class Swept(NamedTuple):
    """How far a sweep came: the first row not looked at, and how many cells it freed something of."""

    end: int
    cells: int


@kernel
def sweep(memory: Memory, first: int, end: int, idle_since_ms: int) -> Swept:
    """Free the sessions and message ids of cells `first` to `end` that count as having none, see `Tables.idle`.

    Ends early when the rows saved for a checkpoint take half of their room.
    """
    ints, regions, swept = memory.ints, memory.regions, 0
    for row in range(first, min(end, regions[CELLS, USED])):
        if 2 * memory.spill[0] > len(memory.spill):
            return Swept(row, swept)
        cell = address(regions, CELLS, row)
        if not is_swept(ints, cell, idle_since_ms) or ints[cell + CELL_SESSION] + ints[cell + CELL_CHUNK] == 0:
            continue
        touch(memory, CELLS, row)
        swept += 1
        let_go(memory, row)
    return Swept(end, swept)


@kernel
def is_swept(ints: Ints, cell: int, idle_since_ms: int) -> bool:
    """Whether the cell at word `cell` counts as having no sessions and no messages."""
    return bool(ints[cell + CELL_RECEIVED_MS] < idle_since_ms and ints[cell + CELL_SWEPT_MS] < idle_since_ms)


@kernel
def let_go(memory: Memory, row: int) -> None:
    """Free the sessions and message ids of a cell, which has been touched."""
    ints, cell = memory.ints, address(memory.regions, CELLS, row)
    for word in (cell + CELL_SESSION, cell + CELL_PREVIOUS):
        if ints[word] > 0:
            release(memory, SESSIONS, ints[word] - 1)
            ints[word] = 0
    forget(memory, row)


@kernel
def erase(memory: Memory, index: Index, key: int) -> bool:
    """Remove a cell with its sessions and message ids; whether there was one."""
    row = find(index, key)
    if row < 0:
        return False
    touch(memory, CELLS, row)
    let_go(memory, row)
    release(memory, CELLS, row)
    remove(index, key)
    return True


@kernel
def publish(memory: Memory, changes: Changes, published: Ints) -> None:
    """Copy the changed item rows to the published table and clear the marks; what rings hold is published too."""
    ints, regions = memory.ints, memory.regions
    for table in range(STEPS, len(regions)):
        publish_steps(memory, table)
    words = regions[ITEMS, WORDS]
    for i in range(changes.meta[0]):
        row = changes.rows[i]
        changes.marks[row] = 0
        first = address(regions, ITEMS, row)
        for word in range(words):
            published[row * words + word] = ints[first + word]
    changes.meta[0] = 0

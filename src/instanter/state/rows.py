"""The rows of cells and items: found by key, made if need be, marked when they change."""

from __future__ import annotations

from ..foundation.limits import ITEMS_MET_MAX
from .compiled import Ints, kernel
from .layout import CELL_RECEIVED_MS
from .program import Tables
from .table import CELLS, ITEMS, ROWS_MAX, USED, Index, Memory, address, allocate, find, insert, touch


@kernel
def cell_of(memory: Memory, index: Index, key: int) -> int:
    """The row of a cell, made if need be; -1 if there is no room."""
    return _row_of(memory, index, CELLS, key)


@kernel
def received_ms(memory: Memory, index: Index, keys: Ints) -> None:
    """Put in the place of each key of a cell when something of it was received last; 0 where it is not in memory."""
    for i in range(len(keys)):
        row = find(index, keys[i])
        keys[i] = memory.ints[address(memory.regions, CELLS, row) + CELL_RECEIVED_MS] if row >= 0 else 0


@kernel
def item_of(memory: Memory, index: Index, ref: int) -> int:
    """The row of an item, made if need be; -1 if there is no room."""
    return _row_of(memory, index, ITEMS, ref)


@kernel
def met_item_of(memory: Memory, index: Index, ref: int) -> int:
    """The row of an item that an event names; made as long as enough of the table is left for the catalogue's items."""
    if memory.regions[ITEMS, USED] < min(ITEMS_MET_MAX, (memory.regions[ITEMS, ROWS_MAX] + 1) // 2):
        return item_of(memory, index, ref)
    return find(index, ref)


@kernel
def _row_of(memory: Memory, index: Index, table: int, key: int) -> int:
    """The key stands in the first word of cells and items alike."""
    row = find(index, key)
    if row < 0:
        row = allocate(memory, table)
        if row >= 0:
            memory.ints[address(memory.regions, table, row)] = key
            insert(index, key, row)
    return row


@kernel
def change_item(tables: Tables, row: int) -> None:
    """Call before changing an item: saves it for a checkpoint and marks it for the next epoch."""
    touch(tables.memory, ITEMS, row)
    changes = tables.changes
    if not changes.marks[row]:
        changes.marks[row] = 1
        changes.rows[changes.meta[0]] = row
        changes.meta[0] += 1

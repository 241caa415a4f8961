"""What stands before what in lists of the newest: what is later; of one time the larger, or the item first met."""

from __future__ import annotations

from ..compiled import kernel
from ..table import Index, find


@kernel
def stands_before(items: Index, by_row: bool, time_ms: int, value: int, other_ms: int, other: int) -> bool:
    if time_ms == other_ms and by_row:
        return _came_before(items, value, other)
    return before(time_ms, value, other_ms, other)


@kernel
def before(time_ms: int, value: int, other_ms: int, other: int) -> bool:
    return time_ms > other_ms or (time_ms == other_ms and value >= other)


@kernel
def _came_before(items: Index, ref: int, other: int) -> bool:
    """Whether an item's row comes before the other's; without rows it goes by their references."""
    row, other_row = find(items, ref), find(items, other)
    if row == other_row:
        return ref >= other
    return row >= 0 and (other_row < 0 or row < other_row)

"""The newest steps of a person, whose cells may be several, in memory or on disk."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from ..foundation.limits import STEPS_READ_MAX
from .cold_files import parts_of
from .compiled import Ints, kernel
from .layout import ITEM_KEY
from .memory import State
from .steps import at_ms, before, code_at, is_kept, item_at
from .table import CELLS, ITEMS, address, rows_of

_STEP, _ROW, _CODE, _AT_MS = 0, 1, 2, 3


class Steps(NamedTuple):
    """Steps of one person, the newest first: by time, and of one time the last in the log."""

    numbers: Ints
    """In the ring, see `steps`."""
    refs: Ints
    """References of the items."""
    rows: Ints
    """Their rows."""
    codes: Ints
    """What was done: numbers of roles, see `events.meanings.number_of_role`."""
    times_ms: Ints


def steps_of(state: State, keys: Sequence[int], feature: str, count: int = STEPS_READ_MAX) -> Steps:
    """The newest `count` steps of the person with these cells that a feature keeps, the last folded one among them.

    People on disk should have been read ahead (`State.unread`). KeyError if there is no such feature; `Corrupt` when a
    record on disk is damaged.
    """
    memory, ring = state.tables.memory, state.ring(feature)
    found = np.empty((len(keys) * count, 4), np.int64)
    end = 0
    for newest in _newest_steps(state, keys, feature):
        end = _walk(memory.ints, ring, newest, found, end, end + count)
    _sort(found, end)
    taken = found[: min(end, count)]
    refs = rows_of(memory, ITEMS)[taken[:, _ROW], ITEM_KEY]
    return Steps(taken[:, _STEP], refs, taken[:, _ROW], taken[:, _CODE], taken[:, _AT_MS])


def _newest_steps(state: State, keys: Sequence[int], feature: str) -> list[int]:
    """The newest step of each cell that there is."""
    layout, memory, word = state.schema.layout, state.tables.memory, state.newest_step_word(feature)
    rows = [state.cell_row(key) for key in keys]
    on_disk = [parts_of(one.words, layout).cell for one in state.lying(keys).values()]
    in_memory = [int(memory.ints[address(memory.regions, CELLS, row) + word]) for row in rows if row >= 0]
    return in_memory + [int(cell[word]) for cell in on_disk]


@kernel
def _walk(ints: Ints, ring: int, step: int, found: Ints, end: int, limit: int) -> int:
    """Write down the steps of one cell from the newest on, until `limit` of all are found; how many are."""
    while end < limit and is_kept(ints, ring, step):
        row = item_at(ints, ring, step)
        if row >= 0:
            found[end, _STEP] = step
            found[end, _ROW] = row
            found[end, _CODE] = code_at(ints, ring, step)
            found[end, _AT_MS] = at_ms(ints, ring, step)
            end += 1
        step = before(ints, ring, step)
    return end


@kernel
def _sort(found: Ints, count: int) -> None:
    """The newest first, in place. A cell's own steps nearly are in this order."""
    for i in range(1, count):
        step, row, code, time_ms = found[i, _STEP], found[i, _ROW], found[i, _CODE], found[i, _AT_MS]
        place = i
        while place > 0 and (
            found[place - 1, _AT_MS] < time_ms
            or (found[place - 1, _AT_MS] == time_ms and found[place - 1, _STEP] < step)
        ):
            for word in range(4):
                found[place, word] = found[place - 1, word]
            place -= 1
        if place != i:
            found[place, _STEP], found[place, _ROW] = step, row
            found[place, _CODE], found[place, _AT_MS] = code, time_ms

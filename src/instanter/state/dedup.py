"""Once: whether a cell has seen a message, and which messages it remembers.

A cell remembers the newest messages by event time, `dedup_ids_max` of them, that lie within `dedup_window_ms` of its
newest event. A message that has to go earlier is counted as overflow. Which ones are remembered does not depend on the
order of arrival.

Expired messages make room for new ones one by one; those that are long expired, all at once, so that nobody holds for
ever the room that their busiest day took.
"""

from __future__ import annotations

from typing import NamedTuple

from .chunks import append, drop_before, free_chain, goes_before, slot_word, write
from .compiled import Ints, kernel
from .layout import CELL_CHUNK, CELL_IDS, CELL_OVERFLOW, CHUNK_COUNT, CHUNK_FIRST, CHUNK_IDS, CHUNK_NEXT
from .ledger import close, first_to_go, knows, ledger_of, note_added, note_replaced
from .program import DEDUP_MS, FOLDING, IDS_MAX
from .table import CELLS, CHUNKS, Memory, address

WALKED_IDS_MAX = 128
"""So many messages are looked through one by one; of more, a ledger is kept."""
_LONG = 8
"""Long expired is: by more than this part of the window. So a message is copied a few times at most."""


class Seen(NamedTuple):
    """What `look` found: the message itself, or the slot of the one that has to go first (-1: itself) and its time."""

    duplicate: bool
    slot: int
    at_ms: int


@kernel
def look(memory: Memory, row: int, message: int, at_ms: int, horizon_ms: int) -> Seen:
    """Whether a cell has seen the message since `horizon_ms`, which is not after `at_ms`."""
    cell = address(memory.regions, CELLS, row)
    if memory.ints[cell + CELL_IDS] > WALKED_IDS_MAX:
        ledger = ledger_of(memory, row)
        if ledger >= 0:
            return _look_up(memory, ledger, message, at_ms, horizon_ms)
    return _walk(memory.ints, memory.regions, cell, message, at_ms, horizon_ms)


@kernel
def _look_up(memory: Memory, ledger: int, message: int, at_ms: int, horizon_ms: int) -> Seen:
    if knows(memory, ledger, message, horizon_ms):
        return Seen(True, -1, at_ms)
    slot = first_to_go(memory, ledger)
    word = slot_word(memory.regions, slot)
    known, known_ms = memory.ints[word], memory.ints[word + 1]
    if goes_before(known, known_ms, message, at_ms):
        return Seen(False, slot, known_ms)
    return Seen(False, -1, at_ms)


@kernel
def _walk(ints: Ints, regions: Ints, cell: int, message: int, at_ms: int, horizon_ms: int) -> Seen:
    first_slot, first_ms, first = -1, at_ms, message
    row = ints[cell + CELL_CHUNK] - 1
    while row >= 0:
        chunk = address(regions, CHUNKS, row)
        for i in range(ints[chunk + CHUNK_COUNT]):
            known, known_ms = ints[chunk + CHUNK_FIRST + 2 * i], ints[chunk + CHUNK_FIRST + 2 * i + 1]
            if known == message and known_ms >= horizon_ms:
                return Seen(True, -1, at_ms)
            if goes_before(known, known_ms, first, first_ms):
                first_slot, first_ms, first = row * CHUNK_IDS + i, known_ms, known
        row = ints[chunk + CHUNK_NEXT] - 1
    return Seen(False, first_slot, first_ms)


@kernel
def remember(memory: Memory, row: int, message: int, at_ms: int, horizon_ms: int, settings: Ints, seen: Seen) -> bool:
    """Remember a message that `look` did not find; False if another one, or it, had to be forgotten before its time.
    The cell has been touched."""
    ints, cell = memory.ints, address(memory.regions, CELLS, row)
    if settings[FOLDING] >= 3 and seen.at_ms < horizon_ms - settings[DEDUP_MS] // _LONG:
        close(memory, row)
        drop_before(memory, cell, horizon_ms)
        append(memory, cell, message, at_ms)  # One at least has gone, so there is room.
        return True
    if seen.at_ms < horizon_ms:
        _replace(memory, row, cell, seen.slot, message, at_ms)
        return True
    if ints[cell + CELL_IDS] < settings[IDS_MAX]:
        slot = append(memory, cell, message, at_ms)
        if slot >= 0:
            note_added(memory, row, cell, message, at_ms, slot)
            return True
    ints[cell + CELL_OVERFLOW] += 1
    if seen.slot >= 0:
        _replace(memory, row, cell, seen.slot, message, at_ms)
    return False


@kernel
def _replace(memory: Memory, row: int, cell: int, slot: int, message: int, at_ms: int) -> None:
    """Put a message in the slot of the one that goes first."""
    former = memory.ints[slot_word(memory.regions, slot)]
    write(memory, slot, message, at_ms)
    note_replaced(memory, row, cell, former, message)


@kernel
def forget(memory: Memory, row: int) -> None:
    """Free the messages of a cell, which has been touched."""
    ints, cell = memory.ints, address(memory.regions, CELLS, row)
    close(memory, row)
    free_chain(memory, ints[cell + CELL_CHUNK] - 1)
    ints[cell + CELL_CHUNK] = 0
    ints[cell + CELL_IDS] = 0

"""Once: the messages a cell has seen, as a chain of pooled chunks sized by use.

A cell remembers the newest 256 messages by event time that lie within 24 hours of its newest event. A message that
has to go earlier is counted as overflow. Which ones are remembered does not depend on the order of arrival.
"""

from __future__ import annotations

from typing import NamedTuple

from .compiled import Ints, kernel
from .layout import CELL_CHUNK, CELL_IDS, CELL_OVERFLOW
from .table import CHUNKS, Memory, address, allocate, touch

CHUNK_IDS = 6
CHUNK_NEXT, CHUNK_COUNT, CHUNK_FIRST = 0, 1, 2
CHUNK_WORDS = CHUNK_FIRST + 2 * CHUNK_IDS


class Seen(NamedTuple):
    """What `look` found: the message itself, or the place of the one that has to go first (row -1: itself)."""

    duplicate: bool
    expired: bool
    row: int
    word: int


@kernel
def look(ints: Ints, regions: Ints, cell: int, message: int, at_ms: int, horizon_ms: int) -> Seen:
    """Whether the cell at word `cell` has seen the message since `horizon_ms`."""
    oldest_row, oldest_word, oldest_ms, oldest_message = -1, -1, at_ms, message
    row = ints[cell + CELL_CHUNK] - 1
    while row >= 0:
        chunk = address(regions, CHUNKS, row)
        for word in range(chunk + CHUNK_FIRST, chunk + CHUNK_FIRST + 2 * ints[chunk + CHUNK_COUNT], 2):
            known, known_ms = ints[word], ints[word + 1]
            if known == message and known_ms >= horizon_ms:
                return Seen(True, False, row, word)
            if known_ms < oldest_ms or (known_ms == oldest_ms and known < oldest_message):
                oldest_row, oldest_word, oldest_ms, oldest_message = row, word, known_ms, known
        row = ints[chunk + CHUNK_NEXT] - 1
    return Seen(False, oldest_ms < horizon_ms, oldest_row, oldest_word)


@kernel
def remember(memory: Memory, cell: int, message: int, at_ms: int, ids_max: int, seen: Seen) -> bool:
    """Remember a message that `look` did not find; False if another one, or it, had to be forgotten before its time.
    The cell has been touched."""
    ints = memory.ints
    if not seen.expired:
        if ints[cell + CELL_IDS] < ids_max and _append(memory, cell, message, at_ms):
            return True
        ints[cell + CELL_OVERFLOW] += 1
    if seen.row >= 0:
        touch(memory, CHUNKS, seen.row)
        ints[seen.word] = message
        ints[seen.word + 1] = at_ms
    return seen.expired


@kernel
def _append(memory: Memory, cell: int, message: int, at_ms: int) -> bool:
    """False if there is no room for another chunk."""
    ints, regions = memory.ints, memory.regions
    row = ints[cell + CELL_CHUNK] - 1
    if row < 0 or ints[address(regions, CHUNKS, row) + CHUNK_COUNT] == CHUNK_IDS:
        fresh = allocate(memory, CHUNKS)
        if fresh < 0:
            return False
        ints[address(regions, CHUNKS, fresh) + CHUNK_NEXT] = row + 1
        ints[cell + CELL_CHUNK] = fresh + 1
        row = fresh
    touch(memory, CHUNKS, row)
    chunk = address(regions, CHUNKS, row)
    word = chunk + CHUNK_FIRST + 2 * ints[chunk + CHUNK_COUNT]
    ints[word] = message
    ints[word + 1] = at_ms
    ints[chunk + CHUNK_COUNT] += 1
    ints[cell + CELL_IDS] += 1
    return True

"""The messages that a cell remembers: a chain of pooled chunks, each with up to six ids and their times.

This is what is stored. All chunks of a chain are full but the first, which takes what comes next. A slot counts the
places for one message over all chunks.
"""

from __future__ import annotations

from .compiled import Ints, kernel
from .layout import CELL_CHUNK, CELL_IDS, CHUNK_COUNT, CHUNK_FIRST, CHUNK_IDS, CHUNK_NEXT
from .table import CHUNKS, Memory, address, allocate, release, touch


@kernel
def slot_word(regions: Ints, slot: int) -> int:
    """The word of the message in a slot; its time is in the next one."""
    return address(regions, CHUNKS, slot // CHUNK_IDS) + CHUNK_FIRST + 2 * (slot % CHUNK_IDS)


@kernel
def goes_before(message: int, at_ms: int, other: int, other_ms: int) -> bool:
    """Whether a message is forgotten before another one: the earlier first, of one time the smaller id."""
    return at_ms < other_ms or (at_ms == other_ms and message < other)


@kernel
def write(memory: Memory, slot: int, message: int, at_ms: int) -> None:
    """Put a message into a slot."""
    touch(memory, CHUNKS, slot // CHUNK_IDS)
    word = slot_word(memory.regions, slot)
    memory.ints[word] = message
    memory.ints[word + 1] = at_ms


@kernel
def append(memory: Memory, cell: int, message: int, at_ms: int) -> int:
    """Remember one more message, and in which slot; -1 if there is no room for another chunk. The cell at word `cell`
    has been touched."""
    ints, regions = memory.ints, memory.regions
    row = ints[cell + CELL_CHUNK] - 1
    if row < 0 or ints[address(regions, CHUNKS, row) + CHUNK_COUNT] == CHUNK_IDS:
        fresh = allocate(memory, CHUNKS)
        if fresh < 0:
            return -1
        ints[address(regions, CHUNKS, fresh) + CHUNK_NEXT] = row + 1
        ints[cell + CELL_CHUNK] = fresh + 1
        row = fresh
    chunk = address(regions, CHUNKS, row)
    slot: int = row * CHUNK_IDS + ints[chunk + CHUNK_COUNT]
    write(memory, slot, message, at_ms)
    ints[chunk + CHUNK_COUNT] += 1
    ints[cell + CELL_IDS] += 1
    return slot


@kernel
def drop_before(memory: Memory, cell: int, horizon_ms: int) -> None:
    """Let go of all messages from before `horizon_ms`, and free the chunks that the others do not need. The cell at
    word `cell` has been touched."""
    ints, regions = memory.ints, memory.regions
    head = row = ints[cell + CELL_CHUNK] - 1
    into, full, count, kept = row, -1, 0, 0
    while row >= 0:
        touch(memory, CHUNKS, row)
        chunk = address(regions, CHUNKS, row)
        for word in range(chunk + CHUNK_FIRST, chunk + CHUNK_FIRST + 2 * ints[chunk + CHUNK_COUNT], 2):
            if ints[word + 1] >= horizon_ms:
                if count == CHUNK_IDS:
                    full, count = into, 0
                    ints[address(regions, CHUNKS, full) + CHUNK_COUNT] = CHUNK_IDS
                    into = ints[address(regions, CHUNKS, full) + CHUNK_NEXT] - 1
                write(memory, into * CHUNK_IDS + count, ints[word], ints[word + 1])
                count += 1
                kept += 1
        row = ints[chunk + CHUNK_NEXT] - 1
    ints[cell + CELL_IDS] = kept
    if kept == 0:
        ints[cell + CELL_CHUNK] = 0
        free_chain(memory, head)
        return
    last = address(regions, CHUNKS, into)
    unneeded = ints[last + CHUNK_NEXT] - 1
    ints[last + CHUNK_COUNT] = count
    ints[last + CHUNK_NEXT] = 0
    if full >= 0:  # The one that is not full goes first.
        ints[address(regions, CHUNKS, full) + CHUNK_NEXT] = 0
        ints[last + CHUNK_NEXT] = head + 1
        ints[cell + CELL_CHUNK] = into + 1
    free_chain(memory, unneeded)


@kernel
def free_chain(memory: Memory, row: int) -> None:
    """Free a chunk and all that follow it; -1 for none."""
    while row >= 0:
        following = memory.ints[address(memory.regions, CHUNKS, row) + CHUNK_NEXT] - 1
        release(memory, CHUNKS, row)
        row = following

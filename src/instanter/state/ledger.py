"""The ledger of a cell that remembers many messages: in which slot each is, and which goes first.

Most people have a few dozen messages, which are looked through one by one. Of who has more, a ledger is made when the
next event comes: a hash table of slots and a heap of them, the message that is forgotten first on top. A look-up then
takes the same time whatever their number, and so does, but for a logarithm, finding the one to forget.

A ledger says nothing that the chunks do not say. It is not stored, and can be closed at any time; where there is no
room for one, the messages are looked through. It lies in pages of one table: the first says where the others are.
"""

from __future__ import annotations

from ..foundation.limits import DEDUP_IDS_MAX
from .chunks import goes_before, slot_word
from .compiled import Ints, kernel
from .layout import CELL_CHUNK, CELL_IDS, CHUNK_COUNT, CHUNK_FIRST, CHUNK_IDS, CHUNK_NEXT
from .table import CELLS, CHUNKS, LEDGERS, LIVE, ROWS_MAX, Memory, address, allocate, release

PAGE_WORDS = 128
TABLE_PAGES_MAX = 2 * DEDUP_IDS_MAX // PAGE_WORDS
LEDGER_PAGES_MAX = 1 + TABLE_PAGES_MAX + TABLE_PAGES_MAX // 2

# Words of the first page: how many pages the hash table has, always half full at most, and which; the heap has half as
# many.
_TABLE_PAGES, _FIRST_PAGE = 0, 1
_FIRST_HEAP_PAGE = _FIRST_PAGE + TABLE_PAGES_MAX
assert LEDGER_PAGES_MAX <= PAGE_WORDS
assert TABLE_PAGES_MAX & (TABLE_PAGES_MAX - 1) == 0

# An entry of the hash table is a part of the message and its slot + 1; 0 is none.
_SLOT_BITS = 35
_SLOT = (1 << _SLOT_BITS) - 1
_TAG = (1 << 28) - 1


@kernel
def ledger_of(memory: Memory, row: int) -> int:
    """The first word of the ledger of a cell, made if need be; -1 if there is no room for it."""
    page = memory.ledgers[row] - 1
    if page < 0:
        page = _open(memory, row)
        if page < 0:
            return -1
    return address(memory.regions, LEDGERS, page)


@kernel
def knows(memory: Memory, ledger: int, message: int, horizon_ms: int) -> bool:
    """Whether the message is remembered, from `horizon_ms` on."""
    ints, regions = memory.ints, memory.regions
    mask = ints[ledger + _TABLE_PAGES] * PAGE_WORDS - 1
    place = message & _TAG & mask
    entry = ints[_place_word(ints, regions, ledger, place)]
    while entry != 0:
        if entry >> _SLOT_BITS == message & _TAG:
            word = slot_word(regions, (entry & _SLOT) - 1)
            if ints[word] == message and ints[word + 1] >= horizon_ms:
                return True
        place = (place + 1) & mask
        entry = ints[_place_word(ints, regions, ledger, place)]
    return False


@kernel
def first_to_go(memory: Memory, ledger: int) -> int:
    """The slot of the message that is forgotten before all others."""
    slot: int = memory.ints[_heap_word(memory.ints, memory.regions, ledger, 0)]
    return slot


@kernel
def note_added(memory: Memory, row: int, cell: int, message: int, at_ms: int, slot: int) -> None:
    """The cell at word `cell` remembers a message more, in this slot."""
    if memory.ledgers[row] == 0:
        return
    ints, regions = memory.ints, memory.regions
    ledger, ids = address(regions, LEDGERS, memory.ledgers[row] - 1), ints[cell + CELL_IDS]
    if 2 * ids > ints[ledger + _TABLE_PAGES] * PAGE_WORDS:
        close(memory, row)
        return
    _put_in(memory, ledger, message, slot)
    place = ids - 1
    while place > 0:
        above = _heap_word(ints, regions, ledger, (place - 1) // 2)
        word = slot_word(regions, ints[above])
        if not goes_before(message, at_ms, ints[word], ints[word + 1]):
            break
        ints[_heap_word(ints, regions, ledger, place)] = ints[above]
        place = (place - 1) // 2
    ints[_heap_word(ints, regions, ledger, place)] = slot


@kernel
def note_replaced(memory: Memory, row: int, cell: int, former: int, message: int) -> None:
    """In the slot of the message that was to go first, there is another one now."""
    if memory.ledgers[row] == 0:
        return
    ledger = address(memory.regions, LEDGERS, memory.ledgers[row] - 1)
    slot = first_to_go(memory, ledger)
    _take_out(memory, ledger, former, slot)
    _put_in(memory, ledger, message, slot)
    _sift_down(memory, ledger, 0, memory.ints[cell + CELL_IDS])


@kernel
def close(memory: Memory, row: int) -> None:
    """Free the ledger of a cell, if it has one."""
    page = memory.ledgers[row] - 1
    if page < 0:
        return
    memory.ledgers[row] = 0
    ledger = address(memory.regions, LEDGERS, page)
    table_pages = memory.ints[ledger + _TABLE_PAGES]
    for i in range(table_pages):
        release(memory, LEDGERS, memory.ints[ledger + _FIRST_PAGE + i])
    for i in range(table_pages // 2):
        release(memory, LEDGERS, memory.ints[ledger + _FIRST_HEAP_PAGE + i])
    release(memory, LEDGERS, page)


@kernel
def _open(memory: Memory, row: int) -> int:
    """The first page of a new ledger with room for half as many messages more at least; -1 if there is no room."""
    ints, regions = memory.ints, memory.regions
    cell = address(regions, CELLS, row)
    ids, table_pages = ints[cell + CELL_IDS], 2
    while table_pages * PAGE_WORDS < 3 * ids and table_pages < TABLE_PAGES_MAX:
        table_pages *= 2
    pages = 1 + table_pages + table_pages // 2
    if 2 * ids > table_pages * PAGE_WORDS or regions[LEDGERS, ROWS_MAX] - regions[LEDGERS, LIVE] < pages:
        return -1
    page = allocate(memory, LEDGERS)
    ledger = address(regions, LEDGERS, page)
    ints[ledger + _TABLE_PAGES] = table_pages
    for i in range(table_pages):
        ints[ledger + _FIRST_PAGE + i] = allocate(memory, LEDGERS)
    for i in range(table_pages // 2):
        ints[ledger + _FIRST_HEAP_PAGE + i] = allocate(memory, LEDGERS)
    _fill(memory, ledger, ints[cell + CELL_CHUNK] - 1, ids)
    memory.ledgers[row] = page + 1
    return page


@kernel
def _fill(memory: Memory, ledger: int, row: int, ids: int) -> None:
    """Note the `ids` messages of the chain that begins with the chunk `row`."""
    ints, regions, noted = memory.ints, memory.regions, 0
    while row >= 0:
        chunk = address(regions, CHUNKS, row)
        for i in range(min(ints[chunk + CHUNK_COUNT], ids - noted)):
            slot = row * CHUNK_IDS + i
            _put_in(memory, ledger, ints[chunk + CHUNK_FIRST + 2 * i], slot)
            ints[_heap_word(ints, regions, ledger, noted)] = slot
            noted += 1
        row = ints[chunk + CHUNK_NEXT] - 1
    for place in range(noted // 2 - 1, -1, -1):
        _sift_down(memory, ledger, place, noted)


# The hash table: open addressing with linear probing, begun where the lowest bits of the message say.


@kernel
def _place_word(ints: Ints, regions: Ints, ledger: int, place: int) -> int:
    page = ints[ledger + _FIRST_PAGE + place // PAGE_WORDS]
    return address(regions, LEDGERS, page) + place % PAGE_WORDS


@kernel
def _put_in(memory: Memory, ledger: int, message: int, slot: int) -> None:
    ints, regions = memory.ints, memory.regions
    mask = ints[ledger + _TABLE_PAGES] * PAGE_WORDS - 1
    place = message & _TAG & mask
    while ints[_place_word(ints, regions, ledger, place)] != 0:
        place = (place + 1) & mask
    ints[_place_word(ints, regions, ledger, place)] = (message & _TAG) << _SLOT_BITS | (slot + 1)


@kernel
def _take_out(memory: Memory, ledger: int, message: int, slot: int) -> None:
    """Take an entry out and move those behind it back, so that no probe ends before it has found its message."""
    ints, regions = memory.ints, memory.regions
    mask = ints[ledger + _TABLE_PAGES] * PAGE_WORDS - 1
    gone = (message & _TAG) << _SLOT_BITS | (slot + 1)
    hole = message & _TAG & mask
    while ints[_place_word(ints, regions, ledger, hole)] != gone:
        hole = (hole + 1) & mask
    place = (hole + 1) & mask
    entry = ints[_place_word(ints, regions, ledger, place)]
    while entry != 0:
        if (place - (entry >> _SLOT_BITS)) & mask >= (place - hole) & mask:
            ints[_place_word(ints, regions, ledger, hole)] = entry
            hole = place
        place = (place + 1) & mask
        entry = ints[_place_word(ints, regions, ledger, place)]
    ints[_place_word(ints, regions, ledger, hole)] = 0


# The heap: each slot's message goes before those of the two places below it.


@kernel
def _heap_word(ints: Ints, regions: Ints, ledger: int, place: int) -> int:
    page = ints[ledger + _FIRST_HEAP_PAGE + place // PAGE_WORDS]
    return address(regions, LEDGERS, page) + place % PAGE_WORDS


@kernel
def _sift_down(memory: Memory, ledger: int, place: int, ids: int) -> None:
    """Put the slot at a place of the heap where it belongs, among those below."""
    ints, regions = memory.ints, memory.regions
    slot = ints[_heap_word(ints, regions, ledger, place)]
    word = slot_word(regions, slot)
    message, at_ms = ints[word], ints[word + 1]
    below = 2 * place + 1
    while below < ids:
        found = ints[_heap_word(ints, regions, ledger, below)]
        word = slot_word(regions, found)
        if below + 1 < ids:
            other = ints[_heap_word(ints, regions, ledger, below + 1)]
            other_word = slot_word(regions, other)
            if goes_before(ints[other_word], ints[other_word + 1], ints[word], ints[word + 1]):
                below, found, word = below + 1, other, other_word
        if not goes_before(ints[word], ints[word + 1], message, at_ms):
            break
        ints[_heap_word(ints, regions, ledger, place)] = found
        place, below = below, 2 * below + 1
    ints[_heap_word(ints, regions, ledger, place)] = slot

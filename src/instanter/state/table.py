"""All records in one memory: tables of fixed-width rows, and the indexes from a 64-bit key to a row.

The memory is allocated for its limit at once; the system hands out its pages as rows are used, so growth never copies
and never pauses the loop. An index grows by doubling and moves a bounded number of entries per batch.

While a checkpoint is being written, the first change to a row that has not been copied yet saves the row as it was
(`touch`): the checkpoint is of one exact position, and the fold goes on.
"""

from __future__ import annotations

import mmap
from typing import NamedTuple

import numpy as np

from ..foundation.limits import DEDUP_IDS_MAX, FOLD_BATCH_EVENTS_MAX, FOLD_BATCH_ITEMS_MAX
from ..foundation.pages import give_back
from .compiled import Bytes, Ints, Reals, kernel
from .layout import CHUNK_IDS, SEEN_ITEMS_MAX, STEP_WORDS

CELLS, SESSIONS, CHUNKS, ITEMS, NOTHING, COLD, LEDGERS, STEPS = 0, 1, 2, 3, 4, 5, 6, 7
"""The tables. Cold says where people lie on disk. Ledgers are no state: they are made from chunks. Of nothing there are
no rows: checkpoints number the tables, and one that there was once had its number. Steps is the first of the rings, see
`sequences`: there is a table for each feature that keeps steps, and these come last."""

# Columns of `Memory.regions`, one row per table.
BASE, WORDS, ROWS_MAX, FIRST_ROW, USED, FREE, LIVE = 0, 1, 2, 3, 4, 5, 6
"""First word; words a row; rows at most; number of the first row over all tables; rows ever used; first free row + 1;
rows in use."""
REGION_COLUMNS = 7

ENTRIES, MIGRATED = 0, 1
"""Words of `Index.meta`: entries, and places of the old arrays that have been moved."""

MIGRATE_PER_BATCH = 4_096

PLACES_MIN = 4_096

SCATTERED_PLACES = 1 << 16
"""Places from which on the arrays of an index are of pages of the usual size, and given back so many at a time."""

SHRUNK_AT = 32
"""Places for each entry from which on an index is too large."""

_REMOVED = -1
"""The row of a key in the old arrays that is no longer there."""


class Memory(NamedTuple):
    """The tables. `ints` and `reals` are the same words."""

    ints: Ints
    reals: Reals
    regions: Ints
    unsaved: Bytes
    """By row over all tables: 1 while a checkpoint still needs the row as it is."""
    spill: Ints
    """Rows saved by `touch`: the word after the last one, then [table, row, words ...] for each."""
    ledgers: Ints
    """By row of cells: the first page of its ledger + 1, 0 for none."""


class Index(NamedTuple):
    """Open addressing with linear probing; key 0 is an empty place. The keys are hashes already."""

    keys: Ints
    rows: Ints
    old_keys: Ints
    old_rows: Ints
    meta: Ints


def make_memory(*, words: tuple[int, ...], rows_max: tuple[int, ...], pairings: int = 1) -> Memory:
    """Empty tables; `words` and `rows_max` by table, `pairings` is the number of co-occurrence features.

    There is room to spill what two full batches can touch.
    """
    assert len(words) == len(rows_max) >= STEPS
    regions = np.zeros((len(words), REGION_COLUMNS), np.int64)
    base = first_row = 0
    for table in range(len(words)):
        regions[table, [BASE, WORDS, ROWS_MAX, FIRST_ROW]] = base, words[table], rows_max[table], first_row
        base += words[table] * rows_max[table]
        first_row += rows_max[table]
    ints = np.zeros(base, np.int64)
    spill = np.zeros(1 + 2 * _touched_words_max(words, rows_max, pairings), np.int64)
    spill[0] = 1
    unsaved, ledgers = np.zeros(first_row, np.uint8), np.zeros(rows_max[CELLS], np.int64)
    return Memory(ints, ints.view(np.float64), regions, unsaved, spill, ledgers)


def scattered(words: int) -> Ints:
    """So many words of zero that are first written far apart, each in the midst of other work.

    In pages of the usual size. numpy asks for huge ones: to hand out and clear one takes 0.2 ms, on a virtual machine
    up to 6 ms, and a shop with 300,000 items met two dozen of them in each of its first epochs.
    """
    memory = mmap.mmap(-1, max(words, 1) * np.dtype(np.int64).itemsize, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    if hasattr(mmap, "MADV_NOHUGEPAGE"):
        memory.madvise(mmap.MADV_NOHUGEPAGE)
    return np.frombuffer(memory, np.int64, words)


def _touched_words_max(words: tuple[int, ...], rows_max: tuple[int, ...], pairings: int) -> int:
    """What one batch can touch: a cell, three sessions and all chunks of the cell an event, its items and their
    pairs, and of each ring a step and the one before it for each item, and where the ring says how far it is."""
    events, pairs = FOLD_BATCH_EVENTS_MAX, 2 * FOLD_BATCH_EVENTS_MAX * (SEEN_ITEMS_MAX + 1) * pairings
    chunks = min(events * (DEDUP_IDS_MAX // CHUNK_IDS + 1), rows_max[CHUNKS])
    rows = {CELLS: events, SESSIONS: 3 * events, CHUNKS: chunks, ITEMS: FOLD_BATCH_ITEMS_MAX + pairs}
    steps = (2 * FOLD_BATCH_ITEMS_MAX + 1) * (STEP_WORDS + 2) * (len(words) - STEPS)
    return steps + sum(count * (words[table] + 2) for table, count in rows.items())


def free_rows(memory: Memory, table: int) -> int:
    """How many rows can still be allocated."""
    return int(memory.regions[table, ROWS_MAX] - memory.regions[table, LIVE])


def rows_of(memory: Memory, table: int) -> Ints:
    """The rows ever used of a table, [rows, words], as a view."""
    base, words, used = (int(memory.regions[table, column]) for column in (BASE, WORDS, USED))
    return memory.ints[base : base + used * words].reshape(used, words)


def make_index(places: int = PLACES_MIN) -> Index:
    """An empty index; `places` is a power of two."""
    assert places & (places - 1) == 0
    nothing = np.zeros(1, np.int64)
    return Index(_places(places), _places(places), nothing, nothing, np.zeros(2, np.int64))


def _places(count: int) -> Ints:
    """The first entries of a large index meet each of its pages: one step of the loop would clear all the huge ones."""
    return scattered(count) if count > SCATTERED_PLACES else np.zeros(count, np.int64)


def grown(index: Index, *, room_for: int) -> Index:
    """The index itself, or one of at least twice the size to which `migrate` moves the entries bit by bit."""
    places = len(index.keys)
    needed = (int(index.meta[ENTRIES]) + room_for) * 2
    if needed <= places:
        return index
    migrate(index, len(index.old_keys))
    while needed > places:
        places *= 2
    meta = np.array([index.meta[ENTRIES], 0], np.int64)
    return Index(_places(places), _places(places), index.keys, index.rows, meta)


def settled(index: Index) -> Index:
    """The index without the old arrays, if everything has been moved out of them; of large ones, without a part."""
    if len(index.old_keys) == 1 or index.meta[MIGRATED] < len(index.old_keys):
        return index
    if len(index.old_keys) > SCATTERED_PLACES:
        for column in (index.old_keys, index.old_rows):
            give_back(column[:SCATTERED_PLACES])
        return index._replace(
            old_keys=index.old_keys[SCATTERED_PLACES:], old_rows=index.old_rows[SCATTERED_PLACES:]
        )
    nothing = np.zeros(1, np.int64)
    return index._replace(old_keys=nothing, old_rows=nothing)


def index_of(keys: Ints) -> Index:
    """An index of `keys` to their places; key 0 is none."""
    index = grown(make_index(), room_for=len(keys))._replace(old_keys=np.zeros(1, np.int64))
    _insert_all(index, np.ascontiguousarray(keys))
    return index


def shrunk(index: Index, keys: Ints) -> Index:
    """The index itself, or a smaller one of the same `keys` to their places if they take little of it."""
    entries = int(index.meta[ENTRIES])
    if SHRUNK_AT * entries >= len(index.keys) or len(index.keys) <= PLACES_MIN:
        return index
    smaller = grown(make_index(), room_for=2 * entries)._replace(old_keys=np.zeros(1, np.int64))
    _insert_all(smaller, np.ascontiguousarray(keys))
    return smaller


@kernel
def _insert_all(index: Index, keys: Ints) -> None:
    for row in range(len(keys)):
        if keys[row] != 0:
            insert(index, keys[row], row)


def live_rows(memory: Memory, table: int) -> Ints:
    """The rows in use of a table whose first word is a key, [rows, words], in the order in which they lie."""
    rows = rows_of(memory, table)
    free = int(memory.regions[table, USED] - memory.regions[table, LIVE])
    return rows if free == 0 else rows[rows[:, 0] != 0]


@kernel
def find(index: Index, key: int) -> int:
    """The row of `key`, or -1."""
    row = _probe(index.keys, index.rows, key)
    if row < 0 and index.meta[MIGRATED] < len(index.old_keys):
        row = _probe(index.old_keys, index.old_rows, key)
    return row


@kernel
def find_all(index: Index, keys: Ints, rows: Ints) -> None:
    """The row of each key, or -1."""
    for i in range(len(keys)):
        rows[i] = find(index, keys[i])


@kernel
def _probe(keys: Ints, rows: Ints, key: int) -> int:
    mask = len(keys) - 1
    place = key & mask
    while keys[place] != 0:
        if keys[place] == key:
            row: int = rows[place]
            return row
        if mask == 0:
            break
        place = (place + 1) & mask
    return -1


@kernel
def insert(index: Index, key: int, row: int) -> None:
    """Add a key that is not there."""
    _place(index.keys, index.rows, key, row)
    index.meta[ENTRIES] += 1


@kernel
def _place(keys: Ints, rows: Ints, key: int, row: int) -> None:
    mask = len(keys) - 1
    place = key & mask
    while keys[place] != 0:
        if keys[place] == key:
            return
        place = (place + 1) & mask
    keys[place] = key
    rows[place] = row


@kernel
def remove(index: Index, key: int) -> None:
    """Take out a key that is there."""
    _close(index.keys, index.rows, key)
    if index.meta[MIGRATED] < len(index.old_keys):
        _mark_removed(index.old_keys, index.old_rows, key)
    index.meta[ENTRIES] -= 1


@kernel
def _close(keys: Ints, rows: Ints, key: int) -> None:
    """Take a key out and move those behind it back, so that no probe ends before it has found its key."""
    mask = len(keys) - 1
    hole = key & mask
    while keys[hole] != key:
        if keys[hole] == 0:
            return
        hole = (hole + 1) & mask
    place = (hole + 1) & mask
    while keys[place] != 0:
        if (place - keys[place]) & mask >= (place - hole) & mask:
            keys[hole], rows[hole] = keys[place], rows[place]
            hole = place
        place = (place + 1) & mask
    keys[hole] = 0


@kernel
def _mark_removed(keys: Ints, rows: Ints, key: int) -> None:
    """The old arrays are only probed and moved away: a key that has gone stays as a place to probe past."""
    mask = len(keys) - 1
    place = key & mask
    while keys[place] != 0:
        if keys[place] == key:
            rows[place] = _REMOVED
            return
        if mask == 0:
            return
        place = (place + 1) & mask


@kernel
def migrate(index: Index, count: int) -> None:
    """Move up to `count` places of the old arrays into the new ones."""
    start = index.meta[MIGRATED]
    end = min(start + count, len(index.old_keys))
    for place in range(start, end):
        if index.old_keys[place] != 0 and index.old_rows[place] != _REMOVED:
            _place(index.keys, index.rows, index.old_keys[place], index.old_rows[place])
    index.meta[MIGRATED] = end


@kernel
def address(regions: Ints, table: int, row: int) -> int:
    """The first word of a row."""
    word: int = regions[table, BASE] + row * regions[table, WORDS]
    return word


@kernel
def allocate(memory: Memory, table: int) -> int:
    """A zeroed row, saved if need be, or -1 if the table is full."""
    ints, regions = memory.ints, memory.regions
    row: int = regions[table, FREE] - 1
    if row >= 0:
        touch(memory, table, row)
        word = address(regions, table, row) + _free_link(table)
        regions[table, FREE] = ints[word]
        ints[word] = 0
    elif regions[table, USED] < regions[table, ROWS_MAX]:
        row = regions[table, USED]
        regions[table, USED] += 1
    else:
        return -1
    regions[table, LIVE] += 1
    return row


@kernel
def release(memory: Memory, table: int, row: int) -> None:
    """Give a row back."""
    touch(memory, table, row)
    ints, regions = memory.ints, memory.regions
    first = address(regions, table, row)
    for word in range(first, first + regions[table, WORDS]):
        ints[word] = 0
    ints[first + _free_link(table)] = regions[table, FREE]
    regions[table, FREE] = row + 1
    regions[table, LIVE] -= 1


@kernel
def _free_link(table: int) -> int:
    """Which word of a free row says the next one. People are also met row by row: the first word is their key, and 0
    says that nobody is there."""
    return 1 if table in (CELLS, COLD) else 0


@kernel
def touch(memory: Memory, table: int, row: int) -> None:
    """Call before changing a row: saves it as it is for the checkpoint that is being written, once."""
    number = memory.regions[table, FIRST_ROW] + row
    if memory.unsaved[number]:
        _save(memory.ints, memory.regions, memory.spill, table, row)
        memory.unsaved[number] = 0


@kernel
def _save(ints: Ints, regions: Ints, spill: Ints, table: int, row: int) -> None:
    end = spill[0]
    words = regions[table, WORDS]
    first = address(regions, table, row)
    spill[end], spill[end + 1] = table, row
    for word in range(words):
        spill[end + 2 + word] = ints[first + word]
    spill[0] = end + 2 + words

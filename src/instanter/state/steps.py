"""Rings of steps: who did something with which item, one after another, in the order of the log.

A step is one act of one person on one item. Each feature that keeps steps has a ring, a table of its own, which holds
as many as the setting `steps_kept` says: a further one takes the place of the oldest. So what is kept is bounded, and
nothing else has to be counted for what goes by sequences: it is found by walking, the newest first.

Steps are numbered from 1 on; 0 is none. The record of an item has the number of the newest step about it, a cell that
of its person's newest (`sequences`). From a step, `earlier` leads to the one before it about the same item, `before`
and `after` to the neighbours of the same person. Whatever leads to a step that the ring keeps no longer leads to none.

    row 0                 [steps ever written, as of the newest epoch, steps kept, 0]
    row 1 + (n - 1) % kept of step n:
        word 0            row of the item + 1 | number of the event's role << 32 | owner's upper 24 bits << 40
        word 1            time of the event
        word 2            steps back to the earlier one | steps back to the one before << 32; 0 for none
        word 3            steps on to the one after, 0 for none | owner's lower 32 bits << 32

The owner is 56 bits of the key of the cell, by which the steps of an erased person are found wherever the person lay.
Such a step says nothing any more, but `earlier` still leads over it.

A decision goes by the heads of items as they were published with an epoch. It leaves out what comes after the number
written then (`as_of`), so that it sees one state of all items.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np

from .compiled import Bytes, Ints, kernel
from .layout import ITEM_KEY, STEP_WORDS
from .table import BASE, ITEMS, LIVE, USED, Memory, address, rows_of, touch

# Words of the first row of a ring.
WRITTEN, AS_OF, KEPT = 0, 1, 2

# Words of a step.
_WHAT, _WHEN, _BACK, _ON = 0, 1, 2, 3

_LOW = 0xFFFF_FFFF
_ROLE_AT, _OWNER_AT, _OWNER_HIGH = 32, 40, 0xFF_FFFF
_OWNER_MAX = 0xFF_FFFF_FFFF_FFFF
_SIEVE_PLACES = 1 << 12
HASHED_AT_ONCE = 65_536
"""Steps in one part of the state hash."""


# Reading. `ring` is the first word of a ring, see `State.ring`.


@kernel
def is_kept(ints: Ints, ring: int, step: int) -> bool:
    """Whether the ring keeps this step: there was one of that number, and none has taken its place."""
    return bool(0 < step <= ints[ring + WRITTEN] and step > ints[ring + WRITTEN] - ints[ring + KEPT])


@kernel
def written(ints: Ints, ring: int) -> int:
    """The number of the newest step."""
    number: int = ints[ring + WRITTEN]
    return number


@kernel
def as_of(ints: Ints, ring: int) -> int:
    """The number of the newest step as of the epoch that decisions read."""
    number: int = ints[ring + AS_OF]
    return number


@kernel
def item_at(ints: Ints, ring: int, step: int) -> int:
    """The row of the item of a step that is kept; -1 where it says nothing any more."""
    return item_in(ints, word_of(ints, ring, step))


@kernel
def code_at(ints: Ints, ring: int, step: int) -> int:
    """The number of the role of the event (`events.meanings.number_of_role`) of a step that is kept."""
    code: int = (ints[word_of(ints, ring, step) + _WHAT] >> _ROLE_AT) & 0xFF
    return code


@kernel
def at_ms(ints: Ints, ring: int, step: int) -> int:
    """When it happened: of a step that is kept."""
    return time_in(ints, word_of(ints, ring, step))


@kernel
def earlier(ints: Ints, ring: int, step: int) -> int:
    """The step before this one about the same item, 0 for none: of a step that is kept."""
    return earlier_in(ints, ring, word_of(ints, ring, step), step)


@kernel
def before(ints: Ints, ring: int, step: int) -> int:
    """The step before this one of the same person, 0 for none: of a step that is kept."""
    return before_in(ints, ring, word_of(ints, ring, step), step)


@kernel
def after(ints: Ints, ring: int, step: int) -> int:
    """The step after this one of the same person, 0 for none: of a step that is kept."""
    return after_in(ints, ring, word_of(ints, ring, step), step)


# Reading many. Where a step stands is a division; a long walk knows it of the step that it comes from, and adds.


class Span(NamedTuple):
    """Where the steps of a ring lie: read once for a walk, during which nothing is written."""

    first: int
    """Word of the first place, and ..."""
    end: int
    """... behind the last."""
    written: int
    """The newest step."""
    before: int
    """The newest of the steps that are kept no longer."""


@kernel
def span_of(ints: Ints, ring: int) -> Span:
    """Where the steps of the ring lie."""
    kept, written = ints[ring + KEPT], ints[ring + WRITTEN]
    first = ring + STEP_WORDS
    return Span(first, first + STEP_WORDS * kept, written, max(written - kept, 0))


@kernel
def is_in(span: Span, step: int) -> bool:
    """Like `is_kept`."""
    return bool(span.before < step <= span.written)


@kernel
def beside(span: Span, word: int, distance: int) -> int:
    """The first word of the step that comes so many behind the one at this word: before it where that is negative. Both
    are kept."""
    word += STEP_WORDS * distance
    if word >= span.end:
        word -= span.end - span.first
    elif word < span.first:
        word += span.end - span.first
    return word


@kernel
def ahead_in(ints: Ints, word: int) -> int:
    """How many steps on the next one of the same person is, 0 for none: of the step at a word."""
    distance: int = ints[word + _ON] & _LOW
    return distance


@kernel
def back_in(ints: Ints, word: int) -> int:
    """How many steps back the one before of the same person was, 0 for none: of the step at a word."""
    distance: int = (ints[word + _BACK] >> 32) & _LOW
    return distance


@kernel
def back_to_item_in(ints: Ints, word: int) -> int:
    """How many steps back the one before about the same item was, 0 for none: of the step at a word."""
    distance: int = ints[word + _BACK] & _LOW
    return distance


@kernel
def item_in(ints: Ints, word: int) -> int:
    """Like `item_at`, of the step at a word."""
    row: int = (ints[word + _WHAT] & _LOW) - 1
    return row


@kernel
def time_in(ints: Ints, word: int) -> int:
    """Like `at_ms`, of the step at a word."""
    time_ms: int = ints[word + _WHEN]
    return time_ms


@kernel
def owner_in(ints: Ints, word: int) -> int:
    """What the step at a word says of its person's cell, see `owner_of`; 0 where it says nothing any more."""
    owner: int = ((ints[word + _ON] >> 32) & _LOW) | ((ints[word + _WHAT] >> _OWNER_AT) & _OWNER_HIGH) << 32
    return owner


@kernel
def earlier_in(ints: Ints, ring: int, word: int, step: int) -> int:
    """Like `earlier`, of the step at a word."""
    return _kept_or_none(ints, ring, step, -(ints[word + _BACK] & _LOW))


@kernel
def before_in(ints: Ints, ring: int, word: int, step: int) -> int:
    """Like `before`, of the step at a word."""
    return _kept_or_none(ints, ring, step, -((ints[word + _BACK] >> 32) & _LOW))


@kernel
def after_in(ints: Ints, ring: int, word: int, step: int) -> int:
    """Like `after`, of the step at a word."""
    return _kept_or_none(ints, ring, step, ints[word + _ON] & _LOW)


@kernel
def _kept_or_none(ints: Ints, ring: int, step: int, distance: int) -> int:
    other: int = step + distance
    return other if distance != 0 and is_kept(ints, ring, other) else 0


@kernel
def word_of(ints: Ints, ring: int, step: int) -> int:
    """The first word of a step that is kept."""
    word: int = ring + STEP_WORDS * (1 + (step - 1) % ints[ring + KEPT])
    return word


# Writing.


@kernel
def append(memory: Memory, table: int, row: int, code: int, time_ms: int, key: int, head: int, newest: int) -> int:
    """Write one more step into the ring; its number. `head` is the newest step about the item so far and `newest` that
    of the person; `row` is the item's, `key` the cell's."""
    ints, ring = memory.ints, address(memory.regions, table, 0)
    touch(memory, table, 0)
    ints[ring + WRITTEN] += 1
    step: int = ints[ring + WRITTEN]
    slot = 1 + (step - 1) % ints[ring + KEPT]
    if slot < memory.regions[table, USED]:
        touch(memory, table, slot)
    else:
        memory.regions[table, USED] += 1
        memory.regions[table, LIVE] += 1
    owner = owner_of(key)
    word = ring + STEP_WORDS * slot
    ints[word + _WHAT] = (row + 1) | code << _ROLE_AT | owner >> 32 << _OWNER_AT
    ints[word + _WHEN] = time_ms
    ints[word + _BACK] = (step - head if is_kept(ints, ring, head) else 0) | (
        (step - newest if is_kept(ints, ring, newest) else 0) << 32
    )
    ints[word + _ON] = (owner & _LOW) << 32
    if is_kept(ints, ring, newest):
        touch(memory, table, 1 + (newest - 1) % ints[ring + KEPT])
        word = word_of(ints, ring, newest)
        ints[word + _ON] = ints[word + _ON] >> 32 << 32 | step - newest
    return step


@kernel
def owner_of(key: int) -> int:
    """What a step says of the cell with this key."""
    return (key >> 8) & _OWNER_MAX


@kernel
def publish_steps(memory: Memory, table: int) -> None:
    """From here on decisions see the steps written so far."""
    ring = address(memory.regions, table, 0)
    if memory.ints[ring + AS_OF] != memory.ints[ring + WRITTEN]:
        touch(memory, table, 0)
        memory.ints[ring + AS_OF] = memory.ints[ring + WRITTEN]


def owners_of(keys: Sequence[int]) -> Ints:
    """What steps say of these cells, sorted."""
    return np.array(sorted({key >> 8 & _OWNER_MAX for key in keys}), np.int64)


def sieve_of(owners: Ints) -> Bytes:
    """By the lowest bits of an owner: whether one of these has them."""
    sieve = np.zeros(_SIEVE_PLACES, np.uint8)
    sieve[owners % _SIEVE_PLACES] = 1
    return sieve


@kernel
def blank(memory: Memory, table: int, owners: Ints, sieve: Bytes, first: int) -> int:
    """Take out what the steps in row `first` of the ring and behind it say, if they are one of these owners'. How far
    it came: to the end, or until the rows saved for a checkpoint take half of their room."""
    ints, ring, end = memory.ints, address(memory.regions, table, 0), memory.regions[table, USED]
    for slot in range(first, end):
        word = ring + STEP_WORDS * slot
        owner = (ints[word + _ON] >> 32) & _LOW
        if not sieve[owner & (_SIEVE_PLACES - 1)]:
            continue
        owner |= ((ints[word + _WHAT] >> _OWNER_AT) & _OWNER_HIGH) << 32
        place = _place_of(owners, owner)
        if ints[word + _WHAT] != 0 and place < len(owners) and owners[place] == owner:
            if 2 * memory.spill[0] > len(memory.spill):
                return slot
            touch(memory, table, slot)
            ints[word + _WHAT] = 0
            ints[word + _WHEN] = 0
            ints[word + _BACK] &= _LOW
            ints[word + _ON] = 0
    return int(end)


@kernel
def _place_of(owners: Ints, owner: int) -> int:
    """The first place in the sorted `owners` that is not below `owner`."""
    low, high = 0, len(owners)
    while low < high:
        middle = (low + high) // 2
        if owners[middle] < owner:
            low = middle + 1
        else:
            high = middle
    return low


def begin(memory: Memory, table: int) -> None:
    """An empty ring; how much it keeps stays as it is. Touches no memory that no step was written to."""
    memory.regions[table, [USED, LIVE]] = max(int(memory.regions[table, USED]), 1)
    rows = rows_of(memory, table)
    rows[1:] = 0
    rows[0, [WRITTEN, AS_OF]] = 0
    memory.regions[table, [USED, LIVE]] = 1


def keep(memory: Memory, table: int, count: int) -> None:
    """Let a ring keep so many steps from here on; of those that it keeps the newest stay."""
    header = rows_of(memory, table)[0]
    if header[KEPT] == count:
        return
    newest, kept = int(header[WRITTEN]), int(header[KEPT])
    steps = np.arange(max(newest - min(kept, count), 0), newest)
    staying = rows_of(memory, table)[1 + steps % max(kept, 1)]
    rows_of(memory, table)[1:] = 0
    memory.regions[table, [USED, LIVE]] = 1 + min(newest, count)
    rows_of(memory, table)[1 + steps % max(count, 1)] = staying
    header[KEPT] = count


def check(memory: Memory, table: int) -> None:
    """`ValueError` if the words of a ring, read from a file, cannot be what `append` has written."""
    rows = rows_of(memory, table)
    newest, published, kept = (int(rows[0, word]) for word in (WRITTEN, AS_OF, KEPT))
    if not (0 <= published <= newest and kept >= 0 and len(rows) == 1 + min(newest, kept)):
        raise ValueError(f"a ring of {kept} cannot hold {newest} steps in {len(rows)} rows")
    if ((rows[1:, _WHAT] & _LOW) > memory.regions[ITEMS, USED]).any():
        raise ValueError("a step names an item that is not there")


def content(memory: Memory, table: int) -> Iterator[Ints]:
    """What the ring says, for the state hash: items by their reference, and the steps in their order."""
    header = rows_of(memory, table)[0]
    newest, kept = int(header[WRITTEN]), int(header[KEPT])
    yield header[[WRITTEN]]
    keys = np.concatenate([np.zeros(1, np.int64), rows_of(memory, ITEMS)[:, ITEM_KEY]])
    for first in range(max(newest - kept, 0), newest, HASHED_AT_ONCE):
        steps = rows_of(memory, table)[1 + np.arange(first, min(first + HASHED_AT_ONCE, newest)) % kept]
        yield keys[steps[:, _WHAT] & _LOW]
        steps[:, _WHAT] >>= 32
        yield steps


def first_word(memory: Memory, table: int) -> int:
    """The first word of a ring, which readers go by."""
    return int(memory.regions[table, BASE])

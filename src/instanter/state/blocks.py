"""Packed items in blocks of memory of their own.

As Python's bytes they are small objects, and so are the keys and values of a dict: of the memory that 300,000 of them
had, the system gets back only what no other object came to lie in while they were there. So here is no object for an
item: its reference and its place stand in arrays, its bytes in a block.

Blocks are written from front to back and never written over, so whoever holds a `Still` reads what there was, whatever
comes later. Once more than a quarter of what lives is dead, the block with most that is dead is emptied: what lives in
it is written again behind the rest, one block at a time.
"""

from __future__ import annotations

import mmap
import struct
from collections.abc import Iterator, MutableMapping, Sequence
from typing import Any, Final, overload

import numpy as np

from ..foundation.pages import mapped_zeros
from .compiled import Ints
from .table import find, find_all, grown, index_of, insert, make_index, migrate, remove, settled

_OFFSET_BITS: Final = 16
BLOCK_BYTES: Final = 1 << _OFFSET_BITS
_OFFSETS: Final = BLOCK_BYTES - 1
_HEAD: Final = struct.Struct("<qI")
"""Before each item: its reference, and how many bytes it has."""
_HEAD_BYTES: Final = _HEAD.size
_head_at = _HEAD.unpack_from
_DEAD_PARTS: Final = 4
"""A block is emptied once what is dead is more than what lives by so many, and more than some blocks."""
_DEAD_BYTES: Final = 262_144
_SLOTS_MIN: Final = 4_096
_SMALLER_AT: Final = 8
"""Where one in so many is left of the slots that were given, the rest are let go."""
_MOVED_AT_ONCE: Final = 16
"""Places of an index that became too small, for each item that comes."""
_LATELY_MAX: Final = 8_192
"""Items whose places are known without looking for them."""
_FEW: Final = 4
"""Up to so many are asked for one by one."""
_GONE: Final = 0
"""Stands in the place of an item's reference, which is never this."""


class _Block:
    """Items one behind the other."""

    def __init__(self, size_bytes: int) -> None:
        self.memory = mmap.mmap(-1, size_bytes, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
        self.size_bytes = size_bytes
        self.end = 0
        self.live_bytes = 0

    def read(self, offset: int) -> bytes:
        """The item there."""
        first = offset + _HEAD_BYTES
        return self.memory[first : first + _head_at(self.memory, offset)[1]]


class PackedItems(MutableMapping[int, bytes]):
    """Items by reference, in the order in which they came; one that is changed keeps its turn.

    An item's slot is its turn; its place is the number of its block, times `BLOCK_BYTES`, and the offset in it. Numbers
    of blocks are not used again, slots are: all of them at once, where most are of nobody (30 ms for 300,000 items).
    """

    def __init__(self) -> None:
        self._blocks: dict[int, _Block] = {}
        self._number = -1
        """Of the block that is written to, the newest."""
        self._lately: dict[int, int] = {}
        """Places by reference."""
        self._live_bytes = self._written_bytes = 0
        """Of the items that are there, and of all that stand in the blocks, with what stands before each."""
        self._number_slots(np.zeros((2, 0), np.int64))

    def _number_slots(self, there: Ints) -> None:
        """Let these references and places, [2, items], have the first slots, and nobody the others."""
        self._count = self._end = int(there.shape[1])
        self._refs, self._places = mapped_zeros((2, max(2 * self._count, _SLOTS_MIN)), np.int64)
        """By slot."""
        self._refs[: self._end], self._places[: self._end] = there
        self._index = index_of(there[0]) if self._count else make_index()
        """Of the references to their slots."""

    def __getitem__(self, ref: int) -> bytes:
        place = self._place_of(ref)
        if place < 0:
            raise KeyError(ref)
        return self._at(place)

    def get(self, ref: int, default: Any = None) -> Any:
        """An item, or `default`."""
        place = self._place_of(ref)
        return default if place < 0 else self._at(place)

    def _place_of(self, ref: int) -> int:
        """Where an item is, -1 if there is none. Those that were read lately are known without a call into compiled
        code: most of what is read is in fashion."""
        place = self._lately.get(ref)
        if place is None:
            slot = find(self._index, ref)
            if slot < 0:
                return -1
            place = int(self._places[slot])
            if len(self._lately) >= _LATELY_MAX:
                self._lately.clear()
            self._lately[ref] = place
        return place

    def forget(self) -> None:
        """Let go of what makes reading faster."""
        self._lately.clear()

    def __contains__(self, ref: object) -> bool:
        return isinstance(ref, int) and bool(find(self._index, ref) >= 0)

    def __iter__(self) -> Iterator[int]:
        refs: list[int] = self._refs[self._there()].tolist()
        return iter(refs)

    def __len__(self) -> int:
        return self._count

    def unknown(self, refs: Sequence[int]) -> frozenset[int]:
        """Those of these references that are of no item; much cheaper than to ask for each."""
        if len(refs) < _FEW:
            return frozenset([ref for ref in refs if find(self._index, ref) < 0])
        asked, slots = np.array(refs, np.int64), np.empty(len(refs), np.int64)
        find_all(self._index, asked, slots)
        return frozenset(asked[slots < 0].tolist())

    def __setitem__(self, ref: int, packed: bytes) -> None:
        slot = find(self._index, ref)
        place = self._write(ref, packed)
        self._lately.pop(ref, None)
        if slot >= 0:
            self._bury(int(self._places[slot]))
            self._places[slot] = place
        else:
            self._add(ref, place)
        self._empty_one()

    def _add(self, ref: int, place: int) -> None:
        if self._end == len(self._refs):
            self._more_slots()
        self._index = grown(settled(self._index), room_for=1)
        migrate(self._index, _MOVED_AT_ONCE)
        self._refs[self._end], self._places[self._end] = ref, place
        insert(self._index, ref, self._end)
        self._end, self._count = self._end + 1, self._count + 1

    def _more_slots(self) -> None:
        if self._count <= self._end // 2:
            self._number_slots(self._live())
            return
        more = mapped_zeros((2, 2 * len(self._refs)), np.int64)
        more[:, : self._end] = self._refs, self._places
        self._refs, self._places = more

    def __delitem__(self, ref: int) -> None:
        slot = find(self._index, ref)
        if slot < 0:
            raise KeyError(ref)
        remove(self._index, ref)
        self._lately.pop(ref, None)
        self._refs[slot] = _GONE
        self._count -= 1
        self._bury(int(self._places[slot]))
        if self._end > _SLOTS_MIN and self._count * _SMALLER_AT <= self._end:
            self._number_slots(self._live())
        self._empty_one()

    def still(self) -> Still:
        """What is there now, which stays as it is. Takes no copy of the items."""
        return Still(self._live()[1], dict(self._blocks))

    @property
    def held_bytes(self) -> int:
        """Memory of the blocks; what was never written to is not taken from the system yet."""
        return sum(block.size_bytes for block in self._blocks.values())

    def _there(self) -> Ints:
        """The slots of those that are there."""
        there: Ints = np.flatnonzero(self._refs[: self._end])
        return there

    def _live(self) -> Ints:
        """References and places in the order of their slots, [2, items]."""
        there = self._there()
        return np.array((self._refs[there], self._places[there]))

    def _at(self, place: int) -> bytes:
        return self._blocks[place >> _OFFSET_BITS].read(place & _OFFSETS)

    def _write(self, ref: int, packed: bytes) -> int:
        size = _HEAD_BYTES + len(packed)
        block = self._blocks.get(self._number)
        if block is None or block.end + size > block.size_bytes:
            if block is not None and not block.live_bytes:
                self._drop(self._number)
            block = _Block(max(BLOCK_BYTES, size))
            self._number += 1
            self._blocks[self._number] = block
        offset = block.end
        _HEAD.pack_into(block.memory, offset, ref, len(packed))
        block.end += size
        block.memory[offset + _HEAD_BYTES : block.end] = packed
        block.live_bytes += size
        self._live_bytes += size
        self._written_bytes += size
        return (self._number << _OFFSET_BITS) + offset

    def _bury(self, place: int) -> None:
        """What stands there is dead."""
        number = place >> _OFFSET_BITS
        block = self._blocks[number]
        size = _HEAD_BYTES + _head_at(block.memory, place & _OFFSETS)[1]
        block.live_bytes -= size
        self._live_bytes -= size
        if not block.live_bytes and number != self._number:
            self._drop(number)

    def _drop(self, number: int) -> None:
        self._written_bytes -= self._blocks.pop(number).end

    def _empty_one(self) -> None:
        """Write what lives in the block with most that is dead behind the rest, if too much is dead in all."""
        dead = self._written_bytes - self._live_bytes
        if dead <= max(self._live_bytes // _DEAD_PARTS, _DEAD_BYTES):
            return
        number, block = max(self._blocks.items(), key=lambda one: one[1].end - one[1].live_bytes)
        if number == self._number:
            self._number += 1  # No block is there under it: the next item begins one.
        offset = 0
        while offset < block.end and block.live_bytes:
            ref, size = _head_at(block.memory, offset)
            place, slot = (number << _OFFSET_BITS) + offset, find(self._index, ref)
            if slot >= 0 and self._places[slot] == place:
                self._lately.pop(ref, None)
                self._places[slot] = self._write(ref, block.read(offset))
                self._bury(place)
            offset += _HEAD_BYTES + size
        if number in self._blocks:
            self._drop(number)


class Still(Sequence[bytes]):
    """The items as they were at one time, in the order in which they came."""

    def __init__(self, places: Ints, blocks: dict[int, _Block]) -> None:
        self._places = places
        self._blocks = blocks

    def __len__(self) -> int:
        return len(self._places)

    @overload
    def __getitem__(self, index: int) -> bytes: ...

    @overload
    def __getitem__(self, index: slice) -> list[bytes]: ...

    def __getitem__(self, index: int | slice) -> bytes | list[bytes]:
        if isinstance(index, slice):
            return [self._at(place) for place in self._places[index].tolist()]
        return self._at(int(self._places[index]))

    def _at(self, place: int) -> bytes:
        return self._blocks[place >> _OFFSET_BITS].read(place & _OFFSETS)

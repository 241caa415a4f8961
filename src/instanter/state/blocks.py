"""Packed items in blocks of memory of their own.

As Python's bytes they are small objects: of the memory that 300,000 of them had, the system gets back only what no
other object came to lie in while they were there. Blocks are written from front to back and never written over, so
whoever holds a `Still` reads what there was, whatever comes later. Once more than a quarter of what lives is dead, the
block with most that is dead is emptied: what lives in it is written again behind the rest, one block at a time.
"""

from __future__ import annotations

import mmap
import struct
from collections.abc import Iterator, KeysView, MutableMapping, Sequence
from typing import Final, overload

_OFFSET_BITS: Final = 18
BLOCK_BYTES: Final = 1 << _OFFSET_BITS
_OFFSETS: Final = BLOCK_BYTES - 1
_HEAD: Final = struct.Struct("<qI")
"""Before each item: its reference, and how many bytes it has."""
_HEAD_BYTES: Final = _HEAD.size
_head_at = _HEAD.unpack_from
_DEAD_PARTS: Final = 4
"""A block is emptied once what is dead is more than what lives by so many, and more than a block."""
_MADE_SMALLER_ITEMS, _MADE_SMALLER_AT = 16_384, 8
"""Where so many have been, and one in so many is left, room is made for fewer: 10 ms for 100,000 that are left."""

Places = dict[int, int]
"""By reference: the number of the block, times its size, and the offset in it. Numbers are not used again."""


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
    """Items by reference, in the order in which they came; one that is changed keeps its place."""

    def __init__(self) -> None:
        self._places: Places = {}
        self._blocks: dict[int, _Block] = {}
        self._number = -1
        """Of the block that is written to, the newest."""
        self._live_bytes = self._written_bytes = 0
        """Of the items that are there, and of all that stand in the blocks, with what stands before each."""
        self._most = 0
        """Items there were at once since there was room made for fewer."""

    def __getitem__(self, ref: int) -> bytes:
        place = self._places[ref]
        return self._blocks[place >> _OFFSET_BITS].read(place & _OFFSETS)

    def __contains__(self, ref: object) -> bool:
        return ref in self._places

    def __iter__(self) -> Iterator[int]:
        return iter(self._places)

    def __len__(self) -> int:
        return len(self._places)

    def keys(self) -> KeysView[int]:
        """The references: the cheapest way to ask for many, whichever are there at that time."""
        return self._places.keys()

    def __setitem__(self, ref: int, packed: bytes) -> None:
        before = self._places.get(ref)
        self._places[ref] = self._write(ref, packed)
        if before is not None:
            self._bury(before)
        self._most = max(self._most, len(self._places))
        self._empty_one()

    def __delitem__(self, ref: int) -> None:
        self._bury(self._places.pop(ref))
        self._make_smaller()
        self._empty_one()

    def still(self) -> Still:
        """What is there now, which stays as it is. Takes no copy of the items."""
        return Still(list(self._places.values()), dict(self._blocks))

    @property
    def held_bytes(self) -> int:
        """Memory of the blocks; what was never written to is not taken from the system yet."""
        return sum(block.size_bytes for block in self._blocks.values())

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
        if dead <= max(self._live_bytes // _DEAD_PARTS, BLOCK_BYTES):
            return
        number, block = max(self._blocks.items(), key=lambda one: one[1].end - one[1].live_bytes)
        if number == self._number:
            self._number += 1  # No block is there under it: the next item begins one.
        offset = 0
        while offset < block.end and block.live_bytes:
            ref, size = _head_at(block.memory, offset)
            place = (number << _OFFSET_BITS) + offset
            if self._places.get(ref) == place:
                self._places[ref] = self._write(ref, block.read(offset))
                self._bury(place)
            offset += _HEAD_BYTES + size
        if number in self._blocks:
            self._drop(number)

    def _make_smaller(self) -> None:
        """A dict keeps room for as many as there once were; make that anew when few are left."""
        if self._most < _MADE_SMALLER_ITEMS or len(self._places) * _MADE_SMALLER_AT > self._most:
            return
        left = self._places.copy()
        self._places.clear()
        self._places.update(left)
        self._most = len(left)


class Still(Sequence[bytes]):
    """The items as they were at one time, in the order in which they came."""

    def __init__(self, places: list[int], blocks: dict[int, _Block]) -> None:
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
            return [self._at(place) for place in self._places[index]]
        return self._at(self._places[index])

    def _at(self, place: int) -> bytes:
        return self._blocks[place >> _OFFSET_BITS].read(place & _OFFSETS)

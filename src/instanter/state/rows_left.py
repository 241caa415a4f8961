"""Items that were deleted and left their rows to others: the last ones, and which row each had."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import overload

import numpy as np

from ..foundation.limits import DELETED_KNOWN_MAX
from ..foundation.pages import mapped_zeros
from .compiled import Ints
from .table import find, grown, index_of, insert, make_index, migrate, remove, settled

_NOBODY = 0
"""Stands in the place of an item that came back."""
_SPARE_DIVISOR = 4
"""Places beyond those of all that are known, one in so many: once they are used up, all are moved to the front."""
_MOVED_AT_ONCE = 16
"""Places of an index that became too small, for each that leaves."""


class RowsLeft:
    """By reference, in the order in which they left; the one that left first is forgotten for one too many.

    In arrays: as Python's small objects they would be spread over all the memory that the items had, of which the
    system gets back nothing then. No memory is taken before the first one leaves.
    """

    def __init__(self) -> None:
        self._index = make_index()
        """Of the references to their places."""
        self._refs: Ints = np.zeros(0, np.int64)
        self._rows: Ints = np.zeros(0, np.int64)
        """By place."""
        self._first = self._end = 0
        """All of them lie between these places."""
        self._count = 0

    def __len__(self) -> int:
        return self._count

    def __contains__(self, ref: int) -> bool:
        return self._count > 0 and find(self._index, ref) >= 0

    def row_of(self, ref: int) -> int:
        """The row that it had, -1 if that is not known."""
        place = find(self._index, ref) if self._count else -1
        return int(self._rows[place]) if place >= 0 else -1

    def add(self, ref: int, row: int) -> None:
        """One that is not known to have left any leaves its row."""
        if self._count >= DELETED_KNOWN_MAX:
            while self._refs[self._first] == _NOBODY:
                self._first += 1
            self.discard(int(self._refs[self._first]))
        if self._end == len(self._refs):
            self.restore(self.pairs())
        self._index = grown(settled(self._index), room_for=1)
        migrate(self._index, _MOVED_AT_ONCE)
        self._refs[self._end], self._rows[self._end] = ref, row
        insert(self._index, ref, self._end)
        self._end, self._count = self._end + 1, self._count + 1

    def discard(self, ref: int) -> None:
        """It is back, if it had left any."""
        place = find(self._index, ref) if self._count else -1
        if place >= 0:
            remove(self._index, ref)
            self._refs[place] = _NOBODY
            self._count -= 1

    def pairs(self) -> Pairs:
        """References and rows as they are now."""
        there = self._first + np.flatnonzero(self._refs[self._first : self._end])
        return Pairs(self._refs[there], self._rows[there])

    def restore(self, left: Iterable[tuple[int, int]]) -> None:
        """Know these and no others."""
        pairs = np.array(list(left) if not isinstance(left, Pairs) else left.columns.T, np.int64).reshape(-1, 2)
        self._first, self._end, self._count = 0, len(pairs), len(pairs)
        room = max(DELETED_KNOWN_MAX, len(pairs)) + DELETED_KNOWN_MAX // _SPARE_DIVISOR + 1
        self._refs, self._rows = mapped_zeros((2, room), np.int64)
        self._refs[: self._end], self._rows[: self._end] = pairs.T
        self._index = index_of(self._refs[: self._end])


class Pairs(Sequence[tuple[int, int]]):
    """References and rows, made into Python's objects piece by piece."""

    def __init__(self, refs: Ints, rows: Ints) -> None:
        self.columns: Ints = np.array((refs, rows), np.int64)

    def __len__(self) -> int:
        return len(self.columns[0])

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Pairs) and np.array_equal(self.columns, other.columns)

    @overload
    def __getitem__(self, place: int) -> tuple[int, int]: ...

    @overload
    def __getitem__(self, place: slice) -> list[tuple[int, int]]: ...

    def __getitem__(self, place: int | slice) -> tuple[int, int] | list[tuple[int, int]]:
        if isinstance(place, slice):
            refs, rows = self.columns[:, place].tolist()
            return list(zip(refs, rows, strict=True))
        ref, row = self.columns[:, place].tolist()
        return ref, row

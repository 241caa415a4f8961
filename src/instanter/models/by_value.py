"""The most popular items of each value of each text field, exact while single items come and go (see `ranked`)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np

from ..features.neighbours import place_of
from ..foundation.limits import VALUE_LIST_MAX, VALUES_LISTED_MAX
from ..foundation.pages import mapped_zeros
from ..state.compiled import Bytes, Ints, Reals, kernel
from .ranked import SPARE

_PLACES: Final = 4 * VALUES_LISTED_MAX
_NOTHING_ELSE: Final = -1


class ByValue:
    """Of each value its items, the most popular first, ties by row."""

    def __init__(self, refs: Ints, popular: Reals) -> None:
        """`refs`: references of the values by (row, text field, place), 0 for none; `popular` by row. Both may change
        before `look`, and of a row that is taken out before it is put in."""
        self._refs = refs
        self._popular = popular
        self._keys: Ints = mapped_zeros(_PLACES, np.int64)
        self._slots: Ints = mapped_zeros(_PLACES, np.int64)
        """Hash table of the values that have a list, and which list it is."""
        self._lists: Ints = mapped_zeros((VALUES_LISTED_MAX, 1 + SPARE * VALUE_LIST_MAX), np.int64)
        """By value: how many items are listed, then their rows."""
        self._edges: Ints = mapped_zeros(VALUES_LISTED_MAX, np.int64)
        """By value: the row behind which all items come that are not listed ..."""
        self._worst: Reals = mapped_zeros(VALUES_LISTED_MAX, np.float64)
        """... and how popular it was then: its popularity may have changed since, which moves no other item."""
        self._used = 0
        self._complete = True
        """Whether every value has a list. Else which ones have depends on the order of all rows."""

    def look(self, rows: Ints) -> None:
        """List these rows, ascending, and no others."""
        if self._used:
            self._keys[:], self._lists[: self._used, 0] = 0, 0
        self._used, self._complete = 0, True
        self._put(rows)

    def like(self, values: Sequence[tuple[int, int]], limit: int) -> Ints:
        """Up to `limit` rows of popular items with one of these values, (text field, reference).

        In turns: the most popular item of each value, then the second of each, without repetition.
        """
        rows = np.empty(limit, np.int64)
        wanted = np.array(values, np.int64).reshape(-1, 2)
        found = np.full(len(wanted), -1, np.int64)
        return rows[: _take_turns(self._keys, self._slots, self._lists, wanted, VALUE_LIST_MAX, found, rows)]

    def change(self, there: Bytes, come: Ints) -> bool:
        """Take out the rows that are not `there` (by row), then put rows in; False if it is not known any more which
        are the most popular."""
        if not self._complete:
            return False
        _drop(self._lists, self._used, there)
        complete = self._put(come)
        short = (self._edges[: self._used] != _NOTHING_ELSE) & (self._lists[: self._used, 0] < VALUE_LIST_MAX)
        return complete and not bool(short.any())

    def _put(self, rows: Ints) -> bool:
        """Whether every value of these rows has a list."""
        used = _put_all(
            self._refs, rows, self._popular, self._keys, self._slots, self._lists, self._edges, self._worst,
            self._used,
        )  # fmt: skip
        self._used, self._complete = abs(used), self._complete and used >= 0
        return used >= 0


@kernel
def _value_key(column: int, ref: int) -> int:
    """The key of a value of text field `column`; never 0."""
    key = ref ^ ((column + 1) * 0x5851F42D4C957F2D & 0x7FFFFFFFFFFFFFFF)
    return key if key != 0 else 1


@kernel
def _put_all(
    refs: Ints, rows: Ints, popular: Reals, keys: Ints, slots: Ints, lists: Ints, edges: Ints, worst: Reals, used: int
) -> int:
    """List rows under their values; how many values have a list then, negative if some found none free."""
    missed = False
    for i in range(len(rows)):
        row = rows[i]
        for column in range(refs.shape[1]):
            for value in range(refs.shape[2]):
                ref = refs[row, column, value]
                if ref == 0:
                    break
                key = _value_key(column, ref)
                place = place_of(keys, key)
                if keys[place] == 0:
                    if used == len(lists):
                        missed = True
                        continue
                    keys[place] = key
                    slots[place], edges[used] = used, _NOTHING_ELSE
                    used += 1
                _enlist(lists, edges, worst, slots[place], row, popular)
    return -used if missed else used


@kernel
def _comes_before(popular: Reals, left: int, right: int) -> bool:
    return bool(popular[left] > popular[right] or (popular[left] == popular[right] and left < right))


@kernel
def _enlist(lists: Ints, edges: Ints, worst: Reals, slot: int, row: int, popular: Reals) -> None:
    """Put the row where it belongs in a value's list; the last one falls out of a full list."""
    listed, last = lists[slot], lists.shape[1] - 1
    if edges[slot] != _NOTHING_ELSE:
        edge, score = edges[slot], worst[slot]
        if score > popular[row] or (score == popular[row] and edge < row):
            return
    full = listed[0] == last
    if full and _comes_before(popular, listed[last], row):
        edges[slot], worst[slot] = listed[last], popular[listed[last]]
        return
    place = last if full else listed[0] + 1
    listed[0] = place
    while place > 1 and _comes_before(popular, row, listed[place - 1]):
        listed[place] = listed[place - 1]
        place -= 1
    listed[place] = row
    if full:
        edges[slot], worst[slot] = listed[last], popular[listed[last]]


@kernel
def _drop(lists: Ints, used: int, there: Bytes) -> None:
    for slot in range(used):
        kept = 0
        for place in range(1, lists[slot, 0] + 1):
            row = lists[slot, place]
            if there[row] != 0:
                kept += 1
                lists[slot, kept] = row
        lists[slot, 0] = kept


@kernel
def _take_turns(
    keys: Ints, slots: Ints, lists: Ints, wanted: Ints, turns: int, found: Ints, rows: Ints
) -> int:
    """Fill `rows`; how many. `found` is for the lists of the values, all -1."""
    for i in range(len(wanted)):
        place = place_of(keys, _value_key(wanted[i, 0], wanted[i, 1]))
        if keys[place] != 0:
            found[i] = slots[place]
    count = 0
    for turn in range(1, turns + 1):
        for slot in found:
            if slot < 0 or turn > lists[slot, 0]:
                continue
            if count == len(rows):
                return count
            known = False
            for i in range(count):
                known = known or rows[i] == lists[slot, turn]
            if not known:
                rows[count] = lists[slot, turn]
                count += 1
    return count

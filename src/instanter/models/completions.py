"""How a word that is being typed may go on: as most items have it, as the popular ones, as the person's own have it.

Each of the three is a share from 0 to 1 of the most that a candidate has of it, and they add up. So in a new shop the
words of many items lead, and with somebody's first views theirs do.
"""

from __future__ import annotations

from typing import Final, NamedTuple

import numpy as np

from ..foundation.limits import COMPLETED_ENTRIES_MAX, COMPLETED_ROWS_MAX
from ..state.compiled import Bytes, Ints, Reals, Shorts, kernel

NO_ROW: Final = -1
_NEEDED: Final = -1.0
"""The mark of a word that an item has to have."""


class Completion(NamedTuple):
    """A word that may be meant."""

    word: str
    """As the index has it: folded."""
    items: int
    """How many items that can be shown have it, and the words before it; about, of words that thousands have."""
    row: int
    """Of an item that has it, the most popular one that is known, to see how it is written."""


class Tally:
    """What is counted of candidates (slots of words) on the way."""

    def __init__(self, slots: Ints, marks: Reals, needed: Ints, words: Shorts, available: Bytes) -> None:
        """`marks` are by slot, all zeros before, and after `forget`; `needed` are the words that an item has to have
        besides, none of them a candidate; `words` are those of the items, by row."""
        self._slots, self._marks, self._needed = slots, marks, needed
        self._words, self._available = words, available
        marks[slots] = np.arange(1.0, len(slots) + 1.0)
        marks[needed] = _NEEDED
        self._rows: Ints = np.full(len(slots), NO_ROW, np.int64)

    def forget(self) -> None:
        """Leave the marks as they were."""
        self._marks[self._slots] = 0.0
        self._marks[self._needed] = 0.0

    @property
    def rows(self) -> Ints:
        """By candidate an item that has it: the first that was met."""
        return self._rows

    def among(self, rows: Ints, weights: Reals) -> Reals:
        """What these items weigh by candidate that they have."""
        sums = np.zeros(len(self._slots))
        rows = np.ascontiguousarray(rows)  # One kind of array to the compiler.
        _tally(rows, weights, len(self._needed), self._marks, self._words, self._available, sums, self._rows)
        return sums

    def items_with(self, starts: Ints, sizes: Ints, rows: Shorts) -> Reals:
        """How many items have each candidate. `starts`, `sizes` and `rows` are the lists of items by word."""
        lowest: Ints = np.full(len(self._slots), np.iinfo(np.int64).max, np.int64)
        if len(self._needed):
            rarest = self._needed[np.argmin(sizes[self._needed])]
            end = starts[rarest] + min(int(sizes[rarest]), COMPLETED_ROWS_MAX)
            having = np.sort(rows[starts[rarest] : end].astype(np.int64))
            return self.among(having, np.ones(len(having)))
        counts = np.zeros(len(self._slots))
        each = COMPLETED_ENTRIES_MAX // max(len(self._slots), 1)
        _count(self._slots, each, starts, sizes, rows, self._available, counts, lowest)
        unmet = (self._rows == NO_ROW) & (counts > 0.0)
        self._rows[unmet] = lowest[unmet]
        return counts


def together(*amounts: Reals) -> Reals:
    """The sum of what each is of its largest.

    >>> together(np.array([2.0, 1.0]), np.array([0.0, 0.0])).tolist()
    [1.0, 0.5]
    """
    sums = np.zeros(len(amounts[0]))
    for amount in amounts:
        most = amount.max(initial=0.0)
        if most > 0.0:
            sums += amount / most
    return sums


@kernel
def _tally(
    rows: Ints, weights: Reals, needed: int, marks: Reals, words: Shorts, available: Bytes, sums: Reals, met: Ints
) -> None:
    """Add the weight of each item that has all that is needed to the candidates that it has; note the first one met."""
    for i in range(len(rows)):
        row = rows[i]
        if row < 0 or available[row] == 0:
            continue
        has, meant = 0, False
        for place in range(words.shape[1]):
            slot = words[row, place] - 1
            if slot < 0:
                break
            has += marks[slot] < 0.0
            meant = meant or marks[slot] > 0.0
        if has < needed or not meant:
            continue
        for place in range(words.shape[1]):
            slot = words[row, place] - 1
            if slot < 0:
                break
            candidate = int(marks[slot]) - 1
            if candidate >= 0:
                sums[candidate] += weights[i]
                if met[candidate] < 0:
                    met[candidate] = row


@kernel
def _count(
    slots: Ints, each: int, starts: Ints, sizes: Ints, rows: Shorts, available: Bytes, counts: Reals, lowest: Ints
) -> None:
    """Of each slot the available items, and the lowest row among them; of more than `each`, as many as they stand for.
    """
    for candidate in range(len(slots)):
        slot = slots[candidate]
        looked = min(sizes[slot], each)
        found = 0
        for at in range(starts[slot], starts[slot] + looked):
            row = rows[at]
            if available[row] != 0:
                found += 1
                lowest[candidate] = min(lowest[candidate], row)
        if looked > 0:
            counts[candidate] = float(found) * float(sizes[slot]) / float(looked)

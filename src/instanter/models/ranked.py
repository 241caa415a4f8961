"""The best of many rows by a score, exact while single rows come and go.

More are kept than are asked for, and every row that is not among them comes behind the last of them. So rows that leave
are followed by others, until too many have left: then all rows have to be looked at again.
"""

from __future__ import annotations

from typing import Final

import numpy as np

from ..state.compiled import Bytes, Ints, Reals, kernel

SPARE: Final = 2
"""Times as many as are asked for are kept at first."""
_CROWD: Final = 2
"""Times as many again before the last ones are let go."""


class Ranked:
    """The first `limit` of rows in the order of their scores, the largest first, ties by row."""

    def __init__(self, rows: Ints, scores: Reals, limit: int) -> None:
        """Of these rows, in ascending order."""
        self._limit = limit
        self._rows, self._scores = best_of(rows, scores, SPARE * limit)
        self._edge = self._last() if len(self._rows) < len(rows) else None
        """Minus the score, and the row, behind which everything else comes; None if there is nothing else."""

    @property
    def rows(self) -> Ints:
        return self._rows[: self._limit]

    @property
    def scores(self) -> Reals:
        return self._scores[: self._limit]

    def change(self, there: Bytes, come: Ints, scores: Reals) -> bool:
        """Take out the rows that are not `there` (by row), then put rows in with their scores; False if it is not known
        any more which are the best."""
        if self._edge is not None:
            worst, row = self._edge
            near = (-scores < worst) | ((-scores == worst) & (come <= row))
            come, scores = come[near], scores[near]
        order = np.lexsort((come, -scores))
        size = len(self._rows) + len(come)
        rows, found = np.empty(size, np.int64), np.empty(size)
        size = _merge(self._rows, self._scores, there, come[order], scores[order], rows, found)
        kept = min(size, _CROWD * SPARE * self._limit)
        self._rows, self._scores = rows[:kept], found[:kept]
        if kept < size:
            self._edge = self._last()
        return self._edge is None or kept >= self._limit

    def _last(self) -> tuple[float, int] | None:
        return (-float(self._scores[-1]), int(self._rows[-1])) if len(self._rows) else None


def best_of(rows: Ints, scores: Reals, limit: int) -> tuple[Ints, Reals]:
    """The rows with the largest scores, ties in the order given.

    >>> best_of(np.array([7, 8, 9]), np.array([1.0, 3.0, 1.0]), limit=2)[0].tolist()
    [8, 7]
    """
    heap = np.empty(min(limit, len(rows)), np.int64)
    _keep_best(scores, heap)
    kept = np.sort(heap)
    kept = kept[np.argsort(-scores[kept], kind="stable")]
    return rows[kept], scores[kept]


@kernel
def _merge(
    rows: Ints, scores: Reals, there: Bytes, come: Ints, come_scores: Reals, merged: Ints, merged_scores: Reals
) -> int:
    """Of two lists in order the rows that are `there`, of the second all, in order; how many those are."""
    size = other = 0
    for place in range(len(rows)):
        row, score = rows[place], scores[place]
        if there[row] == 0:
            continue
        while other < len(come) and (
            come_scores[other] > score or (come_scores[other] == score and come[other] < row)
        ):
            merged[size], merged_scores[size] = come[other], come_scores[other]
            size, other = size + 1, other + 1
        merged[size], merged_scores[size] = row, score
        size += 1
    while other < len(come):
        merged[size], merged_scores[size] = come[other], come_scores[other]
        size, other = size + 1, other + 1
    return size


@kernel
def _keep_best(scores: Reals, heap: Ints) -> None:
    """Fill the heap with the places of the largest scores; its root is the one to go first: the least, the last."""
    size = len(heap)
    if size == 0:
        return
    for place in range(size):
        heap[place] = place
    for root in range(size // 2 - 1, -1, -1):
        _sink(scores, heap, root)
    for place in range(size, len(scores)):
        if scores[place] > scores[heap[0]]:
            heap[0] = place
            _sink(scores, heap, 0)


@kernel
def _sink(scores: Reals, heap: Ints, root: int) -> None:
    size, moved = len(heap), heap[root]
    while True:
        child = 2 * root + 1
        if child >= size:
            break
        if child + 1 < size and _goes_first(scores, heap[child + 1], heap[child]):
            child += 1
        if not _goes_first(scores, heap[child], moved):
            break
        heap[root] = heap[child]
        root = child
    heap[root] = moved


@kernel
def _goes_first(scores: Reals, left: int, right: int) -> bool:
    return bool(scores[left] < scores[right] or (scores[left] == scores[right] and left > right))

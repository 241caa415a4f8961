"""A model that orders the head of a list. The others stand behind, as they are.

What people did next says which of the likeliest items it was, and hardly anything of the many that come after them. A
model that learns from these as well ranks worse than one that leaves them alone, and takes longer for every list.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final

import numpy as np

from ..features.assemble import Column, Matrix
from ..state.compiled import Ints, Reals
from .base import EVERY_COLUMN, EVERY_ROW, Chosen, Ranker
from .head import Head
from .linear import LinearRanker

Order = Callable[[Matrix], Ints]
"""The rows of a list's matrix, the first ones first."""
_STEP_DOWN: Final = 1e-3
"""By how much what stands behind scores less than what stands right before it."""


def standing_order(values: Reals) -> Ints:
    """Rows of one list by a number, the largest first; what is missing comes last, of equal ones what stands first.

    >>> standing_order(np.array([1.0, np.nan, 2.0, 1.0])).tolist()
    [2, 0, 3, 1]
    """
    order: Ints = np.argsort(-np.nan_to_num(values, nan=-np.inf), kind="stable")
    return order


def order_of(head: Head, columns: Sequence[Column]) -> Order | None:
    """What says which rows of a matrix of these columns come first; None where they tell nothing of it."""
    names = [column.name for column in columns]
    weights = {name: weight for name, weight in head.weights if name in names}
    if weights:
        linear = LinearRanker(columns, weights)
        return lambda matrix: standing_order(linear.score(matrix, linear.columns))
    if head.by not in names:
        return None
    place = names.index(head.by)
    return lambda matrix: standing_order(matrix[:, place].astype(np.float64))


class HeadRanker:
    """Another ranker for the head of each list. Its matrix is that of one list."""

    gives_probabilities = False

    def __init__(self, ranker: Ranker, columns: Sequence[Column], head: Head) -> None:
        """Without the inputs that say which rows come first, all of them are ordered."""
        self.name, self.version, self.missing = ranker.name, ranker.version, ranker.missing
        self._ranker, self.rows_ordered = ranker, head.rows
        self._order = order_of(head, columns)
        if self._order is None:
            self.rows_ordered = 0

    def score(self, matrix: Matrix, columns: Sequence[Column]) -> Reals:
        if self._order is None or len(matrix) <= self.rows_ordered:
            return self._ranker.score(matrix, columns)
        order = self._order(matrix)
        first, behind = order[: self.rows_ordered], order[self.rows_ordered :]
        scores = np.empty(len(matrix))
        scores[first] = self._ranker.score(matrix[first], columns)
        scores[behind] = scores[first].min() - _STEP_DOWN * np.arange(1.0, len(behind) + 1.0)
        return scores

    def contributions(
        self, matrix: Matrix, columns: Sequence[Column], rows: Chosen = EVERY_ROW, wanted: Chosen = EVERY_COLUMN
    ) -> Reals:
        """Those of the ranker, also to rows that it does not order."""
        return self._ranker.contributions(matrix, columns, rows, wanted)

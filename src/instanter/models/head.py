"""A model that orders the head of a list: the rows that another order has first. The others stand behind, as they are.

What people did next says which of the likeliest items it was, and hardly anything of the many that come after them. A
model that learns from these as well ranks worse than one that leaves them alone, and takes longer for every list.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import msgspec
import numpy as np

from ..features.assemble import Column, Matrix
from ..state.compiled import Ints, Reals
from .base import EVERY_COLUMN, EVERY_ROW, Chosen, Ranker

HEAD_ROWS: Final = 60
"""Of 60 and 200, on the train parts of yoochoose_100k and eshop_clothing."""
_STEP_DOWN: Final = 1e-3
"""By how much what stands behind scores less than what stands right before it."""


class Head(msgspec.Struct, frozen=True, array_like=True):
    """Which rows of a list a model orders."""

    by: str
    """The input that says which come first; of equal ones what stands first."""
    rows: int = HEAD_ROWS


def standing_order(values: Reals) -> Ints:
    """Rows of one list by an input, the largest first; what is missing comes last, of equal ones what stands first.

    >>> standing_order(np.array([1.0, np.nan, 2.0, 1.0])).tolist()
    [2, 0, 3, 1]
    """
    order: Ints = np.argsort(-np.nan_to_num(values, nan=-np.inf), kind="stable")
    return order


class HeadRanker:
    """Another ranker for the head of each list. Its matrix is that of one list."""

    gives_probabilities = False

    def __init__(self, ranker: Ranker, columns: Sequence[Column], head: Head) -> None:
        """Without the input that says which rows come first, all of them are ordered."""
        self.name, self.version, self.missing = ranker.name, ranker.version, ranker.missing
        self._ranker, self._rows = ranker, head.rows
        self._place = next((place for place, column in enumerate(columns) if column.name == head.by), -1)

    def score(self, matrix: Matrix, columns: Sequence[Column]) -> Reals:
        if len(matrix) <= self._rows or self._place < 0:
            return self._ranker.score(matrix, columns)
        order = standing_order(matrix[:, self._place].astype(np.float64))
        first, behind = order[: self._rows], order[self._rows :]
        scores = np.empty(len(matrix))
        scores[first] = self._ranker.score(matrix[first], columns)
        scores[behind] = scores[first].min() - _STEP_DOWN * np.arange(1.0, len(behind) + 1.0)
        return scores

    def contributions(
        self, matrix: Matrix, columns: Sequence[Column], rows: Chosen = EVERY_ROW, wanted: Chosen = EVERY_COLUMN
    ) -> Reals:
        """Those of the ranker, also to rows that it does not order."""
        return self._ranker.contributions(matrix, columns, rows, wanted)

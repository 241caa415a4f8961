"""Examples to learn from: lists as they were shown, with what came of each row."""

from __future__ import annotations

import hashlib

import msgspec
import numpy as np
import numpy.typing as npt

from ..features.assemble import Matrix
from ..foundation.errors import Broken, RequestRejected
from ..state.compiled import Ints, Reals
from .acted import Acted
from .head import Head


class TrainingRows:
    """Rows to learn from, read a block at a time, with a column behind the others for where each was shown.

    >>> rows = TrainingRows(np.zeros((2, 1), np.float32), positions=np.array([3, 0], np.int32))
    >>> rows.columns, rows.block(0, 2).tolist()
    (2, [[0.0, 3.0], [0.0, nan]])
    >>> rows.row(0).tolist()
    [0.0, 3.0]
    """

    def __init__(self, matrix: Matrix, positions: npt.NDArray[np.int32] | None = None) -> None:
        self.matrix = matrix
        self._positions = positions
        self.columns = matrix.shape[1] + (positions is not None)

    def __len__(self) -> int:
        return len(self.matrix)

    def block(self, first: int, last: int) -> Matrix:
        """The rows from `first` up to `last`; a copy only where there is a further column."""
        rows: Matrix = self.matrix[first:last]
        if self._positions is None:
            return rows
        shown = self._positions[first:last]
        return np.column_stack([rows, np.where(shown > 0, shown, np.nan).astype(np.float32)])

    def row(self, index: int) -> Reals:
        """One row, in double precision."""
        row = np.empty(self.columns)
        row[: self.matrix.shape[1]] = self.matrix[index]
        if self._positions is not None:
            shown = int(self._positions[index])
            row[-1] = shown if shown > 0 else np.nan
        return row


class Dataset(msgspec.Struct, frozen=True, eq=False):
    """Rows by list, lists by time. `Broken` for arrays that do not fit together.

    >>> rows = np.zeros((3, 1), np.float32)
    >>> dataset = Dataset(("position",), rows, groups=np.array([0, 2, 3]), labels=np.array([1.0, 0.0, 0.0]),
    ...     positions=np.array([1, 2, 1], np.int32), weights=np.ones(3), at_ms=np.array([10, 20]))
    >>> earlier, later = dataset.split(at_share=0.5)
    >>> len(earlier), len(later), later.at_ms.tolist()
    (1, 1, [20])
    """

    columns: tuple[str, ...]
    matrix: Matrix
    """[rows, columns]"""
    groups: Ints
    """[lists + 1]: where each list begins; none is empty."""
    labels: Reals
    """The reward of each row, 0 or more."""
    positions: npt.NDArray[np.int32]
    """Where it was shown, from 1 on; 0 where that is not known."""
    weights: Reals
    """How much it counts, such as a clipped inverse propensity; 0 or more."""
    at_ms: Ints
    """When each list was shown; never goes back."""
    unbounded: tuple[str, ...] = ()
    """Columns that may be of any size, see `Column`."""
    head: Head | None = None
    """Which rows of a list a model of these is to order, where only some of the others stand in lists. The newest
    lists, which models are measured on, may have all."""
    acted: Acted | None = None
    """Which items the rows are and what was done before; None where nobody wrote it down."""

    def __post_init__(self) -> None:
        rows = len(self.labels)
        if self.matrix.dtype != np.float32 or self.matrix.shape != (rows, len(self.columns)):
            raise Broken(f"{rows} examples have inputs of {self.matrix.dtype} in the shape {self.matrix.shape}")
        if not len(self.positions) == len(self.weights) == rows or len(self.groups) != len(self.at_ms) + 1:
            raise Broken("the parts of a set of examples have different lengths")
        if self.groups[0] != 0 or self.groups[-1] != rows or (np.diff(self.groups) <= 0).any():
            raise Broken("the lists of a set of examples do not follow one another")
        if (np.diff(self.at_ms) < 0).any():
            raise Broken("the lists of a set of examples are not in the order of time")
        for name, numbers in (("label", self.labels), ("weight", self.weights), ("position", self.positions)):
            if not np.isfinite(numbers).all() or (numbers < 0).any():
                raise Broken(f"a {name} is negative or not a finite number")
        if len(set(self.columns)) != len(self.columns) or not set(self.unbounded) <= set(self.columns):
            raise Broken("the columns of a set of examples are not told apart by their names")

    def __len__(self) -> int:
        """How many lists."""
        return len(self.at_ms)

    def split(self, *, at_share: float | None = None, at_ms: int | None = None) -> tuple[Dataset, Dataset]:
        """Before and after: at a share of the lists, or at a moment, whose lists are after. Nothing is copied. Lists
        of one moment stay together. `RequestRejected` if one side would be empty."""
        if at_ms is None:
            place = int(len(self) * (0.5 if at_share is None else at_share))
            at_ms = int(self.at_ms[min(place, len(self) - 1)]) if len(self) else 0
        cut = int(np.searchsorted(self.at_ms, at_ms))
        if not 0 < cut < len(self):
            raise RequestRejected("too_few_examples", f"{len(self)} lists cannot be cut there into earlier and later")
        return self.part(0, cut), self.part(cut, len(self))

    def part(self, first: int, last: int) -> Dataset:
        """The lists from `first` up to `last`, without copying them."""
        rows = slice(int(self.groups[first]), int(self.groups[last]))
        return Dataset(
            self.columns, self.matrix[rows], self.groups[first : last + 1] - self.groups[first], self.labels[rows],
            self.positions[rows], self.weights[rows], self.at_ms[first:last], self.unbounded, self.head,
            None if self.acted is None else self.acted.part(slice(first, last), rows),
        )  # fmt: skip

    def identity(self) -> str:
        """A hash of everything in it that a matrix is made of."""
        shape = (self.columns, self.unbounded, self.matrix.shape, *(() if self.head is None else (self.head,)))
        digest = hashlib.blake2b(repr(shape).encode(), digest_size=16)
        for part, kind in (
            (self.matrix, "<f4"), (self.groups, "<i8"), (self.labels, "<f8"), (self.positions, "<i4"),
            (self.weights, "<f8"), (self.at_ms, "<i8"),
        ):  # fmt: skip
            digest.update(np.ascontiguousarray(part, kind).data)
        return digest.hexdigest()

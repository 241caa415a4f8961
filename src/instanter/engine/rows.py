"""The rows of a training set, written to a file as they come and mapped when all are there."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Final, NamedTuple, Self

import numpy as np

from ..features.assemble import Column, Matrix
from ..feedback.example import Example
from ..models.dataset import Dataset
from ..state.compiled import Ints

_ORDERED: Final = ".ordered"


class Taken(NamedTuple):
    """Rows of one list: places in it, and their inputs."""

    places: Sequence[int]
    matrix: Matrix
    columns: tuple[Column, ...]


class RowFile:
    """Rows under the columns of one configuration; a column that a list was read without is not a number in it."""

    def __init__(self, path: Path, columns: Sequence[Column]) -> None:
        self._path = path
        self._columns = tuple(columns)
        self._file = path.open("wb")
        self._places: dict[tuple[Column, ...], Ints] = {}
        self._sizes: list[int] = []
        self._at_ms: list[int] = []
        self._labels: list[float] = []
        self._weights: list[float] = []
        self._positions: list[int] = []

    def __len__(self) -> int:
        """How many lists."""
        return len(self._sizes)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *raised: object) -> None:
        self._file.close()

    def add(self, example: Example, taken: Taken) -> None:
        """The rows of one list, in the order of its places."""
        slate, places = example.slate, taken.places
        self._add(
            slate.at_ms, taken, [max(example.rewards[place], 0.0) for place in places],
            [example.weights[place] for place in places], [slate.places[place] for place in places],
        )  # fmt: skip

    def add_unshown(self, at_ms: int, taken: Taken, labels: Sequence[float]) -> None:
        """Rows that nobody was shown, with what each was worth, in the order of its places."""
        self._add(at_ms, taken, labels, [1.0] * len(labels), [0] * len(labels))

    def _add(
        self, at_ms: int, taken: Taken, labels: Sequence[float], weights: Sequence[float], positions: Sequence[int]
    ) -> None:
        self._file.write(self._brought_over(taken).tobytes())
        self._sizes.append(len(taken.places))
        self._at_ms.append(at_ms)
        self._labels += labels
        self._weights += weights
        self._positions += positions

    def dataset(self) -> Dataset:
        """All of them, by time. The file may go when the dataset has."""
        self._file.flush()
        starts = np.cumsum([0, *self._sizes])
        order = np.argsort(np.array(self._at_ms, np.int64), kind="stable")
        rows = np.concatenate([np.arange(starts[one], starts[one + 1]) for one in order.tolist()])
        return Dataset(
            tuple(column.name for column in self._columns), self._ordered(starts, order),
            np.cumsum([0, *np.array(self._sizes)[order].tolist()]), np.array(self._labels)[rows],
            np.array(self._positions, np.int32)[rows], np.array(self._weights)[rows], np.array(self._at_ms)[order],
            tuple(column.name for column in self._columns if column.unbounded),
        )  # fmt: skip

    def _ordered(self, starts: Ints, order: Ints) -> Matrix:
        """The rows by time, in a second file where they did not come so."""
        shape = (int(starts[-1]), len(self._columns))
        rows: Matrix = np.memmap(self._path, np.float32, "r", shape=shape)
        if (np.diff(order) > 0).all():
            return rows
        path = self._path.with_name(self._path.name + _ORDERED)
        ordered = np.memmap(path, np.float32, "w+", shape=shape)
        at = 0
        for one in order.tolist():
            size = int(starts[one + 1] - starts[one])
            ordered[at : at + size] = rows[starts[one] : starts[one + 1]]
            at += size
        return ordered

    def _brought_over(self, taken: Taken) -> Matrix:
        if taken.columns == self._columns:
            return np.ascontiguousarray(taken.matrix, np.float32)
        places = self._places.get(taken.columns)
        if places is None:
            at = {(column.name, column.version): place for place, column in enumerate(taken.columns)}
            places = self._places[taken.columns] = np.array(
                [at.get((column.name, column.version), -1) for column in self._columns]
            )
        rows = taken.matrix[:, places]
        rows[:, places < 0] = np.nan
        return np.ascontiguousarray(rows, np.float32)

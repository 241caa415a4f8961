"""The rows of a training set, written to a file as they come and mapped when all are there."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final, NamedTuple, Self

import numpy as np

from ..features.assemble import Column, Matrix
from ..feedback.example import Example
from ..foundation.limits import STEPS_READ_MAX
from ..models.acted import NOTHING, Acted
from ..models.dataset import Dataset
from ..state.compiled import Ints

_ORDERED: Final = ".ordered"


class Taken(NamedTuple):
    """Rows of one list: places in it, and their inputs."""

    places: Sequence[int]
    matrix: Matrix
    columns: tuple[Column, ...]


def _nameless(ref: int) -> str | None:
    return None


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
        self._refs: list[Ints] = []
        self._recent: list[Ints] = []

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

    def add_unshown(
        self, at_ms: int, taken: Taken, labels: Sequence[float], refs: Ints, recent: Ints
    ) -> None:
        """Rows that nobody was shown, with what each was worth, in the order of its places; `refs` are the references
        of their items, `recent` those of what was acted on right before, the newest first."""
        self._add(at_ms, taken, labels, [1.0] * len(labels), [0] * len(labels))
        self._refs.append(refs)
        self._recent.append(recent[:STEPS_READ_MAX])

    def _add(
        self, at_ms: int, taken: Taken, labels: Sequence[float], weights: Sequence[float], positions: Sequence[int]
    ) -> None:
        self._file.write(self._brought_over(taken).tobytes())
        self._sizes.append(len(taken.places))
        self._at_ms.append(at_ms)
        self._labels += labels
        self._weights += weights
        self._positions += positions

    def dataset(self, name_of: Callable[[int], str | None] = _nameless) -> Dataset:
        """All of them, by time. The file may go when the dataset has. `name_of` tells the id of an item by its
        reference."""
        self._file.flush()
        starts = np.cumsum([0, *self._sizes])
        order = np.argsort(np.array(self._at_ms, np.int64), kind="stable")
        rows = np.concatenate([np.arange(starts[one], starts[one + 1]) for one in order.tolist()])
        return Dataset(
            tuple(column.name for column in self._columns), self._ordered(starts, order),
            np.cumsum([0, *np.array(self._sizes)[order].tolist()]), np.array(self._labels)[rows],
            np.array(self._positions, np.int32)[rows], np.array(self._weights)[rows], np.array(self._at_ms)[order],
            tuple(column.name for column in self._columns if column.unbounded),
            acted=self._acted(order, rows, name_of) if len(self._refs) == len(self._sizes) else None,
        )  # fmt: skip

    def _acted(self, order: Ints, rows: Ints, name_of: Callable[[int], str | None]) -> Acted:
        recent = np.zeros((len(self._recent), STEPS_READ_MAX), np.int64)
        for place, refs in enumerate(self._recent):
            recent[place, : len(refs)] = refs
        named, places = np.unique(np.concatenate([*self._refs, recent.ravel()]), return_inverse=True)
        ids = [name_of(ref) if ref else None for ref in named.tolist()]
        names = tuple(sorted(name for name in ids if name is not None))
        place_of = {name: place for place, name in enumerate(names)}
        found = np.array([NOTHING if name is None else place_of[name] for name in ids], np.int64)[places]
        items, before = found[: -recent.size], found[-recent.size :]
        return Acted(names, items[rows], before.reshape(recent.shape)[order])

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

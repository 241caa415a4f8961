"""An index that is derived of a catalogue, item by item, and keeps up with it, whatever it holds."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from itertools import islice
from typing import Any, Generic, TypeVar

import numpy.typing as npt

from ..state.memory import State


class CatalogueIndex(ABC):
    """An index over the items of one state."""

    def __init__(self, state: State) -> None:
        self._state = state
        self._followed = 0
        """Changes of the catalogue that are known ..."""
        self._unread: dict[int, None] = {}
        """... and the rows among them that have still to be read."""
        self._given_back = state.given_back

    def follow(self, rows_max: int | None = None) -> None:
        """Keep up with the catalogue, or come so many rows nearer to it; free of cost where nothing has changed."""
        state, catalogue = self._state, self._state.catalogue
        if self._followed != catalogue.changes:
            self._unread |= dict.fromkeys(self._concerned(catalogue.rows_changed_since(self._followed)).tolist())
            self._followed = catalogue.changes
        if self._unread:
            for row in [*islice(self._unread, rows_max)]:
                self._read(row)
                del self._unread[row]
        if self._given_back != state.given_back:
            self._given_back = state.given_back
            state.give_back_vacant(*self._by_row())

    def _concerned(self, rows: npt.NDArray[Any]) -> npt.NDArray[Any]:
        """Of rows that have changed those that may mean something here."""
        return rows

    @abstractmethod
    def _read(self, row: int) -> None:
        """Take notice of an item that has come, changed or gone."""

    @abstractmethod
    def _by_row(self) -> Sequence[npt.NDArray[Any]]:
        """Arrays by row, the one that says whose a row is first: memory of rows that are nobody's is given back."""


Index = TypeVar("Index", bound=CatalogueIndex)


class IndexOfState(Generic[Index]):
    """The index of the state that decisions are made on, made when it is first asked for. Owns a cache and nothing
    else: what it returns depends on the state alone."""

    def __init__(self, make: Callable[[State], Index], followed_max: int) -> None:
        """`followed_max` are the rows that are read in one step while nobody asks."""
        self._make = make
        self._followed_max = followed_max
        self._state: State | None = None
        self._index: Index | None = None

    def of(self, state: State) -> Index:
        """The index as the catalogue stands now."""
        index = self._index_of(state)
        index.follow()
        return index

    def follow(self, state: State) -> None:
        """Keep up with the catalogue a bounded step at a time, so that decisions find little left to do; an index that
        is new is made whole."""
        is_new = self._state is not state
        self._index_of(state).follow(None if is_new else self._followed_max)

    def _index_of(self, state: State) -> Index:
        if self._index is None or self._state is not state:
            self._state, self._index = state, self._make(state)
        return self._index

"""Which items are near one another by the vectors that a caller loaded: an exact look at all of a tenant's.

A pure function of the catalogue, which it follows item by item. Vectors of another length are never compared. Nearness
is the cosine, by whole numbers up to the last step, so the same catalogue gives the same scores bit for bit, however it
came to be; equal ones go by row.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np

from ..events.vectors import LARGEST, VECTOR, Packed, unpack_vector
from ..foundation.limits import VECTORS_FOLLOWED_MAX
from ..foundation.pages import mapped_zeros
from ..state.compiled import Bytes, Ints, Reals, Shorts, wide_kernel
from ..state.memory import State
from .catalogue_index import CatalogueIndex, IndexOfState
from .ranked import best_of

_PLACES_MIN: Final = 256
_NOT_SHOWN: Final = -2.0
"""Below any cosine."""
_NO_ROWS: Final[Ints] = np.zeros(0, np.int64)
_NO_SCORES: Final[Reals] = np.zeros(0)


class _Shelf:
    """Vectors of one tenant and one length, one behind the other, in no order."""

    def __init__(self, length: int) -> None:
        self.count = 0
        self._take(_PLACES_MIN, length)

    def _take(self, places: int, length: int) -> None:
        self.vectors: Packed = mapped_zeros((places, length), np.int8)
        self.rows: Shorts = mapped_zeros(places, np.int32)
        self.norms: Reals = mapped_zeros(places, np.float64)

    def put(self, row: int, vector: Packed) -> int:
        """The place that the vector has now."""
        if self.count == len(self.rows):
            vectors, rows, norms = self.vectors, self.rows, self.norms
            self._take(2 * self.count, vectors.shape[1])
            self.vectors[: self.count], self.rows[: self.count], self.norms[: self.count] = vectors, rows, norms
        place = self.count
        self.count += 1
        self.write(place, row, vector)
        return place

    def write(self, place: int, row: int, vector: Packed) -> None:
        self.vectors[place], self.rows[place] = vector, row
        self.norms[place] = _norm(vector)

    def take_out(self, place: int) -> int:
        """The row whose vector stands in that place now: the last one, or the one that goes."""
        self.count -= 1
        last = int(self.rows[self.count])
        self.vectors[place], self.rows[place] = self.vectors[self.count], last
        self.norms[place] = self.norms[self.count]
        return last


class VectorIndex(CatalogueIndex):
    """The vectors of all items of one state."""

    def __init__(self, state: State) -> None:
        super().__init__(state)
        rows_max = state.schema.capacity.items
        self._shelves: dict[tuple[int, int], _Shelf] = {}
        """By tenant and length."""
        self._owners: Shorts = mapped_zeros(rows_max, np.int32)
        """By row: the tenant whose vector stands there, 0 where there is none ..."""
        self._lengths: Shorts = mapped_zeros(rows_max, np.int32)
        """... how long it is ..."""
        self._places: Shorts = mapped_zeros(rows_max, np.int32)
        """... and where on the shelf it stands."""

    @property
    def held_bytes(self) -> int:
        """Of the vectors that stand there, with what stands beside each."""
        return sum(shelf.count * (length + 12) for (_, length), shelf in self._shelves.items())

    def near(self, tenant: str, to: Sequence[int], limit: int) -> tuple[Ints, Reals]:
        """Up to `limit` available items whose vectors are nearest to those of the items of these rows, the nearest
        first, and their cosine, above 0. What is near the second counts half, the third a third ...; those of the
        first length are looked at. They themselves are not among them."""
        code = self._state.catalogue.code_of(tenant)
        rows = [row for row in to if row >= 0 and self._owners[row] == code]
        if not rows:
            return _NO_ROWS, _NO_SCORES
        length = int(self._lengths[rows[0]])
        shelf = self._shelves[code, length]
        wanted = _mean([
            (shelf.vectors[self._places[row]], shelf.norms[self._places[row]], place)
            for place, row in enumerate(rows) if self._lengths[row] == length
        ])  # fmt: skip
        norm = _norm(wanted)
        if norm == 0.0:
            return _NO_ROWS, _NO_SCORES
        scores = np.empty(shelf.count)
        there = shelf.rows[: shelf.count]
        _scan(shelf.vectors, there, shelf.norms, wanted, norm, self._state.catalogue.available, scores)
        for row in to:
            if self._owners[row] == code and self._lengths[row] == length:
                scores[self._places[row]] = _NOT_SHOWN
        places = np.arange(shelf.count)
        _, best = best_of(places, scores, limit)
        enough = np.flatnonzero(scores >= max(best[-1], 0.0)) if len(best) else places[:0]
        enough = enough[scores[enough] > 0.0]
        order = enough[np.lexsort((there[enough], -scores[enough]))][:limit]
        return there[order].astype(np.int64), scores[order]

    # Following.

    def _concerned(self, rows: Ints) -> Ints:
        concerned: Ints = rows[(self._state.catalogue.vector_lengths[rows] != 0) | (self._owners[rows] != 0)]
        return concerned

    def _by_row(self) -> Sequence[Shorts]:
        return self._owners, self._lengths, self._places

    def _read(self, row: int) -> None:
        """Take notice of the vector of an item that has come, changed or gone."""
        catalogue = self._state.catalogue
        length = int(catalogue.vector_lengths[row])
        code = int(catalogue.tenants[row]) if length else 0
        if self._owners[row] and (self._owners[row], self._lengths[row]) != (code, length):
            self._take_out(row)
        if not length:
            return
        vector = unpack_vector(catalogue.at_row[row].fields[VECTOR])
        shelf = self._shelves.setdefault((code, length), _Shelf(length))
        if self._owners[row]:
            shelf.write(int(self._places[row]), row, vector)
            return
        self._owners[row], self._lengths[row] = code, length
        self._places[row] = shelf.put(row, vector)

    def _take_out(self, row: int) -> None:
        key = int(self._owners[row]), int(self._lengths[row])
        shelf, place = self._shelves[key], int(self._places[row])
        self._places[shelf.take_out(place)] = place
        self._owners[row] = self._lengths[row] = self._places[row] = 0
        if not shelf.count:
            del self._shelves[key]


class Vectors(IndexOfState[VectorIndex]):
    """The vectors of the state that decisions are made on."""

    def __init__(self) -> None:
        super().__init__(VectorIndex, VECTORS_FOLLOWED_MAX)


def _mean(vectors: Sequence[tuple[Packed, float, int]]) -> Packed:
    """Of vectors with their norms and places, by direction, what is in place n counting 1 / (1 + n)."""
    if len(vectors) == 1:
        return vectors[0][0]
    total = np.zeros(len(vectors[0][0]))
    for vector, norm, place in vectors:
        total += vector.astype(np.float64) / (norm * (1.0 + place))
    largest = float(np.abs(total).max())
    return np.rint(total / largest * LARGEST).astype(np.int8) if largest else np.zeros(len(total), np.int8)


def _norm(vector: Packed) -> float:
    """The length in space, of whole numbers summed up exactly."""
    wide = vector.astype(np.int64)
    return float(np.sqrt(np.float64((wide * wide).sum())))


@wide_kernel
def _scan(
    vectors: Packed, rows: Shorts, norms: Reals, wanted: Packed, norm: float, available: Bytes, scores: Reals
) -> None:
    """The cosine of each vector and the wanted one. Products of 8 bits sum up within 32: at most 1,024 of them."""
    length = vectors.shape[1]
    for place in range(len(rows)):
        if available[rows[place]] == 0:
            scores[place] = _NOT_SHOWN
            continue
        total = np.int32(0)
        for i in range(length):
            total = np.int32(total + np.int32(np.int32(vectors[place, i]) * np.int32(wanted[i])))
        scores[place] = float(total) / (norms[place] * norm)

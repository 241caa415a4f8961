"""What is bought together, as inputs: what a walk of the ring of orders finds beside an item, or beside a cart.

    with.share       what of the orders of these items has the candidate too, 0 to 1; an order later on counts less
    with.chance      the same as a logarithm: 0 for what none of them has, the larger, the more
    with.substitute  1 for a candidate of the category of one of these items that none of the orders has, else 0

NaN where nobody asked what goes with what: placements do that have the source `bought_with`, or the goal `goes_with`.

From each of the items the walk goes over its newest orders. Lines of one person within `BASKET_MS` are one order: they
count 1. What they order later, or had ordered before, counts `ORDER_FADES` for every order between. Each item has so
much to say as it has orders: a line of few orders is no rule.
"""

from __future__ import annotations

import math
from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt

from ..foundation.limits import TOGETHER_FOUND_MAX, TOGETHER_HITS_MAX, TOGETHER_ITEMS_MAX, TOGETHER_REACH
from ..state.compiled import Ints, Reals, kernel
from ..state.memory import State
from ..state.schema import Schema
from ..state.steps import after_in, as_of, before_in, earlier_in, is_kept, item_in, owner_in, time_in, word_of
from .carriers import Carriers

NAMES: Final = ("with.share", "with.chance", "with.substitute")
CATEGORY: Final = "category"

BASKET_MS: Final = 10 * 60 * 1000
"""Lines of one person that are no further apart are of one order."""
ORDER_FADES: Final = 0.1
"""What the next order of the same person counts of the shared one; the one behind it again so much of that."""
LINE_FADES: Final = 0.5
"""A line so many further counts by its distance to minus this."""
AGE_FADES: Final = 0.5
"""What an item of the cart says of the one that was put there after it."""
ORDERS_PRIOR: Final = 5.0
"""Orders without anything else that each item is taken to have had besides."""
LEAST: Final = 1e-4
"""Added to shares: that of what was never bought together."""


class Room(NamedTuple):
    """What a walk found, and the room it takes; filled anew by every walk."""

    scores: Reals
    rows: Ints
    places: Ints
    """A hash table from a row to where it stands in `rows`, + 1."""
    found: Ints
    """How many were found, in its only place."""


class Together(NamedTuple):
    """What goes with some items, until the next walk."""

    room: Room
    items: Ints
    """Their rows, the most important first."""
    categories: Ints
    """[items, values]: references of their categories."""
    category: int
    """Which of the text fields says it, -1 if none does."""

    def best(self) -> tuple[Ints, Reals]:
        """Rows of what was found beside them, the best first, and their shares; ties in the order of meeting."""
        count = int(self.room.found[0])
        order = np.argsort(-self.room.scores[:count], kind="stable")
        order = order[~np.isin(self.room.rows[order], self.items)]
        return self.room.rows[order], self.room.scores[order]

    def fill(self, rows: Ints, attributes: Ints, first: int, matrix: npt.NDArray[np.float32]) -> None:
        """Fill the columns of candidates from `first` on."""
        _fill(self.room, self.categories, self.category, rows, attributes, first, matrix)


class GoesWith:
    """Walks for one schema, one at a time."""

    def __init__(self, schema: Schema, carriers: Carriers) -> None:
        self._feature = carriers.get("baskets")
        self._head = -1 if self._feature is None else schema.layout.named(self._feature).offset
        self._words = schema.layout.item_words
        self._category = schema.attributes.index(CATEGORY) if CATEGORY in schema.attributes else -1
        size = TOGETHER_FOUND_MAX
        self._room = Room(np.zeros(size), np.zeros(size, np.int64), np.zeros(2 * size, np.int64), np.zeros(1, np.int64))

    def of(self, state: State, items: Ints) -> Together:
        """What goes with the items of these rows, the most important first, as of the epoch. What is returned holds
        until the next call."""
        items = items[:TOGETHER_ITEMS_MAX]
        _clear(self._room)
        if self._feature is not None and len(items):
            ints, ring = state.tables.memory.ints, state.ring(self._feature)
            walk(ints, ring, as_of(ints, ring), state.published[items * self._words + self._head], self._room)
        refs = state.tables.attributes.refs
        categories = refs[items, self._category] if self._category >= 0 else np.zeros((len(items), 1), np.int64)
        return Together(self._room, items, categories, self._category)


@kernel
def _clear(room: Room) -> None:
    for found in range(room.found[0]):
        room.scores[found] = 0.0
    for place in range(len(room.places)):
        room.places[place] = 0
    room.found[0] = 0


@kernel
def walk(ints: Ints, ring: int, until: int, heads: Ints, room: Room) -> None:
    """Add up what the orders of items have besides them, by the newest step about each (0 for none). Costs at most
    `TOGETHER_HITS_MAX` orders of 2 * `TOGETHER_REACH` lines: an item has its part of them by what it says."""
    weights = 0.0
    for i in range(len(heads)):
        weights += AGE_FADES**i
    for i in range(len(heads)):
        weight = AGE_FADES**i / weights
        hits = _count(ints, ring, until, heads[i], int(TOGETHER_HITS_MAX * weight))
        if hits > 0:
            _add(ints, ring, until, heads[i], hits, weight / (hits + ORDERS_PRIOR), room)


@kernel
def _count(ints: Ints, ring: int, until: int, step: int, hits_max: int) -> int:
    """How many orders of an item the walk goes by."""
    hits = 0
    while hits < hits_max and is_kept(ints, ring, step):
        word = word_of(ints, ring, step)
        hits += step <= until and owner_in(ints, word) != 0
        step = earlier_in(ints, ring, word, step)
    return hits


@kernel
def _add(ints: Ints, ring: int, until: int, step: int, hits: int, weight: float, room: Room) -> None:
    while hits > 0 and is_kept(ints, ring, step):
        word = word_of(ints, ring, step)
        if step <= until and owner_in(ints, word) != 0:
            _look(ints, ring, until, step, weight, True, room)
            _look(ints, ring, until, step, weight, False, room)
            hits -= 1
        step = earlier_in(ints, ring, word, step)


@kernel
def _look(ints: Ints, ring: int, until: int, step: int, weight: float, ahead: bool, room: Room) -> None:
    """The other lines on one side of a shared one. A line of the same item begins the part of the person's orders that
    is looked at from there."""
    word = word_of(ints, ring, step)
    row, time_ms = item_in(ints, word), time_in(ints, word)
    for distance in range(1, TOGETHER_REACH + 1):
        step = after_in(ints, ring, word, step) if ahead else before_in(ints, ring, word, step)
        if step == 0 or step > until:
            return
        word = word_of(ints, ring, step)
        if abs(time_in(ints, word) - time_ms) > BASKET_MS:
            weight, time_ms = weight * ORDER_FADES, time_in(ints, word)
        if item_in(ints, word) == row:
            return
        found = _find_or_add(room, item_in(ints, word))
        if found >= 0:
            room.scores[found] += weight * distance**-LINE_FADES


@kernel
def _place_of_row(room: Room, row: int) -> int:
    mask = len(room.places) - 1
    place = (row * 0x9E3779B1 >> 12) & mask
    while room.places[place] != 0 and room.rows[room.places[place] - 1] != row:
        place = (place + 1) & mask
    return place


@kernel
def _find_or_add(room: Room, row: int) -> int:
    if row < 0:
        return -1
    place = _place_of_row(room, row)
    found: int = room.places[place] - 1
    if found < 0:
        found = room.found[0]
        if found == TOGETHER_FOUND_MAX:
            return -1
        room.found[0] += 1
        room.places[place] = found + 1
        room.rows[found] = row
    return found


@kernel
def _fill(
    room: Room, categories: Ints, category: int, rows: Ints, attributes: Ints, first: int,
    matrix: npt.NDArray[np.float32],
) -> None:  # fmt: skip
    for c in range(len(rows)):
        found = room.places[_place_of_row(room, rows[c])] - 1 if rows[c] >= 0 else -1
        share = min(room.scores[found], 1.0) if found >= 0 else 0.0
        matrix[c, first] = share
        matrix[c, first + 1] = math.log(1.0 + share / LEAST)
        alike = share == 0.0 and category >= 0 and _is_of(categories, attributes[c, category])
        matrix[c, first + 2] = 1.0 if alike else 0.0


@kernel
def _is_of(categories: Ints, values: Ints) -> bool:
    """Whether one of the values, which stand before the places that have none, is one of the categories."""
    for i in range(categories.shape[0]):
        for j in range(categories.shape[1]):
            for value in values:
                if value != 0 and value == categories[i, j]:
                    return True
    return False

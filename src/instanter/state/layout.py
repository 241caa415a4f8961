"""Where each feature stands in a record. A record is a row of 8-byte words; a feature is a run of them.

Integers and fixed point are int64, decayed sums are float64 in the same words. Every aggregation keeps its words in
one canonical order (last-k by time, tiles by number), so equal content is equal words; top-k as its entries came.
"""

from __future__ import annotations

from collections.abc import Sequence
from enum import IntEnum
from typing import TYPE_CHECKING

import msgspec

if TYPE_CHECKING:
    from .aggregations.base import Aggregation

MICRO = 1_000_000
"""Fixed point: sums, means, minima and windows are kept in millionths, so that order cannot change them."""


class Scope(IntEnum):
    """Whose record a feature stands in."""

    SESSION = 0
    PROFILE = 1
    ITEM = 2


class ValueSource(IntEnum):
    """Where the number comes from that is aggregated."""

    ONE = 0
    PROPERTY = 1
    ITEM_NUMBER = 2
    PRICE = 3
    QUANTITY = 4
    REVENUE = 5


class BySource(IntEnum):
    """Where the reference comes from that a top-k or last-k is kept by."""

    NOTHING = 0
    ITEM = 1
    ITEM_ATTRIBUTE = 2
    CONTEXT = 3
    ORDER = 4


# The compiled loop compares plain integers.
SESSION_SCOPE, ITEM_SCOPE = int(Scope.SESSION), int(Scope.ITEM)
BY_ITEM, BY_ATTRIBUTE, BY_CONTEXT = int(BySource.ITEM), int(BySource.ITEM_ATTRIBUTE), int(BySource.CONTEXT)
BY_ORDER = int(BySource.ORDER)
PROPERTY, ITEM_NUMBER = int(ValueSource.PROPERTY), int(ValueSource.ITEM_NUMBER)
PRICE, QUANTITY = int(ValueSource.PRICE), int(ValueSource.QUANTITY)


SEEN_ITEMS_MAX = 8

# Words before the features in each record.
CELL_KEY, CELL_NEWEST_MS, CELL_FIRST_MS, CELL_EVENTS, CELL_LATE = 0, 1, 2, 3, 4
CELL_SESSION, CELL_PREVIOUS, CELL_CHUNK, CELL_IDS, CELL_OVERFLOW, CELL_RECEIVED_MS = 5, 6, 7, 8, 9, 10
CELL_SWEPT_MS = 11
"""`Tables.idle` as it was when the cell last took an event."""
CELL_WORDS = 12
CELL_UPKEEP_WORDS = (CELL_SESSION, CELL_PREVIOUS, CELL_CHUNK, CELL_IDS, CELL_RECEIVED_MS, CELL_SWEPT_MS)
"""Words that say where something lies, how much room it takes or when it came, not what it is: outside the state
hash."""

SESSION_CELL, SESSION_START_MS, SESSION_END_MS, SESSION_EVENTS = 0, 1, 2, 3
SESSION_WORDS = 4

ITEM_KEY = 0
ITEM_WORDS = 1

CHUNK_IDS = 6
CHUNK_NEXT, CHUNK_COUNT, CHUNK_FIRST = 0, 1, 2
"""Row of the chunk that follows + 1, messages held, and the first of them: id, time, id, time, ..."""
CHUNK_WORDS = CHUNK_FIRST + 2 * CHUNK_IDS

STEP_WORDS = 4
"""Of a step, see `sequences`."""


class FeatureSpec(msgspec.Struct, frozen=True):
    """A declared feature as the fold knows it. `codes` are the event codes it counts on."""

    name: str
    version: str
    aggregation: Aggregation
    scope: Scope
    codes: tuple[int, ...]
    value: ValueSource = ValueSource.ONE
    value_column: int = 0
    by: BySource = BySource.NOTHING
    by_column: int = 0
    k: int = 0
    half_life_ms: int = 0
    tile_ms: int = 0
    tiles: int = 0
    purpose: str = "personalization"
    takes_back: tuple[int, ...] = ()
    """Event codes that take back what those in `codes` gave."""
    partial: frozenset[int] = frozenset()
    """Those of `takes_back` that take back only the items they name, where they name some."""
    bound: frozenset[int] = frozenset()
    """Those of `codes` that say nothing unless they name the order."""
    heard_since: dict[int, int] = {}
    """Event code -> the rules of the fold (`program.FOLDING_NOW`) from which on it is heard; all others from the first
    on."""

    @property
    def words(self) -> int:
        """How many words the feature takes in its record."""
        return self.aggregation.words(self)

    @property
    def is_taste(self) -> bool:
        """Whether it says which values of items somebody is drawn to, by scores."""
        return self.aggregation.listed == "scores" and self.by is BySource.ITEM_ATTRIBUTE

    @property
    def is_history(self) -> bool:
        """Whether it says which items somebody met, the newest first."""
        return self.aggregation.listed == "times" and self.by is BySource.ITEM

    @property
    def per_item(self) -> bool:
        """Whether the feature counts once for each item of an event rather than once for the event."""
        return (
            self.scope is Scope.ITEM
            or self.by in (BySource.ITEM, BySource.ITEM_ATTRIBUTE)
            or self.value in (ValueSource.ITEM_NUMBER, ValueSource.PRICE, ValueSource.QUANTITY, ValueSource.REVENUE)
        )


class Placed(msgspec.Struct, frozen=True):
    """A feature and the word of its record it begins at."""

    spec: FeatureSpec
    offset: int


class Layout(msgspec.Struct, frozen=True):
    """The records of one configuration."""

    features: tuple[Placed, ...]
    cell_words: int
    session_words: int
    item_words: int

    @property
    def purposes(self) -> tuple[str, ...]:
        """The purposes that features are kept for, sorted."""
        return tuple(sorted({placed.spec.purpose for placed in self.features}))

    @property
    def rings(self) -> tuple[FeatureSpec, ...]:
        """The features that keep steps, in the order of their rings."""
        return tuple(placed.spec for placed in self.features if placed.spec.aggregation.keeps_steps)

    def named(self, name: str) -> Placed:
        """The feature of that name; KeyError if there is none."""
        for placed in self.features:
            if placed.spec.name == name:
                return placed
        raise KeyError(name)


def lay_out(specs: Sequence[FeatureSpec]) -> Layout:
    """Place the features one after another in the record of their scope.

    >>> from .aggregations import COUNT
    >>> views = FeatureSpec("views", "1", COUNT, Scope.PROFILE, codes=(1,))
    >>> lay_out([views]).named("views").offset == CELL_WORDS
    True
    """
    ends = {Scope.SESSION: SESSION_WORDS, Scope.PROFILE: CELL_WORDS, Scope.ITEM: ITEM_WORDS}
    placed = []
    for spec in _with_companions(specs):
        placed.append(Placed(spec, ends[spec.scope]))
        ends[spec.scope] += spec.words
    return Layout(
        tuple(placed), cell_words=ends[Scope.PROFILE], session_words=ends[Scope.SESSION], item_words=ends[Scope.ITEM]
    )


def _with_companions(specs: Sequence[FeatureSpec]) -> list[FeatureSpec]:
    """What an aggregation needs beside it, in a session or in the cell, gets a slot of its own."""
    complete: list[FeatureSpec] = []
    for spec in specs:
        complete.append(spec)
        companion = spec.aggregation.companion
        if companion is not None:
            complete.append(
                FeatureSpec(
                    companion_of(spec.name, companion), spec.version, companion, Scope[companion.beside.upper()],
                    codes=spec.codes, purpose=spec.purpose,
                )
            )  # fmt: skip
    return complete


def companion_of(name: str, companion: Aggregation) -> str:
    """The name of the slot that the layout adds for the feature of that name."""
    return f"{name}.{companion.name}"


def declared_name(name: str) -> str:
    """The name of the feature whose slot this is: its own, or that for which the layout has added it.

    >>> declared_name("co_viewed.seen"), declared_name("co_viewed")
    ('co_viewed', 'co_viewed')
    """
    return name.partition(".")[0]

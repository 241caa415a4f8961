"""The seams of the room: a source finds candidates, a ranker scores them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, NamedTuple, Protocol

import msgspec

from ..features.assemble import Column, Matrix
from ..features.neighbours import Neighbours
from ..features.next_items import Ahead
from ..features.roles import FeatureRole
from ..features.together import Together
from ..features.view import Person, Reader
from ..state.compiled import Ints, Reals
from ..state.memory import State
from .standing import TenantLists
from .vectors import Vectors
from .words import Words

Chosen = Ints | slice
"""Rows or columns of a matrix."""
EVERY_ROW: Final = slice(None)
EVERY_COLUMN: Final = slice(None)


class Found(NamedTuple):
    """Item rows, the best first, with the source's own scores; only items that can be shown now."""

    rows: Ints
    scores: Reals


class SourceContext(msgspec.Struct, frozen=True):
    """What a source may look at."""

    state: State
    lists: TenantLists
    reader: Reader
    person: Person
    neighbours: Neighbours
    page_row: int = -1
    """Row of the item that the page is about."""
    ahead: Ahead | None = None
    """What may come next, by a walk of people's steps; None where there was none."""
    by_every_field: bool = False
    """Whether an item of the page that is nearly alone in its category is followed by its other text fields."""
    goes_with: Together | None = None
    """What is bought together with the page's item or the cart's; None where nobody asked."""
    words: Words = msgspec.field(default_factory=Words)
    """One that is kept between decisions; else the index is made anew."""
    vectors: Vectors = msgspec.field(default_factory=Vectors)
    """Likewise."""


class Source(Protocol):
    """Finds candidates. Pure: same context, same answer."""

    @property
    def name(self) -> str:
        """As placements name it."""
        ...

    @property
    def role(self) -> FeatureRole | None:
        """Of the feature that it reads; None where it reads none in particular."""
        ...

    def candidates(self, context: SourceContext, limit: int) -> Found:
        """Up to `limit` items without repetition."""
        ...


class Ranker(Protocol):
    """Scores candidates. Pure: same matrix, same scores."""

    @property
    def name(self) -> str:
        """The kind of ranker."""
        ...

    @property
    def version(self) -> str:
        """Differs whenever scores may differ."""
        ...

    @property
    def missing(self) -> tuple[str, ...]:
        """Inputs that it would read and that there are not: it ranks without them."""
        ...

    def score(self, matrix: Matrix, columns: Sequence[Column]) -> Reals:
        """One finite number a candidate; the larger the better, 0 for an average item."""
        ...

    def contributions(
        self, matrix: Matrix, columns: Sequence[Column], rows: Chosen = EVERY_ROW, wanted: Chosen = EVERY_COLUMN
    ) -> Reals:
        """What each of the wanted columns adds to the score of each of these rows, [rows, wanted]: the ground of an
        explanation.

        `matrix` is the one that was scored, so that what was found out then need not be found out again."""
        ...


def gives_probabilities(ranker: Ranker) -> bool:
    """Whether the logistic function of a score is the probability of a reward; else scores put in order, and no more.

    A ranker says so by an attribute of this name. One that has none gives none.
    """
    return bool(getattr(ranker, "gives_probabilities", False))


def rows_ordered(ranker: Ranker) -> int:
    """How many candidates of a list the ranker puts in order by what it knows, those behind standing as they are; 0 for
    all. A ranker says so by an attribute of this name."""
    return int(getattr(ranker, "rows_ordered", 0))


class Uncalibrated:
    """A ranker whose probabilities do not hold: it ranks as before, and its scores are no probabilities."""

    gives_probabilities = False

    def __init__(self, ranker: Ranker) -> None:
        self.name, self.version, self.missing = ranker.name, ranker.version, ranker.missing
        self.score, self.contributions = ranker.score, ranker.contributions
        self.rows_ordered = rows_ordered(ranker)

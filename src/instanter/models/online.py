"""The online learner of a placement: a few weights beside the ranker's score that every outcome moves at once.

    score = weight x ranker's score + sum of weight x input

It begins as the ranker alone (weight 1, all others 0). What a person chose is preferred to what stood above it and was
passed over, and to the one right below (Joachims, Optimizing Search Engines using Clickthrough Data, 2002): who reads a
list from the top has seen these, so the order of the list does not teach itself. Each preference is a step of a
pairwise logistic loss, its size set input by input by what the input has moved so far (Duchi, Hazan and Singer,
Adaptive Subgradient Methods, 2011), so inputs of any scale do. Weights stay within bounds.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Annotated, Final, NamedTuple, Protocol

import msgspec
import numpy as np
from msgspec import Meta

from ..features.assemble import Column, Matrix
from ..foundation.errors import ConfigRejected
from ..foundation.limits import LEARNER_INPUTS_MAX, LEARNER_WEIGHT_MAX, NAME_CHARS_MAX
from ..state.compiled import Bytes, Ints, Reals, kernel
from .base import EVERY_COLUMN, EVERY_ROW, Chosen, Ranker, rows_ordered
from .inputs import check_named

SCORE_TERM_MAX: Final = 1e6
"""A ranker's score further from 0 counts as this much: an update stays a finite number."""
_LEAST_SQUARE: Final = 1e-12


class LearnerDeclaration(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What a placement's online learner reads, and how far it may go."""

    inputs: Annotated[
        tuple[Annotated[str, Meta(min_length=1, max_length=NAME_CHARS_MAX)], ...],
        Meta(min_length=1, max_length=LEARNER_INPUTS_MAX,
             description='Inputs that it weighs beside the ranker\'s score, e.g. "cross.session_categories".')]
    step: Annotated[float, Meta(
        gt=0, le=1, description="How far the first outcome moves a weight; later ones move it less.")] = 0.05
    weight_max: Annotated[float, Meta(
        gt=0, le=LEARNER_WEIGHT_MAX,
        description="Bound of every weight to both sides; that of the ranker's score is from 0 to 1 more.")] = 2.0
    frozen: Annotated[bool, Meta(
        description="Whether it scores as it has learned and learns no more, for all tenants.")] = False


class Learned(NamedTuple):
    """What decisions read of a learner: as of the epoch."""

    weights: Reals
    """[1 + inputs]: of the ranker's score, then of each input."""
    lessons: int
    """Outcomes it has learned from."""


class LearnedWeights(Protocol):
    """What the learners of all placements have learned."""

    def of(self, tenant: str, placement: str, inputs: tuple[str, ...] | None = None) -> Learned | None:
        """None while there is nothing but the ranker; with `inputs`, also of a learner that learns from others."""
        ...


class NothingLearned:
    """An installation without learners."""

    def of(self, tenant: str, placement: str, inputs: tuple[str, ...] | None = None) -> Learned | None:
        return None


class LessonInputs:
    """The declared inputs over the columns of one assembler; `ConfigRejected` for one that there is not."""

    def __init__(self, columns: Sequence[Column], names: Sequence[str]) -> None:
        for name in names:
            check_named(columns, name, by="the learner")
        at = {column.name: place for place, column in enumerate(columns)}
        if len(set(names)) < len(names):
            raise ConfigRejected("the learner names an input twice", suggestion="name each once")
        self.names = tuple(names)
        self.places: Ints = np.array([at[name] for name in names], np.int64)
        self._unbounded: Bytes = np.array([columns[place].unbounded for place in self.places.tolist()], np.uint8)

    def rows(self, matrix: Matrix, scores: Reals) -> Matrix:
        """[candidates, 1 + inputs]: the ranker's score, then each input as the linear ranker reads it."""
        rows = np.empty((len(matrix), 1 + len(self.places)), np.float32)
        _take(matrix, scores, self.places, self._unbounded, rows)
        return rows


class Taught:
    """A ranker with what the learner has added. A score of it is no probability, whatever the ranker's was."""

    def __init__(self, ranker: Ranker, inputs: LessonInputs, learned: Learned) -> None:
        self.name, self.version, self.missing = ranker.name, ranker.version, ranker.missing
        self.rows_ordered = rows_ordered(ranker)
        self._ranker = ranker
        self._inputs = inputs
        self._learned = learned

    def score(self, matrix: Matrix, columns: Sequence[Column]) -> Reals:
        scores = self._ranker.score(matrix, columns)
        return self.added(scores, self._inputs.rows(matrix, scores))

    def added(self, scores: Reals, rows: Matrix) -> Reals:
        """The ranker's scores of these rows, with what was learned. A learner that has learned nothing changes none."""
        together = np.empty(len(scores))
        _add_up(scores, rows, self._learned.weights, together)
        return together

    def contributions(
        self, matrix: Matrix, columns: Sequence[Column], rows: Chosen = EVERY_ROW, wanted: Chosen = EVERY_COLUMN
    ) -> Reals:
        weights = self._learned.weights
        added: Reals = weights[0] * self._ranker.contributions(matrix, columns, rows, wanted)
        inputs = self._inputs.rows(matrix[rows], np.zeros(len(added)))
        at = {column: place for place, column in enumerate(np.arange(len(columns))[wanted].tolist())}
        for i, column in enumerate(self._inputs.places.tolist()):
            if column in at:
                added[:, at[column]] += weights[1 + i] * inputs[:, 1 + i]
        return added


class Learner:
    """The weights of one placement of one tenant. A function of the lessons given, in their order.

    >>> learner = Learner(inputs=1)
    >>> rows = np.array([[0.0, 0.0], [0.0, 1.0]], np.float32)
    >>> learner.learn(rows, 1, worth=1.0, passed_over=[0], step=0.1, weight_max=2.0)
    >>> learner.publish()
    >>> learner.learned.weights.tolist(), learner.learned.lessons
    ([1.0, 0.1], 1)
    """

    def __init__(self, *, inputs: int) -> None:
        self.weights: Reals = np.zeros(1 + inputs)
        self.weights[0] = 1.0
        self.squares: Reals = np.zeros(1 + inputs)
        """Of all steps so far, weight by weight."""
        self.lessons = 0
        self.learned = Learned(self.weights.copy(), 0)

    def learn(
        self, rows: Matrix, chosen: int, *, worth: float, passed_over: Sequence[int], step: float, weight_max: float
    ) -> None:
        """Somebody chose one row of a list and passed others over."""
        _learn(rows, chosen, worth, np.array(passed_over, np.int64), step, weight_max, self.weights, self.squares)
        self.lessons += 1

    def publish(self) -> None:
        """Let decisions read what has been learned so far."""
        if self.learned.lessons != self.lessons:
            self.learned = Learned(self.weights.copy(), self.lessons)


def warm_up() -> None:
    """Load or compile what learners run on."""
    columns = (Column("warm"), Column("warmer", unbounded=True))
    inputs = LessonInputs(columns, ("warm", "warmer"))
    matrix, scores = np.zeros((2, 2), np.float32), np.zeros(2)
    rows = inputs.rows(matrix, scores)
    learner = Learner(inputs=2)
    learner.learn(rows, 1, worth=1.0, passed_over=[0], step=0.1, weight_max=1.0)
    _add_up(scores, rows, learner.weights, np.empty(2))


@kernel
def _take(matrix: Matrix, scores: Reals, places: Ints, unbounded: Bytes, rows: Matrix) -> None:
    for row in range(len(matrix)):
        rows[row, 0] = min(max(scores[row], -SCORE_TERM_MAX), SCORE_TERM_MAX)
        for i in range(len(places)):
            value = float(matrix[row, places[i]])
            if not abs(value) < np.inf:
                value = 0.0
            elif unbounded[i]:
                value = math.log(1.0 + value) if value >= 0.0 else -math.log(1.0 - value)
            rows[row, 1 + i] = value


@kernel
def _add_up(scores: Reals, rows: Matrix, weights: Reals, together: Reals) -> None:
    for row in range(len(rows)):
        total = weights[0] * scores[row]
        for i in range(1, len(weights)):
            if weights[i] != 0.0:
                total += weights[i] * rows[row, i]
        together[row] = total


@kernel
def _learn(
    rows: Matrix, chosen: int, worth: float, passed_over: Ints, step: float, weight_max: float, weights: Reals,
    squares: Reals,
) -> None:  # fmt: skip
    for other in passed_over:
        margin = 0.0  # In double precision: the compiler's float() of a single stays one.
        for i in range(len(weights)):
            margin += weights[i] * (np.float64(rows[chosen, i]) - np.float64(rows[other, i]))
        pull = worth / len(passed_over) / (1.0 + math.exp(min(max(margin, -500.0), 500.0)))
        for i in range(len(weights)):
            slope = pull * (np.float64(rows[chosen, i]) - np.float64(rows[other, i]))
            squares[i] += slope * slope
            if squares[i] > _LEAST_SQUARE:
                moved = weights[i] + step * slope / math.sqrt(squares[i])
                least, most = (0.0, 1.0 + weight_max) if i == 0 else (-weight_max, weight_max)
                weights[i] = min(max(moved, least), most)

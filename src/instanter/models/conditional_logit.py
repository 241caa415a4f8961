"""A conditional logit: weights of one shop in the place of the built-in ones, learned from what was chosen of lists.

An item is chosen with a probability that goes by its score beside those of the others of the list. What is learned is
how far each weight lies from the built-in one, and a penalty keeps it there where people say nothing else. The model
is a `LinearRanker` with other weights: as fast, and what each input adds is the score.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Final, NamedTuple

import numpy as np

from ..features.assemble import Column, Matrix
from ..foundation.errors import Broken, RequestRejected
from ..foundation.limits import CONDITIONAL_LOGIT_VALUES_MAX
from ..state.compiled import Bytes, Ints, Reals
from .artefact import Artefact, encode, identify
from .base import EVERY_COLUMN, EVERY_ROW, Chosen
from .bodies import LinearWeights
from .calibration import log_odds
from .dataset import Dataset
from .evaluate import mean, ndcg
from .inputs import Wired, wire
from .linear import LinearRanker

PENALTIES: Final = (1.0, 0.3, 0.1, 0.03, 0.01, 0.003)
"""Times half the square of what each input's deviation within lists is moved by; one is chosen on the later lists."""
_KEPT_AS_BUILT_IN: Final = ("position", "query.", "list.", "person.", "with.", "age.")
"""Inputs that are the same for a whole list, or that a list of what people did next says nothing of."""
_BLOCK_ROWS: Final = 16_384
_STEPS_MAX: Final = 25
_SAME: Final = 1e-7
"""Of the loss: Newton's step that gains no more was the last one."""
_HALVINGS_MAX: Final = 20
_CHOSEN_AT: Final = 10


class ConditionalLogitRanker:
    """A trained conditional logit over the columns of one assembler. A matrix is that of one list."""

    def __init__(self, columns: Sequence[Column], artefact: Artefact, version: str = "") -> None:
        """`version` is the model's id, worked out here if not given. `Broken` for a model of another kind."""
        learned = artefact.model()
        if not isinstance(learned, LinearWeights):
            raise Broken(f"a {artefact.kind} model has no linear weights")
        self.name: str = artefact.kind
        self.version = version or identify(encode(artefact))
        self._wired = wire(columns, artefact)
        self.columns, self.missing = self._wired.columns, self._wired.missing
        self._calibration = artefact.calibration
        self.gives_probabilities = artefact.calibration is not None
        self._linear = linear_over(self._wired, learned)

    def raw_scores(self, matrix: Matrix, columns: Sequence[Column]) -> Reals:
        """The sum of what the inputs add, before any calibration."""
        self._wired.check(columns)
        return self._linear.score(finite(matrix), self._linear.columns)

    def score(self, matrix: Matrix, columns: Sequence[Column]) -> Reals:
        """The sum of what the inputs add; of the rows of one list."""
        scores = self.raw_scores(matrix, columns)
        return scores if self._calibration is None else log_odds(self._calibration, scores)

    def contributions(
        self, matrix: Matrix, columns: Sequence[Column], rows: Chosen = EVERY_ROW, wanted: Chosen = EVERY_COLUMN
    ) -> Reals:
        """What each of the wanted columns adds to the raw score."""
        self._wired.check(columns)
        return self._linear.contributions(finite(matrix), self._linear.columns, rows, wanted)


def linear_over(wired: Wired, learned: LinearWeights) -> LinearRanker:
    """The linear order of these weights, over the columns that its inputs are wired to."""
    weights, unbounded = dict[str, float](), dict[int, bool]()
    for place, weight, large in zip(
        wired.places.tolist(), learned.weight.tolist(), learned.unbounded.tolist(), strict=True
    ):
        if place >= 0:
            weights[wired.columns[place].name], unbounded[place] = weight, bool(large)
    return LinearRanker(
        [Column(one.name, unbounded.get(place, False)) for place, one in enumerate(wired.columns)], weights
    )


def finite(matrix: Matrix) -> Matrix:
    """Infinities are absent; the matrix itself where it has none."""
    return np.where(np.isinf(matrix), np.float32(np.nan), matrix) if np.isinf(matrix).any() else matrix


class Fitted(NamedTuple):
    """What was learned, and how."""

    weights: LinearWeights
    penalty: float


def fit(
    earlier: Dataset, later: Dataset, built_in: Mapping[str, float], progress: Callable[[float], None]
) -> Fitted:
    """The weights of all columns, learned from the earlier lists, as many of the newest as `_newest` lets in; which
    penalty is chosen on the later ones. `RequestRejected` if no list of either has a reward."""
    names = earlier.columns
    unbounded: Bytes = np.array([name in earlier.unbounded for name in names], np.uint8)
    base: Reals = np.array([built_in.get(name, 0.0) for name in names], np.float64)
    learned, measured = _Lists(_newest(earlier), unbounded), _Lists(_newest(later), unbounded)
    deviation = learned.deviation()
    free = (deviation > 0.0) & np.array([not name.startswith(_KEPT_AS_BUILT_IN) for name in names])
    scale = np.where(free, 1.0 / np.where(deviation > 0.0, deviation, 1.0), 0.0)
    moved = np.zeros(len(names))
    best: tuple[float, Reals, float] | None = None
    for number, penalty in enumerate(PENALTIES):
        moved = _moved(learned, base, scale, penalty, moved)
        weights = base + scale * moved
        figure = mean(ndcg(measured.labels, measured.scores(weights), measured.groups, k=_CHOSEN_AT))
        if best is None or figure > best[0]:
            best = (figure, weights, penalty)
        progress((number + 1) / len(PENALTIES))
    assert best is not None
    return Fitted(LinearWeights(best[1], unbounded), best[2])


class _Lists:
    """The terms of lists that somebody chose of, each less its mean over the list; what is absent is 0."""

    def __init__(self, part: Dataset, unbounded: Bytes) -> None:
        self.groups, self.labels, self._width = part.groups, part.labels, len(part.columns)
        self.terms: Matrix = np.empty(part.matrix.shape, np.float32)
        for first, last in self._blocks():
            rows = slice(int(self.groups[first]), int(self.groups[last]))
            self.terms[rows] = _centred(part.matrix[rows], self.groups[first : last + 1] - rows.start, unbounded)
        rewards = part.labels * part.weights
        sums = np.add.reduceat(rewards, self.groups[:-1])
        self.counted = sums > 0.0
        self.count = int(self.counted.sum())
        if not self.count:
            raise RequestRejected("no_examples", "there is no list with a reward to learn weights from")
        self._targets = rewards / np.repeat(np.where(self.counted, sums, 1.0), np.diff(self.groups))

    def deviation(self) -> Reals:
        """Of each term within the lists."""
        squares: Reals = np.zeros(self._width)
        for rows, _, _ in self._parts():
            squares += np.square(self.terms[rows], dtype=np.float64).sum(axis=0)
        return np.sqrt(squares / len(self.terms))

    def scores(self, weights: Reals) -> Reals:
        """Of all rows."""
        scores = np.empty(len(self.terms))
        for rows, _, _ in self._parts():
            scores[rows] = self.terms[rows].astype(np.float64) @ weights
        return scores

    def loss(self, scores: Reals) -> float:
        """Less the mean log-likelihood of what was chosen."""
        starts = self.groups[:-1]
        highest = np.maximum.reduceat(scores, starts)
        over = np.exp(scores - np.repeat(highest, np.diff(self.groups)))
        total = highest + np.log(np.add.reduceat(over, starts)) - np.add.reduceat(self._targets * scores, starts)
        return float(total[self.counted].sum()) / self.count

    def slopes(self, scores: Reals, scale: Reals) -> tuple[Reals, Reals]:
        """Gradient and curvature of the loss by terms times `scale`."""
        width = len(scale)
        gradient, curvature = np.zeros(width), np.zeros((width, width))
        for rows, groups, counted in self._parts():
            terms = self.terms[rows].astype(np.float64) * scale
            sizes, starts, one = np.diff(groups), groups[:-1], scores[rows]
            over = np.exp(one - np.repeat(np.maximum.reduceat(one, starts), sizes))
            chance = over * np.repeat(counted / np.add.reduceat(over, starts), sizes)
            gradient += terms.T @ (chance - self._targets[rows])
            weighted = terms * chance[:, None]
            means = np.add.reduceat(weighted, starts, axis=0)
            curvature += terms.T @ weighted - means.T @ means
        return gradient / self.count, curvature / self.count

    def _blocks(self) -> Iterator[tuple[int, int]]:
        first = 0
        while first < len(self.groups) - 1:
            last = int(np.searchsorted(self.groups, self.groups[first] + _BLOCK_ROWS, side="right")) - 1
            last = max(last, first + 1)
            yield first, last
            first = last

    def _parts(self) -> Iterator[tuple[slice, Ints, Reals]]:
        """Rows, where their lists begin, and 1 for each list that counts."""
        for first, last in self._blocks():
            rows = slice(int(self.groups[first]), int(self.groups[last]))
            with_reward = self.counted[first:last].astype(np.float64)
            yield rows, self.groups[first : last + 1] - rows.start, with_reward


def _moved(lists: _Lists, base: Reals, scale: Reals, penalty: float, start: Reals) -> Reals:
    """By how much each weight is moved from the built-in one, in deviations, by Newton's method."""
    found = start
    scores = lists.scores(base + scale * found)
    loss = lists.loss(scores) + 0.5 * penalty * float(found @ found)
    for _ in range(_STEPS_MAX):
        gradient, curvature = lists.slopes(scores, scale)
        step = np.linalg.solve(curvature + penalty * np.eye(len(found)), -(gradient + penalty * found))
        for halved in range(_HALVINGS_MAX):
            tried = found + step / 2.0**halved
            scores = lists.scores(base + scale * tried)
            tried_loss = lists.loss(scores) + 0.5 * penalty * float(tried @ tried)
            if tried_loss <= loss:
                break
        else:
            return found
        gained = loss - tried_loss
        found, loss = tried, tried_loss
        if gained <= _SAME * abs(loss):
            break
    return found


def _newest(part: Dataset) -> Dataset:
    """As many of the newest lists as have `CONDITIONAL_LOGIT_VALUES_MAX` values together, one at least."""
    rows_max = CONDITIONAL_LOGIT_VALUES_MAX // len(part.columns)
    first = int(np.searchsorted(part.groups, part.groups[-1] - rows_max))
    return part.part(min(first, len(part) - 1), len(part))


def _centred(matrix: Matrix, groups: Ints, unbounded: Bytes) -> Reals:
    """Terms as `LinearRanker` has them, less their mean over the list where they are there, and 0 where they are not.

    >>> rows = np.array([[1.0], [3.0], [np.nan]], np.float32)
    >>> _centred(rows, np.array([0, 3]), np.zeros(1, np.uint8)).ravel().tolist()
    [-1.0, 1.0, 0.0]
    """
    terms = matrix.astype(np.float64)
    terms[~np.isfinite(terms)] = np.nan
    apart = unbounded != 0
    terms[:, apart] = np.sign(terms[:, apart]) * np.log1p(np.abs(terms[:, apart]))
    there = ~np.isnan(terms)
    counts = np.add.reduceat(there.astype(np.float64), groups[:-1], axis=0)
    means = np.add.reduceat(np.where(there, terms, 0.0), groups[:-1], axis=0) / np.maximum(counts, 1.0)
    centred: Reals = np.where(there, terms - np.repeat(means, np.diff(groups), axis=0), 0.0)
    return centred

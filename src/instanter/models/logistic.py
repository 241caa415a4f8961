"""Logistic regression with a penalty on large weights: a small model that can be read, and says probabilities.

Inputs are standardised; unbounded ones come in as sign(x) log(1 + |x|), and what is missing, or not finite, is the
mean and adds nothing.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Final

import numpy as np

from ..features.assemble import Column, Matrix
from ..foundation.errors import Broken, RequestRejected
from ..state.compiled import Bytes, Ints, Reals, kernel
from .artefact import Artefact, encode, identify
from .base import EVERY_COLUMN, EVERY_ROW, Chosen
from .bodies import Weights
from .calibration import log_odds, probabilities
from .dataset import TrainingRows
from .inputs import input_of, wire

_BLOCK_ROWS: Final = 8_192
_STEPS_MAX: Final = 50
_SAME: Final = 1e-12
"""Of the loss: what rounding may make of it. Newton's step that gains no more was the last one."""
_HALVINGS_MAX: Final = 30
_RIDGE: Final = 1e-9
"""So that there is a step also where inputs say the same and nothing is penalised."""
_DEVIATION_LEAST: Final = 1e-9
"""Of the mean; an input that differs by less is taken for a constant."""


class LogisticRanker:
    """A trained logistic model over the columns of one assembler."""

    def __init__(self, columns: Sequence[Column], artefact: Artefact, version: str = "") -> None:
        """`version` is the model's id, worked out here if not given. `Broken` for a model of another kind."""
        weights = artefact.model()
        if not isinstance(weights, Weights):
            raise Broken(f"a {artefact.kind} model has no weights")
        self.name: str = artefact.kind
        self.version = version or identify(encode(artefact))
        self._wired = wire(columns, artefact)
        self.columns, self.missing = self._wired.columns, self._wired.missing
        self._calibration = artefact.calibration
        self.gives_probabilities = True
        self._weights = weights

    def raw_scores(self, matrix: Matrix, columns: Sequence[Column]) -> Reals:
        """The log-odds of a reward, before any calibration."""
        self._wired.check(columns)
        weights, scores = self._weights, np.empty(len(matrix))
        _score(
            matrix, self._wired.places, weights.intercept, weights.weight, weights.mean, weights.deviation,
            weights.unbounded, scores,
        )  # fmt: skip
        return scores

    def score(self, matrix: Matrix, columns: Sequence[Column]) -> Reals:
        """The log-odds of a reward."""
        scores = self.raw_scores(matrix, columns)
        return scores if self._calibration is None else log_odds(self._calibration, scores)

    def contributions(
        self, matrix: Matrix, columns: Sequence[Column], rows: Chosen = EVERY_ROW, wanted: Chosen = EVERY_COLUMN
    ) -> Reals:
        """What each of the wanted columns adds to the raw score."""
        self._wired.check(columns)
        chosen, weights = matrix[rows], self._weights
        added = np.zeros(chosen.shape)
        _contribute(
            chosen, self._wired.places, weights.weight, weights.mean, weights.deviation, weights.unbounded, added
        )
        return np.ascontiguousarray(added[:, wanted])


def fit(
    rows: TrainingRows, unbounded: Bytes, outcomes: Reals, weights: Reals, *, l2: float,
    progress: Callable[[float], None] = lambda share: None,
) -> Weights:  # fmt: skip
    """The weights that make the outcomes (0 or 1) likeliest, by Newton's method, with `l2` / 2 times the sum of their
    squares as penalty. Beside the rows it takes memory for two blocks of them and some numbers a row.

    `RequestRejected` if the outcomes are all alike.
    """
    rewarded, total = float(weights @ outcomes), float(weights.sum())
    if not 0.0 < rewarded < total:
        raise RequestRejected("no_examples", "a logistic model needs rows with a reward and rows without one")
    mean, deviation = _moments(rows, unbounded, weights)
    found = np.zeros(rows.columns + 1)
    found[-1] = math.log(rewarded / (total - rewarded))
    basis = _Basis(rows, unbounded, mean, deviation)
    odds = basis.odds(found)
    loss = _loss(odds, outcomes, weights, found, l2)
    for number in range(_STEPS_MAX):
        step = basis.step(found, odds, outcomes, weights, l2)
        for halved in range(_HALVINGS_MAX):
            tried = found + step / 2.0**halved
            odds = basis.odds(tried)
            tried_loss = _loss(odds, outcomes, weights, tried, l2)
            if tried_loss <= loss + _SAME * abs(loss):
                break
        gained = loss - tried_loss
        found, loss = tried, tried_loss
        progress((number + 1) / _STEPS_MAX)
        if gained <= _SAME * abs(loss):
            break
    return Weights(float(found[-1]), found[:-1], mean, deviation, unbounded)


class _Basis:
    """The standardised inputs and a column of ones, a block at a time."""

    def __init__(self, rows: TrainingRows, unbounded: Bytes, mean: Reals, deviation: Reals) -> None:
        self._rows = rows
        self._scale = (unbounded, mean, deviation)
        self._standard = np.ones((min(len(rows), _BLOCK_ROWS), rows.columns + 1))

    def _block(self, first: int) -> Reals:
        rows = self._rows.block(first, first + _BLOCK_ROWS)
        _standardise(rows, *self._scale, self._standard)
        return self._standard[: len(rows)]

    def odds(self, found: Reals) -> Reals:
        rows = len(self._rows)
        odds = np.empty(rows)
        for first in range(0, rows, _BLOCK_ROWS):
            odds[first : first + _BLOCK_ROWS] = self._block(first) @ found
        return odds

    def step(self, found: Reals, odds: Reals, outcomes: Reals, weights: Reals, l2: float) -> Reals:
        """Newton's step from `found`."""
        penalty = np.full(len(found), l2)
        penalty[-1] = 0.0
        gradient: Reals = -penalty * found
        curvature: Reals = np.diag(penalty + _RIDGE)
        for first in range(0, len(odds), _BLOCK_ROWS):
            last = first + _BLOCK_ROWS
            block, chance = self._block(first), probabilities(odds[first:last])
            off = weights[first:last] * (outcomes[first:last] - chance)
            np.add(gradient, block.T @ off, out=gradient)
            bend = weights[first:last] * chance * (1.0 - chance)
            np.add(curvature, block.T @ (bend[:, None] * block), out=curvature)
        return np.linalg.solve(curvature, gradient).astype(np.float64, copy=False)


def _loss(odds: Reals, outcomes: Reals, weights: Reals, found: Reals, l2: float) -> float:
    return float(weights @ (np.logaddexp(0.0, odds) - outcomes * odds)) + 0.5 * l2 * float(found[:-1] @ found[:-1])


def _moments(rows: TrainingRows, unbounded: Bytes, weights: Reals) -> tuple[Reals, Reals]:
    """Mean and deviation of each input where it is there; 0 and 1 where it never is or never differs."""
    mass, mean, squares = np.zeros((3, rows.columns))
    for first in range(0, len(rows), _BLOCK_ROWS):
        last = first + _BLOCK_ROWS
        _measure(rows.block(first, last), unbounded, weights[first:last], mass, mean, squares)
    deviation = np.sqrt(squares / np.where(mass > 0.0, mass, 1.0))
    return mean, np.where(deviation > _DEVIATION_LEAST * (1.0 + np.abs(mean)), deviation, 1.0)


@kernel
def _term(value: float, unbounded: int) -> float:
    """The input on its scale; not a number for one that is missing."""
    if not abs(value) < np.inf:
        return np.nan
    if unbounded:
        return math.log(1.0 + value) if value >= 0.0 else -math.log(1.0 - value)
    return value


@kernel
def _measure(matrix: Matrix, unbounded: Bytes, weights: Reals, mass: Reals, mean: Reals, squares: Reals) -> None:
    """Welford's way, which does not lose digits."""
    for row in range(len(matrix)):
        for i in range(len(mean)):
            value = _term(float(matrix[row, i]), unbounded[i])
            if value == value and weights[row] > 0.0:
                mass[i] += weights[row]
                off = value - mean[i]
                mean[i] += off * (weights[row] / mass[i])
                squares[i] += weights[row] * off * (value - mean[i])


@kernel
def _standardise(matrix: Matrix, unbounded: Bytes, mean: Reals, deviation: Reals, block: Reals) -> None:
    for row in range(len(matrix)):
        for i in range(len(mean)):
            value = _term(float(matrix[row, i]), unbounded[i])
            block[row, i] = (value - mean[i]) / deviation[i] if value == value else 0.0


@kernel
def _added(value: float, weight: float, mean: float, deviation: float, unbounded: int) -> float:
    term = _term(value, unbounded)
    return weight * ((term - mean) / deviation) if term == term else 0.0


@kernel
def _score(
    matrix: Matrix, places: Ints, intercept: float, weight: Reals, mean: Reals, deviation: Reals, unbounded: Bytes,
    scores: Reals,
) -> None:  # fmt: skip
    for row in range(len(matrix)):
        total = intercept
        for i in range(len(places)):
            value = input_of(matrix, row, places[i])
            total += _added(value, weight[i], mean[i], deviation[i], unbounded[i])
        scores[row] = total


@kernel
def _contribute(
    matrix: Matrix, places: Ints, weight: Reals, mean: Reals, deviation: Reals, unbounded: Bytes, added: Reals
) -> None:
    for row in range(len(matrix)):
        for i in range(len(places)):
            if places[i] >= 0:
                value = input_of(matrix, row, places[i])
                added[row, places[i]] = _added(value, weight[i], mean[i], deviation[i], unbounded[i])

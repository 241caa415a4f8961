"""From scores to probabilities: isotonic regression or Platt scaling, fitted on examples that came later.

Scores of a ranker put items in order; what they are worth is learned here. Both ways give a `Calibration` that rises
strictly, so a calibrated ranker orders as before, and that gives log-odds, so that the logistic function of a score
is the probability of a reward.
"""

from __future__ import annotations

import math
from typing import Final, Literal

import numpy as np

from ..foundation.limits import CALIBRATION_KNOTS_MAX
from ..state.compiled import Reals, kernel
from .artefact import Calibration

_STEPS_MAX: Final = 100
_STEP_LEAST: Final = 1e-10
_SLOPE_LEAST: Final = 1e-6
"""Of scores that say nothing, or the contrary, about rewards."""
_TAIL_SLOPE: Final = 1e-3
"""Beyond the outer knots of an isotonic calibration: keeps the order and changes nothing that can be seen."""
_BINS: Final = 15


def fit(kind: Literal["isotonic", "platt"], scores: Reals, labels: Reals, weights: Reals) -> Calibration:
    """Learn how often a score is followed by a reward. A label above 0 is a reward; weights are >= 0, not all 0."""
    outcomes = (labels > 0.0).astype(np.float64)
    return fit_platt(scores, outcomes, weights) if kind == "platt" else fit_isotonic(scores, outcomes, weights)


def fit_platt(scores: Reals, outcomes: Reals, weights: Reals) -> Calibration:
    """A logistic curve with two parameters, by Newton's method. Outcomes are drawn a little to the middle, as Platt
    (1999) does, so that scores which tell all apart do not end in certainty.

    >>> scores = np.array([-2.0, -1.0, 1.0, 2.0] * 50)
    >>> found = fit_platt(scores, (scores > 0.0).astype(float), np.ones(200))
    >>> 0.97 < probabilities(log_odds(found, np.array([2.0]))).tolist()[0] < 1.0
    True
    """
    rewarded, total = float(weights @ outcomes), float(weights.sum())
    high, low = (rewarded + 1.0) / (rewarded + 2.0), 1.0 / (total - rewarded + 2.0)
    targets = outcomes * high + (1.0 - outcomes) * low
    middle = float(weights @ scores) / total
    spread = math.sqrt(float(weights @ (scores - middle) ** 2) / total) or 1.0
    standard = (scores - middle) / spread
    slope, intercept = _newton(standard, targets, weights)
    if not slope / spread > _SLOPE_LEAST:
        mean = float(weights @ targets) / total
        slope, intercept = _SLOPE_LEAST * spread, math.log(mean / (1.0 - mean))
    return Calibration("platt", (middle,), (intercept,), slope / spread)


def _newton(scores: Reals, targets: Reals, weights: Reals) -> tuple[float, float]:
    slope, intercept = 0.0, 0.0
    loss = _loss(scores * slope + intercept, targets, weights)
    for _ in range(_STEPS_MAX):
        chance = probabilities(scores * slope + intercept)
        off, bend = weights * (targets - chance), weights * chance * (1.0 - chance)
        gradient = np.array([off @ scores, off.sum()])
        cross = bend @ scores
        curvature = np.array([[bend @ (scores * scores) + 1e-9, cross], [cross, bend.sum() + 1e-9]])
        step, scale = np.linalg.solve(curvature, gradient), 1.0
        while scale > _STEP_LEAST:
            tried = _loss(scores * (slope + scale * step[0]) + intercept + scale * step[1], targets, weights)
            if tried <= loss:
                break
            scale /= 2.0
        slope, intercept, loss = slope + scale * step[0], intercept + scale * step[1], tried
        if scale * float(np.abs(step).max()) < _STEP_LEAST:
            break
    return float(slope), float(intercept)


def _loss(odds: Reals, targets: Reals, weights: Reals) -> float:
    return float(weights @ (np.logaddexp(0.0, odds) - targets * odds))


def fit_isotonic(scores: Reals, outcomes: Reals, weights: Reals) -> Calibration:
    """The rising steps that lie closest to the outcomes, by pooling adjacent violators, with lines from the middle of
    one step to that of the next.

    >>> found = fit_isotonic(np.array([0.0, 1.0, 2.0, 3.0]), np.array([0.0, 1.0, 0.0, 1.0]), np.ones(4))
    >>> found.scores, [round(p, 3) for p in probabilities(np.array(found.log_odds)).tolist()]
    ((0.0, 1.5, 3.0), [0.1, 0.5, 0.9])
    """
    counted = weights > 0.0
    places, means, masses = _grouped(scores[counted], outcomes[counted], weights[counted])
    blocks: list[tuple[float, float, float]] = []
    for place, mean, mass in zip(places.tolist(), means.tolist(), masses.tolist(), strict=True):
        block = (place, mean, mass)
        while blocks and blocks[-1][1] >= block[1]:
            block = _joined(blocks.pop(), block)
        blocks.append(block)
    least = 0.5 / (float(masses.sum()) + 1.0)
    knots: list[tuple[float, float]] = []
    for place, mean, _ in blocks:
        chance = min(max(mean, least), 1.0 - least)
        odds = math.log(chance / (1.0 - chance))
        if not knots or (odds > knots[-1][1] and place > knots[-1][0]):
            knots.append((place, odds))
    return Calibration("isotonic", tuple(knot[0] for knot in knots), tuple(knot[1] for knot in knots), _TAIL_SLOPE)


def _grouped(scores: Reals, outcomes: Reals, weights: Reals) -> tuple[Reals, Reals, Reals]:
    """At most `CALIBRATION_KNOTS_MAX` groups of neighbouring scores: mean score, mean outcome, weight. Equal scores
    are in one group."""
    order = np.argsort(scores, kind="stable")
    ordered, weighed = scores[order], weights[order]
    before = np.cumsum(weighed) - weighed
    group = np.floor(before / weighed.sum() * CALIBRATION_KNOTS_MAX)
    first = np.concatenate([[True], ordered[1:] != ordered[:-1]])
    of_score = np.cumsum(first) - 1
    group = group[first][of_score]
    starts = np.flatnonzero(np.concatenate([[True], group[1:] != group[:-1]]))
    masses = np.add.reduceat(weighed, starts)
    places = np.add.reduceat(weighed * ordered, starts) / masses
    return places, np.add.reduceat(weighed * outcomes[order], starts) / masses, masses


def _joined(left: tuple[float, float, float], right: tuple[float, float, float]) -> tuple[float, float, float]:
    mass = left[2] + right[2]
    return (
        (left[0] * left[2] + right[0] * right[2]) / mass, (left[1] * left[2] + right[1] * right[2]) / mass, mass
    )  # fmt: skip


def log_odds(calibration: Calibration, scores: Reals) -> Reals:
    """What the scores are worth.

    >>> log_odds(Calibration("platt", (0.0,), (1.0,), 2.0), np.array([-1.0, 0.0, 3.0])).tolist()
    [-1.0, 1.0, 7.0]
    """
    odds = np.empty(len(scores))
    _calibrate(np.array(calibration.scores), np.array(calibration.log_odds), calibration.slope, scores, odds)
    return odds


@kernel
def _calibrate(knots: Reals, values: Reals, slope: float, scores: Reals, odds: Reals) -> None:
    last = len(knots) - 1
    for i in range(len(scores)):
        score = scores[i]
        if score <= knots[0]:
            odds[i] = values[0] + (score - knots[0]) * slope
        elif score >= knots[last]:
            odds[i] = values[last] + (score - knots[last]) * slope
        else:
            low, high = 0, last
            while high - low > 1:
                middle = (low + high) // 2
                if score < knots[middle]:
                    high = middle
                else:
                    low = middle
            share = (score - knots[low]) / (knots[high] - knots[low])
            odds[i] = values[low] + share * (values[high] - values[low])


def probabilities(odds: Reals) -> Reals:
    """The logistic function.

    >>> probabilities(np.array([0.0, -1e9, 1e9])).tolist()
    [0.5, 0.0, 1.0]
    """
    chance = np.empty(len(odds))
    _logistic(odds, chance)
    return chance


@kernel
def _logistic(odds: Reals, chance: Reals) -> None:
    for i in range(len(odds)):
        least = math.exp(-min(abs(odds[i]), 800.0))
        chance[i] = 1.0 / (1.0 + least) if odds[i] >= 0.0 else least / (1.0 + least)


def calibration_error(chance: Reals, labels: Reals, weights: Reals, *, bins: int = _BINS) -> float:
    """Expected calibration error: how far, on average, a stated probability is from how often a reward followed. Over
    bins of equal weight along the stated probability.

    >>> calibration_error(np.array([0.2, 0.2, 0.2, 0.2, 0.2]), np.array([0, 0, 1.0, 0, 0]), np.ones(5))
    0.0
    >>> calibration_error(np.array([0.9, 0.1]), np.array([0.0, 1.0]), np.ones(2))
    0.9
    """
    order = np.argsort(chance, kind="stable")
    weighed = weights[order]
    total = float(weighed.sum())
    group = np.minimum((np.cumsum(weighed) - weighed) / total * bins, bins - 1).astype(np.int64)
    first = np.concatenate([[True], chance[order][1:] != chance[order][:-1]])
    group = group[first][np.cumsum(first) - 1]
    off = weighed * (chance[order] - (labels[order] > 0.0))
    return float(np.abs(np.bincount(group, off)).sum()) / total

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from instanter.foundation.limits import CALIBRATION_KNOTS_MAX
from instanter.models.artefact import Calibration
from instanter.models.calibration import calibration_error, fit, log_odds, probabilities

KINDS = ("isotonic", "platt")


def outcomes_of(scores: np.ndarray, *, seed: int = 1) -> np.ndarray:
    """Rewards whose log-odds are twice the score less one."""
    rng = np.random.default_rng(seed)
    return (rng.random(len(scores)) < 1.0 / (1.0 + np.exp(1.0 - 2.0 * scores))).astype(np.float64)


def plain_isotonic(outcomes: list[float], weights: list[float]) -> list[float]:
    """By its formula: the largest of the least means that end there."""
    count = len(outcomes)

    def mean(first: int, last: int) -> float:
        pairs = list(zip(outcomes, weights, strict=True))[first : last + 1]
        return sum(outcome * weight for outcome, weight in pairs) / sum(weight for _, weight in pairs)

    return [max(min(mean(first, last) for last in range(i, count)) for first in range(i + 1)) for i in range(count)]


@pytest.mark.parametrize("kind", KINDS)
def test_probabilities_come_out_as_often_as_they_say(kind) -> None:
    scores = np.random.default_rng(3).normal(size=20_000)
    found = fit(kind, scores[:10_000], outcomes_of(scores)[:10_000] * 7.0, np.ones(10_000))
    chance = probabilities(log_odds(found, scores[10_000:]))
    later = outcomes_of(scores)[10_000:]
    assert calibration_error(chance, later, np.ones(10_000)) < 0.03
    assert calibration_error(probabilities(scores[10_000:]), later, np.ones(10_000)) > 0.1


def test_platt_finds_the_line_behind_the_rewards() -> None:
    scores = np.random.default_rng(4).normal(size=100_000)
    found = fit("platt", scores, outcomes_of(scores), np.ones(len(scores)))
    assert log_odds(found, np.array([0.0, 1.0])).tolist() == pytest.approx([-1.0, 1.0], abs=0.06)


@settings(max_examples=60)
@given(st.lists(st.tuples(st.integers(0, 1), st.integers(1, 4)), min_size=2, max_size=14))
def test_isotonic_means_are_those_of_the_formula(examples: list[tuple[int, int]]) -> None:
    outcomes, weights = [float(one[0]) for one in examples], [float(one[1]) for one in examples]
    found = fit("isotonic", np.arange(len(examples), dtype=np.float64), np.array(outcomes), np.array(weights))
    known = plain_isotonic(outcomes, weights)
    least = 0.5 / (sum(weights) + 1.0)
    levels = probabilities(np.array(found.log_odds)).tolist()
    assert levels == pytest.approx(sorted({min(max(round(one, 12), least), 1.0 - least) for one in known}), abs=1e-9)


@settings(max_examples=60)
@given(
    st.sampled_from(KINDS),
    st.lists(st.tuples(st.integers(-50, 50), st.integers(0, 1), st.integers(0, 3)), min_size=1, max_size=40),
)
def test_a_calibration_keeps_the_order_of_scores(kind, examples: list[tuple[int, int, int]]) -> None:
    scores, labels, weights = (np.array(part, np.float64) for part in zip(*examples, strict=True))
    weights[0] += 1.0
    odds = log_odds(fit(kind, scores, labels, weights), np.linspace(-60.0, 60.0, 500))
    assert np.isfinite(odds).all()
    assert (np.diff(odds) > 0.0).all()


def test_scores_that_mean_the_contrary_are_all_worth_about_the_mean() -> None:
    scores = np.random.default_rng(5).normal(size=1_000)
    found = fit("platt", scores, 1.0 - outcomes_of(scores), np.ones(1_000))
    chance = probabilities(log_odds(found, np.array([-2.0, 2.0])))
    assert 0.0 < chance[1] - chance[0] < 1e-5
    assert chance[0] == pytest.approx((1.0 - outcomes_of(scores)).mean(), abs=0.01)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("label", [0.0, 1.0])
def test_rewards_that_are_all_alike_end_short_of_certainty(kind, label: float) -> None:
    scores = np.linspace(-1.0, 1.0, 50)
    chance = probabilities(log_odds(fit(kind, scores, np.full(50, label), np.ones(50)), scores))
    assert (np.abs(chance - label) < 0.05).all()
    assert ((chance > 0.0) & (chance < 1.0)).all()


def test_many_different_scores_make_a_bounded_number_of_knots() -> None:
    scores = np.random.default_rng(6).normal(size=200_000)
    found = fit("isotonic", scores, (scores > np.random.default_rng(7).normal(size=200_000)) * 1.0, np.ones(200_000))
    assert 20 < len(found.scores) <= CALIBRATION_KNOTS_MAX


def test_between_knots_the_line_is_straight() -> None:
    found = log_odds(Calibration("isotonic", (0.0, 1.0, 3.0), (-1.0, 0.0, 4.0), 0.5), np.arange(-2.0, 6.0))
    assert found.tolist() == [-2.0, -1.5, -1.0, 0.0, 2.0, 4.0, 4.5, 5.0]


def test_the_calibration_error_is_the_mean_distance_of_bins() -> None:
    chance = np.array([0.1] * 10 + [0.6] * 10)
    labels = np.array([1.0] + [0.0] * 9 + [2.0] * 9 + [0.0])
    assert calibration_error(chance, labels, np.ones(20), bins=2) == pytest.approx(0.5 * 0.0 + 0.5 * 0.3)
    heavier = np.array([1.0] * 10 + [3.0] * 10)
    assert calibration_error(chance, labels, heavier, bins=2) == pytest.approx(0.75 * 0.3)


def test_probabilities_are_the_logistic_function_at_every_size() -> None:
    odds = np.array([-800.0, -1.0, 0.0, 2.0, 40.0])
    assert probabilities(odds).tolist() == pytest.approx([math.exp(-800.0), *(1 / (1 + np.exp(-odds[1:])))], rel=1e-12)

"""The online learner: begins as the ranker alone, learns what people choose, stays within its bounds."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from instanter.features.assemble import Column
from instanter.foundation.errors import ConfigRejected
from instanter.foundation.rng import KeyedRng
from instanter.models.linear import LinearRanker
from instanter.models.online import Learned, Learner, LessonInputs, Taught

COLUMNS = (Column("item.price", unbounded=True), Column("cross.tops"), Column("position"))
RANKER = LinearRanker(COLUMNS, {"position": 1.0})
ROWS = st.lists(st.lists(st.floats(-1e6, 1e6, width=32), min_size=3, max_size=3), min_size=2, max_size=6)


def matrix_of(*rows: tuple[float, float, float]) -> np.ndarray:
    return np.array(rows, np.float32)


def test_without_a_lesson_it_is_the_ranker_bit_for_bit() -> None:
    matrix = matrix_of((10.0, 0.3, 1 / 3), (math.nan, 0.1, 1 / 7), (0.0, 0.0, 0.0))
    inputs = LessonInputs(COLUMNS, ("item.price", "cross.tops"))
    learner = Learner(inputs=2)
    taught = Taught(RANKER, inputs, learner.learned)
    assert taught.score(matrix, COLUMNS).tobytes() == RANKER.score(matrix, COLUMNS).tobytes()
    assert (taught.name, taught.version) == (RANKER.name, RANKER.version)


def test_inputs_are_read_as_the_linear_ranker_reads_them() -> None:
    inputs = LessonInputs(COLUMNS, ("cross.tops", "item.price"))
    matrix = matrix_of((math.e - 1.0, 0.5, 1.0), (math.nan, 0.25, 0.0), (1.0 - math.e, math.inf, 0.0))
    rows = inputs.rows(matrix, np.array([2.0, -1e300, 1e300]))
    assert rows.tolist() == pytest.approx(np.array([[2.0, 0.5, 1.0], [-1e6, 0.25, 0.0], [1e6, 0.0, -1.0]]))


def test_contributions_add_up_to_the_scores() -> None:
    inputs = LessonInputs(COLUMNS, ("item.price", "cross.tops"))
    taught = Taught(RANKER, inputs, Learned(np.array([0.5, 0.25, -2.0]), 7))
    matrix = matrix_of((10.0, 0.3, 0.5), (20.0, 0.1, 1.0))
    assert taught.contributions(matrix, COLUMNS).sum(axis=1) == pytest.approx(taught.score(matrix, COLUMNS))


def test_an_input_that_there_is_not_and_one_named_twice_are_refused() -> None:
    with pytest.raises(ConfigRejected, match=r'no input "cross\.top"') as refused:
        LessonInputs(COLUMNS, ("cross.top",))
    assert "cross.tops" in str(refused.value.suggestion)
    with pytest.raises(ConfigRejected, match="twice"):
        LessonInputs(COLUMNS, ("position", "position"))


def test_it_learns_what_people_choose_and_publishes_it_when_told() -> None:
    rng, learner = KeyedRng("tastes"), Learner(inputs=2)
    before = learner.learned
    for _ in range(300):
        rows = np.array([[0.0, rng.uniform(), rng.uniform()] for _ in range(5)], np.float32)
        chosen = int(np.argmax(rows[:, 1] - 0.5 * rows[:, 2]))
        others = [place for place in range(min(chosen + 2, 5)) if place != chosen]
        learner.learn(rows, chosen, worth=1.0, passed_over=others, step=0.1, weight_max=5.0)
    assert learner.learned is before
    learner.publish()
    weights = learner.learned.weights
    assert learner.learned.lessons == 300
    assert weights[1] > 0.5
    assert weights[2] < -0.2


@settings(deadline=None)
@given(rows=ROWS, chosen=st.integers(0, 5), worth=st.floats(0.01, 1_000), weight_max=st.floats(0.1, 100))
def test_weights_are_finite_and_within_their_bounds_whatever_happens(
    rows: list[list[float]], chosen: int, worth: float, weight_max: float
) -> None:
    matrix, learner = np.array(rows, np.float32), Learner(inputs=2)
    chosen %= len(rows)
    for _ in range(5):
        learner.learn(
            matrix, chosen, worth=worth, passed_over=[one for one in range(len(rows)) if one != chosen], step=1.0,
            weight_max=weight_max,
        )  # fmt: skip
    assert np.isfinite(learner.weights).all()
    assert 0.0 <= learner.weights[0] <= 1.0 + weight_max
    assert (np.abs(learner.weights[1:]) <= weight_max).all()


def test_the_compiled_step_is_the_plain_one() -> None:
    rng = KeyedRng("steps")
    rows = np.array([[rng.uniform() * 10 - 5 for _ in range(4)] for _ in range(6)], np.float32)
    learner = Learner(inputs=3)
    plain_weights, plain_squares = [1.0, 0.0, 0.0, 0.0], [0.0] * 4
    for chosen, others in ((2, [0, 1, 3]), (4, [0, 1, 5]), (0, [1])):
        learner.learn(rows, chosen, worth=3.0, passed_over=others, step=0.2, weight_max=0.5)
        for other in others:
            ahead = [float(rows[chosen, i]) - float(rows[other, i]) for i in range(4)]
            margin = sum(weight * step for weight, step in zip(plain_weights, ahead, strict=True))
            for i in range(4):
                slope = 3.0 / len(others) / (1.0 + math.exp(margin)) * ahead[i]
                plain_squares[i] += slope * slope
                moved = plain_weights[i] + 0.2 * slope / math.sqrt(plain_squares[i])
                plain_weights[i] = min(max(moved, -0.5), 0.5) if i else min(max(moved, 0.0), 1.5)
    assert learner.weights.tolist() == pytest.approx(plain_weights, rel=1e-12)
    assert learner.squares.tolist() == pytest.approx(plain_squares, rel=1e-12)

from __future__ import annotations

import math

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from instanter.decisions.arrange import _share_a_value, arrange
from instanter.features.assemble import Candidates
from instanter.foundation.limits import DIVERSE_PLACES_MAX


def candidates(rows: list[tuple[int, float]]) -> Candidates:
    """One text field and a price each."""
    count = len(rows)
    nothing = np.arange(count, dtype=np.int64)
    attributes = np.zeros((count, 1, 4), np.int64)
    attributes[:, 0, 0] = [kind for kind, _ in rows]
    return Candidates(nothing, nothing, nothing, attributes, np.array([[price] for _, price in rows]).reshape(count, 1))


def likeness(left: tuple[int, float], right: tuple[int, float]) -> float:
    parts = []
    if left[0] and right[0]:
        parts.append(float(left[0] == right[0]))
    if left[1] > 0 and right[1] > 0:
        parts.append(math.exp(-abs(math.log(left[1] / right[1]))))
    return sum(parts) / len(parts) if parts else 0.0


def plain(rows: list[tuple[int, float]], scores: list[float], limit: int, diversity: float) -> list[int]:
    """Maximal marginal relevance as the textbook has it."""
    low, high = min(scores), max(scores)
    relevance = [(score - low) / (high - low) if high > low else 1.0 for score in scores]
    left, chosen = sorted(range(len(rows)), key=lambda i: -scores[i]), list[int]()
    while left and len(chosen) < limit:
        best = max(left, key=lambda i: (1 - diversity) * relevance[i] - diversity * max(
            (likeness(rows[i], rows[j]) for j in chosen), default=0.0))
        chosen.append(best)
        left.remove(best)
    return chosen


Row = st.tuples(st.integers(0, 3), st.sampled_from([math.nan, 1.0, 2.0, 50.0]))


@settings(max_examples=60)
@given(st.lists(st.tuples(Row, st.sampled_from([0.0, 0.3, 0.5, 0.9])), min_size=1, max_size=20), st.integers(1, 25),
       st.sampled_from([0.25, 0.5, 1.0]))
def test_the_list_is_that_of_the_textbook(given_rows, limit: int, diversity: float) -> None:
    rows, scores = [row for row, _ in given_rows], [score for _, score in given_rows]
    order = arrange(candidates(rows), np.array(scores), limit=limit, diversity=diversity).order.tolist()
    if limit == 1:
        assert order == [int(np.argmax(scores))]
    else:
        assert order == plain(rows, scores, limit, diversity)


@given(*[st.lists(st.integers(1, 6), max_size=4, unique=True)] * 2)
def test_two_share_a_value_if_one_stands_in_both(left: list[int], right: list[int]) -> None:
    padded = [np.array([*values, *[0] * (4 - len(values))], np.int64) for values in (left, right)]
    assert _share_a_value(*padded) == bool(set(left) & set(right))


def test_without_diversity_the_score_alone_decides_and_ties_keep_their_order() -> None:
    order, gains = arrange(candidates([(1, 1.0)] * 4), np.array([1.0, 2.0, 2.0, 0.0]), limit=3, diversity=0.0)
    assert order.tolist() == [1, 2, 0]
    assert gains.tolist() == [2.0, 2.0, 1.0]


def test_diversity_brings_another_kind_up() -> None:
    rows = [(1, 1.0), (1, 1.0), (2, 60.0)]
    assert arrange(candidates(rows), np.array([1.0, 0.9, 0.5]), limit=2, diversity=0.5).order.tolist() == [0, 2]


def test_below_the_bound_the_list_goes_on_by_score() -> None:
    count = DIVERSE_PLACES_MAX * 5
    scores = np.arange(float(count))[::-1]
    rows = [(number % 3 + 1, 1.0) for number in range(count)]
    order = arrange(candidates(rows), scores, limit=200, diversity=0.3).order
    assert len(order) == len(set(order.tolist())) == 200
    tail = order[DIVERSE_PLACES_MAX:].tolist()
    assert tail == sorted(tail)


def test_nothing_is_arranged_from_nothing() -> None:
    assert len(arrange(candidates([]), np.zeros(0), limit=5, diversity=0.5).order) == 0

"""The figures of rankings against their plain definitions."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from instanter.foundation.errors import Broken
from instanter.models.evaluate import compare, interval, log_loss, mean, ndcg, reciprocal_ranks

LISTS = st.lists(
    st.lists(st.tuples(st.integers(0, 3), st.integers(-3, 3)), min_size=1, max_size=12), min_size=1, max_size=6
)


def arrays(lists: list[list[tuple[int, int]]]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    rows = [row for one in lists for row in one]
    return (
        np.array([row[0] for row in rows], np.float64), np.array([row[1] for row in rows], np.float64),
        np.concatenate([[0], np.cumsum([len(one) for one in lists])]),
    )  # fmt: skip


def plain_ndcg(rows: list[tuple[int, int]], k: int) -> float:
    def gain(labels: list[int]) -> float:
        return sum(label / math.log2(place + 2) for place, label in enumerate(labels[:k]))

    ranked = [label for label, _ in sorted(rows, key=lambda row: -row[1])]
    best = gain(sorted((label for label, _ in rows), reverse=True))
    return gain(ranked) / best if best else math.nan


def plain_reciprocal(rows: list[tuple[int, int]]) -> float:
    ranked = [label for label, _ in sorted(rows, key=lambda row: -row[1])]
    return next((1.0 / (place + 1) for place, label in enumerate(ranked) if label), math.nan)


@settings(max_examples=100)
@given(LISTS, st.integers(1, 12))
def test_figures_are_those_of_the_plain_definitions(lists: list[list[tuple[int, int]]], k: int) -> None:
    labels, scores, groups = arrays(lists)
    assert ndcg(labels, scores, groups, k=k) == pytest.approx([plain_ndcg(one, k) for one in lists], nan_ok=True)
    assert reciprocal_ranks(labels, scores, groups) == pytest.approx(
        [plain_reciprocal(one) for one in lists], nan_ok=True
    )


def test_lists_without_a_reward_are_left_out_of_the_mean() -> None:
    assert mean(np.array([0.5, math.nan, 1.0])) == 0.75
    assert math.isnan(mean(np.array([math.nan])))


def test_the_log_loss_is_the_mean_surprise() -> None:
    odds = np.array([2.0, -1.0, 0.5])
    chance = 1.0 / (1.0 + np.exp(-odds))
    surprise = -np.log([chance[0], 1.0 - chance[1], 1.0 - chance[2]])
    assert log_loss(np.array([3.0, 0.0, 0.0]), odds) == pytest.approx(surprise.mean())
    weights = np.array([1.0, 0.0, 3.0])
    assert log_loss(np.array([3.0, 0.0, 0.0]), odds, weights) == pytest.approx((surprise * weights).sum() / 4.0)
    assert math.isfinite(log_loss(np.ones(2), np.array([-1e6, 1e6])))


def test_an_interval_is_as_wide_as_the_figures_scatter() -> None:
    figures = np.random.default_rng(1).normal(0.3, 1.0, 5_000)
    found = interval(figures, seed=1)
    half = 1.96 * figures.std() / math.sqrt(len(figures))
    assert found.mean == pytest.approx(figures.mean())
    assert (found.mean - found.low, found.high - found.mean) == (
        pytest.approx(half, rel=0.08), pytest.approx(half, rel=0.08))  # fmt: skip
    assert found.lists == 5_000


def test_the_same_seed_gives_the_same_interval_and_another_one_another() -> None:
    figures = np.random.default_rng(2).normal(size=300)
    assert interval(figures, seed=7) == interval(figures, seed=7)
    assert interval(figures, seed=7).low != interval(figures, seed=8).low


def test_a_paired_comparison_sees_what_two_intervals_do_not() -> None:
    base = np.random.default_rng(3).normal(0.5, 0.3, 500)
    better = base + np.random.default_rng(4).normal(0.01, 0.02, 500)
    found = compare(better, base, seed=1)
    assert 0.0 < found.low < found.mean < found.high < 0.02
    assert interval(better).low < interval(base).high
    mirrored = compare(base, better, seed=1)
    assert (mirrored.low, mirrored.high) == pytest.approx((-found.high, -found.low))


def test_lists_that_only_one_ranking_tells_of_are_left_out() -> None:
    found = compare(np.array([1.0, math.nan, 0.5]), np.array([0.5, 0.2, math.nan]))
    assert (found.mean, found.low, found.high, found.lists) == (0.5, 0.5, 0.5, 1)
    nothing = compare(np.array([math.nan]), np.array([0.2]))
    assert math.isnan(nothing.mean)
    assert nothing.lists == 0


def test_rankings_of_other_lists_are_refused() -> None:
    with pytest.raises(Broken):
        compare(np.zeros(2), np.zeros(3))


def test_an_interval_covers_the_truth_as_often_as_it_says() -> None:
    rng = np.random.default_rng(5)
    covered = 0
    for seed in range(200):
        found = interval(rng.normal(size=200), seed=seed, resamples=400)
        covered += found.low <= 0.0 <= found.high
    assert 180 <= covered <= 199

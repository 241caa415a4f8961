"""The figures, against cases worked out by hand."""

from __future__ import annotations

import doctest
import math
import sys
from types import ModuleType

import pytest


@pytest.mark.parametrize("name", ["ranking", "runner", "ranklens", "rees46", "next_item"])
def test_the_examples_in_the_docstrings_hold(name: str, request: pytest.FixtureRequest) -> None:
    assert doctest.testmod(request.getfixturevalue(name)).failed == 0


@pytest.mark.usefixtures("next_item")
@pytest.mark.parametrize("name", ["plain", "figures"])
def test_the_examples_in_the_docstrings_of_the_plain_methods_hold(name: str) -> None:
    ran = doctest.testmod(sys.modules[name])
    assert ran.attempted
    assert not ran.failed


def test_the_best_order_scores_1_and_the_worst_of_three_half(ranking: ModuleType) -> None:
    assert ranking.ndcg(["a", "b", "c"], {"a"}) == 1.0
    assert ranking.ndcg(["a", "b", "c"], {"c"}) == 0.5


def test_two_clicks_are_measured_against_the_best_two_places(ranking: ModuleType) -> None:
    gained = 1 / math.log2(3) + 1 / math.log2(4)
    best = 1 / math.log2(2) + 1 / math.log2(3)
    assert ranking.ndcg(["x", "a", "b"], {"a", "b"}) == pytest.approx(gained / best)


def test_what_stands_below_the_tenth_place_counts_nothing(ranking: ModuleType) -> None:
    items = [str(place) for place in range(1, 25)]
    assert ranking.ndcg(items, {"11"}) == 0.0
    assert ranking.ndcg(items, {"10"}) == pytest.approx(1 / math.log2(11))


def test_more_clicks_than_ten_places_can_still_score_1(ranking: ModuleType) -> None:
    items = [str(place) for place in range(24)]
    assert ranking.ndcg(items, set(items[:12])) == pytest.approx(1.0)


def test_equal_scores_keep_the_shown_order(ranking: ModuleType) -> None:
    assert ranking.ranked_by([0.0] * 4, ["d", "a", "c", "b"]) == ["d", "a", "c", "b"]
    assert ranking.ranked_by([1.0, 3.0, 1.0, 3.0], ["d", "a", "c", "b"]) == ["a", "b", "d", "c"]


def test_a_click_rate_starts_at_the_mean_and_moves_with_each_showing(ranking: ModuleType) -> None:
    rate = ranking.ClickRate(strength=2.0)
    assert rate.of("a") == 0.0
    rate.show(["a", "b", "c", "d"])
    rate.click("a")
    mean = 1 / 4
    assert rate.of("a") == pytest.approx((1 + 2 * mean) / (1 + 2))
    assert rate.of("b") == pytest.approx((0 + 2 * mean) / (1 + 2))
    assert rate.of("new") == mean
    assert rate.rank(["b", "new", "a", "c"]) == ["a", "new", "b", "c"]


def test_nothing_measured_is_0(ranking: ModuleType) -> None:
    assert ranking.mean([]) == 0.0
    assert ranking.quantile([], 0.99) == 0.0


def test_a_quantile_is_one_of_the_values(ranking: ModuleType) -> None:
    assert ranking.quantile([float(number) for number in range(1, 101)], 0.99) == 100.0
    assert ranking.quantile([float(number) for number in range(1, 101)], 0.5) == 51.0

"""A planted bad model is stopped, a good one passes, and too few lists decide nothing."""

from __future__ import annotations

import msgspec
import numpy as np
import pytest

from instanter.foundation.rng import KeyedRng
from instanter.models.dataset import Dataset
from instanter.models.gate import LISTS_LEAST, judge
from instanter.models.plain_orders import plain_orders
from instanter.models.trained import scores_of
from instanter.models.training import TrainingOptions, train

OPTIONS = TrainingOptions(trees_max=40, leaves=4, min_data_in_leaf=10, learning_rate=0.2)


def lists(count: int, *, seed: str = "lists") -> Dataset:
    """Ten items each; the larger the first input, the likelier a click."""
    rng = KeyedRng(seed)
    matrix = np.array([[rng.uniform(), rng.uniform()] for _ in range(10 * count)], np.float32)
    labels = np.array([float(rng.uniform() < 0.5 * row[0] ** 3) for row in matrix])
    places = np.tile(np.arange(1, 11, dtype=np.int32), count)
    return Dataset(
        ("liked", "noise"), matrix, np.arange(0, 10 * count + 1, 10), labels, places, np.ones(10 * count),
        np.arange(count),
    )  # fmt: skip


def test_a_good_model_passes_and_a_planted_bad_one_is_stopped() -> None:
    older, newest = lists(600).split(at_share=0.6)
    incumbent = newest.matrix[:, 1].astype(np.float64)
    good = scores_of(train(older, OPTIONS), newest)
    assert judge(newest, good, incumbent).passes
    inverted = msgspec.structs.replace(older, labels=1.0 - older.labels)
    bad = scores_of(train(inverted, OPTIONS), newest)
    verdict = judge(newest, bad, good)
    assert not verdict.passes
    assert verdict.high < 0.0
    assert "worse" in verdict.why


def test_a_model_as_good_as_the_last_one_passes() -> None:
    newest = lists(200)
    scores = newest.matrix[:, 0].astype(np.float64)
    verdict = judge(newest, scores, scores)
    assert (verdict.passes, verdict.difference) == (True, 0.0)


@pytest.mark.parametrize("count", [1, LISTS_LEAST // 2])
def test_a_few_lists_decide_nothing(count: int) -> None:
    newest = lists(count)
    verdict = judge(newest, newest.matrix[:, 0].astype(np.float64), newest.matrix[:, 1].astype(np.float64))
    assert not verdict.passes
    assert "only" in verdict.why


def test_a_model_has_to_be_as_good_as_each_plain_order_too() -> None:
    newest = lists(200)
    good, noise = newest.matrix[:, 0].astype(np.float64), newest.matrix[:, 1].astype(np.float64)
    assert judge(newest, good, noise, {"by noise": noise}).passes
    verdict = judge(newest, noise, noise, {"by noise": noise, "by what is liked": good})
    assert (verdict.passes, verdict.why) == (False, "worse than by what is liked")
    assert verdict.high < 0.0


def test_plain_orders_go_by_the_inputs_of_roles_and_put_the_missing_last() -> None:
    rows = np.array([[1.0, 0.5], [np.nan, 0.25]], np.float32)
    dataset = Dataset(
        ("item.liked", "cross.co_viewed"), rows, np.array([0, 2]), np.ones(2), np.ones(2, np.int32), np.ones(2),
        np.array([1]),
    )  # fmt: skip
    orders = plain_orders(dataset, {"popularity": "liked", "trending": "not_there"})
    assert {name: scores.tolist() for name, scores in orders.items()} == {
        "by popularity": [1.0, -np.inf], "by what is viewed together": [0.5, 0.25]
    }  # fmt: skip


def test_an_input_that_is_the_same_everywhere_is_no_order() -> None:
    """What it says is the order in which candidates were found, which is one by itself."""
    rows = np.array([[0.0, 0.5], [0.0, 0.25]], np.float32)
    dataset = Dataset(
        ("item.bought", "next.chance"), rows, np.array([0, 2]), np.ones(2), np.ones(2, np.int32), np.ones(2),
        np.array([1]),
    )  # fmt: skip
    assert plain_orders(dataset, {"popularity": "bought"}).keys() == {"by what may come next"}


def test_rules_and_visits_of_the_same_kind_are_plain_orders() -> None:
    names = ("next.after", "next.next", "next.kin", "next.chance")
    dataset = Dataset(
        names, np.arange(8, dtype=np.float32).reshape(2, 4), np.array([0, 2]), np.ones(2), np.ones(2, np.int32),
        np.ones(2), np.array([1]),
    )  # fmt: skip
    assert [scores.tolist() for scores in plain_orders(dataset, {}).values()] == [
        [float(place), place + 4.0] for place in range(4)
    ]  # fmt: skip

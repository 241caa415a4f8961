from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from instanter.decisions.placement import Placement
from instanter.decisions.policy import allowed, draw
from instanter.foundation.rng import KeyedRng

CHI_SQUARE_999 = {1: 10.83, 2: 13.82, 3: 16.27, 4: 18.47, 5: 20.52, 6: 22.46, 7: 24.32, 8: 26.12, 9: 27.88}
"""Exceeded by chance once in a thousand, by degrees of freedom."""

Pools = st.lists(st.lists(st.integers(1, 12), unique=True, max_size=8), min_size=1, max_size=4)


@given(Pools, st.sets(st.integers(1, 12)), st.booleans())
def test_allowed_sets_are_disjoint_and_hold_all_that_is_not_shown(
    pools: list[list[int]], shown: set[int], by_reference: bool
) -> None:
    sets = allowed(pools, shown, by_reference=by_reference)
    together = [ref for one in sets for ref in one]
    assert len(together) == len(set(together))
    assert set(together) == {ref for pool in pools for ref in pool} - shown
    assert all(set(one) <= set(pool) for one, pool in zip(sets, pools, strict=True))


@given(Pools, st.sets(st.integers(1, 12)), st.integers(1, 1_000))
def test_what_may_be_explored_does_not_depend_on_the_references(
    pools: list[list[int]], shown: set[int], factor: int
) -> None:
    again = [[factor * ref for ref in pool] for pool in pools]
    sets = allowed(again, {factor * ref for ref in shown})
    assert sets == [[factor * ref for ref in one] for one in allowed(pools, shown)]


@given(st.floats(0, 1), st.integers(0, 9))
def test_the_propensities_of_all_outcomes_sum_to_one(epsilon: float, others: int) -> None:
    names = list(range(100, 100 + others))
    stated = {}
    for number in range(300):
        drawn = draw(1, names, epsilon=epsilon, rng=KeyedRng(f"d_{number}"))
        assert stated.setdefault(drawn.ref, drawn.propensity) == drawn.propensity
        assert drawn.explored == (drawn.ref != 1)
    size = others + 1
    assert stated.get(1, 1 - epsilon + epsilon / size) == pytest.approx(1 - epsilon + epsilon / size)
    for ref in set(stated) - {1}:
        assert stated[ref] == pytest.approx(epsilon / size)


def test_where_nothing_else_is_allowed_the_incumbent_stays_for_sure() -> None:
    assert draw(7, [], epsilon=1.0, rng=KeyedRng("d")).propensity == 1.0
    assert draw(7, [8], epsilon=0.0, rng=KeyedRng("d")).propensity == 1.0


def chi_square(counts: Counter[str], stated: dict[str, float], total: int) -> float:
    return sum((counts[name] - total * share) ** 2 / (total * share) for name, share in stated.items())


@pytest.mark.slow
@pytest.mark.parametrize(("limit", "exploration"), [(1, 0.5), (4, 0.3)])
def test_frequencies_over_many_decisions_are_the_stated_propensities(shop, limit: int, exploration: float) -> None:
    shop.stock(limit + 5)
    decider = shop.decider_of([Placement(id="list", limit=limit)], exploration=exploration)
    counts: Counter[str] = Counter()
    stated: dict[str, float] = {}
    rounds = 2_000
    for number in range(rounds):
        items = shop.decide({"id": "list"}, decider=decider, decision_id=f"d_{number}").reply.placements["list"].items
        assert all(item.propensity == 1.0 for item in items[:-1])
        counts[items[-1].id] += 1
        stated[items[-1].id] = items[-1].propensity
    assert len(stated) == 6
    assert sum(stated.values()) == pytest.approx(1.0)
    assert chi_square(counts, stated, rounds) < CHI_SQUARE_999[len(stated) - 1]


@pytest.mark.slow
def test_the_draws_of_one_decision_are_independent(shop) -> None:
    shop.stock(12)
    decider = shop.decider_of([Placement(id="a", limit=2), Placement(id="b", limit=2)], exploration=0.5)
    pairs: Counter[tuple[str, str]] = Counter()
    first: dict[str, float] = {}
    second: dict[str, float] = {}
    rounds = 3_000
    for number in range(rounds):
        reply = shop.decide({"id": "a"}, {"id": "b"}, decider=decider, decision_id=f"d_{number}").reply
        a, b = reply.placements["a"].items[-1], reply.placements["b"].items[-1]
        shown = [item.id for placement in reply.placements.values() for item in placement.items]
        assert len(shown) == len(set(shown))
        first[a.id], second[b.id] = a.propensity, b.propensity
        pairs[a.id, b.id] += 1
    stated = {(a, b): p * q for a, p in first.items() for b, q in second.items()}
    assert sum(stated.values()) == pytest.approx(1.0)
    freedom = len(stated) - 1
    # Wilson and Hilferty's approximation of the 99.9 % quantile.
    bound = freedom * (1 - 2 / (9 * freedom) + 3.09 * (2 / (9 * freedom)) ** 0.5) ** 3
    assert sum((pairs[pair] - rounds * share) ** 2 / (rounds * share) for pair, share in stated.items()) < bound


def test_an_explored_item_says_so(shop) -> None:
    shop.stock(12)
    decider = shop.decider_of([Placement(id="a", limit=2)], exploration=1.0)
    lists = [
        shop.decide({"id": "a"}, decider=decider, decision_id=f"d_{number}").reply.placements["a"].items
        for number in range(30)
    ]
    explored = [items[-1] for items in lists if items[-1].reasons[:1] == ["something different"]]
    assert 20 <= len(explored) <= 30
    assert all(item.propensity == pytest.approx(1 / 11) for item in explored)


def test_a_whole_list_given_back_explores_nothing(shop) -> None:
    shop.stock(5)
    decider = shop.decider_of([Placement(id="s", kind="rerank", sources=("candidates",))], exploration=1.0)
    items = shop.decide({"id": "s", "candidates": ["sku-1", "sku-2"]}, decider=decider).reply.placements["s"].items
    assert [item.propensity for item in items] == [1.0, 1.0]

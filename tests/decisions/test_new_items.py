"""A share of places for new items: how often they get one, which they are, and that a replay draws the same."""

from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from instanter.decisions.decide import DAY_MS, Decider
from instanter.decisions.placement import Placement, first_fault
from instanter.decisions.policy import Draw, draw, draw_new
from instanter.decisions.receipt import decode_receipt
from instanter.foundation.limits import NEW_ITEMS_DRAWN_MAX
from instanter.foundation.measure import NoMeter
from instanter.foundation.rng import KeyedRng
from instanter.models.lineup import NoRankers

HOT = 20
ROUNDS = 400
VIEWED, SHOWN = "Product Viewed", "Product List Viewed"


def hot_shop(shop, new: int = 1) -> list[str]:
    """Hot items that everybody knows, and new ones."""
    for number in range(HOT):
        shop.item(f"hot-{number}", category=f"category {number % 3}", price=10.0)
    for key in range(1, 30):
        for number in range(HOT):
            for name in (SHOWN, VIEWED, "Product Clicked"):
                shop.happen(name, f"hot-{number}", key=key << 40, after_ms=number)
    names = [f"new-{number}" for number in range(new)]
    for name in names:
        shop.item(name, category="category 9", price=10.0)
    shop.publish()
    return names


def decider_of(shop, share: float, limit: int = 10, exploration: float = 0.0, **options) -> Decider:
    shown = options.pop("new_items_shown", 20)
    return shop.decider_of(
        [Placement(id="list", limit=limit, new_items=share, new_items_shown=shown, **options)], exploration=exploration
    )


def lists_of(shop, decider: Decider, rounds: int = ROUNDS, **options) -> list[list[tuple[str, float]]]:
    """What newcomers are shown, with propensities."""
    return [
        [
            (item.id, item.propensity)
            for item in shop.decide(
                {"id": "list"}, keys=(), decider=decider, decision_id=f"d_{number}", **options
            ).reply.placements["list"].items
        ]
        for number in range(rounds)
    ]


def with_new(lists: list[list[tuple[str, float]]], names: list[str]) -> int:
    return sum(any(item in names for item, _ in shown) for shown in lists)


def test_without_a_share_a_new_item_is_in_no_list_of_newcomers(shop) -> None:
    names = hot_shop(shop)
    assert with_new(lists_of(shop, decider_of(shop, 0.0), 50), names) == 0


@pytest.mark.parametrize("share", [0.02, 0.05])
def test_a_new_item_has_its_share_of_places_and_its_propensity_says_so(shop, share: float) -> None:
    names = hot_shop(shop)
    lists = lists_of(shop, decider_of(shop, share))
    drawn = with_new(lists, names)
    chance = share * 10
    spread = (ROUNDS * chance * (1.0 - chance)) ** 0.5
    assert abs(drawn - ROUNDS * chance) < 4 * spread
    for shown in lists:
        item, propensity = shown[-1]
        assert propensity == pytest.approx(chance if item in names else 1.0 - chance)
        assert all(one == 1.0 for _, one in shown[:-1])
    assert shop.meter.counts["new_items.places"] == 10 * ROUNDS
    assert shop.meter.counts["new_items.drawn"] == drawn


@pytest.mark.parametrize("exploration", [0.0, 0.5])
def test_the_propensities_of_all_outcomes_sum_to_one(shop, exploration: float) -> None:
    names = hot_shop(shop, new=3)
    lists = lists_of(shop, decider_of(shop, 0.05, exploration=exploration), 1_500)
    stated = {shown[-1][0]: shown[-1][1] for shown in lists}
    counts = Counter(shown[-1][0] for shown in lists)
    assert sum(stated.values()) == pytest.approx(1.0)
    assert set(names) < set(stated)
    for item, propensity in stated.items():
        assert abs(counts[item] - 1_500 * propensity) < 4.5 * (1_500 * propensity) ** 0.5


Refs = st.lists(st.integers(10, 40), max_size=8, unique=True)


@given(Refs, Refs, st.floats(0, 1), st.floats(0, 1), st.integers(0, 50))
def test_a_draw_states_the_chance_of_what_it_gives(
    others: list[int], fresh: list[int], epsilon: float, chance: float, number: int
) -> None:
    fresh = [ref for ref in fresh if ref not in others]
    explored = draw(1, others, epsilon=epsilon, rng=KeyedRng(f"{number}"))
    drawn = draw_new(explored, fresh, chance=chance, rng=KeyedRng(f"{number}/new"))
    if drawn.is_new:
        assert drawn == Draw(drawn.ref, chance / len(fresh), explored=True, is_new=True)
        assert drawn.ref in fresh
    else:
        assert drawn.ref == explored.ref
        left = 1.0 - chance if fresh else 1.0
        assert drawn.propensity == pytest.approx(left * explored.propensity)


def test_no_more_than_one_place_of_a_list_and_a_list_that_has_a_new_item_gets_no_other(shop) -> None:
    names = hot_shop(shop, new=5)
    lists = lists_of(shop, decider_of(shop, 1.0), 50)
    assert all(sum(item in names for item, _ in shown) == 1 for shown in lists)
    everything = lists_of(shop, decider_of(shop, 1.0, limit=HOT + 5), 10)
    assert all(propensity == 1.0 for shown in everything for _, propensity in shown)


def test_an_item_is_new_until_it_was_shown_or_viewed_so_often(shop) -> None:
    names = hot_shop(shop)
    for name, count in ((SHOWN, 4), (VIEWED, 5)):
        for key in range(count):
            shop.happen(name, names[0], key=(100 + key) << 40)
    shop.publish()
    for enough, drawn in ((6, 5), (5, 0)):  # Five have viewed it.
        shop.meter.counts.clear()
        lists_of(shop, decider_of(shop, 1.0, limit=5, new_items_shown=enough), 5)
        assert shop.meter.counts["new_items.drawn"] == drawn


def test_an_item_is_new_for_so_many_days(shop) -> None:
    names = hot_shop(shop)
    decider = decider_of(shop, 1.0, new_items_days=2)
    assert with_new(lists_of(shop, decider, 5, after_ms=2 * DAY_MS), names) == 5
    assert with_new(lists_of(shop, decider, 5, after_ms=2 * DAY_MS + 1), names) == 0


def test_of_many_new_items_those_shown_least_have_their_turn(shop) -> None:
    names = hot_shop(shop, new=NEW_ITEMS_DRAWN_MAX + 8)
    for name in names[:8]:
        shop.happen(SHOWN, name, key=1 << 40)
    shop.publish()
    lists = lists_of(shop, decider_of(shop, 1.0), 200)
    drawn = {shown[-1][0] for shown in lists}
    assert drawn <= set(names[8:])
    assert {shown[-1][1] for shown in lists} == {1.0 / NEW_ITEMS_DRAWN_MAX}


def test_what_may_not_be_shown_is_not_drawn(shop) -> None:
    names = hot_shop(shop, new=2)
    shop.item(names[0], stock=0)
    lists = lists_of(shop, decider_of(shop, 1.0), 10)
    assert {shown[-1] for shown in lists} == {(names[1], 1.0)}


def test_two_placements_of_one_decision_never_draw_the_same(shop) -> None:
    names = hot_shop(shop, new=2)
    placements = [Placement(id=name, limit=5, new_items=0.2, new_items_shown=20) for name in ("one", "other")]
    decider = shop.decider_of(placements, exploration=1.0)
    for _ in range(40):
        replies = shop.decide({"id": "one"}, {"id": "other"}, keys=(), decider=decider).reply.placements
        shown = [item.id for reply in replies.values() for item in reply.items]
        assert len(set(shown)) == len(shown)
        assert set(names) <= set(shown)


def test_a_replay_draws_the_same_and_the_receipt_says_among_how_many(shop) -> None:
    hot_shop(shop, new=3)
    decider = decider_of(shop, 0.05, exploration=0.3)
    new = 0
    for number in range(60):
        decision = shop.decide({"id": "list"}, keys=(), decider=decider, decision_id=f"d_{number}")
        receipt = decode_receipt(decision.receipt)
        asked = decider.asked_again(receipt, decision.enclosed, shop.state.catalogue)
        made, _ = decider.again(receipt, asked, state=shop.state, meter=NoMeter(), rankers=NoRankers())
        assert made == receipt
        (placement,) = receipt.placements
        assert placement.slot is not None
        assert (placement.slot.new, placement.slot.new_chance) == (3, 0.5)
        new += decision.reply.placements["list"].items[-1].reasons[0] == "new"
    assert 0 < new < 60


def test_a_callers_own_list_gets_no_new_items(shop) -> None:
    hot_shop(shop)
    fault = first_fault(Placement(id="a", kind="rerank", sources=("candidates",), new_items=0.1))
    assert fault is not None
    assert fault.field == "new_items"
    items = shop.ask("list", candidates=["hot-1", "hot-2"], decider=decider_of(shop, 1.0))["items"]
    assert {item["id"] for item in items} == {"hot-1", "hot-2"}

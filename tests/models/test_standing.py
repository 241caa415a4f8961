from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from instanter.events.envelope import ItemDeleted, ItemPatched, ItemUpserted
from instanter.features.assemble import Assembler
from instanter.features.neighbours import Neighbourhood
from instanter.features.view import Reader
from instanter.foundation.ids import item_reference, reference
from instanter.foundation.limits import STANDING_LIST_MAX, TENANTS_STANDING_MAX, VALUE_LIST_MAX
from instanter.models.base import SourceContext
from instanter.models.sources import SOURCES
from instanter.models.standing import Standing, best_of

START_MS = 1_700_000_000_000


def standing_of(shop) -> Standing:
    reader = Reader(shop.schema, shop.declarations)
    return Standing(shop.schema.layout, Assembler(shop.schema, shop.declarations, reader))


def ids(shop, rows) -> list[str]:
    return [shop.state.catalogue.at_row[row].id for row in rows.tolist()]


def found(shop, source: str, limit: int = 10, *, keys=(1,), recent=(), page: str = "") -> list[str]:
    reader = Reader(shop.schema, shop.declarations)
    near = Neighbourhood(shop.schema).of(shop.state, [item_reference("shop", one) for one in recent])
    context = SourceContext(
        shop.state, standing_of(shop).of(shop.state, "shop"), reader, reader.person(shop.state, keys, START_MS), near,
        shop.state.find_item(item_reference("shop", page)) if page else -1,
    )  # fmt: skip
    answer = SOURCES[source].candidates(context, limit)
    assert len(answer.rows) == len(answer.scores) <= limit
    assert len(set(answer.rows.tolist())) == len(answer.rows)
    return ids(shop, answer.rows)


@pytest.fixture
def furniture(little):
    shop = little()
    goods = [("bed", "sleep"), ("cot", "sleep"), ("lamp", "light"), ("sofa", "sit")]
    for number, (item_id, category) in enumerate(goods):
        shop.item(item_id, category=category, created_at=START_MS + number)
    return shop


def test_the_lists_follow_what_happened(furniture) -> None:
    furniture.happen("Product Viewed", "lamp")
    furniture.happen("Product Clicked", "cot")
    furniture.happen("Product Clicked", "cot", after_ms=1)
    furniture.publish()
    assert found(furniture, "trending", 2) == ["cot", "lamp"]
    assert found(furniture, "popular", 1) == ["cot"]
    assert found(furniture, "newest") == ["sofa", "lamp", "cot", "bed"]


def test_before_anything_happened_the_lists_have_the_order_of_the_catalogue(furniture) -> None:
    lists = standing_of(furniture).of(furniture.state, "shop")
    assert not lists.has_interest
    assert ids(furniture, lists.popular) == ["bed", "cot", "lamp", "sofa"]


def test_what_is_sold_out_or_deleted_leaves_the_lists_at_once_and_comes_back(furniture) -> None:
    standing = standing_of(furniture)
    catalogue = furniture.state.catalogue
    assert len(standing.of(furniture.state, "shop").rows) == 4
    catalogue.patch(ItemPatched(START_MS, "shop", "bed", {"stock": 0}))
    catalogue.delete(ItemDeleted(START_MS, "shop", "cot"))
    assert ids(furniture, standing.of(furniture.state, "shop").newest) == ["sofa", "lamp"]
    catalogue.patch(ItemPatched(START_MS, "shop", "bed", {"stock": 1}))
    furniture.item("cot", category="sleep", created_at=START_MS)
    assert ids(furniture, standing.of(furniture.state, "shop").popular) == ["bed", "cot", "lamp", "sofa"]


def test_an_item_deleted_before_anybody_asked_is_in_no_list_until_it_comes_back(furniture) -> None:
    furniture.state.catalogue.delete(ItemDeleted(START_MS, "shop", "cot"))
    standing = standing_of(furniture)
    assert ids(furniture, standing.of(furniture.state, "shop").popular) == ["bed", "lamp", "sofa"]
    furniture.item("cot")
    assert ids(furniture, standing.of(furniture.state, "shop").popular) == ["bed", "cot", "lamp", "sofa"]


def test_the_lists_are_made_once_per_epoch_and_change_of_the_catalogue(furniture) -> None:
    standing = standing_of(furniture)
    first = standing.of(furniture.state, "shop")
    assert standing.of(furniture.state, "shop") is first
    furniture.publish()
    assert standing.of(furniture.state, "shop") is not first


def test_another_state_gets_its_own_lists(furniture, little) -> None:
    standing = standing_of(furniture)
    assert len(standing.of(furniture.state, "shop").rows) == 4
    assert len(standing.of(little().state, "shop").rows) == 0
    assert len(standing.of(furniture.state, "shop").rows) == 4


def test_tenants_do_not_see_each_other(furniture) -> None:
    furniture.state.catalogue.upsert(ItemUpserted(START_MS, "rival", "bed", {"category": "sleep"}))
    standing = standing_of(furniture)
    assert len(standing.of(furniture.state, "rival").rows) == 1
    assert len(standing.of(furniture.state, "shop").rows) == 4
    column = furniture.schema.attributes.index("category")
    alike = standing.of(furniture.state, "rival").like([(column, reference("sleep"))], 10)
    assert [furniture.state.catalogue.at_row[row].tenant for row in alike.tolist()] == ["rival"]
    assert len(standing.of(furniture.state, "nobody").rows) == 0


def test_the_lists_of_too_many_tenants_are_not_kept(furniture) -> None:
    standing = standing_of(furniture)
    first = standing.of(furniture.state, "shop")
    for number in range(TENANTS_STANDING_MAX):
        standing.of(furniture.state, f"tenant {number}")
    again = standing.of(furniture.state, "shop")
    assert again is not first
    assert again.rows.tolist() == first.rows.tolist()


def test_a_list_is_bounded(little) -> None:
    shop = little()
    for number in range(STANDING_LIST_MAX + 50):
        shop.item(f"sku-{number}", category="all")
    lists = standing_of(shop).of(shop.state, "shop")
    assert len(lists.rows) == STANDING_LIST_MAX + 50
    assert len(lists.popular) == len(lists.newest) == len(lists.trending) == STANDING_LIST_MAX
    column = shop.schema.attributes.index("category")
    assert len(lists.like([(column, reference("all"))], 1_000)) == VALUE_LIST_MAX


@settings(max_examples=50)
@given(st.lists(st.integers(0, 5).map(float), max_size=40), st.integers(0, 10))
def test_the_best_are_those_of_a_stable_sort(scores: list[float], limit: int) -> None:
    rows = np.arange(100, 100 + len(scores))
    best, kept = best_of(rows, np.array(scores, np.float64), limit)
    order = np.argsort(-np.array(scores, np.float64), kind="stable")[:limit]
    assert best.tolist() == rows[order].tolist()
    assert kept.tolist() == [scores[place] for place in order]


def test_the_most_popular_of_a_value_come_first_and_stay_when_the_list_is_full(little) -> None:
    shop = little()
    for number in range(VALUE_LIST_MAX + 5):
        shop.item(f"sku-{number}", category="all")
    shop.happen("Product Clicked", f"sku-{VALUE_LIST_MAX + 4}")
    shop.publish()
    column = shop.schema.attributes.index("category")
    alike = ids(shop, standing_of(shop).of(shop.state, "shop").like([(column, reference("all"))], 3))
    assert alike == [f"sku-{VALUE_LIST_MAX + 4}", "sku-0", "sku-1"]


def test_values_are_followed_in_turns(furniture) -> None:
    furniture.happen("Product Viewed", "lamp")
    assert found(furniture, "same_category", page="bed") == ["bed", "lamp", "cot"]
    assert found(furniture, "same_category", 2, page="bed") == ["bed", "lamp"]
    assert found(furniture, "same_category", keys=()) == []


def test_what_was_viewed_together_is_found_while_it_is_in_stock(furniture) -> None:
    for number, item_id in enumerate(["bed", "cot", "sofa"]):
        furniture.happen("Product Viewed", item_id, key=7, after_ms=number)
    furniture.publish()
    assert sorted(found(furniture, "co_viewed", recent=("bed",))) == ["cot", "sofa"]
    furniture.state.catalogue.patch(ItemPatched(START_MS, "shop", "cot", {"stock": 0}))
    assert found(furniture, "co_viewed", recent=("bed",)) == ["sofa"]
    assert found(furniture, "co_viewed") == []

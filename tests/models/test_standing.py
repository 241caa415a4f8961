from __future__ import annotations

import random
from datetime import UTC, datetime

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from instanter.events.envelope import Configured, ItemDeleted, ItemPatched, ItemUpserted
from instanter.features.assemble import BESIDE, EVIDENCE, FIRST_RULES, Assembler
from instanter.features.carriers import carriers
from instanter.features.declaration import FeatureDeclaration
from instanter.features.neighbours import Neighbourhood
from instanter.features.view import Reader
from instanter.foundation.ids import item_reference, reference
from instanter.foundation.limits import (
    ALIKE_TO_MAX,
    CHANGES_FOLLOWED_MAX,
    PUBLISHED_EPOCHS_MAX,
    STANDING_LIST_MAX,
    TENANTS_STANDING_MAX,
    VALUE_LIST_MAX,
)
from instanter.models import by_value, standing
from instanter.models.base import SourceContext
from instanter.models.ranked import best_of
from instanter.models.sources import SOURCES
from instanter.models.standing import Standing, TenantLists
from instanter.state import memory

START_MS = 1_700_000_000_000


def standing_of(shop, rules: int = EVIDENCE) -> Standing:
    reader = Reader(shop.schema, shop.declarations)
    return Standing(shop.schema.layout, Assembler(shop.schema, shop.declarations, reader, rules))


def ids(shop, rows) -> list[str]:
    return [shop.state.catalogue.at_row[row].id for row in rows.tolist()]


def found(shop, source: str, limit: int = 10, *, keys=(1,), recent=(), page: str = "") -> list[str]:
    reader = Reader(shop.schema, shop.declarations)
    neighbourhood = Neighbourhood(shop.schema, carriers(shop.declarations))
    near = neighbourhood.of(shop.state, [item_reference("shop", one) for one in recent])
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


def test_what_is_viewed_alone_is_popular_by_its_views_behind_what_is_liked_more(furniture) -> None:
    for item, views in (("sofa", 3), ("lamp", 2)):
        for place in range(views):
            furniture.happen("Product Viewed", item, after_ms=place)
    furniture.happen("Product Clicked", "cot")
    furniture.publish()
    lists = standing_of(furniture, BESIDE).of(furniture.state, "shop")
    assert ids(furniture, lists.popular.rows) == ["cot", "sofa", "lamp", "bed"]
    column = furniture.schema.attributes.index("category")
    assert ids(furniture, lists.like([(column, reference("sit")), (column, reference("light"))], 2)) == ["sofa", "lamp"]
    assert ids(furniture, standing_of(furniture).of(furniture.state, "shop").popular.rows)[:2] == ["cot", "bed"]
    furniture.happen("Product Clicked", "lamp", after_ms=9)
    furniture.publish(after_ms=9)
    lists = standing_of(furniture, BESIDE).of(furniture.state, "shop")
    assert ids(furniture, lists.popular.rows)[2:] == ["sofa", "bed"]


def test_before_anything_happened_the_lists_have_the_order_of_the_catalogue(furniture) -> None:
    lists = standing_of(furniture).of(furniture.state, "shop")
    assert not lists.has_interest
    assert ids(furniture, lists.popular.rows) == ["bed", "cot", "lamp", "sofa"]


def test_what_is_sold_out_or_deleted_leaves_the_lists_at_once_and_comes_back(furniture) -> None:
    lists_of = standing_of(furniture)
    catalogue = furniture.state.catalogue
    assert len(lists_of.of(furniture.state, "shop").rows) == 4
    catalogue.patch(ItemPatched(START_MS, "shop", "bed", {"stock": 0}))
    catalogue.delete(ItemDeleted(START_MS, "shop", "cot"))
    assert ids(furniture, lists_of.of(furniture.state, "shop").newest.rows) == ["sofa", "lamp"]
    catalogue.patch(ItemPatched(START_MS, "shop", "bed", {"stock": 1}))
    furniture.item("cot", category="sleep", created_at=START_MS)
    assert ids(furniture, lists_of.of(furniture.state, "shop").popular.rows) == ["bed", "cot", "lamp", "sofa"]


def test_an_item_deleted_before_anybody_asked_is_in_no_list_until_it_comes_back(furniture) -> None:
    furniture.state.catalogue.delete(ItemDeleted(START_MS, "shop", "cot"))
    lists_of = standing_of(furniture)
    assert ids(furniture, lists_of.of(furniture.state, "shop").popular.rows) == ["bed", "lamp", "sofa"]
    furniture.item("cot")
    assert ids(furniture, lists_of.of(furniture.state, "shop").popular.rows) == ["bed", "cot", "lamp", "sofa"]


@pytest.fixture
def looks(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Each time that all items of a tenant are looked at."""
    counted: list[str] = []
    look = TenantLists.look

    def counting(lists: TenantLists) -> None:
        counted.append(lists.tenant)
        look(lists)

    monkeypatch.setattr(TenantLists, "look", counting)
    return counted


def test_an_epoch_looks_at_what_it_changed_alone(furniture, looks: list[str]) -> None:
    lists_of = standing_of(furniture)
    for number, item_id in enumerate(("cot", "lamp", "lamp")):
        lists_of.of(furniture.state, "shop")
        furniture.happen("Product Clicked", item_id, after_ms=number)
        furniture.publish(number)
    assert ids(furniture, lists_of.of(furniture.state, "shop").popular.rows) == ["lamp", "cot", "bed", "sofa"]
    assert looks == ["shop"]
    assert lists_of.looks == 1


def test_more_epochs_than_are_remembered_are_a_reason_to_look_at_all_items(furniture, looks: list[str]) -> None:
    lists_of = standing_of(furniture)
    for epochs in (PUBLISHED_EPOCHS_MAX, PUBLISHED_EPOCHS_MAX + 1):
        lists_of.of(furniture.state, "shop")
        for _ in range(epochs):
            furniture.publish()
    lists_of.of(furniture.state, "shop")
    assert looks == ["shop"] * 2


def test_more_changed_items_than_are_remembered_are_a_reason_to_look_at_all(
    furniture, looks: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(memory, "PUBLISHED_ROWS_MAX", 2)
    lists_of = standing_of(furniture)
    lists_of.of(furniture.state, "shop")
    for epoch, item_id in enumerate(("cot", "lamp", "bed")):
        furniture.happen("Product Clicked", item_id, after_ms=epoch)
        furniture.publish(epoch)
    assert ids(furniture, lists_of.of(furniture.state, "shop").popular.rows) == ["bed", "lamp", "cot", "sofa"]
    assert looks == ["shop"] * 2


def test_whoever_keeps_up_after_a_fold_leaves_nothing_to_do_for_decisions(furniture, looks: list[str]) -> None:
    lists_of = standing_of(furniture)
    lists_of.follow(furniture.state)
    assert looks == ["shop"], "those of a tenant that nobody has asked for yet"
    furniture.state.catalogue.upsert(ItemUpserted(START_MS, "rival", "bed", {}))
    furniture.happen("Product Clicked", "cot")
    furniture.publish()
    lists_of.follow(furniture.state)
    assert looks == ["shop", "rival"]
    assert ids(furniture, lists_of.of(furniture.state, "shop").popular.rows)[0] == "cot"
    assert looks == ["shop", "rival"]


def test_what_a_feature_that_no_longer_counts_has_counted_is_gone_from_the_lists(furniture) -> None:
    lists_of = standing_of(furniture)
    furniture.happen("Product Clicked", "lamp")
    furniture.publish()
    assert lists_of.of(furniture.state, "shop").has_interest
    counted = tuple(one for one in furniture.schema.declared() if one[0] not in ("popular", "trending"))
    furniture.state.configure(Configured(START_MS, {}, counted))
    assert not lists_of.of(furniture.state, "shop").has_interest


def test_a_window_moves_on_without_events_and_all_items_are_looked_at(little, looks: list[str]) -> None:
    shop = little(FeatureDeclaration(
        name="trending", on=("Product Viewed",), aggregate="windowed", window="1h", tiles=1, scope="item"
    ), only=True)  # fmt: skip
    lists_of = standing_of(shop)
    shop.item("lamp"), shop.item("sofa")
    shop.happen("Product Viewed", "sofa")
    shop.publish()
    assert ids(shop, lists_of.of(shop.state, "shop").trending.rows) == ["sofa", "lamp"]
    shop.publish(3 * 3_600_000)
    assert ids(shop, lists_of.of(shop.state, "shop").trending.rows) == ["lamp", "sofa"]
    assert looks == ["shop"] * 2


def test_by_the_first_rules_all_items_are_looked_at_once_per_epoch(furniture, looks: list[str]) -> None:
    lists_of = standing_of(furniture, FIRST_RULES)
    for _ in range(3):
        lists_of.of(furniture.state, "shop")
    assert looks == ["shop"]
    furniture.publish()
    for _ in range(3):
        lists_of.of(furniture.state, "shop")
    assert looks == ["shop"] * 2


def test_another_state_gets_its_own_lists(furniture, little) -> None:
    lists_of = standing_of(furniture)
    assert len(lists_of.of(furniture.state, "shop").rows) == 4
    assert len(lists_of.of(little().state, "shop").rows) == 0
    assert len(lists_of.of(furniture.state, "shop").rows) == 4


def test_tenants_do_not_see_each_other(furniture) -> None:
    furniture.state.catalogue.upsert(ItemUpserted(START_MS, "rival", "bed", {"category": "sleep"}))
    lists_of = standing_of(furniture)
    assert len(lists_of.of(furniture.state, "rival").rows) == 1
    assert len(lists_of.of(furniture.state, "shop").rows) == 4
    column = furniture.schema.attributes.index("category")
    alike = lists_of.of(furniture.state, "rival").like([(column, reference("sleep"))], 10)
    assert [furniture.state.catalogue.at_row[row].tenant for row in alike.tolist()] == ["rival"]
    assert len(lists_of.of(furniture.state, "nobody").rows) == 0


def test_the_lists_of_too_many_tenants_are_not_kept(furniture) -> None:
    lists_of = standing_of(furniture)
    first = lists_of.of(furniture.state, "shop")
    for number in range(TENANTS_STANDING_MAX):
        lists_of.of(furniture.state, f"tenant {number}")
    again = lists_of.of(furniture.state, "shop")
    assert again is not first
    assert again.rows.tolist() == first.rows.tolist()


def test_a_list_is_bounded(little) -> None:
    shop = little()
    for number in range(STANDING_LIST_MAX + 50):
        shop.item(f"sku-{number}", category="all")
    lists = standing_of(shop).of(shop.state, "shop")
    assert len(lists.rows) == STANDING_LIST_MAX + 50
    assert len(lists.popular.rows) == len(lists.newest.rows) == len(lists.trending.rows) == STANDING_LIST_MAX
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


def test_items_alike_to_so_many_of_the_last_ones_are_found_and_to_the_page_s_alone_where_there_is_one(little) -> None:
    shop = little()
    looked_at = [f"seen-{number}" for number in range(ALIKE_TO_MAX + 1)]
    for number, item_id in enumerate(looked_at):
        shop.item(item_id, title=f"word{number}"), shop.item(f"like-{number}", title=f"word{number} other")
    for number in range(30):
        shop.item(f"thing-{number}", title="Nothing alike")
    assert found(shop, "content", recent=looked_at) == [f"like-{number}" for number in range(ALIKE_TO_MAX)]
    assert found(shop, "content", recent=["nowhere", "seen-1"]) == ["like-1"]
    assert found(shop, "content", recent=looked_at, page="seen-2") == ["like-2"]


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


# Lists that follow the catalogue are those that are made anew.


@pytest.fixture
def narrow(monkeypatch: pytest.MonkeyPatch) -> None:
    """Lists so short that items leave their ends all the time."""
    monkeypatch.setattr(standing, "STANDING_LIST_MAX", 4)
    monkeypatch.setattr(by_value, "VALUE_LIST_MAX", 3)
    monkeypatch.setattr(by_value, "VALUES_LISTED_MAX", 8)


def iso(at_ms: int) -> str:
    return datetime.fromtimestamp(at_ms / 1_000, UTC).isoformat()


class Changing:
    """Two tenants' catalogue that changes at random, beside people who look at items."""

    def __init__(self, shop, rng: random.Random) -> None:
        self.shop, self.rng, self.at_ms = shop, rng, 0

    def step(self) -> None:
        rng = self.rng
        tenant, item = rng.choice(("shop", "shop", "rival")), f"sku-{rng.randrange(40)}"
        kind, catalogue = rng.random(), self.shop.state.catalogue
        self.at_ms += 1
        if kind < 0.3:
            fields = {
                "category": rng.choice("abc"), "brand": rng.choice("de"), "stock": rng.choice((0, 1, 1, 1)),
                "tags": rng.choices("fgf", k=2), "created_at": START_MS + rng.randrange(5),
            }  # fmt: skip
            if rng.random() < 0.3:
                fields["availability_date"] = iso(START_MS + rng.randrange(2_000))
                fields["expiration_date"] = iso(START_MS + rng.randrange(4_000))
            catalogue.upsert(ItemUpserted(START_MS, tenant, item, fields, canonical=1))
        elif kind < 0.5:
            catalogue.patch(ItemPatched(START_MS, tenant, item, {"stock": rng.randrange(2)}))
        elif kind < 0.6:
            catalogue.delete(ItemDeleted(START_MS, tenant, item))
        elif kind < 0.9:
            name = rng.choice(("Product Viewed", "Product Clicked", "Order Completed"))
            self.shop.happen(name, item, after_ms=self.at_ms)
        else:
            self.shop.publish(self.at_ms)


def seen(shop, lists: TenantLists) -> dict[str, object]:
    """Everything that a decision can read of the lists."""
    schema = shop.schema
    values = [(column, reference(text)) for column in range(len(schema.attributes)) for text in "abcdefg"]
    return {
        "trending": list(zip(lists.trending.rows.tolist(), lists.trending.scores.tolist(), strict=True)),
        "popular": list(zip(lists.popular.rows.tolist(), lists.popular.scores.tolist(), strict=True)),
        "newest": lists.newest.rows.tolist(), "rows": lists.rows.tolist(), "count": lists.count,
        "averages": [lists.averages.rates.tolist(), lists.averages.strengths.tolist(), lists.averages.oldest_ms],
        "interest": lists.has_interest, "popularity": lists.popularity(lists.rows).tolist(),
        "alike": [lists.like([value], 10).tolist() for value in values], "in turns": lists.like(values, 30).tolist(),
    }  # fmt: skip


@pytest.mark.slow
@pytest.mark.parametrize("rules", [FIRST_RULES, EVIDENCE, BESIDE])
@pytest.mark.parametrize("seed", range(12))
def test_lists_that_followed_are_those_that_are_made_anew(
    seed: int, rules: int, little, narrow: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("instanter.state.vacant.GIVEN_BACK_ROWS", 1)
    monkeypatch.setattr("instanter.state.memory.give_back", lambda column: column.fill(0))  # It is by pages else.
    rng = random.Random(seed)
    shop = little()
    changing, followed = Changing(shop, rng), standing_of(shop, rules)
    for _ in range(400):
        for _ in range(rng.choice((1, 1, 2, 7))):
            changing.step()
        if rng.random() < 0.3:
            shop.state.upkeep()
        if rng.random() < 0.5:
            followed.follow(shop.state)
            followed.follow(shop.state)  # Gives back what stands in no list any more.
        for tenant in ("shop", "rival"):
            anew = standing_of(shop, rules).of(shop.state, tenant)
            assert seen(shop, followed.of(shop.state, tenant)) == seen(shop, anew)
    assert followed.looks < 400 or rules == FIRST_RULES


def test_a_change_of_one_item_looks_at_that_item_alone(furniture, looks: list[str]) -> None:
    kept = standing_of(furniture)
    first = kept.of(furniture.state, "shop")
    furniture.item("lamp", category="light", stock=0)
    furniture.item("desk", category="work")
    assert ids(furniture, kept.of(furniture.state, "shop").popular.rows) == ["bed", "cot", "sofa", "desk"]
    assert looks == ["shop"], "not made anew"
    for number in range(CHANGES_FOLLOWED_MAX + 1):
        furniture.item("desk", category=f"c{number % 3}")
    assert kept.of(furniture.state, "shop") is first
    assert looks == ["shop"] * 2, "more changes than are remembered"


def test_values_without_a_list_of_their_own_are_settled_anew(little, narrow: None) -> None:
    shop = little()
    for number in range(10):
        shop.item(f"sku-{number}", category=f"c{number}")
    kept, column = standing_of(shop), shop.schema.attributes.index("category")
    kept.of(shop.state, "shop")
    shop.state.catalogue.delete(ItemDeleted(START_MS, "shop", "sku-0"))
    for number in range(1, 10):
        wanted = [(column, reference(f"c{number}"))]
        alike = kept.of(shop.state, "shop").like(wanted, 5)
        assert alike.tolist() == standing_of(shop).of(shop.state, "shop").like(wanted, 5).tolist()
        assert len(alike) == (1 if number < 9 else 0)

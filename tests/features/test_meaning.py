"""What each known event name changes, and what takes it back again."""

from __future__ import annotations

import itertools
import math
import random
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import msgspec
import pytest

from instanter.events.envelope import Configured, Epoch, ItemUpserted, Tracked
from instanter.events.kinds import KNOWN
from instanter.events.meanings import BY_NAME, MEANINGS, Role
from instanter.events.orders import idempotence_of, order_of
from instanter.features.compile import compile_features
from instanter.features.declaration import (
    DEFAULT_FEATURES,
    FeatureDeclaration,
    check,
    first_fault,
    former_of,
    version,
)
from instanter.features.view import Person, Reader
from instanter.foundation.disk import RealDisk
from instanter.foundation.errors import ConfigRejected
from instanter.foundation.ids import item_reference, reference
from instanter.state import aggregations
from instanter.state.checkpoint import Snapshot, load_checkpoint, write_checkpoint
from instanter.state.memory import State

START_MS, MINUTE_MS, DAY_MS = 1_700_000_000_000, 60_000, 86_400_000
TENANT = "shop"
COMPLETED, CLAIMED, UPDATED, REFUNDED, CANCELLED = (
    "Order Completed", "Order Claimed", "Order Updated", "Order Refunded", "Order Cancelled",
)  # fmt: skip


def ref(item: str) -> int:
    return item_reference(TENANT, item)


def told(
    name: str, *items: str, at_ms: int = START_MS, key: int = 1, message: str = "", order: str = "", refund: str = "",
) -> Tracked:  # fmt: skip
    """An event as the door makes it: an order's message is its statement."""
    properties: dict[str, Any] = {"order_id": order} if order else {}
    properties |= {"products": [{"product_id": item} for item in items]} if items else {}
    properties |= {"refund_id": refund} if refund else {}
    text = idempotence_of(name, message or f"{name} {items} {at_ms} {order}", properties)
    named = order_of(name, properties)
    return Tracked(at_ms, at_ms, TENANT, key, reference(text), name, items=tuple(map(ref, items)),
                   order=reference(named) if named else 0)  # fmt: skip


class Shop:
    """A state of the built-in features and some more, and what is read of it."""

    def __init__(self, *further: FeatureDeclaration, since: Iterable[str] = ()) -> None:
        self.declarations = (*DEFAULT_FEATURES, *further)
        self.schema = compile_features(self.declarations, memory_mb=64, items_max=2_000)
        self.state = State(self.schema)
        late = set(since)
        first = tuple(one for one in self.schema.declared() if one[0] not in late)
        self.state.configure(Configured(START_MS, self.schema.settings, first))
        self.reader = Reader(self.schema, self.declarations)
        for item in ("a", "b", "c", "d"):
            self.state.catalogue.upsert(ItemUpserted(START_MS, TENANT, item, {"category": item.upper(), "price": 5}))

    def happen(self, *events: Tracked) -> Shop:
        for event in events:
            self.state.fold([event])
        return self

    def person(self, *keys: int, at_ms: int = START_MS + MINUTE_MS, **options: Any) -> Person:
        return self.reader.person(self.state, keys or (1,), at_ms, **options)

    def listed(self, feature: str, *keys: int) -> set[str]:
        held = set(self.person(*keys).lasts[feature][0].tolist())
        return {item for item in ("a", "b", "c", "d") if ref(item) in held}

    def number(self, feature: str, *keys: int, at_ms: int = START_MS + MINUTE_MS) -> float:
        return self.person(*keys, at_ms=at_ms).numbers[feature]

    def item(self, feature: str, item: str) -> float:
        placed = self.schema.layout.named(feature)
        row, memory = self.state.find_item(ref(item)), self.state.tables.memory
        if row < 0:
            return 0.0
        at = int(memory.regions[3, 0]) + row * self.schema.layout.item_words + placed.offset
        return float(memory.reals[at + 1] if placed.spec.aggregation is aggregations.DECAYED else memory.ints[at])


# What each name changes.


@pytest.mark.parametrize("meaning", [one for one in MEANINGS if one.items], ids=lambda one: one.name)
def test_a_name_that_names_items_changes_what_its_role_says(meaning: Any) -> None:
    shop = Shop().happen(told(meaning.name, "a", order="50"))
    person, role = shop.person(), meaning.role
    interest = role in (Role.VIEW, Role.CLICK, Role.READ, Role.LIKE, Role.CART)
    assert bool(person.tops["category_affinity"][0].size) == interest
    assert bool(person.lasts["session_items"][0].size) == interest
    assert (person.numbers["price_level"] == 5.0) == interest
    assert (shop.item("trending", "a") > 0) == (interest or role is Role.ORDER)
    assert (shop.item("popular", "a") > 0) == (role is Role.ORDER or (interest and role is not Role.VIEW))
    assert shop.item("item_views", "a") == (role is Role.VIEW)
    assert shop.item("clicks", "a") == (role is Role.CLICK)
    assert shop.item("carts", "a") == (role is Role.CART)
    assert shop.item("impressions", "a") == (role is Role.SHOWN)
    assert shop.item("buys", "a") == {Role.ORDER: 1, Role.REFUND: -1, Role.CANCEL: -1}.get(role, 0)
    assert shop.number("orders") == (role in (Role.ORDER, Role.ORDER_CHANGE))
    assert shop.listed("bought_items") == ({"a"} if role in (Role.ORDER, Role.CLAIM) else set())
    assert shop.listed("cart_items") == ({"a"} if role is Role.CART else set())
    assert shop.listed("wishlist_items") == ({"a"} if role is Role.LIKE else set())
    assert shop.number("views") == (role is Role.VIEW)


@pytest.mark.parametrize("name", [one.name for one in MEANINGS if one.role in (Role.PRESENCE, Role.SEARCH)])
def test_a_sign_of_life_and_a_search_tell_when_somebody_was_seen_last(name: str) -> None:
    shop = Shop().happen(told(name))
    assert shop.number("last_seen") == MINUTE_MS / 1_000
    assert shop.number("searches") == (BY_NAME[name].role is Role.SEARCH)


@pytest.mark.parametrize("name", ["Page Viewed", "Screen Viewed"])
def test_a_page_that_names_an_item_is_a_view_of_the_item(name: str) -> None:
    shop = Shop().happen(told(name, "a"), told(name, at_ms=START_MS + 1))
    assert shop.item("item_views", "a") == 1
    assert shop.listed("session_items") == {"a"}
    assert shop.number("views") == 0


def test_no_feature_hears_what_is_only_kept() -> None:
    for declaration in DEFAULT_FEATURES:
        kept = {BY_NAME[name].role for name in (*declaration.on, *declaration.takes_back)}
        assert Role.OTHER not in kept, declaration.name
        check(declaration)


def test_all_names_that_a_built_in_feature_hears_are_known() -> None:
    for declaration in DEFAULT_FEATURES:
        assert {*declaration.on, *declaration.takes_back} <= set(KNOWN), declaration.name


# Taking back.


STORY = (
    told("Product Added", "a", "b", "c", at_ms=START_MS),
    told("Product Added to Wishlist", "a", at_ms=START_MS + 1),
    told("Product Added to Wishlist", "b", at_ms=START_MS + 2),
    told("Product Removed from Wishlist", "a", at_ms=START_MS + 3),
    told("Product Removed", "c", at_ms=START_MS + 4),
    told(COMPLETED, "a", "b", at_ms=START_MS + 5, order="50", message="m1"),
    told(COMPLETED, "a", "b", at_ms=START_MS + 6, order="50", message="m2"),
    told(UPDATED, "a", "b", at_ms=START_MS + 7, order="50"),
    told(COMPLETED, "c", "d", at_ms=START_MS + 8, order="51"),
    told(REFUNDED, "a", at_ms=START_MS + 9, order="50"),
    told(CANCELLED, at_ms=START_MS + 10, order="51"),
    told(REFUNDED, at_ms=START_MS + 11, order="51"),
)


@pytest.mark.parametrize("seed", range(30))
def test_what_is_taken_back_comes_to_the_same_in_any_order_of_arrival(seed: int) -> None:
    arrived = random.Random(seed).sample(STORY, len(STORY)) if seed else STORY
    shop = Shop().happen(*arrived)
    assert shop.listed("bought_items") == {"b"}, "a was given back, and order 51 cancelled"
    assert shop.listed("cart_items") == set()
    assert shop.listed("wishlist_items") == {"b"}
    assert shop.number("orders") == 1
    assert [shop.item("buys", item) for item in "abcd"] == [0, 1, 1, 1]


def test_an_order_is_one_whatever_it_is_told_by_and_however_late() -> None:
    days = [START_MS + day * DAY_MS for day in range(9)]
    shop = Shop().happen(*(told(COMPLETED, "a", at_ms=at_ms, order="50", message=f"m{at_ms}") for at_ms in days))
    assert shop.number("orders", at_ms=days[-1]) == 1


CHANGED = (
    told(COMPLETED, "a", at_ms=START_MS, order="50"),
    told(UPDATED, "a", at_ms=START_MS + 1, order="50"),
    told(UPDATED, "a", at_ms=START_MS + 2, order="50"),
)


@pytest.mark.parametrize("events", list(itertools.permutations(CHANGED)))
def test_an_order_that_is_changed_stays_one(events: tuple[Tracked, ...]) -> None:
    assert Shop().happen(*events).number("orders") == 1
    assert Shop().happen(events[0]).number("orders") == 1


def test_a_change_of_no_order_that_it_names_counts_none() -> None:
    assert Shop().happen(told(UPDATED, "a")).number("orders") == 0


def test_a_refund_that_names_items_leaves_the_order_an_order() -> None:
    shop = Shop().happen(told(COMPLETED, "a", "b", order="50"), told(REFUNDED, "a", at_ms=START_MS + 1, order="50"))
    assert (shop.number("orders"), shop.listed("bought_items")) == (1, {"b"})


def test_orders_without_an_id_count_each_and_are_taken_back_each() -> None:
    shop = Shop().happen(*(told(COMPLETED, "a", at_ms=START_MS + n) for n in range(3)))
    assert shop.number("orders") == 3
    assert shop.happen(told(CANCELLED, at_ms=START_MS + 9)).number("orders") == 2


def test_what_nobody_saw_being_bought_can_be_given_back_and_counts_nothing() -> None:
    shop = Shop().happen(told(REFUNDED, at_ms=START_MS, order="1"), told(CANCELLED, "a", at_ms=START_MS + 1))
    assert shop.number("orders") == 0
    assert shop.happen(told(COMPLETED, "b", order="50", at_ms=START_MS + 2)).listed("bought_items") == {"b"}


def test_beyond_the_orders_that_are_remembered_one_by_one_each_still_counts() -> None:
    shop = Shop().happen(*(told(COMPLETED, "a", at_ms=START_MS + n, order=f"o{n}") for n in range(10)))
    assert shop.number("orders") == 10
    assert shop.happen(told(CANCELLED, at_ms=START_MS + 20, order="o0")).number("orders") == 9
    assert shop.happen(told(CANCELLED, at_ms=START_MS + 21, order="o9")).number("orders") == 8


def test_what_two_devices_tell_of_one_order_is_one_order_of_the_person() -> None:
    shop = Shop().happen(
        told(COMPLETED, "a", key=1, order="50"), told(COMPLETED, "a", key=2, order="50", at_ms=START_MS + 1),
        told(COMPLETED, "b", key=2, order="51", at_ms=START_MS + 2), told(REFUNDED, key=1, order="51"),
    )  # fmt: skip
    assert shop.number("orders", 1, 2) == 1
    assert shop.listed("bought_items", 1, 2) == {"a"}


def test_a_claimed_order_keeps_its_items_out_of_the_lists_of_that_device_and_counts_nowhere() -> None:
    shop = Shop().happen(told("Product Added", "a"), told(CLAIMED, "a", at_ms=START_MS + 1, order="50"))
    assert (shop.listed("bought_items"), shop.listed("cart_items")) == ({"a"}, set())
    assert (shop.number("orders"), shop.item("buys", "a"), shop.item("popular", "a")) == (0, 0, 1)
    assert shop.happen(told(COMPLETED, "a", at_ms=START_MS + 2, order="50")).number("orders") == 1


def test_what_is_bought_again_after_it_was_given_back_is_bought() -> None:
    shop = Shop().happen(
        told(COMPLETED, "a", order="50"), told(REFUNDED, "a", at_ms=START_MS + 1, order="50"),
        told(COMPLETED, "a", at_ms=START_MS + 2, order="51"),
    )  # fmt: skip
    assert shop.listed("bought_items") == {"a"}


def test_a_sum_is_corrected_by_what_is_given_back() -> None:
    net = FeatureDeclaration(
        name="net", on=(COMPLETED,), aggregate="sum", value="properties.revenue", takes_back=(REFUNDED, CANCELLED)
    )
    shop = Shop(net)
    for event, revenue in ((told(COMPLETED, "a", order="50"), 30.0), (told(REFUNDED, "a", at_ms=START_MS + 1), 12.5)):
        shop.happen(msgspec.structs.replace(event, values={"revenue": revenue}))
    assert shop.number("net") == 17.5


@pytest.mark.parametrize(("fields", "says"), [
    ({"aggregate": "decayed", "half_life": "1h"}, "nothing can be taken back of decayed"),
    ({"aggregate": "last_k", "by": "item.brand", "k": 3}, "nothing can be taken back of last_k by item.brand"),
    ({"aggregate": "count", "takes_back": ("A",)}, "A gives and takes back"),
    ({"aggregate": "count", "takes_back": ("*",)}, "without a proper name"),
    ({"aggregate": "sum", "value": "price", "by": "order", "k": 4}, "sum tells no orders apart"),
    ({"aggregate": "count", "by": "order"}, "needs k"),
    ({"aggregate": "count", "on": ("A", "*")}, "every event, and some by name"),
])  # fmt: skip
def test_what_cannot_be_taken_back_is_refused(fields: dict[str, Any], says: str) -> None:
    declared = msgspec.convert({"name": "f", "on": ("A",), "takes_back": ("B",)} | fields, FeatureDeclaration)
    fault = first_fault(declared)
    assert fault is not None
    assert says in fault.reason
    with pytest.raises(ConfigRejected):
        check(declared)


# Names.


def test_a_feature_hears_what_the_name_that_it_was_given_stands_for() -> None:
    bought = FeatureDeclaration(name="purchases", on=("purchase",), aggregate="count")
    shop = Shop(bought).happen(told(COMPLETED, "a"), told("purchase", "a", at_ms=START_MS + 1))
    assert shop.number("purchases") == 2


def test_a_star_hears_every_event() -> None:
    every = FeatureDeclaration(name="every", on=("*",), aggregate="count")
    events = [told(name, at_ms=START_MS + n) for n, name in enumerate(("Sofa Assembled", "Product Viewed", "Aliased"))]
    assert Shop(every).happen(*events).number("every") == 3


# Continuing.


def test_a_built_in_feature_keeps_the_version_that_it_had_before_it_heard_more() -> None:
    changed = [declaration.name for declaration in DEFAULT_FEATURES if former_of(declaration)]
    assert changed == [
        "session_categories", "session_brands", "session_price", "session_items", "category_affinity",
        "brand_affinity", "bought_items", "price_level", "views", "orders", "last_seen", "impressions", "clicks",
        "item_views", "carts", "buys", "trending", "popular", "co_viewed",
    ]  # fmt: skip
    versions = {one.name: version(one) for one in DEFAULT_FEATURES}
    assert (versions["bought_items"], versions["orders"]) == ("050d4f943426", "d1902526ab9d"), "as logs have them"
    for declaration in DEFAULT_FEATURES:
        own = msgspec.structs.replace(declaration, on=(*declaration.on, "Sofa Assembled"))
        assert former_of(own) is None
        assert version(own) != version(declaration)
        assert version(msgspec.structs.replace(declaration, owner="x")) == version(declaration)


def test_under_the_former_rules_it_hears_what_the_former_one_heard() -> None:
    former = tuple(former_of(one) or one for one in DEFAULT_FEATURES)
    events = [told(name, "a", at_ms=START_MS + n, order="50") for n, name in enumerate(KNOWN)]
    shop = Shop()
    rules = shop.schema.settings | {"folding": 1}
    shop.state.configure(Configured(START_MS, rules, shop.schema.declared()))
    shop.happen(*events)
    before = compile_features(former, memory_mb=64, items_max=2_000)
    state = State(before)
    state.configure(Configured(START_MS, rules, before.declared()))
    for item in "abcd":
        state.catalogue.upsert(ItemUpserted(START_MS, TENANT, item, {"category": item.upper(), "price": 5}))
    for event in events:
        state.fold([event])
    then, now = Reader(before, former).person(state, [1], START_MS), shop.person(at_ms=START_MS)
    new = {"searches", "cart_items", "wishlist_items"}
    assert {name: now.numbers[name] for name in then.numbers if name not in new} == pytest.approx(
        {name: value for name, value in then.numbers.items() if name not in new}, nan_ok=True)
    for name in set(then.lasts) - new:
        assert [one.tolist() for one in now.lasts[name]] == [one.tolist() for one in then.lasts[name]], name
    for name in then.tops:
        assert now.tops[name][0].tolist() == then.tops[name][0].tolist(), name


def test_what_was_counted_before_goes_on_after_an_update() -> None:
    shop = Shop()
    shop.state.configure(Configured(START_MS, shop.schema.settings | {"folding": 1}, shop.schema.declared()))
    shop.happen(told(COMPLETED, "a"), told(COMPLETED, "b", at_ms=START_MS + 1))
    shop.state.configure(Configured(START_MS + 2, shop.schema.settings, shop.schema.declared()))
    assert (shop.number("orders"), shop.listed("bought_items")) == (2, {"a", "b"})
    shop.happen(told(REFUNDED, "a", at_ms=START_MS + 3), told(COMPLETED, "c", at_ms=START_MS + 4, order="50"))
    assert (shop.number("orders"), shop.listed("bought_items")) == (3, {"b", "c"})


def test_a_checkpoint_from_before_an_update_opens_to_what_the_log_comes_to(tmp_path: Path) -> None:
    former = tuple(one for declared in DEFAULT_FEATURES if (one := former_of(declared)) is not None)
    then, now = compile_features(former, memory_mb=64, items_max=2_000), Shop().schema
    rules = Configured(START_MS, then.settings | {"folding": 1}, then.declared())
    before, rebuilt, opened = State(then), State(now), State(now)
    for state in (before, rebuilt):
        state.configure(rules)
        for n, name in enumerate((*KNOWN, COMPLETED, REFUNDED)):
            state.fold([told(name, "a", "b", at_ms=START_MS + n, message=f"m{n}")])
        state.publish(Epoch(START_MS, 1, ""))
    path = write_checkpoint(RealDisk(), tmp_path, Snapshot(before, position=1, at_ms=1, control={}))
    load_checkpoint(RealDisk(), path, opened)
    assert opened.hash() == rebuilt.hash()
    for state in (opened, rebuilt):
        state.configure(Configured(START_MS + 9_000, now.settings, now.declared()))
        state.fold([told(CANCELLED, "a", at_ms=START_MS + 10_000), told(COMPLETED, at_ms=START_MS + 10_001, order="1")])
    assert opened.hash() == rebuilt.hash()
    person = Reader(now, DEFAULT_FEATURES).person(opened, [1], START_MS + MINUTE_MS)
    assert (person.numbers["orders"], person.lasts["bought_items"][0].tolist()) == (2, [ref("b")])


# Missing is not zero.


COUNTED = FeatureDeclaration(name="counted", on=("Help Viewed",), aggregate="count")
WINDOW = FeatureDeclaration(name="window", on=("Help Viewed",), aggregate="windowed", window="1h", tiles=4)
SEEN = FeatureDeclaration(name="seen", on=("Help Viewed",), aggregate="time_since")
FIRM = FeatureDeclaration(name="firm", on=("Help Viewed",), aggregate="count", default=7.0)


def test_what_was_counted_from_the_beginning_is_a_true_zero_and_what_has_no_value_is_missing() -> None:
    shop = Shop(COUNTED, WINDOW, SEEN, FIRM).happen(told("Page Viewed"))
    numbers = shop.person().numbers
    assert (numbers["counted"], numbers["window"], numbers["orders"], numbers["firm"]) == (0, 0, 0, 7)
    assert math.isnan(numbers["seen"])
    assert math.isnan(numbers["price_level"])


def test_nobody_has_done_nothing_and_has_no_means() -> None:
    numbers = Shop(COUNTED, SEEN, FIRM).person(99).numbers
    assert (numbers["counted"], numbers["firm"]) == (0, 7)
    assert math.isnan(numbers["seen"])


def test_a_feature_that_is_declared_later_is_missing_until_it_has_counted() -> None:
    shop = Shop(COUNTED, WINDOW, FIRM, since=["counted", "window", "firm"]).happen(told("Help Viewed"))
    since_ms = START_MS + MINUTE_MS
    shop.state.configure(Configured(since_ms, shop.schema.settings, shop.schema.declared()))
    numbers = shop.person(at_ms=since_ms).numbers
    assert math.isnan(numbers["counted"])
    assert math.isnan(numbers["window"])
    assert numbers["firm"] == 7
    assert numbers["orders"] == 0, "that one counts from the beginning on"
    assert shop.number("window", at_ms=since_ms + 60 * MINUTE_MS) == 0, "the whole window has been counted"
    shop.happen(told("Page Viewed", key=2, at_ms=since_ms))
    assert shop.number("counted", 2, at_ms=since_ms) == 0, "of whom everything has been counted"
    assert math.isnan(shop.number("counted", 1, 2, at_ms=since_ms))
    shop.happen(told("Help Viewed", at_ms=since_ms + 1))
    assert shop.number("counted", at_ms=since_ms + 2) == 1


def test_what_may_not_be_read_is_missing() -> None:
    shop = Shop(COUNTED, FIRM).happen(told("Help Viewed"))
    numbers = shop.person(denied=frozenset({"personalization"})).numbers
    assert math.isnan(numbers["counted"])
    assert numbers["firm"] == 7


def test_since_when_a_feature_counts_is_in_the_checkpoint(tmp_path: Path) -> None:
    shop = Shop(COUNTED, since=["counted"]).happen(told("Page Viewed"))
    shop.state.configure(Configured(START_MS + 5, shop.schema.settings, shop.schema.declared()))
    path = write_checkpoint(RealDisk(), tmp_path, Snapshot(shop.state, position=1, at_ms=1, control={}))
    opened = State(shop.schema)
    load_checkpoint(RealDisk(), path, opened)
    assert list(opened.since_ms.values()) == [START_MS + 5]
    numbers = shop.reader.person(opened, [1], START_MS + MINUTE_MS).numbers
    assert math.isnan(numbers["counted"])
    assert numbers["orders"] == 0



"""Which items an event names, with which prices: the specification's shape, other tools' shapes, configured places."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from typing import Any

import pytest

from instanter.events.admitted import Admitted
from instanter.events.amounts import Amounts
from instanter.events.decode import Door
from instanter.events.enrich import Enricher
from instanter.events.named_items import (
    HOLDERS,
    ID_FIELDS,
    LIST_FIELDS,
    NAMING_ITEMS,
    PRICE_FIELDS,
    QUANTITY_FIELDS,
    UNREAD,
    ItemFinder,
)
from instanter.events.notes import Note
from instanter.events.orders import ORDERING
from instanter.events.subjects import HashedSubjects
from instanter.foundation.errors import ConfigRejected, EventRejected
from instanter.foundation.ids import Ids, item_reference

VIEW = {"type": "track", "messageId": "m-1", "anonymousId": "a1", "event": "Product Viewed"}
ORDER = VIEW | {"event": "Order Completed"}


def view(**properties: Any) -> dict[str, Any]:
    return VIEW | {"properties": properties}


def order(**properties: Any) -> dict[str, Any]:
    return ORDER | {"properties": {"order_id": "50"} | properties}


def refs(*ids: str) -> tuple[int, ...]:
    return tuple(item_reference("default", one) for one in ids)


def codes(admitted: Admitted) -> list[str]:
    return [note.code for note in admitted.notes]


def told(admitted: Admitted) -> list[tuple[str, str]]:
    return [(note.code, note.field) for note in admitted.notes]


def worth(admitted: Admitted) -> float:
    record = admitted.record
    quantities = record.quantities or (1.0,) * len(record.items)
    return sum(price * quantity for price, quantity in zip(record.prices, quantities, strict=False))


class TestTheUsualNames:
    @pytest.mark.parametrize("field", ID_FIELDS)
    def test_each_name_of_an_id_names_the_item(self, admit, field: str):
        for event in (VIEW, VIEW | {"event": "Article Read"}, VIEW | {"type": "page"}):
            assert admit(event | {"properties": {field: "x-1"}}).record.items == refs("x-1")

    @pytest.mark.parametrize("field", ["product_id", "item_id", "articleId"])
    @pytest.mark.parametrize("value", [5, 5.0, "5"])
    def test_a_whole_number_is_an_id(self, admit, field: str, value: Any):
        assert admit(view(**{field: value})).record.items == refs("5")
        assert admit(view(products=[{field: value}])).record.items == refs("5")

    @pytest.mark.parametrize("name", [name for name in LIST_FIELDS if not name.startswith("refund")])
    def test_each_name_of_a_list_holds_items(self, admit, name: str):
        lines = [{"id": "a", "price": 2.0, "quantity": 3}, {"item_id": "b", "sku": "", "price": "1,50"}]
        record = admit(order(**{name: lines})).record
        assert (record.items, record.prices, record.quantities) == (refs("a", "b"), (2.0, 1.5), (3.0, 1.0))
        assert admit(order(**{name: ["a", 7]})).record.items == refs("a", "7")

    @pytest.mark.parametrize("name", HOLDERS)
    def test_a_map_holds_the_one_item(self, admit, name: str):
        record = admit(view(**{name: {"id": 7, "price": "€5"}})).record
        assert (record.items, record.prices) == (refs("7"), (5.0,))

    @pytest.mark.parametrize("wrap", [
        lambda lines: {"ecommerce": {"items": lines}},
        lambda lines: {"ecommerce": {"purchase": {"products": lines}}},
        lambda lines: {"ecommerce": {"detail": {"products": lines}}},
        lambda lines: {"ecommerce": {"impressions": lines}},
        lambda lines: {"custom_data": {"contents": lines}},
        lambda lines: {"product_action": {"action": "purchase", "products": lines}},
        lambda lines: {"checkout": {"id": "c-1", "lineItems": lines}},
        lambda lines: {"id": "e-1", "data": {"checkout": {"lineItems": lines}}},
        lambda lines: {"collection": {"id": 3, "productVariants": lines}},
        lambda lines: {"order": {"id": 3, "line_items": lines}},
    ])
    def test_lists_lie_in_the_maps_of_tools(self, admit, wrap: Callable[[Any], dict[str, Any]]):
        lines = [{"id": "a", "price": 3, "quantity": 2}]
        admitted = admit(order(**wrap(lines)))
        record = admitted.record
        assert (record.items, record.prices, record.quantities) == (refs("a"), (3.0,), (2.0,))
        assert told(admitted) == []

    def test_what_an_event_names_itself_stands_before_its_maps(self, admit):
        properties = {"product_id": "a", "ecommerce": {"items": ["a", "b"]}, "data": {"product_id": "c", "price": 3}}
        record = admit(view(**properties)).record
        assert (record.items, record.prices) == (refs("a"), (3.0,))

    def test_a_map_says_the_currency_and_the_worth_of_its_order(self, admit):
        lines = [{"item_id": "a"}, {"item_id": "b"}]
        admitted = admit(order(ecommerce={"value": 10, "currency": "EUR", "items": lines}))
        assert (worth(admitted), told(admitted)) == (10.0, [])
        mixed = order(ecommerce={"currency": "EUR", "items": [{"item_id": "a", "price": "5 USD"}]})
        assert codes(admit(mixed)) == ["units_mixed"]

    @pytest.mark.parametrize("line", [
        {"id": "l-1", "quantity": 1, "variant": {"id": 2, "sku": "s", "price": {"amount": 9, "currencyCode": "EUR"},
                                                 "product": {"id": "7"}}},
        {"quantity": 1, "merchandise": {"id": 2, "price": {"amount": 9}, "product": {"id": "7"}}},
    ])  # fmt: skip
    def test_a_line_of_a_shopify_cart_is_the_one_item(self, admit, line: dict[str, Any]):
        admitted = admit(VIEW | {"event": "product_added_to_cart", "properties": {"cartLine": line}})
        assert (admitted.record.items, admitted.record.prices, told(admitted)) == (refs("7"), (9.0,), [])

    def test_matomos_lines_are_lists(self, admit):
        lines = [["sku-1", "Name", "Category", "9,50", 2], ["sku-2"]]
        for sent in (lines, json.dumps(lines)):
            record = admit(order(ec_items=sent)).record
            assert (record.items, record.quantities) == (refs("sku-1", "sku-2"), (2.0, 1.0))
            assert record.prices[0] == 9.5

    @pytest.mark.parametrize("products", [
        '[{"product_id": "a"}, {"product_id": "b"}]', {"0": {"product_id": "a"}, "1": {"product_id": "b"}},
        '{"0": {"product_id": "a"}, "1": {"product_id": "b"}}',
    ])
    def test_a_list_may_be_a_map_or_json_text(self, admit, products: Any):
        admitted = admit(order(products=products))
        assert admitted.record.items == refs("a", "b")
        assert ("field_repaired", "properties.products") in told(admitted)

    def test_a_map_in_the_place_of_a_list_may_be_its_only_item(self, admit):
        assert admit(order(products={"product_id": "a", "price": 2})).record.items == refs("a")

    @pytest.mark.parametrize(("line", "item"), [
        ({"id": 1, "line_item_id": 2, "quantity": 3, "line_item": {"id": 2, "product_id": 9, "price": "2.00"}}, "9"),
        ({"id": 1, "quantity": 3, "lineItem": {"id": 2, "sku": "s", "product": {"id": "9"}, "price": 2}}, "9"),
        ({"id": 1, "quantity": 3, "variant": {"id": 2, "sku": "s", "price": 2, "product": {"id": "9"}}}, "9"),
        ({"id": 1, "quantity": 3, "merchandise": {"id": 2, "price": 2, "product": {"id": "9"}}}, "9"),
        ({"id": 1, "quantity": 3, "merchandise": {"id": "9", "price": 2}}, "9"),
        ({"id": "9", "quantity": 3, "price": 2, "variant": {"id": 2, "name": "red"}}, "9"),
        ({"id": "9", "quantity": 3, "price": 2, "product": {"title": "Sofa"}}, "9"),
        ({"sku": "9", "quantity": 3, "price": 2, "variant": {"id": 2}}, "9"),
        ({"quantity": 3, "lineItem": {"id": 2, "price": 2, "title": "Sofa"}}, "2"),
        ({"quantity": 3, "product_id": 9, "price": 2, "product": {"id": 8}}, "9"),
    ])
    def test_an_item_may_lie_in_a_map_within_its_line(self, admit, line: dict[str, Any], item: str):
        for name, lines in (
            ("products", [line]), ("refund_line_items", [line]), ("lineItems", {"nodes": [line]}),
            ("refundLineItems", {"edges": [{"node": line}]}),
        ):  # fmt: skip
            if name.startswith("refund") and line.get("id") == item:  # There it is that of the line.
                continue
            admitted = admit(order(**{name: lines}))
            record = admitted.record
            assert (record.items, record.prices, record.quantities) == (refs(item), (2.0,), (3.0,)), name
            assert told(admitted) == []

    def test_a_variant_names_its_product(self, admit):
        record = admit(view(productVariant={"id": 2, "sku": "s", "product": {"id": 9}})).record
        assert record.items == refs("9")

    @pytest.mark.parametrize("lines", [
        {"refund_line_items": [{"id": 1, "line_item_id": 2}]}, {"line_items": [{"x": 1}]},
        {"lineItems": {"nodes": [{"quantity": 1}]}}, {"ecommerce": {"items": [{"x": 1}]}},
    ])
    def test_a_refund_of_items_that_cannot_be_read_is_not_one_of_the_whole_order(self, admit, lines: Any):
        refund = {**VIEW, "event": "Order Refunded", "properties": {"order_id": "50", **lines}}
        admitted = admit(refund)
        assert admitted.record.items == (item_reference("default", UNREAD),)
        assert told(admitted) == [("no_item", "")]
        assert admit({**refund, "properties": {"order_id": "50"}}).record.items == ()

    def test_numbers_called_items_are_no_list(self, admit):
        admitted = admit(view(product_id="a", items=3, content="words"))
        assert (admitted.record.items, told(admitted)) == (refs("a"), [])

    def test_the_specifications_names_stand_before_others(self, admit):
        assert admit(view(item_id="no", product_id="yes", id="never")).record.items == refs("yes")
        assert admit(view(products=[{"id": "no", "sku": "yes"}], items=["never"])).record.items == refs("yes")

    @pytest.mark.parametrize("name", ["Product_ID", "productid", "PRODUCT_ID", "Sku", "Products"])
    def test_a_name_nearly_right_is_taken_where_nothing_else_names_one(self, admit, name: str):
        admitted = admit(view(**{name: ["a"] if name == "Products" else "a"}))
        assert (admitted.record.items, told(admitted)) == (refs("a"), [("near_miss", f"properties.{name}")])

    @pytest.mark.parametrize("name", sorted(NAMING_ITEMS))
    def test_an_event_that_names_no_item_is_told(self, admit, name: str):
        unnamed = ["order_unnamed"] if name in ORDERING else []
        assert codes(admit(VIEW | {"event": name, "properties": {"colour": "red"}})) == ["no_item", *unnamed]
        assert codes(admit(VIEW | {"event": name})) == ["no_item", *unnamed]

    def test_others_need_none(self, admit):
        for event in ({"event": "Cart Viewed"}, {"event": "Promotion Viewed"}, {"type": "page"}, {"event": "my_own"}):
            assert codes(admit(VIEW | event)) == []

    @pytest.mark.parametrize("name", ["Product Viewed", "Product Added", "Product Removed", "Article Liked"])
    @pytest.mark.parametrize("sent", [5, "5", 5.0])
    def test_the_id_of_an_event_about_one_item_is_its_item_where_nothing_else_is(self, admit, name: str, sent: Any):
        admitted = admit(VIEW | {"event": name, "properties": {"id": sent, "name": "Sofa"}})
        assert (admitted.record.items, told(admitted)) == (refs("5"), [])
        assert admit(VIEW | {"event": name, "properties": {"id": sent, "sku": "s"}}).record.items == refs("s")

    @pytest.mark.parametrize("name", ["Product List Viewed", "Order Completed", "Cart Viewed", "My Own"])
    def test_an_id_of_something_else_is_no_item(self, admit, name: str):
        assert admit(VIEW | {"event": name, "properties": {"id": 5}}).record.items == ()

    def test_lines_may_be_spelt_nearly_right_too(self, admit):
        admitted = admit(order(Items=[{"ProductID": "a", "Quantity": 2, "ItemPrice": 5}, "b"]))
        record = admitted.record
        assert (record.items, record.prices[0], record.quantities) == (refs("a", "b"), 5.0, (2.0, 1.0))
        assert told(admitted) == [("near_miss", "properties.Items")]
        adobes = admit(order(productListItems=[{"SKU": "a"}]))
        assert told(adobes) == [("near_miss", "properties.productListItems[].SKU")]
        assert told(admit(order(Items=7))) == [("no_item", "")]


class TestOrdersThatAreNotNamed:
    @pytest.mark.parametrize("name", ["Order Refunded", "Order Cancelled", "Order Updated"])
    def test_what_says_nothing_of_any_order_is_told(self, admit, name: str):
        event = VIEW | {"event": name}
        assert codes(admit(event | {"properties": {"total": 5}})) == ["no_order"]
        assert codes(admit(event | {"properties": {"order_id": "50"}})) == []

    @pytest.mark.parametrize("name", ["Order Refunded", "Order Cancelled"])
    def test_items_say_enough(self, admit, name: str):
        assert codes(admit(VIEW | {"event": name, "properties": {"products": ["a"]}})) == []


class TestConfiguredPlaces:
    def items(self, item_from: list[str], properties: dict[str, Any]) -> tuple[int, ...]:
        return ItemFinder(item_from).items_of(properties, "default", [])[0]

    def test_the_first_that_is_there_counts_also_in_lists(self):
        order = ["sku", "product_id"]
        assert self.items(order, {"product_id": "p", "sku": "s"}) == refs("s")
        assert self.items(order, {"product_id": "p"}) == refs("p")
        assert self.items(order, {"products": [{"product_id": "p", "sku": 5}, {"product_id": "q"}]}) == refs("5", "q")

    def test_what_is_not_named_is_no_item(self):
        assert self.items(["sku"], {"product_id": "p"}) == ()
        assert self.items(["content.id"], {"products": ["p"]}) == ()

    def test_paths_lead_through_maps_and_lists(self):
        assert self.items(["properties.content.id"], {"content": {"id": "c"}}) == refs("c")
        deep = {"ecommerce": {"items": [{"item": {"code": "a"}, "price": 2}, {"item_id": "b"}, 7, {}]}}
        assert self.items(["ecommerce.items[].item.code", "ecommerce.items[].item_id"], deep) == refs("a", "b")
        assert self.items(["items[].item_variant"], {"items": [{"item_variant": "v", "item_id": "p"}]}) == refs("v")
        assert self.items(["a.b.c"], {"a": [1], "b": 2}) == ()

    @pytest.mark.parametrize("path", ["", ".", "a..b", "a[]", "a[].b[].c", "a b", "[]", "items[0].id", "properties."])
    def test_what_is_no_path_is_refused_with_the_setting(self, path: str):
        with pytest.raises(ConfigRejected) as caught:
            ItemFinder([path])
        assert caught.value.setting == "item_from"
        assert "items[].item_id" in caught.value.suggestion

    def test_the_door_goes_by_it(self, enricher: Enricher):
        door = Door(subjects=HashedSubjects(bytes(16)), ids=Ids(), enrich=enricher, item_from=("sku",))
        raw = json.dumps(view(product_id="p", sku="s", price="1.299,00 €")).encode()
        record = door.admit(raw, kind=None, received_ms=1_750_000_000_000, tenant="default").record
        assert (record.items, record.prices) == (refs("s"), (1299.0,))


class TestNumbers:
    @pytest.mark.parametrize(("sent", "price"), [
        ("12,50", 12.5), ("1,299.00", 1299.0), ("$99.00", 99.0), ("105.29 USD", 105.29), ("€5", 5.0), ("0", 0.0),
        (7, 7.0), ("1.299,00 €", 1299.0),
    ])
    def test_text_that_is_one_number_is_that_number(self, admit, sent: Any, price: float):
        for event in (view(product_id="a", price=sent), view(products=[{"product_id": "a", "price": sent}])):
            admitted = admit(event)
            assert (admitted.record.prices, codes(admitted)) == ((price,), [])

    def test_a_line_is_worth_its_price_times_its_pieces(self, admit):
        assert worth(admit(order(products=[{"product_id": "a", "price": "19,90", "quantity": "2"}]))) == 39.8

    @pytest.mark.parametrize("sent", ["1_000", "free", "1,299", "1.2.3", True, [], {}, "9" * 70, 10**400])
    def test_what_is_no_number_or_two_is_told_by_field(self, admit, sent: Any):
        alone = admit(view(product_id="a", price=sent))
        assert alone.record.prices == ()
        assert ("number_unreadable", "properties.price") in told(alone)
        listed = admit(view(products=[{"product_id": "a", "price": sent}]))
        assert listed.record.prices == ()
        if sent != 10**400:
            assert told(listed) == [("number_unreadable", "properties.products[].price")]

    @pytest.mark.parametrize("nothing", [None, "", " "])
    def test_nothing_sent_is_nothing_to_tell(self, admit, nothing: Any):
        assert told(admit(view(product_id="a", price=nothing, quantity=nothing))) == []

    @pytest.mark.parametrize(("field", "sent"), [
        ("price", -5), ("price", -0.5), ("price", "-5,00"), ("price", 1e16), ("price", 1e308), ("price", "1e16"),
        ("quantity", -5), ("quantity", "-5,00"), ("quantity", 0), ("quantity", 0.0), ("quantity", "0"),
    ])  # fmt: skip
    def test_no_price_and_no_pieces_are_impossible(self, admit, field: str, sent: Any):
        admitted = admit(view(product_id="a", **{field: sent}))
        assert (admitted.record.prices, admitted.record.quantities) == ((), ())
        assert field not in admitted.record.values
        assert ("number_impossible", f"properties.{field}") in told(admitted)
        listed = admit(view(products=[{"product_id": "a", field: sent}]))
        assert (listed.record.prices, listed.record.quantities) == ((), ())
        assert told(listed) == [("number_impossible", f"properties.products[].{field}")]

    def test_amounts_of_two_currencies_are_not_mixed(self, admit):
        lines = [{"product_id": "a", "price": "5 EUR"}, {"product_id": "b", "price": "$5"}]
        admitted = admit(order(products=lines))
        assert admitted.record.prices[0] == 5.0
        assert math.isnan(admitted.record.prices[1])
        assert codes(admitted) == ["units_mixed"]
        assert codes(admit(view(product_id="a", price="€5", currency="USD"))) == ["units_mixed"]
        assert codes(admit(view(product_id="a", price="$5", currency="CAD"))) == []

    @pytest.mark.parametrize("sent", [500, "500", 500.0, "500,0"])
    def test_other_numbers_may_be_text_too(self, admit, sent: Any):
        assert admit(view(product_id="a", dwell_ms=sent)).record.values == {"dwell_ms": 500.0}

    def test_numbers_lie_where_a_path_says(self):
        amounts = Amounts({"checkout.value", "rating", "a.b"})
        properties = {"checkout": {"value": "12,50"}, "rating": 4, "a": [1]}
        assert amounts.values_of(properties, []) == {"checkout.value": 12.5, "rating": 4.0}
        assert amounts.values_of({"checkout.value": 3, "checkout": {"value": 5}}, []) == {"checkout.value": 3.0}


LINES = [{"product_id": "a", "quantity": 3}, {"product_id": "b"}]


class TestWhatAnOrderIsWorth:
    @pytest.mark.parametrize("field", ["revenue", "subtotal", "value", "total", "total_price"])
    @pytest.mark.parametrize("sent", [100, "100,00 €"])
    def test_lines_without_prices_share_what_the_order_says(self, admit, field: str, sent: Any):
        admitted = admit(order(products=LINES, **{field: sent}))
        assert worth(admitted) == pytest.approx(100.0)
        assert admitted.record.prices == (25.0, 25.0)

    def test_the_orders_revenue_comes_first(self, admit):
        assert worth(admit(order(products=LINES, total=120, revenue=100))) == pytest.approx(100.0)
        assert worth(admit(order(products=LINES, total=120, revenue="free"))) == pytest.approx(120.0)

    def test_prices_that_can_be_read_stand(self, admit):
        lines = [{"product_id": "a", "price": 5}, {"product_id": "b", "price": "free"}]
        record = admit(order(products=lines, revenue=100)).record
        assert record.prices[0] == 5.0
        assert math.isnan(record.prices[1])

    def test_prices_that_cannot_be_read_leave_it_to_the_order(self, admit):
        lines = [{"product_id": "a", "price": "1,299"}, {"product_id": "b", "price": "free"}]
        assert worth(admit(order(products=lines, revenue=30))) == pytest.approx(30.0)

    def test_an_order_below_zero_is_none(self, admit):
        for sent in (-5, 1e16):
            admitted = admit(order(products=LINES, revenue=sent))
            assert (admitted.record.prices, told(admitted)) == ((), [("number_impossible", "properties.revenue")])

    def test_what_is_no_order_is_worth_nothing_as_a_whole(self, admit):
        assert admit(view(product_id="a", value=5)).record.prices == ()


def test_a_line_that_is_no_item_refuses_the_event_with_the_field(admit):
    for line, field in ((["a"], "properties.products[]"), ({"product_id": {}}, "properties.products[].product_id")):
        with pytest.raises(EventRejected) as caught:
            admit(order(products=[line]))
        assert caught.value.message.startswith(field)


@pytest.mark.parametrize(("price", "read"), [
    ({"amount": 12.9, "currencyCode": "EUR"}, 12.9), ({"amount": "12,90"}, 12.9),
    ({"value": 3, "currency": "USD"}, 3.0),
    ({"amount": None}, None), ({"amount": True}, None), ({"amount": {"amount": 1}}, None), ({}, None),
])
def test_a_price_may_be_a_map_of_an_amount_and_its_currency(price: Any, read: float | None) -> None:
    for properties in ({"product_id": "p", "price": price}, {"products": [{"product_id": "p", "price": price}] * 2}):
        notes: list[Note] = []
        prices = ItemFinder().items_of(properties, "t", notes)[1]
        assert [None if one != one else one for one in prices] == [read] * len(prices)
        assert bool(notes) == (read is None)


@pytest.mark.parametrize("field", QUANTITY_FIELDS)
class TestQuantities:
    """Of a single item and of lines, under each of their names."""

    def test_each_is_read(self, admit, field: str):
        for properties in ({"product_id": "p", "price": 2.5, field: 3}, {"sku": "p", field: "3"},
                           {"products": [{"sku": "p", field: 3.0}]}):  # fmt: skip
            admitted = admit(order(**properties))
            assert (admitted.record.quantities, told(admitted)) == ((3.0,), [])

    @pytest.mark.parametrize(("sent", "code"), [("zwei", "number_unreadable"), (-1, "number_impossible"),
                                                (0, "number_impossible"), ([], "number_unreadable")])
    def test_what_is_none_is_told_by_its_own_name(self, admit, field: str, sent: Any, code: str):
        line = {"sku": "p", field: sent}
        for properties, path in ((line, "properties"), ({"products": [line]}, "properties.products[]")):
            admitted = admit(order(**properties))
            assert (admitted.record.quantities, told(admitted)) == ((), [(code, f"{path}.{field}")])


@pytest.mark.parametrize("field", PRICE_FIELDS)
def test_a_price_that_is_none_is_told_by_its_own_name(admit, field: str):
    for properties, path in (
        ({"sku": "p", field: "?"}, "properties"), ({"products": [{"sku": "p", field: "?"}]}, "properties.products[]")
    ):
        assert told(admit(view(**properties))) == [("number_unreadable", f"{path}.{field}")]

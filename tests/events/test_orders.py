"""Which order an event speaks of, and when two events are one statement about it."""

from __future__ import annotations

from typing import Any

import pytest

from instanter.events.meanings import MEANINGS
from instanter.events.orders import ABOUT_ORDERS, idempotence_of, order_of
from instanter.events.wrapped import unwrapped

COMPLETED, CLAIMED, UPDATED, REFUNDED, CANCELLED = (
    "Order Completed", "Order Claimed", "Order Updated", "Order Refunded", "Order Cancelled",
)  # fmt: skip


def twice(name: str, first: dict[str, Any], second: dict[str, Any]) -> bool:
    """Whether two events of this name, under two messageIds, are one statement."""
    return idempotence_of(name, "m1", first) == idempotence_of(name, "m2", second)


def test_the_names_about_orders_are_those_that_the_table_says() -> None:
    assert {COMPLETED, CLAIMED, UPDATED, REFUNDED, CANCELLED} == ABOUT_ORDERS


@pytest.mark.parametrize("name", [COMPLETED, CLAIMED, CANCELLED])
def test_an_order_is_completed_and_cancelled_once_whatever_the_message_ids(name: str) -> None:
    assert twice(name, {"order_id": "50"}, {"order_id": "50", "products": [{"product_id": "a"}]})
    assert not twice(name, {"order_id": "50"}, {"order_id": "51"})
    assert not twice(name, {}, {})


@pytest.mark.parametrize("field", ["order_id", "orderId", "transaction_id", "transactionId", "purchase_id", "ec_id",
                                   "order_number", "OrderID", "Order ID", "ORDER_ID", "TransactionId"])  # fmt: skip
@pytest.mark.parametrize("value", ["50", 50, 50.0, " 50 "])
def test_an_order_is_named_in_each_way_that_the_field_knows(field: str, value: object) -> None:
    assert order_of(COMPLETED, {field: value}) == "50"
    assert twice(COMPLETED, {field: value}, {"order_id": "50"})


def test_a_shops_own_record_of_an_order_or_a_refund_names_itself() -> None:
    assert order_of(COMPLETED, {"id": 820982911946154508}) == "820982911946154508"
    assert order_of(COMPLETED, {"id": "gid://shopify/Order/50", "name": "#9"}) == "50"
    assert order_of(REFUNDED, {"id": 9, "order_id": 50}) == "50"
    assert order_of(REFUNDED, {"id": 9}) == ""
    assert order_of(COMPLETED, {"id": 50, "order_number": 1001}) == "50"
    assert twice(REFUNDED, {"id": 9, "order_id": 50, "refund_line_items": [{}]}, {"refund_id": "9", "order_id": "50"})


@pytest.mark.parametrize("properties", [
    {"ecommerce": {"transaction_id": "50", "items": []}}, {"order": {"id": 50}}, {"custom_data": {"order_id": "50"}},
    {"ecommerce": {"purchase": {"actionField": {"id": "50"}, "products": ["a"]}}},
    {"commerce": {"order": {"purchaseID": "50"}}},
    {"checkout": {"id": "c-1", "order": {"id": "gid://shopify/Order/50"}}}, {"transaction": {"transaction_id": 50}},
    {"id": "e-1", "data": {"checkout": {"order": {"id": "50"}}}}, {"product_action": {"transaction_id": "50"}},
    {"purchaseTransaction": {"id": "50"}}, {"order_id": "50", "ecommerce": {"transaction_id": "51"}},
])  # fmt: skip
def test_an_order_may_be_named_in_the_map_that_holds_it(properties: dict[str, Any]) -> None:
    assert order_of(COMPLETED, unwrapped(properties)) == "50"


@pytest.mark.parametrize("properties", [
    {"checkout": {"id": "c-1", "order": None}}, {"ecommerce": {"detail": {"id": "x"}}}, {"collection": {"id": 5}},
    {"data": [5], "ecommerce": "words"}, {"transaction": "50"},
])  # fmt: skip
def test_the_id_of_another_map_names_no_order(properties: dict[str, Any]) -> None:
    assert order_of(COMPLETED, unwrapped(properties)) == ""


@pytest.mark.parametrize("value", ["", " ", "null", "undefined", "NaN", None, True, 1.5, [], {}, "x" * 256])
def test_what_names_no_order_makes_no_two_orders_one(value: object) -> None:
    assert order_of(COMPLETED, {"order_id": value}) == ""
    assert not twice(COMPLETED, {"order_id": value}, {"order_id": value})


def test_a_refund_of_the_whole_order_is_one_and_refunds_of_items_are_several() -> None:
    assert twice(REFUNDED, {"order_id": "50"}, {"order_id": "50", "products": []})
    some = {"order_id": "50", "products": [{"product_id": "a"}]}
    assert not twice(REFUNDED, some, some)
    assert twice(REFUNDED, some | {"refund_id": 7}, some | {"refund_id": "7"})
    assert not twice(REFUNDED, some | {"refund_id": 7}, some | {"refund_id": 8})


def test_a_change_of_an_order_is_each_time_another() -> None:
    assert not twice(UPDATED, {"order_id": "50"}, {"order_id": "50"})


@pytest.mark.parametrize("field", ["status", "financial_status", "paymentStatus", "order_status"])
@pytest.mark.parametrize("said", ["failed", "Cancelled", "REFUNDED", "payment_failed", "voided", "declined"])
def test_an_order_that_says_it_does_not_stand_is_told(field: str, said: str, admit: Any) -> None:
    sent = {"type": "track", "event": COMPLETED, "anonymousId": "a",
            "properties": {"order_id": "50", "product_id": "p", field: said}}  # fmt: skip
    assert [(note.code, note.field) for note in admit(sent).notes] == [("order_undone", f"properties.{field}")]
    for other in ({field: "paid"}, {field: "processing"}, {field: 3}, {}):
        assert admit(sent | {"properties": {"order_id": "50", "product_id": "p", **other}}).notes == ()
    assert admit(sent | {"event": REFUNDED}).notes == ()


def test_a_claim_does_not_stand_for_what_a_server_says() -> None:
    order = {"order_id": "50"}
    assert idempotence_of(CLAIMED, "m", order) != idempotence_of(COMPLETED, "m", order)
    assert idempotence_of(CANCELLED, "m", order) != idempotence_of(COMPLETED, "m", order)


@pytest.mark.parametrize("name", [one.name for one in MEANINGS if one.name not in ABOUT_ORDERS] + ["Sofa Assembled"])
def test_any_other_event_is_told_by_its_message_id(name: str) -> None:
    assert idempotence_of(name, "m1", {"order_id": "50"}) == "m1"
    assert order_of(name, {"order_id": "50"}) == ""


@pytest.mark.parametrize("field", ["order_no", "orderNo", "Order No", "order_nr", "order_reference", "Bestellnummer",
                                   "Bestell-Nr", "Auftragsnummer", "numero_commande", "bestelnummer"])  # fmt: skip
def test_what_people_call_an_order_makes_one_of_two(field: str, admit: Any) -> None:
    sent = {"type": "track", "event": "purchase", "anonymousId": "a", "properties": {"sku": "p", field: "B9"}}
    first, second = (admit(sent | {"messageId": message}) for message in ("m1", "m2"))
    assert first.record.message == second.record.message
    assert (first.record.order, first.notes) == (second.record.order, ()) != (0, ())
    assert order_of(COMPLETED, {field: "B9", "order_id": "50"}) == "50", "its id comes first"


@pytest.mark.parametrize(("properties", "field"), [
    ({}, ""), ({"order_id": "null"}, ""), ({"invoice_no": "R7"}, "properties.invoice_no"),
    ({"Rechnungsnummer": 7}, "properties.Rechnungsnummer"), ({"order": "B9"}, "properties.order"),
    ({"receiptId": "null"}, ""), ({"reference": "x", "total": 5}, "properties.reference"),
])  # fmt: skip
def test_an_order_that_nothing_names_is_told(properties: dict[str, Any], field: str, admit: Any) -> None:
    sent = {"type": "track", "event": COMPLETED, "anonymousId": "a", "properties": {"product_id": "p", **properties}}
    assert [(note.code, note.field) for note in admit(sent).notes] == [("order_unnamed", field)]
    claimed = [note.code for note in admit(sent, public=True).notes]
    assert "order_unnamed" in claimed
    for other in (REFUNDED, CANCELLED):
        assert admit(sent | {"event": other}).notes == ()

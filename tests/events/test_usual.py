"""The short way of usual events leads to the record of the long one, or nowhere."""

from __future__ import annotations

import json
from collections.abc import Callable
from itertools import count
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from instanter.events.admitted import Admitted
from instanter.events.decode import Door
from instanter.events.enrich import Enricher
from instanter.events.envelope import Tracked
from instanter.events.gate import FREE, Judgement, OpenGate
from instanter.events.schema import PlainEvent, UsualEvent
from instanter.events.sent import kept_fields
from instanter.events.subjects import HashedSubjects
from instanter.events.usual import UsualEvents
from instanter.foundation.errors import EventRejected, ReferenceTaken
from instanter.foundation.ids import Ids
from instanter.foundation.limits import ID_CHARS_MAX, SHAPE_CHARS_MAX, SHAPES_MAX
from instanter.ops.bench.traffic import Traffic
from instanter.sim.shop import Shop

NOW_MS = 1_750_000_000_000
SECRET = b"0123456789abcdef"
EVENT: dict[str, Any] = {
    "type": "track", "messageId": "m-1", "anonymousId": "a1", "event": "Product Viewed",
    "timestamp": "2025-06-15T15:06:40.000Z", "properties": {"product_id": "p1", "price": 9.5},
    "context": {"userAgent": "x", "locale": "en-GB", "page": {"url": "https://shop.example/"}, "library": {}},
}  # fmt: skip


def short(door: Door) -> UsualEvents:
    return door._usual


def taken(door: Door, *events: dict[str, Any], kind: str | None = None, sent_at_ms: int | None = None) -> list[Any]:
    """What the short way makes of events; None of those that it leaves."""
    admitted, left = short(door).admit(
        [msgspec.json.encode(event) for event in events], kind=kind, received_ms=NOW_MS, tenant="default",
        sent_at_ms=sent_at_ms,
    )  # fmt: skip
    found = iter(admitted)
    return [None if place in left else next(found) for place in range(len(events))]


def all_of(admitted: Admitted) -> tuple[Any, ...]:
    """All there is of it but how its body is written."""
    assert isinstance(admitted.record, Tracked)
    record = msgspec.structs.replace(admitted.record, body=b"")
    return repr(record), kept_fields(admitted.record.body), admitted.message_id, admitted.links, admitted.notes


def check_same(door: Door, event: dict[str, Any], *, kind: str | None = None, sent_at_ms: int | None = None) -> bool:
    """Whether the short way takes the event; what it makes of it is what the long one does."""
    (one,) = taken(door, event, kind=kind, sent_at_ms=sent_at_ms)
    if one is not None:
        other = door.admit(
            msgspec.json.encode(event), kind=kind, received_ms=NOW_MS, tenant="default", sent_at_ms=sent_at_ms
        )
        assert all_of(one) == all_of(other)
        assert msgspec.msgpack.decode(one.payload, type=Tracked).message == other.record.message
    return one is not None


IDS = st.sampled_from(["a1", "u-7", "", " ", "null", "0", "anonymous:x", "a\x00b", "é", "x" * ID_CHARS_MAX,
                       "x" * (ID_CHARS_MAX + 1), "\u2028"]) | st.integers() | st.none()  # fmt: skip
TIMES = st.sampled_from([
    "2025-06-15T15:06:40.000Z", "2025-06-15T15:06:40+02:00", "2025-06-15 15:06:39.123456", "2025-06-15", "20250615",
    "1999-06-15T15:06:40Z", "2035-06-15T15:06:40Z", "1969-06-15T15:06:40Z", "2025-06-15T15:06:60Z", "now", "",
]) | st.integers(0, 2**54) | st.none()  # fmt: skip
NUMBERS = st.sampled_from([0, 1, -1, 2**63, 2**64, 0.0, -0.5, 1e15, 1e16, 1e300, "9,50", "x", True, None]) | st.floats(
    allow_nan=False, allow_infinity=False
)
LINES = st.lists(
    st.dictionaries(st.sampled_from(["product_id", "sku", "id", "price", "quantity", "position", "name"]),
                    IDS | NUMBERS, max_size=4) | IDS,
    max_size=3,
)  # fmt: skip
PROPERTIES = st.fixed_dictionaries({}, optional={
    "product_id": IDS, "sku": IDS, "item_id": IDS, "productid": IDS, "id": IDS, "price": NUMBERS, "unit_price": NUMBERS,
    "quantity": NUMBERS, "position": NUMBERS, "revenue": NUMBERS, "dwell_ms": NUMBERS, "currency": IDS,
    "products": LINES | IDS, "items": LINES, "list_id": IDS, "item_list_id": IDS, "decision_id": IDS, "order_id": IDS,
    "consent": st.just({"ads": True}), "ecommerce": st.just({"items": [{"item_id": "e"}]}), "title": IDS,
})  # fmt: skip
CONTEXTS = st.fixed_dictionaries({}, optional={
    "userAgent": IDS, "locale": IDS, "timezone": IDS, "page": st.none() | st.just({"path": "/", "title": "t"}),
    "referrer": st.sampled_from(["https://www.google.com/", {"url": "https://x.example/"}]), "ip": st.just("192.0.2.7"),
    "consent": st.just({"ads": False}), "decisionId": IDS, "library": st.just({"name": "js"}), "mine": st.just(1),
    "campaign": st.just({"source": "mail", "name": 5}), "traits": st.just({}), "sessionId": IDS,
})  # fmt: skip
FIELDS = st.fixed_dictionaries({}, optional={
    "type": st.sampled_from(["track", "page", "screen", "identify", "alias", "group", "x", None]), "messageId": IDS,
    "anonymousId": IDS, "userId": IDS, "timestamp": TIMES, "properties": PROPERTIES | st.none(),
    "event": st.sampled_from(["Product Viewed", "product_added", "Product List Viewed", "Order Completed", "mine", "",
                              " ", "Products Searched", "Order Refunded", "Product Removed", "a\x00", None]),
    "context": CONTEXTS | st.none(), "traits": st.just({"name": "x"}), "writeKey": st.just("k"), "sentAt": TIMES,
    "originalTimestamp": TIMES, "integrations": st.just({}), "name": IDS, "mine": st.just(1),
})  # fmt: skip


@pytest.mark.slow
@settings(max_examples=3_000, deadline=None)
@given(
    changes=FIELDS, without=st.sets(st.sampled_from(sorted(EVENT)), max_size=1),
    kind=st.sampled_from([None, None, "track", "page"]), sent_at_ms=st.sampled_from([None, NOW_MS, NOW_MS - 5_000]),
)  # fmt: skip
def test_whatever_it_takes_becomes_the_same(
    door: Door, changes: dict[str, Any], without: set[str], kind: str | None, sent_at_ms: int | None
) -> None:
    event = {name: value for name, value in EVENT.items() if name not in without} | changes
    check_same(door, event, kind=kind, sent_at_ms=sent_at_ms)


@pytest.mark.parametrize("more", [
    {}, {"userId": "u1", "anonymousId": None}, {"userId": "u1"},
    {"type": "identify", "userId": "u1"}, {"timestamp": None}, {"context": None},
    {"properties": None, "event": "x"},
    {"timestamp": "2025-06-15 15:06:40"}, {"properties": {"product_id": "p1", "price": 9, "quantity": 2, "name": "n"}},
    {"properties": {"products": [{"product_id": "p1", "position": 1}, {"sku": 7}]}, "event": "Product List Viewed"},
    {"properties": {"query": "sofa"}, "event": "Products Searched"}, {"type": "page", "name": "Home"},
    {"properties": {"product_id": 5, "price": "9,50", "list_id": "l"}}, {"integrations": {}, "_metadata": {}},
])  # fmt: skip
def test_what_shops_send_is_taken(door: Door, more: dict[str, Any]) -> None:
    assert check_same(door, EVENT | more)


@pytest.mark.parametrize("more", [
    {"userId": "u1", "integrations": {"anonymousId": 1}}, {"userId": "u1", "anonymousId": "a\\"},
    {"userId": "u1", "anonymousId": "none"}, {"messageId": None}, {"writeKey": "k"}, {"context": {"ip": "192.0.2.7"}},
    {"type": "page", "context": {}},
    {"event": "Order Completed"}, {"traits": {"a": 1}}, {"timestamp": "2035-01-01T00:00:00Z"}, {"mine": 1},
    {"properties": {"price": 9.5}}, {"properties": {"product_id": "p", "price": "1.299"}}, {"anonymousId": "null"},
    {"properties": {"product_id": "a\x00"}}, {"properties": {"product_id": "p", "list_id": [1]}}, {"event": ""},
])  # fmt: skip
def test_what_has_something_unusual_in_it_is_left(door: Door, more: dict[str, Any]) -> None:
    assert not check_same(door, EVENT | more)


@pytest.fixture(scope="module")
def driven(enricher: Enricher) -> Door:
    """A door whose clock goes by the events."""
    return Door(subjects=HashedSubjects(SECRET), ids=Ids(), enrich=enricher, events_set_time=True)


@pytest.mark.slow
@settings(max_examples=1_000, deadline=None)
@given(changes=FIELDS, sent_at_ms=st.sampled_from([None, NOW_MS - 5_000]))
def test_whatever_it_takes_becomes_the_same_where_events_set_the_time(
    driven: Door, changes: dict[str, Any], sent_at_ms: int | None
) -> None:
    check_same(driven, EVENT | changes, sent_at_ms=sent_at_ms)


@pytest.mark.parametrize("timestamp", [
    "2025-06-15T15:06:40.000Z", "2035-01-01T00:00:00Z", "1999-06-15T15:06:40Z", "1969-06-15T15:06:40Z", None,
])  # fmt: skip
def test_where_events_set_the_time_any_time_is_usual(driven: Door, timestamp: str | None) -> None:
    assert check_same(driven, EVENT | {"timestamp": timestamp}, sent_at_ms=NOW_MS - 5_000)


def test_where_events_set_the_time_each_is_received_when_it_happened_or_with_its_step(driven: Door) -> None:
    times = ["2035-01-01T00:00:00Z", "2025-01-01T00:00:00Z", None, "2034-01-01T00:00:00Z"]
    events = [EVENT | {"messageId": f"m-{place}", "timestamp": told} for place, told in enumerate(times)]
    received = [one.record.received_ms for one in taken(driven, *events)]
    assert received == [2_051_222_400_000, NOW_MS, NOW_MS, 2_019_686_400_000]


def test_nearly_all_of_a_shop_s_traffic_is_taken(door: Door) -> None:
    traffic = Traffic(Shop(products=50), seed=3)
    events = [msgspec.json.decode(traffic.event(number % 40, NOW_MS)) for number in range(500)]
    assert sum(check_same(door, event) for event in events) > 0.95 * len(events)


def test_a_single_event_without_a_type_is_kept_with_that_of_its_route(door: Door) -> None:
    untyped = {name: value for name, value in EVENT.items() if name != "type"}
    assert check_same(door, untyped, kind="track")
    assert not check_same(door, untyped)
    assert not check_same(door, EVENT, kind="page")


def test_spaces_around_and_in_an_event_change_nothing(door: Door) -> None:
    text = b' \n{ "event" : "Product Searched", "anonymousId":"a1",\n "messageId": "m" }\r\n'
    (one,), left = short(door).admit([text], kind="track", received_ms=NOW_MS, tenant="default", sent_at_ms=None)
    assert not left
    assert all_of(one) == all_of(door.admit(text, kind="track", received_ms=NOW_MS, tenant="default"))


def test_an_event_with_both_ids_is_the_user_s_and_says_so_of_the_device(door: Door) -> None:
    text = msgspec.json.encode(EVENT | {"userId": "u1"})
    (one,), left = short(door).admit([text], kind=None, received_ms=NOW_MS, tenant="default", sent_at_ms=None)
    assert not left
    assert all_of(one) == all_of(door.admit(text, kind=None, received_ms=NOW_MS, tenant="default"))
    (link,) = one.links
    assert (link.cell, link.owner) == (one.record.device, one.record.key)
    assert b'"a1"' not in one.record.body


@pytest.mark.parametrize("told", [{}, {"type": "page"}])
def test_the_device_of_an_event_whose_type_its_route_gives_is_kept_sealed(door: Door, told: dict[str, Any]) -> None:
    untyped = {name: value for name, value in EVENT.items() if name != "type"} | {"userId": "u1"} | told
    admitted = door.admit(msgspec.json.encode(untyped), kind="track", received_ms=NOW_MS, tenant="default")
    assert isinstance(admitted.record, Tracked)
    assert kept_fields(admitted.record.body)["anonymousId"] == b"anonymous:a1"
    formerly = msgspec.msgpack.encode({"anonymousId": {"sealed": "YW5vbnltb3VzOmEx"}})
    assert kept_fields(formerly)["anonymousId"] == b"anonymous:a1"
    check_same(door, untyped, kind="track")


def test_an_event_whose_device_cannot_be_told_by_its_bytes_is_left(door: Door) -> None:
    spaced = json.dumps(EVENT | {"userId": "u1"}).encode()
    assert short(door).admit([spaced], kind=None, received_ms=NOW_MS, tenant="default", sent_at_ms=None) == ([], [0])


def test_whatever_the_narrow_types_take_the_wide_ones_do() -> None:
    wide = {field.encode_name: field.type for field in msgspec.structs.fields(PlainEvent)}
    assert {field.encode_name for field in msgspec.structs.fields(UsualEvent)} <= set(wide)


class TestAStep:
    def test_is_in_the_order_of_what_was_sent_whichever_way_each_went(self, door: Door) -> None:
        numbers = count()
        events = [
            EVENT | {"messageId": f"m-{next(numbers)}"} | more
            for more in ({"userId": "u1"}, {}, {"anonymousId": None}, {}, {"mine": 1}, {"type": "x"}, {}, {"mine": 2})
        ]
        admitted, refused = door.admit_step(
            [msgspec.json.encode(event) for event in events], kind=None, received_ms=NOW_MS, tenant="default"
        )
        assert [one.message_id for one in admitted] == ["m-0", "m-1", "m-3", "m-4", "m-6", "m-7"]
        assert [(place, error.code) for place, error in refused] == [(2, "schema"), (5, "schema")]

    @pytest.mark.parametrize("how", [
        {"public": True}, {"gpc": True}, {"history": True}, {"defaults": {"locale": "fr"}},
    ])  # fmt: skip
    def test_that_came_in_an_unusual_way_is_admitted_one_by_one(
        self, door: Door, how: dict[str, Any], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def refuse(*_: Any, **__: Any) -> None:
            raise AssertionError

        monkeypatch.setattr(door._usual, "admit", refuse)
        raw = msgspec.json.encode(EVENT)
        (one,), _ = door.admit_step([raw], kind=None, received_ms=NOW_MS, tenant="default", **how)
        assert one == door.admit(raw, kind=None, received_ms=NOW_MS, tenant="default", **how)


class TestTheGate:
    def test_is_asked_about_each_as_soon_as_anybody_has_objected(self, enricher: Enricher) -> None:
        class Closed(OpenGate):
            @property
            def is_open(self) -> bool:
                return False

            def judge(self, tenant: str, identifiers: tuple[str, ...], **_: Any) -> Judgement:
                return Judgement(withheld="erased") if identifiers == ("anonymous:a2",) else FREE

        door = Door(subjects=HashedSubjects(SECRET), ids=Ids(), enrich=enricher, gate=Closed())
        first, second = taken(door, EVENT, EVENT | {"anonymousId": "a2"})
        assert first is not None
        assert second is None


class TestWhatIsRemembered:
    def test_ends_where_the_bounds_do(self, door: Door) -> None:
        for number in range(SHAPES_MAX + 5):
            check_same(door, EVENT | {"properties": {"product_id": "p", f"n{number}": 1}})
        assert len(short(door)._shapes) <= SHAPES_MAX
        name = "n" * SHAPE_CHARS_MAX
        assert not check_same(door, EVENT | {"properties": {"product_id": "p", name: 1}})
        assert not any(name in names for names in short(door)._shapes)

    def test_is_forgotten_with_all_that_somebody_may_have_sent(self, door: Door) -> None:
        check_same(door, EVENT | {"event": "mine"})
        door.forget()
        assert not short(door)._shapes
        assert not short(door)._plans

    def test_names_are_bounded(self, door: Door, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("instanter.events.usual.EVENT_NAMES_MAX", 3)
        for number in range(8):
            assert check_same(door, EVENT | {"event": f"Made Up {number}"})
        assert len(short(door)._plans) <= 3


def test_an_item_that_cannot_be_told_from_another_is_left_to_be_refused(enricher: Enricher) -> None:
    def ref_of(tenant: str, item_id: str) -> int:
        raise ReferenceTaken(item_id)

    door = Door(subjects=HashedSubjects(SECRET), ids=Ids(), enrich=enricher, ref_of=ref_of)
    assert taken(door, EVENT) == [None]
    with pytest.raises(EventRejected):
        door.admit(msgspec.json.encode(EVENT), kind=None, received_ms=NOW_MS, tenant="default")


@pytest.mark.parametrize("options", [
    {"item_from": ["sku", "content.id"]}, {"numbers": {"price", "checkout.value", "dwell_ms"}},
])  # fmt: skip
def test_configured_doors_take_the_same(enricher: Enricher, options: dict[str, Callable[..., Any]]) -> None:
    door = Door(subjects=HashedSubjects(SECRET), ids=Ids(), enrich=enricher, **options)
    for properties in (
        {"product_id": "p", "price": 1.5}, {"sku": "s", "price": 1.5}, {"sku": 7, "checkout": {"value": 7}},
        {"content": {"id": "c"}, "dwell_ms": 5.5}, {"checkout": {"value": "7"}, "content": {"id": "x"}},
    ):  # fmt: skip
        check_same(door, EVENT | {"event": "mine", "properties": properties})

"""Fields of another kind than the specification's: which an event loses, which are put right, which refuse it."""

from __future__ import annotations

import contextlib
from typing import Any

import msgspec
import pytest
from msgspec.structs import replace

from instanter.events.admitted import Admitted
from instanter.events.schema import Campaign, Page, SentContext, TrackingEvent
from instanter.events.sent import kept_fields
from instanter.foundation.errors import EventRejected
from instanter.foundation.ids import item_reference

VIEW = {"type": "track", "messageId": "m-1", "anonymousId": "a1", "event": "Product Viewed"}
PROPERTIES = {"product_id": "sku-1", "price": 9.5}


def told(admitted: Admitted) -> list[tuple[str, str]]:
    return [(note.code, note.field) for note in admitted.notes if note.code != "no_item"]


def refusal(admit, event: dict[str, Any], **how: Any) -> str:
    with pytest.raises(EventRejected) as caught:
        admit(event, **how)
    assert caught.value.code == "schema"
    return caught.value.message


def body(admitted: Admitted) -> dict[str, Any]:
    return kept_fields(admitted.record.body)


LOST = [
    ("campaign", ""), ("campaign", []), ("campaign", 7), ("campaign", True), ("locale", 7), ("locale", ["en", "de"]),
    ("userAgent", {"brand": "x"}), ("userAgent", 5), ("page", []), ("page", ""), ("page", 4), ("timezone", 120),
    ("ip", 7), ("ip", []), ("referrer", 5), ("referrer", []), ("sessionId", {}), ("sessionId", True),
    ("decisionId", 7), ("decisionId", {}),
]  # fmt: skip


class TestLost:
    @pytest.mark.parametrize(("field", "value"), LOST)
    def test_an_odd_field_of_the_context_is_lost_and_the_event_counts(self, admit, field: str, value: Any):
        context = {"locale": "en-GB", "timezone": "Europe/London"} | {field: value}
        admitted = admit(VIEW | {"properties": PROPERTIES, "context": context})
        assert told(admitted) == [("field_dropped", f"context.{field}")]
        assert field not in body(admitted)["context"]
        assert admitted.record.items == (item_reference("default", "sku-1"),)
        assert (admitted.record.context.locale == "en-GB") == (field != "locale")

    @pytest.mark.parametrize(("place", "name"), [
        *(("page", name) for name in Page.__struct_fields__),
        *(("campaign", name) for name in Campaign.__struct_fields__),
        ("referrer", "url"), ("referrer", "link"),
    ])
    def test_an_odd_part_of_one_is_lost_alone(self, admit, place: str, name: str):
        admitted = admit(VIEW | {"context": {place: {name: {"x": 1}, "other": 5}}})
        assert told(admitted) == [("field_dropped", f"context.{place}.{name}")]
        assert body(admitted)["context"][place] == {"other": 5}

    @pytest.mark.parametrize("value", ["", [], "words", 7, True])
    def test_an_odd_context_is_lost_whole(self, admit, value: Any):
        assert told(admit(VIEW | {"context": value})) == [("field_dropped", "context")]

    @pytest.mark.parametrize("value", ["", [], " "])
    @pytest.mark.parametrize("field", ["properties", "traits"])
    def test_empty_properties_are_none(self, admit, field: str, value: Any):
        assert told(admit(VIEW | {field: value})) == [("field_dropped", field)]

    @pytest.mark.parametrize("field", ["name", "category"])
    @pytest.mark.parametrize("value", [7, True, {}, []])
    def test_names_that_nothing_reads_are_lost(self, admit, field: str, value: Any):
        assert told(admit(VIEW | {field: value})) == [("field_dropped", field)]

    def test_a_group_that_is_no_id_is_lost(self, admit):
        assert told(admit(VIEW | {"groupId": {}})) == [("field_dropped", "groupId")]

    def test_the_batchs_context_stands_where_the_events_own_is_lost(self, admit):
        for value in ("", [], 7):
            admitted = admit(VIEW | {"context": value}, defaults={"locale": "de-DE"})
            assert admitted.record.context.locale == "de-DE"
            assert told(admitted) == [("field_dropped", "context")]


class TestPutRight:
    def test_a_page_may_be_its_address(self, admit):
        admitted = admit(VIEW | {"context": {"page": "https://shop.example/?utm_source=news"}})
        assert admitted.record.context.campaign_source == "news"
        assert told(admitted) == [("field_repaired", "context.page")]

    def test_a_campaign_may_be_its_name(self, admit):
        assert admit(VIEW | {"context": {"campaign": "spring"}}).record.context.campaign_name == "spring"

    def test_a_list_of_one_text_is_that_text(self, admit):
        admitted = admit(VIEW | {"context": {"locale": ["en-GB"]}})
        assert admitted.record.context.locale == "en-GB"
        assert told(admitted) == [("field_repaired", "context.locale")]

    def test_properties_may_be_json_text(self, admit):
        admitted = admit(VIEW | {"properties": '{"product_id": "sku-1"}'})
        assert admitted.record.items == (item_reference("default", "sku-1"),)
        assert body(admitted)["properties"] == {"product_id": "sku-1"}
        assert told(admitted) == [("field_repaired", "properties")]

    def test_a_context_as_json_text_says_its_consent(self, admit):
        admitted = admit(VIEW | {"context": '{"locale": "en", "consent": {"analytics": false}}'})
        assert admitted.record.context.locale == "en"
        assert body(admitted)["context"]["consent"] == {"analytics": False}

    def test_a_whole_number_is_an_id_however_it_is_written(self, admit, keys):
        admitted = admit({**VIEW, "anonymousId": 5.0})
        assert admitted.record.key == keys.anonymous("default", "5")
        assert admit({**VIEW, "messageId": 7.0}).message_id == "7"


class TestRefused:
    @pytest.mark.parametrize(("field", "value", "message"), [
        ("properties", [1], "properties is a list where an object is wanted"),
        ("properties", 7, "properties is a number where an object is wanted"),
        ("properties", "words", "properties is text where an object is wanted"),
        ("traits", [1], "traits is a list where an object is wanted"),
        ("event", 7, "event is a number where text is wanted"),
        ("type", 7, "type is a number where text is wanted"),
        ("timestamp", {}, "timestamp is an object where text or a number is wanted"),
        ("timestamp", True, "timestamp is true or false where text or a number is wanted"),
        ("messageId", [], "messageId is a list where text or a whole number is wanted"),
        ("anonymousId", {"id": 5}, "anonymousId is an object where text or a whole number is wanted"),
        ("userId", 5.5, "userId is a number where text or a whole number is wanted"),
        ("context", [{"consent": {}}], "context is a list where an object is wanted"),
    ])  # fmt: skip
    def test_what_changes_what_an_event_says_is_refused_with_the_field(self, admit, field, value, message):
        assert message in refusal(admit, {**VIEW, field: value})

    def test_without_an_id_left_it_is_nobodys(self, admit):
        assert "anonymousId is a list" in refusal(admit, {**VIEW, "anonymousId": []})

    def test_a_consent_that_cannot_be_read_is_never_overlooked(self, admit):
        assert "consent" in refusal(admit, VIEW | {"context": {"locale": 5, "consent": 7}})


class TestNearMisses:
    @pytest.mark.parametrize(("name", "meant", "value"), [
        ("user_id", "userId", "u1"), ("userid", "userId", "u1"), ("UserID", "userId", "u1"),
        ("anonymous_id", "anonymousId", "a9"), ("anonymousID", "anonymousId", "a9"),
        ("message_id", "messageId", "m-9"), ("Properties", "properties", PROPERTIES), ("sent_at", "sentAt", 1),
        ("event_name", "event", "Product Viewed"), ("original_timestamp", "originalTimestamp", "2025-06-15"),
    ])  # fmt: skip
    def test_a_name_nearly_right_is_taken_for_the_right_one_and_told(self, admit, name, meant, value):
        event = {"type": "track", "event": "Product Viewed", "anonymousId": "a1", "messageId": "m-1"}
        event.pop(meant, None)
        near, exact = admit(event | {name: value}), admit(event | {meant: value})
        assert replace(near.record, body=b"") == replace(exact.record, body=b"")
        assert body(near) == body(exact)
        assert told(near) == [("near_miss", name)]

    def test_where_both_are_there_the_right_one_stands(self, admit, keys):
        admitted = admit(VIEW | {"anonymous_id": "other"})
        assert admitted.record.key == keys.anonymous("default", "a1")

    def test_fields_that_clients_send_are_no_near_misses(self, admit):
        assert told(admit(VIEW | {"_metadata": {}, "channel": "web", "rudderId": "r", "shopId": 5})) == []


def test_every_field_of_the_wire_was_thought_through(admit):
    """A value of a kind that no field takes: the event is taken or refused with the field, and nothing else happens."""
    kinds: list[Any] = [True, 7.5, [], {}, [[]], {"a": {"b": []}}, "", " ", None, [None], -1]
    for holder, of in ((None, TrackingEvent), ("context", SentContext)):
        for field in msgspec.structs.fields(of):
            for value in kinds:
                odd = {field.encode_name: value}
                with contextlib.suppress(EventRejected):
                    assert admit(VIEW | (odd if holder is None else {holder: odd})).record


@pytest.mark.parametrize("name", ["ts", "time", "date", "created_at", "createdAt", "eventTime", "time_stamp", "Datum"])
def test_a_time_under_a_name_that_is_not_read_is_told(admit, name: str):
    sent = VIEW | {"properties": PROPERTIES, name: "2025-06-01T10:00:00Z"}
    assert told(admit(sent)) == [("unknown_field", name)]
    assert told(admit(sent | {"timestamp": "2025-06-01T10:00:00Z"})) == [], "the event says when it was"


@pytest.mark.parametrize("name", ["sku", "product_id", "productId", "Product ID", "price", "order_no", "qty"])
def test_what_stands_beside_the_properties_is_told_where_they_do_not_say_it(admit, name: str):
    assert told(admit(VIEW | {name: "x", "properties": {"colour": "red"}})) == [("unknown_field", name)]
    assert told(admit(VIEW | {name: "x"})) == [("unknown_field", name)]
    assert told(admit(VIEW | {name: "x", "properties": {**PROPERTIES, name: 1}}))[:1] != [("unknown_field", name)]
    assert told(admit(VIEW | {"type": "identify", "userId": "u", name: "x"})) == [], "where nothing is about items"


def test_an_item_beside_the_properties_is_not_told_where_they_name_one(admit):
    assert told(admit(VIEW | {"sku": "x", "properties": PROPERTIES})) == []


@pytest.mark.parametrize(("name", "meant"), [
    ("visitor", "anonymousId"), ("visitorId", "anonymousId"), ("client_id", "anonymousId"), ("session", "anonymousId"),
    ("besucher", "anonymousId"), ("customer", "userId"), ("Kundennummer", "userId"), ("uid", "userId"),
])  # fmt: skip
def test_an_event_of_nobody_is_refused_with_the_field_that_may_hold_the_id(admit, name: str, meant: str):
    nobody = {key: value for key, value in VIEW.items() if key != "anonymousId"}
    assert f"; {name} may hold it: send that as {meant}" in refusal(admit, nobody | {name: "v-1"})
    assert f"; properties.{name} may hold it" in refusal(admit, nobody | {"properties": {name: 7}})
    assert f"; {name}.id may hold it" in refusal(admit, nobody | {name: {"id": "v-1"}})
    assert "may hold" not in refusal(admit, nobody | {name: ""})
    assert "may hold" not in refusal(admit, nobody | {"colour": "red"})
    if name != "session":
        other = "userId" if meant == "anonymousId" else "anonymousId"
        assert (("unknown_field", name) in told(admit(nobody | {other: "x", name: "v-1"}))) is True
        assert told(admit(nobody | {"userId": "u", "anonymousId": "a", name: "v-1"})) == []

"""Two ways to read an event, in one pass and by way of a map: one record, and one body that reads the same."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from instanter.events.admitted import Admitted
from instanter.events.sent import kept_fields, read_event
from instanter.foundation.errors import EventRejected

EVENT = {
    "type": "track", "messageId": "m-1", "anonymousId": "a1", "event": "Product Viewed",
    "timestamp": "2025-06-15T15:06:40.000Z", "properties": {"product_id": "p1", "price": 9.5},
    "context": {"userAgent": "x", "locale": "en-GB", "page": {"url": "https://shop.example/"}, "library": {}},
}  # fmt: skip
BY_MAP = "sku of the oracle"
"""A field that nobody knows: an event with one is read by way of a map."""


def outcome(admit, event: dict[str, Any], **how: Any) -> tuple[Any, ...]:
    """All that came of an event but how its body is written."""
    try:
        admitted: Admitted = admit(event, **how)
    except EventRejected as error:
        return error.code, error.message, error.status
    body = kept_fields(admitted.record.body) if hasattr(admitted.record, "body") else {}
    body.pop(BY_MAP, None)
    record = msgspec.structs.replace(admitted.record, body=b"") if body else admitted.record
    return record, body, admitted.message_id, admitted.links, admitted.consents, admitted.notes


def is_plain(event: dict[str, Any]) -> bool:
    return read_event(msgspec.json.encode(event), [])._fields is None


TEXTS = st.sampled_from(["", " ", "a", "track", "identify", "alias", "u1", "2025-06-15", "Order Completed"])
NUMBERS = st.integers(-(2**70), 2**70) | st.floats(allow_nan=False, allow_infinity=False)
ODD = TEXTS | st.none() | st.booleans() | NUMBERS
VALUES = st.recursive(
    ODD, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXTS, inner, max_size=3), max_leaves=6
)
CONTEXTS = st.dictionaries(
    st.sampled_from([
        "userAgent", "ip", "page", "referrer", "locale", "timezone", "campaign", "sessionId", "decisionId", "consent",
        "consentManagement", "tcString", "userToken", "library", "app", "gpp", "TCString", "Consent", "mine", "traits",
    ]), VALUES, max_size=6,
)  # fmt: skip
FIELDS = st.dictionaries(
    st.sampled_from([
        "type", "messageId", "anonymousId", "userId", "event", "name", "category", "properties", "traits",
        "previousId", "groupId", "timestamp", "originalTimestamp", "sentAt", "receivedAt", "consent", "integrations",
        "writeKey", "userToken", "channel", "_metadata", "user_id", "anonymous_id", "Properties", "mine",
    ]), VALUES, max_size=5,
) | st.fixed_dictionaries({"context": CONTEXTS})  # fmt: skip


@pytest.mark.slow
@settings(max_examples=1_500, deadline=None)
@given(changes=FIELDS, without=st.sets(st.sampled_from(sorted(EVENT)), max_size=2), public=st.booleans())
def test_both_ways_lead_to_the_same(admit, changes: dict[str, Any], without: set[str], public: bool) -> None:
    event = {name: value for name, value in EVENT.items() if name not in without} | changes
    assert outcome(admit, event, public=public) == outcome(admit, event | {BY_MAP: 1}, public=public)


class TestOnePass:
    @pytest.mark.parametrize("more", [
        {}, {"userId": "u1"}, {"channel": "web", "version": 2, "_metadata": {"bundled": []}}, {"integrations": {}},
        {"context": {"app": {"name": "shop"}, "screen": {"width": 7}, "os": {}, "traits": {"a": 1}}},
        {"timestamp": 1_750_000_000}, {"messageId": 5}, {"properties": {"products": [{"sku": 1, "price": "9,50"}]}},
    ])  # fmt: skip
    def test_what_clients_send_is_read_in_one_and_kept_as_it_came(self, more: dict[str, Any]) -> None:
        text = msgspec.json.encode(EVENT | more)
        sent = read_event(text, [])
        assert sent.kept("track") == text

    def test_spaces_and_the_order_of_fields_stay(self, admit, door) -> None:
        text = b'{ "event" : "Product Viewed", "type":"track",\n "anonymousId":"a1", "messageId": "m" }'
        assert door.admit(text, kind=None, received_ms=1_750_000_000_000, tenant="default").record.body == text

    @pytest.mark.parametrize("more", [
        {"writeKey": "secret"}, {"userToken": "a.b.c"}, {"mine": 1},
        {"user_id": "u2"}, {"context": {"gpp": "x"}}, {"context": {"mine": 1}}, {"context": "odd"},
    ])  # fmt: skip
    def test_what_has_to_be_looked_for_or_cut_out_is_not(self, more: dict[str, Any]) -> None:
        assert not is_plain(EVENT | more)

    def test_a_key_and_an_address_are_never_kept_as_they_came(self, door) -> None:
        for text in (
            rb'{"type":"track","event":"x","anonymousId":"a","messageId":"m","write\u004bey":"k-1"}',
            rb'{"type":"track","event":"x","anonymousId":"a","messageId":"m","context":{"\u0069p":"192.0.2.77"}}',
            b'{"type":"track","event":"x","anonymousId":"a","messageId":"m","context":{"ip":"192.0.2.77"},"context":{}}',
            b'{"type":"track","event":"x","anonymousId":"a","messageId":"m","context":{"ip":"192.0.2.77","ip":null}}',
            b'{"type":"track","event":"x","anonymousId":"a","messageId":"m","writeKey":"k-1","writeKey":null}',
            b'{"type":"track","event":"x","anonymousId":"a","messageId":"m","context":{"userToken":"k-1"}}',
        ):
            body = door.admit(text, kind=None, received_ms=1, tenant="default").record.body
            assert b"k-1" not in body
            assert b"192.0.2.77" not in body

    def test_another_type_than_the_route_s_is_filled_in(self, admit) -> None:
        assert kept_fields(admit(EVENT, kind="screen").record.body)["type"] == "screen"
        untyped = {name: value for name, value in EVENT.items() if name != "type"}
        assert kept_fields(admit(untyped, kind="track").record.body)["type"] == "track"


class TestTheDevice:
    def test_its_id_is_sealed_in_what_its_user_keeps(self, admit) -> None:
        record = admit(EVENT | {"userId": "u1"}).record
        assert record.body.startswith(b"{"), "it was read in one pass"
        assert b'"a1"' not in record.body
        assert kept_fields(record.body) == EVENT | {"userId": "u1", "anonymousId": b"anonymous:a1"}

    @pytest.mark.parametrize("anonymous_id", ['a"1', "ä1", "a\\1", 5])
    def test_also_where_json_writes_it_otherwise(self, admit, anonymous_id: str | int) -> None:
        record = admit(EVENT | {"userId": "u1", "anonymousId": anonymous_id}).record
        assert kept_fields(record.body)["anonymousId"] == f"anonymous:{anonymous_id}".encode()

    def test_also_where_it_stands_twice(self, door) -> None:
        text = (
            b'{"type":"track","event":"x","userId":"u","messageId":"m","anonymousId":"a1","anonymousId":"a2",'
            b'"properties":{"anonymousId":"a3"}}'
        )
        body = door.admit(text, kind=None, received_ms=1, tenant="default").record.body
        assert kept_fields(body)["anonymousId"] == b"anonymous:a2"
        assert b"a1" not in body


def test_what_was_skipped_and_is_no_number_or_text_can_be_read_all_the_same(door) -> None:
    """In one pass nobody looks into `library`."""
    for skipped in (b'{"n": 1e999}', b'{"q": "\xff"}', rb'{"q": "\ud83d"}'):
        text = (
            b'{"type":"track","event":"x","anonymousId":"a","messageId":"m","properties":{"q":1},'
            b'"context":{"library":' + skipped + b"}}"
        )
        body = door.admit(text, kind=None, received_ms=1, tenant="default").record.body
        assert kept_fields(body)["properties"] == {"q": 1}


@pytest.mark.parametrize("body", [b"{", b'{"anonymousId":{"sealed":"*"}}', b"\xff", b"", b"[1]", b'{"a":1} {'])
def test_bytes_that_are_no_body_are_refused(body: bytes) -> None:
    with pytest.raises((EventRejected, msgspec.DecodeError, ValueError)):
        kept_fields(body)

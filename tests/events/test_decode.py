"""The decoding door: what is admitted, as which record, and what is refused with which code."""

from __future__ import annotations

import json
import math
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from instanter.events.admitted import Admitted
from instanter.events.batch import decode_batch
from instanter.events.decode import Door
from instanter.events.envelope import Flag, Tied, decode_record
from instanter.events.gate import OpenGate
from instanter.events.sent import kept_fields
from instanter.events.subjects import HashedSubjects
from instanter.foundation import limits
from instanter.foundation.errors import EventRejected
from instanter.foundation.ids import Ids, PersonKeys, item_reference, reference

SECRET = b"0123456789abcdef"
RECEIVED_MS = 1_750_000_000_000
VIEW = {"type": "track", "messageId": "m-1", "anonymousId": "a1", "event": "Product Viewed"}


def view(**properties: Any) -> dict[str, Any]:
    return VIEW | {"properties": properties}


def body(admitted: Admitted) -> dict[str, Any]:
    return kept_fields(admitted.record.body)


def refused(admit, event: dict[str, Any], **how: Any) -> str:
    with pytest.raises(EventRejected) as caught:
        admit(event, **how)
    return caught.value.code


class TestARecord:
    def test_it_carries_the_clear_fields_of_the_event(self, admit, keys):
        record = admit(
            view(product_id="sku-1", price=12.5, position=3, quantity=2, list_id="l1", dwell_ms=800)
            | {"context": {"decisionId": "d_1", "locale": "en_gb", "timezone": "Europe/London"}}
        ).record
        assert (record.received_ms, record.happened_ms, record.tenant) == (RECEIVED_MS, RECEIVED_MS, "default")
        assert record.key == keys.anonymous("default", "a1")
        assert record.message == reference("m-1")
        assert record.name == "Product Viewed"
        assert record.items == (item_reference("default", "sku-1"),)
        assert (record.prices, record.quantities, record.positions) == ((12.5,), (2.0,), (3,))
        assert record.values == {"price": 12.5, "position": 3.0, "quantity": 2.0, "dwell_ms": 800.0}
        assert (record.list_id, record.decision_id) == ("l1", "d_1")
        assert (record.context.locale, record.context.timezone) == ("en-GB", "Europe/London")

    def test_its_payload_is_the_record(self, admit):
        admitted = admit(view(product_id="sku-1", price=1))
        assert decode_record(admitted.payload) == admitted.record

    def test_a_crawler_is_flagged(self, admit):
        crawler = {"context": {"userAgent": "Mozilla/5.0 (compatible; Googlebot/2.1; +http://www.google.com/bot.html)"}}
        assert admit(VIEW | crawler).record.flags == Flag.BOT
        assert admit(VIEW).record.flags == Flag.NONE

    def test_tenants_share_neither_people_nor_items(self, admit):
        one, other = (admit(view(product_id="sku-1"), tenant=tenant).record for tenant in ("one", "other"))
        assert one.key != other.key
        assert one.items != other.items

    def test_booleans_and_text_are_no_values(self, admit):
        assert admit(view(discount=True, tax="red", rating=2)).record.values == {"rating": 2.0}

    def test_only_numbers_that_are_asked_for_stand_in_the_clear(self, admit):
        admitted = admit(view(phone=447700900123, rating=2))
        assert admitted.record.values == {"rating": 2.0}
        assert body(admitted)["properties"]["phone"] == 447700900123

    def test_values_over_the_bound_stay_in_the_body(self, enricher):
        many = {f"v{n}": n for n in range(limits.VALUES_PER_EVENT_MAX + 10)}
        door = Door(subjects=HashedSubjects(bytes(16)), ids=Ids(), enrich=enricher, numbers=set(many))
        raw = msgspec.json.encode(view(**many))
        admitted = door.admit(raw, kind=None, received_ms=RECEIVED_MS, tenant="default")
        assert len(admitted.record.values) == limits.VALUES_PER_EVENT_MAX
        assert body(admitted)["properties"] == many

    @pytest.mark.parametrize("place", [{"decisionId": "d_1"}, {"decision_id": "d_1"}])
    def test_a_decision_may_be_named_in_the_properties(self, admit, place):
        assert admit(view(**place)).record.decision_id == "d_1"


class TestTypes:
    @pytest.mark.parametrize(
        ("type_", "name"),
        [("page", "Page Viewed"), ("screen", "Screen Viewed"), ("identify", "Identified"), ("group", "Grouped")],
    )
    def test_a_type_without_an_event_has_its_own_name(self, admit, type_, name):
        assert admit({"type": type_, "userId": "u1", "name": "Home"}).record.name == name

    def test_the_route_gives_the_type_and_stands_over_the_event(self, admit):
        assert admit({"userId": "u1"}, kind="page").record.name == "Page Viewed"
        admitted = admit({"userId": "u1", "type": "track"}, kind="page")
        assert admitted.record.name == "Page Viewed"
        assert body(admitted)["type"] == "page"

    @pytest.mark.parametrize("type_", [None, "batch", "delete", "", 7])
    def test_without_a_known_type_it_is_refused(self, admit, type_):
        assert refused(admit, VIEW | {"type": type_}) == "schema"

    @pytest.mark.parametrize("event", [None, "", "  ", "a\nb", 7])
    def test_a_track_has_an_event_name(self, admit, event):
        assert refused(admit, VIEW | {"event": event}) == "schema"

    def test_a_name_over_the_bound_is_refused(self, admit):
        assert admit(VIEW | {"event": "x" * limits.NAME_CHARS_MAX}).record.name
        assert refused(admit, VIEW | {"event": "x" * (limits.NAME_CHARS_MAX + 1)}) == "too_large"

    def test_a_page_may_tell_of_itself_in_its_properties(self, admit):
        page = {"url": "https://shop.example/", "referrer": "https://www.google.com/"}
        assert admit({"type": "page", "userId": "u1", "properties": page}).record.context.referrer == "search"


class TestIds:
    def test_without_a_message_id_one_is_given_and_stored(self, admit):
        event = {name: value for name, value in VIEW.items() if name != "messageId"}
        for missing in (event, event | {"messageId": None}, event | {"messageId": "  "}):
            admitted = admit(missing)
            assert admitted.message_id == "07" * 16
            assert body(admitted)["messageId"] == admitted.message_id

    def test_an_event_belongs_to_its_user_if_it_has_one(self, admit, keys):
        record = admit(VIEW | {"userId": "u1"}).record
        user, device = keys.user("default", "u1"), keys.anonymous("default", "a1")
        assert (record.key, record.subject, record.device) == (user, user, device)
        record = admit(VIEW | {"userId": "u1", "anonymousId": None}).record
        assert (record.key, record.device) == (user, 0)
        record = admit(VIEW).record
        assert (record.key, record.subject, record.device) == (device, device, 0)

    def test_what_a_public_key_says_of_a_user_lies_by_itself(self, admit, keys):
        admitted = admit(VIEW | {"userId": "u1"}, public=True)
        record, (claim,) = admitted.record, admitted.links
        user, device = keys.user("default", "u1"), keys.anonymous("default", "a1")
        assert record.key == record.subject not in (user, device)
        assert (record.device, claim.kind, claim.cell, claim.owner) == (device, Tied.CLAIM, record.key, device)
        assert claim.user == user
        assert admit(VIEW | {"userId": "u2"}, public=True).record.key != record.key
        assert kept_fields(record.body)["userId"] == "u1"

    def test_without_room_for_a_claim_it_counts_for_the_device_and_the_user_is_not_kept(self, keys, enricher):
        class FullGate(OpenGate):
            def takes(self, claim: int, device: int, user: int) -> bool:
                return False

        door = Door(subjects=HashedSubjects(SECRET), ids=Ids(), enrich=enricher, gate=FullGate())
        raw = json.dumps(VIEW | {"userId": "u1"}).encode()
        admitted = door.admit(raw, kind="track", received_ms=1, tenant="default", public=True)
        assert (admitted.record.key, admitted.links) == (keys.anonymous("default", "a1"), ())
        assert "links_full" in [note.code for note in admitted.notes]
        assert "userId" not in kept_fields(admitted.record.body)

    def test_numbers_are_taken_as_text(self, admit, keys):
        admitted = admit(VIEW | {"anonymousId": 17, "messageId": 4})
        assert (admitted.record.key, admitted.message_id) == (keys.anonymous("default", "17"), "4")
        assert admit(view(product_id=5)).record.items == (item_reference("default", "5"),)

    @pytest.mark.parametrize("bad", ["", "   ", None])
    def test_somebody_did_it(self, admit, bad):
        assert refused(admit, VIEW | {"anonymousId": bad}) == "schema"

    @pytest.mark.parametrize("bad", ["a\x00", "a\n", "\x7f", "\x85", True, 1.5, [], {}, 2**64])
    @pytest.mark.parametrize("field", ["anonymousId", "userId", "messageId"])
    def test_an_id_is_plain_text(self, admit, field, bad):
        assert refused(admit, VIEW | {field: bad}) == "schema"

    @pytest.mark.parametrize("field", ["anonymousId", "userId", "messageId"])
    def test_an_id_over_the_bound_is_refused(self, admit, field):
        assert admit(VIEW | {field: "x" * limits.ID_CHARS_MAX})
        assert refused(admit, VIEW | {field: "x" * (limits.ID_CHARS_MAX + 1)}) == "too_large"

    def test_letters_of_any_script_and_unusual_spaces_are_welcome(self, admit):
        for person in ("Ünï", "用户", "a\u00a0b", "👩‍🚀"):
            assert admit(VIEW | {"anonymousId": person})

    def test_a_user_cannot_pose_as_an_anonymous_one(self, admit):
        assert refused(admit, VIEW | {"userId": "anonymous:a1"}) == "schema"


class TestLinks:
    @pytest.mark.parametrize("event", [{"type": "identify"}, VIEW, {"type": "page"}], ids=["identify", "track", "page"])
    def test_any_event_with_both_ids_signs_in(self, event, admit, keys):
        (claim,) = admit(event | {"anonymousId": "a1", "userId": "u1"}).links
        signed_in = Tied.SIGN_IN, keys.anonymous("default", "a1"), keys.user("default", "u1")
        assert (claim.kind, claim.cell, claim.owner) == signed_in
        record = claim.record(7, "default")
        assert (record.kind, record.cell, record.owner, record.at_ms, record.tenant) == (*signed_in, 7, "default")
        assert msgspec.msgpack.decode(record.body) == {"cell": b"anonymous:a1", "owner": b"u1"}

    @pytest.mark.parametrize("ids", [{"anonymousId": "a1"}, {"userId": "u1"}])
    def test_identify_with_one_id_claims_nothing(self, admit, ids):
        assert admit({"type": "identify"} | ids).links == ()

    def test_alias_links_both_cells_that_the_previous_id_may_mean(self, admit, keys):
        links = admit({"type": "alias", "previousId": "old", "userId": "u1"}).links
        assert [(claim.kind, claim.cell) for claim in links] == [
            (Tied.SIGN_IN, keys.anonymous("default", "old")), (Tied.ALIAS, keys.user("default", "old")),
        ]  # fmt: skip
        assert {claim.owner for claim in links} == {keys.user("default", "u1")}
        assert [claim.sealed_ids[0] for claim in links] == [b"anonymous:old", b"old"]
        both = admit({"type": "alias", "previousId": "old", "userId": "u1", "anonymousId": "a1"}).links
        assert [claim.cell for claim in both] == [keys.anonymous("default", "a1"), *(one.cell for one in links)]

    def test_alias_never_links_a_cell_to_itself(self, admit):
        links = admit({"type": "alias", "previousId": "u1", "userId": "u1"}).links
        assert all(claim.cell != claim.owner for claim in links)

    @pytest.mark.parametrize("ids", [{"userId": "u1"}, {"previousId": "p"}, {"previousId": "p", "anonymousId": "a"}])
    def test_alias_needs_both_ends(self, admit, ids):
        assert refused(admit, {"type": "alias"} | ids) == "schema"


class TestItems:
    def test_products_run_in_parallel_and_a_missing_price_is_nan(self, admit):
        record = admit(
            view(products=[{"product_id": "a", "price": 1, "position": 2}, {"sku": "b", "quantity": 3}, {"price": 9}])
        ).record
        assert record.items == (item_reference("default", "a"), item_reference("default", "b"))
        assert record.prices[0] == 1.0
        assert math.isnan(record.prices[1])
        assert record.quantities == (1.0, 3.0)
        assert record.positions == (2, 2), "the second has none: it stands where it is in the list"

    def test_what_says_nothing_is_empty(self, admit):
        record = admit(view(products=[{"product_id": "a", "quantity": 1}, {"product_id": "b", "price": None}])).record
        assert (record.prices, record.quantities, record.positions) == ((), (), ())

    def test_the_event_own_item_comes_first_then_products(self, admit):
        record = admit(view(product_id="a", price=5, products=["b", 3])).record
        assert record.items == tuple(item_reference("default", item) for item in ("a", "b", "3"))
        assert record.prices[0] == 5.0

    def test_one_item_is_the_same_alone_and_in_a_list(self, admit):
        for fields in ({"price": "4.50"}, {"price": "free"}, {"quantity": 2}, {"position": 0}, {"position": 4}):
            alone = admit(view(product_id="a", **fields)).record
            listed = admit(view(products=[{"product_id": "a", **fields}])).record
            for field in ("items", "prices", "quantities", "positions"):
                assert getattr(alone, field) == getattr(listed, field)

    @settings(deadline=None, max_examples=200)
    @given(
        fields=st.dictionaries(
            st.sampled_from(["price", "quantity", "position", "title"]),
            st.none()
            | st.booleans()
            | st.integers(-3, 5)
            | st.floats(allow_nan=False, allow_infinity=False)
            | st.sampled_from(["4.50", "nan", "1e999", "", "free", 2**31, 2**31 - 1, 1e300])
            | st.lists(st.integers(0, 1), max_size=1),
        )
    )
    def test_the_short_way_of_one_item_is_that_of_a_list(self, admit, fields):
        alone = admit(view(product_id="a", **fields)).record
        listed = admit(view(products=[{"product_id": "a", **fields}])).record
        for field in ("items", "prices", "quantities", "positions"):
            assert getattr(alone, field) == getattr(listed, field)

    def test_items_over_the_bound_are_refused(self, admit):
        products = [{"product_id": str(n)} for n in range(limits.ITEMS_PER_EVENT_MAX)]
        assert len(admit(view(products=products)).record.items) == limits.ITEMS_PER_EVENT_MAX
        assert refused(admit, view(products=[*products, {"product_id": "one more"}])) == "too_large"
        assert refused(admit, view(products=products, product_id="one more")) == "too_large"

    @pytest.mark.parametrize("products", ["a,b", 7, [["a"]], [{"product_id": {}}], [True]])
    def test_products_of_another_shape_are_refused(self, admit, products):
        assert refused(admit, view(products=products)) == "schema"


json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**64 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)
OURS = {"type", "messageId", "anonymousId", "writeKey", *VIEW}


class TestTheBody:
    @settings(deadline=None, max_examples=100)
    @given(
        numbers=st.lists(st.floats(allow_nan=False, allow_infinity=False) | st.sampled_from([1e300, 5e-324, 1e23])),
        ids=st.lists(st.sampled_from(["7e1234", "a", "\u00e9"])),
    )
    def test_a_short_event_is_read_like_a_long_one(self, door: Door, numbers, ids):
        short = msgspec.json.encode(view(numbers=numbers, ids=ids, **{f"v{n}": x for n, x in enumerate(numbers)}))
        one, other = (
            door.admit(raw, kind=None, received_ms=RECEIVED_MS, tenant="t") for raw in (short, short + b" " * 2_000)
        )
        assert one == other
        assert body(one)["properties"]["numbers"] == numbers

    @settings(deadline=None, max_examples=150)
    @given(extra=st.dictionaries(st.text().map(lambda name: "x" + name), json_values, max_size=6), more=json_values)
    def test_it_keeps_every_field_the_sender_chose(self, admit, extra, more):
        event = VIEW | extra | {"context": {"library": more}, "properties": {"nested": more}}
        assert body(admit(event)) == event

    def test_it_has_no_write_key_and_a_short_address(self, admit):
        admitted = admit(VIEW | {"writeKey": "secret", "context": {"ip": "203.0.113.77", "device": {"id": "d"}}})
        assert body(admitted) == VIEW | {"context": {"ip": "203.0.113.0", "device": {"id": "d"}}}

    def test_what_is_no_address_does_not_stay_as_one(self, admit):
        assert body(admit(VIEW | {"context": {"ip": "at home"}}))["context"] == {"ip": ""}

    def test_a_batch_context_fills_what_the_event_leaves_open(self, admit):
        defaults = {"locale": "de-DE", "ip": "203.0.113.77"}
        admitted = admit(VIEW | {"context": {"locale": "fr-FR"}}, defaults=defaults)
        assert body(admitted)["context"] == {"locale": "fr-FR", "ip": "203.0.113.0"}
        assert admitted.record.context.locale == "fr-FR"
        assert admit(VIEW, defaults=defaults).record.context.locale == "de-DE"
        assert defaults == {"locale": "de-DE", "ip": "203.0.113.77"}, "the batch's context is shared by its events"

    def test_the_clear_fields_hold_no_id_as_sent(self, admit):
        event = VIEW | {"anonymousId": "marker-a", "userId": "marker-u", "traits": {"email": "marker-t"}}
        record = admit(event).record
        assert b"marker" not in msgspec.msgpack.encode(msgspec.structs.replace(record, body=b""))


class TestABatch:
    def test_a_bad_event_spoils_no_other(self, door: Door):
        batch = decode_batch(b'{"batch": [{"type": "page", "userId": "u"}, {"x": "\xff"}, 7], "sentAt": 1000}')
        assert batch.sent_at_ms == 1000
        outcomes = []
        for raw in batch.events:
            try:
                door.admit(raw, kind=None, received_ms=RECEIVED_MS, tenant="t", sent_at_ms=batch.sent_at_ms)
                outcomes.append("admitted")
            except EventRejected as error:
                outcomes.append(error.code)
        assert outcomes == ["admitted", "schema", "schema"]

    def test_its_context_has_a_bound_and_counts_for_every_event(self):
        context = b'{"x": "' + b"y" * 20_000 + b'"}'
        few = limits.BATCH_EXPANDED_BYTES_MAX // len(context)
        assert decode_batch(b'{"batch": [' + b",".join([b"1"] * few) + b'], "context": ' + context + b"}").defaults
        for refused, events in ((context, few + 1), (b'"' + b"y" * limits.EVENT_BYTES_MAX + b'"', 1)):
            with pytest.raises(EventRejected) as caught:
                decode_batch(b'{"batch": [' + b",".join([b"1"] * events) + b'], "context": ' + refused + b"}")
            assert (caught.value.code, caught.value.status) == ("too_large", 413)

    def test_of_a_field_given_twice_the_last_counts(self):
        raw = b'{"batch": [], "sentAt": {}, "context": [1], "sentAt": 7, "context": {"a": 1e300}}'
        assert (decode_batch(raw).sent_at_ms, decode_batch(raw).defaults) == (7, {"a": 1e300})

    @pytest.mark.parametrize("nothing", [b'{"batch": []}', b'{"batch": [], "sentAt": null, "context": null}'])
    def test_time_and_context_may_be_missing(self, nothing: bytes):
        assert (decode_batch(nothing).sent_at_ms, decode_batch(nothing).defaults) == (None, None)

    def test_its_key_and_its_context_are_read(self):
        batch = decode_batch(b'{"batch": [], "writeKey": "k", "context": {"locale": "en"}}')
        assert (batch.write_key, batch.defaults, batch.sent_at_ms) == ("k", {"locale": "en"}, None)

    @pytest.mark.parametrize(
        ("raw", "code"),
        [
            (b"", "malformed"),
            (b"[]", "schema"),
            (b"{}", "schema"),
            (b'{"batch": {}}', "schema"),
            (b'{"batch": [}', "malformed"),
            (b'{"batch": [], "sentAt": "soon"}', "schema"),
            (b'{"batch": [], "sentAt": {}}', "schema"),
            (b'{"batch": [], "context": 7}', "schema"),
            (b'{"batch": [], "context": {"x": 1e999}}', "schema"),
            (b'{"batch": [], "context": {"x" "\xff"}}', "malformed"),
            (b'{"batch": [], "context": ' + b'{"long name":' * 70 + b"1" + b"}" * 71, "too_deep"),
            (b'{"batch": [], "context": {"x": [' + b"[]," * 500 + b"[]]}}", "too_complex"),
            (b'{"batch": [], "writeKey": \xff}', "malformed"),
            (b'{"x":' + b"[" * 90_000, "too_deep"),
            (b'{"batch": [' + b" " * limits.BATCH_BYTES_MAX + b"]}", "too_large"),
            (b'{"batch": [' + b",".join([b"1"] * (limits.BATCH_EVENTS_MAX + 1)) + b"]}", "too_large"),
        ],
    )
    def test_a_bad_envelope_is_refused(self, raw, code):
        with pytest.raises(EventRejected) as caught:
            decode_batch(raw)
        assert caught.value.code == code

    def test_the_official_client_shape_is_admitted(self, admit, keys: PersonKeys):
        event = {
            "anonymousId": None,
            "userId": "u1",
            "context": {"library": {"name": "analytics-python"}},
            "traits": {},
            "integrations": {},
            "timestamp": "2025-06-15T15:06:39.999999+00:00",
            "type": "identify",
            "messageId": "m",
        }
        assert admit(event, sent_at_ms=RECEIVED_MS - 5).record.key == keys.user("default", "u1")


def test_records_say_that_they_came_with_a_public_key(admit):
    sent = {"type": "track", "event": "Product Viewed", "anonymousId": "a1"}
    assert admit(sent, public=True).record.flags & Flag.PUBLIC
    assert not admit(sent).record.flags & Flag.PUBLIC

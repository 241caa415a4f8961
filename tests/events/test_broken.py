"""One bad event spoils no other: what a broken one does to the JSON or the encoding of a batch, and what is mended."""

from __future__ import annotations

import contextlib
import json
import random
import time
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from instanter.events.admitted import Admitted
from instanter.events.batch import decode_batch, write_key_of
from instanter.events.decode import Door
from instanter.events.mend import mended
from instanter.events.notes import sentence
from instanter.events.parts import split_batch
from instanter.events.reject import message_id_of
from instanter.events.sent import kept_fields
from instanter.foundation import limits
from instanter.foundation.errors import EventRejected

FINITE = st.floats(allow_nan=False, allow_infinity=False)
RECEIVED_MS = 1_750_000_000_000


def sent(number: int, properties: str = '"q": 1') -> bytes:
    """An event as text, with whatever is to stand in its properties."""
    return (
        f'{{"type": "track", "messageId": "m-{number}", "anonymousId": "a1", "event": "Product Viewed", '
        f'"properties": {{"product_id": "p{number}", "tags": ["],", "}},{{"], "list": [{{"a": [1]}}, {{"b": "\\""}}], '
        f"{properties}}}}}"
    ).encode()


def batch(*events: bytes, tail: bytes = b'], "sentAt": "2025-06-15T10:00:00Z", "writeKey": "k"}') -> bytes:
    return b'{"batch": [' + b", ".join(events) + tail


def ids(events: Any) -> list[str]:
    return [message_id_of(bytes(event)) for event in events]


def admit(door: Door, raw: bytes) -> Admitted:
    return door.admit(raw, kind=None, received_ms=RECEIVED_MS, tenant="default")


def refusal(door: Door, raw: bytes) -> tuple[str, str]:
    with pytest.raises(EventRejected) as caught:
        admit(door, raw)
    return caught.value.code, caught.value.message


BROKEN = {
    "half of an emoji": sent(2, r'"q": "x\ud83d"'),
    "the other half": sent(2, r'"q": "\ude00x"'),
    "a cut escape": sent(2, r'"q": "x\ud8"'),
    "an unknown escape": sent(2, r'"q": "C:\dir"'),
    "bytes that are not UTF-8": sent(2, '"q": "CAFE"').replace(b"CAFE", b"caf\xe9"),
    "a cut character": sent(2, '"q": "x"').replace(b'"x"', b'"x\xf0\x9f"'),
    "a line break in text": sent(2, '"q": "a\nb"'),
    "NUL in text": sent(2, '"q": "a\0b"'),
    "NaN": sent(2, '"q": NaN'),
    "Infinity": sent(2, '"q": -Infinity'),
    "beyond all numbers": sent(2, '"q": 1e999'),
    "an integer of 400 digits": sent(2, '"q": ' + "9" * 400),
    "a trailing comma": sent(2, '"q": [1,],'),
    "a byte order mark": b"\xef\xbb\xbf" + sent(2),
}
"""What is mended: the event is taken, and its sender told."""

REFUSED = {
    "null": (b"null", "schema", "null where an object is wanted"),
    "text": (b'"event"', "schema", "text where an object is wanted"),
    "a list": (b"[1, 2]", "schema", "a list where an object is wanted"),
    "a quotation mark too many": (sent(2, '"q": "a 12" pipe"'), "malformed", "a comma or a closing bracket is wanted"),
    "two quotation marks too many": (sent(2, '"q": "a 12" and 14" pipe"'), "malformed", "this is not JSON"),
    "a text that does not end": (sent(2, '"q": "abc'), "malformed", "this is not JSON"),
    "a bracket too few": (sent(2)[:-1], "malformed", "cut off"),
    "two brackets too few": (sent(2)[:-2], "malformed", "cut off"),
    "a list that does not end": (sent(2, '"q": [1, 2'), "malformed", "a comma or a closing bracket is wanted"),
    "a bracket too many": (sent(2) + b"}", "malformed", "behind the end"),
    "another kind of bracket": (sent(2)[:-1] + b"]", "malformed", "this is not JSON"),
    "a colon too few": (sent(2, '"q" 1'), "malformed", "a colon is wanted"),
    "single quotation marks": (sent(2, "'q': 'x'"), "malformed", "a name in double quotes is wanted"),
    "undefined": (sent(2, '"q": undefined'), "malformed", "a value is wanted"),
    "two commas": (sent(2, '"q": 1,, "r": 2'), "malformed", "a name in double quotes is wanted"),
    "broken characters in an id": (
        sent(2).replace(b'"a1"', rb'"a\ud83d"'), "malformed", "anonymousId has broken characters"),
}  # fmt: skip


class TestInABatch:
    @pytest.mark.parametrize("name", BROKEN)
    @pytest.mark.parametrize("place", [0, 1, 2])
    def test_a_broken_event_is_mended_and_the_others_are_as_they_were(self, door: Door, name: str, place: int):
        good = [sent(1), sent(3)]
        events = decode_batch(batch(*good[:place], BROKEN[name], *good[place:])).events
        assert [bytes(event) for event in events] == [*good[:place], BROKEN[name], *good[place:]]
        admitted = admit(door, bytes(events[place]))
        assert admitted.message_id == "m-2"
        assert bool(admitted.notes) == (name not in ("a byte order mark", "an integer of 400 digits")), "it is said"
        assert admitted.record.items

    @pytest.mark.parametrize("name", REFUSED)
    @pytest.mark.parametrize("place", [0, 1, 2])
    def test_what_cannot_be_mended_is_refused_by_itself(self, door: Door, name: str, place: int):
        raw, code, reason = REFUSED[name]
        good = [sent(1), sent(3)]
        read = decode_batch(batch(*good[:place], raw, *good[place:]))
        events = [bytes(event) for event in read.events]
        assert (len(events), read.sent_at_ms, read.write_key) == (3, 1_749_981_600_000, "k")
        assert [events[at] for at in range(3) if at != place] == good
        found = refusal(door, events[place])
        assert found[0] == code
        assert reason in found[1]

    def test_several_broken_ones_are_each_told_apart(self, door: Door):
        bad = [raw for raw, _, _ in REFUSED.values()]
        mixed = [one for number, raw in enumerate(bad) for one in (raw, sent(100 + number))]
        events = [bytes(event) for event in decode_batch(batch(*mixed)).events]
        assert {f"m-{100 + number}" for number in range(len(bad))} <= set(ids(events))

    @pytest.mark.parametrize("cut", [1, 2, 10, 60, len(sent(3)) - 1])
    def test_of_a_body_that_is_cut_off_the_whole_events_are_kept(self, door: Door, cut: int):
        body = batch(sent(1), sent(2), sent(3), tail=b"")[:-cut]
        events = [bytes(event) for event in decode_batch(body).events]
        assert events[:2] == [sent(1), sent(2)]
        assert refusal(door, events[2])[0] == "malformed"

    def test_a_body_cut_off_behind_an_event_has_all_of_them(self):
        assert ids(decode_batch(batch(sent(1), sent(2), tail=b"")).events) == ["m-1", "m-2"]
        assert ids(decode_batch(batch(sent(1), sent(2), tail=b", ")).events) == ["m-1", "m-2"]

    def test_what_stands_around_the_events_is_read_wherever_it_stands(self):
        head = b'{"context": {"ip": "192.0.2.7", "note": "x\\ud83d"}, "note": "\\"batch\\": [", "batch": ['
        for body in (head + sent(1) + b", nope], \"sentAt\": 7}", head + sent(1) + b'], "sentAt": 7}'):
            read = decode_batch(body)
            assert read.defaults == {"ip": "192.0.2.7", "note": "x\ufffd"}
            assert read.sent_at_ms == 7
            assert ids(read.events)[:1] == ["m-1"]

    @pytest.mark.parametrize(
        ("body", "reason"),
        [
            (b'{"events": [x]}', 'no list called "batch"'),
            (b"nothing", 'no list called "batch"'),
            (b'{"a": {"batch": [x]}}', 'no list called "batch"'),
            (b'{"batch": [x], "context": {]}', "around its events"),
            (b'{"batch": [x]} {"batch": [', "behind the end"),
        ],
    )
    def test_where_no_events_can_be_told_apart_the_body_is_refused_with_the_reason(self, body: bytes, reason: str):
        with pytest.raises(EventRejected) as caught:
            decode_batch(body)
        assert caught.value.code == "malformed"
        assert reason in caught.value.message

    def test_an_empty_context_of_a_batch_is_none(self):
        for context in (b"null", b"[]", b'""'):
            assert decode_batch(b'{"batch": [], "context": ' + context + b"}").defaults is None

    def test_the_bounds_of_a_batch_hold_for_parts_too(self):
        many = b'{"batch": [x' + b',{"type":1}' * (limits.BATCH_EVENTS_MAX + 1) + b"]}"
        wide = b'{"batch": [x' + b",{}" * 4_000 + b'], "context": {"a": "' + b"y" * 20_000 + b'"}}'
        large = b'{"batch": [x], "context": {"a": "' + b"y" * 60_000 + b'"}}'
        for body in (many, wide, large):
            with pytest.raises(EventRejected) as caught:
                decode_batch(body)
            assert (caught.value.code, caught.value.status) == ("too_large", 413)

    def test_a_body_of_brackets_is_not_taken_apart(self):
        for bracket in (b"]", b"[", b"}", b"{"):
            with pytest.raises(EventRejected) as caught:
                decode_batch(b'{"batch": [{"type": "a" x' + bracket * 1_000_000)
            assert caught.value.code == "too_complex"

    def test_one_event_of_brackets_spoils_no_other(self, door: Door):
        for bracket in (b"]", b"[", b"}", b"{"):
            events = decode_batch(batch(sent(1), b'{"type": "track", "x": ' + bracket * 32_000, sent(2))).events
            assert ids(events)[:1] == ["m-1"], bracket

    def test_the_key_in_a_broken_body_is_found_and_only_the_envelopes(self):
        assert write_key_of(batch(sent(1), BROKEN["half of an emoji"])) == "k"
        assert write_key_of(b'{"batch": [{"writeKey": "no"}, x]}') == ""
        assert write_key_of(b'{"x": ') == ""


class TestAnEvent:
    def test_what_was_mended_is_what_was_meant(self, door: Door):
        body = kept_fields(admit(door, BROKEN["half of an emoji"]).record.body)
        assert body["properties"]["q"] == "x\ufffd"
        body = kept_fields(admit(door, BROKEN["a line break in text"]).record.body)
        assert body["properties"]["q"] == "a\nb"
        body = kept_fields(admit(door, BROKEN["an unknown escape"]).record.body)
        assert body["properties"]["q"] == "C:\\dir"

    @pytest.mark.parametrize("name", ["NaN", "Infinity", "beyond all numbers"])
    def test_a_number_that_is_none_counts_as_not_sent(self, door: Door, name: str):
        admitted = admit(door, BROKEN[name])
        assert kept_fields(admitted.record.body)["properties"]["q"] is None
        assert [note.code for note in admitted.notes] == ["number_unreadable"]

    def test_a_note_repeats_no_name_that_a_sender_made_up(self, door: Door):
        """Notes are counted for as long as the process runs, and read by others: no personal name, none of 30 kB."""
        for name in ("jane@shop.example", "Jane Doe", "k" * 30_000):
            for within, field in (("%s", ""), ('"properties": {%s}', "properties"), ('"traits": {%s}', "traits")):
                fields = within % f'"{name}": 1e999'
                raw = f'{{"type": "track", "event": "x", "anonymousId": "a1", {fields}}}'.encode()
                admitted = door.admit(raw, kind=None, received_ms=RECEIVED_MS, tenant="default")
                found = [(note.code, note.field, len(note.found) < 100) for note in admitted.notes]
                assert found == [("number_unreadable", field, True)], (name[:20], within)

    def test_a_whole_number_that_nothing_can_hold_is_told_where_it_would_be_read(self, door: Door):
        admitted = admit(door, sent(1, '"price": ' + "9" * 400))
        assert ("number_impossible", "properties.price") in [(note.code, note.field) for note in admitted.notes]
        admitted = admit(door, BROKEN["an integer of 400 digits"])
        assert (kept_fields(admitted.record.body)["properties"]["q"], admitted.notes) == (None, ())

    def test_an_integer_beyond_64_bits_is_kept_as_a_fraction(self, door: Door):
        admitted = admit(door, sent(1, '"q": ' + "9" * 30))
        assert kept_fields(admitted.record.body)["properties"]["q"] == 1e30

    def test_whole_pairs_and_escaped_backslashes_are_left_alone(self):
        raw = rb'{"a": "\ud83d\ude00 \\ud83d \u00e9 \/", "b": "\ud83d"}'
        assert mended(raw, []) == {"a": "\U0001f600 \\ud83d \u00e9 /", "b": "\ufffd"}

    def test_a_comma_within_text_stays(self):
        assert mended(rb'{"a": "x,]\",}", "b": [1 , ],}', []) == {"a": 'x,]",}', "b": [1]}

    def test_more_than_so_many_places_are_not_mended(self):
        for piece in (rb"\ud83d", b"\xff"):
            with pytest.raises(EventRejected, match="more escapes or broken"):
                mended(b'{"a": "' + piece * (limits.MENDED_PLACES_MAX + 1) + b'"}', [])

    def test_the_message_id_of_broken_bytes_is_found(self):
        assert message_id_of(b'{"messageId": "m-1", "x": tru') == "m-1"
        assert message_id_of(b'{"messageId": 7, "x": tru') == ""

    @settings(deadline=None, max_examples=200)
    @given(st.dictionaries(st.text(max_size=8), st.text(max_size=20) | st.integers() | FINITE))
    def test_what_is_sound_comes_out_as_it_is(self, value: dict[str, Any]):
        assert mended(json.dumps(value).encode(), []) == value


def test_bent_batches_are_read_or_refused_and_lose_no_sound_neighbour(door: Door):
    chance = random.Random(11)
    for _ in range(500):
        events = [sent(number) for number in range(1, 6)]
        bent = bytearray(events[2])
        for _ in range(chance.randrange(1, 4)):
            at = chance.randrange(len(bent))
            bent[at : at + chance.randrange(3)] = bytes([chance.randrange(256)])
        read = decode_batch(batch(*events[:2], bytes(bent), *events[3:]))
        found = [bytes(event) for event in read.events]
        assert found[:2] == events[:2], bent
        assert found[-2:] == events[3:], bent
        for event in found:
            with contextlib.suppress(EventRejected):
                assert isinstance(admit(door, event), Admitted)


@settings(deadline=None, max_examples=300)
@given(raw=st.binary(max_size=120))
def test_any_bytes_can_be_split(raw: bytes):
    parts = split_batch(b'{"batch": [' + raw)
    assert parts is None or all(event in raw for event in parts.events)
    with contextlib.suppress(EventRejected):
        assert isinstance(mended(raw, []), dict)


def test_runs_of_digits_that_are_no_number_take_no_longer_than_other_text():
    """Each digit of a run of 999 was the beginning of another search: 60 ms an event, 8 s a batch."""
    def cpu_ns(run: bytes) -> int:
        raw = b'{"p": "' + run * (30_000 // len(run)) + b'",}'
        taken = []
        for _ in range(5):
            started_ns = time.process_time_ns()
            mended(raw, [])
            taken.append(time.process_time_ns() - started_ns)
        return min(taken)

    assert cpu_ns(b"1" * 999 + b"x") < 20 * cpu_ns(b"x")


@pytest.mark.parametrize("raw", [b'[{"type": "track"}]', b"  [1]", b"[]"])
def test_a_list_alone_is_told_how_it_is_sent(raw: bytes) -> None:
    with pytest.raises(EventRejected, match=r'the body is a list: send \{"batch"'):
        decode_batch(raw)


@pytest.mark.parametrize(("what", "told"), [
    ("a trailing comma", "it has commas before closing brackets, which were left out: the event was taken"),
    ("an unknown escape", "it has escapes that JSON has not (send backslashes twice): the event was taken"),
    ("half of an emoji", "it has broken characters, which were replaced by U+FFFD (send UTF-8): the event was taken"),
    ("a line break in text", "it has control characters within text (send them escaped): the event was taken"),
])  # fmt: skip
def test_what_was_mended_is_told_as_what_it_was(door: Door, what: str, told: str) -> None:
    (said,) = {sentence(note) for note in admit(door, BROKEN[what]).notes}
    assert said == f"{told} as what it says"

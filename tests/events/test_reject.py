"""The quarantined form keeps the reason and the bytes, within bounds."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec
import pytest

from instanter.events.reject import (
    LATE,
    QUARANTINE_VERSION,
    decode_quarantined,
    encode_quarantined,
    identifiers_in,
    opened,
    pointer,
    quarantined,
    sealed,
    settled,
)
from instanter.events.subjects import NOBODY, Sealed, Sealing, Subject
from instanter.foundation import limits
from instanter.foundation.errors import Corrupt, EventRejected

ERROR = EventRejected("schema", "a track event has an event name")


def test_it_comes_back_as_it_went():
    entry = quarantined(b'{"messageId": 17}', ERROR, at_ms=5, tenant="t")
    assert decode_quarantined(encode_quarantined(entry)) == entry
    assert (entry.code, entry.message, entry.message_id) == ("schema", ERROR.message, "17")
    assert (entry.at_ms, entry.tenant, entry.raw) == (5, "t", b'{"messageId": 17}')


def test_an_event_of_a_batch_is_kept_too():
    raw = msgspec.Raw(b'{"messageId": "m"}')
    assert quarantined(raw, ERROR, at_ms=5, tenant="t").raw == b'{"messageId": "m"}'


def test_what_is_kept_is_bounded_and_says_how_much_there_was():
    whole, over = b"x" * limits.QUARANTINED_EVENT_BYTES_MAX, b"x" * (limits.QUARANTINED_EVENT_BYTES_MAX + 1)
    assert quarantined(whole, ERROR, at_ms=5, tenant="t").raw == whole
    entry = quarantined(over, EventRejected("too_large", "y" * 9_000), at_ms=5, tenant="t")
    assert (len(entry.raw), entry.raw_bytes, entry.message_id) == (limits.EVENT_BYTES_MAX, len(over), "")
    assert len(entry.message) == limits.REASON_CHARS_MAX


@pytest.mark.parametrize(
    "payload", [b"", b"\xc1", b"\x90", encode_quarantined(quarantined(b"", ERROR, at_ms=1, tenant="t"))[:-2]]
)
def test_damage_is_named(payload: bytes):
    with pytest.raises(Corrupt, match="damaged at byte 9"):
        decode_quarantined(payload, file="q", offset=9)


def test_a_newer_format_is_refused_in_one_sentence():
    entry = quarantined(b"", ERROR, at_ms=1, tenant="t")
    newer = encode_quarantined(msgspec.structs.replace(entry, version=QUARANTINE_VERSION + 1))
    with pytest.raises(Corrupt, match="newer than this program"):
        decode_quarantined(newer)


def naming(people: int) -> bytes:
    """Events of so many."""
    return b"[%s]" % b",".join(b'{"userId":%d}' % number for number in range(1, people + 1))


class Keys:
    """Subjects whose seals are as plain as can be: whose it is, and of which day, before the bytes."""

    def __init__(self, **cells: int) -> None:
        self.cells = {name.replace("_", ":"): cell for name, cell in cells.items()}
        self.destroyed: set[int] = set()

    def find(self, tenant: str, identifier: str) -> int:
        return self.cells.get(identifier, 0)

    def subject(self, tenant: str, identifier: str) -> Subject:
        raise AssertionError("a bad event makes nobody known")

    def subjects(self, tenant: str, identifiers: Sequence[str]) -> list[Subject]:
        raise AssertionError("a bad event makes nobody known")

    def seal(self, cell: int, kind: Sealed, at_ms: int, plain: bytes) -> bytes:
        assert kind is Sealed.QUARANTINE
        return b"%d/%d/" % (cell, at_ms) + plain[::-1]

    def seal_events(self, sealings: Sequence[Sealing]) -> list[bytes]:
        raise AssertionError("a bad event is sealed by itself")

    def unseal(self, cell: int, kind: Sealed, at_ms: int, sealed: bytes) -> bytes | None:
        mark = b"%d/%d/" % (cell, at_ms)
        assert sealed.startswith(mark)
        return None if cell in self.destroyed else sealed[len(mark) :][::-1]

    def tombstone(self, tenant: str, identifier: str) -> bytes:
        raise AssertionError("nobody is erased here")


@pytest.mark.parametrize(("raw", "named"), [
    (b'{"userId": "u1"}', ["u1"]), (b"{'userId': 'u1'", ["u1"]), (b"userId: u1,", ["u1"]), (b'userId":17}', ["17"]),
    (rb'{"userId": "\u0075\"1"}', ['u"1']), (b'{"userId": null, "anonymousId": ""}', []),
    (b'{"userId": " u1 "', ["u1"]),
    (b'[{"userId":"u1"},{"anonymousId":"a1","userId":"u2"}]', ["a1", "u1", "u2"]), (b"\xff\xfeuserId", []),
    (b'{"userId": "never ends', []), (b'{"x": "userId"}', []), (b"", []),
])  # fmt: skip
def test_who_is_named_is_found_in_bytes_that_need_not_be_json(raw: bytes, named: list[str]):
    assert [text for _, text in identifiers_in(raw)] == named


@pytest.mark.parametrize(("raw", "cells"), [
    (b'{"userId": "u1"}', (1,)), (b'{"anonymousId": "a1", "userId": "u1"}', (11, 1)), (b'{"previousId": "a1"', (11,)),
    (b'{"userId": "stranger"}', (NOBODY,)), (b"{", (NOBODY,)), (b'{"anonymousId": "u1"}', (NOBODY,)),
    (naming(limits.SEALS_NESTED_MAX), tuple(range(101, 101 + limits.SEALS_NESTED_MAX))),
    (naming(limits.SEALS_NESTED_MAX + 1), (NOBODY,)),
    (b'{"userId": "u1"}' * (limits.PEOPLE_NAMED_MAX + 1), (NOBODY,)),
])  # fmt: skip
def test_what_is_kept_is_sealed_for_whom_it_names(raw: bytes, cells: tuple[int, ...]):
    numbered = {str(number): 100 + number for number in range(1, limits.SEALS_NESTED_MAX + 2)}
    keys = Keys(u1=1, anonymous_a1=11, **numbered)
    entry = quarantined(raw, ERROR, at_ms=5, tenant="t", defaults={"ip": "192.0.2.7"}, kind="track", sent_at_ms=4)
    stored = decode_quarantined(encode_quarantined(sealed(entry, keys)))
    assert (stored.subjects, stored.message_id, stored.defaults) == (cells, "", b"")
    assert opened(stored, keys) == entry
    keys.destroyed = {cells[-1]}
    assert opened(stored, keys) is None


def test_what_has_no_bytes_needs_no_seal():
    entry = quarantined(b"", ERROR, at_ms=5, tenant="t")
    assert sealed(entry, Keys()) == entry
    assert opened(entry, Keys()) == entry


def test_the_first_format_is_still_read():
    stored = [1, 5, "t", "schema", "no", "m-1", b"{}", 2]
    entry = decode_quarantined(msgspec.msgpack.encode(stored))
    assert (entry.version, entry.raw, entry.subjects, entry.position, entry.settles) == (1, b"{}", (), 0, 0)
    assert opened(entry, Keys()) is entry


def test_pointers_and_outcomes_carry_nothing_of_the_event():
    late = pointer(400, LATE, "too old" * 100, at_ms=5, tenant="t", more=3)
    assert (late.position, late.code, late.more, late.raw, late.message_id) == (400, "late", 3, b"", "")
    assert len(late.message) == limits.REASON_CHARS_MAX
    word = settled(64, at_ms=6, tenant="t")
    assert (word.settles, word.code, word.raw) == (64, "", b"")

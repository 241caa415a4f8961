"""The quarantined form keeps the reason and the bytes, within bounds."""

from __future__ import annotations

import msgspec
import pytest

from instanter.events.reject import QUARANTINE_VERSION, decode_quarantined, encode_quarantined, quarantined
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

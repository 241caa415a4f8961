"""The payload of a frame is a record, or it is damage; nothing else comes of it."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from instanter.events.envelope import ItemUpserted, decode_record, encode_record
from instanter.foundation.errors import Corrupt

PUT = encode_record(ItemUpserted(1, "default", "i", {"a": 0}))
DEEP = PUT[:-1] + b"\x91" * 9_000 + b"\x00"


@pytest.mark.row("R3")
@pytest.mark.parametrize("payload", [b"", b"\x90", b"\x91\xcc\xff", b"\x91\xa1\x99", PUT[:-1], PUT + b"\x00", DEEP])
def test_a_payload_that_is_no_record_is_damage_that_names_its_place(payload: bytes) -> None:
    with pytest.raises(Corrupt) as raised:
        decode_record(payload, file="a.seg", offset=7)
    assert (raised.value.file, raised.value.offset) == ("a.seg", 7)


@pytest.mark.row("R3")
@settings(max_examples=500)
@given(payload=st.binary(max_size=80))
def test_any_bytes_are_a_record_or_damage(payload: bytes) -> None:
    try:
        record = decode_record(payload)
    except Corrupt:
        return
    assert decode_record(encode_record(record)) == record

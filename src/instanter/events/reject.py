"""The quarantined form of what could not be taken: its reason, and its bytes for a second try."""

from __future__ import annotations

import msgspec

from ..foundation.errors import Corrupt, EventRejected
from ..foundation.limits import EVENT_BYTES_MAX, ID_CHARS_MAX, REASON_CHARS_MAX

QUARANTINE_VERSION = 1


class Quarantined(msgspec.Struct, array_like=True, frozen=True):
    """One event that was rejected. `raw` is personal and as the sender wrote it: store it sealed or not for long."""

    version: int
    at_ms: int
    tenant: str
    code: str
    message: str
    message_id: str
    """"" when it could not be read."""
    raw: bytes
    """The first `EVENT_BYTES_MAX` bytes."""
    raw_bytes: int
    """How many there were."""


class _Peek(msgspec.Struct, rename="camel"):
    message_id: str | int | None = None


_encoder = msgspec.msgpack.Encoder()
_decoder = msgspec.msgpack.Decoder(Quarantined)
_peek = msgspec.json.Decoder(_Peek)


def message_id_of(raw: bytes | msgspec.Raw) -> str:
    """The messageId of an event that may be anything at all; "" when none can be read.

    >>> message_id_of(b'{"messageId": "m-1", "type": 7}'), message_id_of(b"[[[")
    ('m-1', '')
    """
    if len(raw) > EVENT_BYTES_MAX:
        return ""
    try:
        found = _peek.decode(raw).message_id
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return ""
    return "" if found is None else str(found)[:ID_CHARS_MAX]


def quarantined(
    raw: bytes | msgspec.Raw, error: EventRejected, *, at_ms: int, tenant: str, message_id: str | None = None
) -> Quarantined:
    """The form of one rejected event; reads `messageId` from the bytes unless it is given."""
    return Quarantined(
        version=QUARANTINE_VERSION,
        at_ms=at_ms,
        tenant=tenant,
        code=error.code,
        message=error.message[:REASON_CHARS_MAX],
        message_id=message_id_of(raw) if message_id is None else message_id,
        raw=bytes(memoryview(raw)[:EVENT_BYTES_MAX]),
        raw_bytes=len(raw),
    )


def encode_quarantined(entry: Quarantined) -> bytes:
    """The payload of a frame of the quarantine."""
    return _encoder.encode(entry)


def decode_quarantined(payload: bytes | memoryview, *, file: str = "quarantine", offset: int = 0) -> Quarantined:
    """The entry in a frame's payload, or `Corrupt`; its checksum has been verified before."""
    try:
        entry = _decoder.decode(payload)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise Corrupt(file=file, offset=offset, reason=f"not a quarantined event: {error}") from None
    if entry.version > QUARANTINE_VERSION:
        raise Corrupt(file=file, offset=offset, reason=f"quarantine format {entry.version} is newer than this program")
    return entry

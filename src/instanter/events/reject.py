"""The quarantined form of what could not be taken: its reason, and its bytes for a second try, sealed.

An entry is one of three things: an event (or a body of events) that was refused at the door, which carries its bytes;
a pointer to a record of the log that the fold could not use as it should (`late`, `poison`), which carries no bytes;
or word of what became of an earlier entry (`settles`), which carries neither.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any, Final

import msgspec

from ..foundation.errors import Corrupt, EventRejected
from ..foundation.limits import (
    EVENT_BYTES_MAX,
    ID_CHARS_MAX,
    PEOPLE_NAMED_MAX,
    QUARANTINED_EVENT_BYTES_MAX,
    REASON_CHARS_MAX,
    SEALS_NESTED_MAX,
)
from .claims import without_user_tokens
from .subjects import ANONYMOUS_PREFIX, NOBODY, Sealed, Subjects

QUARANTINE_VERSION = 2

BATCH: Final = "batch"
"""`Quarantined.kind` of a whole body in which no events could be told apart."""
LATE: Final = "late"
"""The code of an event that came after the windows it belongs to, by the person's own newest event."""
LATE_FOR_SEQUENCES: Final = "late_for_sequences"
"""The code of an event that came too late for its session and the order of events; it counts in everything else."""
POISON: Final = "poison"
"""The code of a record that could not be folded and was passed over."""

PEOPLE: Final = ("anonymousId", "userId", "previousId")
"""The fields that name a person."""


class Quarantined(msgspec.Struct, array_like=True, frozen=True):
    """One entry as it is stored. New fields go last and have defaults."""

    version: int
    at_ms: int
    """When it was received; of a pointer, when it was noted."""
    tenant: str
    code: str
    """Of a settling entry: "" when it has been taken, else why it still is not."""
    message: str
    message_id: str
    """"" when it could not be read, and where the entry is sealed: it is in the bytes."""
    raw: bytes
    """The event, whole up to `QUARANTINED_EVENT_BYTES_MAX`, else its first `EVENT_BYTES_MAX` bytes; where `subjects`
    is set, the sealed `_Contents`."""
    raw_bytes: int
    """How many bytes the event had. More than are kept: it cannot be replayed."""
    kind: str = ""
    """The route: track and so on, `BATCH` for a body, "" for an event of a batch."""
    sent_at_ms: int | None = None
    """The batch's."""
    defaults: bytes = b""
    """The batch's context, JSON; "" where it has none, and where the entry is sealed."""
    subjects: tuple[int, ...] = ()
    """The pseudonyms whose keys seal `raw`, innermost first; `NOBODY` for the key of the day. Empty: not sealed."""
    position: int = 0
    """Of the record in the log that this points to; 0: it points to none."""
    more: int = 0
    """So many further events of this sort got no entry of their own before this one."""
    settles: int = 0
    """Position of the entry in the quarantine that this one is about; 0: it is one itself."""
    public: bool = False
    """It came with a public access key, and may not assert more than that the second time either."""


class _Contents(msgspec.Struct, array_like=True, frozen=True):
    """What is sealed."""

    raw: bytes
    defaults: bytes


class _Peek(msgspec.Struct, rename="camel"):
    message_id: str | int | None = None


_encoder = msgspec.msgpack.Encoder()
_decoder = msgspec.msgpack.Decoder(Quarantined)
_contents = msgspec.msgpack.Decoder(_Contents)
_peek = msgspec.json.Decoder(_Peek)
_text = msgspec.json.Decoder(str)
_encode_json = msgspec.json.Encoder().encode

# Possessive and bounded, so that hostile bytes are gone through once: each further opening quote ends what is open.
_VALUE = rb"""["']?\s{0,16}+:\s{0,16}+(?:("(?:[^"\\]++|\\.){0,1024}+")|'([^']*+)'|([\w@.+-]++))"""
_MESSAGE_ID = re.compile(rb'"messageId"\s{0,16}+:\s{0,16}+"([^"\\]{1,512}+)"')
_NAMED = {field: re.compile(field.encode() + _VALUE) for field in PEOPLE}


def message_id_of(raw: bytes | msgspec.Raw) -> str:
    """The messageId of an event that may be anything at all; "" when none can be read.

    >>> message_id_of(b'{"messageId": "m-1", "type": 7}'), message_id_of(b"[[[")
    ('m-1', '')
    """
    if len(raw) > EVENT_BYTES_MAX:
        return ""
    try:
        found = _peek.decode(raw).message_id
    except msgspec.ValidationError:
        return ""
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        match = _MESSAGE_ID.search(raw)
        return match[1].decode("utf-8", "replace") if match else ""
    return "" if found is None else str(found)[:ID_CHARS_MAX]


def identifiers_in(raw: bytes) -> Iterator[tuple[str, str]]:
    """(field, id) wherever bytes that need not be JSON seem to name a person, field by field in the order of the text.

    About 1 ns a byte, and a microsecond for each id.

    >>> list(identifiers_in(b'{"userId": "u1", anonymousId: a1,, "x": {"userId": 7'))
    [('anonymousId', 'a1'), ('userId', 'u1'), ('userId', '7')]
    """
    for field, named in _NAMED.items():
        for match in named.finditer(raw):
            quoted, single, bare = match.groups()
            text = _unquoted(quoted) if quoted is not None else (single or bare or b"").decode("utf-8", "replace")
            if not text.isspace() and text not in ("", "null"):
                yield field, text.strip()


def identifiers_named(field: str, text: str) -> tuple[str, ...]:
    """The ids that a text in one of the fields `PEOPLE` may be, as in `GET /v1/profiles/{id}`."""
    return {"anonymousId": (ANONYMOUS_PREFIX + text,), "userId": (text,)}.get(field, (text, ANONYMOUS_PREFIX + text))


def _unquoted(quoted: bytes) -> str:
    try:
        return _text.decode(quoted)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return quoted[1:-1].decode("utf-8", "replace")


def people_in(raw: bytes, tenant: str, subjects: Subjects) -> tuple[int, ...]:
    """The known people that the bytes name, in the order of their fields; `NOBODY` alone when there are none, or many.

    Nobody is made known by this: bytes that could not be taken must not fill the key store.
    """
    if sum(raw.count(field.encode()) for field in PEOPLE) > PEOPLE_NAMED_MAX:
        return (NOBODY,)
    found: dict[int, None] = {}
    for field, text in dict.fromkeys(identifiers_in(raw)):
        for name in _names(field, text[: ID_CHARS_MAX + 1]):
            cell = subjects.find(tenant, name)
            if cell:
                found[cell] = None
        if len(found) > SEALS_NESTED_MAX:
            return (NOBODY,)
    return tuple(found) or (NOBODY,)


def _names(field: str, text: str) -> tuple[str, ...]:
    """In the form of `GET /v1/profiles/{id}`; nobody knows which sort of id a previousId is."""
    if field == "anonymousId":
        return (ANONYMOUS_PREFIX + text,)
    return (text,) if field == "userId" else (text, ANONYMOUS_PREFIX + text)


def quarantined(
    raw: bytes | msgspec.Raw, error: EventRejected, *, at_ms: int, tenant: str, kind: str = "",
    sent_at_ms: int | None = None, defaults: dict[str, Any] | None = None, public: bool = False,
    raw_bytes: int | None = None,
) -> Quarantined:  # fmt: skip
    """The open form of one rejected event. `raw_bytes` says how many there were, if `raw` is not all of them."""
    return Quarantined(
        version=QUARANTINE_VERSION,
        at_ms=at_ms,
        tenant=tenant,
        code=error.code,
        message=error.message[:REASON_CHARS_MAX],
        message_id=message_id_of(raw),
        raw=without_user_tokens(
            bytes(memoryview(raw)[: None if len(raw) <= QUARANTINED_EVENT_BYTES_MAX else EVENT_BYTES_MAX])
        ),
        raw_bytes=len(raw) if raw_bytes is None else raw_bytes,
        kind=kind,
        sent_at_ms=sent_at_ms,
        defaults=_encode_json(defaults) if defaults else b"",
        public=public,
    )


def pointer(
    position: int, code: str, message: str, *, at_ms: int, tenant: str, kind: str = "", more: int = 0
) -> Quarantined:
    """The entry of a record that is in the log already; nothing in it is personal."""
    return Quarantined(
        QUARANTINE_VERSION, at_ms, tenant, code, message[:REASON_CHARS_MAX], "", b"", 0, kind=kind,
        position=position, more=more,
    )  # fmt: skip


def settled(of: int, *, at_ms: int, tenant: str, code: str = "", message: str = "") -> Quarantined:
    """Word that the entry at `of` has been taken, or why it is still refused."""
    return Quarantined(
        QUARANTINE_VERSION, at_ms, tenant, code, message[:REASON_CHARS_MAX], "", b"", 0, settles=of
    )  # fmt: skip


def sealed(entry: Quarantined, subjects: Subjects) -> Quarantined:
    """The form that is stored: what the sender wrote is sealed for the people it names, or for its day alone.

    Several people are sealed one around the other, so that destroying any one's key destroys the whole.
    """
    if entry.subjects or not (entry.raw or entry.defaults):
        return msgspec.structs.replace(entry, message_id="")
    people = people_in(entry.raw, entry.tenant, subjects)
    raw = _encoder.encode(_Contents(entry.raw, entry.defaults))
    for cell in people:
        raw = subjects.seal(cell, Sealed.QUARANTINE, entry.at_ms, raw)
    return msgspec.structs.replace(entry, message_id="", raw=raw, defaults=b"", subjects=people)


def opened(entry: Quarantined, subjects: Subjects) -> Quarantined | None:
    """The open form again, or None when a key is gone. Raises `Corrupt` for bytes that were changed."""
    if not entry.subjects:
        return entry
    raw: bytes | None = entry.raw
    for cell in reversed(entry.subjects):
        raw = subjects.unseal(cell, Sealed.QUARANTINE, entry.at_ms, raw) if raw is not None else None
    if raw is None:
        return None
    try:
        contents = _contents.decode(raw)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise Corrupt(file="quarantine", offset=0, reason=f"not the contents of an entry: {error}") from None
    return msgspec.structs.replace(
        entry, raw=contents.raw, defaults=contents.defaults, message_id=message_id_of(contents.raw), subjects=()
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

"""The envelope of a batch: many events in one body, still raw, so that a bad one spoils no other."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import msgspec

from ..foundation.errors import EventRejected
from ..foundation.limits import BATCH_BYTES_MAX, BATCH_EVENTS_MAX, BATCH_EXPANDED_BYTES_MAX, EVENT_BYTES_MAX
from .mend import mended
from .parts import TOO_MANY, split_batch
from .schema import BatchEnvelope, WireTime
from .structure import check_structure, finite
from .times import read_time_ms
from .wanted import complaint, wanted

_decode_envelope = msgspec.json.Decoder(BatchEnvelope).decode
_decode_defaults = msgspec.json.Decoder(dict[str, Any] | None, float_hook=finite).decode
_encode = msgspec.json.Encoder().encode
_EXPANDED: Final = f"the context of a batch, once for each event, has at most {BATCH_EXPANDED_BYTES_MAX} bytes"
_ENVELOPE_BYTES: Final = 4_096
"""Of what stands beside the context."""
_NOTHING: Final = (b"null", b"[]", b'""')
"""A context without anything in it, as languages write it that do not tell an empty list from an empty map."""
_NO_EVENTS: Final = BatchEnvelope([])
_decode_time = msgspec.json.Decoder(WireTime | None).decode
_NO_BATCH: Final = 'this is not JSON, and no list called "batch" can be made out in it'


class Batch(msgspec.Struct, frozen=True):
    """An envelope that was read; its events were not."""

    events: Sequence[bytes | msgspec.Raw]
    sent_at_ms: int | None = None
    defaults: dict[str, Any] | None = None
    """Context that events without their own inherit, field by field."""
    write_key: str = ""
    user_token: str = ""
    """In place of those that the events do not have."""


def decode_batch(raw: bytes) -> Batch:
    """The envelope of a batch, or `EventRejected`.

    Where the body is no JSON because of some of its events, or these are nested too deep, they are told apart from the
    others all the same: what they are worth is the door's to say.

    >>> [bytes(event) for event in decode_batch(b'{"batch": [{"type": "track"}, {}]}').events]
    [b'{"type": "track"}', b'{}']
    """
    if len(raw) > BATCH_BYTES_MAX:
        raise EventRejected("too_large", f"a batch has at most {BATCH_BYTES_MAX} bytes", status=413)
    try:
        return _whole(raw)
    except msgspec.ValidationError as error:
        if raw.lstrip()[:1] == b"[":
            sentence = 'the body is a list: send {"batch": [...]}, each event with its type'
            raise EventRejected("schema", sentence) from None
        raise EventRejected("schema", wanted(error)) from None
    except RecursionError:
        return _in_parts(raw, otherwise=EventRejected("too_deep", "the batch is nested too deep"))
    except (msgspec.DecodeError, UnicodeDecodeError):
        return _in_parts(raw, otherwise=EventRejected("malformed", _NO_BATCH))


def write_key_of(raw: bytes) -> str:
    """The `writeKey` of a batch that is no JSON because of some of its events; "" where there is none."""
    try:
        if len(raw) > BATCH_BYTES_MAX:
            return ""
        return _in_parts(raw, otherwise=EventRejected("malformed", _NO_BATCH)).write_key
    except EventRejected:
        return ""


def _whole(raw: bytes) -> Batch:
    sent = _decode_envelope(raw)
    _check_expanded(sent, len(sent.batch))
    context = bytes(sent.context)
    check_structure(context, context.count(b"{") + context.count(b"["))
    try:
        defaults = _decode_defaults(context) if context not in _NOTHING else None
        sent_at = _decode_time(sent.sent_at)
    except msgspec.ValidationError as error:
        field = "sentAt" if context in _NOTHING or context[:1] == b"{" else "context"
        raise EventRejected("schema", f"{field} of the batch {complaint(error).reason}") from None
    sent_at_ms = None if sent_at is None or sent_at == "" else read_time_ms(sent_at, "sentAt")
    user_token = defaults.pop("userToken", "") if defaults else ""
    return Batch(
        sent.batch, sent_at_ms, defaults, sent.write_key or "", user_token if isinstance(user_token, str) else ""
    )


def _in_parts(raw: bytes, *, otherwise: EventRejected) -> Batch:
    """A batch of which an event, or the envelope, is no JSON; raises `otherwise` where no events can be told apart."""
    parts = split_batch(raw)
    if parts is None:
        raise otherwise
    if parts.cut_off and not any(event.startswith(b"{") for event in parts.events):
        raise EventRejected("malformed", "this is not JSON: it ends too early, before its first event does")
    envelope = parts.envelope
    if len(envelope) > EVENT_BYTES_MAX + _ENVELOPE_BYTES:
        raise EventRejected("too_large", f"the context of a batch has at most {EVENT_BYTES_MAX} bytes", status=413)
    check_structure(envelope, envelope.count(b"{") + envelope.count(b"["))
    try:
        batch = _whole(_encode(mended(envelope, [])))
    except EventRejected as error:
        raise EventRejected(error.code, f"of the batch, around its events: {error.message}") from None
    except msgspec.ValidationError as error:
        raise EventRejected("schema", wanted(error)) from None
    except OverflowError:
        raise EventRejected("schema", "a number of the batch's context is beyond all bounds") from None
    events = [*parts.events, *batch.events]
    _check_expanded(_NO_EVENTS, len(events))
    if batch.defaults and len(_encode(batch.defaults)) * len(events) > BATCH_EXPANDED_BYTES_MAX:
        raise EventRejected("too_large", _EXPANDED, status=413)
    return msgspec.structs.replace(batch, events=events)


def _check_expanded(sent: BatchEnvelope, events: int) -> None:
    """Every event may inherit the batch's context, so that counts once for each of them."""
    if events > BATCH_EVENTS_MAX:
        raise EventRejected("too_large", TOO_MANY, status=413)
    if len(sent.context) > EVENT_BYTES_MAX:
        raise EventRejected("too_large", f"the context of a batch has at most {EVENT_BYTES_MAX} bytes", status=413)
    if len(sent.context) * events > BATCH_EXPANDED_BYTES_MAX:
        raise EventRejected("too_large", _EXPANDED, status=413)

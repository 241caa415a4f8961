"""The envelope of a batch: many events in one body, still raw, so that a bad one spoils no other."""

from __future__ import annotations

from typing import Any

import msgspec

from ..foundation.errors import EventRejected
from ..foundation.limits import BATCH_BYTES_MAX, BATCH_EVENTS_MAX, BATCH_EXPANDED_BYTES_MAX, EVENT_BYTES_MAX
from .schema import BatchEnvelope, WireTime
from .structure import check_structure, finite
from .times import parse_time_ms

_decode_envelope = msgspec.json.Decoder(BatchEnvelope).decode
_decode_defaults = msgspec.json.Decoder(dict[str, Any] | None, float_hook=finite).decode
_decode_time = msgspec.json.Decoder(WireTime | None).decode


class Batch(msgspec.Struct, frozen=True):
    """An envelope that was read; its events were not."""

    events: list[msgspec.Raw]
    sent_at_ms: int | None = None
    defaults: dict[str, Any] | None = None
    """Context that events without their own inherit, field by field."""
    write_key: str = ""
    user_token: str = ""
    """In place of those that the events do not have."""


def decode_batch(raw: bytes) -> Batch:
    """The envelope of a batch, or `EventRejected`.

    What breaks JSON itself breaks the whole body: there is no telling where the next event begins.

    >>> [bytes(event) for event in decode_batch(b'{"batch": [{"type": "track"}, {}]}').events]
    [b'{"type": "track"}', b'{}']
    """
    if len(raw) > BATCH_BYTES_MAX:
        raise EventRejected("too_large", f"a batch has at most {BATCH_BYTES_MAX} bytes", status=413)
    try:
        sent = _decode_envelope(raw)
        _check_expanded(sent)
        context = bytes(sent.context)
        check_structure(context, context.count(b"{") + context.count(b"["))
        defaults = _decode_defaults(context)
        sent_at = _decode_time(sent.sent_at)
    except msgspec.ValidationError as error:
        raise EventRejected("schema", str(error)) from None
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise EventRejected("malformed", str(error)) from None
    except RecursionError:
        raise EventRejected("too_deep", "the batch is nested too deep") from None
    sent_at_ms = None if sent_at is None else parse_time_ms(sent_at, "sentAt")
    user_token = defaults.pop("userToken", "") if defaults else ""
    return Batch(
        sent.batch, sent_at_ms, defaults, sent.write_key or "", user_token if isinstance(user_token, str) else ""
    )


def _check_expanded(sent: BatchEnvelope) -> None:
    """Every event may inherit the batch's context, so that counts once for each of them."""
    if len(sent.batch) > BATCH_EVENTS_MAX:
        raise EventRejected("too_large", f"a batch has at most {BATCH_EVENTS_MAX} events", status=413)
    if len(sent.context) > EVENT_BYTES_MAX:
        raise EventRejected("too_large", f"the context of a batch has at most {EVENT_BYTES_MAX} bytes", status=413)
    if len(sent.context) * len(sent.batch) > BATCH_EXPANDED_BYTES_MAX:
        reason = f"the context of a batch, once for each event, has at most {BATCH_EXPANDED_BYTES_MAX} bytes"
        raise EventRejected("too_large", reason, status=413)

"""An event as it came in: its typed fields at once, its map only where something of it has to be looked for or changed.

Most events are read in one pass from bytes into types, and what is kept of them is the bytes as they came. Whatever
does not fit that (`schema.PlainEvent`: unknown or misspelt fields, odd values, a batch's context to be put under, a key
or an address that nothing may keep) is decoded into a map; the map is converted into the types, mended where it must
be, and kept as MessagePack. Both ways lead to the same record; the map's is the oracle of the other in tests.

What an event may cost is bounded before it is decoded (`structure`), so that hostile bytes are not dearer than honest
ones. Codes: `malformed` (not JSON), `schema` (JSON that is no event), `too_deep`, `too_complex`, `too_large`.
"""

from __future__ import annotations

from base64 import b64decode, b64encode
from collections.abc import Mapping
from typing import Any, Final

import msgspec

from ..foundation.errors import EventRejected
from ..foundation.limits import BROKEN_EVENTS_BYTES_MAX, BROKEN_EVENTS_MAX, EVENT_BYTES_MAX
from .addresses import truncated
from .mend import mended, within_bounds
from .notes import Note
from .odd import MISSPELT, event_of, mend_context, take_near_misses
from .schema import FIELDS, PlainEvent, TrackingEvent
from .structure import BRACKETS_UNCHECKED, SHORT_BYTES, check_structure, finite, has_extreme_number
from .wanted import wanted

_SPACES: Final = b" \t\r\n"
"""Those of JSON."""
_TOO_BROKEN: Final = (
    f"this is not JSON, and it was not looked into: {BROKEN_EVENTS_MAX} events of its body, or "
    f"{BROKEN_EVENTS_BYTES_MAX // 1024} KiB, were none either; sent again by itself it is mended, or told what is wrong"
)
_NOTHING: Final[Mapping[str, Any]] = {}
_NO_NAMES: Final = frozenset[str]()
_SEALED: Final = "sealed"
"""In JSON that is kept, the one name of the map that stands for an id: under it, the id sealed, in base 64."""

_DEVICE: Final = b'"anonymousId"'

_decode_plain = msgspec.json.Decoder(PlainEvent).decode
_decode_plain_steadily = msgspec.json.Decoder(PlainEvent, float_hook=finite).decode
_decode_map = msgspec.json.Decoder(dict[str, Any]).decode
_decode_map_steadily = msgspec.json.Decoder(dict[str, Any], float_hook=finite).decode
"""Slower by 0.2 us for each fraction, and never slow: see `structure.finite`."""
_encode_map = msgspec.msgpack.Encoder().encode
_decode_kept = msgspec.msgpack.Decoder(dict[str, Any]).decode


class Sent:
    """One event as it came in. `event` is what it says; `notes` gets what had to be mended."""

    __slots__ = ("_fields", "_notes", "_sealed_device", "_text", "event")

    def __init__(
        self, event: TrackingEvent, text: bytes, notes: list[Note], fields: dict[str, Any] | None = None
    ) -> None:
        """Without `fields` the text is all there is, and nothing of it needs mending."""
        self.event = event
        self._text = text
        self._notes = notes
        self._fields = fields
        self._sealed_device = b""
        """What stands in the text in the place of the device's id."""

    @property
    def fields(self) -> dict[str, Any]:
        """Its map. What is changed in it is changed in what is kept; `read_again` makes `event` say it too."""
        if self._fields is None:
            self._fields = _fields_of(self._text, self._notes, mend=True)
        return self._fields

    def context_beside(self, names: frozenset[str]) -> Mapping[str, Any]:
        """Its context where that has one of these names, of which `PlainContext` has none; else an empty map."""
        if self._fields is None or self.event.context is None or names.isdisjoint(self._fields["context"]):
            return _NOTHING
        context: dict[str, Any] = self._fields["context"]
        return context

    @property
    def names_beside(self) -> frozenset[str]:
        """Names of what stands beside the fields of the specification; `PlainEvent` has none that is asked about."""
        return _NO_NAMES if self._fields is None else frozenset(self._fields.keys() - FIELDS)

    def read_again(self) -> None:
        """Bring `event` to what the map says now."""
        self.event = _typed(self.fields, self._notes)

    def seal_device(self, anonymous_id: str, sealed_id: bytes) -> None:
        """Put the sealed id of its device in the place of the plain one: what is kept is another's to read."""
        if self._fields is None and (plain := device_in(self._text, anonymous_id)):
            self._text, self._sealed_device = with_device_sealed(self._text, plain, sealed_id), sealed_id
            return
        self.fields["anonymousId"] = sealed_id

    def kept(self, type_: str) -> bytes:
        """What is kept of it: without the key that it came with, its address cut short, its type filled in.

        The bytes as they came, JSON, where they are just that; else MessagePack of the map. `kept_fields` reads both.
        """
        if self._fields is None and self.event.type == type_:
            return self._text
        fields, context = self.fields, self.event.context
        if self._sealed_device:
            fields["anonymousId"] = self._sealed_device
        fields.pop("writeKey", None)
        fields.pop("userToken", None)
        fields["type"] = type_
        if context is not None and context.ip:
            fields["context"]["ip"] = truncated(context.ip)
        try:
            return _encode_map(fields)
        except OverflowError:  # An integer beyond 64 bits.
            return _encode_map(within_bounds(fields, self._notes))


def read_event(
    raw: bytes | msgspec.Raw, notes: list[Note], *, mend: bool = True, defaults: dict[str, Any] | None = None
) -> Sent:
    """An event from its bytes; `EventRejected` where they are none, and never anything else.

    Of a batch's context, `defaults`, it gets what it does not say itself. Without `mend` bytes that are no JSON are
    refused as they are.
    """
    text = _within_structure(raw)
    if not defaults:
        steadily = len(text) <= SHORT_BYTES or has_extreme_number(text)
        decode = _decode_plain_steadily if steadily else _decode_plain
        try:
            return Sent(decode(text), text, notes)
        except (msgspec.DecodeError, UnicodeDecodeError):
            pass
    fields = _fields_of(text, notes, mend=mend)
    if defaults:
        fields["context"] = _with_defaults(fields, defaults, notes)
    event = _typed(fields, notes)
    if _may_be_misspelt(event, fields) and take_near_misses(fields, notes):
        event = _typed(fields, notes)
    return Sent(event, text, notes, fields)


def kept_fields(body: bytes) -> dict[str, Any]:
    """The map of what `Sent.kept` gave, ids that are sealed as bytes and no number that nothing can hold; raises
    `EventRejected`, `msgspec.DecodeError` or `LookupError`, `ValueError` for bytes that are none.

    >>> kept_fields(b'{"type": "page", "anonymousId": {"sealed": "AAE="}}')
    {'type': 'page', 'anonymousId': b'\\x00\\x01'}
    """
    is_json = body[:1] == b"{"
    fields: dict[str, Any] = within_bounds(_fields_of(body, [], mend=True), []) if is_json else _decode_kept(body)
    device = fields.get("anonymousId")
    if type(device) is dict and (is_json or _SEALED in device):  # As a map for a while where a route gave the type.
        fields["anonymousId"] = b64decode(device[_SEALED], validate=True)
    return fields


def device_in(text: bytes, anonymous_id: str) -> bytes:
    """The anonymous id with its name, as it stands in the JSON of an event; b"" where that is not plain to see.

    >>> device_in(b'{"anonymousId":"a1"}', "a1"), device_in(b'{"anonymousId":"a1","x":{"anonymousId":1}}', "a1")
    (b'"anonymousId":"a1"', b'')
    """
    plain = b'%b:"%b"' % (_DEVICE, anonymous_id.encode("utf-8", "surrogatepass"))
    return plain if text.count(_DEVICE) == 1 and plain in text else b""


def with_device_sealed(text: bytes, plain: bytes, sealed_id: bytes) -> bytes:
    """The JSON of an event with the sealed id of its device in the place of what `device_in` gave."""
    return text.replace(plain, b'%b:{"%b":"%b"}' % (_DEVICE, _SEALED.encode(), b64encode(sealed_id)))


def _within_structure(raw: bytes | msgspec.Raw) -> bytes:
    if len(raw) > EVENT_BYTES_MAX:
        raise EventRejected("too_large", f"an event has at most {EVENT_BYTES_MAX} bytes", status=413)
    text = bytes(raw).strip(_SPACES)
    brackets = text.count(b"{") + text.count(b"[")
    if brackets > BRACKETS_UNCHECKED:
        check_structure(text, brackets)
    return text


def _fields_of(text: bytes, notes: list[Note], *, mend: bool) -> dict[str, Any]:
    steadily = len(text) <= SHORT_BYTES or has_extreme_number(text)
    try:
        return _decode_map_steadily(text) if steadily else _decode_map(text)
    except msgspec.ValidationError as error:
        if not text.lstrip().startswith(b"{"):
            raise EventRejected("schema", f"an event is an object: {wanted(error)}") from None
    except (msgspec.DecodeError, UnicodeDecodeError):
        if not mend:
            raise EventRejected("malformed", _TOO_BROKEN) from None
    # What was mended may hold numbers that nothing else can.
    bounded: dict[str, Any] = within_bounds(mended(text, notes), notes)
    return bounded


def _typed(fields: dict[str, Any], notes: list[Note]) -> TrackingEvent:
    try:
        return msgspec.convert(fields, TrackingEvent)
    except msgspec.ValidationError:
        return event_of(fields, notes)


def _may_be_misspelt(event: TrackingEvent, fields: dict[str, Any]) -> bool:
    """Whether something that clients send is not there under its own name, and may be under another one."""
    if event.message_id is None or event.properties is None or event.timestamp is None:
        return not MISSPELT.isdisjoint(fields)
    if event.event is None and event.type in (None, "track"):
        return True
    if event.user_id is None:
        return "user_id" in fields or "userID" in fields or "userid" in fields or event.anonymous_id is None
    if event.anonymous_id is None:
        return "anonymous_id" in fields or "anonymousID" in fields or "anonymousid" in fields
    return False


def _with_defaults(fields: dict[str, Any], defaults: dict[str, Any], notes: list[Note]) -> Any:
    """The batch's context under the event's own; of an odd one no more is left than is meant."""
    context = fields.get("context")
    if context is not None and not isinstance(context, dict):
        mend_context(fields, notes)
        context = fields.get("context")
    if context is None:
        return dict(defaults)
    return {**defaults, **context} if isinstance(context, dict) else context

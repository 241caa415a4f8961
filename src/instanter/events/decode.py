"""The one decoding door: bytes from outside become a record of the log, or `EventRejected`; never anything else.

An event is decoded once, into plain maps, because the body is kept with every field the sender chose; the maps
are then converted into the wire types, which are what is checked. (Measured: cheaper than decoding twice.)

What an event may cost is bounded before it is decoded (`structure`), so that hostile bytes are not dearer than
honest ones.

Codes: `malformed` (not JSON), `schema` (JSON that is no event), `too_deep`, `too_complex`, `too_large`.
"""

from __future__ import annotations

from collections.abc import Container, Mapping, Sequence
from itertools import islice
from math import inf, isfinite, nan
from typing import Any, NoReturn

import msgspec

from ..foundation.clock import elapsed_ns
from ..foundation.errors import EventRejected, RequestRejected
from ..foundation.ids import Ids, item_reference, reference
from ..foundation.limits import (
    BATCH_BYTES_MAX,
    BATCH_EVENTS_MAX,
    BATCH_EXPANDED_BYTES_MAX,
    EVENT_BYTES_MAX,
    ID_CHARS_MAX,
    ITEMS_PER_EVENT_MAX,
    NAME_CHARS_MAX,
    PURPOSES_MAX,
    VALUES_PER_EVENT_MAX,
)
from .addresses import truncated
from .assertions import refuse_assertions
from .bodies import body_decoder
from .enrich import Enricher
from .envelope import NO_CONTEXT, Consented, Context, Tracked, Withheld, encode_record
from .gate import Gate, Judgement, OpenGate
from .kinds import NAME_BY_TYPE, NUMBERS, TYPES, Names
from .schema import BatchEnvelope, Page, SentContext, TrackingEvent, WireTime
from .structure import BRACKETS_UNCHECKED, check_structure, finite, has_extreme_number
from .subjects import ANONYMOUS_PREFIX, Subject, Subjects
from .times import event_time_ms, parse_time_ms

_MESSAGE_ID_BYTES = 16
_POSITION_MAX = 2**31 - 1
_SHORT_BYTES = 512
"""Up to here looking for extreme numbers costs more than decoding so that they do not matter."""
_LINKING = ("identify", "alias")
_EMPTY: Mapping[str, Any] = {}


class Batch(msgspec.Struct, frozen=True):
    """The envelope of a batch; its events are still raw, so that a bad one spoils no other."""

    events: list[msgspec.Raw]
    sent_at_ms: int | None = None
    defaults: dict[str, Any] | None = None
    """Context that events without their own inherit, field by field."""
    write_key: str = ""


class LinkClaim(msgspec.Struct, frozen=True):
    """The event says that cell `cell` is `owner`'s; the fields of `envelope.Linked`."""

    cell: int
    owner: int
    body: bytes


class Admitted(msgspec.Struct, frozen=True):
    """An event that goes into the log, or the stub of one that may not."""

    record: Tracked | Withheld
    payload: bytes
    """The record, encoded."""
    message_id: str
    links: tuple[LinkClaim, ...] = ()
    """Empty but for `identify` with both ids (one) and `alias` (two: its previousId may be of either sort)."""
    consents: tuple[Consented, ...] = ()
    """What the event says about purposes, where that is news: one for each id, since they need not be linked."""


class _Circumstances(msgspec.Struct, frozen=True):
    """What of a decision's context is looked at."""

    consent: dict[str, Any] | None = None


Items = tuple[tuple[int, ...], tuple[float, ...], tuple[float, ...], tuple[int, ...]]
"""References, prices, quantities and positions of one event's items, in the shape of `envelope.Tracked`."""

NO_ITEMS: Items = ((), (), (), ())

_decode_map = msgspec.json.Decoder(dict[str, Any]).decode
_decode_map_steadily = msgspec.json.Decoder(dict[str, Any], float_hook=finite).decode
"""Slower by 0.2 us for each fraction, and never slow: see `structure.finite`."""
_decode_envelope = msgspec.json.Decoder(BatchEnvelope).decode
_decode_defaults = msgspec.json.Decoder(dict[str, Any] | None, float_hook=finite).decode
_decode_time = msgspec.json.Decoder(WireTime | None).decode
_context_of = body_decoder(_Circumstances)
_encode_body = msgspec.msgpack.Encoder().encode


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
    return Batch(sent.batch, sent_at_ms, defaults, sent.write_key or "")


def _check_expanded(sent: BatchEnvelope) -> None:
    """Every event may inherit the batch's context, so that counts once for each of them."""
    if len(sent.batch) > BATCH_EVENTS_MAX:
        raise EventRejected("too_large", f"a batch has at most {BATCH_EVENTS_MAX} events", status=413)
    if len(sent.context) > EVENT_BYTES_MAX:
        raise EventRejected("too_large", f"the context of a batch has at most {EVENT_BYTES_MAX} bytes", status=413)
    if len(sent.context) * len(sent.batch) > BATCH_EXPANDED_BYTES_MAX:
        reason = f"the context of a batch, once for each event, has at most {BATCH_EXPANDED_BYTES_MAX} bytes"
        raise EventRejected("too_large", reason, status=413)


class Door:
    """Admits events. Holds no state but caches, so one door serves all tenants of a process; not for threads."""

    def __init__(
        self,
        *,
        subjects: Subjects,
        ids: Ids,
        enrich: Enricher,
        names: Mapping[str, str] | None = None,
        events_set_time: bool = False,
        gate: Gate | None = None,
        numbers: Container[str] = NUMBERS,
    ) -> None:
        """With `events_set_time` (a clock driven by events) the timestamp stands as sent and is the receipt too.

        `numbers` are the numeric properties that stand in the clear part of a record; others are sealed.
        """
        self._events_set_time = events_set_time
        self._enrich_ns = 0
        self._subjects = subjects
        self._ids = ids
        self._enricher = enrich
        self._names = Names(names)
        self._gate: Gate = gate or OpenGate()
        self._numbers = numbers

    def admit(
        self,
        raw: bytes | msgspec.Raw,
        *,
        kind: str | None,
        received_ms: int,
        tenant: str,
        sent_at_ms: int | None = None,
        defaults: dict[str, Any] | None = None,
        gpc: bool = False,
        public: bool = False,
        arrived_ms: int | None = None,
    ) -> Admitted:
        """The record of one event, or `EventRejected`; never anything else, whatever the bytes.

        `kind` is the route and stands over the event's own type; None (in a batch) leaves it to the event.
        `sent_at_ms` and `defaults` are the batch's; what the event says itself stands. `gpc`: it came with
        `Sec-GPC: 1`, `public`: with a public access key. `arrived_ms`, where it is not `received_ms`, is when it first
        came; its time is judged by that.
        """
        sent = _decode_event(raw)
        if defaults:
            sent["context"] = _with_defaults(sent.get("context"), defaults)
        event = _typed(sent)
        type_ = kind or event.type
        if type_ not in TYPES:
            _refuse_type(type_)
        message_id = _identifier(event.message_id, "messageId")
        if not message_id:
            message_id = sent["messageId"] = self._ids.token(_MESSAGE_ID_BYTES)
        anonymous_id = _identifier(event.anonymous_id, "anonymousId")
        user_id = _user_id(event.user_id, "userId") if event.user_id is not None else ""
        if not anonymous_id and not user_id:
            raise EventRejected("schema", "an event has an anonymousId or a userId")
        previous_id = _previous_id(event, user_id) if type_ == "alias" else ""
        properties = event.properties or _EMPTY
        references, prices, quantities, positions = _items(properties, tenant)
        context, flags = self._circumstances(event, type_)
        happened_ms = self._time(event, received_ms if arrived_ms is None else arrived_ms, sent_at_ms)
        if self._events_set_time:
            received_ms = max(received_ms, happened_ms)
        name = self._track_name(event.event) if type_ == "track" else NAME_BY_TYPE[type_]
        if public:
            refuse_assertions(kind=type_, name=name, user_id=user_id)
        list_id = _identifier(properties["list_id"], "properties.list_id") if "list_id" in properties else ""
        decision_id = _decision_id(event, properties)
        message = reference(message_id)
        identifiers = identifiers_of(anonymous_id, user_id)

        stated = _stated(event.context.consent) if event.context is not None and event.context.consent else None
        judged = self._gate.judge(
            tenant, identifiers, stated=stated, gpc=gpc, happened_ms=happened_ms, message=message
        )
        if judged.withheld:
            return self._withheld(judged, received_ms, happened_ms, tenant, name, identifiers, message_id)
        who = self._subjects.subject(tenant, identifiers[0])
        owner = self._subjects.subject(tenant, user_id) if anonymous_id and user_id else who
        links = self._links(sent, type_, tenant, previous_id, who, owner) if type_ in _LINKING else ()
        if owner is not who:
            sent["anonymousId"] = who.sealed_id
        record = Tracked(
            received_ms,
            happened_ms,
            tenant,
            who.cell,
            message,
            name,
            flags,
            references,
            prices,
            quantities,
            positions,
            _values(properties, self._numbers),
            list_id,
            decision_id,
            context,
            owner.seal_event(received_ms, _body(sent, event, type_)),
            owner.cell,
            judged.denied,
        )
        consents: tuple[Consented, ...] = ()
        if judged.statement:
            cells = (who.cell, owner.cell) if owner is not who else (who.cell,)
            consents = _consented(judged.statement, happened_ms, tenant, cells)
        return Admitted(record, encode_record(record), message_id, links, consents)

    def _withheld(
        self, judged: Judgement, received_ms: int, happened_ms: int, tenant: str, name: str,
        identifiers: tuple[str, ...], message_id: str,
    ) -> Admitted:  # fmt: skip
        """The stub of an event that may not be kept. A refusal is remembered, or it could not be obeyed."""
        record = Withheld(received_ms, tenant, name, judged.withheld)
        consents: tuple[Consented, ...] = ()
        if judged.statement:
            cells = [self._subjects.subject(tenant, identifier).cell for identifier in identifiers]
            consents = _consented(judged.statement, happened_ms, tenant, cells)
        return Admitted(record, encode_record(record), message_id, consents=consents)

    def _links(
        self, sent: dict[str, Any], type_: str, tenant: str, previous_id: str, who: Subject, owner: Subject
    ) -> tuple[LinkClaim, ...]:
        """The links an `identify` or `alias` claims; what names a third id in the event is sealed by itself.

        An alias' previousId is an anonymous id or a user id, and nothing in the event says which: both cells are
        claimed. The one that nobody ever used holds nothing, so its link changes nothing.
        """
        if type_ == "identify":
            return (_claim(who, owner),) if owner is not who else ()
        anonymous = self._subjects.subject(tenant, ANONYMOUS_PREFIX + previous_id)
        user = self._subjects.subject(tenant, previous_id)
        sent["previousId"] = anonymous.sealed_id
        claims = (_claim(anonymous, owner), _claim(user, owner))
        return claims if user.cell != owner.cell else claims[:1]

    def _track_name(self, sent: str | None) -> str:
        known = self._names.known(sent)
        if known is not None:
            return known
        if not sent or sent.isspace():
            raise EventRejected("schema", "a track event has an event name")
        if len(sent) > NAME_CHARS_MAX:
            raise EventRejected("too_large", f"event has at most {NAME_CHARS_MAX} characters")
        _refuse_control(sent, "event")
        return self._names.canonical(sent)

    def _circumstances(self, event: TrackingEvent, type_: str) -> tuple[Context, int]:
        context = event.context
        if type_ == "page" and (context is None or context.page is None):
            context = _with_page(context, event.properties or _EMPTY)
        if context is None:
            return NO_CONTEXT, 0
        started_ns = elapsed_ns()
        enriched = self._enricher.enrich(context)
        self._enrich_ns += elapsed_ns() - started_ns
        return enriched

    def _time(self, event: TrackingEvent, received_ms: int, sent_at_ms: int | None) -> int:
        if self._events_set_time:
            sent = event.timestamp or event.original_timestamp
            return received_ms if sent is None else parse_time_ms(sent, "timestamp")
        if event.sent_at is not None:
            sent_at_ms = parse_time_ms(event.sent_at, "sentAt")
        if event.timestamp is not None:
            timestamp_ms = parse_time_ms(event.timestamp, "timestamp")
        elif event.original_timestamp is not None:
            timestamp_ms = parse_time_ms(event.original_timestamp, "originalTimestamp")
        else:
            return received_ms
        return event_time_ms(received_ms=received_ms, timestamp_ms=timestamp_ms, sent_at_ms=sent_at_ms)

    def forget(self) -> None:
        """Empty all caches: they may hold what somebody sent who has been erased."""
        self._enricher.forget()
        self._names.forget()

    def enrich_ns_taken(self) -> int:
        """What enrichment took since this was asked last."""
        taken_ns, self._enrich_ns = self._enrich_ns, 0
        return taken_ns


def _decode_event(raw: bytes | msgspec.Raw) -> dict[str, Any]:
    if len(raw) > EVENT_BYTES_MAX:
        raise EventRejected("too_large", f"an event has at most {EVENT_BYTES_MAX} bytes", status=413)
    text = raw if type(raw) is bytes else bytes(raw)
    brackets = text.count(b"{") + text.count(b"[")
    if brackets > BRACKETS_UNCHECKED:
        check_structure(text, brackets)
    steadily = len(text) <= _SHORT_BYTES or has_extreme_number(text)
    try:
        return _decode_map_steadily(text) if steadily else _decode_map(text)
    except msgspec.ValidationError as error:
        raise EventRejected("schema", str(error)) from None
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise EventRejected("malformed", str(error)) from None


def _body(sent: dict[str, Any], event: TrackingEvent, type_: str) -> bytes:
    """The event as sent, without the key it came with, its address cut short and its type filled in."""
    sent.pop("writeKey", None)
    sent["type"] = type_
    context = event.context
    if context is not None and context.ip:
        sent["context"]["ip"] = truncated(context.ip)
    try:
        return _encode_body(sent)
    except OverflowError:
        raise EventRejected("schema", "an integer is beyond 64 bits") from None


def _typed(sent: dict[str, Any]) -> TrackingEvent:
    try:
        return msgspec.convert(sent, TrackingEvent)
    except msgspec.ValidationError as error:
        raise EventRejected("schema", str(error)) from None


def _with_defaults(context: Any, defaults: dict[str, Any]) -> Any:
    """The batch's context under the event's own; what is no map is left for the check of types."""
    if context is None:
        return dict(defaults)
    return {**defaults, **context} if isinstance(context, dict) else context


def _with_page(context: SentContext | None, properties: Mapping[str, Any]) -> SentContext:
    """A page event may tell of its page in its properties alone."""
    url, referrer = properties.get("url"), properties.get("referrer")
    page = Page(
        url=url if isinstance(url, str) else None, referrer=referrer if isinstance(referrer, str) else None
    )
    return msgspec.structs.replace(context or SentContext(), page=page)


def identifiers_of(anonymous_id: str | None, user_id: str | None) -> tuple[str, ...]:
    """In the form of `GET /v1/profiles/{id}`; the first is the one whose cell an event belongs to."""
    if not anonymous_id:
        return (user_id,) if user_id else ()
    anonymous = ANONYMOUS_PREFIX + anonymous_id
    return (anonymous, user_id) if user_id else (anonymous,)


def _previous_id(event: TrackingEvent, user_id: str) -> str:
    previous_id = _user_id(event.previous_id, "previousId")
    if not previous_id or not user_id:
        raise EventRejected("schema", "an alias has a previousId and a userId")
    return previous_id


def _claim(cell: Subject, owner: Subject) -> LinkClaim:
    return LinkClaim(cell.cell, owner.cell, _encode_body({"cell": cell.sealed_id, "owner": owner.sealed_id}))


def stated_in(context: msgspec.Raw) -> dict[str, bool] | None:
    """Purposes as a decision's circumstances state them; raises `RequestRejected`."""
    raw = bytes(context)
    if b'"consent"' not in raw:
        return None
    try:
        return _stated(_context_of(raw).consent)
    except EventRejected as error:
        raise RequestRejected(error.code, error.message) from None


def _stated(sent: Mapping[str, Any] | None) -> dict[str, bool] | None:
    """Purposes as sent: `{"personalization": true}`, or as consent tools nest them under `categoryPreferences`."""
    if not sent:
        return None
    stated = sent.get("categoryPreferences", sent)
    if not isinstance(stated, dict):
        raise EventRejected("schema", "context.consent.categoryPreferences is a map of purposes to true or false")
    if len(stated) > PURPOSES_MAX:
        raise EventRejected("too_large", f"context.consent has at most {PURPOSES_MAX} purposes")
    purposes = {}
    for purpose, agreed in stated.items():
        if agreed is None:
            continue
        if not isinstance(agreed, bool) or not isinstance(purpose, str) or len(purpose) > NAME_CHARS_MAX:
            raise EventRejected("schema", "context.consent is a map of purposes to true or false")
        purposes[purpose] = agreed
    return purposes or None


def _consented(
    statement: Mapping[str, bool], at_ms: int, tenant: str, cells: Sequence[int]
) -> tuple[Consented, ...]:
    return tuple(Consented(at_ms, tenant, cell, dict(statement)) for cell in cells)


def _refuse_type(type_: str | None) -> NoReturn:
    if type_ is None:
        raise EventRejected("schema", "an event in a batch has a type")
    raise EventRejected("schema", f"type is one of {', '.join(TYPES)}")


def _identifier(value: Any, field: str) -> str:
    """An id as text; numbers are taken, "" stands for none."""
    if type(value) is str and len(value) <= ID_CHARS_MAX and value.isprintable():
        return "" if value.isspace() else value
    return _unusual_identifier(value, field)


def _unusual_identifier(value: Any, field: str) -> str:
    """An id that is not simply printable text."""
    if value is None:
        return ""
    if type(value) is int:
        if not -(2**63) <= value < 2**64:
            raise EventRejected("schema", f"{field} is a number beyond 64 bits")
        return str(value)
    if type(value) is not str:
        raise EventRejected("schema", f"{field} is text")
    if len(value) > ID_CHARS_MAX:
        raise EventRejected("too_large", f"{field} has at most {ID_CHARS_MAX} characters")
    _refuse_control(value, field)
    return "" if value.isspace() else value


def _refuse_control(text: str, field: str) -> None:
    if any(character < " " or "\x7f" <= character <= "\x9f" for character in text):
        raise EventRejected("schema", f"{field} has control characters")


def _user_id(value: str | int | None, field: str) -> str:
    """A user id; it cannot look like an anonymous one, since both are addressed by one text."""
    if value is None:
        return ""
    text = _identifier(value, field)
    if text.startswith(ANONYMOUS_PREFIX):
        raise EventRejected("schema", f"{field} does not begin with {ANONYMOUS_PREFIX!r}")
    return text


def _values(properties: Mapping[str, Any], numbers: Container[str]) -> dict[str, float]:
    """The numeric properties of these names, the first `VALUES_PER_EVENT_MAX` of them; the body has all."""
    values = {
        name: value if type(value) is float else float(value)
        for name, value in properties.items()
        if (type(value) is float or type(value) is int) and name in numbers
    }
    return values if len(values) <= VALUES_PER_EVENT_MAX else dict(islice(values.items(), VALUES_PER_EVENT_MAX))


def _decision_id(event: TrackingEvent, properties: Mapping[str, Any]) -> str:
    if event.context is not None and event.context.decision_id:
        return _identifier(event.context.decision_id, "context.decisionId")
    found = properties.get("decisionId") or properties.get("decision_id")
    return _identifier(found, "properties.decisionId") if found else ""


def _items(properties: Mapping[str, Any], tenant: str) -> Items:
    """The item the event is about, then those of `products`, as sent; one without an id is in the body alone."""
    item_id = _item_id(properties)
    if "products" in properties and properties["products"] is not None:
        return _listed_items(item_id, properties, tenant)
    return _one_item(item_reference(tenant, item_id), properties) if item_id else NO_ITEMS


def _one_item(item: int, properties: Mapping[str, Any]) -> Items:
    """By far the most frequent shape, without the loops of the general one; the result is the same."""
    price = _number(properties["price"], nan) if "price" in properties else nan
    prices = (price,) if price == price else ()
    quantities: tuple[float, ...] = ()
    if "quantity" in properties and properties["quantity"] != 1:
        quantity = _number(properties["quantity"], 1.0)
        quantities = (quantity,) if quantity != 1.0 else ()
    positions: tuple[int, ...] = ()
    if "position" in properties:
        position = _number(properties["position"], inf)
        positions = (int(position),) if 1 <= position <= _POSITION_MAX else ()
    return (item,), prices, quantities, positions


def _listed_items(item_id: str, properties: Mapping[str, Any], tenant: str) -> Items:
    products = properties["products"]
    if not isinstance(products, list):
        raise EventRejected("schema", "properties.products is a list")
    if len(products) + bool(item_id) > ITEMS_PER_EVENT_MAX:
        raise EventRejected("too_large", f"an event has at most {ITEMS_PER_EVENT_MAX} items")
    references = [item_reference(tenant, item_id)] if item_id else []
    kept = [properties] if item_id else []
    for product in products:
        if isinstance(product, dict):
            item_id = _item_id(product)
        else:  # The id alone.
            item_id = _identifier(product, "properties.products[]")
        if item_id:
            references.append(item_reference(tenant, item_id))
            kept.append(product if isinstance(product, dict) else _EMPTY)
    return tuple(references), _prices(kept), _quantities(kept), _positions(kept)


def _item_id(product: Mapping[str, Any]) -> str:
    """`product_id`, else `sku`."""
    item_id = _identifier(product["product_id"], "product_id") if "product_id" in product else ""
    if item_id or "sku" not in product:
        return item_id
    return _identifier(product["sku"], "sku")


def _number(value: Any, default: float) -> float:
    """A finite number, also from text such as "499.00"; else `default`."""
    if isinstance(value, float):
        return value
    if type(value) is int:  # Not a boolean.
        return float(value)
    if isinstance(value, str):
        try:
            number = float(value)
        except ValueError:
            return default
        return number if isfinite(number) else default
    return default


def _any_has(field: str, products: list[Mapping[str, Any]]) -> bool:
    return True in [field in product for product in products]


def _prices(products: list[Mapping[str, Any]]) -> tuple[float, ...]:
    if not _any_has("price", products):
        return ()
    prices = [_number(product.get("price"), nan) for product in products]
    return tuple(prices) if any(price == price for price in prices) else ()


def _quantities(products: list[Mapping[str, Any]]) -> tuple[float, ...]:
    if not _any_has("quantity", products):
        return ()
    quantities = [_number(product.get("quantity"), 1.0) for product in products]
    return tuple(quantities) if any(quantity != 1.0 for quantity in quantities) else ()


def _positions(products: list[Mapping[str, Any]]) -> tuple[int, ...]:
    """Positions as sent; where only some items have one, the others stand where they are in the list."""
    if not _any_has("position", products):
        return ()
    sent = [_number(product.get("position"), inf) for product in products]
    valid = [1 <= position <= _POSITION_MAX for position in sent]
    if not any(valid):
        return ()
    return tuple([int(sent[at]) if valid[at] else at + 1 for at in range(len(sent))])

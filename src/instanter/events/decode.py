"""The one decoding door: bytes from outside become a record of the log, or `EventRejected`; never anything else.

An event is decoded once, into plain maps, because the body is kept with every field the sender chose; the maps
are then converted into the wire types, which are what is checked. (Measured: cheaper than decoding twice.)

Codes: `malformed` (not JSON), `schema` (JSON that is no event), `too_deep`, `too_large`.
"""

from __future__ import annotations

from collections.abc import Mapping
from math import inf, isfinite, nan
from typing import Any

import msgspec

from ..foundation.clock import elapsed_ns
from ..foundation.errors import EventRejected
from ..foundation.ids import Ids, PersonKeys, item_reference, reference
from ..foundation.limits import (
    BATCH_BYTES_MAX,
    BATCH_EVENTS_MAX,
    EVENT_BYTES_MAX,
    EVENT_DEPTH_MAX,
    ID_CHARS_MAX,
    ITEMS_PER_EVENT_MAX,
    NAME_CHARS_MAX,
    VALUES_PER_EVENT_MAX,
)
from .addresses import truncated
from .enrich import Enricher
from .envelope import NO_CONTEXT, Context, Tracked, encode_record
from .kinds import NAME_BY_TYPE, TYPES, Names
from .schema import BatchEnvelope, Page, SentContext, TrackingEvent
from .times import event_time_ms, parse_time_ms

ANONYMOUS_PREFIX = "anonymous:"
"""How an anonymous id is told from a user id where one text must do, as in `GET /v1/profiles/{id}`."""

_MESSAGE_ID_BYTES = 16
_POSITION_MAX = 2**31 - 1
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
    """An event that goes into the log."""

    record: Tracked
    payload: bytes
    """The record, encoded."""
    message_id: str
    links: tuple[LinkClaim, ...] = ()
    """Empty but for `identify` with both ids (one) and `alias` (two: its previousId may be of either sort)."""


class Items(msgspec.Struct, frozen=True):
    """The items of one event, in parallel, in the shape of `envelope.Tracked`."""

    references: tuple[int, ...] = ()
    prices: tuple[float, ...] = ()
    quantities: tuple[float, ...] = ()
    positions: tuple[int, ...] = ()


NO_ITEMS = Items()

_decode_map = msgspec.json.Decoder(dict[str, Any]).decode
_decode_envelope = msgspec.json.Decoder(BatchEnvelope).decode
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
    except msgspec.ValidationError as error:
        raise EventRejected("schema", str(error)) from None
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise EventRejected("malformed", str(error)) from None
    except RecursionError:
        raise _too_deep() from None
    if len(sent.batch) > BATCH_EVENTS_MAX:
        raise EventRejected("too_large", f"a batch has at most {BATCH_EVENTS_MAX} events", status=413)
    sent_at_ms = None if sent.sent_at is None else parse_time_ms(sent.sent_at, "sentAt")
    return Batch(sent.batch, sent_at_ms, sent.context, sent.write_key or "")


class Door:
    """Admits events. Holds no state but caches, so one door serves all tenants of a process; not for threads."""

    def __init__(
        self,
        *,
        keys: PersonKeys,
        ids: Ids,
        enrich: Enricher,
        names: Mapping[str, str] | None = None,
        events_set_time: bool = False,
    ) -> None:
        """With `events_set_time` (a clock driven by events) the timestamp stands as sent and is the receipt too."""
        self._events_set_time = events_set_time
        self._enrich_ns = 0
        self._keys = keys
        self._ids = ids
        self._enricher = enrich
        self._names = Names(names)

    def admit(
        self,
        raw: bytes | msgspec.Raw,
        *,
        kind: str | None,
        received_ms: int,
        tenant: str,
        sent_at_ms: int | None = None,
        defaults: dict[str, Any] | None = None,
    ) -> Admitted:
        """The record of one event, or `EventRejected`; never anything else, whatever the bytes.

        `kind` is the route and stands over the event's own type; None (in a batch) leaves it to the event.
        `sent_at_ms` and `defaults` are the batch's; what the event says itself stands.
        """
        sent = _decode_event(raw)
        if defaults:
            sent["context"] = _with_defaults(sent.get("context"), defaults)
        event = _typed(sent)
        type_ = _type_of(event, kind)
        message_id = _identifier(event.message_id, "messageId")
        if not message_id:
            message_id = sent["messageId"] = self._ids.token(_MESSAGE_ID_BYTES)
        anonymous_id = _identifier(event.anonymous_id, "anonymousId")
        user_id = _user_id(event.user_id, "userId")
        body = _body(sent, event, type_)

        properties = event.properties or _EMPTY
        key, links = self._person(event, type_, tenant, anonymous_id, user_id)
        items = _items(properties, tenant) if "products" in properties or _has_item(properties) else NO_ITEMS
        context, flags = self._circumstances(event, type_)
        happened_ms = self._time(event, received_ms, sent_at_ms)
        record = Tracked(
            max(received_ms, happened_ms) if self._events_set_time else received_ms,
            happened_ms,
            tenant,
            key,
            reference(message_id),
            self._name(event, type_),
            flags,
            items.references,
            items.prices,
            items.quantities,
            items.positions,
            _values(properties) if properties else {},
            _identifier(properties["list_id"], "properties.list_id") if "list_id" in properties else "",
            _decision_id(event, properties),
            context,
            body,
        )
        return Admitted(record, encode_record(record), message_id, links)

    def _person(
        self, event: TrackingEvent, type_: str, tenant: str, anonymous_id: str, user_id: str
    ) -> tuple[int, tuple[LinkClaim, ...]]:
        """The event's cell, and the links it claims."""
        if type_ == "alias":
            links = self._alias_claims(event, tenant, user_id)
        elif type_ == "identify" and anonymous_id and user_id:
            cell = self._keys.anonymous(tenant, anonymous_id)
            links = (self._claim(tenant, cell, ANONYMOUS_PREFIX + anonymous_id, user_id),)
        else:
            links = ()
        if anonymous_id:
            return self._keys.anonymous(tenant, anonymous_id), links
        if user_id:
            return self._keys.user(tenant, user_id), links
        raise EventRejected("schema", "an event has an anonymousId or a userId")

    def _alias_claims(self, event: TrackingEvent, tenant: str, user_id: str) -> tuple[LinkClaim, ...]:
        """previousId is an anonymous id or a user id, and nothing in the event says which: both cells are claimed.

        The one that nobody ever used holds nothing, so its link changes nothing.
        """
        previous_id = _user_id(event.previous_id, "previousId")
        if not previous_id or not user_id:
            raise EventRejected("schema", "an alias has a previousId and a userId")
        anonymous = self._keys.anonymous(tenant, previous_id)
        claims = [self._claim(tenant, anonymous, ANONYMOUS_PREFIX + previous_id, user_id)]
        if previous_id != user_id:
            claims.append(self._claim(tenant, self._keys.user(tenant, previous_id), previous_id, user_id))
        return tuple(claims)

    def _claim(self, tenant: str, cell: int, cell_id: str, user_id: str) -> LinkClaim:
        owner = self._keys.user(tenant, user_id)
        return LinkClaim(cell, owner, _encode_body({"cell": cell_id, "owner": user_id}))

    def _name(self, event: TrackingEvent, type_: str) -> str:
        if type_ != "track":
            return NAME_BY_TYPE[type_]
        sent = event.event
        if not sent or sent.isspace():
            raise EventRejected("schema", "a track event has an event name")
        if len(sent) > NAME_CHARS_MAX:
            raise EventRejected("too_large", f"event has at most {NAME_CHARS_MAX} characters")
        if not sent.isprintable():
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
        return _happened_ms(event, received_ms, sent_at_ms)

    def enrich_ns_taken(self) -> int:
        """What enrichment took since this was asked last."""
        taken_ns, self._enrich_ns = self._enrich_ns, 0
        return taken_ns


def _decode_event(raw: bytes | msgspec.Raw) -> dict[str, Any]:
    if len(raw) > EVENT_BYTES_MAX:
        raise EventRejected("too_large", f"an event has at most {EVENT_BYTES_MAX} bytes", status=413)
    text = raw if type(raw) is bytes else bytes(raw)
    try:
        sent = _decode_map(text)
    except msgspec.ValidationError as error:
        raise EventRejected("schema", str(error)) from None
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise EventRejected("malformed", str(error)) from None
    except RecursionError:
        raise _too_deep() from None
    # Brackets bound the depth from above, so that nearly every event is spared the walk.
    if text.count(b"{") + text.count(b"[") > EVENT_DEPTH_MAX and _deeper_than(sent, EVENT_DEPTH_MAX):
        raise _too_deep()
    return sent


def _deeper_than(value: Any, depth_max: int) -> bool:
    """Whether maps and lists are nested more than `depth_max` deep; level by level, so itself not recursive."""
    level = [value]
    for _ in range(depth_max):
        level = [
            child
            for parent in level
            for child in (parent.values() if isinstance(parent, dict) else parent)
            if child and isinstance(child, (dict, list))
        ]
        if not level:
            return False
    return True


def _too_deep() -> EventRejected:
    return EventRejected("too_deep", f"an event is nested at most {EVENT_DEPTH_MAX} deep")


def _body(sent: dict[str, Any], event: TrackingEvent, type_: str) -> bytes:
    """The event as sent, without the key it came with, its address cut short and its type filled in."""
    sent.pop("writeKey", None)
    sent["type"] = type_
    if event.context is not None and event.context.ip:
        sent["context"]["ip"] = truncated(event.context.ip)
    try:
        return _encode_body(sent)
    except OverflowError:
        raise EventRejected("schema", "an integer is beyond 64 bits") from None
    except RecursionError:
        raise _too_deep() from None


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


def _type_of(event: TrackingEvent, kind: str | None) -> str:
    type_ = kind or event.type
    if type_ is None:
        raise EventRejected("schema", "an event in a batch has a type")
    if type_ not in TYPES:
        raise EventRejected("schema", f"type is one of {', '.join(TYPES)}")
    return type_


def _identifier(value: Any, field: str) -> str:
    """An id as text; numbers are taken, "" stands for none."""
    if type(value) is not str:
        if value is None:
            return ""
        if type(value) is not int:
            raise EventRejected("schema", f"{field} is text")
        if not -(2**63) <= value < 2**64:
            raise EventRejected("schema", f"{field} is a number beyond 64 bits")
        return str(value)
    if len(value) > ID_CHARS_MAX:
        raise EventRejected("too_large", f"{field} has at most {ID_CHARS_MAX} characters")
    if not value.isprintable():
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


def _happened_ms(event: TrackingEvent, received_ms: int, sent_at_ms: int | None) -> int:
    if event.sent_at is not None:
        sent_at_ms = parse_time_ms(event.sent_at, "sentAt")
    if event.timestamp is not None:
        timestamp_ms = parse_time_ms(event.timestamp, "timestamp")
    elif event.original_timestamp is not None:
        timestamp_ms = parse_time_ms(event.original_timestamp, "originalTimestamp")
    else:
        return received_ms
    return event_time_ms(received_ms=received_ms, timestamp_ms=timestamp_ms, sent_at_ms=sent_at_ms)


def _values(properties: Mapping[str, Any]) -> dict[str, float]:
    """The numeric properties, the first `VALUES_PER_EVENT_MAX` of them; the body has all."""
    values = {
        name: float(value)
        for name, value in properties.items()
        if (type(value) is float or type(value) is int) and len(name) <= NAME_CHARS_MAX
    }
    if len(values) > VALUES_PER_EVENT_MAX:
        return dict(list(values.items())[:VALUES_PER_EVENT_MAX])
    return values


def _decision_id(event: TrackingEvent, properties: Mapping[str, Any]) -> str:
    if event.context is not None and event.context.decision_id:
        return _identifier(event.context.decision_id, "context.decisionId")
    found = properties.get("decisionId") or properties.get("decision_id")
    return _identifier(found, "properties.decisionId") if found else ""


def _has_item(properties: Mapping[str, Any]) -> bool:
    return "product_id" in properties or "sku" in properties


def _items(properties: Mapping[str, Any], tenant: str) -> Items:
    """The item the event is about, then those of `products`, as sent; one without an id is in the body alone."""
    item_id = _item_id(properties)
    products = properties.get("products")
    if products is None:
        return _one_item(item_reference(tenant, item_id), properties) if item_id else NO_ITEMS
    if not isinstance(products, list):
        raise EventRejected("schema", "properties.products is a list")
    if len(products) + bool(item_id) > ITEMS_PER_EVENT_MAX:
        raise EventRejected("too_large", f"an event has at most {ITEMS_PER_EVENT_MAX} items")
    references = [item_reference(tenant, item_id)] if item_id else []
    kept = [properties] if item_id else []
    for product in products:
        fields, item_id = _product(product)
        if item_id:
            references.append(item_reference(tenant, item_id))
            kept.append(fields)
    return Items(tuple(references), _prices(kept), _quantities(kept), _positions(kept))


def _one_item(item: int, properties: Mapping[str, Any]) -> Items:
    """By far the most frequent shape, without the loops of the general one; the result is the same."""
    price = _number(properties["price"], nan) if "price" in properties else nan
    return Items(
        (item,),
        (price,) if price == price else (),
        _quantities([properties]) if "quantity" in properties else (),
        _positions([properties]) if "position" in properties else (),
    )


def _product(product: Any) -> tuple[Mapping[str, Any], str]:
    """The fields and the id of one of `products`: a map, or the id alone."""
    if isinstance(product, dict):
        return product, _item_id(product)
    return _EMPTY, _identifier(product, "properties.products[]")


def _item_id(product: Mapping[str, Any]) -> str:
    """`product_id`, else `sku`."""
    return _identifier(product.get("product_id"), "product_id") or _identifier(product.get("sku"), "sku")


def _number(value: Any, default: float) -> float:
    """A finite number, also from text such as "499.00"; else `default`."""
    kind = type(value)
    if kind is float or kind is int:
        return float(value)
    if kind is str:
        try:
            number = float(value)
        except ValueError:
            return default
        return number if isfinite(number) else default
    return default


def _prices(products: list[Mapping[str, Any]]) -> tuple[float, ...]:
    if not any("price" in product for product in products):
        return ()
    prices = [_number(product.get("price"), nan) for product in products]
    return tuple(prices) if any(price == price for price in prices) else ()


def _quantities(products: list[Mapping[str, Any]]) -> tuple[float, ...]:
    if not any("quantity" in product for product in products):
        return ()
    quantities = [_number(product.get("quantity"), 1.0) for product in products]
    return tuple(quantities) if any(quantity != 1.0 for quantity in quantities) else ()


def _positions(products: list[Mapping[str, Any]]) -> tuple[int, ...]:
    """Positions as sent; where only some items have one, the others stand where they are in the list."""
    if not any("position" in product for product in products):
        return ()
    sent = [_number(product.get("position"), inf) for product in products]
    valid = [1 <= position <= _POSITION_MAX for position in sent]
    if not any(valid):
        return ()
    return tuple([int(sent[at]) if valid[at] else at + 1 for at in range(len(sent))])

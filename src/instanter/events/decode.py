"""The one decoding door: bytes from outside become a record of the log, or `EventRejected`; never anything else.

An event is decoded once, into plain maps, because the body is kept with every field the sender chose; the maps
are then converted into the wire types, which are what is checked. (Measured: cheaper than decoding twice.)

What an event may cost is bounded before it is decoded (`structure`), so that hostile bytes are not dearer than
honest ones.

Codes: `malformed` (not JSON), `schema` (JSON that is no event), `too_deep`, `too_complex`, `too_large`.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any, NoReturn

import msgspec

from ..foundation.clock import elapsed_ns
from ..foundation.errors import EventRejected, ReferenceTaken
from ..foundation.ids import Ids, References
from ..foundation.limits import BROKEN_EVENTS_BYTES_MAX, BROKEN_EVENTS_MAX, EVENT_BYTES_MAX, NAME_CHARS_MAX
from .addresses import truncated
from .amounts import WORTH_SOMETHING, Amounts, with_worth
from .claims import FORBIDDEN, NoUserTokens, UserTokens, claimed_name
from .enrich import Enricher
from .envelope import NO_CONTEXT, Consented, Context, Flag, Linked, Tied, Tracked, Withheld, encode_record
from .gate import Gate, Judgement, OpenGate
from .identifiers import identifier, identifiers_of, refuse_control, user_identifier
from .kinds import NAME_BY_TYPE, NUMBERS, ORDER_CLAIMED, TYPES, Names
from .meanings import BOUND_TO_ORDER
from .mend import mended, within_bounds
from .named_items import NAMING_ITEMS, UNREAD, ItemFinder, Items, RefOf, names_items
from .notes import (
    CLAIMED,
    CONSENT_UNHEEDED,
    CONSENT_UNREAD,
    FIELD_DROPPED,
    LINKS_FULL,
    NO_ITEM,
    NO_ORDER,
    TIME_CLAMPED,
    TIME_FAR,
    Note,
    add_note,
)  # fmt: skip
from .odd import MISSPELT, event_of, mend_context, take_near_misses
from .orders import ABOUT_ORDERS, REFUNDS, TAKING_BACK, idempotence_of, order_of
from .schema import Page, SentContext, TrackingEvent
from .schemas import EventSchema, compile_schemas
from .statements import BESIDE, MISPLACED, Statements, consented
from .statements import UNREAD as UNREAD_CONSENT
from .structure import BRACKETS_UNCHECKED, check_structure, finite, has_extreme_number
from .subjects import ANONYMOUS_PREFIX, CLAIM_PREFIX, Subject, Subjects, claimed
from .times import AHEAD_MS_MAX, FAR_MS, event_time_ms, read_time_ms
from .wanted import wanted
from .wrapped import WRAPPERS, unwrapped

_MESSAGE_ID_BYTES = 16
_SHORT_BYTES = 512
"""Up to here looking for extreme numbers costs more than decoding so that they do not matter."""
_PUBLIC = int(Flag.PUBLIC)
_TOO_BROKEN = (
    f"this is not JSON, and it was not looked into: {BROKEN_EVENTS_MAX} events of its body, or "
    f"{BROKEN_EVENTS_BYTES_MAX // 1024} KiB, were none either; sent again by itself it is mended, or told what is wrong"
)
_NO_DEVICE = (
    "a public key's userId is a claim of the device that sends it: send its anonymousId too, or a user token that your "
    "server has signed"
)
_PIPELINES_FROM_MS = 946_684_800_000
"""The year 2000: nobody received an event before."""
_TELLING = frozenset({*WRAPPERS, *MISPLACED, "item_list_id", "decisionId", "decision_id"})
"""Properties of which few events have one, that change how the others are read: one look for all of them."""
_NOT_RETOLD = 0
_EMPTY: Mapping[str, Any] = {}


class LinkClaim(msgspec.Struct, frozen=True):
    """What the event says of who is who; the fields of `envelope.Linked`, which it becomes if that is news."""

    kind: int
    """One of `envelope.Tied`."""
    cell: int
    owner: int
    sealed_ids: tuple[bytes, bytes]
    """Of the cell (of a claim, of its device) and the owner (of a claim, the user)."""
    user: int = 0

    def record(self, at_ms: int, tenant: str, kind: int | None = None) -> Linked:
        """The record of the log."""
        cell_id, owner_id = self.sealed_ids
        return Linked(
            at_ms, tenant, self.cell, self.owner, _encode_body({"cell": cell_id, "owner": owner_id}), sealed=True,
            kind=int(self.kind if kind is None else kind), user=self.user,
        )  # fmt: skip


class Admitted(msgspec.Struct, frozen=True, gc=False):
    """An event that goes into the log, or the stub of one that may not."""

    record: Tracked | Withheld
    payload: bytes
    """The record, encoded."""
    message_id: str
    links: tuple[LinkClaim, ...] = ()
    """Of an event with both ids one, and of an `alias` two more: its previousId may be of either sort."""
    consents: tuple[Consented, ...] = ()
    """What the event says about purposes, where that is news: one for each id, since they need not be linked."""
    notes: tuple[Note, ...] = ()
    """What of it has no effect, or another one than was meant."""


_decode_map = msgspec.json.Decoder(dict[str, Any]).decode
_decode_map_steadily = msgspec.json.Decoder(dict[str, Any], float_hook=finite).decode
"""Slower by 0.2 us for each fraction, and never slow: see `structure.finite`."""
_encode_body = msgspec.msgpack.Encoder().encode


Meet = Callable[[], None]
"""Asked before one person more is made known; raises `RateLimited` where there have been too many."""


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
        numbers: Collection[str] = NUMBERS,
        item_from: Sequence[str] = (),
        schemas: Sequence[EventSchema] = (),
        statements: Statements | None = None,
        user_tokens: UserTokens | None = None,
        references: References | None = None,
        ref_of: RefOf | None = None,
    ) -> None:
        """`references` are the log's; `ref_of` gives those of items, and knows which are taken.

        With `events_set_time` (a clock driven by events) the timestamp stands as sent and is the receipt too.

        `numbers` are the numeric properties that stand in the clear part of a record; others are sealed. `item_from`
        says where the ids of items stand, see `named_items`.
        """
        self._events_set_time = events_set_time
        self._enrich_ns = 0
        self._subjects = subjects
        self._ids = ids
        self._enricher = enrich
        self._names = Names(names)
        self._schemas = compile_schemas(schemas, self._names)
        self._gate: Gate = gate or OpenGate()
        self._amounts = Amounts(numbers)
        self._references = references or References()
        self._ref_of = ref_of or self._references.item
        self._items = ItemFinder(item_from, self._ref_of)
        self.statements = statements or Statements()
        self._user_tokens: UserTokens = user_tokens or NoUserTokens()

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
        user_token: str = "",
        arrived_ms: int | None = None,
        history: bool = False,
        mend: bool = True,
        meet: Meet | None = None,
    ) -> Admitted:
        """The record of one event, or `EventRejected`; never anything else, whatever the bytes.

        `kind` is the route and stands over the event's own type; None (in a batch) leaves it to the event.
        `sent_at_ms` and `defaults` are the batch's; what the event says itself stands. `gpc`: it came with
        `Sec-GPC: 1`, `public`: with a public access key, whose `userId` is a claim unless `user_token`, or the one in
        the event's context, confirms it. `arrived_ms`, where it is not `received_ms`, is when it first came; its time
        is judged by that. With `history` it comes out of an archive: its timestamp stands as it is. Without `mend` one
        that is no JSON is refused as it is. `meet` is asked before anybody is made known, and what it raises ends this.
        """
        notes: list[Note] = []
        sent = _decode_event(raw, notes, mend=mend)
        if defaults:
            sent["context"] = _with_defaults(sent, defaults, notes)
        event = _typed(sent, notes)
        if _may_be_misspelt(event, sent) and take_near_misses(sent, notes):
            event = _typed(sent, notes)
        type_ = kind or event.type
        if type_ not in TYPES:
            _refuse_type(type_)
        message_id = identifier(event.message_id, "messageId")
        if not message_id:
            message_id = sent["messageId"] = self._ids.token(_MESSAGE_ID_BYTES)
        anonymous_id = identifier(event.anonymous_id, "anonymousId")
        user_id = user_identifier(event.user_id, "userId") if event.user_id is not None else ""
        if not anonymous_id and not user_id:
            raise EventRejected("schema", "an event has an anonymousId or a userId")
        previous_id = _previous_id(event, user_id) if type_ == "alias" else ""
        properties = event.properties or _EMPTY
        context, flags = self._circumstances(event, type_)
        if event.context is not None and event.context.user_token is not None:
            own_token = sent["context"].pop("userToken")
            user_token = own_token if isinstance(own_token, str) else user_token
        first_ms = received_ms if arrived_ms is None else arrived_ms
        happened_ms = self._time(event, first_ms, sent_at_ms, history=history, notes=notes)
        if self._events_set_time:
            received_ms = max(received_ms, happened_ms)
        name = self._track_name(event.event) if type_ == "track" else NAME_BY_TYPE[type_]
        if self._schemas and name in self._schemas and self._schemas[name].apply(sent, notes):
            event = _typed(sent, notes)
            properties = event.properties or _EMPTY
        telling = not _TELLING.isdisjoint(properties)
        if telling:
            properties = unwrapped(properties)
        try:
            items = self._items_of(name, properties, tenant, notes)
        except ReferenceTaken as taken:
            raise EventRejected(taken.code, taken.message) from None
        claimed_id = ""
        if public:
            name, flags = claimed_name(type_, name), flags | _PUBLIC
            if user_id and not self._user_tokens.confirm(tenant, user_token, user_id, received_ms):
                if not anonymous_id:
                    raise EventRejected(FORBIDDEN, _NO_DEVICE, status=403)
                claimed_id, user_id = user_id, ""
                add_note(notes, CLAIMED, "userId")
            if name == ORDER_CLAIMED:
                add_note(notes, CLAIMED, "an order")
        list_id = identifier(properties["list_id"], "properties.list_id") if "list_id" in properties else ""
        if telling and not list_id and "item_list_id" in properties:  # Google's.
            list_id = identifier(properties["item_list_id"], "properties.item_list_id")
        decision_id = _decision_id(event, properties) if telling or event.context is not None else ""
        message, order = self._references.of(message_id), 0
        if name in ABOUT_ORDERS:
            message, order = self._statement(name, message_id, properties)
            if not order and (name in BOUND_TO_ORDER or (name in TAKING_BACK and not items[0])):
                add_note(notes, NO_ORDER)
        identifiers = identifiers_of(anonymous_id, claimed(anonymous_id, claimed_id) if claimed_id else user_id)

        around = sent["context"] if event.context is not None else _EMPTY
        unusual = not BESIDE.isdisjoint(around)
        stated = self._stated(event, around if unusual else _EMPTY)
        if stated and not self.statements.heeds(stated):
            add_note(notes, CONSENT_UNHEEDED, "context.consent")
        if unusual:
            _note_unread("context", around, UNREAD_CONSENT, notes)
        if telling and not MISPLACED.isdisjoint(properties):
            _note_unread("properties", properties, MISPLACED, notes)
        if event.traits:
            _note_unread("traits", event.traits, MISPLACED, notes)
        judged = self._gate.judge(
            tenant, identifiers, stated=stated, gpc=gpc, happened_ms=happened_ms, message=message
        )
        if judged.withheld:
            if meet is not None and judged.statement:
                self._meet(meet, tenant, identifiers)
            return self._withheld(judged, received_ms, happened_ms, tenant, name, identifiers, message_id)
        if meet is not None:
            self._meet(meet, tenant, identifiers)
        references, prices, quantities, positions = items
        who = owner = self._subjects.subject(tenant, identifiers[0])
        links: tuple[LinkClaim, ...] = ()
        if claimed_id:
            owner, links = self._claim(sent, tenant, who, identifiers[1], claimed_id, notes)
        elif anonymous_id and user_id:
            owner = self._subjects.subject(tenant, user_id)
            links = (LinkClaim(Tied.SIGN_IN, who.cell, owner.cell, (who.sealed_id, owner.sealed_id)),)
        if type_ == "alias":
            links += self._alias(sent, tenant, previous_id, owner)
        if owner is not who:
            sent["anonymousId"] = who.sealed_id
        record = Tracked(
            received_ms,
            happened_ms,
            tenant,
            owner.cell,
            message,
            name,
            flags,
            references,
            prices,
            quantities,
            positions,
            self._amounts.values_of(properties, notes),
            list_id,
            decision_id,
            context,
            owner.seal_event(received_ms, _body(sent, event, type_, notes)),
            owner.cell,
            judged.denied,
            _NOT_RETOLD,
            order,
            who.cell if owner is not who else 0,
        )
        consents: tuple[Consented, ...] = ()
        if judged.statement:
            cells = (who.cell, owner.cell) if owner is not who else (who.cell,)
            consents = consented(judged.statement, happened_ms, tenant, cells)
        return Admitted(record, encode_record(record), message_id, links, consents, tuple(notes) if notes else ())

    def _items_of(self, name: str, properties: Mapping[str, Any], tenant: str, notes: list[Note]) -> Items:
        """The items of an event of that name; `ReferenceTaken` if one cannot be told from another."""
        items = self._items.items_of(properties, tenant, notes)
        if items[0]:
            return items if items[1] or name not in WORTH_SOMETHING else with_worth(items, properties, notes)
        if name in NAMING_ITEMS or name in TAKING_BACK:
            items = self._items.nearly_named(name, properties, tenant, notes)
        if items[0]:
            return items if items[1] or name not in WORTH_SOMETHING else with_worth(items, properties, notes)
        if name in NAMING_ITEMS:
            add_note(notes, NO_ITEM)
        elif name in REFUNDS and names_items(properties):
            add_note(notes, NO_ITEM)
            items = ((self._ref_of(tenant, UNREAD),), (), (), ())  # Not the whole order.
        return items

    def _statement(self, name: str, message_id: str, properties: Mapping[str, Any]) -> tuple[int, int]:
        """What tells the event's statement about an order from others, and the order; as references."""
        order = order_of(name, properties)
        of = self._references.of
        return of(idempotence_of(name, message_id, properties)), of(order) if order else 0

    def _stated(self, event: TrackingEvent, around: Mapping[str, Any]) -> dict[str, bool] | None:
        """What the event says of consent, where that has a place: in its context, or beside it. `around` is that
        context, if it has unusual names."""
        context = event.context
        if context is None or (context.consent is None and context.consent_management is None):
            tc_string = None if context is None else context.tc_string
            if event.consent is None and tc_string is None and not around:
                return None
            return self.statements.stated(event.consent, tc_string=tc_string, context=around)
        consent = event.consent if context.consent is None else context.consent
        return self.statements.stated(consent, context.consent_management, context.tc_string, around)

    def _meet(self, meet: Meet, tenant: str, identifiers: tuple[str, ...]) -> None:
        """Ask whether those of these ids that nobody has named before may be made known."""
        for one in identifiers:
            if not self._subjects.find(tenant, one):
                meet()

    def _withheld(
        self, judged: Judgement, received_ms: int, happened_ms: int, tenant: str, name: str,
        identifiers: tuple[str, ...], message_id: str,
    ) -> Admitted:  # fmt: skip
        """The stub of an event that may not be kept. A refusal is remembered, or it could not be obeyed."""
        record = Withheld(received_ms, tenant, name, judged.withheld)
        consents: tuple[Consented, ...] = ()
        if judged.statement:
            plain = [one for one in identifiers if not one.startswith(CLAIM_PREFIX)]
            cells = [self._subjects.subject(tenant, identifier).cell for identifier in plain]
            consents = consented(judged.statement, happened_ms, tenant, cells)
        return Admitted(record, encode_record(record), message_id, consents=consents)

    def _claim(
        self, sent: dict[str, Any], tenant: str, device: Subject, identifier: str, user_id: str, notes: list[Note]
    ) -> tuple[Subject, tuple[LinkClaim, ...]]:
        """Where what a device says of a user lies, and the link of that; in the device's own cell, and without the
        user's id, where there is no room for another claim."""
        user, claim = self._subjects.subject(tenant, user_id), self._subjects.subject(tenant, identifier)
        link = LinkClaim(Tied.CLAIM, claim.cell, device.cell, (device.sealed_id, user.sealed_id), user.cell)
        if self._gate.takes(link.cell, link.owner, link.user):
            return claim, (link,)
        sent.pop("userId", None)
        add_note(notes, LINKS_FULL, "userId")
        return device, ()

    def _alias(
        self, sent: dict[str, Any], tenant: str, previous_id: str, owner: Subject
    ) -> tuple[LinkClaim, ...]:
        """The links of an alias; what names a third id in the event is sealed by itself.

        Its previousId is an anonymous id or a user id, and nothing in the event says which: both cells are linked. The
        one that nobody ever used holds nothing, so its link changes nothing.
        """
        device = self._subjects.subject(tenant, ANONYMOUS_PREFIX + previous_id)
        user = self._subjects.subject(tenant, previous_id)
        sent["previousId"] = device.sealed_id
        signed_in = LinkClaim(Tied.SIGN_IN, device.cell, owner.cell, (device.sealed_id, owner.sealed_id))
        if user.cell == owner.cell:
            return (signed_in,)
        return signed_in, LinkClaim(Tied.ALIAS, user.cell, owner.cell, (user.sealed_id, owner.sealed_id))

    def _track_name(self, sent: str | None) -> str:
        known = self._names.known(sent)
        if known is not None:
            return known
        if not sent or sent.isspace():
            raise EventRejected("schema", "a track event has an event name")
        if len(sent) > NAME_CHARS_MAX:
            raise EventRejected("too_large", f"event has at most {NAME_CHARS_MAX} characters")
        refuse_control(sent, "event")
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

    def _time(
        self, event: TrackingEvent, received_ms: int, sent_at_ms: int | None, *, history: bool, notes: list[Note]
    ) -> int:
        """Event time. `originalTimestamp` is what the device said, `timestamp` too, unless a pipeline has put it right
        already, which shows by another `originalTimestamp` beside it."""
        if event.timestamp == "" or event.sent_at == "" or event.original_timestamp == "" or event.received_at == "":
            event = _without_empty_times(event, notes)
        if event.sent_at is not None and not self._events_set_time:
            sent_at_ms = read_time_ms(event.sent_at, "sentAt")
        if event.timestamp is not None:
            happened_ms = read_time_ms(event.timestamp, "timestamp")
        elif event.original_timestamp is not None:
            happened_ms = read_time_ms(event.original_timestamp, "originalTimestamp")
        elif self._events_set_time or event.received_at is None:
            return received_ms
        else:
            happened_ms = read_time_ms(event.received_at, "receivedAt")
        if self._events_set_time:
            return happened_ms
        if event.received_at is not None or event.original_timestamp is not None:
            happened_ms += _skew_ms(event, happened_ms, received_ms, sent_at_ms, history=history)
        elif sent_at_ms is not None and not history:
            happened_ms += received_ms - sent_at_ms
        if 0 <= received_ms - happened_ms <= FAR_MS and happened_ms >= 0:
            return happened_ms
        told_ms = event_time_ms(received_ms=received_ms, timestamp_ms=happened_ms, sent_at_ms=None)
        if told_ms != happened_ms:
            add_note(notes, TIME_CLAMPED, "timestamp", "lies in the future")
        elif received_ms - told_ms > FAR_MS and not history:
            add_note(notes, TIME_FAR, "timestamp", "lies more than ten years back")
        return told_ms

    def forget(self) -> None:
        """Empty all caches: they may hold what somebody sent who has been erased."""
        self._enricher.forget()
        self._names.forget()
        self._references.forget()
        self._user_tokens.forget()

    def enrich_ns_taken(self) -> int:
        """What enrichment took since this was asked last."""
        taken_ns, self._enrich_ns = self._enrich_ns, 0
        return taken_ns


def _without_empty_times(event: TrackingEvent, notes: list[Note]) -> TrackingEvent:
    """Empty text says nothing of when it was."""
    empty = [name for name in _TIMES if getattr(event, name) == ""]
    for name in empty:
        add_note(notes, FIELD_DROPPED, _TIMES[name], "is empty text where a time is wanted")
    return msgspec.structs.replace(event, **dict.fromkeys(empty))


_TIMES = {
    "timestamp": "timestamp", "sent_at": "sentAt", "original_timestamp": "originalTimestamp",
    "received_at": "receivedAt",
}  # fmt: skip


def _skew_ms(
    event: TrackingEvent, happened_ms: int, received_ms: int, sent_at_ms: int | None, *, history: bool
) -> int:
    """How far the device's clock was behind, of an event that a pipeline has received before us, or may have.

    Where it says when that was, that is the clock it is judged by, unless it cannot be so.
    """
    if event.timestamp is not None:
        original = event.original_timestamp
        if history or (original is not None and (
            event.received_at is not None or read_time_ms(original, "originalTimestamp") != happened_ms
        )):  # fmt: skip
            return 0
    if event.received_at is not None:
        first_ms = read_time_ms(event.received_at, "receivedAt")
        if _PIPELINES_FROM_MS <= first_ms <= received_ms + AHEAD_MS_MAX:
            return first_ms - sent_at_ms if event.sent_at is not None and sent_at_ms is not None else 0
    return received_ms - sent_at_ms if sent_at_ms is not None and not history else 0


def _decode_event(raw: bytes | msgspec.Raw, notes: list[Note], *, mend: bool) -> dict[str, Any]:
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
        if not text.lstrip().startswith(b"{"):
            raise EventRejected("schema", f"an event is an object: {wanted(error)}") from None
    except (msgspec.DecodeError, UnicodeDecodeError):
        if not mend:
            raise EventRejected("malformed", _TOO_BROKEN) from None
    return _without_extremes(mended(text, notes), notes)


def _without_extremes(sent: dict[str, Any], notes: list[Note]) -> dict[str, Any]:
    """What was mended may hold numbers that nothing else can."""
    bounded: dict[str, Any] = within_bounds(sent, notes)
    return bounded


def _body(sent: dict[str, Any], event: TrackingEvent, type_: str, notes: list[Note]) -> bytes:
    """The event as sent, without the key it came with, its address cut short and its type filled in."""
    sent.pop("writeKey", None)
    sent.pop("userToken", None)
    sent["type"] = type_
    context = event.context
    if context is not None and context.ip:
        sent["context"]["ip"] = truncated(context.ip)
    try:
        return _encode_body(sent)
    except OverflowError:  # An integer beyond 64 bits.
        return _encode_body(within_bounds(sent, notes))


def _typed(sent: dict[str, Any], notes: list[Note]) -> TrackingEvent:
    try:
        return msgspec.convert(sent, TrackingEvent)
    except msgspec.ValidationError:
        return event_of(sent, notes)


def _may_be_misspelt(event: TrackingEvent, sent: dict[str, Any]) -> bool:
    """Whether something that clients send is not there under its own name, and may be under another one."""
    if event.message_id is None or event.properties is None or event.timestamp is None:
        return not MISSPELT.isdisjoint(sent)
    if event.event is None and event.type in (None, "track"):
        return True
    if event.user_id is None:
        return "user_id" in sent or "userID" in sent or "userid" in sent or event.anonymous_id is None
    if event.anonymous_id is None:
        return "anonymous_id" in sent or "anonymousID" in sent or "anonymousid" in sent
    return False


def _with_defaults(sent: dict[str, Any], defaults: dict[str, Any], notes: list[Note]) -> Any:
    """The batch's context under the event's own; of an odd one no more is left than is meant."""
    context = sent.get("context")
    if context is not None and not isinstance(context, dict):
        mend_context(sent, notes)
        context = sent.get("context")
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


def _previous_id(event: TrackingEvent, user_id: str) -> str:
    previous_id = user_identifier(event.previous_id, "previousId")
    if not previous_id or not user_id:
        raise EventRejected("schema", "an alias has a previousId and a userId")
    return previous_id


def _refuse_type(type_: str | None) -> NoReturn:
    if type_ is None:
        raise EventRejected("schema", "an event in a batch has a type")
    raise EventRejected("schema", f"type is one of {', '.join(TYPES)}")


def _note_unread(holder: str, fields: Mapping[str, Any], names: frozenset[str], notes: list[Note]) -> None:
    """Tell of statements of consent that stand where none is read, or in a form that is not read."""
    for name in sorted(names & fields.keys()):
        if fields[name] is not None and fields[name] != "":
            add_note(notes, CONSENT_UNREAD, f"{holder}.{name}")


def _decision_id(event: TrackingEvent, properties: Mapping[str, Any]) -> str:
    if event.context is not None and event.context.decision_id:
        return identifier(event.context.decision_id, "context.decisionId")
    found = properties.get("decisionId") or properties.get("decision_id")
    return identifier(found, "properties.decisionId") if found else ""

"""The one decoding door: bytes from outside become a record of the log, or `EventRejected`; never anything else.

`sent` reads the bytes, `happened` says when it was, `link_claims` who is who by it; here is what an event says of whom.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any, NoReturn

import msgspec

from ..foundation.errors import EventRejected, ReferenceTaken
from ..foundation.ids import Ids, References
from ..foundation.limits import NAME_CHARS_MAX
from .admitted import Admitted
from .amounts import WORTH_SOMETHING, Amounts, with_worth
from .claims import FORBIDDEN, NoUserTokens, UserTokens, claimed_name
from .enrich import Enricher
from .envelope import NO_CONTEXT, Consented, Context, Flag, Tracked, Withheld, encode_record
from .gate import Gate, Judgement, OpenGate
from .happened import happened_ms_of
from .identifiers import FOR_NONE, NO_USER, PLACEHOLDERS, identifier, identifiers_of, refuse_control, user_identifier
from .kinds import NAME_BY_TYPE, NUMBERS, ORDER_CLAIMED, TYPES, Names
from .link_claims import LinkClaim, alias, sign_in, user_claim
from .meanings import BOUND_TO_ORDER
from .misplaced import note_misplaced, person_meant
from .named_items import NAMING_ITEMS, UNREAD, ItemFinder, Items, RefOf, names_items
from .notes import (
    CLAIMED,
    CONSENT_UNHEEDED,
    CONSENT_UNREAD,
    LINKS_FULL,
    NO_ITEM,
    NO_ORDER,
    ORDER_UNDONE,
    ORDER_UNNAMED,
    PLACEHOLDER,
    Note,
    add_note,
    sentence,
)
from .orders import ABOUT_ORDERS, ORDERING, REFUNDS, TAKING_BACK, idempotence_of, maybe_order, order_of, undone_by
from .schema import Page, SentContext, TrackingEvent
from .schemas import EventSchema, compile_schemas
from .sent import Sent, read_event
from .statements import BESIDE, MISPLACED, Statements, consented, says_something
from .statements import UNREAD as UNREAD_CONSENT
from .subjects import ANONYMOUS_PREFIX, CLAIM_PREFIX, Subject, Subjects, claimed
from .usual import UsualEvents
from .wrapped import WRAPPERS, unwrapped

_MESSAGE_ID_BYTES = 16
_PUBLIC = int(Flag.PUBLIC)
_NO_DEVICE = (
    "a public key's userId is a claim of the device that sends it: send its anonymousId too, or a user token that your "
    "server has signed"
)
_MAYBE_ORDER = "may hold the order's id, and is not read as one"
_NOBODY = "an event has an anonymousId or a userId{}"
_TELLING = frozenset({*WRAPPERS, *MISPLACED, "item_list_id", "decisionId", "decision_id"})
"""Properties of which few events have one, that change how the others are read: one look for all of them."""
_NOT_RETOLD = 0
_EMPTY: Mapping[str, Any] = {}


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
        self._usual = UsualEvents(
            subjects=subjects, enricher=enrich, gate=self._gate, amounts=self._amounts, items=self._items,
            name_of=self._track_name, checked=self._schemas, telling=_TELLING, references=self._references,
            ref_of=self._ref_of, events_set_time=events_set_time,
        )  # fmt: skip

    def admit_step(
        self, raws: Sequence[bytes | msgspec.Raw], *, kind: str | None, received_ms: int, tenant: str,
        sent_at_ms: int | None = None, defaults: dict[str, Any] | None = None, gpc: bool = False,
        public: bool = False, user_token: str = "", history: bool = False, mend: bool = True, meet: Meet | None = None,
    ) -> tuple[list[Admitted], list[tuple[int, EventRejected]]]:  # fmt: skip
        """As `admit` of each of these: what goes in, in their order, and the places of what does not with the reasons.

        What is usual among them takes a short way, see `usual`.
        """
        admitted: list[Admitted] = []
        refused: list[tuple[int, EventRejected]] = []
        left: Sequence[int] = range(len(raws))
        if not (defaults or gpc or public or history):
            admitted, left = self._usual.admit(
                raws, kind=kind, received_ms=received_ms, tenant=tenant, sent_at_ms=sent_at_ms
            )
        for place in left:
            try:
                one = self.admit(
                    raws[place], kind=kind, received_ms=received_ms, tenant=tenant, sent_at_ms=sent_at_ms,
                    defaults=defaults, gpc=gpc, public=public, user_token=user_token, history=history, mend=mend,
                    meet=meet,
                )  # fmt: skip
            except EventRejected as error:
                refused.append((place, error))
            else:
                admitted.insert(place - len(refused), one)
        return admitted, refused

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
        sent = read_event(raw, notes, mend=mend, defaults=defaults)
        event = sent.event
        type_ = kind or event.type
        if type_ not in TYPES:
            _refuse_type(type_)
        message_id = identifier(event.message_id, "messageId")
        if message_id in PLACEHOLDERS:
            add_note(notes, PLACEHOLDER, "messageId", FOR_NONE)
            message_id = ""
        if not message_id:
            message_id = sent.fields["messageId"] = self._ids.token(_MESSAGE_ID_BYTES)
        anonymous_id = identifier(event.anonymous_id, "anonymousId")
        user_id = user_identifier(event.user_id, "userId") if event.user_id is not None else ""
        if anonymous_id in PLACEHOLDERS or user_id in NO_USER:
            anonymous_id, user_id = _without_placeholders(anonymous_id, user_id, notes)
        if not anonymous_id and not user_id:
            hint = "".join(f"; {sentence(note)}" for note in notes) + person_meant(sent.fields)
            raise EventRejected("schema", _NOBODY.format(hint))
        if beside_fields := sent.names_beside:
            note_misplaced(beside_fields, event, type_, notes)
        previous_id = _previous_id(event, user_id) if type_ == "alias" else ""
        properties = event.properties or _EMPTY
        context, flags = self._circumstances(event, type_)
        if event.context is not None and event.context.user_token is not None:
            own_token = sent.fields["context"].pop("userToken")
            user_token = own_token if isinstance(own_token, str) else user_token
        first_ms = received_ms if arrived_ms is None else arrived_ms
        happened_ms = happened_ms_of(
            event, first_ms, sent_at_ms, events_set_time=self._events_set_time, history=history, notes=notes
        )
        if self._events_set_time:
            received_ms = max(received_ms, happened_ms)
        name = self._track_name(event.event) if type_ == "track" else NAME_BY_TYPE[type_]
        if self._schemas and name in self._schemas and self._schemas[name].apply(sent.fields, notes):
            sent.read_again()
            event = sent.event
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
        around = event.context
        told_decision = around is not None and around.decision_id
        decision_id = _decision_id(event, properties) if telling or told_decision else ""
        message, order = self._references.of(message_id), 0
        if name in ABOUT_ORDERS:
            message, order = self._statement(name, message_id, properties)
            if not order and (name in BOUND_TO_ORDER or (name in TAKING_BACK and not items[0])):
                add_note(notes, NO_ORDER)
            elif not order and name in ORDERING:
                maybe = maybe_order(properties)
                add_note(notes, ORDER_UNNAMED, *((f"properties.{maybe}", _MAYBE_ORDER) if maybe else ()))
            if undone := undone_by(name, properties):
                add_note(notes, ORDER_UNDONE, f"properties.{undone}")
        identifiers = identifiers_of(anonymous_id, claimed(anonymous_id, claimed_id) if claimed_id else user_id)

        beside = sent.context_beside(BESIDE)
        stated = self._stated(event, beside)
        if stated and not self.statements.heeds(stated):
            add_note(notes, CONSENT_UNHEEDED, "context.consent")
        if beside:
            _note_unread("context", beside, UNREAD_CONSENT, notes)
        if telling and not MISPLACED.isdisjoint(properties):
            _note_unread("properties", properties, MISPLACED, notes)
        if event.traits:
            _note_unread("traits", event.traits, MISPLACED, notes)
        judged = self._gate.judge(
            tenant, identifiers, stated=stated, gpc=gpc, happened_ms=happened_ms, message=message,
            others=(ANONYMOUS_PREFIX + previous_id, previous_id) if previous_id else (),
        )  # fmt: skip
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
            links = (sign_in(who, owner),)
        if type_ == "alias":
            sent.fields["previousId"], of_alias = alias(self._subjects, tenant, previous_id, owner)
            links += of_alias
        if owner is not who:
            sent.seal_device(anonymous_id, who.sealed_id)
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
            owner.seal_event(received_ms, sent.kept(type_)),
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
        self, sent: Sent, tenant: str, device: Subject, identifier: str, user_id: str, notes: list[Note]
    ) -> tuple[Subject, tuple[LinkClaim, ...]]:
        """Where what a device says of a user lies, and the link of that; in the device's own cell, and without the
        user's id, where there is no room for another claim."""
        user, claim = self._subjects.subject(tenant, user_id), self._subjects.subject(tenant, identifier)
        link = user_claim(claim, device, user)
        if self._gate.takes(link.cell, link.owner, link.user):
            return claim, (link,)
        sent.fields.pop("userId", None)
        add_note(notes, LINKS_FULL, "userId")
        return device, ()

    def _track_name(self, sent: str | None) -> str:
        known = self._names.met.get(sent)
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
        return self._enricher.enrich(context)

    def forget(self) -> None:
        """Empty all caches: they may hold what somebody sent who has been erased."""
        self._usual.forget()
        self._enricher.forget()
        self._names.forget()
        self._references.forget()
        self._user_tokens.forget()

    def enrich_ns_taken(self) -> int:
        """What enrichment took since this was asked last."""
        return self._enricher.ns_taken()

def _with_page(context: SentContext | None, properties: Mapping[str, Any]) -> SentContext:
    """A page event may tell of its page in its properties alone."""
    url, referrer = properties.get("url"), properties.get("referrer")
    page = Page(
        url=url if isinstance(url, str) else None, referrer=referrer if isinstance(referrer, str) else None
    )
    return msgspec.structs.replace(context or SentContext(), page=page)


def _previous_id(event: TrackingEvent, user_id: str) -> str:
    previous_id = user_identifier(event.previous_id, "previousId")
    if not previous_id or previous_id in NO_USER or not user_id:
        raise EventRejected("schema", "an alias has a previousId and a userId")
    return previous_id


def _without_placeholders(anonymous_id: str, user_id: str, notes: list[Note]) -> tuple[str, str]:
    """The ids, "" for one that stands where there is none."""
    if anonymous_id in PLACEHOLDERS:
        add_note(notes, PLACEHOLDER, "anonymousId", FOR_NONE)
        anonymous_id = ""
    if user_id in NO_USER:
        add_note(notes, PLACEHOLDER, "userId", FOR_NONE)
        user_id = ""
    return anonymous_id, user_id


def _refuse_type(type_: str | None) -> NoReturn:
    if type_ is None:
        raise EventRejected("schema", "an event in a batch has a type")
    raise EventRejected("schema", f"type is one of {', '.join(TYPES)}")


def _note_unread(holder: str, fields: Mapping[str, Any], names: frozenset[str], notes: list[Note]) -> None:
    """Tell of statements of consent that stand where none is read, or in a form that is not read."""
    for name in sorted(names & fields.keys()):
        if says_something(fields[name]):
            add_note(notes, CONSENT_UNREAD, f"{holder}.{name}")


def _decision_id(event: TrackingEvent, properties: Mapping[str, Any]) -> str:
    if event.context is not None and event.context.decision_id:
        return identifier(event.context.decision_id, "context.decisionId")
    found = properties.get("decisionId") or properties.get("decision_id")
    return identifier(found, "properties.decisionId") if found else ""

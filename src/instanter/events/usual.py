"""The short way of usual events: many of one step, each read, judged, sealed and encoded without a detour.

Nearly all events of a shop are alike: one id or both, a time with a zone, properties whose names have been met before,
nothing to mend and nothing to tell. What of an event depends on its name or on the names of its properties alone is
worked out once and remembered (`_Plan`, `_Shape`). An event with anything else in it is left to the caller, which has
`decode.Door.admit` for it: that is the oracle, and for an event that both take they give the same (`test_usual.py`).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Final, NamedTuple

import msgspec

from ..foundation.errors import EventRejected, ReferenceTaken
from ..foundation.ids import References
from ..foundation.limits import EVENT_BYTES_MAX, EVENT_NAMES_MAX, ID_CHARS_MAX, SHAPE_CHARS_MAX, SHAPES_MAX
from .admitted import Admitted
from .amounts import WORTH_SOMETHING, Amounts
from .enrich import Enricher
from .envelope import NO_CONTEXT, Context, Tracked, encode_record
from .gate import FREE, Gate
from .identifiers import NO_USER, PLACEHOLDERS, identifier
from .kinds import NAME_BY_TYPE
from .link_claims import LinkClaim, sign_in
from .named_items import ANY, NAMING_ITEMS, NO_ITEMS, ONE_WITH_PRICE, ItemFinder, Items, RefOf
from .notes import Note
from .numbers import AMOUNT_MAX
from .orders import ABOUT_ORDERS, TAKING_BACK
from .schema import UsualEvent
from .sent import device_in, with_device_sealed
from .structure import BRACKETS_UNCHECKED, SHORT_BYTES, finite, has_extreme_number
from .subjects import ANONYMOUS_PREFIX, Sealing, Subjects
from .times import FAR_MS

_SPACES: Final = b" \t\r\n"
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_NOT_RETOLD: Final = 0
_NO_ORDER: Final = 0

_decode = msgspec.json.Decoder(UsualEvent).decode
_decode_steadily = msgspec.json.Decoder(UsualEvent, float_hook=finite).decode
"""As in `sent`: for texts in which there may be a number that others read slowly."""


class _Plan(NamedTuple):
    """What follows from the name that an event came under."""

    name: str
    """The canonical one; "" where such events have to be looked into."""
    needs_items: bool
    """It means nothing without an item, so one that seems to have none is looked into."""


class _Shape(NamedTuple):
    """What follows from the names of an event's properties."""

    items: int
    """One of `named_items.ONE_WITH_PRICE`, `NONE` and `ANY`."""
    numbers: tuple[str, ...] | None
    """As `Amounts.among`."""
    has_list: bool


_UNTIED: Final[tuple[int, tuple[LinkClaim, ...]]] = (0, ())
"""The cell of its device, and the links, of an event with one id."""
_Draft = tuple[int, int, int, str, int, Items, dict[str, float], str, Context, str, bytes, bytes]
"""Of a record: received_ms, happened_ms, message, name, flags, items, values, list_id and context; then the messageId,
the event as it came, and of one with both ids what `sent.device_in` gives."""

_OTHER: Final = _Plan("", False)


class UsualEvents:
    """The short way into one door, with what it remembers of names; for all tenants, not for threads."""

    def __init__(
        self, *, subjects: Subjects, enricher: Enricher, gate: Gate, amounts: Amounts, items: ItemFinder,
        name_of: Callable[[str | None], str], checked: Mapping[str, object], telling: frozenset[str],
        references: References, ref_of: RefOf, events_set_time: bool = False,
    ) -> None:  # fmt: skip
        """The parts are the door's, and so is `events_set_time`. `checked` are names that have a schema, `telling`
        properties that change how others are read."""
        self._subjects = subjects
        self._enricher = enricher
        self._gate = gate
        self._amounts = amounts
        self._items = items
        self._name_of = name_of
        self._checked = checked
        self._telling = telling
        self._references = references
        self._ref_of = ref_of
        self._events_set_time = events_set_time
        self._plans: dict[str | None, _Plan] = {}
        """Of track events, by the name as it was sent."""
        self._plans_by_type = {type_: self._planned(NAME_BY_TYPE[type_]) for type_ in ("page", "screen", "identify")}
        self._shapes: dict[tuple[str, ...], _Shape | None] = {}

    def forget(self) -> None:
        """Empty the caches: names are the sender's."""
        self._plans.clear()
        self._shapes.clear()

    def admit(
        self, raws: Sequence[bytes | msgspec.Raw], *, kind: str | None, received_ms: int, tenant: str,
        sent_at_ms: int | None,
    ) -> tuple[list[Admitted], list[int]]:  # fmt: skip
        """What `Door.admit` gives of events that came with a secret key and without a context of their batch, in their
        order; and the places of those that it has to be asked about, be it that they are refused. Changes nothing for
        these.

        One loop, with all that is the same for the whole step in front of it: calls and looks through objects are most
        of what an event costs here.
        """
        left = list(range(len(raws)))
        drafts, identities = list[_Draft](), list[str]()
        plans, plans_by_type, shapes = self._plans, self._plans_by_type, self._shapes
        enrich, ref_of = self._enricher.enrich, self._ref_of
        items_of, values_of = self._items.items_of, self._amounts.values_of
        judge = None if self._gate.is_open else self._gate.judge
        reference, fromisoformat = self._references.of, datetime.fromisoformat
        events_set_time, step_ms = self._events_set_time, received_ms
        ahead_ms = received_ms - sent_at_ms if sent_at_ms is not None and not events_set_time else 0
        notes: list[Note] = []
        for place, raw in enumerate(raws):
            text = bytes(raw).strip(_SPACES)
            brackets = text.count(b"{") + (text.count(b"[") if b"[" in text else 0)
            if brackets > BRACKETS_UNCHECKED or len(text) > EVENT_BYTES_MAX:
                continue
            try:
                event = (
                    _decode_steadily if len(text) <= SHORT_BYTES or has_extreme_number(text) else _decode
                )(text)
            except (msgspec.DecodeError, UnicodeDecodeError):
                continue
            # What it is.
            type_ = event.type
            if type_ is msgspec.UNSET:
                if kind is None:
                    continue
                type_, text = kind, b'{"type":"%b",%b' % (kind.encode(), text[1:])
            elif kind is not None and kind != type_:
                continue
            if type_ == "track":
                plan = plans.get(event.event) or self._plan(event.event)
            else:
                plan = plans_by_type.get(type_, _OTHER)
            if not plan.name:
                continue
            # Who did it, and which message says so.
            message_id, device, user = event.message_id, event.anonymous_id, event.user_id
            if not message_id.isprintable() or not 0 < len(message_id) <= ID_CHARS_MAX or message_id.isspace() or (
                message_id in PLACEHOLDERS
            ):  # fmt: skip
                continue
            who: tuple[str, ...] = ()
            if device:
                if not device.isprintable() or len(device) > ID_CHARS_MAX or device.isspace() or (
                    device in PLACEHOLDERS
                ):  # fmt: skip
                    continue
                who = (ANONYMOUS_PREFIX + device,)
            plain_device = b""
            if user:
                if not user.isprintable() or len(user) > ID_CHARS_MAX or user.isspace() or user in NO_USER or (
                    user.startswith(ANONYMOUS_PREFIX)
                ):  # fmt: skip
                    continue
                if device and not (plain_device := device_in(text, device)):
                    continue
                who = (*who, user)
            elif not device:
                continue
            # When.
            happened_ms, told = step_ms, event.timestamp
            if told is not None:
                if told[4:5] != "-":
                    continue
                try:
                    moment = fromisoformat(told)
                except ValueError:
                    continue
                since = (moment if moment.tzinfo is not None else moment.replace(tzinfo=UTC)) - _EPOCH
                happened_ms = (since.days * 86_400 + since.seconds) * 1000 + since.microseconds // 1000 + ahead_ms
                if events_set_time:
                    received_ms = max(step_ms, happened_ms)
                elif not 0 <= happened_ms <= received_ms <= happened_ms + FAR_MS:
                    continue
            elif events_set_time:
                received_ms = step_ms
            # About what.
            properties = event.properties
            if properties:
                names = tuple(properties)
                shape = shapes[names] if names in shapes else self._shape(names)
                if shape is None:
                    continue
                items, values, list_id = NO_ITEMS, {}, ""
                try:
                    if shape.items == ONE_WITH_PRICE:
                        item_id, price = properties["product_id"], properties["price"]
                        if (
                            type(item_id) is str and type(price) is float and 0.0 <= price <= AMOUNT_MAX
                            and 0 < len(item_id) <= ID_CHARS_MAX and item_id.isprintable() and not item_id.isspace()
                        ):  # fmt: skip
                            items = (ref_of(tenant, item_id),), (price,), (), ()
                        else:
                            items = items_of(properties, tenant, notes)
                    elif shape.items == ANY:
                        items = items_of(properties, tenant, notes)
                    if shape.numbers is None:
                        values = values_of(properties, notes)
                    else:
                        for field in shape.numbers:
                            value = properties[field]
                            if type(value) is not float or (field == "price" and not 0.0 <= value <= AMOUNT_MAX):
                                values = values_of(properties, notes)
                                break
                            values[field] = value
                    if shape.has_list:
                        list_id = identifier(properties["list_id"], "properties.list_id")
                except (EventRejected, ReferenceTaken):
                    notes.clear()
                    continue
                if notes:
                    notes.clear()
                    continue
            else:
                items, values, list_id = NO_ITEMS, {}, ""
            if plan.needs_items and not items[0]:
                continue
            # Under what circumstances.
            circumstances = event.context
            if circumstances is None or (circumstances.page is None and type_ == "page"):
                if type_ == "page":
                    continue
                context, flags = NO_CONTEXT, 0
            else:
                context, flags = enrich(circumstances)
            message = reference(message_id)
            if judge is not None and judge(
                tenant, who, stated=None, gpc=False, happened_ms=happened_ms, message=message
            ) is not FREE:  # fmt: skip
                continue
            identities += who
            drafts.append((
                received_ms, happened_ms, message, plan.name, flags, items, values, list_id, context, message_id, text,
                plain_device,
            ))  # fmt: skip
            left[place] = -1
        return self._admitted(tenant, drafts, identities), [place for place in left if place >= 0]

    def _admitted(self, tenant: str, drafts: Sequence[_Draft], identities: Sequence[str]) -> list[Admitted]:
        """What goes into the log of events; `identities` are those of each, its device before its user."""
        known = iter(self._subjects.subjects(tenant, identities))
        sealings, tied = list[Sealing](), list[tuple[int, tuple[LinkClaim, ...]]]()
        for draft in drafts:
            owner, text, plain_device = next(known), draft[-2], draft[-1]
            if plain_device:
                device, owner = owner, next(known)
                text = with_device_sealed(text, plain_device, device.sealed_id)
                tied.append((device.cell, (sign_in(device, owner),)))
            else:
                tied.append(_UNTIED)
            sealings.append((owner, draft[0], text))
        admitted = list[Admitted]()
        for (
            received_ms, happened_ms, message, name, flags, items, values, list_id, context, message_id, _, _,
        ), (owner, _, _), (device_cell, links), body in zip(
            drafts, sealings, tied, self._subjects.seal_events(sealings), strict=True
        ):  # fmt: skip
            cell = owner.cell
            record = Tracked(
                received_ms, happened_ms, tenant, cell, message, name, flags, items[0], items[1], items[2], items[3],
                values, list_id, "", context, body, cell, (), _NOT_RETOLD, _NO_ORDER, device_cell,
            )  # fmt: skip
            admitted.append(Admitted(record, encode_record(record), message_id, links))
        return admitted

    def _plan(self, sent: str | None) -> _Plan:
        """The plan of a track event of this name, remembered."""
        try:
            plan = self._planned(self._name_of(sent))
        except EventRejected:
            return _OTHER
        if len(self._plans) >= EVENT_NAMES_MAX:
            self._plans.clear()
        self._plans[sent] = plan
        return plan

    def _planned(self, name: str) -> _Plan:
        if name in self._checked or name in ABOUT_ORDERS or name in TAKING_BACK or name in WORTH_SOMETHING:
            return _OTHER
        return _Plan(name, name in NAMING_ITEMS)

    def _shape(self, names: tuple[str, ...]) -> _Shape | None:
        """What these names come to, remembered; None where an event that has them is to be looked into."""
        if sum(map(len, names)) > SHAPE_CHARS_MAX:
            return None
        shape = None
        if self._telling.isdisjoint(names):
            shape = _Shape(self._items.in_shape(names), self._amounts.among(names), "list_id" in names)
        if len(self._shapes) >= SHAPES_MAX:
            self._shapes.clear()
        self._shapes[names] = shape
        return shape

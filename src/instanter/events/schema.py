"""The wire: the Segment HTTP tracking specification as types. camelCase outside, snake_case inside.

Unknown fields are ignored here and kept in the stored body. A field of the wrong type rejects the event; where
clients in use disagree (ids and campaign values as numbers, `referrer` as text or object), both are taken.
"""

from __future__ import annotations

from typing import Any

import msgspec

WireId = str | int
WireTime = str | int | float
"""ISO 8601 with zone, offset or neither (then UTC), or milliseconds since 1970."""


ABSENT = msgspec.Raw(b"null")


class Wire(msgspec.Struct, rename="camel", frozen=True, gc=False):
    """Base of everything that comes in as JSON."""


class Page(Wire, frozen=True, gc=False):
    """The page an event happened on."""

    url: str | None = None
    path: str | None = None
    referrer: str | None = None
    title: str | None = None
    search: str | None = None


class Campaign(Wire, frozen=True, gc=False):
    """The utm parameters of the visit."""

    source: WireId | float | None = None
    medium: WireId | float | None = None
    name: WireId | float | None = None
    term: WireId | float | None = None
    content: WireId | float | None = None


class ReferrerLink(Wire, frozen=True, gc=False):
    """The referrer as an object, the form some mobile clients send."""

    url: str | None = None
    link: str | None = None


class Circumstances(Wire, frozen=True, gc=False):
    """What enrichment reads of them."""

    user_agent: str | None = None
    ip: str | None = None
    page: Page | None = None
    referrer: str | ReferrerLink | None = None
    locale: str | None = None
    timezone: str | None = None
    campaign: Campaign | None = None


class SentContext(Circumstances, frozen=True, gc=False):
    """The circumstances as the sender tells them."""

    session_id: WireId | None = None
    decision_id: str | None = None
    consent: Any = None
    """What the person agrees to, in one of the shapes that `statements` reads."""
    consent_management: Any = None
    """The same, as RudderStack's clients send it."""
    tc_string: Any = None
    """The same, as a consent string of the IAB's framework."""
    user_token: Any = None
    """Shows that the shop's own server knows who sends this, see `claims`."""


class TrackingEvent(Wire, frozen=True, gc=False):
    """One event of any of the six types; the rules between fields are `decode.Door`'s."""

    type: str | None = None
    message_id: WireId | None = None
    anonymous_id: WireId | None = None
    user_id: WireId | None = None
    event: str | None = None
    name: str | None = None
    category: str | None = None
    properties: dict[str, Any] | None = None
    traits: dict[str, Any] | None = None
    previous_id: WireId | None = None
    group_id: WireId | None = None
    timestamp: WireTime | None = None
    original_timestamp: WireTime | None = None
    sent_at: WireTime | None = None
    received_at: WireTime | None = None
    """When another pipeline received it that forwards it, or has kept it."""
    context: SentContext | None = None
    consent: Any = None
    """What some tools put beside the context."""
    integrations: Any = None


FIELDS = frozenset(field.encode_name for field in msgspec.structs.fields(TrackingEvent))
"""Names of the fields of an event."""


class PlainContext(SentContext, frozen=True, gc=False, forbid_unknown_fields=True):
    """The circumstances with nothing in them but what clients of the field send and what is read here.

    Without the names that a consent statement has by mistake, which have to be looked for, and without what nothing
    may keep as it came: with one of these a context is not plain, however often it says them.
    """

    ip: None = None
    user_token: None = None
    active: msgspec.Raw = ABSENT
    app: msgspec.Raw = ABSENT
    channel: msgspec.Raw = ABSENT
    client_ids: msgspec.Raw = ABSENT
    device: msgspec.Raw = ABSENT
    direct: msgspec.Raw = ABSENT
    external_ids: msgspec.Raw = ABSENT
    group_id: msgspec.Raw = ABSENT
    instance_id: msgspec.Raw = ABSENT
    library: msgspec.Raw = ABSENT
    location: msgspec.Raw = ABSENT
    network: msgspec.Raw = ABSENT
    os: msgspec.Raw = ABSENT
    protocols: msgspec.Raw = ABSENT
    screen: msgspec.Raw = ABSENT
    session_start: msgspec.Raw = ABSENT
    traits: msgspec.Raw = ABSENT
    user_agent_data: msgspec.Raw = ABSENT


class PlainEvent(TrackingEvent, frozen=True, gc=False, forbid_unknown_fields=True):
    """An event with nothing in it but what clients of the field send: no field whose name may be meant for another,
    none that nothing may keep. It is read in one pass; any other one is decoded into a map first."""

    context: PlainContext | None = None
    channel: msgspec.Raw = ABSENT
    project_id: msgspec.Raw = ABSENT
    rudder_id: msgspec.Raw = ABSENT
    version: msgspec.Raw = ABSENT
    metadata: msgspec.Raw = msgspec.field(default=ABSENT, name="_metadata")


class UsualContext(Circumstances, frozen=True, gc=False, forbid_unknown_fields=True):
    """A `PlainContext` that says nothing of consent, sessions or decisions."""

    ip: None = None
    app: msgspec.Raw = ABSENT
    channel: msgspec.Raw = ABSENT
    device: msgspec.Raw = ABSENT
    library: msgspec.Raw = ABSENT
    os: msgspec.Raw = ABSENT
    screen: msgspec.Raw = ABSENT
    user_agent_data: msgspec.Raw = ABSENT


class UsualEvent(Wire, frozen=True, gc=False, forbid_unknown_fields=True):
    """A `PlainEvent` with what most have and nothing else, so that it is read in two thirds of the time. Whatever this
    takes that does too, and finds the same in it."""

    message_id: str
    type: str | msgspec.UnsetType = msgspec.UNSET
    anonymous_id: str | None = None
    user_id: str | None = None
    event: str | None = None
    name: str | None = None
    category: str | None = None
    properties: dict[str, Any] | None = None
    timestamp: str | None = None
    context: UsualContext | None = None
    integrations: Any = None
    channel: msgspec.Raw = ABSENT
    metadata: msgspec.Raw = msgspec.field(default=ABSENT, name="_metadata")


class BatchEnvelope(Wire, frozen=True, gc=False):
    """Many events in one body. `context` holds defaults; what an event says itself stands.

    Both it and `sentAt` stay raw until their size is known, and so that a name given a thousand times is read once.
    """

    batch: list[msgspec.Raw]
    sent_at: msgspec.Raw = ABSENT
    """A `WireTime` or null."""
    context: msgspec.Raw = ABSENT
    """A map or null."""
    write_key: str | None = None

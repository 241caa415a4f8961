"""Events of the tracking specification, as they are sent: each knows its time and has an id by which it counts once."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any, Final, TypedDict, TypeVar

import msgspec

from .surroundings import Surroundings

E = TypeVar("E", bound="Event")

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


class AnyEventFields(TypedDict, total=False):
    """What every event may have beside the user."""

    anonymous_id: str | None
    timestamp: datetime | str | None
    """When it happened, with a zone; now, where nothing is said."""
    message_id: str | None
    """The same event sent again under its id counts once; made where none is given."""
    context: Mapping[str, Any] | None


class EventFields(AnyEventFields, total=False):
    """What every event may have. It names somebody: by user_id, by anonymous_id, or by both, which links them."""

    user_id: str | None


class Event(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, rename="camel", tag_field="type"):
    """One event, see `EventFields`."""

    user_id: str | None = None
    anonymous_id: str | None = None
    timestamp: datetime | str | None = None
    message_id: str | None = None
    context: Mapping[str, Any] | None = None


class Track(Event, frozen=True, tag="track"):
    """Something that somebody did: an event by its name, `Product Viewed`."""

    event: str
    properties: Mapping[str, Any] = {}


class Page(Event, frozen=True, tag="page"):
    """A page that somebody sees."""

    name: str | None = None
    properties: Mapping[str, Any] = {}


class Screen(Event, frozen=True, tag="screen"):
    """A screen of an app that somebody sees."""

    name: str | None = None
    properties: Mapping[str, Any] = {}


class Identify(Event, frozen=True, tag="identify"):
    """Who somebody is, and what is known of them."""

    traits: Mapping[str, Any] = {}


class Group(Event, frozen=True, tag="group"):
    """What group somebody belongs to."""

    group_id: str
    traits: Mapping[str, Any] = {}


class Alias(Event, frozen=True, tag="alias"):
    """A former id of a user."""

    previous_id: str


def stamped(event: E, surroundings: Surroundings) -> E:
    """The event with a time and an id; raises ValueError for a time without a zone, TypeError for what is no event."""
    _check_event(event)
    at = event.timestamp
    if isinstance(at, datetime) and at.tzinfo is None:
        raise ValueError("timestamp has no zone: datetime.now(UTC), not datetime.now()")
    return msgspec.structs.replace(
        event, timestamp=at or time_text(surroundings.now_ms()),
        message_id=event.message_id or surroundings.message_id(),
    )  # fmt: skip


def _check_event(given: object) -> None:
    if not isinstance(given, Event):
        raise TypeError(f"an event is a Track, Page, Screen, Identify, Group or Alias, not {type(given).__name__}")


def time_text(at_ms: int) -> str:
    """A time as it stands on the wire.

    >>> time_text(1_700_000_000_123)
    '2023-11-14T22:13:20.123Z'
    """
    at = _EPOCH + timedelta(milliseconds=at_ms)
    return at.isoformat(timespec="milliseconds").replace("+00:00", "Z")

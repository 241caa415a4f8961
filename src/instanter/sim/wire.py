"""Tracking events in the wire shape of the API, as typed structs: `msgspec.json.encode(event)` is the JSON sent."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Literal

import msgspec

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def iso(at_ms: int) -> str:
    """ISO 8601 in UTC, to the millisecond.

    >>> iso(1_767_225_600_123)
    '2026-01-01T00:00:00.123Z'
    """
    moment = _EPOCH + timedelta(milliseconds=at_ms)
    return f"{moment.replace(tzinfo=None).isoformat(timespec='milliseconds')}Z"


class VisitPage(msgspec.Struct, frozen=True, omit_defaults=True):
    """The page of `context.page`."""

    path: str
    url: str = ""
    title: str = ""
    referrer: str = ""


class Campaign(msgspec.Struct, frozen=True, omit_defaults=True):
    """The campaign that brought the visitor, as the utm parameters say it."""

    source: str
    medium: str
    name: str = ""


class Context(msgspec.Struct, frozen=True, omit_defaults=True, rename="camel"):
    """The circumstances of an event, as a browser's tracking library sends them."""

    user_agent: str = ""
    ip: str = ""
    page: VisitPage | None = None
    campaign: Campaign | None = None
    locale: str = ""
    timezone: str = ""
    session_id: str = ""


class ListedProduct(msgspec.Struct, frozen=True, omit_defaults=True):
    """A product in a slate, a cart or an order; `position` counts from 1."""

    product_id: str
    position: int = 0
    price: float = 0.0
    quantity: int = 0


class Properties(msgspec.Struct, frozen=True, omit_defaults=True):
    """The properties of the ecommerce events that visitors cause; what is not set is not sent."""

    product_id: str = ""
    list_id: str = ""
    category: str = ""
    position: int = 0
    price: float = 0.0
    quantity: int = 0
    query: str = ""
    dwell_ms: int = 0
    scroll_pct: int = 0
    order_id: str = ""
    revenue: float = 0.0
    currency: str = ""
    products: tuple[ListedProduct, ...] = ()


class Traits(msgspec.Struct, frozen=True, omit_defaults=True):
    """What `identify` tells about a person."""

    email: str = ""


class TrackingEvent(msgspec.Struct, frozen=True, omit_defaults=True, rename="camel"):
    """One event of the tracking specification."""

    type: Literal["track", "page", "identify"]
    message_id: str
    anonymous_id: str
    timestamp: str
    user_id: str = ""
    event: str = ""
    """The name of a `track` event."""
    name: str = ""
    """The name of the page of a `page` event."""
    properties: Properties | None = None
    traits: Traits | None = None
    context: Context | None = None

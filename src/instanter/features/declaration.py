"""What a feature is: which events it hears, what it keeps of them, for whom, and for how long.

A declaration is all there is to a feature. The fold, the read, the training set and the receipt follow from it,
so two features with the same `version` are the same numbers.
"""

from __future__ import annotations

import hashlib
import math
import re
from collections.abc import Iterable
from typing import Annotated, Final, Literal, NamedTuple

import msgspec
from msgspec import Meta

from ..events.envelope import Context
from ..foundation.errors import ConfigRejected
from ..foundation.limits import NAME_CHARS_MAX, TILES_MAX, TOP_K_MAX

Aggregate = Literal[
    "count", "sum", "mean", "min", "max", "decayed", "windowed", "last", "last_k", "time_since", "top_k",
    "co_occurrence",
]
Scope = Literal["session", "profile", "item"]

TILES_DEFAULT: Final = 24
SESSION_LENGTH_MS_MAX: Final = 12 * 3_600_000
"""The longest session where the configuration does not say otherwise."""
DURATION_MS_MAX: Final = 3_650 * 86_400_000
_VERSION_BASIS: Final = 1
"""Raised when an aggregation starts to mean something else: no old cell is then read as a new one."""

_UNIT_MS: Final = {"ms": 1, "s": 1_000, "m": 60_000, "h": 3_600_000, "d": 86_400_000}
_DURATION: Final = re.compile(r"([0-9]{1,12})(ms|s|m|h|d)", re.ASCII)
_NAME: Final = re.compile(r"[a-z][a-z0-9_]{0,63}", re.ASCII)
_VALUE: Final = re.compile(r"|price|quantity|revenue|(properties|item)\.[^.\s]+")
_BY: Final = re.compile(r"|item|item\.[^.\s]+|context\.[^.\s]+")

_OF_NUMBERS: Final = frozenset({"sum", "mean", "min", "max", "last"})
_VALUED: Final = _OF_NUMBERS | {"decayed", "windowed", "top_k"}
_KEYED: Final = frozenset({"last_k", "top_k"})
_BOUNDED: Final = _KEYED | {"co_occurrence"}
_DECAYING: Final = frozenset({"decayed", "top_k"})


class FeatureDeclaration(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """One declared feature. `check` says whether it makes sense; the types alone do not."""

    name: Annotated[str, Meta(
        max_length=64, description="Name, unique over all scopes: lower-case letters, digits and underscores.")]
    on: Annotated[tuple[str, ...], Meta(
        min_length=1, max_length=32, description='Names of the events it hears, e.g. ["Product Viewed"].')]
    aggregate: Annotated[Aggregate, Meta(
        description="What is kept of the events. decayed is a sum that halves every half_life; windowed is a sum over "
                    "the last window; last_k keeps the k newest and top_k the k strongest of what `by` names; "
                    "time_since is the time since the newest event; co_occurrence keeps the k items met most often "
                    "with this one in a session.")]
    value: Annotated[str, Meta(
        max_length=NAME_CHARS_MAX,
        description='The number that is aggregated: "" is 1 per event or item; else "price", "quantity", "revenue" '
                    '(price x quantity), "properties.<name>" or "item.<numeric field>".')] = ""
    by: Annotated[str, Meta(
        max_length=NAME_CHARS_MAX,
        description='What top_k and last_k tell apart: "item", "item.<field>" or "context.<field>".')] = ""
    k: Annotated[int, Meta(
        ge=0, le=TOP_K_MAX, description="How many top_k, last_k and co_occurrence keep; 0 for all others.")] = 0
    half_life: Annotated[str, Meta(
        description='Time in which half of it fades, e.g. "15m", "14d": needed by decayed, optional for top_k.')] = ""
    window: Annotated[str, Meta(description='Time that windowed looks back, e.g. "24h".')] = ""
    tiles: Annotated[int, Meta(
        ge=1, le=TILES_MAX,
        description="Parts that a window moves on by, each a whole number of milliseconds long.")] = TILES_DEFAULT
    scope: Annotated[Scope, Meta(description="Whose feature it is.")] = "profile"
    default: Annotated[float, Meta(description="What is read where nothing has been counted yet.")] = 0.0
    unit: Annotated[str, Meta(max_length=64, description='Unit of the value, for people, e.g. "views".')] = ""
    owner: Annotated[str, Meta(max_length=64, description="Who answers for it.")] = ""
    purpose: Annotated[str, Meta(
        max_length=64, description="The consent purpose without which a person's events do not count.")] = (
        "personalization")
    ttl: Annotated[str, Meta(
        description='Time without events after which a cell is forgotten, e.g. "90d"; "" keeps it.')] = ""


class Fault(NamedTuple):
    """Why a declaration is impossible, and which of its fields says so."""

    field: str
    reason: str
    suggestion: str = ""


def duration_ms(text: str) -> int:
    """Milliseconds of a duration such as "500ms", "30s", "15m", "2h" or "14d"; raises `ConfigRejected`.

    >>> duration_ms("15m"), duration_ms("14d"), duration_ms("500ms")
    (900000, 1209600000, 500)
    """
    match = _DURATION.fullmatch(text)
    if match is None:
        raise ConfigRejected(f'"{text}" is not a duration',
                             suggestion='write a whole number and ms, s, m, h or d, e.g. "15m"')
    length_ms = int(match[1]) * _UNIT_MS[match[2]]
    if not 0 < length_ms <= DURATION_MS_MAX:
        raise ConfigRejected(f'"{text}" is out of bounds', suggestion="a duration is more than 0 and at most 3650d")
    return length_ms


def check(declaration: FeatureDeclaration, *, session_ms_max: int = SESSION_LENGTH_MS_MAX) -> None:
    """Raise `ConfigRejected`, naming the feature and the reason, if no fold could make sense of it."""
    fault = first_fault(declaration, session_ms_max=session_ms_max)
    if fault is not None:
        raise ConfigRejected(f'feature "{declaration.name}": {fault.reason}', suggestion=fault.suggestion)


def check_all(declarations: Iterable[FeatureDeclaration], *, session_ms_max: int = SESSION_LENGTH_MS_MAX) -> None:
    """`check` each, and raise `ConfigRejected` if two share a name."""
    seen: set[str] = set()
    for declaration in declarations:
        check(declaration, session_ms_max=session_ms_max)
        if declaration.name in seen:
            raise ConfigRejected(f'two features are called "{declaration.name}"', suggestion="rename one of them")
        seen.add(declaration.name)


def first_fault(declaration: FeatureDeclaration, *, session_ms_max: int = SESSION_LENGTH_MS_MAX) -> Fault | None:
    """The first reason why the declaration is impossible, or None."""
    return (
        _fault_in_names(declaration)
        or _fault_in_durations(declaration)
        or _fault_in_aggregate(declaration)
        or _fault_in_scope(declaration, session_ms_max)
    )


def _fault_in_names(feature: FeatureDeclaration) -> Fault | None:
    if not _NAME.fullmatch(feature.name):
        return Fault("name", "a name is made of lower-case letters, digits and underscores and starts with a letter")
    if not feature.on or any(not name.strip() or len(name) > NAME_CHARS_MAX for name in feature.on):
        return Fault("on", "it hears no event, or one without a proper name", 'e.g. on = ["Product Viewed"]')
    if len(set(feature.on)) < len(feature.on):
        return Fault("on", "it hears the same event twice")
    if not _VALUE.fullmatch(feature.value):
        return Fault("value", f'"{feature.value}" is not a value',
                     'price, quantity, revenue, properties.<name> or item.<field>; leave it out to count 1 each')
    if not _BY.fullmatch(feature.by):
        return Fault("by", f'"{feature.by}" is nothing to tell apart by', "item, item.<field> or context.<field>")
    if feature.by.startswith("context.") and feature.by[len("context."):] not in Context.__struct_fields__:
        return Fault("by", f'events have no "{feature.by}"', "one of " + ", ".join(Context.__struct_fields__))
    if not _NAME.fullmatch(feature.purpose):
        return Fault("purpose", "every feature declares the purpose it is kept for", 'e.g. "personalization"')
    if not math.isfinite(feature.default):
        return Fault("default", "the default is not a finite number")
    return None


def _fault_in_durations(feature: FeatureDeclaration) -> Fault | None:
    for field, text in (("half_life", feature.half_life), ("window", feature.window), ("ttl", feature.ttl)):
        try:
            _optional_ms(text)
        except ConfigRejected as error:
            return Fault(field, error.reason, error.suggestion)
    return None


def _fault_in_aggregate(feature: FeatureDeclaration) -> Fault | None:
    """Every parameter an aggregation needs is there, and none that it would ignore."""
    kind = feature.aggregate
    if kind in _OF_NUMBERS and not feature.value:
        return Fault("value", f"{kind} needs a value", 'e.g. value = "price"; count counts events')
    if feature.value and kind not in _VALUED:
        return Fault("value", f"{kind} takes no value", "sum adds a value up")
    if kind in _KEYED and not feature.by:
        return Fault("by", f"{kind} needs by", 'e.g. by = "item.category"')
    if feature.by and kind not in _KEYED:
        return Fault("by", f"{kind} takes no by", "top_k tells values apart")
    if kind in _BOUNDED and not 1 <= feature.k <= TOP_K_MAX:
        return Fault("k", f"{kind} needs k from 1 to {TOP_K_MAX}")
    if feature.k and kind not in _BOUNDED:
        return Fault("k", f"{kind} takes no k")
    if kind == "decayed" and not feature.half_life:
        return Fault("half_life", "decayed needs a half_life", 'e.g. half_life = "14d"')
    if feature.half_life and kind not in _DECAYING:
        return Fault("half_life", f"{kind} takes no half_life", "decayed is a sum that fades")
    return _fault_in_window(feature)


def _fault_in_window(feature: FeatureDeclaration) -> Fault | None:
    if feature.aggregate != "windowed":
        if feature.window:
            return Fault("window", f"{feature.aggregate} takes no window", "windowed is a sum over a window")
        if feature.tiles != TILES_DEFAULT:
            return Fault("tiles", f"{feature.aggregate} takes no tiles")
        return None
    if not feature.window:
        return Fault("window", "windowed needs a window", 'e.g. window = "24h"')
    if not 1 <= feature.tiles <= TILES_MAX:
        return Fault("tiles", f"windowed needs tiles from 1 to {TILES_MAX}")
    if duration_ms(feature.window) % feature.tiles:
        return Fault("tiles", f"a window of {feature.window} does not divide into {feature.tiles} tiles of whole "
                              "milliseconds")
    return None


def _fault_in_scope(feature: FeatureDeclaration, session_ms_max: int) -> Fault | None:
    if feature.aggregate == "co_occurrence" and feature.scope != "item":
        return Fault("scope", "co_occurrence belongs to an item", 'scope = "item"')
    if feature.scope == "item" and feature.by:
        return Fault("by", "at scope item there is nothing further to tell apart", "leave by out, or use scope profile")
    if feature.scope == "session" and feature.ttl:
        return Fault("ttl", "a session ends by itself", "leave ttl out")
    if feature.scope == "session" and feature.window and duration_ms(feature.window) > session_ms_max:
        return Fault("window", f"a window of {feature.window} is longer than any session",
                     "use scope profile, or a window within session.length_max_h")
    return None


def _optional_ms(text: str) -> int:
    return duration_ms(text) if text else 0


def version(declaration: FeatureDeclaration) -> str:
    """A short hash of all that determines the feature's values; unit, owner, default and name are not part of it.

    Durations count by their length and events in any order.

    >>> views = FeatureDeclaration(name="views", on=("Product Viewed",), aggregate="count")
    >>> version(views) == version(msgspec.structs.replace(views, owner="merchandising", unit="views"))
    True
    >>> version(views) == version(msgspec.structs.replace(views, scope="item"))
    False
    """
    basis = (
        _VERSION_BASIS, sorted(declaration.on), declaration.aggregate, declaration.value, declaration.by,
        declaration.k, _optional_ms(declaration.half_life), _optional_ms(declaration.window), declaration.tiles,
        declaration.scope, declaration.purpose, _optional_ms(declaration.ttl),
    )
    return hashlib.blake2b(msgspec.json.encode(basis), digest_size=6).hexdigest()


_INTEREST: Final = ("Product Viewed", "Product Clicked", "Product Added")
_SALE: Final = ("Order Completed",)


def _merchandising(
    name: str, on: tuple[str, ...], aggregate: Aggregate, scope: Scope, unit: str, **rest: str | int,
) -> FeatureDeclaration:
    fields = {"name": name, "on": on, "aggregate": aggregate, "scope": scope, "unit": unit, "owner": "merchandising"}
    return msgspec.convert(fields | rest, FeatureDeclaration)


DEFAULT_FEATURES: Final[tuple[FeatureDeclaration, ...]] = (
    _merchandising("session_categories", _INTEREST, "top_k", "session", "views",
                   by="item.category", k=6, half_life="15m"),
    _merchandising("session_brands", _INTEREST, "top_k", "session", "views", by="item.brand", k=6, half_life="15m"),
    _merchandising("session_price", _INTEREST, "mean", "session", "money", value="price"),
    _merchandising("session_items", _INTEREST, "last_k", "session", "items", by="item", k=8),
    _merchandising("category_affinity", _INTEREST, "top_k", "profile", "views",
                   by="item.category", k=8, half_life="14d"),
    _merchandising("brand_affinity", _INTEREST, "top_k", "profile", "views", by="item.brand", k=8, half_life="14d"),
    _merchandising("bought_items", _SALE, "last_k", "profile", "items", by="item", k=8),
    _merchandising("price_level", _INTEREST, "mean", "profile", "money", value="price"),
    _merchandising("views", ("Product Viewed",), "windowed", "profile", "views", window="24h", tiles=8),
    _merchandising("orders", _SALE, "count", "profile", "orders"),
    _merchandising("last_seen", ("Product Viewed", "Page Viewed", "Product Clicked"), "time_since", "profile", "s"),
    _merchandising("impressions", ("Product List Viewed",), "count", "item", "impressions"),
    _merchandising("clicks", ("Product Clicked",), "count", "item", "clicks"),
    _merchandising("item_views", ("Product Viewed",), "count", "item", "views"),
    _merchandising("carts", ("Product Added",), "count", "item", "carts"),
    _merchandising("buys", _SALE, "count", "item", "orders"),
    _merchandising("trending", (*_INTEREST, *_SALE), "decayed", "item", "events", half_life="2h"),
    _merchandising("popular", ("Product Clicked", "Product Added", *_SALE), "decayed", "item", "events",
                   half_life="7d"),
    _merchandising("co_viewed", ("Product Viewed", "Product Clicked"), "co_occurrence", "item", "sessions", k=24),
)
"""What every shop starts from; a configuration adds to it, and replaces by name."""

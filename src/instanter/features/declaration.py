"""What a feature is: which events it hears, what it keeps of them, for whom, and for how long.

A declaration is all there is to a feature. The fold, the read, the training set and the receipt follow from it,
so two features with the same `version` are the same numbers.
"""

from __future__ import annotations

import hashlib
import math
import re
from collections.abc import Iterable
from typing import TYPE_CHECKING, Annotated, Final, Literal, NamedTuple

import msgspec
from msgspec import Meta

from ..events.envelope import Context
from ..events.meanings import Role, names_with
from ..foundation.errors import ConfigRejected
from ..foundation.limits import NAME_CHARS_MAX, NAMES_HEARD_MAX, TILES_MAX, TOP_K_MAX
from ..state.aggregations import DECLARED, declared
from ..state.aggregations.base import Rules
from .roles import FeatureRole, misfit

if TYPE_CHECKING:
    Aggregate = str
else:
    Aggregate = Literal[DECLARED]
    """The name of an aggregation."""
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
_BY: Final = re.compile(r"|order|item|item\.[^.\s]+|context\.[^.\s]+")

_TIME_UNITS: Final = frozenset({
    "ms", "s", "sec", "secs", "second", "seconds", "m", "min", "mins", "minute", "minutes", "h", "hour", "hours",
    "d", "day", "days", "w", "week", "weeks", "milliseconds",
})  # fmt: skip
"""Units of time, in lower case."""
_SECONDS: Final = frozenset({"", "s", "second", "seconds"})

EVERYTHING: Final = "*"
"""Heard as a name: every event."""


class FeatureDeclaration(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """One declared feature. `check` says whether it makes sense; the types alone do not."""

    name: Annotated[str, Meta(
        max_length=64, description="Name, unique over all scopes: lower-case letters, digits and underscores.")]
    on: Annotated[tuple[str, ...], Meta(
        min_length=1, max_length=NAMES_HEARD_MAX,
        description='Names of the events it hears, e.g. ["Product Viewed"]; ["*"] hears every event.')]
    aggregate: Annotated[Aggregate, Meta(
        description="What is kept of the events. decayed is a sum that halves every half_life; windowed is a sum over "
                    "the last window; last_k keeps the k newest and top_k the k strongest of what `by` names; "
                    "time_since is the time since the newest event; co_occurrence keeps the k items met most often "
                    "with this one in a session; sequences keeps what people did with items one after another, the "
                    "newest steps of all people.")]
    value: Annotated[str, Meta(
        max_length=NAME_CHARS_MAX,
        description='The number that is aggregated: "" is 1 per event or item; else "price", "quantity", "revenue" '
                    '(price x quantity), "properties.<name>" or "item.<numeric field>".')] = ""
    by: Annotated[str, Meta(
        max_length=NAME_CHARS_MAX,
        description='What top_k and last_k tell apart: "item", "item.<field>" or "context.<field>". A count by "order" '
                    "counts each order once.")] = ""
    takes_back: Annotated[tuple[str, ...], Meta(
        max_length=NAMES_HEARD_MAX,
        description='Names of the events that take back what the events in `on` gave, e.g. ["Order Refunded"]: for '
                    "count, sum, and last_k by item.")] = ()
    k: Annotated[int, Meta(
        ge=0, le=TOP_K_MAX,
        description="How many top_k, last_k and co_occurrence keep, and of how many orders a count by order remembers "
                    "what was told of them; 0 for all others.")] = 0
    half_life: Annotated[str, Meta(
        description='Time in which half of it fades, e.g. "15m", "14d": needed by decayed, optional for top_k.')] = ""
    window: Annotated[str, Meta(description='Time that windowed looks back, e.g. "24h".')] = ""
    tiles: Annotated[int, Meta(
        ge=1, le=TILES_MAX,
        description="Parts that a window moves on by, each a whole number of milliseconds long.")] = TILES_DEFAULT
    scope: Annotated[Scope, Meta(description="Whose feature it is.")] = "profile"
    default: Annotated[float | None, Meta(
        description="What is read where nothing has been counted; left out, that is 0 for counts, sums, windows and "
                    "decayed sums of somebody who was counted from the beginning, and missing for all else.")] = None
    unit: Annotated[str, Meta(
        max_length=64,
        description='Unit of the value, for people, e.g. "views"; a time_since is in seconds, "s".')] = ""
    owner: Annotated[str, Meta(max_length=64, description="Who answers for it.")] = ""
    purpose: Annotated[str, Meta(
        max_length=64, description="The consent purpose without which a person's events do not count.")] = (
        "personalization")
    ttl: Annotated[str, Meta(
        description='Time without events after which a cell is forgotten, e.g. "90d"; "" keeps it.')] = ""
    role: Annotated[FeatureRole | None, Meta(
        description='What decisions rely on it for; each role has one feature. Left out, it is that of the built-in '
                    'feature of the same name, if there is one; "none" has none.')] = None


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
    """`check` each, and raise `ConfigRejected` if two share a name or a role."""
    seen: set[str] = set()
    having: dict[FeatureRole, str] = {}
    for declaration in declarations:
        check(declaration, session_ms_max=session_ms_max)
        if declaration.name in seen:
            raise ConfigRejected(f'two features are called "{declaration.name}"', suggestion="rename one of them")
        seen.add(declaration.name)
        role = declaration.role
        if role is None or role == "none":
            continue
        if role in having:
            raise ConfigRejected(f'the features "{having[role]}" and "{declaration.name}" both have the role "{role}"',
                                 suggestion='give one of them role = "none"')
        having[role] = declaration.name


def first_fault(declaration: FeatureDeclaration, *, session_ms_max: int = SESSION_LENGTH_MS_MAX) -> Fault | None:
    """The first reason why the declaration is impossible, or None."""
    return (
        _fault_in_names(declaration)
        or _fault_in_durations(declaration)
        or _fault_in_aggregate(declaration)
        or _fault_in_scope(declaration, session_ms_max)
        or _fault_in_role(declaration)
    )


def _fault_in_names(feature: FeatureDeclaration) -> Fault | None:
    if not _NAME.fullmatch(feature.name):
        return Fault("name", "a name is made of lower-case letters, digits and underscores and starts with a letter")
    if not feature.on or any(not name.strip() or len(name) > NAME_CHARS_MAX for name in feature.on):
        return Fault("on", "it hears no event, or one without a proper name", 'e.g. on = ["Product Viewed"]')
    if len(set(feature.on)) < len(feature.on):
        return Fault("on", "it hears the same event twice")
    if EVERYTHING in feature.on and len(feature.on) > 1:
        return Fault("on", "it hears every event, and some by name", 'on = ["*"] alone hears every event')
    if fault := _fault_in_returns(feature):
        return fault
    if not _VALUE.fullmatch(feature.value):
        return Fault("value", f'"{feature.value}" is not a value',
                     'price, quantity, revenue, properties.<name> or item.<field>; leave it out to count 1 each')
    if not _BY.fullmatch(feature.by):
        return Fault("by", f'"{feature.by}" is nothing to tell apart by',
                     "item, item.<field>, context.<field> or order")
    if feature.by.startswith("context.") and feature.by[len("context."):] not in Context.__struct_fields__:
        return Fault("by", f'events have no "{feature.by}"', "one of " + ", ".join(Context.__struct_fields__))
    if not _NAME.fullmatch(feature.purpose):
        return Fault("purpose", "every feature declares the purpose it is kept for", 'e.g. "personalization"')
    if feature.default is not None and not math.isfinite(feature.default):
        return Fault("default", "the default is not a finite number")
    return None


def _fault_in_returns(feature: FeatureDeclaration) -> Fault | None:
    """What takes back is heard for nothing else, by a feature that something can be taken back of."""
    if not feature.takes_back:
        return None
    if any(not name.strip() or len(name) > NAME_CHARS_MAX or name == EVERYTHING for name in feature.takes_back):
        return Fault("takes_back", "an event without a proper name takes something back", 'e.g. ["Order Refunded"]')
    if both := {*feature.on, EVERYTHING} & {*feature.takes_back} or set(feature.on) & set(feature.takes_back):
        return Fault("takes_back", f"{min(both)} gives and takes back", "leave it out of one of the two")
    rules = declared(feature.aggregate, feature.by).rules
    if not rules.takes_back and feature.by != (rules.takes_back_by or None):
        return Fault("takes_back", f"nothing can be taken back of {feature.aggregate}"
                                   + (f" by {feature.by}" if feature.by else ""), "count, sum, or last_k by item")
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
    kind, rules = feature.aggregate, declared(feature.aggregate, feature.by).rules
    if rules.value == "must" and not feature.value:
        return Fault("value", f"{kind} needs a value", 'e.g. value = "price"; count counts events')
    if feature.value and rules.value == "no":
        return Fault("value", f"{kind} takes no value", "sum adds a value up")
    if rules.by == "must" and not feature.by:
        return Fault("by", f"{kind} needs by", 'e.g. by = "item.category"')
    if feature.by == "order" and not declared(kind, "order").declared_by:
        return Fault("by", f"{kind} tells no orders apart", 'aggregate = "count" counts each order once')
    if feature.by and rules.by == "no":
        return Fault("by", f"{kind} takes no by", "top_k tells values apart")
    if rules.k == "must" and not 1 <= feature.k <= TOP_K_MAX:
        return Fault("k", f"{kind} needs k from 1 to {TOP_K_MAX}")
    if feature.k and rules.k == "no":
        return Fault("k", f"{kind} takes no k")
    if rules.half_life == "must" and not feature.half_life:
        return Fault("half_life", f"{kind} needs a half_life", 'e.g. half_life = "14d"')
    if feature.half_life and rules.half_life == "no":
        return Fault("half_life", f"{kind} takes no half_life", "decayed is a sum that fades")
    return _fault_in_window(feature, rules)


def _fault_in_window(feature: FeatureDeclaration, rules: Rules) -> Fault | None:
    if rules.window == "no":
        if feature.window:
            return Fault("window", f"{feature.aggregate} takes no window", "windowed is a sum over a window")
        if feature.tiles != TILES_DEFAULT:
            return Fault("tiles", f"{feature.aggregate} takes no tiles")
        return None
    if not feature.window:
        return Fault("window", f"{feature.aggregate} needs a window", 'e.g. window = "24h"')
    if not 1 <= feature.tiles <= TILES_MAX:
        return Fault("tiles", f"{feature.aggregate} needs tiles from 1 to {TILES_MAX}")
    if duration_ms(feature.window) % feature.tiles:
        return Fault("tiles", f"a window of {feature.window} does not divide into {feature.tiles} tiles of whole "
                              "milliseconds")
    return None


def _fault_in_scope(feature: FeatureDeclaration, session_ms_max: int) -> Fault | None:
    rules = declared(feature.aggregate, feature.by).rules
    if rules.scopes == ("item",) and feature.scope != "item":
        return Fault("scope", f"{feature.aggregate} belongs to an item", 'scope = "item"')
    if feature.scope == "item" and feature.by:
        return Fault("by", "at scope item there is nothing further to tell apart", "leave by out, or use scope profile")
    if feature.scope == "session" and feature.ttl:
        return Fault("ttl", "a session ends by itself", "leave ttl out")
    if feature.scope == "session" and feature.window and duration_ms(feature.window) > session_ms_max:
        return Fault("window", f"a window of {feature.window} is longer than any session",
                     "use scope profile, or a window within session.length_max_h")
    return None


def _fault_in_role(feature: FeatureDeclaration) -> Fault | None:
    if feature.role is None:
        return None
    found = misfit(feature.role, aggregate=feature.aggregate, by=feature.by, scope=feature.scope)
    return Fault(found.field, found.reason, 'declare another role, or role = "none"') if found else None


def lost_role(feature: FeatureDeclaration) -> Fault | None:
    """Why a feature that takes the place of a built-in one, and says nothing of its role, cannot have it: a decision
    would lose what it relies on, unseen. None where all is well."""
    if feature.role is not None or feature.name not in BUILT_IN_ROLES:
        return None
    fault = _fault_in_role(msgspec.structs.replace(feature, role=BUILT_IN_ROLES[feature.name]))
    return fault and fault._replace(
        reason=f"{fault.reason}, and the built-in feature of this name has that role",
        suggestion='give it another name, or role = "none" where no decision is to rely on it',
    )


def mislabelled(feature: FeatureDeclaration) -> Fault | None:
    """Why the unit is not that of the value, or None: whoever reads the number would take it for another one.

    For what is declared now; what was kept with a former configuration goes on being read.
    """
    unit = feature.unit.strip().lower()
    if feature.aggregate == "time_since":
        if unit not in _SECONDS:
            return Fault("unit", f'time_since is in seconds, not in "{feature.unit}"', 'unit = "s", or leave it out')
    elif unit in _TIME_UNITS and not feature.value:
        return Fault("unit", f'"{feature.unit}" is a time, and {feature.aggregate} without a value counts no time',
                     'e.g. unit = "views"; time_since is the time since the newest event')
    return None


def _optional_ms(text: str) -> int:
    return duration_ms(text) if text else 0


def version(declaration: FeatureDeclaration) -> str:
    """A short hash of all that determines the feature's values; unit, owner, default, role and name are not part
    of it.

    Durations count by their length and events in any order. A built-in feature that continues a former one has that
    one's version, see `former_of`.

    >>> views = FeatureDeclaration(name="views", on=("Product Viewed",), aggregate="count")
    >>> version(views) == version(msgspec.structs.replace(views, owner="merchandising", unit="views"))
    True
    >>> version(views) == version(msgspec.structs.replace(views, scope="item"))
    False
    """
    declaration = former_of(declaration) or declaration
    returns = (sorted(declaration.takes_back),) if declaration.takes_back else ()
    basis = (
        _VERSION_BASIS, sorted(declaration.on), declaration.aggregate, declaration.value, declaration.by,
        declaration.k, _optional_ms(declaration.half_life), _optional_ms(declaration.window), declaration.tiles,
        declaration.scope, declaration.purpose, _optional_ms(declaration.ttl), *returns,
    )
    return hashlib.blake2b(msgspec.json.encode(basis), digest_size=6).hexdigest()


_SHOWN: Final = names_with(Role.SHOWN)
_VIEW: Final = names_with(Role.VIEW)
_CLICK: Final = names_with(Role.CLICK)
_READ: Final = names_with(Role.READ)
_LIKE: Final = names_with(Role.LIKE)
_CART: Final = names_with(Role.CART)
_SALE: Final = names_with(Role.ORDER)
_RETURN: Final = names_with(Role.REFUND, Role.CANCEL)
_PAGES: Final = ("Page Viewed", "Screen Viewed")
"""Views of the items that they name, where they name any."""
_INTEREST: Final = (*_VIEW, *_PAGES, *_CLICK, *_READ, *_LIKE, *_CART)
_CART_EMPTIED: Final = names_with(Role.UNCART, Role.ORDER, Role.CLAIM)


def _merchandising(
    name: str, on: tuple[str, ...], aggregate: Aggregate, scope: Scope, unit: str,
    **rest: str | int | tuple[str, ...],
) -> FeatureDeclaration:  # fmt: skip
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
    _merchandising("bought_items", (*_SALE, *names_with(Role.CLAIM)), "last_k", "profile", "items", by="item", k=8,
                   takes_back=_RETURN, role="purchases"),
    _merchandising("price_level", _INTEREST, "mean", "profile", "money", value="price"),
    _merchandising("views", _VIEW, "windowed", "profile", "views", window="24h", tiles=8),
    _merchandising("orders", (*_SALE, *names_with(Role.ORDER_CHANGE)), "count", "profile", "orders", by="order", k=4,
                   takes_back=_RETURN),
    _merchandising("last_seen", (*_VIEW, *_CLICK, *_READ, *_LIKE, *_CART, *names_with(Role.SEARCH, Role.PRESENCE)),
                   "time_since", "profile", "s"),
    _merchandising("impressions", _SHOWN, "count", "item", "impressions", role="impressions"),
    _merchandising("clicks", _CLICK, "count", "item", "clicks", role="clicks"),
    _merchandising("item_views", (*_VIEW, *_PAGES), "count", "item", "views", role="item_views"),
    _merchandising("carts", _CART, "count", "item", "carts", role="carts"),
    _merchandising("buys", _SALE, "count", "item", "orders", takes_back=_RETURN, role="buys"),
    _merchandising("trending", (*_INTEREST, *_SALE), "decayed", "item", "events", half_life="2h", role="trending"),
    _merchandising("popular", (*_CLICK, *_READ, *_LIKE, *_CART, *_SALE), "decayed", "item", "events", half_life="7d",
                   role="popularity"),
    _merchandising("co_viewed", (*_VIEW, *_PAGES, *_CLICK, *_READ), "co_occurrence", "item", "sessions", k=24,
                   role="co_views"),
    _merchandising("cart_items", _CART, "last_k", "profile", "items", by="item", k=6, takes_back=_CART_EMPTIED,
                   role="cart"),
    _merchandising("wishlist_items", _LIKE, "last_k", "profile", "items", by="item", k=6,
                   takes_back=names_with(Role.UNLIKE)),
    _merchandising("searches", names_with(Role.SEARCH), "windowed", "profile", "searches", window="24h", tiles=4),
    _merchandising("sequences", (*_INTEREST, *_SALE), "sequences", "item", "steps", role="sequences"),
    _merchandising("baskets", _SALE, "sequences", "item", "steps", role="baskets"),
)
"""What every shop starts from; a configuration adds to it, and replaces by name."""
BUILT_IN_ROLES: Final = {feature.name: feature.role for feature in DEFAULT_FEATURES if feature.role is not None}
"""Name of a built-in feature -> its role."""

_FORMERLY_INTEREST: Final = ("Product Viewed", "Product Clicked", "Product Added")
_FORMERLY_SALE: Final = ("Order Completed",)
_FORMERLY_HEARD: Final[dict[str, tuple[str, ...]]] = {
    "session_categories": _FORMERLY_INTEREST,
    "session_brands": _FORMERLY_INTEREST,
    "session_price": _FORMERLY_INTEREST,
    "session_items": _FORMERLY_INTEREST,
    "category_affinity": _FORMERLY_INTEREST,
    "brand_affinity": _FORMERLY_INTEREST,
    "bought_items": _FORMERLY_SALE,
    "price_level": _FORMERLY_INTEREST,
    "views": ("Product Viewed",),
    "orders": _FORMERLY_SALE,
    "last_seen": ("Product Viewed", "Page Viewed", "Product Clicked"),
    "impressions": ("Product List Viewed",),
    "clicks": ("Product Clicked",),
    "item_views": ("Product Viewed",),
    "carts": ("Product Added",),
    "buys": _FORMERLY_SALE,
    "trending": (*_FORMERLY_INTEREST, *_FORMERLY_SALE),
    "popular": ("Product Clicked", "Product Added", *_FORMERLY_SALE),
    "co_viewed": ("Product Viewed", "Product Clicked"),
}
"""What the built-in features heard under rules 1 of the fold (`state.program.FOLDING_NOW`); nothing was taken back."""
_BY_NAME: Final = {declaration.name: declaration for declaration in DEFAULT_FEATURES}


def former_of(declaration: FeatureDeclaration) -> FeatureDeclaration | None:
    """The feature that a built-in one continues; None for what is declared elsewhere, or is new.

    What continues keeps the version and the words it has counted, so an update of the program forgets nothing. Under
    rules 1 of the fold it hears what the former one heard.
    """
    built_in = _BY_NAME.get(declaration.name)
    heard = _FORMERLY_HEARD.get(declaration.name)
    if built_in is None or heard is None or _content(declaration) != _content(built_in):
        return None
    counts_orders = declaration.by == "order"
    return msgspec.structs.replace(
        declaration, on=heard, takes_back=(), by="" if counts_orders else declaration.by,
        k=0 if counts_orders else declaration.k,
    )  # fmt: skip


def _content(declaration: FeatureDeclaration) -> FeatureDeclaration:
    """The declaration without what does not determine its values."""
    return msgspec.structs.replace(declaration, unit="", owner="", default=None, role=None)

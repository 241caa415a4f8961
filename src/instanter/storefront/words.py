"""A profile in words and numbers, for the drawer "what the engine sees"."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

import msgspec

from ..client import Profile

_TASTES: Final = (
    ("session_styles", "Styles, this visit"), ("session_rooms", "Rooms, this visit"),
    ("session_categories", "Categories, this visit"), ("session_brands", "Makers, this visit"),
    ("style_affinity", "Styles, long term"), ("category_affinity", "Categories, long term"),
)  # fmt: skip
"""Features that hold names with scores, and what they are called on the page."""
_ITEMS: Final = (("session_items", "Looked at"), ("cart_items", "In the cart"), ("bought_items", "Bought"))
_NAMES_MAX: Final = 4
_ITEMS_MAX: Final = 6


class Taste(msgspec.Struct, frozen=True, rename="camel"):
    """One name of a list; `share` of the strongest, 0 to 1."""

    name: str
    share: float


class Tastes(msgspec.Struct, frozen=True, rename="camel"):
    """A list of names, the strongest first."""

    title: str
    names: tuple[Taste, ...]


class SeenItem(msgspec.Struct, frozen=True, rename="camel"):
    """An item of the person's, with its title where the shelf has it."""

    id: str
    title: str


class SeenItems(msgspec.Struct, frozen=True, rename="camel"):
    """What was looked at, put into the cart or bought, newest first."""

    title: str
    items: tuple[SeenItem, ...]


class Seen(msgspec.Struct, frozen=True, rename="camel"):
    """What the engine knows of one visitor."""

    sentence: str
    numbers: tuple[tuple[str, str], ...] = ()
    tastes: tuple[Tastes, ...] = ()
    items: tuple[SeenItems, ...] = ()
    consent: Mapping[str, bool] = {}


NOBODY: Final = Seen(sentence="Nothing yet: a new visitor, and what the shop shows is what everybody likes.")


def seen_of(profile: Profile, title_of: Callable[[str], str], price_of: Callable[[float], str]) -> Seen:
    """The profile in words, with prices by `price_of`; features that are missing or of another type are left out."""
    features = profile.features
    tastes = [Tastes(title, names) for key, title in _TASTES if (names := _names(features.get(key)))]
    items = [SeenItems(title, found) for key, title in _ITEMS if (found := _items(features.get(key), title_of))]
    return Seen(
        sentence=_sentence(features, price_of), numbers=tuple(_numbers(features, price_of)), tastes=tuple(tastes),
        items=tuple(items), consent=profile.consent)


def _sentence(features: Mapping[str, Any], price_of: Callable[[float], str]) -> str:
    """The visit in a sentence.

    >>> styles = [{"name": "mid-century", "score": 2}]
    >>> _sentence({"views": 3.0, "session_styles": styles, "session_price": 402.4}, "€{}".format)
    '3 views. Leans to mid-century, around €402.'
    """
    views = _number(features.get("views"))
    seen = f"{views:,.0f} view{'' if views == 1 else 's'}" if views else "No view yet"
    leading = [names[0].name for key in ("session_styles", "session_categories", "session_rooms")
               if (names := _names(features.get(key)))][:2]  # fmt: skip
    price = _number(features.get("session_price"))
    around = f", around {price_of(round(price))}" if price else ""
    return f"{seen}. Leans to {' and '.join(leading)}{around}." if leading else f"{seen}."


def _numbers(features: Mapping[str, Any], price_of: Callable[[float], str]) -> list[tuple[str, str]]:
    shown = []
    for key, title in (("views", "Views"), ("searches", "Searches"), ("orders", "Orders")):
        if (value := _number(features.get(key))) is not None:
            shown.append((title, f"{value:,.0f}"))
    if (price := _number(features.get("session_price"))) is not None:
        shown.append(("Price level", price_of(round(price))))
    if (last := _number(features.get("last_seen"))) is not None:
        shown.append(("Last act", _ago(last)))
    return shown


def _ago(seconds: float) -> str:
    if seconds < 1:
        return "just now"
    return f"{seconds:,.0f} s ago" if seconds < 120 else f"{seconds / 60:,.0f} min ago"


def _names(value: object) -> tuple[Taste, ...]:
    scored = [(str(one["name"]), float(one["score"])) for one in _entries(value, "score")]
    most = max((score for _, score in scored), default=0.0)
    if most <= 0.0:
        return ()
    return tuple(Taste(name, round(max(0.0, score) / most, 3)) for name, score in scored[:_NAMES_MAX])


def _items(value: object, title_of: Callable[[str], str]) -> tuple[SeenItem, ...]:
    ids = [str(one["name"]) for one in _entries(value, "atMs")][:_ITEMS_MAX]
    return tuple(SeenItem(item_id, title_of(item_id)) for item_id in ids)


def _entries(value: object, key: str) -> list[Mapping[str, Any]]:
    if not isinstance(value, Sequence) or isinstance(value, str):
        return []
    return [one for one in value if isinstance(one, dict) and one.get("name") and isinstance(one.get(key), int | float)]


def _number(value: object) -> float | None:
    return float(value) if isinstance(value, int | float) and not isinstance(value, bool) else None

"""What the shop shows of its own accord, before any engine: the lists that passive visits see."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import msgspec

from .chance import Chance
from .choice import Preference
from .people import People
from .shop import Shop

TOP_MAX = 200
RANDOM_SHARE = 0.4
PANEL_SEED = 0x9A11E1
PANEL_PEOPLE = 40


class Placement(msgspec.Struct, frozen=True):
    """A place on a page that wants a list, as `POST /v1/decide` names it."""

    id: str
    limit: int
    query: str = ""
    candidates: tuple[str, ...] = ()
    """The caller's own list, to be ranked; empty when the shop may show anything."""
    item: str = ""
    """The product of the page, for placements on a product's page."""


class Visitor(msgspec.Struct, frozen=True):
    """What a server may know of who is asking: public ids and what the browser tells. No tastes."""

    anonymous_id: str
    session_id: str
    user_id: str = ""
    user_agent: str = ""
    ip: str = ""
    locale: str = ""
    timezone: str = ""


Show = Callable[[Visitor, Placement, int], Sequence[str]]
"""(visitor, placement, now_ms) -> item ids, best first. More than the placement's limit is cut off."""


def popular(shop: Shop, limit: int) -> list[str]:
    """The products in stock that most people would click, judged by a fixed panel. Cost: 30 ms for 2,000 products."""
    people = People(shop, seed=PANEL_SEED)
    panel = [Preference(shop, people.person(index)) for index in range(PANEL_PEOPLE)]
    ids = [item.id for item in shop.items() if item.fields.stock > 0]
    ids.sort(key=lambda item_id: (-sum(each.attraction(item_id) for each in panel), item_id))
    return ids[:limit]


class ShopFront:
    """The default `Show`: popular products mixed with random ones, the same for everyone; a caller's list as it is."""

    def __init__(self, shop: Shop, *, seed: int = 0) -> None:
        self._in_stock = [item.id for item in shop.items() if item.fields.stock > 0]
        self._top = popular(shop, TOP_MAX)
        self._seed = seed

    def __call__(self, visitor: Visitor, placement: Placement, now_ms: int) -> list[str]:
        if placement.candidates:
            return list(placement.candidates[:placement.limit])
        chance = Chance(f"front/{visitor.session_id}/{placement.id}/{placement.item}/{now_ms}", seed=self._seed)
        shown: dict[str, None] = {}
        while len(shown) < min(placement.limit, len(self._in_stock)):
            item_id = chance.pick(self._in_stock if chance.happens(RANDOM_SHARE) else self._top)
            if item_id != placement.item or len(self._in_stock) <= placement.limit:
                shown[item_id] = None
        return list(shown)

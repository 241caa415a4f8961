"""Events as a shop's pages send them: 300 to 400 bytes, real user agents, all names of a visit, made from a seed."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from importlib.resources import files
from typing import Final

import msgspec

from ...foundation.rng import KeyedRng
from ...sim.shop import Item, Shop
from ...sim.wire import iso
from .load import request

BATCH_EVENTS: Final = 100
ITEMS_PER_CALL: Final = 500

_LIST_ITEMS: Final = 2
_VIEWED, _CLICKED, _LISTED, _PAGE, _ADDED, _SEARCHED, _BOUGHT = range(7)
_MIX: Final = (
    (_VIEWED,) * 44 + (_CLICKED,) * 16 + (_LISTED,) * 12 + (_PAGE,) * 14 + (_ADDED,) * 8 + (_SEARCHED,) * 4
    + (_BOUGHT,) * 2
)  # fmt: skip
"""What a hundred events of a shop are."""

_EVENT: Final = (
    '{"type":"%s","messageId":"%s","anonymousId":"%s","timestamp":"%s",%s'
    '"context":{"userAgent":"%s","locale":"%s","page":{"path":"%s"}}}'
)
_LOCALES: Final = ("en-GB", "en-US", "de-DE", "fr-FR", "it-IT")


def user_agents() -> list[str]:
    """Fifty user agents from the access log of a public web site, two of them crawlers."""
    return files(__package__).joinpath("user_agents.txt").read_text(encoding="utf-8").splitlines()


def person_id(number: int) -> str:
    """The anonymous id of a person."""
    return f"visitor-{number:07d}"


class Traffic:
    """Events of one shop. Same seed and calls, same bytes but for the times; no message id comes twice.

    >>> shop = Shop(products=50)
    >>> Traffic(shop, seed=1).event(7, 0) == Traffic(shop, seed=1).event(7, 0)
    True
    """

    def __init__(self, shop: Shop, *, seed: int) -> None:
        self._items = [(item.id, item.fields.price) for item in shop.items()]
        self._agents = user_agents()
        self._chance = KeyedRng("traffic", seed=seed)
        self._seed = seed
        self._sent = 0

    def event(self, person: int, at_ms: int) -> bytes:
        """What the person did then: an event of the usual mix, popular items more often."""
        draw = self._chance.below(1 << 48)
        return self._told(_MIX[draw % 100], person, at_ms, draw // 100)

    def view(self, person: int, at_ms: int, item: int) -> bytes:
        """The person viewed the item with this number."""
        return self._encoded("track", person, at_ms, "/product", self._about("Product Viewed", item))

    def order(self, person: int, at_ms: int, item: int) -> bytes:
        """The person bought the item with this number."""
        item_id, price = self._items[item]
        return self._encoded("track", person, at_ms, "/checkout/thanks", (
            f'"event":"Order Completed","properties":{{"order_id":"o-{self._sent}","revenue":{price},'
            f'"products":[{{"product_id":"{item_id}","price":{price},"quantity":1}}]}},'))

    def batches(
        self, people: Sequence[int], count: int, *, at_ms: int, size: int = BATCH_EVENTS, in_turn: bool = False
    ) -> Iterator[bytes]:
        """Requests with `count` events in all that happened at `at_ms`, each of a person drawn from `people`.

        `in_turn` takes the people one after the other instead, and all they do is view products.
        """
        for first in range(0, count, size):
            numbers = range(first, min(first + size, count))
            if in_turn:
                events = [self.view(people[number % len(people)], at_ms, self._any_item()) for number in numbers]
            else:
                events = [self.event(people[self._chance.below(len(people))], at_ms) for _ in numbers]
            yield batch(events, sent_at_ms=at_ms)

    def _any_item(self) -> int:
        return self._popular(self._chance.below(1 << 24))

    def _told(self, kind: int, person: int, at_ms: int, draw: int) -> bytes:
        item = self._popular(draw)
        if kind == _VIEWED:
            return self.view(person, at_ms, item)
        if kind == _CLICKED:
            return self._encoded("track", person, at_ms, "/", self._about("Product Clicked", item))
        if kind == _ADDED:
            return self._encoded("track", person, at_ms, "/product", self._about("Product Added", item))
        if kind == _BOUGHT:
            return self.order(person, at_ms, item)
        if kind == _LISTED:
            return self._encoded("track", person, at_ms, "/", self._slate(item))
        if kind == _SEARCHED:
            query = '"event":"Products Searched","properties":{"query":"a sofa for two in oak and linen"},'
            return self._encoded("track", person, at_ms, "/search/furniture", query)
        page = '"name":"Category","properties":{"title":"Furniture for the living room, new arrivals"},'
        return self._encoded("page", person, at_ms, "/furniture/living-room", page)

    def _popular(self, draw: int) -> int:
        """An item's number; the square of a uniform draw makes the first ones the popular ones."""
        share = (draw & 0xFFFFFF) / 0x1000000
        return int(share * share * len(self._items))

    def _about(self, name: str, item: int) -> str:
        item_id, price = self._items[item]
        return f'"event":"{name}","properties":{{"product_id":"{item_id}","price":{price}}},'

    def _slate(self, first: int) -> str:
        shown = ",".join(
            f'{{"product_id":"{self._items[(first + place) % len(self._items)][0]}","position":{place + 1}}}'
            for place in range(_LIST_ITEMS)
        )
        return f'"event":"Product List Viewed","properties":{{"products":[{shown}]}},'

    def _encoded(self, type_: str, person: int, at_ms: int, path: str, what: str) -> bytes:
        self._sent += 1
        agent = self._agents[person % len(self._agents)]
        locale = _LOCALES[person % len(_LOCALES)]
        message_id = f"{self._seed:x}-{self._sent:09x}"
        return (_EVENT % (type_, message_id, person_id(person), iso(at_ms), what, agent, locale, path)).encode()


def batch(events: Sequence[bytes], *, sent_at_ms: int) -> bytes:
    """The request that sends these events."""
    body = b'{"sentAt":"%b","batch":[%b]}' % (iso(sent_at_ms).encode(), b",".join(events))
    return request("POST", "/v1/batch", body)


def catalogue(shop: Shop) -> list[bytes]:
    """The requests that load the shop's products, all of them in stock."""
    items = [in_stock(item) for item in shop.items()]
    return [
        request("POST", "/v1/items", msgspec.json.encode({"items": items[first : first + ITEMS_PER_CALL]}))
        for first in range(0, len(items), ITEMS_PER_CALL)
    ]


def in_stock(item: Item) -> Item:
    """The item with at least one left."""
    fields = msgspec.structs.replace(item.fields, stock=max(item.fields.stock, 1))
    return msgspec.structs.replace(item, fields=fields)

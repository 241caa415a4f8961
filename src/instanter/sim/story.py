"""The demo's visitor: somebody who looks at three mid-century pieces for the living room, then buys something."""

from __future__ import annotations

import msgspec

from .shop import Item, Shop
from .visit import CURRENCY, ORIGIN
from .wire import Context, ListedProduct, Properties, TrackingEvent, VisitPage, iso

STYLE = "mid-century"
ROOM = "living room"
WANTED = ("armchair", "coffee table", "floor lamp")
"""Categories viewed, in this order; should one be sold out in the style, another of the room stands in."""
LIST_LENGTH = 6
USER_AGENT = ("Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/605.1.15 (KHTML, like Gecko) "
              "Version/17.6 Safari/605.1.15")


class Scene(msgspec.Struct, frozen=True):
    """A moment of the story and the events it consists of, oldest first."""

    title: str
    item: Item | None
    """The product it is about."""
    events: tuple[TrackingEvent, ...]


class Story:
    """The story from `start_ms` on: each scene's events lie after those of the scene before.

    The whole takes `length_ms`; start that long before now, so that nothing happens in the future. The pieces depend
    on the shop alone, the ids of the visitor and of the messages also on the start, so it can be played again.

    >>> story = Story(Shop(), start_ms=0)
    >>> [scene.item.fields.category for scene in story.views() if scene.item]
    ['armchair', 'coffee table', 'floor lamp']
    """

    length_ms = 210_000

    def __init__(self, shop: Shop, *, start_ms: int) -> None:
        self._shop = shop
        self._start_ms = start_ms
        self.anonymous_id = f"visitor-{start_ms:x}"
        self.session_id = f"s-{self.anonymous_id}"
        self.pieces = _pieces(shop)

    def context(self, path: str = "/", *, referrer: str = "") -> Context:
        """What the visitor's browser tells with events and with requests for decisions."""
        return Context(
            user_agent=USER_AGENT, ip="203.0.113.7", locale="en-GB", timezone="Europe/London",
            session_id=self.session_id, page=VisitPage(path=path, url=f"{ORIGIN}{path}", referrer=referrer),
        )

    def arrival(self) -> Scene:
        """The first page, reached from a search engine. No product yet."""
        context = self.context(referrer="https://www.google.com/")
        return Scene(title="arrives from a search engine", item=None, events=(
            self._page("Home", 0, 1, self._start_ms, context),
        ))

    def views(self) -> list[Scene]:
        """Three product pages, each opened from its category's list and read for a while."""
        return [self._view(number, item) for number, item in enumerate(self.pieces, start=1)]

    def purchase(self, item_id: str, *, price: float) -> Scene:
        """Puts a product of the engine's choice into the cart and orders it."""
        item = self._shop.item(item_id)
        bought = ListedProduct(product_id=item_id, price=price, quantity=1)
        at_ms = self._start_ms + 175_000
        return Scene(title=f"buys {item.fields.title}", item=item, events=(
            self._event(4, 1, "Product Added", at_ms, Properties(product_id=item_id, price=price, quantity=1)),
            self._event(4, 2, "Checkout Started", at_ms + 8_000, Properties(products=(bought,))),
            self._event(4, 3, "Order Completed", at_ms + 30_000, Properties(
                order_id=f"order-{self.anonymous_id}", revenue=price, currency=CURRENCY, products=(bought,))),
        ))

    def _view(self, number: int, item: Item) -> Scene:
        at_ms, fields = self._start_ms + number * 45_000, item.fields
        list_id, slate = f"{self.session_id}-{number}", self._slate(item)
        dwell_ms = 18_000 + 4_000 * number
        position = next(each.position for each in slate if each.product_id == item.id)
        clicked = Properties(product_id=item.id, list_id=list_id, position=position)
        viewed = Properties(product_id=item.id, category=fields.category, price=fields.price)
        return Scene(title=f"views {fields.title}", item=item, events=(
            self._event(number, 1, "Product List Viewed", at_ms,
                        Properties(list_id=list_id, category=fields.category, products=slate)),
            self._event(number, 2, "Product Clicked", at_ms + 5_000, clicked),
            self._page("Product", number, 3, at_ms + 5_400, self.context(f"/p/{item.id}")),
            self._event(number, 4, "Product Viewed", at_ms + 5_600, viewed),
            self._event(number, 5, "Page Left", at_ms + 5_600 + dwell_ms,
                        Properties(dwell_ms=dwell_ms, scroll_pct=60 + 10 * number)),
        ))

    def _slate(self, item: Item) -> tuple[ListedProduct, ...]:
        """The category's list that the piece was found in: the piece third, as far as there are others."""
        others = [each.id for each in self._shop.select(category=item.fields.category) if each.id != item.id]
        ids = [*others[:2], item.id, *others[2:LIST_LENGTH - 1]]
        return tuple(ListedProduct(product_id=item_id, position=position)
                     for position, item_id in enumerate(ids, start=1))

    def _page(self, name: str, scene: int, number: int, at_ms: int, context: Context) -> TrackingEvent:
        return TrackingEvent(type="page", name=name, message_id=self._message(scene, number), context=context,
                             anonymous_id=self.anonymous_id, timestamp=iso(at_ms))

    def _event(self, scene: int, number: int, name: str, at_ms: int, properties: Properties) -> TrackingEvent:
        path = f"/p/{properties.product_id}" if properties.product_id else "/"
        return TrackingEvent(
            type="track", event=name, message_id=self._message(scene, number), anonymous_id=self.anonymous_id,
            timestamp=iso(at_ms), properties=properties, context=self.context(path),
        )

    def _message(self, scene: int, number: int) -> str:
        return f"m-{self.anonymous_id}-{scene}-{number}"


def _pieces(shop: Shop) -> tuple[Item, ...]:
    """Three pieces in stock of one style and room and of different categories: the best-stocked of each."""
    found = shop.select(room=ROOM, style=STYLE)
    categories = dict.fromkeys([*WANTED, *(item.fields.category for item in found)])
    pieces = []
    for category in categories:
        choice = [item for item in found if item.fields.category == category]
        if choice:
            pieces.append(max(choice, key=lambda item: (item.fields.stock, item.id)))
    assert len(pieces) >= len(WANTED), "the shop is too small for the story"
    return tuple(pieces[:len(WANTED)])

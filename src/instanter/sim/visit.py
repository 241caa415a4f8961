"""One visit to the shop, from the landing page to the checkout or the door."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal

import msgspec

from .arrivals import arrival
from .assortment import CATEGORIES
from .chance import Chance
from .choice import Preference, Reward, examination
from .front import Placement, Show, Visitor
from .people import Person
from .shop import Item, Shop
from .wire import Context, ListedProduct, Properties, TrackingEvent, Traits, VisitPage, iso

PAGES_MAX = 24
SIMILAR_DEPTH_MAX = 2
LISTING_LIMIT = 24
HOME_PLACEMENTS = (Placement(id="home.hero", limit=1), Placement(id="home.recommended", limit=12))
SIMILAR_LIMIT = 8
LANDS_ON_LISTING_SHARE = 0.3
SEARCHES_SHARE = 0.4
CART_KEPT_SHARE = 0.6
ORIGIN = "https://shop.example"
CURRENCY = "EUR"


class Course(msgspec.Struct):
    """How far a person has come with their goal, from visit to visit."""

    person: Person
    visits: int = 0
    done: frozenset[str] = frozenset()
    """Categories bought."""
    spent: float = 0.0
    cart: tuple[str, ...] = ()
    known: bool = False
    """Has signed in once, at a checkout; from then on events carry the user id."""

    def finished(self) -> bool:
        """Whether everything the person came for is bought."""
        return self.done.issuperset(self.person.goal.categories)


class VisitResult(msgspec.Struct, frozen=True):
    """What came of one visit."""

    anonymous_id: str
    session_id: str
    started_ms: int
    ended_ms: int
    lists: int
    """Lists shown."""
    expected: Reward
    """The worth of the lists shown, each as if it stood alone, by the true utilities."""
    counted: Reward
    """What chance made of it."""


class _Click(msgspec.Struct, frozen=True):
    item_id: str
    list_id: str
    position: int


class Visit:
    """A visit that is told moment by moment.

    `moments()` yields the milliseconds until it wants to be woken again; `take()` hands out what happened since it
    was last called. The lists it sees are asked for at `now_ms`, the moment of waking.
    """

    def __init__(self, shop: Shop, course: Course, show: Show, *, started_ms: int, seed: int) -> None:
        person = course.person
        self.course = course
        self.now_ms = started_ms
        self.counted = Reward()
        self._started_ms = started_ms
        self._shop = shop
        self._show = show
        self._session_id = f"s-{seed}-{person.index}-{course.visits}"
        self._chance = Chance(f"visit/{person.index}/{course.visits}", seed=seed)
        self._arrival = arrival(self._chance)
        self._expected = Reward()
        self._lists = 0
        self._pages = 0
        self._messages = 0
        self._page: VisitPage | None = None
        self._happened: list[TrackingEvent] = []
        self._preference: Preference | None = None

    def moments(self) -> Iterator[int]:
        """The course of the visit, as pauses in milliseconds (at least 1). Run it once."""
        self._preference = Preference(self._shop, self.course.person, done=self.course.done, spent=self.course.spent)
        if self._chance.happens(LANDS_ON_LISTING_SHARE):
            yield from self._listing()
        else:
            yield from self._home()
        while self._goes_on():
            yield from self._listing() if self._chance.happens(0.6) else self._home()
        yield from self._checkout()
        self.course.visits += 1

    def take(self) -> list[TrackingEvent]:
        """The events since the last call, all at `now_ms`."""
        happened, self._happened = self._happened, []
        return happened

    def outcome(self) -> VisitResult:
        """What came of it; whole once `moments()` has ended."""
        return VisitResult(
            anonymous_id=self.course.person.anonymous_id, session_id=self._session_id, started_ms=self._started_ms,
            ended_ms=self.now_ms, lists=self._lists, expected=self._expected, counted=self.counted,
        )

    def _goes_on(self) -> bool:
        return self._pages < PAGES_MAX and self._chance.happens(0.25 + 0.5 * self.course.person.patience)

    def _home(self) -> Iterator[int]:
        self._open("/", "Home")
        clicks = [click for placement in HOME_PLACEMENTS for click in self._look(placement)]
        yield from self._read(median_ms=7_000)
        yield from self._follow(clicks, depth=0)

    def _listing(self) -> Iterator[int]:
        """A category's page: the shop's own list, in the order that `show` gives it."""
        open_goals = [name for name in self.course.person.goal.categories if name not in self.course.done]
        category = self._chance.pick(open_goals or [each.name for each in CATEGORIES])
        candidates = tuple(item.id for item in self._chance.sample(self._shop.select(category=category), LISTING_LIMIT))
        self._open(f"/c/{category.replace(' ', '-')}", category.capitalize())
        if self._chance.happens(SEARCHES_SHARE):
            self._track("Products Searched", Properties(query=category))
        clicks = self._look(Placement(id="search", limit=LISTING_LIMIT, query=category, candidates=candidates))
        yield from self._read(median_ms=12_000)
        yield from self._follow(clicks, depth=0)

    def _look(self, placement: Placement) -> list[_Click]:
        """Ask for a list, have it shown, and decide what will be clicked: examined and attractive."""
        preference = self._truth()
        shown = list(self._show(self._visitor(), placement, self.now_ms))[:placement.limit]
        self._lists += 1
        self._expected += preference.reward(shown)
        list_id = f"{self._session_id}-{placement.id}-{self._lists}"
        self._track("Product List Viewed", Properties(list_id=list_id, category=placement.query, products=tuple(
            ListedProduct(product_id=item_id, position=position) for position, item_id in enumerate(shown, start=1))))
        return [
            _Click(item_id=item_id, list_id=list_id, position=position)
            for position, item_id in enumerate(shown, start=1)
            if self._chance.happens(examination(position)) and self._chance.happens(preference.attraction(item_id))
        ]

    def _follow(self, clicks: list[_Click], *, depth: int) -> Iterator[int]:
        for click in clicks:
            if self._pages >= PAGES_MAX:
                return
            self.counted += Reward(clicks=1.0)
            self._track("Product Clicked", Properties(
                product_id=click.item_id, list_id=click.list_id, position=click.position))
            yield 200 + self._chance.below(900)
            yield from self._product(self._shop.item(click.item_id), depth=depth)

    def _product(self, item: Item, *, depth: int) -> Iterator[int]:
        fields, preference = item.fields, self._truth()
        self._open(f"/p/{item.id}", fields.title)
        self._track("Product Viewed", Properties(product_id=item.id, category=fields.category, price=fields.price))
        clicks = self._look(Placement(id="product.similar", limit=SIMILAR_LIMIT, item=item.id))
        interest = preference.attraction(item.id)
        dwell_ms = self._dwell_ms(4_000 + 30_000 * interest)
        yield dwell_ms
        if self._chance.happens(0.5 * interest):
            self._track("Price Compared", Properties(product_id=item.id, price=fields.price))
            compared_ms = self._dwell_ms(6_000)
            dwell_ms += compared_ms
            yield compared_ms
        if item.id not in self.course.cart and self._chance.happens(preference.cart(item.id)):
            self._add(item)
        self._leave(dwell_ms)
        if depth < SIMILAR_DEPTH_MAX:
            yield from self._follow(clicks, depth=depth + 1)

    def _add(self, item: Item) -> None:
        self.counted += Reward(carts=1.0)
        self.course.cart = (*self.course.cart, item.id)
        self._track("Product Added", Properties(product_id=item.id, price=item.fields.price, quantity=1))

    def _checkout(self) -> Iterator[int]:
        """Look at the cart, if there is one; buy what convinces, drop some of the rest."""
        if not self.course.cart:
            return
        yield 1_000
        self._open("/cart", "Cart")
        self._track("Cart Viewed", Properties(products=self._listed(self.course.cart)))
        dwell_ms = self._dwell_ms(9_000)
        yield dwell_ms
        bought = self._convincing()
        if bought:
            yield from self._order(bought)
        for item_id in self.course.cart:
            if item_id not in bought and not self._chance.happens(CART_KEPT_SHARE):
                self.course.cart = tuple(each for each in self.course.cart if each != item_id)
                self._track("Product Removed", Properties(product_id=item_id, quantity=1))
        self.course.cart = tuple(each for each in self.course.cart if each not in bought)
        self._leave(dwell_ms)

    def _convincing(self) -> tuple[str, ...]:
        """What is bought out of the cart: one piece of a category, while the money lasts."""
        person, taken, bought = self.course.person, set(self.course.done), []
        money = person.budget - self.course.spent
        for item_id in self.course.cart:
            fields = self._shop.item(item_id).fields
            fits = fields.category not in taken and fields.price <= money
            if fits and self._chance.happens(self._truth().order(item_id)):
                bought.append(item_id)
                taken.add(fields.category)
                money -= fields.price
        return tuple(bought)

    def _order(self, bought: tuple[str, ...]) -> Iterator[int]:
        self._track("Checkout Started", Properties(products=self._listed(bought)))
        yield self._dwell_ms(60_000)
        if not self.course.known:
            self.course.known = True
            self._record("identify", traits=Traits(email=f"{self.course.person.user_id}@example.org"))
        fields = [self._shop.item(item_id).fields for item_id in bought]
        revenue = round(sum(each.price for each in fields), 2)
        self._track("Order Completed", Properties(
            order_id=f"order-{self._session_id}", revenue=revenue, currency=CURRENCY, products=self._listed(bought)))
        self.counted += Reward(orders=float(len(bought)), revenue=revenue)
        self.course.spent += revenue
        self.course.done |= {each.category for each in fields}

    def _read(self, *, median_ms: float) -> Iterator[int]:
        dwell_ms = self._dwell_ms(median_ms)
        yield dwell_ms
        self._leave(dwell_ms)

    def _dwell_ms(self, median_ms: float) -> int:
        """Time on a page: from half a second to ten minutes, most often near the median."""
        return 500 + int(min(600_000.0, self._chance.lognormal(median_ms, 0.6)))

    def _leave(self, dwell_ms: int) -> None:
        scroll_pct = min(100, 15 + self._chance.below(60) + dwell_ms // 2_000)
        self._track("Page Left", Properties(dwell_ms=dwell_ms, scroll_pct=scroll_pct))

    def _open(self, path: str, title: str) -> None:
        referrer = f"{ORIGIN}{self._page.path}" if self._page is not None else self._arrival.referrer
        self._page = VisitPage(path=path, url=f"{ORIGIN}{path}", title=title, referrer=referrer)
        self._pages += 1
        self._record("page", name=title if path in ("/", "/cart") else ("Product" if path[1] == "p" else "Category"))

    def _listed(self, ids: tuple[str, ...]) -> tuple[ListedProduct, ...]:
        return tuple(ListedProduct(product_id=item_id, price=self._shop.item(item_id).fields.price, quantity=1)
                     for item_id in ids)

    def _visitor(self) -> Visitor:
        person = self.course.person
        return Visitor(
            anonymous_id=person.anonymous_id, session_id=self._session_id, user_id=self._user_id(),
            user_agent=person.user_agent, ip=person.ip, locale=person.locale, timezone=person.timezone,
        )

    def _user_id(self) -> str:
        return self.course.person.user_id if self.course.known else ""

    def _truth(self) -> Preference:
        assert self._preference is not None, "asked before the visit began"
        return self._preference

    def _track(self, event: str, properties: Properties) -> None:
        self._record("track", event=event, properties=properties)

    def _record(self, kind: Literal["track", "page", "identify"], *, event: str = "", name: str = "",
                properties: Properties | None = None, traits: Traits | None = None) -> None:
        self._messages += 1
        self._happened.append(TrackingEvent(
            type=kind, message_id=f"m-{self._session_id}-{self._messages}", user_id=self._user_id(),
            anonymous_id=self.course.person.anonymous_id, timestamp=iso(self.now_ms), event=event, name=name,
            properties=properties, traits=traits, context=self._context(),
        ))

    def _context(self) -> Context:
        person, landing = self.course.person, self._pages <= 1
        return Context(
            user_agent=person.user_agent, ip=person.ip, page=self._page, locale=person.locale,
            timezone=person.timezone, session_id=self._session_id,
            campaign=self._arrival.campaign if landing else None,
        )

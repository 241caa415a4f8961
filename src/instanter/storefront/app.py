"""The storefront's routes: pages drawn on the server, pictures, and what pages ask of the shop's server.

Lists are not made here. A page says where lists stand, and its script asks the engine for them; what the server puts
there is for the time until it answers, and for when it does not.
"""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlencode

import jinja2
import msgspec
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import HTMLResponse, RedirectResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp

from ..foundation.errors import Rejected, RequestRejected, Unavailable
from ..foundation.limits import STOREFRONT_LISTED_MAX, STOREFRONT_QUERY_CHARS_MAX
from .asking import Engine
from .crowd import Crowd
from .drawing.articles import illustration
from .drawing.picture import PIECES, card, furniture, swatch, variant_of
from .personas import personas_of
from .prices import first_language, money
from .security import Guard, content_policy, read_act
from .shelf import Section, Shelf, ShelfItem
from .words import NOBODY, seen_of

HERE: Final = Path(__file__).parent
SHOWN: Final = 24
"""Items of a list's first page."""
NAVIGATION_MAX: Final = 7
RECOMMENDED: Final = 12
_TYPES: Final = {".css": "text/css", ".js": "text/javascript", ".svg": "image/svg+xml"}
_KEPT: Final = "public, max-age=86400"
_ID_PREFIX: Final = "v_"
"""How the ids begin that instanter.js makes from a visitor's secret: nobody can guess one."""
_ID_CHARS: Final = 24


Handler = Callable[[Request, Exception], Awaitable[Response]]


class Place(msgspec.Struct, frozen=True):
    """A list of a page: its placement, how many it holds, and what stands there until it comes or if it does not."""

    id: str
    limit: int
    fallback: Sequence[ShelfItem] = ()
    asks: bool = True
    """Whether the engine is asked as soon as the page is there."""


_LISTS: Final = {
    "home.hero": "At the top", "home.recommended": "For you", "product.similar": "Goes the same way",
    "cart.addons": "Goes well with it", "search": "Found",
}  # fmt: skip
"""What the pages call a list; another has its placement's name."""


class _About(msgspec.Struct, frozen=True, rename="camel"):
    anonymous_id: str


class _Stock(msgspec.Struct, frozen=True):
    id: str
    stock: int


class _Visitors(msgspec.Struct, frozen=True):
    visitors: int


class Storefront:
    """Pages of one shelf, and of the news where there is a shelf of articles with an engine of its own."""

    def __init__(
        self, shelf: Shelf, engine: Engine, *, engine_url: str = "", key: str = "", console_url: str = "",
        crowd: Crowd | None = None, news: Shelf | None = None, news_engine: Engine | None = None,
    ) -> None:  # fmt: skip
        """`engine_url` is how browsers reach the engine, where that differs; `key` the public key that they use."""
        self._shelf = shelf
        self._engine = engine
        self._url = engine_url or engine.url
        self._key = key
        self._console_url = console_url
        self._crowd = crowd
        self._news = news
        self._news_engine = news_engine
        self._files = {path.name: path.read_bytes() for path in sorted((HERE / "static").iterdir())
                       if path.suffix in _TYPES}  # fmt: skip
        self._version = hashlib.sha256(b"".join(self._files.values())).hexdigest()[:12]
        self._pages = jinja2.Environment(
            loader=jinja2.FileSystemLoader(HERE / "templates"), autoescape=True, trim_blocks=True, lstrip_blocks=True,
            undefined=jinja2.StrictUndefined)  # fmt: skip
        self._pages.globals.update(picture=picture_path, page_path=page_path, swatch=swatch)

    def app(self) -> ASGIApp:
        """As a server runs it."""
        routes = [
            Route("/", self.home), Route("/c", self.sections), Route("/c/{slug}", self.section),
            Route("/p/{id:path}", self.product),
            Route("/search", self.search), Route("/cart", self.cart), Route("/checkout", self.checkout),
            Route("/thanks", self.thanks), Route("/help", self.help), Route("/then/{id}", self.then),
            Route("/picture/{id:path}", self.picture), Route("/static/{name}", self.static),
            Route("/see", self.see, methods=["POST"]), Route("/stock", self.stock, methods=["POST"]),
            Route("/crowd", self.crowd, methods=["GET"]), Route("/crowd", self.crowd_comes, methods=["POST"]),
            Route("/crowd/stop", self.crowd_leaves, methods=["POST"]),
            Route("/news", self.news), Route("/news/see", self.see, methods=["POST"]),
            Route("/news/{id:path}", self.article),
            Route("/favicon.ico", lambda request: RedirectResponse("/static/icon.svg")),
            Route("/healthz", lambda request: Response("ok")),
        ]  # fmt: skip
        handlers: dict[Any, Handler] = {
            Rejected: self._rejected, Unavailable: self._unavailable, 404: self._not_found, 405: self._not_found,
        }  # fmt: skip
        engines = [self._url, *([self._news_engine.url] if self._news_engine is not None else [])]
        app = Starlette(routes=routes, exception_handlers=handlers)
        return Guard(app, policy=content_policy(engines))

    # Pages.

    async def home(self, request: Request) -> Response:
        """The front page."""
        offered = [item for item in self._shelf.items() if not item.sold_out]
        places = {
            "hero": Place("home.hero", 1, offered[:1]),
            "recommended": Place("home.recommended", RECOMMENDED, offered[1:1 + RECOMMENDED]),
            "again": Place("product.similar", 4, offered[-4:], asks=False),
        }
        return self._page(request, "home.html", name="Home", places=places)

    async def sections(self, request: Request) -> Response:
        """All sections."""
        return self._page(request, "sections.html", name="Categories", sections=self._shelf.categories)

    async def section(self, request: Request) -> Response:
        """A category or a room, in the order for this visitor, or by price."""
        section = self._section(request.path_params["slug"])
        listed = self._listed(section)
        order = request.query_params.get("sort", "")
        if order in ("cheap", "dear"):
            listed = sorted(listed, key=lambda item: (item.price is None, item.price or 0.0), reverse=order == "dear")
        place = Place("search", len(listed), listed[:SHOWN])
        return self._page(
            request, "section.html", name="Category", section=section, listed=listed, order=order, place=place,
            within=[self._shelf.section(slug) for slug in section.within], more=len(section.ids))

    async def product(self, request: Request) -> Response:
        """One item."""
        item = await self._in_stock(self._item(self._shelf, request.path_params["id"]))
        section = self._shelf.section_of(item)
        beside = [] if section is None else [each for each in self._listed(section) if each.id != item.id]
        places = {"similar": Place("product.similar", 8, beside[:8])}
        return self._page(request, "product.html", name="Product", item=item, section=section, places=places)

    async def search(self, request: Request) -> Response:
        """What matches words, the likeliest for this visitor first."""
        query = request.query_params.get("q", "").strip()[:STOREFRONT_QUERY_CHARS_MAX]
        place = Place("search", SHOWN, self._shelf.search(query, SHOWN))
        return self._page(request, "search.html", name="Search", query=query, place=place)

    async def cart(self, request: Request) -> Response:
        """The cart lies in the browser; the page asks what goes with it."""
        offered = [item for item in self._shelf.items() if not item.sold_out]
        return self._page(request, "cart.html", name="Cart", places={"addons": Place("cart.addons", 4, offered[:4])})

    async def checkout(self, request: Request) -> Response:
        """Where it is sent to. Nothing of it leaves the browser."""
        return self._page(request, "checkout.html", name="Checkout")

    async def thanks(self, request: Request) -> Response:
        """After an order."""
        offered = [item for item in self._shelf.items() if not item.sold_out]
        places = {"next": Place("home.recommended", 4, offered[:4])}
        return self._page(request, "thanks.html", name="Thanks", places=places)

    async def help(self, request: Request) -> Response:
        """Delivery, returns, and how the page knows."""
        return self._page(request, "help.html", name="Help")

    async def then(self, request: Request) -> Response:
        """The lists of an earlier decision as they were, and whether it comes out the same when it is made again."""
        is_news = request.query_params.get("of") == "news"
        shelf, engine = (self._news, self._news_engine) if is_news else (self._shelf, self._engine)
        if shelf is None or engine is None:
            raise RequestRejected("unknown", "there is no news here", status=404)
        receipt = await engine.receipt(request.path_params["id"])
        again = await engine.replay(request.path_params["id"])
        lists = [_list_of(name, placed, shelf) for name, placed in (receipt.get("placements") or {}).items()]
        return self._page(request, "then.html", name="Then", receipt=receipt, again=again, lists=lists,
                          is_news=is_news)  # fmt: skip

    async def news(self, request: Request) -> Response:
        """The front page of the news."""
        shelf = self._news_shelf()
        articles = list(shelf.items())
        places = {"top": Place("home.hero", 1, articles[:1]), "front": Place("home.recommended", 9, articles[1:10])}
        return self._page(request, "news.html", name="News", places=places, is_news=True, sections=shelf.categories)

    async def article(self, request: Request) -> Response:
        """One article."""
        shelf = self._news_shelf()
        item = self._item(shelf, request.path_params["id"])
        others = [each for each in shelf.items() if each.category == item.category and each.id != item.id]
        return self._page(request, "article.html", name="Article", item=item, is_news=True,
                          places={"similar": Place("product.similar", 4, others[:4])})  # fmt: skip

    # Pictures and files.

    async def picture(self, request: Request) -> Response:
        """A drawing of an item, by its id and `.svg`."""
        item_id = request.path_params["id"].removesuffix(".svg")
        shelf = self._shelf if item_id in self._shelf else self._news
        if shelf is None or item_id not in shelf:
            raise RequestRejected("unknown_item", "there is no such item", status=404)
        return Response(drawn(shelf.item(item_id), shelf), media_type="image/svg+xml", headers={"Cache-Control": _KEPT})

    async def static(self, request: Request) -> Response:
        """A file of this package."""
        name = request.path_params["name"]
        if name not in self._files:
            raise RequestRejected("unknown", "there is no such file", status=404)
        kept = _KEPT if request.query_params.get("v") == self._version else "no-cache"
        return Response(self._files[name], media_type=_TYPES[Path(name).suffix], headers={"Cache-Control": kept})

    # What pages ask of the shop's server.

    async def see(self, request: Request) -> Response:
        """What the engine knows of the visitor who asks. The id is one that nobody can guess."""
        about = _decoded(await read_act(request), _About)
        if not (about.anonymous_id.startswith(_ID_PREFIX) and len(about.anonymous_id) == _ID_CHARS):
            raise RequestRejected("schema", "that is no id of a visitor of this shop")
        is_news = request.url.path.startswith("/news")
        engine, shelf = (self._news_engine, self._news) if is_news else (self._engine, self._shelf)
        if engine is None or shelf is None:
            raise RequestRejected("unknown", "there is no news here", status=404)
        try:
            profile = await engine.profile(about.anonymous_id)
        except RequestRejected as error:
            if error.status != 404:
                raise
            return _json(NOBODY)
        return _json(seen_of(profile, partial(_title_of, shelf), _price_of(shelf, _locale_of(request, shelf))))

    async def stock(self, request: Request) -> Response:
        """The shopkeeper's hand: so many are there now."""
        told = _decoded(await read_act(request), _Stock)
        self._item(self._shelf, told.id)
        if not 0 <= told.stock <= 1_000_000:
            raise RequestRejected("schema", "stock is 0 to 1,000,000")
        await self._engine.set_stock(told.id, told.stock)
        self._shelf.set_stock(told.id, told.stock)
        return _json({"id": told.id, "stock": told.stock})

    async def crowd(self, request: Request) -> Response:
        """How the crowd is doing."""
        return _json(self._the_crowd().status())

    async def crowd_comes(self, request: Request) -> Response:
        """Let simulated visitors come."""
        crowd = self._the_crowd()
        crowd.start(_decoded(await read_act(request), _Visitors).visitors)
        return _json(crowd.status())

    async def crowd_leaves(self, request: Request) -> Response:
        """Send them home. They leave within a call's time."""
        crowd = self._the_crowd()
        await read_act(request)
        crowd.send_home()
        return _json(crowd.status())

    # Parts.

    def _page(self, request: Request, template: str, *, name: str, status: int = 200, **given: Any) -> Response:
        is_news = bool(given.pop("is_news", False))
        shelf = self._news if is_news and self._news is not None else self._shelf
        engine_url = self._news_engine.url if is_news and self._news_engine is not None else self._url
        ranked = given["listed"] if given.get("listed") and not given.get("order") else ()
        locale = _locale_of(request, shelf)
        told = {
            "page": name, "engine": engine_url, "kind": shelf.kind, "news": is_news,
            "currency": shelf.currency, "locale": locale,
            "item": _told(given["item"]) if "item" in given else None, "query": given.get("query", ""),
            "candidates": [_told(item) for item in ranked],
        }  # fmt: skip
        html = self._pages.get_template(template).render(
            told=msgspec.json.encode(told).decode().replace("<", "\\u003c"), page=name, shelf=shelf,
            engine=engine_url, key=self._key,
            version=self._version, console_url=self._console_url, is_news=is_news, has_news=self._news is not None,
            navigation=shelf.sections[:NAVIGATION_MAX], personas=personas_of(shelf), has_crowd=self._crowd is not None,
            price_of=_price_of(shelf, locale),
            drawer_open=request.cookies.get("drawer", "open") == "open", path=request.url.path, shown=SHOWN,
            q=given.pop("query", ""), **given)  # fmt: skip
        return HTMLResponse(html, status_code=status, headers={"Cache-Control": "no-store"})

    def _section(self, slug: str) -> Section:
        try:
            return self._shelf.section(slug)
        except KeyError:
            raise RequestRejected("unknown_section", "there is no such category", status=404) from None

    def _item(self, shelf: Shelf, item_id: str) -> ShelfItem:
        try:
            return shelf.item(item_id)
        except KeyError:
            raise RequestRejected("unknown_item", "there is no such item", status=404) from None

    async def _in_stock(self, item: ShelfItem) -> ShelfItem:
        """The item with the stock that the catalogue has now, or else with what the shelf said last."""
        with contextlib.suppress(Rejected, Unavailable):
            stock = await self._engine.stock(item.id)
            if stock is not None and stock != item.stock:
                self._shelf.set_stock(item.id, stock)
        return self._shelf.item(item.id)

    def _listed(self, section: Section) -> list[ShelfItem]:
        """Items of a section that can be had: spread over all of it where there are more than a page ranks."""
        offered = [item for one in section.ids if not (item := self._shelf.item(one)).sold_out]
        step = max(1, -(-len(offered) // STOREFRONT_LISTED_MAX))
        return offered[::step]

    def _news_shelf(self) -> Shelf:
        if self._news is None:
            raise RequestRejected("unknown", "there is no news here", status=404)
        return self._news

    def _the_crowd(self) -> Crowd:
        if self._crowd is None:
            raise RequestRejected("crowd", "this shop has no simulated visitors", status=404)
        return self._crowd

    async def _rejected(self, request: Request, error: Exception) -> Response:
        assert isinstance(error, Rejected)
        if request.method == "GET" and "html" in request.headers.get("accept", ""):
            return self._page(request, "problem.html", name="Problem", status=error.status, message=error.message)
        return _json({"error": {"code": error.code, "message": error.message}}, status=error.status)

    async def _unavailable(self, request: Request, error: Exception) -> Response:
        if request.method == "GET" and "html" in request.headers.get("accept", ""):
            return self._page(request, "problem.html", name="Problem", status=503, message=str(error))
        return _json({"error": {"code": "unavailable", "message": str(error)}}, status=503)

    async def _not_found(self, request: Request, error: Exception) -> Response:
        return await self._rejected(request, RequestRejected("unknown", "there is no such page", status=404))


def drawn(item: ShelfItem, shelf: Shelf) -> str:
    """An item's picture."""
    if shelf.kind == "articles":
        return illustration(item.category, item.id)
    if item.category in PIECES and item.style:
        return furniture(item.category, item.style, item.colour, item.material, variant_of(item.id))
    return card(item.title, item.category_title)


def _title_of(shelf: Shelf, item_id: str) -> str:
    """An item's title; its id where the shelf does not have it."""
    return shelf.item(item_id).title if item_id in shelf else item_id


def _locale_of(request: Request, shelf: Shelf) -> str:
    """The language in which numbers are written: of somebody's own shop that of the visitor, who knows its prices."""
    return first_language(request.headers.get("accept-language", "")) if shelf.kind == "plain" else "en"


def _price_of(shelf: Shelf, locale: str) -> Callable[[float | None], str]:
    """How the shelf's pages write prices."""
    return partial(money, currency=shelf.currency, locale=locale)


def picture_path(item: ShelfItem) -> str:
    """Where an item's picture is."""
    return f"/picture/{_quoted(item.id)}.svg"


def page_path(item: ShelfItem, *, is_news: bool = False) -> str:
    """Where an item's page is."""
    return f"/{'news' if is_news else 'p'}/{_quoted(item.id)}"


def _quoted(item_id: str) -> str:
    return urlencode({"": item_id})[1:].replace("+", "%20")


def _told(item: ShelfItem) -> dict[str, Any]:
    """What a page's script needs to draw an item."""
    made = {"id": item.id, "title": item.title, "category": item.category, "brand": item.brand, "price": item.price,
            "style": item.style, "colour": item.colour, "minutes": item.minutes, "author": item.author}  # fmt: skip
    return {name: value for name, value in made.items() if value not in ("", None, 0)}


def _list_of(name: str, placed: dict[str, Any], shelf: Shelf) -> dict[str, Any]:
    """A list of a receipt, with the items that the shelf still has."""
    items = [
        {"item": shelf.item(one["id"]) if one["id"] in shelf else ShelfItem(one["id"], one["id"]),
         "position": one.get("position", 0), "propensity": one.get("propensity", 1.0), "here": one["id"] in shelf}
        for one in placed.get("items", ())
    ]  # fmt: skip
    return {"name": _LISTS.get(name, name), "id": name, "items": items, "rung": placed.get("servedBy", ""),
            "model": placed.get("model", ""), "candidates": placed.get("candidates", 0)}  # fmt: skip


def _decoded(body: bytes, kind: Callable[..., Any]) -> Any:
    try:
        return msgspec.json.decode(body, type=kind)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise RequestRejected("schema", str(error)) from None


def _json(value: object, status: int = 200) -> Response:
    return Response(msgspec.json.encode(value), status_code=status, media_type="application/json",
                    headers={"Cache-Control": "no-store"})  # fmt: skip

"""The demo's player: a shop, its traffic, and one visitor, told to a running server through its public API.

It imports nothing of the engine. Every product, reason and millisecond it prints comes out of a reply.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import sys
import tempfile
import time
import webbrowser
from collections.abc import Iterator, Sequence
from functools import partial
from itertools import takewhile
from pathlib import Path
from urllib.parse import quote

import msgspec
from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from ...foundation.clock import Clock, SystemClock
from ...foundation.errors import Broken
from ...foundation.limits import BATCH_SENT_BYTES_MAX, CROWD_VISITORS_MAX
from ...sim.shop import Item, Shop
from ...sim.story import Scene, Story
from ...sim.traffic import Traffic
from ...sim.wire import Context, TrackingEvent, iso
from ...storefront.news import articles, readings
from ...storefront.serving import ChildStorefront, running_storefront
from ..child import ChildServer, running_server
from .arguments import port
from .connection import Connection

CONFIG = Path(__file__).with_name("demo.toml")
"""The shop's own features."""
NEWS_CONFIG = Path(__file__).with_name("news.toml")
HERO = "home.hero"
RECOMMENDED = "home.recommended"
LIST_LIMIT = 6
ITEMS_PER_CALL = 200
EVENTS_PER_CALL = 500
BATCH_BYTES = BATCH_SENT_BYTES_MAX * 4 // 5
"""Leaves room for the envelope of the batch."""
EPOCH_ASKS_MAX = 60
EPOCH_ASK_S = 0.05
BACKGROUND_PEOPLE = 150
BACKGROUND_SPAN_MS = 20 * 3_600_000
"""Inside the engine's default window of 24 hours, so that the background counts in full."""
BACKGROUND_SEED = 11
JSON_HEADER = "-H 'Content-Type: application/json'"
CROWD_ASK_S = 1.0


class _Ingested(msgspec.Struct):
    """Reply of the tracking routes."""

    accepted: int
    rejected: list[msgspec.Raw]
    position: str


class _Readiness(msgspec.Struct):
    """Reply of /readyz."""

    epoch: int = 1


class _Visitors(msgspec.Struct, frozen=True):
    visitors: int


class _Crowd(msgspec.Struct, frozen=True):
    """Reply of the shop's server about its simulated visitors."""

    running: bool
    counts: dict[str, int] = {}
    problem: str = ""


class _Changed(msgspec.Struct):
    """Reply of the catalogue routes, of which nothing is needed but that there is one."""


class _Fields(msgspec.Struct, frozen=True):
    title: str = ""
    style: str = ""
    room: str = ""
    category: str = ""
    price: float | None = None


class _Product(msgspec.Struct, frozen=True):
    id: str
    fields: _Fields = _Fields()
    reasons: tuple[str, ...] = ()


class _Placed(msgspec.Struct, frozen=True, rename="camel"):
    items: tuple[_Product, ...]
    served_by: str = ""


class _Decision(msgspec.Struct, frozen=True, rename="camel"):
    decision_id: str
    took_ms: float
    placements: dict[str, _Placed]
    degraded: tuple[str, ...] = ()

    def products(self) -> list[tuple[str, _Product]]:
        """Where each product stands ("hero", "1", ...) and the product, hero first."""
        hero = [("hero", product) for product in self._items(HERO)]
        return hero + [(str(place), product) for place, product in enumerate(self._items(RECOMMENDED), start=1)]

    def holds(self, item_id: str) -> bool:
        """Whether the product stands anywhere in the answer."""
        return any(product.id == item_id for _, product in self.products())

    def _items(self, placement: str) -> tuple[_Product, ...]:
        return self.placements[placement].items if placement in self.placements else ()


class _Placement(msgspec.Struct, frozen=True, omit_defaults=True):
    id: str
    limit: int = 0


class _DecideRequest(msgspec.Struct, frozen=True, rename="camel"):
    anonymous_id: str
    context: Context
    placements: tuple[_Placement, ...]
    min_position: str
    explain: bool = False


class _Batch(msgspec.Struct, frozen=True):
    batch: Sequence[msgspec.Raw]


class _Items(msgspec.Struct, frozen=True):
    items: Sequence[Item]


class _Stock(msgspec.Struct, frozen=True):
    stock: int


class _Patch(msgspec.Struct, frozen=True):
    fields: _Stock


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of `instanter demo`."""
    parser.description = (
        "Start a server with a made-up furniture shop, play a visitor who views three mid-century pieces, and print\n"
        "after each view how the page changes, why, and in how many milliseconds. Then the shop opens in a browser,\n"
        "to be walked through by yourself; Ctrl-C ends all of it.")
    parser.epilog = "examples:\n  instanter demo\n  instanter demo --visitors 200\n  instanter demo --exit"
    parser.add_argument("--exit", action="store_true", help="end after the story instead of staying up")
    parser.add_argument("--port", type=port, default=0, metavar="N", help="port to serve on (default: a free one)")
    parser.add_argument("--shop-port", type=port, default=0, metavar="N",
                        help="port to serve the shop on (default: a free one)")
    parser.add_argument("--visitors", type=_visitors, default=0, metavar="N",
                        help="let so many simulated visitors shop live; with --exit it ends when they have left")


def _visitors(text: str) -> int:
    if not text.isdecimal() or not 1 <= int(text) <= CROWD_VISITORS_MAX:
        raise argparse.ArgumentTypeError(f"{text} is not a number from 1 to {CROWD_VISITORS_MAX:,}")
    return int(text)


def run(arguments: argparse.Namespace) -> int:
    """Serve, play, and stay up unless told otherwise. Everything lies in a directory that is removed afterwards."""
    out = Console(stderr=arguments.json)
    told = {}
    with tempfile.TemporaryDirectory(prefix="instanter-demo-") as folder:
        out.print("Starting a server.")
        with running_server(
            Path(folder) / "data", config=CONFIG, port=arguments.port, watch=partial(_show_compiling, out)
        ) as server:
            told["url"] = server.url
            if arguments.exit:
                out.print("It ends with the story: without --exit the addresses below stay up.")
            play(server.url, shop=Shop(), out=out, clock=SystemClock())
            if not arguments.exit or arguments.visitors:
                told["shop"] = _open_shop(arguments, server, Path(folder) / "news", out)
    if arguments.json:
        print(msgspec.json.encode(told).decode())
    return 0


def _open_shop(arguments: argparse.Namespace, server: ChildServer, news_data: Path, out: Console) -> str:
    """Serve the shop until Ctrl-C, with `--exit` until its visitors have left. Its address."""
    with contextlib.ExitStack() as closing:
        news = ""
        if not arguments.exit:
            news = closing.enter_context(running_server(news_data, config=NEWS_CONFIG)).url
            load_news(news, clock=SystemClock())
        shop = closing.enter_context(running_storefront(server.url, port=arguments.shop_port, news=news))
        _say_where_the_shop_is(shop, server, out)
        crowd = Connection(shop.url)
        closing.callback(crowd.close)
        with contextlib.suppress(KeyboardInterrupt):
            if arguments.visitors:
                crowd.call("POST", "/crowd", _Visitors(arguments.visitors), reply=_Crowd)
                out.print(f"{arguments.visitors:,} visitors with hidden tastes are on their way.")
            if arguments.exit:
                _watch_crowd(crowd, out)
            else:
                if sys.stdout.isatty() and _has_display():
                    webbrowser.open(shop.url)
                server.process.wait()
        return shop.url


def load_news(base_url: str, *, clock: Clock) -> None:
    """Load the made-up newspaper, and what some of its readers have read today, into the server at `base_url`."""
    connection = Connection(base_url)
    try:
        as_of_ms = clock.now_ms()
        connection.call("POST", "/v1/items", {"items": list(articles(as_of_ms=as_of_ms))}, reply=_Changed)
        for batch in _batches(readings(as_of_ms=as_of_ms)):
            connection.call("POST", "/v1/batch", _Batch(batch), reply=_Ingested)
    finally:
        connection.close()


def _say_where_the_shop_is(shop: ChildStorefront, server: ChildServer, out: Console) -> None:
    lines = (("the shop", shop.url), ("a newspaper", f"{shop.url}/news"), ("the console", f"{server.url}/console"),
             ("the server", server.url))  # fmt: skip
    out.print(Text("\nOpen it in a browser, and click around:", style="bold"))
    for what, where in lines:
        out.print(Text(f"  {what:<12} {where}"), soft_wrap=True)
    out.print("Ctrl-C ends all of it and removes its data.")


def _watch_crowd(crowd: Connection, out: Console) -> None:
    while (status := crowd.call("GET", "/crowd", reply=_Crowd)).running:
        time.sleep(CROWD_ASK_S)
    counts = ", ".join(f"{count:,} {name}" for name, count in sorted(status.counts.items()))
    out.print(Text(f"They have left: {counts}." if not status.problem else f"They left early: {status.problem}"),
              soft_wrap=True)  # fmt: skip


def _has_display() -> bool:
    """Whether a browser could be seen here."""
    return sys.platform in ("darwin", "win32") or bool(os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY"))


def _show_compiling(out: Console, done: int, at_most: int) -> None:
    text = f"Compiling kernels, once on this machine: {done} of at most {at_most}"
    out.print(text, end="\r" if out.is_terminal else "\n", highlight=False)


def play(base_url: str, *, shop: Shop, out: Console, clock: Clock) -> None:
    """Load the shop and a day's traffic into the server at `base_url`, then play one visitor and print what changes.

    The server needs no key (`serve --dev`). Raises `Unavailable` if it cannot be reached, `RequestRejected` if it
    refuses a call, `Broken` if a reply is not what the API promises. The server is left running, with the shop in it.
    """
    connection = Connection(base_url)
    try:
        _Player(connection, shop, out, clock).play()
    finally:
        connection.close()


class _Player:
    def __init__(self, connection: Connection, shop: Shop, out: Console, clock: Clock) -> None:
        self._connection = connection
        self._shop = shop
        self._out = out
        self._clock = clock
        self._known: dict[str, _Fields] = {}
        self._position = ""
        self._story = Story(shop, start_ms=clock.now_ms() - Story.length_ms)

    def play(self) -> None:
        self._load_catalogue()
        self._load_background()
        self._wait_for_epoch()
        shown = self._visit()
        shown = self._buy(shown)
        shown = self._sell_out(shown)
        self._say_where_to_look(shown)

    def _load_catalogue(self) -> None:
        took_ms = 0.0
        items = list(self._shop.items())
        for start in range(0, len(items), ITEMS_PER_CALL):
            self._connection.call("POST", "/v1/items", _Items(items[start:start + ITEMS_PER_CALL]), reply=_Changed)
            took_ms += self._connection.round_trip_ms
        self._say(f"A furniture shop that does not exist: {len(items):,} products loaded in {took_ms:,.0f} ms.")

    def _load_background(self) -> None:
        accepted, refused, took_ms = 0, 0, 0.0
        for batch in _batches(self._background()):
            ingested = self._ingest(batch)
            accepted += ingested.accepted
            refused += len(ingested.rejected)
            took_ms += self._connection.round_trip_ms
        rejected = f" ({refused:,} refused)" if refused else ""
        self._say(f"Its traffic so far today: {accepted:,} events of {BACKGROUND_PEOPLE} people, "
                  f"each synced to disk and folded, in {took_ms:,.0f} ms{rejected}.")

    def _wait_for_epoch(self) -> None:
        """What items are worth to everybody is published once a second; the story begins when it has been."""
        for _ in range(EPOCH_ASKS_MAX):
            if self._connection.call("GET", "/readyz", reply=_Readiness).epoch > 0:
                return
            time.sleep(EPOCH_ASK_S)

    def _background(self) -> Iterator[TrackingEvent]:
        """What the shop's people have done up to now; those still in the middle of a visit are cut off there."""
        now_ms = self._clock.now_ms()
        traffic = Traffic(self._shop, people_count=BACKGROUND_PEOPLE, seed=BACKGROUND_SEED,
                          start_ms=now_ms - BACKGROUND_SPAN_MS, span_ms=BACKGROUND_SPAN_MS)
        until = iso(now_ms)
        return takewhile(lambda event: event.timestamp <= until, traffic.events())

    def _visit(self) -> _Decision:
        """Three views, with the answer before and after each."""
        arrival = self._story.arrival()
        self._say("\nNow somebody new. The same two questions are asked after everything they do: "
                  "which hero, and which list?")
        self._tell(arrival)
        shown = self._decide()
        self._show(f"The visitor {arrival.title}", shown, before=None)
        for number, scene in enumerate(self._story.views(), start=1):
            self._tell(scene)
            after = self._decide()
            self._show(f"View {number} of 3: the visitor {_viewed(scene)}", after, before=shown)
            shown = after
        return shown

    def _buy(self, shown: _Decision) -> _Decision:
        """The first of the list is bought; a product just bought should not be offered again."""
        chosen = _first(shown, prefer=RECOMMENDED)
        if chosen is None:
            self._say("The list is empty, so there is nothing to buy.")
            return shown
        fields = self._fields(chosen)
        price = self._shop.item(chosen.id).fields.price if fields.price is None else fields.price
        self._tell(self._story.purchase(chosen.id, price=price))
        after = self._decide()
        self._show(f"The visitor puts number 1, {fields.title}, into the cart and buys it", after, before=shown)
        self._say(_whether_gone(fields.title, after.holds(chosen.id), reason="just bought"))
        return after

    def _sell_out(self, shown: _Decision) -> _Decision:
        """The hero, or else the first of the list, goes out of stock."""
        chosen = _first(shown, prefer=HERO)
        if chosen is None:
            self._say("The answer is empty, so nothing can sell out.")
            return shown
        title = self._fields(chosen).title
        self._connection.call("PATCH", f"/v1/items/{quote(chosen.id, safe='')}", _Patch(_Stock(0)), reply=_Changed)
        after = self._decide()
        self._show(f"The shop runs out of {title}", after, before=shown)
        self._say(_whether_gone(title, after.holds(chosen.id), reason="sold out"))
        self._say(f"To restock it:\n  curl -X PATCH {self._connection.base_url}/v1/items/{quote(chosen.id, safe='')} "
                  f"""{JSON_HEADER} -d '{{"fields": {{"stock": 5}}}}'""")
        return after

    def _tell(self, scene: Scene) -> None:
        for batch in _batches(iter(scene.events)):
            ingested = self._ingest(batch)
            if ingested.rejected:
                raise Broken(f"the server refused events of the story: {bytes(ingested.rejected[0]).decode()}")

    def _ingest(self, batch: list[msgspec.Raw]) -> _Ingested:
        ingested = self._connection.call("POST", "/v1/batch", _Batch(batch), reply=_Ingested)
        self._position = ingested.position
        return ingested

    def _decide(self) -> _Decision:
        placements = (_Placement(HERO), _Placement(RECOMMENDED, LIST_LIMIT))
        request = _DecideRequest(anonymous_id=self._story.anonymous_id, context=self._story.context(),
                                 placements=placements, min_position=self._position)
        return self._connection.call("POST", "/v1/decide", request, reply=_Decision)

    def _fields(self, product: _Product) -> _Fields:
        """What the decision said of the product, or else what the catalogue says."""
        if product.fields.title and product.fields.style:
            return product.fields
        if product.id not in self._known:
            found = self._connection.call("GET", f"/v1/items/{quote(product.id, safe='')}", reply=_Product)
            self._known[product.id] = found.fields
        return self._known[product.id]

    def _show(self, title: str, decision: _Decision, *, before: _Decision | None) -> None:
        """One table. The timings are read first, since looking products up makes calls too."""
        timing = f"{decision.took_ms:.1f} ms in the engine, {self._connection.round_trip_ms:.1f} ms round trip"
        table = Table(box=box.SIMPLE_HEAD, title=Text(title, style="bold"), title_justify="left", padding=(0, 1, 0, 0),
                      pad_edge=False)
        for heading in ("", "", "product", "style", "room"):
            table.add_column(heading, no_wrap=True)
        table.add_column("price", justify="right", no_wrap=True)
        table.add_column("why")
        for place, product in decision.products():
            fields, new = self._fields(product), before is not None and not before.holds(product.id)
            cells = ("+" if new else "", place, fields.title, fields.style, fields.room, _price(fields.price),
                     "; ".join(product.reasons))
            table.add_row(*(Text(cell) for cell in cells), style="green" if new else "")
        self._out.print()
        self._out.print(table)
        self._say(f"{_served(decision)}; {timing}{_new(decision, before)}", style="dim")

    def _say_where_to_look(self, shown: _Decision) -> None:
        base_url, anonymous_id = self._connection.base_url, self._story.anonymous_id
        question = f'{{"anonymousId": "{anonymous_id}", "placements": [{{"id": "{HERO}"}}, {{"id": "{RECOMMENDED}"}}]}}'
        lines = (
            ("is it ready", f"{base_url}/readyz"),
            ("what it measures", f"{base_url}/metrics"),
            ("what it knows of the visitor", f"{base_url}/v1/profiles/anonymous:{anonymous_id}"),
            ("the last decision's receipt", f"{base_url}/v1/decisions/{shown.decision_id}"),
        )
        self._say("\nWhere to look:")
        for what, where in lines:
            self._say(f"  {what:<29} {where}")
        self._say(f"Ask again:\n  curl {base_url}/v1/decide {JSON_HEADER} -d '{question}'")

    def _say(self, text: str, *, style: str = "") -> None:
        """Plain text: what a server sends is never read as markup, and an address is never broken in two."""
        self._out.print(Text(text, style=style), soft_wrap=True)


def _batches(events: Iterator[TrackingEvent]) -> Iterator[list[msgspec.Raw]]:
    """The events as JSON, in batches within the API's bounds."""
    batch: list[msgspec.Raw] = []
    size_bytes = 0
    for event in events:
        raw = msgspec.json.encode(event)
        if batch and (len(batch) >= EVENTS_PER_CALL or size_bytes + len(raw) > BATCH_BYTES):
            yield batch
            batch, size_bytes = [], 0
        batch.append(msgspec.Raw(raw))
        size_bytes += len(raw)
    if batch:
        yield batch


def _first(decision: _Decision, *, prefer: str) -> _Product | None:
    """The first product of a placement, or else the first there is."""
    preferred = decision.placements.get(prefer)
    if preferred is not None and preferred.items:
        return preferred.items[0]
    return next((product for _, product in decision.products()), None)


def _viewed(scene: Scene) -> str:
    if scene.item is None:
        return scene.title
    fields = scene.item.fields
    return f"{scene.title} ({fields.style}, {fields.room}, {_price(fields.price)})"


def _price(price: float | None) -> str:
    return "" if price is None else f"{price:,.2f}"


def _served(decision: _Decision) -> str:
    rungs = dict.fromkeys(placed.served_by for placed in decision.placements.values() if placed.served_by)
    cut = f", without {', '.join(decision.degraded)}" if decision.degraded else ""
    return f"served by {', '.join(rungs) or 'nobody'}{cut}"


def _new(decision: _Decision, before: _Decision | None) -> str:
    if before is None:
        return ""
    products = decision.products()
    count = sum(not before.holds(product.id) for _, product in products)
    return f"; {count} of {len(products)} new (+)"


def _whether_gone(title: str, still_shown: bool, *, reason: str) -> str:
    return f"{title} ({reason}) is still shown." if still_shown else f"{title} ({reason}) is gone from the answer."

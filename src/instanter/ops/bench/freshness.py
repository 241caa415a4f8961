"""Whether a decision sees what was acknowledged right before it."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import msgspec

from ...foundation.clock import elapsed_ns
from .bench import Bench, ask, taken_whole
from .load import Connection, quantile, request
from .questions import Decision, decide, decision_of
from .result import Figure
from .server import Server
from .traffic import Traffic, batch, person_id

TITLE = "freshness: an event is acknowledged, then a decision is asked for at once, over another connection"
PAIRS = 10_000
OTHERS = 4
"""Candidates beside the item in question."""
FIRST_BUYER, FIRST_VISITOR = 1_000_000, 2_000_000
RECOMMENDED = "home.recommended"
OUT_OF_STOCK = "out_of_stock"
VIEWED = "what you viewed"
"""What every reason that stands on a view says."""
KNOWN = 100
"""People who ask for what sells out."""


def freshness(bench: Bench) -> tuple[list[Figure], str]:
    """Bought item, sold-out item and first view in turn; before each, that the decision was different is checked."""
    pairs = bench.size(PAIRS, 30)
    with bench.server() as server:
        bench.people_known(server, range(KNOWN))
        bench.say(f"{pairs:,} pairs of an event and a decision")
        with _Pairs(bench, server) as asked:
            for number, kind in zip(range(pairs), _in_turn(asked), strict=False):
                kind(number)
    figures = [
        Figure(name="stale answers", value=sum(asked.stale.values()), unit="", at_least=0),
        *(Figure(name=f"stale answers, {kind}", value=count, unit="") for kind, count in asked.stale.items()),
        Figure(name="pairs", value=pairs, unit=""),
        Figure(name="decision p50", value=quantile(asked.latencies_ms, 0.50), unit="ms"),
        Figure(name="decision p99", value=quantile(asked.latencies_ms, 0.99), unit="ms"),
    ]
    return figures, f"{asked.meaningless} pairs could not show anything" if asked.meaningless else ""


def _in_turn(asked: _Pairs) -> Iterator[Callable[[int], None]]:
    while True:
        yield asked.bought
        yield asked.sold_out
        yield asked.first_view


class _Pairs:
    """Asks before and after. Events go over one connection and questions over another."""

    def __init__(self, bench: Bench, server: Server) -> None:
        self.latencies_ms: list[float] = []
        self.stale = {"bought": 0, "sold out": 0, "back in stock": 0, "first view": 0}
        self.meaningless = 0
        """Pairs whose first decision was already as the second should be."""
        self._traffic: Traffic = bench.traffic()
        self._clock = bench.clock
        self._items = [item.id for item in bench.shop.items()]
        self._numbers = {item_id: number for number, item_id in enumerate(self._items)}
        self._telling = Connection(server.port)
        self._asking = Connection(server.port)

    def __enter__(self) -> _Pairs:
        return self

    def __exit__(self, *error: object) -> None:
        self._telling.close()
        self._asking.close()

    def bought(self, number: int) -> None:
        """What a person is offered and buys is not offered again."""
        person = FIRST_BUYER + number
        self._track(self._traffic.view(person, self._clock.now_ms(), number % len(self._items)))
        asking = decide(person_id(person), RECOMMENDED)
        offered = decision_of(ask(self._asking, asking)).only.items
        if not offered:
            self.meaningless += 1
            return
        self._track(self._traffic.order(person, self._clock.now_ms(), self._numbers[offered[0].id]))
        after = self._timed(asking)
        self.stale["bought"] += offered[0].id in {shown.id for shown in after.only.items}

    def sold_out(self, number: int) -> None:
        """What has sold out is not shown, and is shown again when it is back."""
        person, item = number % KNOWN, number % len(self._items)
        asking = self._search(person, item)
        self.meaningless += self._is_out(decision_of(ask(self._asking, asking)), item)
        self._stock(item, 0)
        self.stale["sold out"] += not self._is_out(self._timed(asking), item)
        self._stock(item, 5)
        self.stale["back in stock"] += self._is_out(self._timed(asking), item)

    def first_view(self, number: int) -> None:
        """Somebody nobody knew is known after one view, and gets reasons that stand on it."""
        person, item = FIRST_VISITOR + number, number % len(self._items)
        asking = decide(person_id(person), RECOMMENDED)
        self.meaningless += _stands_on_a_view(decision_of(ask(self._asking, asking)))
        self._track(self._traffic.view(person, self._clock.now_ms(), item))
        self.stale["first view"] += not _stands_on_a_view(self._timed(asking))

    def _is_out(self, decision: Decision, item: int) -> bool:
        """Whether the candidate is not shown but named among what is left out, because it is out of stock."""
        item_id, placed = self._items[item], decision.only
        is_shown = any(shown.id == item_id for shown in placed.items)
        return not is_shown and any((out.id, out.reason) == (item_id, OUT_OF_STOCK) for out in placed.excluded)

    def _search(self, person: int, item: int) -> bytes:
        """Asks for the order of five candidates, the item in question in the middle."""
        around = [(item + step - OTHERS // 2) % len(self._items) for step in range(OTHERS + 1)]
        return decide(person_id(person), "search", candidates=[self._items[one] for one in around])

    def _timed(self, asking: bytes) -> Decision:
        started_ns = elapsed_ns()
        body = ask(self._asking, asking)
        self.latencies_ms.append((elapsed_ns() - started_ns) / 1e6)
        return decision_of(body)

    def _track(self, event: bytes) -> None:
        reply = self._telling.exchange(batch([event], sent_at_ms=self._clock.now_ms()))
        assert taken_whole(reply), reply.body

    def _stock(self, item: int, stock: int) -> None:
        change = msgspec.json.encode({"fields": {"stock": stock}})
        ask(self._telling, request("PATCH", f"/v1/items/{self._items[item]}", change))


def _stands_on_a_view(decision: Decision) -> bool:
    placed = decision.only
    used = any(VIEWED in reason for shown in placed.items for reason in shown.reasons)
    return placed.served_by in ("personal", "session") and used

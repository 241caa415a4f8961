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
OUT_OF_STOCK = "out_of_stock"


def freshness(bench: Bench) -> tuple[list[Figure], str]:
    """Bought item, sold-out item and first view in turn; before each, that the decision was different is checked."""
    pairs = bench.size(PAIRS, 30)
    with bench.server() as server:
        bench.people_known(server, range(bench.size(2_000, 100)))
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
        self._telling = Connection(server.port)
        self._asking = Connection(server.port)

    def __enter__(self) -> _Pairs:
        return self

    def __exit__(self, *error: object) -> None:
        self._telling.close()
        self._asking.close()

    def bought(self, number: int) -> None:
        """What a person has just bought is not offered again."""
        person, item = FIRST_BUYER + number, number % len(self._items)
        self._expect_shown(self._search(person, item), item)
        self._track(self._traffic.order(person, self._clock.now_ms(), item))
        self.stale["bought"] += not self._is_excluded(self._timed_search(person, item), item)

    def sold_out(self, number: int) -> None:
        """What has sold out is not shown, and is shown again when it is back."""
        person, item = number % 100, number % len(self._items)
        self._expect_shown(self._search(person, item), item)
        self._stock(item, 0)
        after = self._timed_search(person, item)
        self.stale["sold out"] += not self._is_excluded(after, item, reason=OUT_OF_STOCK)
        self._stock(item, 5)
        self.stale["back in stock"] += self._is_excluded(self._timed_search(person, item), item)

    def first_view(self, number: int) -> None:
        """A person nobody knew is known after one view, and what they viewed is not what they are shown."""
        person, item = FIRST_VISITOR + number, number % len(self._items)
        asking = decide(person_id(person), "home.recommended")
        before = decision_of(ask(self._asking, asking))
        self.meaningless += before.only.served_by in ("personal", "session")
        self._track(self._traffic.view(person, self._clock.now_ms(), item))
        after = self._timed(asking)
        self.stale["first view"] += after.only.served_by not in ("personal", "session")

    def _expect_shown(self, decision: Decision, item: int) -> None:
        self.meaningless += self._items[item] not in {shown.id for shown in decision.only.items}

    def _is_excluded(self, decision: Decision, item: int, *, reason: str = "") -> bool:
        """Whether the item is not shown, and is named among what is left out, for that reason if one is given."""
        item_id, placed = self._items[item], decision.only
        reasons = {excluded.id: excluded.reason for excluded in placed.excluded}
        is_shown = any(shown.id == item_id for shown in placed.items)
        return not is_shown and item_id in reasons and reason in ("", reasons[item_id])

    def _question(self, person: int, item: int) -> bytes:
        """Five candidates, the item in question in the middle."""
        around = [(item + step - OTHERS // 2) % len(self._items) for step in range(OTHERS + 1)]
        return decide(person_id(person), "search", candidates=[self._items[one] for one in around])

    def _search(self, person: int, item: int) -> Decision:
        return decision_of(ask(self._asking, self._question(person, item)))

    def _timed_search(self, person: int, item: int) -> Decision:
        return self._timed(self._question(person, item))

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

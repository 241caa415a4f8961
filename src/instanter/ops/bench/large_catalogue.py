"""Whether decisions over a large catalogue keep within the default deadline while epochs come."""

from __future__ import annotations

import time
from collections.abc import Iterator

import msgspec

from ...foundation.clock import elapsed_ns
from ...foundation.errors import Broken
from .bench import Bench, ask, load, taken_whole
from .load import Connection, quantile, request
from .questions import decide, decision_of
from .result import Figure
from .server import Server
from .traffic import batch, person_id

TITLE = "large_catalogue: 300,000 items and little traffic; a view, then a decision at the default deadline"
ITEMS = 300_000
PAIRS = 1_000
PAUSE_S = 0.03
"""Between two pairs: a thousand of them meet some thirty epochs."""
PER_CALL = 500
CATEGORIES, BRANDS = 400, 1_000
RECOMMENDED = "home.recommended"
_MIB = 1024 * 1024
CONFIG = "[state]\nmemory_mb = 4096\n"
"""Room for so many items."""


def large_catalogue(bench: Bench) -> tuple[list[Figure], str]:
    """Pairs of a view and a decision, each timed from the client; what was degraded, and how often."""
    items, pairs = bench.size(ITEMS, 1_000), bench.size(PAIRS, 20)
    with bench.server(shop=False, config=CONFIG) as server:
        bench.say(f"{items:,} items come")
        load(server, _catalogue(items))
        epochs = server.metrics().value("instanter_epoch")
        bench.say(f"{pairs:,} pairs of a view and a decision")
        latencies_ms, took_ms, degraded, not_personal = _pairs(bench, server, items, pairs)
        epochs = server.metrics().value("instanter_epoch") - epochs
        memory_bytes = server.memory_bytes()
    figures = [
        Figure(name="degraded decisions", value=degraded, unit="", at_least=0),
        Figure(name="decision p50", value=quantile(latencies_ms, 0.50), unit="ms"),
        Figure(name="decision p99", value=quantile(latencies_ms, 0.99), unit="ms", at_least=10),
        Figure(name="decision p99, by the server", value=quantile(took_ms, 0.99), unit="ms"),
        Figure(name="slowest decision", value=max(latencies_ms), unit="ms"),
        Figure(name="epochs meanwhile", value=epochs, unit=""),
        Figure(name="server with all of them", value=memory_bytes / _MIB, unit="MiB"),
    ]
    return figures, f"{not_personal} decisions did not see the view before them" if not_personal else ""


def _catalogue(count: int) -> Iterator[bytes]:
    for first in range(0, count, PER_CALL):
        items = [
            {"id": f"item-{number}", "fields": {
                "title": f"Item {number}", "category": f"category {number % CATEGORIES}",
                "brand": f"brand {number % BRANDS}", "price": 1.0 + number % 500,
            }}
            for number in range(first, min(first + PER_CALL, count))
        ]  # fmt: skip
        yield request("POST", "/v1/items", msgspec.json.encode({"items": items}))


def _pairs(bench: Bench, server: Server, items: int, pairs: int) -> tuple[list[float], list[float], int, int]:
    """Of the decisions in ms the round trips, and what the server says of them; how many were degraded, and how many
    were not personal."""
    latencies_ms: list[float] = []
    took_ms: list[float] = []
    degraded = not_personal = 0
    telling, asking = Connection(server.port), Connection(server.port)
    try:
        for number in range(pairs):
            person = number % 97
            _view(bench, telling, person, (number * 7_919) % items)
            started_ns = elapsed_ns()
            decision = decision_of(ask(asking, decide(person_id(person), RECOMMENDED)))
            latencies_ms.append((elapsed_ns() - started_ns) / 1e6)
            took_ms.append(decision.took_ms)
            degraded += bool(decision.degraded)
            not_personal += not decision.degraded and not decision.is_personal
            time.sleep(0.0 if bench.quick else PAUSE_S)
    finally:
        telling.close()
        asking.close()
    return latencies_ms, took_ms, degraded, not_personal


def _view(bench: Bench, telling: Connection, person: int, item: int) -> None:
    now_ms = bench.clock.now_ms()
    event = msgspec.json.encode({
        "type": "track", "event": "Product Viewed", "anonymousId": person_id(person), "messageId": f"{now_ms}-{item}",
        "properties": {"product_id": f"item-{item}"},
    })  # fmt: skip
    reply = telling.exchange(batch([event], sent_at_ms=now_ms))
    if not taken_whole(reply):
        raise Broken(f"a view was not taken: {reply.body[:200].decode(errors='replace')}")

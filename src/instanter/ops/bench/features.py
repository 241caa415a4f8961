"""What many declared features cost: a person in memory, and a decision."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import cycle, islice
from typing import Final

from ...features.declaration import DEFAULT_FEATURES
from ...foundation.rng import KeyedRng
from .bench import Bench, ask, load
from .decide import search_questions
from .load import Connection
from .memory import settle, visits
from .result import Figure
from .server import Server

TITLE = "features: 249, most of them generated; people of 20 events each, then questions that re-rank 200 candidates"
FEATURES: Final = 249
"""With the built-in ones; a configuration may have a few more."""
QUESTION_SECONDS: Final = 5
_EVENTS: Final = (
    "Product Viewed", "Product Clicked", "Product List Viewed", "Page Viewed", "Product Added", "Products Searched",
    "Order Completed", "Product Added to Wishlist", "Coupon Applied", "Product Reviewed", "Video Played", "Cart Viewed",
)  # fmt: skip
"""What features hear; the benchmark's people do the first seven."""
_SHAPES: Final[tuple[Mapping[str, str | int], ...]] = (
    {"aggregate": "count"}, {"aggregate": "sum", "value": "price"}, {"aggregate": "mean", "value": "price"},
    {"aggregate": "min", "value": "price"}, {"aggregate": "max", "value": "price"},
    {"aggregate": "decayed", "half_life": "2h"}, {"aggregate": "decayed", "half_life": "7d"},
    {"aggregate": "windowed", "window": "8h", "tiles": 8}, {"aggregate": "windowed", "window": "7h", "tiles": 7},
    {"aggregate": "last", "value": "price"}, {"aggregate": "time_since"},
    {"aggregate": "top_k", "by": "item.category", "k": 6, "half_life": "14d"},
    {"aggregate": "top_k", "by": "item.brand", "k": 6}, {"aggregate": "last_k", "by": "item", "k": 6},
    {"aggregate": "top_k", "by": "context.device", "k": 4},
)  # fmt: skip
_SCOPES: Final = ("session", "profile", "profile", "profile", "item")


def features(bench: Bench) -> tuple[list[Figure], str]:
    """Memory of people, and CPU of questions asked one after the other with nothing else going on."""
    people = bench.size(20_000, 200)
    with bench.server(config="".join(generated(FEATURES - len(DEFAULT_FEATURES)))) as server:
        bench.say("making the items known")
        load(server, bench.traffic().batches(range(people, people + 100), bench.size(20_000, 200),
                                             at_ms=bench.clock.now_ms()))
        settle(bench, server)
        before_bytes = server.memory_bytes()
        bench.say(f"{people:,} people visit")
        load(server, visits(bench, bench.traffic(), people))
        settle(bench, server)
        person_bytes = (server.memory_bytes() - before_bytes) / people
        bench.say("deciding")
        questions = search_questions(bench, people, seconds=1 if bench.quick else QUESTION_SECONDS)
        _cpu_ms(server, questions[: len(questions) // 5])
        decision_ms = _cpu_ms(server, questions)
    return [
        Figure(name="a person", value=person_bytes / 1024, unit="KiB", at_least=4, aim=2),
        Figure(name="server CPU a decision, with its request", value=decision_ms, unit="ms"),
    ], ""


def generated(count: int) -> Iterator[str]:
    """So many features as they stand in a configuration; the first ones are always the same.

    >>> print(next(generated(1)))
    [[features]]
    name = "generated_0"
    on = ["Coupon Applied", "Product Reviewed", "Video Played"]
    scope = "profile"
    aggregate = "count"
    <BLANKLINE>
    """
    chance = KeyedRng("features", seed=1)
    for number, shape in enumerate(islice(cycle(_SHAPES), count)):
        first, step = chance.below(len(_EVENTS)), 1 + chance.below(3)
        heard = [_EVENTS[(first + step * place) % len(_EVENTS)] for place in range(1 + chance.below(3))]
        scope = _SCOPES[chance.below(len(_SCOPES))]
        if scope == "item" and "by" in shape:
            scope = "profile"
        fields = {"name": f"generated_{number}", "on": heard, "scope": scope, **shape}
        yield "\n".join(["[[features]]", *(f"{name} = {_toml(value)}" for name, value in fields.items()), ""])


def _toml(value: str | int | list[str]) -> str:
    if isinstance(value, list):
        return "[" + ", ".join(map(_toml, value)) + "]"
    return str(value) if isinstance(value, int) else f'"{value}"'


def _cpu_ms(server: Server, questions: list[bytes]) -> float:
    """CPU of the server for one question."""
    connection = Connection(server.port)
    before_s = server.cpu_s()
    for question in questions:
        ask(connection, question)
    spent_s = server.cpu_s() - before_s
    connection.close()
    return spent_s / len(questions) * 1e3

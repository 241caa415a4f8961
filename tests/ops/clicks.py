"""A data directory whose log says what people like: the cheapest of what they are shown, most of the time."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path

from instanter.engine.loop import Engine
from instanter.foundation.deadline import Deadline
from instanter.ops.config import load
from instanter.ops.wiring import open_engine

from ..engine.harness import decide, event, stock_shop, take

HOME = "home.recommended"
START_MS = 1_700_000_000_000
VIEWS = 4
"""Of each visit of a shop that sends views alone."""


def fill(data: Path, config: Path, *, visits: int) -> None:
    """Make the directory; one visit in five ends with a click on the second cheapest item."""
    _fill(data, config, lambda engine: visit(engine, visits=visits))


def look(data: Path, config: Path, *, visits: int) -> None:
    """Make the directory of a shop that sends views alone: whoever looks at an item looks at the next ones then."""

    async def views(engine: Engine) -> None:
        for number in range(visits):
            for step in range(VIEWS):
                fields = {"properties": {"product_id": f"sku-{(number + step) % 20}"}}
                at_ms = START_MS + number * 20_000 + step * 2_000
                await take(engine, event(VIEWS * number + step, person=f"p{number}", at_ms=at_ms, **fields))

    _fill(data, config, views)


def _fill(data: Path, config: Path, happen: Callable[[Engine], Awaitable[None]]) -> None:
    make = open_engine(load(config), data, clock_of_events=True, may_make_master_key=True)

    async def work() -> None:
        engine = make()
        await engine.start()
        await stock_shop(engine)
        await happen(engine)
        await engine.stop(Deadline(10_000))

    asyncio.run(work())


async def visit(engine: Engine, *, visits: int, first: int = 0) -> None:
    """Visits two seconds after one another, and time for what comes late."""
    at_ms = START_MS
    for number in range(first, first + visits):
        at_ms = START_MS + number * 2_000
        person = f"p{number % 17}"
        await take(engine, event(2 * number, person=person, at_ms=at_ms))
        reply = await decide(engine, person=person)
        items = sorted((item["id"] for item in reply["placements"][HOME]["items"]), key=lambda one: int(one[4:]))
        await take(engine, event(
            2 * number + 1, person=person, name="Product Clicked", at_ms=at_ms + 1_000,
            context={"decisionId": reply["decisionId"]}, properties={"product_id": items[number % 5 == 0]},
        ))  # fmt: skip
    await take(engine, event(-1, person="late", at_ms=at_ms + 600_000))

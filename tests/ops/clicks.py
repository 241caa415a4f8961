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


def look(data: Path, config: Path, *, visits: int, at_once: int = 1) -> None:
    """Make the directory of a shop that sends views alone, so many at once: whoever looks at an item looks at the next
    ones then, and all lists that it shows of its own are of ten items, of which somebody clicks the third."""
    events = []
    for number in range(visits):
        at_ms, person = START_MS + number * 20_000, f"p{number}"
        for step in range(VIEWS):
            fields = {"properties": {"product_id": f"sku-{(number + step) % 20}"}}
            events.append(event(10 * number + step, person=person, at_ms=at_ms + step * 2_000, **fields))
        shown = [{"product_id": f"sku-{(number * 7 + place) % 20}"} for place in range(10)]
        for place, properties in enumerate(({"products": shown}, shown[2])):
            events.append(event(
                10 * number + 5 + place, person=person, name=("Product List Viewed", "Product Clicked")[place],
                at_ms=at_ms + 9_000, properties={"list_id": f"list-{number}", **properties},
            ))  # fmt: skip
    late = event(-1, person="late", at_ms=START_MS + visits * 20_000 + 600_000)

    async def happen(engine: Engine) -> None:
        for first in range(0, len(events), at_once):
            await take(engine, *events[first : first + at_once])
        await take(engine, late)

    _fill(data, config, happen)


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

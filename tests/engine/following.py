"""Following a stream in a test: what was sent, as events, and an engine that brings it."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager
from typing import Any, NamedTuple

from instanter.engine.loop import Engine
from instanter.engine.streaming.cursor import Cursor, cursor_of
from instanter.engine.streaming.kinds import KIND_NAMES
from instanter.engine.streaming.streams import Reader, Subscription


class Sent(NamedTuple):
    """One event of a stream."""

    id: str
    event: str
    data: Any


def sent_in(text: str) -> Iterator[Sent]:
    """The events of a stream, those that a browser would hear."""
    for block in text.split("\n\n"):
        fields = dict(line.split(": ", 1) for line in block.splitlines() if line and not line.startswith(":"))
        if "data" in fields:
            yield Sent(fields["id"], fields["event"], json.loads(fields["data"]))


class Following:
    """A reader, and what it has been sent."""

    def __init__(self, reader: Reader) -> None:
        self.reader = reader
        self.pieces = reader.pieces()
        self.sent: list[Sent] = []

    async def piece(self) -> list[Sent]:
        """The next piece."""
        new = list(sent_in((await anext(self.pieces)).decode()))
        self.sent += new
        return new

    async def until(self, count: int, *, of: Sequence[str] = KIND_NAMES) -> list[Sent]:
        """All entries of these kinds, once there are so many."""
        while len(found := [one for one in self.sent if one.event in of]) < count:
            await self.piece()
        return found

    async def to_the_end(self) -> Sent:
        """The last word."""
        while self.sent[-1:] == [] or self.sent[-1].event not in ("cut", "end"):
            await self.piece()
        return self.sent[-1]


async def follow(
    engine: Engine, *kinds: str, since: str | Cursor | None = None, placements: Sequence[str] = (),
    tenant: str = "default",
) -> Following:  # fmt: skip
    """Begin to follow; the opening has been sent."""
    asked = Subscription(tenant, frozenset(kinds or KIND_NAMES), frozenset(placements))
    reader = await engine.streams.open(asked, cursor_of(since) if isinstance(since, str) else since)
    following = Following(reader)
    await following.piece()
    return following


@asynccontextmanager
async def streaming(engine: Engine) -> AsyncIterator[asyncio.Task[None]]:
    """As long as this lasts entries are brought to who follows."""
    running = asyncio.create_task(engine.streams.run())
    await asyncio.sleep(0)
    try:
        yield running
    finally:
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)

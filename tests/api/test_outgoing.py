"""Large replies: in pieces, counted until their readers have taken them; the slow ones go first."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
from starlette.responses import Response

from instanter.api.outgoing import LargeReply, Outgoing
from instanter.foundation.errors import Overloaded
from instanter.foundation.limits import (
    REPLIES_CUT_OFF_MAX,
    REPLY_CUT_OFF_S,
    REPLY_PIECE_BYTES,
    SEND_BUFFER_BYTES_MAX,
)

from .client import Client, with_client

LARGE = SEND_BUFFER_BYTES_MAX + REPLY_PIECE_BYTES + 1
ROOM = 2 * LARGE


class Reader:
    """Takes so many messages; for each further one it lets us wait, for ever."""

    def __init__(self, takes: int = 1_000) -> None:
        self._takes = takes
        self.messages: list[dict[str, Any]] = []

    async def send(self, message: Any) -> None:
        if len(self.messages) >= self._takes:
            await asyncio.Event().wait()
        self.messages.append(message)

    async def receive(self) -> dict[str, Any]:
        return {"type": "http.disconnect"}

    @property
    def body(self) -> bytes:
        return b"".join(message.get("body", b"") for message in self.messages)


def reply(size_bytes: int = LARGE) -> Response:
    return Response(bytes(range(256)) * (size_bytes // 256) + b"x" * (size_bytes % 256))


def begun(outgoing: Outgoing, reader: Reader) -> asyncio.Task[None]:
    return asyncio.create_task(outgoing.held(reply())({"type": "http", "method": "GET"}, reader.receive, reader.send))


def run(work: Callable[[], Awaitable[None]]) -> None:
    async def bounded() -> None:
        async with asyncio.timeout(20):
            await work()

    asyncio.run(bounded())


def test_a_small_reply_is_sent_as_it_is() -> None:
    async def work() -> None:
        small, outgoing = reply(SEND_BUFFER_BYTES_MAX), Outgoing()
        assert outgoing.held(small) is small
        assert outgoing.held_bytes == 0

    run(work)


def test_a_large_one_is_sent_whole_in_pieces_and_holds_nothing_afterwards() -> None:
    async def work() -> None:
        outgoing, reader, response = Outgoing(ROOM), Reader(), reply()
        held = outgoing.held(response)
        assert isinstance(held, LargeReply)
        assert outgoing.held_bytes == LARGE
        await held({"type": "http", "method": "GET"}, reader.receive, reader.send)
        assert (reader.body, outgoing.held_bytes, outgoing.cut_off) == (response.body, 0, 0)
        assert max(len(message.get("body", b"")) for message in reader.messages) == REPLY_PIECE_BYTES
        *before, last = (message["more_body"] for message in reader.messages[1:])
        assert (set(before), last) == ({True}, False)
        assert dict(reader.messages[0]["headers"])[b"content-length"] == b"%d" % LARGE

    run(work)


def test_where_there_is_no_room_a_new_one_is_refused_as_long_as_nobody_is_slow() -> None:
    async def work() -> None:
        outgoing = Outgoing(ROOM, spared_ms=60_000)
        tasks = [begun(outgoing, Reader(takes)) for takes in (1, 2)]
        await asyncio.sleep(0)
        with pytest.raises(Overloaded) as refused:
            outgoing.held(reply())
        assert refused.value.retry_after_s >= 1
        assert (outgoing.held_bytes, outgoing.cut_off) == (ROOM, 0)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        assert outgoing.held_bytes == 0, "who left makes room"

    run(work)


def test_who_has_taken_nothing_for_the_longest_is_cut_off_in_the_midst_of_it() -> None:
    async def work() -> None:
        outgoing, readers = Outgoing(ROOM, spared_ms=0), [Reader(2), Reader(3)]
        first = begun(outgoing, readers[0])
        await asyncio.sleep(0.01)
        second = begun(outgoing, readers[1])
        await asyncio.sleep(0.01)
        new = Reader()
        await begun(outgoing, new)
        assert len(new.body) == LARGE
        await first
        assert (outgoing.cut_off, second.done()) == (1, False)
        assert readers[0].messages[-1]["more_body"], "its end is none"
        second.cancel()
        await asyncio.gather(second, return_exceptions=True)
        assert outgoing.held_bytes == 0

    run(work)


def test_a_tenant_of_whom_many_were_cut_off_gets_no_large_replies_for_a_while_and_others_do() -> None:
    async def work() -> None:
        outgoing = Outgoing(LARGE, spared_ms=0)
        for _ in range(REPLIES_CUT_OFF_MAX):
            slow = asyncio.create_task(outgoing.held(reply(), "slow")({}, Reader().receive, Reader(1).send))
            await asyncio.sleep(0.001)
            outgoing.held(reply(), "other")
            await slow
            outgoing.leave(outgoing._waiting[0])
        assert outgoing.cut_off == REPLIES_CUT_OFF_MAX
        with pytest.raises(Overloaded) as refused:
            outgoing.held(reply(), "slow")
        assert 1 < refused.value.retry_after_s <= REPLY_CUT_OFF_S + 1
        assert isinstance(outgoing.held(reply(), "other"), LargeReply)
        assert outgoing.held(small := reply(5), "slow") is small

    run(work)


def test_a_page_larger_than_the_kernel_takes_is_the_same_page(tmp_path: Path) -> None:
    async def work(client: Client) -> None:
        items = [{"id": f"i{n}", "fields": {"title": "T", "text": "x" * 15_000}} for n in range(20)]
        assert (await client.post("/v1/items", {"items": items})).status_code == 200
        answer = await client.get("/v1/items?limit=1000")
        assert len(answer.content) > SEND_BUFFER_BYTES_MAX
        assert [one["id"] for one in answer.json()["items"]] == [one["id"] for one in items]

    with_client(tmp_path, work)

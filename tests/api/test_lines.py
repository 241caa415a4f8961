"""Whole logs as lines over HTTP: few at once, and nobody keeps one for longer than taking it takes."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from instanter.api.lines import LinesResponse
from instanter.engine.readings import Readings
from instanter.foundation.limits import EXPORT_BYTES_PER_S_MIN, EXPORTS_MAX

from .client import Client, track, with_client
from .test_audit_routes import LINES

EXPORT = "/v1/profiles/anonymous:a1/export"


@pytest.mark.parametrize(("path", "headers"), [(EXPORT, {}), ("/v1/audit", LINES)])
def test_however_many_ask_at_once_so_many_are_read_and_the_others_hear_it(
    path: str, headers: dict[str, str], tmp_path: Path
) -> None:
    async def work(client: Client) -> None:
        assert (await client.post("/v1/track", track())).status_code == 200
        asked = (client.get(path, headers=headers) for _ in range(4 * EXPORTS_MAX))
        statuses = sorted([answer.status_code for answer in await asyncio.gather(*asked)])
        assert statuses[: EXPORTS_MAX + 1] == [200] + [429] * EXPORTS_MAX, "one of a tenant"
        assert set(statuses) == {200, 429}
        assert (await client.get(path, headers=headers)).status_code == 200, "what ended makes room"

    with_client(tmp_path, work)


class Taker:
    """Takes so many messages at once; for each further one it lets us wait, if need be for ever."""

    def __init__(self, at_once: int, *, then_for_ever: bool) -> None:
        self._at_once = at_once
        self._then_for_ever = then_for_ever
        self.messages: list[dict[str, Any]] = []

    async def send(self, message: Any) -> None:
        if len(self.messages) >= self._at_once:
            await (asyncio.Event().wait() if self._then_for_ever else asyncio.sleep(0.001))
        self.messages.append(message)

    async def receive(self) -> dict[str, Any]:
        await asyncio.Event().wait()
        return {}


def pieces(count: int) -> Iterator[list[bytes]]:
    return ([b"x" * EXPORT_BYTES_PER_S_MIN] for _ in range(count))


async def respond(readings: Readings, taker: Taker, count: int, **more: Any) -> None:
    response = LinesResponse(readings.begin("default", pieces(count)), **more)
    await response({"type": "http"}, taker.receive, taker.send)


@pytest.mark.parametrize("takes", [0, 1])
def test_who_takes_nothing_more_is_cut_off_in_the_midst_of_it_and_makes_room(takes: int) -> None:
    taker, readings = Taker(takes, then_for_ever=True), Readings("logs")
    asyncio.run(respond(readings, taker, 3, wait_s_max=0.01))
    assert len(taker.messages) == takes
    assert all(message.get("more_body", True) for message in taker.messages), "its end is none"
    assert readings.begin("default", pieces(1))


def test_what_was_taken_buys_time_beyond_what_there_is_for_all() -> None:
    """So the bounds EXPORT_WAIT_S_MAX and EXPORT_BYTES_PER_S_MIN are of who takes little, not of who is owed much."""
    taker = Taker(2, then_for_ever=False)
    asyncio.run(respond(Readings("logs"), taker, 5, wait_s_max=0))
    assert (len(taker.messages), taker.messages[-1]["more_body"]) == (1 + 5 + 1, False)
    late = Taker(1, then_for_ever=False)
    asyncio.run(respond(Readings("logs"), late, 5, wait_s_max=0))
    assert len(late.messages) == 1, "nothing was taken yet"

"""What of a body is read where the request is refused anyway."""

from __future__ import annotations

import asyncio

import pytest
from starlette.requests import Request
from starlette.types import Message

from instanter.api.bodies import skip_body
from instanter.foundation.errors import Overloaded, RequestRejected
from instanter.foundation.limits import BODY_FREE_BYTES


class Sender:
    """Sends what it is given, message by message; an exception is raised in its place."""

    def __init__(self, *messages: Message | Exception) -> None:
        self._left = list(messages)
        self.asked = 0

    async def receive(self) -> Message:
        self.asked += 1
        message = self._left.pop(0)
        if isinstance(message, Exception):
            raise message
        return message


def part(size_bytes: int, *, more: bool = False) -> Message:
    return {"type": "http.request", "body": b"x" * size_bytes, "more_body": more}


def skip(sender: Sender, **headers: str) -> None:
    """Skip the body of a request with these headers."""
    raw = [(name.replace("_", "-").encode(), value.encode()) for name, value in headers.items()]
    scope = {"type": "http", "method": "POST", "path": "/v1/track", "headers": raw}
    asyncio.run(skip_body(Request(scope, sender.receive)))


def test_a_small_body_is_read_to_its_end() -> None:
    sender = Sender(part(10, more=True), part(20))
    skip(sender, content_length="30")
    assert sender.asked == 2


def test_the_largest_body_that_is_skipped_is_what_is_free_of_each() -> None:
    sender = Sender(part(BODY_FREE_BYTES))
    skip(sender, content_length=str(BODY_FREE_BYTES))
    assert sender.asked == 1


@pytest.mark.parametrize(
    "headers",
    [
        {"content_length": str(BODY_FREE_BYTES + 1)},
        {"content_length": "0"},
        {},
        {"transfer_encoding": "chunked"},
        {"content_length": "30", "expect": "100-continue"},
    ],
    ids=["too large", "empty", "none", "of unknown length", "only sent when asked for"],
)
def test_nobody_waits_for_a_body_that_is_not_worth_it_or_does_not_come(headers: dict[str, str]) -> None:
    sender = Sender()
    skip(sender, **headers)
    assert sender.asked == 0


@pytest.mark.parametrize(
    "end",
    [{"type": "http.disconnect"}, RequestRejected("slow", "it took too long", status=408), Overloaded("no place")],
    ids=["the client leaves", "its time is over", "all places are taken"],
)
def test_a_body_that_does_not_come_to_its_end_changes_nothing(end: Message | Exception) -> None:
    sender = Sender(part(10, more=True), end)
    skip(sender, content_length="30")
    assert sender.asked == 2

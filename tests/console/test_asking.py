"""What a page asks of the API in this process: bounded, with the session's key and nothing else of the browser's."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from starlette.requests import Request
from starlette.types import Message, Receive, Scope, Send

from instanter.console.asking import Asking, Refused
from instanter.foundation.limits import CONSOLE_ANSWER_BYTES_MAX

SENT: dict[str, Any] = {
    "type": "http", "method": "POST", "path": "/console/jobs", "query_string": b"q=1", "client": ("10.0.0.7", 1),
    "headers": [(b"cookie", b"instanter_console=1"), (b"x-user-token", b"t"), (b"authorization", b"Bearer other")],
}  # fmt: skip


class Api:
    """An application that answers with a body, in pieces, and keeps what it was asked."""

    def __init__(self, *pieces: bytes, status: int = 200) -> None:
        self.pieces = pieces
        self.status = status
        self.scope: Scope = {}
        self.body = b""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self.scope, self.body = scope, (await receive())["body"]
        assert (await receive())["type"] == "http.disconnect"
        await send({"type": "http.response.start", "status": self.status, "headers": [(b"x-a", b"1")]})
        for piece in self.pieces:
            await send({"type": "http.response.body", "body": piece, "more_body": True})
        await send({"type": "http.response.body", "body": b"", "more_body": False})


def ask(api: Api, method: str = "GET", body: object = None) -> Any:
    asking = Asking(api, Request(SENT), "ik_1_2")
    return asyncio.run(asking.call(method, "/v1/items/a%2Fb", query={"limit": "5"}, body=body))


def test_a_call_carries_the_key_of_the_session_and_nothing_that_the_browser_sent() -> None:
    api = Api(b'{"a":', b"1}")
    answer = ask(api, "PATCH", {"fields": {}})
    assert (answer.status, answer.json(), answer.headers) == (200, {"a": 1}, {"x-a": "1"})
    headers = dict(api.scope["headers"])
    assert headers[b"authorization"] == b"Bearer ik_1_2"
    assert set(headers) == {b"host", b"accept", b"authorization", b"content-type", b"content-length"}
    assert (api.scope["raw_path"], api.scope["query_string"]) == (b"/v1/items/a%2Fb", b"limit=5")
    assert api.body == b'{"fields":{}}'


def test_an_answer_that_is_too_large_is_refused() -> None:
    assert len(ask(Api(b" " * CONSOLE_ANSWER_BYTES_MAX)).body) == CONSOLE_ANSWER_BYTES_MAX
    with pytest.raises(Refused, match="too large"):
        ask(Api(b" " * CONSOLE_ANSWER_BYTES_MAX, b" "))


@pytest.mark.parametrize(("body", "code"), [
    (b'{"error": {"code": "forbidden", "message": "no"}}', "forbidden"), (b"<html>", "unreadable"),
    (b"[]", "unreadable"),
])  # fmt: skip
def test_an_error_of_the_api_is_told_as_the_api_has_it(body: bytes, code: str) -> None:
    with pytest.raises(Refused) as refused:
        ask(Api(body, status=403)).json()
    assert (refused.value.code, refused.value.status) == (code, 403)


async def until_gone(scope: Scope, receive: Receive, send: Send) -> None:
    """An application that tells for as long as its client stays."""
    await send({"type": "http.response.start", "status": 200, "headers": []})
    while (await receive())["type"] != "http.disconnect":
        pass


@pytest.mark.parametrize(("logs_out", "left_s"), [(True, None), (True, 3_600.0), (False, 0.01)])
def test_what_is_handed_on_without_end_ends_with_the_session(logs_out: bool, left_s: float | None) -> None:
    async def work() -> list[Message]:
        over, sent = asyncio.Event(), list[Message]()

        async def receive() -> Message:
            await asyncio.Event().wait()
            raise AssertionError("the browser stays")

        async def send(message: Message) -> None:
            sent.append(message)
            if logs_out:
                over.set()

        asking = Asking(until_gone, Request(SENT), "ik_1_2", over=over, left_s=left_s)
        async with asyncio.timeout(30):
            await asking.handed_on("/v1/stream", accept="text/event-stream")(SENT, receive, send)
        return sent

    assert [message["type"] for message in asyncio.run(work())] == ["http.response.start"]


def test_what_is_handed_on_ends_when_its_browser_has_left() -> None:
    async def work() -> None:
        said: list[Message] = [{"type": "http.request", "body": b""}, {"type": "http.disconnect"}]

        async def receive() -> Message:
            return said.pop(0)

        async def send(message: Message) -> None:
            assert message["type"] == "http.response.start"

        async with asyncio.timeout(30):
            asking = Asking(until_gone, Request(SENT), "ik_1_2", over=asyncio.Event(), left_s=3_600.0)
            await asking.handed_on("/v1/stream", accept="text/event-stream")(SENT, receive, send)
        assert said == []

    asyncio.run(work())

"""Whose connection the kernel keeps although the peer takes nothing."""

from __future__ import annotations

import asyncio
import socket
import sys
from collections.abc import Iterator

import pytest
from starlette.types import Message, Receive, Scope, Send

from instanter.foundation.limits import STREAM_SILENT_S_MAX
from instanter.ops.patience import Patience, lengthen
from instanter.ops.serving import listen

HOST = "127.0.0.1"
WRITE_S = 3

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="only Linux has a deadline for what nobody takes")


@pytest.fixture
def accepted() -> Iterator[list[socket.socket]]:
    """Two connections, as the server has them."""
    with (
        listen(HOST, 0, write_s=WRITE_S) as listener,
        socket.create_connection(listener.getsockname()), socket.create_connection(listener.getsockname()),
    ):  # fmt: skip
        listener.setblocking(True)
        with listener.accept()[0] as one, listener.accept()[0] as other:
            yield [one, other]


def deadline_s(one: socket.socket) -> float:
    return one.getsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT) / 1_000


def test_the_connection_of_that_peer_stays_and_no_other(accepted: list[socket.socket]) -> None:
    one, other = accepted
    assert lengthen(*other.getpeername(), 60)
    assert [deadline_s(one), deadline_s(other)] == [WRITE_S, 60]


def test_of_a_peer_that_is_gone_nothing_is_found(accepted: list[socket.socket]) -> None:
    host, port = accepted[0].getpeername()
    accepted[0].close()
    assert not lengthen(host, port, 60)


@pytest.mark.parametrize(
    ("method", "kind", "expected_s"),
    [("GET", "text/event-stream; charset=utf-8", STREAM_SILENT_S_MAX), ("GET", "application/json", WRITE_S),
     ("POST", "text/event-stream", WRITE_S)],
)  # fmt: skip
def test_streams_alone_may_wait(method: str, kind: str, expected_s: float, accepted: list[socket.socket]) -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-type", kind.encode())]})

    sent: list[Message] = []

    async def run() -> None:
        async def send(message: Message) -> None:
            sent.append(message)

        host, port = accepted[0].getpeername()
        scope = {"type": "http", "method": method, "client": (host, str(port))}  # as granian has it
        await Patience(app)(scope, asyncio.Queue[Message]().get, send)

    asyncio.run(run())
    assert [message["type"] for message in sent] == ["http.response.start"]
    assert deadline_s(accepted[0]) == expected_s

"""R16: whoever asks for large replies and does not read them takes up a bounded room, and keeps nobody from theirs."""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Callable, Iterator

import pytest

from instanter.foundation.limits import REPLIES_BYTES_MAX, REPLY_SPARED_MS, SEND_BUFFER_BYTES_MAX

from .accountant import ask
from .conftest import Figures, MakeSite
from .servers import ForkedServer
from .slow_clients import resident_bytes

pytestmark = pytest.mark.faults

MIB = 1024 * 1024
PAGE = "/v1/items?limit=1000"
ITEMS = 250
SLACK = 48 * MIB
"""Replies in the making, with what the allocator keeps of them: 8 to 27 MiB in ten runs of the cut form."""


def stocked(server: ForkedServer) -> int:
    """Large items; the bytes of the page that lists them."""
    for first in range(0, ITEMS, 50):
        items = [{"id": f"big-{n}", "fields": {"title": "T", "text": "x" * 15_000}} for n in range(first, first + 50)]
        assert ask(server.port, "POST", "/v1/items", {"items": items}).status == 200
    return len(ask(server.port, "GET", PAGE).body)


@contextlib.contextmanager
def unread(port: int, count: int, *, on_each: Callable[[], None]) -> Iterator[list[socket.socket]]:
    """Connections that ask for the page, and read nothing of it."""
    opened = []
    try:
        for _ in range(count):
            connection = socket.socket()
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4_096)
            connection.settimeout(10)
            connection.connect(("127.0.0.1", port))
            connection.sendall(f"GET {PAGE} HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n".encode())
            opened.append(connection)
            threading.Event().wait(0.01)
            on_each()
        yield opened
    finally:
        for connection in opened:
            connection.close()


def test_replies_that_nobody_reads_take_a_bounded_room_and_others_get_theirs(
    make_site: MakeSite, full: bool, figures: Figures
) -> None:
    site = make_site()
    server, count = site.start(), 450 if full else 120
    page_bytes = stocked(server)
    before, seen = resident_bytes(server.pid), [0]
    assert count * page_bytes > 10 * REPLIES_BYTES_MAX

    def look() -> None:
        seen.append(resident_bytes(server.pid))

    with unread(server.port, count, on_each=look) as connections:
        for connection in connections:
            assert connection.recv(1), "each has been answered"
            look()
        threading.Event().wait(2 * REPLY_SPARED_MS / 1_000)
        answers = [ask(server.port, "GET", PAGE) for _ in range(5)]
        assert {answer.status for answer in answers} <= {200, 429}, "many of this tenant were cut off"
        assert all("retry-after" in answer.headers for answer in answers if answer.status == 429)
        assert ask(server.port, "GET", "/v1/items/big-1").status == 200, "what is small is not held up"
        look()
    grown = max(seen) - before
    figures(connections=count, page_bytes=page_bytes, grown_mib_max=round(grown / MIB, 1))
    assert grown <= REPLIES_BYTES_MAX + SLACK
    assert page_bytes > SEND_BUFFER_BYTES_MAX
    assert ask(server.port, "GET", "/readyz").status == 200

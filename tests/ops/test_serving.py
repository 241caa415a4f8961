"""The socket that is served on, and what becomes of connections for which there is no place."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import resource
import select
import socket
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from instanter.foundation.errors import Unavailable
from instanter.foundation.limits import BACKLOG_MAX, FILES_RESERVED, SEND_BUFFER_BYTES_MAX
from instanter.foundation.measure import Measurements
from instanter.ops.serving import listen, open_files, open_files_max, room_for, turn_away

HOST = "127.0.0.1"


@pytest.fixture
def listener() -> Iterator[socket.socket]:
    with listen(HOST, 0, write_s=3) as listener:
        yield listener


@pytest.fixture
def soft_limit() -> Iterator[None]:
    """The bound of open files as it was before the test."""
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, before)


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux has a deadline for what a peer does not take")
def test_what_is_accepted_has_a_deadline_for_writing_and_a_bounded_buffer(listener: socket.socket) -> None:
    with socket.create_connection(listener.getsockname()), listener.accept()[0] as accepted:
        assert accepted.getsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT) == 3_000
        assert accepted.getsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF) <= 2 * SEND_BUFFER_BYTES_MAX


def test_an_address_that_somebody_has_is_refused(listener: socket.socket) -> None:
    with pytest.raises(Unavailable, match="cannot listen"):
        listen(HOST, listener.getsockname()[1], write_s=3)


@pytest.mark.skipif(sys.platform != "linux", reason="other kernels hold as many more as they see fit")
def test_so_many_connections_wait_to_be_taken_up_and_one_more_is_not_answered(soft_limit: None) -> None:
    assert room_for(2 * BACKLOG_MAX) == 2 * BACKLOG_MAX
    held = min(BACKLOG_MAX, int(Path("/proc/sys/net/core/somaxconn").read_text())) + 1
    with contextlib.ExitStack() as opened, listen(HOST, 0, write_s=3) as listener:
        waiting = select.epoll()
        opened.callback(waiting.close)
        for _ in range(held + 50):
            client = opened.enter_context(socket.socket())
            client.setblocking(False)
            client.connect_ex(listener.getsockname())
            waiting.register(client, select.EPOLLOUT)
        assert len(waiting.poll(0, maxevents=2 * held)) == held, "the kernel holds one more than it is told"


def test_open_files_are_raised_to_what_may_be_had(soft_limit: None) -> None:
    resource.setrlimit(resource.RLIMIT_NOFILE, (512, resource.getrlimit(resource.RLIMIT_NOFILE)[1]))
    assert room_for(100) == 100
    assert resource.getrlimit(resource.RLIMIT_NOFILE)[0] == open_files_max()


def test_more_connections_than_files_are_cut_to_what_there_is_room_for(
    soft_limit: None, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING):
        assert room_for(1 << 40) == open_files_max() - FILES_RESERVED
    assert "fewer connections than configured" in caplog.text


def test_open_files_are_counted() -> None:
    before = open_files()
    with socket.socket(), socket.socket():
        assert open_files() == before + 2
    assert open_files() == before


def test_whoever_waits_while_all_places_are_taken_is_told_and_closed(listener: socket.socket) -> None:
    async def run() -> None:
        full, meter = False, Measurements()
        turning = asyncio.create_task(turn_away(listener, is_full=lambda: full, meter=meter))
        reader, writer = await asyncio.open_connection(*listener.getsockname())
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.3):
                await reader.read(1)
        assert meter.counts["connections_refused"] == 0, "with places free, the server takes it in its own time"
        full = True
        told = await reader.read()
        assert told.startswith(b"HTTP/1.1 429 ")
        assert b"\r\nretry-after: 1\r\n" in told.lower()
        assert b'"code":"overloaded"' in told
        assert meter.counts["connections_refused"] == 1
        writer.close()
        turning.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await turning

    asyncio.run(run())

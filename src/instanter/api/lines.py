"""Replies of many lines, which are made while they are taken: whole logs that are read for somebody."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Final

from starlette.responses import StreamingResponse
from starlette.types import Message, Receive, Scope, Send

from ..engine.readings import Reading
from ..foundation.limits import EXPORT_BYTES_PER_S_MIN, EXPORT_WAIT_S_MAX

NDJSON_MEDIA_TYPE: Final = "application/x-ndjson"


class LinesResponse(StreamingResponse):
    """JSON by the line: each piece is made when the one before has been taken. To whoever takes too long the
    connection is closed in the midst of it, and not as at an end."""

    def __init__(self, reading: Reading, *, first: bytes = b"", wait_s_max: float = EXPORT_WAIT_S_MAX) -> None:
        """`first` are lines that go before those of the reading, which is closed at the end."""
        super().__init__(_pieces(first, reading), media_type=NDJSON_MEDIA_TYPE)
        self._reading = reading
        self._wait_s_max = wait_s_max

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send it."""
        try:
            await super().__call__(scope, receive, send)
        finally:
            self._reading.close()

    async def stream_response(self, send: Send) -> None:
        """Send it all, or a part to who takes too long."""
        taking = _Taking(send, self._wait_s_max)
        try:
            await super().stream_response(taking.send)
        except TimeoutError:
            if not taking.too_slow:
                raise


class _Taking:
    """What a client takes, and how long that makes us wait in all."""

    def __init__(self, send: Send, wait_s_max: float) -> None:
        self._send = send
        self._wait_s_max = wait_s_max
        self._waited_s = 0.0
        self._taken_bytes = 0
        self.too_slow = False

    async def send(self, message: Message) -> None:
        """Send a message; `TimeoutError` when all the time there was for what has been taken is used up."""
        clock = asyncio.get_running_loop().time
        began_s = clock()
        left_s = self._wait_s_max + self._taken_bytes / EXPORT_BYTES_PER_S_MIN - self._waited_s
        async with asyncio.timeout(left_s) as timeout:
            try:
                await self._send(message)
            finally:
                self.too_slow = timeout.expired()
        self._waited_s += clock() - began_s
        self._taken_bytes += len(message.get("body", b""))


async def _pieces(first: bytes, reading: Reading) -> AsyncIterator[bytes]:
    """A body of lines: the log is read in a thread, a bounded piece at a time."""
    if first:
        yield first
    while (piece := await asyncio.to_thread(next, reading, None)) is not None:
        if piece:
            yield b"".join(piece)

"""Replies of many lines, which are made while they are taken: whole logs that are read for somebody."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Final

from starlette.responses import StreamingResponse
from starlette.types import Receive, Scope, Send

from ..engine.readings import Reading
from ..foundation.limits import EXPORT_WAIT_S_MAX
from .outgoing import Taking

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
        taking = Taking(send, self._wait_s_max)
        try:
            await super().stream_response(taking.send)
        except TimeoutError:
            if not taking.too_slow:
                raise


async def _pieces(first: bytes, reading: Reading) -> AsyncIterator[bytes]:
    """A body of lines: the log is read in a thread, a bounded piece at a time."""
    if first:
        yield first
    while (piece := await asyncio.to_thread(next, reading, None)) is not None:
        if piece:
            yield b"".join(piece)

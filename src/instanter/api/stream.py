"""`GET /v1/stream`: what happens, as server-sent events, to whoever stays."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Sequence
from typing import Final

from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Message, Receive, Scope, Send

from ..engine.loop import Engine
from ..engine.streaming.cursor import Cursor, cursor_of
from ..engine.streaming.kinds import KIND_NAMES, KINDS
from ..engine.streaming.streams import Reader, Streams, Subscription
from ..foundation.errors import RequestRejected
from ..foundation.limits import EXPORT_BYTES_PER_S_MIN, EXPORT_WAIT_S_MAX, STREAM_CUT_S_MAX
from .admission import STANDS_ASIDE
from .tenancy import DEVELOPER, caller_of

EVENT_STREAM: Final = "text/event-stream"
_HEADERS: Final = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}
"""No proxy keeps it, nor gathers it."""
OLDEST: Final = "oldest"
PLACED: Final = ", ".join(kind.name for kind in KINDS if kind.is_placed)


async def follow(engine: Engine, request: Request) -> Response:
    """`GET /v1/stream`: decisions, outcomes, events and refusals of the tenant, from an id on, or from now on."""
    caller = caller_of(request)
    placements = [placement.id for placement in engine.decider.placements]
    asked, since = _asked(request, caller.tenant, placements), _since(request, engine.streams)
    if request.method == "HEAD":
        return Response(headers=_HEADERS, media_type=EVENT_STREAM)
    reader = await engine.streams.open(asked, since)

    def counts() -> bool:
        key = engine.partition.access_keys.get(caller.actor)
        return caller is DEVELOPER or (key is not None and key.counts)

    return StreamResponse(engine.streams, reader, counts)


class StreamResponse(Response):
    """Entries as they come, until the reader leaves, is cut off, or the server ends."""

    def __init__(
        self, streams: Streams, reader: Reader, counts: Callable[[], bool], cut_s_max: float = STREAM_CUT_S_MAX
    ) -> None:
        """`counts` says whether the access key still does. The reader is closed at the end."""
        super().__init__(headers=_HEADERS, media_type=EVENT_STREAM)
        del self.headers["content-length"]
        self._streams = streams
        self._reader = reader
        self._counts = counts
        self._cut_s_max = cut_s_max

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send it."""
        if stand_aside := scope.get(STANDS_ASIDE):
            stand_aside()
        sending = asyncio.create_task(self._send_all(send))
        leaving = asyncio.create_task(_left(receive))
        try:
            await asyncio.wait({sending, leaving}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            self._streams.close(self._reader)
            sending.cancel()
            leaving.cancel()
            ended = await asyncio.gather(sending, leaving, return_exceptions=True)
        for one in ended:
            if isinstance(one, Exception) and not isinstance(one, TimeoutError | OSError):
                raise one

    async def _send_all(self, send: Send) -> None:
        """All there is to send. Raises `TimeoutError` to who takes nothing for too long."""
        taking = _Taking(send, self._reader, self._cut_s_max)
        await taking.send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
        async with contextlib.aclosing(self._reader.pieces()) as pieces:
            async for piece in pieces:
                if not (self._reader.is_over or self._counts()):
                    self._reader.cut("the access key counts no longer")
                elif piece:
                    await taking.send({"type": "http.response.body", "body": piece, "more_body": True})
        await taking.send({"type": "http.response.body", "body": b"", "more_body": False})


class _Taking:
    """What a reader takes. One who follows may take nothing for as long as nothing overflows; one for whom the log is
    read keeps others from it, and has to take it at a rate; and who was cut off is waited for only so long."""

    def __init__(self, send: Send, reader: Reader, cut_s_max: float) -> None:
        self._cut_s_max = cut_s_max
        self._send = send
        self._reader = reader
        self._clock = asyncio.get_running_loop().time
        self._waited_s = 0.0
        self._taken_bytes = 0
        self._until_s: float | None = None
        """When waiting ends for one who was cut off."""
        self._timeout: asyncio.Timeout | None = None
        reader.on_cut = self._hurry

    async def send(self, message: Message) -> None:
        """Send a message. Raises `TimeoutError`."""
        began_s = self._clock()
        until_s = self._until_s
        if until_s is None and self._reader.is_behind:
            until_s = began_s + EXPORT_WAIT_S_MAX + self._taken_bytes / EXPORT_BYTES_PER_S_MIN - self._waited_s
        async with asyncio.timeout_at(until_s) as self._timeout:
            try:
                await self._send(message)
            finally:
                self._timeout = None
        if self._reader.is_behind:
            self._waited_s += self._clock() - began_s
            self._taken_bytes += len(message.get("body", b""))

    def _hurry(self) -> None:
        self._until_s = self._clock() + self._cut_s_max
        if self._timeout is not None:
            self._timeout.reschedule(self._until_s)


async def _left(receive: Receive) -> None:
    """Returns when the client is gone."""
    while (await receive())["type"] != "http.disconnect":
        pass


def _asked(request: Request, tenant: str, placements: Sequence[str]) -> Subscription:
    """What is asked for; `RequestRejected` for what cannot be, and for what would have no effect."""
    query = request.query_params
    kinds = _named(query.getlist("kinds"), KIND_NAMES, "kinds", "kind of entry") or frozenset(KIND_NAMES)
    shown = _named(query.getlist("placement"), placements, "placement", "placement")
    if shown and not any(kind.is_placed for kind in KINDS if kind.name in kinds):
        raise _rejected(f"placement means nothing to {', '.join(sorted(kinds))}: it chooses among {PLACED}")
    return Subscription(tenant, kinds, shown)


def _named(sent: Sequence[str], known: Sequence[str], parameter: str, what: str) -> frozenset[str]:
    """What a parameter names, divided by commas or told several times; empty where it is not there."""
    names = [name.strip() for text in sent for name in text.split(",")]
    for name in names:
        if name not in known:
            there_are = ", ".join(known)
            raise _rejected(f'{parameter}: "{name[:80]}" is no {what}; there are {there_are}')
    return frozenset(names)


def _since(request: Request, streams: Streams) -> Cursor | None:
    """Where to begin; what a browser says of itself when it comes again goes before what the address said at first."""
    sent = request.headers.get("last-event-id") or request.query_params.get("from")
    if sent is None:
        return None
    if sent == OLDEST:
        return streams.oldest()
    cursor = cursor_of(sent)
    if cursor is None:
        raise _rejected(f'from, or Last-Event-ID, is the id of an entry as the stream gave it, or "{OLDEST}"')
    return cursor


def _rejected(reason: str) -> RequestRejected:
    return RequestRejected("schema", reason)

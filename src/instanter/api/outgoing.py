"""Large replies on their way out: how much of them waits at once for whoever reads it, and for how long.

A reply that the kernel takes whole costs nothing once it is sent. A larger one lies in memory until its reader has
taken it, and the HTTP server would hold any number of those. So they are sent in pieces, each when the one before has
been taken, and counted until then.
"""

from __future__ import annotations

import asyncio
from collections import deque
from mmap import mmap
from typing import Final

from starlette.responses import Response
from starlette.types import Message, Receive, Scope, Send

from ..foundation.errors import Overloaded
from ..foundation.limits import (
    EXPORT_BYTES_PER_S_MIN,
    EXPORT_WAIT_S_MAX,
    REPLIES_BYTES_MAX,
    REPLIES_CUT_OFF_MAX,
    REPLY_CUT_OFF_S,
    REPLY_PIECE_BYTES,
    REPLY_SPARED_MS,
    SEND_BUFFER_BYTES_MAX,
)

RETRY_S: Final = 1
_NEVER: Final = deque[float]()


class Taking:
    """What a client takes, and how long that makes us wait in all."""

    def __init__(self, send: Send, wait_s_max: float = EXPORT_WAIT_S_MAX) -> None:
        self._send = send
        self._wait_s_max = wait_s_max
        self._waited_s = 0.0
        self._taken_bytes = 0
        self._timeout: asyncio.Timeout | None = None
        self._clock = asyncio.get_running_loop().time
        self.since_s = self._clock()
        """Since when the client takes nothing."""
        self.too_slow = False

    async def send(self, message: Message) -> None:
        """Send a message; `TimeoutError` when all the time there was for what has been taken is used up, or when it was
        cut off."""
        self.since_s = self._clock()
        left_s = self._wait_s_max + self._taken_bytes / EXPORT_BYTES_PER_S_MIN - self._waited_s
        async with asyncio.timeout(left_s) as self._timeout:
            try:
                await self._send(message)
            finally:
                self.too_slow = self._timeout.expired()
                self._timeout = None
        self._waited_s += self._clock() - self.since_s
        self._taken_bytes += len(message.get("body", b""))

    def cut_off(self) -> None:
        """Wait no longer for what is being sent."""
        if self._timeout is not None:
            self._timeout.reschedule(self._clock())


class Outgoing:
    """The room for all large replies of an application. Used on the loop's thread."""

    def __init__(self, bytes_max: int = REPLIES_BYTES_MAX, spared_ms: float = REPLY_SPARED_MS) -> None:
        self._bytes_max = bytes_max
        self._spared_s = spared_ms / 1_000
        self._waiting: list[LargeReply] = []
        self.held_bytes = 0
        self.cut_off = 0
        """Replies that were not sent to their end."""
        self._cut_off: dict[str, deque[float]] = {}
        """By tenant, when those were given up."""

    def held(self, response: Response, tenant: str = "") -> Response | LargeReply:
        """The reply as it is to be sent, at once: a large one holds its bytes from here on. `Overloaded` where there is
        no room for it to wait in, or where too many of the tenant have been cut off."""
        body = getattr(response, "body", b"")
        if len(body) <= SEND_BUFFER_BYTES_MAX:
            return response
        reply = LargeReply(response, self, tenant)
        self._refuse_many_cut_off(tenant, reply.since_s)
        self._make_room(len(body), before_s=reply.since_s - self._spared_s)
        self._waiting.append(reply)
        self.held_bytes += len(body)
        return reply

    def _make_room(self, size_bytes: int, *, before_s: float) -> None:
        """Whoever has taken nothing for the longest goes first, and nobody who was waited for only since `before_s`."""
        for slow in sorted(self._waiting, key=lambda one: one.since_s):
            if self.held_bytes + size_bytes <= self._bytes_max or slow.since_s > before_s:
                break
            slow.cut_off()
            self.leave(slow)
        if self.held_bytes + size_bytes > self._bytes_max:
            raise Overloaded("large replies wait for others, who read them slowly", retry_after_s=RETRY_S)

    def _refuse_many_cut_off(self, tenant: str, now_s: float) -> None:
        """A connection that was cut off keeps some of its reply until the kernel gives it up."""
        times = self._cut_off.get(tenant, _NEVER)
        while times and times[0] <= now_s - REPLY_CUT_OFF_S:
            times.popleft()
        if len(times) >= REPLIES_CUT_OFF_MAX:
            left_s = int(times[0] + REPLY_CUT_OFF_S - now_s) + 1
            raise Overloaded("large replies were not read in time, as many as may be", retry_after_s=left_s)
        if not times:
            self._cut_off.pop(tenant, None)

    def note_cut_off(self, reply: LargeReply) -> None:
        """A reply was not sent to its end."""
        now_s = asyncio.get_running_loop().time()
        self._cut_off.setdefault(reply.tenant, deque(maxlen=REPLIES_CUT_OFF_MAX)).append(now_s)
        self.cut_off += 1

    def leave(self, reply: LargeReply) -> None:
        """It waits no longer. Leaving twice is fine."""
        if reply in self._waiting:
            self._waiting.remove(reply)
            self.held_bytes -= reply.size_bytes


class LargeReply:
    """A reply in pieces. One that is cut off ends in the midst of its body, and its connection is closed.

    Its body lies in memory of its own, which goes back to the system whole, in whatever order replies end; between the
    small objects that are made meanwhile it would leave holes.
    """

    def __init__(self, response: Response, outgoing: Outgoing, tenant: str) -> None:
        self.tenant = tenant
        self.size_bytes = len(response.body)
        self._head: Message = {
            "type": "http.response.start", "status": response.status_code, "headers": response.raw_headers
        }  # fmt: skip
        self._body = mmap(-1, self.size_bytes)
        self._body[:] = response.body
        self._outgoing = outgoing
        self._taking: Taking | None = None
        self._began_s = asyncio.get_running_loop().time()

    @property
    def since_s(self) -> float:
        """Since when its reader takes nothing."""
        return self._began_s if self._taking is None else self._taking.since_s

    def cut_off(self) -> None:
        """Wait no longer for its reader."""
        if self._taking is not None:
            self._taking.cut_off()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send it, or a part to who takes too long."""
        self._taking = taking = Taking(send)
        try:
            await taking.send(self._head)
            for at in range(0, self.size_bytes, REPLY_PIECE_BYTES):
                await taking.send(self._piece(at))
        except TimeoutError:
            if not taking.too_slow:
                raise
            self._outgoing.note_cut_off(self)
        finally:
            self._body.close()
            self._outgoing.leave(self)

    def _piece(self, at: int) -> Message:
        piece, more = self._body[at : at + REPLY_PIECE_BYTES], at + REPLY_PIECE_BYTES < self.size_bytes
        return {"type": "http.response.body", "body": piece, "more_body": more}

"""What a decider tells the writer: the receipts of its decisions, and whose budget they took. Many in one message.

A receipt is told at most once. One that the writer surely did not get waits for the next one; one of which nobody knows
is lost, and so is what no longer fits while it waits. Lost ones are counted.
"""

from __future__ import annotations

import asyncio
from collections import Counter, deque
from typing import Final

import msgspec

from ...engine.receipts import DecidedElsewhere
from ...foundation.clock import Clock
from ...foundation.errors import RateLimited
from ...foundation.limits import RECEIPTS_SENT_BYTES_MAX, RECEIPTS_WAITING_BYTES_MAX
from .board import RECEIPTS_LOST, Board
from .handing import Handing, WriterGone

PATH: Final = "/told"
"""Where the writer listens for it; on the workers' socket only."""
RETRY_S: Final = 0.05
PAUSE_S: Final = 0.01
"""So long receipts gather before they are told."""

_encode = msgspec.msgpack.Encoder().encode


class ReceiptsSent(msgspec.Struct, array_like=True):
    """One message."""

    decided: list[msgspec.Raw]
    """`DecidedElsewhere` each."""
    spent: dict[str, int]
    """By access key: requests answered since the message before."""


class ReceiptsHeard(msgspec.Struct, array_like=True, frozen=True):
    """The same as the writer reads it."""

    decided: list[DecidedElsewhere]
    spent: dict[str, int]


class Settled(msgspec.Struct, array_like=True, frozen=True):
    """The answer."""

    waits_ms: dict[str, int]
    """By access key that has spent what it or its tenant may: for how long it gets no answer."""
    lost: int
    """Receipts that the log did not take."""


class Telling:
    """The decider's end. Used on one loop; `run` runs on it until cancelled."""

    def __init__(self, handing: Handing, board: Board, number: int, clock: Clock) -> None:
        self._handing = handing
        self._board = board
        self._number = number
        self._clock = clock
        self._waiting: deque[bytes] = deque()
        self._waiting_bytes = 0
        self._spent: Counter[str] = Counter()
        self._held_until_ms: dict[str, int] = {}
        self._there = asyncio.Event()

    def check(self, key_id: str) -> None:
        """Raise `RateLimited` for an access key that has spent, here and elsewhere, what it may."""
        until_ms = self._held_until_ms.get(key_id)
        if until_ms is None:
            return
        left_ms = until_ms - self._clock.now_ms()
        if left_ms > 0:
            raise RateLimited("more requests than agreed, through all workers", retry_after_s=-(-left_ms // 1_000))
        del self._held_until_ms[key_id]

    def tell(self, decided: DecidedElsewhere, key_id: str) -> None:
        """The writer will be told, as soon as it can be."""
        self._spent[key_id] += 1
        encoded = _encode(decided)
        if self._waiting_bytes + len(encoded) > RECEIPTS_WAITING_BYTES_MAX:
            self._lose(1)
        else:
            self._waiting.append(encoded)
            self._waiting_bytes += len(encoded)
        self._there.set()

    async def run(self) -> None:
        """Tell what there is, again and again."""
        while True:
            await self._there.wait()
            self._there.clear()
            await asyncio.sleep(PAUSE_S)
            while self._waiting:
                if not await self._told_some():
                    await asyncio.sleep(RETRY_S)

    async def finish(self) -> None:
        """Tell what is left, once; what the writer does not take is lost."""
        while self._waiting and await self._told_some():
            pass
        self._lose(len(self._waiting))
        self._waiting.clear()

    async def _told_some(self) -> bool:
        """Send one message; False if the writer cannot be reached."""
        if not await self._handing.is_there():
            return False
        some, spent = self._taken(), self._spent
        self._spent = Counter()
        body = _encode(ReceiptsSent([msgspec.Raw(one) for one in some], dict(spent)))
        try:
            answer = await self._handing.ask("POST", PATH.encode(), [(b"host", b"writer")], body)
            settled = msgspec.msgpack.decode(answer.body, type=Settled) if answer.status == 200 else None
        except (WriterGone, msgspec.MsgspecError):
            settled = None
        if settled is None:
            self._lose(len(some))
            return True
        self._lose(settled.lost)
        now_ms = self._clock.now_ms()
        self._held_until_ms |= {key_id: now_ms + wait_ms for key_id, wait_ms in settled.waits_ms.items()}
        return True

    def _taken(self) -> list[bytes]:
        some, left_bytes = list[bytes](), RECEIPTS_SENT_BYTES_MAX
        while self._waiting and (not some or len(self._waiting[0]) <= left_bytes):
            one = self._waiting.popleft()
            left_bytes -= len(one)
            self._waiting_bytes -= len(one)
            some.append(one)
        return some

    def _lose(self, count: int) -> None:
        if count:
            self._board.count(self._number, RECEIPTS_LOST, count)

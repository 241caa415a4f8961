"""Who follows the stream, and what brings entries to them.

One reading of the log serves all who have come to its end: each step is encoded once, put together once for all who ask
for the same, and given to them as the same bytes. Nothing hooks into the fold: as long as anybody follows, it is looked
every `GATHER_S` whether there is more, so nobody who follows costs the fold anything. Whoever begins further back reads
by themselves, a few at a time, until they have come to where the common reading is.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections import Counter, OrderedDict, deque
from collections.abc import AsyncGenerator, Callable, Iterable, Mapping, Sequence
from typing import Final, NamedTuple

import msgspec

from ...feedback.rewards import Rewards
from ...foundation.errors import InstanterError, Overloaded, RequestRejected, Unavailable
from ...foundation.limits import (
    STREAM_BEHIND_MAX,
    STREAM_ENTRIES_BYTES,
    STREAM_PIECE_BYTES,
    STREAM_QUEUE_BYTES_MAX,
    STREAM_QUEUE_ENTRIES_MAX,
    STREAM_QUEUED_BYTES_MAX,
    STREAM_READERS_MAX,
    STREAM_READERS_PER_TENANT_MAX,
    STREAM_RECORDS_PER_STEP,
)
from ...foundation.measure import Meter
from ...log.segment_log import SegmentLog
from ...privacy.subjects import KeyStore
from ..partition import Partition
from .cursor import NOT_SAID, Cursor
from .derivation import Derivation, Entry, Step, Wanted
from .kinds import QUARANTINED, About
from .shown import Shown

log = logging.getLogger("instanter.engine")

GATHER_S: Final = 0.05
"""So long entries gather before they are told; longer where many follow."""
WOKEN_PER_S_MAX: Final = 400
"""Readers are woken one after the other, so many in a second: each costs some 0.1 ms, and all at once they would hold
decisions up. The more there are, the more entries each is given at once."""
WOKEN_AT_ONCE: Final = 2
BEAT_S: Final = 15.0
"""After so long without an entry a reader gets a sign of life."""
RETRY_MS: Final = 2_000
"""After which a browser that was cut off asks again."""
RETRY_S: Final = 5
_encode = msgspec.json.Encoder().encode


class Subscription(NamedTuple):
    """What somebody asks for."""

    tenant: str
    kinds: frozenset[str]
    placements: frozenset[str] = frozenset()
    """Empty: all. Entries that are about no placement are told all the same."""

    @property
    def refusals(self) -> bool:
        """Whether the quarantine is a part of it."""
        return not self.kinds.isdisjoint(QUARANTINED)

    def takes(self, entry: Entry) -> bool:
        """Whether an entry is asked for."""
        if entry.kind not in self.kinds or entry.tenant != self.tenant:
            return False
        return not self.placements or entry.placements is None or not self.placements.isdisjoint(entry.placements)


class Chunk:
    """Some entries as they are sent: of people who have been erased since, nothing is in it any more."""

    __slots__ = ("_as_of", "_body", "_entries", "_refusals", "_subjects", "cursor", "size_bytes")

    def __init__(self, entries: list[Entry], subjects: KeyStore, *, refusals: bool) -> None:
        self._entries = entries
        self._subjects = subjects
        self._refusals = refusals
        self._as_of = -1
        self._body = b""
        self.cursor = entries[-1].cursor
        self.size_bytes = len(self.body)

    def __len__(self) -> int:
        return len(self._entries)

    @property
    def body(self) -> bytes:
        """The bytes, for now."""
        if self._as_of != self._subjects.taken_out:
            self._as_of = self._subjects.taken_out
            self._entries = [one for one in self._entries if all(self._subjects.has((cell,)) for cell in one.cells)]
            self._body = b"".join(
                b"id: %b\n%b" % (one.cursor.text(refusals=self._refusals).encode(), one.body) for one in self._entries
            )
        return self._body


class Reader:
    """Somebody who follows. `pieces` is what they are sent."""

    def __init__(self, streams: Streams, asked: Subscription, cursor: Cursor) -> None:
        self.asked = asked
        self.cursor = cursor
        """Behind what has been given out to be sent."""
        self.queued_bytes = 0
        self.is_behind = True
        """Whether it has not come to where the common reading is."""
        self.on_cut: Callable[[], None] = lambda: None
        """Called when it is cut off: what is being sent is waited for only so long from then on."""
        self._streams = streams
        self._queue: deque[Chunk] = deque()
        self._queued = 0
        self._there = asyncio.Event()
        self._over = ""
        """`cut` or `end`, once no more will come."""
        self._reason = ""

    @property
    def place(self) -> str:
        """The id to resume from."""
        return self.cursor.text(refusals=self.asked.refusals)

    @property
    def is_over(self) -> bool:
        """Whether nothing is told any more but how it ended."""
        return bool(self._over)

    def push(self, chunk: Chunk) -> None:
        """Let it wait until it is taken, or cut the reader off who has too much waiting."""
        self._queue.append(chunk)
        self._queued += len(chunk)
        self.queued_bytes += chunk.size_bytes
        too_much = self.queued_bytes > STREAM_QUEUE_BYTES_MAX or self._queued > STREAM_QUEUE_ENTRIES_MAX
        if too_much and len(self._queue) > 1:
            self.cut("it takes entries more slowly than they come")
        else:
            self._streams.wake_in_turn(self)

    def wake(self) -> None:
        """Let it take what waits."""
        self._there.set()

    def cut(self, reason: str) -> None:
        """No more for this one, who is told from where to resume."""
        if not self._over:
            self._end("cut", reason)
            self._streams.count_cut()
            self.on_cut()

    def end(self) -> None:
        """No more for anybody: the server ends."""
        if not self._over:
            self._end("end", "the server is shutting down")
            self.on_cut()

    def _end(self, how: str, reason: str) -> None:
        self._over, self._reason = how, reason
        self._queue.clear()
        self._queued = self.queued_bytes = 0
        self._streams.leave_live(self)
        self._there.set()

    async def pieces(self) -> AsyncGenerator[bytes]:
        """What is sent, piece by piece, from the opening to the end."""
        told = {"kinds": sorted(self.asked.kinds), "placements": sorted(self.asked.placements), "from": self.place}
        yield b"retry: %d\n%b" % (RETRY_MS, self._line("open", told))
        if self.is_behind:
            while not (self._over or await self._streams.turn_within(BEAT_S)):
                yield b": \n\n"
        if self.is_behind and not self._over:
            async with contextlib.aclosing(self._catching_up()) as catching_up:
                async for piece in catching_up:
                    yield piece
        while not self._over:
            yield await self._next()
        yield self._line(self._over, {"resume": self.place, "reason": self._reason})

    async def _next(self) -> bytes:
        """What has come, or a sign of life."""
        if not self._queue:
            self._there.clear()
            try:
                async with asyncio.timeout(BEAT_S):
                    await self._there.wait()
            except TimeoutError:
                return self._beat()
        self._streams.has_turned(self)
        body = b""
        while self._queue and len(body) < STREAM_PIECE_BYTES:
            chunk = self._queue.popleft()
            self._queued -= len(chunk)
            self.queued_bytes -= chunk.size_bytes
            self.cursor = chunk.cursor
            body += chunk.body
        return body

    def _beat(self) -> bytes:
        """Nothing but the id: who resumes from it has less to look through."""
        if not (self._queue or self.is_behind):
            self.cursor = self._streams.reached
        return b"id: %b\n: \n\n" % self.place.encode()

    async def _catching_up(self) -> AsyncGenerator[bytes]:
        """What lies between where this one begins and the common reading; it has joined that at the end. It is one's
        turn then."""
        reading, loop = self._streams.reading(), asyncio.get_running_loop()
        wanted, told_s = Wanted([self.asked.tenant], self.asked.kinds), loop.time()
        try:
            while not (self._over or self._streams.join(self)):
                step = await self._streams.step_for(self, reading, wanted)
                self.cursor = step.cursor
                entries = [one for one in step.entries if self.asked.takes(one)]
                if entries:
                    yield self._streams.chunk(entries, self.asked).body
                elif loop.time() - told_s > BEAT_S:
                    yield self._beat()
                else:
                    continue
                told_s = loop.time()
        except InstanterError as error:
            self.cut(f"the log cannot be read there: {error}")
        finally:
            self._streams.end_turn()

    def _line(self, event: str, data: Mapping[str, object]) -> bytes:
        return b"id: %b\nevent: %b\ndata: %b\n\n" % (self.place.encode(), event.encode(), _encode(data))


class Streams:
    """All who follow. Used on the loop's thread; `run` runs on it as long as anybody is served."""

    def __init__(
        self, *, partition: Partition, records: SegmentLog, quarantine: SegmentLog, subjects: KeyStore,
        rewards: Rewards, meter: Meter,
    ) -> None:  # fmt: skip
        self._partition = partition
        self._records = records
        self._quarantine = quarantine
        self._subjects = subjects
        self._rewards = rewards
        self._meter = meter
        self._running = False
        self._readers: dict[Reader, None] = {}
        self._of_tenant = Counter[str]()
        self._live: dict[Subscription, list[Reader]] = {}
        self._followed = asyncio.Event()
        self._reading = self.reading()
        self._cursor = self._head()
        self._stepping = False
        self._turns = asyncio.Semaphore(STREAM_BEHIND_MAX)
        self._sleeping: OrderedDict[Reader, None] = OrderedDict()
        """For whom something waits, who has waited longest first: no more than there are readers."""
        self._any_sleeping = asyncio.Event()

    @property
    def readers(self) -> int:
        """How many follow."""
        return len(self._readers)

    @property
    def gather_s(self) -> float:
        """How long entries gather before they are told: half of what it takes to wake as many as follow now."""
        return max(GATHER_S, len(self._readers) / WOKEN_PER_S_MAX / 2)

    # Coming and going.

    def check_room(self, tenant: str) -> None:
        """Raise `Overloaded` where there are as many readers as may be, `Unavailable` while the server ends."""
        if not self._running:
            raise Unavailable("the server is shutting down")
        if len(self._readers) >= STREAM_READERS_MAX or self._of_tenant[tenant] >= STREAM_READERS_PER_TENANT_MAX:
            raise Overloaded("the stream has as many readers as may be", retry_after_s=RETRY_S)

    async def open(self, asked: Subscription, since: Cursor | None) -> Reader:
        """A reader of what comes behind a cursor, of what comes from now on without one; to be closed. Raises as
        `check_room`, and `RequestRejected` where nothing of the log begins there, or not any more."""
        self.check_room(asked.tenant)
        if not self._live and not self._stepping:
            self._cursor = self._head()
        cursor = self._cursor if since is None else since
        if cursor.quarantine == NOT_SAID:
            cursor = cursor._replace(quarantine=self._cursor.quarantine)
        if since is not None:
            await asyncio.to_thread(self._check, cursor)
            self.check_room(asked.tenant)
        reader = Reader(self, asked, cursor)
        self._readers[reader] = None
        self._of_tenant[asked.tenant] += 1
        self.join(reader)
        self._followed.set()
        return reader

    def oldest(self) -> Cursor:
        """Where the logs begin."""
        return Cursor(self._records.start, -1, self._quarantine.start)

    def close(self, reader: Reader) -> None:
        """Let a reader go. Doing it twice is fine."""
        self.leave_live(reader)
        if reader in self._readers:
            del self._readers[reader]
            self._of_tenant[reader.asked.tenant] -= 1
            if not self._of_tenant[reader.asked.tenant]:
                del self._of_tenant[reader.asked.tenant]
        if not self._readers:
            self._followed.clear()

    def leave_live(self, reader: Reader) -> None:
        """Give it nothing more."""
        self.has_turned(reader)
        readers = self._live.get(reader.asked, [])
        if reader in readers:
            readers.remove(reader)
            if not readers:
                del self._live[reader.asked]

    def wake_in_turn(self, reader: Reader) -> None:
        """Something waits for it."""
        self._sleeping[reader] = None
        self._any_sleeping.set()

    def has_turned(self, reader: Reader) -> None:
        """It takes what waits, or never will."""
        self._sleeping.pop(reader, None)

    def count_cut(self) -> None:
        """Somebody was cut off."""
        self._meter.count("stream_readers_cut")

    def _check(self, cursor: Cursor) -> None:
        """Raise `RequestRejected` unless both logs can be read on from there. In a thread."""
        head = self._head()
        if cursor.position > head.position or cursor.quarantine > head.quarantine:
            raise RequestRejected("position", "the stream has not come that far; see the ids that it gave", status=404)
        next(self._records.read(cursor.position), None)
        next(self._quarantine.read(cursor.quarantine), None)

    # Reading what lies behind.

    def reading(self) -> Derivation:
        """A reading of both logs."""
        about = About(
            self._subjects, self._partition.state.catalogue, self._rewards,
            Shown(self._subjects, window_ms=self._rewards.window_ms),
        )  # fmt: skip
        return Derivation(self._records, self._quarantine, about)

    def chunk(self, entries: list[Entry], asked: Subscription) -> Chunk:
        """Entries as they are sent."""
        return Chunk(entries, self._subjects, refusals=asked.refusals)

    def join(self, reader: Reader) -> bool:
        """Give a reader what comes from here on, if it has come to where the common reading is."""
        here, there = reader.cursor, self._cursor
        if self._stepping or here[:2] != there[:2] or (reader.asked.refusals and here.quarantine != there.quarantine):
            return False
        self._live.setdefault(reader.asked, []).append(reader)
        reader.is_behind = False
        return True

    @property
    def reached(self) -> Cursor:
        """How far the common reading has come."""
        return self._cursor

    async def turn_within(self, within_s: float) -> bool:
        """Wait to be one of the few for whom the log is read; False if the time is over. `end_turn` gives it back."""
        try:
            async with asyncio.timeout(within_s):
                await self._turns.acquire()
        except TimeoutError:
            return False
        return True

    def end_turn(self) -> None:
        """Let another one read."""
        self._turns.release()

    async def step_for(self, reader: Reader, reading: Derivation, wanted: Wanted) -> Step:
        """A step towards the common reading. Raises what reading raises."""
        if reader.cursor[:2] == self._cursor[:2] and reader.cursor.quarantine == self._cursor.quarantine:
            await asyncio.sleep(GATHER_S / 10)  # The common reading is in the midst of a step.
        return await self._step(reading, reader.cursor, self._cursor, wanted)

    async def _step(self, reading: Derivation, after: Cursor, until: Cursor, wanted: Wanted) -> Step:
        if not reading.is_ready(after, wanted):
            back = reading.looking_back(after)
            while not await asyncio.to_thread(_ended, back):
                pass
        entries, cursor, looked_at, size_bytes = list[Entry](), after, 0, 0
        while looked_at < STREAM_RECORDS_PER_STEP and size_bytes < STREAM_ENTRIES_BYTES:
            looks_max = STREAM_RECORDS_PER_STEP - looked_at
            piece = await asyncio.to_thread(reading.step, cursor, until, wanted, looks_max)
            entries += piece.entries
            size_bytes += sum(len(one.body) for one in piece.entries)
            looked_at += piece.looked_at
            cursor = piece.cursor
            if cursor == until or not piece.looked_at:
                break
        return Step(entries, cursor, looked_at)

    # The common reading.

    async def run(self) -> None:
        """Bring what comes to who follows, until cancelled; all readers end then."""
        self._running = True
        waking = asyncio.create_task(self._wake())
        try:
            while True:
                await self._followed.wait()
                await asyncio.sleep(self.gather_s)
                try:
                    await self._tell()
                except InstanterError as error:
                    log.error("the stream cannot be read on", extra={"reason": str(error)})
                    for reader in [one for readers in self._live.values() for one in readers]:
                        reader.cut(f"the log cannot be read there: {error}")
        finally:
            self._running = False
            waking.cancel()
            for reader in list(self._readers):
                reader.end()

    async def _wake(self) -> None:
        """Wake who has something waiting, a few at a time."""
        while True:
            await self._any_sleeping.wait()
            self.wake_some()
            await asyncio.sleep(WOKEN_AT_ONCE / WOKEN_PER_S_MAX)

    def wake_some(self) -> None:
        """Wake those for whom something has waited longest."""
        for _ in range(min(WOKEN_AT_ONCE, len(self._sleeping))):
            reader, _nothing = self._sleeping.popitem(last=False)
            reader.wake()
        if not self._sleeping:
            self._any_sleeping.clear()

    async def _tell(self) -> None:
        """Tell what has come."""
        head = self._head()
        while self._live and self._cursor != head:
            wanted = Wanted(
                {asked.tenant for asked in self._live}, {kind for asked in self._live for kind in asked.kinds}
            )
            self._stepping = True
            try:
                step = await self._step(self._reading, self._cursor, head, wanted)
            finally:
                self._stepping = False
            self._cursor = step.cursor
            self._publish(step.entries)
            await asyncio.sleep(0)
        if not self._live:
            self._cursor = head

    def _publish(self, entries: Sequence[Entry]) -> None:
        if not entries:
            return
        for asked, readers in list(self._live.items()):
            mine = [one for one in entries if asked.takes(one)]
            chunk = self.chunk(mine, asked) if mine else None
            if chunk:
                for reader in list(readers):
                    reader.push(chunk)
        self._cut_largest()

    def _cut_largest(self) -> None:
        """Keep what waits for all readers within its bound."""
        queued_bytes = sum(reader.queued_bytes for reader in self._readers)
        while queued_bytes > STREAM_QUEUED_BYTES_MAX:
            largest = max(self._readers, key=lambda reader: reader.queued_bytes)
            queued_bytes -= largest.queued_bytes
            largest.cut("too much waits for all readers together, and most of it for this one")

    def _head(self) -> Cursor:
        return Cursor(self._partition.position, -1, self._quarantine.extent[1])


def _ended(steps: Iterable[None]) -> bool:
    """Take a step; whether there was none any more. In a thread."""
    return next(iter(steps), _OVER) is _OVER


_OVER: Final = object()

"""Group commit: entries are taken one by one on the loop's thread and made durable together in another.

The loop never waits for the disk. While one group is written and synced, the next one gathers; each entry has its
position at once, and is handed back in order when it is durable.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Executor, ThreadPoolExecutor
from typing import Generic, TypeVar, cast

import msgspec

from ..foundation.clock import elapsed_ns
from ..foundation.deadline import Deadline
from ..foundation.errors import Broken, DiskFull, LogClosed, Overloaded, Unavailable
from ..foundation.limits import PENDING_BYTES_MAX
from .base import Log
from .frames import FRAME_HEADER_BYTES, Group, LogPosition, RecordPosition

T = TypeVar("T")
Entry = tuple[int, int, bytes, T]
"""Partition, receipt time in ms, payload, and what is handed back when it is durable."""


class Durable(msgspec.Struct, Generic[T], frozen=True):
    """A group that is on disk: positions, times and what was carried along run in parallel, in the order of the log."""

    end: LogPosition
    """Everything below is durable."""
    positions: list[RecordPosition]
    times_ms: list[int]
    carried: list[T]
    disk_ns: int
    """What writing and syncing took."""

    @property
    def ends(self) -> list[LogPosition]:
        """Where each entry ends: entries of one group lie one behind the other."""
        return [*self.positions[1:], self.end]


class Refused(msgspec.Struct, Generic[T], frozen=True):
    """Entries that did not get into the log. Their positions mean nothing any more and will be given out again."""

    carried: list[T]
    error: Unavailable


class _Gathered(Generic[T]):
    """A group with what belongs to its entries."""

    __slots__ = ("carried", "group", "positions", "times_ms", "waiters")

    def __init__(self, group: Group) -> None:
        self.group = group
        self.positions: list[int] = []
        self.times_ms: list[int] = []
        self.carried: list[T] = []
        self.waiters: list[asyncio.Future[None]] = []


class GroupCommitter(Generic[T]):
    """The one writer of a log on an asyncio loop; made and used on the loop's thread.

    `T` is whatever the caller wants to have back with an entry once it is durable, such as the decoded record.
    A commit starts `sync_window_ms` after the first entry of a group, or when the commit before it ends if that is
    later. `before` runs in the other thread before each group is written: what the entries stand on is made durable
    there, and what it raises refuses the group. `on_durable` and `on_refused` run on the loop's thread, group by group
    in order, before anyone who waits is told.
    """

    def __init__(
        self,
        log: Log,
        *,
        sync_window_ms: float,
        on_durable: Callable[[Durable[T]], None],
        on_refused: Callable[[Refused[T]], None],
        pending_bytes_max: int = PENDING_BYTES_MAX,
        before: Callable[[], None] | None = None,
    ) -> None:
        self._log = log
        self._loop = asyncio.get_running_loop()
        self._window_s = sync_window_ms / 1_000
        self._on_durable = on_durable
        self._on_refused = on_refused
        self._pending_bytes_max = pending_bytes_max
        self._before = before
        self._worker = ThreadPoolExecutor(max_workers=1, thread_name_prefix="log-commit")
        self._gathering: _Gathered[T] | None = None
        self._committing: _Gathered[T] | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._due = False
        self._ended = ""
        self._durable_end = LogPosition(log.begin().start)
        self._idle = asyncio.Event()
        self._idle.set()

    @property
    def worker(self) -> Executor:
        """The thread that writes."""
        return self._worker

    @property
    def pending_bytes(self) -> int:
        """Bytes taken and not yet durable."""
        newest = self._gathering or self._committing
        return newest.group.end - self._durable_end if newest is not None else 0

    @property
    def writing(self) -> bool:
        """Whether entries are taken at all: not after a failed sync, and not while closing."""
        return not self._ended

    @property
    def ended(self) -> str:
        """Why entries are not taken any more, "" while they are."""
        return self._ended

    def in_flight(self) -> Iterator[T]:
        """What was carried by entries that are not handed back yet."""
        for gathered in (self._committing, self._gathering):
            if gathered is not None:
                yield from gathered.carried

    @property
    def durable_end(self) -> LogPosition:
        """Everything below this position is on disk and has been handed to `on_durable`."""
        return self._durable_end

    def check_room(self, payload_bytes: int, *, entries: int = 1) -> None:
        """Raise what `append` would raise for so much more; the way to take a batch whole or not at all."""
        if self._ended:
            raise LogClosed(self._ended)
        if self.pending_bytes + payload_bytes + entries * FRAME_HEADER_BYTES > self._pending_bytes_max:
            raise Overloaded("the log is behind: too much is waiting to be synced")

    def append(self, partition: int, time_ms: int, payload: bytes, carried: T) -> RecordPosition:
        """Take one entry and return its position; nothing is durable yet.

        Raises `Overloaded` when too much is waiting, `LogClosed` when writing has ended.
        """
        return self.extend(((partition, time_ms, payload, carried),))

    def extend(self, entries: Sequence[Entry[T]]) -> RecordPosition:
        """Take entries, at least one, all of them or none, and return the position of the last; as `append`."""
        _, times_ms, payloads, carried = zip(*entries, strict=True)
        self.check_room(sum(map(len, payloads)), entries=len(entries))
        gathering = self._gathering or self._gather()
        gathering.positions += gathering.group.extend(entries)
        gathering.times_ms += times_ms
        gathering.carried += carried
        return RecordPosition(LogPosition(gathering.positions[-1]))

    def next_position(self) -> int:
        """The position that `append` will give next in this step of the loop; means nothing if it then raises."""
        if self._ended:
            return self._durable_end
        if self._gathering is not None:
            return self._gathering.group.end
        return self._log.begin(self._committing.group if self._committing is not None else None).end

    def durable(self, position: RecordPosition) -> asyncio.Future[None]:
        """Done once the entry at `position` is durable and `on_durable` has run; fails with what refused it.

        Call it in the same step of the loop as `append`: after a refusal the position is given out again.
        """
        waiter = self._loop.create_future()
        for gathered in (self._committing, self._gathering):
            if gathered is not None and gathered.group.start <= position < gathered.group.end:
                gathered.waiters.append(waiter)
                return waiter
        if position < self._durable_end:
            waiter.set_result(None)
        elif self._ended:
            waiter.set_exception(LogClosed(self._ended))
        else:
            waiter.set_exception(DiskFull("the entry was refused"))
        return waiter

    async def settled(self) -> None:
        """Returns once everything taken so far is durable, or was refused."""
        newest = self._gathering or self._committing
        if newest is not None:
            waiter: asyncio.Future[None] = self._loop.create_future()
            newest.waiters.append(waiter)
            with contextlib.suppress(Unavailable):
                await waiter

    def commit_soon(self) -> None:
        """Do not wait for the window: commit what has gathered as soon as the worker is free."""
        if self._gathering is None:
            return
        self._due = True
        if self._committing is None:
            self._start()

    def end(self, reason: str) -> None:
        """Take nothing more for this reason, and refuse what is not durable yet: nobody who waits is told it is."""
        self._ended = self._ended or reason
        self._refuse_all(LogClosed(self._ended))

    async def close(self, deadline: Deadline) -> None:
        """Take nothing more, commit what was taken, and close the log.

        What is not durable when the deadline passes is refused with `LogClosed`; the log is then left as it is,
        since its thread may still be in the disk.
        """
        self._ended = self._ended or "the log is shutting down"
        self.commit_soon()
        if not await self._is_idle_within(deadline):
            self._refuse_all(LogClosed("the log was closed before this was synced"))
            self._worker.shutdown(wait=False, cancel_futures=True)
            return
        self._worker.shutdown()
        self._log.close()

    def abandon(self) -> None:
        """Take nothing more, refuse what is not durable, and give up the log once its thread is out of the disk."""
        self._ended = self._ended or "the log was given up"
        self._refuse_all(LogClosed(self._ended))
        self._worker.shutdown(wait=True, cancel_futures=True)
        self._log.close()

    async def _is_idle_within(self, deadline: Deadline) -> bool:
        if not self._idle.is_set():
            try:
                async with asyncio.timeout(max(0.0, deadline.left_ms() / 1_000)):
                    await self._idle.wait()
            except TimeoutError:
                return False
        return True

    def _gather(self) -> _Gathered[T]:
        after = self._committing.group if self._committing is not None else None
        self._gathering = _Gathered(self._log.begin(after))
        self._timer = self._loop.call_later(self._window_s, self.commit_soon)
        self._idle.clear()
        return self._gathering

    def _start(self) -> None:
        assert self._committing is None
        assert self._gathering is not None
        self._committing, self._gathering = self._gathering, None
        self._due = False
        self._stop_timer()
        commit = self._loop.run_in_executor(self._worker, self._commit, self._committing.group)
        commit.add_done_callback(self._settle)

    def _commit(self, group: Group) -> int:
        """Make one group durable, in the worker; what it took in ns."""
        started_ns = elapsed_ns()
        if self._before is not None:
            self._before()
        self._log.commit(group)
        return elapsed_ns() - started_ns

    def _settle(self, commit: asyncio.Future[int]) -> None:
        """One commit has ended: start the next before the work on this one, so that the disk is not kept waiting."""
        settled = self._committing
        if settled is None or commit.cancelled():
            return
        error = commit.exception()
        if error is None:
            self._committing = None
            self._release(settled, commit.result())
            return
        refusal = error if isinstance(error, Unavailable) else LogClosed(f"the log broke: {error}")
        if not isinstance(refusal, DiskFull):
            self._ended = self._ended or refusal.message
        self._refuse_all(refusal)
        if refusal is not error:
            raise error

    def _release(self, settled: _Gathered[T], disk_ns: int) -> None:
        if self._gathering is not None and self._due:
            self._start()
        end = self._durable_end = LogPosition(settled.group.end)
        positions = cast("list[RecordPosition]", settled.positions)
        folded = False
        try:
            self._on_durable(Durable(end, positions, settled.times_ms, settled.carried, disk_ns))
            folded = True
        finally:
            for waiter in settled.waiters:
                _tell(waiter, None if folded else Broken("the entry is in the log but was not taken up"))
            self._rest()

    def _refuse_all(self, error: Unavailable) -> None:
        """Nothing that was taken and is not durable will be."""
        refused = [gathered for gathered in (self._committing, self._gathering) if gathered is not None]
        self._committing = self._gathering = None
        self._due = False
        self._stop_timer()
        try:
            for gathered in refused:
                self._on_refused(Refused(gathered.carried, error))
        finally:
            for gathered in refused:
                for waiter in gathered.waiters:
                    _tell(waiter, type(error)(error.message, retry_after_s=error.retry_after_s))
            self._rest()

    def _rest(self) -> None:
        if self._committing is None and self._gathering is None:
            self._idle.set()

    def _stop_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None


def commit_now(log: Log, entries: Iterable[tuple[int, int, bytes]]) -> list[RecordPosition]:
    """Append (partition, time_ms, payload) entries as one group and wait for the disk; for tools without a loop."""
    group = log.begin()
    positions = [group.append(partition, time_ms, payload) for partition, time_ms, payload in entries]
    log.commit(group)
    return cast("list[RecordPosition]", positions)


def _tell(waiter: asyncio.Future[None], error: Exception | None) -> None:
    if waiter.done():
        return
    if error is None:
        waiter.set_result(None)
    else:
        waiter.set_exception(error)
